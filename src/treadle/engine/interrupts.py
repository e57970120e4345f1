"""SIGINT and SIGTERM as one interruption of a run.

While a run has the main thread, either signal raises DagsterExecutionInterruptedError in user code at its next bytecode;
one that comes while the engine itself is at work waits until the engine looks. In any other thread signals are left
alone. The handlers that were there before are put back when the run ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from treadle.errors import DagsterExecutionInterruptedError
from treadle.halt import Halt

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """The signals of one run. `is_open` is True while user code runs, or the engine only waits."""

    __slots__ = ("_asked", "_count", "_previous", "ends_at_second", "halt", "is_open", "pending", "signaled", "wake")

    def __init__(self) -> None:
        self.is_open = False
        #: True where the second signal ends the process on the spot: whoever sends it has lost patience
        self.ends_at_second = False
        self._count = 0
        #: of the first signal that came, if any: whoever called is to hear of it when the run has ended
        self.signaled: DagsterExecutionInterruptedError | None = None
        #: what somebody asked for from another thread
        self._asked: DagsterExecutionInterruptedError | None = None
        #: a signal that came while nothing could be interrupted
        self.pending: DagsterExecutionInterruptedError | None = None
        self._previous: dict[signal.Signals, Any] = {}
        #: of the attempt that runs where the signals are raised
        self.halt: Halt | None = None
        #: ends the wait of whoever looks for what is pending; called from the signal's handler, and from other threads
        self.wake: Callable[[], object] | None = None

    def install(self) -> None:
        """Take the signals over, in the main thread; a handler of another run around this one is left in place."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if isinstance(getattr(signal.getsignal(number), "__self__", None), Interrupts):
                continue
            self._previous[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous = {}

    def interrupt(self, error: DagsterExecutionInterruptedError) -> None:
        """Interrupt the run from another thread: where it has the main thread at once, elsewhere before the next step."""
        if not self._previous:
            self.pending = error
            if self.halt is not None:
                self.halt.ask(error)
            if self.wake is not None:
                self.wake()
            return
        self._asked = error
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        error, self._asked = self._asked, None
        if error is None:
            self._count += 1
            if self._count > 1 and self.ends_at_second:
                os._exit(128 + number)
            error = DagsterExecutionInterruptedError(f"The run was interrupted by {signal.Signals(number).name}.")
            self.signaled = self.signaled or error
        if self.halt is not None:
            self.halt.ask(error, wakes=False)
        if self.is_open:
            self.is_open = False
            raise error
        self.pending = error
        if self.wake is not None:
            self.wake()
