"""the Store protocol and its promises

What the rest of the house may ask of whatever keeps runs and their logs. The instance is its only caller; a new backend
is one module that keeps these promises, and one suite, tests/contracts/test_store.py, holds all of them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec

from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry
from treadle.records import DagsterRunStatsSnapshot, EventLogRecord, EventRecordsFilter, RunRecord
from treadle.runs import DagsterRun, RunsFilter


class StepState(str, Enum):
    """How far a step is, in the summary of a run."""

    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    SKIPPED = "SKIPPED"


class StepSummary(msgspec.Struct, frozen=True):
    """One step of a run as the store's summary table has it: always what a fold over the step's events gives."""

    step_key: str
    #: None for a step that has events but was never started
    state: StepState | None = None
    #: attempts begun
    attempts: int = 0
    #: seconds since the epoch: when the first attempt began, and when the last one ended
    start_time: float | None = None
    end_time: float | None = None


class Owner(msgspec.Struct, frozen=True):
    """A process that writes the log of a run; two are equal only where they are one and the same process."""

    host: str
    #: changes with every start of the machine, so that the numbers of processes can be compared
    boot: str
    pid: int
    #: when the process started, in the system's own ticks, so that a number used again is not mistaken for it
    started: int
    #: tells two writers of one process apart
    token: str


class Lease(msgspec.Struct, frozen=True):
    """Who may write the log of a run. The owner renews it; whoever lets it run out has lost it."""

    run_id: str
    owner: Owner
    #: seconds since the epoch, by the owner's clock
    renewed: float
    #: seconds for which a renewal is good
    duration: float


class SlotRequest(msgspec.Struct, frozen=True):
    """What a step is to take of the slots that all runs share, before it starts: all of it at once, or nothing."""

    step_key: str
    #: how many of each name
    slots: Mapping[str, int]
    #: of the run, and of the step within it; the higher has its turn first
    priority: tuple[int, int] = (0, 0)


class SlotClaim(msgspec.Struct, frozen=True):
    """What a step has taken of the slots that all runs share, or waits for."""

    run_id: str
    step_key: str
    slots: Mapping[str, int]
    priority: tuple[int, int]
    #: seconds since the epoch, by the asker's clock: when it first asked
    asked: float
    #: when it got them; None while it waits
    granted: float | None = None


class SlotUse(msgspec.Struct, frozen=True):
    """How the slots of one name stand that all runs of an instance share."""

    name: str
    #: how many there are, and where that was said; None where this process knows of no limit, and another one does
    limit: int | None
    origin: str
    #: how many are taken
    taken: int
    #: by whom, the oldest first
    holders: Sequence[SlotClaim]
    #: steps that wait for some, in the order of their turns
    waiting: Sequence[SlotClaim]


def uses_of(claims: Sequence[SlotClaim], limits: Mapping[str, int], origins: Mapping[str, str]) -> list[SlotUse]:
    """How the slots of each name stand, sorted by name: of those with a limit, and of all that are claimed."""
    found = []
    for name in sorted({*limits, *(name for claim in claims for name in claim.slots)}):
        about = [claim for claim in claims if name in claim.slots]
        holders = [claim for claim in about if claim.granted is not None]
        waiting = [claim for claim in about if claim.granted is None]
        taken = sum(claim.slots[name] for claim in holders)
        found.append(SlotUse(name, limits.get(name), origins.get(name, "another process"), taken, holders, waiting))
    return found


class Collected(msgspec.Struct, frozen=True):
    """What a clean-up took away."""

    runs_deleted: Sequence[str] = ()
    #: runs that were due, and stay since a run that stays follows them
    runs_spared: Sequence[str] = ()
    bytes_before: int = 0
    bytes_after: int = 0
    #: what kept the space from being given back
    problem: str | None = None


class RunWriter(Protocol):
    """Writes the log of one run. There is one for a run at a time: whoever holds its lease."""

    #: called every so often from another thread, where the store lasts: whoever writes looks for what others have said
    look: Callable[[], None] | None

    @property
    def run(self) -> DagsterRun:
        """The run's record, with the status that what was appended leaves it in."""

    def append(self, event: DagsterEvent) -> None:
        """Take an event with the time of now. Cheap; nothing is on disk until the next commit. Never raises."""

    def append_message(self, level: int, text: str, step_key: str | None, traceback: str | None = None) -> None:
        """Take a message of user code. Beyond the bound on what one step may log it is dropped, after a last one that
        says so.
        """

    def commit(self) -> None:
        """All that was appended is in the store when this returns, in one transaction, the summaries with it.

        Raises StoreError where it cannot be; then nothing of it is there, it stays with the writer, and the next commit
        tries again. Raises LeaseLostError where another process has taken the run over.
        """

    def ask_for_slots(self, request: SlotRequest, limits: Mapping[str, int]) -> list[SlotClaim]:
        """Take slots for a step of the run, all that it asks for, or let it wait; whoever waits asks again now and then.

        Gives the claims that are in its way, and nothing where it has what it wants. `limits` says how many there are of
        each name. Those who wait have their turn by priority, then by the time of asking; one that comes before others is
        waited for by them, unless it has been silent for a while.

        What is taken belongs to the run's lease. It is free again by `give_slots_back`, when the lease is given up, and when
        its owner is dead. A step that has its slots may ask again. Raises LeaseLostError, and CheckError for more than there is.
        """

    def give_slots_back(self, step_key: str) -> None:
        """What a step had taken is free, and it waits no more. Again is fine."""

    def close(self) -> None:
        """Commit, and give the lease up, with all slots. Again is fine."""


class Store(Protocol):
    """Where runs and events last. Every promise holds across threads, and for a file across processes."""

    # -- runs

    def add_run(self, run: DagsterRun) -> None:
        """Keep a new run. Raises DagsterRunAlreadyExists."""

    def get_run(self, run_id: str) -> DagsterRun | None:
        """A run as it stands now."""

    def find_runs(
        self,
        filters: RunsFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """Runs in the order in which they were added, the newest first unless `ascending`.

        `cursor` is the id of the last run that was seen; an unknown one gives nothing.
        """

    def count_runs(self, filters: RunsFilter | None = None) -> int:
        """How many runs there are."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Give a run these tags in place of those it has. Raises DagsterRunNotFoundError."""

    def delete_run(self, run_id: str) -> None:
        """Forget a run, its log and its lease. Raises DagsterRunNotFoundError, and RunOwnedError while it has an owner."""

    # -- writing

    def open_writer(self, run_id: str, *, steals: bool = False) -> RunWriter:
        """The right to write a run's log, for this process; of several that ask at once exactly one gets it.

        Raises DagsterRunNotFoundError, and RunOwnedError where another owner is alive. A lease whose owner is dead is
        taken over: its process is gone from this host, or it was not renewed in time. `steals` takes any.
        """

    def append(self, run_id: str, event: DagsterEvent) -> None:
        """Write one event about a run at once, whoever owns its log: what people say about it from outside."""

    def listen(self, run_id: str, callback: Callable[[EventLogEntry], Any]) -> None:
        """Call a function with every entry that a writer of this process takes for a run, in the thread that gives it."""

    def lease(self, run_id: str) -> Lease | None:
        """Who writes the run's log, dead or alive."""

    def is_alive(self, lease: Lease) -> bool:
        """True while the lease's owner may be at work."""

    def slot_claims(self) -> list[SlotClaim]:
        """What steps have taken of the slots that all runs share, the oldest first; then who waits, in the order of their
        turns. What belongs to a dead owner is not among it.
        """

    # -- reading; a writer of this store that has not committed is not seen, but for a store in memory it is

    def read_log(
        self,
        run_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        types: Collection[DagsterEventType] | None = None,
        limit: int | None = None,
        ascending: bool = True,
    ) -> list[EventLogRecord]:
        """A run's log in the order of writing, or backwards: entries with a storage id after and before these.

        `types` leaves only events of these types, and no messages. An unknown run has an empty log. Raises
        DagsterEventLogInvalidForRun, naming run and row, where a row cannot be read.
        """

    def read_events(self, run_id: str, types: Collection[DagsterEventType] | None = None) -> list[DagsterEvent]:
        """The events of `read_log` in the order of writing, all or those of some types: for who folds them."""

    def find_events(
        self, wanted: EventRecordsFilter, limit: int | None = None, *, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Events of all runs."""

    def steps(self, run_id: str, step_keys: Iterable[str] | None = None) -> list[StepSummary]:
        """The summary of a run's steps, in the order in which they first showed; its cost does not grow with the log."""

    def run_stats(self, run_id: str) -> DagsterRunStatsSnapshot:
        """The statistics of a run; all zero for an unknown one."""

    def version(self) -> object:
        """Something that differs from what it was before whenever anybody has written since."""

    # -- texts

    def put_text(self, text: str) -> str:
        """Keep a text once, however often it is given; its id is a hash of it."""

    def get_text(self, text_id: str) -> str | None:
        """A text that was kept."""

    def get_values(self, keys: Iterable[str]) -> dict[str, str]:
        """Texts that were kept under some keys; those that are not there are left out."""

    def set_values(self, pairs: Mapping[str, str]) -> None:
        """Keep texts under keys."""

    # -- upkeep

    def check(self) -> list[str]:
        """What is damaged, a sentence each; empty for a sound store."""

    def collect(self, *, finished_before: float | None = None, max_runs: int | None = None) -> Collected:
        """Delete finished runs that ended before this time, and the oldest finished ones beyond so many runs in all;
        then give the space back. Never deleted are a run with a living owner, and one that a run that stays follows: what
        that one's re-execution takes from its line must be there.
        """

    def close(self) -> None:
        """Close every writer and let go of everything. Again is fine."""
