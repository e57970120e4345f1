"""What may happen between two transactions of a deletion."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from treadle.errors import DagsterRunNotFoundError, RunOwnedError
from treadle.events import DagsterEventType as T
from treadle.events import run_event
from treadle.runs import DagsterRun, make_run_id
from treadle.storage import leases, upkeep
from treadle.storage.database import Database
from treadle.storage.sqlite import SqliteStore
from treadle.storage.store import Lease


def a_run(store: SqliteStore, events: int = 1, **fields: Any) -> DagsterRun:
    run = DagsterRun(job_name="job", run_id=make_run_id(), **fields)
    store.add_run(run)
    writer = store.open_writer(run.run_id)
    for _ in range(events):
        writer.append(run_event(T.ENGINE_EVENT, "job"))
    writer.close()
    return run


def lease(run: DagsterRun) -> Lease:
    return Lease(run.run_id, leases.make_owner(), time.time(), 15.0)


def delete(path: Path, run: DagsterRun, due: set[str] | None = None) -> bool:
    return upkeep.delete_run(Database(path), lease(run), due)


def test_run_that_is_half_deleted_cannot_be_taken_over(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    run = a_run(store, events=2_500)
    database = Database(tmp_path / "x.db")
    told: list[Exception] = []
    begins: list[str] = []

    def between(statement: str) -> None:
        if statement == "BEGIN IMMEDIATE":
            begins.append(statement)
            if len(begins) == 3:  # the lease is taken, and a piece of the log is gone
                try:
                    store.open_writer(run.run_id)
                except RunOwnedError as error:
                    told.append(error)

    with database.writing() as connection:
        connection.set_trace_callback(between)
    assert upkeep.delete_run(database, lease(run), None)
    assert len(begins) == 4
    assert len(told) == 1
    assert store.get_run(run.run_id) is None
    assert store.read_log(run.run_id) == []
    with pytest.raises(DagsterRunNotFoundError):
        delete(tmp_path / "x.db", run)
    store.close()


def test_run_that_got_a_follower_meanwhile_stays(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    run = a_run(store)
    follower = a_run(store, parent_run_id=run.run_id)
    assert not delete(tmp_path / "x.db", run, {run.run_id})
    assert len(store.read_log(run.run_id)) == 1
    assert delete(tmp_path / "x.db", run, {run.run_id, follower.run_id})
    assert store.get_run(run.run_id) is None
    store.close()


def test_space_that_cannot_be_given_back_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    run = a_run(store, events=2_000)
    other = a_run(store)
    assert delete(tmp_path / "x.db", run)
    database = Database(tmp_path / "x.db")
    with database.reading() as connection:
        connection.execute("PRAGMA query_only = 1")
    problem = upkeep.give_back(database)
    assert problem is not None
    assert "x.db" in problem
    assert [each.dagster_run for each in store.find_runs()] == [store.get_run(other.run_id)]
    assert upkeep.give_back(Database(tmp_path / "x.db")) is None
    store.close()
