"""The edges of a graph, asked for from either end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from treadle import CheckError, DependencyDefinition, DynamicOut, DynamicOutput, MappedInputPlaceholder, graph, op
from treadle.definitions.structure import DependencyStructure, NodeInput, NodeOutput


@op
def one() -> int:
    return 1


@op
def inc(x: Any) -> Any:
    return x


@op
def add(a: Any, b: Any) -> Any:
    return a


@op
def total(xs: list[Any]) -> Any:
    return xs


@op(out=DynamicOut())
def fan() -> Iterator[DynamicOutput[int]]:
    yield DynamicOutput(1, mapping_key="a")


@graph
def whole(z: Any) -> None:
    first = one()
    second = inc(first)
    add(first, second)
    total([first, z, second])
    total.alias("collected")(fan().map(inc.alias("each")).collect())


STRUCTURE: DependencyStructure = whole.dependency_structure
ONE, SECOND = NodeOutput("one", "result"), NodeOutput("inc", "result")
LISTED, COLLECTED = NodeInput("total", "xs"), NodeInput("collected", "xs")


def test_job_has_the_structure_of_its_graph() -> None:
    of_job = whole.to_job(input_values={"z": 1}).dependency_structure
    assert of_job.inputs() == STRUCTURE.inputs()
    assert set(STRUCTURE.inputs()) == {
        NodeInput("inc", "x"),
        NodeInput("add", "a"),
        NodeInput("add", "b"),
        LISTED,
        NodeInput("each", "x"),
        COLLECTED,
    }


def test_input_knows_what_is_connected_to_it_and_how() -> None:
    a = NodeInput("add", "a")
    assert (STRUCTURE.has_deps(a), STRUCTURE.has_deps(NodeInput("one", "x"))) == (True, False)
    assert STRUCTURE.get_dependency_definition(a) == DependencyDefinition("one")
    assert STRUCTURE.get_dependency_definition(NodeInput("one", "x")) is None
    assert [STRUCTURE.has_direct_dep(each) for each in (a, LISTED, COLLECTED)] == [True, False, False]
    assert [STRUCTURE.has_fan_in_deps(each) for each in (a, LISTED, COLLECTED)] == [False, True, False]
    assert [STRUCTURE.has_dynamic_fan_in_dep(each) for each in (a, LISTED, COLLECTED)] == [False, False, True]
    assert STRUCTURE.get_direct_dep(a) == ONE
    assert STRUCTURE.get_fan_in_deps(LISTED) == [ONE, MappedInputPlaceholder, SECOND]
    assert STRUCTURE.get_dynamic_fan_in_dep(COLLECTED).describe() == "each:result"
    assert STRUCTURE.input_def(a).name == "a"
    assert STRUCTURE.output_def(NodeOutput("fan", "result")).is_dynamic


def test_node_knows_what_it_takes_and_who_takes_what_it_gives() -> None:
    assert STRUCTURE.input_to_upstream_outputs_for_node("add") == {
        NodeInput("add", "a"): [ONE],
        NodeInput("add", "b"): [SECOND],
    }
    assert STRUCTURE.all_upstream_outputs_from_node("total") == [ONE, SECOND]
    assert STRUCTURE.output_to_downstream_inputs_for_node("inc") == {SECOND: [NodeInput("add", "b"), LISTED]}
    assert STRUCTURE.output_to_downstream_inputs_for_node("add") == {}


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(CheckError, match='Not one output is connected to input "xs" of "total"'):
        STRUCTURE.get_direct_dep(LISTED)
    with pytest.raises(CheckError, match='Nothing is connected to input "x" of "one"'):
        STRUCTURE.get_deps_list(NodeInput("one", "x"))
    with pytest.raises(CheckError, match='no node named "ad".*Did you mean "add"'):
        STRUCTURE.input_to_upstream_outputs_for_node("ad")


def test_graph_has_its_inputs_and_outputs_by_name() -> None:
    assert whole.input_def_named("z").name == "z"

    @graph
    def giving() -> int:
        return one()

    assert giving.output_def_named("result").dagster_type.display_name == "Int"
