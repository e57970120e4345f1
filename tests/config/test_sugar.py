from __future__ import annotations

import enum
import typing
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel

from tests.config.strategies import config_types
from treadle.config import schema
from treadle.config.schema import ANY, BOOL, FLOAT, INT, STRING, ConfigType, Enum, EnumValue, StringSource
from treadle.config.sugar import (
    Array,
    Field,
    Map,
    Noneable,
    Permissive,
    ScalarUnion,
    Selector,
    Shape,
    to_config_type,
    to_field,
)
from treadle.errors import (
    CheckError,
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    ParameterCheckError,
)


class Color(enum.Enum):
    RED = "r"


class Text(str, enum.Enum):
    RED = "r"


COLOR = Enum.from_python_enum(Color)
#: what types.Int and others look like to config
RUN_TIME_INT = SimpleNamespace(config_type=INT, display_name="Int")


class Model:
    """What a Config class looks like to config."""

    @classmethod
    def __config_field__(cls) -> schema.Field:
        return Field({"a": int}, description="of a class")


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "config_type"),
    [
        (int, INT),
        (float, FLOAT),
        (str, STRING),
        (bool, BOOL),
        (Any, ANY),
        (None, ANY),
        (list, Array(ANY)),
        (dict, Permissive()),
        (StringSource, StringSource),
        ([int], Array(INT)),
        ([{"a": int}], Array(Shape({"a": INT}))),
        ({}, Shape({})),
        ({"a": int, "b": [str]}, Shape({"a": Field(INT), "b": Array(STRING)})),
        ({"a": Field(int, 3)}, Shape({"a": Field(int, 3)})),
        ({str: int}, Map(STRING, INT)),
        ({int: {"a": str}}, Map(INT, Shape({"a": STRING}))),
        ({bool: [int]}, Map(BOOL, Array(INT))),
        ({STRING: int}, Map(STRING, INT)),
        ({"a": Noneable(int)}, Shape({"a": Noneable(INT)})),
        (RUN_TIME_INT, INT),
        ([RUN_TIME_INT], Array(INT)),
        (Model, Shape({"a": INT})),
        ([Model], Array(Shape({"a": INT}))),
    ],
)
def test_sugar_is_read(raw: Any, config_type: ConfigType) -> None:
    assert to_config_type(raw) == config_type


def test_no_schema_accepts_everything_and_nothing() -> None:
    assert to_field(None) == Field(Any, is_required=False)


def test_field_is_taken_as_it_is() -> None:
    field = Field(int)
    assert to_field(field) is field
    assert to_field(Model).description == "of a class"
    assert Shape({"m": Model}).fields["m"].description == "of a class"
    assert to_field(int) == field
    assert to_field({"a": int}) == Field({"a": int})


def test_what_users_write_gives_the_classes_they_know() -> None:
    assert isinstance(to_config_type({"a": int}), Shape)
    assert isinstance(to_config_type([int]), Array)
    assert isinstance(to_config_type(dict), Permissive)
    assert isinstance(to_field(int), Field)
    assert isinstance(to_field({"a": int}).config_type.fields["a"], Field)


@given(config_types)
def test_config_type_reads_as_itself(config_type: ConfigType) -> None:
    assert to_config_type(config_type) is config_type
    assert to_field(config_type).config_type is config_type


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "stack", "reason"),
    [
        (object(), [], None),
        (3, [], None),
        ("x", [], None),
        (False, [], None),
        ({"a": None}, ["a"], "Fields cannot be None"),
        ({"a": object()}, ["a"], None),
        ({"a": {"b": {"c": [{"d": 5}]}}}, ["a", "b", "c", "d"], None),
        ([{"a": 3}], ["a"], None),
        ([], [], "List must be of length 1"),
        ({"a": [int, str]}, ["a"], "List must be of length 1"),
        ({"a": [3]}, ["a"], "List have a single item"),
        ([[3]], [], "List have a single item"),
        ([Field(int)], [], "A Field belongs where a dict of fields has its values"),
        ({"a": {str: 3}}, ["a"], "Map must have a single value"),
        ({str: {"a": 3}}, ["a"], None),
        ({str: Field(int)}, [], "Map must have a single value"),
        ({3: int}, [], "the keys of a dict of fields are strings"),
        ({str: int, int: str}, [], "the keys of a dict of fields are strings"),
        ({"a": {object: int}}, ["a"], "the keys of a dict of fields are strings"),
        (Color, [], r"Enum.from_python_enum\(Color\)"),
        ({"a": Color}, ["a"], r"Enum.from_python_enum\(Color\)"),
        ((int,), [], "a list of exactly one config type"),
        ({int}, [], "a list of exactly one config type"),
        (set, [], None),
        (type(None), [], None),
        (BaseModel, [], "derive BaseModel from Config"),
    ],
)
def test_bad_schema_is_told_with_its_place(raw: Any, stack: list[str], reason: str | None) -> None:
    for read in (to_config_type, to_field):
        with pytest.raises(DagsterInvalidConfigDefinitionError, match=reason) as raised:
            read(raw)
        assert raised.value.stack == stack
        assert raised.value.original_root is raw


@pytest.mark.parametrize("raw", [list[int], typing.List, typing.List[int], dict[str, int]])  # noqa: UP006
def test_typing_generics_are_no_config_types(raw: Any) -> None:
    for each in (raw, {"a": raw}, [raw]):
        with pytest.raises(DagsterInvalidDefinitionError, match=r"typing module are not config types: write \[int\]"):
            to_field(each)


@pytest.mark.parametrize("raw", [typing.Optional[int], int | None, typing.Union[int, str]])
def test_unions_are_no_config_types(raw: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"Noneable\(<type>\)"):
        to_field(raw)


@pytest.mark.parametrize(
    ("display_name", "word"), [("List", "List"), ("[Int]", "List"), ("Set[Int]", "Set"), ("Int?", r"Int\?")]
)
def test_types_for_values_are_no_config_types(display_name: str, word: str) -> None:
    raw = SimpleNamespace(config_type=None, display_name=display_name)
    with pytest.raises(DagsterInvalidDefinitionError, match=rf"Cannot use {word} in the context of a config field\."):
        to_field({"a": raw})


@pytest.mark.parametrize("raw", [Noneable, {"a": Noneable}, [schema.AnyType]])
def test_class_of_a_config_type_is_no_config_type(raw: Any) -> None:
    with pytest.raises(ParameterCheckError, match="Cannot pass config type class"):
        to_field(raw)


# -- constructors -----------------------------------------------------------------------------------------------------


def test_constructors_read_their_parts() -> None:
    assert Array({"a": int}).inner_type == Shape({"a": int})
    assert Noneable([int]).inner_type == Array(int)
    assert Array(None).inner_type == ANY
    assert Map(RUN_TIME_INT, {"a": int}).key_type is INT
    assert ScalarUnion(int, {"a": int}).non_scalar_type == Shape({"a": int})
    assert Selector({"a": [int]}).fields == {"a": Field([int])}
    assert Permissive({"a": int}, "why").description == "why"
    assert Shape({"a": int}, "why").description == "why"
    field = Field(int, 3, False, "what", True)
    assert (field.default_value, field.is_required, field.description, field.is_secret) == (3, False, "what", True)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (Field, DagsterInvalidDefinitionError),
        (Array, DagsterInvalidDefinitionError),
        (Noneable, DagsterInvalidDefinitionError),
        (lambda raw: Map(str, raw), ParameterCheckError),
        (lambda raw: Map(raw, int), ParameterCheckError),
        (lambda raw: ScalarUnion(int, raw), ParameterCheckError),
        (lambda raw: ScalarUnion(raw, [int]), ParameterCheckError),
    ],
)
@pytest.mark.parametrize("raw", [object(), Field(int), [int, str], Color])
def test_constructors_refuse_what_is_no_type(make: Any, error: type[Exception], raw: Any) -> None:
    with pytest.raises(error, match="Attempted to pass"):
        make(raw)


@pytest.mark.parametrize("make", [Field, Array, Shape, Selector, Permissive])
def test_constructors_tell_where_a_nested_schema_is_bad(make: Any) -> None:
    with pytest.raises(DagsterInvalidConfigDefinitionError) as raised:
        make({"a": {"b": 3}})
    assert raised.value.stack == ["a", "b"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Field(int, 3, is_required=True), "leave out one of the two"),
        (lambda: Field(int, is_required="yes"), 'Param "is_required" is not a bool or None'),
        (lambda: Field(int, description=3), 'Param "description" is not a str or None'),
        (lambda: Shape(int), 'Param "fields" is not a Mapping'),
        (lambda: Selector("a"), 'Param "fields" is not a Mapping'),
        (lambda: Map({"a": int}, int), 'Param "key_type" of a Map must be a scalar'),
        (lambda: Map(COLOR, int), 'Param "key_type" of a Map must be a scalar'),
        (lambda: Map(str, int, 3), 'Param "key_label_name"'),
        (lambda: ScalarUnion([int], [int]), 'Param "scalar_type"'),
        (lambda: ScalarUnion(int, Noneable([int])), 'Param "non_scalar_schema"'),
    ],
)
def test_constructors_check_their_arguments(make: Any, message: str) -> None:
    with pytest.raises(CheckError, match=message):
        make()


def test_names_of_fields_are_strings() -> None:
    with pytest.raises(DagsterInvalidConfigDefinitionError, match="Names of fields are strings"):
        Shape({3: int})  # type: ignore[dict-item]


# -- defaults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "default"),
    [
        (int, "x"),
        (int, None),
        (COLOR, "GREEN"),
        ({"a": int}, {}),
        ([COLOR], ["RED", 3]),
        (StringSource, {"env": 3}),
    ],
)
def test_default_that_does_not_fit_is_refused_when_defined(config: Any, default: Any) -> None:
    with pytest.raises(DagsterInvalidConfigError, match="Invalid default_value for Field") as raised:
        Field(config, default)
    assert raised.value.errors
    assert raised.value.config_value == default


@pytest.mark.parametrize("config", [COLOR, Noneable(COLOR), Enum.from_python_enum(Text)])
def test_member_of_a_python_enum_is_no_default(config: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"pass in its string, one of \['RED'\]"):
        Field(config, Text.RED if config.notation == "Text" else Color.RED)


def test_member_of_a_python_enum_is_a_default_where_it_is_the_text() -> None:
    assert Field(Enum("E", [EnumValue("r")]), Text.RED).default_value == "r"
    with pytest.raises(DagsterInvalidConfigError):
        Field(int, Color.RED)


def test_unset_variable_does_not_disturb_the_definition() -> None:
    assert Field(StringSource, {"env": "TREADLE_NOT_SET"}).default_value == {"env": "TREADLE_NOT_SET"}


# -- aliases ----------------------------------------------------------------------------------------------------------


def test_field_may_have_one_alias_or_several() -> None:
    shape = Shape({"ops": dict, "x": int}, field_aliases={"ops": ["graph", "solids"], "x": "y"})
    assert shape.aliases == {"graph": "ops", "solids": "ops", "y": "x"}
    assert shape.field_aliases == {"ops": ["graph", "solids"], "x": "y"}
    assert Shape({"a": int}).aliases is None


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ({"z": "a2"}, "names 'z', which is none of the fields"),
        ({"a": "b"}, "'b' another name of the field 'a', but it means the field 'b'"),
        ({"a": "x", "b": "x"}, "'x' another name of the field 'b', but it means the field 'a'"),
    ],
)
def test_contradicting_aliases_are_refused(aliases: Any, message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        Shape({"a": int, "b": int}, field_aliases=aliases)
