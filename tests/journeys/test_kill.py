"""A run that is killed at any moment is resumed, with nothing lost, nothing repeated and nothing left over.

In short; benchmarks/kill.py does it at every entry of the log, at every commit, and at 200 instants at random.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.kill_harness import RUN_ID, Undisturbed, check_kill, check_kill_at_random, undisturbed


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module", params=["everything_elsewhere", "everything_on_threads", "everything_on_a_loop"])
def wanted_at_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Of the run with several steps at once: in workers, on threads, on an event loop."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), request.param)


@pytest.mark.parametrize("part", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_run_of_steps_at_once_killed_at_an_entry_of_its_log_goes_on(
    wanted_at_once: Undisturbed, part: float, tmp_path: Path
) -> None:
    assert check_kill(tmp_path, wanted_at_once, f"event:{1 + round(part * (wanted_at_once.entries - 1))}")


@pytest.mark.parametrize("seed", range(4))
def test_run_of_steps_at_once_killed_at_any_instant_goes_on(
    wanted_at_once: Undisturbed, seed: int, tmp_path: Path
) -> None:
    check_kill_at_random(tmp_path, wanted_at_once, random.Random(seed))


@pytest.mark.parametrize("part", [0.0, 0.05, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0])
def test_run_killed_at_an_entry_of_its_log_goes_on(wanted: Undisturbed, part: float, tmp_path: Path) -> None:
    assert check_kill(tmp_path, wanted, f"event:{1 + round(part * (wanted.entries - 1))}")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 1.0])
def test_run_killed_in_a_commit_goes_on(wanted: Undisturbed, part: float, tmp_path: Path) -> None:
    assert check_kill(tmp_path, wanted, f"commit:{1 + round(part * (wanted.commits - 2))}")


@pytest.mark.parametrize("seed", range(6))
def test_run_killed_at_any_instant_goes_on(wanted: Undisturbed, seed: int, tmp_path: Path) -> None:
    check_kill_at_random(tmp_path, wanted, random.Random(seed))


_SLOW_JOB = """
import os, sys, time
from pathlib import Path
from treadle import DagsterInstance, ReconstructableJob, execute_job, job, multiprocess_executor, op

MARKS = Path(os.environ["MARKS"])

def mark(word):
    with MARKS.open("a") as file:
        file.write(f"{word} {time.monotonic()}\\n")

@op
def slow():
    mark("begin")
    time.sleep(0.4)
    for _ in range(40):
        mark("work")
        time.sleep(0.02)
    mark("end")

@job(executor_def=multiprocess_executor)
def patient():
    slow()

if __name__ == "__main__":
    with DagsterInstance.from_config(sys.argv[1]) as instance:
        recipe = ReconstructableJob.for_file(__file__, "patient")
        assert execute_job(recipe, instance, run_id=sys.argv[2]).success
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the fork server in /proc")
def test_nothing_begins_again_while_a_worker_of_the_killed_run_is_still_at_it(tmp_path: Path) -> None:
    """A fork server that is kept from killing its workers when the run's process is killed: a resume waits for them."""
    program, marks = tmp_path / "slow_job.py", tmp_path / "marks"
    program.write_text(_SLOW_JOB)
    command = [sys.executable, str(program), str(tmp_path / "home"), RUN_ID]
    environment = {**os.environ, "MARKS": str(marks)}
    first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _wait_for(lambda: marks.exists() and marks.read_text().startswith("begin"))
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    (server,) = [pid for pid in map(int, children) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(server, signal.SIGSTOP)
    try:
        first.kill()
        first.wait()
        second = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        _wait_for(lambda: "work" in marks.read_text())
        time.sleep(0.4)
        assert marks.read_text().count("begin") == 1, "the worker of the first is still at it"
    finally:
        killed = time.monotonic()
        os.kill(server, signal.SIGKILL)
    assert second.wait(30) == 0
    told = [line.split() for line in marks.read_text().splitlines()]
    begins = [float(when) for word, when in told if word == "begin"]
    assert len(begins) == 2
    assert begins[1] > killed
    assert [word for word, _ in told].count("end") == 1


def _wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
