"""Definitions: jobs with the resources, loggers and executor that they share, and how a module's jobs become one.

A container binds what it holds to the jobs that lack it, finds jobs by name, and checks all of them when asked to.
It copies jobs, never changes them; schedules, sensors and assets are refused, since they come later.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any

from treadle import introspect, later
from treadle.checks import check_optional, check_param, name_of, show
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.definitions.loggers import LoggerDefinition
from treadle.definitions.ports import read_metadata
from treadle.definitions.repositories import (
    Container,
    JobTable,
    RepositoryDefinition,
    Shared,
    jobs_by_name,
    refuse_later,
)
from treadle.definitions.resources import to_resource_definitions
from treadle.errors import CheckError, DagsterInvalidDefinitionError, DagsterInvariantViolationError
from treadle.metadata import CodeLocationReconstructionMetadataValue, MetadataValue
from treadle.names import nearest

#: the name of the repository that a Definitions object stands for
REPOSITORY_NAME = "__repository__"


class Definitions(Container):
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
            refuse_later(part, value, f"Definitions({part}=...)")
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
        self._by_name = jobs_by_name(self.jobs or (), "Definitions")

    @cached_property
    def _repository(self) -> RepositoryDefinition:
        return self._as_repository(REPOSITORY_NAME)

    def _as_repository(self, name: str) -> RepositoryDefinition:
        shared = Shared(to_resource_definitions(self.resources), self.loggers, self.executor)
        return RepositoryDefinition(name, repository_data=JobTable(self._by_name, shared), metadata=self.metadata)

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
                raise CheckError(
                    f"Definitions.merge takes Definitions objects, got {show(each)} (a {name_of(type(each))})."
                )
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
        return (
            f"<Definitions: {_counted(len(self._by_name), 'job')}, {_counted(len(self.resources or ()), 'resource')}>"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


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


def _check_keys(values: Any, name: str, where: str = "Definitions") -> dict[str, Any] | None:
    check_optional(values, Mapping, name, where)
    for key in values or ():
        check_param(key, str, f"a key of {name}", where)
    return dict(values) if values is not None else None


def _merge(sources: Sequence[Mapping[str, Any] | None], what: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    origin: dict[str, int] = {}
    for index, source in enumerate(sources):
        for key, value in (source or {}).items():
            if key in merged and not _is_same(merged[key], value):
                raise DagsterInvariantViolationError(
                    f"Definitions objects {origin[key]} and {index} have different {what} with same key '{key}': "
                    f"{show(merged[key])} and {show(value)}. Rename one, or use one object in both."
                )
            merged.setdefault(key, value)
            origin.setdefault(key, index)
    return merged


def _is_same(first: Any, second: Any) -> bool:
    if first is second:
        return True
    try:
        return bool(first == second)
    except Exception:  # noqa: BLE001 - a user's object that cannot be compared is not the same
        return False


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


# -- from modules -----------------------------------------------------------------------------------------------------------


def load_definitions_from_modules(
    modules: Iterable[ModuleType],
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, LoggerDefinition] | None = None,
    executor: ExecutorDefinition | None = None,
) -> Definitions:
    """The jobs that stand in the variables of some modules, with what they share.

    Raises DagsterInvalidDefinitionError, with the names of the modules, where two different jobs have one name.
    """
    origins: dict[str, tuple[JobDefinition, str]] = {}
    for module in modules:
        check_param(module, ModuleType, "modules", "load_definitions_from_modules", "Import it first.")
        for job in _jobs_of(module):
            first, place = origins.setdefault(job.name, (job, module.__name__))
            if first is not job:
                places = ", ".join(sorted({place, module.__name__}))
                raise DagsterInvalidDefinitionError(
                    f"Job name {job.name} is defined multiple times. Definitions found in modules: {places}. Rename one."
                )
    jobs = [job for job, _ in origins.values()]
    return Definitions(jobs=jobs, resources=resources, loggers=loggers, executor=executor)


def _jobs_of(module: ModuleType) -> list[JobDefinition]:
    values = (getattr(module, name) for name in dir(module))
    found: dict[int, JobDefinition] = {}
    for value in values:
        each = value if isinstance(value, (list, tuple)) else (value,)
        found.update({id(job): job for job in each if isinstance(job, JobDefinition)})
    return list(found.values())


def load_definitions_from_module(
    module: ModuleType,
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, LoggerDefinition] | None = None,
    executor: ExecutorDefinition | None = None,
) -> Definitions:
    """The jobs that stand in the variables of a module, with what they share."""
    return load_definitions_from_modules([module], resources, loggers, executor)


def load_definitions_from_current_module(
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, LoggerDefinition] | None = None,
    executor: ExecutorDefinition | None = None,
) -> Definitions:
    """The jobs that the calling module has so far, with what they share."""
    name = sys._getframe(1).f_globals["__name__"]
    return load_definitions_from_modules([sys.modules[name]], resources, loggers, executor)


def load_definitions_from_package_module(
    package_module: ModuleType,
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, LoggerDefinition] | None = None,
    executor: ExecutorDefinition | None = None,
) -> Definitions:
    """The jobs of a package and of all modules below it, which are imported for it."""
    return load_definitions_from_modules(_walk(package_module), resources, loggers, executor)


def load_definitions_from_package_name(
    package_name: str,
    resources: Mapping[str, Any] | None = None,
    loggers: Mapping[str, LoggerDefinition] | None = None,
    executor: ExecutorDefinition | None = None,
) -> Definitions:
    """The jobs of a package, found by its dotted name, and of all modules below it."""
    module = importlib.import_module(package_name)
    return load_definitions_from_package_module(module, resources, loggers, executor)


def _walk(package: ModuleType) -> Iterator[ModuleType]:
    import pkgutil

    yield package
    for found in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}."):
        yield importlib.import_module(found.name)


# -- the same without an object -----------------------------------------------------------------------------------------------


def with_resources(
    definitions: Iterable[JobDefinition],
    resource_defs: Mapping[str, Any],
    resource_config_by_key: Mapping[str, Any] | None = None,
) -> list[JobDefinition]:
    """Jobs with the resources that they lack; `resource_config_by_key` maps a key to `{"config": ...}`.

    Raises DagsterInvalidDefinitionError where a job needs a resource that neither has, and CheckError where something
    is not a job: assets come later.
    """
    made = to_resource_definitions(_check_keys(resource_defs, "resource_defs", "with_resources"))
    for key, entry in (resource_config_by_key or {}).items():
        if key not in made:
            raise DagsterInvariantViolationError(
                f"with_resources: config for the resource '{key}', which is not among resource_defs.{nearest(key, made)}"
            )
        made[key] = made[key].configured(entry["config"])
    shared = Shared(made, None, None)
    bound = []
    for each in definitions:
        check_param(each, JobDefinition, "definitions", "with_resources", "Only jobs can be given; assets come later.")
        job = shared.bind(each)
        job.check_resources()
        bound.append(job)
    return bound


def create_repository_using_definitions_args(name: str, **parts: Any) -> RepositoryDefinition:
    """A repository of this name with what `Definitions` takes."""
    return Definitions(**parts)._as_repository(name)
