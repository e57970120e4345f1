"""Threads of this process, and an event loop: several steps at once, with what they share opened once.

Plain ops run on threads. Async ops are awaited together on one loop: that of the run, where it has one; without one each
has a loop of its own, on its thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from treadle import introspect
from treadle.definitions.invoke import PARKED, Pending
from treadle.events import DagsterEvent
from treadle.executors.beside import Attempt, Executor, InitExecutorContext
from treadle.executors.pool import LoopThread, Pool
from treadle.plan.model import Launch

#: threads on which async ops load and store values, at most
QUICK_THREADS = 8


def _call(work: Callable[[], None]) -> None:
    work()


class ThreadedExecutor(Executor):
    """Up to `limit` steps at once on threads; with `is_async`, async ops all on one event loop."""

    def __init__(self, context: InitExecutorContext, limit: int, *, is_async: bool = False) -> None:
        self._is_async = is_async
        super().__init__(context)
        self.limit = limit
        self._pool = Pool(limit, _call)
        self._quick = Pool(min(limit, QUICK_THREADS), _call)
        self._loop: LoopThread | None = None

    @property
    def where(self) -> str:
        """How events call the way in which steps run."""
        return "on threads and an event loop" if self._is_async else "on threads"

    def open(self) -> Iterator[DagsterEvent]:
        """Open the resources that the steps need, on the driver's thread, and let the loop of the run go."""
        yield from super().open()
        if self._is_async:
            self.place.event_loop()
        if self.place.loop is not None:
            self._loop = LoopThread(self.place.loop)

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Wait for what still runs, and close what was opened."""
        self._settle()
        waits = not self.has_abandoned
        for pool in (self._pool, self._quick):
            pool.close(waits=waits)
        if self._loop is not None:
            self._loop.close(waits=waits)
            if not waits:
                self.place.loop = None  # it may be at work still
        yield from super().close(is_aborted)

    def start(self, work: Callable[[], None]) -> None:
        """Have it called on a thread."""
        self._pool.submit(work)

    def launch(self, order: Launch) -> None:
        """Let a thread begin."""
        attempt = self._prepare(order)
        if self._loop is not None:
            attempt.part.loop = PARKED
            fn = self.place.job.wiring.ops[order.path].definition.compute_fn
            attempt.is_async = introspect.is_async(fn)
            if attempt.is_async:
                attempt.part.usage_scope = None  # it goes from thread to thread
        self._begin(attempt)

    def _submit(self, attempt: Attempt) -> None:
        # what an async op does on a thread is soon done: many of them need few threads
        pool = self._quick if attempt.is_async else self._pool
        pool.submit(partial(self._work, attempt))

    # -- on the loop

    def _park(self, attempt: Attempt, pending: Pending) -> None:
        assert self._loop is not None
        self._loop.call(self._await, attempt, pending, context=attempt.context)

    def _await(self, attempt: Attempt, pending: Pending) -> None:
        assert self._loop is not None
        task = self._loop.loop.create_task(pending.wait(), name=attempt.launch.step_key)
        task.add_done_callback(partial(self._go_on, attempt, pending))

    def _go_on(self, attempt: Attempt, pending: Pending, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before it began, by an op that cancels all that there is
            pending.drop(asyncio.CancelledError())
        self._submit(attempt)

    def _holder(self, attempt: Attempt) -> str | None:
        if self._loop is None or not attempt.is_async or attempt.halt.is_heard:
            return super()._holder(attempt)
        task = asyncio.current_task(self._loop.loop)
        return task.get_name() if task is not None else "(unknown)"
