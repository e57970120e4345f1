"""Executor: what executors of this process are derived from, users' own among them; and what those are given.

An executor says on which threads steps run; here is all that comes with that: steps put what happens on a queue, the driver's
thread takes it from there and alone writes the log. A thread cannot be stopped: where a run is interrupted, what runs is
let finish.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from treadle import introspect
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.invoke import Pending
from treadle.definitions.job import JobDefinition
from treadle.engine.step import run_step
from treadle.engine.workplace import Stamp, Workplace
from treadle.errors import DagsterExecutionInterruptedError, error_info
from treadle.events import DagsterEvent, DagsterEventType, run_event
from treadle.executors import streams
from treadle.executors.capture import FOLDER, key_of
from treadle.executors.lateness import GRACE, SLACK, is_unheeding, run_here, tell_deaf, tell_late
from treadle.executors.premises import Premises
from treadle.halt import Halt
from treadle.instance import DagsterInstance
from treadle.payloads import EngineEventData, ErrorSource, StepFailureData
from treadle.plan.model import Launch
from treadle.runs import DagsterRun, DagsterRunStatus

_FAILURE = DagsterEventType.STEP_FAILURE.value

#: seconds between two looks whether somebody has canceled the run, and whether a signal has come
LOOK = 0.5
GLANCE = 0.1


class InitExecutorContext:
    """What a function under `@executor` is given: the run whose steps are to be run, and the executor's config."""

    def __init__(
        self, place: Workplace, executor_def: ExecutorDefinition, executor_config: Any, max_concurrent: int | None
    ) -> None:
        self._place = place
        #: the executor's definition, and its config, checked and with defaults filled in
        self.executor_def = executor_def
        self.executor_config = executor_config
        #: how many steps config lets run at once, by the key of this name; None for any number
        self.max_concurrent = max_concurrent

    @property
    def job(self) -> JobDefinition:
        """The job that is run."""
        return self._place.job  # type: ignore[no-any-return]

    @property
    def run(self) -> DagsterRun:
        """The run's record."""
        return self._place.facts.run

    @property
    def instance(self) -> DagsterInstance:
        """The instance that keeps the run."""
        return self._place.facts.instance  # type: ignore[no-any-return]

    def run_step(self, order: Launch) -> Iterator[DagsterEvent]:
        """Run the attempt that an order is for, here on the driver's thread; yields its events from STEP_START on.

        For executors that start in place: it goes on when it is asked for the next event.
        """
        return run_here(self._place, order)


class Attempt:
    """An attempt that is under way."""

    __slots__ = (
        "asked_at", "context", "due", "halt", "is_abandoned", "is_async", "is_told", "launch", "output", "part", "steps",
    )  # fmt: skip

    def __init__(self, launch: Launch, part: Workplace, output: streams.StepOutput) -> None:
        self.launch = launch
        self.part = part
        assert part.next_halt is not None
        #: what asks it to stop; here, since that may be before it has begun
        self.halt: Halt = part.next_halt
        #: when it may be told of that it has taken too long
        self.due = math.inf
        #: when it was found that it is asked to stop
        self.asked_at: float | None = None
        #: that it has not ended since was told
        self.is_told = False
        self.output = output
        self.context = contextvars.copy_context()
        #: the events of the attempt, once it has begun
        self.steps: Any = None
        #: what is async of it is awaited on a loop that steps share
        self.is_async = False
        #: nobody waits for it any more
        self.is_abandoned = False


class Executor:
    """What carries out the launches of a run; to be derived from, for `@executor`.

    A derived class writes `start`, and all that a run needs is there: several steps at once in this process, with contexts,
    logs and output of their own, retries, limits, interrupts. One that decides itself what runs when writes `launch` and
    `next_event` instead. `treadle.testing.executor_contract` has tests for it.
    """

    #: True where a launched step waits in `next_event` until its first event is in the log; False where it starts at once
    starts_in_place: bool = False

    def __init__(self, context: InitExecutorContext) -> None:
        self.context = context
        self.place = place = context._place
        #: how many steps may run at once; None for any number
        self.limit: int | None = context.max_concurrent
        self._job_name = place.facts.run.job_name
        self._premises = Premises(place, self.where)
        self._folder = Path(place.facts.instance.storage_directory(), place.facts.run.run_id, FOLDER)
        #: what attempts tell: with the attempt an event, None at its end, or a fault of ours; or a message that was logged, or nothing
        self._told: SimpleQueue[tuple[Attempt | None, Any]] = SimpleQueue()
        self._log = place.facts.log.with_record(self._keep_message)
        self._running: set[Attempt] = set()
        self._heard: deque[DagsterEvent] = deque()
        #: the driver was told that there is no room, and waits for it
        self._is_awaited = False
        self._is_installed = self._is_closing = False
        #: a step was given up, and its thread goes on
        self.has_abandoned = False
        self._interrupt: BaseException | None = None
        self._next_look = 0.0
        #: when something may be to be told of attempts that were asked to stop
        self._next_reminder = math.inf

    # -- what a derived class says

    def start(self, work: Callable[[], None]) -> None:
        """Have `work()` called on another thread than this one, and return at once. It raises nothing."""
        raise NotImplementedError(f"{type(self).__name__}.start has to have `work` called on a thread: see Executor.")

    @property
    def where(self) -> str:
        """How the events before the first step and after the last call the way in which steps run."""
        return f'by the executor "{self.context.executor_def.name}"'

    # -- what the driver asks

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run."""
        return self._interrupt or self.place.interrupt

    @property
    def failure(self) -> BaseException | None:
        """What makes the run fail besides its steps: nothing."""
        return None

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What makes events of a step that does not run."""
        return self.place.stamp(path, step_key)

    def open(self) -> Iterator[DagsterEvent]:
        """Get ready, on the driver's thread: opens the resources that the steps need. Yields the events of doing so."""
        streams.install()
        self._is_installed = True
        # Up to Python 3.12 a queue that waits for a time may wait for ever once a signal was handled meanwhile.
        self.place.signals.wake = partial(self._told.put, (None, None))
        yield from self._premises.open()

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Wait for what still runs, which says no more of itself, and close what was opened. Yields the events of doing so."""
        self._settle()
        if self._is_installed:
            self._is_installed = False
            streams.remove()
        yield from self._premises.close(is_aborted)

    def _settle(self) -> None:
        """Wait for what still runs; it ends at its next event."""
        self._is_closing = True
        for attempt in self._running:
            self._cancel(attempt)
        while self._running:
            if self._take_signal():
                self._abandon()
                break
            with contextlib.suppress(Empty):
                teller, told = self._told.get(timeout=GLANCE)
                if teller is not None and not isinstance(told, DagsterEvent):
                    self._running.discard(teller)

    def has_room(self, count: int) -> bool:
        """Whether, after so many orders that are about to come, another would be begun at once."""
        is_below = self.limit is None or len(self._running) + count < self.limit
        has_room = is_below and self.place.signals.pending is None
        self._is_awaited = not has_room
        return has_room

    def announce(self, order: Launch) -> DagsterEvent | None:
        """What is to be in the log before an order is launched: that the attempt begins."""
        return self.stamp(order.path, order.step_key).beginning(order.attempt)

    def launch(self, order: Launch) -> None:
        """Take an order; returns at once. Its events come out of `next_event`."""
        self._begin(self._prepare(order))

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """What the attempts tell, in the order in which it comes.

        None after so many seconds without any, where there is room for an order again, and where nothing runs.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._look_around()
            self._remind()
            if self._heard:
                return self._heard.popleft()
            is_stopped = self._interrupt is not None
            if not self._running and (deadline is None or is_stopped):
                return None
            if self._is_awaited and not is_stopped and self.has_room(0):
                return None
            wait = max(0.0, min(GLANCE, self._next_reminder - time.monotonic()))
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return None
            try:
                attempt, told = self._told.get(timeout=wait)
            except Empty:
                continue
            event = self._take(attempt, told)
            if event is not None:
                return event

    def _take(self, attempt: Attempt | None, told: Any) -> DagsterEvent | None:
        if attempt is None:
            if told is not None:
                self.place.facts.log.record(*told)
            return None
        if attempt.is_abandoned:
            return None
        if isinstance(told, DagsterEvent):
            if told.event_type_value == _FAILURE:
                self._take_failure(attempt)
            return told
        self._running.discard(attempt)
        if told is not None:
            raise told  # a fault of ours
        return None

    def _take_failure(self, attempt: Attempt) -> None:
        place, part = self.place, attempt.part
        if place.first_error is None:
            place.first_error = part.first_error
        if part.interrupt is not None and self._interrupt is None:
            self._stop(part.interrupt, [other for other in self._running if other is not attempt])

    # -- an attempt, on whatever thread

    def _prepare(self, order: Launch) -> Attempt:
        part = self.place.beside(self._log, None)
        output = streams.StepOutput(self._folder, key_of(order.step_key, order.attempt))
        attempt = Attempt(order, part, output)
        part.announce = partial(self._tell, attempt)
        return attempt

    def _begin(self, attempt: Attempt) -> None:
        self._running.add(attempt)
        seconds = attempt.part.timeout_of(attempt.launch.path)
        if seconds is not None:
            attempt.due = time.monotonic() + seconds + SLACK
            self._next_reminder = min(self._next_reminder, attempt.due)
        try:
            self._submit(attempt)
        except BaseException:
            self._running.discard(attempt)  # nobody is to wait for it
            raise

    def _submit(self, attempt: Attempt) -> None:
        self.start(partial(self._work, attempt))

    def _tell(self, attempt: Attempt, event: DagsterEvent) -> None:
        self._told.put((attempt, event))

    def _keep_message(self, level: int, text: str, step_key: str | None, extra: Any) -> None:
        self._told.put((None, (level, text, step_key, extra)))

    def _work(self, attempt: Attempt) -> None:
        """Go on with an attempt, to its end or until something of it is to be awaited."""
        try:
            pending = attempt.context.run(self._advance, attempt)
            if pending is not None:
                self._park(attempt, pending)
        except BaseException as fault:  # noqa: BLE001 - raised again where the run is driven
            self._told.put((attempt, fault))

    def _park(self, attempt: Attempt, pending: Pending) -> None:
        raise AssertionError("only an executor with a loop asks for this")

    def _advance(self, attempt: Attempt) -> Pending | None:
        if attempt.steps is None:
            streams.step_output.set(attempt.output)
            attempt.steps = run_step(attempt.part, attempt.launch)
            next(attempt.steps)  # that it begins is in the log already
        try:
            for told in attempt.steps:
                if type(told) is Pending:
                    return told
                self._told.put((attempt, told))
                if self._is_closing:
                    attempt.steps.close()
        except BaseException:
            attempt.output.close()
            raise
        attempt.output.close()
        self._told.put((attempt, None))
        return None

    # -- interrupts

    def _cancel(self, attempt: Attempt) -> None:
        """Ask an attempt to stop: what it awaits is cancelled, and it sees it when it looks."""
        key = attempt.launch.step_key
        attempt.halt.ask(
            DagsterExecutionInterruptedError(f'Step "{key}" was cancelled, since the run was interrupted.')
        )
        self._next_reminder = time.monotonic()

    def _remind(self) -> None:
        """Tell of attempts that go on although they were asked to stop."""
        now = time.monotonic()
        if now < self._next_reminder:
            return
        soonest = math.inf
        for attempt in sorted(self._running, key=lambda each: each.launch.step_key):
            halt = attempt.halt
            if halt.is_over:
                continue  # it only stores what it gave
            if halt.reason is None:
                # one that has not begun yet takes its time from then on
                due = halt.deadline + SLACK if halt.deadline != math.inf else max(attempt.due, now + SLACK)
                if now < due or not halt.is_asked:
                    soonest = min(soonest, due)
                    continue
            if attempt.asked_at is None:
                attempt.asked_at = now
                if halt.is_late and is_unheeding(self.place, attempt.launch, halt):
                    self._heard.append(tell_late(self.place, attempt.launch, halt))
            if now < attempt.asked_at + GRACE:
                soonest = min(soonest, attempt.asked_at + GRACE)
            elif not attempt.is_told:
                attempt.is_told = True
                self._heard.append(tell_deaf(self.place, attempt.launch, halt, self._holder(attempt)))
        self._next_reminder = soonest

    def _holder(self, attempt: Attempt) -> str | None:
        """The key of the step that keeps the loop on which this one is awaited from cancelling it; None where there is none."""
        is_alone = attempt.halt.wake is not None and not attempt.halt.is_heard  # on a loop of its own
        return attempt.launch.step_key if is_alone else None

    def _take_signal(self) -> BaseException | None:
        signals = self.place.signals
        error, signals.pending = signals.pending, None
        return error

    def _look_around(self) -> None:
        """Take signals, and see whether the run is canceled."""
        error = self._take_signal()
        if error is not None:
            if self._interrupt is None:
                self._stop(error, list(self._running))
            else:
                self._abandon()  # asked twice
        now = time.monotonic()
        if self._interrupt is None and now >= self._next_look:
            self._next_look = now + LOOK
            facts = self.place.facts
            if facts.instance.get_status(facts.run.run_id) is DagsterRunStatus.CANCELING:
                self._stop(DagsterExecutionInterruptedError("The run was canceled."), list(self._running))

    def _stop(self, error: BaseException, attempts: Sequence[Attempt]) -> None:
        """Begin nothing more; cancel what can be cancelled, and let the rest finish."""
        self._interrupt = error
        for attempt in attempts:
            self._cancel(attempt)
        ways: dict[str, list[str]] = {}
        for attempt in sorted(attempts, key=lambda each: each.launch.step_key):
            ways.setdefault(self._way_to_end(attempt), []).append(attempt.launch.step_key)
        parts = [f"{way}: {keys}" for way, keys in sorted(ways.items())]
        if parts:
            message = f"The run is interrupted, and starts no more steps; {'; '.join(parts)}."
            event = run_event(DagsterEventType.ENGINE_EVENT, self._job_name, EngineEventData(), message=message)
            self._heard.append(event)

    def _way_to_end(self, attempt: Attempt) -> str:
        """How the attempt may end now, in the words of an event."""
        path = attempt.launch.path
        if introspect.is_async(self.place.job.wiring.ops[path].definition.compute_fn):
            return "async steps are cancelled"
        demands = self.place.plan.steps[path].demands
        if attempt.halt.has_looked or (demands is not None and demands.is_cooperative):
            return "steps that look are asked to stop"
        return "steps on threads cannot be stopped, and are let finish"

    def _abandon(self) -> None:
        """Wait no longer for what does not end."""
        for attempt in sorted(self._running, key=lambda each: each.launch.step_key):
            key = attempt.launch.step_key
            error = DagsterExecutionInterruptedError(
                f'Step "{key}" was given up when the run was interrupted again. It runs on a thread, which cannot be '
                f"stopped, and may go on for as long as this process lives."
            )
            attempt.is_abandoned = self.has_abandoned = True
            payload = StepFailureData(error_info(error), None, ErrorSource.INTERRUPT)
            self._heard.append(self.stamp(attempt.launch.path, key).event(_FAILURE, payload))
        self._running.clear()
