"""DagsterType: from annotations, and the checks of values."""

# ruff: noqa: UP006 - both spellings of a generic are meant

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import functools
import logging
import pathlib
import tracemalloc
import types as python_types
import typing as t
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import types
from treadle.config import schema
from treadle.config.sugar import to_config_type
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterUnknownResourceError,
    ParameterCheckError,
)
from treadle.metadata import IntMetadataValue
from treadle.outcomes import TypeCheck
from treadle.type_kinds import PASSED
from treadle.types import (
    DagsterType,
    DagsterTypeKind,
    PythonObjectDagsterType,
    TypeCheckContext,
    check_dagster_type,
    dagster_type_loader,
    make_python_type_usable_as_dagster_type,
    resolve_dagster_type,
    usable_as_dagster_type,
)

T = t.TypeVar("T")
CONTEXT = TypeCheckContext("run", logging.getLogger("test"), None)


class Plane:
    pass


class Jet(Plane):
    pass


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int


class Box(t.Generic[T]):
    pass


@t.runtime_checkable
class Sized(t.Protocol):
    def size(self) -> int: ...


class Unchecked(t.Protocol):
    def size(self) -> int: ...


class Row(t.TypedDict):
    id: int
    name: str


Metres = t.NewType("Metres", float)

EVEN = DagsterType(lambda _, value: value % 2 == 0, name="Even", required_resource_keys={"numbers"})
KEYED = DagsterType(lambda _, value: True, key="kk", name="Keyed")


def check(annotation: Any, value: object) -> TypeCheck:
    return resolve_dagster_type(annotation).type_check(CONTEXT, value)


# -- from annotations -------------------------------------------------------------------------------------------------

#: annotation, display name, key, kind, has a loader
TABLE: list[tuple[Any, str, str, str, bool]] = [
    (None, "Any", "Any", "ANY", True),
    (t.Any, "Any", "Any", "ANY", True),
    (types.Any, "Any", "Any", "ANY", True),
    (int, "Int", "Int", "SCALAR", True),
    (types.Int, "Int", "Int", "SCALAR", True),
    (float, "Float", "Float", "SCALAR", True),
    (types.Float, "Float", "Float", "SCALAR", True),
    (str, "String", "String", "SCALAR", True),
    (types.String, "String", "String", "SCALAR", True),
    (bool, "Bool", "Bool", "SCALAR", True),
    (types.Bool, "Bool", "Bool", "SCALAR", True),
    (type(None), "Nothing", "Nothing", "NOTHING", False),
    (types.Nothing, "Nothing", "Nothing", "NOTHING", False),
    (list, "[Any]", "List.Any", "LIST", True),
    (t.List, "[Any]", "List.Any", "LIST", True),
    (types.List, "[Any]", "List.Any", "LIST", True),
    (list[int], "[Int]", "List.Int", "LIST", True),
    (t.List[int], "[Int]", "List.Int", "LIST", True),
    (types.List[int], "[Int]", "List.Int", "LIST", True),
    (types.List[types.Int], "[Int]", "List.Int", "LIST", True),
    (t.Sequence, "[Any]", "List.Any", "LIST", True),
    (t.Sequence[int], "[Int]", "List.Int", "LIST", True),
    (collections.abc.Sequence[int], "[Int]", "List.Int", "LIST", True),
    (list[list[int]], "[[Int]]", "List.List.Int", "LIST", True),
    (list[bytes], "[bytes]", "List._TypeHintInferred[builtins.bytes]", "LIST", False),
    (dict, "dict", "PythonDict", "REGULAR", True),
    (t.Dict, "dict", "PythonDict", "REGULAR", True),
    (types.Dict, "dict", "PythonDict", "REGULAR", True),
    (t.Mapping, "dict", "PythonDict", "REGULAR", True),
    (dict[str, int], "Dict[String,Int]", "TypedPythonDict.String.Int", "REGULAR", True),
    (t.Dict[str, int], "Dict[String,Int]", "TypedPythonDict.String.Int", "REGULAR", True),
    (t.Mapping[str, int], "Dict[String,Int]", "TypedPythonDict.String.Int", "REGULAR", True),
    (collections.abc.Mapping[str, int], "Dict[String,Int]", "TypedPythonDict.String.Int", "REGULAR", True),
    (types.Dict[str, int], "Dict[String,Int]", "TypedPythonDict.String.Int", "REGULAR", True),
    (dict[Plane, int], "Dict[Plane,Int]", f"TypedPythonDict._TypeHintInferred[{__name__}.Plane].Int", "REGULAR", False),
    (tuple, "tuple", "PythonTuple", "REGULAR", False),
    (t.Tuple, "tuple", "PythonTuple", "REGULAR", False),
    (types.Tuple, "tuple", "PythonTuple", "REGULAR", False),
    (tuple[int, str], "Tuple[Int,String]", "TypedPythonTupleInt.String", "REGULAR", True),
    (types.Tuple[int, str], "Tuple[Int,String]", "TypedPythonTupleInt.String", "REGULAR", True),
    (tuple[int, bytes], "Tuple[Int,bytes]", "TypedPythonTupleInt._TypeHintInferred[builtins.bytes]", "REGULAR", False),
    (set, "set", "PythonSet", "REGULAR", False),
    (t.Set, "set", "PythonSet", "REGULAR", False),
    (types.Set, "set", "PythonSet", "REGULAR", False),
    (set[int], "Set[Int]", "TypedPythonSet.Int", "REGULAR", True),
    (types.Set[int], "Set[Int]", "TypedPythonSet.Int", "REGULAR", True),
    (t.Optional[int], "Int?", "Optional.Int", "NULLABLE", True),
    (int | None, "Int?", "Optional.Int", "NULLABLE", True),
    (types.Optional[int], "Int?", "Optional.Int", "NULLABLE", True),
    (t.Optional[list[int]], "[Int]?", "Optional.List.Int", "NULLABLE", True),
    (t.Optional[t.Any], "Any?", "Optional.Any", "NULLABLE", True),
    (Plane | None, "Plane?", f"Optional._TypeHintInferred[{__name__}.Plane]", "NULLABLE", False),
    (Plane, "Plane", f"_TypeHintInferred[{__name__}.Plane]", "REGULAR", False),
    (Box, "Box", f"_TypeHintInferred[{__name__}.Box]", "REGULAR", False),
    (Sized, "Sized", f"_TypeHintInferred[{__name__}.Sized]", "REGULAR", False),
    (Row, "Row", f"_TypeHintInferred[{__name__}.Row]", "REGULAR", False),
    (bytes, "bytes", "_TypeHintInferred[builtins.bytes]", "REGULAR", False),
    (collections.abc.Mapping, "Mapping", "_TypeHintInferred[collections.abc.Mapping]", "REGULAR", False),
    (EVEN, "Even", "Even", "REGULAR", False),
    (types.List[EVEN], "[Even]", "List.Even", "LIST", False),
    (types.List[KEYED], "[Keyed]", "List.kk", "LIST", False),
    (t.Annotated[int, "in metres"], "Int", "Int", "SCALAR", True),
    (t.Annotated[int, EVEN], "Even", "Even", "REGULAR", False),
    (t.Annotated[int, ["unhashable"]], "Int", "Int", "SCALAR", True),
    (Metres, "Float", "Float", "SCALAR", True),
]


@pytest.mark.parametrize(("annotation", "display_name", "key", "kind", "has_loader"), TABLE)
def test_annotation_has_its_type(annotation: Any, display_name: str, key: str, kind: str, has_loader: bool) -> None:
    resolved = resolve_dagster_type(annotation)
    assert (resolved.display_name, resolved.key, resolved.kind.name) == (display_name, key, kind)
    assert (resolved.loader is not None) == has_loader


#: annotation, and what the advice must say
REFUSED: list[tuple[Any, str]] = [
    (t.Union[int, str], "PythonObjectDagsterType((int, str))"),
    (int | str | None, "Optional[PythonObjectDagsterType((int, str))]"),
    (t.Union[list[int], None, str], "Optional[PythonObjectDagsterType((str,))]"),
    (t.Literal["a", "b"], "value in ('a', 'b')"),
    (t.Callable, "callable(value)"),
    (t.Callable[[int], int], "callable(value)"),
    (t.Iterator[int], "Write list[int], and give a list."),
    (t.Generator[int, None, None], "Write list[T], and give a list."),
    (t.Iterable[str], "collections.abc.Iterable without parameters"),
    (t.MutableMapping[str, int], "dict[str, int]"),
    (t.Awaitable[int], "collections.abc.Awaitable without parameters"),
    (tuple[int, ...], "Write list[T]"),
    (tuple[()], "tuple without parameters"),
    (frozenset[int], "Write frozenset without parameters"),
    (t.Deque[int], "Write collections.deque without parameters"),
    (Box[int], "Box without parameters"),
    (t.Type[int], "Write type without parameters"),
    (t.Optional, "Write Optional[T]"),
    (types.Optional, "Write Optional[T]"),
    ("int", "does not name anything"),
    (t.List["int"], "Problem using type 'int'"),
    (T, "Write a class, or Any"),
    (t.NoReturn, "Write a class, or Any"),
    ([int], "Write list[T]"),
    ((int, str), "PythonObjectDagsterType((int, str))"),
    (Plane(), "give a class"),
    (3, "give a class"),
    (schema.INT, "give it as config_schema"),
    (schema.Field(schema.INT), "give it as config_schema"),
    (list[t.Union[int, str]], "PythonObjectDagsterType((int, str))"),
]


@pytest.mark.parametrize(("annotation", "advice"), REFUSED)
def test_other_annotation_is_refused_with_what_to_write(annotation: Any, advice: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="must be an instance of DagsterType or a Python type") as e:
        resolve_dagster_type(annotation)
    assert advice in str(e.value)


def test_protocol_that_cannot_be_checked_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="runtime_checkable"):
        resolve_dagster_type(Unchecked)


@pytest.mark.parametrize("annotation", [list[None], t.List[None], t.Sequence[None]])
def test_nothing_cannot_be_in_a_list(annotation: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Type Nothing can not be wrapped"):
        resolve_dagster_type(annotation)


def test_nothing_cannot_be_optional() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Type Nothing can not be wrapped"):
        types.Optional[None]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: types.List[int, str], r"List takes 1 type, as in List\[int\]; got 2: int, str"),  # type: ignore[misc]
        (lambda: types.Dict[int], r"Dict takes 2 types, as in Dict\[str, int\]; got 1: int"),  # type: ignore[misc]
        (lambda: types.Set["x"], "does not name anything"),  # type: ignore[name-defined]
        (lambda: types.Tuple[int, ...], "Write list"),
    ],
)
def test_wrong_parts_of_a_generic_are_refused(make: Any, match: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=match):
        make()


def test_type_alias_is_looked_through() -> None:
    alias = getattr(t, "TypeAliasType", None)
    if alias is None:
        alias = pytest.importorskip("typing_extensions").TypeAliasType
    assert resolve_dagster_type(alias("Numbers", list[int])).key == "List.Int"


@pytest.mark.parametrize("annotation", [int, Plane, list[int], dict[str, list[Plane]], t.Optional[int]])
def test_annotation_has_one_type(annotation: Any) -> None:
    assert resolve_dagster_type(annotation) is resolve_dagster_type(annotation)


def test_generics_made_alike_are_equal() -> None:
    assert types.List[int] == types.List[int]
    assert hash(types.List[int]) == hash(types.List[int])
    assert resolve_dagster_type(t.List[int]) == resolve_dagster_type(list[int]) == types.List[int]
    assert types.List[int] != types.Set[int]
    assert types.List[EVEN] != types.List[DagsterType(lambda _, value: True, name="Even")]


def test_types_of_one_name_are_different_types() -> None:
    first, second = (DagsterType(lambda _, value: True, name="Same") for _ in range(2))
    assert first != second
    assert first.key == second.key
    assert first.has_unique_name


def test_only_named_types_have_a_unique_name() -> None:
    assert resolve_dagster_type(int).unique_name == "Int"
    assert resolve_dagster_type(dict).unique_name == "dict"
    for annotation in (list[int], Plane):
        resolved = resolve_dagster_type(annotation)
        assert not resolved.has_unique_name
        with pytest.raises(CheckError, match="has a key only"):
            resolved.unique_name


def test_inner_types_are_all_that_a_type_is_made_of() -> None:
    resolved = resolve_dagster_type(dict[str, list[int]])
    assert [inner.key for inner in resolved.inner_types] == ["String", "List.Int", "Int"]
    assert resolve_dagster_type(int).inner_types == []


def test_typing_type_is_an_annotation_again() -> None:
    assert resolve_dagster_type(list[int]).typing_type == t.List[int]
    assert resolve_dagster_type(int | None).typing_type == t.Optional[int]
    assert resolve_dagster_type(tuple[int, str]).typing_type == t.Tuple[int, str]
    assert resolve_dagster_type(Plane).typing_type is Plane
    assert types.List[EVEN].typing_type == t.List[t.Any]  # type: ignore[attr-defined]


def test_resources_of_the_parts_are_required_by_the_whole() -> None:
    assert types.List[EVEN].required_resource_keys == {"numbers"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("annotation", "inner"),
    [(t.Any, "Any"), (list[int], "Int"), (t.Optional[list[int]], "Int"), (type(None), "Nothing")],
)
def test_type_that_supports_fan_in_knows_its_inner_type(annotation: Any, inner: str) -> None:
    resolved = resolve_dagster_type(annotation)
    assert resolved.supports_fan_in
    assert resolved.get_inner_type_for_fan_in().key == inner


@pytest.mark.parametrize("annotation", [int, dict, tuple, set[int], t.Optional[int], Plane, EVEN])
def test_other_type_does_not_support_fan_in(annotation: Any) -> None:
    resolved = resolve_dagster_type(annotation)
    assert not resolved.supports_fan_in
    with pytest.raises(CheckError, match="does not support fan-in"):
        resolved.get_inner_type_for_fan_in()


def test_built_in_types_are_marked() -> None:
    assert resolve_dagster_type(None).is_any
    assert resolve_dagster_type(types.Nothing).is_nothing
    assert all(resolve_dagster_type(cls).is_builtin for cls in (int, float, str, bool, t.Any, type(None)))
    assert not resolve_dagster_type(list).is_builtin
    assert not EVEN.is_any
    assert not EVEN.is_nothing


# -- in config schemas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "config_type"),
    [(int, schema.INT), (float, schema.FLOAT), (str, schema.STRING), (bool, schema.BOOL), (t.Any, schema.ANY)],
)
def test_scalar_has_a_config_type(cls: Any, config_type: schema.ConfigType) -> None:
    resolved = resolve_dagster_type(cls)
    assert resolved.config_type is config_type
    assert to_config_type(resolved) is config_type
    assert to_config_type(cls) is config_type


def test_public_names_stand_in_config_schemas() -> None:
    assert to_config_type({"a": types.Int, "b": types.String}) == to_config_type({"a": int, "b": str})


@pytest.mark.parametrize("raw", [types.List, types.List[int], types.Nothing, EVEN])
def test_other_types_are_refused_in_config_schemas(raw: Any) -> None:
    assert getattr(raw, "config_type", None) is None
    with pytest.raises(Exception, match=r"config"):
        to_config_type(raw)


# -- checks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (None, object()),
        (int, 1),
        (int, True),
        (float, 1.0),
        (str, ""),
        (bool, False),
        (type(None), None),
        (list, [1, "a"]),
        (list[int], []),
        (t.Sequence[int], [1]),
        (dict, {1: 2}),
        (dict[str, t.Any], {"a": object()}),
        (collections.OrderedDict, collections.OrderedDict()),
        (dict[str, int], collections.OrderedDict(a=1)),
        (tuple, (1,)),
        (tuple[int, t.Any], (1, None)),
        (set, {1}),
        (set[t.Any], {1, "a"}),
        (t.Optional[int], None),
        (t.Optional[int], 1),
        (Plane, Jet()),
        (Point, Point(1)),
        (Color, Color.RED),
        (Row, {"id": "not checked", "name": 1, "more": 2}),
        (collections.abc.Mapping, python_types.MappingProxyType({})),
        (type, int),
        (enum.EnumMeta, Color),
        (object, None),
        (pathlib.Path, pathlib.Path()),
        (EVEN, 2),
        (types.List[EVEN], [2, 4]),
        (types.Dict[str, EVEN], {"a": 2}),
        (types.Optional[EVEN], None),
    ],
)
def test_value_of_a_type_passes(annotation: Any, value: object) -> None:
    assert check(annotation, value) is PASSED


@pytest.mark.parametrize(
    ("annotation", "value", "description"),
    [
        (int, "a", 'Value "a" of python type "str" must be a int.'),
        (float, 1, 'Value "1" of python type "int" must be a float.'),
        (float, True, 'Value "True" of python type "bool" must be a float.'),
        (str, b"", 'Value "b\'\'" of python type "bytes" must be a string.'),
        (bool, 0, 'Value "0" of python type "int" must be a bool.'),
        (type(None), 0, "must be None"),
        (list[int], (1,), 'Value "(1,)" of python type "tuple" must be a list.'),
        (list[int], [1, "a"], 'Element 1: Value "a" of python type "str" must be a int.'),
        (list[list[int]], [[1], [2, None]], 'Element 1: Element 1: Value "None" of python type "NoneType"'),
        (dict[str, int], [], "must be a dict."),
        (dict[str, int], {1: 1}, 'Key 1: Value "1" of python type "int" must be a string.'),
        (dict[str, int], {"a": "b"}, 'Value of key \'a\': Value "b" of python type "str" must be a int.'),
        (tuple[int, str], [1, "a"], "must be a tuple."),
        (tuple[int, str], (1,), "must be a tuple of 2 members, Tuple[Int,String]; it has 1."),
        (tuple[int, str], (1, 2), 'Member 1: Value "2" of python type "int" must be a string.'),
        (set[int], frozenset([1]), "must be a set."),
        (set[int], {"a"}, 'Item \'a\': Value "a" of python type "str" must be a int.'),
        (t.Optional[int], "a", "must be a int."),
        (dict, [], "must be an instance of dict."),
        (Jet, Plane(), f"must be an instance of {__name__}.Jet."),
        (Row, {"id": 1}, "must be a dict with the keys ['id', 'name']."),
        (EVEN, 3, 'Value "3" of python type "int" does not pass the check of its type.'),
        (types.List[EVEN], [2, 3], 'Element 1: Value "3"'),
    ],
)
def test_value_of_another_type_fails_and_is_told_why(annotation: Any, value: object, description: str) -> None:
    result = check(annotation, value)
    assert not result.success
    assert description in (result.description or "")


def test_huge_value_is_told_in_short() -> None:
    assert len(check(int, "x" * 10**6).description or "") < 300
    assert len(check(int, list(range(10**6))).description or "") < 300


def test_reason_and_metadata_of_a_part_are_kept() -> None:
    odd = DagsterType(lambda _, value: TypeCheck(False, "it is odd", {"rest": value % 2}), name="NotOdd")
    bare = DagsterType(lambda _, value: TypeCheck(False), name="Bare")
    assert check(types.List[odd], [3]) == TypeCheck(False, "Element 0: it is odd", {"rest": 1})
    assert "is not of type Bare" in (check(types.List[bare], [3]).description or "")


# -- the quick way ----------------------------------------------------------------------------------------------------

leaves: st.SearchStrategy[Any] = st.sampled_from(
    [int, float, str, bool, Plane, t.Any, list, dict, tuple, set, type(None)]
)
insides = leaves.filter(lambda cls: cls is not type(None))
annotations = st.recursive(
    insides,
    lambda inner: st.one_of(
        inner.map(lambda a: types.List[a]),
        inner.map(lambda a: types.Set[a]),
        inner.map(lambda a: types.Optional[a]),
        st.tuples(inner, inner).map(lambda ab: types.Dict[ab]),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: types.Tuple[tuple(parts)]),
    ),
    max_leaves=5,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(Plane()) | st.just(Jet())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text() | st.integers(), inner, max_size=3),
        st.sets(st.text() | st.integers(), max_size=3),
    ),
    max_leaves=5,
)


def is_of(annotation: Any, value: Any) -> bool:
    """What a type checker would say, written down a second time."""
    if not isinstance(annotation, DagsterType):
        return annotation is t.Any or isinstance(value, annotation)
    inner = annotation.inner_types
    match annotation.key.split(".")[0]:
        case "Optional":
            return value is None or is_of(inner[0], value)
        case "List":
            return isinstance(value, list) and all(is_of(annotation.inner_type, each) for each in value)  # type: ignore[attr-defined]
        case "TypedPythonSet":
            return isinstance(value, set) and all(is_of(annotation.item_type, each) for each in value)  # type: ignore[attr-defined]
        case "TypedPythonDict":
            key, each = annotation.key_type, annotation.value_type  # type: ignore[attr-defined]
            return isinstance(value, dict) and all(is_of(key, k) and is_of(each, v) for k, v in value.items())
        case _ if annotation.key.startswith("TypedPythonTuple"):
            members = annotation._inners  # type: ignore[attr-defined]
            return isinstance(value, tuple) and len(value) == len(members) and all(map(is_of, members, value))
        case _:
            return annotation.is_any or isinstance(value, annotation.typing_type)


@given(annotations, values)
def test_check_says_what_a_type_checker_would_say(annotation: Any, value: Any) -> None:
    resolved = resolve_dagster_type(annotation)
    result = resolved.type_check(CONTEXT, value)
    assert result.success == is_of(resolved, value)
    assert result.success == (result.description is None)
    assert resolved.is_any or resolved.fast_check is not None
    assert resolved.is_any or resolved.fast_check(value) == result.success  # type: ignore[misc]


@pytest.mark.parametrize("annotation", [EVEN, types.List[EVEN], types.Dict[str, EVEN], types.Tuple[int, EVEN]])
def test_type_with_a_check_function_has_no_quick_way(annotation: Any) -> None:
    assert resolve_dagster_type(annotation).fast_check is None


def test_value_that_passes_makes_no_new_objects() -> None:
    passes = [resolve_dagster_type(each) for each in (int, Plane, t.Optional[int], list[int])]
    values = [1, Plane(), None, [1, 2, 3]]
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        for dagster_type, value in zip(passes, values, strict=True):
            assert dagster_type.fast_check is not None
            for _ in range(1000):
                dagster_type.fast_check(value)
        difference = tracemalloc.take_snapshot().compare_to(before, "filename")
    finally:
        tracemalloc.stop()
    assert sum(each.size_diff for each in difference if "treadle" in each.traceback[0].filename) < 1000


def test_class_with_instances_of_its_own_choosing_is_asked() -> None:
    class Choosy(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return instance == "chosen"

    class Chosen(metaclass=Choosy):
        pass

    assert check(Chosen, "chosen").success
    assert not check(Chosen, "other").success


# -- making types -----------------------------------------------------------------------------------------------------


def test_type_has_a_name_or_a_key() -> None:
    assert (EVEN.key, EVEN.display_name, EVEN.unique_name) == ("Even", "Even", "Even")
    keyed = DagsterType(lambda _, value: True, key="k")
    assert (keyed.key, keyed.display_name, keyed.has_unique_name) == ("k", "k", False)
    both = DagsterType(lambda _, value: True, key="k", name="n")
    assert (both.key, both.display_name, both.unique_name) == ("k", "n", "n")
    assert repr(EVEN) == "<DagsterType Even>"


def test_type_holds_what_it_was_given() -> None:
    made = DagsterType(
        lambda _, value: True,
        name="n",
        description="d",
        kind=DagsterTypeKind.SCALAR,
        typing_type=int,
        metadata={"a": 1},
        required_resource_keys={"r"},
    )
    assert (made.description, made.kind, made.typing_type) == ("d", DagsterTypeKind.SCALAR, int)
    assert made.metadata == {"a": IntMetadataValue(1)}
    assert made.required_resource_keys == frozenset({"r"})
    bare = DagsterType(lambda _, value: True, name="n")
    assert (bare.description, bare.kind, bare.typing_type, bare.metadata) == (None, DagsterTypeKind.REGULAR, t.Any, {})
    assert (bare.loader, bare.config_type, bare.required_resource_keys) == (None, None, frozenset())


def passes(_context: object, _value: object) -> bool:
    return True


class Checker:
    def check(self, context: object, value: object) -> bool:
        return True

    def __call__(self, context: object, value: object) -> bool:
        return True

    def too_few(self, value: object) -> bool:
        return True


@pytest.mark.parametrize(
    "fn",
    [
        passes,
        lambda _, value: True,
        lambda *both: True,
        lambda _, value, more=1: True,
        lambda _, value, *, more=1: True,
        lambda _=1, value=2: True,
        Checker().check,
        Checker(),
        functools.partial(lambda more, _, value: True, 1),
        isinstance,
        max,  # tells nothing of what it takes
    ],
)
def test_function_of_two_arguments_can_check(fn: Any) -> None:
    assert DagsterType(fn, name="n").type_check_fn is fn


@pytest.mark.parametrize(
    "fn",
    [
        lambda value: True,
        lambda a, b, c: True,
        lambda _, *, value: True,
        lambda: True,
        Checker().too_few,
        functools.partial(passes, 1),
        callable,
    ],
)
def test_function_of_other_arguments_cannot_check(fn: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match='"n": the type_check_fn argument must take 2 arguments'):
        DagsterType(fn, name="n")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"type_check_fn": passes}, "Must set key or name"),
        ({"type_check_fn": 3, "name": "n"}, 'Param "type_check_fn" is not a Callable'),
        ({"type_check_fn": passes, "name": 3}, 'Param "name" is not a str'),
        ({"type_check_fn": passes, "name": "n", "description": 3}, 'Param "description"'),
        ({"type_check_fn": passes, "name": "n", "loader": 3}, 'Param "loader" is not a DagsterTypeLoader'),
        ({"type_check_fn": passes, "name": "n", "required_resource_keys": ["a"]}, "is not a set or frozenset"),
        ({"type_check_fn": passes, "name": "n", "kind": "REGULAR"}, 'Param "kind" is not a DagsterTypeKind'),
        ({"type_check_fn": passes, "name": "n", "metadata": [1]}, 'Param "metadata" is not a Mapping'),
    ],
)
def test_unfit_argument_of_a_type_is_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(CheckError, match=match):
        DagsterType(**arguments)


@pytest.mark.parametrize("verdict", [None, 3, "yes", (True, "why")])
def test_check_function_must_return_a_verdict(verdict: Any) -> None:
    made = DagsterType(lambda _, value: verdict, name="Odd")
    with pytest.raises(DagsterInvariantViolationError, match='"Odd" returned .* bool or a TypeCheck') as raised:
        made.type_check(CONTEXT, 1)
    assert ("return statement" in str(raised.value)) == (verdict is None)


def test_bool_of_numpy_is_a_verdict() -> None:
    numpy = pytest.importorskip("numpy")
    positive = DagsterType(lambda _, value: (value > 0).all(), name="Positive")
    assert positive.type_check(CONTEXT, numpy.ones(3)) is PASSED
    assert not positive.type_check(CONTEXT, -numpy.ones(3)).success


def test_what_the_check_function_raises_is_passed_on() -> None:
    with pytest.raises(TypeError):
        check(EVEN, None)


def test_check_function_sees_the_context() -> None:
    seen = []
    DagsterType(lambda context, value: bool(seen.append((context, value))) or True, name="n").type_check(CONTEXT, 1)
    assert seen == [(CONTEXT, 1)]
    assert CONTEXT.run_id == "run"
    with pytest.raises(AttributeError):
        CONTEXT.run_id = "other"  # type: ignore[misc]


# -- types of Python classes ------------------------------------------------------------------------------------------


def test_class_gives_its_type_a_name() -> None:
    made = PythonObjectDagsterType(Plane)
    assert (made.display_name, made.key, made.python_type, made.typing_type) == ("Plane", "Plane", Plane, Plane)
    assert made.type_check(CONTEXT, Jet()) is PASSED
    named = PythonObjectDagsterType(Plane, key="P", name="Q", description="d", metadata={"a": 1})
    assert (named.key, named.display_name, named.description) == ("P", "Q", "d")


def test_several_classes_make_one_type() -> None:
    made = PythonObjectDagsterType((int, float))
    assert (made.display_name, made.typing_type) == ("Union[int, float]", t.Union[int, float])
    assert made.type_check(CONTEXT, 1.5) is PASSED
    assert made.type_check(CONTEXT, "a").description == (
        'Value "a" of python type "str" must be an instance of int or float.'
    )


@pytest.mark.parametrize("given_type", [t.List[int], list[int], "x", (), (int, "x"), t.Optional[int], Plane()])
def test_only_classes_make_a_type(given_type: Any) -> None:
    with pytest.raises(ParameterCheckError, match='Param "python_type" must be a class'):
        PythonObjectDagsterType(given_type)


def test_class_can_be_given_a_type_of_its_own() -> None:
    @dagster_type_loader({"seats": int})
    def load(_context: object, config: Any) -> object:
        return Airliner()

    @usable_as_dagster_type(name="Liner", description="flies far", loader=load)
    class Airliner:
        pass

    @usable_as_dagster_type
    class Glider:
        pass

    @usable_as_dagster_type()
    class Kite:
        pass

    liner = resolve_dagster_type(Airliner)
    assert (liner.display_name, liner.description, liner.loader) == ("Liner", "flies far", load)
    assert resolve_dagster_type(list[Airliner]).key == "List.Liner"
    assert [resolve_dagster_type(cls).key for cls in (Glider, Kite)] == ["Glider", "Kite"]
    assert liner.type_check(CONTEXT, Airliner()) is PASSED


def test_class_can_mean_a_type_made_elsewhere() -> None:
    class Number:
        pass

    make_python_type_usable_as_dagster_type(Number, EVEN)
    make_python_type_usable_as_dagster_type(Number, EVEN)
    assert resolve_dagster_type(Number) is EVEN
    with pytest.raises(DagsterInvalidDefinitionError, match="has already been registered for .*Number: .* as Even"):
        make_python_type_usable_as_dagster_type(Number, KEYED)


def test_class_that_was_used_before_keeps_its_type() -> None:
    class Early:
        pass

    resolve_dagster_type(Early)
    with pytest.raises(DagsterInvalidDefinitionError, match="used as an annotation before"):
        usable_as_dagster_type(Early)


@pytest.mark.parametrize("cls", [int, dict, type(None)])
def test_builtin_class_keeps_its_type(cls: type) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="it means the built-in type"):
        make_python_type_usable_as_dagster_type(cls, EVEN)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_python_type_usable_as_dagster_type(3, EVEN),  # type: ignore[arg-type]
        lambda: make_python_type_usable_as_dagster_type(Plane, 3),  # type: ignore[arg-type]
        lambda: usable_as_dagster_type(3),  # type: ignore[call-overload]
    ],
)
def test_only_classes_and_types_can_be_registered(make: Any) -> None:
    with pytest.raises(ParameterCheckError):
        make()


# -- asking by hand ---------------------------------------------------------------------------------------------------


def test_check_by_hand_takes_types_classes_and_our_generics() -> None:
    assert check_dagster_type(types.Int, 1).success
    assert check_dagster_type(types.List[int], [1]).success
    assert check_dagster_type(types.Any, 1).success
    assert check_dagster_type(list, [1]).success
    assert check_dagster_type(EVEN, 2).success
    assert not check_dagster_type(Plane, 1).success
    assert not check_dagster_type(types.Nothing, 1).success


@pytest.mark.parametrize("annotation", [t.List[int], list[int], t.Optional[int], int | None, t.List])
def test_check_by_hand_refuses_generics_of_python(annotation: Any) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="part of Python's typing module"):
        check_dagster_type(annotation, [1])


def test_check_by_hand_refuses_what_is_no_type() -> None:
    with pytest.raises(DagsterInvalidDefinitionError):
        check_dagster_type("int", 1)


def test_check_by_hand_gives_a_context() -> None:
    seen: list[TypeCheckContext] = []
    made = DagsterType(lambda context, value: bool(seen.append(context)) or True, name="n")
    assert check_dagster_type(made, 1).success
    assert len(seen[0].run_id) == 36
    assert isinstance(seen[0].log, logging.Logger)
    with pytest.raises(DagsterUnknownResourceError, match="database"):
        seen[0].resources.database
