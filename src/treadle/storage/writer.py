"""The writer of one run's log: takes events as they come, and commits them in one transaction with the summaries.

The store makes it for whoever got the run's lease. Taking an event is a list append; encoding and SQL wait for the commit.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from treadle import codec
from treadle.errors import LeaseLostError
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry
from treadle.runs import STATUS_AFTER, DagsterRun
from treadle.storage import sql
from treadle.storage.store import Owner, SlotClaim, SlotRequest, StepState

if TYPE_CHECKING:
    from treadle.storage.sqlite import SqliteStore

_T = DagsterEventType

#: (when, an event, or level, text, step key and traceback of a message)
Item = tuple[float, "DagsterEvent | tuple[int, str, str | None, str | None]"]

_STARTS = frozenset((_T.STEP_START.value, _T.STEP_RESTARTED.value))
_ENDS = {
    _T.STEP_SUCCESS.value: StepState.SUCCESS.value,
    _T.STEP_FAILURE.value: StepState.FAILURE.value,
    _T.STEP_SKIPPED.value: StepState.SKIPPED.value,
}
_UP_FOR_RETRY = _T.STEP_UP_FOR_RETRY.value
#: columns of `runs` that an event of this type sets to its time
TIMED = {
    _T.RUN_ENQUEUED.value: "enqueued",
    _T.RUN_STARTING.value: "launched",
    _T.RUN_START.value: "started",
    _T.RUN_SUCCESS.value: "ended",
    _T.RUN_FAILURE.value: "ended",
    _T.RUN_CANCELED.value: "ended",
}
_COUNTED = {_T.ASSET_MATERIALIZATION.value: "materializations", _T.STEP_EXPECTATION_RESULT.value: "expectations"}


# What an event of a type does beyond its row: of most it is nothing, and then one look-up tells.
_FOLDED, _CHANGES, _IS_MARKED = 1, 2, 4
_DOES = {
    kind: _FOLDED * (kind in _STARTS or kind in _ENDS or kind == _UP_FOR_RETRY)
    + _CHANGES * (kind in STATUS_AFTER or kind in TIMED or kind in _COUNTED)
    + _IS_MARKED * (kind in sql.MARKED)
    for kind in (member.value for member in DagsterEventType)
}


class Step:
    """The summary of one step, as far as its events have been written."""

    __slots__ = ("attempts", "ended", "is_changed", "is_named", "key", "number", "op", "started", "state")

    def __init__(self, number: int, key: str, op: str | None = None) -> None:
        self.number = number
        self.key = key
        self.op = op
        self.state: str | None = None
        self.attempts = 0
        self.started: float | None = None
        self.ended: float | None = None
        self.is_changed = True
        #: an event has told the name of the op's definition; those of resources tell none
        self.is_named = False

    def take(self, kind: str, at: float) -> None:
        """The fold of one event that counts; `records.step_stats` is the same fold of a whole log."""
        if kind in _STARTS:
            self.state = StepState.RUNNING.value
            self.attempts += 1
            self.started = at if self.started is None else self.started
        elif kind in _ENDS:
            if self.state != StepState.RUNNING.value:
                self.attempts += 1  # it ended without ever having begun
            self.state, self.ended = _ENDS[kind], at
        else:
            if self.state != StepState.RUNNING.value:
                self.attempts += 1
            self.state = StepState.RETRYING.value
        self.is_changed = True

    def copy(self) -> Step:
        """One that can be changed without this one."""
        made = Step(self.number, self.key, self.op)
        made.state, made.attempts, made.started, made.ended = self.state, self.attempts, self.started, self.ended
        made.is_changed, made.is_named = False, self.is_named
        return made

    def facts(self, run: int) -> tuple[Any, ...]:
        """What the query `put_step` writes."""
        return self.op, self.state, self.attempts, self.started, self.ended, run, self.number, self.key


class Change:
    """What the events of one commit change in the run's own row."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.updated = 0.0
        self.times: dict[str, float] = {}
        self.counts = {"materializations": 0, "expectations": 0}

    def take(self, kind: str, at: float) -> None:
        """Take one event into account."""
        if kind in STATUS_AFTER:
            self.status, self.updated = STATUS_AFTER[kind].value, sql.moment_of(at)
        if kind in TIMED:
            self.times[TIMED[kind]] = at
        if kind in _COUNTED:
            self.counts[_COUNTED[kind]] += 1

    def parameters(self, run: int) -> tuple[Any, ...]:
        """For the query `change_run`."""
        times = (self.times.get(name) for name in ("enqueued", "launched", "started", "ended"))
        return self.status, self.updated, *times, *self.counts.values(), run


class Batch:
    """The rows that a commit writes, made of items in order. Events get their numbers from the database."""

    __slots__ = ("_known", "_next_step", "_number", "_run", "change", "events", "marked", "steps")

    def __init__(self, run: DagsterRun, number: int, steps: dict[str, Step]) -> None:
        #: what changes in the run's own row, if anything does
        self.change: Change | None = None
        self.events: list[tuple[Any, ...]] = []
        #: places in `events` of those that are to be found over all runs, with their types
        self.marked: list[tuple[int, str]] = []
        self.steps: dict[str, Step] = {}
        self._run = run
        self._number = number
        self._known = steps
        self._next_step = len(steps)

    def take(self, items: Iterable[Item]) -> None:
        """Make the rows of these."""
        run, number, add, encode = self._run, self._number, self.events.append, codec.encode_event
        key: str | None = None
        step: Step | None = None
        for at, what in items:
            is_message = type(what) is tuple
            key_now = what[2] if is_message else what.step_key  # type: ignore[index, union-attr]
            if key_now != key:
                key = key_now
                step = None if key is None else self.steps.get(key) or self._open(key)
            place = None if step is None else step.number
            if is_message:
                level, text, _, traceback = what  # type: ignore[misc]
                add((number, at, None, place, None, codec.encode_message(level, text, traceback).decode()))
                continue
            assert not isinstance(what, tuple)
            kind = what.event_type_value
            if _DOES.get(kind):
                self._do(kind, at, what, step)
            body = encode(what, run)
            add((number, at, kind, place, what.pid, None if body is None else body.decode()))

    def _do(self, kind: str, at: float, event: DagsterEvent, step: Step | None) -> None:
        """What an event does to the summaries, and to what is looked for over all runs."""
        does = _DOES[kind]
        if does & _FOLDED and step is not None:
            step.take(kind, at)
            if not step.is_named:
                step.op, step.is_named = codec.op_name(event), True
        if does & _CHANGES:
            if self.change is None:
                self.change = Change()
            self.change.take(kind, at)
        if does & _IS_MARKED:
            self.marked.append((len(self.events), kind))

    def _open(self, key: str) -> Step:
        """The summary of a step that this commit is the first to mention; the writer's own changes when it is done."""
        known = self._known.get(key)
        if known is None:
            step = Step(self._next_step, key)
            self._next_step += 1
        else:
            step = known.copy()
        self.steps[key] = step
        return step


#: what user code tells of in events; a step may do so as often as it likes
_TOLD = frozenset((_T.ASSET_MATERIALIZATION.value, _T.ASSET_OBSERVATION.value, _T.STEP_EXPECTATION_RESULT.value))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class SqliteWriter:
    """What has been appended waits in a buffer until it is committed; see `store.RunWriter` for the promises."""

    def __init__(
        self, store: SqliteStore, run: DagsterRun, owner: Owner, listeners: list[Callable[[EventLogEntry], Any]]
    ) -> None:
        self._store = store
        self._run = run
        self.owner = owner
        #: what claims of slots belong to: that of the lease, in memory one that is made with the first of them
        self.token = owner.token
        self.has_claimed = False
        #: keys of steps that wait for slots
        self._refused: set[str] = set()
        self._listeners = listeners
        self._clock = store.clock
        self._is_in_memory = store.is_in_memory
        #: only appended to, and cut off at the front by who commits, which is safe without a lock
        self.buffer: list[Item] = []
        #: the number of the run, and its steps as the store has them; read at the first commit
        self.number: int | None = None
        self.steps: dict[str, Step] = {}
        self.commit_lock = threading.Lock()
        self.is_closed = False
        #: in memory: somebody else has taken the run
        self.is_lost = False
        self.pid = os.getpid()
        #: called every so often by the keeper of a store that lasts
        self.look: Callable[[], None] | None = None
        #: step key -> bytes of what user code has said in it so far
        self._said: dict[str | None, int] = {}

    @property
    def run(self) -> DagsterRun:
        """The run's record, with the status that what was appended leaves it in."""
        return self._run

    def append(self, event: DagsterEvent) -> None:
        """Take an event with the time of now. What user code tells of beyond the bound on its step is left out."""
        kind = event.event_type_value
        if kind in _TOLD and self._is_too_much(event.step_key, len(codec.encode_event(event, self._run) or b"")):
            return
        at = self._clock()
        self.buffer.append((at, event))
        if kind in STATUS_AFTER:
            self._run = self._run.with_status(STATUS_AFTER[kind])
        if self._listeners:
            self._tell(sql.event_entry(self._run, at, event))

    def append_message(self, level: int, text: str, step_key: str | None, traceback: str | None = None) -> None:
        """Take a message of user code, as long as its step has not said too much."""
        if not self._is_too_much(step_key, _size(text) + _size(traceback or "")):
            self._take_message(level, text, step_key, traceback)

    def _take_message(self, level: int, text: str, step_key: str | None, traceback: str | None) -> None:
        at = self._clock()
        self.buffer.append((at, (level, text, step_key, traceback)))
        if self._listeners:
            self._tell(sql.message_entry(self._run, at, level, text, traceback, step_key))

    def _is_too_much(self, step_key: str | None, size: int) -> bool:
        """Count what a step says. True beyond the bound; the first time a warning in its log says so."""
        bound = self._store.max_step_log
        said = self._said.get(step_key, 0)
        if said <= bound < said + size:
            self._take_message(
                logging.WARNING,
                f"This step has logged more than {bound} bytes: this entry, and the messages, materializations, observations and "
                f"expectations that come from now on, are not kept in the log. What it does and gives is not affected. The bound "
                f"is the setting retention.max_step_log.",
                step_key,
                None,
            )
        self._said[step_key] = said + size
        return said + size > bound

    def _tell(self, entry: EventLogEntry) -> None:
        for listener in list(self._listeners):
            listener(entry)

    def know_steps(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """The steps that the store has of the run."""
        for number, key, op, state, attempts, started, ended in rows:
            step = self.steps[key] = Step(number, key, op)
            step.state, step.attempts, step.started, step.ended = state, attempts, started, ended
            step.is_named = state is not None

    def change_tags(self, run: DagsterRun) -> None:
        """The run has got other tags from somebody else."""
        self._run = self._run.with_tags(run.tags)

    def commit(self) -> None:
        """Write all that was appended, in one transaction. In memory it stays where it is until somebody asks for it."""
        if self.buffer and self.is_lost:
            raise self.lost()
        if self.buffer and not self._is_in_memory:
            self._store.write_out(self)

    def ask_for_slots(self, request: SlotRequest, limits: Mapping[str, int]) -> list[SlotClaim]:
        """Take slots for a step, or let it wait; gives what is in its way."""
        self.token = self.token or uuid.uuid4().hex
        self.has_claimed = True
        is_again = request.step_key in self._refused
        hindrances = self._store.ask_for_slots(self, request, limits, is_again=is_again)
        (self._refused.add if hindrances else self._refused.discard)(request.step_key)
        return hindrances

    def give_slots_back(self, step_key: str) -> None:
        """What a step had taken is free."""
        if self.has_claimed:
            self._store.give_slots_back(self, step_key)

    def lost(self) -> LeaseLostError:
        """What to raise where somebody else has the lease."""
        return LeaseLostError(
            f"The run {self._run.run_id} was taken over by another process, since this one did not renew its lease in time. This "
            f"process must not go on with it; what it has not committed ({len(self.buffer)} entries of the log) is lost to the run."
        )

    def close(self) -> None:
        """Commit, and give the lease up."""
        if self.is_closed:
            return
        try:
            self._store.look_at_file()  # the last commit must not go into a file that was deleted a moment ago
            self.commit()
        finally:
            self.is_closed = True
            self._store.release(self)
