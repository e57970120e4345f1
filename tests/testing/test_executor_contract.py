"""treadle.testing.executor_contract: promises are broken one by one, and the contract says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle import DagsterEvent, Executor, InitExecutorContext, executor
from treadle.testing import executor_jobs
from treadle.testing.executor_contract import ExecutorContract
from treadle.testing.traces import Traces


class Kept(Executor):
    """Keeps its promises; each subclass breaks one."""

    def __init__(self, context: InitExecutorContext) -> None:
        super().__init__(context)
        self.limit = context.executor_config

    def start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work).start()


class TellsNoBeginning(Kept):
    def announce(self, order: Any) -> None:
        return None


class HasAlwaysRoom(Kept):
    def has_room(self, count: int) -> bool:
        return True


class TakesOneAtATime(Kept):
    def __init__(self, context: InitExecutorContext) -> None:
        super().__init__(context)
        self.limit = 1


class TellsTwice(Kept):
    last: DagsterEvent | None = None

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        if self.last is not None and self.last.event_type.name == "HANDLED_OUTPUT":
            event, self.last = self.last, None
            return event
        self.last = super().next_event(timeout)
        return self.last


class LeavesThingsOut(Kept):
    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        event = super().next_event(timeout)
        while event is not None and event.event_type.name == "STEP_INPUT":
            event = super().next_event(timeout)
        return event


class LeavesAThread(Kept):
    def open(self) -> Iterator[DagsterEvent]:
        threading.Thread(target=threading.Event().wait, args=(2,)).start()
        return super().open()


class SeesNoCancel(Kept):
    def _look_around(self) -> None:
        pass


class KeepsNoTime(Kept):
    def launch(self, order: Any) -> None:
        attempt = self._prepare(order)
        attempt.part.keeps_timeouts = False
        self._begin(attempt)


class DoesThingsTwice(Kept):
    def launch(self, order: Any) -> None:
        if order.step_key == "spread":
            assert list(self.context.run_step(order))
        super().launch(order)


class InPlace(Kept):
    """Runs steps on the driver's thread: alone, and without keeping their output."""

    starts_in_place = True

    def __init__(self, context: InitExecutorContext) -> None:
        super().__init__(context)
        self.orders: list[Any] = []
        self.current: Iterator[DagsterEvent] = iter(())

    def launch(self, order: Any) -> None:
        self.orders.append(order)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        while True:
            event = next(self.current, None)
            if event is not None or not self.orders:
                return event
            self.current = self.context.run_step(self.take())

    def take(self) -> Any:
        return self.orders.pop(0)


class TakesTheLastFirst(InPlace):
    def take(self) -> Any:
        return self.orders.pop()


class OpensNothing(InPlace):
    def open(self) -> Iterator[DagsterEvent]:
        return iter(())


def contract_of(made: type[Executor]) -> ExecutorContract:
    @executor(name="broken", config_schema=int)
    def definition(context: InitExecutorContext) -> Executor:
        return made(context)

    class Contract(ExecutorContract):
        def make_executor(self, max_concurrent: int) -> Any:
            return definition.configured(max_concurrent)

    return Contract()


PROMISES = [name for name in dir(ExecutorContract) if name.startswith("test_")]


@pytest.mark.parametrize("promise", PROMISES)
def test_promises_that_are_kept_are_found_kept(promise: str, tmp_path: Path) -> None:
    getattr(contract_of(Kept), promise)(tmp_path)


@pytest.mark.parametrize(
    ("made", "promise", "message"),
    [
        (
            TellsNoBeginning,
            "test_events_of_a_step_are_those_in_process_in_their_order",
            "stands outside of any attempt",
        ),
        (HasAlwaysRoom, "test_no_more_steps_run_at_once_than_asked_for", "steps ran at once"),
        (TakesOneAtATime, "test_two_steps_run_at_once", "have not met"),
        (
            TellsTwice,
            "test_events_of_a_step_are_those_in_process_in_their_order",
            "expected .*, got .*HANDLED_OUTPUT', 'HANDLED_OUTPUT",
        ),
        (LeavesThingsOut, "test_events_of_a_step_are_those_in_process_in_their_order", "expected .*STEP_INPUT.*, got"),
        (LeavesAThread, "test_values_go_from_step_to_step", "has left threads"),
        (
            InPlace,
            "test_what_a_step_prints_is_kept_apart_from_what_others_print",
            "expected .*say_0 49.*, got \\('', ''\\)",
        ),
        (InPlace, "test_what_an_attempt_prints_is_kept_though_it_fails", "expected .*attempt 1.*, got \\('', ''\\)"),
        (
            SeesNoCancel,
            "test_canceled_run_starts_nothing_more_closes_what_is_open_and_ends_canceled",
            "expected .*RUN_CANCELED",
        ),
        (
            SeesNoCancel,
            "test_async_step_of_a_canceled_run_cleans_up_before_what_it_uses_is_closed",
            "expected .*RUN_CANCELED",
        ),
        (KeepsNoTime, "test_step_that_takes_too_long_fails_for_that_and_others_go_on", "expected .*slow.*, got set"),
        (
            DoesThingsTwice,
            "test_run_whose_process_is_killed_goes_on_and_repeats_no_step_that_had_succeeded",
            "expected .*'spread': 1.*, got .*'spread': 2",
        ),
        (TakesTheLastFirst, "test_ready_step_of_the_highest_priority_is_first", "got \\['low'"),
        (OpensNothing, "test_values_go_from_step_to_step", "io_manager"),
    ],
)
def test_promise_that_is_broken_is_found_broken(
    made: type[Executor], promise: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Traces.wait_for, "__defaults__", (1,))
    monkeypatch.setattr(executor_jobs, "LONG", 1.0)
    with pytest.raises(Exception, match=f"(?s){message}"):
        getattr(contract_of(made), promise)(tmp_path)
