"""What callers get back.

A result is a fold over the run's events: made when the run has ended, asked by whoever ran it. All that it says is
looked up in one index of those events, made with the first question; values alone come from elsewhere, and how is all
that its subclasses decide. It never changes a run and never writes to a store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from treadle import names
from treadle.blocked import find_blocked
from treadle.errors import CheckError, DagsterError, DagsterInvariantViolationError
from treadle.events import STEP_EVENTS, DagsterEvent, DagsterEventType
from treadle.introspect import MISSING
from treadle.names import DEFAULT_OUTPUT, AssetKey, NodeHandle
from treadle.older_members import OlderNodeMembers, OlderRunMembers
from treadle.outcomes import AssetMaterialization, AssetObservation, ExpectationResult
from treadle.payloads import TEARDOWN_KEY, EngineEventData, StepFailureData, StepOutputData, StepOutputHandle

if TYPE_CHECKING:
    from treadle.definitions.graph import GraphDefinition
    from treadle.definitions.job import JobDefinition
    from treadle.definitions.op import OpDefinition
    from treadle.definitions.wiring import Wire
    from treadle.errors import SerializableErrorInfo
    from treadle.runs import DagsterRun

_T = DagsterEventType
_D = TypeVar("_D")
_STEP_EVENTS = frozenset(member.value for member in STEP_EVENTS)

#: stands after the position of every known branch: a branch whose fan-out happened in an earlier run
_LAST = 1 << 60


class _Index:
    """Where to find each event: one pass over a run's events."""

    __slots__ = ("by_node", "by_type", "copies", "outputs")

    def __init__(self, events: Sequence[DagsterEvent]) -> None:
        self.by_type: defaultdict[str, list[DagsterEvent]] = defaultdict(list)
        #: dotted path of an op, or of a graph around it -> step events
        self.by_node: dict[str, list[DagsterEvent]] = {}
        #: dotted path of an op -> key of each of its steps -> mapping keys in that
        self.copies: dict[str, dict[str, tuple[str, ...]]] = {}
        #: step key -> output -> mapping key (None where the output is not dynamic) -> position in the order of yielding
        self.outputs: dict[str, dict[str, dict[str | None, int]]] = {}
        places: dict[str, list[list[DagsterEvent]]] = {}
        for event in events:
            self.by_type[event.event_type_value].append(event)
            key = event.step_key
            if key is None or event.event_type_value not in _STEP_EVENTS:
                continue
            place = places.get(key)
            if place is None:
                place = places[key] = self._make_place(key)
            for node_events in place:
                node_events.append(event)
            data = event.event_specific_data
            if isinstance(data, StepOutputData):
                branches = self.outputs.setdefault(key, {}).setdefault(data.output_name, {})
                branches.setdefault(data.mapping_key, len(branches))
            elif event.event_type_value == _T.STEP_RESTARTED.value:
                self.outputs.pop(key, None)  # what the attempt before had yielded does not count

    def _make_place(self, step_key: str) -> list[list[DagsterEvent]]:
        path, mapping_keys = names.split_step_key(step_key)
        self.copies.setdefault(path, {})[step_key] = mapping_keys
        parts = path.split(".")
        return [self.by_node.setdefault(".".join(parts[:depth]), []) for depth in range(1, len(parts) + 1)]

    def of_type(self, event_type: DagsterEventType) -> list[DagsterEvent]:
        return self.by_type[event_type.value]

    def steps(self, path: str, scope: Sequence[Wire]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Keys of an op's steps with their mapping keys, in the order in which the fan-outs yielded those."""
        copies = self.copies.get(path, {})
        if not scope:
            yield from copies.items()
            return

        def position(copy: tuple[str, tuple[str, ...]]) -> list[int]:
            keys = copy[1]
            return [
                self.outputs.get(names.step_key(fan.path, keys[:depth]), {}).get(fan.output, {}).get(keys[depth], _LAST)
                for depth, fan in enumerate(scope)
            ]

        yield from sorted(copies.items(), key=position)


class NodeExecutionResult(OlderNodeMembers):
    """What one node of a run gave: an op, or a graph with all that is in it; see `ExecutionResult.result_for_node`."""

    __slots__ = ("_handle", "_node_def", "_path", "_run_result")

    def __init__(
        self,
        run_result: ExecutionResult,
        node_def: Any,
        handle: NodeHandle | None = None,
        path: str = "",
    ) -> None:
        self._run_result = run_result
        self._node_def = node_def
        self._handle = handle
        #: dotted, empty for the whole run
        self._path = path

    @property
    def node_def(self) -> GraphDefinition | OpDefinition:
        """The definition of the op or graph."""
        return self._node_def  # type: ignore[no-any-return]

    @property
    def handle(self) -> NodeHandle | None:
        """Where the node stands in the job; None for the job's own graph."""
        return self._handle

    @property
    def success(self) -> bool:
        """True where no event of the node tells of a failure; so also where it was skipped or never started."""
        return not any(event.is_failure for event in self.event_list)

    @property
    def event_list(self) -> list[DagsterEvent]:
        """The node's step events, in the order of emission."""
        return self._run_result.events_for_node(self._path)

    @property
    def output_values(self) -> dict[str, Any]:
        """The values by output name; outputs that were not produced are left out.

        An output with many values (dynamic, or of a mapped op) is a dict by mapping key, as in `output_for_node`.
        """
        values = ((name, self._value(name)) for name in self._node_def.output_dict)
        return {name: value for name, value in values if value is not MISSING}

    def output_value(self, output_name: str = DEFAULT_OUTPUT) -> Any:
        """The value of one output. Where it was not produced: of an op `{}`, of a graph DagsterInvariantViolationError.

        Raises DagsterInvariantViolationError for a name that the node does not have.
        """
        outputs = self._node_def.output_dict
        if not self._node_def.is_graph:
            self._check_output(output_name)
            value = self._value(output_name)
            return {} if value is MISSING else value
        if not outputs:
            raise DagsterInvariantViolationError(
                f"Attempted to retrieve top-level outputs for '{self._node_def.name}', which has no outputs. Ask "
                f"output_for_node for the output of a node in it. Nodes: {_list(self._node_def.node_dict)}."
            )
        if output_name not in outputs:
            raise DagsterInvariantViolationError(
                f"Could not find top-level output '{output_name}' in '{self._node_def.name}'."
                f"{names.nearest(output_name, outputs)} Outputs: {_list(outputs)}."
            )
        return self._value_or_error(output_name)

    def result_for_node(self, name: str) -> NodeExecutionResult:
        """The part of the run below one node of this graph, by the node's name or alias.

        Raises DagsterInvariantViolationError, with the nearest name, where there is no such node.
        """
        nodes: Mapping[str, Any] = self._node_def.node_dict if self._node_def.is_graph else {}
        if name not in nodes:
            raise DagsterInvariantViolationError(
                f"{self._node_def.name} has no op named {name}{self._where()}.{self._advise(name, nodes)}"
            )
        path = f"{self._path}.{name}" if self._path else name
        return NodeExecutionResult(self._run_result, nodes[name].definition, NodeHandle(name, self._handle), path)

    # -- values

    def _checked_value(self, output_name: str) -> Any:
        self._check_output(output_name)
        return self._value_or_error(output_name)

    def _check_output(self, output_name: str) -> None:
        outputs = self._node_def.output_dict
        if output_name not in outputs:
            raise DagsterInvariantViolationError(
                f"{self._node_def.name} has no output named {output_name}{self._where()}."
                f"{names.nearest(output_name, outputs)} Outputs: {_list(outputs)}."
            )

    def _value_or_error(self, output_name: str) -> Any:
        value = self._value(output_name)
        if value is MISSING:
            origin, origin_output = self._origin(output_name)
            raise DagsterInvariantViolationError(self._run_result._explain_missing(origin._path, origin_output))
        return value

    def _value(self, output_name: str) -> Any:
        """The value, MISSING where there is none; where there are many, a dict for each fan-out above it."""
        origin, origin_output = self._origin(output_name)
        is_nothing = origin._node_def.output_dict[origin_output].is_nothing
        found: dict[str, Any] = {}
        for keys, handle in self._run_result._handles(origin._path, origin_output):
            value = None if is_nothing else self._run_result._load(handle)
            if value is MISSING:
                continue
            if not keys:
                return value
            inner = found
            for key in keys[:-1]:
                inner = inner.setdefault(key, {})
            inner[keys[-1]] = value
        return found or MISSING

    def _origin(self, output_name: str) -> tuple[NodeExecutionResult, str]:
        """The op that an output comes from, through the output mappings of graphs in graphs."""
        if not self._node_def.is_graph:
            return self, output_name
        mapping = self._node_def.get_output_mapping(output_name)
        return self.result_for_node(mapping.mapped_node_name)._origin(mapping.mapped_node_output_name)

    # -- texts

    def _where(self) -> str:
        return f' (node "{self._path}" of the job)' if self._path not in ("", self._node_def.name) else ""

    def _advise(self, name: str, nodes: Mapping[str, Any]) -> str:
        if not self._node_def.is_graph:
            return f' "{self._path}" is an op and has no nodes in it.'
        plain, _ = names.split_step_key(name)
        if plain != name and plain in nodes:
            return f' Ask for "{plain}": that gives the values of all its copies, by mapping key.'
        selected = self._run_result.dagster_run.op_selection
        restriction = f" The run was restricted to the op selection {list(selected)}." if selected else ""
        return f"{names.nearest(name, nodes)} Nodes: {_list(nodes)}.{restriction}"

    def __repr__(self) -> str:
        kind = "graph" if self._node_def.is_graph else "op"
        return f'<{type(self).__name__} of {kind} "{self._path}": {len(self.event_list)} events>'


class ExecutionResult(OlderRunMembers):
    """What a run gave. A subclass says how the value of an output is got; all else is looked up in the run's events.

    Nodes are named as in the job, those inside graphs by dotted paths (`outer.inner`); a graph's name stands for all that
    is in it, the plain name of a mapped op for all its copies.
    """

    def __init__(
        self, job_def: JobDefinition, run: DagsterRun, events: list[DagsterEvent], instance: Any = None
    ) -> None:
        self._job_def = job_def
        self._run = run
        self._events = events
        self._instance = instance

    def _load(self, handle: StepOutputHandle) -> Any:
        """The value of an output that a step yielded and that carries one; MISSING where it was not kept."""
        raise NotImplementedError

    def _explain_missing(self, path: str, output_name: str) -> str:
        """Why an op that is in the job has no value for an output that it declares."""
        return f"No outputs found for output '{output_name}' from node '{path}'. {self._explain_state(path)}"

    @cached_property
    def _index(self) -> _Index:
        return _Index(self._events)

    @property
    def _whole(self) -> NodeExecutionResult:
        # Made anew each time: kept, it would close a cycle, and the values would outlive the result until the next
        # garbage collection.
        return NodeExecutionResult(self, self._job_def.graph)

    def _handles(self, path: str, output_name: str) -> Iterator[tuple[tuple[str, ...], StepOutputHandle]]:
        """Every value that an op yielded for an output, each with the mapping keys that lead to it."""
        index = self._index
        for step_key, mapping_keys in index.steps(path, self._job_def.wiring.ops[path].scope):
            for branch in index.outputs.get(step_key, {}).get(output_name, ()):
                keys = mapping_keys if branch is None else (*mapping_keys, branch)
                yield keys, StepOutputHandle(step_key, output_name, branch)

    # -- the run

    @property
    def success(self) -> bool:
        """True where the run ended as SUCCESS. Hooks that raise and resources that cannot be closed do not count."""
        return self._run.is_success

    @property
    def run_id(self) -> str:
        """The run's id, the text of a UUID."""
        return self._run.run_id

    @property
    def dagster_run(self) -> DagsterRun:
        """The run's record, as it stood at the end."""
        return self._run

    @property
    def job_def(self) -> JobDefinition:
        """The job that ran; with an op selection, what was selected of it."""
        return self._job_def

    @property
    def node_def(self) -> GraphDefinition:
        """The graph of the job that ran."""
        return self._job_def.graph

    @property
    def handle(self) -> NodeHandle | None:
        """Always None: the whole run stands in no graph. The results of its nodes have one."""
        return None

    # -- events

    @property
    def all_events(self) -> list[DagsterEvent]:
        """Every event of the run, in the order of emission; log messages are not among them."""
        return self._events

    event_list = all_events

    @property
    def all_node_events(self) -> list[DagsterEvent]:
        """The step events, node by node in the job's order of nodes."""
        by_node = self._index.by_node
        return [event for name in self._job_def.graph.node_dict for event in by_node.get(name, ())]

    def filter_events(self, event_filter: Callable[[DagsterEvent], object]) -> list[DagsterEvent]:
        """The events that the function says yes to."""
        return [event for event in self._events if event_filter(event)]

    def events_for_node(self, node_name: str) -> list[DagsterEvent]:
        """The step events of a node, in the order of emission; empty for a node that never started or does not exist."""
        return list(self._index.by_node.get(node_name, ()))

    def compute_events_for_handle(self, handle: NodeHandle) -> list[DagsterEvent]:
        """The step events of the node that a handle leads to."""
        return self.events_for_node(str(handle))

    def _has(self, node_name: str, event_type: DagsterEventType) -> bool:
        events = self._index.by_node.get(node_name, ())
        return any(event.event_type_value == event_type.value for event in events)

    def is_node_success(self, node_name: str) -> bool:
        """True where some step of the node succeeded and none failed."""
        return self._has(node_name, _T.STEP_SUCCESS) and not self.is_node_failed(node_name)

    def is_node_failed(self, node_name: str) -> bool:
        """True where some step of the node failed."""
        return self._has(node_name, _T.STEP_FAILURE)

    def is_node_skipped(self, node_name: str) -> bool:
        """True where some step of the node was skipped, because an optional output that it needs was not yielded."""
        return self._has(node_name, _T.STEP_SKIPPED)

    def is_node_untouched(self, node_name: str) -> bool:
        """True where no event tells of the node: what it needs failed, or the job has no such node."""
        return node_name not in self._index.by_node

    def is_node_blocked(self, node_name: str) -> bool:
        """True where some step of the node never started because a step that it needs failed."""
        paths = (names.split_step_key(key)[0] for key in self._blocked)
        return any(path == node_name or path.startswith(f"{node_name}.") for path in paths)

    def get_blocked_steps(self) -> dict[str, list[str]]:
        """The steps that a failure kept from running: the key of each, with the keys of the failed steps that it needs.

        A branch of a fan-out that failed is not known; `op[?]` stands for all of them. Steps that were skipped, or not
        selected, or for which the run was ended too early, are not here.
        """
        return {key: list(causes) for key, causes in self._blocked.items()}

    @cached_property
    def _blocked(self) -> dict[str, list[str]]:
        index = self._index
        begun = {key for copies in index.copies.values() for key in copies}
        return find_blocked(
            self._job_def.wiring.ops,
            begun,
            self.get_failed_step_keys(),
            lambda key, output: index.outputs.get(key, {}).get(output, {}),
        )

    def retry_attempts_for_node(self, node_name: str) -> int:
        """How often steps of the node were tried again: 2 where the third attempt succeeded."""
        return sum(event.is_step_restarted for event in self._index.by_node.get(node_name, ()))

    def failure_data_for_node(self, node_name: str) -> StepFailureData | None:
        """The payload of the node's first STEP_FAILURE; None where it has none."""
        for event in self._index.by_node.get(node_name, ()):
            if event.is_step_failure:
                return event.step_failure_data  # type: ignore[no-any-return]
        return None

    def _user_events(self, node_name: str, event_type: DagsterEventType, read: Callable[[Any], _D]) -> list[_D]:
        events = self._index.by_node.get(node_name, ())
        return [read(event.event_specific_data) for event in events if event.event_type_value == event_type.value]

    def asset_materializations_for_node(self, node_name: str) -> list[AssetMaterialization]:
        """What the node materialised."""
        return self._user_events(node_name, _T.ASSET_MATERIALIZATION, lambda data: data.materialization)

    def asset_observations_for_node(self, node_name: str) -> list[AssetObservation]:
        """What the node observed."""
        return self._user_events(node_name, _T.ASSET_OBSERVATION, lambda data: data.asset_observation)

    def expectation_results_for_node(self, node_name: str) -> list[ExpectationResult]:
        """What the node checked."""
        return self._user_events(node_name, _T.STEP_EXPECTATION_RESULT, lambda data: data.expectation_result)

    def get_asset_materialization_events(self) -> list[DagsterEvent]:
        """Every ASSET_MATERIALIZATION."""
        return list(self._index.of_type(_T.ASSET_MATERIALIZATION))

    def get_asset_observation_events(self) -> list[DagsterEvent]:
        """Every ASSET_OBSERVATION."""
        return list(self._index.of_type(_T.ASSET_OBSERVATION))

    def get_asset_materialization_planned_events(self) -> list[DagsterEvent]:
        """Every ASSET_MATERIALIZATION_PLANNED; jobs of ops have none."""
        return list(self._index.of_type(_T.ASSET_MATERIALIZATION_PLANNED))

    def get_asset_check_evaluations(self) -> list[Any]:
        """The payload of every ASSET_CHECK_EVALUATION; jobs of ops have none."""
        return [event.event_specific_data for event in self._index.of_type(_T.ASSET_CHECK_EVALUATION)]

    def get_step_success_events(self) -> list[DagsterEvent]:
        """Every STEP_SUCCESS."""
        return list(self._index.of_type(_T.STEP_SUCCESS))

    def get_step_skipped_events(self) -> list[DagsterEvent]:
        """Every STEP_SKIPPED."""
        return list(self._index.of_type(_T.STEP_SKIPPED))

    def get_step_failure_events(self) -> list[DagsterEvent]:
        """Every STEP_FAILURE."""
        return list(self._index.of_type(_T.STEP_FAILURE))

    def get_failed_step_keys(self) -> set[str]:
        """The keys of the steps that failed."""
        return {event.step_key for event in self._index.of_type(_T.STEP_FAILURE) if event.step_key is not None}

    def get_resource_teardown_errors(self) -> dict[str, SerializableErrorInfo]:
        """The resources that could not be closed, by key, each with its error. The run may have succeeded all the same."""
        found = {}
        for event in self._index.of_type(_T.ENGINE_EVENT):
            data = event.event_specific_data
            if isinstance(data, EngineEventData) and data.error is not None and TEARDOWN_KEY in data.metadata:
                found[str(data.metadata[TEARDOWN_KEY].value)] = data.error
        return found

    def get_run_success_event(self) -> DagsterEvent:
        """The run's RUN_SUCCESS; DagsterError where there is none."""
        return self._only_event(_T.RUN_SUCCESS)

    def get_run_failure_event(self) -> DagsterEvent:
        """The run's RUN_FAILURE; DagsterError where there is none."""
        return self._only_event(_T.RUN_FAILURE)

    get_job_success_event = get_run_success_event
    get_job_failure_event = get_run_failure_event

    def _only_event(self, event_type: DagsterEventType) -> DagsterEvent:
        for event in self._index.of_type(event_type):
            return event
        raise DagsterError(
            f'No event of type {event_type.name} found: the run {self.run_id} of "{self._run.job_name}" stands at '
            f"{self._run.status.name}. Look at `success` before asking for the event."
        )

    # -- values

    def output_for_node(self, node_str: str, output_name: str = DEFAULT_OUTPUT) -> Any:
        """The value of one output of a node, as the op gave it.

        An output with many values is a dict: of a dynamic output by its mapping keys, of a mapped op by the mapping keys of
        its copies, both in the order in which the fan-out yielded them. Copies that gave no value are left out. With
        fan-outs in fan-outs the dicts are nested, the outermost fan-out's keys outside: `op[a][b]` is `{"a": {"b": ...}}`.

        Raises DagsterInvariantViolationError for an unknown node or output, with the nearest name, and where the output was
        not produced, with the reason.
        """
        node = self._whole
        for name in node_str.split("."):
            node = node.result_for_node(name)
        return node._checked_value(output_name)

    def output_value(self, output_name: str = DEFAULT_OUTPUT) -> Any:
        """The value of one output of the graph that ran; many values are a dict, as in `output_for_node`.

        Raises DagsterInvariantViolationError where the graph has no outputs (as every `@job`), has none of this name, or
        did not produce it.
        """
        return self._whole.output_value(output_name)

    @property
    def output_values(self) -> dict[str, Any]:
        """The values of the graph's outputs by name; those that were not produced are left out."""
        return self._whole.output_values

    def result_for_node(self, name: str) -> NodeExecutionResult:
        """The part of the run below one node of the job; DagsterInvariantViolationError for an unknown name."""
        return self._whole.result_for_node(name)

    if not TYPE_CHECKING:  # a type checker knows what there is, and would take this for leave to ask for anything

        def __getattr__(self, name: str) -> NoReturn:
            is_ours = name.startswith("_")
            near = "" if is_ours else names.nearest(name, (each for each in dir(type(self)) if each[0] != "_"))
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}.{near}")

    # -- texts

    def _explain_state(self, path: str) -> str:
        failure = self.failure_data_for_node(path)
        if failure is not None:
            error = failure.error.cause or failure.error if failure.error is not None else None
            return f"It failed: {error.message.strip()}" if error is not None else "It failed."
        if self.is_node_skipped(path):
            return "It was skipped: an optional output that it needs was not yielded."
        if not self.is_node_untouched(path):
            return "It ended without yielding it." if self.is_node_success(path) else "It was begun and did not end."
        causes = sorted(
            {cause for key, found in self._blocked.items() if names.split_step_key(key)[0] == path for cause in found}
        )
        if causes:
            return f"It never started, since steps that it needs failed: {_list(causes)}."
        scope = self._job_def.wiring.ops[path].scope
        return f'It is mapped over "{scope[-1].path}", which yielded nothing.' if scope else "It never started."

    def __repr__(self) -> str:
        index = self._index
        ended = {"succeeded": _T.STEP_SUCCESS, "failed": _T.STEP_FAILURE, "skipped": _T.STEP_SKIPPED}
        counts = {state: len(index.of_type(event_type)) for state, event_type in ended.items()}
        counts["not ended"] = sum(map(len, index.copies.values())) - sum(counts.values())
        counts["never started"] = len(self._job_def.wiring.ops.keys() - index.copies.keys())
        steps = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
        return f'<{type(self).__name__} of job "{self._run.job_name}", run {self.run_id}: {self._run.status.name}; steps: {steps}>'


class ExecuteInProcessResult(ExecutionResult):
    """What `execute_in_process` gives; the values are the objects that the ops yielded, as they were before any IO manager."""

    def __init__(
        self,
        job_def: JobDefinition,
        run: DagsterRun,
        events: list[DagsterEvent],
        outputs: Mapping[tuple[str, str, str | None], object],
        instance: Any = None,
    ) -> None:
        super().__init__(job_def, run, events, instance)
        #: by step key, output name, mapping key
        self._outputs = outputs

    def _load(self, handle: StepOutputHandle) -> Any:
        return self._outputs.get((handle.step_key, handle.output_name, handle.mapping_key), MISSING)

    def asset_value(self, asset_key: AssetKey | str | Sequence[str]) -> Any:
        """Always CheckError: jobs of ops have no assets. Ask `output_for_node`."""
        raise CheckError(
            f'asset_value: the job "{self._run.job_name}" has no asset with the key '
            f"{AssetKey.from_coercible(asset_key).to_user_string()!r}. A job of ops has none; ask output_for_node for the "
            f"output of an op."
        )


def _list(items: Sequence[str] | Mapping[str, Any]) -> str:
    shown = list(items)[:20]
    return (", ".join(shown) or "none") + (f", ... ({len(items)} in all)" if len(items) > len(shown) else "")
