"""Events in, commands out: ready, retry, skip, map/collect, limits, cancel; pure.

The driver feeds it every event of a run and carries out what it answers; a stored log fed to a new machine gives the
same state. No clock, no I/O, no threads, no randomness: time comes in as `resume`, waiting goes out as `Wait`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from treadle.events import DagsterEvent, DagsterEventType, StepOutputHandle
from treadle.outcomes import RetryPolicy, RetryRequested
from treadle.plan.model import UNKNOWN_KEY, Fan, FromCollect, FromList, FromOutput, Plan, Source, Step, step_key

# -- commands ---------------------------------------------------------------------------------------------------

#: for each connected input that carries a value: the outputs to load, one or a list of them
KnownInputs = Mapping[str, StepOutputHandle | list[StepOutputHandle]]


class Launch(msgspec.Struct, frozen=True, gc=False):
    """Start an attempt at a step."""

    step_key: str
    path: str
    mapping_keys: tuple[str, ...]
    #: 1 for the first
    attempt: int
    inputs: KnownInputs


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Call `resume(step_key)` after so many seconds."""

    step_key: str
    seconds: float


class Skip(msgspec.Struct, frozen=True, gc=False):
    """Tell the log that a step is skipped: an output that it needs was not produced."""

    step_key: str
    path: str


class Note(msgspec.Struct, frozen=True, gc=False):
    """Tell the log, as an error message, that a step cannot run."""

    step_key: str
    text: str


Command = Launch | Wait | Skip | Note

# -- states ------------------------------------------------------------------------------------------------------

WAITING, READY, RUNNING, RETRYING = "waiting", "ready", "running", "retrying"
SUCCEEDED, FAILED, SKIPPED, ABANDONED, EXPANDED = "succeeded", "failed", "skipped", "abandoned", "expanded"

#: a step in one of these will not run any more; ABANDONED is below a failure, EXPANDED became its branches
ENDED = frozenset((SUCCEEDED, FAILED, SKIPPED, ABANDONED, EXPANDED))

_ALLOWED = {
    WAITING: (READY, SKIPPED, ABANDONED, EXPANDED),
    READY: (RUNNING,),
    RUNNING: (SUCCEEDED, FAILED, RETRYING),
    RETRYING: (READY,),
}


class Track:
    """How far one step is. The machine alone writes here."""

    __slots__ = (
        "attempts", "branches", "dependents", "key", "mapping_keys", "number", "produced", "state", "step", "waiting_for",
    )  # fmt: skip

    def __init__(self, step: Step, mapping_keys: tuple[str, ...], number: int) -> None:
        self.step = step
        self.mapping_keys = mapping_keys
        #: `path[key]...`; a step whose fan-out is not known yet has `[?]` in it and stands for all its branches
        self.key = step_key(step.path, mapping_keys) if mapping_keys else step.path
        #: place in the plan, for steps that become ready at the same time
        self.number = number
        self.state = WAITING
        #: attempts begun
        self.attempts = 0
        #: how many steps upstream have not ended
        self.waiting_for = 0
        #: tracks that wait for this one
        self.dependents: list[Track] = []
        #: outputs of the last attempt: None, or the mapping keys of a dynamic one, in order
        self.produced: dict[str, list[str] | None] = {}
        #: of an EXPANDED track: its branches, in the order of the mapping keys
        self.branches: Sequence[Track] = ()

    @property
    def is_template(self) -> bool:
        """True while the step stands for branches that are not known yet."""
        return UNKNOWN_KEY in self.mapping_keys


class InvalidTransition(Exception):
    """A fault of ours: a step was to go where it cannot go. The message tells the step's story."""

    def __init__(self, track: Track, to: str) -> None:
        super().__init__(
            f"Step {track.key!r} cannot go from {track.state} to {to} (attempts: {track.attempts}, waiting for: "
            f"{track.waiting_for}, produced: {sorted(track.produced)})."
        )


_T = DagsterEventType

#: the types of events that change the machine's mind; the driver need not show it others
READS = frozenset(
    t.value
    for t in (
        _T.STEP_OUTPUT,
        _T.STEP_SUCCESS,
        _T.STEP_FAILURE,
        _T.STEP_UP_FOR_RETRY,
        _T.STEP_RESTARTED,
    )
)


class Machine:
    """One run's progress.

    `limit` is the number of steps that may run at once, None for any. With `stops_at_failure` the first failed step
    ends the run: what runs is let finish, nothing more is started.
    """

    def __init__(self, plan: Plan, *, limit: int | None = None, stops_at_failure: bool = False) -> None:
        self.plan = plan
        self.limit = limit
        self.stops_at_failure = stops_at_failure
        self.is_stopped = False
        self.tracks: dict[str, Track] = {}
        self.running: set[str] = set()
        self.retrying: set[str] = set()
        #: keys of steps that failed for good, in order
        self.failed: list[str] = []
        self._ready: list[tuple[int, int, str]] = []
        self._sequence = 0
        self._numbers = {path: number for number, path in enumerate(plan.steps)}
        self._below: dict[Fan, list[Step]] = {}
        self._handlers: dict[str, Callable[[Track, DagsterEvent], list[Command]]] = {
            _T.STEP_OUTPUT.value: self._on_output,
            _T.STEP_SUCCESS.value: self._on_success,
            _T.STEP_FAILURE.value: self._on_failure,
            _T.STEP_UP_FOR_RETRY.value: self._on_up_for_retry,
            _T.STEP_RESTARTED.value: self._on_restarted,
        }

    # -- in: what the driver calls

    @property
    def is_done(self) -> bool:
        """True when nothing runs and nothing more will."""
        if self.running:
            return False
        return self.is_stopped or not (self._ready or self.retrying)

    def start(self) -> list[Command]:
        """The first commands."""
        tracks = self.tracks
        for number, step in enumerate(self.plan.steps.values()):
            track = Track(step, (UNKNOWN_KEY,) * len(step.scope), number)
            tracks[track.key] = track
            for fan in step.scope:
                self._below.setdefault(fan, []).append(step)
        by_path = {track.step.path: track for track in tracks.values()}
        settled: list[Track] = []
        for track in by_path.values():
            upstream = {source.path for source in track.step.upstream}
            if track.step.scope:
                # Also for a branch whose inputs all come from outside: the fan's own step makes it.
                upstream.add(track.step.scope[-1].path)
            for path in upstream:
                by_path[path].dependents.append(track)
            track.waiting_for = len(upstream)
            if not upstream:
                settled.append(track)
        return self._settle(settled)

    def handle(self, event: DagsterEvent) -> list[Command]:
        """What follows from an event that is in the log."""
        handler = self._handlers.get(event.event_type_value)
        if handler is None:
            return []
        return handler(self.tracks[event.step_key or ""], event)

    def resume(self, key: str) -> list[Command]:
        """The time of a `Wait` is over."""
        self.retrying.discard(key)
        track = self.tracks[key]
        self._go(track, READY)
        self._push(track)
        return self._launch()

    def stop(self) -> None:
        """Start nothing more; what runs may finish."""
        self.is_stopped = True

    # -- events

    def _on_output(self, track: Track, event: DagsterEvent) -> list[Command]:
        handle = event.event_specific_data.step_output_handle  # type: ignore[union-attr]
        if handle.mapping_key is None:
            track.produced[handle.output_name] = None
        else:
            keys = track.produced.setdefault(handle.output_name, [])
            assert keys is not None
            keys.append(handle.mapping_key)
        return []

    def _on_success(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, SUCCEEDED)
        self.running.discard(track.key)
        expanded: list[Track] = []
        if self._below:
            for port in track.step.outputs:
                if port.is_dynamic:
                    expanded += self._expand(track, port.name)
        return self._ended(track, expanded)

    def _on_failure(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, FAILED)
        self.running.discard(track.key)
        self.failed.append(track.key)
        if self.stops_at_failure:
            self.is_stopped = True
            return []
        return self._ended(track)

    def _on_up_for_retry(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, RETRYING)
        self.running.discard(track.key)
        self.retrying.add(track.key)
        seconds = event.event_specific_data.seconds_to_wait  # type: ignore[union-attr]
        if seconds > 0:
            return [Wait(track.key, seconds), *self._launch()]
        return self.resume(track.key)

    def _on_restarted(self, track: Track, event: DagsterEvent) -> list[Command]:
        track.produced = {}
        return []

    # -- transitions

    def _go(self, track: Track, to: str) -> None:
        if to not in _ALLOWED.get(track.state, ()):
            raise InvalidTransition(track, to)
        track.state = to

    def _push(self, track: Track) -> None:
        self._sequence += 1
        heapq.heappush(self._ready, (-track.step.priority, self._sequence, track.key))

    def _ended(self, track: Track, expanded: Iterable[Track] = ()) -> list[Command]:
        settled = list(expanded)
        for dependent in track.dependents:
            dependent.waiting_for -= 1
            if dependent.waiting_for == 0 and dependent.state == WAITING:
                settled.append(dependent)
        if not settled:
            return self._launch()
        if len(settled) > 1:
            settled.sort(key=_order)
        return self._settle(settled)

    def _settle(self, tracks: list[Track]) -> list[Command]:
        """Decide on steps that wait for nothing any more, and on those that are decided by them."""
        commands: list[Command] = []
        queue = tracks
        while queue:
            following: list[Track] = []
            for track in queue:
                verdict = self._verdict(track)
                self._go(track, verdict)
                if verdict == READY:
                    self._push(track)
                    continue
                if verdict == SKIPPED and not track.is_template:
                    commands.append(Skip(track.key, track.step.path))
                elif verdict == ABANDONED and not track.is_template:
                    commands.append(Note(track.key, self._explain(track)))
                for dependent in track.dependents:
                    dependent.waiting_for -= 1
                    if dependent.waiting_for == 0 and dependent.state == WAITING:
                        following.append(dependent)
            queue = sorted(following, key=_order)
        commands += self._launch()
        return commands

    def _launch(self) -> list[Command]:
        commands: list[Command] = []
        while self._ready and not self.is_stopped and (self.limit is None or len(self.running) < self.limit):
            track = self.tracks[heapq.heappop(self._ready)[2]]
            self._go(track, RUNNING)
            track.attempts += 1
            self.running.add(track.key)
            inputs = {port.name: self._resolve(track, port.source) for port in track.step.inputs if port.has_value}
            commands.append(Launch(track.key, track.step.path, track.mapping_keys, track.attempts, inputs))
        return commands

    # -- what an input needs

    def _upstream_track(self, track: Track, path: str) -> Track:
        depth = len(self.plan.steps[path].scope)
        return self.tracks[step_key(path, track.mapping_keys[:depth])] if depth else self.tracks[path]

    def _group(self, track: Track, source: FromCollect) -> Track:
        """The track that was expanded into the branches that `source` collects."""
        depth = len(self.plan.steps[source.path].scope)
        return self.tracks[step_key(source.path, (*track.mapping_keys[: depth - 1], UNKNOWN_KEY))]

    def _verdict(self, track: Track) -> str:
        if track.is_template:
            # It was not expanded although its fan has ended, so there is nothing to expand it by.
            fan = self._upstream_track(track, track.step.scope[track.mapping_keys.index(UNKNOWN_KEY)].path)
            return SKIPPED if fan.state == SKIPPED else ABANDONED
        verdict = READY
        for port in track.step.inputs:
            state = self._availability(track, port.source)
            if state == SKIPPED:
                return SKIPPED  # a skip wins over a failure
            if state == ABANDONED:
                verdict = ABANDONED
        return verdict

    def _availability(self, track: Track, source: Source) -> str:
        """READY, SKIPPED or ABANDONED: whether one input can be had."""
        if isinstance(source, FromOutput):
            return self._output_state(self._upstream_track(track, source.path), source.output)
        if isinstance(source, FromList):
            states = [self._output_state(self._upstream_track(track, item.path), item.output) for item in source.items]
        elif source.is_dynamic:
            upstream = self._upstream_track(track, source.path)
            return READY if upstream.state == SUCCEEDED else self._output_state(upstream, source.output)
        else:
            group = self._group(track, source)
            if group.state != EXPANDED:
                return SKIPPED if group.state == SKIPPED else ABANDONED
            states = [self._output_state(branch, source.output) for branch in group.branches]
        if ABANDONED in states:
            return ABANDONED
        return SKIPPED if states and READY not in states else READY

    @staticmethod
    def _output_state(upstream: Track, output: str) -> str:
        if upstream.state == SUCCEEDED:
            return READY if output in upstream.produced else SKIPPED
        return SKIPPED if upstream.state == SKIPPED else ABANDONED

    def _resolve(self, track: Track, source: Source) -> StepOutputHandle | list[StepOutputHandle]:
        if isinstance(source, FromOutput):
            return self._output_handle(track, source)
        if isinstance(source, FromList):
            return [
                self._output_handle(track, item)
                for item in source.items
                if item.output in self._upstream_track(track, item.path).produced
            ]
        if source.is_dynamic:
            upstream = self._upstream_track(track, source.path)
            keys = upstream.produced.get(source.output) or []
            return [StepOutputHandle(upstream.key, source.output, key) for key in keys]
        return [
            StepOutputHandle(branch.key, source.output)
            for branch in self._group(track, source).branches
            if source.output in branch.produced
        ]

    def _output_handle(self, track: Track, source: FromOutput) -> StepOutputHandle:
        if not track.mapping_keys:
            return StepOutputHandle(source.path, source.output)
        depth = len(self.plan.steps[source.path].scope)
        key = step_key(source.path, track.mapping_keys[:depth])
        return StepOutputHandle(key, source.output, track.mapping_keys[depth] if source.is_dynamic else None)

    def _explain(self, track: Track) -> str:
        missing = sorted(
            {
                upstream.key
                for source in track.step.upstream
                for upstream in self._sources(track, source)
                if upstream.state in (FAILED, ABANDONED)
            }
        )
        return f"Dependencies for step {track.key} failed: {missing}. Not executing."

    def _sources(self, track: Track, source: FromOutput | FromCollect) -> Sequence[Track]:
        if isinstance(source, FromOutput) or source.is_dynamic:
            return [self._upstream_track(track, source.path)]
        group = self._group(track, source)
        return group.branches if group.state == EXPANDED else [group]

    # -- fan-out

    def _expand(self, origin: Track, output: str) -> list[Track]:
        """Turn the templates below a dynamic output into branches; gives those that wait for nothing."""
        fan = Fan(origin.step.path, output)
        keys = origin.produced.get(output) or []
        prefix = origin.mapping_keys
        made: list[Track] = []
        templates: list[tuple[Track, list[Track]]] = []
        for step in self._below.get(fan, ()):
            rest = (UNKNOWN_KEY,) * (len(step.scope) - len(prefix) - 1)
            template = self.tracks[step_key(step.path, (*prefix, UNKNOWN_KEY, *rest))]
            branches = [Track(step, (*prefix, key, *rest), template.number) for key in keys]
            for branch in branches:
                self.tracks[branch.key] = branch
            self._go(template, EXPANDED)
            template.branches = branches
            templates.append((template, branches))
            made += branches
        members = {id(template) for template, _ in templates}
        for template, branches in templates:
            self._rewire(template, branches, origin, members)
        return [branch for branch in made if branch.waiting_for == 0]

    def _rewire(self, template: Track, branches: list[Track], origin: Track, members: set[int]) -> None:
        """Let the branches wait for what their template waited for, and what waited for it wait for them."""
        for branch in branches:
            for upstream in self._awaited(branch):
                if upstream is not origin and upstream.state not in ENDED:
                    upstream.dependents.append(branch)
                    branch.waiting_for += 1
        for dependent in template.dependents:
            if id(dependent) in members:
                continue  # expanded with it: its branches have been or will be wired above
            dependent.waiting_for += len(branches) - 1
            for branch in branches:
                branch.dependents.append(dependent)
            if dependent.waiting_for == 0:
                # Nobody is left to tell it: let the origin's end do so.
                dependent.waiting_for = 1
                origin.dependents.append(dependent)
        template.dependents = []

    def _awaited(self, branch: Track) -> list[Track]:
        found: dict[int, Track] = {}
        for source in branch.step.upstream:
            for upstream in self._sources(branch, source):
                found[id(upstream)] = upstream
        if branch.is_template:
            fan = branch.step.scope[branch.mapping_keys.index(UNKNOWN_KEY)]
            upstream = self._upstream_track(branch, fan.path)
            found[id(upstream)] = upstream
        return list(found.values())

    # -- for tests

    def check(self) -> None:
        """Assert every invariant; tests call it after each event."""
        for key, track in self.tracks.items():
            assert track.key == key
            assert (track.state == RUNNING) == (key in self.running), key
            assert (track.state == RETRYING) == (key in self.retrying), key
            assert track.waiting_for >= 0, key
            if track.state == WAITING:
                assert track.waiting_for > 0, f"{key} waits for nothing"
            assert track.attempts > 0 or track.state not in (RUNNING, SUCCEEDED, FAILED), key
        assert self.limit is None or len(self.running) <= self.limit
        if self.is_done and not self.is_stopped:
            unfinished = [key for key, track in self.tracks.items() if track.state not in ENDED]
            assert not unfinished, f"the run is over, but {unfinished} never ended"


def _order(track: Track) -> Any:
    return track.number


# -- retrying ---------------------------------------------------------------------------------------------------------


def retry_delay(
    policy: RetryPolicy | None,
    attempt: int,
    *,
    requested: RetryRequested | None = None,
    is_retryable: bool = True,
    rand: float | None = None,
) -> float | None:
    """Seconds to wait before another attempt, or None where this failure is final.

    `attempt` is the one that failed, counted from 1. What the op itself asks for (`RetryRequested`) rules over the
    policy. Used wherever a failure is seen: in the worker that ran the step, and by whoever finds the worker dead.
    """
    if requested is not None:
        return (requested.seconds_to_wait or 0) if attempt <= requested.max_retries else None
    if policy is None or not is_retryable or attempt > policy.max_retries:
        return None
    return policy.calculate_delay(attempt, rand)
