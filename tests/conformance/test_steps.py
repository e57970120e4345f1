"""Order of the events inside one step: inputs, body, outputs, hooks, for the ways in which an op can be written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.flows import do_nothing, inc, one
from tests.conformance.notation import expand, observe
from tests.conformance.wiring import job_of
from treadle import (
    AssetMaterialization,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    In,
    Nothing,
    Out,
    Output,
    RetryPolicy,
    failure_hook,
    op,
    success_hook,
)


def events_of(wiring: Any, node: str, **kwargs: Any) -> Any:
    result = job_of(wiring).execute_in_process(raise_on_error=False, **kwargs)
    return observe(event for event in result.all_events if event.step_key == node and _is_of_step(event))


def _is_of_step(event: Any) -> bool:
    return event.is_step_event or event.is_hook_event


@op
def three(a, b, c=0):
    return a, b, c


def test_all_inputs_are_loaded_before_any_is_reported():
    def wiring():
        three(one.alias("x")(), [one.alias("y")(), one.alias("z")()])

    assert events_of(wiring, "three") == expand("three{SS LI LI LI SI SI SI SO HO SX}")


def test_inputs_come_in_the_order_of_the_signature_and_upstreams_in_that_of_the_list():
    def wiring():
        three(b=[one.alias("z")(), one.alias("y")()], a=one.alias("x")())

    result = job_of(wiring).execute_in_process()
    events = result.events_for_node("three")
    loaded = [event.event_specific_data for event in events if event.is_loaded_input]
    given = [event.step_input_data.input_name for event in events if event.event_type.name == "STEP_INPUT"]

    assert [(data.input_name, data.upstream_step_key) for data in loaded] == [("a", "x"), ("b", "z"), ("b", "y")]
    assert given == ["a", "b", "c"]


@pytest.mark.later
def test_inputs_after_one_that_fails_its_check_are_not_reported():
    @op
    def typed(a: int, b: int, c: int):
        pass

    @op
    def text():
        return "text"

    def wiring():
        typed(one.alias("a")(), text(), one.alias("c")())

    assert events_of(wiring, "typed") == expand("typed{SS LI LI LI SI SI SF}")


def test_events_of_the_user_stand_where_they_were_yielded():
    @op
    def mixed():
        yield AssetMaterialization("first")
        yield Output(1)
        yield ExpectationResult(success=True)

    assert events_of(mixed, "mixed") == expand("mixed{SS AM SO HO EX SX}")


def test_logged_events_stand_before_the_next_output():
    @op(out={"a": Out(), "b": Out()})
    def mixed(context):
        context.log_event(AssetMaterialization("first"))
        yield Output(1, "a")
        context.log_event(AssetMaterialization("second"))
        yield Output(2, "b")

    assert events_of(mixed, "mixed") == expand("mixed{SS AM SO HO AM SO HO SX}")


def test_nothing_that_is_returned_has_an_output_event_and_is_not_handled():
    assert events_of(do_nothing, "do_nothing") == expand("do_nothing{SS SO SX}")


def test_nothing_that_is_not_yielded_has_its_output_event_all_the_same():
    @op(out={"value": Out(), "done": Out(Nothing)})
    def half():
        yield Output(1, "value")

    assert events_of(half, "half") == expand("half{SS SO HO SO SX}")


def test_none_as_a_return_annotation_means_nothing():
    @op
    def quiet() -> None:
        pass

    assert events_of(quiet, "quiet") == expand("quiet{SS SO SX}")


def test_none_returned_without_annotation_is_a_value():
    @op
    def plain():
        pass

    assert events_of(plain, "plain") == expand("plain{SS SO HO SX}")


def test_op_without_outputs_has_no_output_events():
    @op(out={})
    def silent():
        pass

    assert events_of(silent, "silent") == expand("silent{SS SX}")


def test_nothing_input_has_no_input_events():
    @op(ins={"start": In(Nothing)})
    def waits(x):
        return x

    assert events_of(lambda: waits(start=do_nothing(), x=one()), "waits") == expand("waits{SS LI SI SO HO SX}")


def test_default_value_is_reported_but_not_loaded():
    @op
    def defaulted(x, y=2):
        return x + y

    assert events_of(lambda: defaulted(one()), "defaulted") == expand("defaulted{SS LI SI SI SO HO SX}")


def test_outputs_returned_together_are_handled_one_by_one():
    @op(out={"a": Out(), "b": Out()})
    def both():
        return Output(1, metadata={"rows": 1}), 2

    @op(out=DynamicOut())
    def listed():
        return [DynamicOutput(1, "k0"), DynamicOutput(2, "k1")]

    assert events_of(both, "both") == expand("both{SS SO HO SO HO SX}")
    assert events_of(listed, "listed") == expand("listed{SS SO HO SO HO SX}")


@pytest.mark.later
def test_coroutine_and_async_generator_are_run_like_any_body():
    @op
    async def awaited():
        return 1

    @op(out={"a": Out(), "b": Out()})
    async def streamed():
        yield Output(1, "a")
        yield Output(2, "b")

    assert events_of(awaited, "awaited") == expand("awaited{SS SO HO SX}")
    assert events_of(streamed, "streamed") == expand("streamed{SS SO HO SO HO SX}")


def test_inputs_are_loaded_again_for_each_attempt():
    @op(retry_policy=RetryPolicy(max_retries=1))
    def once_more(context, x):
        if context.retry_number == 0:
            raise ValueError(x)
        return x

    assert events_of(lambda: once_more(one()), "once_more") == expand("once_more{SS LI SI UR RE LI SI SO HO SX}")


def test_hooks_run_after_the_last_attempt_only():
    ran = []

    @success_hook
    def when_good(context):
        ran.append("good")

    @failure_hook
    def when_bad(context):
        ran.append("bad")

    @op(retry_policy=RetryPolicy(max_retries=1))
    def once_more(context):
        if context.retry_number == 0:
            raise ValueError("once")

    result = job_of(once_more, hooks={when_good, when_bad}).execute_in_process()
    names = [event.event_type.name for event in result.all_events if _is_of_step(event)]

    assert ran == ["good"]
    assert names.count("HOOK_COMPLETED") == 1
    assert sorted(names[names.index("STEP_SUCCESS") :]) == ["HOOK_COMPLETED", "HOOK_SKIPPED", "STEP_SUCCESS"]


def test_hook_of_one_invocation_runs_for_that_step_alone():
    @success_hook
    def noted(context):
        pass

    def wiring():
        inc.with_hooks({noted})(one())

    assert events_of(wiring, "inc") == expand("inc{SS LI SI SO HO SX HC}")
    assert events_of(wiring, "one") == expand("one{SS SO HO SX}")


def test_every_hook_of_a_step_has_its_event():
    @success_hook(name="first")
    def first(context):
        pass

    @success_hook(name="second")
    def second(context):
        raise RuntimeError("second")

    @op
    def hooked():
        pass

    result = job_of(hooked, hooks={first, second}).execute_in_process()

    assert observe(event for event in result.all_events if event.is_hook_event) == expand("hooked{HC HE}")
    assert result.success
