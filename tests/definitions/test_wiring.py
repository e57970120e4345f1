"""A job made flat: one name means one definition in it, and no op hangs below two fan-outs that know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from treadle import (
    DagsterInvalidDefinitionError,
    DynamicOut,
    DynamicOutput,
    GraphDefinition,
    JobDefinition,
    OpDefinition,
    graph,
    job,
    op,
)


def named(name: str, value: int) -> OpDefinition[Any, Any]:
    @op(name=name)
    def made() -> int:
        return value

    return made


def wrapped(name: str, *definitions: Callable[..., Any]) -> GraphDefinition[Any, Any]:
    """A graph in which each of these stands once."""

    @graph(name=name)
    def made() -> None:
        for definition in definitions:
            definition()

    return made


@op(out=DynamicOut())
def fan() -> Any:
    for key in ("a", "b"):
        yield DynamicOutput(key, mapping_key=key)


@op
def echo(x: Any) -> Any:
    return x


@op
def pair(x: Any, y: Any) -> Any:
    return x, y


ONE = named("load", 1)


@pytest.mark.parametrize(
    "nodes",
    [
        (wrapped("first", ONE), wrapped("second", named("load", 2))),
        (ONE, wrapped("second", named("load", 2))),
        (wrapped("second", named("load", 2)), ONE),
        (wrapped("load", named("other", 1)), wrapped("second", ONE)),
        (wrapped("same", ONE), wrapped("outer", wrapped("same", ONE))),
        (wrapped("first", ONE.configured({}, name="c")), wrapped("second", ONE.configured({}, name="c"))),
    ],
    ids=[
        "ops in two graphs",
        "op and op in a graph",
        "op in a graph and op",
        "graph and op",
        "graphs",
        "configured ops",
    ],
)
def test_two_definitions_of_one_name_are_refused_wherever_they_stand(nodes: tuple[Callable[..., Any], ...]) -> None:
    whole = wrapped("whole", *nodes)  # a graph alone may become part of another job, or of none
    with pytest.raises(DagsterInvalidDefinitionError, match="conflicting node definitions with the same name"):
        whole.to_job()


def test_one_definition_may_stand_in_many_places() -> None:
    whole = wrapped("whole", ONE, wrapped("first", ONE), wrapped("second", ONE.alias("again")))
    assert whole.to_job(name="load").execute_in_process().success


def test_graph_that_is_selected_in_part_is_one_graph_still() -> None:
    part = wrapped("part", ONE, named("store", 2))
    halves = wrapped("whole", part.alias("left"), part.alias("right")).to_job()
    result = halves.execute_in_process(op_selection=["left.load", "right"])
    assert result.is_node_success("left.load")
    assert {e.step_key for e in result.get_step_success_events()} == {"left.load", "right.load", "right.store"}


# -- fan-outs ---------------------------------------------------------------------------------------------------------------


@graph
def across(a: Any) -> None:
    fan.alias("own")().map(lambda b: pair(a, b))


@graph
def across_through_an_op(a: Any) -> None:
    passed = echo(a)
    fan.alias("own")().map(lambda b: pair(passed, b))


@graph
def outer_across(q: Any) -> None:
    across(q)


@pytest.mark.parametrize(
    ("inner", "path", "name"),
    [
        (across, "across", "a"),
        (across_through_an_op, "across_through_an_op", "a"),
        (outer_across, "outer_across.across", "a"),
    ],
)
def test_fan_out_that_comes_in_by_an_input_of_a_graph_is_told_by_that_input(
    inner: GraphDefinition[Any, Any], path: str, name: str
) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as raised:

        @job
        def crossed() -> None:
            fan().map(lambda x: inner(echo.alias("before")(x)))

    assert (
        f'The graph "{path}" cannot be downstream of dynamic output "fan:result" since input "{name}" maps to a node that is '
        f'already downstream of another dynamic output: "{path}.pair" is below "{path}.own:result", too.'
    ) in str(raised.value)


def test_two_fan_outs_outside_of_a_graph_are_told_by_the_op() -> None:
    @graph
    def inner(a: Any, b: Any) -> None:
        pair(a, b)

    def make() -> JobDefinition:
        @job
        def crossed() -> None:
            fan().map(lambda x: fan.alias("other")().map(lambda y: inner(x, y)))

        return crossed

    with pytest.raises(
        DagsterInvalidDefinitionError, match=r'Op "inner.pair" .*more than one dynamic output.*"fan".*"other"'
    ):
        make()
