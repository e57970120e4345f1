"""The process that workers are forked from is started before the run is recorded, and is gone where no run comes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.executors import mixed_jobs, process_jobs
from tests.executors.processes import children, is_there, wait_until
from treadle import (
    DagsterEventType,
    DagsterInstance,
    DagsterRunAlreadyExists,
    DagsterRunStatus,
    RunOwnedError,
    execute_job,
    job,
    multiprocess_executor,
    op,
    reconstructable,
)
from treadle.executors import crew
from treadle.preparation import Conduct, JobRun, RunOptions, set_up_stored

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


pytestmark = pytest.mark.usefixtures("traces")


@op(config_schema={"text": str})
def measure(context) -> int:
    return len(context.op_config["text"])


@job(executor_def=multiprocess_executor)
def large_config():
    measure()


def begin(instance: DagsterInstance, a_job: Any = process_jobs.chained, run_id: str | None = None) -> JobRun:
    setup = set_up_stored(reconstructable(a_job), QUIET, RunOptions(instance, run_id=run_id))
    return JobRun.begin(setup, instance, Conduct())


@pytest.fixture(autouse=True)
def nothing_is_left():
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert children() == {}
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


@pytest.fixture
def at_writer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has a function called when a run is recorded and its log about to be opened."""

    def put(function: Callable[[], None]) -> None:
        original = DagsterInstance.open_writer

        def open_writer(self: DagsterInstance, run_id: str, **options: Any) -> Any:
            function()
            return original(self, run_id, **options)

        monkeypatch.setattr(DagsterInstance, "open_writer", open_writer)

    return put


@pytest.mark.parametrize("a_job", [process_jobs.chained, mixed_jobs.on_threads])
def test_process_is_there_before_the_run_is_and_stays_the_only_one(instance, at_writer, a_job):
    early: list[int] = []
    at_writer(lambda: early.extend(children()))
    run = begin(instance, a_job)
    later: set[int] = set()
    for _ in run.events():
        later |= {pid for pid, command in children().items() if "forkserver" in command}
    assert len(early) == 1
    assert later == set(early)
    assert run.ended_run().status is DagsterRunStatus.SUCCESS


def test_no_signal_of_a_terminal_reaches_it_from_its_first_moment_on(instance, at_writer):
    sessions: list[bool] = []
    at_writer(lambda: sessions.extend(os.getsid(pid) == pid for pid in children()))
    assert execute_job(reconstructable(process_jobs.chained), instance, QUIET).success
    assert sessions == [True]


def test_workers_of_their_own_need_none(instance, at_writer):
    early: list[int] = []
    at_writer(lambda: early.extend(children()))
    config = {**QUIET, "execution": {"config": {"start_method": {"spawn": {}}}}}
    assert execute_job(reconstructable(process_jobs.chained), instance, config).success
    assert early == []


def test_none_is_left_where_a_run_of_that_id_is_there_already(instance, traces):
    run_id = "3a9f0b6e-8c1d-4e2f-9a7b-5c6d7e8f9a0b"
    list(begin(instance, run_id=run_id).events())
    with pytest.raises(DagsterRunAlreadyExists):
        begin(instance, run_id=run_id)
    assert children() == {}


def test_none_is_left_where_another_has_the_run(instance, at_writer):
    early: list[int] = []

    def refuse() -> None:
        early.extend(children())
        raise RunOwnedError("The run is under way elsewhere.")

    at_writer(refuse)
    with pytest.raises(RunOwnedError):
        execute_job(reconstructable(process_jobs.chained), instance, QUIET)
    assert len(early) == 1
    assert children() == {}


@pytest.mark.parametrize("error", [ValueError("no log for you"), KeyboardInterrupt()])
def test_none_is_left_where_a_logger_cannot_be_made(instance, monkeypatch, error):
    early: list[int] = []

    def fail(*_args: Any) -> Any:
        early.extend(children())
        raise error

    monkeypatch.setattr("treadle.preparation._make_loggers", fail)
    with pytest.raises(type(error)):
        begin(instance)
    assert len(early) == 1
    assert children() == {}


def test_none_is_left_where_the_run_is_let_go_before_it_needs_workers(instance):
    run = begin(instance)
    events = run.events()
    assert next(events).event_type is DagsterEventType.RUN_START
    assert len(children()) == 1
    events.close()
    assert children() == {}
    assert run.ended_run().status is DagsterRunStatus.FAILURE


def test_one_that_dies_before_it_knows_the_run_is_told_and_the_run_goes_on(instance, at_writer):
    def kill() -> None:
        (server,) = children()
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not is_there(server))

    at_writer(kill)
    result = execute_job(reconstructable(process_jobs.chained), instance, QUIET)
    assert result.success
    told = [event.message or "" for event in result.all_events if event.event_type_value == "ENGINE_EVENT"]
    assert any("that starts the workers has ended (signal 9, SIGKILL)" in text for text in told), told


def test_run_goes_on_where_the_process_cannot_be_had_at_first(instance, monkeypatch):
    start, asked = crew._start, []

    def fail_once(module: str, *given: Any) -> Any:
        asked.append(module)
        if len(asked) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start(module, *given)

    monkeypatch.setattr(crew, "_start", fail_once)
    assert execute_job(reconstructable(process_jobs.chained), instance, QUIET).success
    assert asked == ["treadle.executors.forkserver"] * 2


def test_run_that_never_gets_its_process_fails_by_that_in_its_log(instance, monkeypatch):
    def fail(*_given: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(crew, "_start", fail)
    result = execute_job(reconstructable(process_jobs.chained), instance, QUIET)
    assert result.all_events[-1].event_type is DagsterEventType.RUN_FAILURE
    assert "Resource temporarily unavailable" in str(result.all_events[-1].event_specific_data.error)


ALONE = """
import os, signal, sys
from treadle.executors import crew
from treadle.executors.wire import Assignment
server = crew.Server()
if sys.argv[1] == "told":
    server.channel.send(Assignment({}, b"", "STARTED", {}, "", {}, True, ""))
print(server.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["told", "not told"])
def test_it_goes_without_a_word_with_the_process_that_has_started_it(tmp_path, state):
    command = [sys.executable, "-c", ALONE, state]
    # comes back when nobody is left who could write
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""
    wait_until(lambda: not is_there(int(done.stdout)))


def test_run_config_of_any_size_reaches_it(instance):
    config = {"ops": {"measure": {"config": {"text": "x" * 3_000_000}}}}
    with execute_job(reconstructable(large_config), instance, {**QUIET, **config}) as result:
        assert result.output_for_node("measure") == 3_000_000
