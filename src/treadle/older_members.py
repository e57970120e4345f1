"""Members that results had in the API's first years, each told in terms of today's.

Mixed into the classes of `results`, and used by nothing else. Nothing may be added that today's members do not do.
"""

from __future__ import annotations

from typing import Any

from treadle.errors import DagsterInvariantViolationError
from treadle.events import DagsterEvent, DagsterEventType
from treadle.names import DEFAULT_OUTPUT, NodeHandle

_T = DagsterEventType


class OlderRunMembers:
    """Of the result of a whole run."""

    __slots__ = ()

    @property
    def step_event_list(self: Any) -> list[DagsterEvent]:
        """All step events, in the order of emission."""
        return [event for event in self.all_events if event.is_step_event]

    @property
    def events_by_step_key(self: Any) -> dict[str, list[DagsterEvent]]:
        """All step events by the key of their step."""
        found: dict[str, list[DagsterEvent]] = {}
        for event in self.step_event_list:
            found.setdefault(event.step_key, []).append(event)
        return found

    @property
    def solid_result_list(self: Any) -> list[Any]:
        """The part of each node of the job, in the job's order."""
        return [self.result_for_node(name) for name in self.job_def.graph.node_dict]

    def result_for_handle(self: Any, handle: NodeHandle | str) -> Any:
        """The part of the run below a node, by its handle or dotted path."""
        node = self
        for name in str(handle).split("."):
            node = node.result_for_node(name)
        return node

    def result_for_solid(self: Any, name: str) -> Any:
        """Older name of `result_for_node`."""
        return self.result_for_node(name)

    def output_for_solid(self: Any, handle_str: str, output_name: str = DEFAULT_OUTPUT) -> Any:
        """Older name of `output_for_node`."""
        return self.output_for_node(handle_str, output_name)

    @property
    def pipeline_def(self: Any) -> Any:
        """Older name of `job_def`."""
        return self.job_def


class OlderNodeMembers:
    """Of the part of a run below one node."""

    __slots__ = ()

    def _of_type(self: Any, event_type: DagsterEventType) -> list[DagsterEvent]:
        return [event for event in self.event_list if event.event_type is event_type]

    @property
    def solid_def(self: Any) -> Any:
        """Older name of `node_def`."""
        return self.node_def

    @property
    def skipped(self: Any) -> bool:
        """True where a step of the node was skipped."""
        return bool(self._of_type(_T.STEP_SKIPPED))

    @property
    def step_events(self: Any) -> list[DagsterEvent]:
        """Older name of `event_list`."""
        return list(self.event_list)

    compute_step_events = step_events

    @property
    def failure_data(self: Any) -> Any:
        """The payload of the node's first STEP_FAILURE; None where it has none."""
        failures = self._of_type(_T.STEP_FAILURE)
        return failures[0].event_specific_data if failures else None

    @property
    def compute_step_failure_event(self: Any) -> DagsterEvent:
        """The node's first STEP_FAILURE; DagsterInvariantViolationError where it has none."""
        return self._first(_T.STEP_FAILURE)  # type: ignore[no-any-return]

    def get_step_success_event(self: Any) -> DagsterEvent:
        """The node's first STEP_SUCCESS; DagsterInvariantViolationError where it has none."""
        return self._first(_T.STEP_SUCCESS)  # type: ignore[no-any-return]

    def _first(self: Any, event_type: DagsterEventType) -> DagsterEvent:
        found = self._of_type(event_type)
        if not found:
            raise DagsterInvariantViolationError(f"There is no event of type {event_type.name} in {self!r}.")
        return found[0]  # type: ignore[no-any-return]

    @property
    def retry_attempts(self: Any) -> int:
        """How often steps of the node were tried again."""
        return len(self._of_type(_T.STEP_RESTARTED))

    @property
    def materializations_during_compute(self: Any) -> list[Any]:
        """What the node materialised."""
        events = self._of_type(_T.ASSET_MATERIALIZATION)
        return [event.step_materialization_data.materialization for event in events]

    @property
    def expectation_results_during_compute(self: Any) -> list[Any]:
        """What the node checked."""
        events = self._of_type(_T.STEP_EXPECTATION_RESULT)
        return [event.step_expectation_result_data.expectation_result for event in events]

    @property
    def input_events_during_compute(self: Any) -> list[DagsterEvent]:
        """The node's STEP_INPUT events."""
        return self._of_type(_T.STEP_INPUT)  # type: ignore[no-any-return]

    @property
    def output_events_during_compute(self: Any) -> list[DagsterEvent]:
        """The node's STEP_OUTPUT events."""
        return self._of_type(_T.STEP_OUTPUT)  # type: ignore[no-any-return]
