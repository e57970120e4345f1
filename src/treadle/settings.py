"""Where an instance lives, and how it is set up: home and settings, each with where it was said.

Functions of the environment, the working directory and files that are read here. The instance asks them; they open no
store and make no folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from treadle.errors import (
    DagsterInvariantViolationError,
    SettingsError,
    TreadleSettingsWarning,
)
from treadle.names import nearest

if TYPE_CHECKING:
    from treadle.toml_lines import Way

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
    #: where outputs are stored, a folder or a URL; None for `storage` in the home
    artifacts_dir: Path | str | None = None
    #: slots that all runs of the home share: how many there are of each name
    slots: Mapping[str, int] = {}
    #: where values go that later steps of a run take: `disk`, or `memory` as far as they fit
    hand_over: str = "disk"
    #: bytes that the values of one run may take there; None for half of what is free
    memory_limit: int | None = None
    #: where the database is
    database_folder: Path = Path()
    origins: Mapping[str, str] = {}

    def origin_of(self, name: str) -> str:
        """Where a setting was said: a file with its line, a variable of the environment, or `default`.

        That of a slot is `slots.` and its name.
        """
        known = [*_KEYS, *(f"{_SLOTS}.{slot}" for slot in self.slots)]
        if name not in known:
            raise SettingsError(f'There is no setting "{name}".{nearest(name, known)} Settings: {_LISTED}.')
        return self.origins.get(name, "default")


# -- home ---------------------------------------------------------------------------------------------------------------


def find_home(environ: Mapping[str, str], working_directory: Path) -> Home:
    """The folder of the lasting instance of this place; it may not be there yet.

    TREADLE_HOME, then `home` in `[tool.treadle]` of the nearest pyproject.toml upwards, then `.treadle` beside that file, or
    else in the working directory. Where only DAGSTER_HOME is set, and names a folder, it is that. Raises
    DagsterInvariantViolationError for a home that cannot be, SettingsError for a pyproject.toml that cannot be read.
    """
    given = environ.get("TREADLE_HOME")
    if given:
        return Home(_check_home(given, working_directory, "TREADLE_HOME"), "TREADLE_HOME in the environment")
    older = environ.get("DAGSTER_HOME")
    if older:
        return Home(_check_dagster_home(older), "DAGSTER_HOME in the environment")
    project = _find_project(working_directory)
    if project is None:
        return Home(working_directory / ".treadle", "the working directory")
    said = _TomlFile(project).project_table().get("home")
    if said is None:
        return Home(project.parent / ".treadle", f"beside {project}")
    if not isinstance(said, str):
        raise SettingsError(f"{project}: tool.treadle.home: expected the path of a folder as text, got {_show(said)}.")
    return Home(_check_home(said, project.parent, f"home in {project}"), f"{project}")


def _check_dagster_home(given: str) -> Path:
    try:
        path = Path(given).expanduser()
        is_folder = path.is_absolute() and path.is_dir()
    except (RuntimeError, OSError):  # a home folder of nobody; a folder that may not be looked at
        is_folder = False
    if not is_folder:
        raise DagsterInvariantViolationError(
            f"$DAGSTER_HOME is {given!r}, which is not the absolute path of a folder. Set it to one that is there, or set "
            f"TREADLE_HOME, whose folder is made when it is not there."
        )
    return path


def _check_home(text: str, folder: Path, who: str) -> Path:
    try:
        path = (folder / _read_path(text)).resolve()
    except ValueError as error:
        raise DagsterInvariantViolationError(f"{who} names {text!r}: expected {error}.") from None
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:
        raise DagsterInvariantViolationError(
            f"{who} names {path}, which may not be looked at: {error.strerror}. Name a folder that you may read and write."
        ) from error
    if is_file:
        raise DagsterInvariantViolationError(
            f"{who} names {path}, which is a file. A home is a folder; it is made when needed."
        )
    return path


def _find_project(folder: Path) -> Path | None:
    for each in (folder, *folder.parents):
        # a folder that may not be looked at is no project of who runs this
        with contextlib.suppress(OSError):
            if (each / _PYPROJECT).is_file():
                return each / _PYPROJECT
    return None


# -- values -------------------------------------------------------------------------------------------------------------

_UNITS = {
    1e-3: "ms msec millisecond milliseconds",
    1.0: "s sec secs second seconds",
    60.0: "m min mins minute minutes",
    3600.0: "h hr hrs hour hours",
    86400.0: "d day days",
    604800.0: "w week weeks",
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
_SIZES = {
    "": 1,
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "k": 10**3,
    "kb": 10**3,
    "m": 10**6,
    "mb": 10**6,
    "g": 10**9,
    "gb": 10**9,
}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}
_MEASURE = r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)\s*"

#: more than this nobody means: some 30,000 years, the largest number that a database keeps
_LONGEST = 1e12
_LARGEST = 2**63 - 1

_A_DURATION = 'a duration, such as "30 days", "12h", "500 ms" or a number of seconds'
_A_SIZE = 'a size, such as "10 MB" or a number of bytes'


def read_duration(value: Any) -> float:
    """Seconds of a number, or of a text such as `30 days`, `12h`, `90 min`, `500 ms`; ValueError for anything else."""
    seconds: float
    if isinstance(value, str):
        found = re.fullmatch(_MEASURE, value)
        # One capital letter is no unit: to whom writes `1 M` it may be a month.
        unit = found[2] if found is not None and len(found[2]) == 1 else found[2].lower() if found is not None else ""
        if found is None or (unit and unit not in _SECONDS):
            raise ValueError(_A_DURATION)
        seconds = float(found[1]) * _SECONDS[unit or "s"]
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
        seconds = float(value)
    else:
        raise ValueError(_A_DURATION)
    if seconds > _LONGEST:
        raise ValueError(_A_DURATION)
    return seconds


def read_size(value: Any) -> int:
    """Bytes of a number, or of a text such as `10 MB`, `4 KiB`; ValueError for anything else."""
    size = value
    if isinstance(value, str):
        found = re.fullmatch(_MEASURE, value)
        if found is None or found[2].lower() not in _SIZES:
            raise ValueError(_A_SIZE)
        size = int(Decimal(found[1]) * _SIZES[found[2].lower()])
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
        raise ValueError(_A_SIZE)
    return size


def _read_count(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,30}\s*", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise ValueError("a whole number, zero or more")
    return value


def _read_durability(value: Any) -> str:
    if not isinstance(value, str) or value not in ("normal", "full"):
        raise ValueError('"normal" or "full"')
    return value


def _read_hand_over(value: Any) -> str:
    if not isinstance(value, str) or value not in ("disk", "memory"):
        raise ValueError('"disk" or "memory"')
    return value


def _read_lease(value: Any) -> float:
    seconds = read_duration(value)
    if seconds < 1:
        raise ValueError("a duration of a second or more, since an owner that is silent for so long counts as dead")
    return seconds


def _read_path(value: Any) -> Path:
    """A path with `~` and `$VARIABLE` put in."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("the path of a folder")
    try:
        text = os.path.expandvars(Path(value).expanduser())
    except RuntimeError:
        raise ValueError("the path of a folder, and nobody knows the home folder of that user") from None
    unset = re.search(r"\$(?:\w+|\{\w+\})", str(text))
    if unset is not None:
        raise ValueError(f"the path of a folder, and {unset[0]} is not set in the environment")
    return Path(text)


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")


def is_url(text: str) -> bool:
    """True for what names a place by a protocol, such as `s3://bucket/folder`, and not by a path."""
    return _URL.match(text) is not None


def _read_place(value: Any) -> Path | str:
    """A path, or a URL; of a `file://` the path."""
    text = str(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not is_url(text):
        return _read_path(value)
    filled = os.path.expandvars(text)
    unset = re.search(r"\$(?:\w+|\{\w+\})", filled)
    if unset is not None:
        raise ValueError(f"the path of a folder or a URL, and {unset[0]} is not set in the environment")
    return Path(filled.removeprefix("file://")) if filled.startswith("file:///") else filled.rstrip("/")


def _show(value: Any) -> str:
    """A value as a message shows it; a table or an array by what it is."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "an array"
    try:
        text = repr(value)
    except ValueError:  # a number may have too many digits to be shown
        return f"something of type {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}..."


def _name(key: Any) -> str:
    return key if isinstance(key, str) else _show(key)


# -- settings -----------------------------------------------------------------------------------------------------------

#: dotted name -> field of Settings, and how its value is read
_KEYS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "durability": ("durability", _read_durability),
    "retention.max_age": ("max_age", read_duration),
    "retention.max_runs": ("max_runs", _read_count),
    "retention.max_step_log": ("max_step_log", read_size),
    "lease.duration": ("lease_duration", _read_lease),
    "artifacts.dir": ("artifacts_dir", _read_place),
    "artifacts.hand_over": ("hand_over", _read_hand_over),
    "artifacts.memory_limit": ("memory_limit", read_size),
}
#: the section whose names are the user's own
_SLOTS = "slots"
_SOME_SLOTS = "names of slots and how many there are of each, such as"
_LISTED = ", ".join((*_KEYS, f"{_SLOTS}.NAME"))
_SECTIONS = frozenset((*(name.partition(".")[0] for name in _KEYS if "." in name), _SLOTS))
_VARIABLES = {"TREADLE_" + name.replace(".", "_").upper(): name for name in (*_KEYS, _SLOTS)}
#: variables of ours that are no settings of an instance
_OTHER_VARIABLES = ("TREADLE_HOME", "TREADLE_WIRING", "TREADLE_REDACT_USER_CODE_ERRORS")


class _Said(NamedTuple):
    """A value that somebody gave a setting."""

    name: str
    value: Any
    origin: str


def read_settings(
    home: Path, environ: Mapping[str, str], working_directory: Path, overrides: Mapping[str, Any]
) -> Settings:
    """The settings of the instance in a home: defaults, then `[tool.treadle]` of pyproject.toml, `treadle.toml` in the
    home, variables such as TREADLE_DURABILITY or TREADLE_RETENTION_MAX_AGE, and `overrides`; what is said later wins.

    Raises SettingsError with every mistake in them; warns of a variable whose name looks like a misspelt one of ours.
    """
    project = _find_project(working_directory)
    said: list[_Said] = []
    if project is not None:
        file = _TomlFile(project)
        table = {key: value for key, value in file.project_table().items() if key != "home"}
        said += _flatten(table, lambda way: file.origin("tool", "treadle", *way))
    if (home / SETTINGS_FILE).exists():
        own = _TomlFile(home / SETTINGS_FILE)
        said += _flatten(own.table, lambda way: own.origin(*way))
    for key, name in _VARIABLES.items():
        if environ.get(key):
            said += _variable(name, environ[key], f"{key} in the environment")
    if not isinstance(overrides, Mapping):
        raise SettingsError(f"overrides: expected a mapping of settings to their values, got {_show(overrides)}.")
    said += _flatten({k: v for k, v in overrides.items() if k not in _DAGSTER_KEYS}, lambda _way: "overrides")
    slots: dict[str, int] = {}
    values: dict[str, Any] = {"database_folder": home, "slots": slots}
    origins: dict[str, str] = {}
    mistakes: list[str] = []
    for each in said:
        if each.name.startswith(f"{_SLOTS}."):
            slots |= _take_slot(each, mistakes)
        else:
            values |= _take(each, mistakes)
        origins[each.name] = each.origin
    values |= _read_dagster_yaml(home, mistakes)
    if values.get("durability") == "full" and values.get("hand_over") == "memory":
        mistakes.append(
            f'{origins["artifacts.hand_over"]}: artifacts.hand_over: "memory" goes with a loss of power, and durability is "full" '
            f"({origins['durability']}). Leave one of the two at its default."
        )
    if isinstance(values.get("artifacts_dir"), str) and values.get("hand_over") == "memory":
        mistakes.append(
            f'{origins["artifacts.hand_over"]}: artifacts.hand_over: "memory" is for values that go to a folder in the end, and '
            f"artifacts.dir is a URL ({origins['artifacts.dir']}). Leave one of the two at its default."
        )
    if mistakes:
        listed = "".join(f"\n  {line}" for line in mistakes)
        raise SettingsError(f"The settings of the instance in {home} have {len(mistakes)} mistake(s):{listed}")
    if isinstance(values.get("artifacts_dir"), Path):
        values["artifacts_dir"] = home / values["artifacts_dir"]
    _tell_unused([key for key in overrides if key in _DAGSTER_KEYS], "overrides")
    _tell_misspelt(environ)
    return Settings(**values, origins=origins)


def _take(said: _Said, mistakes: list[str]) -> dict[str, Any]:
    """The field of Settings that is given its value, or a mistake more."""
    name, value, origin = said
    if name in _SECTIONS:
        inner = ", ".join(key.partition(".")[2] for key in _KEYS if key.startswith(f"{name}."))
        wanted = f"a table with {inner}" if inner else f"a table of {_SOME_SLOTS} gpu = 2"
        if origin.startswith("TREADLE_"):
            wanted = f'{_SOME_SLOTS} "gpu=2, license=1"'
        mistakes.append(f"{origin}: {name}: expected {wanted}, got {_show(value)}.")
        return {}
    if name not in _KEYS:
        advice = nearest(name, (*_KEYS, _SLOTS))
        if name == "home":
            advice = f" The home is named by TREADLE_HOME, or by home in [tool.treadle] of {_PYPROJECT}."
        mistakes.append(f'{origin}: there is no setting "{name}".{advice} Settings: {_LISTED}.')
        return {}
    field, read = _KEYS[name]
    try:
        return {field: read(value)}
    except ValueError as error:
        mistakes.append(f"{origin}: {name}: expected {error}, got {_show(value)}.")
        return {}


def _take_slot(said: _Said, mistakes: list[str]) -> dict[str, int]:
    """How many there are of a slot, or a mistake more."""
    slot = said.name.removeprefix(f"{_SLOTS}.")
    try:
        return {slot: _read_count(said.value)}
    except ValueError as error:
        mistakes.append(f"{said.origin}: {said.name}: expected {error}, got {_show(said.value)}.")
        return {}


def _variable(name: str, text: str, origin: str) -> Iterator[_Said]:
    """What a variable of the environment says; that of slots says several things, as `gpu=2, license=1`."""
    pairs = [[part.strip() for part in pair.split("=")] for pair in text.split(",")]
    if name != _SLOTS or not all(len(pair) == 2 and pair[0] for pair in pairs):
        yield _Said(name, text, origin)
        return
    for slot, count in pairs:
        yield _Said(f"{_SLOTS}.{slot}", count, origin)


def _flatten(table: Mapping[Any, Any], origin: Callable[[tuple[str, ...]], str]) -> Iterator[_Said]:
    """What a table says, by dotted names; of a table that is no section of ours only that it is there."""
    for key, value in table.items():
        name = _name(key)
        if name in _SECTIONS and isinstance(value, Mapping):
            for inner_key, inner in value.items():
                yield _Said(f"{name}.{_name(inner_key)}", inner, origin((name, _name(inner_key))))
        else:
            yield _Said(name, value, origin((name,)))


def _tell_misspelt(environ: Mapping[str, str]) -> None:
    """A variable of somebody else may begin like ours, so only what is close to one of ours is told."""
    ours = (*_VARIABLES, *_OTHER_VARIABLES)
    for given in environ:
        name = given.upper()
        if not name.startswith("TREADLE_") or given in ours:
            continue
        from difflib import get_close_matches

        rest = name.removeprefix("TREADLE_")
        ends = [each for each in ours if each.endswith(f"_{rest}")]
        close = get_close_matches(rest, [each.removeprefix("TREADLE_") for each in ours], n=1, cutoff=0.7)
        is_of_section = rest.partition("_")[0].lower() in _SECTIONS
        if ends or close or is_of_section:
            meant = ends[0] if ends else f"TREADLE_{close[0]}" if close else ""
            advice = f"Did you mean {meant}?" if meant else f"There are {', '.join(ours)}."
            warnings.warn(
                f"{given} in the environment: nothing uses it. {advice}", TreadleSettingsWarning, stacklevel=5
            )


# -- files --------------------------------------------------------------------------------------------------------------


class _TomlFile:
    """A TOML file that was read. SettingsError where it cannot be."""

    def __init__(self, path: Path) -> None:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        self.path = path
        self._loads = tomllib.loads
        self._lines: Mapping[Way, int] | None = None
        try:
            self._text = path.read_text(encoding="utf-8")
            self.table: Mapping[str, Any] = tomllib.loads(self._text)
        except (ValueError, OSError, RecursionError) as error:  # no TOML, or no text, or a number without end
            raise SettingsError(f"{path} cannot be read: {error}.") from error

    def project_table(self) -> Mapping[str, Any]:
        """The table `tool.treadle`."""
        tool = self.table.get("tool", {})
        table = tool.get("treadle", {}) if isinstance(tool, Mapping) else tool
        if not isinstance(table, Mapping):
            where = "tool.treadle" if isinstance(tool, Mapping) else "tool"
            raise SettingsError(f"{self.origin(*where.split('.'))}: {where}: expected a table, got {_show(table)}.")
        return table

    def origin(self, *way: str) -> str:
        """File and line where a key stands."""
        from treadle.toml_lines import find_lines, nearest_line

        if self._lines is None:
            self._lines = find_lines(self._text, self._loads)
        line = nearest_line(self._lines, way)
        return str(self.path) if line is None else f"{self.path} line {line}"


#: root keys of a dagster.yaml
_DAGSTER_KEYS = frozenset(
    "local_artifact_storage compute_logs storage run_queue run_storage event_log_storage schedule_storage scheduler"
    " run_coordinator run_launcher telemetry nux instance_class python_logs run_monitoring run_retries code_servers secrets"
    " defs_state_storage backfills sensors schedules auto_materialize freshness concurrency".split()
)


def _read_dagster_yaml(home: Path, mistakes: list[str]) -> dict[str, Any]:
    """Of a dagster.yaml only the folder of an SQLite storage is taken; that the rest is not used is said."""
    path = home / "dagster.yaml"
    if not path.is_file():
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # for a value that does not fit its tag PyYAML raises whatever its converter raises
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        mistakes.append(f"{path}: expected a mapping, got {_show(found)}.")
        return {}
    storage = found.get("storage")
    sqlite = storage.get("sqlite") if isinstance(storage, Mapping) else None
    folder = sqlite.get("base_dir") if isinstance(sqlite, Mapping) else None
    used = {"telemetry"} if folder is None else {"telemetry", "storage"}
    _tell_unused(sorted(_name(key) for key in found if key not in used), str(path))
    if folder is None:
        return {}
    try:
        return {"database_folder": home / _read_path(folder)}
    except ValueError as error:
        mistakes.append(f"{path}: storage.sqlite.base_dir: expected {error}, got {_show(folder)}.")
        return {}


def _tell_unused(keys: Sequence[str], where: str) -> None:
    if keys:
        warnings.warn(
            f"{where}: Treadle does not use {', '.join(keys)}. Its own settings are {_LISTED}; they stand in "
            f"{SETTINGS_FILE}.",
            TreadleSettingsWarning,
            stacklevel=5,
        )
