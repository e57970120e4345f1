"""in this process: in order, on threads, on an event loop

Runs the steps of a run in the driver's own process, one after another: the resources of the run are opened once, before
the first step, and closed after the last. It decides nothing; the driver calls it by the Executor protocol.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Iterator

from treadle.definitions import invoke
from treadle.engine.driver import RunEnd
from treadle.engine.resources import StepResources
from treadle.engine.step import run_step
from treadle.engine.workplace import Stamp, Workplace
from treadle.errors import DagsterExecutionInterruptedError, TreadleExecutorWarning
from treadle.events import DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.metadata import MetadataValue
from treadle.payloads import ComputeLogsCaptureData, EngineEventData
from treadle.plan.model import Launch

_T = DagsterEventType


class InProcessExecutor:
    """One step at a time, in the order of the launches."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self._job_name = place.facts.run.job_name
        self._orders: deque[Launch] = deque()
        self._current: Iterator[DagsterEvent] | None = None
        self._started = 0.0
        keys = place.step_keys
        # a plan of one step tells its resource events under that step
        self._resources = StepResources(place, keys[0] if len(keys) == 1 else None)

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
        self.place.signals.install()
        self._started = time.perf_counter()
        pid = os.getpid()
        keys = self.place.step_keys
        yield run_event(
            _T.ENGINE_EVENT, self._job_name, self._describe(pid), message=f"Executing steps in process (pid: {pid})"
        )
        unbound = self.place.unbounded_steps
        if unbound:
            text = (
                f"The timeout or memory_limit of {unbound} is not kept: a step in this process cannot be ended. Run the job with the "
                f"multiprocess executor to have it kept."
            )
            warnings.warn(text, TreadleExecutorWarning, stacklevel=2)
            yield run_event(_T.ENGINE_EVENT, self._job_name, EngineEventData(), message=text)
        if keys:
            try:
                yield from self._resources.open(self.place.required_resource_keys)
            except Exception as error:
                raise RunEnd(error) from error
        yield run_event(_T.LOGS_CAPTURED, self._job_name, ComputeLogsCaptureData(self.place.facts.run.run_id, keys))

    def _describe(self, pid: int) -> EngineEventData:
        keys = self.place.step_keys
        return EngineEventData({"pid": MetadataValue.text(str(pid)), "step_keys": MetadataValue.text(str(keys))})

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Close what was opened. An aborted run drops the step that it is in, and says nothing of its end."""
        self.place.signals.restore()
        if self._current is not None:
            self._current.close()  # type: ignore[attr-defined]
            self._current = None
        self._orders.clear()
        yield from self._resources.close()
        if self.place.loop is not None:
            loop, self.place.loop = self.place.loop, None
            invoke.close_event_loop(loop)
        if not is_aborted:
            pid = os.getpid()
            took = format_duration((time.perf_counter() - self._started) * 1000)
            yield run_event(
                _T.ENGINE_EVENT,
                self._job_name,
                self._describe(pid),
                message=f"Finished steps in process (pid: {pid}) in {took}",
            )

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
                self._current = run_step(self.place, self._orders.popleft())
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
