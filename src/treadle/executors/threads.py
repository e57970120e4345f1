"""Threads of this process, and an event loop: several steps at once, with what they share opened once.

Steps run on threads and put what happens on a queue; the driver's thread takes it from there and alone writes the log. A
thread cannot be stopped: where a run is interrupted, what runs is let finish, and only what waits on the loop is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from treadle.definitions.invoke import PARKED, Pending
from treadle.engine.step import run_step
from treadle.engine.workplace import Stamp, Workplace
from treadle.errors import DagsterExecutionInterruptedError, error_info
from treadle.events import DagsterEvent, DagsterEventType, run_event
from treadle.executors import streams
from treadle.executors.capture import FOLDER, key_of
from treadle.executors.pool import LoopThread, Pool
from treadle.executors.premises import Premises
from treadle.payloads import EngineEventData, ErrorSource, StepFailureData
from treadle.plan.model import Launch
from treadle.runs import DagsterRunStatus

_FAILURE = DagsterEventType.STEP_FAILURE.value

#: seconds between two looks whether somebody has canceled the run, and whether a signal has come
LOOK = 0.5
GLANCE = 0.1
#: threads on which async ops load and store values, at most
QUICK_THREADS = 8


class _Job:
    """An attempt that is under way."""

    __slots__ = ("context", "is_abandoned", "is_async", "is_cancelled", "launch", "output", "part", "steps", "task")

    def __init__(self, launch: Launch, part: Workplace, output: streams.StepOutput, *, is_async: bool) -> None:
        self.launch = launch
        self.part = part
        self.output = output
        #: what is async of it is awaited on the loop
        self.is_async = is_async
        self.context = contextvars.copy_context()
        #: the events of the attempt, once it has begun
        self.steps: Any = None
        #: on the loop, while it waits there
        self.task: asyncio.Task[None] | None = None
        self.is_cancelled = False
        #: nobody waits for it any more
        self.is_abandoned = False


class ThreadedExecutor:
    """Up to `limit` steps at once on threads; with `is_async`, async ops all on one event loop."""

    def __init__(self, place: Workplace, limit: int, *, is_async: bool = False) -> None:
        self.place = place
        self._job_name = place.facts.run.job_name
        self._limit = limit
        self._is_async = is_async
        self._premises = Premises(place, "on threads and an event loop" if is_async else "on threads")
        self._pool = Pool(limit, self._work)
        self._quick = Pool(min(limit, QUICK_THREADS), self._work)
        self._loop: LoopThread | None = None
        self._folder = Path(place.facts.instance.storage_directory(), place.facts.run.run_id, FOLDER)
        #: what attempts tell: with the attempt an event, None at its end, or a fault of ours; or a message that was logged
        self._told: SimpleQueue[tuple[_Job | None, Any]] = SimpleQueue()
        self._log = place.facts.log.with_record(self._keep_message)
        self._running: set[_Job] = set()
        self._heard: deque[DagsterEvent] = deque()
        #: the driver was told that there is no room, and waits for it
        self._is_awaited = False
        self._is_installed = self._is_closing = self._has_abandoned = False
        self._interrupt: BaseException | None = None
        self._next_look = 0.0

    # -- what the driver asks

    @property
    def starts_in_place(self) -> bool:
        """False: a thread starts a step as soon as it has it. What the attempt begins with is announced."""
        return False

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run."""
        return self._interrupt

    @property
    def failure(self) -> None:
        """Nothing: whatever fails here is a step."""

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of a step that does not run."""
        return self.place.stamp(path, step_key)

    # -- before the first step and after the last

    def open(self) -> Iterator[DagsterEvent]:
        """Open the resources that the steps need, on the driver's thread."""
        streams.install()
        self._is_installed = True
        yield from self._premises.open()
        if self._is_async:
            self.place.event_loop()
        if self.place.loop is not None:
            self._loop = LoopThread(self.place.loop)

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Wait for what still runs, which says no more of itself, and close what was opened."""
        self._is_closing = True
        for job in self._running:
            self._cancel(job)
        while self._running:
            if self._take_signal():
                self._abandon()
                break
            with contextlib.suppress(Empty):
                teller, told = self._told.get(timeout=GLANCE)
                if teller is not None and not isinstance(told, DagsterEvent):
                    self._running.discard(teller)
        waits = not self._has_abandoned
        for pool in (self._pool, self._quick):
            pool.close(waits=waits)
        if self._loop is not None:
            self._loop.close(waits=waits)
            if not waits:
                self.place.loop = None  # it may be at work still
        if self._is_installed:
            self._is_installed = False
            streams.remove()
        yield from self._premises.close(is_aborted)

    # -- steps

    def has_room(self, count: int) -> bool:
        """Whether a thread is free, or may be had."""
        has_room = len(self._running) + count < self._limit and self.place.signals.pending is None
        self._is_awaited = not has_room
        return has_room

    def announce(self, order: Launch) -> DagsterEvent:
        """The attempt begins: that is known before it does."""
        return self.stamp(order.path, order.step_key).beginning(order.attempt)

    def launch(self, order: Launch) -> None:
        """Let a thread begin."""
        place = self.place
        part = place.beside(self._log, None)
        if self._loop is not None:
            part.loop = PARKED
        fn = place.job.wiring.ops[order.path].definition.compute_fn
        is_async = self._loop is not None and (inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn))
        output = streams.StepOutput(self._folder, key_of(order.step_key, order.attempt))
        job = _Job(order, part, output, is_async=is_async)
        part.announce = partial(self._tell, job)
        self._running.add(job)
        self._submit(job)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """What the attempts tell, in the order in which it comes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._look_around()
            if self._heard:
                return self._heard.popleft()
            is_stopped = self._interrupt is not None
            if not self._running and (deadline is None or is_stopped):
                return None
            if self._is_awaited and not is_stopped and self.has_room(0):
                return None
            wait = GLANCE
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    return None
            try:
                job, told = self._told.get(timeout=wait)
            except Empty:
                continue
            event = self._take(job, told)
            if event is not None:
                return event

    def _take(self, job: _Job | None, told: Any) -> DagsterEvent | None:
        if job is None:
            self.place.facts.log.record(*told)
            return None
        if job.is_abandoned:
            return None
        if isinstance(told, DagsterEvent):
            if told.event_type_value == _FAILURE:
                self._take_failure(job)
            return told
        self._running.discard(job)
        if told is not None:
            raise told  # a fault of ours
        return None

    def _take_failure(self, job: _Job) -> None:
        place, part = self.place, job.part
        if place.first_error is None:
            place.first_error = part.first_error
        if part.interrupt is not None and self._interrupt is None:
            self._stop(part.interrupt, [other for other in self._running if other is not job])

    # -- on the threads

    def _submit(self, job: _Job) -> None:
        (self._quick if job.is_async else self._pool).submit(job)

    def _tell(self, job: _Job, event: DagsterEvent) -> None:
        self._told.put((job, event))

    def _keep_message(self, level: int, text: str, step_key: str | None, extra: Any) -> None:
        self._told.put((None, (level, text, step_key, extra)))

    def _work(self, job: _Job) -> None:
        """Go on with an attempt, to its end or until something of it is to be awaited."""
        try:
            pending = job.context.run(self._advance, job)
            if pending is not None:
                assert self._loop is not None
                self._loop.call(self._await, job, pending, context=job.context)
        except BaseException as fault:  # noqa: BLE001 - raised again where the run is driven
            self._told.put((job, fault))

    def _advance(self, job: _Job) -> Pending | None:
        if job.steps is None:
            streams.step_output.set(job.output)
            job.steps = run_step(job.part, job.launch)
            next(job.steps)  # that it begins is in the log already
        try:
            for told in job.steps:
                if type(told) is Pending:
                    return told
                self._told.put((job, told))
                if self._is_closing:
                    job.steps.close()
        except BaseException:
            job.output.close()
            raise
        job.output.close()
        self._told.put((job, None))
        return None

    # -- on the loop

    def _await(self, job: _Job, pending: Pending) -> None:
        assert self._loop is not None
        job.task = task = self._loop.loop.create_task(pending.wait())
        task.add_done_callback(partial(self._go_on, job, pending))
        if job.is_cancelled:
            task.cancel()

    def _go_on(self, job: _Job, pending: Pending, task: asyncio.Task[None]) -> None:
        job.task = None
        if task.cancelled():  # before it began
            pending.drop(asyncio.CancelledError())
        if job.is_cancelled and isinstance(pending.error, asyncio.CancelledError):
            error = DagsterExecutionInterruptedError(
                f'Step "{job.launch.step_key}" was cancelled, since the run was interrupted.'
            )
            error.__cause__ = pending.error
            pending.error = error
        self._submit(job)

    def _cancel(self, job: _Job) -> None:
        """Cancel what the attempt awaits, or will."""
        job.is_cancelled = True
        if self._loop is not None:
            self._loop.call(lambda: job.task is not None and job.task.cancel())

    # -- interrupts

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

    def _stop(self, error: BaseException, jobs: list[_Job]) -> None:
        """Begin nothing more; cancel what can be cancelled, and let the rest finish."""
        self._interrupt = error
        for job in jobs:
            self._cancel(job)
        on_loop = sorted(job.launch.step_key for job in jobs if job.is_async)
        on_threads = sorted(job.launch.step_key for job in jobs if not job.is_async)
        parts = [f"async steps are cancelled: {on_loop}"] if on_loop else []
        if on_threads:
            parts.append(f"steps on threads cannot be stopped, and are let finish: {on_threads}")
        if parts:
            self._note(f"The run is interrupted, and starts no more steps; {'; '.join(parts)}.")

    def _abandon(self) -> None:
        """Wait no longer for what does not end."""
        for job in sorted(self._running, key=lambda each: each.launch.step_key):
            key = job.launch.step_key
            error = DagsterExecutionInterruptedError(
                f'Step "{key}" was given up when the run was interrupted again. It runs on a thread, which cannot be '
                f"stopped, and may go on for as long as this process lives."
            )
            job.is_abandoned = self._has_abandoned = True
            payload = StepFailureData(error_info(error), None, ErrorSource.INTERRUPT)
            self._heard.append(self.stamp(job.launch.path, key).event(_FAILURE, payload))
        self._running.clear()

    def _note(self, message: str) -> None:
        event = run_event(DagsterEventType.ENGINE_EVENT, self._job_name, EngineEventData(), message=message)
        self._heard.append(event)
