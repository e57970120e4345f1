"""Values that are handed over in memory: they go when nobody needs them, and nothing of them is left there by any crash."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import memory_job
from tests.journeys.memory_job import RESULT, STEPS
from treadle import DagsterInstance, DagsterInvariantViolationError, ReexecutionOptions, execute_job, resume_run
from treadle.definitions import shelf as shelf_module
from treadle.definitions.shelf import find_shelves, name_of, of_user
from treadle.engine.holdings import is_in_memory
from treadle.errors import TreadleExecutorWarning
from treadle.recipes import ReconstructableJob

PROGRAM = Path(memory_job.__file__)
RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000e"
JOBS = ["in_workers", "in_fresh_processes", "spawned", "on_threads", "one_by_one", "mixed"]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a place in memory")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TREADLE_ARTIFACTS_HAND_OVER", "memory")
    return tmp_path / "home"


def start(home: Path, job: str, how: str = "never") -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(home), RUN_ID, job, how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(home: Path, job: str, how: str = "never") -> subprocess.Popen[str]:
    child = start(home, job, how)
    child.out, child.err = child.communicate(timeout=90)  # type: ignore[attr-defined]
    return child


def left(home: Path) -> list[Path]:
    """What is in memory of the runs of a home."""
    found = []
    for shelf in find_shelves(home / "storage"):
        found.append(shelf.folder)
        with contextlib.suppress(FileNotFoundError):  # somebody is clearing it out
            found.extend(shelf.folder.rglob("*"))
    return found


def wait_until(is_so: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def events_of(home: Path) -> list[Any]:
    with DagsterInstance.from_config(str(home)) as instance:
        return [entry.dagster_event for entry in instance.all_logs(RUN_ID) if entry.dagster_event is not None]


def check_result(child: Any, home: Path) -> None:
    assert child.returncode == 0, child.err
    assert json.loads(child.out.splitlines()[-1]) == RESULT
    assert {event.step_key for event in events_of(home) if event.is_step_success} == set(STEPS)
    assert left(home) == []
    parts = [path for path in home.rglob("*") if path.name.endswith(".part")]
    assert parts == []


@pytest.mark.parametrize("job", JOBS)
def test_values_go_through_memory_and_the_result_is_on_disk(job: str, home: Path) -> None:
    check_result(run(home, job), home)
    handed = {event.step_key for event in events_of(home) if is_in_memory(event)}
    assert handed == set(STEPS) - {"last"}  # nobody takes that one
    folder = home / "storage" / RUN_ID
    assert (folder / "last" / "result").is_file()
    assert not (folder / "last" / "result").is_symlink()
    for key in set(STEPS) - {"last", "fan"}:
        assert (folder / key / "result").is_symlink()
        assert not (folder / key / "result").exists()


@pytest.mark.parametrize("job", ["in_workers", "on_threads"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_home_may_be_named_in_any_way(job: str, is_linked: bool, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.parent)
    home.mkdir()
    (home.parent / "link").symlink_to(home)
    check_result(run(Path("link" if is_linked else "home"), job), home)
    assert {event.step_key for event in events_of(home) if is_in_memory(event)} == set(STEPS) - {"last"}


def test_values_stay_on_disk_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_ARTIFACTS_HAND_OVER")
    check_result(run(home, "in_workers"), home)
    assert not any(is_in_memory(event) for event in events_of(home))
    assert not any(path.is_symlink() for path in home.rglob("*"))


@pytest.mark.parametrize("job", ["in_workers", "on_threads"])
def test_values_are_let_go_while_the_run_goes_on(
    job: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_HOLDS", str(tmp_path / "go"))
    child = start(home, job)
    wait_until((tmp_path / "go.there").exists)
    (shelf,) = find_shelves(home / "storage")
    assert shelf.folder.stat().st_mode & 0o777 == 0o700
    wait_until(lambda: [path for path in shelf.folder.rglob("*") if path.is_file()] == [shelf.folder / "total/result"])
    (tmp_path / "go").touch()
    child.out, child.err = child.communicate(timeout=90)  # type: ignore[attr-defined]
    check_result(child, home)


def test_what_does_not_fit_goes_to_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_ARTIFACTS_MEMORY_LIMIT", "5 MiB")
    check_result(run(home, "in_workers"), home)
    handed = [event for event in events_of(home) if is_in_memory(event)]
    stored = [event for event in events_of(home) if event.event_type_value == "HANDLED_OUTPUT"]
    assert 0 < len(handed) < len(stored) - 1


@pytest.mark.parametrize("isolation", ["in_workers", "on_threads"])
def test_what_a_failed_step_needs_is_moved_to_disk_for_who_executes_it_again(
    isolation: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_FAILS", "1")
    child: Any = run(home, isolation)
    assert json.loads(child.out.splitlines()[-1]) == {"success": False, "last": None}
    assert left(home) == []
    kept = home / "storage" / RUN_ID / "total" / "result"
    assert kept.is_file()
    assert not kept.is_symlink()
    monkeypatch.delenv("MEMORY_FAILS")
    recipe = ReconstructableJob.for_file(str(PROGRAM), isolation)
    with DagsterInstance.from_config(str(home)) as instance:
        options = ReexecutionOptions.from_failure(RUN_ID, instance)
        again = execute_job(recipe, instance, QUIET, reexecution_options=options)
        assert again.success
        assert [event.step_key for event in again.all_node_events if event.is_step_success] == ["last"]


def test_step_whose_input_was_let_go_says_so_when_it_is_executed_again(home: Path) -> None:
    run(home, "in_workers")
    recipe = ReconstructableJob.for_file(str(PROGRAM), "in_workers")
    with DagsterInstance.from_config(str(home)) as instance:
        options = ReexecutionOptions(RUN_ID, step_selection=["last"])
        again = execute_job(recipe, instance, QUIET, reexecution_options=options)
        assert not again.success
        (failure,) = [event for event in again.all_node_events if event.is_step_failure]
        text = failure.event_specific_data.error.to_string()  # type: ignore[union-attr]
        assert "was handed over in memory (artifacts.hand_over), and let go" in text
        assert "run the step that makes it again, too" in text
        above = ReexecutionOptions(RUN_ID, step_selection=["*last"])
        assert execute_job(recipe, instance, QUIET, reexecution_options=above).success


# -- crashes ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many events a run has."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    run(home, "in_workers")
    return len(events_of(home))


@pytest.mark.parametrize("job", ["in_workers", "in_fresh_processes", "on_threads"])
@pytest.mark.parametrize("part", [0.15, 0.3, 0.45, 0.6, 0.75, 0.95])
def test_run_that_is_killed_leaves_nothing_in_memory_and_goes_on(
    job: str, part: float, home: Path, entries: int
) -> None:
    child: Any = run(home, job, f"event:{round(entries * part)}")
    assert child.returncode in (0, -9), child.err
    wait_until(lambda: left(home) == [])  # moved to disk, though nobody has asked for the run
    done = {event.step_key for event in events_of(home) if event.is_step_success}
    check_result(run(home, job), home)
    starts = [event.step_key for event in events_of(home) if event.event_type_value == "STEP_RESTARTED"]
    assert not done & set(starts)


@pytest.mark.parametrize("number", range(5, 33, 3))
def test_value_is_let_go_only_when_it_is_on_disk_that_nobody_needs_it(number: int, home: Path) -> None:
    child: Any = run(home, "on_threads", f"commit:{number}")
    assert child.returncode in (0, -9), child.err
    check_result(run(home, "on_threads"), home)


@pytest.mark.parametrize("seed", range(3))
def test_run_that_is_killed_at_any_instant_goes_on(seed: int, home: Path) -> None:
    child = start(home, "in_workers", "wait")
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.2, 1.5))
    child.kill()
    child.communicate(timeout=60)
    check_result(run(home, "in_workers"), home)


def processes_about(text: str) -> list[int]:
    """The processes on whose command line a text stands."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdecimal() and text in (path / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdecimal() and int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.fixture
def killed_with_all_its_own(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose process was killed together with its fork server and with who would have cleared up."""
    monkeypatch.setenv("MEMORY_HOLDS", str(tmp_path / "go"))
    child = start(home, "in_workers")
    wait_until((tmp_path / "go.there").exists)
    shelf = of_user() / name_of(home / "storage", RUN_ID)
    (guard,) = processes_about(str(shelf))
    doomed = {*children_of(child.pid), guard}
    assert len(doomed) >= 2  # the fork server, too
    child.send_signal(signal.SIGSTOP)  # so that nobody has a chance
    for pid in (guard, *doomed - {guard}, child.pid):
        os.kill(pid, signal.SIGKILL)
    child.communicate(timeout=60)
    wait_until(lambda: not processes_about(str(shelf)))
    assert left(home) != []
    monkeypatch.delenv("MEMORY_HOLDS")
    return RUN_ID


@pytest.mark.usefixtures("killed_with_all_its_own")
def test_resume_clears_up_where_nobody_was_left_to_do_so(home: Path) -> None:
    check_result(run(home, "in_workers"), home)


@pytest.mark.usefixtures("killed_with_all_its_own")
def test_gc_clears_up_where_nobody_was_left_to_do_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_HOME", str(home))
    done = subprocess.run(
        [sys.executable, "-m", "treadle", "gc"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Values of 1 run that died were in memory; they are on disk now." in done.stdout
    assert left(home) == []
    check_result(run(home, "in_workers"), home)


@pytest.mark.usefixtures("killed_with_all_its_own")
@pytest.mark.parametrize("hand_over", ["memory", "disk"])
def test_next_run_of_the_home_clears_up_where_nobody_was_left_to_do_so(
    home: Path, hand_over: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_ARTIFACTS_HAND_OVER", hand_over)
    with DagsterInstance.from_config(str(home)) as instance:
        execute_job(ReconstructableJob.for_file(str(PROGRAM), "one_by_one"), instance, QUIET)
    assert left(home) == []
    check_result(run(home, "in_workers"), home)


def test_values_that_went_with_the_machine_are_told_when_the_run_is_resumed(
    home: Path, killed_with_all_its_own: str
) -> None:
    for shelf in find_shelves(home / "storage"):
        shelf.remove()  # as when it was started anew
    with DagsterInstance.from_config(str(home)) as instance:
        with pytest.raises(DagsterInvariantViolationError) as caught:
            resume_run(killed_with_all_its_own, instance=instance)
        assert 'step "last" needs output "result" of "total", which was handed over in memory' in str(caught.value)
        options = ReexecutionOptions(RUN_ID, step_selection=["*total*"])
        recipe = ReconstructableJob.for_file(str(PROGRAM), "in_workers")
        assert execute_job(recipe, instance, QUIET, reexecution_options=options).success


def test_values_that_cannot_be_moved_stay_in_memory_and_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    def refuse(*args: Any) -> None:
        raise OSError(28, "No space left on device", "storage")

    monkeypatch.setenv("MEMORY_FAILS", "1")
    recipe = ReconstructableJob.for_file(str(PROGRAM), "on_threads")
    with monkeypatch.context() as patch, DagsterInstance.from_config(str(home)) as instance:
        patch.setattr(shutil, "copyfile", refuse)
        result = execute_job(recipe, instance, QUIET, run_id=RUN_ID)
        told = [event.message for event in result.all_events if "could not be moved to disk" in (event.message or "")]
        assert len(told) == 1
        assert "No space left on device" in told[0]
        assert [path.name for path in left(home) if path.is_file()] == ["result"]
    monkeypatch.delenv("MEMORY_FAILS")
    with DagsterInstance.from_config(str(home)) as instance:
        options = ReexecutionOptions.from_failure(RUN_ID, instance)
        assert execute_job(recipe, instance, QUIET, reexecution_options=options).success
    assert left(home) == []


def test_run_outlives_who_would_have_cleared_up_after_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_HOLDS", str(tmp_path / "go"))
    child = start(home, "in_workers")
    wait_until((tmp_path / "go.there").exists)
    (guard,) = processes_about(str(of_user() / name_of(home / "storage", RUN_ID)))
    os.kill(guard, signal.SIGKILL)
    (tmp_path / "go").touch()
    child.out, child.err = child.communicate(timeout=90)  # type: ignore[attr-defined]
    check_result(child, home)


def test_machine_without_a_place_in_memory_is_told_once_and_values_go_to_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "MEMORY", home.parent / "shm")
    recipe = ReconstructableJob.for_file(str(PROGRAM), "one_by_one")
    with DagsterInstance.from_config(str(home)) as instance:
        with pytest.warns(TreadleExecutorWarning, match="on disk, though artifacts.hand_over says memory: "):
            result = execute_job(recipe, instance, QUIET, run_id=RUN_ID)
        told = [event.message for event in result.all_events if "artifacts.hand_over" in (event.message or "")]
    assert len(told) == 1
    assert result.success
    assert not any(is_in_memory(event) for event in events_of(home))
