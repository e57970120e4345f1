"""The loop by itself, over an executor that is told what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from treadle import DagsterEvent, DagsterRun, DagsterRunStatus
from treadle.engine.driver import Driver, RunEnd
from treadle.engine.machine import Machine
from treadle.engine.workplace import Stamp
from treadle.errors import DagsterUnknownStepStateError, StoreFullError
from treadle.logs import RunLog
from treadle.payloads import StepRetryData
from treadle.plan.model import Launch, Plan, Step, StepOutput


class Scripted:
    """An executor that gives these events for each order, and None where it has none."""

    def __init__(self, script: dict[str, list[str | None]], *, fails_to_open: bool = False) -> None:
        self.script = script
        self.fails_to_open = fails_to_open
        self.interrupt: BaseException | None = None
        self.pending: list[DagsterEvent | None] = []
        self.closed: list[bool] = []

    def open(self) -> Iterator[DagsterEvent]:
        if self.fails_to_open:
            raise RunEnd(ConnectionError("no route"))
        yield from ()

    def launch(self, order: Launch) -> None:
        for kind in self.script[f"{order.step_key}#{order.attempt}"]:
            payload = StepRetryData(None, 0.03) if kind == "STEP_UP_FOR_RETRY" else None
            event = DagsterEvent(kind, "job", step_key=order.step_key, event_specific_data=payload) if kind else None
            self.pending.append(event)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        return self.pending.pop(0) if self.pending else None

    starts_in_place = True
    failure: BaseException | None = None

    def has_room(self, count: int) -> bool:
        return True

    def announce(self, order: Launch) -> None:
        return None

    def stamp(self, path: str, step_key: str) -> Stamp:
        return Stamp("job", None, step_key, {})

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        self.closed.append(is_aborted)
        yield DagsterEvent("ENGINE_EVENT", "job", message="closed")


class Listing:
    """A writer that lists what it is given, and what it is told to do."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.run = DagsterRun(job_name="job", run_id="run")
        self.commits: list[int] = []
        self.is_closed = False
        self.fails = False

    def append(self, event: DagsterEvent) -> None:
        assert not self.is_closed
        self.log.append(event.event_type.name)

    def append_message(self, level: int, text: str, step_key: str | None, traceback: str | None = None) -> None:
        self.log.append(text)

    def commit(self) -> None:
        if self.fails:
            raise StoreFullError("no room")
        self.commits.append(len(self.log))

    def close(self) -> None:
        self.commit()
        self.is_closed = True


def driver_of(executor: Scripted, *paths: str) -> tuple[Driver, list[str]]:
    plan = Plan("job", {path: Step(path, outputs=(StepOutput("result"),)) for path in paths})
    log: list[str] = []
    driver = Driver(
        Machine(plan, limit=1), executor, RunLog("run", "job", []), Listing(log), lambda: DagsterRunStatus.STARTED
    )
    return driver, log


def test_waiting_step_is_launched_again_when_its_time_has_come_and_not_before() -> None:
    executor = Scripted({"a#1": ["STEP_START", "STEP_UP_FOR_RETRY"], "a#2": ["STEP_RESTARTED", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    # The executor answers None at once, however long it may wait: the driver must not take that for the time.
    events = list(driver.drive())
    assert [e.event_type.name for e in events] == log
    assert log == [
        "RUN_START",
        "STEP_START",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_SUCCESS",
        "ENGINE_EVENT",
        "RUN_SUCCESS",
    ]


def test_executor_that_loses_a_step_is_found_out_instead_of_waited_for() -> None:
    driver, log = driver_of(Scripted({"a#1": ["STEP_START"]}), "a")
    with pytest.raises(DagsterUnknownStepStateError, match=r"these steps have not ended: \['a'\]"):
        list(driver.drive())
    assert log == ["RUN_START", "STEP_START", "ENGINE_EVENT", "RUN_FAILURE"]


def test_executor_that_cannot_get_ready_fails_the_run_before_any_step() -> None:
    executor = Scripted({}, fails_to_open=True)
    driver, log = driver_of(executor, "a")
    *_, last = driver.drive()
    assert log == ["RUN_START", "ENGINE_EVENT", "RUN_FAILURE"]
    assert executor.closed == [True]
    assert isinstance(driver.error, ConnectionError)
    assert last.job_failure_data.failure_reason.name == "RUN_EXCEPTION"


def test_drive_that_is_dropped_at_its_last_event_ends_the_run_only_once() -> None:
    executor = Scripted({"a#1": ["STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    events = driver.drive()
    for event in events:
        if event.is_run_success:
            break
    events.close()  # type: ignore[attr-defined]
    assert log == ["RUN_START", "STEP_SUCCESS", "ENGINE_EVENT", "RUN_SUCCESS"]
    assert executor.closed == [False]


def test_drive_that_is_dropped_early_closes_the_executor_and_fails_the_run() -> None:
    executor = Scripted({"a#1": ["STEP_START", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    events = driver.drive()
    for event in events:
        if event.is_step_start:
            break
    events.close()  # type: ignore[attr-defined]
    assert log == ["RUN_START", "STEP_START", "ENGINE_EVENT", "RUN_FAILURE"]
    assert executor.closed == [True]


def test_what_a_step_follows_from_is_committed_before_its_code_runs() -> None:
    executor = Scripted({"a#1": ["STEP_START", "STEP_SUCCESS"], "b#1": ["STEP_START", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a", "b")
    writer = driver.writer
    assert isinstance(writer, Listing)
    for event in driver.drive():
        if event.is_step_start:
            assert writer.commits[-1] == len(log), "the step goes on before its start is in the store"
    assert writer.is_closed
    assert writer.commits[-1] == len(log)


def test_steps_that_start_elsewhere_are_announced_and_committed_before_their_orders_go_out() -> None:
    class Remote(Scripted):
        starts_in_place = False

        def announce(self, order: Launch) -> DagsterEvent:  # type: ignore[override]
            return DagsterEvent("STEP_WORKER_STARTING", "job", step_key=order.step_key)

        def launch(self, order: Launch) -> None:
            seen.append((order.step_key, writer.commits[-1]))
            super().launch(order)

    seen: list[tuple[str, int]] = []
    executor = Remote({"a#1": ["STEP_SUCCESS"], "b#1": ["STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a", "b")
    driver.machine.limit = None
    writer = driver.writer
    assert isinstance(writer, Listing)
    list(driver.drive())
    assert log[:3] == ["RUN_START", "STEP_WORKER_STARTING", "STEP_WORKER_STARTING"]
    assert seen == [("a", 3), ("b", 3)]


def test_log_that_cannot_be_written_ends_the_drive_without_a_word_so_that_the_run_can_be_resumed() -> None:
    executor = Scripted({"a#1": ["STEP_START", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    driver.writer.fails = True  # type: ignore[attr-defined]
    with pytest.raises(StoreFullError):
        list(driver.drive())
    assert log == ["RUN_START", "STEP_START"]
    assert executor.closed == [True]


def test_drive_of_a_log_so_far_tells_what_was_under_way_and_goes_on() -> None:
    executor = Scripted({"a#2": ["STEP_RESTARTED", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    past = [DagsterEvent("PIPELINE_START", "job"), DagsterEvent("STEP_START", "job", step_key="a")]
    events = list(driver.drive(past))
    assert log == ["ENGINE_EVENT", "STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS", "ENGINE_EVENT", "RUN_SUCCESS"]
    assert "these steps were under way: ['a']" in (events[0].message or "")
    assert events[1].step_retry_data.is_interruption


def test_step_that_must_not_be_begun_twice_has_failed_when_its_process_died() -> None:
    executor = Scripted({})
    driver, log = driver_of(executor, "a")
    driver.machine.plan.steps["a"] = Step("a", outputs=(StepOutput("result"),), is_repeatable=False)  # type: ignore[index]
    *_, last = driver.drive([DagsterEvent("STEP_START", "job", step_key="a")])
    assert log == ["ENGINE_EVENT", "STEP_FAILURE", "ENGINE_EVENT", "RUN_FAILURE"]
    assert "ended before the step did" in str(last.job_failure_data.first_step_failure_event.step_failure_data.error)


def test_order_that_is_not_announced_is_committed_for_and_launched_all_the_same() -> None:
    class Quiet(Scripted):
        starts_in_place = False

    executor = Quiet({"a#1": ["STEP_START", "STEP_SUCCESS"]})
    driver, log = driver_of(executor, "a")
    list(driver.drive())
    assert log[:3] == ["RUN_START", "STEP_START", "STEP_SUCCESS"]
    writer = driver.writer
    assert isinstance(writer, Listing)
    assert writer.commits[0] == 1


def test_interrupt_that_is_a_wish_to_cancel_is_logged_so_and_the_run_ends_canceled() -> None:
    class Interrupted(Scripted):
        def next_event(self, timeout: float | None) -> DagsterEvent | None:
            event = super().next_event(timeout)
            self.interrupt = KeyboardInterrupt()
            return event

    driver, log = driver_of(Interrupted({"a#1": ["STEP_START", "STEP_FAILURE"], "b#1": []}), "a", "b")
    driver.cancels_at_interrupt = True
    list(driver.drive())
    assert log[:3] == ["RUN_START", "STEP_START", "RUN_CANCELING"]
    assert log.count("RUN_CANCELING") == 1
    assert log[-1] == "RUN_CANCELED"
