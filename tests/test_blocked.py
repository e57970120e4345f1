"""What a failure kept from running is told apart from what was skipped, not selected, or ran."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import (
    DagsterInvariantViolationError,
    DynamicOut,
    DynamicOutput,
    ExecuteInProcessResult,
    In,
    JobDefinition,
    Nothing,
    Out,
    Output,
    graph,
    job,
    op,
    resource,
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(a_job: JobDefinition, **options: Any) -> ExecuteInProcessResult:
    return a_job.execute_in_process(run_config=QUIET, raise_on_error=False, **options)


@op
def start() -> int:
    return 1


@op
def fail(x: Any) -> Any:
    raise ValueError("no")


@op
def take(x: Any) -> Any:
    return x


@op
def gather(xs: list[Any]) -> Any:
    return xs


@op
def both(x: Any, y: Any) -> Any:
    return x, y


@op(out=Out(is_required=False))
def perhaps() -> Iterator[Output[int]]:
    yield from ()


@op(out=DynamicOut())
def three() -> Iterator[DynamicOutput[str]]:
    for key in "abc":
        yield DynamicOutput(key, mapping_key=key)


@op
def fail_at_b(x: str) -> str:
    if x.startswith("b"):
        raise ValueError(x)
    return x


@op(out=DynamicOut())
def fail_after_one(x: str) -> Iterator[DynamicOutput[str]]:
    yield DynamicOutput(x + "1", mapping_key="one")
    if x == "b":
        raise ValueError(x)


def test_steps_below_a_failure_are_named_with_the_steps_that_failed() -> None:
    @graph
    def inner(x: Any) -> Any:
        return take.alias("second")(take.alias("first")(x))

    @job
    def broken() -> None:
        value = start()
        bad = fail(value)
        gather([inner(bad), fail.alias("worse")(value), value])
        take.alias("beside")(value)

    result = run(broken)
    assert result.get_blocked_steps() == {
        "inner.first": ["fail"],
        "inner.second": ["fail"],
        "gather": ["fail", "worse"],
    }
    names = ("start", "fail", "inner", "inner.first", "gather", "beside", "in")
    assert [name for name in names if result.is_node_blocked(name)] == ["inner", "inner.first", "gather"]
    with pytest.raises(
        DagsterInvariantViolationError, match="never started, since steps that it needs failed: fail, worse"
    ):
        result.output_for_node("gather")


def test_order_alone_is_need_enough() -> None:
    @op(ins={"after": In(Nothing)})
    def last() -> None: ...

    @job
    def ordered() -> None:
        last(fail(start()))

    assert run(ordered).get_blocked_steps() == {"last": ["fail"]}


def test_skipped_and_unselected_steps_are_not_blocked() -> None:
    @job
    def mixed() -> None:
        both(take(perhaps()), fail(start()))

    result = run(mixed)
    assert result.is_node_skipped("take")
    assert (result.is_node_skipped("both"), result.is_node_blocked("both")) == (True, False)
    assert run(mixed, op_selection=["*fail"]).get_blocked_steps() == {}
    assert run(mixed, op_selection=["start"]).get_blocked_steps() == {}


def test_of_a_mapped_op_the_branches_below_the_failed_one_are_blocked() -> None:
    @job
    def mapped() -> None:
        gather(three().map(lambda x: take.alias("after")(take.alias("next")(fail_at_b(x)))).collect())

    assert run(mapped).get_blocked_steps() == {
        "next[b]": ["fail_at_b[b]"],
        "after[b]": ["fail_at_b[b]"],
        "gather": ["fail_at_b[b]"],
    }


def test_branches_of_a_fan_out_that_failed_are_told_as_one() -> None:
    @job
    def nested() -> None:
        inside = three().map(lambda x: fail_after_one(x).map(lambda y: take(y)).collect())
        inside.map(gather)

    result = run(nested)
    assert result.get_blocked_steps() == {
        "take[b][one]": ["fail_after_one[b]"],
        "take[b][?]": ["fail_after_one[b]"],
        "gather[b]": ["fail_after_one[b]"],
    }
    assert result.is_node_success("take")


def test_fan_out_that_never_ran_blocks_all_that_is_below_it() -> None:
    @op(out=DynamicOut())
    def spread(x: Any) -> Iterator[DynamicOutput[Any]]:
        yield DynamicOutput(x, mapping_key="k")

    @job
    def spreading() -> None:
        gather(spread(fail(start())).map(take).collect())

    assert run(spreading).get_blocked_steps() == {"spread": ["fail"], "take[?]": ["fail"], "gather": ["fail"]}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=3)), min_size=1, max_size=8))
def test_each_step_has_run_or_is_blocked_by_what_it_needs(shape: list[tuple[bool, list[int]]]) -> None:
    """Each op takes what some of those before it give, and fails or not."""

    @op
    def works(xs: list[Any]) -> int:
        return 1

    @op
    def breaks(xs: list[Any]) -> int:
        raise ValueError

    @job
    def whole() -> None:
        made: list[Any] = []
        for number, (is_good, above) in enumerate(shape):
            chosen = {n % number: made[n % number] for n in above} if number else {}
            made.append((works if is_good else breaks).alias(f"n{number}")(list(chosen.values())))

    result = run(whole)
    down: dict[str, set[str]] = {}
    for number, (is_good, above) in enumerate(shape):
        name = f"n{number}"
        causes = {cause for n in above if number for cause in down.get(f"n{n % number}", ())}
        if causes:
            assert result.get_blocked_steps()[name] == sorted(causes)
            down[name] = causes
        else:
            assert not result.is_node_untouched(name)
            assert name not in result.get_blocked_steps()
            if not is_good:
                down[name] = {name}


# -- resources ---------------------------------------------------------------------------------------------------------------


def test_resource_that_could_not_be_closed_is_in_the_result_of_a_run_that_succeeded() -> None:
    @resource
    def stuck() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("stuck")

    @op(required_resource_keys={"stuck", "fine"})
    def use() -> None: ...

    @job(resource_defs={"stuck": stuck, "fine": 2})
    def using() -> None:
        use()

    result = run(using)
    assert result.success
    (found,) = result.get_resource_teardown_errors().items()
    assert found[0] == "stuck"
    assert found[1].cls_name == "ZeroDivisionError"
    assert run(using.with_top_level_resources({"stuck": 1})).get_resource_teardown_errors() == {}


def test_other_troubles_of_the_engine_are_no_teardown_errors() -> None:
    @resource
    def broken() -> int:
        raise ZeroDivisionError("broken")

    @op(required_resource_keys={"broken"})
    def use() -> None: ...

    @job(resource_defs={"broken": broken})
    def using() -> None:
        use()

    assert run(using).get_resource_teardown_errors() == {}
