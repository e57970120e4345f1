"""Real signals to this very process, while a run has the main thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from treadle import (
    DagsterEventType,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterRunStatus,
    RetryPolicy,
    RunFailureReason,
    job,
    op,
    resource,
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(autouse=True)
def signals_are_given_back() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def send_when(is_time: Callable[[], bool], number: int = signal.SIGINT) -> threading.Thread:
    """Send a signal to this process as soon as something is so."""

    def watch() -> None:
        deadline = time.monotonic() + 10
        while not is_time() and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def wait_for_ever() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.005)
    raise TimeoutError("no signal came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_interrupts_the_op_and_ends_the_run(number: signal.Signals) -> None:
    started = threading.Event()
    cleaned = []

    @resource
    def connection() -> Iterator[str]:
        yield "open"
        cleaned.append("resource")

    @op(required_resource_keys={"connection"})
    def waits() -> Any:
        started.set()
        try:
            wait_for_ever()
        except DagsterExecutionInterruptedError:
            cleaned.append("op")
            raise

    @op
    def later(x: Any) -> None:
        cleaned.append("must not run")

    @job(resource_defs={"connection": connection})
    def waiting() -> None:
        later(waits())

    thread = send_when(started.is_set, number)
    result = waiting.execute_in_process(raise_on_error=False, run_config=QUIET)
    thread.join()
    assert cleaned == ["op", "resource"]
    steps = [(e.event_type.name, e.step_key) for e in result.all_events if e.is_step_event or e.is_job_event]
    assert steps == [
        ("RUN_START", None),
        ("STEP_START", "waits"),
        ("STEP_FAILURE", "waits"),
        ("RUN_FAILURE", None),
    ]
    failure = result.get_run_failure_event().job_failure_data
    assert failure.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION
    assert result.failure_data_for_node("waits").error_source.name == "INTERRUPT"


def test_interruption_is_raised_to_the_caller_who_asked_for_errors() -> None:
    started = threading.Event()

    @op
    def waits() -> None:
        started.set()
        wait_for_ever()

    @job
    def waiting() -> None:
        waits()

    thread = send_when(started.is_set)
    with pytest.raises(DagsterExecutionInterruptedError, match="SIGINT"):
        waiting.execute_in_process(run_config=QUIET)
    thread.join()


def test_signal_during_the_wait_for_a_retry_ends_the_run_at_once() -> None:
    started = threading.Event()

    @op(retry_policy=RetryPolicy(max_retries=1, delay=30))
    def flaky() -> None:
        started.set()
        raise ConnectionError

    @job
    def waiting() -> None:
        flaky()

    def is_waiting() -> bool:
        return started.is_set() and time.monotonic() > began + 0.2

    began = time.monotonic()
    thread = send_when(is_waiting)
    result = waiting.execute_in_process(raise_on_error=False, run_config=QUIET)
    thread.join()
    assert time.monotonic() - began < 10
    assert [e.event_type for e in result.all_events][-2:] == [
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.RUN_FAILURE,
    ]


def test_signal_that_comes_while_the_engine_works_interrupts_the_next_op() -> None:
    @op
    def first() -> int:
        return 1

    @op
    def second(x: int) -> None:
        raise AssertionError("must not run")

    @job
    def pair() -> None:
        second(first())

    with DagsterInstance.ephemeral() as instance:
        run_id = "8d3a36e8-7a3c-4c0e-9a4e-0d6e8b2f7a11"

        def listen(entry: Any) -> None:
            # In the engine, between two ops: nothing of the user's runs here.
            if entry.dagster_event is not None and entry.dagster_event.is_step_success:
                signal.raise_signal(signal.SIGINT)

        instance.add_event_listener(run_id, listen)
        result = pair.execute_in_process(run_config=QUIET, raise_on_error=False, instance=instance, run_id=run_id)
    assert [(e.event_type.name, e.step_key) for e in result.all_events][-2:] == [
        ("STEP_SUCCESS", "first"),
        ("RUN_FAILURE", None),
    ]


def test_run_that_was_asked_to_cancel_ends_canceled() -> None:
    started = threading.Event()
    run_id = "8d3a36e8-7a3c-4c0e-9a4e-0d6e8b2f7a12"

    @op
    def waits() -> None:
        started.set()
        wait_for_ever()

    @job
    def waiting() -> None:
        waits()

    with DagsterInstance.ephemeral() as instance:

        def is_canceling() -> bool:
            if not started.is_set():
                return False
            run = instance.get_run_by_id(run_id)
            assert run is not None
            instance.report_run_canceling(run)
            return True

        thread = send_when(is_canceling)
        result = waiting.execute_in_process(run_config=QUIET, raise_on_error=False, instance=instance, run_id=run_id)
        thread.join()
        assert result.dagster_run.status is DagsterRunStatus.CANCELED


def test_run_outside_the_main_thread_leaves_signals_alone() -> None:
    handlers = []

    @op
    def looks() -> None:
        handlers.append(signal.getsignal(signal.SIGTERM))

    @job
    def looking() -> None:
        looks()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: looking.execute_in_process(run_config=QUIET))
    thread.start()
    thread.join()
    assert handlers == [before]


def test_run_inside_an_op_leaves_the_signals_to_the_outer_run() -> None:
    seen = []

    @op
    def inner_op() -> None:
        seen.append(signal.getsignal(signal.SIGINT))

    @job
    def inner() -> None:
        inner_op()

    @op
    def outer_op() -> None:
        seen.append(signal.getsignal(signal.SIGINT))
        inner.execute_in_process(run_config=QUIET)
        seen.append(signal.getsignal(signal.SIGINT))

    @job
    def outer() -> None:
        outer_op()

    outer.execute_in_process(run_config=QUIET)
    assert seen[0] == seen[1] == seen[2]
