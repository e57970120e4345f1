"""The sentences: where, what was expected, what came, what to do."""

from __future__ import annotations

import enum
import pickle
from typing import Any

import pytest

from treadle.config.mistakes import (
    DagsterEvaluationErrorReason,
    EvaluationError,
    EvaluationStack,
    FieldEntry,
    ListItemEntry,
    MapKeyEntry,
    MapValueEntry,
    example,
    nearest,
)
from treadle.config.schema import ConfigType, Enum, EnumValue, StringSource
from treadle.config.sugar import Field, Map, Noneable, Permissive, ScalarUnion, Selector, Shape, to_config_type
from treadle.config.validate import process, validate
from treadle.errors import DagsterInvalidConfigError


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


def only(raw: Any, value: Any) -> EvaluationError:
    (error,) = validate(to_config_type(raw), value)
    return error


# -- where ------------------------------------------------------------------------------------------------------------


def test_stack_is_read_by_people_and_programs() -> None:
    stack = EvaluationStack((FieldEntry("ops"), ListItemEntry(2), MapKeyEntry("k"), MapValueEntry(3)))
    assert stack.path == "root:ops[2]:'k':key:3:value"
    assert str(stack) == f"at path {stack.path}"
    assert stack.levels == ["ops", "2", "k", "3"]
    assert str(EvaluationStack()) == "at the root"


def test_errors_survive_a_trip_to_another_process() -> None:
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(Shape({"a": [int]}), {"a": ["x"]}, "Error in config")
    again = pickle.loads(pickle.dumps(raised.value))
    assert again.errors == raised.value.errors
    assert again.errors[0].reason is DagsterEvaluationErrorReason.RUNTIME_TYPE_MISMATCH
    assert str(again) == str(raised.value)


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value", "hint"),
    [
        (int, "-3", "Leave out the quotes: -3."),
        (int, "x", None),
        (float, "1.5", "Leave out the quotes: 1.5."),
        (bool, "True", "Leave out the quotes: true."),
        (bool, 1, "Write true or false."),
        (str, 3, 'Put it in quotes: "3".'),
        (str, True, 'Put it in quotes: "True".'),
        (str, [], None),
        (int, 3.0, "Write 3."),
        (int, 3.5, None),
        (float, 10**400, "It is too large for a float."),
    ],
)
def test_wrong_scalar_says_what_to_write(raw: Any, value: Any, hint: str | None) -> None:
    expected = to_config_type(raw).notation
    message = only({"n": raw}, {"n": value}).message
    shown = str(value) if len(str(value)) < 100 else str(value)[:600] + ("..." if len(str(value)) > 600 else "")
    assert message == (
        f'Invalid scalar at path root:n. Value "{shown}" of type "{type(value)}" is not valid for expected type '
        f'"{expected}".' + (f" {hint}" if hint else "")
    )


@pytest.mark.parametrize(
    ("raw", "value", "message"),
    [
        ({"n": int}, 5, 'Value at path root:x must be dict. Expected: "{ n: Int }". Got 5 of type int.'),
        ({str: int}, 5, 'Value at path root:x must be dict. Expected: "{ [String]: Int }". Got 5 of type int.'),
        ([int], (1,), 'Value at path root:x must be list. Expected: "[Int]". Got (1,) of type tuple.'),
        (int, None, 'Value at path root:x must not be None. Expected "Int".'),
        (
            Selector({"a": int, "b": {"c": str}}),
            "b",
            (
                "Value for selector type at path root:x must be a dict with exactly one of the entries ['a', 'b']. "
                "Got 'b' of type str. Write {'b': {'c': '...'}}."
            ),
        ),
        (
            Selector({"a": int}),
            "z",
            (
                "Value for selector type at path root:x must be a dict with exactly one of the entries ['a']. "
                "Got 'z' of type str."
            ),
        ),
    ],
)
def test_wrong_kind_of_value(raw: Any, value: Any, message: str) -> None:
    error = only({"x": raw}, {"x": value})
    assert error.message == message
    assert error.error_data.given == error.error_data.value_rep == repr(value)


@pytest.mark.parametrize(
    ("value", "message", "near"),
    [
        ("GREEN", "not in enum type Color got GREEN. Use one of ['RED', 'BLUE'].", ()),
        ("red", "not in enum type Color got red. Use one of ['RED', 'BLUE']. Did you mean \"RED\"?", ("RED",)),
        ("b", "not in enum type Color got b. Use one of ['RED', 'BLUE']. Did you mean \"BLUE\"?", ("BLUE",)),
        (3, "for enum type Color must be a string, one of ['RED', 'BLUE']. Got 3 of type int.", ()),
        (
            Color.RED,
            (
                "for enum type Color must be a string, one of ['RED', 'BLUE']. Got <Color.RED: 'r'> of type Color. "
                'Did you mean "RED"?'
            ),
            ("RED",),
        ),
    ],
)
def test_wrong_enum_value(value: Any, message: str, near: tuple[str, ...]) -> None:
    error = only({"c": Enum.from_python_enum(Color)}, {"c": value})
    assert error.message == f"Value at path root:c {message}"
    assert error.error_data.did_you_mean == near


def test_long_and_broken_values_are_shown_in_short() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert len(only({"a": [int]}, {"a": "x" * 10_000}).message) < 1_000
    assert "Got <a Broken> of type Broken" in only([int], Broken()).message


# -- entries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({"n": int}, {"n": 1, "z": 1}, 'entry "z" at the root. Expected: "{ n: Int }".'),
        ({"number": Field(int, 1)}, {"nubmer": 1}, 'Expected: "{ number?: Int }". Did you mean "number"?'),
        ({"number": Field(int, 1)}, {"NUMBER": 1}, 'Did you mean "number"?'),
        ({"name": str, "names": Field([str], [])}, {"name": "x", "nams": 1}, 'Did you mean "names"?'),
        ({"number": int}, {"number": 1, "nubmer": 1}, 'Did you mean "number"?'),
        ({"n": int}, {"n": 1, "z": 1, "y": 2}, "entries \"['y', 'z']\" at the root. Expected: \"['n']\"."),
        (
            {"number": Field(int, 1), "text": Field(str, "")},
            {"nubmer": 1, "txt": 1, "z": 1},
            'Did you mean "number" for "nubmer", "text" for "txt"?',
        ),
        ({"config": Field({"x": Field(int, 1)})}, {"x": 1}, '"x" belongs one level deeper, below "config".'),
        (
            {"config": Noneable({"x": int, "y": int})},
            {"x": 1, "y": 1},
            "['x', 'y'] belong one level deeper, below \"config\".",
        ),
        (Selector({"first": int, "second": int}), {"frist": 1}, 'Did you mean "first"?'),
    ],
)
def test_unexpected_entry_says_what_was_meant(schema: Any, value: Any, message: str) -> None:
    error = only(schema, value)
    assert error.message.startswith("Received unexpected config ent")
    assert message in error.message


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"a": int},
            "entry \"a\" at the root. You must provide this value in your run config. Example config for the missing entry: {'a': 0}.",
        ),
        (
            {"b": str, "a": {"x": float, "y": Field(int, 1)}},
            "entries ['a', 'b'] at the root. You must provide these values in your run config. Example config for the missing entries: {'a': {'x': 0.0}, 'b': '...'}.",
        ),
        (
            {"a": Field(int, description="rows to read")},
            'entry "a" at the root. You must provide this value in your run config. Example config for the missing entry: {\'a\': 0}. What they are: "a": rows to read',
        ),
    ],
)
def test_missing_entry_comes_with_an_example(schema: Any, message: str) -> None:
    error = only(schema, {})
    assert error.message == f"Missing required config {message}"


def test_error_data_names_the_entries() -> None:
    data = only({"b": int, "a": int}, {}).error_data
    assert (data.field_names, data.field_name, data.incoming_fields) == (("a", "b"), "a", ["a", "b"])
    assert only(int, "x").error_data.field_name is None


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (int, "hunter2"),
        ([int], "hunter2"),
        ({"inner": int}, {"inner": "hunter2"}),
        ([{str: int}], [{"k": "hunter2"}]),
        (Enum.from_python_enum(Color), "hunter2"),
    ],
)
def test_secret_is_never_shown(raw: Any, value: Any) -> None:
    error = only({"password": Field(raw, is_secret=True)}, {"password": value})
    assert "hunter2" not in repr(error)
    assert "<hidden>" in error.message


def test_secret_variable_is_told_by_its_name() -> None:
    schema = Shape({"password": Field(StringSource, is_secret=True)})
    with pytest.raises(DagsterInvalidConfigError, match='"TREADLE_PW" which is not set'):
        process(schema, {"password": {"env": "TREADLE_PW"}}, environ={})


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (int, 0),
        (float, 0.0),
        (str, "..."),
        (bool, True),
        (Any, "..."),
        ([int], []),
        ({str: int}, {}),
        (dict, {}),
        ({"a": int, "b": Field(int, 1)}, {"a": 0}),
        (Permissive({"a": str}), {"a": "..."}),
        (Selector({"a": int}), "<selector>"),
        (Noneable(int), None),
        (ScalarUnion(int, [int]), 0),
        (StringSource, "..."),
        (Enum("E", [EnumValue("x"), EnumValue("y")]), "x"),
        (Enum("E", []), "..."),
        (Map(int, str), {}),
    ],
)
def test_example_has_no_more_in_it_than_needed(raw: Any, value: Any) -> None:
    assert example(to_config_type(raw)) == value


def test_example_of_a_deep_type_ends() -> None:
    config_type: ConfigType = to_config_type(int)
    for _ in range(3000):
        config_type = Shape({"a": config_type})
    assert str(example(config_type)).count("a") == 9


def test_notation_of_a_large_section_lists_its_entries() -> None:
    schema = Shape({f"op_{number:03}": {"config": {"rows": int}} for number in range(200)})
    message = only(schema, 5).message
    assert 'Expected: "{ op_000: ... op_001: ... ' in message
    assert " and 170 more }" in message
    assert len(message) < 700


def test_notation_of_a_wide_list_is_cut() -> None:
    message = only([{f"name_{number}": int for number in range(200)}], 5).message
    assert '..."' in message
    assert len(message) < 700


def test_section_with_few_entries_that_are_large_lists_all() -> None:
    inner = {f"name_{number}": int for number in range(100)}
    assert 'Expected: "{ a: ... b?: ... }"' in only({"a": inner, "b": Field(inner, is_required=False)}, 5).message


def test_nearest_name_ignores_case() -> None:
    assert nearest("Confg", ["config", "inputs"]) == ["config"]
    assert nearest("zzz", ["config"]) == []
