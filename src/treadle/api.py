"""execute_in_process, execute_job, re-execute: wiring only

The way from a job and a run config to a result: config is checked, the plan is made, the run is recorded, the driver
drives. Each step of that way lives elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from treadle import later
from treadle.contexts import InitLoggerContext, RunFacts
from treadle.definitions import run_config as run_config_module
from treadle.definitions.compose import read_tags
from treadle.definitions.io_managers import mem_io_manager
from treadle.definitions.job import JobDefinition
from treadle.definitions.ports import DEFAULT_IO_MANAGER_KEY
from treadle.definitions.run_config import ResolvedConfig
from treadle.engine.driver import Driver
from treadle.engine.machine import Machine
from treadle.engine.workplace import Workplace
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    ParameterCheckError,
    hide_own_frames,
)
from treadle.events import DagsterEvent, EventLogEntry
from treadle.executors.local import InProcessExecutor
from treadle.instance import DagsterInstance
from treadle.logs import RunLog
from treadle.names import nearest
from treadle.plan.compile import compile_plan
from treadle.results import ExecuteInProcessResult
from treadle.runs import DagsterRun, check_run_id, make_run_id


class InProcessRun:
    """One run in this process: everything is there before the first event, `events` drives it."""

    def __init__(
        self, setup: Setup, instance: DagsterInstance, *, raise_on_error: bool, is_quiet: bool = False
    ) -> None:
        job, run = setup.job, setup.run
        plan = compile_plan(job)
        self.job = job
        self.instance = instance
        self.run = instance.add_run(run)

        def record(level: int, text: str, step_key: str | None, extra: Mapping[str, Any] | None) -> None:
            instance.record_message(run.run_id, level, text, step_key, (extra or {}).get("exc_text"))

        loggers = _make_loggers(job, setup.config, run.run_id, is_quiet)
        log = RunLog(run.run_id, job.name, loggers, record, run.tags)
        self.place = Workplace(RunFacts(run, job, instance, log), plan, setup.config, setup.input_values)
        self.driver = Driver(
            Machine(plan, limit=1, stops_at_failure=raise_on_error),
            InProcessExecutor(self.place),
            log,
            instance.recorder(run.run_id),
            lambda: instance.get_status(run.run_id),
        )
        self.place.announce = self.driver.hear

    def events(self) -> Iterator[DagsterEvent]:
        """Drive the run; yields each event after it was logged."""
        return self.driver.drive()

    def raise_error(self) -> None:
        """Raise what made the run fail, as its author raised it."""
        error = self.place.interrupt or self.driver.error or self.place.first_error
        if error is not None:
            raise hide_own_frames(error)

    def result(self, events: list[DagsterEvent]) -> ExecuteInProcessResult:
        """The result, with the run's record as it stands now."""
        run = self.instance.get_run_by_id(self.run.run_id) or self.run
        return ExecuteInProcessResult(self.job, run, events, self.place.captured or {}, self.instance)


class Setup(NamedTuple):
    """A run that was checked and can be started."""

    job: JobDefinition
    config: ResolvedConfig
    run: DagsterRun
    input_values: Mapping[str, Any]


class RunOptions(NamedTuple):
    """What a caller may say about a run besides its config; see JobDefinition.execute_in_process."""

    instance: DagsterInstance | None = None
    op_selection: Sequence[str] | None = None
    run_id: str | None = None
    input_values: Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None
    resources: Mapping[str, Any] | None = None
    #: comes later, and is refused
    partition_key: str | None = None


_NO_OPTIONS = RunOptions()


def execute_in_process(
    job: JobDefinition, run_config: Any = None, options: RunOptions = _NO_OPTIONS, *, raise_on_error: bool = True
) -> ExecuteInProcessResult:
    """Run a job in this process and wait; see JobDefinition.execute_in_process."""
    setup = _set_up(job, run_config, options)
    run = InProcessRun(setup, options.instance or DagsterInstance.ephemeral(), raise_on_error=raise_on_error)
    events = list(run.events())
    if raise_on_error:
        run.raise_error()
    return run.result(events)


def iterate_in_process(
    job: JobDefinition,
    run_config: Any = None,
    options: RunOptions = _NO_OPTIONS,
    *,
    raise_on_error: bool = False,
    is_quiet: bool = False,
    on_message: Callable[[EventLogEntry], Any] | None = None,
) -> Iterator[DagsterEvent]:
    """Run a job in this process; yields its events as they happen, each after it was logged.

    Closing the iterator early ends the run. `on_message` is called with each message that user code logs; `is_quiet`
    leaves out the console logger that a job has by default. Everything is checked before this returns, not at the first event.
    """
    setup = _set_up(job, run_config, options)
    instance = options.instance or DagsterInstance.ephemeral()
    run = InProcessRun(setup, instance, raise_on_error=raise_on_error, is_quiet=is_quiet)
    run.place.captured = None  # nobody asks an iterator for values: each is let go when no step needs it
    if on_message is not None:

        def listen(entry: EventLogEntry) -> None:
            if entry.dagster_event is None:
                on_message(entry)

        instance.add_event_listener(setup.run.run_id, listen)

    def follow() -> Iterator[DagsterEvent]:
        yield from run.events()
        if raise_on_error:
            run.raise_error()

    return follow()


def _set_up(job: JobDefinition, run_config: Any, options: RunOptions) -> Setup:
    """Check everything that a caller gave, before anything runs."""
    what = f'job "{job.name}"'
    later.refuse_given(f"{what}: execute_in_process", partition_key=options.partition_key)
    selection, instance, run_id, tags = options.op_selection, options.instance, options.run_id, options.tags
    if selection is not None and (isinstance(selection, str) or not isinstance(selection, Sequence)):
        raise ParameterCheckError(f'{what}: Param "op_selection" is not a list of str. Got {selection!r}.')
    if instance is not None and not isinstance(instance, DagsterInstance):
        raise ParameterCheckError(f'{what}: Param "instance" is not a DagsterInstance. Got {instance!r}.')
    values = _read_input_values(job, options.input_values)
    if selection:
        job = job.get_subset(op_selection=selection)
    job = _in_process_job(job, options.resources)
    job.check_resources()
    config = run_config_module.resolve(job, run_config, ignores_execution=True, given_inputs=values)
    _check_values_given(job, config, values)
    run = DagsterRun(
        job_name=job.name,
        run_id=check_run_id(run_id) if run_id is not None else make_run_id(),
        run_config=config.given,
        op_selection=sorted(job.op_selection) if job.op_selection else None,
        resolved_op_selection=job.resolved_op_selection,
        tags={**job.run_tags, **read_tags(tags, what)} if tags else job.run_tags,
    )
    return Setup(job, config, run, values)


def _read_input_values(job: JobDefinition, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    for name in given or ():
        if name not in job.graph.input_dict:
            raise DagsterInvalidDefinitionError(
                f'job "{job.name}": input_values has "{name}", but the job has no top-level input of that name.'
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
    """The loggers of a run: those named in run config, else the console for a job that defines none."""
    chosen = config.loggers
    if chosen is None:
        if job.has_specified_loggers or is_quiet:
            return []
        chosen = {"console": {"log_level": "DEBUG", "name": "dagster"}}
    made = []
    for key, logger_config in chosen.items():
        definition = job.loggers[key]
        try:
            made.append(definition.make(InitLoggerContext(logger_config, definition, job, run_id), key))
        except CheckError as error:
            raise DagsterInvalidDefinitionError(f'job "{job.name}": {error}') from error
    return made
