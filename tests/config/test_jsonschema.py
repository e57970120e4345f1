from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.config.strategies import config_types, config_types_without_choices, fields, names, types_and_values
from treadle.config import schema
from treadle.config.jsonschema import json_schema, scaffold
from treadle.config.schema import ConfigType, Enum, EnumValue, StringSource
from treadle.config.sugar import Field, Map, Noneable, Selector, Shape, to_config_type
from treadle.config.validate import validate

COLOR = Enum("Color", [EnumValue("red"), EnumValue("blue")])


def made(raw: Any) -> dict[str, Any]:
    """The JSON Schema without the line that all have."""
    result = json_schema(to_config_type(raw))
    assert result.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    return result


# -- JSON Schema ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (Any, {}),
        (int, {"type": "integer"}),
        (float, {"type": ["number", "boolean"]}),
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (COLOR, {"enum": ["red", "blue"]}),
        ([int], {"type": "array", "items": {"type": "integer"}}),
        (Noneable(int), {"anyOf": [{"type": "null"}, {"type": "integer"}]}),
        ({str: int}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        (
            Map(str, int, "plane"),
            {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "propertyNames": {"description": "plane"},
            },
        ),
        ({int: int}, {"type": "object", "maxProperties": 0}),
        (dict, {"type": "object", "properties": {}}),
        (
            {"a": Field(int, description="number"), "b": Field(str, "x")},
            {
                "type": "object",
                "properties": {
                    "a": {"description": "number", "type": "integer"},
                    "b": {"type": "string", "default": "x"},
                },
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (
            Selector({"a": int, "b": {"c": Field(int, 1)}}, "one of two"),
            {
                "description": "one of two",
                "type": "object",
                "properties": {
                    "a": {"type": "integer"},
                    "b": {
                        "anyOf": [
                            {"type": "null"},
                            {
                                "type": "object",
                                "properties": {"c": {"type": "integer", "default": 1}},
                                "additionalProperties": False,
                            },
                        ]
                    },
                },
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ),
    ],
)
def test_type_as_json_schema(raw: Any, expected: Any) -> None:
    assert made(raw) == expected


def test_field_is_read_for_its_type_and_a_title_is_kept() -> None:
    assert json_schema(Field(int), "Run config") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Run config",
        "type": "integer",
    }


def test_secret_shows_no_default() -> None:
    properties = made({"pw": Field(str, "hush", is_secret=True), "x": Field(Any, default_value=object())})["properties"]
    assert properties == {"pw": {"type": "string", "writeOnly": True}, "x": {}}


def test_shared_types_are_written_once() -> None:
    entry = Shape({"config": {"n": int}})
    result = made({f"op_{number}": entry for number in range(3)} | {"a": StringSource, "b": COLOR, "c": COLOR})
    assert sorted(result["$defs"]) == ["Color-3", "Shape-1", "StringSource"]
    assert result["properties"]["op_0"] == result["properties"]["op_2"] == {"$ref": "#/$defs/Shape-1"}


def test_aliases_do_not_multiply_what_is_inside() -> None:
    config_type: ConfigType = Shape({"config": dict})
    for number in range(30):
        config_type = Shape({"ops": {f"g{number}": config_type}}, field_aliases={"ops": ["graph", "solids"]})
    assert len(json.dumps(json_schema(config_type))) < 20_000


def test_aliases_exclude_each_other() -> None:
    shape = Shape({"ops": dict, "x": Field(dict, is_required=False)}, field_aliases={"ops": "graph", "x": ["y", "z"]})
    for value, right in [
        ({"ops": {}}, True),
        ({"graph": {}, "y": {}}, True),
        ({"ops": {}, "graph": {}}, False),
        ({"x": {}, "z": {}, "ops": {}}, False),
    ]:
        assert accepts(json_schema(shape), value) is right
        assert (validate(shape, value) == []) is right


@given(types_and_values())
def test_json_schema_accepts_what_the_validator_accepts(pair: tuple[ConfigType, Any]) -> None:
    config_type, value = pair
    made_schema = json_schema(config_type)
    json.dumps(made_schema)
    assert accepts(made_schema, value) is (validate(config_type, value) == [])


def accepts(root: dict[str, Any], value: Any) -> bool:
    """JSON Schema, as far as it is used here."""

    def fits(rule: Any, item: Any) -> bool:
        if isinstance(rule, bool):
            return rule or item is None
        unknown = rule.keys() - _KEYWORDS.keys() - _NOTES
        assert not unknown, f"the test does not know {unknown}"
        return all(check(rule, item) for keyword, check in _KEYWORDS.items() if keyword in rule)

    def fits_type(rule: Any, item: Any) -> bool:
        kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        is_number = isinstance(item, int | float) and not isinstance(item, bool)
        return any(
            {
                "integer": is_number and item == int(item),
                "number": is_number,
                "string": isinstance(item, str),
                "boolean": isinstance(item, bool),
                "null": item is None,
                "array": isinstance(item, list),
                "object": isinstance(item, dict),
            }[kind]
            for kind in kinds
        )

    def fits_properties(rule: Any, item: Any) -> bool:
        return all(fits(inner, item[name]) for name, inner in rule["properties"].items() if name in item)

    def fits_others(rule: Any, item: Any) -> bool:
        others = [each for name, each in item.items() if name not in rule.get("properties", {})]
        wanted = rule["additionalProperties"]
        return not others if wanted is False else all(fits(wanted, each) for each in others)

    def only(kind: type, check: Any) -> Any:
        return lambda rule, item: not isinstance(item, kind) or check(rule, item)

    _NOTES = {"$schema", "$defs", "title", "description", "default", "writeOnly", "propertyNames"}
    _KEYWORDS: dict[str, Any] = {
        "$ref": lambda rule, item: fits(root["$defs"][rule["$ref"].removeprefix("#/$defs/")], item),
        "type": fits_type,
        "enum": lambda rule, item: item in rule["enum"],
        "anyOf": lambda rule, item: any(fits(each, item) for each in rule["anyOf"]),
        "allOf": lambda rule, item: all(fits(each, item) for each in rule["allOf"]),
        "not": lambda rule, item: not fits(rule["not"], item),
        "items": only(list, lambda rule, item: all(fits(rule["items"], each) for each in item)),
        "required": only(dict, lambda rule, item: set(rule["required"]) <= item.keys()),
        "properties": only(dict, fits_properties),
        "additionalProperties": only(dict, fits_others),
        "minProperties": only(dict, lambda rule, item: len(item) >= rule["minProperties"]),
        "maxProperties": only(dict, lambda rule, item: len(item) <= rule["maxProperties"]),
    }
    return fits(root, value)


# -- the scaffold -----------------------------------------------------------------------------------------------------

RUN = Shape(
    {
        "ops": {
            "load": {
                "config": {
                    "path": Field(str, description="Where the tables are"),
                    "rows": Field(int, 10, description="rows to read,\nat most"),
                    "color": Field(COLOR, "red"),
                    "limit": Noneable(int),
                    "paint": Noneable(COLOR),
                    "true": Field([int], is_required=False),
                }
            },
            "save": {"config": Field({"n": Field(int, 3)})},
        },
        "execution": Field(Selector({"in_process": {}, "multiprocess": {}}), {"in_process": {}}),
        "resources": {
            "db": {
                "config": {
                    "url": StringSource,
                    "password": Field(str, "hush", is_secret=True),
                    "choice": Selector({"one": {}, "two": {"q": int}}),
                    "with space": Noneable({"a": int}),
                }
            }
        },
    }
)


def test_scaffold_shows_everything_and_asks_for_what_is_required() -> None:
    assert scaffold(RUN, "Run config of flights\nsecond line") == (
        "# Run config of flights\n"
        "# second line\n"
        "ops:\n"
        "  load:\n"
        "    config:\n"
        "      # Where the tables are\n"
        '      path: "..."  # String\n'
        "      # # rows to read,\n"
        "      # # at most\n"
        "      # rows: 10  # Int\n"
        '      # color: "red"  # red | blue\n'
        "      # limit: null  # Int?\n"
        "      # paint: null  # red | blue | null\n"
        '      # "true": []  # [Int]\n'
        "  # save:\n"
        "  #   config:\n"
        "  #     n: 3  # Int\n"
        '# execution: {"in_process": {}}  # { in_process?: { } multiprocess?: { } }\n'
        "resources:\n"
        "  db:\n"
        "    config:\n"
        '      url: "..."  # (String | { env: String })\n'
        '      # password: "..."  # String\n'
        "      choice:\n"
        "        # one of: one, two\n"
        "        one: {}  # { }\n"
        "        # two:\n"
        "        #   q: 0  # Int\n"
        '      # "with space":\n'
        "      #   a: 0  # Int\n"
    )


def test_scaffold_of_a_section_without_required_fields_is_all_comments() -> None:
    text = scaffold(Field({"a": Field(int, 3), "b": {"c": Field(str, is_required=False)}}))
    assert text == '# a: 3  # Int\n# b:\n#   c: "..."  # String\n'
    assert yaml.safe_load(text) is None


def test_scaffold_writes_values_as_yaml_reads_them() -> None:
    default = {"small": 1e-05, "text": "\x7f", "other": "é", "list": [1.5, None, {"k": True}]}
    text = scaffold(Shape({"a": Field(dict, default), "n": int}))
    line = next(line for line in text.splitlines() if line.startswith("# a: "))
    assert yaml.safe_load(line.removeprefix("# ")) == {"a": default}


@pytest.mark.parametrize(("raw", "text"), [(int, "0\n"), ([int], "[]\n"), ({}, "{}\n"), (dict, "{}\n")])
def test_scaffold_of_what_has_no_fields_is_an_example(raw: Any, text: str) -> None:
    assert scaffold(to_config_type(raw)) == text


def has_empty_choice(config_type: ConfigType) -> bool:
    return "<selector>" in scaffold(config_type)


@given(config_types)
def test_scaffold_is_valid_config(config_type: ConfigType) -> None:
    assume(not has_empty_choice(config_type))
    value = yaml.safe_load(scaffold(config_type))
    if value is None and isinstance(config_type, schema.Section):
        value = {}
    assert validate(config_type, value) == []


@given(st.dictionaries(names, fields(config_types_without_choices), min_size=1))
def test_scaffold_is_valid_config_with_its_comments_taken_away(entries: dict[str, Any]) -> None:
    config_type = Shape(entries)
    lines = [line.removeprefix("# ") for line in scaffold(config_type).splitlines()]
    assert validate(config_type, yaml.safe_load("\n".join(lines))) == []
