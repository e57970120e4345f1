"""Runs whose process died, as people meet them: on the command line, from Python, from two sides at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import lasting_jobs
from treadle import (
    DagsterInstance,
    DagsterInvariantViolationError,
    DagsterRunNotFoundError,
    DagsterRunStatus,
    ParameterCheckError,
    RunOwnedError,
    build_reconstructable_job,
    execute_job,
    reconstructable,
    resume_run,
)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000c"
JOBS = Path(lasting_jobs.__file__)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TREADLE_TEST_MARKS", str(tmp_path / "marks"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.get() as made:
        yield made


def marks(home: Path) -> list[str]:
    path = home.parent / "marks"
    return path.read_text().split() if path.exists() else []


def treadle(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "treadle", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def dead_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a job on the command line that dies in one of its steps; gives the id of the run."""

    def die(step: str, job: str = "fanned", *arguments: str) -> str:
        monkeypatch.setenv("TREADLE_TEST_DEADLY", step)
        done = treadle("run", f"{JOBS}:{job}", *arguments)
        assert done.returncode == -9, done.stderr
        monkeypatch.delenv("TREADLE_TEST_DEADLY")
        first, _, _ = done.stdout.partition("\n")
        return first.partition("(run ")[2].rstrip(")")

    return die


def test_run_prints_its_id_first_and_is_listed_as_interrupted_when_its_process_died(dead_run: Any, home: Path) -> None:
    run_id = dead_run("work[k1]")
    listed = treadle("runs")
    assert f"{run_id}  fanned  INTERRUPTED  4 done" in listed.stdout
    assert run_id in treadle("runs", "--status", "interrupted").stdout
    assert "No runs" in treadle("runs", "--status", "success").stdout
    with DagsterInstance.get() as instance:
        assert instance.is_interrupted(run_id)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status is DagsterRunStatus.STARTED


def test_resume_goes_on_and_ends_as_the_run_would_have(dead_run: Any, home: Path) -> None:
    run_id = dead_run("work[k1]", "fanned", "--set", "ops.start.config.count=4")
    done = treadle("resume", run_id[:8])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Resuming fanned (run {run_id}): 4 steps done before\n")
    assert "The process that ran attempt 1 of step work[k1] ended before the step did" in done.stdout
    assert marks(home) == [
        "aside", "start", "fan", "work[k0]", "work[k1]", "work[k1]", "work[k2]", "work[k3]", "total", "last",
    ]  # fmt: skip
    again = treadle("resume", run_id)
    assert again.returncode == 2
    assert "has ended: it stands at SUCCESS, so there is nothing to resume" in again.stderr
    with DagsterInstance.get() as instance:
        assert not instance.is_interrupted(run_id)
        recipe = reconstructable(lasting_jobs.fanned)
        config = {"ops": {"start": {"config": {"count": 4}}}}
        with execute_job(recipe, instance, config, run_id=run_id) as result:
            assert result.output_for_node("ending.last") == 61


def test_run_that_fails_after_it_was_resumed_has_the_exit_code_of_a_failed_run(
    dead_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = dead_run("work[k1]")
    monkeypatch.setenv("TREADLE_TEST_BROKEN", "last")
    done = treadle("resume", run_id)
    assert done.returncode == 1
    assert "Run failed" in done.stdout
    told = treadle("resume", run_id)
    assert "stands at FAILURE" in told.stderr
    assert "ReexecutionOptions.from_failure" in told.stderr


def test_op_that_must_not_be_begun_twice_has_failed(dead_run: Any, home: Path) -> None:
    run_id = dead_run("pays_money", "payment")
    done = treadle("resume", run_id)
    assert done.returncode == 1
    assert "The process that ran attempt 1 of step pays_money ended before the step did" in done.stdout
    assert marks(home) == ["pays_money"]


def test_unknown_run_is_told(home: Path) -> None:
    done = treadle("resume", "0000")
    assert done.returncode == 2
    assert "There is no run 0000 on the instance in" in done.stderr
    with DagsterInstance.get() as instance, pytest.raises(DagsterRunNotFoundError, match="No run with id 0000"):
        resume_run("0000", instance=instance)
    with pytest.raises(ParameterCheckError, match='"instance" is not a DagsterInstance'):
        resume_run("0000", instance=None)  # type: ignore[arg-type]


def test_job_that_cannot_be_made_again_is_told(dead_run: Any, home: Path) -> None:
    copy = home.parent / "copied.py"
    copy.write_text(JOBS.read_text())
    import os

    os.environ["TREADLE_TEST_DEADLY"] = "work[k1]"
    try:
        done = treadle("run", f"{copy}:fanned")
    finally:
        del os.environ["TREADLE_TEST_DEADLY"]
    run_id = done.stdout.partition("(run ")[2].partition(")")[0]
    copy.write_text("def broken(:\n")
    told = treadle("resume", run_id)
    assert told.returncode == 3
    assert "The job of the run cannot be made again" in told.stderr
    copy.unlink()
    assert treadle("resume", run_id).returncode == 3


def test_changed_job_is_refused_with_what_differs_unless_forced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import sys
from treadle import DagsterInstance, build_reconstructable_job, execute_job
recipe = build_reconstructable_job("tests.journeys.lasting_jobs", "make_changed", ("a",))
execute_job(recipe, DagsterInstance.get(), {QUIET!r}, run_id={RUN_ID!r})
"""
    monkeypatch.setenv("TREADLE_TEST_DEADLY", "second")
    monkeypatch.setenv("PYTHONPATH", str(JOBS.parents[2]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    monkeypatch.delenv("TREADLE_TEST_DEADLY")
    monkeypatch.setenv("TREADLE_TEST_SHAPE", "changed")
    told = treadle("resume", RUN_ID)
    assert told.returncode == 2
    assert 'The job "changing" is not the one that the run' in told.stderr
    assert 'step "extra" is new' in told.stderr
    assert "step \"second\": input \"x\" was 'first.result', and is 'extra.result'" in told.stderr
    forced = treadle("resume", "--force", RUN_ID)
    assert forced.returncode == 0, forced.stdout + forced.stderr


def test_values_that_were_kept_in_memory_are_told_as_lost(dead_run: Any) -> None:
    run_id = dead_run("work[k1]", "forgetful")
    done = treadle("resume", run_id)
    assert done.returncode == 2
    assert "was kept in memory and went with its process" in done.stderr
    assert "fs_io_manager" in done.stderr


def test_run_of_execute_in_process_is_resumed_with_its_job_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
from tests.journeys.lasting_jobs import fanned
from treadle import DagsterInstance
fanned.execute_in_process({QUIET!r}, instance=DagsterInstance.get(), run_id={RUN_ID!r})
"""
    monkeypatch.setenv("TREADLE_TEST_DEADLY", "start")
    monkeypatch.setenv("PYTHONPATH", str(JOBS.parents[2]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    monkeypatch.delenv("TREADLE_TEST_DEADLY")
    with DagsterInstance.get() as instance:
        with pytest.raises(DagsterInvariantViolationError, match="was started by execute_in_process.*Give it"):
            resume_run(RUN_ID, instance=instance)
        with pytest.raises(ParameterCheckError, match='"job" is not a JobDefinition'):
            resume_run(RUN_ID, instance=instance, job="fanned")  # type: ignore[arg-type]
        result = resume_run(RUN_ID, instance=instance, job=lasting_jobs.fanned)
        assert result.success
    assert marks(home).count("start") == 2
    assert marks(home).count("aside") == 1


def test_of_two_resumes_at_once_exactly_one_goes_on(dead_run: Any, home: Path) -> None:
    run_id = dead_run("work[k1]")
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "treadle", "resume", run_id],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [child.communicate(timeout=60) for child in both]
    codes = sorted(child.returncode for child in both)
    assert codes == [0, 2], said
    assert sum(("is under way" in err) or ("has ended" in err) for _out, err in said) == 1
    assert marks(home).count("total") == 1


def test_run_that_is_under_way_cannot_be_resumed(instance: DagsterInstance) -> None:
    recipe = build_reconstructable_job("tests.journeys.lasting_jobs", "make_changed", ("a",))
    told: list[BaseException] = []

    def hear(entry: Any) -> None:
        if entry.dagster_event is not None and entry.dagster_event.is_step_start and not told:
            try:
                with DagsterInstance.get() as other:
                    resume_run(RUN_ID, instance=other)
            except RunOwnedError as error:
                told.append(error)

    instance.add_event_listener(RUN_ID, hear)
    assert execute_job(recipe, instance, QUIET, run_id=RUN_ID).success
    assert "this process runs it" in str(told[0])


def test_run_of_another_process_is_followed_as_it_goes(home: Path) -> None:
    code = f"""
import time
from tests.journeys.lasting_jobs import aside
from treadle import DagsterInstance, job, op

@op
def slow():
    time.sleep(0.5)

@job
def slowly():
    slow()

slowly.execute_in_process({QUIET!r}, instance=DagsterInstance.get(), run_id={RUN_ID!r})
"""
    import os

    with DagsterInstance.get() as instance:
        child = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(JOBS.parents[2])}, text=True
        )
        while not instance.has_run(RUN_ID):
            time.sleep(0.01)
        seen: list[tuple[str, float]] = []
        for record in instance.follow(RUN_ID):
            kind = record.event_type
            seen.append((kind.name if kind is not None else "", time.time() - record.timestamp))
        assert child.wait() == 0
        assert [name for name, _ in seen][-1] == "RUN_SUCCESS"
        late = dict(seen)
        assert late["STEP_START"] < 0.4, "a long step is seen only when it is over"
        heard: list[str] = []
        ended = threading.Event()

        def hear(entry: Any, cursor: str) -> None:
            heard.append(entry.dagster_event_type.name)
            if entry.dagster_event_type.name == "RUN_SUCCESS":
                ended.set()

        instance.watch_event_logs(RUN_ID, None, hear)
        assert ended.wait(5)
        instance.end_watch_event_logs(RUN_ID, hear)
        assert heard == [name for name, _ in seen]


def test_full_disk_ends_the_run_with_an_error_that_says_what_to_do_and_it_is_resumed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import sys
from tests.journeys.lasting_jobs import fanned
from treadle import DagsterInstance, execute_job, reconstructable
from treadle.errors import StoreFullError
instance = DagsterInstance.get()
instance.get_runs()
database = instance.store._open()
with database.writing() as connection:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
connection.execute(f"PRAGMA max_page_count = {{pages + 1}}")
config = {{**{QUIET!r}, "ops": {{"start": {{"config": {{"count": 200}}}}}}}}
try:
    execute_job(reconstructable(fanned), instance, config, run_id={RUN_ID!r})
except StoreFullError as error:
    print(error)
    sys.exit(7)
"""
    monkeypatch.setenv("PYTHONPATH", str(JOBS.parents[2]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stdout + done.stderr
    assert "the disk is full. Make room, then resume the run" in done.stdout
    assert "INTERRUPTED" in treadle("runs").stdout
    resumed = treadle("resume", RUN_ID)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    done_once = [name for name in marks(home) if name.startswith("work")]
    assert len(set(done_once)) == 200
    assert len(done_once) <= 201


def test_value_that_was_damaged_fails_the_step_that_needs_it_with_its_path(dead_run: Any, home: Path) -> None:
    run_id = dead_run("work[k1]")
    path = home / "storage" / run_id / "work[k0]" / "result"
    path.write_bytes(path.read_bytes()[:-5])
    done = treadle("resume", run_id)
    assert done.returncode == 1
    assert f"The stored value {path} cannot be read" in done.stdout
    assert "Delete the file and run the step that makes it again" in done.stdout
    checked = treadle("check")
    assert checked.returncode == 1
    assert str(path) in checked.stdout


def test_clean_up_applies_what_settings_say_and_leaves_interrupted_runs(dead_run: Any, home: Path) -> None:
    dead = dead_run("work[k1]")
    for _ in range(3):
        assert treadle("run", "-q", f"{JOBS}:branching").returncode == 0
    (home / "treadle.toml").write_text("[retention]\nmax_runs = 2\n")
    done = treadle("gc")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Deleted 2 runs; 2 left.\n")
    listed = treadle("runs").stdout
    assert dead in listed
    assert listed.count("branching") == 1
    assert treadle("resume", dead).returncode == 0
    assert "Deleted 1 run; 1 left." in treadle("gc", "--max-runs", "1").stdout
    assert treadle("gc", "--max-age", "soon").returncode == 2
    assert "Deleted 1 run; 0 left." in treadle("gc", "--max-age", "0s").stdout
    assert [path for path in (home / "storage").iterdir() if path.is_dir()] == []
