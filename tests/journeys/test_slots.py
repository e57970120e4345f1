"""Runs of several processes that share slots: never more taken than there are, and none lost, whatever becomes of a run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from treadle import DagsterInstance, RunsFilter

TREADLE = str(Path(sys.executable).with_name("treadle"))
#: of where steps of a run are, for a job whose config may say
WAYS = {
    "in process": (),
    "threads": ("--set", "execution.config.threaded.max_concurrent=1"),
    "processes": ("--set", "execution.config.multiprocess.max_concurrent=1"),
}
each_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())


class Place:
    """A folder with the jobs, its home, and what was started there."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.marked = folder / "marks"
        self.marked.touch()
        self.started: list[subprocess.Popen[str]] = []
        shutil.copy(Path(__file__).with_name("slots_jobs.py"), folder / "jobs.py")
        (folder / ".treadle").mkdir()
        self.limit(limit)

    def limit(self, count: int) -> None:
        (self.folder / ".treadle" / "treadle.toml").write_text(f"[slots]\ngpu = {count}\n")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [TREADLE, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def run(self, job: str, *options: str) -> subprocess.Popen[str]:
        return self.start("run", f"jobs.py:{job}", *options)

    def treadle(self, *arguments: str) -> str:
        process = self.start(*arguments)
        return process.communicate(timeout=60)[0]

    def marks(self) -> list[str]:
        """What steps have marked so far, without the numbers of processes."""
        return [line.rpartition(" ")[0] for line in self.marked.read_text().splitlines()]

    def wait_for_mark(self, text: str) -> None:
        wait_until(lambda: text in self.marks(), text)

    def open(self) -> DagsterInstance:
        return DagsterInstance.from_config(str(self.folder / ".treadle"))

    def claims(self) -> dict[str, bool]:
        """The steps that have slots, and those that wait for some: whether they have."""
        with self.open() as instance:
            return {claim.step_key: claim.granted is not None for claim in instance.store.slot_claims()}

    def wait_until_somebody_waits(self) -> None:
        wait_until(lambda: not all(self.claims().values()), "nobody waits")

    def run_id(self, job: str) -> str:
        """The id of the only run of a job."""
        with self.open() as instance:
            (run_id,) = instance.get_run_ids(RunsFilter(job_name=job))
        return run_id


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, 1)
    yield made
    (tmp_path / "go").touch()
    for process in made.started:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()


def succeeds(process: subprocess.Popen[str]) -> None:
    out = process.communicate(timeout=80)[0]
    assert process.returncode == 0, out


def most_at_once(marks: list[str]) -> int:
    """The most slots that were in use at once."""
    now, most = 0, 0
    for line in marks:
        word, _, size = line.split()
        now += int(size) if word == "begin" else -int(size)
        most = max(most, now)
    assert now == 0
    return most


def test_runs_at_once_never_take_more_than_there_is_whatever_carries_them_out(place: Place) -> None:
    place.limit(4)
    started = [place.run(job) for job in ("in_process", "threads", "on_a_loop", "processes", "mixed", "on_dask")]
    for process in started:
        succeeds(process)
    marks = place.marks()
    assert marks.count("begin three 3") == 6
    assert marks.count("begin near 1") == 3
    assert len(marks) == 2 * (6 * 8 + 4)
    assert 3 <= most_at_once(marks) <= 4
    assert place.claims() == {}


@pytest.mark.parametrize("job", ["in_process", "threads", "on_a_loop", "processes", "mixed"])
def test_steps_of_one_run_that_need_all_slots_go_one_after_another(place: Place, job: str) -> None:
    place.limit(3)
    succeeds(place.run(job))
    assert most_at_once(place.marks()) == 3
    assert len(place.marks()) == 2 * (12 if job == "mixed" else 8)


@each_way
def test_slots_of_a_run_that_is_killed_are_free_when_its_processes_are_gone(
    place: Place, options: tuple[str, ...]
) -> None:
    killed = place.run("holding", *options)
    place.wait_for_mark("begin holder 1")
    waits = place.run("wanting", *options)
    place.wait_until_somebody_waits()
    killed.kill()
    began = time.monotonic()
    succeeds(waits)
    assert time.monotonic() - began < 20
    assert "gone holder 0" in place.marks()
    assert "lives holder 0" not in place.marks()
    assert place.claims() == {}


@each_way
def test_run_that_goes_on_takes_its_slots_anew(place: Place, options: tuple[str, ...]) -> None:
    killed = place.run("holding", *options)
    place.wait_for_mark("begin holder 1")
    killed.kill()
    killed.communicate()
    (place.folder / "go").touch()
    succeeds(place.start("resume", place.run_id("holding")))
    assert place.marks() == ["begin holder 1", "begin holder 1", "end holder 1"]
    assert place.claims() == {}


@each_way
def test_run_that_waits_goes_on_with_its_other_steps_and_can_be_canceled(
    place: Place, options: tuple[str, ...]
) -> None:
    holds = place.run("holding")
    place.wait_for_mark("begin holder 1")
    waits = place.run("wanting", *options)
    place.wait_for_mark("end free 0")
    place.wait_until_somebody_waits()
    assert "has ended: CANCELED" in place.treadle("cancel", place.run_id("wanting"))
    out = waits.communicate(timeout=60)[0]
    assert waits.returncode == 130
    holding = place.run_id("holding")
    assert f'waits     wanter  for 1 of the 1 slots "gpu": step holder of run {holding} has 1 "gpu".' in out
    assert place.claims() == {"holder": True}
    assert "begin wanter 1" not in place.marks()
    (place.folder / "go").touch()
    succeeds(holds)


@each_way
def test_slots_of_a_run_that_is_canceled_are_free(place: Place, options: tuple[str, ...]) -> None:
    holds = place.run("holding", *options)
    place.wait_for_mark("begin holder 1")
    waits = place.run("wanting")
    place.wait_until_somebody_waits()
    holds.send_signal(signal.SIGINT)
    if "threaded" in str(options):
        (place.folder / "go").touch()  # a thread cannot be stopped
    assert holds.wait(timeout=60) == 130
    succeeds(waits)


def test_slots_of_a_step_that_waits_for_another_attempt_are_free_meanwhile(place: Place) -> None:
    tries = place.run("retrying")
    place.wait_for_mark("begin flaky0 1")
    waits = place.run("wanting")
    place.wait_until_somebody_waits()
    (place.folder / "go").touch()
    succeeds(tries)
    succeeds(waits)
    used = [line for line in place.marks() if line.startswith("begin")]
    assert used == ["begin flaky0 1", "begin wanter 1", "begin flaky1 1"]
    assert most_at_once([line for line in place.marks() if " free " not in line]) == 1


def test_step_that_needs_much_is_not_starved_by_runs_of_many_that_need_little(place: Place) -> None:
    place.limit(2)
    streams = [place.run("stream", *WAYS[way]) for way in ("threads", "processes")]
    wait_until(lambda: place.marks().count("begin small 1") >= 6, "the streams flow")
    succeeds(place.run("needing_much"))
    for process in streams:
        succeeds(process)
    marks = place.marks()
    assert marks.count("begin small 1") == 160
    after = marks[marks.index("end big 2") :]
    assert after.count("begin small 1") > 20, "it came when all others had done"
    assert most_at_once(marks) == 2


def test_step_that_needs_more_than_there_is_is_refused_before_the_run_begins(place: Place) -> None:
    process = place.run("needing_much")
    out = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    where = place.folder / ".treadle" / "treadle.toml"
    assert 'Op "big" of the job "needing_much" takes 2 of the slots "gpu"' in out
    assert f"together have 1 ({where} line 2)" in out
    with place.open() as instance:
        assert instance.get_runs() == []


def test_slots_are_shown_with_who_has_them_and_who_waits(place: Place) -> None:
    assert place.treadle("slots").split() == [
        "slot", "limit", "taken", "waiting", "said", "by",
        "gpu", "1", "0", "0", f"{place.folder}/.treadle/treadle.toml", "line", "2",
    ]  # fmt: skip
    place.run("holding")
    place.wait_for_mark("begin holder 1")
    place.run("wanting")
    place.wait_until_somebody_waits()
    holding, wanting = place.run_id("holding"), place.run_id("wanting")
    _, row, has, waits = place.treadle("slots").splitlines()
    assert row.split()[:4] == ["gpu", "1", "1", "1"]
    assert has.split()[:6] == ["has", "1", "holder", "holding", "(run", f"{holding})"]
    assert waits.split()[:6] == ["waits", "1", "wanter", "wanting", "(run", f"{wanting})"]
    (place.folder / ".treadle" / "treadle.toml").unlink()
    assert "another process" in place.treadle("slots")
    (place.folder / "go").touch()
    for process in place.started:
        process.communicate(timeout=60)
    assert "has no slots: say how many in [slots]" in place.treadle("slots")
