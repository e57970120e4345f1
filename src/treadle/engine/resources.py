"""Open and close what steps need, and tell the log of it.

An executor opens the resources of a whole run once, or those of one step where the step runs in a process of its own.
The events are the same; `step_key` says under which step they are told, if under one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from treadle.contexts import InitResourceContext
from treadle.definitions.opening import OpenResources
from treadle.engine.workplace import Workplace
from treadle.errors import error_info
from treadle.events import DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.metadata import MetadataValue
from treadle.payloads import TEARDOWN_KEY, EngineEventData

_T = DagsterEventType


class StepResources:
    """What is open for some steps, or for one."""

    def __init__(self, place: Workplace, step_key: str | None = None) -> None:
        self._place = place
        self._step_key = step_key
        self._open: OpenResources | None = None

    def open(self, keys: Iterable[str]) -> Iterator[DagsterEvent]:
        """Open these resources, and let the place have them. Raises what a resource raised, after the event of it."""
        place = self._place
        wanted = sorted(keys)
        listed = f"[{', '.join(wanted)}]"
        yield self._event(
            _T.RESOURCE_INIT_STARTED,
            f"Starting initialization of resources {listed}.",
            EngineEventData(marker_start="resources"),
        )
        self._open = opened = OpenResources(place.job.resource_defs, place.config.resources, self._init_context)
        try:
            opened.open(wanted)
        except Exception as error:
            yield self._event(
                _T.RESOURCE_INIT_FAILURE,
                f"Initialization of resources {listed} failed.",
                EngineEventData(error=error_info(error), marker_end="resources"),
            )
            raise
        place.furnish(opened.values)
        metadata: dict[str, Any] = {}
        for key, value in opened.values.items():
            metadata[key] = MetadataValue.python_artifact(type(value))
            metadata[f"{key}:init_time"] = MetadataValue.text(format_duration(opened.init_times.get(key, 0.0)))
        yield self._event(
            _T.RESOURCE_INIT_SUCCESS,
            f"Finished initialization of resources {listed}.",
            EngineEventData(metadata, marker_end="resources"),
        )

    def close(self) -> Iterator[DagsterEvent]:
        """Close what is open, last opened first; what goes wrong is told, and changes nothing. Again is fine."""
        opened, self._open = self._open, None
        for key, error in opened.close() if opened is not None else ():
            yield self._event(
                _T.ENGINE_EVENT,
                f"Teardown of resources [{key}] failed: {type(error).__name__}: {error}",
                EngineEventData({TEARDOWN_KEY: MetadataValue.text(key)}, error=error_info(error)),
            )

    def _init_context(self, key: str, **given: Any) -> InitResourceContext:
        place = self._place
        facts = place.facts
        log = facts.log.for_resource(key, self._step_key)
        return InitResourceContext(
            log=log, instance=facts.instance, run=facts.run, event_loop=place.event_loop, **given
        )

    def _event(self, kind: DagsterEventType, message: str, data: EngineEventData) -> DagsterEvent:
        job_name = self._place.facts.run.job_name
        return run_event(kind, job_name, data, message=message, step_key=self._step_key)
