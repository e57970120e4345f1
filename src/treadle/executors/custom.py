"""Executors of users' own: from a function under `@executor` to what it returns, checked.

What goes wrong in that ends the run before any step, as what goes wrong when an executor gets ready does.
"""

from __future__ import annotations

from collections.abc import Iterator

from treadle.checks import show
from treadle.definitions.executors import Execution, ExecutorDefinition
from treadle.definitions.job import JobDefinition
from treadle.engine import driver
from treadle.errors import DagsterInvariantViolationError
from treadle.events import DagsterEvent
from treadle.executors import requirements
from treadle.executors.beside import Executor, InitExecutorContext
from treadle.instance import DagsterInstance
from treadle.runs import DagsterRun

#: what the driver asks of an executor
_ASKED = (
    "announce", "close", "failure", "has_room", "interrupt", "launch", "next_event", "open", "stamp", "starts_in_place",
)  # fmt: skip


class Unmade(Executor):
    """In place of an executor that could not be made."""

    def __init__(self, context: InitExecutorContext, error: Exception) -> None:
        super().__init__(context)
        self._error = error

    def open(self) -> Iterator[DagsterEvent]:
        """Ends the run."""
        raise driver.RunEnd(self._error)

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """There is nothing to close."""
        return iter(())


def check_requirements(execution: Execution, job: JobDefinition, run: DagsterRun, instance: DagsterInstance) -> None:
    """Refuse a run that lacks what the definition of the executor demands."""
    definition = job.executor_def
    needs = definition.get_requirements(execution.options)
    if needs:
        what = f'to run on the executor "{definition.name}", whose steps other processes run'
        requirements.check(needs, (what, "or give the job another executor"), job, run, instance)


def make_own(definition: ExecutorDefinition, context: InitExecutorContext) -> driver.Executor:
    """What the function of a user's executor returns."""
    try:
        if definition.executor_creation_fn is None:
            raise DagsterInvariantViolationError(
                f'The executor "{definition.name}" has no function that makes it. Give ExecutorDefinition an '
                f"executor_creation_fn, or use @executor."
            )
        made: driver.Executor = definition.executor_creation_fn(context)
        _check(made, definition.name)
    except Exception as error:  # noqa: BLE001 - of the user's function: it is how the run ends
        return Unmade(context, error)
    return made


def _check(made: object, name: str) -> None:
    missing = [each for each in _ASKED if not hasattr(made, each)]
    if not missing:
        return
    hint = ""
    if hasattr(made, "execute"):
        hint = " Treadle does not hand over a whole run to `execute`: it asks for one step after another."
    raise DagsterInvariantViolationError(
        f'@executor "{name}" returned {show(made)} (a {type(made).__name__}), which is no Executor: it has no '
        f"{', '.join(missing)}.{hint} Derive its class from treadle.Executor."
    )
