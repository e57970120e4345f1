"""Config types of all kinds, and values for them, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from treadle.config import schema
from treadle.config.schema import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    STRING,
    BoolSource,
    ConfigType,
    Enum,
    EnumValue,
    IntSource,
    StringSource,
)
from treadle.config.sugar import Array, Field, Map, Noneable, Permissive, ScalarUnion, Selector, Shape

#: the variables that a generated `{"env": NAME}` may name
ENVIRON = {"NUMBER": "7", "FLAG": "yes", "TEXT": "some text"}
_VARIABLES = {"int": "NUMBER", "bool": "FLAG", "string": "TEXT"}

names = st.sampled_from(["a", "b", "c", "long_name", "env", "no", "with space"])
words = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=4)
# 1.0 and 1 are one number in JSON, and NaN differs from itself
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
scalars = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | floats | words | names
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)

enums = st.lists(st.sampled_from(["red", "green", "blue"]), min_size=1, unique=True).map(
    lambda values: Enum("Color", [EnumValue(value) for value in values])
)
scalar_types = st.sampled_from([INT, FLOAT, STRING, BOOL])
leaf_types = scalar_types | st.just(ANY) | enums | st.sampled_from([StringSource, IntSource, BoolSource])


@st.composite
def fields(draw: st.DrawFn, inner: st.SearchStrategy[ConfigType]) -> schema.Field:
    config_type = draw(inner)
    choice = draw(st.sampled_from(["plain", "optional", "required", "default"]))
    if choice == "default":
        return Field(config_type, default_value=draw(values_of(config_type)))
    return Field(config_type, is_required={"plain": None, "optional": False, "required": True}[choice])


def _grow(inner: st.SearchStrategy[ConfigType], *choices: Any) -> st.SearchStrategy[ConfigType]:
    entries = st.dictionaries(names, fields(inner), max_size=3)
    some = st.dictionaries(names, fields(inner), min_size=1, max_size=3)
    sections = st.one_of(
        entries.map(Shape),
        some.map(lambda each: Shape(each, field_aliases={name: [f"{name}2", f"{name}3"] for name in list(each)[:1]})),
        entries.map(Permissive),
        *(some.map(choice) for choice in choices),
    )
    return st.one_of(
        sections,
        inner.map(Noneable),
        inner.map(Array),
        inner.map(lambda each: Map(str, each)),
        st.builds(ScalarUnion, scalar_types, sections),
    )


config_types: st.SearchStrategy[ConfigType] = st.recursive(
    leaf_types, lambda inner: _grow(inner, Selector), max_leaves=6
)
config_types_without_choices: st.SearchStrategy[ConfigType] = st.recursive(leaf_types, _grow, max_leaves=6)


def values_of(config_type: ConfigType) -> st.SearchStrategy[Any]:
    """Values that are right for a type."""
    if isinstance(config_type, schema.AnyType):
        return json_values
    if isinstance(config_type, schema.Scalar):
        return {
            "int": st.integers(-99, 99),
            "float": floats | st.integers(-9, 9),
            "string": words,
            "bool": st.booleans(),
        }[config_type.kind]
    if isinstance(config_type, schema.Enum):
        return st.sampled_from(config_type.config_values)
    if isinstance(config_type, schema.Source):
        scalar = config_type.scalar_type
        return values_of(scalar) | st.just({"env": _VARIABLES[scalar.kind]})
    if isinstance(config_type, schema.ScalarUnion):
        return values_of(config_type.scalar_type) | values_of(config_type.non_scalar_type)
    if isinstance(config_type, schema.Noneable):
        return st.none() | values_of(config_type.inner_type)
    if isinstance(config_type, schema.Array):
        return st.lists(values_of(config_type.inner_type), max_size=3)
    if isinstance(config_type, schema.Map):
        return st.dictionaries(names, values_of(config_type.inner_type), max_size=3)
    assert isinstance(config_type, schema.Section)
    return _section_values(config_type)


@st.composite
def _section_values(draw: st.DrawFn, section: schema.Section) -> dict[str, Any]:
    if isinstance(section, schema.Selector):
        name = draw(st.sampled_from(sorted(section.fields)))
        return {name: draw(values_of(section.fields[name].config_type))}
    value = {}
    aliases = section.aliases or {}
    for name, field in section.fields.items():
        if field.is_required or draw(st.booleans()):
            spellings = [name, *(alias for alias, owner in aliases.items() if owner == name)]
            value[draw(st.sampled_from(spellings))] = draw(values_of(field.config_type))
    if section.kind == "permissive":
        value.update({f"extra_{key}": item for key, item in draw(st.dictionaries(names, scalars, max_size=1)).items()})
    return value


@st.composite
def broken(draw: st.DrawFn, value: Any) -> Any:
    """A value with one thing in it changed."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        change = draw(st.sampled_from(["drop", "rename", "inside", "add"]))
        rest = {name: item for name, item in value.items() if name != key}
        if change == "drop":
            return rest
        if change == "rename":
            return {**rest, draw(names): value[key]}
        if change == "add":
            return {**value, draw(names): draw(scalars)}
        return {**rest, key: draw(broken(value[key]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], draw(broken(value[index])), *value[index + 1 :]]
    return draw(json_values)


@st.composite
def types_and_values(draw: st.DrawFn) -> tuple[ConfigType, Any]:
    """A type, and a value that is right for it, nearly right, or anything."""
    config_type = draw(config_types)
    value = draw(st.one_of(values_of(config_type), values_of(config_type).flatmap(broken), json_values))
    return config_type, value


@st.composite
def types_and_right_values(draw: st.DrawFn) -> tuple[ConfigType, Any]:
    config_type = draw(config_types)
    return config_type, draw(values_of(config_type))
