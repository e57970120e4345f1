"""execute_in_process, execute_job, re-execute: wiring only

What a user calls to run a job. Each checks what only it can be given, has the run prepared, drives it, and makes the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from treadle import later
from treadle.definitions.job import JobDefinition
from treadle.errors import DagsterInvariantViolationError, ParameterCheckError
from treadle.events import DagsterEvent
from treadle.instance import DagsterInstance
from treadle.job_results import JobExecutionResult
from treadle.lineage import ReexecutionOptions
from treadle.preparation import NO_OPTIONS, Conduct, JobRun, conclude, set_up, set_up_again, set_up_stored
from treadle.preparation import RunOptions as RunOptions
from treadle.recipes import ReconstructableJob
from treadle.results import ExecuteInProcessResult
from treadle.resumption import find_result
from treadle.targets import refuse_while_importing


def execute_in_process(
    job: JobDefinition, run_config: Any = None, options: RunOptions = NO_OPTIONS, *, raise_on_error: bool = True
) -> ExecuteInProcessResult:
    """Run a job in this process and wait; see JobDefinition.execute_in_process."""
    setup = set_up(job, run_config, options)
    instance = options.instance or DagsterInstance.ephemeral()
    run = JobRun.begin(setup, instance, Conduct(raise_on_error, captures=True))
    events = list(run.events())
    if raise_on_error:
        run.raise_error()
    run.raise_signal()
    return ExecuteInProcessResult(setup.job, run.ended_run(), events, run.place.captured or {}, instance)


def iterate_in_process(
    job: JobDefinition, run_config: Any = None, options: RunOptions = NO_OPTIONS, *, raise_on_error: bool = False
) -> Iterator[DagsterEvent]:
    """Run a job in this process; yields its events as they happen, each after it was logged.

    Closing the iterator early ends the run. Everything is checked before this returns, not at the first event.
    """
    setup = set_up(job, run_config, options)
    # nobody asks an iterator for values: each is let go when no step needs it
    run = JobRun.begin(setup, options.instance or DagsterInstance.ephemeral(), Conduct(raise_on_error))

    def follow() -> Iterator[DagsterEvent]:
        yield from run.events()
        if raise_on_error:
            run.raise_error()

    return follow()


def execute_job(
    job: ReconstructableJob,
    instance: DagsterInstance,
    run_config: Any = None,
    tags: Mapping[str, Any] | None = None,
    raise_on_error: bool = False,
    op_selection: Sequence[str] | None = None,
    reexecution_options: ReexecutionOptions | None = None,
    asset_selection: Any = None,
    *,
    run_id: str | None = None,
) -> JobExecutionResult:
    """Run a job on an instance that lasts, with the executor that the job or its config asks for, and wait.

    `job` is what `reconstructable` gives, so that another process can make the job again. Values go through the job's IO
    managers; read them from the result in a `with` block. With `reexecution_options` steps of an earlier run are run again,
    and what the others gave is taken from there; config and tags are then those of that run where none are given.

    `run_id` makes the call idempotent: where there is a run of this id already, and it was of the same job and config,
    nothing is run twice. A finished one gives its result, an interrupted one is resumed, one that is under way is a
    RunOwnedError.

    Raises DagsterInvalidConfigError, with every mistake at once, before anything runs, and with `raise_on_error` what made
    the run fail.
    """
    check_recipe(job, "execute_job")
    refuse_while_importing("execute_job")
    if not isinstance(instance, DagsterInstance):
        raise ParameterCheckError(
            f'execute_job: Param "instance" is not a DagsterInstance. Got {instance!r}. Give DagsterInstance.get(), or '
            f"instance_for_test() in a test."
        )
    later.refuse_given("execute_job", asset_selection=asset_selection)
    if op_selection is not None and reexecution_options is not None:
        raise DagsterInvariantViolationError(
            "execute_job: op_selection and reexecution_options cannot be used together. The steps of a re-execution are "
            "chosen by its own step_selection."
        )
    if run_id is not None:
        found = find_result(job, instance, run_id, run_config, op_selection, raise_on_error=raise_on_error)
        if found is not None:
            return found
    options = RunOptions(instance, op_selection, run_id, tags=tags)
    if reexecution_options is not None:
        setup = set_up_again(job, run_config, options, reexecution_options)
    else:
        setup = set_up_stored(job, run_config, options)
    return conclude(JobRun.begin(setup, instance, Conduct(raise_on_error)), raise_on_error=raise_on_error)


def check_recipe(job: object, where: str) -> None:
    """Refuse a job that is not given as a recipe: ParameterCheckError."""
    if not isinstance(job, ReconstructableJob):
        raise ParameterCheckError(
            f'{where}: Param "job" is not a ReconstructableJob. Got {job!r}. Write {where}(reconstructable(my_job), ...), or '
            f"use my_job.execute_in_process()."
        )
