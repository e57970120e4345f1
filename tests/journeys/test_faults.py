"""What goes wrong on the machine, as a person meets it: what is said, what the run stands at, and how it goes on."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys import lasting_jobs
from treadle import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    ReexecutionOptions,
    RunsFilter,
    execute_job,
    reconstructable,
    resume_run,
)
from treadle.storage.leases import LeaseTerms
from treadle.storage.sqlite import SqliteStore

JOBS = Path(lasting_jobs.__file__)
ROOT = JOBS.parents[2]
RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000e"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TREADLE_TEST_MARKS", str(tmp_path / "marks"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.get() as made:
        yield made


def treadle(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which first does what the code says."""
    script = f"{code}\nimport sys, treadle.cli\nsys.exit(treadle.cli.main({list(arguments)!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def run(job: str = "harmed", *, code: str = "") -> subprocess.CompletedProcess[str]:
    return treadle("run", "-q", "--run-id", RUN_ID, f"{JOBS}:{job}", code=code)


def marks() -> list[str]:
    return Path("marks").read_text().split()


# -- stored values


def test_file_in_the_place_of_the_folder_fails_the_step_and_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_TEST_HARM", "file for folder")
    done = run()
    assert done.returncode == 1
    assert "Not a directory: the value was not stored, and nothing of it is left. See to that folder" in done.stdout
    assert f"{home}/storage/{RUN_ID}/harm/result" in done.stdout
    with DagsterInstance.get() as instance:
        assert instance.get_status(RUN_ID) is DagsterRunStatus.FAILURE
        (failure,) = instance.all_logs(RUN_ID, DagsterEventType.STEP_FAILURE)
        assert failure.step_key == "harm"
        assert instance.all_logs(RUN_ID, DagsterEventType.STEP_SUCCESS)[-1].step_key == "start"
        (home / "storage").unlink()
        (home / "values").rename(home / "storage")
        monkeypatch.delenv("TREADLE_TEST_HARM")
        again = ReexecutionOptions.from_failure(RUN_ID, instance)
        with execute_job(reconstructable(lasting_jobs.harmed), instance, reexecution_options=again) as result:
            assert result.output_for_node("last") == 4
    assert marks() == ["start", "harm", "harm", "last"]


def test_value_that_is_too_large_for_the_disk_fails_the_step_and_leaves_nothing(home: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))"
    done = run("heavy", code=limit)
    assert done.returncode == 1
    assert "File too large: the value was not stored, and nothing of it is left. Make room there" in done.stdout
    assert list((home / "storage" / RUN_ID / "big").iterdir()) == []
    with DagsterInstance.get() as instance:
        assert instance.get_status(RUN_ID) is DagsterRunStatus.FAILURE
        again = ReexecutionOptions.from_failure(RUN_ID, instance)
        with execute_job(reconstructable(lasting_jobs.heavy), instance, reexecution_options=again) as result:
            assert result.output_for_node("total_size") == 3_000_000
    assert marks() == ["start", "big", "big"]


# -- the store's file


def test_full_disk_under_the_store_cuts_the_run_off_where_its_log_ends(home: Path) -> None:
    """The limit on the size of files is reached by the log: what was committed stays, and the run goes on from there."""
    with DagsterInstance.get() as instance:
        instance.get_runs()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (130_000, 130_000))"
    config = "ops.start.config.count=300"
    done = treadle("run", "-q", "--run-id", RUN_ID, "--set", config, f"{JOBS}:fanned", code=limit)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "treadle.db" in done.stderr
    assert f"treadle resume {RUN_ID}" in done.stderr
    with DagsterInstance.get() as instance:
        assert instance.is_interrupted(RUN_ID)
        begun = len(instance.all_logs(RUN_ID, DagsterEventType.STEP_SUCCESS))
        assert 0 < begun < 300
        assert instance.store.check() == []
    assert treadle("resume", "-q", RUN_ID).returncode == 0
    works = [name for name in marks() if name.startswith("work")]
    assert len(set(works)) == 300
    assert len(works) <= 301


@pytest.mark.parametrize("harm", ["delete store", "move store"])
def test_store_that_goes_while_a_run_uses_it_is_told_and_the_run_does_not_pass_for_done(
    home: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_TEST_HARM", harm)
    done = run()
    assert done.returncode == 1
    assert f"The store {home}/treadle.db was deleted or moved while it was in use" in done.stderr
    assert "put it back, then resume the runs that were under way" in done.stderr
    assert "succeeded" not in done.stdout
    if harm == "delete store":
        assert "No runs" in treadle("runs").stdout
        return
    for path in home.glob("moved-*"):
        path.rename(path.with_name(path.name.removeprefix("moved-")))
    monkeypatch.delenv("TREADLE_TEST_HARM")
    assert "INTERRUPTED" in treadle("runs").stdout
    resumed = treadle("resume", RUN_ID)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert marks().count("start") == 1


@pytest.mark.parametrize("length", [0, 30, 5_000, 40_000])
def test_store_that_was_cut_short_is_told_by_every_command(home: Path, length: int) -> None:
    assert run().returncode == 0
    path = home / "treadle.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    for each in home.glob("treadle.db-*"):
        each.unlink()
    os.truncate(path, length)
    checked = treadle("check")
    if length == 0:  # that is a new store, and whoever cares about the old one sees that it has no runs
        assert checked.stdout.startswith("0 runs")
        assert "stored values were left alone" in treadle("gc").stdout
        assert (home / "storage" / RUN_ID).is_dir()
        return
    assert checked.returncode == 1
    assert f"The store {path} is" in checked.stderr
    for command in (["runs"], ["gc"], ["resume", RUN_ID], ["run", "-q", f"{JOBS}:harmed"]):
        done = treadle(*command)
        assert done.returncode in (1, 2)
        assert f"The store {path} is" in done.stderr
        assert "Move it aside" in done.stderr


def test_row_that_was_damaged_is_named_and_other_runs_are_not_harmed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_TEST_DEADLY", "last")
    assert treadle("run", "-q", f"{JOBS}:branching").returncode == 0
    assert run("fanned", code="import os").returncode == 0
    with contextlib.closing(sqlite3.connect(home / "treadle.db")) as connection, connection:
        (number,) = connection.execute("SELECT max(id) FROM events WHERE type = 'STEP_OUTPUT'").fetchone()
        connection.execute("UPDATE events SET body = '{\"step_output' WHERE id = ?", (number,))
        connection.execute("UPDATE runs SET status = 'STARTED' WHERE job_name = 'fanned'")
    connection.close()
    assert treadle("runs").returncode == 0
    checked = treadle("check")
    assert checked.returncode == 1
    assert f"Run {RUN_ID}: Row {number} of the event log cannot be read" in checked.stdout
    resumed = treadle("resume", RUN_ID)
    assert resumed.returncode == 2
    assert f"Row {number} of the event log cannot be read" in resumed.stderr
    assert "restore the row from a copy of the database, or delete the run" in resumed.stderr
    with DagsterInstance.get() as instance:
        (other,) = instance.get_runs(RunsFilter(job_name="branching"))
        assert instance.all_logs(other.run_id)[-1].dagster_event_type is DagsterEventType.RUN_SUCCESS
        instance.delete_run(RUN_ID)
    assert treadle("check").returncode == 0


# -- the home


def test_home_that_cannot_be_made_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("")
    done = run()
    assert (done.returncode, done.stderr) == (
        2,
        f"Error: TREADLE_HOME names {home}, which is a file. A home is a folder; it is made when needed.\n",
    )
    monkeypatch.setenv("TREADLE_HOME", str(home / "below"))
    done = run()
    assert done.returncode == 2
    assert f"The home {home}/below of the instance cannot be made: Not a directory. Make that possible" in done.stderr


def test_home_that_may_only_be_read_shows_its_runs_and_takes_none(home: Path, tmp_path: Path) -> None:
    assert run().returncode == 0
    code = "import treadle.cli.runs, treadle.cli.run, tests.journeys.lasting_jobs\ntreadle.cli.main(['runs'])"
    if os.getuid() == 0:  # whom no file mode stops; somebody else it does
        for folder in (tmp_path, *tmp_path.parents):
            if folder != Path("/") and folder.stat().st_mode & 0o005 != 0o005:
                folder.chmod(0o755)
        code += "\nimport os; os.setgid(65534); os.setuid(65534)"
    else:
        for each in home.iterdir():
            each.chmod(0o444)
        home.chmod(0o555)
    try:
        listed = treadle("runs", code=code)
        refused = treadle("run", "-q", "tests.journeys.lasting_jobs:branching", code=code)
    finally:
        home.chmod(0o755)
    assert listed.stdout.count(RUN_ID) == 2
    assert refused.returncode == 2
    assert f"The store {home}/treadle.db cannot be written: its file or folder does not allow it" in refused.stderr
    assert "TREADLE_HOME" in refused.stderr
    with DagsterInstance.get() as instance:
        assert instance.get_run_ids() == [RUN_ID]


# -- the clock


def test_clock_that_goes_back_all_the_time_changes_neither_the_log_nor_what_is_resumed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_TEST_DEADLY", "work[k1]")
    assert treadle("run", "-q", "--run-id", RUN_ID, f"{JOBS}:fanned").returncode == -9
    monkeypatch.delenv("TREADLE_TEST_DEADLY")
    back = itertools.count(0, -100)
    store = SqliteStore(home / "treadle.db", terms=LeaseTerms(clock=lambda: float(next(back))))
    with DagsterInstance.get() as instance:
        instance.store.close()
        instance.store = store
        assert instance.is_interrupted(RUN_ID)
        assert resume_run(RUN_ID, instance=instance).success
        kinds = [entry.dagster_event_type for entry in instance.all_logs(RUN_ID)]
        assert kinds[0] is DagsterEventType.RUN_START
        assert kinds[-1] is DagsterEventType.RUN_SUCCESS
        assert instance.get_status(RUN_ID) is DagsterRunStatus.SUCCESS
        (record,) = instance.get_run_records()
        assert record.update_timestamp >= record.create_timestamp
        assert [each.attempts for each in instance.get_step_summaries(RUN_ID, ["work[k0]", "work[k1]"])] == [1, 2]
    assert [name for name in marks() if name == "work[k0]"] == ["work[k0]"]
    assert "SUCCESS" in treadle("runs").stdout
