"""resume_run: go on with a run whose process died, where its log ends.

Takes the run's lease first, so that of several that try exactly one goes on; then makes the job again and compares it
with the one that the run began with. What is run after that is the machine's business, as for any run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from treadle import codec, lineage
from treadle.checks import check_param, show
from treadle.definitions.artifacts import sweep
from treadle.definitions.io_managers import mem_io_manager
from treadle.definitions.job import JobDefinition
from treadle.definitions.run_config import ResolvedConfig
from treadle.engine.holdings import Holdings, is_in_memory
from treadle.engine.machine import Machine
from treadle.engine.stored import StoredValues
from treadle.errors import (
    DagsterInvariantViolationError,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    ParameterCheckError,
)
from treadle.events import DagsterEvent
from treadle.executors.custodian import path_of, rescue_run
from treadle.instance import DagsterInstance
from treadle.introspect import MISSING
from treadle.job_results import JobExecutionResult
from treadle.names import split_step_key
from treadle.plan.compile import compile_plan
from treadle.plan.model import Past
from treadle.plan.past import fold
from treadle.plan.snapshot import compare_plans, describe_plan
from treadle.preparation import Conduct, JobRun, Setup, check_config, conclude, execution_of, prepare_in_process
from treadle.recipes import ReconstructableJob
from treadle.runs import DagsterRun, check_run_id
from treadle.storage import presence


class Resumption(NamedTuple):
    """A run that goes on: what is to be driven, and its log so far."""

    run: JobRun
    before: Sequence[DagsterEvent]


def resume_run(
    run_id: str,
    *,
    instance: DagsterInstance,
    job: JobDefinition | ReconstructableJob | None = None,
    input_values: Mapping[str, Any] | None = None,
    force: bool = False,
    raise_on_error: bool = False,
) -> JobExecutionResult:
    """Go on with a run whose process died, after its last committed event, and wait for its end.

    It stays the same run, with the same id and log. Steps that have succeeded are not run again; one that was under way is
    told as interrupted and tried again, or has failed where its op says `resume="fail"`. The job is made as it was made for
    the run; give `job` where the run was started from an object that no other process can find. It must be the job that the
    run began with: what differs is told in a DagsterInvariantViolationError, and with `force` it goes on all the same.

    Raises DagsterRunNotFoundError, RunOwnedError where the run is under way or somebody else is resuming it, and
    DagsterInvariantViolationError for a run that has ended or that cannot be gone on with.
    """
    check_param(instance, DagsterInstance, "instance", "resume_run")
    resumption = prepare(run_id, instance, Conduct(raise_on_error), job=job, input_values=input_values, force=force)
    return conclude(resumption.run, raise_on_error=raise_on_error, before=resumption.before)


def find_result(
    job: ReconstructableJob,
    instance: DagsterInstance,
    run_id: str,
    run_config: Any,
    op_selection: Sequence[str] | None,
    *,
    raise_on_error: bool,
) -> JobExecutionResult | None:
    """What a run of this id gave, where there is one: of one that has ended its result, of one whose process died what comes
    of resuming it. Raises DagsterRunAlreadyExists where it is of another job or config, RunOwnedError where it is under way.
    """
    run = instance.get_run_by_id(check_run_id(run_id))
    if run is None:
        return None
    definition = job.get_definition()
    if op_selection:
        definition = definition.get_subset(op_selection=op_selection)
    config = check_config(definition, run_config)
    check_same(run, definition, config)
    if not run.is_finished:
        return resume_run(run_id, instance=instance, job=job, raise_on_error=raise_on_error)
    events = instance.store.read_events(run_id)
    return JobExecutionResult(
        definition, run, events, instance, lambda: StoredValues(definition, config, run, instance)
    )


def check_same(run: DagsterRun, job: JobDefinition, config: ResolvedConfig) -> None:
    """Refuse to take a run for another: DagsterRunAlreadyExists where its job, selection or config is not this one."""
    given = codec.decode_run(
        codec.encode_run(DagsterRun(job_name=job.name, run_id=run.run_id, run_config=config.given)), run.status, {}
    )
    selection = sorted(job.op_selection) if job.op_selection else None
    for what, was, now in (
        ("job", run.job_name, job.name),
        ("op selection", list(run.op_selection or ()) or None, selection),
        ("run config", run.run_config, given.run_config),
    ):
        if was != now:
            at, was_there, is_given = _first_difference(what, was, now)
            raise DagsterRunAlreadyExists(
                f"A run with id {run.run_id} exists already, and it is another: its {at} is {was_there}, and {is_given} was given. "
                f"Give the id only to the run that it belongs to, or leave it out."
            )


def _first_difference(what: str, was: Any, now: Any, way: tuple[str, ...] = ()) -> tuple[str, str, str]:
    """Where two values differ first, as `run config at ops.load`, and what stands there in each."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in {**was, **now}:
            one, other = was.get(key, MISSING), now.get(key, MISSING)
            if one is MISSING or other is MISSING or one != other:
                return _first_difference(what, one, other, (*way, str(key)))
    shown = ["nothing" if value is MISSING else show(value) for value in (was, now)]
    return f"{what} at {'.'.join(way)}" if way else what, shown[0], shown[1]


def prepare(
    run_id: str,
    instance: DagsterInstance,
    conduct: Conduct,
    *,
    job: JobDefinition | ReconstructableJob | None = None,
    input_values: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Resumption:
    """Take a run over, and check that it can go on; see `resume_run`."""
    run = _find(instance, run_id)
    writer = instance.open_writer(run_id)
    try:
        run = _find(instance, run_id)  # whoever had it may have ended it meanwhile
        rescue_run(Path(instance.storage_directory()), run_id)
        setup = _set_up(run, instance, job, input_values or {}, force)
        before = instance.store.read_events(run_id)
        if force:
            setup, resumed = _as_known(setup, before)
        else:
            resumed = before
        _check_values(setup, resumed)
        _check_memory(setup, resumed, Path(instance.storage_directory(), run_id))
        _clear_up(Path(instance.storage_directory(), run_id))
        return Resumption(JobRun(setup, instance, conduct, writer, resumed), before)
    except BaseException:
        writer.close()
        raise


def _clear_up(folder: Path) -> None:
    """Wait for the children of the run's process that died: what was under way is not to be begun again while they are
    still at it. Then delete what they have left half written.
    """
    is_free = presence.wait_until_free(folder)
    sweep(folder, is_deserted=is_free)


def _find(instance: DagsterInstance, run_id: str) -> DagsterRun:
    run = instance.get_run_by_id(run_id)
    if run is None:
        raise DagsterRunNotFoundError(
            f"No run with id {run_id} on this instance ({instance.root_directory}). `treadle runs` lists those that are there; "
            f"TREADLE_HOME names another home.",
            invalid_run_id=run_id,
        )
    if run.is_finished:
        advice = (
            "Execute what is left of it as a run of its own: execute_job(..., "
            "reexecution_options=ReexecutionOptions.from_failure(run_id, instance))."
        )
        raise DagsterInvariantViolationError(
            f"The run {run_id} has ended: it stands at {run.status.value}, so there is nothing to resume."
            f"{'' if run.is_success else ' ' + advice}"
        )
    return run


def _set_up(
    run: DagsterRun, instance: DagsterInstance, job: Any, input_values: Mapping[str, Any], force: bool
) -> Setup:
    definition, is_in_memory = _find_job(run, job)
    if run.op_selection and not definition.is_subset:
        definition = definition.get_subset(op_selection=list(run.op_selection))
    plan = compile_plan(definition)
    if not force:
        _compare(run, instance, describe_plan(definition, plan))
    past = lineage.find_past_again(instance, run)
    if is_in_memory:
        return prepare_in_process(definition, run, plan, input_values)
    config = check_config(definition, run.run_config)
    values = {**definition.input_values, **input_values}
    return Setup(definition, config, run, plan, values, past, execution_of(definition, config))


def _as_known(setup: Setup, before: Sequence[DagsterEvent]) -> tuple[Setup, list[DagsterEvent]]:
    """For another job than the log was written for: what has succeeded is known, whatever else the log says of steps is not
    gone by. Gives the events that are.
    """
    known = fold(setup.run.run_id, before)
    merged = {step.step_key: step for step in setup.past.known} | {
        k: step for k, step in known.items() if step is not None
    }
    past = Past(tuple(merged.values()), setup.past.wanted)
    return setup._replace(past=past), [event for event in before if event.step_key is None]


def _find_job(run: DagsterRun, job: Any) -> tuple[JobDefinition, bool]:
    """The job of a run, and whether the run was one of `execute_in_process`, which has no recipe."""
    if job is None:
        if run.job_code_origin is None:
            raise DagsterInvariantViolationError(
                f'The run {run.run_id} of "{run.job_name}" was started by execute_in_process, so nothing tells how its job is '
                f"made. Give it: resume_run({run.run_id!r}, instance=..., job={run.job_name})."
            )
        return ReconstructableJob.from_dict(run.job_code_origin).get_definition(), False
    if isinstance(job, ReconstructableJob):
        return job.get_definition(), run.job_code_origin is None
    if not isinstance(job, JobDefinition):
        raise ParameterCheckError(f'resume_run: Param "job" is not a JobDefinition or ReconstructableJob. Got {job!r}.')
    return job, run.job_code_origin is None


def _compare(run: DagsterRun, instance: DagsterInstance, now: str) -> None:
    before = instance.store.get_text(run.job_snapshot_id) if run.job_snapshot_id is not None else None
    differences = compare_plans(before, now) if before is not None else []
    if differences:
        listed = "".join(f"\n  {line}" for line in differences[:20])
        more = f"\n  and {len(differences) - 20} more" if len(differences) > 20 else ""
        raise DagsterInvariantViolationError(
            f'The job "{run.job_name}" is not the one that the run {run.run_id} began with:{listed}{more}\nGo back to that job, '
            f"execute the job anew, or go on with the job as it is now: resume_run(..., force=True), treadle resume --force."
        )


def _check_values(setup: Setup, before: Sequence[DagsterEvent]) -> None:
    """Refuse to go on where a step needs a value that was kept in the memory of the process that died."""
    definitions = setup.job.resource_defs
    if mem_io_manager not in definitions.values():
        return
    machine = Machine(setup.plan, past=setup.past)
    machine.recall(before)
    done = {track.step.path for track in machine.tracks.values() if track.produced and track.run_id is None}
    for key in machine.to_do:
        for source in machine.tracks[key].step.upstream:
            port = setup.job.wiring.ops[source.path].definition.output_dict[source.output]
            if source.path not in done or port.is_nothing or definitions.get(port.io_manager_key) is not mem_io_manager:
                continue
            raise DagsterInvariantViolationError(
                f'The run {setup.run.run_id} cannot go on: step "{key}" needs output "{source.output}" of '
                f'"{source.path}", which was kept in memory and went with its process. Execute the job anew; '
                f"for runs that can be resumed use execute_job or `treadle run`, or give the job an io_manager that stores "
                f"values, such as fs_io_manager."
            )


def _check_memory(setup: Setup, before: Sequence[DagsterEvent], folder: Path) -> None:
    """Refuse to go on where a step needs a value that was handed over in memory, and the memory is gone. By now what was there
    is on disk, in the run's folder.
    """
    if not any(is_in_memory(event) for event in before):
        return
    machine = Machine(setup.plan, past=setup.past)
    holdings = Holdings(machine)

    def told() -> Iterator[DagsterEvent]:
        for event in before:
            yield event
            holdings.follow(event)  # the machine has seen it by now

    machine.recall(told())
    lost = {(split_step_key(h.step_key)[0], h.output_name): h for h in holdings.held if not path_of(folder, h).exists()}
    for key in machine.to_do if lost else ():
        for source in machine.tracks[key].step.upstream:
            handle = lost.get((source.path, source.output))
            if handle is not None:
                raise DagsterInvariantViolationError(
                    f'The run {setup.run.run_id} cannot go on: step "{key}" needs output "{handle.output_name}" of '
                    f'"{handle.step_key}", which was handed over in memory (artifacts.hand_over) and went with it: the machine or '
                    f"container was started anew, or this is another one. Execute the job anew, or that step with what is above and below it: "
                    f'ReexecutionOptions({setup.run.run_id!r}, step_selection=["*{source.path}*"]).'
                )
