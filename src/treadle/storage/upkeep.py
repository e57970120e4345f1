"""Taking runs out of a database, and giving the space back.

The SQLite store comes here; which runs go is decided in retention. Every step leaves the database true, whenever the process
is killed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.errors import DagsterRunAlreadyExists, DagsterRunNotFoundError, StoreError
from treadle.runs import DagsterRun
from treadle.storage import leases, retention, sql
from treadle.storage.store import Lease

if TYPE_CHECKING:
    import sqlite3

    from treadle.storage.database import Database


def unknown(run_id: str) -> DagsterRunNotFoundError:
    """What to raise for a run that is not there."""
    return DagsterRunNotFoundError(f"No run with id {run_id} on this instance.", invalid_run_id=run_id)


def taken(run: DagsterRun) -> DagsterRunAlreadyExists:
    """What to raise for a new run whose id is that of one that is there."""
    advice = (
        "It has ended; leave run_id out to have a new one made."
        if run.is_finished
        else "Leave run_id out to have a new one made; to go on with a run whose process died: treadle resume."
    )
    return DagsterRunAlreadyExists(
        f"A run with id {run.run_id} exists already (job {run.job_name!r}, status {run.status.value}). {advice}"
    )


def number_of(connection: sqlite3.Connection, run_id: str) -> int:
    """The number of a run's row; DagsterRunNotFoundError where there is none."""
    row = connection.execute(sql.queries()["run_number"], (run_id,)).fetchone()
    if row is None:
        raise unknown(run_id)
    number: int = row[0]
    return number


def delete_run(database: Database, lease: Lease, due: Collection[str] | None) -> bool:
    """Delete the run that the lease is about, with all that belongs to it, under this lease; with `due` only where every
    run that follows it is among these.

    Raises DagsterRunNotFoundError, and RunOwnedError while it has an owner.
    """
    queries = sql.queries()
    with database.writing() as connection:
        number = number_of(connection, lease.run_id)
        if due is not None:
            children = [row[0] for row in connection.execute(queries["children"], (lease.run_id,))]
            if retention.is_needed(children, due):
                return False
        # From here on nobody else may write the run: a log that is half gone must not be resumed.
        leases.take(connection, number, lease)
    while True:
        # A long log goes piece by piece, so that other writers get their turn; the run's row goes last.
        with database.writing() as connection:
            connection.execute(queries["leave_last_number"], (number,))
            rows = connection.execute(queries["some_events"], (number,)).fetchall()
            connection.executemany(queries["delete_event"], rows)
            if rows:
                continue
            for name in ("delete_marks", "delete_steps", "delete_tags", "delete_claims", "delete_lease", "delete_run"):
                connection.execute(queries[name], (number,))
            connection.execute(queries["delete_older_numbers"])
            return True


def give_back(database: Database) -> str | None:
    """Give free space back to the disk. What hinders it is told, and is no reason to forget what was deleted."""
    try:
        with database.reading() as connection:
            if connection.execute("PRAGMA freelist_count").fetchone()[0]:
                connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except StoreError as error:
        return str(error)
    return None


def size_of(path: Path | None) -> int:
    """Bytes of a database on disk, its write-ahead log with it; 0 for one in memory."""
    if path is None:
        return 0
    parts = (path, path.with_name(path.name + "-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())
