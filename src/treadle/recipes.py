"""reconstructable: how another process makes a job again

A ReconstructableJob is plain data: a module or file and a name in it, and for a job that exists in an interactive session
alone the job itself. execute_job takes it, a run's record keeps it, workers and `treadle resume` follow it. How files and
modules are imported is targets' business; nothing here runs a job.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import sys
import types
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from treadle.checks import show
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.definitions.op import OpDefinition
from treadle.definitions.repositories import RepositoryDefinition, table_of
from treadle.errors import (
    DagsterImportError,
    DagsterInvariantViolationError,
    ParameterCheckError,
    TreadleByValueWarning,
)
from treadle.introspect import MISSING, read_signature
from treadle.names import nearest
from treadle.targets import Target, find_job, import_file, import_module, load_job

#: the forms of a pointer
_FILE, _MODULE, _CALL, _VALUE = "file", "module", "call", "value"


class ReconstructableRepository(msgspec.Struct, frozen=True):
    """Where the code of a job is: `kind` says which of the other fields count."""

    #: `file`, `module`, `call` (a function of a module, with arguments), or `value` (the job itself, as bytes)
    kind: str
    #: path of the file, or name of the module
    place: str = ""
    #: the name there; empty for the only job
    attribute: str = ""
    working_directory: str | None = None
    #: JSON of the arguments of a call: a list and a dict
    arguments: str = ""
    #: the job itself, in base64
    value: str = ""

    @property
    def pointer(self) -> ReconstructableRepository:
        """Another name of this object, which points at the code itself."""
        return self

    def get_definition(self) -> RepositoryDefinition:
        """The repository or Definitions object that is meant; DagsterInvariantViolationError where it is a job."""
        found = self._resolve()
        repository = _as_repository(found)
        if repository is None:
            raise DagsterInvariantViolationError(f"{self.describe()} is {show(found)}, not a repository.")
        return repository

    def get_job(self, job_name: str | None) -> JobDefinition:
        """The job that is meant. Raises DagsterImportError, DagsterCodeNotFoundError, DagsterInvariantViolationError."""
        if self.kind == _VALUE:
            return _unpickle(self.value)
        if self.kind == _CALL:
            return _job_of(self._resolve(), self.describe())
        directory = Path(self.working_directory) if self.working_directory else Path.cwd()
        if self.kind == _FILE:
            module = import_file(self.place, directory)
        else:
            module = _already_imported(self.place) or import_module(self.place, directory)
        target = Target(self.place, self.attribute or job_name)
        found = getattr(module, target.name or "", MISSING)
        if isinstance(found, types.FunctionType):
            return _job_of(found(), self.describe())
        if job_name is not None and (repository := _as_repository(found)) is not None:
            return repository.get_job(job_name)
        return find_job(module, target)

    def _resolve(self) -> Any:
        directory = Path(self.working_directory) if self.working_directory else Path.cwd()
        module = import_file(self.place, directory) if self.kind == _FILE else _import(self.place, directory)
        found = getattr(module, self.attribute, MISSING)
        if found is MISSING:
            raise DagsterInvariantViolationError(
                f"{self.attribute} not found in module {self.place}.{nearest(self.attribute, vars(module))}"
            )
        if self.kind == _CALL:
            args, kwargs = json.loads(self.arguments)
            return found(*args, **kwargs)
        return found() if isinstance(found, types.FunctionType) else found

    def describe(self) -> str:
        """For messages: `file "jobs.py", nightly`."""
        if self.kind == _VALUE:
            return "a job by value"
        return f'{"file" if self.kind == _FILE else "module"} "{self.place}", {self.attribute or "its only job"}'


class ReconstructableJob(msgspec.Struct, frozen=True):
    """A recipe by which any process makes a job: equal by value, and plain data. `reconstructable` makes one."""

    repository: ReconstructableRepository
    job_name: str
    op_selection: frozenset[str] | None = None
    asset_selection: None = None
    asset_check_selection: None = None

    def get_definition(self) -> JobDefinition:
        """The job, with only what is selected of it; made once in each process."""
        return _make(self)

    def get_repository(self) -> RepositoryDefinition:
        """The repository or Definitions object that the job was found in; one of the job alone where it stands by itself."""
        if self.repository.kind != _VALUE:
            with contextlib.suppress(DagsterInvariantViolationError):
                return self.repository.get_definition()
        job = _make(msgspec.structs.replace(self, op_selection=None))
        return RepositoryDefinition(f"__repository__{job.name}", repository_data=table_of(job))

    def get_subset(
        self, *, op_selection: Sequence[str] | None = None, asset_selection: Any = None
    ) -> ReconstructableJob:
        """The recipe of the job with only the selected ops."""
        if op_selection is not None and isinstance(op_selection, str):
            raise ParameterCheckError(
                f'get_subset: Param "op_selection" is not a list of str. Got {op_selection!r}. Write [{op_selection!r}].'
            )
        return msgspec.structs.replace(self, op_selection=frozenset(op_selection) if op_selection else None)

    def describe(self) -> str:
        """For messages: `"nightly" in file "jobs.py"`."""
        return f'"{self.job_name}" in {self.repository.describe()}'

    def get_module(self) -> str | None:
        """The name of the module that the job is in; None where it is in none."""
        return self.repository.place if self.repository.kind in (_MODULE, _CALL) else None

    def to_dict(self) -> dict[str, Any]:
        """The recipe in words of JSON."""
        made: dict[str, Any] = msgspec.to_builtins(self, order="deterministic")
        return made

    @staticmethod
    def from_dict(val: Mapping[str, Any]) -> ReconstructableJob:
        """The recipe that `to_dict` gave."""
        return msgspec.convert(val, ReconstructableJob)

    @staticmethod
    def for_file(python_file: str, fn_name: str) -> ReconstructableJob:
        """The job under a name in a file."""
        path = str(Path(python_file).resolve())
        return _named(ReconstructableRepository(_FILE, path, fn_name, str(Path.cwd())))

    @staticmethod
    def for_module(module: str, fn_name: str) -> ReconstructableJob:
        """The job under a name in a module."""
        return _named(ReconstructableRepository(_MODULE, module, fn_name, str(Path.cwd())))


def _as_repository(found: Any) -> RepositoryDefinition | None:
    """What was found as a repository; None where it is neither that nor a Definitions object."""
    if hasattr(found, "get_repository_def"):
        found = found.get_repository_def()
    return found if isinstance(found, RepositoryDefinition) else None


def _named(repository: ReconstructableRepository) -> ReconstructableJob:
    return ReconstructableJob(repository, repository.get_job(None).name)


@lru_cache(maxsize=64)
def _make(recipe: ReconstructableJob) -> JobDefinition:
    job = recipe.repository.get_job(recipe.job_name)
    return job.get_subset(op_selection=sorted(recipe.op_selection)) if recipe.op_selection else job


def _already_imported(name: str) -> types.ModuleType | None:
    """A module that is in use as it is: importing by path would make another of the same code."""
    return sys.modules.get(name)


def _import(name: str, directory: Path) -> types.ModuleType:
    known = _already_imported(name)
    if known is not None:
        return known
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DagsterImportError(
            f'The module "{name}" of a job cannot be imported from {directory}: {type(error).__name__}: {error}. Run from the '
            f"folder that has it, or give reconstructor_working_directory."
        ) from error


# -- of an object -------------------------------------------------------------------------------------------------------


def reconstructable(target: Any) -> ReconstructableJob:
    """A recipe for a job, so that other processes can make it again: for a `@job` of a module, or for a function of a module
    that takes nothing and returns a job, which is called here once to see that it does.

    Raises DagsterInvariantViolationError for what another process could not find by module and name. A job of an interactive
    session, which is in no file, is handed on as it is, with a TreadleByValueWarning.
    """
    is_function = inspect.isfunction(target)
    if not is_function and not isinstance(target, JobDefinition):
        raise DagsterInvariantViolationError(
            f"Reconstructable target should be a function or definition produced by a decorated function, got {type(target)}. "
            f"Give a @job, or a function of a module that returns a job."
        )
    if isinstance(target, JobDefinition) and not hasattr(target, "__wrapped__"):
        raise DagsterInvariantViolationError(
            f"Reconstructable target was not a function returning a job definition, or a job definition produced by a decorated "
            f'function. The job "{target.name}" was made by to_job() or a method, and nothing tells another process how: you must '
            f"wrap the ``to_job`` call in a function at module scope:\n    def make_{target.name}():\n        return ...to_job()\nand write "
            f"reconstructable(make_{target.name})."
        )
    name = target.__name__ if is_function else target.__wrapped__.__name__
    _check_name(target if is_function else target.__wrapped__, name)
    if is_function:
        _check_function(target)
    module_name = target.__module__
    job = _job_of(target(), f'the function "{name}"') if is_function else target
    repository = _pointer(module_name, name, job)
    found = ReconstructableJob(repository, job.name)
    if repository.kind == _MODULE and not is_function:
        _check_reachable(target, module_name, name)
    return found


def _check_name(fn: Any, name: str) -> None:
    if name == "<lambda>":
        raise DagsterInvariantViolationError(
            "Reconstructable target can not be a lambda: another process could not find it. Use a function or job that has "
            "been defined globally, with def."
        )
    if fn.__qualname__ != name:
        raise DagsterInvariantViolationError(
            f"Use a function or decorated function defined at module scope, where another process finds it: "
            f'"{name}" has a different __qualname__ "{fn.__qualname__}", so it stands in a function or class.'
        )


def _check_function(function: types.FunctionType) -> None:
    needed = [each.name for each in read_signature(function).parameters]
    if needed:
        raise DagsterInvariantViolationError(
            f'Reconstructable target must be callable with no arguments; "{function.__name__}" takes {", ".join(needed)}. Use '
            f"build_reconstructable_job to give arguments."
        )


def _check_reachable(target: JobDefinition, module_name: str, name: str) -> None:
    found = getattr(sys.modules.get(module_name), name, None)
    if found is not None and found is not target and not isinstance(found, (JobDefinition, types.FunctionType)):
        raise DagsterInvariantViolationError(
            f'The job "{target.name}" is not what module "{module_name}" has under the name "{name}", which is {show(found)}.'
        )


def _job_of(found: Any, what: str) -> JobDefinition:
    if isinstance(found, JobDefinition):
        return found
    kind = (
        "a graph" if isinstance(found, GraphDefinition) else "an op" if isinstance(found, OpDefinition) else show(found)
    )
    raise DagsterInvariantViolationError(
        f"Loadable attributes must be either a JobDefinition, GraphDefinition, Definitions, or RepositoryDefinition. Got {kind}. "
        f"What {what} gave must resolve to a JobDefinition."
        f"{' It gave a graph. Return graph.to_job().' if isinstance(found, GraphDefinition) else ''}"
    )


def _pointer(module_name: str, name: str, job: JobDefinition) -> ReconstructableRepository:
    if module_name != "__main__":
        return ReconstructableRepository(_MODULE, module_name, name, str(Path.cwd()))
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():
        return _by_value(job)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in ("__main__", None):  # python -m package.module
        return ReconstructableRepository(_MODULE, spec.name.removesuffix(".__main__"), name, str(Path.cwd()))
    return ReconstructableRepository(_FILE, str(Path(file).resolve()), name, str(Path.cwd()))


def _by_value(job: JobDefinition) -> ReconstructableRepository:
    import base64

    import cloudpickle

    warnings.warn(
        f'The job "{job.name}" is defined in an interactive session, so other processes get it as it is now, by value: they need '
        f"the same Python and packages, and a resumed run does not see what you change in it. Put it into a module to avoid that.",
        TreadleByValueWarning,
        stacklevel=4,
    )
    try:
        pickled = cloudpickle.dumps(job)
    except Exception as error:
        raise DagsterInvariantViolationError(
            f'The job "{job.name}" is defined in an interactive session, and cannot be handed to other processes: '
            f"{_culprit(job)}{type(error).__name__}: {error}. Put it into a module, or keep what cannot be pickled out of it; a "
            f"resource can make it where it is needed."
        ) from error
    return ReconstructableRepository(_VALUE, value=base64.b64encode(pickled).decode())


def _culprit(job: JobDefinition) -> str:
    """Which op, or which resource, cannot be pickled by itself."""
    import cloudpickle

    parts: list[tuple[str, Any]] = [
        (f'op "{wired.definition.name}"', wired.definition) for wired in job.wiring.ops.values()
    ]
    parts += [(f'resource "{key}"', definition) for key, definition in job.resource_defs.items()]
    for what, part in parts:
        try:
            cloudpickle.dumps(part)
        except Exception:  # noqa: BLE001 - whatever the pickling of a user's object raises
            return f"{what}, "
    return ""


def _unpickle(value: str) -> JobDefinition:
    import base64

    import cloudpickle

    try:
        job = cloudpickle.loads(base64.b64decode(value))
    except Exception as error:
        raise DagsterImportError(
            f"A job that was handed on by value cannot be read here, with the Python and the packages of this process: "
            f"{type(error).__name__}: {str(error).rstrip('.')}. Use those that it was made with, or put the job into a module."
        ) from error
    return _job_of(job, "a job by value")


def build_reconstructable_job(
    reconstructor_module_name: str,
    reconstructor_function_name: str,
    reconstructable_args: tuple[Any, ...] | None = None,
    reconstructable_kwargs: Mapping[str, Any] | None = None,
    reconstructor_working_directory: str | None = None,
) -> ReconstructableJob:
    """A recipe that calls a function of a module, with arguments that JSON can hold, in each process.

    Raises ParameterCheckError for arguments of a wrong kind; a module or function that is not there is told when the job is
    made.
    """
    if reconstructable_args is not None and not isinstance(reconstructable_args, tuple):
        raise ParameterCheckError(
            f'build_reconstructable_job: Param "reconstructable_args" is not a tuple. Got {reconstructable_args!r}. Write for '
            f"example (3,)."
        )
    if reconstructable_kwargs is not None and not isinstance(reconstructable_kwargs, Mapping):
        raise ParameterCheckError(
            f'build_reconstructable_job: Param "reconstructable_kwargs" is not a dict. Got {reconstructable_kwargs!r}. '
            f'Write for example {{"rows": 3}}.'
        )
    try:
        arguments = json.dumps([list(reconstructable_args or ()), dict(reconstructable_kwargs or {})])
    except (TypeError, ValueError) as error:
        raise ParameterCheckError(
            f"build_reconstructable_job: JSON cannot hold these arguments: {error}. Give None, bool, int, float, str, lists and "
            f"dicts, and have the function make the rest."
        ) from error
    repository = ReconstructableRepository(
        _CALL, reconstructor_module_name, reconstructor_function_name, reconstructor_working_directory, arguments
    )
    return ReconstructableJob(repository, reconstructor_function_name)


# -- of what the command line takes -------------------------------------------------------------------------------------


def recipe_for(target: str) -> ReconstructableJob:
    """The recipe of what `load_job` takes: `FILE[:JOB]` or `module[:JOB]`, from the working directory. Raises what it raises."""
    wanted = Target.read(target)
    job = load_job(target)
    directory = Path.cwd()
    if wanted.is_file or (directory / wanted.place).is_file():
        place = str((directory / wanted.place).resolve())
        repository = ReconstructableRepository(_FILE, place, wanted.name or "", str(directory))
    else:
        repository = ReconstructableRepository(_MODULE, wanted.place, wanted.name or "", str(directory))
    return ReconstructableJob(repository, job.name)
