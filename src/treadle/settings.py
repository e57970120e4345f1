"""Where an instance lives, and how it is set up: home and settings, each with where it was said.

Functions of the environment, the working directory and files that are read here. The instance asks them; they open no
store and make no folder.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from treadle.errors import (
    DagsterInvariantViolationError,
    SettingsError,
    TreadleSettingsWarning,
)
from treadle.names import nearest

HOME_VARIABLES = ("TREADLE_HOME", "DAGSTER_HOME")
SETTINGS_FILE = "treadle.toml"
_PYPROJECT = "pyproject.toml"


class Home(NamedTuple):
    """The folder of an instance, and who said so."""

    path: Path
    origin: str


class Settings(msgspec.Struct, frozen=True):
    """How an instance is set up. `origins` tells of each value where it was said, by its dotted name."""

    #: `normal`: what was committed survives the death of any process; `full`: a loss of power too
    durability: str = "normal"
    #: seconds after their end at which `treadle gc` deletes runs, and how many it leaves; None for no bound
    max_age: float | None = None
    max_runs: int | None = None
    #: bytes of messages that one step may log
    max_step_log: int = 10_000_000
    #: seconds that the owner of a run on another host may be silent before it counts as dead
    lease_duration: float = 15.0
    #: where outputs are stored; None for `storage` in the home
    artifacts_dir: Path | None = None
    #: where the database is
    database_folder: Path = Path()
    origins: Mapping[str, str] = {}

    def origin_of(self, name: str) -> str:
        """Where a setting was said: a file with its line, a variable of the environment, or `default`."""
        if name not in _KEYS:
            raise SettingsError(f'There is no setting "{name}".{nearest(name, _KEYS)} Settings: {", ".join(_KEYS)}.')
        return self.origins.get(name, "default")


# -- home ---------------------------------------------------------------------------------------------------------------


def find_home(environ: Mapping[str, str], working_directory: Path) -> Home:
    """The folder of the lasting instance of this place; it may not be there yet.

    TREADLE_HOME, then `home` in `[tool.treadle]` of the nearest pyproject.toml upwards, then `.treadle` beside that file, or
    else in the working directory. Where only DAGSTER_HOME is set, and names a folder, it is that. Raises
    DagsterInvariantViolationError for a home that cannot be.
    """
    given = environ.get("TREADLE_HOME")
    if given:
        return Home(_check_home(_resolve(given, working_directory), "TREADLE_HOME"), "TREADLE_HOME in the environment")
    older = environ.get("DAGSTER_HOME")
    if older:
        return Home(_check_dagster_home(older), "DAGSTER_HOME in the environment")
    project = _find_project(working_directory)
    if project is None:
        return Home(working_directory / ".treadle", "the working directory")
    said = _read_table(project).get("home")
    if said is None:
        return Home(project.parent / ".treadle", f"beside {project}")
    if not isinstance(said, str):
        raise SettingsError(f"{project}: tool.treadle.home: expected the path of a folder as text, got {said!r}.")
    return Home(_check_home(_resolve(said, project.parent), f"home in {project}"), f"{project}")


def _check_dagster_home(given: str) -> Path:
    path = Path(given).expanduser()
    if not path.is_absolute() or not path.is_dir():
        raise DagsterInvariantViolationError(
            f"$DAGSTER_HOME is {given!r}, which is not the absolute path of a folder. Set it to one that is there, or set "
            f"TREADLE_HOME, whose folder is made when it is not there."
        )
    return path


def _resolve(text: str, folder: Path) -> Path:
    return (folder / os.path.expandvars(Path(text).expanduser())).resolve()


def _check_home(path: Path, who: str) -> Path:
    if path.exists() and not path.is_dir():
        raise DagsterInvariantViolationError(
            f"{who} names {path}, which is a file. A home is a folder; it is made when needed."
        )
    return path


def _find_project(folder: Path) -> Path | None:
    for each in (folder, *folder.parents):
        if (each / _PYPROJECT).is_file():
            return each / _PYPROJECT
    return None


# -- settings -----------------------------------------------------------------------------------------------------------

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS |= {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_MEASURE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def read_duration(value: Any) -> float:
    """Seconds of a number, or of a text such as `30 days`, `12h`, `90 min`; ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    found = _MEASURE.fullmatch(value) if isinstance(value, str) else None
    unit = found[2].lower() if found else ""
    seconds = _UNITS.get(unit or "s") or _UNITS.get(unit.removesuffix("s"))
    if found is None or seconds is None:
        raise ValueError('a duration, such as "30 days", "12h" or a number of seconds')
    return float(found[1]) * seconds


def read_size(value: Any) -> int:
    """Bytes of a number, or of a text such as `10 MB`, `4 KiB`; ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _MEASURE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2].lower() not in _SIZES:
        raise ValueError('a size, such as "10 MB" or a number of bytes')
    return int(float(found[1]) * _SIZES[found[2].lower()])


def _read_count(value: Any) -> int:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.isdecimal():
        text = int(text)
    if not isinstance(text, int) or isinstance(text, bool) or text < 0:
        raise ValueError("a whole number, zero or more")
    return text


def _read_durability(value: Any) -> str:
    if value not in ("normal", "full"):
        raise ValueError('"normal" or "full"')
    return str(value)


def _read_path(value: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise ValueError("the path of a folder")
    return Path(os.path.expandvars(Path(value).expanduser()))


#: dotted name -> field of Settings, and how its value is read
_KEYS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "durability": ("durability", _read_durability),
    "retention.max_age": ("max_age", read_duration),
    "retention.max_runs": ("max_runs", _read_count),
    "retention.max_step_log": ("max_step_log", read_size),
    "lease.duration": ("lease_duration", read_duration),
    "artifacts.dir": ("artifacts_dir", _read_path),
}

#: a value with where it was said: (dotted name, value, origin)
_Said = tuple[str, Any, str]


def read_settings(
    home: Path, environ: Mapping[str, str], working_directory: Path, overrides: Mapping[str, Any]
) -> Settings:
    """The settings of the instance in a home: defaults, then `[tool.treadle]` of pyproject.toml, `treadle.toml` in the
    home, variables such as TREADLE_DURABILITY or TREADLE_RETENTION_MAX_AGE, and `overrides`; what is said later wins.

    Raises SettingsError with every mistake in them.
    """
    project = _find_project(working_directory)
    said: list[_Said] = []
    if project is not None:
        said += _flatten({k: v for k, v in _read_table(project).items() if k != "home"}, project, "tool.treadle")
    own = home / SETTINGS_FILE
    if own.is_file():
        said += _flatten(_read_toml(own), own, "")
    said += _from_environment(environ)
    ours = {key: value for key, value in overrides.items() if key not in _DAGSTER_KEYS}
    _tell_unused([key for key in overrides if key in _DAGSTER_KEYS], "overrides")
    said += [(name, value, "overrides") for name, value, _ in _flatten(ours, None, "")]
    values: dict[str, Any] = {"database_folder": home}
    origins: dict[str, str] = {}
    mistakes = []
    for name, value, origin in said:
        if name not in _KEYS:
            mistakes.append(
                f'{origin}: there is no setting "{name}".{nearest(name, _KEYS)} Settings: {", ".join(_KEYS)}.'
            )
            continue
        field, read = _KEYS[name]
        try:
            values[field] = read(value)
        except ValueError as error:
            mistakes.append(f"{origin}: {name}: expected {error}, got {value!r}.")
        origins[name] = origin
    if mistakes:
        listed = "".join(f"\n  {line}" for line in mistakes)
        raise SettingsError(f"The settings of the instance in {home} have {len(mistakes)} mistake(s):{listed}")
    values.update(_read_dagster_yaml(home))
    if values.get("artifacts_dir") is not None:
        values["artifacts_dir"] = home / values["artifacts_dir"]
    return Settings(**values, origins=origins)


def _from_environment(environ: Mapping[str, str]) -> Iterator[_Said]:
    for name in _KEYS:
        variable = "TREADLE_" + name.replace(".", "_").upper()
        if environ.get(variable):
            yield name, environ[variable], f"{variable} in the environment"


def _flatten(table: Mapping[str, Any], path: Path | None, section: str) -> Iterator[_Said]:
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None else []

    def walk(inner: Mapping[str, Any], prefix: str) -> Iterator[_Said]:
        for key, value in inner.items():
            name = f"{prefix}.{key}" if prefix else key
            if isinstance(value, Mapping):
                yield from walk(value, name)
            else:
                yield name, value, f"{path}{_line_of(lines, section, name)}"

    yield from walk(table, "")


def _line_of(lines: list[str], section: str, name: str) -> str:
    """` line 3`: where a dotted name is given its value in a TOML file."""
    wanted = f"{section}.{name}" if section else name
    table = ""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("["):
            table = text.strip("[] ").replace('"', "").replace(" ", "")
        elif "=" in text and not text.startswith("#"):
            key = text.partition("=")[0].strip().replace('"', "").replace(" ", "")
            full = f"{table}.{key}" if table else key
            if full == wanted or wanted.startswith(f"{full}."):
                return f" line {number}"
    return ""


def _read_table(project: Path) -> Mapping[str, Any]:
    table = _read_toml(project).get("tool", {}).get("treadle", {})
    if not isinstance(table, Mapping):
        raise SettingsError(f"{project}: tool.treadle: expected a table, got {table!r}.")
    return table


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    return found


# -- what other programs left -------------------------------------------------------------------------------------------

#: root keys of a dagster.yaml
_DAGSTER_KEYS = frozenset(
    "local_artifact_storage compute_logs storage run_queue run_storage event_log_storage schedule_storage scheduler"
    " run_coordinator run_launcher telemetry nux instance_class python_logs run_monitoring run_retries code_servers secrets"
    " defs_state_storage backfills sensors schedules auto_materialize freshness concurrency".split()
)


def _read_dagster_yaml(home: Path) -> dict[str, Any]:
    """Of a dagster.yaml only the folder of an SQLite storage is taken; that the rest is not used is said."""
    path = home / "dagster.yaml"
    if not path.is_file():
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    storage = found.get("storage") if isinstance(found, Mapping) else None
    folder = storage.get("sqlite", {}).get("base_dir") if isinstance(storage, Mapping) else None
    unused = sorted(key for key in found if key not in ("telemetry", "storage" if folder else "telemetry"))
    _tell_unused(unused, str(path))
    return {"database_folder": Path(folder)} if folder else {}


def _tell_unused(keys: list[str], where: str) -> None:
    if keys:
        warnings.warn(
            f"{where}: Treadle does not use {', '.join(keys)}. Its own settings are {', '.join(_KEYS)}; they stand in "
            f"{SETTINGS_FILE}.",
            TreadleSettingsWarning,
            stacklevel=5,
        )
