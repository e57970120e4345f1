"""JobExecutionResult: what execute_job gives back, with values read from where the run has stored them.

Made by api for a run that has ended; values are read while the result is open as a context manager. It never changes
the run, and adds nothing to its log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from treadle.engine.stored import StoredValues
from treadle.errors import DagsterInvariantViolationError
from treadle.events import DagsterEvent
from treadle.plan.model import split_step_key
from treadle.results import ExecutionResult

if TYPE_CHECKING:
    from types import TracebackType

    from treadle.definitions.job import JobDefinition
    from treadle.instance import DagsterInstance
    from treadle.payloads import StepOutputHandle
    from treadle.runs import DagsterRun


class JobExecutionResult(ExecutionResult):
    """What `execute_job` gives. Events and how steps went can be asked for at any time; for the values of outputs open it:
    `with execute_job(...) as result:`. They are loaded through their IO managers, each opened with its first value.
    """

    def __init__(
        self,
        job_def: JobDefinition,
        run: DagsterRun,
        events: list[DagsterEvent],
        instance: DagsterInstance,
        open_values: Callable[[], StoredValues],
    ) -> None:
        super().__init__(job_def, run, events, instance)
        self._open_values = open_values
        self._values: StoredValues | None = None

    def __enter__(self) -> JobExecutionResult:
        if self._values is None:
            self._values = self._open_values()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        values, self._values = self._values, None
        if values is not None:
            values.close()

    def _load(self, handle: StepOutputHandle) -> Any:
        return self._check_open().load(handle)

    def _check_open(self) -> StoredValues:
        if self._values is None:
            raise DagsterInvariantViolationError(
                f"Values of the run {self.run_id} cannot be read: the result must be opened as a context manager: "
                f"with execute_job(...) as result: result.output_for_node(...)."
            )
        return self._values

    def output_for_node(self, node_str: str, output_name: str = "result") -> Any:
        """The value of one output of a node, loaded through its IO manager; shaped as in `ExecuteInProcessResult`.

        Raises DagsterInvariantViolationError outside of a `with` block, for an unknown node or output, and for a step that
        this run did not run.
        """
        self._check_open()
        return super().output_for_node(node_str, output_name)

    def output_value(self, output_name: str = "result") -> Any:
        """The value of one output of the graph that ran; DagsterInvariantViolationError outside of a `with` block."""
        self._check_open()
        return super().output_value(output_name)

    def _explain_missing(self, path: str, output_name: str) -> str:
        run = self.dagster_run
        keys = run.step_keys_to_execute
        if keys is not None and all(split_step_key(key)[0] != path for key in keys):
            state = (
                f"This run has executed steps of another run again, and {path} was not among them: {', '.join(keys)}. What it gave "
                f"is in the run {run.parent_run_id}, or in those that it follows."
            )
        else:
            state = self._explain_state(path)
        return f"Did not find result {output_name} in node {path}. {state}"
