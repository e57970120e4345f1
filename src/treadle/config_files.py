"""YAML config files and settings into one run config, with the line that each part came from.

`config_from_files` and its like are for users; `treadle run` reads its -c files and --set options here too. What a
value may be is not known here: the job's schema says so later, and `line_of` then says where it stands. Reading one
source and merging several are apart, and merging is pure.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.errors import CheckError, DagsterInvariantViolationError, ParameterCheckError
from treadle.names import nearest

if TYPE_CHECKING:
    import yaml

#: keys from the root of the config, as text, since that is how errors name them
Way = tuple[str, ...]

#: the name of standard input, as a file
STDIN = "-"


class ConfigFileError(DagsterInvariantViolationError, CheckError):
    """A config file or a setting cannot be read; the message says which, where, and what to write."""


class FileConfig(dict[str, Any]):
    """A run config that was read from files: a plain dict which knows in which line each part stood.

    Errors about it name that line. A copy of it is a plain dict without lines.
    """

    def __init__(self, config: PlacedConfig) -> None:
        super().__init__(config.value)
        self._config = config

    def line_of(self, way: Sequence[str]) -> str | None:
        """Where the part at the end of this way was written, or what is nearest around it: `file:line`."""
        return self._config.line_of(way)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileConfig, (self._config,)


class PlacedConfig(NamedTuple):
    """A config, and for each of its parts the place where it was written: `file:line`, or the setting."""

    value: dict[Any, Any]
    places: dict[Way, str]

    def line_of(self, way: Sequence[str]) -> str | None:
        """Where the part at the end of this way was written, or what is nearest around it."""
        for length in range(len(way), 0, -1):
            found = self.places.get(tuple(way[:length]))
            if found is not None:
                return found
        return None


# -- for users --------------------------------------------------------------------------------------------------------


def config_from_files(config_files: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """One run config of YAML files; each member is a path, or a pattern such as `config/*.yaml`.

    Mappings are merged at every depth, and what comes later wins; the files of a pattern come in the order of their
    names. DagsterInvariantViolationError, with file and line, for what is no file or cannot be read.
    """
    names = [os.fspath(each) for each in _read_list("config_files", config_files, (str, os.PathLike))]
    return FileConfig(merge_all(read_file(found) for name in names for found in _find_files(name)))


def config_from_yaml_strings(yaml_strings: Sequence[str]) -> dict[str, Any]:
    """One run config of YAML texts, merged like files; errors name the text by its number."""
    texts = _read_list("yaml_strings", yaml_strings, str)
    return FileConfig(merge_all(read_text(text, f"YAML string {n}") for n, text in enumerate(texts, start=1)))


def config_from_pkg_resources(pkg_resource_defs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """One run config of YAML files that packages bring along, each given as (package, file in it), merged like files."""
    pairs = _read_list("pkg_resource_defs", pkg_resource_defs, tuple)
    return FileConfig(merge_all(_read_resource(*pair) for pair in pairs))


def file_relative_path(dunderfile: str, relative_path: str) -> str:
    """A path beside a Python file: `file_relative_path(__file__, "run.yaml")`."""
    return os.path.normpath(os.path.join(os.path.dirname(dunderfile), relative_path))  # noqa: PTH118, PTH120 - `..` is text


def _read_list(parameter: str, given: Any, kind: type | tuple[type, ...]) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ParameterCheckError(
            f'Param "{parameter}" is not a list. Got {given!r} (a {type(given).__name__}). For one write [{given!r}].'
        )
    for member in given:
        if not isinstance(member, kind) or (isinstance(member, tuple) and len(member) != 2):
            wanted = "pairs of a package and the name of a file in it" if kind is tuple else "str"
            raise ParameterCheckError(f'Param "{parameter}" is a list of {wanted}. Got {member!r} in it.')
    return list(given)


def _find_files(name: str) -> list[str]:
    """The files of a pattern, or the name itself where it is a file's."""
    from glob import glob

    if os.path.lexists(name):
        return [name]
    found = sorted(glob(name, recursive=True))  # noqa: PTH207 - a pattern may begin at the root
    if not found:
        hint = "" if re.search(r"[*?\[]", name) else _near_files(Path(name))
        raise ConfigFileError(f'File or glob pattern "{name}" for "config_files" produced no results.{hint}')
    return found


def _read_resource(package: str, resource: str) -> PlacedConfig:
    from importlib.resources import files

    shown = f"{package}:{resource}"
    try:
        data = files(package).joinpath(resource).read_bytes()
    except ModuleNotFoundError as error:
        raise ConfigFileError(f'{shown}: there is no package "{package}" ({error}).') from error
    except OSError as error:
        raise ConfigFileError(f"{shown}: the package has no such file ({error.strerror or error}).") from error
    return read_text(_decode(data, shown), shown)


# -- merging ----------------------------------------------------------------------------------------------------------


def merge(under: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    """Both mappings in one, key by key and at every depth; where only one of two values is a mapping, `over` wins.

    Lists are not joined: the later list replaces the earlier one.
    """
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        is_deep = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if is_deep else value  # type: ignore[arg-type]
    return merged


def merge_all(configs: Iterable[PlacedConfig]) -> PlacedConfig:
    """All configs in one; what comes later wins."""
    merged = PlacedConfig({}, {})
    for config in configs:
        merged = PlacedConfig(merge(merged.value, config.value), {**merged.places, **config.places})
    return merged


# -- settings -----------------------------------------------------------------------------------------------------------

_PART = r'(?:"[^"]*"|[^."=\s]+)'
_SETTING = re.compile(rf"\s*({_PART}(?:\.{_PART})*)\s*=(.*)", re.DOTALL)
_EXAMPLE = "--set ops.load.config.rows=3"


def read_setting(text: str) -> PlacedConfig:
    """`ops.load.config.rows=3` as a config. The value is YAML; a key that has dots in it stands in double quotes."""
    match = _SETTING.fullmatch(text)
    if match is None:
        problem = "has no =" if "=" not in text else "has a path that cannot be read"
        raise ConfigFileError(f"--set {text}: this {problem}. Write PATH=VALUE, such as {_EXAMPLE}.")
    way = tuple(part.strip('"') for part in re.findall(_PART, match[1]))
    try:
        value = _read_yaml(match[2], "", {})
    except _Mistake as mistake:
        path, given = match[1], match[2].strip()
        raise ConfigFileError(
            f"--set {text}: the value is {mistake.problem}. To give it as text, put it in quotes: "
            f"--set '{path}=\"{given}\"'."
        ) from mistake
    for key in reversed(way):
        value = {key: value}
    return PlacedConfig(value, {way[:length]: f"--set {text}" for length in range(1, len(way) + 1)})


# -- files ----------------------------------------------------------------------------------------------------------------


def read_file(name: str) -> PlacedConfig:
    """A YAML file as a config; `-` is standard input. ConfigFileError, with file and line, for whatever is wrong."""
    shown = "standard input" if name == STDIN else name
    return read_text(_contents(name, shown), shown)


def read_text(text: str, shown: str) -> PlacedConfig:
    """A YAML text as a config; `shown` is what messages call it."""
    places: dict[Way, str] = {}
    try:
        value = _read_yaml(text, shown, places)
    except _Mistake as mistake:
        raise ConfigFileError(mistake.told(shown, text)) from mistake
    if value is None:
        return PlacedConfig({}, {})
    if not isinstance(value, dict):
        raise ConfigFileError(
            f"{shown}: expected a mapping such as `ops: {{load: {{config: {{rows: 3}}}}}}`, got {_kind_of(value)}."
        )
    return PlacedConfig(value, places)


def _contents(name: str, shown: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except FileNotFoundError:
        raise ConfigFileError(f"{shown}: there is no such file.{_near_files(Path(name))}") from None
    except IsADirectoryError:
        raise ConfigFileError(f"{shown}: this is a folder; give a YAML file.{_near_files(Path(name, 'x'))}") from None
    except OSError as error:
        raise ConfigFileError(f"{shown}: cannot be read: {error.strerror or error}.") from error
    return _decode(data, shown)


def _decode(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(f"{shown}:{line}: this is not UTF-8 text. Save the file as UTF-8.") from error


def _near_files(path: Path) -> str:
    try:
        names = sorted(found.name for found in path.parent.iterdir() if found.suffix in (".yaml", ".yml", ".json"))
    except OSError:
        return f" Its folder {path.parent} does not exist either."
    hint = nearest(path.name, names)
    return hint or (f" YAML files there: {', '.join(names[:10])}." if names else "")


def _kind_of(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"{value!r} (type {type(value).__name__})"


# -- YAML -----------------------------------------------------------------------------------------------------------------


class _Mistake(Exception):
    """Something wrong in a YAML text: what, and where, counted from 0."""

    def __init__(self, problem: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column

    def told(self, file: str, text: str) -> str:
        """`file:line: what is wrong`, with the line itself and a caret."""
        if self.line is None:
            return f"{file}: {self.problem}."
        told = f"{file}:{self.line + 1}: {self.problem}."
        lines = text.splitlines()
        if self.line >= len(lines):
            return told
        number = str(self.line + 1)
        told += f"\n  {number} | {lines[self.line]}"
        if self.column is not None:
            # A tab in the line is a tab before the caret, so that it stands below what it points at.
            blank = re.sub(r"[^\t]", " ", lines[self.line][: self.column])
            told += f"\n  {' ' * len(number)} | {blank}^"
        return told


def _read_yaml(text: str, file: str, places: dict[Way, str]) -> Any:
    """The one document of a text as plain data; `places` gets the line of each part where a file is named."""
    import yaml

    try:
        loader = _loader_class()(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Walk(loader, file, places).visit(node, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _mistake_of(error) from error
    except yaml.YAMLError as error:  # a character that cannot be in a YAML text
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) if isinstance(position, int) else None
        raise _Mistake(f"not valid YAML: {getattr(error, 'reason', error)}", line) from error
    except RecursionError as error:
        raise _Mistake("nested too deeply to be a config") from error


#: what the two parsers of PyYAML say, and what is meant
_PLAINER = (
    ("but found another document", "a second document begins here; a config file holds one"),
    ("tab character", "a tab where spaces belong; YAML is indented with spaces only"),
    (r"'\t' that cannot start any token", "a tab where spaces belong; YAML is indented with spaces only"),
    (
        "mapping values are not allowed",
        "not valid YAML: no value is expected here; look for wrong indentation, a missing colon, or one outside quotes",
    ),
    ("could not determine a constructor for the tag", "a tag that is not known in a config; leave it out"),
)


def _mistake_of(error: yaml.MarkedYAMLError) -> _Mistake:
    problem, mark = error.problem or str(error), error.problem_mark or error.context_mark
    plainer = next((words for part, words in _PLAINER if part in problem), None)
    if plainer is None:
        plainer = f"not valid YAML: {problem}"
        begun = error.context_mark
        if error.context and begun is not None and mark is not None and begun.line != mark.line:
            plainer += f" ({error.context}, begun in line {begun.line + 1})"
    return _Mistake(plainer, mark.line, mark.column) if mark is not None else _Mistake(plainer)


class _Walk:
    """Goes through the nodes of a document before they become values: notes lines, refuses keys given twice."""

    def __init__(self, loader: Any, file: str, places: dict[Way, str]) -> None:
        self.loader = loader
        self.file = file
        self.places = places
        #: nodes that were gone through; one that an alias repeats is not gone through again
        self.seen: set[int] = set()
        #: nodes that are being gone through
        self.open: set[int] = set()

    def visit(self, node: yaml.Node, way: Way) -> None:
        import yaml

        if id(node) in self.open:
            raise _Mistake("this value refers to itself", node.start_mark.line, node.start_mark.column)
        if id(node) in self.seen or isinstance(node, yaml.ScalarNode):
            return
        self.seen.add(id(node))
        self.open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, way)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note((*way, str(index)), item)
                self.visit(item, (*way, str(index)))
        self.open.discard(id(node))

    def _visit_mapping(self, node: yaml.MappingNode, way: Way) -> None:
        import yaml

        lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                mark = key_node.start_mark
                raise _Mistake("the key of a mapping must be a plain word or number", mark.line, mark.column)
            is_merge = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if is_merge else self.loader.construct_object(key_node)
            mark = key_node.start_mark
            if key in lines:
                raise _Mistake(
                    f'the key "{key}" is given twice in one mapping; it stands in line {lines[key] + 1} already',
                    mark.line,
                    mark.column,
                )
            lines[key] = mark.line
            below = way if is_merge else (*way, str(key))
            if not is_merge:
                self._note(below, key_node)
            self.visit(value_node, below)

    def _note(self, way: Way, node: yaml.Node) -> None:
        if self.file:
            self.places[way] = f"{self.file}:{node.start_mark.line + 1}"


#: 3e8, 1e-3: numbers for everybody but YAML 1.1. Up to three digits, so that no hash such as 12e4567 becomes infinite.
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]{1,3}$")


def _loader_class() -> Any:
    """YAML's safe loader, in which dates stay text, as config has no type for them, and 1e-3 is a number."""
    import yaml

    parent: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    float_tag = "tag:yaml.org,2002:float"

    class ConfigLoader(parent):  # type: ignore[misc]
        yaml_implicit_resolvers = {
            first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
            for first, pairs in parent.yaml_implicit_resolvers.items()
        }

    ConfigLoader.add_implicit_resolver(float_tag, _EXPONENT, list("-+0123456789"))
    return ConfigLoader
