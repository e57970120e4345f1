"""Two texts of plans: what is told of how they differ, and what may change without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from treadle import DynamicOut, DynamicOutput, In, JobDefinition, Out, Output, RetryPolicy, job, op, success_hook
from treadle.plan.compile import compile_plan
from treadle.plan.snapshot import compare_plans, describe_plan


def text_of(a_job: JobDefinition) -> str:
    return describe_plan(a_job, compile_plan(a_job))


@op(out=DynamicOut())
def fan() -> Iterator[DynamicOutput[int]]:
    yield DynamicOutput(1, mapping_key="a")


@op(out={"x": Out(), "y": Out(is_required=False)})
def two() -> Iterator[Output[int]]:
    yield Output(1, "x")


@op
def take(x: Any, y: Any = 0) -> Any:
    return x


@op
def gather(xs: list[Any]) -> Any:
    return xs


@op(version="1")
def old() -> int:
    return 1


def before() -> JobDefinition:
    @job
    def report() -> None:
        x, _y = two()
        take(x)
        gather([x, old()])
        branches = fan().map(take.alias("each"))
        gather.alias("all_of_them")(branches.collect())

    return report


def test_same_plan_gives_the_same_text_and_no_difference() -> None:
    text = text_of(before())
    assert text == text_of(before())
    assert compare_plans(text, text) == []


def test_retries_priorities_hooks_and_code_may_change() -> None:
    @op(name="old", version="1", retry_policy=RetryPolicy(3), tags={"dagster/priority": "4"})
    def newer() -> int:
        return 2

    @success_hook
    def tell(_context: Any) -> None: ...

    @job(hooks={tell}, op_retry_policy=RetryPolicy(2))
    def report() -> None:
        x, _y = two()
        take(x)
        gather([x, newer()])
        gather.alias("all_of_them")(fan().map(take.alias("each")).collect())

    assert text_of(report) == text_of(before())


def renamed() -> JobDefinition:
    return before().graph.to_job(name="monthly")


def without_a_step() -> JobDefinition:
    return before().get_subset(op_selection=["two", "take", "fan", "each", "all_of_them", "old"])


def with_a_step() -> JobDefinition:
    @job
    def report() -> None:
        x, _y = two()
        take(x)
        gather([x, old()])
        gather.alias("all_of_them")(fan().map(take.alias("each")).collect())
        old.alias("more")()

    return report


def otherwise_wired() -> JobDefinition:
    @op(name="old", version="2")
    def newer() -> int:
        return 1

    @op(ins={"x": In()}, out=Out(io_manager_key="shelf"))
    def put(x: Any) -> Any:
        return x

    @job
    def report() -> None:
        _x, y = two()
        put.alias("take")(y)
        gather([y, newer()])
        gather.alias("all_of_them")(fan().collect())
        take.alias("each")(y)

    return report


@pytest.mark.parametrize(
    ("other", "lines"),
    [
        (renamed, ['the job was called "report", and is "monthly"']),
        (without_a_step, ['step "gather" is gone']),
        (with_a_step, ['step "more" is new']),
        (
            otherwise_wired,
            [
                "step \"all_of_them\": input \"xs\" was 'all of each.result', and is 'all of fan.result'",
                "step \"each\": below was ['fan.result'], and is not there",
                "step \"each\": input \"x\" was 'one of fan.result', and is 'two.y'",
                "step \"gather\": input \"xs\" was ['two.x', 'old.result'], and is ['two.y', 'old.result']",
                "step \"old\": version was '1', and is '2'",
                "step \"take\": op was 'take', and is 'put'",
                "step \"take\": input \"x\" was 'two.x', and is 'two.y'",
                "step \"take\": output \"result\" was 'required, kept by io_manager', and is 'required, kept by shelf'",
            ],
        ),
    ],
)
def test_what_differs_is_told_step_by_step(other: Any, lines: list[str]) -> None:
    assert sorted(compare_plans(text_of(before()), text_of(other()))) == sorted(lines)
