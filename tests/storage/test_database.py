"""The SQLite file by itself: what it costs, how it is found, and every way in which it can be lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.test_store import a_run, begun, step, write
from treadle.errors import (
    DagsterEventLogInvalidForRun,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    StoreVersionError,
    TreadleStorageWarning,
)
from treadle.events import DagsterEventType as T
from treadle.events import run_event
from treadle.metadata import MetadataValue
from treadle.payloads import (
    HandledOutputData,
    LoadedInputData,
    StepInputData,
    StepOutputData,
    StepOutputHandle,
    StepSuccessData,
    TypeCheckData,
)
from treadle.storage import database, sql
from treadle.storage.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "treadle.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    path.parent.mkdir()
    made = SqliteStore(path)
    yield made
    made.close()


# -- what it costs


def test_step_that_does_nothing_takes_less_than_a_kilobyte(store: SqliteStore, path: Path) -> None:
    run, writer = begun(store)
    artifact = "/home/somebody/project/.treadle/storage/3f2b7c1e-0b2f-4f0e-9c83-2f5d1f6f8a11/{}/result"
    before = size_after_checkpoint(path)
    for number in range(1_000):
        key = f"op_{number}"
        for kind, payload in (
            (T.STEP_START, None),
            (T.LOADED_INPUT, LoadedInputData("x", "io_manager", "result", f"op_{number - 1}")),
            (T.STEP_INPUT, StepInputData("x", TypeCheckData(True, "x"))),
            (T.STEP_OUTPUT, StepOutputData(StepOutputHandle(key), TypeCheckData(True, "result"))),
            (
                T.HANDLED_OUTPUT,
                HandledOutputData("result", "io_manager", {"path": MetadataValue.path(artifact.format(key))}),
            ),
            (T.STEP_SUCCESS, StepSuccessData(0.03127)),
        ):
            writer.append(step(kind, payload, key, run))
        writer.commit()
    writer.close()
    a_step = (size_after_checkpoint(path) - before) / 1_000
    assert a_step <= 1_000
    assert a_step / 6 <= 400


def size_after_checkpoint(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def plan_of(store: SqliteStore, query: str, parameters: int) -> str:
    store.count_runs()
    assert store.path is not None
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", ["x"] * parameters).fetchall()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("name", "behind", "parameters"),
    [
        ("runs", " ORDER BY r.id DESC LIMIT 50", 0),
        ("runs", " WHERE r.status IN (?) ORDER BY r.id DESC LIMIT 50", 1),
        (
            "runs",
            " WHERE r.id IN (SELECT run FROM run_tags WHERE key = ? AND value IN (?)) ORDER BY r.id DESC LIMIT 50",
            2,
        ),
        ("steps", "", 1),
        ("steps_of_run", "", 1),
        ("run_stats", "", 1),
        ("log", " AND e.id > ? ORDER BY e.id ASC LIMIT 9", 2),
        ("marked", " ORDER BY m.event DESC", 1),
        ("run_by_id", "", 1),
        ("runs", " WHERE r.run_id IN (SELECT value FROM json_each(?)) ORDER BY r.id DESC LIMIT 50", 1),
        ("children", "", 1),
        ("token", "", 1),
        ("lease", "", 1),
        ("last_event", "", 0),
    ],
)
def test_no_query_of_a_view_or_a_commit_walks_through_all_events(
    store: SqliteStore, name: str, behind: str, parameters: int
) -> None:
    plan = plan_of(store, sql.queries()[name] + behind, parameters)
    assert "SCAN e" not in plan, plan
    assert "SCAN events" not in plan or name == "last_event", plan
    assert "SCAN s" not in plan, plan
    assert "SCAN runs" not in plan, plan
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan or "WHERE r." in behind, plan


def test_every_query_says_what_it_means_to_sqlite(store: SqliteStore) -> None:
    for name, query in sql.queries().items():
        plan_of(store, query, query.count("?"))
        assert name.isidentifier()


# -- opening


def test_store_is_opened_by_many_processes_at_once(path: Path) -> None:
    path.parent.mkdir()
    code = textwrap.dedent(
        f"""
        import sys
        from treadle.storage.sqlite import SqliteStore
        sys.stdin.readline()
        store = SqliteStore({str(path)!r})
        print(store.count_runs())
        store.close()
        """
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [child.communicate("go\n")[0].strip() for child in children]
    assert said == ["0"] * 8
    assert [child.returncode for child in children] == [0] * 8


def test_store_of_a_newer_version_is_refused_with_both_versions(store: SqliteStore, path: Path) -> None:
    store.count_runs()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 0)")
    with pytest.raises(
        StoreVersionError, match=r"has version 99 of the schema, and this Treadle knows versions up to 1"
    ):
        SqliteStore(path).count_runs()


def test_store_without_any_migration_yet_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL, applied REAL NOT NULL)")
    store = SqliteStore(path)
    assert store.find_runs() == []
    store.close()


def test_migration_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    store = SqliteStore(path)
    run = a_run()
    store.add_run(run)
    store.close()
    known = sql.migrations()
    broken = [*known, (known[-1][0] + 1, ["CREATE TABLE extra (a)", "CREATE TABLE runs (a)"])]
    monkeypatch.setattr(sql, "migrations", lambda: broken)
    with pytest.raises(StoreError, match="runs already exists"):
        SqliteStore(path).count_runs()
    monkeypatch.undo()
    again = SqliteStore(path)
    assert again.get_run(run.run_id) == run
    again.close()
    monkeypatch.setattr(sql, "migrations", lambda: [*known, (known[-1][0] + 1, ["CREATE TABLE extra (a)"])])
    later = SqliteStore(path)
    assert later.get_run(run.run_id) == run
    later.close()


def test_write_ahead_log_is_used_and_full_durability_is_asked_of_sqlite(path: Path) -> None:
    path.parent.mkdir()
    for durability, level in (("normal", 1), ("full", 2)):
        store = SqliteStore(path, durability=durability)
        with store._open().writing() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == level
        store.close()


def test_network_file_system_gets_a_rollback_journal_and_a_warning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    monkeypatch.setattr(database, "network_kind", lambda _path: "nfs4")
    store = SqliteStore(path)
    with pytest.warns(TreadleStorageWarning, match=r"on a network file system \(nfs4\)"):
        store.add_run(a_run())
    with store._open().writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"
    store.close()


# -- what goes wrong


def test_file_that_is_no_store_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a database, however long this text may be" * 100)
    with pytest.raises(StoreCorruptError, match=r"is damaged .*Move it aside and put a copy back"):
        SqliteStore(path).count_runs()


def test_database_of_somebody_else_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(StoreCorruptError, match="is no store of Treadle"):
        SqliteStore(path).count_runs()


def test_store_that_was_cut_short_is_told_as_damaged(store: SqliteStore, path: Path) -> None:
    run = a_run()
    store.add_run(run)
    write(store, run, *(step(T.STEP_START, key=f"op_{number}") for number in range(500)))
    store.close()
    size_after_checkpoint(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreCorruptError, match="is damaged"):
        SqliteStore(path).check()


def test_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="Does its folder exist"):
        SqliteStore(tmp_path / "nowhere" / "treadle.db").count_runs()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_file_that_goes_while_it_is_used_is_told_and_nothing_is_written_into_the_void(
    store: SqliteStore, path: Path, is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CHECK_INTERVAL", 0.0)
    run, writer = begun(store)
    writer.append(run_event(T.RUN_START, "job"))
    writer.commit()
    path.rename(path.with_name("moved.db"))
    if is_replaced:
        path.write_bytes(b"")
    writer.append(step(T.STEP_START))
    word = "replaced" if is_replaced else "deleted or moved"
    with pytest.raises(StoreMissingError, match=f"{word} while it was in use"):
        writer.commit()
    assert len(writer.buffer) == 1
    path.unlink(missing_ok=True)
    path.with_name("moved.db").rename(path)
    writer.commit()
    writer.close()
    assert len(store.read_log(run.run_id)) == 2


def test_full_disk_is_told_and_the_commit_can_be_tried_again(store: SqliteStore) -> None:
    run, writer = begun(store)
    with store._open().writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    with store._open().reading():
        pass
    connection = store._open()._writer
    assert connection is not None
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(2_000):
        writer.append(step(T.STEP_START, key=f"op_{number}"))
    with pytest.raises(StoreFullError, match="the disk is full. Make room, then resume the run"):
        writer.commit()
    assert store.read_log(run.run_id) == []
    assert store.steps(run.run_id) == []
    connection.execute("PRAGMA max_page_count = 1000000")
    writer.close()
    assert len(store.read_log(run.run_id)) == 2_000
    assert len(store.steps(run.run_id)) == 2_000


def test_store_that_somebody_keeps_locked_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    monkeypatch.setattr(database, "_PATIENCE", 0.1)
    store = SqliteStore(path)
    run, writer = begun(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.append(run_event(T.RUN_START, "job"))
    with pytest.raises(StoreBusyError, match="locked by another process"):
        writer.commit()
    other.execute("ROLLBACK")
    other.close()
    writer.close()
    assert len(store.read_log(run.run_id)) == 1
    store.close()


def test_store_that_cannot_be_written_can_be_read(store: SqliteStore, path: Path) -> None:
    run = a_run()
    store.add_run(run)
    write(store, run, run_event(T.RUN_START, "job"))
    store.close()
    size_after_checkpoint(path)
    code = f"""
import os, sys
from treadle.errors import StoreReadOnlyError
from treadle.storage.sqlite import SqliteStore
import urllib.parse  # pathlib asks for it at an unready moment
SqliteStore(None).find_runs()  # what another user may not be able to import is imported now
os.setgid(65534); os.setuid(65534)
store = SqliteStore({str(path)!r})
assert [len(store.read_log(r.dagster_run.run_id)) for r in store.find_runs()] == [1]
try:
    store.open_writer({run.run_id!r})
except StoreReadOnlyError as error:
    print(error)
"""
    if os.getuid() != 0:
        path.chmod(0o444)
        path.parent.chmod(0o555)
        code = code.replace("os.setgid(65534); os.setuid(65534)", "")
    else:
        for folder in path.parents:
            if folder.stat().st_mode & 0o005 != 0o005 and folder != Path("/"):
                folder.chmod(0o755)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    finally:
        path.parent.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "cannot be written: its file or folder does not allow it" in done.stdout


def test_row_that_cannot_be_read_is_named_and_the_rest_of_the_store_is_sound(store: SqliteStore, path: Path) -> None:
    broken, sound = a_run(), a_run()
    for run in (broken, sound):
        store.add_run(run)
        write(store, run, run_event(T.RUN_START, "job"), step(T.STEP_SUCCESS, StepSuccessData(1.0)))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET body = '{' WHERE id = 2")
    with pytest.raises(DagsterEventLogInvalidForRun, match=r"Row 2 of the event log cannot be read.*restore the row"):
        store.read_log(broken.run_id)
    assert len(store.read_log(sound.run_id)) == 2
    assert len(store.find_runs()) == 2
    (problem,) = store.check()
    assert broken.run_id in problem


def test_connection_of_a_parent_is_not_used_in_a_forked_child(store: SqliteStore) -> None:
    run = a_run()
    store.add_run(run)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            write(store, run, run_event(T.RUN_START, "job"))
            os.write(writer, b"ok")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert os.read(reader, 2) == b"ok"
    os.close(reader)
    assert len(store.read_log(run.run_id)) == 1
    write(store, run, run_event(T.RUN_SUCCESS, "job"))
    assert store.check() == []


def test_writer_of_a_parent_cannot_be_used_in_a_forked_child(store: SqliteStore) -> None:
    run, writer = begun(store)
    writer.append(run_event(T.RUN_START, "job"))
    reader, pipe = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            writer.commit()
        except StoreError as error:
            os.write(pipe, str(error).encode())
            store.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(pipe)
    assert b"a process that was forked from it" in os.read(reader, 1000)
    os.close(reader)
    writer.close()
    assert len(store.read_log(run.run_id)) == 1


def test_memory_belongs_to_the_process_that_made_it() -> None:
    store = SqliteStore(None)
    store.add_run(a_run())
    assert store.count_runs() == 1
    store._open()._pid = 1
    with pytest.raises(StoreError, match="belongs to the process that made it"):
        store.count_runs()


def test_run_in_memory_needs_no_database_until_somebody_asks() -> None:
    code = """
import sys
from treadle import job, op
@op
def one(): return 1
@job
def single(): one()
result = single.execute_in_process()
assert result.success and result.dagster_run.is_success
assert "sqlite3" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
