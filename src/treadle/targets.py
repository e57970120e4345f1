"""reconstructable: named jobs in a module or file, and how another process finds them.

The command line and worker processes come here with a text such as `jobs/flights.py:nightly` and get the job.
User code is run by importing it, and changes to `sys.path` stay, so that ops may import their neighbours later.
What is wrong with the user's file is told here; nothing here runs a job.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from treadle.definitions.container import Definitions, LazyDefinitions
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.definitions.op import OpDefinition
from treadle.definitions.repositories import RepositoryDefinition
from treadle.errors import DagsterCodeNotFoundError, DagsterImportError, DagsterInvariantViolationError
from treadle.introspect import MISSING, is_async, read_signature
from treadle.names import nearest

#: what may hold jobs that it binds to what they share
_CONTAINERS = (Definitions, LazyDefinitions, RepositoryDefinition)

_HOW_TO_MAKE = "A job is made with @job above a function that calls ops, or with to_job() of a graph."


class Target(NamedTuple):
    """Where a job is, as a user writes it: `place:name`; without a name it is the only job in the place."""

    place: str
    name: str | None = None

    @classmethod
    def read(cls, text: str) -> Target:
        """`path/to/file.py:job` or `package.module:job`, each with or without the job."""
        place, colon, name = text.rpartition(":")
        if not colon:
            place, name = text, ""
        if not place.strip() or place.endswith(":") or (colon and not name):
            raise DagsterCodeNotFoundError(
                f'"{text}" does not name a job. Write FILE or FILE:JOB, such as flights.py:flights_job, or the same '
                f"with a module, such as package.module:flights_job."
            )
        return cls(place, name or None)

    @property
    def is_file(self) -> bool:
        """True for a path, False for the name of a module."""
        return self.place.endswith(".py") or "/" in self.place or "\\" in self.place

    def __str__(self) -> str:
        return f"{self.place}:{self.name}" if self.name else self.place


def load_job(target: str, working_directory: str | None = None) -> JobDefinition:
    """Import a file or a module and give the job that is meant.

    `target` is `path/to/file.py`, `path/to/file.py:name`, `package.module` or `package.module:name`. The name is that
    of a job, of a graph (it becomes a job), or of a function that takes nothing and returns a job; it may be left out
    where there is one job only. Paths and modules are looked for from `working_directory`, by default the current one.

    Raises DagsterCodeNotFoundError where file, job or name are not there, and DagsterImportError, with the user's own
    exception as its cause, where the code cannot be imported.
    """
    wanted = Target.read(target)
    folder = Path(working_directory) if working_directory else Path.cwd()
    if wanted.is_file or (folder / wanted.place).is_file():
        return find_job(import_file(wanted.place, folder), wanted)
    if (folder / wanted.place).is_dir() and not wanted.place.replace(".", "").isidentifier():
        raise _folder_named(wanted.place, folder / wanted.place)
    module = import_module(wanted.place, folder)
    if _file_of(module) is None and (folder / wanted.place).is_dir():
        raise _folder_named(wanted.place, folder / wanted.place)
    return find_job(module, wanted)


# -- a file -----------------------------------------------------------------------------------------------------------


def import_file(place: str, working_directory: Path) -> types.ModuleType:
    """Import a file as a module under its stem, with its folder first on `sys.path`, as `python FILE` has it.

    `working_directory` goes to the end of the path, so that a project's own packages are found from there, too.
    """
    path = (working_directory / place).resolve()
    _check_file(place, path)
    known = sys.modules.get(path.stem)
    if known is not None:
        if _file_of(known) == path:
            return known
        _check_replaceable(place, path, known)
    _put_on_path(path.parent, first=True)
    _put_on_path(working_directory.resolve(), first=False)
    return _execute(path, place)


def _check_file(place: str, path: Path) -> None:
    if path.is_file() and path.suffix == ".py":
        return
    if path.is_dir():
        raise _folder_named(place, path)
    if path.exists():
        raise DagsterCodeNotFoundError(
            f'"{place}" is not a Python file: its name does not end in ".py". Name one that does, or rename it.'
        )
    if not path.parent.is_dir():
        raise DagsterCodeNotFoundError(f'"{place}" does not exist, and neither does its folder "{path.parent}".')
    from difflib import get_close_matches

    files = _python_files(path.parent)
    # stems are compared, since all names of files are alike in their ending
    near = get_close_matches(path.stem, [name.removesuffix(".py") for name in files], n=1)
    hint = f'Did you mean "{near[0]}.py"?' if near else f"The folder has {_list(files, 'no Python file')}."
    raise DagsterCodeNotFoundError(f'"{place}" does not exist. {hint}')


def _folder_named(place: str, path: Path) -> DagsterCodeNotFoundError:
    found = _list(_python_files(path), "no Python file", f"{place.rstrip('/')}/")
    return DagsterCodeNotFoundError(f'"{place}" is a folder. Name a file in it; it has {found}.')


def _check_replaceable(place: str, path: Path, known: types.ModuleType) -> None:
    """Another file of the user's that was loaded under the same stem gives way; a library does not."""
    file = _file_of(known)
    is_library = path.stem in sys.stdlib_module_names or file is None or hasattr(known, "__path__")
    if is_library or {"site-packages", "dist-packages"} & set(file.parts if file else ()):
        raise DagsterImportError(
            f'"{place}" cannot be imported as module "{path.stem}": a library of that name is in use. Rename the file.'
        )


def _execute(path: Path, place: str) -> types.ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(path.stem, path)
    assert spec is not None  # as for every name that ends in ".py"
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    under_way = _UNDER_WAY.set(place)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        raise _broken(place, error, path) from error
    finally:
        _UNDER_WAY.reset(under_way)
    return module


#: the file that is being imported for the sake of a job in it
_UNDER_WAY: ContextVar[str | None] = ContextVar("treadle_import", default=None)


def refuse_while_importing(what: str) -> None:
    """Refuse to run a job from the top level of a file that is imported to find a job in it: that would go on for ever."""
    place = _UNDER_WAY.get()
    if place is not None:
        raise DagsterInvariantViolationError(
            f'{what} was called while "{place}" was imported to find a job in it: what stands at the top level of the file runs '
            f'again in every process that imports it. Put the call below `if __name__ == "__main__":`.'
        )


def _file_of(module: types.ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _python_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")


def _put_on_path(folder: Path, *, first: bool) -> None:
    entry = str(folder)
    if entry not in sys.path:
        sys.path.insert(0 if first else len(sys.path), entry)


# -- a module -----------------------------------------------------------------------------------------------------------


def import_module(name: str, working_directory: Path) -> types.ModuleType:
    """Import a module by its dotted name, with the working directory first on `sys.path`."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise DagsterCodeNotFoundError(
            f'"{name}" is neither the path of a Python file, such as jobs/flights.py, nor the name of a module, '
            f"such as jobs.flights."
        )
    _put_on_path(working_directory.resolve(), first=True)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise _no_module(name, error.name, working_directory) from error
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _no_module(name: str, missing: str, working_directory: Path) -> DagsterImportError:
    """What to say where `missing`, which is `name` or a package around it, is not there."""
    from difflib import get_close_matches

    parent, _, last = missing.rpartition(".")
    package = sys.modules.get(parent) if parent else None
    if package is not None and hasattr(package, last):
        return DagsterImportError(f'There is no module "{name}". Did you mean "{parent}:{last}"?')
    if package is not None and not hasattr(package, "__path__"):
        return DagsterImportError(f'There is no module "{name}": "{parent}" is a module, not a package.')
    where = f'package "{parent}"' if parent else f"{working_directory} or among what is installed"
    near = get_close_matches(last, _modules_below(package, working_directory), n=1)
    hint = f' Did you mean "{parent}.{near[0]}"?' if near and parent else f' Did you mean "{near[0]}"?' if near else ""
    return DagsterImportError(f'There is no module "{name}": nothing is called "{last}" in {where}.{hint}')


def _modules_below(package: types.ModuleType | None, working_directory: Path) -> list[str]:
    import pkgutil

    folders = list(package.__path__) if package is not None else [str(working_directory)]
    return [found.name for found in pkgutil.iter_modules(folders)]


# -- code that cannot be imported -----------------------------------------------------------------------------------------


def _broken(place: str, error: BaseException, path: Path | None = None) -> DagsterImportError:
    """What to say where user code raised while it was imported; the caller makes `error` the cause."""
    if isinstance(error, SyntaxError):
        return DagsterImportError(_syntax_error(place, error, path))
    line = _line_of(error, path)
    where = f"{place}:{line}: cannot be imported" if line else f'"{place}" cannot be imported'
    if isinstance(error, SystemExit):
        return DagsterImportError(
            f"{where}: it ends the program (SystemExit: {error.code}). Put what should happen only when the file is run "
            f'as a script below `if __name__ == "__main__":`.'
        )
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return DagsterImportError(f"{where}: {text}{_import_hint(error, path)}")


def _syntax_error(place: str, error: SyntaxError, path: Path | None) -> str:
    """`file:line: what is wrong`, then the line with a caret below, as Python shows it."""
    import traceback

    file = Path(error.filename) if error.filename else path
    if file is None or file == path:
        shown = place
    else:
        shown = str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    where = f"{shown}:{error.lineno}" if error.lineno else shown
    lines = "".join(traceback.format_exception_only(error)).splitlines()
    code = [line for line in lines[:-1] if not line.startswith('  File "')]
    return "\n".join([f"{where}: this is not valid Python: {error.msg}", *code])


def _line_of(error: BaseException, path: Path | None) -> int | None:
    """The innermost line of the file from which the exception came."""
    line = None
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(path):
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _import_hint(error: BaseException, path: Path | None) -> str:
    if not isinstance(error, ImportError):
        return ""
    if "relative import" in str(error) and path is not None and (path.parent / "__init__.py").exists():
        return (
            f'\nThe file belongs to a package: name it as a module instead, such as "{path.parent.name}.{path.stem}", '
            f'from the folder that holds "{path.parent.name}".'
        )
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    neighbours = [name.removesuffix(".py") for name in _python_files(path.parent)] if path is not None else []
    hint = nearest(error.name, (name for name in neighbours if path is None or name != path.stem))
    return f"\n{hint.strip()}" if hint else f"\nIs it installed for the Python that runs this? {sys.executable}"


# -- the job in it --------------------------------------------------------------------------------------------------------


def find_job(module: types.ModuleType, wanted: Target) -> JobDefinition:
    """The job that is meant by the target's name; without a name, the only job of the module."""
    if wanted.name is None:
        return _only_job(module, wanted.place)
    value = getattr(module, wanted.name, MISSING)
    if value is MISSING:
        return _job_called(module, wanted.place, wanted.name)
    return _bound(module, _to_job(value, wanted))


def jobs_in(module: types.ModuleType) -> dict[str, JobDefinition]:
    """The jobs of a module, by the first name that each has there; those in containers come bound, by their own names."""
    found = _values_in(module, JobDefinition)
    contained = {job.name: job for each in _repositories_in(module) for job in each.get_all_jobs()}
    bound = {name: contained.pop(job.name, job) for name, job in found.items()}
    return {**bound, **{name: job for name, job in contained.items() if name not in bound}}


def _repositories_in(module: types.ModuleType) -> list[RepositoryDefinition]:
    """The module's Definitions objects and repositories."""
    containers = [each for kind in _CONTAINERS for each in _values_in(module, kind).values()]
    return [_repository_of(each) for each in containers]


def _repository_of(container: Any) -> RepositoryDefinition:
    if isinstance(container, LazyDefinitions):
        container = container()
    repository = container.get_repository_def() if isinstance(container, Definitions) else container
    assert isinstance(repository, RepositoryDefinition), repository
    return repository


def _bound(module: types.ModuleType, job: JobDefinition) -> JobDefinition:
    """The job as the module's container has it, where there is one: there it gets the resources that it lacks."""
    for repository in _repositories_in(module):
        if repository.has_job(job.name) and repository.get_job(job.name).graph is job.graph:
            return repository.get_job(job.name)
    return job


def _values_in(module: types.ModuleType, kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, value in vars(module).items():
        if isinstance(value, kind) and id(value) not in seen:
            seen.add(id(value))
            found[name] = value
    return found


def _only_job(module: types.ModuleType, place: str) -> JobDefinition:
    jobs = jobs_in(module)
    if len(jobs) == 1:
        return next(iter(jobs.values()))
    if jobs:
        raise DagsterCodeNotFoundError(
            f'"{place}" has {len(jobs)} jobs: {", ".join(jobs)}. Say which, for example "{place}:{next(iter(jobs))}".'
        )
    graphs = list(_values_in(module, GraphDefinition))
    if graphs:
        raise DagsterCodeNotFoundError(
            f'"{place}" has no job, but {"a graph" if len(graphs) == 1 else "graphs"}: {", ".join(graphs)}. Name '
            f'{"it" if len(graphs) == 1 else "one"} to run it as a job: "{place}:{graphs[0]}".'
        )
    raise DagsterCodeNotFoundError(f'"{place}" has no job. {_HOW_TO_MAKE}{_ops_hint(module)}')


def _ops_hint(module: types.ModuleType) -> str:
    ops = list(_values_in(module, OpDefinition))
    return f" It has {'the op' if len(ops) == 1 else 'ops'} {', '.join(ops[:10])}." if ops else ""


def _job_called(module: types.ModuleType, place: str, name: str) -> JobDefinition:
    """A job by the name that it has for itself, where no variable has that name."""
    jobs = jobs_in(module)
    for job in jobs.values():
        if job.name == name:
            return job
    runnable = [*jobs, *_values_in(module, GraphDefinition)]
    hint = nearest(name, {*runnable, *(job.name for job in jobs.values())}) or nearest(name, _functions_in(module))
    listed = f"Its jobs: {', '.join(jobs)}." if jobs else f"It has no job. {_HOW_TO_MAKE}"
    raise DagsterCodeNotFoundError(f'"{place}" has no job called "{name}".{hint} {listed}')


def _functions_in(module: types.ModuleType) -> list[str]:
    return [name for name, value in _values_in(module, types.FunctionType).items() if not name.startswith("_")]


def _to_job(value: Any, wanted: Target) -> JobDefinition:
    """A job of what stands under the name that was asked for."""
    if isinstance(value, JobDefinition):
        return value
    if isinstance(value, GraphDefinition):
        job: JobDefinition = value.to_job()
        return job
    if isinstance(value, _CONTAINERS):
        return _only_job_of(_repository_of(value), wanted)
    if isinstance(value, types.FunctionType):
        return _call(value, wanted)
    if isinstance(value, OpDefinition):
        raise DagsterCodeNotFoundError(
            f'"{wanted}" is an op, not a job. To run it, put it into a job:\n'
            f"    @job\n    def {wanted.name}_job():\n        {wanted.name}()"
        )
    raise DagsterCodeNotFoundError(f'"{wanted}" is {_kind_of(value)}, not a job. {_HOW_TO_MAKE}')


def _only_job_of(repository: RepositoryDefinition, wanted: Target) -> JobDefinition:
    names = repository.job_names
    if len(names) == 1:
        return repository.get_job(names[0])
    if not names:
        raise DagsterCodeNotFoundError(f'"{wanted}" holds no job. {_HOW_TO_MAKE}')
    raise DagsterCodeNotFoundError(
        f'"{wanted}" holds {len(names)} jobs: {", ".join(names)}. Say which, for example "{wanted.place}:{names[0]}".'
    )


def _call(function: types.FunctionType, wanted: Target) -> JobDefinition:
    """The job that a function without arguments returns."""
    needed = [parameter.name for parameter in read_signature(function).parameters if parameter.default is MISSING]
    if needed:
        raise DagsterCodeNotFoundError(
            f'"{wanted}" is a function that needs {_list(needed)}. A function that gives a job is called with no '
            f"arguments. {_HOW_TO_MAKE}"
        )
    if is_async(function):
        raise DagsterCodeNotFoundError(f'"{wanted}" is an async function, not a job. {_HOW_TO_MAKE}')
    try:
        value = function()
    except (Exception, SystemExit) as error:
        ended = isinstance(error, SystemExit)
        text = "ended the program" if ended else f"raised {type(error).__name__}: {error}"
        raise DagsterImportError(f'"{wanted}" was called to get a job, and {text}') from error
    if isinstance(value, JobDefinition):
        return value
    if isinstance(value, _CONTAINERS):
        return _only_job_of(_repository_of(value), wanted)
    advice = "Let it return graph.to_job()." if isinstance(value, GraphDefinition) else _HOW_TO_MAKE
    raise DagsterCodeNotFoundError(f'"{wanted}" is a function that returned {_kind_of(value)}, not a job. {advice}')


def _kind_of(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, GraphDefinition):
        return "a graph"
    if isinstance(value, types.ModuleType):
        return "a module"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _list(names: Iterable[str], otherwise: str = "", prefix: str = "") -> str:
    shown = [f"{prefix}{name}" for name in names]
    more = f" and {len(shown) - 10} more" if len(shown) > 10 else ""
    return ", ".join(shown[:10]) + more if shown else otherwise
