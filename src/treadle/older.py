"""Older names: what programs of the API's first years call, each a few lines on top of today's.

Imported when one of these names is asked for, and by nothing of ours. Names that only changed are not here but in the
table of the package root. Nothing may be added that today's names do not do already.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from treadle import api
from treadle.definitions.compose import read_hooks
from treadle.definitions.executors import ExecutorDefinition, in_process_executor, multiprocess_executor
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition, job
from treadle.definitions.loggers import LoggerDefinition
from treadle.definitions.op import OpDefinition, op
from treadle.definitions.ports import InputDefinition, OutputDefinition
from treadle.errors import DagsterInvariantViolationError, ParameterCheckError
from treadle.events import DagsterEvent
from treadle.instance import DagsterInstance
from treadle.job_results import JobExecutionResult
from treadle.lineage import ReexecutionOptions
from treadle.metadata import MetadataValue, normalize_value
from treadle.names import nearest
from treadle.preparation import Conduct, JobRun, RunOptions, set_up_again
from treadle.recipes import ReconstructableJob
from treadle.results import ExecuteInProcessResult

#: the executors that a run config could name where nothing else was said
default_executors = [in_process_executor, multiprocess_executor]


class ModeDefinition:
    """A bundle of resources, loggers and executors for a pipeline; today a job is bound to each of them itself."""

    def __init__(
        self,
        name: str | None = None,
        resource_defs: Mapping[str, Any] | None = None,
        logger_defs: Mapping[str, LoggerDefinition] | None = None,
        executor_defs: Sequence[ExecutorDefinition] | None = None,
        description: str | None = None,
    ) -> None:
        self.name = name or "default"
        self.resource_defs = dict(resource_defs or {})
        self.loggers = dict(logger_defs) if logger_defs is not None else None
        self.executor_defs = list(executor_defs) if executor_defs is not None else default_executors
        self.description = description

    def bind(self, job_def: JobDefinition) -> JobDefinition:
        """The job with what the mode holds; with one executor in it, that is the job's."""
        if self.resource_defs:
            job_def = job_def.with_top_level_resources(self.resource_defs)
        if self.loggers is not None:
            job_def = job_def.with_logger_defs(self.loggers)
        return job_def.with_executor_def(self.executor_defs[0]) if len(self.executor_defs) == 1 else job_def


class PipelineDefinition(JobDefinition):
    """A job that knows its modes: by itself it is bound to the first of them."""

    modes: Sequence[ModeDefinition] = (ModeDefinition(),)

    def in_mode(self, name: str) -> JobDefinition:
        """The job bound to the mode of this name; DagsterInvariantViolationError where there is none."""
        for mode in self.modes:
            if mode.name == name:
                return mode.bind(self)
        known = [mode.name for mode in self.modes]
        raise DagsterInvariantViolationError(
            f'pipeline "{self.name}" has no mode "{name}".{nearest(name, known)} Modes: {known}.'
        )


def pipeline(
    name: Any = None,
    description: str | None = None,
    mode_defs: Sequence[ModeDefinition] | None = None,
    preset_defs: Any = None,
    tags: Mapping[str, Any] | None = None,
    hook_defs: Any = None,
    **later_options: Any,
) -> Any:
    """Older `job`, with modes; presets were run configs by name, and are refused."""
    if preset_defs or later_options:
        given = ["preset_defs"] if preset_defs else list(later_options)
        raise ParameterCheckError(
            f"@pipeline: {', '.join(given)} cannot be given. Use @job; what presets held goes to `run_config`."
        )

    def make(fn: Callable[..., Any]) -> PipelineDefinition:
        made = job(name=None if callable(name) else name, description=description, tags=tags)(fn)
        modes = list(mode_defs or (ModeDefinition(),))
        bound = PipelineDefinition(
            graph_def=made.graph,
            name=made.name,
            description=made.description,
            tags=tags,
            hooks=read_hooks(hook_defs, "@pipeline") if hook_defs else None,
            resource_defs=modes[0].resource_defs,
            logger_defs=modes[0].loggers,
            executor_def=modes[0].executor_defs[0] if len(modes[0].executor_defs) == 1 else None,
        )
        bound.modes = modes
        return bound

    return make(name) if callable(name) else make


def lambda_solid(
    name: Any = None,
    description: str | None = None,
    input_defs: Sequence[InputDefinition] | None = None,
    output_def: OutputDefinition | None = None,
) -> Any:
    """Older `op` for a function without a context."""

    def make(fn: Callable[..., Any]) -> OpDefinition:
        made: OpDefinition = op(
            name=None if callable(name) else name,
            description=description,
            input_defs=input_defs,
            output_defs=[output_def] if output_def is not None else None,
        )(fn)
        return made

    return make(name) if callable(name) else make


# -- running ----------------------------------------------------------------------------------------------------------------


def execute_pipeline(
    pipeline: JobDefinition | GraphDefinition,
    run_config: Any = None,
    mode: str | ModeDefinition | None = None,
    preset: str | None = None,
    tags: Mapping[str, Any] | None = None,
    solid_selection: Sequence[str] | None = None,
    instance: DagsterInstance | None = None,
    raise_on_error: bool = True,
) -> ExecuteInProcessResult:
    """Older `job.execute_in_process`: run a job in this process and wait."""
    _refuse_preset("execute_pipeline", preset)
    job_def = _in_mode(pipeline, mode)
    options = RunOptions(instance=instance, op_selection=solid_selection, tags=tags)
    return api.execute_in_process(job_def, _translate(run_config), options, raise_on_error=raise_on_error)


def execute_pipeline_iterator(
    pipeline: JobDefinition | GraphDefinition,
    run_config: Any = None,
    mode: str | ModeDefinition | None = None,
    preset: str | None = None,
    tags: Mapping[str, Any] | None = None,
    solid_selection: Sequence[str] | None = None,
    instance: DagsterInstance | None = None,
) -> Iterator[DagsterEvent]:
    """Run a job in this process; gives each event as it happens, each after it was logged.

    Whoever stops listening ends the run: dropped or closed early, the iterator ends it as a failure, so that its
    record does not stand at STARTED for ever. What an op raises is told by its STEP_FAILURE, never raised here.
    """
    _refuse_preset("execute_pipeline_iterator", preset)
    job_def = _in_mode(pipeline, mode)
    options = RunOptions(instance=instance, op_selection=solid_selection, tags=tags)
    return api.iterate_in_process(job_def, _translate(run_config), options)


def reexecute_pipeline(
    pipeline: ReconstructableJob,
    parent_run_id: str,
    run_config: Any = None,
    step_selection: Sequence[str] | None = None,
    mode: str | ModeDefinition | None = None,
    preset: str | None = None,
    tags: Mapping[str, Any] | None = None,
    instance: DagsterInstance | None = None,
    raise_on_error: bool = True,
) -> JobExecutionResult:
    """Older `execute_job(..., reexecution_options=...)`: run steps of an earlier run again, all of them by default."""
    api.check_recipe(pipeline, "reexecute_pipeline")
    _refuse_preset("reexecute_pipeline", preset)
    _refuse_mode("reexecute_pipeline", mode)
    return api.execute_job(
        pipeline,
        instance or DagsterInstance.get(),
        _translate(run_config) if run_config is not None else None,
        tags,
        raise_on_error,
        reexecution_options=ReexecutionOptions(parent_run_id, step_selection or ()),
    )


def reexecute_pipeline_iterator(
    pipeline: ReconstructableJob,
    parent_run_id: str,
    run_config: Any = None,
    step_selection: Sequence[str] | None = None,
    mode: str | ModeDefinition | None = None,
    preset: str | None = None,
    tags: Mapping[str, Any] | None = None,
    instance: DagsterInstance | None = None,
) -> Iterator[DagsterEvent]:
    """Older re-execution of a run, event by event as they happen."""
    api.check_recipe(pipeline, "reexecute_pipeline_iterator")
    _refuse_preset("reexecute_pipeline_iterator", preset)
    _refuse_mode("reexecute_pipeline_iterator", mode)
    options = RunOptions(instance=instance or DagsterInstance.get(), tags=tags)
    again = ReexecutionOptions(parent_run_id, step_selection or ())
    setup = set_up_again(pipeline, _translate(run_config) if run_config is not None else None, options, again)
    assert options.instance is not None
    return JobRun.begin(setup, options.instance, Conduct()).events()


def _refuse_mode(where: str, mode: Any) -> None:
    if mode not in (None, "default"):
        raise ParameterCheckError(
            f'{where}: Param "mode" is {mode!r}. What is run again is bound to what its own job has; bind the job that '
            f"reconstructable() gets to what it needs."
        )


def _in_mode(target: Any, mode: str | ModeDefinition | None) -> JobDefinition:
    if isinstance(target, GraphDefinition):
        target = target.to_job()
    if not isinstance(target, JobDefinition):
        raise ParameterCheckError(
            f'Param "pipeline" is not a job. Got {target!r} (type {type(target).__name__}). '
            f"Give a job, a graph or a pipeline."
        )
    if isinstance(mode, ModeDefinition):
        return mode.bind(target)
    if mode is None:
        return target
    if isinstance(target, PipelineDefinition):
        return target.in_mode(mode)
    if mode != "default":
        raise DagsterInvariantViolationError(
            f'job "{target.name}" has no modes, so there is no mode "{mode}". Bind the job to what it needs with '
            f"@job(resource_defs=...), or give a ModeDefinition as `mode`."
        )
    return target


def _refuse_preset(function: str, preset: str | None) -> None:
    if preset is not None:
        raise ParameterCheckError(f"{function}: presets are no more. Give as `run_config` what {preset!r} held.")


def _translate(run_config: Any) -> Any:
    """`{"execution": {"in_process": {"config": {...}}}}`, as it was, to `{"execution": {"config": {"in_process": {...}}}}`."""
    execution = run_config.get("execution") if isinstance(run_config, Mapping) else None
    if not isinstance(execution, Mapping) or len(execution) != 1 or "config" in execution:
        return run_config
    ((name, entry),) = execution.items()
    inner = entry.get("config") or {} if isinstance(entry, Mapping) else {}
    return {**run_config, "execution": {"config": {name: inner}}}


# -- small things -------------------------------------------------------------------------------------------------------------


class ConfigSchema:
    """What may be given as `config_schema`: a name for annotations, since a schema is written in many forms."""


class BindResourcesToJobs(list[Any]):
    """Older mark on the jobs of a Definitions object; they are bound anyway."""


class MetadataEntry:
    """Older form of one entry of `metadata`; today metadata is a dict of labels and values."""

    def __init__(self, label: str, description: str | None = None, entry_data: Any = None, value: Any = None) -> None:
        warnings.warn(
            f"MetadataEntry is deprecated: write metadata={{{label!r}: ...}} instead.", DeprecationWarning, stacklevel=2
        )
        self.label = label
        self.description = description
        self.value = normalize_value(value if value is not None else entry_data, label)

    @property
    def entry_data(self) -> MetadataValue:
        """Older name of `value`."""
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetadataEntry) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.label, self.description))

    def __repr__(self) -> str:
        return f"MetadataEntry(label={self.label!r}, description={self.description!r}, value={self.value!r})"
