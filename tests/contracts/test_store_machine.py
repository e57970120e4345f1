"""Runs, leases and claims of slots whatever happens to them in whatever order: several processes, deaths, clocks that are set back.

Beside the store a model in plain words is kept, and after each step the store must tell the same as the model.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.contracts.stores import a_run, an_event
from tests.contracts.summaries import check_summaries, what_may_follow
from treadle.errors import DagsterRunAlreadyExists, DagsterRunNotFoundError, LeaseLostError, RunOwnedError
from treadle.events import DagsterEventType as T
from treadle.events import run_event
from treadle.records import EventLogRecord
from treadle.runs import FINISHED_STATUSES, STATUS_AFTER, DagsterRun, DagsterRunStatus, make_run_id
from treadle.storage.claims import SILENCE
from treadle.storage.leases import LeaseTerms
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import Owner, SlotClaim, SlotRequest

#: seconds for which a lease is good
DURATION = 10.0
#: what an entry of a log says, as far as the model knows: when, its type or None for a message, its step, its text
Entry = tuple[float, "T | None", "str | None", str]

# Few of each, so that they often meet.
runs = st.integers(0, 1)
processes = st.integers(0, 1)
picks = st.integers(0, 20)


@dataclass
class Writing:
    """A writer as the model knows it."""

    process: int
    run_id: str
    writer: Any
    waiting: list[Entry] = field(default_factory=list)
    is_closed: bool = False


@dataclass
class Known:
    """A run as the model knows it."""

    run: DagsterRun
    log: list[Entry] = field(default_factory=list)
    #: whose lease is in the store, and when it was renewed
    owner: Writing | None = None
    renewed: float = 0.0
    #: what was read of the log before: an entry never changes
    read: list[EventLogRecord] = field(default_factory=list)

    @property
    def status(self) -> DagsterRunStatus:
        status = self.run.status
        for _, kind, _, _ in self.log:
            if kind is not None and kind.value in STATUS_AFTER:
                status = STATUS_AFTER[kind.value]
        return status


@dataclass
class Claim:
    """Slots that a step has taken or waits for, as the model knows it."""

    number: int
    writing: Writing
    key: str
    slots: dict[str, int]
    priority: tuple[int, int]
    asked: float
    seen: float
    granted: float | None = None

    @property
    def turn(self) -> tuple[int, int, float, int]:
        return -self.priority[0], -self.priority[1], self.asked, self.number


#: how many slots there are, and what steps ask for
LIMITS = {"a": 2, "b": 2}
WISHES: list[dict[str, int]] = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]


class StoreMachine(RuleBasedStateMachine):
    """Several processes at one store in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.ids = [make_run_id() for _ in range(2)]
        self.known: dict[str, Known] = {}
        self.writings: list[Writing] = []
        self.owners = 0
        self.stores: list[SqliteStore] = []
        self.last_number = 0
        self.claims: list[Claim] = []
        self.asked = 0

    # -- how this kind of store is

    is_shared = True

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.stores = [self.make_store() for _ in range(2)]
        self.begin()

    def begin(self) -> None:
        """The first run is there, and each process has written to it in its turn."""
        self.add_run(0, 0)
        for process in (0, 1):
            self.take(process, 0, steals=True)
            self.append(-1, "load", 0, says=True)

    def make_store(self) -> SqliteStore:
        path = Path(self.folder, "treadle.db") if self.is_shared else None
        return SqliteStore(path, terms=LeaseTerms(DURATION, math.inf, lambda: self.now, self.make_owner))

    def make_owner(self) -> Owner:
        self.owners += 1
        return Owner("elsewhere", "boot", self.owners, 1, f"token {self.owners}")

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        if self.stores:
            shutil.rmtree(self.folder, ignore_errors=True)

    def store(self, process: int) -> SqliteStore:
        return self.stores[process if self.is_shared else 0]

    def is_owned(self, known: Known) -> bool:
        """What `is_alive` must say of the run's lease."""
        if known.owner is None:
            return False
        return abs(self.now - known.renewed) <= DURATION if self.is_shared else True

    def has_lease(self, writing: Writing) -> bool:
        known = self.known.get(writing.run_id)
        return known is not None and known.owner is writing

    # -- what happens

    @rule(process=processes, run=runs)
    def add_run(self, process: int, run: int) -> None:
        made = a_run(f"job {run}", run_id=self.ids[run], tags={"made": str(self.now)})
        if made.run_id in self.known:
            with pytest.raises(DagsterRunAlreadyExists):
                self.store(process).add_run(made)
        else:
            self.store(process).add_run(made)
            self.known[made.run_id] = Known(made)

    @rule(process=processes, run=runs, steals=st.booleans())
    def take(self, process: int, run: int, steals: bool) -> None:
        self.try_to_take(
            process, self.ids[run], lambda: self.store(process).open_writer(self.ids[run], steals=steals), steals
        )

    def try_to_take(self, process: int, run_id: str, do: Callable[[], Any], steals: bool = False) -> None:
        known = self.known.get(run_id)
        if known is None:
            with pytest.raises(DagsterRunNotFoundError):
                do()
        elif self.is_owned(known) and not steals:
            with pytest.raises(RunOwnedError):
                do()
        else:
            self.took(process, known, do())

    def took(self, process: int, known: Known, writer: Any) -> None:
        known.owner, known.renewed = Writing(process, known.run.run_id, writer), self.now
        self.writings.append(known.owner)
        assert writer.run.status is known.status

    @rule(run=runs, both=st.tuples(processes, processes))
    def take_by_two(self, run: int, both: tuple[int, int]) -> None:
        """Two resumes of one run at once: exactly one wins, or none where somebody has it."""
        run_id = self.ids[run]
        barrier = threading.Barrier(2)
        got: list[tuple[int, Any]] = []

        def ask(process: int) -> None:
            barrier.wait()
            try:
                got.append((process, self.store(process).open_writer(run_id)))
            except (RunOwnedError, DagsterRunNotFoundError) as error:
                got.append((process, error))

        threads = [threading.Thread(target=ask, args=(process,)) for process in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [(process, writer) for process, writer in got if not isinstance(writer, Exception)]
        known = self.known.get(run_id)
        assert len(got) == 2
        if known is None or self.is_owned(known):
            assert winners == []
        else:
            ((_, writer),) = winners
            # Who wins is left to chance, and nothing that comes after it may be: the run goes to the first of the two.
            writer.close()
            self.took(both[0], known, self.store(both[0]).open_writer(run_id))

    @rule(process=processes)
    def heartbeat(self, process: int) -> None:
        mine = [each for each in self.writings if each.process == process and not each.is_closed]
        self.store(process).renew([each.writer for each in mine])
        for each in mine:
            if self.has_lease(each):
                self.known[each.run_id].renewed = self.now

    @rule(process=processes)
    def die(self, process: int) -> None:
        """What the process had not committed is gone, its leases stay, and another process takes its place."""
        if self.is_shared:
            self.stores[process] = self.make_store()
            for each in self.writings:
                each.is_closed = each.is_closed or each.process == process

    @rule(seconds=st.sampled_from([0.001, 1.0, DURATION, DURATION + 0.5, -0.001, -5.0, -DURATION - 0.5]))
    def turn_clock(self, seconds: float) -> None:
        self.now += seconds

    def pick(self, number: int) -> Writing | None:
        still = [each for each in self.writings if not each.is_closed]
        return still[number % len(still)] if still else None

    @rule(number=picks, key=st.sampled_from(["load", "outer.clean", "inc[a]"]), choice=picks, says=st.booleans())
    def append(self, number: int, key: str, choice: int, says: bool) -> None:
        writing = self.pick(number)
        if writing is None:
            return
        if says:
            writing.writer.append_message(20, f"said {choice}", key)
            self.wait(writing, (self.now, None, key, f"said {choice}"))
            return
        before = self.known[writing.run_id].log if self.has_lease(writing) else []
        kinds = what_may_follow(
            [kind for _, kind, at, _ in [*before, *writing.waiting] if at == key and kind is not None]
        )
        if kinds:
            kind = kinds[choice % len(kinds)]
            writing.writer.append(an_event(kind, key))
            self.wait(writing, (self.now, kind, key, ""))

    @rule(number=picks, kind=st.sampled_from([T.RUN_START, T.RUN_CANCELING, T.RUN_SUCCESS, T.RUN_FAILURE]))
    def append_about_run(self, number: int, kind: T) -> None:
        writing = self.pick(number)
        if writing is not None:
            writing.writer.append(run_event(kind, "job"))
            self.wait(writing, (self.now, kind, None, ""))

    def wait(self, writing: Writing, entry: Entry) -> None:
        if self.is_shared:
            writing.waiting.append(entry)
        elif self.has_lease(writing):
            self.known[writing.run_id].log.append(entry)  # in memory it is seen at once
        else:
            writing.waiting.append(entry)

    @rule(number=picks)
    def commit(self, number: int) -> None:
        writing = self.pick(number)
        if writing is not None:
            self.try_to_commit(writing, writing.writer.commit)

    @rule(number=picks)
    def close(self, number: int) -> None:
        writing = self.pick(number)
        if writing is None:
            return
        self.try_to_commit(writing, writing.writer.close)
        writing.is_closed = True
        self.claims = [each for each in self.claims if each.writing is not writing]
        if self.has_lease(writing):
            self.known[writing.run_id].owner = None

    def try_to_commit(self, writing: Writing, do: Callable[[], None]) -> None:
        if self.has_lease(writing):
            do()
            self.known[writing.run_id].log += writing.waiting
            writing.waiting = []
        elif writing.waiting:
            with pytest.raises(LeaseLostError):
                do()
        else:
            with contextlib.suppress(LeaseLostError):
                do()

    # -- slots

    def counts(self, claim: Claim) -> bool:
        """Whether a claim's owner is alive and has the lease."""
        known = self.known.get(claim.writing.run_id)
        return known is not None and known.owner is claim.writing and self.is_owned(known)

    @rule(
        number=picks,
        key=st.sampled_from(["load", "clean", "inc[a]"]),
        wish=st.sampled_from(WISHES),
        priority=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    )
    def ask_for_slots(self, number: int, key: str, wish: dict[str, int], priority: tuple[int, int]) -> None:
        writing = self.pick(number)
        if writing is None:
            return
        if not self.has_lease(writing):
            with pytest.raises(LeaseLostError):
                writing.writer.ask_for_slots(SlotRequest(key, wish, priority), LIMITS)
            return
        in_the_way = writing.writer.ask_for_slots(SlotRequest(key, wish, priority), LIMITS)
        # Whoever asks clears away what no longer counts; what is its own counts, since it is there to ask.
        self.claims = [each for each in self.claims if each.writing is writing or self.counts(each)]
        mine = next((each for each in self.claims if each.writing is writing and each.key == key), None)
        if mine is None:
            self.asked += 1
            mine = Claim(self.asked, writing, key, wish, priority, self.now, self.now)
            self.claims.append(mine)
        if mine.granted is None:
            mine.slots, mine.priority, mine.seen = wish, priority, self.now
            before = [
                each
                for each in self.claims
                if each is not mine
                and (
                    each.granted is not None
                    or (each.turn < mine.turn and abs(self.now - each.seen) <= SILENCE)
                )
            ]  # fmt: skip
            if all(LIMITS[a] - sum(each.slots.get(a, 0) for each in before) >= count for a, count in wish.items()):
                mine.granted = self.now
        assert (in_the_way == []) == (mine.granted is not None)
        ids = {each.writing.run_id for each in self.claims}
        assert all(claim.run_id in ids and claim.slots.keys() & mine.slots.keys() for claim in in_the_way)

    @rule(number=picks, key=st.sampled_from(["load", "clean", "inc[a]"]))
    def give_slots_back(self, number: int, key: str) -> None:
        writing = self.pick(number)
        if writing is None:
            return
        if self.has_lease(writing) or all(each.writing is not writing for each in self.claims):
            with contextlib.suppress(LeaseLostError):
                writing.writer.give_slots_back(key)
            self.claims = [each for each in self.claims if (each.writing, each.key) != (writing, key)]
        else:
            with pytest.raises(LeaseLostError):
                writing.writer.give_slots_back(key)

    @rule(process=processes, run=runs, kind=st.sampled_from([T.RUN_CANCELING, T.RUN_CANCELED, T.RUN_FAILURE]))
    def say_from_outside(self, process: int, run: int, kind: T) -> None:
        known = self.known.get(self.ids[run])
        if known is None:
            with pytest.raises(DagsterRunNotFoundError):
                self.store(process).append(self.ids[run], run_event(kind, "job"))
            return
        self.store(process).append(self.ids[run], run_event(kind, "job"))
        if known.owner is not None and not known.owner.is_closed and known.owner.process == process:
            known.log += known.owner.waiting  # said by who owns the run, it comes after what that one has said
            known.owner.waiting = []
        known.log.append((self.now, kind, None, ""))

    @rule(process=processes, run=runs, value=st.sampled_from(["1", "2"]))
    def tag(self, process: int, run: int, value: str) -> None:
        known = self.known.get(self.ids[run])
        if known is None:
            with pytest.raises(DagsterRunNotFoundError):
                self.store(process).set_tags(self.ids[run], {"a": value})
        else:
            self.store(process).set_tags(self.ids[run], {"a": value})
            known.run = known.run.with_tags({"a": value})

    @rule(process=processes, run=runs)
    def delete(self, process: int, run: int) -> None:
        known = self.known.get(self.ids[run])
        if known is None:
            with pytest.raises(DagsterRunNotFoundError):
                self.store(process).delete_run(self.ids[run])
        elif self.is_owned(known):
            with pytest.raises(RunOwnedError):
                self.store(process).delete_run(self.ids[run])
        else:
            self.store(process).delete_run(self.ids[run])
            del self.known[self.ids[run]]

    @rule(process=processes)
    def collect(self, process: int) -> None:
        gone = self.store(process).collect(max_runs=1).runs_deleted
        order = [*self.known]
        due = [each for each in order if self.known[each].status in FINISHED_STATUSES][: max(len(order) - 1, 0)]
        assert list(gone) == [each for each in due if not self.is_owned(self.known[each])]
        for run_id in gone:
            del self.known[run_id]

    # -- what must hold

    @invariant()
    def store_tells_what_the_model_knows(self) -> None:
        for store in self.stores:
            found = {record.dagster_run.run_id: record.dagster_run for record in store.find_runs(ascending=True)}
            assert [*found] == [*self.known]
            for run_id, run in found.items():
                known = self.known[run_id]
                assert (run.status, run.tags) == (known.status, known.run.tags)
                assert store.get_run(run_id) == run
                lease = store.lease(run_id)
                assert (lease is not None and store.is_alive(lease)) == self.is_owned(known)

    @invariant()
    def logs_only_grow_and_have_no_gap(self) -> None:
        for run_id, known in self.known.items():
            records = self.stores[0].read_log(run_id)
            told = [
                (
                    r.timestamp,
                    r.event_type,
                    r.event_log_entry.step_key,
                    r.event_log_entry.user_message if r.event_type is None else "",
                )
                for r in records
            ]
            assert told == known.log
            numbers = [record.storage_id for record in records]
            assert numbers == sorted(set(numbers))
            before = known.read
            assert [(r.storage_id, r.timestamp, r.event_type) for r in records[: len(before)]] == [
                (r.storage_id, r.timestamp, r.event_type) for r in before
            ]
            assert all(number > self.last_number for number in numbers[len(before) :]) or not self.is_shared
            known.read = records
        self.last_number = max(
            [self.last_number, *(record.storage_id for known in self.known.values() for record in known.read)]
        )

    @invariant()
    def slots_are_claimed_by_whom_the_model_has(self) -> None:
        claims = [each for each in self.claims if self.counts(each)]
        taken = sorted((c for c in claims if c.granted is not None), key=lambda c: (c.granted or 0.0, c.number))
        waiting = sorted((c for c in claims if c.granted is None), key=lambda c: c.turn)
        expected = [
            SlotClaim(c.writing.run_id, c.key, c.slots, c.priority, c.asked, c.granted) for c in (*taken, *waiting)
        ]
        for store in self.stores:
            assert store.slot_claims() == expected
        for name, limit in LIMITS.items():
            assert sum(claim.slots.get(name, 0) for claim in taken) <= limit

    @invariant()
    def summaries_fold_to_the_same_as_the_log(self) -> None:
        for run_id in self.known:
            check_summaries(self.stores[-1], run_id)


class MemoryMachine(StoreMachine):
    """One process, and a store in its memory."""

    is_shared = False

    @initialize()
    def open(self) -> None:
        self.folder = ""
        self.stores = [self.make_store()]
        self.begin()


SETTINGS = settings(max_examples=60, stateful_step_count=50)

TestStoreInFile = StoreMachine.TestCase
TestStoreInFile.settings = SETTINGS
TestStoreInMemory = MemoryMachine.TestCase
TestStoreInMemory.settings = SETTINGS
