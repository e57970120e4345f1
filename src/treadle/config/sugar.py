"""dicts, builtins, typing generics into schema

What users write for a config type: `int`, `{"a": int}`, `[str]`, `{str: int}`, a Config class, or the constructors
below, which take all of these for their parts. `to_config_type` and `to_field` read it; a schema that makes no sense is
refused here, when it is defined. Each constructor gives the part of `schema` whose name it bears.
"""

from __future__ import annotations

import enum
import types
import typing
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.config import schema, validate
from treadle.config.schema import ABSENT, ANY, BOOL, FLOAT, INT, STRING, ConfigType, Scalar, check_argument
from treadle.errors import (
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    ParameterCheckError,
)

# -- constructors -----------------------------------------------------------------------------------------------------


class Field(schema.Field):
    """A config type with its default, whether it is required, and a description.

    A field is required unless `is_required` is False, a default is given, or the type implies one: a Noneable, and a
    section whose fields are all optional. The default is config, as a user would write it: for an Enum a string, for a
    source possibly `{"env": NAME}`, which is read when a run starts. With `is_secret` messages never show the value.

    Raises ParameterCheckError for a default of a required field, DagsterInvalidConfigError for a default that does not
    fit the type, DagsterInvalidDefinitionError for something that is no config type.
    """

    __slots__ = ()

    def __init__(
        self,
        config: Any,
        default_value: Any = ABSENT,
        is_required: bool | None = None,
        description: str | None = None,
        is_secret: bool = False,
    ) -> None:
        check_argument("is_required", is_required, (bool, types.NoneType))
        check_argument("description", description, (str, types.NoneType))
        config_type = _type_argument("Field", config)
        if default_value is not ABSENT:
            if is_required:
                raise ParameterCheckError(
                    f"A required field has no use for a default value. Got is_required=True and "
                    f"default_value={default_value!r}; leave out one of the two."
                )
            _check_default(config_type, default_value)
        super().__init__(config_type, default_value, is_required, description, is_secret)


class _Shared(type):
    """Makes one object of all sections that are the same: whoever writes a shape twice has the same type twice."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made: Any = super().__call__(*args, **kwargs)
        fields = tuple(sorted((name, _identity_of(field)) for name, field in made.fields.items()))
        aliases = tuple(sorted(made.aliases.items())) if made.aliases else ()
        return _SHARED.setdefault((cls, fields, aliases, made.description), made)


def _identity_of(field: schema.Field) -> tuple[Any, ...]:
    """What makes a field what it is. Sections inside are shared already, so each type is known by its identity: two Enums are
    never taken for one because they read alike.
    """
    wrappers = []
    inner = field.config_type
    while isinstance(inner, (schema.Array, schema.Noneable)):
        wrappers.append(inner.kind)
        inner = inner.inner_type
    default = "" if field.default is ABSENT else schema.stable_text(field.default)
    return tuple(wrappers), id(inner), default, field.is_required, field.is_secret, field.description or ""


_SHARED: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()


class Shape(schema.Shape, metaclass=_Shared):
    """A mapping with these fields and no others.

    `field_aliases` gives other names under which a field is accepted too: `{"ops": "graph"}`, or several,
    `{"ops": ["graph", "solids"]}`. The processed config always has the field's own name.
    """

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        fields: Mapping[str, Any],
        description: str | None = None,
        field_aliases: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        read = _fields_argument(fields, description)
        if field_aliases:
            _check_aliases(read, field_aliases)
        super().__init__(read, description, field_aliases)


class Permissive(schema.Permissive, metaclass=_Shared):
    """A mapping with these fields, and any others beside them."""

    __slots__ = ("__weakref__",)

    def __init__(self, fields: Mapping[str, Any] | None = None, description: str | None = None) -> None:
        super().__init__(_fields_argument({} if fields is None else fields, description), description)


class Selector(schema.Selector, metaclass=_Shared):
    """A mapping with exactly one of these fields; it may be left empty if the only one has a default."""

    __slots__ = ("__weakref__",)

    def __init__(self, fields: Mapping[str, Any], description: str | None = None) -> None:
        super().__init__(_fields_argument(fields, description), description)


class Array(schema.Array):
    """A list whose items are all of one type."""

    __slots__ = ()

    def __init__(self, inner_type: Any) -> None:
        super().__init__(_type_argument("Array", inner_type))


class Noneable(schema.Noneable):
    """None, or the inner type. A field of this type is optional, with None as default, unless it says otherwise."""

    __slots__ = ()

    def __init__(self, inner_type: Any) -> None:
        super().__init__(_type_argument("Noneable", inner_type))


class Map(schema.Map):
    """A mapping from keys that the user chooses, all of one scalar type, to values that are all of one type."""

    __slots__ = ()

    def __init__(self, key_type: Any, inner_type: Any, key_label_name: str | None = None) -> None:
        key = _type_argument("Map", key_type, ParameterCheckError)
        if not isinstance(key, Scalar):
            raise ParameterCheckError(
                f'Param "key_type" of a Map must be a scalar: str, int, float or bool. Got {key_type!r}.'
            )
        check_argument("key_label_name", key_label_name, (str, types.NoneType))
        super().__init__(key, _type_argument("Map", inner_type, ParameterCheckError), key_label_name)


class ScalarUnion(schema.ScalarUnion):
    """A scalar, or something that is no scalar: a Shape, Permissive, Selector, Array or Map."""

    __slots__ = ()

    def __init__(self, scalar_type: Any, non_scalar_schema: Any) -> None:
        scalar = _type_argument("ScalarUnion", scalar_type, ParameterCheckError)
        if not isinstance(scalar, Scalar):
            raise ParameterCheckError(
                f'Param "scalar_type" of a ScalarUnion must be a scalar: int, float, str or bool. Got {scalar_type!r}.'
            )
        other = _type_argument("ScalarUnion", non_scalar_schema, ParameterCheckError)
        if not isinstance(other, schema.Section | schema.Array | schema.Map):
            raise ParameterCheckError(
                f'Param "non_scalar_schema" of a ScalarUnion must be a Shape, Permissive, Selector, Array or Map. '
                f"Got {non_scalar_schema!r}."
            )
        super().__init__(scalar, other)


# -- reading ----------------------------------------------------------------------------------------------------------


def to_field(raw: Any) -> schema.Field:
    """Read what stands in a `config_schema=` argument: a Field, a config type, or anything written for one.

    None, no schema, is an optional field that accepts everything. Raises as `to_config_type` does.
    """
    if raw is None:
        return schema.Field(ANY, is_required=False)
    return _read_field(raw, raw, ())


def to_config_type(raw: Any) -> ConfigType:
    """Read what users write for a config type; None means Any.

    Raises DagsterInvalidConfigDefinitionError with the path to what cannot be read, DagsterInvalidDefinitionError for
    a typing generic or a run-time type, ParameterCheckError for a class such as Noneable where an instance belongs.
    """
    return ANY if raw is None else _read_type(raw, raw, ())


_Path = tuple[str, ...]


def _read_field(raw: Any, root: Any, path: _Path) -> schema.Field:
    if isinstance(raw, schema.Field):
        return raw
    if type(raw) is type and raw in _PLAIN_FIELDS:
        return _PLAIN_FIELDS[raw]
    if raw is None:
        reason = "Fields cannot be None; write Any for a field that accepts anything."
        raise DagsterInvalidConfigDefinitionError(root, raw, path, reason)
    as_field = getattr(raw, "__config_field__", None)
    if as_field is not None and isinstance(raw, type):
        field: schema.Field = as_field()
        return field
    return Field(_read_type(raw, root, path))


def _read_type(raw: Any, root: Any, path: _Path) -> ConfigType:
    if isinstance(raw, ConfigType):
        return raw
    if isinstance(raw, dict):
        return _read_dict(raw, root, path)
    if isinstance(raw, list):
        return _read_list(raw, root, path)
    if raw is Any:
        return ANY
    known = getattr(raw, "config_type", None)
    if isinstance(known, ConfigType) and not isinstance(raw, schema.Field):
        return known
    if isinstance(raw, type) and typing.get_origin(raw) is None:
        return _read_class(raw, root, path)
    _refuse_types_of_values(raw)
    raise DagsterInvalidConfigDefinitionError(root, raw, path, _reason(raw))


def _read_dict(raw: dict[Any, Any], root: Any, path: _Path) -> ConfigType:
    if len(raw) == 1:
        ((key, inner),) = raw.items()
        key_type = _scalar(key)
        if key_type is not None:
            try:
                return schema.Map(key_type, _read_type(inner, root, path))
            except DagsterInvalidConfigDefinitionError as error:
                if error.current_value is not inner or tuple(error.stack) != path:
                    raise
                reason = f"Map must have a single value and contain a valid type, as in {{str: int}}. Got {inner!r}."
                raise DagsterInvalidConfigDefinitionError(root, raw, path, reason) from None
    fields = {}
    for name, value in raw.items():
        if not isinstance(name, str):
            reason = (
                f"{'Non-scalar' if isinstance(name, ConfigType) else 'Invalid'} key {name!r}: the keys of a dict of fields are strings; a map has a single key, "
                f"the type of its keys, as in {{str: int}}."
            )
            raise DagsterInvalidConfigDefinitionError(root, raw, path, reason)
        fields[name] = _read_field(value, root, (*path, name))
    return Shape(fields)


def _read_list(raw: list[Any], root: Any, path: _Path) -> ConfigType:
    if len(raw) != 1:
        reason = f"List must be of length 1. Its item is the type of the items, as in [int]; it has {len(raw)}."
        raise DagsterInvalidConfigDefinitionError(root, raw, path, reason)
    try:
        return Array(_read_type(raw[0], root, path))
    except DagsterInvalidConfigDefinitionError as error:
        if error.current_value is not raw[0] or tuple(error.stack) != path:
            raise
        reason = f"List have a single item and contain a valid type i.e. [int]. Got item {raw[0]!r}. {_reason(raw[0]) or ''}".rstrip()
        raise DagsterInvalidConfigDefinitionError(root, raw, path, reason) from None


def _read_class(raw: type, root: Any, path: _Path) -> ConfigType:
    plain = _PLAIN.get(raw)
    if plain is not None:
        return plain
    as_field = getattr(raw, "__config_field__", None)
    if as_field is not None:
        config_type: ConfigType = as_field().config_type
        return config_type
    if issubclass(raw, ConfigType):
        raise ParameterCheckError(
            f"Cannot pass config type class {raw.__name__} where a config type is expected; "
            f"write {raw.__name__}(...), an instance of it."
        )
    raise DagsterInvalidConfigDefinitionError(root, raw, path, _reason(raw))


def _scalar(raw: Any) -> Scalar | None:
    """The scalar type that a key of a dict stands for, if it does."""
    found = _PLAIN.get(raw, raw) if isinstance(raw, type) else raw
    found = found if isinstance(found, ConfigType) else getattr(found, "config_type", None)
    return found if isinstance(found, Scalar) else None


def _refuse_types_of_values(raw: Any) -> None:
    """Refuse what is a type elsewhere, for a variable or an input, with what to write instead."""
    origin = typing.get_origin(raw)
    if origin is typing.Union or origin is types.UnionType:
        raise DagsterInvalidDefinitionError(
            f"Cannot use {raw} as a config type, nor typing.Optional or another union. For a field that may be left "
            f"out write Field(<type>, is_required=False); for one that may be None, Noneable(<type>)."
        )
    if origin is not None or getattr(raw, "__module__", None) == "typing":
        raise DagsterInvalidDefinitionError(
            f"Got {raw} in a config schema. Types from the typing module are not config types: write [int] for a list "
            f"of ints, {{str: int}} for a map, {{'a': int}} for named fields, or plain int, float, str, bool, Any."
        )
    name = getattr(raw, "display_name", None)
    if isinstance(name, str):
        # of Set[Int] the first word, of [Int] the word that users write for it
        word = name.partition("[")[0] or "List"
        if word in (
            "int",
            "float",
            "str",
            "bool",
        ):  # the name of a type that a user made, but config has these words, too
            word = f"the DagsterType {word}"
        raise DagsterInvalidDefinitionError(
            f"Cannot use {word} in the context of a config field. It is a type for inputs and outputs, checked when "
            f"values are passed. Please use a python list (e.g. [int]) or Array(int) for a list, a dict of fields or "
            f"Shape for a section, Noneable(int) for what may be None, and int, float, str, bool for scalars."
        )


def _reason(raw: Any) -> str | None:
    """What the user may have meant."""
    if isinstance(raw, schema.Field):
        return "A Field belongs where a dict of fields has its values; here a config type is expected."
    if isinstance(raw, enum.EnumMeta):
        return f"For one of the names of a Python enum write Enum.from_python_enum({raw.__name__})."
    if isinstance(raw, set | frozenset | tuple):
        return "For a list of values of one type write a list of exactly one config type, as in [int]."
    if isinstance(raw, str) and raw in ("int", "float", "str", "bool"):
        return f"Write {raw} without quotes."
    if isinstance(raw, type) and hasattr(raw, "model_fields"):
        return f"To use a pydantic class as config, derive {raw.__name__} from Config."
    return None


# -- arguments of the constructors ------------------------------------------------------------------------------------


def _type_argument(constructor: str, raw: Any, refusal: type[Exception] = DagsterInvalidDefinitionError) -> ConfigType:
    try:
        return to_config_type(raw)
    except DagsterInvalidConfigDefinitionError as error:
        if error.stack:
            raise
        reason = f" {error.reason}" if error.reason else ""
        raise refusal(
            f"Attempted to pass {raw!r} to {constructor}.{reason} It expects a config type such as int, str, a dict of "
            f"fields, a list of exactly one type, Shape, Array, Map, Enum or Noneable."
        ) from None


def _fields_argument(fields: Any, description: str | None) -> dict[str, schema.Field]:
    check_argument("fields", fields, Mapping)
    check_argument("description", description, (str, types.NoneType))
    read = {}
    for name, raw in fields.items():
        if not isinstance(name, str):
            raise DagsterInvalidConfigDefinitionError(fields, name, (), "Names of fields are strings.")
        read[name] = _read_field(raw, fields, (name,))
    return read


def _check_aliases(fields: Mapping[str, schema.Field], field_aliases: Mapping[str, str | Sequence[str]]) -> None:
    owners: dict[str, str] = {}
    for alias, name in schema.alias_pairs(field_aliases):
        if name not in fields:
            raise DagsterInvalidDefinitionError(
                f"field_aliases names {name!r}, which is none of the fields {sorted(fields)}. It maps a field to its "
                f"other name or names."
            )
        if alias in fields or owners.setdefault(alias, name) != name:
            other = alias if alias in fields else owners[alias]
            raise DagsterInvalidDefinitionError(
                f"field_aliases makes {alias!r} another name of the field {name!r}, but it means the field {other!r}."
            )


def _check_default(config_type: ConfigType, default: Any) -> None:
    if isinstance(default, enum.Enum):
        inner = config_type.inner_type if isinstance(config_type, schema.Noneable) else config_type
        if isinstance(inner, schema.Enum) and not (isinstance(default, str) and default in inner.python_values):
            raise DagsterInvalidDefinitionError(
                f"The default value {default} of a field of type {inner.name} is a member of a Python enum. A default "
                f"is config: pass in its string, one of {inner.config_values}."
            )
    errors = validate.validate(config_type, default)
    if errors:
        raise DagsterInvalidConfigError(
            "Invalid default_value for Field: the default does not fit the type of the field.", errors, default
        )


# -- plain types ------------------------------------------------------------------------------------------------------

_PLAIN: dict[Any, ConfigType] = {
    bool: BOOL,
    dict: Permissive(),
    float: FLOAT,
    int: INT,
    list: Array(ANY),
    str: STRING,
}

#: a field is frozen: one for all who write `int`
_PLAIN_FIELDS = {raw: Field(config_type) for raw, config_type in _PLAIN.items()}
