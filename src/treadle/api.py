"""execute_in_process, execute_job, re-execute: wiring only

The way from a job and a run config to a result: config is checked, the plan is made, the run is recorded, the driver
drives. Each step of that way lives elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

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
from treadle.errors import CheckError, DagsterInvalidDefinitionError, ParameterCheckError
from treadle.events import DagsterEvent, EventLogEntry
from treadle.executors.local import InProcessExecutor
from treadle.instance import DagsterInstance
from treadle.logs import RunLog
from treadle.names import nearest
from treadle.plan.compile import compile_plan
from treadle.results import ExecuteInProcessResult
from treadle.runs import DagsterRun, check_run_id, make_run_id


class InProcessRun:
    """One run in this process: prepared, then driven, then a result."""

    def __init__(self, job: JobDefinition, config: ResolvedConfig, instance: DagsterInstance, run: DagsterRun) -> None:
        self.job = job
        self.config = config
        self.instance = instance
        self.run = run
        self.place: Workplace | None = None
        self.driver: Driver | None = None

    def prepare(
        self, input_values: Mapping[str, Any], *, raise_on_error: bool, is_quiet: bool = False
    ) -> Iterator[DagsterEvent]:
        """Compile the plan and record the run; gives the iterator that drives it."""
        plan = compile_plan(self.job)
        self.instance.add_run(self.run)
        run_id = self.run.run_id

        def record(level: int, text: str, step_key: str | None, _extra: Mapping[str, Any] | None) -> None:
            self.instance.record_message(run_id, level, text, step_key)

        loggers = [] if is_quiet else _make_loggers(self.job, self.config, run_id)
        log = RunLog(run_id, self.job.name, loggers, record, self.run.tags)
        facts = RunFacts(self.run, self.job, self.instance, log)
        self.place = Workplace(facts, plan, self.config, input_values)
        machine = Machine(plan, limit=1, stops_at_failure=raise_on_error)
        self.driver = Driver(
            machine,
            InProcessExecutor(self.place),
            log,
            self.instance.recorder(run_id),
            lambda: self.instance.get_status(run_id),
        )
        return self.driver.drive()

    def raise_error(self) -> None:
        """Raise what made the run fail, as its author raised it."""
        assert self.place is not None and self.driver is not None
        error = self.place.interrupt or self.driver.error or self.place.first_error
        if error is not None:
            raise error

    def result(self, events: list[DagsterEvent]) -> ExecuteInProcessResult:
        """The result, with the run's record as it stands now."""
        assert self.place is not None
        run = self.instance.get_run_by_id(self.run.run_id) or self.run
        return ExecuteInProcessResult(self.job, run, events, self.place.captured or {}, self.instance)


def execute_in_process(
    job: JobDefinition,
    run_config: Any = None,
    *,
    instance: DagsterInstance | None = None,
    raise_on_error: bool = True,
    op_selection: Sequence[str] | None = None,
    run_id: str | None = None,
    input_values: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> ExecuteInProcessResult:
    """Run a job in this process and wait; see JobDefinition.execute_in_process."""
    run, values = _set_up(job, run_config, instance, op_selection, run_id, input_values, tags, resources)
    events = []
    for event in run.prepare(values, raise_on_error=raise_on_error):
        events.append(event)
    if raise_on_error:
        run.raise_error()
    return run.result(events)


def iterate_in_process(
    job: JobDefinition,
    run_config: Any = None,
    *,
    instance: DagsterInstance | None = None,
    raise_on_error: bool = False,
    op_selection: Sequence[str] | None = None,
    run_id: str | None = None,
    input_values: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    is_quiet: bool = False,
    on_message: Callable[[EventLogEntry], Any] | None = None,
    keeps_files: bool = False,
) -> Iterator[DagsterEvent]:
    """Run a job in this process; yields its events as they happen, each after it was logged.

    Closing the iterator early ends the run. `on_message` is called with each message that user code logs; `is_quiet`
    turns the job's loggers off. Everything is checked before this returns, not at the first event.
    """
    run, values = _set_up(job, run_config, instance, op_selection, run_id, input_values, tags, resources)
    if on_message is not None:

        def listen(entry: EventLogEntry) -> None:
            if entry.dagster_event is None:
                on_message(entry)

        run.instance.add_event_listener(run.run.run_id, listen)
    events = run.prepare(values, raise_on_error=raise_on_error, is_quiet=is_quiet)

    def follow() -> Iterator[DagsterEvent]:
        yield from events
        if raise_on_error:
            run.raise_error()

    return follow()


def _set_up(
    job: JobDefinition,
    run_config: Any,
    instance: DagsterInstance | None,
    op_selection: Sequence[str] | None,
    run_id: str | None,
    input_values: Mapping[str, Any] | None,
    tags: Mapping[str, Any] | None,
    resources: Mapping[str, Any] | None,
) -> tuple[InProcessRun, Mapping[str, Any]]:
    """Check everything that a caller gave, before anything runs."""
    what = f'job "{job.name}"'
    if op_selection is not None and (isinstance(op_selection, str) or not isinstance(op_selection, Sequence)):
        raise ParameterCheckError(f'{what}: Param "op_selection" is not a list of str. Got {op_selection!r}.')
    if op_selection:
        raise DagsterInvalidDefinitionError(f"{what}: op_selection is not supported yet; got {list(op_selection)!r}.")
    if instance is not None and not isinstance(instance, DagsterInstance):
        raise ParameterCheckError(f'{what}: Param "instance" is not a DagsterInstance. Got {instance!r}.')
    values = _read_input_values(job, input_values)
    job = _in_process_job(job, resources)
    job.check_resources()
    config = run_config_module.resolve(job, run_config, ignores_execution=True, given_inputs=values)
    _check_values_given(job, config, values)
    run = DagsterRun(
        job_name=job.name,
        run_id=check_run_id(run_id) if run_id is not None else make_run_id(),
        run_config=config.given,
        tags={**job.run_tags, **read_tags(tags, what)} if tags else job.run_tags,
    )
    return InProcessRun(job, config, instance or DagsterInstance.ephemeral(), run), values


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
        if name not in values and name not in config.job_inputs and not port.has_default_value and not port.is_nothing:
            raise DagsterInvalidDefinitionError(
                f'job "{job.name}": the top-level input "{name}" has no value and no way of being resolved: its type '
                f"{port.dagster_type.display_name} cannot be loaded from config. Give it with input_values={{{name!r}: "
                f"...}}."
            )


def _make_loggers(job: JobDefinition, config: ResolvedConfig, run_id: str) -> list[Any]:
    """The loggers of a run: those named in run config, else the console for a job that defines none."""
    chosen = config.loggers
    if chosen is None:
        if job.has_specified_loggers:
            return []
        chosen = {"console": {"log_level": "DEBUG", "name": "dagster"}}
    made = []
    for key, logger_config in chosen.items():
        definition = job.loggers[key]
        try:
            made.append(definition.make(InitLoggerContext(logger_config, definition, job, run_id), key))
        except CheckError as error:
            raise DagsterInvalidDefinitionError(str(error)) from error
    return made
