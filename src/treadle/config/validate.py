"""(schema, value) to value, or every error with its path; pure

`process` is what the engine calls. A quick pass makes the processed value and gives up at the first thing that is
wrong; only then a thorough walk, which keeps paths and has no limit of depth, finds everything that is wrong.
Nothing here reads a clock, a file or, unless no `environ` is given, the process's environment.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

from treadle.config import mistakes
from treadle.config.mistakes import (
    DagsterEvaluationErrorReason,
    EvaluationError,
    FieldEntry,
    ListItemEntry,
    MapKeyEntry,
    MapValueEntry,
    PathEntry,
    Place,
)
from treadle.config.schema import (
    ABSENT,
    EMPTY,
    AnyType,
    Array,
    ConfigType,
    Enum,
    EnvVar,
    Field,
    IntEnvVar,
    Map,
    Noneable,
    ScalarUnion,
    Section,
    Selector,
    Source,
)
from treadle.errors import DagsterInvalidConfigError

__all__ = ["DagsterEvaluationErrorReason", "EvaluationError", "process", "resolve", "validate"]

Environ: TypeAlias = Mapping[str, str]


def process(
    schema: ConfigType | Field, value: Any, preamble: str = "Error in config", environ: Environ | None = None
) -> Any:
    """Validate a value and return it processed: defaults filled in, variables read, enum values as Python values.

    For a Field the value may be ABSENT: its default is taken, or ABSENT returned if it is optional without one. Raises
    DagsterInvalidConfigError with every error; what goes wrong while processing is told once nothing else is wrong.
    """
    if isinstance(schema, Field):
        config_type = schema.config_type
        if value is ABSENT:
            if schema.is_required:
                raise DagsterInvalidConfigError(preamble, [mistakes.missing_value(schema)], None)
            if schema.default is ABSENT:
                return ABSENT
            value = _own(schema.default)
    else:
        config_type = schema
    environ = os.environ if environ is None else environ
    try:
        return _FITS[config_type.kind](config_type, value, environ)
    except (_Misfit, RecursionError):
        walk = _Walk(environ)
        processed = walk.over(config_type, value)
        if walk.errors or walk.late_errors:
            raise DagsterInvalidConfigError(preamble, walk.errors or walk.late_errors, value) from None
        return processed


def validate(config_type: ConfigType, value: Any) -> list[EvaluationError]:
    """Every error of a value against a type, without reading variables or running the rules of pydantic classes."""
    try:
        _FITS[config_type.kind](config_type, value, None)
    except (_Misfit, RecursionError):
        walk = _Walk(None)
        walk.over(config_type, value)
        return walk.errors
    return []


def resolve(config_type: ConfigType, value: Any, environ: Environ | None = None) -> Any:
    """Process a value that `validate` found no error in: defaults, variables, enum values."""
    return process(config_type, value, "Error while processing config", environ)


# -- the quick pass ---------------------------------------------------------------------------------------------------
# An `environ` of None means: validate only. Each function takes (config type, value, environ) and returns the
# processed value. This is a hot path: a job of 1,000 ops has 3,000 sections, and is validated whenever it runs.

Fit: TypeAlias = Callable[[Any, Any, "Environ | None"], Any]


class _Misfit(Exception):  # no error: the sign to look more closely
    pass


def _fit_any(config_type: ConfigType, value: Any, environ: Environ | None) -> Any:
    return value


def _fit_int(config_type: ConfigType, value: Any, environ: Environ | None) -> Any:
    if isinstance(value, int) and not isinstance(value, bool | IntEnvVar):
        return value
    raise _Misfit


def _fit_float(config_type: ConfigType, value: Any, environ: Environ | None) -> Any:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, IntEnvVar):
        try:
            return float(value)
        except OverflowError:
            raise _Misfit from None
    raise _Misfit


def _fit_string(config_type: ConfigType, value: Any, environ: Environ | None) -> Any:
    if isinstance(value, str) and not isinstance(value, EnvVar):
        return value
    raise _Misfit


def _fit_bool(config_type: ConfigType, value: Any, environ: Environ | None) -> Any:
    if isinstance(value, bool):
        return value
    raise _Misfit


def _fit_enum(config_type: Enum, value: Any, environ: Environ | None) -> Any:
    if isinstance(value, str) and value in config_type.python_values:
        return config_type.python_values[value]
    raise _Misfit


def _fit_noneable(config_type: Noneable, value: Any, environ: Environ | None) -> Any:
    if value is None:
        return None
    inner = config_type.inner_type
    return _FITS[inner.kind](inner, value, environ)


def _fit_array(config_type: Array, value: Any, environ: Environ | None) -> Any:
    if not isinstance(value, list):
        raise _Misfit
    inner = config_type.inner_type
    exact, fit = inner.exact, _FITS[inner.kind]
    return [item if type(item) is exact else fit(inner, item, environ) for item in value]


def _fit_map(config_type: Map, value: Any, environ: Environ | None) -> Any:
    if not isinstance(value, Mapping):
        raise _Misfit
    key_type, inner = config_type.key_type, config_type.inner_type
    fit_key, fit = _FITS[key_type.kind], _FITS[inner.kind]
    return {fit_key(key_type, key, environ): fit(inner, item, environ) for key, item in value.items()}


def _fit_union(config_type: ScalarUnion, value: Any, environ: Environ | None) -> Any:
    branch = _branch_of(config_type, value)
    return _FITS[branch.kind](branch, value, environ)


def _branch_of(config_type: ScalarUnion, value: Any) -> ConfigType:
    """Which of a union's two types a value is meant for. Only a mapping can be meant for a variable."""
    if isinstance(value, Mapping) or (isinstance(value, list) and not isinstance(config_type, Source)):
        return config_type.non_scalar_type
    return config_type.scalar_type


def _fit_source(config_type: Source, value: Any, environ: Environ | None) -> Any:
    value = _fit_union(config_type, value, environ)
    if environ is None or not isinstance(value, dict):
        return value
    try:
        return read_variable(config_type, value["env"], environ)
    except ValueError:
        raise _Misfit from None


def _fit_section(config_type: Section, value: Any, environ: Environ | None) -> Any:
    if type(value) is not dict and not isinstance(value, Mapping):
        raise _Misfit
    if config_type.aliases:
        value = _without_aliases(config_type.aliases, value)
    result = {}
    known = 0
    for name, field_type, kind, exact, is_required, default in config_type.rows:
        if name in value:
            known += 1
            item = value[name]
            result[name] = item if type(item) is exact else _FITS[kind](field_type, item, environ)
        elif is_required:
            raise _Misfit
        elif type(default) is exact:
            result[name] = default
        elif default is not ABSENT:
            result[name] = _FITS[kind](field_type, _own(default), environ)
    if known != len(value):
        if config_type.kind == "shape":
            raise _Misfit
        result.update((name, item) for name, item in value.items() if name not in config_type.fields)
    if environ is not None and config_type.check is not None and config_type.check(result):
        raise _Misfit
    return result


def _fit_selector(config_type: Selector, value: Any, environ: Environ | None) -> Any:
    if not isinstance(value, Mapping) or len(value) > 1:
        raise _Misfit
    if value:
        ((name, item),) = value.items()
        field = config_type.fields.get(name)
        if field is None:
            raise _Misfit
    else:
        if config_type.implied_default is ABSENT:
            raise _Misfit
        ((name, field),) = config_type.fields.items()
        item = _own(field.default)
    option = field.config_type
    if item is None and isinstance(option, Section):
        item = EMPTY
    return {name: _FITS[option.kind](option, item, environ)}


def _without_aliases(aliases: Mapping[str, str], value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    if aliases.keys().isdisjoint(value):
        return value
    renamed = {aliases.get(name, name): item for name, item in value.items()}
    if len(renamed) < len(value):
        raise _Misfit
    return renamed


def _own(default: Any) -> Any:
    """A default that an op may change without changing it for others."""
    if default is not EMPTY and isinstance(default, list | dict | set):
        return copy.deepcopy(default)
    return default


def read_variable(source: Source, name: str, environ: Environ) -> str | int | bool:
    """The value of an environment variable as a source wants it.

    Raises ValueError with what is wrong; it never shows what the variable holds, which may be a password.
    """
    text = environ.get(name)
    if text is None:
        raise ValueError(
            f'it needs the environment variable "{name}" which is not set. Set it where the run is started, or give '
            f"the value itself."
        )
    if source.scalar_type.kind == "int":
        try:
            return int(text)
        except ValueError:
            raise ValueError(f'the environment variable "{name}" must hold an int, which it does not.') from None
    if source.scalar_type.kind == "bool":
        word = _BOOL_WORDS.get(text.strip().lower())
        if word is None:
            raise ValueError(
                f'the environment variable "{name}" must hold true, false, yes, no, on, off, 1, 0 or nothing, which '
                f"it does not."
            )
        return word
    return text


_BOOL_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "off", "0", "f", "n", ""), False),
}


_FITS: dict[str, Fit] = {
    "any": _fit_any,
    "int": _fit_int,
    "float": _fit_float,
    "string": _fit_string,
    "bool": _fit_bool,
    "enum": _fit_enum,
    "noneable": _fit_noneable,
    "array": _fit_array,
    "map": _fit_map,
    "union": _fit_union,
    "source": _fit_source,
    "shape": _fit_section,
    "permissive": _fit_section,
    "selector": _fit_selector,
}


# -- the thorough walk ------------------------------------------------------------------------------------------------

Visit: TypeAlias = Generator[tuple[ConfigType, Any, "Place | None"], Any, Any]


class _Walk:
    """Finds every error of a value, and processes the value on the way.

    A visit to one value is a generator: it yields each value inside that it wants visited, is sent what that one was
    processed to, and returns what its own value is processed to. The walk keeps the visits on a stack of its own, so
    that no depth is too deep.
    """

    def __init__(self, environ: Environ | None) -> None:
        self.environ = environ
        self.errors: list[EvaluationError] = []
        #: what only shows while a value of the right type is processed
        self.late_errors: list[EvaluationError] = []

    def over(self, config_type: ConfigType, value: Any) -> Any:
        visits = [_visit(self, config_type, value, None)]
        answer = None
        while visits:
            try:
                config_type, value, place = visits[-1].send(answer)
            except StopIteration as end:
                visits.pop()
                answer = end.value
            else:
                visits.append(_visit(self, config_type, value, place))
                answer = None
        return answer

    @property
    def error_count(self) -> int:
        return len(self.errors) + len(self.late_errors)


def _visit(walk: _Walk, config_type: ConfigType, value: Any, place: Place | None) -> Visit:
    if value is None and not isinstance(config_type, AnyType | Noneable):
        return _visit_wrong(walk, mistakes.none_given(place, config_type))
    visit: Callable[..., Visit] = _VISITS.get(config_type.kind, _visit_leaf)
    return visit(walk, config_type, value, place)


def _visit_wrong(walk: _Walk, error: EvaluationError) -> Visit:
    yield from ()
    walk.errors.append(error)


def _visit_leaf(walk: _Walk, config_type: Any, value: Any, place: Place | None) -> Visit:
    yield from ()
    try:
        return _FITS[config_type.kind](config_type, value, walk.environ)
    except _Misfit:
        wrong = mistakes.wrong_enum if isinstance(config_type, Enum) else mistakes.wrong_scalar
        walk.errors.append(wrong(place, config_type, value))


def _visit_noneable(walk: _Walk, config_type: Noneable, value: Any, place: Place | None) -> Visit:
    return None if value is None else (yield config_type.inner_type, value, place)


def _visit_array(walk: _Walk, config_type: Array, value: Any, place: Place | None) -> Visit:
    if not isinstance(value, list):
        walk.errors.append(mistakes.not_a_list(place, config_type, value))
        return None
    result = []
    for index, item in enumerate(value):
        result.append((yield config_type.inner_type, item, _inside(place, ListItemEntry(index))))
    return result


def _visit_map(walk: _Walk, config_type: Map, value: Any, place: Place | None) -> Visit:
    if not isinstance(value, Mapping):
        walk.errors.append(mistakes.not_a_dict(place, config_type, value))
        return None
    result = {}
    for key, item in value.items():
        processed_key = yield config_type.key_type, key, _inside(place, MapKeyEntry(key))
        result[processed_key] = yield config_type.inner_type, item, _inside(place, MapValueEntry(key))
    return result


def _visit_union(walk: _Walk, config_type: ScalarUnion, value: Any, place: Place | None) -> Visit:
    return (yield _branch_of(config_type, value), value, place)


def _visit_source(walk: _Walk, config_type: Source, value: Any, place: Place | None) -> Visit:
    before = walk.error_count
    processed = yield from _visit_union(walk, config_type, value, place)
    if walk.environ is None or not isinstance(processed, dict) or walk.error_count > before:
        return processed
    try:
        return read_variable(config_type, processed["env"], walk.environ)
    except ValueError as problem:
        walk.late_errors.append(mistakes.failed(place, config_type, value, str(problem)))
        return None


def _visit_section(walk: _Walk, config_type: Section, value: Any, place: Place | None) -> Visit:
    if not isinstance(value, Mapping):
        walk.errors.append(mistakes.not_a_dict(place, config_type, value))
        return None
    before = walk.error_count
    fields = config_type.fields
    given = _entries(walk, config_type, value, place)
    processed = {}
    for name, key in given.items():
        if name in fields:
            field = fields[name]
            item = _inside(place, FieldEntry(str(key)), field.is_secret)
            processed[name] = yield field.config_type, value[key], item
    for name, field in fields.items():
        if name not in given and field.default_provided:
            item = _inside(place, FieldEntry(name), field.is_secret)
            processed[name] = yield field.config_type, _own(field.default), item
    result = {name: processed[name] for name in fields if name in processed}
    result.update((name, value[key]) for name, key in given.items() if name not in fields)
    if config_type.check is not None and walk.environ is not None and walk.error_count == before:
        for steps, problem, culprit in config_type.check(result):
            at, inner = follow(place, config_type, steps)
            walk.late_errors.append(mistakes.failed(at, inner, culprit, problem))
    return result


def _entries(walk: _Walk, config_type: Section, value: Mapping[Any, Any], place: Place | None) -> dict[Any, Any]:
    """The entries of a section: name of the field to the name given for it. Notes what is wrong with the names."""
    aliases = config_type.aliases or {}
    names: dict[Any, list[Any]] = {}
    for key in value:
        names.setdefault(aliases.get(key, key), []).append(key)
    for name, keys in names.items():
        if len(keys) > 1:
            walk.errors.append(mistakes.alias_collision(place, config_type, name, keys))
    unknown = [name for name in names if name not in config_type.fields]
    if unknown and config_type.kind == "shape":
        free = config_type.fields.keys() - names.keys()
        walk.errors.append(mistakes.unexpected(place, config_type, unknown, free))
    needed = [name for name, field in config_type.fields.items() if field.is_required and name not in names]
    if needed:
        walk.errors.append(mistakes.missing(place, config_type, needed))
    return {name: keys[0] for name, keys in names.items()}


def _visit_selector(walk: _Walk, config_type: Selector, value: Any, place: Place | None) -> Visit:
    if not isinstance(value, Mapping):
        walk.errors.append(mistakes.not_a_dict(place, config_type, value))
        return None
    if not value and config_type.implied_default is not ABSENT:
        value = {name: _own(field.default) for name, field in config_type.fields.items()}
    if len(value) != 1:
        walk.errors.append(mistakes.not_one_choice(place, config_type, value))
        return None
    ((name, item),) = value.items()
    field = config_type.fields.get(name)
    if field is None:
        walk.errors.append(mistakes.unexpected(place, config_type, [name], config_type.fields))
        return None
    if item is None and isinstance(field.config_type, Section):
        item = EMPTY
    return {name: (yield field.config_type, item, _inside(place, FieldEntry(str(name)), field.is_secret))}


_VISITS: dict[str, Callable[[_Walk, Any, Any, Place | None], Visit]] = {
    "noneable": _visit_noneable,
    "array": _visit_array,
    "map": _visit_map,
    "union": _visit_union,
    "source": _visit_source,
    "shape": _visit_section,
    "permissive": _visit_section,
    "selector": _visit_selector,
}


def _inside(place: Place | None, entry: PathEntry, is_secret: bool = False) -> Place:
    return Place(place, entry, is_secret or (place is not None and place.is_secret))


def follow(place: Place | None, config_type: ConfigType, steps: Sequence[str | int]) -> tuple[Place | None, ConfigType]:
    """Walk from a place along names and indexes, as far as the type has them."""
    for step in steps:
        if isinstance(config_type, Noneable):
            config_type = config_type.inner_type
        if isinstance(config_type, Section) and step in config_type.fields:
            field = config_type.fields[str(step)]
            place, config_type = _inside(place, FieldEntry(str(step)), field.is_secret), field.config_type
        elif isinstance(config_type, Array) and isinstance(step, int):
            place, config_type = _inside(place, ListItemEntry(step)), config_type.inner_type
        elif isinstance(config_type, Map):
            place, config_type = _inside(place, MapValueEntry(step)), config_type.inner_type
        else:
            break
    return place, config_type
