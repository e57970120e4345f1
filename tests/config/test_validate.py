from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.strategies import ENVIRON, types_and_right_values, types_and_values
from treadle.config import validate as module
from treadle.config.schema import (
    ABSENT,
    ANY,
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
from treadle.config.sugar import Array, Field, Map, Noneable, Permissive, ScalarUnion, Selector, Shape, to_config_type
from treadle.config.validate import DagsterEvaluationErrorReason, EvaluationError, process, resolve, validate
from treadle.errors import DagsterInvalidConfigError

COLOR = Enum("Color", [EnumValue("red", 1), EnumValue("blue", 2)])


def accepted(raw: Any, value: Any) -> Any:
    return process(to_config_type(raw), value, environ=ENVIRON)


def errors(raw: Any, value: Any) -> list[EvaluationError]:
    found = validate(to_config_type(raw), value)
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(to_config_type(raw), value, environ=ENVIRON)
    assert raised.value.errors == found
    return found


def refused(raw: Any, value: Any) -> EvaluationError:
    (error,) = errors(raw, value)
    return error


# -- scalars ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value", "result"),
    [
        (int, 3, 3),
        (int, 10**30, 10**30),
        (float, 1.5, 1.5),
        (float, 3, 3.0),
        (float, True, 1.0),
        (str, "x", "x"),
        (bool, False, False),
        (Any, None, None),
        (Any, [object], [object]),
        (COLOR, "blue", 2),
    ],
)
def test_leaf_takes_its_values(raw: Any, value: Any, result: Any) -> None:
    made = accepted(raw, value)
    assert made == result
    assert type(made) is type(result)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (float, "1"),
        (float, 10**400),
        (str, 1),
        (str, b"x"),
        (bool, 0),
        (bool, "true"),
    ],
)
def test_leaf_refuses_other_values(raw: Any, value: Any) -> None:
    error = refused(raw, value)
    assert error.reason is DagsterEvaluationErrorReason.RUNTIME_TYPE_MISMATCH
    assert error.message.startswith(f'Invalid scalar at the root. Value "{value}" of type "{type(value)}"')


def test_subclasses_of_scalars_are_scalars() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    class Ratio(float):
        pass

    assert accepted(str, Text("x")) == "x"
    assert accepted(int, Number(3)) == 3
    assert accepted(float, Ratio(0.5)) == 0.5


def test_nan_is_a_float() -> None:
    assert math.isnan(accepted(float, math.nan))


@pytest.mark.parametrize("raw", [int, str, COLOR, [int], {"a": int}, {str: int}, Selector({"a": int}), StringSource])
def test_none_is_refused_where_it_is_not_expected(raw: Any) -> None:
    assert "must not be None" in refused({"n": raw}, {"n": None}).message


# -- lists, maps, unions ----------------------------------------------------------------------------------------------


def test_list_reports_each_wrong_item_by_its_index() -> None:
    assert accepted([int], [1, 2]) == [1, 2]
    assert [error.path for error in errors([int], [1, "x", 2, None])] == ["root[1]", "root[3]"]


@pytest.mark.parametrize("value", [(1,), "ab", {"a": 1}, {1}])
def test_only_a_list_is_a_list(value: Any) -> None:
    assert "must be list" in refused([int], value).message


def test_map_reports_keys_and_values() -> None:
    assert accepted({str: int}, {"a": 1}) == {"a": 1}
    assert accepted(Map(int, float), {1: 2}) == {1: 2.0}
    paths = [error.path for error in errors({str: int}, {"a": "x", 3: 1})]
    assert paths == ["root:'a':value", "root:3:key"]
    assert "must be dict" in refused({str: int}, []).message


def test_noneable_takes_none_and_its_inner_type() -> None:
    assert accepted(Noneable(int), None) is None
    assert accepted(Noneable(int), 1) == 1
    assert accepted([Noneable(int)], [None, 1]) == [None, 1]
    assert 'expected type "Int"' in refused(Noneable(int), "x").message


def test_any_takes_none_everywhere() -> None:
    assert accepted([Any], [None]) == [None]
    assert accepted({str: Any}, {"a": None}) == {"a": None}


def test_union_is_judged_by_the_branch_that_a_value_looks_like() -> None:
    union = ScalarUnion(int, {"env": str})
    assert accepted(union, 3) == 3
    assert accepted(union, {"env": "X"}) == {"env": "X"}
    assert 'expected type "Int"' in refused(union, "x").message
    assert refused(union, {}).reason is DagsterEvaluationErrorReason.MISSING_REQUIRED_FIELD
    assert "must be dict" in refused(union, [1]).message
    assert accepted(ScalarUnion(int, [str]), ["x"]) == ["x"]


# -- sections ---------------------------------------------------------------------------------------------------------


def test_shape_fills_in_defaults_in_the_order_of_its_fields() -> None:
    schema = {
        "z": int,
        "b": Field(int, default_value=3),
        "o": Field(int, is_required=False),
        "n": {"m": Field(str, "x")},
    }
    made = accepted(schema, {"z": 1})
    assert made == {"z": 1, "b": 3, "n": {"m": "x"}}
    assert list(made) == ["z", "b", "n"]


def test_optional_section_without_implied_default_is_left_out() -> None:
    inner = {"b": Field(int, default_value=3)}
    assert accepted({"a": Field(inner, is_required=False)}, {}) == {}
    assert accepted({"a": Field({**inner, "c": int}, default_value={"c": 1})}, {}) == {"a": {"b": 3, "c": 1}}


def test_items_of_a_list_get_defaults_too() -> None:
    assert accepted([{"b": Field(int, default_value=3)}], [{}, {"b": 4}]) == [{"b": 3}, {"b": 4}]


def test_permissive_keeps_what_it_does_not_know() -> None:
    schema = Permissive({"z": int, "b": Field(int, default_value=3)})
    assert list(accepted(schema, {"y": {"n": None}, "z": 1}).items()) == [("z", 1), ("b", 3), ("y", {"n": None})]
    assert accepted(dict, {3: 4}) == {3: 4}
    assert refused(schema, {"y": 1}).error_data.field_name == "z"


def test_section_takes_any_mapping_and_gives_a_dict() -> None:
    made = accepted({"a": int}, MappingProxyType({"a": 1}))
    assert made == {"a": 1}
    assert type(made) is dict


def test_default_is_not_shared_between_runs() -> None:
    schema = {"a": Field(Any, default_value=[]), "b": Field(dict, default_value={"x": [1]})}
    first = accepted(schema, {})
    first["a"].append(1)
    first["b"]["x"].append(2)
    assert accepted(schema, {}) == {"a": [], "b": {"x": [1]}}


def test_all_errors_come_at_once_and_in_order() -> None:
    schema = {"a": int, "b": {"c": str, "d": int}, "e": [{"f": int}]}
    found = errors(schema, {"q": 1, "e": [{"f": "q"}, {}], "a": "s", "b": {"c": 1, "z": 2}})
    assert [(error.reason.value, error.path) for error in found] == [
        ("FIELD_NOT_DEFINED", "root"),
        ("RUNTIME_TYPE_MISMATCH", "root:e[0]:f"),
        ("MISSING_REQUIRED_FIELD", "root:e[1]"),
        ("RUNTIME_TYPE_MISMATCH", "root:a"),
        ("FIELD_NOT_DEFINED", "root:b"),
        ("MISSING_REQUIRED_FIELD", "root:b"),
        ("RUNTIME_TYPE_MISMATCH", "root:b:c"),
    ]


def test_preamble_and_every_error_are_in_the_text() -> None:
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(Shape({"a": int, "b": int}), {"a": "x", "c": 1}, 'Error in config for job "j"')
    text = str(raised.value)
    assert text.startswith('Error in config for job "j"\n    Error 1: ')
    assert "    Error 3: " in text
    assert raised.value.config_value == {"a": "x", "c": 1}


@pytest.mark.parametrize(
    ("given", "count", "reason"),
    [({"y": 1}, 1, "FIELD_NOT_DEFINED"), ({"y": 1, "z": 2}, 1, "FIELDS_NOT_DEFINED"), ({3: 1}, 1, "FIELD_NOT_DEFINED")],
)
def test_unexpected_entries_are_one_error(given: Any, count: int, reason: str) -> None:
    found = errors({"a": Field(int, is_required=False)}, given)
    assert [error.reason.value for error in found] == [reason] * count


# -- aliases ----------------------------------------------------------------------------------------------------------

OPS = Shape({"ops": {"n": int}, "x": Field(int, is_required=False)}, field_aliases={"ops": ["graph", "solids"]})


@pytest.mark.parametrize("name", ["ops", "graph", "solids"])
def test_field_is_accepted_under_each_of_its_names(name: str) -> None:
    assert accepted(OPS, {"x": 1, name: {"n": 1}}) == {"ops": {"n": 1}, "x": 1}


def test_path_shows_the_name_that_was_written() -> None:
    assert refused(OPS, {"solids": {"n": "x"}}).path == "root:solids:n"


def test_two_names_of_one_field_are_refused() -> None:
    error = refused(OPS, {"graph": {"n": 1}, "solids": {"n": 2}})
    assert error.reason is DagsterEvaluationErrorReason.FIELD_ALIAS_COLLISION
    assert error.message == 'The entries "graph", "solids" at the root all mean "ops". Keep one of them.'


def test_missing_field_is_told_by_its_own_name() -> None:
    assert refused(OPS, {"x": 1}).error_data.field_names == ("ops",)


# -- selectors --------------------------------------------------------------------------------------------------------


def test_selector_takes_exactly_one_option() -> None:
    schema = Selector({"a": int, "b": str})
    assert accepted(schema, {"b": "x"}) == {"b": "x"}
    assert refused(schema, {}).message == (
        "Must specify a field at the root if more than one field is defined. Defined fields: ['a', 'b']."
    )
    assert refused(schema, {"a": 1, "b": "x"}).message.startswith("You can only specify a single field at the root.")
    assert refused(schema, {"c": 1}).reason is DagsterEvaluationErrorReason.FIELD_NOT_DEFINED
    assert refused(schema, {"a": "1"}).path == "root:a"
    assert "for selector type at the root must be a dict" in refused(schema, "a").message


def test_empty_selector_means_its_only_option_where_this_has_a_default() -> None:
    assert accepted(Selector({"a": Field(int, default_value=3)}), {}) == {"a": 3}
    assert accepted(Selector({"a": {"q": Field(int, default_value=3)}}), {}) == {"a": {"q": 3}}
    assert (
        refused(Selector({"a": int}), {}).message
        == "Must specify the required field at the root. Defined fields: ['a']."
    )
    assert refused(Selector({}), {}).reason is DagsterEvaluationErrorReason.SELECTOR_FIELD_ERROR


def test_wrong_option_shows_although_the_selector_could_be_empty() -> None:
    schema = Shape({"s": Selector({"a": Field(int, default_value=3)}), "n": int})
    assert [error.path for error in errors(schema, {"n": "x", "s": {}})] == ["root:n"]


def test_none_for_an_option_means_an_empty_section() -> None:
    schema = Selector({"a": {"q": Field(int, default_value=3)}, "p": dict, "n": Noneable(int), "r": {"x": int}})
    assert accepted(schema, {"a": None}) == {"a": {"q": 3}}
    assert accepted(schema, {"p": None}) == {"p": {}}
    assert accepted(schema, {"n": None}) == {"n": None}
    assert refused(schema, {"r": None}).reason is DagsterEvaluationErrorReason.MISSING_REQUIRED_FIELD


# -- environment variables --------------------------------------------------------------------------------------------


def test_variables_are_read_as_what_the_source_says() -> None:
    environ = {"N": "3", "T": "", "B": "True"}
    schema = Shape({"n": IntSource, "t": StringSource, "b": BoolSource})
    value = {"n": {"env": "N"}, "t": {"env": "T"}, "b": {"env": "B"}}
    assert process(schema, value, environ=environ) == {"n": 3, "t": "", "b": True}
    assert process(schema, {"n": 1, "t": "x", "b": False}, environ={}) == {"n": 1, "t": "x", "b": False}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("", False), ("0", False), ("No", False)],
)
def test_bool_variable_holds_a_word_for_it(text: str, value: bool) -> None:
    assert process(BoolSource, {"env": "B"}, environ={"B": text}) is value


@pytest.mark.parametrize(
    ("source", "environ", "problem"),
    [
        (StringSource, {}, 'it needs the environment variable "X" which is not set.'),
        (IntSource, {"X": "s3cret"}, 'the environment variable "X" must hold an int'),
        (BoolSource, {"X": "s3cret"}, 'the environment variable "X" must hold true, false'),
    ],
)
def test_unusable_variable_is_told_without_what_it_holds(source: ConfigType, environ: Any, problem: str) -> None:
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(Shape({"a": source}), {"a": {"env": "X"}}, environ=environ)
    (error,) = raised.value.errors
    assert error.reason is DagsterEvaluationErrorReason.FAILED_POST_PROCESSING
    assert error.message.startswith(
        f"Post processing at path root:a of original value {{'env': 'X'}} failed: {problem}"
    )
    assert "s3cret" not in str(raised.value)


def test_variables_are_looked_at_once_everything_else_is_right() -> None:
    schema = Shape({"a": StringSource, "b": StringSource, "n": int})
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(schema, {"a": {"env": "X"}, "b": {"env": "Y"}, "n": "x"}, environ={})
    assert [error.path for error in raised.value.errors] == ["root:n"]
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(schema, {"a": {"env": "X"}, "b": {"env": "Y"}, "n": 1}, environ={})
    assert [error.path for error in raised.value.errors] == ["root:a", "root:b"]


def test_wrong_source_is_told_before_its_variable() -> None:
    assert refused(StringSource, {"env": "PATH", "b": 1}).reason is DagsterEvaluationErrorReason.SELECTOR_FIELD_ERROR
    assert refused(StringSource, {"env": 3}).path == "root:env"


def test_default_from_a_variable_is_read_when_processed() -> None:
    schema = Shape({"a": Field(StringSource, default_value={"env": "X"})})
    assert validate(schema, {}) == []
    assert process(schema, {}, environ={"X": "v"}) == {"a": "v"}
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(schema, {}, environ={})
    assert [error.path for error in raised.value.errors] == ["root:a"]


def test_process_environment_is_read_where_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_TEST", "v")
    assert process(StringSource, {"env": "TREADLE_TEST"}) == "v"
    assert resolve(StringSource, {"env": "TREADLE_TEST"}) == "v"


@pytest.mark.parametrize("variable", [EnvVar("X"), EnvVar.int("X")], ids=["str", "int"])
@pytest.mark.parametrize("raw", [str, int, float, StringSource])
def test_env_var_is_refused_in_plain_config(raw: Any, variable: Any) -> None:
    message = refused({"a": raw}, {"a": variable}).message
    assert message.startswith("Invalid use of environment variable wrapper at path root:a.")
    assert "{'env': 'X'}" in message


# -- fields -----------------------------------------------------------------------------------------------------------


def test_field_without_value_gives_its_default() -> None:
    assert process(Field(int, default_value=3), ABSENT) == 3
    assert process(Field({"a": Field(int, default_value=3)}), ABSENT) == {"a": 3}
    assert process(Field(int, is_required=False), ABSENT) is ABSENT
    assert process(Field(int), 3) == 3


def test_required_field_without_value_is_refused() -> None:
    with pytest.raises(DagsterInvalidConfigError, match='Expected: "{ a: Int }", for example'):
        process(Field({"a": int}), ABSENT, "Error in config for resource r")


# -- rules of a pydantic class ----------------------------------------------------------------------------------------


def ruled(problems: list[Any], inner: Any = int) -> ConfigType:
    fields = Shape({"n": inner, "secret": Field(str, is_secret=True, default_value="hush")}).fields
    return Shape({"config": module_shape(fields, problems)})


def module_shape(fields: Any, problems: list[Any]) -> ConfigType:
    from treadle.config import schema

    return schema.Shape(fields, check=lambda processed: problems)


def late_errors(schema: ConfigType, value: Any) -> list[EvaluationError]:
    assert validate(schema, value) == []
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(schema, value)
    return list(raised.value.errors)


def test_rule_without_complaint_changes_nothing() -> None:
    assert process(ruled([]), {"config": {"n": 1}}) == {"config": {"n": 1, "secret": "hush"}}


def test_complaint_of_a_rule_stands_at_its_place() -> None:
    schema = ruled([(("n",), "too small", 1), ((), "n and secret do not fit", {"n": 1, "secret": "hush"})])
    first, second = late_errors(schema, {"config": {"n": 1}})
    assert first.message == "Post processing at path root:config:n of original value 1 failed: too small"
    assert first.reason is DagsterEvaluationErrorReason.FAILED_POST_PROCESSING
    assert second.path == "root:config"
    assert "hush" not in second.message


def test_place_is_followed_through_every_kind_of_type() -> None:
    inner = Noneable([{str: Selector({"x": {"y": int}})}])
    value = {"config": {"n": [{"k": {"x": {"y": 1}}}]}}
    steps = ("n", 0, "k", "x", "y", "beyond")
    (error,) = late_errors(ruled([(steps, "no", 1)], inner), value)
    assert error.path == "root:config:n[0]:'k':value:x:y"


def test_rule_is_not_asked_about_a_section_that_has_errors() -> None:
    schema = Shape({"other": int, "config": ruled([((), "no", None)])})
    assert [error.path for error in errors(schema, {"other": "x", "config": {"config": {"n": "y"}}})] == [
        "root:other",
        "root:config:config:n",
    ]


# -- depth ------------------------------------------------------------------------------------------------------------


def deep(depth: int) -> tuple[ConfigType, Any, Any]:
    config_type: ConfigType = INT
    right: Any = 1
    wrong: Any = "x"
    for _ in range(depth):
        config_type = Shape({"a": Field(Noneable(config_type), is_required=True)})
        right, wrong = {"a": right}, {"a": wrong}
    return config_type, right, wrong


def test_no_depth_is_too_deep() -> None:
    config_type, right, wrong = deep(2000)
    assert validate(config_type, right) == []
    made = process(config_type, right)
    for _ in range(2000):
        made = made["a"]
    assert made == 1
    (error,) = validate(config_type, wrong)
    assert len(error.stack.entries) == 2000
    assert validate(config_type, 5)[0].message.startswith('Value at the root must be dict. Expected: "{ ... }"')


# -- what holds for every type ----------------------------------------------------------------------------------------


@given(types_and_right_values())
def test_right_value_has_no_errors_and_is_processed(pair: tuple[ConfigType, Any]) -> None:
    config_type, value = pair
    before = copy.deepcopy(value)
    assert validate(config_type, value) == []
    process(config_type, value, environ=ENVIRON)
    assert value == before


@given(types_and_right_values())
def test_processed_value_is_right_and_stays_the_same(pair: tuple[ConfigType, Any]) -> None:
    config_type, value = pair
    once = process(config_type, value, environ=ENVIRON)
    assert process(config_type, once, environ={}) == once


@given(types_and_values(), st.sampled_from([ENVIRON, {}]))
def test_quick_pass_and_thorough_walk_agree(pair: tuple[ConfigType, Any], environ: dict[str, str]) -> None:
    config_type, value = pair
    walk = module._Walk(environ)
    walked = walk.over(config_type, value)
    assert walk.errors == validate(config_type, value)
    found = walk.errors or walk.late_errors
    if found:
        with pytest.raises(DagsterInvalidConfigError) as raised:
            process(config_type, value, environ=environ)
        assert raised.value.errors == found
    else:
        assert repr(process(config_type, value, environ=environ)) == repr(walked)


@given(types_and_values())
def test_errors_are_complete_sentences_with_a_place(pair: tuple[ConfigType, Any]) -> None:
    for error in validate(*pair):
        assert str(error.stack) in error.message
        assert error.message.rstrip('"').endswith((".", "?"))
        assert error.error_data.expected


def test_types_imported_for_the_engine_are_there() -> None:
    assert process(Array(ANY), [STRING]) == [STRING]
