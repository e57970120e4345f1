from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest
from hypothesis import given

from tests.config.strategies import config_types
from treadle.config import schema
from treadle.config.schema import (
    ABSENT,
    ANY,
    BOOL,
    FLOAT,
    INT,
    STRING,
    BoolSource,
    ConfigType,
    Enum,
    EnumValue,
    EnvVar,
    IntSource,
    StringSource,
)
from treadle.config.sugar import Array, Field, Map, Noneable, Permissive, ScalarUnion, Selector, Shape
from treadle.errors import CheckError, ParameterCheckError


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


# -- notation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config_type", "notation"),
    [
        (INT, "Int"),
        (FLOAT, "Float"),
        (STRING, "String"),
        (BOOL, "Bool"),
        (ANY, "Any"),
        (Array(int), "[Int]"),
        (Noneable(int), "Int?"),
        (Map(str, int), "{ [String]: Int }"),
        (Map(str, int, "plane"), "{ [plane: String]: Int }"),
        (StringSource, "(String | { env: String })"),
        (IntSource, "(Int | { env: String })"),
        (BoolSource, "(Bool | { env: String })"),
        (ScalarUnion(int, [str]), "(Int | [String])"),
        (Enum("Color", [EnumValue("red")]), "Color"),
        (Shape({}), "{ }"),
        (Permissive(), "{ }"),
        (Shape({"b": Field(str, is_required=False), "a": int}), "{ a: Int b?: String }"),
        (Selector({"a": int, "b": {"c": [int]}}), "{ a: Int b: { c: [Int] } }"),
    ],
)
def test_notation(config_type: ConfigType, notation: str) -> None:
    assert config_type.notation == notation
    assert repr(config_type) == f"<config type {notation}>"


# -- keys and equality ------------------------------------------------------------------------------------------------


def test_equal_types_are_equal_whatever_the_order_of_their_fields() -> None:
    first = Shape({"a": Field(int, default_value=1), "b": [str]}, field_aliases={"a": "c"})
    second = Shape({"b": [str], "a": Field(int, default_value=1)}, field_aliases={"a": ["c"]})
    assert first == second
    assert hash(first) == hash(second)
    assert {first} == {second}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Shape({"a": int}), Permissive({"a": int})),
        (Shape({"a": int}), Selector({"a": int})),
        (Shape({"a": int}), Shape({"a": Field(int, is_required=False)})),
        (Shape({"a": int}), Shape({"a": Field(int, description="x")})),
        (Shape({"a": int}), Shape({"a": Field(int, is_secret=True)})),
        (Shape({"a": int}), Shape({"a": int}, field_aliases={"a": "b"})),
        (Shape({"a": Field(int, 1)}), Shape({"a": Field(int, 2)})),
        (Array(int), Noneable(int)),
        (StringSource, IntSource),
        (ScalarUnion(str, {"env": str}), StringSource),
        (Map(str, int), Map(str, int, "label")),
        (Enum("E", [EnumValue("a")]), Enum("E", [EnumValue("b")])),
        (Enum("E", [EnumValue("a", 1)]), Enum("E", [EnumValue("a", 2)])),
        (INT, "Int"),
    ],
)
def test_different_types_differ(one: Any, other: Any) -> None:
    assert one != other


def test_fields_are_equal_where_they_say_the_same() -> None:
    assert Field({"a": int}, {"a": 1}) == Field({"a": int}, {"a": 1})
    assert hash(Field(int)) == hash(Field(int))
    assert Field(int) != Field(int, 3)
    assert Field(int) != "Field"
    assert Field(dict, {"x": 1, "y": [2]}).key == Field(dict, {"y": [2], "x": 1}).key


def test_rules_of_a_class_are_part_of_a_type() -> None:
    def check(processed: Any) -> list[Any]:
        return []

    assert schema.Shape({}, check=check) != schema.Shape({})
    assert schema.Shape({}, check=check) == schema.Shape({}, check=check)


@given(config_types)
def test_type_equals_itself_and_has_a_notation(config_type: ConfigType) -> None:
    assert config_type == config_type
    assert config_type.key
    assert config_type.notation
    assert Noneable(config_type) == Noneable(config_type) != config_type
    assert {config_type, copy.copy(config_type)} == {config_type}


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "is_required", "default"),
    [
        (int, True, ABSENT),
        ([int], True, ABSENT),
        ({str: int}, True, ABSENT),
        (Any, True, ABSENT),
        (list, True, ABSENT),
        (dict, False, {}),
        ({}, False, {}),
        (Noneable(int), False, None),
        (Noneable({"a": int}), False, None),
        ({"a": int}, True, ABSENT),
        ({"a": Field(int, 3), "b": Field(int, is_required=False)}, False, {"a": 3}),
        ({"n": {"a": Field(int, 3)}}, False, {"n": {"a": 3}}),
        ({"s": Field(StringSource, {"env": "X"})}, False, {"s": {"env": "X"}}),
        (Permissive({"a": int}), True, ABSENT),
        (Selector({"a": Field(int, 3)}), False, {"a": 3}),
        (Selector({"a": {"q": Field(int, 3)}}), False, {"a": {"q": 3}}),
        (Selector({"a": int}), True, ABSENT),
        (Selector({"a": Field(int, 3), "b": Field(int, 4)}), True, ABSENT),
    ],
)
def test_type_implies_whether_a_field_is_required(config: Any, is_required: bool, default: Any) -> None:
    field = Field(config)
    assert field.is_required is is_required
    assert field.default_provided is (default is not ABSENT)
    if default is not ABSENT:
        assert field.default_value == default


def test_field_says_for_itself_whether_it_is_required() -> None:
    assert Field(Noneable(int), is_required=True).default_provided is False
    optional = Field({"a": Field(int, 3)}, is_required=False)
    assert (optional.is_required, optional.default_provided) == (False, False)
    given_one = Field({"a": int, "b": Field(int, 3)}, default_value={"a": 1})
    assert (given_one.is_required, given_one.default_value) == (False, {"a": 1})


def test_default_of_a_field_without_one_is_an_error() -> None:
    with pytest.raises(CheckError, match="no default value"):
        Field(int).default_value


def test_field_shows_itself() -> None:
    assert repr(Field(int)) == "Field(<config type Int>, is_required=True)"
    assert repr(Field(int, 3)) == "Field(<config type Int>, default_value=3, is_required=False)"
    assert repr(ABSENT) == "ABSENT"
    assert Field(int, 3).as_field() == Field(int, 3)


# -- enums ------------------------------------------------------------------------------------------------------------


def test_enum_from_a_python_enum() -> None:
    members = Enum.from_python_enum(Color)
    assert (members.name, members.config_values) == ("Color", ["RED", "BLUE"])
    assert members.python_values == {"RED": Color.RED, "BLUE": Color.BLUE}
    assert members.post_process("BLUE") is Color.BLUE
    values = Enum.from_python_enum_direct_values(Color, "Paint")
    assert (values.name, values.python_values) == ("Paint", {"RED": "r", "BLUE": "b"})


def test_enum_value_is_its_own_python_value_unless_it_has_another() -> None:
    assert EnumValue("a").python_value == "a"
    assert repr(EnumValue("a", 1, "first")) == "EnumValue('a', 1)"
    assert EnumValue("a", 1, "first").description == "first"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Enum(3, []), 'Param "name" is not a str. Got 3'),  # type: ignore[arg-type]
        (lambda: Enum("E", ["a"]), 'Every member of "enum_values" must be a EnumValue'),  # type: ignore[list-item]
        (lambda: Enum("E", [EnumValue("a"), EnumValue("a")]), "the same config value twice"),
        (lambda: EnumValue(3), 'Param "config_value" is not a str'),  # type: ignore[arg-type]
    ],
)
def test_enum_refuses_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ParameterCheckError, match=message):
        make()


# -- environment variables --------------------------------------------------------------------------------------------


def test_env_var_reads_its_variable_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_N", "7")
    monkeypatch.delenv("TREADLE_NONE", raising=False)
    assert EnvVar("TREADLE_N").get_value() == "7"
    assert EnvVar("TREADLE_NONE").get_value() is None
    assert EnvVar("TREADLE_NONE").get_value("d") == "d"
    assert EnvVar.int("TREADLE_N").get_value() == 7
    assert EnvVar.int("TREADLE_NONE").get_value() is None
    assert EnvVar.int("TREADLE_NONE").get_value(3) == 3


def test_int_variable_without_an_int_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_N", "s3cret")
    with pytest.raises(ValueError, match='"TREADLE_N" must hold an int') as raised:
        EnvVar.int("TREADLE_N").get_value()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("use", [str, format, lambda variable: f"{variable}"])
@pytest.mark.parametrize("variable", [EnvVar("X"), EnvVar.int("X")], ids=["str", "int"])
def test_env_var_is_not_its_value(variable: Any, use: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Attempted to directly retrieve environment variable EnvVar.*get_value"):
        use(variable)


def test_int_env_var_is_no_int() -> None:
    with pytest.raises(RuntimeError):
        int(EnvVar.int("X"))
    assert EnvVar.int("X") != 0
    assert EnvVar.int("X") == EnvVar.int("X") != EnvVar.int("Y")
    assert len({EnvVar.int("X"), EnvVar.int("X")}) == 1


def test_env_vars_show_and_keep_their_name() -> None:
    for variable, shown in [(EnvVar("X"), 'EnvVar("X")'), (EnvVar.int("X"), 'EnvVar.int("X")')]:
        assert repr(variable) == shown
        again = pickle.loads(pickle.dumps(copy.deepcopy(variable)))
        assert (again, type(again)) == (variable, type(variable))
        assert again.env_var_name == "X"
    assert EnvVar.int("X").name == "X"
