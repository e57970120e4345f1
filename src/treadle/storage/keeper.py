"""The keeper of a store's open writers: what waits in a buffer is soon committed, and leases are renewed.

One thread for each store, while a writer is open: a step that takes long is seen by readers of other processes, and its
owner is not taken for dead. It decides nothing about runs; what it cannot commit the writer's own next commit tells.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from treadle.errors import StoreError

if TYPE_CHECKING:
    from treadle.storage.leases import LeaseTerms
    from treadle.storage.writer import SqliteWriter

#: seconds that an entry of a log may wait for company
PATIENCE = 0.2
#: seconds between two renewals of a lease, where it is not so short that they have to be closer
HEARTBEAT = 3.0
#: seconds between two looks of those who drive runs, whether somebody has said something about them
LOOK = 0.5


class Keeper:
    """Looks after writers from a thread of its own, as long as there are any."""

    def __init__(
        self,
        renew: Callable[[Collection[SqliteWriter]], None],
        writers: Mapping[str, SqliteWriter],
        terms: LeaseTerms,
    ) -> None:
        self._renew = renew
        self._writers = writers
        self._heartbeat = min(HEARTBEAT, terms.duration / 5) if terms.heartbeat is None else terms.heartbeat
        self._clock = terms.clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._stopped = threading.Event()

    def wake(self) -> None:
        """There is a writer: see to it that the thread is there."""
        if self._heartbeat == math.inf:
            return
        with self._lock:
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._stopped = threading.Event()
                self._thread = threading.Thread(
                    target=self._keep, args=(self._stopped,), name="treadle-keeper", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """No writer is left."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopped.set()
        if thread is not None and thread is not threading.current_thread() and self._pid == os.getpid():
            thread.join(timeout=5)

    def _keep(self, stopped: threading.Event) -> None:
        renewed = looked = time.monotonic()
        while not stopped.wait(PATIENCE / 2):
            writers = list(self._writers.values())
            if not writers:
                with self._lock:
                    if not self._writers:
                        self._thread = None
                        return
                continue
            late = self._clock() - PATIENCE
            for writer in writers:
                if writer.buffer and writer.buffer[0][0] < late:
                    with contextlib.suppress(StoreError, IndexError):
                        writer.commit()
            if time.monotonic() - looked >= LOOK:
                looked = time.monotonic()
                for writer in writers:
                    if writer.look is not None:
                        with contextlib.suppress(StoreError):
                            writer.look()
            if time.monotonic() - renewed >= self._heartbeat:
                renewed = time.monotonic()
                with contextlib.suppress(StoreError):
                    self._renew(writers)
