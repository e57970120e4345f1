"""Threads for steps, and a thread for an event loop: what an executor of this process runs steps on.

Both are daemons: a thread whose step never ends cannot be stopped, and must not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Pool:
    """Up to `size` threads, started when all that there are have work; `work` is called with each thing submitted."""

    def __init__(self, size: int, work: Callable[[Any], None]) -> None:
        self._size = size
        self._work = work
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        #: submitted and not done
        self._count = 0

    def submit(self, what: Any) -> None:
        """Have it worked on; from any thread."""
        with self._lock:
            self._count += 1
            if len(self._threads) < min(self._count, self._size):
                self._add()
        self._queue.put(what)

    def _add(self) -> None:
        name = f"treadle-step-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads: those that there are do all of it
            if not self._threads:
                raise
            return
        self._threads.append(thread)

    def _run(self) -> None:
        while (what := self._queue.get()) is not None:
            self._work(what)
            del what  # it may hold values of a step
            with self._lock:
                self._count -= 1

    def close(self, *, waits: bool) -> None:
        """Let the threads end when they have done what was submitted."""
        for _ in self._threads:
            self._queue.put(None)
        if waits:
            for thread in self._threads:
                thread.join()


class LoopThread:
    """An event loop that runs on a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.Thread(target=self._run, name="treadle-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, fn: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> None:
        """Have a function called on the loop's thread."""
        self.loop.call_soon_threadsafe(fn, *args, context=context)

    def close(self, *, waits: bool) -> None:
        """Stop the loop, which is then anybody's."""
        self.call(self.loop.stop)
        if waits:
            self._thread.join()
