"""Runs that follow other runs: which steps of a parent run are run again, and what its line knows of the others.

Reads the logs of the line from the instance and has `plan.past` fold them; api comes here for re-executions, and for
going on with one that was interrupted. It starts nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treadle.checks import check_param
from treadle.engine.machine import Machine
from treadle.engine.track import ABANDONED, EXCLUDED
from treadle.errors import CheckError, DagsterExecutionStepNotFoundError, DagsterInvariantViolationError
from treadle.instance import DagsterInstance
from treadle.plan import past
from treadle.plan.model import NO_PAST, Past, Plan, templates_of
from treadle.runs import DagsterRun

PARENT_RUN_TAG = "dagster/parent_run_id"
ROOT_RUN_TAG = "dagster/root_run_id"
RESUME_RETRY_TAG = "dagster/is_resume_retry"


class ReexecutionOptions:
    """Which run `execute_job` executes again, and which of its steps: those that `step_selection` means, else all.

    A selection holds step keys, with the operators of `op_selection`: `["load", "inc[a]+"]`. What the other steps gave is
    taken from the parent run, or from the run that gave it to that one.
    """

    def __init__(self, parent_run_id: str, step_selection: Sequence[str] = ()) -> None:
        check_param(parent_run_id, str, "parent_run_id", "ReexecutionOptions")
        if isinstance(step_selection, str) or not all(isinstance(text, str) for text in step_selection or ()):
            raise CheckError(
                f'ReexecutionOptions: Param "step_selection" is not a list of str. Got {step_selection!r}. Write for example '
                f'["total", "work[a]+"].'
            )
        self.parent_run_id = parent_run_id
        self.step_selection = list(step_selection or ())
        self.is_from_failure = False

    @staticmethod
    def from_failure(run_id: str, instance: DagsterInstance) -> ReexecutionOptions:
        """Run again what did not succeed: the steps that failed, and those that never ran, branches of a map included.

        The run is looked up when it is executed again; it must then have failed, been canceled or been interrupted.
        """
        options = ReexecutionOptions(run_id)
        options.is_from_failure = True
        return options

    def __repr__(self) -> str:
        chosen = "from failure" if self.is_from_failure else f"steps {self.step_selection or 'all'}"
        return f"<ReexecutionOptions of run {self.parent_run_id}: {chosen}>"


def find_parent(instance: DagsterInstance, again: ReexecutionOptions) -> DagsterRun:
    """The run that is to be executed again; CheckError for an unknown one, and for one that cannot be."""
    parent = instance.get_run_by_id(again.parent_run_id)
    if parent is None:
        raise CheckError(
            f"ReexecutionOptions: no run with id {again.parent_run_id} was found on this instance, so it cannot be executed "
            f"again. `treadle runs` lists those of the home, and TREADLE_HOME names another one."
        )
    is_over = parent.is_failure_or_canceled or instance.is_interrupted(parent.run_id)
    if again.is_from_failure and not is_over:
        raise DagsterInvariantViolationError(
            f"Cannot re-execute from failure a run that is not failed or canceled: {parent.run_id} stands at "
            f"{parent.status.value}."
            + ("" if parent.is_finished else " Wait for its end, or go on with it: treadle resume.")
        )
    return parent


def tags_for(parent: DagsterRun, again: ReexecutionOptions) -> dict[str, str | None]:
    """The tags that tell of the line of a run; None takes a tag of the parent away."""
    return {
        PARENT_RUN_TAG: parent.run_id,
        ROOT_RUN_TAG: parent.root_run_id or parent.run_id,
        RESUME_RETRY_TAG: "true" if again.is_from_failure else None,
    }


def find_past(instance: DagsterInstance, parent: DagsterRun, again: ReexecutionOptions, plan: Plan) -> Past:
    """What a re-execution starts from. Raises DagsterExecutionStepNotFoundError for an unknown step in its selection."""
    known = _known_by_line(instance, parent)
    if again.is_from_failure:
        return past.from_failure(plan, known, parent.step_keys_to_execute)
    if again.step_selection:
        return past.from_selection(plan, known, again.step_selection)
    keys = parent.step_keys_to_execute
    return past.from_selection(plan, known, keys) if keys is not None else Past(wanted=frozenset(plan.step_keys))


def find_past_again(instance: DagsterInstance, run: DagsterRun) -> Past:
    """What a re-execution that was interrupted has started from."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id is not None else None
    if run.parent_run_id is None:
        return NO_PAST
    if parent is None:
        raise DagsterInvariantViolationError(
            f"The run {run.run_id} follows the run {run.parent_run_id}, which is not on this instance any more, so what its "
            f"steps gave is not known. Execute the job anew."
        )
    wanted = frozenset(run.step_keys_to_execute or ())
    known = _known_by_line(instance, parent)
    return Past(
        tuple(s for key, s in known.items() if s is not None and not any(f in wanted for f in templates_of(key))),
        wanted,
    )


def _known_by_line(instance: DagsterInstance, parent: DagsterRun) -> past.Known:
    logs = []
    for run_id in _line(instance, parent):
        logs.append(past.fold(run_id, instance.store.read_events(run_id, past.FOLDED)))
    return past.merge(logs)


def _line(instance: DagsterInstance, run: DagsterRun | None) -> Iterator[str]:
    """The ids of a run and of those that it follows, the nearest first; a run that was deleted ends the line."""
    seen: set[str] = set()
    while run is not None and run.run_id not in seen:
        seen.add(run.run_id)
        yield run.run_id
        run = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id is not None else None


def steps_to_run(plan: Plan, what_is_known: Past) -> list[str]:
    """The keys of the steps that a run with this past runs, in the order of the plan.

    Raises DagsterInvariantViolationError where a step needs what nobody knows, or nothing is left to run.
    """
    machine = Machine(plan, past=what_is_known)
    machine.start()
    wanted = what_is_known.wanted
    lost = [track for track in machine.tracks.values() if track.state == ABANDONED and track.key in (wanted or ())]
    if lost:
        track = lost[0]
        missing = sorted(
            {s.path for s in track.step.upstream if machine.tracks.get(s.path, track).state in (EXCLUDED, ABANDONED)}
        )
        raise DagsterInvariantViolationError(
            f'The step "{track.key}" cannot be run: it needs outputs of {missing or "steps"} that no earlier run of the line has '
            f'produced. Select these as well, such as "*{track.key}".'
        )
    keys = machine.to_do
    if wanted is not None and not keys:
        raise DagsterExecutionStepNotFoundError("There is no step left to run.", step_keys=sorted(wanted))
    return keys
