"""Steps in processes: what becomes of them, of what they write, and of the run, when processes die or must end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.executors import process_jobs
from tests.executors.processes import children, is_there, wait_until
from treadle import (
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterSubprocessError,
    ReconstructableJob,
    execute_job,
    reconstructable,
)
from treadle.executors import multiprocess
from treadle.executors.capture import FOLDER, files_of
from treadle.storage import presence

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


pytestmark = pytest.mark.usefixtures("traces")


def run(job, instance, config=None, **options):
    given = {**QUIET, **({"execution": {"config": config}} if config else {})}
    return execute_job(reconstructable(job), instance, given, **options)


def of_step(result, key: str) -> list[str]:
    return [event.event_type.name for event in result.all_events if event.step_key == key]


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("treadle")]


@pytest.fixture(autouse=True)
def nothing_is_left():
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert children() == {}
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    deadline = time.monotonic() + 2
    while own_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert own_threads() == []


# -- workers ------------------------------------------------------------------------------------------------------------


def test_one_worker_takes_one_step_after_another(instance):
    result = run(process_jobs.chained, instance)
    with result:
        assert len({result.output_for_node(f"pid{number}") for number in range(4)}) == 1


@pytest.mark.parametrize("config", [{"isolation": "step"}, {"max_steps_per_worker": 1}, {"max_worker_rss": 1}])
def test_each_step_has_a_process_of_its_own_where_config_says_so(instance, config):
    result = run(process_jobs.chained, instance, config)
    with result:
        assert len({result.output_for_node(f"pid{number}") for number in range(4)}) == 4


@pytest.mark.parametrize(
    "method", [{"spawn": {}}, {"forkserver": {}}, {"forkserver": {"preload_modules": ["json.tool", "decimal"]}}]
)
def test_start_method_is_the_one_that_config_says(instance, method):
    result = run(process_jobs.chained, instance, {"start_method": method})
    assert result.success


def test_preload_that_fails_is_told_and_the_run_goes_on(instance):
    result = run(
        process_jobs.chained, instance, {"start_method": {"forkserver": {"preload_modules": ["no_such_thing"]}}}
    )
    assert result.success
    (told,) = [event for event in result.all_events if "could not be loaded before" in (event.message or "")]
    assert "no_such_thing" in told.event_specific_data.error.message


def test_job_whose_import_starts_threads_is_not_forked_and_that_is_told(instance):
    recipe = ReconstructableJob.for_file(str(Path(__file__).with_name("threaded_module.py")), "threaded")
    result = execute_job(recipe, instance, QUIET)
    assert result.success
    assert any("not forked, since" in (event.message or "") for event in result.all_events)
    assert any("of-the-module" in (event.message or "") for event in result.all_events)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_have_the_settings_that_the_run_has_though_they_would_read_others(method, monkeypatch, tmp_path):
    monkeypatch.setenv("TREADLE_RETENTION_MAX_STEP_LOG", "12345")
    monkeypatch.setenv("TREADLE_ARTIFACTS_DIR", str(tmp_path / "values"))
    with DagsterInstance.local_temp() as instance:
        monkeypatch.delenv("TREADLE_RETENTION_MAX_STEP_LOG")
        monkeypatch.delenv("TREADLE_ARTIFACTS_DIR")
        with run(process_jobs.knowing_settings, instance, {"start_method": {method: {}}}) as result:
            told = result.output_for_node("tell_settings")
    origin = "TREADLE_RETENTION_MAX_STEP_LOG in the environment"
    assert told == (12345, origin, str(tmp_path / "values"))


@pytest.mark.parametrize("job", [process_jobs.outliving, process_jobs.outliving_afresh])
def test_run_goes_on_when_the_process_that_forks_is_killed(instance, traces, job):
    def kill() -> None:
        wait_until((traces / "begun").exists)
        (server,) = [pid for pid, command in children().items() if "forkserver" in command]
        os.kill(server, signal.SIGKILL)

    thread, got = in_thread(kill)
    result = run(job, instance)
    thread.join()
    assert got == [None]
    assert result.success
    told = [event.message or "" for event in result.all_events if event.event_type_value == "ENGINE_EVENT"]
    assert any("that starts the workers has ended" in text for text in told), told


def test_two_steps_run_at_once(instance):
    result = run(process_jobs.meeting, instance)
    with result:
        assert result.output_for_node("left") != result.output_for_node("right")


def test_worker_lets_go_of_values_and_maps_those_that_it_reads(instance):
    with run(process_jobs.heavy, instance) as result:
        memory = [result.output_for_node(f"memory_{number}") for number in range(5)]
    assert max(memory) < 150_000_000  # of 500 MB that went through it


@pytest.mark.parametrize("isolation", ["worker", "step"])
def test_value_that_steps_hand_on_is_stored_once_until_one_changes_it(instance, isolation):
    result = run(process_jobs.handing_on, instance, {"isolation": isolation})
    folder = Path(instance.storage_directory(), result.run_id)
    files = {name: (folder / name / "result") for name in ("gives_block", "looks_at", "again", "changes", "last")}
    numbers = {name: path.stat().st_ino for name, path in files.items()}
    if sys.platform == "linux":
        assert numbers["gives_block"] == numbers["looks_at"] == numbers["again"]
        assert numbers["changes"] == numbers["last"]
    assert numbers["again"] != numbers["changes"]
    with result:
        values = {name: bytes(result.output_for_node(name).data) for name in files}
    assert values["gives_block"] == values["again"]
    assert values["last"] == values["changes"]
    assert [at for at, byte in enumerate(values["last"]) if byte != values["again"][at]] == [1 << 20]


def test_messages_of_a_step_are_in_the_log_with_their_tracebacks(instance):
    result = run(process_jobs.logging, instance)
    said = [entry for entry in instance.all_logs(result.run_id) if not entry.is_dagster_event]
    assert [entry.user_message for entry in said][:1] == ["a word from the worker"]
    assert {entry.step_key for entry in said} == {"logs"}


def test_steps_that_say_more_than_a_socket_holds_lose_nothing_and_keep_its_order(instance):
    result = run(process_jobs.talkative, instance, {"max_concurrent": 2})
    assert result.success
    said: dict[str, list[str]] = {}
    for entry in instance.all_logs(result.run_id):
        if not entry.is_dagster_event:
            said.setdefault(entry.step_key, []).append(entry.user_message)
    expected = [f"line {number}" for number in range(20_000)]
    assert said == {"says_much": expected, "says_more": expected}


# -- crashes ------------------------------------------------------------------------------------------------------------


def test_worker_that_exits_is_one_event_with_its_exit_code_and_other_steps_go_on(instance, traces):
    result = run(process_jobs.crashing, instance)
    assert not result.success
    assert of_step(result, "exits")[-3:] == ["STEP_START", "ENGINE_EVENT", "STEP_FAILURE"]
    assert of_step(result, "inc") == []
    assert "STEP_SUCCESS" in of_step(result, "other")
    failure = result.failure_data_for_node("exits")
    assert failure.error.cls_name == "ChildProcessCrashException"
    assert "exit code 7" in failure.error.message
    assert failure.error_source.value == "FRAMEWORK_ERROR"
    assert not (traces / "hook").exists()
    last, before = result.all_events[-1], result.all_events[-2]
    assert last.event_specific_data.failure_reason.value == "RUN_EXCEPTION"
    assert last.event_specific_data.error.cls_name == "DagsterSubprocessError"
    assert before.event_type_value != "ENGINE_EVENT" or before.step_key is not None


def test_crash_is_raised_when_the_run_is_over(instance):
    with pytest.raises(DagsterSubprocessError, match="exit code 7"):
        run(process_jobs.crashing, instance, raise_on_error=True)


def test_worker_that_is_killed_is_told_by_the_name_of_its_signal_and_what_it_had_written_is_kept(instance, capfd):
    result = run(process_jobs.killed, instance)
    message = result.failure_data_for_node("is_killed").error.message
    assert "SIGKILL" in message
    assert "out of memory" in message
    assert "before the end" in capfd.readouterr().out


def test_what_a_killed_step_has_started_goes_with_it(instance, traces):
    run(process_jobs.killed_with_child, instance)
    pid = int((traces / "child").read_text())
    deadline = time.monotonic() + 2
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_there(pid)


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_crash_is_seen_though_what_the_step_has_forked_lives_on(instance, method):
    started = time.monotonic()
    result = run(process_jobs.forking, instance, {"start_method": {method: {}}})
    assert time.monotonic() - started < 6
    assert "SIGKILL" in result.failure_data_for_node("forks_and_is_killed").error.message


def test_crash_is_tried_again_by_the_policy_of_the_op(instance):
    result = run(process_jobs.dying_once, instance)
    assert result.success
    assert [kind for kind in of_step(result, "dies_once") if kind in ("STEP_UP_FOR_RETRY", "STEP_RESTARTED")] == [
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
    ]
    with result:
        assert result.output_for_node("inc") == 6


def test_process_that_is_killed_while_it_stores_a_value_leaves_no_part_of_it(instance):
    result = run(process_jobs.storing, instance)
    assert result.success
    assert "STEP_UP_FOR_RETRY" in of_step(result, "dies_while_it_stores")
    assert list(Path(instance.storage_directory()).rglob(".*.part")) == []


def test_crash_is_not_tried_again_where_config_says_so(instance):
    result = run(process_jobs.dying_once, instance, {"retries": {"disabled": {}}})
    assert not result.success
    assert "STEP_UP_FOR_RETRY" not in of_step(result, "dies_once")


# -- what steps write ---------------------------------------------------------------------------------------------------


def outputs_of(result, instance: DagsterInstance, key: str) -> tuple[str, str]:
    (captured,) = [
        event.event_specific_data.file_key
        for event in result.all_events
        if event.event_type_value == "LOGS_CAPTURED" and event.event_specific_data.step_keys == [key]
    ]
    folder = Path(instance.storage_directory(), result.run_id, FOLDER)
    out, err = files_of(folder, captured)
    return out.read_text(), err.read_text()


def test_all_that_a_step_writes_is_kept_by_whatever_way_it_was_written(instance, capfd):
    result = run(process_jobs.loud, instance)
    out, err = outputs_of(result, instance, "is_loud")
    assert out.splitlines() == [
        "said by Python", "said to the descriptor", "said by a child", "no newline at the end"
    ]  # fmt: skip
    assert err.splitlines() == ["to stderr", "a child on stderr"]
    shown = capfd.readouterr()
    assert "said by a child" in shown.out
    assert "a child on stderr" in shown.err


def test_silent_steps_leave_no_files(instance):
    result = run(process_jobs.chained, instance)
    assert not Path(instance.storage_directory(), result.run_id, FOLDER).exists()


def test_hundred_megabytes_of_output_are_kept_and_a_part_is_shown(instance, capfd):
    result = run(process_jobs.printing, instance)
    assert result.success
    folder = Path(instance.storage_directory(), result.run_id, FOLDER)
    assert sum(path.stat().st_size for path in folder.iterdir()) == 100_000_000
    shown = capfd.readouterr().out
    assert len(shown) < 2_000_000
    assert "treadle logs" in shown


# -- ends ---------------------------------------------------------------------------------------------------------------


def in_thread(work) -> tuple[threading.Thread, list]:
    got: list = []

    def call() -> None:
        try:
            got.append(work())
        except BaseException as error:
            got.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, got


def test_signal_to_the_run_interrupts_its_steps_and_their_cleanup_runs(instance, traces):
    def interrupt() -> None:
        wait_until((traces / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread, _ = in_thread(interrupt)
    with pytest.raises(DagsterExecutionInterruptedError, match="SIGINT"):  # it was meant for the whole program
        run(process_jobs.sleeping, instance)
    thread.join()
    (ended,) = instance.get_runs()
    events = [entry.dagster_event for entry in instance.all_logs(ended.run_id) if entry.dagster_event is not None]
    assert (traces / "finally").exists()
    assert (traces / "closed").exists()
    assert not (traces / "after").exists()
    kinds = [(event.event_type.name, event.step_key) for event in events]
    failed = kinds.index(("STEP_FAILURE", "sleeps"))
    # not always just before: the signal may have come before that the step has begun was read
    assert any("received termination signal" in (event.message or "") for event in events[:failed])
    assert kinds[-2:] == [("ENGINE_EVENT", None), ("RUN_FAILURE", None)]
    assert events[-1].event_specific_data.failure_reason.value == "UNEXPECTED_TERMINATION"


def test_signal_is_raised_where_errors_are(instance, traces):
    thread, _ = in_thread(lambda: (wait_until((traces / "begun").exists), os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(DagsterExecutionInterruptedError):
        run(process_jobs.sleeping, instance, raise_on_error=True)
    thread.join()


def test_run_that_is_canceled_from_elsewhere_ends_canceled(instance, traces):
    thread, got = in_thread(lambda: run(process_jobs.sleeping, instance))
    wait_until((traces / "begun").exists)
    (under_way,) = instance.get_runs()
    with DagsterInstance.from_ref(instance.get_ref()) as other:
        other.report_run_canceling(under_way)
    thread.join(20)
    (result,) = got
    assert instance.get_run_by_id(result.run_id).status.value == "CANCELED"
    assert result.all_events[-1].event_type.name == "RUN_CANCELED"
    assert (traces / "finally").exists()


def test_step_that_will_not_end_is_killed_with_all_that_it_has_started(instance, traces, monkeypatch):
    monkeypatch.setattr(multiprocess, "GRACE", 0.3)
    thread, got = in_thread(lambda: run(process_jobs.stubborn, instance))
    wait_until((traces / "begun").exists)
    (under_way,) = instance.get_runs()
    instance.report_run_canceling(under_way)
    thread.join(20)
    (result,) = got
    told = [event.message for event in result.all_events if event.event_type_value == "ENGINE_EVENT"]
    assert any("SIGTERM" in text for text in told)
    assert any("SIGKILL" in text for text in told)
    assert result.all_events[-1].event_type.name == "RUN_CANCELED"
    assert not is_there(int((traces / "begun").read_text()))


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_all_processes_are_gone_when_that_of_the_run_is_killed(instance, traces, method):
    config = {"execution": {"config": {"start_method": {method: {}}}}}
    code = (
        "from treadle import *\nfrom tests.executors import process_jobs\n"
        f"home = DagsterInstance.from_config({instance.root_directory!r})\n"
        f"execute_job(reconstructable(process_jobs.stubborn), home, {config!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until((traces / "begun").exists, 20)
    time.sleep(0.2)
    found = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in found.splitlines()]
    below = {process.pid}
    for _ in range(4):
        below |= {int(pid) for pid, parent, _ in rows if int(parent) in below}
    below.discard(process.pid)
    assert len(below) >= 3  # what forks, what works, what that has started
    process.kill()
    process.wait()
    wait_until(lambda: not any(is_there(pid) for pid in below), 2.0)


# -- limits -------------------------------------------------------------------------------------------------------------


def test_step_that_takes_too_long_is_ended_with_what_it_has_started_and_has_failed_for_that(instance, traces):
    result = run(process_jobs.late, instance)
    failure = result.failure_data_for_node("takes_long")
    assert failure.error.cls_name == "StepTimeoutError"
    assert "0.4 s" in failure.error.message
    assert (traces / "finally").exists()
    assert not is_there(int((traces / "child").read_text()))
    assert "STEP_SUCCESS" in of_step(result, "other")
    assert result.all_events[-1].event_specific_data.failure_reason.value == "STEP_FAILURE"


def test_step_that_takes_too_long_is_tried_again_by_the_policy_of_its_op(instance):
    with run(process_jobs.late_once, instance) as result:
        assert result.output_for_node("inc") == 5


def test_step_that_does_not_heed_its_timeout_is_killed(instance, monkeypatch):
    monkeypatch.setattr(multiprocess, "GRACE", 0.3)
    result = run(process_jobs.deaf, instance)
    assert result.failure_data_for_node("ignores_its_timeout").error.cls_name == "StepTimeoutError"


def test_step_that_takes_more_memory_than_its_op_allows_is_killed_for_that(instance):
    result = run(process_jobs.greedy, instance)
    failure = result.failure_data_for_node("takes_much")
    assert failure.error.cls_name == "StepMemoryError"
    assert "200,000,000" in failure.error.message


def most_at_once(traces: Path, name: str) -> int:
    return max(int(line) for line in (traces / name).read_text().split())


@pytest.mark.parametrize(
    ("limit", "main", "side"),
    [
        ({"key": "db", "value": "main", "limit": 1}, 1, 5),
        ({"key": "db", "value": {"applyLimitPerUniqueValue": True}, "limit": 2}, 2, 2),
        ({"key": "db", "limit": 1}, 1, 1),
    ],
)
def test_steps_of_a_tag_run_as_many_at_once_as_config_allows(instance, traces, limit, main, side):
    assert run(process_jobs.sharing, instance, {"max_concurrent": 5, "tag_concurrency_limits": [limit]}).success
    assert most_at_once(traces, "main") <= main
    assert most_at_once(traces, "side") <= side
    if side > main:
        assert most_at_once(traces, "side") > 1


def test_steps_take_the_slots_that_their_ops_ask_for(instance, traces):
    assert run(process_jobs.slotted, instance, {"max_concurrent": 4, "slots": {"gpu": 5}}).success
    assert most_at_once(traces, "gpu") == 2


def test_run_without_the_slots_that_an_op_asks_for_is_refused_before_it_begins(instance):
    with pytest.raises(DagsterInvalidConfigError, match='takes 2 of the slots "gpu", and the run has 1'):
        run(process_jobs.slotted, instance, {"slots": {"gpu": 1}})
    assert instance.get_runs() == []


def test_log_tells_what_a_step_has_cost(instance):
    result = run(process_jobs.working, instance)
    (usage,) = [
        event.event_specific_data.usage for event in result.all_events if event.event_type.name == "STEP_SUCCESS"
    ]
    assert 90 < usage.cpu_ms < 2000
    assert usage.peak_memory > 10_000_000


def test_presence_is_held_until_the_last_process_is_gone_though_nobody_waits_for_it(tmp_path):
    folder = tmp_path / "run"
    assert presence.wait_until_free(folder), "a run without a folder has no processes"
    descriptor = presence.hold(folder)
    assert descriptor is not None
    assert not presence.wait_until_free(folder, 0.05)
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.6)"], pass_fds=[descriptor])
    os.close(descriptor)
    began = time.monotonic()
    assert presence.wait_until_free(folder)
    assert 0.3 < time.monotonic() - began < 3
    worker.wait()
