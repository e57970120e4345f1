"""The only loop, and the Executor protocol that it calls.

Commands of the machine go to an executor, events of the executor go into the log and to the machine. It begins and ends
the run: whatever happens, the last event says how the run ended; only where the log itself cannot be written is there
none, and the run can be resumed. What a step follows from is committed before it starts. Deciding is the machine's
business.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from time import monotonic
from typing import Any, Protocol

from treadle.engine.claims import Claims
from treadle.engine.machine import READS, Machine
from treadle.engine.workplace import Stamp
from treadle.errors import (
    DagsterError,
    DagsterExecutionInterruptedError,
    DagsterUnknownStepStateError,
    SerializableErrorInfo,
    StoreError,
    error_info,
)
from treadle.events import (
    DEBUG_LEVEL,
    ERROR_LEVEL,
    DagsterEvent,
    DagsterEventType,
    StepOutputHandle,
    level_of,
    run_event,
)
from treadle.logs import RunLog
from treadle.payloads import (
    EngineEventData,
    JobCanceledData,
    JobFailureData,
    RunFailureReason,
    StepFailureData,
    StepRetryData,
)
from treadle.plan.model import Command, Launch, Note, Skip, Wait
from treadle.runs import DagsterRunStatus
from treadle.storage.store import RunWriter

_STEP_FAILURE = DagsterEventType.STEP_FAILURE.value
#: what stands in the log before user code of an attempt runs
BEGINNINGS = frozenset((DagsterEventType.STEP_START.value, DagsterEventType.STEP_RESTARTED.value))


class Executor(Protocol):
    """What carries out launches. A handful of promises, the same for every executor."""

    def open(self) -> Iterator[DagsterEvent]:
        """Get ready; yields the events of doing so. What it raises ends the run before any step."""

    @property
    def starts_in_place(self) -> bool:
        """True where a launched step waits for its first event to be in the log; False where it may start at once."""

    def has_room(self, count: int) -> bool:
        """Whether, after so many orders that are about to come, another would be begun at once; else it waits in the driver.
        Not asked of one that starts in place.
        """

    def announce(self, order: Launch) -> DagsterEvent | None:
        """The event that is to be in the log before `launch` is called with this order, if there is any."""

    def launch(self, order: Launch) -> None:
        """Take an order; returns at once. Its events come out of `next_event`, its terminal event exactly once."""

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """The next event of any step that was launched, in the order in which things happened.

        None after `timeout` seconds without one, or at once where nothing is under way and no timeout was given.
        """

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of a step that does not run, or whose process is gone."""

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Stop everything that still runs and let go of everything; yields the events of doing so. Never raises."""

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run, if anything did: it ends without starting another step."""

    @property
    def failure(self) -> BaseException | None:
        """What makes the run fail once its steps have ended, besides those that failed: a process of its own that died."""


class Custodian(Protocol):
    """What keeps the values of a run that are handed over in memory."""

    def open(self) -> Iterator[DagsterEvent]:
        """Get ready; yields the events of doing so. Never raises: without memory values go to disk."""

    def follow(self, event: DagsterEvent) -> list[StepOutputHandle]:
        """Take an event, which the machine has seen; gives the values that no step needs any more."""

    def let_go(self, handles: Sequence[StepOutputHandle]) -> None:
        """Delete such values. Called when it is on disk that nobody needs them."""

    def close(self) -> Iterator[DagsterEvent]:
        """Move what is left to disk; yields the events of doing so. Never raises."""


class RunEnd(Exception):
    """The run cannot go on: the executor could not get ready, or a worker outside any step broke."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class Driver:
    """Drives one run from RUN_START to its last event."""

    def __init__(
        self,
        machine: Machine,
        executor: Executor,
        log: RunLog,
        writer: RunWriter,
        read_status: Callable[[], DagsterRunStatus],
    ) -> None:
        self.machine = machine
        self.executor = executor
        self.log = log
        self.record = writer.append
        self.commit = writer.commit
        self.writer = writer
        self.read_status = read_status
        self.job_name = machine.plan.job_name
        #: events after which all that was logged is committed, since user code runs next
        self._beginnings = BEGINNINGS if executor.starts_in_place else frozenset()
        #: where values are handed over in memory
        self.custodian: Custodian | None = None
        #: an interruption is logged as somebody's wish to cancel the run
        self.cancels_at_interrupt = False
        #: what steps take of the slots that all runs share; None where none takes any
        self.claims: Claims | None = None
        #: what kept the run from starting its steps, if anything did
        self.error: BaseException | None = None
        self.first_failure: DagsterEvent | None = None
        self._todo: deque[Command] = deque()
        #: what is to be launched when there is room
        self._orders: deque[Launch] = deque()
        #: events that were logged while their step was at work, still to be yielded
        self._heard: deque[DagsterEvent] = deque()
        #: (when, step key) of steps that wait for another attempt
        self._timers: list[tuple[float, str]] = []

    def emit(self, event: DagsterEvent) -> DagsterEvent:
        """Put an event into the log, show it to the loggers that want it, and to the machine if it decides by it."""
        self.record(event)
        wanted = self.log.lowest_level
        if wanted <= ERROR_LEVEL and (wanted <= DEBUG_LEVEL or level_of(event) >= wanted):
            self.log.event(event)
        if event.event_type_value in READS:
            self._todo.extend(self.machine.handle(event))
            if event.event_type_value == _STEP_FAILURE and self.first_failure is None:
                self.first_failure = event
            if self.claims is not None:
                self.claims.heed(event)
        if self.custodian is not None:
            doomed = self.custodian.follow(event)
            if doomed:
                self.commit()
                self.custodian.let_go(doomed)
        return event

    def hear(self, event: DagsterEvent) -> None:
        """Log an event of a step that is at work in this thread; it is yielded before the step's next one."""
        self._heard.append(self.emit(event))

    def drive(self, past: Sequence[DagsterEvent] = ()) -> Iterator[DagsterEvent]:
        """Run to the end; yields every event after it was logged. May be closed early: the run then ends all the same.

        `past` is the log of the run so far, where it is resumed: it goes on where that ends.
        """
        machine, executor, todo, emit = self.machine, self.executor, self._todo, self.emit
        is_over = False
        event: DagsterEvent | None
        try:
            for event in self._begin(past):
                yield emit(event)
            while self.error is None:
                if self.claims is not None:
                    self._try_again()
                while todo:
                    event = self._carry_out(todo.popleft())
                    if event is not None:
                        yield emit(event)
                if self._orders:
                    yield from self._launch()
                    if todo:
                        continue  # what was put off leaves its place to others
                event = executor.next_event(self._patience() if self._timers or self.claims is not None else None)
                while self._heard:
                    yield self._heard.popleft()
                if event is not None:
                    emit(event)
                    if event.event_type_value in self._beginnings:
                        self.commit()
                    yield event
                    if executor.interrupt is not None:
                        yield from self._stop()
                    if self.first_failure is not None and self._must_stop():
                        machine.stop()
                        break
                elif executor.interrupt is not None:
                    machine.stop()
                    break
                elif self._timers:
                    if self._timers[0][0] <= monotonic():
                        todo.extend(machine.resume(heapq.heappop(self._timers)[1]))
                elif self._orders or (machine.postponed and not machine.is_stopped):
                    continue  # there is room by now, or will be
                elif machine.is_done:
                    self.error = executor.failure
                    break
                else:
                    raise DagsterUnknownStepStateError(
                        f"The executor has nothing under way, but these steps have not ended: {sorted(machine.running)}."
                    )
            for event in executor.close(self.error is not None or machine.is_stopped):
                yield emit(event)
            if self.custodian is not None:
                for event in self.custodian.close():
                    yield emit(event)
            is_over = True
            event = emit(self._last_event())
            self.writer.close()
            yield event
        except BaseException as error:
            # The caller let go of the iterator, or a fault of ours: the log must not say that the run goes on.
            if not is_over:
                self._end_early(error)
            raise

    def _begin(self, past: Sequence[DagsterEvent]) -> Iterator[DagsterEvent]:
        if past:
            yield from self._take_up(past)
        else:
            yield run_event(DagsterEventType.RUN_START, self.job_name)
        try:
            if self.custodian is not None:
                yield from self.custodian.open()
            yield from self.executor.open()
        except RunEnd as end:
            self.error = end.error
        else:
            if not past:
                self._todo.extend(self.machine.start())

    def _take_up(self, past: Sequence[DagsterEvent]) -> Iterator[DagsterEvent]:
        """Go where the log has led, and tell how what was under way has ended."""
        machine = self.machine
        self._todo.extend(machine.recall(past))
        self.first_failure = next((event for event in past if event.event_type_value == _STEP_FAILURE), None)
        lost = [machine.tracks[key] for key in sorted(machine.running - {c.step_key for c in self._todo})]
        under_way = f"these steps were under way: {[track.key for track in lost]}" if lost else "no step was under way"
        yield run_event(
            DagsterEventType.ENGINE_EVENT,
            self.job_name,
            EngineEventData(),
            message=f"Resuming the run (pid: {os.getpid()}): the process that ran it ended before the run did; {under_way}.",
        )
        for track in lost:
            stamp = self.executor.stamp(track.step.path, track.key)
            error = error_info(
                DagsterExecutionInterruptedError(
                    f"The process that ran attempt {track.attempts} of step {track.key} ended before the step did."
                )
            )
            if track.step.is_repeatable:
                payload: Any = StepRetryData(error, 0, is_interruption=True)
                yield stamp.event(DagsterEventType.STEP_UP_FOR_RETRY.value, payload)
            else:
                yield stamp.event(_STEP_FAILURE, StepFailureData(error))

    def _launch(self) -> Iterator[DagsterEvent]:
        """Launch what there is room for, once the log holds that it is about to start, and all that it follows from."""
        executor, orders = self.executor, self._orders
        if executor.starts_in_place:
            while orders:
                order = orders.popleft()
                if self._may_start(order):
                    executor.launch(order)
            return
        begun: list[Launch] = []
        while orders and executor.has_room(len(begun)):
            order = orders.popleft()
            if not self._may_start(order):
                continue
            event = executor.announce(order)
            begun.append(order)
            if event is not None:
                yield self.emit(event)
        if begun:
            self.commit()
            for order in begun:
                executor.launch(order)

    def _may_start(self, order: Launch) -> bool:
        """Take what the step needs of the slots that all runs share; where it has to wait for them, it is put off."""
        if self.claims is None or self.claims.take(order):
            return True
        self._todo.extend(self.machine.postpone(order.step_key))
        return False

    def _try_again(self) -> None:
        """Let those that wait for such slots ask again, when it is time."""
        assert self.claims is not None
        for key in self.claims.take_due():
            self._todo.extend(self.machine.resume(key))

    def _carry_out(self, command: Command) -> DagsterEvent | None:
        if type(command) is Launch:
            self._orders.append(command)
            return None
        if type(command) is Skip:
            stamp = self.executor.stamp(command.path, command.step_key)
            return stamp.event(DagsterEventType.STEP_SKIPPED.value)
        if type(command) is Wait:
            heapq.heappush(self._timers, (monotonic() + command.seconds, command.step_key))
        else:
            assert isinstance(command, Note)
            self.log.message(ERROR_LEVEL, command.text, command.step_key)
        return None

    def _stop(self) -> Iterator[DagsterEvent]:
        """Something has interrupted the run: begin nothing more."""
        if not self.machine.is_stopped and self.cancels_at_interrupt:
            yield self.emit(run_event(DagsterEventType.RUN_CANCELING, self.job_name))
        self.machine.stop()
        self._todo.clear()
        self._orders.clear()

    def _must_stop(self) -> bool:
        executor = self.executor
        return self.machine.stops_at_failure or (executor.interrupt is not None and executor.starts_in_place)

    def _patience(self) -> float | None:
        """Seconds until something is to be done though nobody says anything; None for no such time."""
        due = self._timers[0][0] if self._timers else math.inf
        if self.claims is not None:
            due = min(due, self.claims.due)
        return None if due == math.inf else max(0.0, due - monotonic())

    # -- how a run ends

    def _last_event(self) -> DagsterEvent:
        interrupt = self.executor.interrupt
        if interrupt is not None:
            return self._interrupted(interrupt)
        if self.error is not None:
            return self._failed(
                RunFailureReason.RUN_EXCEPTION,
                f'Execution of run for "{self.job_name}" failed. An exception was thrown during execution.',
                error_info(self.error),
            )
        if self.machine.failed:
            message = f'Execution of run for "{self.job_name}" failed. Steps failed: {self.machine.failed}.'
            data: Any = self.first_failure.event_specific_data if self.first_failure is not None else None
            info = SerializableErrorInfo(f"{message}\n", cls_name="DagsterStepFailure", cause=data and data.error)
            return self._failed(RunFailureReason.STEP_FAILURE, message, info, self.first_failure)
        return run_event(DagsterEventType.RUN_SUCCESS, self.job_name)

    def _failed(
        self,
        reason: RunFailureReason,
        message: str,
        error: SerializableErrorInfo,
        first_failure: DagsterEvent | None = None,
    ) -> DagsterEvent:
        data = JobFailureData(error, reason, first_failure)
        return run_event(DagsterEventType.RUN_FAILURE, self.job_name, data, message=message)

    def _interrupted(self, interrupt: BaseException) -> DagsterEvent:
        if self.cancels_at_interrupt or self.read_status() is DagsterRunStatus.CANCELING:
            return run_event(DagsterEventType.RUN_CANCELED, self.job_name, JobCanceledData(error_info(interrupt)))
        return self._failed(
            RunFailureReason.UNEXPECTED_TERMINATION,
            f'Execution of run for "{self.job_name}" failed. Execution was interrupted unexpectedly. No user initiated '
            f"termination request was found, treating as failure.",
            error_info(interrupt),
        )

    def _end_early(self, error: BaseException) -> None:
        closing = self.executor.close(True)
        if self.custodian is not None:
            closing = chain(closing, self.custodian.close())
        if isinstance(error, StoreError):
            # What cannot be written cannot be told: the log stays as it is, and the run can be resumed from there.
            deque(closing, 0)
            with contextlib.suppress(StoreError):
                self.writer.close()
            return
        for event in closing:
            self.emit(event)
        if isinstance(error, GeneratorExit):
            error = DagsterError("The iterator over the run's events was closed before the run ended.")
        self.emit(
            self._failed(
                RunFailureReason.UNEXPECTED_TERMINATION,
                f'Execution of run for "{self.job_name}" was stopped before its end: {error}',
                error_info(error),
            )
        )
        self.writer.close()
