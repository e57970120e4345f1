"""connect, migrate, watch; file or memory

SqliteStore keeps runs and logs in one SQLite file, which any number of processes of this machine may write, or in
memory. In memory everything waits in the writers' buffers, and SQLite is not even imported, until somebody asks for more
than a single run. See store.py for the promises.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle import codec
from treadle.errors import (
    CheckError,
    DagsterEventLogInvalidForRun,
    DagsterRunAlreadyExists,
    DagsterRunNotFoundError,
    LeaseLostError,
    RunOwnedError,
    StoreError,
)
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry
from treadle.records import DagsterRunStatsSnapshot, EventLogRecord, EventRecordsFilter, RunRecord
from treadle.runs import DagsterRun, RunsFilter
from treadle.storage import leases, retention, sql, upkeep
from treadle.storage.keeper import Keeper
from treadle.storage.store import Collected, Lease, Owner, StepSummary
from treadle.storage.writer import Batch, SqliteWriter

if TYPE_CHECKING:
    import sqlite3

    from treadle.storage.database import Database

#: bytes of messages that one step may log
MAX_STEP_LOG = 10_000_000
LEASE_TERMS = leases.LeaseTerms()


class SqliteStore:
    """Runs and logs in an SQLite file, or in memory where `path` is None.

    `durability` is `normal`, which survives the death of any process, or `full`, which survives a loss of power too;
    `max_step_log` bounds what one step may log, in bytes; `terms` say when an owner of a run counts as dead.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        durability: str = "normal",
        max_step_log: int = MAX_STEP_LOG,
        terms: leases.LeaseTerms = LEASE_TERMS,
    ) -> None:
        self.path = Path(path) if path is not None else None
        self.max_step_log = max_step_log
        self.terms = terms
        self._durability = durability
        self.clock = terms.clock
        self._database: Database | None = None
        self._opening = threading.Lock()
        #: by run id: writers that are open, and in memory those whose buffers are not in the database yet
        self._writers: dict[str, SqliteWriter] = {}
        self._unsettled: list[SqliteWriter] = []
        #: in memory: runs that are not in the database yet, with the time at which they were added
        self._new_runs: dict[str, tuple[float, DagsterRun]] = {}
        self._listeners: dict[str, list[Callable[[EventLogEntry], Any]]] = {}
        self._keeper = Keeper(self.renew, self._writers, terms)

    # -- the database

    @property
    def is_in_memory(self) -> bool:
        """True where nothing outlives the object."""
        return self.path is None

    def _open(self) -> Database:
        if self._database is None:
            with self._opening:
                if self._database is None:
                    from treadle.storage.database import Database

                    self._database = Database(self.path, is_synchronous=self._durability == "full")
        return self._database

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open().writing() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self.is_in_memory:
            self._settle()
        with self._open().reading() as connection:
            yield connection

    def _settle(self) -> None:
        """In memory: put what waits into the database, so that it can be asked for."""
        with self._opening:
            new, self._new_runs = self._new_runs, {}
            waiting, self._unsettled = self._unsettled, []
        if new:
            with self._open().writing() as connection:
                for added, run in new.values():
                    _insert_run(connection, run, added)
        for writer in [*waiting, *list(self._writers.values())]:
            if writer.buffer:
                self.write_out(writer)

    # -- runs

    def add_run(self, run: DagsterRun) -> None:
        """Keep a new run. Raises DagsterRunAlreadyExists."""
        now = self.clock()
        if self.is_in_memory and self._database is None:
            with self._opening:
                if run.run_id not in self._new_runs:
                    self._new_runs[run.run_id] = now, run
                    return
            raise self._taken(self._known(run.run_id))
        if self.is_in_memory:
            self._settle()
        with self._writing() as connection:
            row = connection.execute(sql.queries()["run_by_id"], (run.run_id,)).fetchone()
            if row is not None:
                raise self._taken(sql.run_of(row))
            _insert_run(connection, run, now)

    @staticmethod
    def _taken(run: DagsterRun) -> DagsterRunAlreadyExists:
        advice = (
            "It has ended; leave run_id out to have a new one made."
            if run.is_finished
            else "Leave run_id out to have a new one made; to go on with a run whose process died: treadle resume."
        )
        return DagsterRunAlreadyExists(
            f"A run with id {run.run_id} exists already (job {run.job_name!r}, status {run.status.value}). {advice}"
        )

    def get_run(self, run_id: str) -> DagsterRun | None:
        """A run as it stands now."""
        if self.is_in_memory:
            writer = self._writers.get(run_id)
            if writer is None:
                writer = next((each for each in self._unsettled if each.run.run_id == run_id), None)
            if writer is not None:
                return writer.run
            if run_id in self._new_runs:
                return self._new_runs[run_id][1]
            if self._database is None:
                return None
        with self._reading() as connection:
            row = connection.execute(sql.queries()["run_by_id"], (run_id,)).fetchone()
        return None if row is None else sql.run_of(row)

    def _known(self, run_id: str) -> DagsterRun:
        run = self.get_run(run_id)
        if run is None:
            raise upkeep.unknown(run_id)
        return run

    def find_runs(
        self,
        filters: RunsFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        ascending: bool = False,
    ) -> list[RunRecord]:
        """Runs in the order in which they were added, the newest first unless `ascending`."""
        conditions = sql.conditions_of(filters)
        if cursor is not None:
            conditions.add(f"r.id {'>' if ascending else '<'} (SELECT id FROM runs WHERE run_id = ?)", cursor)
        query = conditions.after(sql.queries()["runs"], "WHERE")
        query += f" ORDER BY r.id {'ASC' if ascending else 'DESC'} LIMIT ?"
        with self._reading() as connection:
            rows = connection.execute(query, (*conditions.parameters, _bound(limit))).fetchall()
        return [sql.record_of(row) for row in rows]

    def count_runs(self, filters: RunsFilter | None = None) -> int:
        """How many runs there are."""
        conditions = sql.conditions_of(filters)
        query = conditions.after(sql.queries()["count_runs"], "WHERE")
        with self._reading() as connection:
            count: int = connection.execute(query, conditions.parameters).fetchone()[0]
        return count

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Give a run these tags in place of those it has. Raises DagsterRunNotFoundError."""
        if self.is_in_memory:
            self._settle()
        with self._writing() as connection:
            number = upkeep.number_of(connection, run_id)
            connection.execute(sql.queries()["delete_tags"], (number,))
            _insert_tags(connection, number, tags)
            connection.execute(sql.queries()["touch_run"], (sql.moment_of(self.clock()), number))
        writer = self._writers.get(run_id)
        if writer is not None:
            writer.change_tags(writer.run.with_tags(dict(tags)))

    def delete_run(self, run_id: str) -> None:
        """Forget a run, its log and its lease. Raises DagsterRunNotFoundError, and RunOwnedError while it has an owner."""
        self._delete(run_id, None)

    def _delete(self, run_id: str, due: Collection[str] | None) -> bool:
        """Delete a run; with `due` only where every run that follows it is among these."""
        if self.is_in_memory:
            self._settle()
            if run_id in self._writers:
                raise leases.owned(run_id)
        if not upkeep.delete_run(self._open(), self._new_lease(run_id, self.terms.make_owner()), due):
            return False
        self._listeners.pop(run_id, None)
        return True

    # -- writing

    def open_writer(self, run_id: str, *, steals: bool = False) -> SqliteWriter:
        """The right to write a run's log, for this process; of several that ask at once exactly one gets it."""
        if self.is_in_memory:
            return self._open_writer_in_memory(self._known(run_id), steals=steals)
        owner = self.terms.make_owner()
        with self._writing() as connection:
            row = connection.execute(sql.queries()["run_by_id"], (run_id,)).fetchone()
            if row is None:
                raise upkeep.unknown(run_id)
            leases.take(connection, row[0], self._new_lease(run_id, owner), steals=steals)
            known = connection.execute(sql.queries()["steps_of_run"], (row[0],)).fetchall()
        writer = SqliteWriter(self, sql.run_of(row), owner, self._listeners.setdefault(run_id, []))
        writer.number = row[0]
        writer.know_steps(known)
        self._writers[run_id] = writer
        self._keeper.wake()
        return writer

    def _open_writer_in_memory(self, run: DagsterRun, *, steals: bool) -> SqliteWriter:
        with self._opening:
            held = self._writers.get(run.run_id)
            if held is not None and not steals:
                raise leases.owned(run.run_id)
            writer = SqliteWriter(self, run, _NOBODY, self._listeners.setdefault(run.run_id, []))
            self._writers[run.run_id] = writer
            if held is None:
                return writer
            held.is_lost = True
            self._unsettled.append(held)
        self._settle()  # what it has said so far was seen by all
        return writer

    def write_out(self, writer: SqliteWriter) -> None:
        """Put a writer's buffer into the database, in one transaction. For the writer and the keeper."""
        with writer.commit_lock:
            count = len(writer.buffer)
            if not count:
                return
            if writer.pid != os.getpid():
                raise StoreError(
                    f"The run {writer.run.run_id} belongs to process {writer.pid}, and this is a process that was forked from it: only "
                    f"that one writes the run's log. Here, start a run of its own."
                )
            with self._open().writing() as connection:
                queries = sql.queries()
                if writer.number is None:
                    writer.number = upkeep.number_of(connection, writer.run.run_id)
                    writer.know_steps(connection.execute(queries["steps_of_run"], (writer.number,)))
                elif not self.is_in_memory:
                    held = connection.execute(queries["token"], (writer.number,)).fetchone()
                    if held is None or held[0] != writer.owner.token:
                        raise writer.lost()
                batch = Batch(writer.run, writer.number, writer.steps)
                batch.take(writer.buffer[:count])
                _insert_events(connection, batch, writer.number)
                changed = [step.facts(writer.number) for step in batch.steps.values() if step.is_changed]
                if changed:
                    connection.executemany(queries["put_step"], changed)
                if batch.change is not None:
                    connection.execute(queries["change_run"], batch.change.parameters(writer.number))
            writer.steps.update(batch.steps)
            del writer.buffer[:count]

    def look_at_file(self) -> None:
        """The next transaction sees to it that its file is still there. For the writer, at its end."""
        if self._database is not None:
            self._database.distrust()

    def release(self, writer: SqliteWriter) -> None:
        """A writer is done: give its lease up."""
        run_id = writer.run.run_id
        if self._writers.get(run_id) is writer:
            del self._writers[run_id]
        if self.is_in_memory:
            if (writer.buffer or self._database is None) and not writer.is_lost:
                self._unsettled.append(writer)
            return
        if writer.pid != os.getpid():
            return
        with self._writing() as connection:
            connection.execute(sql.queries()["give_up_lease"], (writer.number, writer.owner.token))

    def renew(self, writers: Collection[SqliteWriter]) -> None:
        """Renew the leases of these writers."""
        if self.is_in_memory:
            return
        now = self.clock()
        with self._writing() as connection:
            parameters = [(now, writer.number, writer.owner.token) for writer in writers]
            connection.executemany(sql.queries()["renew_lease"], parameters)

    def append(self, run_id: str, event: DagsterEvent) -> None:
        """Write one event about a run at once, whoever owns its log: what people say about it from outside."""
        if event.step_key is not None:
            raise CheckError(
                f"From outside, events about whole runs can be written; this one is about {event.step_key!r}."
            )
        own = self._writers.get(run_id)
        if own is not None:
            own.append(event)
            with contextlib.suppress(LeaseLostError):  # then this process, too, says it from outside
                own.commit()
                return
        if self.is_in_memory:
            run = self._known(run_id)
            writer = SqliteWriter(self, run, _NOBODY, self._listeners.setdefault(run_id, []))
            writer.append(event)
            self._unsettled.append(writer)
            self._settle()
            return
        run = self._known(run_id)
        with self._writing() as connection:
            number = upkeep.number_of(connection, run_id)
            batch = Batch(run, number, {})
            batch.take([(self.clock(), event)])
            _insert_events(connection, batch, number)
            if batch.change is not None:
                connection.execute(sql.queries()["change_run"], batch.change.parameters(number))

    def listen(self, run_id: str, callback: Callable[[EventLogEntry], Any]) -> None:
        """Call a function with every entry that a writer of this process takes for a run, in the thread that gives it."""
        self._listeners.setdefault(run_id, []).append(callback)

    # -- leases

    def lease(self, run_id: str) -> Lease | None:
        """Who writes the run's log, dead or alive."""
        if self.is_in_memory:
            return self._new_lease(run_id, _NOBODY) if run_id in self._writers else None
        with self._reading() as connection:
            row = connection.execute(sql.queries()["lease"], (run_id,)).fetchone()
        return None if row is None else sql.lease_of(run_id, row)

    def _new_lease(self, run_id: str, owner: Owner) -> Lease:
        return Lease(run_id, owner, self.clock(), self.terms.duration)

    def is_alive(self, lease: Lease) -> bool:
        """True while the lease's owner may be at work."""
        if self.is_in_memory:
            return lease.run_id in self._writers
        return leases.is_alive(lease, self.clock())

    # -- reading

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
        """A run's log in the order of writing, or backwards."""
        conditions = sql.Conditions()
        if after is not None:
            conditions.add("e.id > ?", after)
        if before is not None:
            conditions.add("e.id < ?", before)
        if types is not None:
            conditions.among("e.type", [kind.value for kind in types])
        query = conditions.after(sql.queries()["log"], "AND")
        query += f" ORDER BY e.id {'ASC' if ascending else 'DESC'} LIMIT ?"
        with self._reading() as connection:
            row = connection.execute(sql.queries()["run_by_id"], (run_id,)).fetchone()
            if row is None:
                return []
            rows = connection.execute(query, (row[0], *conditions.parameters, _bound(limit))).fetchall()
        reader = sql.LogReader(sql.run_of(row))
        return [reader.record(each) for each in rows]

    def read_events(self, run_id: str, types: Collection[DagsterEventType] | None = None) -> list[DagsterEvent]:
        """The events of a run's log, or those of some types, without what else its entries say."""
        conditions = sql.Conditions()
        if types is None:
            conditions.add("e.type IS NOT NULL")
        else:
            conditions.among("e.type", [kind.value for kind in types])
        query = conditions.after(sql.queries()["log"], "AND") + " ORDER BY e.id"
        with self._reading() as connection:
            row = connection.execute(sql.queries()["run_by_id"], (run_id,)).fetchone()
            if row is None:
                return []
            reader = sql.LogReader(sql.run_of(row))
            return [reader.event(each) for each in connection.execute(query, (row[0], *conditions.parameters))]

    def find_events(
        self, wanted: EventRecordsFilter, limit: int | None = None, *, ascending: bool = False
    ) -> list[EventLogRecord]:
        """Events of all runs."""
        kind = wanted.event_type.value
        conditions = sql.conditions_of_events(wanted)
        query = conditions.after(sql.queries()["marked" if kind in sql.MARKED else "typed"], "AND")
        query += f" ORDER BY {'m.event' if kind in sql.MARKED else 'e.id'} {'ASC' if ascending else 'DESC'}"
        found: list[EventLogRecord] = []
        readers: dict[int, sql.LogReader] = {}
        with self._reading() as connection, contextlib.closing(connection.cursor()) as rows:
            # What only the event itself tells is asked of it, so the limit is counted here; rows are read as they are needed.
            for row in rows.execute(query, (kind, *conditions.parameters)):
                if limit is not None and len(found) >= limit:
                    break
                if row[7] not in readers:
                    run_id = connection.execute(sql.queries()["run_of_number"], (row[7],)).fetchone()[0]
                    stored = connection.execute(sql.queries()["run_by_id"], (run_id,)).fetchone()
                    readers[row[7]] = sql.LogReader(sql.run_of(stored))
                record = readers[row[7]].record(row)
                if wanted.matches(record):
                    found.append(record)
        return found

    def steps(self, run_id: str, step_keys: Iterable[str] | None = None) -> list[StepSummary]:
        """The summary of a run's steps, in the order in which they first showed."""
        with self._reading() as connection:
            rows = connection.execute(sql.queries()["steps"], (run_id,)).fetchall()
        wanted = None if step_keys is None else set(step_keys)
        return [sql.summary_of(row) for row in rows if wanted is None or row[0] in wanted]

    def run_stats(self, run_id: str) -> DagsterRunStatsSnapshot:
        """The statistics of a run; all zero for an unknown one."""
        with self._reading() as connection:
            row = connection.execute(sql.queries()["run_stats"], (run_id,)).fetchone()
        if row is None:
            return DagsterRunStatsSnapshot(run_id)
        enqueued, launched, started, ended, materializations, expectations, succeeded, failed = row
        return DagsterRunStatsSnapshot(
            run_id, succeeded, failed, materializations, expectations, enqueued, launched, started, ended
        )

    def version(self) -> object:
        """Something that differs from what it was before whenever anybody has written since."""
        if self.is_in_memory:
            self._settle()
        return self._open().version()

    # -- texts

    def put_text(self, text: str) -> str:
        """Keep a text once, however often it is given; its id is a hash of it."""
        from hashlib import sha256

        text_id = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if self.get_text(text_id) is None:
            with self._writing() as connection:
                connection.execute(sql.queries()["put_text"], (text_id, text))
        return text_id

    def get_text(self, text_id: str) -> str | None:
        """A text that was kept."""
        with self._reading() as connection:
            row = connection.execute(sql.queries()["get_text"], (text_id,)).fetchone()
        return None if row is None else row[0]

    def get_values(self, keys: Iterable[str]) -> dict[str, str]:
        """Texts that were kept under some keys; those that are not there are left out."""
        with self._reading() as connection:
            rows = [(key, connection.execute(sql.queries()["get_value"], (key,)).fetchone()) for key in keys]
        return {key: row[0] for key, row in rows if row is not None}

    def set_values(self, pairs: Mapping[str, str]) -> None:
        """Keep texts under keys."""
        with self._writing() as connection:
            connection.executemany(sql.queries()["put_value"], list(pairs.items()))

    # -- upkeep

    def check(self) -> list[str]:
        """What is damaged, a sentence each; empty for a sound store."""
        with self._reading() as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)").fetchall()]
            run_ids = [row[0] for row in connection.execute("SELECT run_id FROM runs").fetchall()]
        problems = [f"The file: {text}." for text in found if text != "ok"]
        for run_id in run_ids:
            try:
                self.read_log(run_id)
            except DagsterEventLogInvalidForRun as error:
                problems.append(f"Run {run_id}: {error}")
        return problems

    def collect(self, *, finished_before: float | None = None, max_runs: int | None = None) -> Collected:
        """Delete finished runs that are too old or too many, then give the space back."""
        before = upkeep.size_of(self.path)
        with self._reading() as connection:
            rows = connection.execute(sql.queries()["standings"]).fetchall()
        chosen = retention.choose(map(retention.Standing._make, rows), finished_before, max_runs)
        due, deleted = set(chosen.due), []
        for run_id in chosen.due:
            with contextlib.suppress(RunOwnedError, DagsterRunNotFoundError):
                if self._delete(run_id, due):
                    deleted.append(run_id)
        with self._writing() as connection:
            connection.execute(sql.queries()["delete_lost_texts"])
        problem = None if self.is_in_memory else upkeep.give_back(self._open())
        return Collected(deleted, chosen.spared, before, upkeep.size_of(self.path), problem)

    def close(self) -> None:
        """Close every writer and let go of everything. Again is fine."""
        for writer in list(self._writers.values()):
            with contextlib.suppress(StoreError):
                writer.close()
        self._keeper.stop()
        if self._database is not None and not self.is_in_memory:
            self._database.close()


#: owns what is in memory
_NOBODY = Owner("", "", 0, 0, "")


def _bound(limit: int | None) -> int:
    return -1 if limit is None else limit


def _insert_events(connection: sqlite3.Connection, batch: Batch, number: int) -> None:
    """The lock is held, so the numbers of new events follow one another."""
    queries = sql.queries()
    if batch.marked:
        first = connection.execute(queries["last_event"]).fetchone()[0] + 1
        marks = [(kind, first + place, number) for place, kind in batch.marked]
        connection.executemany(queries["add_mark"], marks)
    connection.executemany(queries["add_event"], batch.events)


def _insert_run(connection: sqlite3.Connection, run: DagsterRun, now: float) -> None:
    body, now = codec.encode_run(run).decode(), sql.moment_of(now)
    parameters = (run.run_id, run.job_name, run.status.value, run.job_snapshot_id, run.parent_run_id, now, now, body)
    number = connection.execute(sql.queries()["add_run"], parameters).lastrowid
    assert number is not None
    _insert_tags(connection, number, run.tags)


def _insert_tags(connection: sqlite3.Connection, number: int, tags: Mapping[str, str]) -> None:
    rows = {sql.storable(key): sql.storable(value) for key, value in tags.items()}
    connection.executemany(sql.queries()["add_tag"], [(number, *pair) for pair in rows.items()])
