"""Ops that end when they are asked to: at their timeout and when the run is canceled, on threads, on a loop and in process."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    DagsterExecutionInterruptedError,
    DagsterRunStatus,
    In,
    Nothing,
    OpExecutionContext,
    Output,
    RetryPolicy,
    StepTimeoutError,
    TreadleExecutorWarning,
    async_executor,
    build_op_context,
    build_reconstructable_job,
    execute_job,
    graph,
    in_process_executor,
    instance_for_test,
    multiprocess_executor,
    op,
    resource,
    threaded_executor,
)
from treadle.executors import beside, lateness

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
EXECUTORS = {
    "in process": in_process_executor,
    "threads": threaded_executor,
    "async": async_executor,
    "processes": multiprocess_executor.configured({"max_concurrent": 2}),
}
everywhere = pytest.mark.parametrize("where", EXECUTORS)
here = pytest.mark.parametrize("where", ["in process", "threads", "async"])
at_once = pytest.mark.parametrize("where", ["threads", "async"])

NUMBERS = itertools.count()


def build(made: str, where: str, folder: str, _number: int) -> Any:
    """The job that a function of this module makes; the number makes it another than any before."""
    return globals()[made](Path(folder)).with_executor_def(EXECUTORS[where])


def run(made: Any, where: str, folder: Path, instance: Any, **options: Any) -> Any:
    recipe = build_reconstructable_job(__name__, "build", (made.__name__, where, str(folder), next(NUMBERS)))
    return execute_job(recipe, instance, QUIET, **options)


def of(result: Any, key: str) -> list[str]:
    kinds = [event.event_type.name for event in result.all_events if event.step_key == key]
    return [each for each in kinds if each.startswith("STEP_") and "WORKER" not in each]


def notes(result: Any, key: str | None) -> list[str]:
    found = [event for event in result.all_events if event.event_type.name == "ENGINE_EVENT" and event.step_key == key]
    return [event.message for event in found]


def wait_for(path: Path) -> None:
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, f"{path} has not come"
        time.sleep(0.005)


def cancel_at(path: Path, instance: Any) -> threading.Thread:
    """Cancel the only run as soon as there is such a file."""

    def cancel() -> None:
        wait_for(path)
        instance.report_run_canceling(instance.get_runs()[0])

    thread = threading.Thread(target=cancel)
    thread.start()
    return thread


def run_beside(made: Any, where: str, folder: Path, instance: Any) -> Any:
    """Run it from another thread than the main one, which alone gets signals."""
    results: list[Any] = []
    driver = threading.Thread(target=lambda: results.append(run(made, where, folder, instance)))
    driver.start()
    driver.join(60)
    (result,) = results
    return result


# -- timeouts


def late(folder: Path) -> Any:
    @op(timeout=0.3, cooperative=True)
    def looks(context: OpExecutionContext) -> int:
        try:
            while True:
                context.check_cancelled()
                time.sleep(0.005)
        finally:
            (folder / "cleaned").touch()

    @op(timeout=0.3)
    async def waits() -> int:
        try:
            await asyncio.sleep(60)
        finally:
            (folder / "awaited").touch()
        return 1

    @op(timeout=60, cooperative=True)
    def other() -> int:
        return 1

    @op
    def use(x: int) -> int:
        return x

    @graph
    def all_of_it() -> None:
        use(looks())
        use.alias("use_waits")(waits())
        use.alias("use_other")(other())

    return all_of_it.to_job()


@everywhere
def test_step_that_takes_too_long_fails_for_that_in_the_same_words_wherever_it_runs(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(late, where, tmp_path, instance)
        assert result.get_failed_step_keys() == {"looks", "waits"}
        assert result.is_node_success("use_other")
        for key in ("looks", "waits"):
            assert of(result, key) == ["STEP_START", "STEP_FAILURE"]
            failure = result.failure_data_for_node(key)
            assert failure.error.cls_name == "StepTimeoutError"
            assert failure.error.message.strip() == (
                f"treadle.errors.StepTimeoutError: Step {key} has taken longer than its op's timeout of 0.3 s, and was ended. Give "
                f"it more time, or see what it waits for: treadle logs {result.run_id} {key}."
            )
            assert failure.error_source.name == "FRAMEWORK_ERROR"
        assert result.all_events[-1].event_specific_data.failure_reason.value == "STEP_FAILURE"
    assert (tmp_path / "cleaned").exists()
    assert (tmp_path / "awaited").exists()


@here
def test_raising_raises_that_a_step_took_too_long(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance, pytest.raises(StepTimeoutError, match=r"timeout of 0\.3 s"):
        run(late, where, tmp_path, instance, raise_on_error=True)


def test_execute_in_process_keeps_timeouts_of_cooperative_and_async_ops(tmp_path: Path) -> None:
    result = late(tmp_path).execute_in_process(run_config=QUIET, raise_on_error=False)
    assert result.get_failed_step_keys() == {"looks", "waits"}
    assert result.output_for_node("use_other") == 1


def late_once(folder: Path) -> Any:
    @op(timeout=0.2, cooperative=True, retry_policy=RetryPolicy(max_retries=1))
    def looks(context: OpExecutionContext) -> int:
        while context.retry_number == 0:
            context.check_cancelled()
            time.sleep(0.005)
        assert not context.is_cancelled
        return 7

    @op(timeout=0.2, retry_policy=RetryPolicy(max_retries=1))
    async def waits(context: OpExecutionContext) -> int:
        await asyncio.sleep(60 if context.retry_number == 0 else 0)
        return 8

    @op(timeout=0.1, retry_policy=RetryPolicy(max_retries=1))
    async def always() -> int:
        await asyncio.sleep(60)
        return 8

    @graph
    def all_of_it() -> None:
        looks()
        waits()
        always()

    return all_of_it.to_job()


@here
def test_step_that_takes_too_long_is_tried_again_by_the_policy_of_its_op(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance, run(late_once, where, tmp_path, instance) as result:
        assert (result.output_for_node("looks"), result.output_for_node("waits")) == (7, 8)
        for key in ("looks", "waits"):
            again = ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_RESTARTED"]
            assert of(result, key) == [*again, "STEP_OUTPUT", "STEP_SUCCESS"]
        assert of(result, "always") == [*again, "STEP_FAILURE"]
        assert result.failure_data_for_node("always").error.cls_name == "StepTimeoutError"


def deaf(folder: Path) -> Any:
    @op(timeout=0.1, cooperative=True)
    def never_looks() -> int:
        (folder / "begun").touch()
        end = time.monotonic() + 20
        while not (folder / "told").exists() and time.monotonic() < end:
            time.sleep(0.01)
        return 1

    @op(timeout=0.1, cooperative=True, out={"one": _required(), "two": _required()})
    def goes_on_yielding(context: OpExecutionContext) -> Iterator[Any]:
        yield Output(1, "one")
        try:
            while not context.is_cancelled:
                time.sleep(0.005)
            yield Output(2, "two")
        finally:
            (folder / "closed").touch()

    @op(timeout=0.1)
    async def suppresses() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 3
        return 4

    @op(timeout=0.1, cooperative=True)
    def raises_another(context: OpExecutionContext) -> int:
        try:
            while True:
                context.check_cancelled()
        except StepTimeoutError:
            raise LookupError("while cleaning up") from None

    @graph
    def all_of_it() -> None:
        never_looks()
        goes_on_yielding()
        suppresses()
        raises_another()

    return all_of_it.to_job()


def _required() -> Any:
    from treadle import Out

    return Out(int)


@here
def test_what_an_op_gives_after_its_timeout_is_not_stored_and_an_op_that_does_not_look_is_told_of(
    where: str, tmp_path: Path
) -> None:
    with instance_for_test() as instance:

        def listen(entry: Any) -> None:
            if "has not looked once" in entry.user_message:
                (tmp_path / "told").touch()

        run_id = "6d0f0f6e-0000-4000-8000-00000000000b"
        instance.add_event_listener(run_id, listen)
        result = run(deaf, where, tmp_path, instance, run_id=run_id)
        keys = {"never_looks", "goes_on_yielding", "suppresses", "raises_another"}
        assert result.get_failed_step_keys() == keys
        assert {result.failure_data_for_node(key).error.cls_name for key in keys} == {"StepTimeoutError"}
        assert of(result, "never_looks") == ["STEP_START", "STEP_FAILURE"]
        assert of(result, "goes_on_yielding") == ["STEP_START", "STEP_OUTPUT", "STEP_FAILURE"]
        assert "LookupError: while cleaning up" in result.failure_data_for_node("raises_another").error.to_string()
        (note,) = notes(result, "never_looks")
        assert "has taken longer than its op's timeout of 0.1 s, and has not looked once" in note
    assert (tmp_path / "told").exists(), "it was told while the op was at work"
    assert (tmp_path / "closed").exists()


def streaming(folder: Path) -> Any:
    @resource
    def shared(_context: Any) -> Iterator[int]:
        yield 1
        _add(folder, "closed")

    @op(timeout=0.3, out={"one": _required(), "two": _required()}, required_resource_keys={"shared"})
    async def streams() -> AsyncIterator[Any]:
        try:
            yield Output(1, "one")
            time.sleep(0.5)  # noqa: ASYNC251 - it is late when it comes back, and has not awaited
            yield Output(2, "two")
        finally:
            await asyncio.sleep(0)
            _add(folder, "cleaned")

    @graph
    def all_of_it() -> None:
        streams()

    return all_of_it.to_job(resource_defs={"shared": shared})


def _add(folder: Path, line: str) -> None:
    with (folder / "story").open("a") as file:
        file.write(f"{line}\n")


@here
def test_async_generator_that_takes_too_long_is_closed_before_its_resources_are(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(streaming, where, tmp_path, instance)
        assert of(result, "streams") == ["STEP_START", "STEP_OUTPUT", "STEP_FAILURE"]
        assert result.failure_data_for_node("streams").error.cls_name == "StepTimeoutError"
    assert (tmp_path / "story").read_text().split() == ["cleaned", "closed"]


def silent(folder: Path) -> Any:
    @op(timeout=0.05)
    def takes_its_time() -> int:
        time.sleep(0.2)
        return 1

    @op(memory_limit="1 GB")
    def takes_memory() -> int:
        return 1

    @op(memory_limit="1 GB")
    async def awaits() -> int:
        return 1

    @op(timeout=10, memory_limit="90 GB", cooperative=True)
    def looks() -> int:
        return 1

    @graph
    def all_of_it() -> None:
        takes_its_time()
        takes_memory()
        awaits()
        looks()

    return all_of_it.to_job()


@here
def test_limits_that_nobody_can_keep_here_are_told_and_the_step_succeeds(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        with pytest.warns(TreadleExecutorWarning) as told:
            result = run(silent, where, tmp_path, instance)
        assert result.success
        texts = [str(each.message) for each in told]
        assert len(texts) == 2
        assert "The timeout of ['takes_its_time'] is not kept" in texts[0]
        assert "@op(cooperative=True)" in texts[0]
        assert "The memory_limit of ['awaits', 'takes_memory'] is not kept" in texts[1]
        assert "@op(cooperative=True)" in texts[1]
        assert [note for note in notes(result, None) if "is not kept" in note] == texts


def heavy(folder: Path) -> Any:
    @op(memory_limit="1 KB", cooperative=True, retry_policy=RetryPolicy(max_retries=1))
    def grows(context: OpExecutionContext) -> int:
        _add(folder, f"try{context.retry_number}")
        for _ in range(2_000):
            context.check_cancelled()
            time.sleep(0.005)
        return 1

    @op(memory_limit="1 KB", cooperative=True)
    def asks(context: OpExecutionContext) -> int:
        assert context.is_cancelled
        return 1  # it is not stored: it went beyond its limit, and knew it

    @op(memory_limit="900 GB", cooperative=True)
    def small(context: OpExecutionContext) -> int:
        context.check_cancelled()
        return 2

    @graph
    def all_of_it() -> None:
        grows()
        asks()
        small()

    return all_of_it.to_job()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells how much memory a process has")
@here
def test_memory_limit_holds_where_the_op_looks_and_is_tried_again_by_policy(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(heavy, where, tmp_path, instance)
    assert result.get_failed_step_keys() == {"asks", "grows"}
    assert result.is_node_success("small")
    assert (tmp_path / "story").read_text().split() == ["try0", "try1"]
    for key in ("asks", "grows"):
        error = result.failure_data_for_node(key).error
        assert error.cls_name == "StepMemoryError"
        assert f"The process in which step {key} runs has " in error.message
        assert "more than its op's memory_limit of 1,000" in error.message


def placed(folder: Path) -> Any:
    @op(timeout=0.2, cooperative=True, isolation="thread")
    def on_thread(context: OpExecutionContext) -> int:
        while True:
            context.check_cancelled()
            time.sleep(0.005)

    @op(timeout=0.2, isolation="async")
    async def on_loop() -> int:
        await asyncio.sleep(60)
        return 1

    @op(timeout=0.2, cooperative=True, isolation="inline")
    def inline(context: OpExecutionContext) -> int:
        while not context.is_cancelled:
            time.sleep(0.005)
        return 1

    @op(timeout=0.2, memory_limit="4 GB")
    def in_process(context: OpExecutionContext) -> int:
        time.sleep(60)
        return 1

    @op(ins={"start": In(Nothing)}, isolation="thread")
    def after() -> None:
        raise AssertionError("it must not start")

    @graph
    def all_of_it() -> None:
        after([on_thread(), on_loop(), inline(), in_process()])

    return all_of_it.to_job()


def test_timeouts_hold_wherever_the_ops_of_one_run_are_placed(tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(placed, "processes", tmp_path, instance)
        keys = {"on_thread", "on_loop", "inline", "in_process"}
        assert result.get_failed_step_keys() == keys
        assert {result.failure_data_for_node(key).error.cls_name for key in keys} == {"StepTimeoutError"}


def tagged(folder: Path) -> Any:
    @op(timeout=0.2)
    def looks(context: OpExecutionContext) -> int:
        while True:
            context.check_cancelled()
            time.sleep(0.005)

    @graph
    def all_of_it() -> None:
        looks.tag({"treadle/cooperative": True})()

    return all_of_it.to_job()


def test_tag_of_a_node_promises_too(tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(tagged, "threads", tmp_path, instance)
        assert result.failure_data_for_node("looks").error.cls_name == "StepTimeoutError"


def tardy(folder: Path) -> Any:
    @op(timeout=0.1)
    async def computes() -> int:
        wait_for(folder / "told")
        return 1

    @graph
    def all_of_it() -> None:
        computes()

    return all_of_it.to_job()


@here
def test_async_op_that_takes_too_long_and_does_not_await_is_told_of(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "GRACE", 0.2)
    monkeypatch.setattr(lateness, "GRACE", 0.2)
    run_id = "6d0f0f6e-0000-4000-8000-00000000000e"

    def listen(entry: Any) -> None:
        if "It holds up its event loop" in entry.user_message:
            (tmp_path / "told").touch()

    with instance_for_test() as instance:
        instance.add_event_listener(run_id, listen)
        result = run(tardy, where, tmp_path, instance, run_id=run_id)
        assert result.failure_data_for_node("computes").error.cls_name == "StepTimeoutError"
        assert len(notes(result, "computes")) == 1
    assert (tmp_path / "told").exists()


# -- when the run is canceled


def canceled(folder: Path) -> Any:
    @resource
    def shared(_context: Any) -> Iterator[int]:
        yield 1
        _add(folder, "closed")

    @op(required_resource_keys={"shared"})
    def looks(context: OpExecutionContext) -> int:
        (folder / "begun").touch()
        try:
            while True:
                context.check_cancelled()
                time.sleep(0.005)
        finally:
            _add(folder, "cleaned")

    @op
    def after(x: int) -> None:
        raise AssertionError("it must not start")

    @graph
    def all_of_it() -> None:
        after(looks())

    return all_of_it.to_job(resource_defs={"shared": shared})


@everywhere
def test_step_that_looks_ends_when_a_run_is_canceled_that_has_no_signals(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        canceler = cancel_at(tmp_path / "begun", instance)
        result = run_beside(canceled, where, tmp_path, instance)
        canceler.join()
        assert instance.get_run_by_id(result.run_id).status is DagsterRunStatus.CANCELED
        assert of(result, "looks") == ["STEP_START", "STEP_FAILURE"]
        failure = result.failure_data_for_node("looks")
        assert failure.error.cls_name == "DagsterExecutionInterruptedError"
        assert failure.error_source.name == "INTERRUPT"
        assert of(result, "after") == []
    assert (tmp_path / "story").read_text().split() == ["cleaned", "closed"]


def awaiting(folder: Path) -> Any:
    @resource
    def shared(context: Any) -> Iterator[Any]:
        yield context.event_loop
        _add(folder, "closed")

    @op(required_resource_keys={"shared"})
    async def waits() -> int:
        (folder / "begun").touch()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            _add(folder, "cleaned")
        return 1

    @graph
    def all_of_it() -> None:
        waits()

    return all_of_it.to_job(resource_defs={"shared": shared})


@everywhere
def test_async_step_of_such_a_run_cleans_up_before_its_resources_are_closed(where: str, tmp_path: Path) -> None:
    with instance_for_test() as instance:
        canceler = cancel_at(tmp_path / "begun", instance)
        result = run_beside(awaiting, where, tmp_path, instance)
        canceler.join()
        assert instance.get_run_by_id(result.run_id).status is DagsterRunStatus.CANCELED
        assert result.failure_data_for_node("waits").error.cls_name == "DagsterExecutionInterruptedError"
    assert (tmp_path / "story").read_text().split() == ["cleaned", "closed"]


def interrupting(folder: Path) -> Any:
    @resource
    def shared(context: Any) -> Iterator[Any]:
        yield context.event_loop
        _add(folder, "closed")

    @op(required_resource_keys={"shared"}, out={"one": _required(), "two": _required()})
    async def streams() -> AsyncIterator[Any]:
        try:
            yield Output(1, "one")
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(60)
            yield Output(2, "two")
        finally:
            await asyncio.sleep(0.01)
            _add(folder, "cleaned")

    @graph
    def all_of_it() -> None:
        streams()

    return all_of_it.to_job(resource_defs={"shared": shared})


@here
def test_async_step_that_a_signal_interrupts_cleans_up_before_its_resources_are_closed(
    where: str, tmp_path: Path
) -> None:
    with instance_for_test() as instance, pytest.raises(DagsterExecutionInterruptedError, match="SIGINT"):
        run(interrupting, where, tmp_path, instance)
    assert (tmp_path / "story").read_text().split() == ["cleaned", "closed"]


def blocked(folder: Path) -> Any:
    @op
    async def blocks() -> int:
        while not (folder / "waiting").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        (folder / "begun").touch()
        wait_for(folder / "told")
        await asyncio.sleep(60)
        return 1

    @op
    async def waits() -> int:
        (folder / "waiting").touch()
        await asyncio.sleep(60)
        return 1

    @graph
    def all_of_it() -> None:
        waits()
        blocks()

    return all_of_it.to_job()


def test_loop_that_an_op_holds_up_is_told_of_when_the_run_is_canceled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "GRACE", 0.3)
    run_id = "6d0f0f6e-0000-4000-8000-00000000000c"

    def listen(entry: Any) -> None:
        if "It holds up its event loop" in entry.user_message:
            (tmp_path / "told").touch()

    with instance_for_test() as instance:
        instance.add_event_listener(run_id, listen)
        canceler = cancel_at(tmp_path / "begun", instance)
        result = run(blocked, "async", tmp_path, instance, run_id=run_id)
        canceler.join()
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED
        assert any('Step "blocks" holds up the event loop' in note for note in notes(result, "waits"))
        assert result.get_failed_step_keys() == {"blocks", "waits"}


def stubborn(folder: Path) -> Any:
    @op
    def never_looks() -> int:
        wait_for(folder / "promised")
        (folder / "begun").touch()
        wait_for(folder / "told")
        return 1

    @op(cooperative=True)
    def promises(context: OpExecutionContext) -> None:
        while not context.is_cancelled:
            (folder / "promised").touch()
            time.sleep(0.005)

    @graph
    def all_of_it() -> None:
        never_looks()
        promises()

    return all_of_it.to_job()


@at_once
def test_what_cannot_be_stopped_is_told_of_and_let_finish(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "GRACE", 0.3)
    run_id = "6d0f0f6e-0000-4000-8000-00000000000d"

    def listen(entry: Any) -> None:
        if "It has never looked whether it is to stop" in entry.user_message:
            (tmp_path / "told").touch()

    with instance_for_test() as instance:
        instance.add_event_listener(run_id, listen)
        canceler = cancel_at(tmp_path / "begun", instance)
        result = run(stubborn, where, tmp_path, instance, run_id=run_id)
        canceler.join()
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED
        assert result.get_failed_step_keys() == set()
        (note,) = [note for note in notes(result, None) if "interrupted" in note]
        assert "steps on threads cannot be stopped, and are let finish: ['never_looks']" in note
        assert "steps that look are asked to stop: ['promises']" in note


# -- elsewhere


def helped(folder: Path) -> Any:
    @op(timeout=0.5, cooperative=True)
    def has_a_helper(context: OpExecutionContext) -> int:
        def help_out() -> None:
            while not context.is_cancelled:
                time.sleep(0.005)
            (folder / "helper").touch()

        threading.Thread(target=help_out, daemon=True).start()
        try:
            while True:
                time.sleep(0.01)
        finally:
            wait_for(folder / "helper")

    @graph
    def all_of_it() -> None:
        has_a_helper()

    return all_of_it.to_job()


def test_other_threads_of_a_step_in_a_worker_see_it_too(tmp_path: Path) -> None:
    with instance_for_test() as instance:
        result = run(helped, "processes", tmp_path, instance)
        assert result.failure_data_for_node("has_a_helper").error.cls_name == "StepTimeoutError"
    assert (tmp_path / "helper").exists()


def test_context_made_by_hand_is_never_cancelled() -> None:
    @op(timeout=0.001, cooperative=True)
    def looks(context: OpExecutionContext) -> bool:
        time.sleep(0.01)
        context.check_cancelled()
        return context.is_cancelled

    assert looks(build_op_context()) is False
    assert build_op_context().is_cancelled is False
