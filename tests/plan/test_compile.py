"""A job into a plan: plain data, the same for the same job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from treadle import (
    DagsterInvalidDefinitionError,
    DynamicOut,
    DynamicOutput,
    GraphDefinition,
    In,
    NodeInvocation,
    Nothing,
    RetryPolicy,
    graph,
    job,
    op,
)
from treadle.plan.compile import compile_plan
from treadle.plan.model import Fan, FromCollect, FromList, FromOutput, Plan, StepInput


@op
def one() -> int:
    return 1


@op
def add(x: Any, y: Any = 0) -> Any:
    return x


@op(out=DynamicOut())
def fan() -> Any:
    yield DynamicOutput(1, "a")


def test_steps_come_by_depth_and_then_by_name() -> None:
    @job
    def wide() -> None:
        add.alias("b")(one.alias("z")())
        add.alias("a")(one.alias("y")())

    assert compile_plan(wide).step_keys == ["y", "z", "a", "b"]


def test_inputs_tell_what_they_come_from() -> None:
    @op(ins={"start": In(Nothing)})
    def after(x: Any) -> None: ...

    @job
    def wired() -> None:
        branches = fan()
        after(branches.map(add).collect(), start=one())
        add.alias("both")([one.alias("p")(), one.alias("q")()], branches.collect())

    steps = compile_plan(wired).steps
    assert steps["add"].inputs == (StepInput("x", FromOutput("fan", "result", True)),)
    assert steps["add"].scope == (Fan("fan", "result"),)
    assert steps["add"].key == "add[?]"
    assert steps["after"].inputs == (
        StepInput("start", FromOutput("one", "result"), has_value=False),
        StepInput("x", FromCollect("add", "result")),
    )
    assert steps["both"].inputs == (
        StepInput("x", FromList((FromOutput("p", "result"), FromOutput("q", "result")))),
        StepInput("y", FromCollect("fan", "result", True)),
    )


def test_retry_policy_of_the_invocation_wins_over_op_graph_and_job() -> None:
    own, placed, around, whole = (RetryPolicy(max_retries=n) for n in (1, 2, 3, 4))

    @op(retry_policy=own)
    def with_own() -> None: ...

    @op
    def without() -> None: ...

    @graph
    def inner() -> None:
        with_own()
        without()
        without.with_retry_policy(placed).alias("placed")()

    @job(op_retry_policy=whole)
    def outer() -> None:
        inner.with_retry_policy(around)()
        without.alias("outside")()

    policies = {path: step.retry_policy for path, step in compile_plan(outer).steps.items()}
    assert policies == {"inner.with_own": own, "inner.without": around, "inner.placed": placed, "outside": whole}


def test_priority_is_the_number_that_the_tag_says() -> None:
    @op(tags={"dagster/priority": "-2"})
    def last() -> None: ...

    @job
    def ranked() -> None:
        one.tag({"dagster/priority": "5"})()
        last()

    assert {path: step.priority for path, step in compile_plan(ranked).steps.items()} == {"one": 5, "last": -2}


@pytest.mark.parametrize(
    "define",
    [
        lambda tags: op(name="one", tags=tags)(lambda: None),
        lambda tags: one.tag(tags),
        lambda tags: GraphDefinition("all", node_defs=[one], dependencies={NodeInvocation("one", tags=tags): {}}),
    ],
    ids=["op", "invocation", "explicit invocation"],
)
def test_priority_that_is_no_whole_number_is_refused_where_it_is_written(define: Callable[[Any], Any]) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="\"one\".*whole number.*'high'"):
        define({"dagster/priority": "high"})
    assert define({"dagster/priority": "7"}) is not None


def test_tags_of_an_explicit_invocation_are_text_in_the_plan() -> None:
    invocation = NodeInvocation("one", tags={"dagster/priority": 3})  # type: ignore[dict-item]
    whole = GraphDefinition("whole", node_defs=[one], dependencies={invocation: {}})
    assert compile_plan(whole.to_job()).steps["one"].priority == 3


def test_plan_is_plain_data_that_survives_a_trip_as_json() -> None:
    @job
    def shapes() -> None:
        add(fan().map(add.alias("mapped")).collect(), [one(), one()])

    plan = compile_plan(shapes)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
