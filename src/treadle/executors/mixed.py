"""Several executors below one driver: each op of a run where it is to run, whatever the job's executor is.

Processes, threads, an event loop, and the thread that drives the run. Of several that have something to say each is heard in
turn; which step runs when the machine decides, as ever.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from copy import copy
from queue import Empty, SimpleQueue
from typing import Any

from treadle.definitions.demands import NEAR
from treadle.definitions.executors import Execution
from treadle.engine.workplace import Stamp, Workplace
from treadle.events import DagsterEvent
from treadle.executors.beside import InitExecutorContext
from treadle.executors.crew import Server
from treadle.executors.lateness import run_here
from treadle.executors.multiprocess import MultiprocessExecutor
from treadle.executors.threads import ThreadedExecutor
from treadle.names import split_step_key
from treadle.plan.model import Launch

FAR = frozenset(("process", "fresh_process"))
#: steps that only wait need few cores
_THREADS = 32
#: seconds to wait where somebody rings before, and where others have something to do
_LONG, _GLANCE = 3600.0, 0.0001


class _Bell(SimpleQueue):  # type: ignore[type-arg]
    """A queue that rings when something is put into it."""

    def __init__(self, rings: socket.socket) -> None:
        super().__init__()
        self._rings = rings

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item)
        with contextlib.suppress(BlockingIOError, OSError):
            self._rings.send(b".")


class _Near(ThreadedExecutor):
    """Threads and an event loop, whose events are asked for without waiting."""

    def __init__(self, context: InitExecutorContext, rings: socket.socket) -> None:
        super().__init__(context, _THREADS, is_async=True)
        self.limit = None
        self._told = _Bell(rings)

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._heard and self._told.empty()

    @property
    def count(self) -> int:
        return len(self._running)

    def stop(self, error: BaseException) -> None:
        if self._interrupt is None:
            self._stop(error, list(self._running))

    @property
    def patience(self) -> float:
        """Seconds until something is to be told though nobody says anything."""
        return max(0.0, self._next_reminder - time.monotonic())

    def take(self) -> DagsterEvent | None:
        """An event that is there already."""
        self._remind()
        while not self._heard:
            try:
                event = self._take(*self._told.get_nowait())
            except Empty:
                return None
            if event is not None:
                return event
        return self._heard.popleft()


class MixedExecutor:
    """Steps in workers, on threads, on a loop and on the driver's thread, `limit` of them at once.

    `places` says where: a default, and by path of an op where that runs.
    """

    def __init__(
        self,
        place: Workplace,
        execution: Execution,
        limit: int,
        places: tuple[str, Mapping[str, str]],
        server: Server | None = None,
    ) -> None:
        self.place = place
        self._limit = limit
        self._default, self._places = places
        self._bell, self._rings = socket.socketpair()
        for end in (self._bell, self._rings):
            end.setblocking(False)
        self._far = MultiprocessExecutor(place, execution, limit, self._places, server)
        # what is opened here is what steps here need
        near = copy(place)
        near.step_keys = [key for key in place.step_keys if self._where(split_step_key(key)[0]) in NEAR]
        self._near = _Near(InitExecutorContext(near, place.job.executor_def, {}, None), self._rings)
        self._inline: deque[Launch] = deque()
        self._current: Iterator[DagsterEvent] | None = None
        self._is_awaited = False

    def _where(self, path: str) -> str:
        return self._places.get(path, self._default)

    # -- what the driver asks

    @property
    def starts_in_place(self) -> bool:
        """False: what a step's first event is, is in the log before it is launched."""
        return False

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run."""
        return self._far.interrupt or self._near.interrupt

    @property
    def failure(self) -> BaseException | None:
        """What makes the run fail besides its steps."""
        return self._far.failure

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of a step that does not run."""
        return self.place.stamp(path, step_key)

    def open(self) -> Iterator[DagsterEvent]:
        """Get ready, in this process and for others."""
        self._near.place.shelf = self.place.shelf  # made since the near place was
        yield from self._far.open()
        self._far.heed(self._bell)
        yield from self._near.open()

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Stop everything that still runs, and let go of everything."""
        if self._current is not None:
            self._current.close()  # type: ignore[attr-defined]
            self._current = None
        self._inline.clear()
        self._far.unheed(self._bell)
        yield from self._near.close(is_aborted)
        yield from self._far.close(is_aborted)
        self._bell.close()
        self._rings.close()
        self.place.first_error = self._near.place.first_error

    def has_room(self, count: int) -> bool:
        """Whether, after so many orders that are about to come, another would be begun at once."""
        under_way = self._far.count + self._near.count + len(self._inline) + (self._current is not None)
        has_room = under_way + count < self._limit and self._far.has_room(count)
        self._is_awaited = not has_room
        return has_room

    def announce(self, order: Launch) -> DagsterEvent | None:
        """That a worker is about to get the step, or that the attempt begins."""
        if self._where(order.path) in FAR:
            return self._far.announce(order)
        return self.stamp(order.path, order.step_key).beginning(order.attempt)

    def launch(self, order: Launch) -> None:
        """Give the step to whoever runs it."""
        where = self._where(order.path)
        if where in FAR:
            self._far.launch(order)
        elif where == "inline":
            self._inline.append(order)
        else:
            self._near.launch(order)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """What is told, by whomever, in the order in which it comes; steps on this thread go on when nothing else is told."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._near.take()
            if event is None and not self._far.is_idle:
                event = self._far.next_event(_GLANCE)
            if event is None:
                self._pass_on()
                event = self._go_on()
            if event is not None:
                return event
            if self._current is not None or self._inline:
                continue
            is_stopped = self.interrupt is not None
            is_idle = self._far.is_idle and self._near.is_idle
            if is_idle and (deadline is None or is_stopped):
                return None
            if self._is_awaited and not is_stopped and self.has_room(0):
                return None
            left = _LONG if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            wait = min(left, self._near.patience)
            if self._far.is_idle and is_stopped:
                event = self._near.next_event(min(wait, 1.0))
            else:
                event = self._far.next_event(wait)
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)
            if event is not None:
                return event

    def _pass_on(self) -> None:
        """What interrupts one of them interrupts the other."""
        error = self.interrupt
        if error is not None:
            self._inline.clear()
            self._far.stop(error)
            self._near.stop(error)

    def _go_on(self) -> DagsterEvent | None:
        """The next event of the step on this thread, or of the one that waits for it."""
        if self._current is None and self._inline and self.interrupt is None:
            near = self._near.place
            self._current = run_here(near, self._inline.popleft())
            next(self._current)  # that it begins is in the log already
        if self._current is None:
            return None
        event = next(self._current, None)
        if event is None:
            self._current = None
        return event
