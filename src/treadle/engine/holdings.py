"""Which values that are in memory a run still needs: a fold over its events, beside the machine; pure

The driver lets go of what this says. A value is needed until every step that takes it has succeeded in this run: a step
that failed, was left out or skipped may be run again later, by a run that follows. What nobody takes is a result.
"""

from __future__ import annotations

from collections.abc import Iterator

from treadle.engine.machine import Machine
from treadle.engine.track import EXPANDED, SUCCEEDED, Track
from treadle.events import DagsterEvent, DagsterEventType, StepOutputHandle
from treadle.payloads import HandledOutputData
from treadle.plan.model import UNKNOWN_KEY, FromCollect, FromList, FromOutput, Plan, Step, step_key

_SUCCESS = DagsterEventType.STEP_SUCCESS.value
_OUTPUT = DagsterEventType.STEP_OUTPUT.value
_HANDLED = DagsterEventType.HANDLED_OUTPUT.value
_RESTARTED = DagsterEventType.STEP_RESTARTED.value
#: what the event of a value that is in memory says of it
HAND_OVER, IN_MEMORY = "hand_over", "memory"

#: by path and output: the steps that take its value, and how
Takers = dict[tuple[str, str], list[tuple[Step, FromOutput | FromCollect]]]


def find_takers(plan: Plan) -> Takers:
    """Who takes the value of each output; outputs of which nobody takes a value are left out."""
    takers: Takers = {}
    for step in plan.steps.values():
        for port in step.inputs:
            if not port.has_value:
                continue
            for source in port.source.items if isinstance(port.source, FromList) else (port.source,):
                takers.setdefault((source.path, source.output), []).append((step, source))
    return takers


def is_in_memory(event: DagsterEvent) -> bool:
    """Whether an event says that a value was put into memory."""
    data = event.event_specific_data
    if event.event_type_value != _HANDLED or not isinstance(data, HandledOutputData):
        return False
    said = data.metadata.get(HAND_OVER)
    return said is not None and said.value == IN_MEMORY


class _Holding:
    """A value in memory, and who keeps it from being let go."""

    def __init__(self, handle: StepOutputHandle) -> None:
        self.handle = handle
        self.is_taken = False
        self.pending: Iterator[Track] = iter(())


class Holdings:
    """The values in memory of one run. The machine has to have seen each event before."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._takers = find_takers(machine.plan)
        #: by key of a step: the value that it gave last, which the next event of its IO manager is about
        self._last: dict[str, StepOutputHandle] = {}
        #: of steps that have not succeeded, by their key
        self._fresh: dict[str, dict[StepOutputHandle, None]] = {}
        #: by key of a step that is waited for; None for steps that stand for branches, which end without an event
        self._waiting: dict[str | None, list[_Holding]] = {}
        #: results, and what is needed by steps that this run will not run
        self._kept: list[StepOutputHandle] = []

    def follow(self, event: DagsterEvent) -> list[StepOutputHandle]:
        """Take an event; gives what nobody needs any more."""
        kind, key = event.event_type_value, event.step_key or ""
        if kind == _OUTPUT:
            self._last[key] = event.event_specific_data.step_output_handle  # type: ignore[union-attr]
        elif kind == _HANDLED and is_in_memory(event):
            self._fresh.setdefault(key, {})[self._last[key]] = None
        elif kind == _RESTARTED:
            self._fresh.pop(key, None)
        if kind != _SUCCESS:
            return []
        self._last.pop(key, None)
        doubtful = self._waiting.pop(key, []) + self._waiting.pop(None, [])
        for handle in self._fresh.pop(key, ()):
            holding = _Holding(handle)
            holding.pending = self._unfinished(holding)
            doubtful.append(holding)
        return [holding.handle for holding in doubtful if self._is_done_with(holding)]

    @property
    def held(self) -> list[StepOutputHandle]:
        """What is in memory, of steps that have succeeded."""
        return [*self._kept, *(holding.handle for each in self._waiting.values() for holding in each)]

    def _is_done_with(self, holding: _Holding) -> bool:
        track = next(holding.pending, None)
        if track is None:
            is_done = holding.is_taken and (self._machine.needs_success or not self._machine.failed)
            if not is_done:
                self._kept.append(holding.handle)
            return is_done
        self._waiting.setdefault(None if track.is_template else track.key, []).append(holding)
        return False

    def _unfinished(self, holding: _Holding) -> Iterator[Track]:
        """The steps that take a value and have not succeeded, one after another: each is given until it has."""
        handle, tracks = holding.handle, self._machine.tracks
        keys = tracks[handle.step_key].mapping_keys
        for step, source in self._takers.get((tracks[handle.step_key].step.path, handle.output_name), ()):
            if isinstance(source, FromCollect):
                prefix = keys if source.is_dynamic else keys[:-1]
            else:
                prefix = keys if handle.mapping_key is None else (*keys, handle.mapping_key)
            rest = (UNKNOWN_KEY,) * (len(step.scope) - len(prefix))
            taker = tracks.get(step_key(step.path, (*prefix, *rest)))
            if taker is None:  # left out before its branches were known
                taker = tracks[step.key]
            yield from self._leaves(holding, taker)

    def _leaves(self, holding: _Holding, track: Track) -> Iterator[Track]:
        # What a parent run knows has taken another value than this one.
        while track.state != SUCCEEDED or track.run_id is not None:
            if track.state == EXPANDED:
                for branch in track.branches:
                    yield from self._leaves(holding, branch)
                return
            yield track
        holding.is_taken = True
