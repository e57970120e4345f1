"""Runs that are checked and can be started: from a job and what a caller gave to a JobRun that is driven.

api and resumption come here. Config is checked, the plan is made, what parent runs know is folded, the run is recorded;
each step of that lives elsewhere. Nothing is run before `JobRun.events` is asked for.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from treadle import later, lineage
from treadle.checks import check_optional
from treadle.contexts import InitLoggerContext, RunFacts
from treadle.definitions import run_config as run_config_module
from treadle.definitions.executors import CHOICE, DASK, IN_PROCESS, NAMED, Execution, read_execution
from treadle.definitions.io_managers import mem_io_manager
from treadle.definitions.job import JobDefinition
from treadle.definitions.loggers import default_loggers
from treadle.definitions.ports import DEFAULT_IO_MANAGER_KEY
from treadle.definitions.repositories import RepositoryDefinition
from treadle.definitions.run_config import ResolvedConfig
from treadle.definitions.shelf import find_shelves
from treadle.definitions.tags import read_tags
from treadle.engine.claims import Claims
from treadle.engine.driver import Driver
from treadle.engine.machine import Machine
from treadle.engine.stored import StoredValues
from treadle.engine.workplace import Workplace
from treadle.errors import (
    CheckError,
    DagsterError,
    DagsterExecutionInterruptedError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterSubprocessError,
    ParameterCheckError,
    TreadleLoggerWarning,
    hide_own_frames,
)
from treadle.events import DagsterEvent
from treadle.executors.choice import (
    check_requirements,
    limit_of,
    make_executor,
    shared_slots_of,
    slots_of,
    start_ahead,
)  # fmt: skip
from treadle.instance import DagsterInstance
from treadle.job_results import JobExecutionResult
from treadle.lineage import ReexecutionOptions
from treadle.logs import RunLog
from treadle.names import nearest
from treadle.plan.compile import compile_plan
from treadle.plan.model import NO_PAST, Past, Plan
from treadle.plan.snapshot import describe_plan
from treadle.recipes import ReconstructableJob
from treadle.runs import DagsterRun, DagsterRunStatus, check_run_id, make_run_id
from treadle.storage.store import RunWriter

if TYPE_CHECKING:
    from treadle.executors.crew import Server


class Setup(NamedTuple):
    """A run that was checked and can be started."""

    job: JobDefinition
    config: ResolvedConfig
    run: DagsterRun
    plan: Plan
    input_values: Mapping[str, Any] = {}
    past: Past = NO_PAST
    execution: Execution = Execution()


class RunOptions(NamedTuple):
    """What a caller may say about a run besides its config; see JobDefinition.execute_in_process."""

    instance: DagsterInstance | None = None
    op_selection: Sequence[str] | None = None
    run_id: str | None = None
    input_values: Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None
    resources: Mapping[str, Any] | None = None
    #: these come later, and are refused
    partition_key: str | None = None
    asset_selection: Any = None


NO_OPTIONS = RunOptions()


class Conduct(NamedTuple):
    """How a run is driven; nothing of it changes what the run does."""

    raise_on_error: bool = False
    #: leaves out the console logger that a job has by default
    is_quiet: bool = False
    #: keeps the value of every output as the op gave it
    captures: bool = False
    #: a signal cancels the run, rather than that it fails by it; the second ends the process
    cancels_at_interrupt: bool = False


class JobRun:
    """One run, driven from this process: everything is there before the first event, `events` drives it.

    `writer` is the right to write its log. With `resumed`, the log of the run so far, it goes on where that ends.
    """

    def __init__(
        self,
        setup: Setup,
        instance: DagsterInstance,
        conduct: Conduct,
        writer: RunWriter,
        resumed: Sequence[DagsterEvent] = (),
        server: Server | None = None,
    ) -> None:
        job, run = setup.job, setup.run
        self.setup = setup
        self.instance = instance
        self._resumed = resumed

        def record(level: int, text: str, step_key: str | None, extra: Mapping[str, Any] | None) -> None:
            writer.append_message(level, text, step_key, (extra or {}).get("exc_text"))

        loggers = _make_loggers(job, setup.config, run.run_id, conduct.is_quiet)
        log = RunLog(run.run_id, job.name, loggers, record, run.tags)
        execution = setup.execution
        self.place = Workplace(
            RunFacts(run, job, instance, log, _repository_finder(run)),
            setup.plan,
            setup.config,
            setup.input_values,
            retries_enabled=execution.retries_enabled,
        )
        if not conduct.captures:
            self.place.captured = None
        if run.step_keys_to_execute is not None:
            self.place.step_keys = list(run.step_keys_to_execute)
        shared = shared_slots_of(job, run, setup.plan, instance)
        limits = slots_of(execution, job, setup.plan, instance.settings.slots)
        executor = make_executor(execution, self.place, server)
        machine = Machine(
            setup.plan,
            # what waits its turn in an executor must not have taken what other runs wait for
            limit=1 if shared is not None and executor.starts_in_place else limit_of(execution),
            # elsewhere other steps are under way when one fails: they are let finish
            stops_at_failure=conduct.raise_on_error and execution.engine == IN_PROCESS,
            past=setup.past,
            needs_success=execution.needs_success,
            limits=limits,
        )
        self.driver = Driver(machine, executor, log, writer, lambda: instance.get_status(run.run_id))
        if shared is not None:
            self.driver.claims = Claims(shared, setup.plan, writer, log)
        self.driver.cancels_at_interrupt = conduct.cancels_at_interrupt
        self.place.announce = self.driver.hear
        # in process values are kept as they are, and on a cluster the memory is another machine's
        is_apart = not conduct.captures and execution.engine != DASK
        if is_apart and instance.is_persistent and instance.settings.hand_over == "memory":
            from treadle.executors.custodian import MemoryCustodian

            self.driver.custodian = MemoryCustodian(self.place, machine)
        if execution.engine == IN_PROCESS:
            self.place.signals.ends_at_second = conduct.cancels_at_interrupt
        if execution.engine == IN_PROCESS or executor.starts_in_place:
            writer.look = self._look

    def _look(self) -> None:
        """Interrupt the run where somebody has asked to cancel it. Executors that wait for others look for themselves."""
        run_id = self.setup.run.run_id
        if self.driver.executor.interrupt is not None:
            return  # another part of the executor has seen it, and a second time would be one too many
        if self.instance.get_status(run_id) is DagsterRunStatus.CANCELING:
            self.driver.writer.look = None
            self.place.signals.interrupt(DagsterExecutionInterruptedError("The run was canceled."))

    @classmethod
    def begin(cls, setup: Setup, instance: DagsterInstance, conduct: Conduct) -> JobRun:
        """Record a new run, and get it ready. What its workers come from is started first, to get ready meanwhile."""
        check_requirements(setup.execution, setup.job, setup.run, instance, setup.plan)
        server = start_ahead(setup.execution, setup.run, setup.plan)
        try:
            setup = setup._replace(run=record_run(setup, instance))
            if instance.is_persistent and find_shelves(storage := Path(instance.storage_directory())):
                from treadle.executors.custodian import clear_dead

                clear_dead(storage)
            writer = instance.open_writer(setup.run.run_id)
            try:
                return cls(setup, instance, conduct, writer, server=server)
            except BaseException:
                writer.close()
                raise
        except BaseException:
            if server is not None:
                server.dismiss()
            raise

    def events(self) -> Iterator[DagsterEvent]:
        """Drive the run; yields each event after it was logged."""
        return self.driver.drive(self._resumed)

    def raise_error(self) -> None:
        """Raise what made the run fail, as its author raised it."""
        driver = self.driver
        error = driver.executor.interrupt or driver.error or self.place.first_error
        if error is None and driver.first_failure is not None:
            # The step failed in another process: what it raised is here as text alone.
            failure: Any = driver.first_failure.event_specific_data
            error = DagsterSubprocessError(
                f"Steps failed: {driver.machine.failed}. The first, in a process of its own:\n{failure.error.to_string()}",
                subprocess_error_infos=[failure.error],
            )
        if error is not None:
            raise hide_own_frames(error)

    def raise_signal(self) -> None:
        """Raise what a signal of the system has interrupted the run with: it was meant for the whole program."""
        error = self.place.signals.signaled
        if error is not None and self.driver.executor.interrupt is not None:
            raise hide_own_frames(error)

    def ended_run(self) -> DagsterRun:
        """The run's record as it stands now."""
        return self.instance.get_run_by_id(self.setup.run.run_id) or self.setup.run

    def result(self, events: list[DagsterEvent]) -> JobExecutionResult:
        """The result, its values read from where the run has stored them."""
        job, config, run, instance = self.setup.job, self.setup.config, self.ended_run(), self.instance
        return JobExecutionResult(job, run, events, instance, lambda: StoredValues(job, config, run, instance))


def conclude(run: JobRun, *, raise_on_error: bool, before: Sequence[DagsterEvent] = ()) -> JobExecutionResult:
    """Drive a run to its end; gives its result, with the events before those that this process adds.

    Raises DagsterExecutionInterruptedError after a signal of the system, whatever `raise_on_error` says.
    """
    events = [*before, *run.events()]
    if raise_on_error:
        run.raise_error()
    run.raise_signal()
    return run.result(events)


def record_run(setup: Setup, instance: DagsterInstance) -> DagsterRun:
    """Keep a new run, and its plan as text where another process may go on with it, to compare with. Gives the run as kept."""
    run = setup.run
    if run.job_code_origin is not None or instance.is_persistent:
        text = describe_plan(setup.job, setup.plan)
        run = msgspec.structs.replace(run, job_snapshot_id=instance.store.put_text(text))
    return instance.add_run(run)


# -- setting up ---------------------------------------------------------------------------------------------------------


def set_up(job: JobDefinition, run_config: Any, options: RunOptions) -> Setup:
    """Check everything that a caller gave, before anything runs; values are kept in memory unless the job says where."""
    what = f'job "{job.name}"'
    later.refuse_given(
        f"{what}: execute_in_process", partition_key=options.partition_key, asset_selection=options.asset_selection
    )
    _check_options(options, what)
    values = _read_input_values(job, options.input_values)
    if options.op_selection:
        job = job.get_subset(op_selection=options.op_selection)
    job = _in_process_job(job, options.resources)
    job.check_resources()
    config = run_config_module.resolve(job, run_config, ignores_execution=True, given_inputs=values)
    _check_values_given(job, config, values)
    run = _make_run(job, config, options)
    plan = compile_plan(job)
    return Setup(job, config, run, plan, values, execution=_execution_in_process(job, config))


def prepare_in_process(job: JobDefinition, run: DagsterRun, plan: Plan, input_values: Mapping[str, Any]) -> Setup:
    """The setup of a run of `execute_in_process` that goes on: the run stays, values are kept in memory as before."""
    values = _read_input_values(job, input_values)
    job = _in_process_job(job, None)
    job.check_resources()
    config = run_config_module.resolve(job, run.run_config, ignores_execution=True, given_inputs=values)
    _check_values_given(job, config, values)
    return Setup(job, config, run, plan, values, execution=_execution_in_process(job, config))


def set_up_stored(job: ReconstructableJob, run_config: Any, options: RunOptions) -> Setup:
    """Check everything that a caller gave, before anything runs; values go through the job's IO managers."""
    definition = job.get_definition()
    _check_options(options, f'job "{definition.name}"')
    if options.op_selection:
        definition = definition.get_subset(op_selection=options.op_selection)
    config = check_config(definition, run_config)
    plan = compile_plan(definition)
    run = msgspec.structs.replace(_make_run(definition, config, options), job_code_origin=job.to_dict())
    execution = execution_of(definition, config)
    return Setup(definition, config, run, plan, definition.input_values, execution=execution)


def set_up_again(job: ReconstructableJob, run_config: Any, options: RunOptions, again: ReexecutionOptions) -> Setup:
    """Check a re-execution: which steps of the parent run are run again, and that what they need is known."""
    instance = options.instance
    assert instance is not None
    parent = lineage.find_parent(instance, again)
    definition = job.get_definition()
    if parent.op_selection and not definition.is_subset:
        definition = definition.get_subset(op_selection=list(parent.op_selection))
    given = parent.run_config if run_config is None else run_config
    config = check_config(definition, given)
    plan = compile_plan(definition)
    past = lineage.find_past(instance, parent, again, plan)
    step_keys = lineage.steps_to_run(plan, past)
    tags = {
        **parent.tags,
        **lineage.tags_for(parent, again),
        **read_tags(options.tags or {}, f'job "{definition.name}"'),
    }
    run = msgspec.structs.replace(
        _make_run(definition, config, options),
        tags={key: value for key, value in tags.items() if value is not None},
        parent_run_id=parent.run_id,
        root_run_id=parent.root_run_id or parent.run_id,
        step_keys_to_execute=step_keys,
        job_code_origin=job.to_dict(),
    )
    return Setup(definition, config, run, plan, definition.input_values, past, execution_of(definition, config))


def check_config(job: JobDefinition, run_config: Any) -> ResolvedConfig:
    """The run config of a job that runs on its own executor; every mistake is told at once, before anything runs."""
    job.check_resources()
    config = run_config_module.resolve(job, run_config, given_inputs=job.input_values)
    _check_values_given(job, config, job.input_values)
    return config


def execution_of(job: JobDefinition, config: ResolvedConfig) -> Execution:
    """What the job's executor, or run config in its place, asks for."""
    return read_execution(job.executor_def.engine if job.has_specified_executor else CHOICE, config.execution)


def _execution_in_process(job: JobDefinition, config: ResolvedConfig) -> Execution:
    """In process nothing is heeded of an executor's config but whether attempts may be tried again."""
    asked: list[Any] = []
    if job.has_specified_executor:
        with contextlib.suppress(DagsterError):  # it may need config that nobody gives here
            asked.append(job.executor_def.process_config(what="executor"))
    execution = config.given.get("execution")
    entry: Any = execution if isinstance(execution, Mapping) else {}
    asked += [entry.get("config"), *(entry.get(name) for name in NAMED)]
    found = [each for each in asked if isinstance(each, Mapping)]
    found += [each[name] for each in list(found) for name in ("config", *NAMED) if isinstance(each.get(name), Mapping)]
    is_disabled = any("disabled" in each["retries"] for each in found if isinstance(each.get("retries"), Mapping))
    return Execution(retries_enabled=not is_disabled)


def _tell_of_loggers(job: JobDefinition) -> None:
    warnings.warn(
        f'The job "{job.name}" has the loggers {sorted(job.loggers)}, but its run config chooses none of them, so this run logs '
        f"to the console alone. Choose some in run config or in the job's own config, such as loggers: "
        f"{{{next(iter(job.loggers))}: {{}}}}.",
        TreadleLoggerWarning,
        stacklevel=5,
    )


def _check_options(options: RunOptions, what: str) -> None:
    selection, instance = options.op_selection, options.instance
    if selection is not None and (isinstance(selection, str) or not isinstance(selection, Sequence)):
        raise ParameterCheckError(f'{what}: Param "op_selection" is not a list of str. Got {selection!r}.')
    check_optional(instance, DagsterInstance, "instance", what)
    check_optional(options.input_values, Mapping, "input_values", what)
    check_optional(options.resources, Mapping, "resources", what)


def _make_run(job: JobDefinition, config: ResolvedConfig, options: RunOptions) -> DagsterRun:
    run_id, tags = options.run_id, options.tags
    return DagsterRun(
        job_name=job.name,
        run_id=check_run_id(run_id) if run_id is not None else make_run_id(),
        run_config=config.given,
        op_selection=sorted(job.op_selection) if job.op_selection else None,
        resolved_op_selection=job.resolved_op_selection,
        tags={**job.run_tags, **read_tags(tags, f'job "{job.name}"')} if tags else job.run_tags,
    )


def _repository_finder(run: DagsterRun) -> Callable[[], RepositoryDefinition] | None:
    origin = run.job_code_origin
    return ReconstructableJob.from_dict(origin).get_repository if origin is not None else None


def _read_input_values(job: JobDefinition, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    for name in given or ():
        if name not in job.graph.input_dict:
            raise DagsterInvalidDefinitionError(
                f'job "{job.name}": input_values has "{name}", but job has no top-level input with that name.'
                f"{nearest(name, job.graph.input_dict)} Inputs: {list(job.graph.input_dict)}."
            )
    return {**job.input_values, **(given or {})}


def _in_process_job(job: JobDefinition, resources: Mapping[str, Any] | None) -> JobDefinition:
    """The job with the caller's resources, its values kept in memory unless it says where."""
    changes = dict(resources or {})
    if job.has_default_io_manager and DEFAULT_IO_MANAGER_KEY not in changes:
        changes[DEFAULT_IO_MANAGER_KEY] = mem_io_manager
    return job.with_top_level_resources(changes) if changes else job


def _check_values_given(job: JobDefinition, config: ResolvedConfig, values: Mapping[str, Any]) -> None:
    for name, port in job.graph.input_dict.items():
        if port.has_default_value or port.is_nothing or port.input_manager_key is not None:
            continue
        if name not in values and name not in config.job_inputs:
            raise DagsterInvalidInvocationError(
                f'job "{job.name}": the top-level input "{name}" has no value and no way of being resolved: its type '
                f"{port.dagster_type.display_name} cannot be loaded from config. Give it with input_values={{{name!r}: "
                f"...}}."
            )


def _make_loggers(job: JobDefinition, config: ResolvedConfig, run_id: str, is_quiet: bool) -> list[Any]:
    """The loggers of a run: those named in run config, else the console."""
    loggers, chosen = job.loggers, config.loggers
    if chosen is None:
        if is_quiet:
            return []
        if job.has_own_loggers:
            _tell_of_loggers(job)
        loggers = default_loggers()
        chosen = {"console": {"log_level": "DEBUG", "name": "dagster"}}
    made = []
    for key, logger_config in chosen.items():
        definition = loggers[key]
        try:
            made.append(definition.make(InitLoggerContext(logger_config, definition, job, run_id), key))
        except CheckError as error:
            raise DagsterInvalidDefinitionError(f'job "{job.name}": {error}') from error
    return made
