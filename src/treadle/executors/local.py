"""in this process: in order, one step after another

Runs the steps of a run on the driver's own thread: the resources of the run are opened once, before the first step, and
closed after the last. It decides nothing; the driver calls it by the Executor protocol.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from treadle.engine.workplace import Stamp, Workplace
from treadle.errors import DagsterExecutionInterruptedError
from treadle.events import DagsterEvent
from treadle.executors.lateness import run_here
from treadle.executors.premises import Premises
from treadle.plan.model import Launch


class InProcessExecutor:
    """One step at a time, in the order of the launches."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self._premises = Premises(place)
        self._orders: deque[Launch] = deque()
        self._current: Iterator[DagsterEvent] | None = None

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted a step."""
        return self.place.interrupt

    @property
    def failure(self) -> None:
        """Nothing: whatever fails here is a step."""

    # -- before the first step and after the last

    def open(self) -> Iterator[DagsterEvent]:
        """Open the resources that the steps need."""
        return self._premises.open()

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Close what was opened. An aborted run drops the step that it is in, and says nothing of its end."""
        self.place.signals.restore()
        if self._current is not None:
            self._current.close()  # type: ignore[attr-defined]
            self._current = None
        self._orders.clear()
        yield from self._premises.close(is_aborted)

    # -- steps

    @property
    def starts_in_place(self) -> bool:
        """True: a step goes on when the driver has its first event in the log."""
        return True

    def has_room(self, _count: int) -> bool:
        """True: the steps wait here for their turn."""
        return True

    def announce(self, _order: Launch) -> None:
        """Nothing: STEP_START is the first event of an attempt."""

    def launch(self, order: Launch) -> None:
        """Queue a step."""
        self._orders.append(order)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """Go on with the step that runs, or start the next."""
        while True:
            if self._current is None:
                if self._is_interrupted(timeout if not self._orders else None) or not self._orders:
                    return None
                self._current = run_here(self.place, self._orders.popleft())
            event = next(self._current, None)
            if event is not None:
                return event
            self._current = None

    def _is_interrupted(self, seconds: float | None) -> bool:
        """Between steps: look for a signal that came meanwhile, or wait and be woken by one."""
        signals = self.place.signals
        if seconds and signals.pending is None:
            signals.is_open = True
            try:
                time.sleep(seconds)
            except DagsterExecutionInterruptedError as error:
                signals.pending = error
            finally:
                signals.is_open = False
        if signals.pending is not None:
            self.place.interrupt = signals.pending
        return signals.pending is not None

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of a step that does not run."""
        return self.place.stamp(path, step_key)
