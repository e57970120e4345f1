"""RepositoryDefinition and @repository: jobs by name, bound to what they share.

A table of jobs, some of which are made when they are first asked for. Used by `container` for Definitions objects, too.
Jobs are copied where something is bound to them, never changed; schedules, sensors and assets are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from treadle import introspect, later, names
from treadle.checks import check_optional, check_param, name_of, show
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.definitions.loggers import LoggerDefinition
from treadle.definitions.ports import DEFAULT_IO_MANAGER_KEY, read_metadata
from treadle.definitions.resources import ResourceDefinition
from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvariantViolationError
from treadle.metadata import MetadataValue

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


class Container:
    """What both kinds of containers answer to names of later stages."""

    def __getattr__(self, name: str) -> Any:
        if name in _STAGE_OF_MEMBER:
            later.refuse(f"{type(self).__name__}.{name}", _STAGE_OF_MEMBER[name])
        raise AttributeError(
            f"{type(self).__name__!r} has no attribute {name!r}.{names.nearest(name, (n for n in dir(self) if n[0] != '_'))}"
        )


def refuse_later(part: str, value: Any, what: str) -> None:
    """Refuse something of a later stage; an empty collection holds nothing to refuse."""
    if value is not None and not (isinstance(value, (list, tuple, set, frozenset, dict)) and not value):
        later.refuse(what, _LATER_PARTS[part])


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


class JobTable(RepositoryData):
    """Jobs by name, some as functions that make them when they are first asked for; each is bound once."""

    def __init__(
        self,
        sources: Mapping[str, JobDefinition | Callable[[], Any]],
        shared: Shared,
        left_out: Iterable[later.NotYet] = (),
    ) -> None:
        self._sources = sources
        self._shared = shared
        #: what a file defines beside its jobs that belongs to a later stage: it was told of when it was defined
        self._left_out = {each.__name__: each for each in left_out}
        self._jobs: dict[str, JobDefinition] = {}

    def get_job_names(self) -> Sequence[str]:
        return list(self._sources)

    def has_job(self, job_name: str) -> bool:
        return job_name in self._sources

    def get_job(self, job_name: str) -> JobDefinition:
        if job_name not in self._jobs:
            if job_name in self._left_out:
                self._left_out[job_name].refuse()
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


class Shared:
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


def table_of(job: JobDefinition) -> JobTable:
    """A table with one job in it, as it is."""
    return JobTable({job.name: job}, Shared({}, None, None))


def _unknown_job(name: object, known: Iterable[str]) -> DagsterInvariantViolationError:
    known = list(known)
    found = ", ".join(f"'{each}'" for each in known) or "no job"
    return DagsterInvariantViolationError(f"Could not find job '{name}'. Found: {found}.{names.nearest(name, known)}")


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


def jobs_by_name(given: Iterable[Any], where: str) -> dict[str, JobDefinition]:
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


# -- repositories -----------------------------------------------------------------------------------------------------------


class RepositoryDefinition(Container):
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
            raise CheckError(
                f"{where}: the function takes no parameters, but it has {[p.name for p in signature.parameters]}."
            )
        check_optional(default_executor_def, ExecutorDefinition, "default_executor_def", where)
        check_optional(default_logger_defs, Mapping, "default_logger_defs", where)
        shared = Shared({}, default_logger_defs, default_executor_def)
        return RepositoryDefinition(
            made_name,
            repository_data=_read_repository(fn(), shared, where),
            description=description or signature.docstring,
            metadata=metadata,
        )

    return decorate(definitions_fn) if definitions_fn is not None else decorate


def _read_repository(given: Any, shared: Shared, where: str) -> RepositoryData:
    if isinstance(given, RepositoryData):
        return given
    if isinstance(given, (list, tuple)):
        listed = list(_flat_list(given, where))
        jobs = [each for each in listed if not isinstance(each, later.NotYet)]
        data = JobTable(jobs_by_name(jobs, where), shared, [each for each in listed if isinstance(each, later.NotYet)])
        for name in data.get_job_names():
            data.get_job(name)
        return data
    if isinstance(given, dict):
        return _read_dict(given, shared, where)
    hint = " Return its jobs instead." if hasattr(given, "get_repository_def") else ""
    raise DagsterInvalidDefinitionError(
        f"{where}: Bad return value of type {type(given)} from repository construction function: must return list, "
        f"dict, or RepositoryData.{hint}"
    )


def _flat_list(given: Sequence[Any], where: str) -> Iterable[JobDefinition | GraphDefinition | later.NotYet]:
    for index, each in enumerate(given):
        if isinstance(each, (list, tuple)):
            yield from _flat_list(each, where)
        elif isinstance(each, (JobDefinition, GraphDefinition, later.NotYet)):
            yield each
        else:
            raise DagsterInvalidDefinitionError(
                f"{where}: Bad return value from repository construction function: all elements of list must be of type "
                f"JobDefinition or GraphDefinition. Got {show(each)} of type {type(each)} at index {index}."
            )


def _read_dict(given: dict[str, Any], shared: Shared, where: str) -> RepositoryData:
    for part, value in given.items():
        if part in _LATER_PARTS:
            refuse_later(part, value, f'{where}: "{part}"')
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
        elif callable(source):
            sources[name] = source
        else:
            raise DagsterInvalidDefinitionError(
                f"{where}: Object mapped to {name} is not an instance of JobDefinition or GraphDefinition. Got "
                f"{show(source)} (type {name_of(type(source))})."
            )
    data = JobTable(sources, shared)
    for name, source in sources.items():
        if isinstance(source, JobDefinition):
            data.get_job(name)
    return data
