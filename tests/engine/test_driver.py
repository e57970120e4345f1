"""The loop by itself, over an executor that is told what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from treadle import DagsterEvent, DagsterRunStatus
from treadle.engine.driver import Driver, RunEnd
from treadle.engine.machine import Launch, Machine, Skip
from treadle.errors import DagsterUnknownStepStateError
from treadle.logs import RunLog
from treadle.payloads import StepRetryData
from treadle.plan.model import Plan, Step, StepOutput


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

    def skip(self, command: Skip) -> DagsterEvent:
        return DagsterEvent("STEP_SKIPPED", "job", step_key=command.step_key)

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        self.closed.append(is_aborted)
        yield DagsterEvent("ENGINE_EVENT", "job", message="closed")


def driver_of(executor: Scripted, *paths: str) -> tuple[Driver, list[str]]:
    plan = Plan("job", {path: Step(path, outputs=(StepOutput("result"),)) for path in paths})
    log: list[str] = []
    driver = Driver(
        Machine(plan, limit=1),
        executor,
        RunLog("run", "job", []),
        lambda event: log.append(event.event_type.name),
        lambda: DagsterRunStatus.STARTED,
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
