"""What the steps of a run share that run in the driver's own process: resources, signals, an event loop.

Opened once before the first step, closed after the last, with the events of doing so; every executor of this process has
one. It runs no step.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator

from treadle.definitions import invoke
from treadle.engine.driver import RunEnd
from treadle.engine.resources import StepResources
from treadle.engine.workplace import Workplace
from treadle.errors import TreadleExecutorWarning
from treadle.events import DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.payloads import ComputeLogsCaptureData, EngineEventData

_T = DagsterEventType


class Premises:
    """What a run has in this process; `where` is how its events call the way in which steps run here."""

    def __init__(self, place: Workplace, where: str = "in process") -> None:
        self.place = place
        self._where = where
        self._job_name = place.facts.run.job_name
        self._started = 0.0
        keys = place.step_keys
        # a plan of one step tells its resource events under that step
        self._resources = StepResources(place, keys[0] if len(keys) == 1 else None)

    def open(self) -> Iterator[DagsterEvent]:
        """Take the signals, and open the resources that the steps need."""
        self.place.signals.install()
        self._started = time.perf_counter()
        pid = os.getpid()
        keys = self.place.step_keys
        yield run_event(
            _T.ENGINE_EVENT,
            self._job_name,
            self.place.describe(),
            message=f"Executing steps {self._where} (pid: {pid})",
        )
        for text in self._unkept():
            warnings.warn(text, TreadleExecutorWarning, stacklevel=2)
            yield run_event(_T.ENGINE_EVENT, self._job_name, EngineEventData(), message=text)
        if keys:
            try:
                yield from self._resources.open(self.place.required_resource_keys)
            except Exception as error:
                raise RunEnd(error) from error
        yield run_event(_T.LOGS_CAPTURED, self._job_name, ComputeLogsCaptureData(self.place.facts.run.run_id, keys))

    def _unkept(self) -> Iterator[str]:
        """What is to be told of limits that do not hold here."""
        endless, heavy = self.place.unbounded_steps
        elsewhere = "Run the job with the multiprocess executor to have it kept"
        if endless:
            yield (
                f"The timeout of {endless} is not kept: a step in this process cannot be ended, only asked to. {elsewhere}, or let "
                f"the op look whether it is to stop, with context.check_cancelled(), and say so: @op(cooperative=True)."
            )
        if heavy:
            yield (
                f"The memory_limit of {heavy} is not kept: a step in this process cannot be ended, only asked to. {elsewhere}, or let "
                f"the op look whether it is to stop, with context.check_cancelled(), and say so: @op(cooperative=True)."
            )

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Give the signals back, and close what was opened. An aborted run says nothing of its steps' end."""
        self.place.signals.restore()
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
                self.place.describe(),
                message=f"Finished steps {self._where} (pid: {pid}) in {took}",
            )
