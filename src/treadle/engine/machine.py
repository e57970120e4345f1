"""Events in, commands out: ready, retry, skip, map/collect, limits, cancel; pure.

The driver feeds it every event of a run and carries out what it answers; a stored log fed to a new machine (`recall`)
gives the same state, and so does what a parent run knows of its steps. No clock, no I/O, no threads, no randomness: time
comes in as `resume`, waiting goes out as `Wait`; what other runs keep a step from comes in as `postpone`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from treadle.engine.limits import Limits
from treadle.engine.track import (
    ABANDONED,
    ALLOWED,
    ENDED,
    EXCLUDED,
    EXPANDED,
    FAILED,
    POSTPONED,
    READY,
    RETRYING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    InvalidTransition,
    Track,
)  # fmt: skip
from treadle.events import DagsterEvent, DagsterEventType, StepOutputHandle
from treadle.plan.model import (
    NO_PAST,
    UNKNOWN_KEY,
    Command,
    Fan,
    FromCollect,
    FromList,
    FromOutput,
    KnownInputs,
    Launch,
    Note,
    Past,
    Plan,
    Skip,
    Source,
    Step,
    Wait,
    split_step_key,
    step_key,
    templates_of,
)  # fmt: skip

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


#: an attempt has begun, or may have: its worker was told to
_BEGINNINGS = frozenset((_T.STEP_START.value, _T.STEP_RESTARTED.value, _T.STEP_WORKER_STARTING.value))
_SKIPPED = _T.STEP_SKIPPED.value
#: more than there are places among those that are ready
_FIRST = 1 << 62


class Machine:
    """One run's progress.

    `limit` is the number of steps that may run at once, None for any; `limits` says which may run beside which. With `stops_at_failure` the first failed step
    ends the run: what runs is let finish, nothing more is started. `past` says which steps this run is to run at all,
    and what its parent runs know of the others. Without `needs_success` a step may use what a step had yielded that failed.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        limit: int | None = None,
        stops_at_failure: bool = False,
        past: Past = NO_PAST,
        needs_success: bool = True,
        limits: Limits | None = None,
    ) -> None:
        self.plan = plan
        self.limits = limits
        self.past = past
        self.limit = limit
        self.stops_at_failure = stops_at_failure
        self.needs_success = needs_success
        self.is_stopped = False
        #: while the past is told: nothing is launched
        self.is_recalling = False
        self.tracks: dict[str, Track] = {}
        self.running: set[str] = set()
        self.retrying: set[str] = set()
        #: keys of steps whose launch the driver has put off
        self.postponed: set[str] = set()
        #: keys of steps that failed for good, in order
        self.failed: list[str] = []
        self._ready: list[tuple[int, int, str]] = []
        self._sequence = 0
        self._numbers = {path: number for number, path in enumerate(plan.steps)}
        self._below: dict[Fan, list[Step]] = {}
        #: the templates that wanted branches are made of
        self._wanted_templates = {form for key in past.wanted or () for form in templates_of(key)}
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
        return self.is_stopped or not (self._ready or self.retrying or self.postponed)

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
        if self.past is not NO_PAST:
            settled = self._apply_past()
        return self._settle(settled)

    def handle(self, event: DagsterEvent) -> list[Command]:
        """What follows from an event that is in the log."""
        handler = self._handlers.get(event.event_type_value)
        if handler is None:
            return []
        return handler(self.tracks[event.step_key or ""], event)

    def resume(self, key: str) -> list[Command]:
        """The time of a `Wait` is over, or what was put off may be tried again: that has its turn before its equals."""
        track = self.tracks[key]
        self._go(track, READY)
        self._push(track, is_first=key in self.postponed)
        self.retrying.discard(key)
        self.postponed.discard(key)
        return self._launch()

    def postpone(self, key: str) -> list[Command]:
        """A `Launch` cannot be carried out yet, for a reason outside of the run. The attempt has not begun; until `resume` is
        called for the step it takes nothing from others.
        """
        track = self.tracks[key]
        self._go(track, POSTPONED)
        track.attempts -= 1
        self.postponed.add(key)
        self._leave(track)
        return self._launch()

    def stop(self) -> None:
        """Start nothing more; what runs may finish."""
        self.is_stopped = True

    def recall(self, events: Iterable[DagsterEvent]) -> list[Command]:
        """Start, and go where these events, the log of this run so far, have led; gives what is then to be done.

        What was under way stays in `running`: whoever calls this tells how it ended, by an event like any other. A step
        that waited for another attempt waits no more.
        """
        self.is_recalling = True
        undone = {command.step_key: command for command in self.start() if isinstance(command, Skip)}
        for event in events:
            kind = event.event_type_value
            if kind in _BEGINNINGS:
                self._begin_again(self.tracks[event.step_key or ""])
            elif kind == _SKIPPED:
                undone.pop(event.step_key or "", None)
            if kind in READS:
                commands = self.handle(event)
                undone.update((command.step_key, command) for command in commands if isinstance(command, Skip))
        for key in list(self.retrying):
            self.resume(key)
        self.is_recalling = False
        return [*undone.values(), *self._launch()]

    @property
    def to_do(self) -> list[str]:
        """Keys of the steps that have not ended, in the order of the plan."""
        tracks = [track for track in self.tracks.values() if track.state not in ENDED]
        return [track.key for track in sorted(tracks, key=_order)]

    # -- the past

    def _apply_past(self) -> list[Track]:
        """Give each step that a parent run knows its outcome, take out what this run is not to run; gives all that then
        waits for nothing.
        """
        for known in sorted(self.past.known, key=lambda each: self._numbers.get(split_step_key(each.step_key)[0], 0)):
            track = self.tracks.get(known.step_key)
            if track is None or track.state != WAITING:
                continue  # its fan-out is to be run anew
            track.run_id = known.run_id
            if known.is_skipped:
                self._go(track, SKIPPED)
            else:
                for output, mapping_key in known.outputs:
                    self._take_output(track, output, mapping_key)
                self._go(track, SUCCEEDED)
                self._expand_all(track)
            self._untie(track)
        for track in list(self.tracks.values()):
            if track.state == WAITING and not self._is_wanted(track):
                self._go(track, EXCLUDED)
                self._untie(track)
        return sorted((t for t in self.tracks.values() if t.state == WAITING and t.waiting_for == 0), key=_order)

    def _untie(self, track: Track) -> None:
        for dependent in track.dependents:
            dependent.waiting_for -= 1

    def _is_wanted(self, track: Track) -> bool:
        """Whether this run is to run a step. The key of a template stands for its branches, that of a branch needs it."""
        wanted = self.past.wanted
        if wanted is None or track.key in wanted:
            return True
        if not track.mapping_keys:
            return False
        if track.is_template:
            return track.key in self._wanted_templates
        return any(form in wanted for form in templates_of(track.key))

    def _begin_again(self, track: Track) -> None:
        """Recall that an attempt began."""
        if track.state == RUNNING:
            return  # its worker was told of before
        if track.state == RETRYING:
            self.resume(track.key)
        self._go(track, RUNNING)
        track.attempts += 1
        self.running.add(track.key)
        if self.limits is not None:
            self.limits.occupy(track.step.path)

    # -- events

    def _on_output(self, track: Track, event: DagsterEvent) -> list[Command]:
        handle = event.event_specific_data.step_output_handle  # type: ignore[union-attr]
        self._take_output(track, handle.output_name, handle.mapping_key)
        return []

    @staticmethod
    def _take_output(track: Track, output: str, mapping_key: str | None) -> None:
        if mapping_key is None:
            track.produced[output] = None
        else:
            keys = track.produced.setdefault(output, [])
            assert keys is not None
            keys.append(mapping_key)

    def _on_success(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, SUCCEEDED)
        self._leave(track)
        return self._ended(track, self._expand_all(track) if self._below else ())

    def _on_failure(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, FAILED)
        self._leave(track)
        self.failed.append(track.key)
        if self.stops_at_failure:
            self.is_stopped = True
            return []
        return self._ended(track)

    def _on_up_for_retry(self, track: Track, event: DagsterEvent) -> list[Command]:
        self._go(track, RETRYING)
        self._leave(track)
        self.retrying.add(track.key)
        payload: Any = event.event_specific_data
        track.interruptions += payload.is_interruption
        seconds = payload.seconds_to_wait
        if self.is_recalling:
            return []
        if seconds > 0:
            return [Wait(track.key, seconds), *self._launch()]
        return self.resume(track.key)

    def _on_restarted(self, track: Track, event: DagsterEvent) -> list[Command]:
        track.produced = {}
        return []

    # -- transitions

    def _go(self, track: Track, to: str) -> None:
        if to not in ALLOWED.get(track.state, ()):
            raise InvalidTransition(track, to)
        track.state = to

    def _leave(self, track: Track) -> None:
        """It runs no more, and what it had taken is free."""
        self.running.discard(track.key)
        if self.limits is not None:
            for key in self.limits.give_back(track.step.path):
                self._push(self.tracks[key])

    def _push(self, track: Track, *, is_first: bool = False) -> None:
        self._sequence += 1
        place = self._sequence - _FIRST if is_first else self._sequence
        heapq.heappush(self._ready, (-track.step.priority, place, track.key))

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
        if self.is_recalling:
            return commands
        while self._ready and not self.is_stopped and (self.limit is None or len(self.running) < self.limit):
            track = self.tracks[heapq.heappop(self._ready)[2]]
            if track.state != READY:
                continue  # recalled: it was begun, so this place in the queue is not its own
            if self.limits is not None and not self.limits.take(track.key, track.step.path):
                continue  # it waits there
            self._go(track, RUNNING)
            track.attempts += 1
            self.running.add(track.key)
            inputs = {port.name: self._resolve(track, port.source) for port in track.step.inputs if port.has_value}
            failures = track.attempts - 1 - track.interruptions
            origins = self._origins(inputs) if self.past is not NO_PAST else {}
            commands.append(
                Launch(track.key, track.step.path, track.mapping_keys, track.attempts, inputs, failures, origins)
            )
        return commands

    def _origins(self, inputs: KnownInputs) -> dict[str, str]:
        found = {}
        for handles in inputs.values():
            for handle in handles if isinstance(handles, list) else [handles]:
                run_id = self.tracks[handle.step_key].run_id
                if run_id is not None:
                    found[handle.step_key] = run_id
        return found

    # -- what an input needs

    def _upstream_track(self, track: Track, path: str) -> Track:
        depth = len(self.plan.steps[path].scope)
        return self.tracks[step_key(path, track.mapping_keys[:depth])] if depth else self.tracks[path]

    def _group(self, track: Track, source: FromCollect) -> Track:
        """The track that was expanded into the branches that `source` collects."""
        depth = len(self.plan.steps[source.path].scope)
        return self.tracks[step_key(source.path, (*track.mapping_keys[: depth - 1], UNKNOWN_KEY))]

    def _verdict(self, track: Track) -> str:
        if self.past.wanted is not None and not self._is_wanted(track):
            return EXCLUDED
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

    def _output_state(self, upstream: Track, output: str) -> str:
        if upstream.state == SUCCEEDED:
            return READY if output in upstream.produced else SKIPPED
        if upstream.state == FAILED and not self.needs_success and output in upstream.produced:
            return READY
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

    def _expand_all(self, origin: Track) -> list[Track]:
        """Turn the templates below each dynamic output into branches; gives those that wait for nothing."""
        expanded: list[Track] = []
        for port in origin.step.outputs:
            if port.is_dynamic:
                expanded += self._expand(origin, port.name)
        return expanded

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
            if template.state == EXCLUDED:
                continue
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
            assert (track.state == POSTPONED) == (key in self.postponed), key
            assert track.waiting_for >= 0, key
            if track.state == WAITING:
                assert track.waiting_for > 0, f"{key} waits for nothing"
            is_own = track.run_id is None
            assert track.attempts > 0 or track.state not in (RUNNING, SUCCEEDED, FAILED) or not is_own, key
        assert self.limit is None or len(self.running) <= self.limit
        if self.is_done and not self.is_stopped:
            unfinished = [key for key, track in self.tracks.items() if track.state not in ENDED]
            assert not unfinished, f"the run is over, but {unfinished} never ended"


def _order(track: Track) -> Any:
    return track.number
