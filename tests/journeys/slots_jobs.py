"""Jobs of the tests about slots that runs share. Each step leaves a line when it begins and when it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

from treadle import (
    DynamicOut,
    DynamicOutput,
    RetryPolicy,
    async_executor,
    dask_executor,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
    threaded_executor,
)


def mark(word: str, name: str, size: int = 0) -> None:
    with Path("marks").open("a") as file:
        file.write(f"{word} {name} {size} {os.getpid()}\n")


def wait_for(name: str) -> None:
    deadline = time.monotonic() + 60
    while not Path(name).exists():
        assert time.monotonic() < deadline, f"{name} did not appear"
        time.sleep(0.02)


def hold(name: str, size: int, seconds: float) -> None:
    mark("begin", name, size)
    time.sleep(seconds)
    mark("end", name, size)


@op(slots={"gpu": 1})
def one() -> None:
    hold("one", 1, 0.05)


@op(slots={"gpu": 2})
def two() -> None:
    hold("two", 2, 0.03)


@op(slots={"gpu": 3}, tags={"dagster/priority": "2"})
def three() -> None:
    hold("three", 3, 0.01)


@op(slots={"gpu": 1}, isolation="thread")
def near() -> None:
    hold("near", 1, 0.05)


@op(slots={"gpu": 2}, isolation="inline")
def inline() -> None:
    hold("inline", 2, 0.05)


@op(slots={"gpu": 1})
async def awaited() -> None:
    hold("awaited", 1, 0.02)


def weighted() -> None:
    for number in range(3):
        one.alias(f"one_{number}")()
        two.alias(f"two_{number}")()
    three()
    awaited()


@job(executor_def=in_process_executor)
def in_process():
    weighted()


@job(executor_def=threaded_executor)
def threads():
    weighted()


@job(executor_def=async_executor)
def on_a_loop():
    weighted()


@job(executor_def=multiprocess_executor)
def processes():
    weighted()


@job(executor_def=multiprocess_executor)
def mixed():
    weighted()
    for number in range(3):
        near.alias(f"near_{number}")()
    inline()


@job(executor_def=dask_executor)
def on_dask():
    weighted()


@op(slots={"gpu": 1})
def holder() -> None:
    mark("begin", "holder", 1)
    wait_for("go")
    mark("end", "holder", 1)


@job
def holding():
    holder()


def is_there(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@op(slots={"gpu": 1})
def wanter() -> None:
    # whoever had the slot before is gone, with all its processes
    for line in Path("marks").read_text().splitlines():
        word, name, _, pid = line.split()
        if word == "begin" and name == "holder":
            mark("lives" if is_there(pid) else "gone", "holder")
    mark("begin", "wanter", 1)
    mark("end", "wanter", 1)


@op
def free() -> None:
    mark("end", "free")


@job
def wanting():
    wanter()
    free()


@op(slots={"gpu": 1}, retry_policy=RetryPolicy(max_retries=1, delay=0.5))
def flaky(context) -> None:
    mark("begin", f"flaky{context.retry_number}", 1)
    if context.retry_number == 0:
        wait_for("go")
    mark("end", f"flaky{context.retry_number}", 1)
    if context.retry_number == 0:
        raise ValueError("the first time")


@job
def retrying():
    flaky()


@op(out=DynamicOut())
def numbers():
    for number in range(80):
        yield DynamicOutput(number, mapping_key=str(number))


@op(slots={"gpu": 1})
def small(number: int) -> None:
    hold("small", 1, 0.0 if Path("big_is_done").exists() else 0.1)


@job
def stream():
    numbers().map(small)


@op(slots={"gpu": 2})
def big() -> None:
    hold("big", 2, 0.1)
    Path("big_is_done").touch()


@job
def needing_much():
    big()
