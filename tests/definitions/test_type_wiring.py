from __future__ import annotations

import enum
import typing
import warnings
from abc import ABC
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterType,
    DependencyDefinition,
    DynamicOut,
    DynamicOutput,
    GraphDefinition,
    In,
    MultiDependencyDefinition,
    Nothing,
    Out,
    PythonObjectDagsterType,
    check_dagster_type,
    graph,
    job,
    op,
)
from treadle import types as treadle_types
from treadle.definitions.type_wiring import explain_mismatch
from treadle.errors import TreadleWiringWarning
from treadle.types import NOTHING_TYPE, resolve_dagster_type


class Plane:
    pass


class Jet(Plane):
    pass


class Car:
    pass


class FlyingCar(Plane, Car):
    pass


class Boat:
    pass


class Vehicle(ABC):  # noqa: B024 - classes are registered with it
    pass


class Machine(ABC):  # noqa: B024
    pass


Vehicle.register(Boat)
Machine.register(Boat)


class Colour(enum.Enum):
    RED = 1


class Row(typing.TypedDict):
    seats: int


class Form(BaseModel):
    name: str = "x"


class Letter(BaseModel):
    name: str = "y"


@typing.runtime_checkable
class Flies(typing.Protocol):
    def fly(self) -> None: ...


class Kite(Flies):
    def fly(self) -> None: ...


EVEN = DagsterType(lambda _, value: isinstance(value, int) and value % 2 == 0, name="Even")
NUMBER = PythonObjectDagsterType((int, float), name="Number")


# -- two types --------------------------------------------------------------------------------------------------------

AGREE: list[tuple[Any, Any]] = [
    (int, int),
    (bool, int),
    (int, bool),  # True and False are ints
    (int, Any),
    (Any, int),
    (int, type(None)),
    (typing.Optional[int], int),
    (int, typing.Optional[int]),
    (typing.Optional[int], typing.Optional[str]),  # None is both
    (int, NUMBER),
    (NUMBER, float),
    (int, EVEN),
    (EVEN, str),  # its function may pass anything
    (Jet, Plane),
    (Plane, Jet),
    (Plane, Car),  # a FlyingCar is both
    (int, object),
    (Vehicle, Machine),  # a Boat is registered with both
    (Boat, Vehicle),
    (Kite, Flies),
    (Plane, Flies),  # a subclass of it may fly
    (Plane, Sized),
    (list[int], list),
    (list, list[int]),
    (list[bool], list[int]),
    (list[typing.Optional[int]], list[typing.Optional[str]]),
    (dict, dict[str, int]),
    (Row, dict[str, int]),
    (Row, dict),
    (tuple, tuple[int, str]),
    (tuple[bool, str], tuple[int, str]),
    (set[bool], set[int]),
    (typing.NewType("Seats", int), int),
]

DISAGREE: list[tuple[Any, Any]] = [
    (int, str),
    (int, float),
    (float, int),
    (str, bool),
    (None.__class__, int),
    (None.__class__, Any),
    (None.__class__, typing.Optional[int]),
    (typing.Optional[int], str),
    (str, typing.Optional[int]),
    (typing.Optional[int], list[int]),
    (str, NUMBER),
    (Plane, Boat),
    (Plane, int),
    (Colour, int),
    (Form, Letter),
    (Kite, int),
    (Row, list[int]),
    (list[int], int),
    (list[int], dict),
    (list[int], set[int]),
    (list[int], list[str]),
    (list[list[int]], list[list[str]]),
    (dict[str, int], dict[int, int]),
    (dict[str, int], dict[str, str]),
    (dict[str, None], dict[str, int]),
    (tuple[int, str], tuple[int, int]),
    (tuple[int, str], tuple[int]),
    (set[int], set[str]),
    (list[Plane], list[Boat]),
]


def explain(output: Any, given_input: Any) -> str | None:
    return explain_mismatch(resolve_dagster_type(output), resolve_dagster_type(given_input))


@pytest.mark.parametrize(("output", "given_input"), AGREE, ids=str)
def test_types_that_may_share_a_value_are_let_through(output: Any, given_input: Any) -> None:
    assert explain(output, given_input) is None


@pytest.mark.parametrize(("output", "given_input"), DISAGREE, ids=str)
def test_types_that_share_no_value_are_found(output: Any, given_input: Any) -> None:
    assert explain(output, given_input) is not None


def test_reason_names_both_types_and_what_to_do() -> None:
    assert explain(str, int) == (
        "No value of type String is of type Int. Change one of the two annotations, or put an op between that turns one "
        "into the other."
    )
    assert explain(int, float) == "No value of type Int is of type Float. Give float(...), or let the input be an int."
    assert str(explain(dict[str, list[int]], dict[str, list[str]])).startswith(
        "Values: Elements: No value of type Int is of type String."
    )
    assert "Their lengths differ." in str(explain(tuple[int, str], tuple[int]))
    assert "In(Nothing)" in str(explain(type(None), int))


def test_metaclass_that_does_not_answer_proves_nothing() -> None:
    class Unsure(type):
        def __subclasscheck__(cls, subclass: type) -> bool:
            raise RuntimeError("who knows")

    class Odd(metaclass=Unsure):
        pass

    assert explain(Plane, Odd) is None


def test_metaclass_with_a_check_of_its_own_proves_nothing() -> None:
    class Lenient(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return True

    class All(metaclass=Lenient):
        pass

    assert explain(Plane, All) is None


def test_hook_of_a_users_abstract_class_proves_nothing_for_its_subclasses() -> None:
    class Shape(ABC):  # noqa: B024
        @classmethod
        def __subclasshook__(cls, subclass: type) -> bool:
            return hasattr(subclass, "area")

    class Square(Shape):
        pass

    assert explain(Plane, Shape) is None
    assert explain(Plane, Square) is None


class Sample(NamedTuple):
    """A type, and values that pass its check; containers among them are never empty."""

    dagster_type: DagsterType
    values: st.SearchStrategy[Any]


PLAIN: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers() | st.booleans()),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False)),
    (str, st.text()),
    (type(None), st.none()),
    (EVEN, st.integers().map(lambda n: n * 2)),
    (NUMBER, st.integers() | st.floats(allow_nan=False)),
    (Plane, st.builds(Plane) | st.builds(Jet) | st.builds(FlyingCar)),
    (Jet, st.builds(Jet)),
    (Car, st.builds(Car) | st.builds(FlyingCar)),
    (Boat, st.builds(Boat)),
    (Vehicle, st.builds(Boat)),
    (Machine, st.builds(Boat)),
    (Flies, st.builds(Kite)),
    (Colour, st.just(Colour.RED)),
    (Form, st.builds(Form)),
    (object, st.integers() | st.text() | st.none()),
    (Sized, st.text() | st.lists(st.integers(), min_size=1)),
    (Row, st.just({"seats": 3})),
    (Any, st.integers() | st.text() | st.none() | st.lists(st.integers(), min_size=1)),
]
plain = st.sampled_from([Sample(resolve_dagster_type(given), values) for given, values in PLAIN])


def wrap(parts: st.SearchStrategy[Sample]) -> st.SearchStrategy[Sample]:
    def can_be_wrapped(sample: Sample) -> bool:
        return not sample.dagster_type.is_nothing

    def is_hashable(sample: Sample) -> bool:
        return sample.dagster_type.typing_type in (int, str, bool, float, Plane, Colour, type(None))

    lists = parts.filter(can_be_wrapped).map(
        lambda s: Sample(treadle_types.ListType(s.dagster_type), st.lists(s.values, min_size=1, max_size=3))
    )
    optionals = parts.filter(can_be_wrapped).map(
        lambda s: Sample(treadle_types.OptionalType(s.dagster_type), st.none() | s.values)
    )
    sets = parts.filter(is_hashable).map(
        lambda s: Sample(treadle_types.TypedSetType(s.dagster_type), st.sets(s.values, min_size=1, max_size=3))
    )
    dicts = st.tuples(parts.filter(is_hashable), parts).map(
        lambda both: Sample(
            treadle_types.TypedDictType(*(s.dagster_type for s in both)),
            st.dictionaries(*(s.values for s in both), min_size=1, max_size=3),
        )
    )
    tuples = st.lists(parts, max_size=3).map(
        lambda many: Sample(
            treadle_types.TypedTupleType(*(s.dagster_type for s in many)), st.tuples(*(s.values for s in many))
        )
    )
    return lists | optionals | sets | dicts | tuples


samples = st.recursive(plain, wrap, max_leaves=4)


@given(st.data())
def test_value_that_passes_the_one_check_never_passes_the_other_where_a_mismatch_is_found(data: st.DataObject) -> None:
    output = data.draw(samples, "output")
    taken = data.draw(samples, "input").dagster_type
    value = data.draw(output.values, "value")
    assert check_dagster_type(output.dagster_type, value).success
    if taken.is_nothing or output.dagster_type.is_nothing:  # no value passes there at all
        return
    if explain_mismatch(output.dagster_type, taken) is not None:
        assert not check_dagster_type(taken, value).success


@given(samples)
def test_type_agrees_with_itself_however_often_it_is_made(sample: Sample) -> None:
    if not sample.dagster_type.is_nothing:
        assert explain_mismatch(sample.dagster_type, sample.dagster_type) is None


@given(samples, samples)
def test_mismatch_of_values_is_one_both_ways(one: Sample, other: Sample) -> None:
    if NOTHING_TYPE not in (one.dagster_type, other.dagster_type):
        there = explain_mismatch(one.dagster_type, other.dagster_type)
        back = explain_mismatch(other.dagster_type, one.dagster_type)
        assert (there is None) == (back is None)


# -- graphs -----------------------------------------------------------------------------------------------------------


@op
def number() -> int:
    return 1


@op
def text() -> str:
    return "a"


@op
def done() -> None:
    pass


@op
def takes_text(value: str) -> None:
    pass


@op
def takes_number(value: int) -> int:
    return value


@op
def takes_anything(value):  # type: ignore[no-untyped-def]
    pass


@op
def takes_texts(values: list[str]) -> None:
    pass


@op
def takes_some(values: list) -> None:  # type: ignore[type-arg]
    pass


@op(out=DynamicOut(int))
def numbers() -> Any:
    yield DynamicOutput(1, "a")


@op(ins={"after": In(Nothing)})
def last() -> None:
    pass


def warnings_of(define: Callable[[], Any]) -> list[str]:
    """What defining a graph warns of: the text up to the advice."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        define()
    assert {each.category for each in caught} <= {TreadleWiringWarning}
    return [str(each.message).split(": No value")[0].split(": A Nothing")[0] for each in caught]


def test_mismatch_between_an_output_and_an_input_warns_and_names_both_ends() -> None:
    with pytest.warns(TreadleWiringWarning) as caught:

        @job
        def report() -> None:
            takes_text.alias("shout")(number())

    (warning,) = caught
    assert str(warning.message) == (
        'Graph "report": number.result (Int) -> shout.value (String): No value of type Int is of type String. Change one of '
        "the two annotations, or put an op between that turns one into the other. (TREADLE_WIRING=strict makes this an "
        "error.)"
    )
    assert warning.filename == __file__


def test_matching_types_warn_of_nothing() -> None:
    @job
    def fine() -> None:
        takes_number(takes_number.alias("first")(number()))
        takes_anything(number.alias("other")())
        last(after=[number.alias("a")(), text(), done()])
        takes_some(numbers().map(takes_number.alias("each")).collect())


def test_output_that_carries_nothing_cannot_feed_an_input() -> None:
    def define() -> None:
        @job
        def report() -> None:
            takes_anything(done())

    assert warnings_of(define) == ['Graph "report": done.result (Nothing) -> takes_anything.value (Any)']


def test_elements_of_a_fan_in_are_compared_one_by_one() -> None:
    def define() -> None:
        @job
        def report() -> None:
            takes_texts([text(), number(), done()])

    assert warnings_of(define) == [
        'Graph "report": number.result (Int) -> the elements of takes_texts.values ([String])',
        'Graph "report": done.result (Nothing) -> the elements of takes_texts.values ([String])',
    ]


def test_branches_are_compared_where_they_are_mapped_and_where_they_are_collected() -> None:
    def define() -> None:
        @job
        def report() -> None:
            branches = numbers()
            branches.map(takes_text)
            takes_texts(branches.map(takes_number).collect())

    assert warnings_of(define) == [
        'Graph "report": numbers.result (Int) -> takes_text.value (String)',
        'Graph "report": takes_number.result (Int) -> the elements of takes_texts.values ([String])',
    ]


def test_list_given_to_an_input_that_is_none_is_refused() -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=r'input "value" of "takes_text" gets a list.*list\[String\]'
    ):

        @job
        def report() -> None:
            takes_text([text(), text.alias("other")()])

    with pytest.raises(DagsterInvalidDefinitionError, match="a collected output is connected"):

        @job
        def other() -> None:
            takes_number(numbers().collect())


def test_graph_written_with_explicit_dependencies_is_checked() -> None:
    def define() -> None:
        GraphDefinition(
            name="report",
            node_defs=[number, text, takes_text, takes_texts],
            dependencies={
                "takes_text": {"value": DependencyDefinition("number")},
                "takes_texts": {
                    "values": MultiDependencyDefinition([DependencyDefinition("text"), DependencyDefinition("number")])
                },
            },
        )

    assert warnings_of(define) == [
        'Graph "report": number.result (Int) -> takes_text.value (String)',
        'Graph "report": number.result (Int) -> the elements of takes_texts.values ([String])',
    ]


def test_annotation_of_a_graphs_input_is_compared_with_what_it_feeds_and_with_what_feeds_it() -> None:
    def inner() -> GraphDefinition:
        @graph
        def inside(value: int) -> None:
            takes_text(value)

        return inside

    assert warnings_of(inner) == ['Graph "inside": its input value (Int) -> takes_text.value (String)']

    @graph
    def fine(value: int) -> None:
        takes_anything(value)

    def outer() -> None:
        @job
        def report() -> None:
            fine(text())

    assert warnings_of(outer) == ['Graph "report": text.result (String) -> fine.value (Int)']


def test_input_of_a_graph_without_annotation_that_no_value_can_suit_warns() -> None:
    def define() -> None:
        @graph
        def inside(value) -> None:  # type: ignore[no-untyped-def]
            takes_text(value)
            takes_number(value)

    assert warnings_of(define) == ['Graph "inside": its input value (String) -> takes_number.value (Int)']


def test_input_of_a_graph_that_orders_one_op_and_feeds_another_has_the_type_of_the_value() -> None:
    @graph
    def inside(value) -> None:  # type: ignore[no-untyped-def]
        last(after=value)
        takes_number(value)

    assert inside.input_dict["value"].dagster_type.display_name == "Int"


def test_member_of_a_fan_in_that_is_an_input_of_the_graph_is_compared() -> None:
    def define() -> None:
        @graph
        def inside(value: int) -> None:
            takes_texts([value, text()])

    assert warnings_of(define) == [
        'Graph "inside": its input value (Int) -> the elements of takes_texts.values ([String])'
    ]


@pytest.mark.parametrize("annotation", ["int | str", "Unknown", "typing.Literal[1]"])
def test_annotation_of_a_graphs_input_that_is_no_type_is_let_be(annotation: str) -> None:
    def inside(value):  # type: ignore[no-untyped-def]
        takes_text(value)

    inside.__annotations__["value"] = annotation
    assert graph(inside).input_dict["value"].dagster_type.display_name == "String"


def test_default_of_a_graphs_input_has_to_be_of_its_type() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r'default value of input "value" of type Int: got \'a\''):

        @graph
        def inside(value: int = "a") -> None:  # type: ignore[assignment]
            takes_number(value)


def test_selection_does_not_warn_again() -> None:
    with pytest.warns(TreadleWiringWarning):

        @job
        def report() -> None:
            takes_text(number())
            text()

    assert report.execute_in_process(op_selection=["number"]).success
    assert warnings_of(lambda: report.get_subset(op_selection=["number", "takes_text"])) == []


# -- the setting ------------------------------------------------------------------------------------------------------


def define_two_mismatches() -> None:
    @job
    def report() -> None:
        takes_text(number())
        takes_number(text())


def test_strict_setting_makes_all_mismatches_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_WIRING", "strict")
    with pytest.raises(DagsterInvalidDefinitionError) as caught:
        define_two_mismatches()
    lines = str(caught.value).splitlines()
    assert [line.split(": No value")[0] for line in lines] == [
        'Graph "report": number.result (Int) -> takes_text.value (String)',
        'Graph "report": text.result (String) -> takes_number.value (Int)',
    ]


def test_mismatches_can_be_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_WIRING", "off")
    define_two_mismatches()


def test_misspelt_setting_is_an_error_where_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_WIRING", "strct")
    with pytest.raises(
        DagsterInvalidDefinitionError, match="TREADLE_WIRING is 'strct', but it must be warn, strict or off"
    ):
        define_two_mismatches()


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_edge_between_ends_of_one_type_makes_nothing() -> None:
    from treadle.definitions import type_wiring

    @job
    def chain() -> None:
        value = number()
        for index in range(50):
            value = takes_number.alias(f"step_{index}")(value)

    assert list(type_wiring._edges(chain.graph)) == []


def test_out_and_in_given_as_types_are_compared_too() -> None:
    @op(out={"small": Out(int), "large": Out(str)})
    def split() -> Any: ...

    @op(ins={"path": In(Path)})
    def reads(path: Any) -> None: ...

    def define() -> None:
        @job
        def report() -> None:
            parts = split()
            reads(parts.large)
            takes_number(parts.small)

    assert warnings_of(define) == ['Graph "report": split.large (String) -> reads.path (Path)']
