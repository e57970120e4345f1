"""An input's value, made from run config."""

from __future__ import annotations

import json
import pickle
import typing as t
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treadle import types
from treadle.config import schema
from treadle.config.validate import process, validate
from treadle.errors import (
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterTypeLoadingError,
    ParameterCheckError,
)
from treadle.type_loaders import DagsterTypeLoader, config_type_of, dagster_type_loader
from treadle.types import DagsterType, resolve_dagster_type

FILES = "{ json: { path: String } pickle: { path: String } value: "


@dagster_type_loader({"seats": int}, required_resource_keys={"hangar"})
def load_plane(context: Any, config: Any) -> tuple[str, int]:
    return (f"plane of {context}", config["seats"])


PLANE = DagsterType(lambda _, value: True, name="Plane", loader=load_plane)


def load(annotation: Any, config: Any, context: Any = None) -> Any:
    """What an input gets: config is validated and processed, then the loader is asked."""
    loader = resolve_dagster_type(annotation).loader
    assert loader is not None
    return loader.construct_from_config_value(context, process(config_type_of(loader), config))


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, object], dict[str, Any]]:
    def write(form: str, content: object) -> dict[str, Any]:
        path = tmp_path / f"input.{form}"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return {form: {"path": str(path)}}

    return write


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "notation"),
    [
        (int, f"(Int | {FILES}Int }})"),
        (str, f"(String | {FILES}String }})"),
        (t.Any, f"{FILES}Any }}"),
        (list[int], f"[(Int | {FILES}Int }})]"),
        (t.Optional[bool], f"(Bool | {FILES}Bool }})?"),
        (dict, "{ }"),
        (dict[str, float], f"{{ [String]: (Float | {FILES}Float }}) }}"),
        (tuple[int, str], "[Any]"),
        (tuple[int, int], f"[(Int | {FILES}Int }})]"),
        (set[int], f"[(Int | {FILES}Int }})]"),
        (PLANE, "{ seats: Int }"),
        (types.List[PLANE], "[{ seats: Int }]"),
    ],
)
def test_type_is_written_in_its_form(annotation: Any, notation: str) -> None:
    loader = resolve_dagster_type(annotation).loader
    assert loader is not None
    assert config_type_of(loader).notation == notation


@pytest.mark.parametrize(
    ("annotation", "config", "value"),
    [
        (int, 1, 1),
        (int, {"value": 1}, 1),
        (float, 1, 1.0),
        (float, {"value": 1}, 1.0),
        (str, "a", "a"),
        (bool, {"value": False}, False),
        (t.Any, {"value": 1}, 1),
        (t.Any, {"value": None}, None),
        (t.Any, {"value": {"value": 1}}, {"value": 1}),
        (list[int], [1, {"value": 2}], [1, 2]),
        (list, [{"value": 1}], [1]),
        (list[list[int]], [[1], []], [[1], []]),
        (dict[str, int], {"a": 1, "b": {"value": 2}}, {"a": 1, "b": 2}),
        (dict[int, str], {1: "a"}, {1: "a"}),
        (dict[str, t.Any], {"a": {"value": 1}}, {"a": 1}),
        (t.Optional[int], None, None),
        (t.Optional[int], {"value": 1}, 1),
        (dict, {"value": {"a": 1}}, {"value": {"a": 1}}),
        (tuple[int, str], [1, {"value": "a"}], (1, "a")),
        (tuple[float, float], [1, {"value": 2}], (1.0, 2.0)),
        (types.Tuple[()], [], ()),
        (set[int], [1, {"value": 2}, 1], {1, 2}),
        (PLANE, {"seats": 3}, ("plane of here", 3)),
        (types.List[PLANE], [{"seats": 3}], [("plane of here", 3)]),
        (types.Dict[str, PLANE], {"a": {"seats": 3}}, {"a": ("plane of here", 3)}),
        (types.Optional[PLANE], {"seats": 3}, ("plane of here", 3)),
        (types.Tuple[int, PLANE], [1, {"seats": 3}], (1, ("plane of here", 3))),
    ],
)
def test_value_is_made_from_config(annotation: Any, config: Any, value: Any) -> None:
    made = load(annotation, config, "here")
    assert made == value
    assert type(made) is type(value)
    if annotation is not PLANE:
        assert resolve_dagster_type(annotation).type_check(None, made).success  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "config"),
    [
        (int, True),
        (int, "1"),
        (int, None),
        (int, {}),
        (int, {"zz": 1}),
        (int, {"value": "a"}),
        (int, {"json": {}}),
        (int, {"value": 1, "json": {"path": "x"}}),
        (t.Any, 1),
        (t.Any, [1]),
        (list[int], {"value": [1]}),
        (list, [1]),
        (dict, [1]),
        (dict[str, int], {"a": "x"}),
        (set[int], ["a"]),
        (tuple[int, int], ["a", 1]),
    ],
)
def test_other_forms_are_refused_by_validation(annotation: Any, config: Any) -> None:
    loader = resolve_dagster_type(annotation).loader
    assert loader is not None
    assert validate(config_type_of(loader), config)


# -- files ------------------------------------------------------------------------------------------------------------


def test_value_is_read_from_a_json_file(file: Any) -> None:
    assert load(int, file("json", {"value": 3})) == 3
    assert load(t.Any, file("json", {"value": [1], "more": 2})) == [1]
    assert load(list[int], [1, file("json", {"value": 3})]) == [1, 3]


def test_value_is_read_from_a_pickle_file(file: Any) -> None:
    assert load(t.Any, file("pickle", pickle.dumps({1, 2}))) == {1, 2}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"val": 3, "b": 1}, r'must hold an object with the key "value".* it holds the keys \[\'b\', \'val\'\]'),
        ([3], "it holds a list"),
        (b"{", "is not valid JSON: .*line 1"),
        (b"\xff", "is not valid JSON"),
    ],
)
def test_wrong_json_file_is_told_by_its_name(file: Any, content: object, match: str) -> None:
    with pytest.raises(DagsterTypeLoadingError, match=match) as raised:
        load(int, file("json", content))
    assert "input.json" in str(raised.value)


def test_wrong_pickle_file_is_told_by_its_name(file: Any) -> None:
    with pytest.raises(DagsterTypeLoadingError, match=r"input\.pickle.* cannot be unpickled: UnpicklingError"):
        load(int, file("pickle", b"{"))


@pytest.mark.parametrize("form", ["json", "pickle"])
def test_missing_file_is_told_with_where_it_was_looked_for(form: str, tmp_path: Path) -> None:
    with pytest.raises(DagsterTypeLoadingError, match="cannot be read: No such file") as raised:
        load(int, {form: {"path": "missing"}})
    assert str(Path.cwd()) in str(raised.value)
    assert isinstance(raised.value.user_exception, FileNotFoundError)
    with pytest.raises(DagsterTypeLoadingError, match=r"No such file or directory\.$"):
        load(int, {form: {"path": str(tmp_path / "missing")}})


# -- members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [[], [1], [1, "a", 3]])
def test_tuple_needs_all_its_members(config: list[Any]) -> None:
    with pytest.raises(DagsterTypeLoadingError, match="The tuple has 2 members, but config gives"):
        load(tuple[int, str], config)


def test_wrong_member_of_a_mixed_tuple_is_told_with_its_place() -> None:
    with pytest.raises(DagsterTypeLoadingError, match="member 1 of a tuple") as raised:
        load(tuple[int, str], [1, 2])
    assert isinstance(raised.value.user_exception, DagsterInvalidConfigError)


def test_set_needs_members_that_can_be_hashed() -> None:
    with pytest.raises(DagsterTypeLoadingError, match="must be hashable"):
        load(set[list[int]], [[1]])


@pytest.mark.parametrize(
    "annotation",
    [
        bytes,
        tuple,
        set,
        list[bytes],
        t.Optional[bytes],
        dict[str, bytes],
        dict[bytes, int],
        tuple[int, bytes],
        set[bytes],
    ],
)
def test_type_without_a_form_has_no_loader(annotation: Any) -> None:
    assert resolve_dagster_type(annotation).loader is None


# -- loaders of users -------------------------------------------------------------------------------------------------


def test_loader_tells_its_resources() -> None:
    assert load_plane.required_resource_keys() == frozenset({"hangar"})
    listed = resolve_dagster_type(types.Dict[str, types.List[PLANE]]).loader
    assert listed is not None
    assert listed.required_resource_keys() == frozenset({"hangar"})
    assert load_plane.loader_version is None


@pytest.mark.parametrize(
    "fn",
    [
        lambda context, config: 1,
        lambda _, config: 1,
        lambda _context, given: 1,
        lambda context_, config, more=1: 1,
        lambda context, *rest: 1,
    ],
)
def test_function_of_context_and_config_can_load(fn: Any) -> None:
    assert dagster_type_loader(int)(fn).construct_from_config_value(None, 2) == 1


@pytest.mark.parametrize("fn", [lambda ctx, config: 1, lambda config: 1, lambda: 1, lambda context: 1])
def test_function_of_other_arguments_cannot_load(fn: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match='must be named "context"'):
        dagster_type_loader(int)(fn)


def test_only_a_function_can_load() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="decorates a function, got 3"):
        dagster_type_loader(int)(3)  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match="required_resource_keys"):
        dagster_type_loader(int, required_resource_keys=["a"])  # type: ignore[arg-type]
    with pytest.raises(Exception, match="config type"):
        dagster_type_loader(object())


def test_class_can_load() -> None:
    class Loader(DagsterTypeLoader):
        @property
        def schema_type(self) -> Any:
            return {"n": int}

        def construct_from_config_value(self, context: Any, config_value: Any) -> Any:
            return config_value["n"]

    made = DagsterType(lambda _, value: True, name="n", loader=Loader())
    assert load(made, {"n": 3}) == 3
    assert load(types.List[made], [{"n": 3}]) == [3]


def test_class_that_says_no_more_takes_config_as_it_is() -> None:
    class Loader(DagsterTypeLoader):
        @property
        def schema_type(self) -> schema.ConfigType:
            return schema.INT

    assert load(DagsterType(lambda _, value: True, name="n", loader=Loader()), 3) == 3
    assert Loader().required_resource_keys() == frozenset()


def test_loader_must_tell_its_schema() -> None:
    with pytest.raises(TypeError):
        DagsterTypeLoader()  # type: ignore[abstract]
