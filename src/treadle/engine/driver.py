"""The only loop, and the Executor protocol that it calls.

Commands of the machine go to an executor, events of the executor go into the log and to the machine. It begins and ends
the run: whatever happens, the last event says how the run ended. Deciding is the machine's business.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Protocol

from treadle.engine.machine import READS, Command, Launch, Machine, Note, Skip, Wait
from treadle.errors import DagsterError, DagsterUnknownStepStateError, SerializableErrorInfo, error_info
from treadle.events import DEBUG_LEVEL, ERROR_LEVEL, DagsterEvent, DagsterEventType, level_of, run_event
from treadle.logs import RunLog
from treadle.payloads import JobCanceledData, JobFailureData, RunFailureReason
from treadle.runs import DagsterRunStatus

_STEP_FAILURE = DagsterEventType.STEP_FAILURE.value


class Executor(Protocol):
    """What carries out launches. A handful of promises, the same for every executor."""

    def open(self) -> Iterator[DagsterEvent]:
        """Get ready; yields the events of doing so. What it raises ends the run before any step."""

    def launch(self, order: Launch) -> None:
        """Take an order; returns at once. Its events come out of `next_event`, its terminal event exactly once."""

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """The next event of any step that was launched, in the order in which things happened.

        None after `timeout` seconds without one, or at once where nothing is under way and no timeout was given.
        """

    def skip(self, command: Skip) -> DagsterEvent:
        """The event for a step that is skipped."""

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Stop everything that still runs and let go of everything; yields the events of doing so. Never raises."""

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run, if anything did: it ends without starting another step."""


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
        record: Callable[[DagsterEvent], None],
        read_status: Callable[[], DagsterRunStatus],
    ) -> None:
        self.machine = machine
        self.executor = executor
        self.log = log
        self.record = record
        self.read_status = read_status
        self.job_name = machine.plan.job_name
        #: what kept the run from starting its steps, if anything did
        self.error: BaseException | None = None
        self.first_failure: DagsterEvent | None = None
        self._todo: deque[Command] = deque()
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
        return event

    def hear(self, event: DagsterEvent) -> None:
        """Log an event of a step that is at work in this thread; it is yielded before the step's next one."""
        self._heard.append(self.emit(event))

    def drive(self) -> Iterator[DagsterEvent]:
        """Run to the end; yields every event after it was logged. May be closed early: the run then ends all the same."""
        machine, executor, todo, emit = self.machine, self.executor, self._todo, self.emit
        is_over = False
        event: DagsterEvent | None
        try:
            for event in self._begin():
                yield emit(event)
            while self.error is None:
                while todo:
                    event = self._carry_out(todo.popleft())
                    if event is not None:
                        yield emit(event)
                event = executor.next_event(self._patience() if self._timers else None)
                while self._heard:
                    yield self._heard.popleft()
                if event is not None:
                    yield emit(event)
                    if self.first_failure is not None and self._must_stop():
                        machine.stop()
                        break
                elif executor.interrupt is not None:
                    machine.stop()
                    break
                elif self._timers:
                    if self._timers[0][0] <= monotonic():
                        todo.extend(machine.resume(heapq.heappop(self._timers)[1]))
                elif machine.is_done:
                    break
                else:
                    raise DagsterUnknownStepStateError(
                        f"The executor has nothing under way, but these steps have not ended: {sorted(machine.running)}."
                    )
            for event in executor.close(self.error is not None or machine.is_stopped):
                yield emit(event)
            is_over = True
            yield emit(self._last_event())
        except BaseException as error:
            # The caller let go of the iterator, or a fault of ours: the log must not say that the run goes on.
            if not is_over:
                self._end_early(error)
            raise

    def _begin(self) -> Iterator[DagsterEvent]:
        yield run_event(DagsterEventType.RUN_START, self.job_name)
        try:
            yield from self.executor.open()
        except RunEnd as end:
            self.error = end.error
        else:
            self._todo.extend(self.machine.start())

    def _carry_out(self, command: Command) -> DagsterEvent | None:
        if type(command) is Launch:
            self.executor.launch(command)
        elif type(command) is Skip:
            return self.executor.skip(command)
        elif type(command) is Wait:
            heapq.heappush(self._timers, (monotonic() + command.seconds, command.step_key))
        else:
            assert isinstance(command, Note)
            self.log.message(ERROR_LEVEL, command.text, command.step_key)
        return None

    def _must_stop(self) -> bool:
        return self.machine.stops_at_failure or self.executor.interrupt is not None

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - monotonic())

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
        if self.read_status() is DagsterRunStatus.CANCELING:
            return run_event(DagsterEventType.RUN_CANCELED, self.job_name, JobCanceledData(error_info(interrupt)))
        return self._failed(
            RunFailureReason.UNEXPECTED_TERMINATION,
            f'Execution of run for "{self.job_name}" failed. Execution was interrupted unexpectedly. No user initiated '
            f"termination request was found, treating as failure.",
            error_info(interrupt),
        )

    def _end_early(self, error: BaseException) -> None:
        for event in self.executor.close(True):
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
