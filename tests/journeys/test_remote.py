"""Runs whose values are kept at a remote store: over a real socket, by processes that share nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ftp_server import serving
from tests.journeys import remote_jobs
from treadle import (
    DagsterInstance,
    DagsterUnmetExecutorRequirementsError,
    ReexecutionOptions,
    execute_job,
    reconstructable,
    resume_run,
)
from treadle.runs import make_run_id

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The folder of the store, as the store itself sees it."""
    return tmp_path / "served"


@pytest.fixture
def url(served: Path) -> Iterator[str]:
    with serving(served) as found:
        yield found


def open_home(home: Path, place: str) -> DagsterInstance:
    home.mkdir(exist_ok=True)
    (home / "treadle.toml").write_text(f'[artifacts]\ndir = "{place}"\n')
    return DagsterInstance.from_config(str(home))


@pytest.fixture
def instance(tmp_path: Path, url: str) -> Iterator[DagsterInstance]:
    with open_home(tmp_path / "home", url) as made:
        yield made


def run(made: Any, instance: DagsterInstance, folder: Path, **options: Any) -> Any:
    return execute_job(reconstructable(made), instance, QUIET, tags={"folder": str(folder)}, **options)


def treadle(home: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "treadle", *arguments]
    environ = {**os.environ, "TREADLE_HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def values(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("made", [remote_jobs.here, remote_jobs.in_processes])
def test_values_go_over_the_store_and_nothing_of_them_stays_here(
    made: Any, instance: DagsterInstance, tmp_path: Path, served: Path
) -> None:
    with run(made, instance, tmp_path) as result:
        assert result.success, result.all_events[-1]
        assert result.output_for_node("add") == 6
        paths = [
            event.event_specific_data.metadata["path"].value
            for event in result.all_node_events
            if event.is_handled_output
        ]
    run_id = result.run_id
    names = (
        "add/result",
        "begin/result",
        "double[n1]/result",
        "double[n2]/result",
        "split/result/n1",
        "split/result/n2",
    )
    assert values(served / "values") == [f"{run_id}/{name}" for name in names]
    assert not any("secret" in path for path in paths)
    assert paths[0].startswith("ftp://127.0.0.1:")
    assert [path for path in (tmp_path / "home").rglob("*") if path.name == "result"] == []


def test_run_is_executed_again_from_its_failure_with_values_of_the_store(
    instance: DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()
    failed = run(remote_jobs.in_processes, instance, tmp_path)
    assert failed.get_failed_step_keys() == {"add"}
    (tmp_path / "broken").unlink()
    options = ReexecutionOptions.from_failure(failed.run_id, instance)
    with run(remote_jobs.in_processes, instance, tmp_path, reexecution_options=options) as again:
        assert again.success, again.all_events[-1]
        assert again.output_for_node("add") == 6
    assert len(list(tmp_path.glob("begun *"))) == 1


@pytest.mark.parametrize("name", ["here", "in_processes"])
def test_run_that_was_killed_goes_on_with_values_of_the_store(
    name: str, instance: DagsterInstance, tmp_path: Path, served: Path
) -> None:
    run_id = make_run_id()
    (tmp_path / "deadly").touch()
    arguments = [str(tmp_path / "home"), str(tmp_path), run_id, name]
    process = subprocess.Popen([sys.executable, "-m", "tests.journeys.remote_jobs", *arguments])
    deadline = time.monotonic() + 60
    while not (tmp_path / "reached").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    (tmp_path / "deadly").unlink()
    with resume_run(run_id, instance=instance) as result:
        assert result.success, result.all_events[-1]
        assert result.output_for_node("add") == 6
    assert len(list(tmp_path.glob("begun *"))) == 1
    assert len(values(served / "values" / run_id)) == 6


def test_check_reads_values_of_the_store_through_and_gc_deletes_them(
    instance: DagsterInstance, tmp_path: Path, served: Path
) -> None:
    home = tmp_path / "home"
    run_id = run(remote_jobs.here, instance, tmp_path).run_id
    assert "1 run and 6 stored values read: nothing damaged." in treadle(home, "check")
    file = served / "values" / run_id / "begin" / "result"
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    said = treadle(home, "check", code=1)
    assert "1 damaged" in said
    assert f"{run_id}/begin/result cannot be read" in said
    assert "secret" not in said
    ours = served / "values" / run_id / "begin" / ".result.1-ab.part"
    theirs = served / "values" / "00000000-0000-4000-8000-000000000000" / "begin" / ".result.1-ab.part"
    for part in (ours, theirs):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    assert "1 half-written file removed" in treadle(home, "gc")
    assert (ours.exists(), theirs.exists(), file.exists()) == (False, True, True)
    assert treadle(home, "gc", "--max-runs", "0").startswith("Deleted 1 run; 0 left.")
    assert not file.parent.parent.exists()
    assert theirs.exists()


def test_store_that_does_not_answer_is_told_and_no_run_is_deleted(tmp_path: Path) -> None:
    with serving(tmp_path / "served") as url, open_home(tmp_path / "home", url) as instance:
        assert run(remote_jobs.here, instance, tmp_path).success
    with open_home(tmp_path / "home", url) as instance:
        result = run(remote_jobs.here, instance, tmp_path)
        assert not result.success
        assert "it cannot be reached: ConnectionRefusedError" in str(result.all_events[-1].event_specific_data.error)
        said = treadle(tmp_path / "home", "gc", "--max-runs", "0", code=1)
        assert "which does not answer, so nothing was deleted" in said
        assert len(instance.get_runs()) == 2
        assert "could not be looked at" in treadle(tmp_path / "home", "check", code=1)


def test_value_whose_writer_is_killed_half_way_is_not_there(tmp_path: Path, served: Path) -> None:
    with serving(served, bytes_per_second=2_000_000) as url:
        command = [sys.executable, "-m", "tests.journeys.remote_jobs", url, str(tmp_path)]
        with subprocess.Popen(command) as process:
            deadline = time.monotonic() + 60
            while not [path for path in served.rglob(".*.part") if path.stat().st_size > 100_000]:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
    assert [name for name in values(served) if not name.endswith(".part")] == []


def test_store_in_the_memory_of_one_process_is_refused_to_several(tmp_path: Path) -> None:
    with open_home(tmp_path / "home", "memory://values") as instance:
        with pytest.raises(DagsterUnmetExecutorRequirementsError, match=r"artifacts.dir of the instance is memory://"):
            run(remote_jobs.in_processes, instance, tmp_path)
        with run(remote_jobs.here, instance, tmp_path) as result:
            assert result.output_for_node("add") == 6
