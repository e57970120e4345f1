"""Facts of scheduling, in process: which step comes next, what a failure or a skip does to the steps below it, collect."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import treadle
from tests.conformance.flows import Broken, add, boom, do_nothing, gen0, inc, maybe, one, total
from tests.conformance.notation import expand, observe
from tests.conformance.wiring import job_of
from treadle import DynamicOut, DynamicOutput, In, Nothing, Out, Output, RetryPolicy, op

Wiring = Callable[[], Any]


def run(wiring: Wiring, **kwargs: Any) -> Any:
    return job_of(wiring).execute_in_process(raise_on_error=False, **kwargs)


def started(result: Any) -> list[str]:
    """Step keys in the order in which attempts started."""
    starts = {"STEP_START", "STEP_RESTARTED"}
    return [event.step_key for event in result.all_events if event.event_type.name in starts]


def steps_only(result: Any) -> list[tuple[str, str | None]]:
    return observe(event for event in result.all_events if event.is_step_event)


def assert_steps(result: Any, expected: str) -> None:
    assert steps_only(result) == expand(expected)


@op
def echo(value):
    return value


@op(ins={"start": In(Nothing)})
def wait():
    pass


@op(retry_policy=RetryPolicy(max_retries=1))
def fails_once(context):
    if context.retry_number == 0:
        raise Broken("once")


def keyed(*keys: str) -> Any:
    """An op that yields one dynamic output for each key, in the order given."""

    @op(name="keyed", out=DynamicOut())
    def keyed_op():
        for number, key in enumerate(keys):
            yield DynamicOutput(number, mapping_key=key)

    return keyed_op


# -- which step is next ---------------------------------------------------------------------------------


def test_ready_steps_run_by_name_however_they_were_wired():
    def wiring():
        one.alias("zz")()
        one.alias("mm")()
        one.alias("aa")()

    assert started(run(wiring)) == ["aa", "mm", "zz"]


def test_higher_priority_runs_first_and_names_break_ties():
    def wiring():
        one.alias("a_late").tag({"dagster/priority": "-1"})()
        one.alias("b_plain")()
        one.alias("c_zero").tag({"dagster/priority": "0"})()
        one.alias("d_soon").tag({"dagster/priority": "10"})()
        one.alias("e_soon").tag({"dagster/priority": "9"})()

    assert started(run(wiring)) == ["d_soon", "e_soon", "b_plain", "c_zero", "a_late"]


def test_priority_may_stand_on_the_op_itself():
    @op(tags={"dagster/priority": "3"})
    def urgent():
        pass

    def wiring():
        one()
        urgent()

    assert started(run(wiring)) == ["urgent", "one"]


def test_all_ready_steps_run_before_those_they_unlock():
    def wiring():
        inc.alias("a_second")(one.alias("a")())
        inc.alias("b_second")(one.alias("b")())

    assert started(run(wiring)) == ["a", "b", "a_second", "b_second"]


def test_steps_unlocked_sooner_run_sooner_whatever_their_names():
    def wiring():
        inc.alias("z_after_a")(one.alias("a")())
        inc.alias("b_after_b")(one.alias("b")())

    assert started(run(wiring)) == ["a", "b", "z_after_a", "b_after_b"]


def test_unlocked_step_of_higher_priority_goes_before_those_that_wait():
    def wiring():
        inc.alias("unlocked").tag({"dagster/priority": "1"})(one.alias("a")())
        one.alias("b")()

    assert started(run(wiring)) == ["a", "unlocked", "b"]


def test_retry_goes_behind_the_steps_that_are_ready():
    def wiring():
        fails_once.alias("a")()
        inc.alias("a_after_b")(one.alias("b")())
        one.alias("c")()

    assert started(run(wiring)) == ["a", "b", "c", "a", "a_after_b"]


def test_retry_that_waits_lets_all_others_go_first():
    def wiring():
        fails_once.with_retry_policy(RetryPolicy(max_retries=1, delay=0.2)).alias("a")()
        inc.alias("a_after_b")(one.alias("b")())

    assert started(run(wiring)) == ["a", "b", "a_after_b", "a"]


def test_retry_of_higher_priority_goes_at_once():
    def wiring():
        fails_once.alias("a").tag({"dagster/priority": "1"})()
        one.alias("b")()

    assert started(run(wiring)) == ["a", "a", "b"]


def test_mapped_copies_run_in_the_order_of_their_keys_yielded():
    source = keyed("z", "a", "m")

    result = run(lambda: source().map(echo))

    assert started(result) == ["keyed", "echo[z]", "echo[a]", "echo[m]"]


def test_mapped_chains_run_breadth_first():
    source = keyed("k0", "k1")

    result = run(lambda: source().map(lambda x: inc.alias("inc2")(inc(x))))

    assert started(result) == ["keyed", "inc[k0]", "inc[k1]", "inc2[k0]", "inc2[k1]"]


def test_collect_keeps_the_order_of_the_keys_yielded():
    source = keyed("z", "a", "m")

    def wiring():
        echo.alias("collected")(source().map(echo).collect())

    assert run(wiring).output_for_node("collected") == [0, 1, 2]


def test_skips_are_settled_before_the_next_step_starts():
    @op(out={"go": Out(is_required=False), "stop": Out(is_required=False)})
    def branch():
        yield Output(1, "go")

    def wiring():
        go, stop = branch()
        inc.alias("a_taken")(go)
        inc.alias("z_third")(inc.alias("z_second")(inc.alias("z_first")(stop)))

    assert_steps(
        run(wiring),
        "branch{SS SO HO SX} z_first{SK} z_second{SK} z_third{SK} a_taken{SS LI SI SO HO SX}",
    )


# -- below a failure --------------------------------------------------------------------------------------


def test_nothing_below_a_failure_gets_an_event():
    def wiring():
        inc.alias("further")(inc.alias("below")(boom()))
        inc.alias("other_end")(one())

    result = run(wiring)

    assert_steps(result, "boom{SS SF} one{SS SO HO SX} other_end{SS LI SI SO HO SX}")
    assert result.is_node_untouched("below")
    assert result.is_node_untouched("further")
    assert not result.success


def test_step_needing_a_failed_and_a_good_step_gets_no_event():
    result = run(lambda: add(boom(), one()))

    assert_steps(result, "boom{SS SF} one{SS SO HO SX}")
    assert result.is_node_untouched("add")


def test_error_record_names_the_failed_dependencies():
    def wiring():
        add(boom.alias("left")(), boom.alias("right")())

    run_id = str(uuid.uuid4())
    with treadle.DagsterInstance.ephemeral() as instance:
        run(wiring, instance=instance, run_id=run_id)
        records = [entry for entry in instance.all_logs(run_id) if entry.step_key == "add"]

    (record,) = records
    assert not record.is_dagster_event
    assert record.level == logging.ERROR
    assert "left" in record.user_message and "right" in record.user_message
    assert "failed" in record.user_message


def test_every_step_below_a_failure_has_its_error_record():
    run_id = str(uuid.uuid4())
    with treadle.DagsterInstance.ephemeral() as instance:
        run(
            lambda: inc.alias("further")(inc.alias("below")(boom())),
            instance=instance,
            run_id=run_id,
        )
        records = {
            entry.step_key: entry.user_message for entry in instance.all_logs(run_id) if not entry.is_dagster_event
        }

    assert set(records) == {"below", "further"}
    assert "boom" in records["below"]
    assert "below" in records["further"]


def test_nothing_dependency_on_a_failed_step_gets_no_event():
    result = run(lambda: wait(start=boom()))

    assert_steps(result, "boom{SS SF}")
    assert result.is_node_untouched("wait")


def test_run_stops_at_the_first_failure_when_it_is_to_raise():
    ran = []

    @op
    def z_later():
        ran.append("z_later")

    def wiring():
        boom.alias("a_boom")()
        z_later()

    with pytest.raises(ValueError):
        job_of(wiring).execute_in_process()

    assert ran == []


def test_run_that_is_to_raise_stops_at_the_first_of_two_failures():
    @op
    def z_broken():
        raise Broken("second")

    def wiring():
        boom.alias("a_boom")()
        z_broken()

    with pytest.raises(ValueError):
        job_of(wiring).execute_in_process()


# -- below a skip -------------------------------------------------------------------------------------------


def test_skip_wins_over_a_failure_upstream():
    def wiring():
        inc.alias("further")(add(boom(), maybe()))

    result = run(wiring)

    assert_steps(result, "boom{SS SF} maybe{SS SX} add{SK} further{SK}")
    assert not result.success
    assert result.all_events[-1].event_type.name == "RUN_FAILURE"


def test_nothing_dependency_on_a_skipped_step_skips():
    def wiring():
        wait(start=inc(maybe()))

    result = run(wiring)

    assert_steps(result, "maybe{SS SX} inc{SK} wait{SK}")
    assert result.success


def test_one_missing_input_of_two_skips():
    assert_steps(run(lambda: add(maybe(), one())), "maybe{SS SX} one{SS SO HO SX} add{SK}")


def test_fan_in_leaves_out_what_was_skipped():
    def wiring():
        echo([one.alias("a")(), maybe(), one.alias("b")()])

    assert run(wiring).output_for_node("echo") == [1, 1]


def test_fan_in_with_a_failed_member_does_not_run():
    result = run(lambda: total([one(), boom()]))

    assert result.is_node_untouched("total")


def test_fan_in_over_nothing_waits_for_every_member():
    def wiring():
        wait(start=[do_nothing.alias("z_first")(), do_nothing.alias("a_first")()])

    assert started(run(wiring)) == ["a_first", "z_first", "wait"]


# -- map and collect -------------------------------------------------------------------------------------------


def test_collect_over_no_copies_runs_with_an_empty_list():
    result = run(lambda: echo(gen0().map(inc).collect()))

    assert result.output_for_node("echo") == []
    assert_steps(result, "gen0{SS SX} echo{SS SI SO HO SX}")


def mapped(when_b: Callable[[], Any]) -> Any:
    """An op to map: copy `b` does what it is told, the others give their value back."""

    @op(name="mapped", out=Out(is_required=False))
    def mapped_op(context, value):
        if context.get_mapping_key() == "b":
            yield from when_b()
        else:
            yield Output(value)

    return mapped_op


def fail() -> Any:
    raise Broken("b")
    yield


def test_collect_over_a_failed_copy_does_not_run():
    source, copy = keyed("a", "b", "c"), mapped(when_b=fail)

    result = run(lambda: echo(source().map(copy).collect()))

    assert started(result) == ["keyed", "mapped[a]", "mapped[b]", "mapped[c]"]
    assert result.get_failed_step_keys() == {"mapped[b]"}
    assert result.is_node_untouched("echo")


def test_collect_over_a_skipping_copy_runs_with_the_rest():
    source, copy = keyed("a", "b", "c"), mapped(when_b=lambda: ())

    result = run(lambda: echo(source().map(copy).collect()))

    assert result.output_for_node("echo") == [0, 2]


def test_step_below_a_skipping_copy_is_skipped_alone():
    source, copy = keyed("a", "b"), mapped(when_b=lambda: ())

    result = run(lambda: source().map(lambda x: inc(copy(x))))

    assert [event.step_key for event in result.get_step_skipped_events()] == ["inc[b]"]
    assert result.output_for_node("inc") == {"a": 1}


def test_step_below_a_failed_copy_gets_no_event_and_the_others_go_on():
    source, copy = keyed("a", "b"), mapped(when_b=fail)

    result = run(lambda: source().map(lambda x: inc(copy(x))))

    assert started(result) == ["keyed", "mapped[a]", "mapped[b]", "inc[a]"]


def test_copies_and_collect_below_a_failed_source_get_no_event():
    @op(out=DynamicOut())
    def broken_source():
        yield DynamicOutput(1, mapping_key="k0")
        raise Broken("source")

    result = run(lambda: total(broken_source().map(inc).collect()))

    assert_steps(result, "broken_source{SS SO HO SF}")


def test_copies_and_collect_below_a_skipped_source_are_skipped():
    @op(out=DynamicOut())
    def source_below(x):
        yield DynamicOutput(x, mapping_key="k0")

    result = run(lambda: total(source_below(maybe()).map(inc).collect()))

    assert result.success
    assert result.is_node_skipped("source_below")
    assert result.is_node_untouched("inc") or result.is_node_skipped("inc")


def test_mapped_step_may_need_a_plain_step_too():
    source = keyed("a", "b")

    def wiring():
        base = one()
        source().map(lambda x: add(x, base))

    result = run(wiring)

    assert result.output_for_node("add") == {"a": 1, "b": 2}


def test_copies_of_two_steps_run_step_by_step():
    source = keyed("z", "a")

    def wiring():
        def both(x):
            inc.alias("bb")(x)
            inc.alias("aa")(x)

        source().map(both)

    assert started(run(wiring)) == ["keyed", "aa[z]", "aa[a]", "bb[z]", "bb[a]"]


def test_copies_take_their_place_among_other_steps_by_name():
    source = keyed("z", "a")

    def wiring():
        values = source()
        values.map(inc)
        echo.alias("a_plain")(values.collect())
        echo.alias("z_plain")(values.collect())

    assert started(run(wiring)) == ["keyed", "a_plain", "inc[z]", "inc[a]", "z_plain"]


def test_priority_orders_copies_of_different_steps():
    source = keyed("a", "b")

    def wiring():
        def both(x):
            inc.alias("low")(x)
            inc.alias("high").tag({"dagster/priority": "1"})(x)

        source().map(both)

    assert started(run(wiring)) == ["keyed", "high[a]", "high[b]", "low[a]", "low[b]"]
