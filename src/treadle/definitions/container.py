"""Definitions and @repository: jobs with the resources, loggers and executor that they share.

A container binds what it holds to the jobs that lack it, finds jobs by name, and checks all of them when asked to.
It copies jobs, never changes them; schedules, sensors and assets are refused, since they come later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import FunctionType
from typing import Any, overload

from treadle import introspect, later, names
from treadle.checks import check_optional, check_param, name_of, show
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.definitions.loggers import LoggerDefinition
from treadle.definitions.ports import DEFAULT_IO_MANAGER_KEY, read_metadata
from treadle.definitions.resources import ResourceDefinition, to_resource_definitions
from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvariantViolationError
from treadle.metadata import CodeLocationReconstructionMetadataValue, MetadataValue

#: the name of the repository that a Definitions object stands for
REPOSITORY_NAME = "__repository__"

#: the job that assets will be run by
_RESERVED_JOB_NAME = "__ASSET_JOB"

#: argument or dict key -> the name of a later stage that it goes with
_LATER_PARTS = {
    "assets": "asset",
    "schedules": "schedule",
    "sensors": "sensor",
    "asset_checks": "asset_check",
    "component_tree": "ComponentTree",
}

#: what assets, schedules and sensors add to both kinds of containers; each is refused by name
_LATER_MEMBERS = {
    "asset": """
        get_asset_value_loader get_assets_def resolve_assets_def load_asset_value map_asset_specs asset_graph
        map_resolved_asset_specs permissive_map_resolved_asset_specs resolve_all_asset_keys resolve_all_asset_specs
        resolve_asset_graph get_implicit_global_asset_job_def resolve_implicit_global_asset_job_def
        get_implicit_job_def_for_assets resolve_implicit_job_def_def_for_assets get_asset_checks_def
        assets_defs_by_key asset_checks_defs_by_key source_assets_by_key
    """,
    "schedule": "get_schedule_def resolve_schedule_def get_unresolved_schedule_def",
    "sensor": "get_sensor_def resolve_sensor_def get_unresolved_sensor_def",
}
_STAGE_OF_MEMBER = {member: stage for stage, members in _LATER_MEMBERS.items() for member in members.split()}


class _Container:
    """What both kinds of containers answer to names of later stages."""

    def __getattr__(self, name: str) -> Any:
        if name in _STAGE_OF_MEMBER:
            later.refuse(f"{type(self).__name__}.{name}", _STAGE_OF_MEMBER[name])
        raise AttributeError(
            f"{type(self).__name__!r} has no attribute {name!r}.{names.nearest(name, (n for n in dir(self) if n[0] != '_'))}"
        )


# -- what holds jobs ------------------------------------------------------------------------------------------------------


class RepositoryData:
    """The jobs of a repository. A subclass gives them in `get_all_jobs`, and may give single ones faster in `get_job`."""

    def get_all_jobs(self) -> Sequence[JobDefinition]:
        """Every job."""
        raise NotImplementedError(f"{type(self).__name__} has to define get_all_jobs(), which returns a list of jobs.")

    def get_top_level_resources(self) -> Mapping[str, ResourceDefinition]:
        """The resources that the jobs share, by key."""
        return {}

    def get_job_names(self) -> Sequence[str]:
        """The names of all jobs."""
        return [job.name for job in self.get_all_jobs()]

    def has_job(self, job_name: str) -> bool:
        """True where there is a job of this name."""
        return job_name in self.get_job_names()

    def get_job(self, job_name: str) -> JobDefinition:
        """One job; DagsterInvariantViolationError, with the nearest name, where it is not there."""
        for job in self.get_all_jobs():
            if job.name == job_name:
                return job
        raise _unknown_job(job_name, self.get_job_names())

    def load_all_definitions(self) -> None:
        """Make every job and check it: what it needs must be there, and one name must mean one op or graph."""
        jobs = self.get_all_jobs()
        _check_names(jobs)
        for job in jobs:
            job.check_resources()

    def get_asset_job_nodes(self) -> list[Any]:
        """Always empty: there are no assets."""
        return []


class _Table(RepositoryData):
    """Jobs by name, some as functions that make them when they are first asked for; each is bound once."""

    def __init__(self, sources: Mapping[str, JobDefinition | Callable[[], Any]], shared: _Shared) -> None:
        self._sources = sources
        self._shared = shared
        self._jobs: dict[str, JobDefinition] = {}

    def get_job_names(self) -> Sequence[str]:
        return list(self._sources)

    def has_job(self, job_name: str) -> bool:
        return job_name in self._sources

    def get_job(self, job_name: str) -> JobDefinition:
        if job_name not in self._jobs:
            if job_name not in self._sources:
                raise _unknown_job(job_name, self._sources)
            source = self._sources[job_name]
            job = source if isinstance(source, JobDefinition) else _make(job_name, source)
            bound = self._shared.bind(job)
            bound.check_resources()
            self._jobs[job_name] = bound
        return self._jobs[job_name]

    def get_all_jobs(self) -> Sequence[JobDefinition]:
        jobs = [self.get_job(name) for name in self._sources]
        _check_names(jobs)
        return jobs

    def get_top_level_resources(self) -> Mapping[str, ResourceDefinition]:
        return self._shared.resources


class _Shared:
    """What the jobs of a container share: bound to those that lack it."""

    def __init__(
        self,
        resources: Mapping[str, ResourceDefinition],
        loggers: Mapping[str, LoggerDefinition] | None,
        executor: ExecutorDefinition | None,
    ) -> None:
        self.resources = resources
        self.loggers = loggers
        self.executor = executor

    def bind(self, job: JobDefinition) -> JobDefinition:
        """The job with what it lacks; what it has of its own stays."""
        lacking = {key: value for key, value in self.resources.items() if key not in job.resource_defs}
        if DEFAULT_IO_MANAGER_KEY in self.resources and job.has_default_io_manager:
            lacking[DEFAULT_IO_MANAGER_KEY] = self.resources[DEFAULT_IO_MANAGER_KEY]
        if lacking:
            job = job.with_top_level_resources(lacking)
        if self.executor is not None and not job.has_specified_executor:
            job = job.with_executor_def(self.executor)
        if self.loggers is not None and not job.has_specified_loggers:
            job = job.with_logger_defs(self.loggers)
        return job


def _unknown_job(name: object, known: Iterable[str]) -> DagsterInvariantViolationError:
    known = list(known)
    found = ", ".join(f"'{each}'" for each in known) or "no job"
    return DagsterInvariantViolationError(
        f"Could not find job '{name}'. Found: {found}.{names.nearest(name, known)}"
    )


def _make(name: str, function: Callable[[], Any]) -> JobDefinition:
    job = function()
    if not isinstance(job, JobDefinition):
        advice = " Call to_job() on it." if isinstance(job, GraphDefinition) else ""
        raise CheckError(
            f"Invariant failed. Description: Bad constructor for job {name}: must return JobDefinition, got {show(job)} "
            f"(type {name_of(type(job))}).{advice}"
        )
    return _check_key(name, job)


def _check_key(name: str, job: JobDefinition) -> JobDefinition:
    if job.name != name:
        raise CheckError(
            f"Invariant failed. Description: Bad constructor for job '{name}': name in JobDefinition does not match: got "
            f"'{job.name}'. Write it as the key, too, or give the job the name '{name}'."
        )
    return job


def _check_names(jobs: Iterable[JobDefinition]) -> None:
    """Refuse two different ops or graphs of one name: a name in an event or a message must mean one thing."""
    known: dict[str, tuple[Any, str]] = {}

    def visit(definition: Any, job: str) -> None:
        first, first_job = known.setdefault(definition.name, (definition, job))
        if first is definition:
            return
        kinds = " and ".join("a graph" if each.is_graph else "an op" for each in (first, definition))
        raise DagsterInvalidDefinitionError(
            f"Conflicting definitions found in repository with name '{definition.name}'. Op/Graph definition names must "
            f"be unique within a repository. {kinds[0].upper()}{kinds[1:]} of this name are used, the one by job "
            f"'{first_job}', the other by job '{job}'. Rename one, or use one object in both."
        )

    for job in jobs:
        waiting: list[Any] = [job.graph]
        seen: set[int] = set()
        while waiting:
            definition = waiting.pop()
            if id(definition) in seen:
                continue
            seen.add(id(definition))
            visit(definition, job.name)
            if definition.is_graph:
                waiting += definition.node_defs


def _read_jobs(given: Iterable[Any], where: str) -> dict[str, JobDefinition]:
    """Jobs and graphs by name; a name may come twice if it is the same object."""
    found: dict[str, Any] = {}
    for each in given:
        if each.name == _RESERVED_JOB_NAME:
            raise DagsterInvalidDefinitionError(
                f"{where}: Attempted to provide job called {_RESERVED_JOB_NAME} to repository, which is a reserved name. "
                f"Rename the job."
            )
        first = found.setdefault(each.name, each)
        if first is not each:
            kind = "graph" if isinstance(each, GraphDefinition) and isinstance(first, JobDefinition) else "job"
            raise DagsterInvalidDefinitionError(
                f"{where}: Duplicate job definition found for {kind} '{each.name}'. Two different objects have this "
                f"name: give one of them another, with name=..."
            )
    return {name: each.to_job() if isinstance(each, GraphDefinition) else each for name, each in found.items()}


# -- Definitions ------------------------------------------------------------------------------------------------------------


class Definitions(_Container):
    """What a project defines, in one object: its jobs, and the resources, loggers and executor that they share.

    Jobs get what they lack: a resource, loggers or an executor that a job has of its own stays. `assets`,
    `schedules`, `sensors` and `asset_checks` come in a later version and are refused where they hold anything.
    """

    def __init__(
        self,
        assets: Iterable[Any] | None = None,
        schedules: Iterable[Any] | None = None,
        sensors: Iterable[Any] | None = None,
        jobs: Iterable[JobDefinition] | None = None,
        resources: Mapping[str, Any] | None = None,
        executor: ExecutorDefinition | None = None,
        loggers: Mapping[str, LoggerDefinition] | None = None,
        asset_checks: Iterable[Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        component_tree: Any = None,
    ) -> None:
        parts = {"assets": assets, "schedules": schedules, "sensors": sensors, "asset_checks": asset_checks}
        for part, value in parts.items():
            _refuse_later(part, value, f"Definitions({part}=...)")
        if component_tree is not None:
            later.refuse("Definitions(component_tree=...)", "ComponentTree")
        self.assets, self.schedules, self.sensors, self.asset_checks = assets, schedules, sensors, asset_checks
        self.component_tree = None
        self.jobs = _check_jobs(jobs)
        self.resources = _check_keys(resources, "resources")
        check_optional(executor, ExecutorDefinition, "executor", "Definitions")
        self.executor = executor
        self.loggers = _check_keys(loggers, "loggers")
        for key, value in (self.loggers or {}).items():
            check_param(value, LoggerDefinition, f"loggers[{key!r}]", "Definitions")
        self.metadata: Mapping[str, MetadataValue] = read_metadata(metadata, "Definitions")
        self._by_name = _read_jobs(self.jobs or (), "Definitions")

    @cached_property
    def _repository(self) -> RepositoryDefinition:
        shared = _Shared(to_resource_definitions(self.resources), self.loggers, self.executor)
        return RepositoryDefinition(
            REPOSITORY_NAME, repository_data=_Table(self._by_name, shared), metadata=self.metadata
        )

    def get_repository_def(self) -> RepositoryDefinition:
        """The same as a repository: the jobs bound, and found by name."""
        return self._repository

    def resolve_job_def(self, name: str) -> JobDefinition:
        """One job, with what it lacks taken from here.

        Raises DagsterInvariantViolationError, with the nearest name, for a name that is not there, and
        DagsterInvalidDefinitionError where the job needs a resource that neither has.
        """
        check_param(name, str, "name", "Definitions.resolve_job_def")
        return self._repository.get_job(name)

    get_job_def = resolve_job_def

    def resolve_all_job_defs(self) -> Sequence[JobDefinition]:
        """Every job, each with what it lacks taken from here."""
        return self._repository.get_all_jobs()

    get_all_job_defs = resolve_all_job_defs

    def has_job_def(self, name: str) -> bool:
        """True where there is a job of this name."""
        return name in self._by_name

    @staticmethod
    def validate_loadable(defs: Definitions) -> None:
        """Bind and check every job of `defs`; raises the first mistake. Meant for a test of the project."""
        check_param(defs, Definitions, "defs", "Definitions.validate_loadable")
        defs.get_repository_def().load_all_definitions()

    @staticmethod
    def merge(*def_sets: Definitions) -> Definitions:
        """One object with everything of several.

        Raises DagsterInvariantViolationError where two have different resources or loggers under one key or two
        executors, and DagsterInvalidDefinitionError where they have different jobs of one name.
        """
        for each in def_sets:
            if not isinstance(each, Definitions):
                raise CheckError(f"Definitions.merge takes Definitions objects, got {show(each)} (a {name_of(type(each))}).")
        executors = [(index, each.executor) for index, each in enumerate(def_sets) if each.executor is not None]
        for index, executor in executors[1:]:
            if executor is not executors[0][1]:
                raise DagsterInvariantViolationError(
                    f"Definitions objects {executors[0][0]} and {index} both have an executor: "
                    f"'{executors[0][1].name}' and '{executor.name}'. Leave it in one of them."
                )
        return Definitions(
            assets=[],
            schedules=[],
            sensors=[],
            jobs=list({id(job): job for each in def_sets for job in each.jobs or ()}.values()),
            resources=_merge([each.resources for each in def_sets], "resources"),
            executor=executors[0][1] if executors else None,
            loggers=_merge([each.loggers for each in def_sets], "loggers"),
            asset_checks=[],
            metadata=_merge([each.metadata for each in def_sets], "metadata"),
        )

    merge_unbound_defs = merge

    def _with(self, **changes: Any) -> Definitions:
        options = {
            "jobs": self.jobs,
            "resources": self.resources,
            "executor": self.executor,
            "loggers": self.loggers,
            "metadata": self.metadata,
        }
        return Definitions(**{**options, **changes})

    def with_resources(self, resources: Mapping[str, Any] | None) -> Definitions:
        """The same with more resources; where a key is there already, the new one wins."""
        return self._with(resources={**(self.resources or {}), **resources}) if resources else self

    def with_definition_metadata_update(self, update: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Definitions:
        """The same, its jobs with what `update` makes of their metadata."""
        return self._with(jobs=[job.with_metadata(dict(update(job.metadata))) for job in self.jobs or ()])

    def with_reconstruction_metadata(self, reconstruction_metadata: Mapping[str, str]) -> Definitions:
        """The same with texts that another process will find again when it loads the definitions."""
        check_param(reconstruction_metadata, Mapping, "reconstruction_metadata", "Definitions")
        for key, value in reconstruction_metadata.items():
            if not isinstance(value, str):
                raise DagsterInvariantViolationError(
                    f"Reconstruction metadata values must be strings. Got {show(value)} for key {key!r}: write it as JSON."
                )
        added = {key: CodeLocationReconstructionMetadataValue(text) for key, text in reconstruction_metadata.items()}
        return self._with(metadata={**self.metadata, **added})

    def __repr__(self) -> str:
        return f"<Definitions: {_counted(len(self._by_name), 'job')}, {_counted(len(self.resources or ()), 'resource')}>"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _refuse_later(part: str, value: Any, what: str) -> None:
    """Refuse something of a later stage; an empty collection holds nothing to refuse."""
    if value is not None and not (isinstance(value, (list, tuple, set, frozenset, dict)) and not value):
        later.refuse(what, _LATER_PARTS[part])


def _check_jobs(jobs: Any) -> list[JobDefinition] | None:
    if jobs is None:
        return None
    if isinstance(jobs, str) or not isinstance(jobs, Iterable):
        check_param(jobs, list, "jobs", "Definitions", "Write jobs=[...].")
    checked = list(jobs)
    for index, job in enumerate(checked):
        hint = "Call to_job() on the graph." if isinstance(job, GraphDefinition) else ""
        check_param(job, JobDefinition, f"jobs[{index}]", "Definitions", hint)
    return checked


def _check_keys(values: Any, name: str) -> dict[str, Any] | None:
    check_optional(values, Mapping, name, "Definitions")
    for key in values or ():
        check_param(key, str, f"a key of {name}", "Definitions")
    return dict(values) if values is not None else None


def _merge(sources: Sequence[Mapping[str, Any] | None], what: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    origin: dict[str, int] = {}
    for index, source in enumerate(sources):
        for key, value in (source or {}).items():
            if key in merged and merged[key] is not value and merged[key] != value:
                raise DagsterInvariantViolationError(
                    f"Definitions objects {origin[key]} and {index} have different {what} with same key '{key}': "
                    f"{show(merged[key])} and {show(value)}. Rename one, or use one object in both."
                )
            merged.setdefault(key, value)
            origin.setdefault(key, index)
    return merged


class LazyDefinitions:
    """What `@definitions` makes: call it to get the Definitions; the function is called once."""

    def __init__(self, load_fn: Callable[[], Definitions]) -> None:
        self.load_fn = load_fn
        self._loaded: Definitions | None = None
        self.__doc__ = load_fn.__doc__

    def __call__(self) -> Definitions:
        if self._loaded is None:
            loaded = self.load_fn()
            check_param(loaded, Definitions, "the return value", f'@definitions "{self.load_fn.__name__}"')
            self._loaded = loaded
        return self._loaded


def definitions(fn: Callable[[], Definitions]) -> LazyDefinitions:
    """Decorate a function of nothing that returns the Definitions of a project; it is called when they are asked for."""
    signature = introspect.read_signature(fn)
    if signature.parameters:
        later.refuse(f'@definitions "{signature.name}" with a parameter, which is a ComponentLoadContext,', "Component")
    return LazyDefinitions(fn)


# -- repositories -----------------------------------------------------------------------------------------------------------


class RepositoryDefinition(_Container):
    """Jobs under a name of their own, made by `@repository` or of a Definitions object."""

    def __init__(
        self,
        name: str,
        *,
        repository_data: RepositoryData,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        repository_load_data: Any = None,
    ) -> None:
        self.name = names.check_name(name, "a repository")
        check_param(repository_data, RepositoryData, "repository_data", f'repository "{name}"')
        check_optional(description, str, "description", f'repository "{name}"')
        self.description = description
        self.metadata: Mapping[str, MetadataValue] = read_metadata(metadata, f'repository "{name}"')
        self.repository_load_data = repository_load_data
        self._data = repository_data

    @property
    def job_names(self) -> list[str]:
        """The names of all jobs."""
        return list(self._data.get_job_names())

    @property
    def schedule_defs(self) -> list[Any]:
        """Always empty: schedules come later."""
        return []

    @property
    def sensor_defs(self) -> list[Any]:
        """Always empty: sensors come later."""
        return []

    def has_job(self, name: str) -> bool:
        """True where there is a job of this name; it is not made for that."""
        return self._data.has_job(name)

    def get_job(self, name: str) -> JobDefinition:
        """One job, bound to what the repository holds; it is made when it is first asked for.

        Raises DagsterInvariantViolationError, with the nearest name, for a name that is not there.
        """
        return self._data.get_job(name)

    def get_maybe_subset_job_def(
        self, job_name: str, op_selection: Iterable[str] | None = None, asset_selection: Any = None, **_checks: Any
    ) -> JobDefinition:
        """One job, or what an op selection leaves of it."""
        job = self.get_job(job_name)
        return job.get_subset(op_selection=list(op_selection)) if op_selection else job

    def get_all_jobs(self) -> Sequence[JobDefinition]:
        """Every job. Raises DagsterInvalidDefinitionError where two different ops or graphs have one name."""
        return self._data.get_all_jobs()

    def get_top_level_resources(self) -> Mapping[str, ResourceDefinition]:
        """The resources that the jobs share, by key."""
        return self._data.get_top_level_resources()

    def load_all_definitions(self) -> None:
        """Make and check every job; raises the first mistake."""
        self._data.load_all_definitions()

    validate_loadable = load_all_definitions

    def has_schedule_def(self, name: str) -> bool:
        """Always False: schedules come later."""
        return False

    has_sensor_def = has_schedule_def

    def __call__(self) -> RepositoryDefinition:
        """The repository itself: what `@repository` stands above may be named or called."""
        return self

    def __repr__(self) -> str:
        return f"<RepositoryDefinition {self.name}>"


@overload
def repository(definitions_fn: Callable[[], Any]) -> RepositoryDefinition: ...
@overload
def repository(
    definitions_fn: None = ...,
    *,
    name: str | None = ...,
    description: str | None = ...,
    metadata: Mapping[str, Any] | None = ...,
    default_executor_def: ExecutorDefinition | None = ...,
    default_logger_defs: Mapping[str, LoggerDefinition] | None = ...,
) -> Callable[[Callable[[], Any]], RepositoryDefinition]: ...
def repository(
    definitions_fn: Callable[[], Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    default_executor_def: ExecutorDefinition | None = None,
    default_logger_defs: Mapping[str, LoggerDefinition] | None = None,
) -> RepositoryDefinition | Callable[[Callable[[], Any]], RepositoryDefinition]:
    """Decorate a function of nothing that returns jobs and graphs: a list, `{"jobs": {name: job}}`, or RepositoryData.

    In the dict a job may be a function of nothing that returns it, called when the job is first asked for. The
    executor and the loggers are bound to jobs that have none of their own.
    """

    def decorate(fn: Callable[[], Any]) -> RepositoryDefinition:
        signature = introspect.read_signature(fn)
        made_name = name or signature.name
        where = f'@repository "{made_name}"'
        if signature.parameters:
            raise CheckError(f"{where}: the function takes no parameters, but it has {list(signature.by_name)}.")
        check_optional(default_executor_def, ExecutorDefinition, "default_executor_def", where)
        check_optional(default_logger_defs, Mapping, "default_logger_defs", where)
        shared = _Shared({}, default_logger_defs, default_executor_def)
        return RepositoryDefinition(
            made_name,
            repository_data=_read_repository(fn(), shared, where),
            description=description or signature.docstring,
            metadata=metadata,
        )

    return decorate(definitions_fn) if definitions_fn is not None else decorate


def _read_repository(given: Any, shared: _Shared, where: str) -> RepositoryData:
    if isinstance(given, RepositoryData):
        return given
    if isinstance(given, (list, tuple)):
        data = _Table(_read_jobs(_flat_list(given, where), where), shared)
        for name in data.get_job_names():
            data.get_job(name)
        return data
    if isinstance(given, dict):
        return _read_dict(given, shared, where)
    hint = " Return its jobs, and give what they share to @repository." if isinstance(given, Definitions) else ""
    raise DagsterInvalidDefinitionError(
        f"{where}: Bad return value of type {type(given)} from repository construction function: must return list, "
        f"dict, or RepositoryData.{hint}"
    )


def _flat_list(given: Sequence[Any], where: str) -> Iterable[JobDefinition | GraphDefinition]:
    for index, each in enumerate(given):
        if isinstance(each, (list, tuple)):
            yield from _flat_list(each, where)
        elif isinstance(each, (JobDefinition, GraphDefinition)):
            yield each
        else:
            raise DagsterInvalidDefinitionError(
                f"{where}: Bad return value from repository construction function: all elements of list must be of type "
                f"JobDefinition or GraphDefinition. Got {show(each)} of type {type(each)} at index {index}."
            )


def _read_dict(given: dict[str, Any], shared: _Shared, where: str) -> RepositoryData:
    for part, value in given.items():
        if part in _LATER_PARTS:
            _refuse_later(part, value, f'{where}: "{part}"')
        elif part != "jobs":
            raise DagsterInvalidDefinitionError(
                f"{where}: Bad return value from repository construction function: dict must not contain keys other "
                f"than {{'jobs'}}: found '{part}'.{names.nearest(part, ['jobs'])}"
            )
    sources: dict[str, JobDefinition | Callable[[], Any]] = {}
    for name, source in given.get("jobs", {}).items():
        if isinstance(source, GraphDefinition):
            sources[name] = _check_key(name, source.to_job())
        elif isinstance(source, JobDefinition):
            sources[name] = _check_key(name, source)
        elif isinstance(source, FunctionType) or callable(source):
            sources[name] = source
        else:
            raise DagsterInvalidDefinitionError(
                f"{where}: Object mapped to {name} is not an instance of JobDefinition or GraphDefinition. Got "
                f"{show(source)} (type {name_of(type(source))})."
            )
    data = _Table(sources, shared)
    for name, source in sources.items():
        if isinstance(source, JobDefinition):
            data.get_job(name)
    return data
