"""Threads that are started when they are needed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from treadle.executors.pool import Pool


def test_thread_is_started_only_when_all_have_work() -> None:
    done: list[str] = []
    seen = threading.Semaphore(0)

    def work(what: Any) -> None:
        done.append(threading.current_thread().name)
        seen.release()

    pool = Pool(4, work)
    for _ in range(3):
        pool.submit(None.__class__)
        seen.acquire()
        while pool._count:
            pass
    pool.close(waits=True)
    assert done == ["treadle-step-1"] * 3


def test_no_more_threads_than_asked_for_take_what_is_submitted() -> None:
    names: set[str] = set()
    pool = Pool(2, lambda _what: names.add(threading.current_thread().name))
    for number in range(50):
        pool.submit(number)
    pool.close(waits=True)
    assert names <= {"treadle-step-1", "treadle-step-2"}


def test_system_without_more_threads_makes_do_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    gate = threading.Event()

    def work(what: int) -> None:
        gate.wait(10)
        done.append(what)

    pool = Pool(4, work)
    pool.submit(1)

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool.submit(2)
    gate.set()
    pool.close(waits=True)
    assert done == [1, 2]
    with pytest.raises(RuntimeError, match="new thread"):
        Pool(1, work).submit(1)
