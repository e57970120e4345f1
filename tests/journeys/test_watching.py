"""A run of another process, looked at while it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys import lasting_jobs
from treadle import DagsterEventType, DagsterInstance, DagsterRunStatus

RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000d"
T = DagsterEventType


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    monkeypatch.setenv("TREADLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TREADLE_TEST_WORD", str(tmp_path / "word"))
    monkeypatch.chdir(tmp_path)
    with DagsterInstance.get() as made:
        yield made


@pytest.fixture
def running(instance: DagsterInstance) -> Iterator[Callable[[], Any]]:
    """Starts a run in another process that waits until the word is said."""
    started = []

    def start() -> Any:
        command = [sys.executable, "-m", "treadle", "run", "-q", "--run-id", RUN_ID]
        started.append(subprocess.Popen([*command, f"{lasting_jobs.__file__}:waiting"], env=os.environ))
        return started[-1]

    yield start
    say_the_word()
    for process in started:
        process.wait(60)


def say_the_word() -> None:
    Path("word").touch()


def wait_for(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def test_who_watches_before_the_run_is_there_hears_all_of_it_as_it_comes(
    instance: DagsterInstance, running: Callable[[], Any]
) -> None:
    heard: list[tuple[Any, str]] = []
    early: list[Any] = []
    instance.watch_event_logs(RUN_ID, None, lambda entry, cursor: heard.append((entry, cursor)))
    instance.watch_event_logs(RUN_ID, None, early_end := lambda entry, _cursor: early.append(entry))
    process = running()
    wait_for(lambda: [entry for entry, _ in heard if entry.dagster_event_type is T.STEP_START])
    assert process.poll() is None
    assert all(time.time() - entry.timestamp < 20 for entry, _ in heard)
    instance.end_watch_event_logs(RUN_ID, early_end)
    count = len(early)
    say_the_word()
    wait_for(lambda: [entry for entry, _ in heard if entry.dagster_event_type is T.RUN_SUCCESS])
    assert process.wait(60) == 0
    assert [entry for entry, _ in heard] == instance.all_logs(RUN_ID)
    assert len(early) == count
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("treadle-watch")])
    middle = heard[3][1]
    again: list[Any] = []
    instance.watch_event_logs(RUN_ID, middle, lambda entry, _cursor: again.append(entry))
    wait_for(lambda: len(again) == len(heard) - 4)
    assert again == [entry for entry, _ in heard[4:]]


def test_pages_lead_through_a_log_that_grows_meanwhile(instance: DagsterInstance, running: Callable[[], Any]) -> None:
    running()
    wait_for(lambda: instance.all_logs(RUN_ID, T.STEP_START))
    first = instance.get_records_for_run(RUN_ID, limit=2)
    assert first.has_more
    assert [record.storage_id for record in first.records] == sorted(record.storage_id for record in first.records)
    newest = instance.get_records_for_run(RUN_ID, limit=1, ascending=False)
    assert instance.get_status(RUN_ID) is DagsterRunStatus.STARTED
    say_the_word()
    wait_for(lambda: instance.get_status(RUN_ID) is DagsterRunStatus.SUCCESS)
    forward, cursor, has_more = list(first.records), first.cursor, True
    while has_more:
        page = instance.get_records_for_run(RUN_ID, cursor, limit=3)
        forward += page.records
        cursor, has_more = page.cursor, page.has_more
    assert [record.event_log_entry for record in forward] == instance.all_logs(RUN_ID)
    backward, cursor, has_more = list(newest.records), newest.cursor, True
    while has_more:
        page = instance.get_records_for_run(RUN_ID, cursor, limit=3, ascending=False)
        backward += page.records
        cursor, has_more = page.cursor, page.has_more
    place = forward.index(newest.records[0])
    assert backward == forward[place::-1]
    assert forward[-1].run_id == RUN_ID
    assert forward[-1].event_type is T.RUN_SUCCESS
    assert isinstance(forward[-1].timestamp, float)
