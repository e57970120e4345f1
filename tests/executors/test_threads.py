"""Steps on threads and on an event loop: at once, apart from one another, and stopped as far as they can be."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterRunStatus,
    DynamicOut,
    DynamicOutput,
    OpExecutionContext,
    RetryPolicy,
    async_executor,
    build_reconstructable_job,
    execute_job,
    get_dagster_logger,
    instance_for_test,
    job,
    mem_io_manager,
    op,
    resource,
    threaded_executor,
)
from treadle.definitions.executors import ASYNC, THREADED, Execution
from treadle.executors import beside
from treadle.executors.capture import files_of, key_of
from treadle.executors.choice import limit_of

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
EXECUTORS = {"threads": threaded_executor, "async": async_executor}
both = pytest.mark.parametrize("name", EXECUTORS)

HERE: dict[str, Any] = {}


def build(made: str, name: str, _number: int) -> Any:
    """The job that a function of this module makes, on the executor of this name."""
    return globals()[made](EXECUTORS[name])


NUMBERS = itertools.count()


def of(made: Any, name: str) -> Any:
    """A recipe of a job; the number makes it another than any before, since what a recipe gives is kept."""
    return build_reconstructable_job(__name__, "build", (made.__name__, name, next(NUMBERS)))


def run(made: Any, name: str, instance: Any, **options: Any) -> Any:
    return execute_job(of(made, name), instance, QUIET, **options)


def messages(instance: Any, run_id: str) -> list[tuple[str | None, str]]:
    return [(e.step_key, e.user_message) for e in instance.all_logs(run_id) if e.dagster_event is None]


def open_files() -> list[str]:
    """What the descriptors of this process lead to, where the system tells."""
    folder = Path("/proc/self/fd")
    found = []
    for path in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.append(str(path.readlink()))
    return sorted(each for each in found if not each.endswith("/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    streams, threads = (sys.stdout, sys.stderr), set(threading.enumerate())
    handler = signal.getsignal(signal.SIGINT)
    files = open_files()
    yield
    assert open_files() == files
    assert (sys.stdout, sys.stderr) == streams
    assert signal.getsignal(signal.SIGINT) is handler
    assert {thread.name for thread in set(threading.enumerate()) - threads} <= HERE.pop("left", set())


# -- at once


def meeting(executor: Any) -> Any:
    barrier = threading.Barrier(3)

    @op
    def meet(context: OpExecutionContext) -> str:
        barrier.wait(10)
        context.log.info("met")
        return threading.current_thread().name

    @job(executor_def=executor.configured({"max_concurrent": 3}))
    def meets() -> None:
        for number in range(3):
            meet.alias(f"meet_{number}")()

    return meets


@both
def test_plain_ops_run_at_once_on_threads_of_their_own(name: str) -> None:
    with instance_for_test() as instance, run(meeting, name, instance) as result:
        assert result.success
        assert len({result.output_for_node(f"meet_{number}") for number in range(3)}) == 3
        assert sorted(messages(instance, result.run_id)) == [(f"meet_{number}", "met") for number in range(3)]


def async_meeting(executor: Any) -> Any:
    waiting: list[str] = []

    @op
    async def meet(context: OpExecutionContext) -> tuple[int, int]:
        waiting.append(context.step_key)
        while len(waiting) < 60:  # noqa: ASYNC110 - an Event belongs to one loop, and that they share one is in question
            await asyncio.sleep(0.001)
        assert OpExecutionContext.get() is context
        return threading.get_ident(), id(asyncio.get_running_loop())

    @op
    async def streamed(context: OpExecutionContext) -> Any:
        waiting.append(context.step_key)
        while len(waiting) < 60:  # noqa: ASYNC110 - an Event belongs to one loop, and that they share one is in question
            await asyncio.sleep(0.001)
        from treadle import Output

        yield Output((threading.get_ident(), id(asyncio.get_running_loop())))

    @job(executor_def=executor)
    def meets() -> None:
        for number in range(30):
            meet.alias(f"meet_{number}")()
            streamed.alias(f"streamed_{number}")()

    return meets


def test_async_ops_run_at_once_on_one_loop() -> None:
    with instance_for_test() as instance, run(async_meeting, "async", instance) as result:
        assert result.success
        names = [f"{each}_{number}" for each in ("meet", "streamed") for number in range(30)]
        assert len({result.output_for_node(each) for each in names}) == 1


def limited(executor: Any) -> Any:
    under_way: set[str] = set()
    most: list[int] = []

    def note(key: str) -> None:
        under_way.add(key)
        most.append(len(under_way))

    @op
    def plain(context: OpExecutionContext) -> None:
        note(context.step_key)
        time.sleep(0.01)
        under_way.discard(context.step_key)

    @op
    async def waiting(context: OpExecutionContext) -> None:
        note(context.step_key)
        await asyncio.sleep(0.01)
        under_way.discard(context.step_key)

    HERE["most"] = most

    @job(executor_def=executor.configured({"max_concurrent": 2}))
    def limits() -> None:
        for number in range(6):
            plain.alias(f"plain_{number}")()
            waiting.alias(f"waiting_{number}")()

    return limits


@both
def test_no_more_steps_run_than_config_says(name: str) -> None:
    with instance_for_test() as instance:
        assert run(limited, name, instance).success
    assert max(HERE["most"]) == 2


def test_limit_is_of_the_kind_of_executor_where_config_says_none() -> None:
    assert 5 <= limit_of(Execution(THREADED, max_concurrent=None)) <= 32
    assert limit_of(Execution(ASYNC, max_concurrent=None)) == 100
    assert limit_of(Execution(ASYNC, max_concurrent=3)) == 3


@both
def test_number_that_no_run_could_go_by_is_refused(name: str) -> None:
    with instance_for_test() as instance:
        recipe = of(unlimited, name)
        with pytest.raises(DagsterInvalidConfigError, match="max_concurrent: expected a number of 0 or more"):
            execute_job(recipe, instance, {"execution": {"config": {"max_concurrent": -1}}})
        assert instance.get_runs() == []


def unlimited(executor: Any) -> Any:
    @op
    def nothing() -> None: ...

    @job(executor_def=executor)
    def idle() -> None:
        nothing()

    return idle


# -- apart


def apart(executor: Any) -> Any:
    barrier = threading.Barrier(4)
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    @op(retry_policy=RetryPolicy(max_retries=1))
    def speak(context: OpExecutionContext) -> str:
        key = context.step_key
        assert variable.get() == "unset"
        variable.set(key)
        if context.retry_number == 0:
            print("first try")
            raise ValueError(key)
        barrier.wait(10)
        for number in range(20):
            print(f"{key} {number}")
            print(f"{key} {number}", file=sys.stderr)
        barrier.wait(10)
        get_dagster_logger().info("from the module's logger")
        assert OpExecutionContext.get() is context
        return variable.get()

    @job(executor_def=executor)
    def speaks() -> None:
        for number in range(4):
            speak.alias(f"speak_{number}")()

    return speaks


@both
def test_contexts_logs_and_output_are_per_step(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with instance_for_test() as instance:
        result = run(apart, name, instance)
        assert result.success
        folder = Path(instance.storage_directory(), result.run_id, "compute_logs")
        for number in range(4):
            key = f"speak_{number}"
            lines = "".join(f"{key} {each}\n" for each in range(20))
            assert [path.read_text() for path in files_of(folder, key_of(key, 2))] == [lines, lines]
            assert files_of(folder, key_of(key, 1))[0].read_text() == "first try\n"
            assert (key, "from the module's logger") in messages(instance, result.run_id)
    assert capfd.readouterr().out.count("speak_2 ") == 20, "a user of a terminal sees it too"


def quiet(executor: Any) -> Any:
    @op
    def say(context: OpExecutionContext) -> None:
        context.log.info("a line of the log")

    @job(executor_def=executor)
    def says() -> None:
        say()

    return says


def test_log_lines_are_shown_and_are_no_output_of_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    with instance_for_test() as instance:
        result = execute_job(of(quiet, "threads"), instance)
        assert not Path(instance.storage_directory(), result.run_id, "compute_logs").exists()
        entries = instance.all_logs(result.run_id)
    assert "a line of the log" in capsys.readouterr().err
    (entry,) = [entry for entry in entries if entry.dagster_event is None]
    kinds = [e.dagster_event.event_type.name if e.dagster_event else "message" for e in entries]
    assert kinds.index("STEP_START") < kinds.index("message") < kinds.index("STEP_OUTPUT")
    assert entry.step_key == "say"


def test_several_runs_at_once_do_not_mix(capfd: pytest.CaptureFixture[str]) -> None:
    with instance_for_test() as instance:
        results: list[Any] = []
        threads = [
            threading.Thread(target=lambda: results.append(execute_job(of(apart, "threads"), instance, QUIET)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [result.success for result in results] == [True] * 3
        for result in results:
            folder = Path(instance.storage_directory(), result.run_id, "compute_logs")
            texts = [files_of(folder, key_of(f"speak_{number}", 2))[0].read_text() for number in range(4)]
            assert texts == ["".join(f"speak_{number} {each}\n" for each in range(20)) for number in range(4)]


# -- what steps share


def sharing(executor: Any) -> Any:
    opened: list[str] = []
    HERE["opened"] = opened

    @resource
    def loop_of_resource(context: Any) -> Iterator[Any]:
        opened.append(threading.current_thread().name)
        yield context.event_loop
        opened.append("closed")

    @op(required_resource_keys={"shared"})
    async def compare(context: OpExecutionContext) -> bool:
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is context.resources.shared

    @job(executor_def=executor, resource_defs={"shared": loop_of_resource})
    def shares() -> None:
        for number in range(5):
            compare.alias(f"compare_{number}")()

    return shares


@both
def test_resources_are_opened_once_and_async_ops_run_on_the_loop_that_they_got(name: str) -> None:
    with instance_for_test() as instance, run(sharing, name, instance) as result:
        assert all(result.output_for_node(f"compare_{number}") for number in range(5))
    assert HERE["opened"] == [threading.current_thread().name, "closed"]


def fanned(executor: Any) -> Any:
    @op(out=DynamicOut())
    def spread() -> Iterator[DynamicOutput[int]]:
        for number in range(40):
            yield DynamicOutput(number, f"n_{number}")

    @op
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @op
    def add(xs: list[int]) -> int:
        return sum(xs)

    @job(executor_def=executor)
    def fans() -> None:
        add(spread().map(double).collect())

    return fans


@both
def test_branches_run_and_are_collected(name: str) -> None:
    with instance_for_test() as instance, run(fanned, name, instance) as result:
        assert result.output_for_node("add") == 2 * sum(range(40))


# -- how it ends


class Odd(Exception):
    pass


def failing(executor: Any) -> Any:
    @op
    def late() -> None:
        time.sleep(0.05)
        raise KeyError("the second")

    @op
    def early() -> None:
        raise Odd("the first")

    @op
    def fine() -> int:
        time.sleep(0.1)
        return 1

    @job(executor_def=executor)
    def fails() -> None:
        late()
        early()
        fine()

    return fails


@both
def test_raising_gives_the_exception_of_the_step_that_failed_first_and_others_end(name: str) -> None:
    with instance_for_test() as instance:
        with pytest.raises(Odd, match="the first"):
            run(failing, name, instance, raise_on_error=True)
        (a_run,) = instance.get_runs()
        ends = {e.step_key: e.event_type.name for e in map(_event, instance.all_logs(a_run.run_id)) if e.step_key}
        assert ends == {"late": "STEP_FAILURE", "early": "STEP_FAILURE", "fine": "STEP_SUCCESS"}


def _event(entry: Any) -> Any:
    return entry.dagster_event


def exiting(executor: Any) -> Any:
    @op
    async def leave() -> None:
        await asyncio.sleep(0)
        raise SystemExit(3)

    @op
    async def give_up() -> None:
        raise asyncio.CancelledError

    @op
    async def fine() -> int:
        await asyncio.sleep(0.05)
        return 1

    @job(executor_def=executor)
    def exits() -> None:
        leave()
        give_up()
        fine()

    return exits


def test_async_op_that_exits_or_cancels_itself_fails_alone() -> None:
    with instance_for_test() as instance:
        result = run(exiting, "async", instance)
        assert result.get_failed_step_keys() == {"leave", "give_up"}
        assert result.is_node_success("fine")


def canceled(executor: Any) -> Any:
    waits = threading.Event()

    @op
    def plain(context: OpExecutionContext) -> str:
        assert waits.wait(10)
        context.instance.report_run_canceling(context.run)
        time.sleep(1.0)
        return "done"

    @op
    async def waiting() -> None:
        try:
            waits.set()
            await asyncio.sleep(60)
        finally:
            HERE["cleaned"] = True

    @op
    def after(x: str) -> None:
        raise AssertionError("it must not start")

    @job(executor_def=executor)
    def cancels() -> None:
        waiting()
        after(plain())

    return cancels


def events_of(instance: Any, run_id: str) -> list[tuple[str | None, str]]:
    found = [entry.dagster_event for entry in instance.all_logs(run_id)]
    return [(event.step_key, event.event_type.name) for event in found if event is not None]


def notes_of(instance: Any, run_id: str) -> list[str]:
    found = [entry.dagster_event for entry in instance.all_logs(run_id)]
    return [event.message for event in found if event is not None and event.event_type.name == "ENGINE_EVENT"]


def test_canceled_run_lets_threads_finish_cancels_what_awaits_and_starts_nothing_more() -> None:
    HERE["cleaned"] = False
    with instance_for_test() as instance:
        result = run(canceled, "async", instance)
        assert instance.get_run_by_id(result.run_id).status is DagsterRunStatus.CANCELED  # type: ignore[union-attr]
        seen = events_of(instance, result.run_id)
        assert ("plain", "STEP_SUCCESS") in seen
        assert ("waiting", "STEP_FAILURE") in seen
        assert not any(key == "after" for key, _ in seen)
        failure = result.failure_data_for_node("waiting")
        assert failure.error.cls_name == "DagsterExecutionInterruptedError"
        assert failure.error_source.name == "INTERRUPT"
        assert "was cancelled, since the run was interrupted" in failure.error.message
        (note,) = [note for note in notes_of(instance, result.run_id) if "interrupted" in note]
        assert note.endswith(
            "starts no more steps; async steps are cancelled: ['waiting']; steps on threads cannot be stopped, and are let "
            "finish: ['plain']."
        )
    assert HERE["cleaned"]


def stubborn(executor: Any) -> Any:
    @op
    def work() -> str:
        HERE["begun"].set()
        assert HERE["gate"].wait(20)
        return "done"

    @op
    def after(x: str) -> None:
        raise AssertionError("it must not start")

    @job(executor_def=executor)
    def works() -> None:
        after(work())

    return works


def interrupt(times: int, then: Any) -> threading.Thread:
    HERE["begun"], HERE["gate"] = threading.Event(), threading.Event()

    def send() -> None:
        assert HERE["begun"].wait(10)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        then()

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@both
def test_signal_lets_the_step_finish_and_reaches_the_caller(name: str) -> None:
    with instance_for_test() as instance:
        sender = interrupt(1, lambda: HERE["gate"].set())
        with pytest.raises(DagsterExecutionInterruptedError, match="interrupted by SIGINT"):
            run(stubborn, name, instance, raise_on_error=True)
        sender.join()
        (a_run,) = instance.get_runs()
        assert a_run.status is DagsterRunStatus.FAILURE
        seen = events_of(instance, a_run.run_id)
        assert ("work", "STEP_SUCCESS") in seen
        assert not any(key == "after" for key, _ in seen)


def test_second_signal_gives_up_the_step_and_says_that_its_thread_goes_on() -> None:
    HERE["left"] = {"treadle-step-1"}
    with instance_for_test() as instance:
        sender = interrupt(2, lambda: None)
        with pytest.raises(DagsterExecutionInterruptedError):  # it was meant for the whole program
            run(stubborn, "threads", instance)
        sender.join()
        (ended,) = instance.get_runs()
        failures = [
            entry.dagster_event.event_specific_data
            for entry in instance.all_logs(ended.run_id)
            if entry.dagster_event is not None and entry.dagster_event.event_type.name == "STEP_FAILURE"
        ]
        assert "runs on a thread, which cannot be stopped" in failures[0].error.message
        assert events_of(instance, ended.run_id)[-1] == (None, "RUN_FAILURE")
        HERE["gate"].set()
        time.sleep(0.2)
        assert events_of(instance, ended.run_id)[-1] == (None, "RUN_FAILURE"), "the log of a run that has ended stays"


class EndlessQueue(queue.SimpleQueue):  # type: ignore[type-arg]
    """As one of Python up to 3.12 is whose wait was interrupted by a signal: it forgets for how long it was to wait."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        return super().get()


@both
def test_signal_is_seen_though_the_queue_has_forgotten_for_how_long_it_was_to_wait(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "SimpleQueue", EndlessQueue)
    seen: list[str] = []
    with instance_for_test() as instance:

        def open_gate() -> None:
            (ended,) = instance.get_runs()
            told = [entry.user_message for entry in instance.all_logs(ended.run_id)]
            seen.extend(text for text in told if "The run is interrupted" in text)
            HERE["gate"].set()

        sender = interrupt(1, open_gate)
        with pytest.raises(DagsterExecutionInterruptedError):
            run(stubborn, name, instance)
        sender.join()
        assert len(seen) == 1, "half a second after the signal it was not seen yet"


def test_run_that_nobody_iterates_to_its_end_waits_for_its_steps_and_closes_all() -> None:
    from treadle.preparation import Conduct, JobRun, RunOptions, set_up_stored

    HERE["begun"], HERE["gate"] = threading.Event(), threading.Event()
    with instance_for_test() as instance:
        setup = set_up_stored(of(stubborn, "threads"), QUIET, RunOptions(instance))
        a_run = JobRun.begin(setup, instance, Conduct())
        events = a_run.events()
        for event in events:
            if event.event_type.name == "STEP_START":
                break
        timer = threading.Timer(0.3, HERE["gate"].set)
        timer.start()
        events.close()  # type: ignore[attr-defined]
        timer.join()
        seen = events_of(instance, setup.run.run_id)
        assert seen[-1] == (None, "RUN_FAILURE")
        assert ("work", "STEP_SUCCESS") not in seen


def test_fault_of_ours_in_a_thread_is_raised_where_the_run_is_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_given: Any) -> Any:
        raise AssertionError("a fault of ours")

    monkeypatch.setattr(beside, "run_step", break_down)
    with instance_for_test() as instance:
        with pytest.raises(AssertionError, match="a fault of ours"):
            run(unlimited, "threads", instance)
        (a_run,) = instance.get_runs()
        assert a_run.status is DagsterRunStatus.FAILURE


# -- kill -9

KILLED = """
import os, signal, sys, threading
from treadle import DagsterInstance, execute_job, job, op, reconstructable, threaded_executor

@op
def first() -> int:
    return 1

@op
def die(x: int) -> None:
    if not os.path.exists("again"):
        open("again", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

@job(executor_def=threaded_executor)
def dies():
    die(first())

if __name__ == "__main__":
    execute_job(reconstructable(dies), DagsterInstance.local_temp("home"), run_id=sys.argv[1])
"""


def test_what_was_under_way_is_known_after_a_kill_and_nothing_is_repeated(tmp_path: Path) -> None:
    run_id = "0d1f6fd5-3b0a-4bd5-8d4f-5c9e6f9f8a11"
    Path(tmp_path, "killed.py").write_text(KILLED)
    done = subprocess.run(
        [sys.executable, "killed.py", run_id], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        before = events_of(instance, run_id)
        assert ("first", "STEP_SUCCESS") in before
        assert before[-1] == ("die", "STEP_START")
    done = subprocess.run(
        [sys.executable, "killed.py", run_id], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        seen = events_of(instance, run_id)
        assert seen[-1] == (None, "RUN_SUCCESS")
        assert seen.count(("first", "STEP_START")) == 1
        assert ("die", "STEP_RESTARTED") in seen


# -- what steps cost


def costly(executor: Any) -> Any:
    barrier = threading.Barrier(2)

    @op
    def compute() -> None:
        barrier.wait(10)
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass

    @op
    def idle() -> None:
        barrier.wait(10)
        time.sleep(0.3)

    @op
    async def waiting() -> None:
        await asyncio.sleep(0)

    @job(executor_def=executor)
    def costs() -> None:
        compute()
        idle()
        waiting()

    return costs


def test_cost_of_a_step_is_that_of_its_thread_and_unknown_where_it_has_none() -> None:
    with instance_for_test() as instance:
        result = run(costly, "async", instance)
        used = {e.step_key: e.event_specific_data.usage for e in result.get_step_success_events()}
        assert used["compute"].cpu_ms >= 300
        assert used["idle"].cpu_ms < 100
        assert used["waiting"] is None


def slotted(executor: Any) -> Any:
    under_way: list[int] = [0]
    most: list[int] = []
    HERE["most"] = most

    @op(slots={"gpu": 2})
    def train() -> None:
        under_way[0] += 1
        most.append(under_way[0])
        time.sleep(0.02)
        under_way[0] -= 1

    @job(executor_def=executor.configured({"slots": {"gpu": 4}, "max_concurrent": 6}))
    def trains() -> None:
        for number in range(6):
            train.alias(f"train_{number}")()

    return trains


@both
def test_steps_take_the_slots_that_their_ops_ask_for(name: str) -> None:
    with instance_for_test() as instance:
        assert run(slotted, name, instance).success
    assert max(HERE["most"]) == 2


# -- under strain


def strained(executor: Any) -> Any:
    @op(out=DynamicOut())
    def spread() -> Iterator[DynamicOutput[int]]:
        for number in range(150):
            yield DynamicOutput(number, f"n_{number}")

    @op(retry_policy=RetryPolicy(max_retries=2, delay=0.001))
    def odd_fails_once(context: OpExecutionContext, x: int) -> int:
        context.log.info(f"{x}")
        print(x)
        if x % 2 and context.retry_number == 0:
            raise ValueError(x)
        return x

    @op
    async def wait(context: OpExecutionContext, x: int) -> int:
        await asyncio.sleep(0)
        assert OpExecutionContext.get() is context
        print(x)
        return x

    @op
    def add(xs: list[int]) -> int:
        return sum(xs)

    @job(executor_def=executor.configured({"max_concurrent": 16}), resource_defs={"io_manager": mem_io_manager})
    def strains() -> None:
        add(spread().map(odd_fails_once).map(wait).collect())

    return strains


@both
def test_nothing_is_lost_or_mixed_however_threads_take_turns(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with instance_for_test() as instance:
            result = run(strained, name, instance)
            assert result.success
            folder = Path(instance.storage_directory(), result.run_id, "compute_logs")
            kinds: dict[str, list[str]] = {}
            for event in result.all_events:
                if event.step_key is not None:
                    kinds.setdefault(event.step_key, []).append(event.event_type.name)
            start = ["LOADED_INPUT", "STEP_INPUT"]
            end = [*start, "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
            for number in range(150):
                again = ["STEP_START", *start, "STEP_UP_FOR_RETRY", "STEP_RESTARTED"] if number % 2 else ["STEP_START"]
                key, below = f"odd_fails_once[n_{number}]", f"wait[n_{number}]"
                assert kinds[key] == [*again, *end]
                assert kinds[below] == ["STEP_START", *end]
                for each in (key_of(key, 1 + number % 2), key_of(below, 1)):
                    assert files_of(folder, each)[0].read_text() == f"{number}\n"
            assert len(messages(instance, result.run_id)) == 225
    finally:
        sys.setswitchinterval(interval)
    assert len(capfd.readouterr().out.splitlines()) == 375
