"""Old runs are cleared away by what settings say, and what anybody may still need is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys import lasting_jobs
from treadle import DagsterInstance, DagsterRunStatus, ReexecutionOptions, RunsFilter, execute_job, reconstructable

JOBS = Path(lasting_jobs.__file__)
FANNED = reconstructable(lasting_jobs.fanned)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TREADLE_TEST_WORD", str(tmp_path / "word"))
    monkeypatch.setenv("TREADLE_TEST_MARKS", str(tmp_path / "marks"))
    monkeypatch.delenv("TREADLE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".treadle"


def treadle(*arguments: str) -> str:
    command = [sys.executable, "-m", "treadle", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.get() as made:
        yield made


def run_some(instance: DagsterInstance, count: int) -> list[str]:
    return [execute_job(reconstructable(lasting_jobs.branching), instance).run_id for _ in range(count)]


@pytest.mark.parametrize("place", ["treadle.toml", "environment", "pyproject.toml"])
def test_both_bounds_hold_wherever_they_are_said(
    instance: DagsterInstance, home: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids = run_some(instance, 4)
    assert treadle("gc").startswith("Deleted 0 runs; 4 left.")
    for name, key, value, left in (
        ("TREADLE_RETENTION_MAX_RUNS", "max_runs", "3", 3),
        ("TREADLE_RETENTION_MAX_AGE", "max_age", "1 day", 3),
        ("TREADLE_RETENTION_MAX_AGE", "max_age", "1 ms", 0),
    ):
        if place == "environment":
            monkeypatch.setenv(name, value)
        elif place == "treadle.toml":
            (home / place).write_text(f"[retention]\n{key} = '{value}'\n")
        else:
            Path(place).write_text(f"[tool.treadle.retention]\n{key} = '{value}'\n")
        time.sleep(0.01)
        treadle("gc")
        assert instance.get_run_ids() == run_ids[::-1][:left]
    assert [each.name for each in (home / "storage").iterdir()] == []


def test_store_gets_smaller(instance: DagsterInstance, home: Path) -> None:
    config = {"ops": {"start": {"config": {"count": 300}}}}
    config |= {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    execute_job(FANNED, instance, config)
    kept = run_some(instance, 1)
    instance.dispose()
    before = (home / "treadle.db").stat().st_size
    said = treadle("gc", "--max-runs", "1")
    assert "The store went from" in said
    assert (home / "treadle.db").stat().st_size < before / 2
    assert instance.get_run_ids() == kept
    assert instance.all_logs(kept[0])[-1].message.startswith("Finished execution")


def test_run_that_is_under_way_in_another_process_is_not_touched(instance: DagsterInstance, home: Path) -> None:
    run_some(instance, 2)
    command = [sys.executable, "-m", "treadle", "run", f"{JOBS}:waiting"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 30
        while not Path("marks").exists() or "waiting" not in Path("marks").read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert treadle("gc", "--max-runs", "0", "--max-age", "0s").startswith("Deleted 2 runs; 1 left.")
        Path("word").touch()
        output = running.communicate(timeout=60)[0]
    assert running.returncode == 0, output
    (run,) = instance.get_runs()
    assert run.status is DagsterRunStatus.SUCCESS
    assert any(entry.user_message == "the word came" for entry in instance.all_logs(run.run_id))


def test_what_a_later_run_takes_its_inputs_from_stays_with_it(
    instance: DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_TEST_BROKEN", "work[k1]")
    first = execute_job(FANNED, instance)
    second = execute_job(FANNED, instance, reexecution_options=ReexecutionOptions.from_failure(first.run_id, instance))
    assert not second.success
    said = treadle("gc", "--max-runs", "1")
    assert said.startswith(
        "Deleted 0 runs; 2 left.\n1 run that would be deleted stayed, as later runs take values from"
    )
    monkeypatch.delenv("TREADLE_TEST_BROKEN")
    again = ReexecutionOptions.from_failure(second.run_id, instance)
    assert execute_job(FANNED, instance, reexecution_options=again).success
    assert treadle("gc", "--max-runs", "0").startswith("Deleted 3 runs; 0 left.")


def test_folder_of_values_that_several_instances_share_keeps_those_of_the_others(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_ARTIFACTS_DIR", str(tmp_path / "values"))
    with DagsterInstance.get() as mine:
        (ours,) = run_some(mine, 1)
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "other"))
    with DagsterInstance.get() as others:
        (theirs,) = run_some(others, 1)
    assert treadle("gc", "--max-runs", "0").startswith("Deleted 1 run; 0 left.")
    assert [each.name for each in (tmp_path / "values").iterdir()] == [ours]
    assert theirs != ours


def test_values_are_left_alone_where_the_store_was_lost(instance: DagsterInstance, home: Path) -> None:
    (run_id,) = run_some(instance, 1)
    instance.dispose()
    for path in home.glob("treadle.db*"):
        path.unlink()
    said = treadle("gc")
    assert "The store has no runs; stored values were left alone." in said
    assert (home / "storage" / run_id / "decide" / "yes").exists()


def test_step_that_says_too_much_is_told_on_the_screen_and_in_the_log(
    instance: DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_RETENTION_MAX_STEP_LOG", "2 kB")
    said = treadle("run", f"{JOBS}:talkative")
    assert "This step has logged more than 2000 bytes" in said
    (run,) = instance.get_runs(RunsFilter(job_name="talkative"))
    log = instance.all_logs(run.run_id)
    assert sum(len(entry.user_message) for entry in log if entry.dagster_event is None) < 3_000
    assert [entry.level for entry in log if "retention.max_step_log" in entry.user_message] == [30]
    assert run.status is DagsterRunStatus.SUCCESS
    assert (home / "treadle.db").stat().st_size < 200_000
