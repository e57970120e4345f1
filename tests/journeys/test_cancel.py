"""A person who wants a run to end: Ctrl-C once and twice, `treadle cancel` from another shell, and what steps have written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TREADLE = str(Path(sys.executable).with_name("treadle"))

JOBS = """
import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

from treadle import job, op


@op
def load():
    print("loaded")
    print("a warning", file=sys.stderr)
    return 1


@op
def sleep(rows):
    Path("asleep").touch()
    try:
        time.sleep(60)
    finally:
        Path("cleaned").touch()


@op
def publish(rows):
    Path("published").touch()


@job
def slow():
    publish(sleep(load()))


@op
def look(context, rows):
    Path("asleep").touch()
    try:
        while True:
            context.check_cancelled()
            time.sleep(0.01)
    finally:
        Path("cleaned").touch()


@job
def looking():
    publish(look(load()))


@op
async def wait(rows):
    Path("asleep").touch()
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)
        Path("cleaned").touch()


@job
def waiting():
    publish(wait(load()))


@op
def endure():
    child = subprocess.Popen(["sleep", "60"])
    Path("child").write_text(str(child.pid))
    Path("asleep").touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            Path("tried").touch()


@job
def stubborn():
    endure()


@op
def greet():
    print("hello")
    subprocess.run(["sh", "-c", "printf 'from a child'"])


@op
def be_silent(x):
    return x


@job
def talking():
    be_silent.alias("quiet")(load())
    greet()
"""

PROCESSES = ("--set", "execution.config.multiprocess.max_concurrent=2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TREADLE, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def treadle(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def status(folder: Path) -> str:
    return treadle(folder, "runs")[1].splitlines()[1].split()[2]


def run_id(folder: Path) -> str:
    return treadle(folder, "runs")[1].splitlines()[1].split()[0]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


each_way = pytest.mark.parametrize("options", [(), PROCESSES], ids=["in process", "processes"])


@each_way
def test_ctrl_c_cancels_the_run_after_its_steps_have_cleaned_up(folder: Path, options: tuple[str, ...]) -> None:
    process = start(folder, "run", "jobs.py:slow", *options)
    wait_for(folder / "asleep")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err.replace("a warning\n", "")) == (130, "")
    assert status(folder) == "CANCELED"
    assert (folder / "cleaned").exists()
    assert not (folder / "published").exists()
    assert "interrupted" in out or "canceled" in out


@each_way
def test_cancel_from_another_shell_ends_the_run(folder: Path, options: tuple[str, ...]) -> None:
    process = start(folder, "run", "jobs.py:slow", *options)
    wait_for(folder / "asleep")
    code, out, _ = treadle(folder, "cancel", run_id(folder)[:8])
    assert (code, "has ended: CANCELED" in out) == (0, True)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (folder / "cleaned").exists()
    assert not (folder / "published").exists()


here = pytest.mark.parametrize(("job", "executor"), [("looking", "threaded"), ("waiting", "async")])


@here
def test_ctrl_c_reaches_steps_that_look_or_await(folder: Path, job: str, executor: str) -> None:
    process = start(folder, "run", f"jobs.py:{job}", "--set", f"execution.config.{executor}.max_concurrent=2")
    wait_for(folder / "asleep")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert (process.returncode, status(folder)) == (130, "CANCELED")
    assert (folder / "cleaned").exists()
    assert not (folder / "published").exists()


@here
def test_cancel_from_another_shell_reaches_them(folder: Path, job: str, executor: str) -> None:
    process = start(folder, "run", f"jobs.py:{job}", "--set", f"execution.config.{executor}.max_concurrent=2")
    wait_for(folder / "asleep")
    code, out, _ = treadle(folder, "cancel", run_id(folder)[:8])
    assert (code, "has ended: CANCELED" in out) == (0, True)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (folder / "cleaned").exists()
    assert not (folder / "published").exists()


@each_way
def test_ctrl_c_twice_ends_what_does_not_want_to_end(folder: Path, options: tuple[str, ...]) -> None:
    process = start(folder, "run", "jobs.py:stubborn", *options)
    wait_for(folder / "asleep")
    process.send_signal(signal.SIGINT)
    wait_for(folder / "tried")
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    process.wait(timeout=30)
    took = time.monotonic() - started
    child = int((folder / "child").read_text())
    was_left = is_there(child)
    if was_left:
        os.kill(child, signal.SIGKILL)
    process.communicate()
    assert (process.returncode, took < 4) == (130, True)
    # in process nobody is left to end what the step has started, or to write down how the run ended
    assert was_left is not bool(options)
    assert status(folder) == ("CANCELED" if options else "INTERRUPTED")


def test_run_whose_process_has_died_is_marked_as_canceled(folder: Path) -> None:
    process = start(folder, "run", "jobs.py:slow")
    wait_for(folder / "asleep")
    process.kill()
    process.communicate()
    code, out, _ = treadle(folder, "cancel", run_id(folder))
    assert (code, "its process had died" in out) == (0, True)
    assert status(folder) == "CANCELED"
    code, _, err = treadle(folder, "cancel", run_id(folder))
    assert (code, "stands at CANCELED" in err) == (2, True)


def test_cancel_of_no_run_says_so(folder: Path) -> None:
    code, _, err = treadle(folder, "cancel", "nothing")
    assert (code, "There is no run nothing" in err) == (2, True)


def test_logs_prints_what_steps_on_threads_have_written(folder: Path) -> None:
    assert treadle(folder, "run", "jobs.py:talking", "--set", "execution.config.threaded.max_concurrent=2")[0] == 0
    assert treadle(folder, "logs", run_id(folder), "load") == (0, "loaded\n", "a warning\n")
    assert treadle(folder, "logs", run_id(folder), "greet") == (
        0,
        "hello\n",
        "",
    )  # a sub-process knows nothing of threads


def test_logs_prints_what_steps_have_written(folder: Path) -> None:
    assert treadle(folder, "run", "jobs.py:talking", *PROCESSES)[0] == 0
    found = run_id(folder)
    assert treadle(folder, "logs", found[:8], "load") == (0, "loaded\n", "a warning\n")
    assert treadle(folder, "logs", found, "load", "--stderr") == (0, "", "a warning\n")
    assert treadle(folder, "logs", found, "greet") == (0, "hello\nfrom a child", "")
    code, out, err = treadle(folder, "logs", found)
    assert code == 0
    assert "-- load (stdout)\nloaded\n" in out
    assert "-- greet (stdout)\nhello\nfrom a child" in out
    assert err == "-- load (stderr)\na warning\n"
    assert treadle(folder, "logs", found, "quiet") == (0, "", 'Nothing that step "quiet" has written is kept.\n')
    code, _, err = treadle(folder, "logs", found, "loadd")
    assert (code, 'Did you mean "load"?' in err) == (2, True)
