"""ExecutorContract: what every executor promises to a run, as a class of tests.

Users subclass it in a test file and get the tests for an executor of theirs; Treadle does the same for its own. Written
for pytest, which it does not import: only the fixture `tmp_path` is asked for, by name.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from treadle.api import execute_job
from treadle.definitions.executors import ExecutorDefinition
from treadle.events import DagsterEvent
from treadle.executors.capture import FOLDER, files_of, key_of
from treadle.instance import DagsterInstance
from treadle.job_results import JobExecutionResult
from treadle.lineage import ReexecutionOptions
from treadle.recipes import build_reconstructable_job
from treadle.resumption import resume_run
from treadle.runs import make_run_id
from treadle.testing import executor_program
from treadle.testing.executor_jobs import EXECUTORS
from treadle.testing.traces import Traces

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

#: events about a step that executors add around what the step itself tells
AROUND = frozenset(
    "ENGINE_EVENT LOGS_CAPTURED RESOURCE_INIT_FAILURE RESOURCE_INIT_STARTED RESOURCE_INIT_SUCCESS STEP_WORKER_STARTED "
    "STEP_WORKER_STARTING".split()
)
_TOKENS = itertools.count()


class Ran:
    """A run that is over, and what it has left."""

    def __init__(self, instance: DagsterInstance, result: JobExecutionResult, traces: Traces) -> None:
        self.instance = instance
        self.result = result
        self.traces = traces

    @property
    def events(self) -> Sequence[DagsterEvent]:
        """The events, as the result has them."""
        return self.result.all_events

    def of(self, step_key: str) -> list[str]:
        """The types of the events of one step, those left out that executors add."""
        types = [event.event_type.name for event in self.events if event.step_key == step_key]
        return [each for each in types if each not in AROUND]

    def at(self, type_name: str, step_key: str) -> int:
        """Where in the log the first event of a type stands."""
        found = [n for n, e in enumerate(self.events) if e.event_type.name == type_name and e.step_key == step_key]
        assert found, f"no {type_name} of {step_key!r} in the log: {self.told}"
        return found[0]

    def error(self, step_key: str) -> Any:
        """What the step failed with."""
        data = self.result.failure_data_for_node(step_key)
        assert data is not None, f"{step_key!r} has not failed: {self.told}"
        return data.error

    @property
    def told(self) -> list[tuple[str | None, str]]:
        """The log in short, for messages."""
        return [(event.step_key, event.event_type.name) for event in self.events]

    def messages(self) -> list[tuple[str | None, str]]:
        """What user code has logged."""
        entries = self.instance.all_logs(self.result.run_id)
        return [(entry.step_key, entry.user_message) for entry in entries if entry.dagster_event is None]

    def output(self, step_key: str, attempt: int = -1) -> tuple[str, str]:
        """What an attempt at a step, counted from 0, has written to stdout and stderr; by default the last."""
        folder = Path(self.instance.storage_directory(), self.result.run_id, FOLDER)
        own = [
            event.logs_captured_data.file_key
            for event in self.events
            if event.event_type.name == "LOGS_CAPTURED" and event.logs_captured_data.step_keys == [step_key]
        ]
        own = [key for key in own if key != self.result.run_id]
        count = sum(each in ("STEP_START", "STEP_RESTARTED") for each in self.of(step_key))
        keys = own or [key_of(step_key, number + 1) for number in range(count)]
        out, err = (path.read_text() if path.exists() else "" for path in files_of(folder, keys[attempt]))
        return out, err


class ExecutorContract:
    """The promises of an executor, each a test. Derive from it in a test file, under a name that pytest collects
    (`class TestPool(ExecutorContract)`), and write `make_executor`.
    """

    #: whether steps run at once
    is_concurrent: bool = True

    #: whether the ready step of the highest priority is first; one that has an order of its own says False
    heeds_priority: bool = True

    #: whether steps run in other processes than the run: one may crash, and its values have to be stored
    has_processes: bool = False

    #: whether it knows by which exit code or signal a process has ended; one that others look after is only gone
    knows_exits: bool = True

    #: whether each attempt opens and closes the resources of its step; else the run does, once
    opens_for_each_step: bool = False

    #: whether what steps print is kept in files
    keeps_output: bool = True

    #: whether it looks, while steps run, if the run is canceled
    heeds_cancel: bool = True

    #: whether steps that look, or await, are held to the timeouts of their ops
    keeps_timeouts: bool = True

    #: whether a run goes on after its process was killed; the executor has to be one that cloudpickle can take there
    can_resume: bool = True

    def make_executor(self, max_concurrent: int) -> ExecutorDefinition:
        """The executor, configured to run so many steps at once; where it runs one at a time, any."""
        raise NotImplementedError(f"{type(self).__name__}.make_executor has to return the executor to test.")

    # -- tools

    @contextlib.contextmanager
    def running(
        self, folder: Path, name: str, *, max_concurrent: int = 3, raise_on_error: bool = False
    ) -> Iterator[Ran]:
        """Run a job of `executor_jobs`; checks what holds for every run."""
        traces = Traces(folder)
        before = set(threading.enumerate()), sys.stdout, sys.stderr
        with DagsterInstance.local_temp(str(folder / "home")) as instance:
            recipe = self.recipe(name, folder, max_concurrent)
            with execute_job(recipe, instance, QUIET, raise_on_error=raise_on_error) as result:
                ran = Ran(instance, result, traces)
                self.check_log(ran)
                yield ran
        assert (sys.stdout, sys.stderr) == before[1:], "the run has left a stand-in for sys.stdout or sys.stderr"
        left = [thread for thread in set(threading.enumerate()) - before[0] if not thread.daemon]
        assert not left, f"the run has left threads: {left}"

    def recipe(self, name: str, folder: Path, max_concurrent: int) -> Any:
        """How the job is made, here with the executor."""
        token = str(next(_TOKENS))
        EXECUTORS[token] = self.make_executor(max_concurrent)
        return build_reconstructable_job("treadle.testing.executor_jobs", "make_job", (name, str(folder), token))

    def check_log(self, ran: Ran) -> None:
        """The store has what the result has; every attempt begins once and ends once, and no event is outside of one."""
        stored = [entry.dagster_event for entry in ran.instance.all_logs(ran.result.run_id)]
        told = list(ran.events)
        expect([each for each in stored if each is not None and not _is_cancel(each)], told)
        first, last = ran.told[0][1], ran.told[-1][1]
        assert first == "RUN_START", ran.told
        assert last in ("RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"), ran.told
        for key in {event.step_key for event in ran.events if event.step_key is not None}:
            _check_attempts(key, ran.of(key))

    # -- values and their order

    def test_values_go_from_step_to_step(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "values") as ran:
            assert ran.result.success, ran.told
            expect(ran.result.output_for_node("split", "half"), 5)
            expect(ran.result.output_for_node("add"), 125)
            expect(ran.result.output_for_node("end"), [""])

    def test_step_starts_when_the_success_of_all_that_it_needs_is_in_the_log(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "values") as ran:
            for above, below in (("begin", "split"), ("split", "add"), ("add", "tidy"), ("tidy", "end")):
                assert ran.at("STEP_SUCCESS", above) < ran.at("STEP_START", below), ran.told

    def test_events_of_a_step_are_those_in_process_in_their_order(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "values") as ran:
            stored = ["STEP_OUTPUT", "HANDLED_OUTPUT"]
            expect(ran.of("begin"), ["STEP_START", *stored, "STEP_SUCCESS"])
            expect(ran.of("split"), ["STEP_START", "LOADED_INPUT", "STEP_INPUT", *stored, *stored, "STEP_SUCCESS"])
            expect(ran.of("tidy"), ["STEP_START", "LOADED_INPUT", "STEP_INPUT", "STEP_OUTPUT", "STEP_SUCCESS"])

    def test_ready_step_of_the_highest_priority_is_first(self, tmp_path: Path) -> None:
        if not self.heeds_priority:
            return
        with self.running(tmp_path, "priorities", max_concurrent=1) as ran:
            begun = [key for key, name in ran.told if name == "STEP_START"]
            expect(begun, ["higher", "high", "normal", "low"])
            expect(ran.traces.lines("order"), begun)

    def test_no_more_steps_run_at_once_than_asked_for(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "crowd", max_concurrent=2) as ran:
            spans = [tuple(map(float, line.split())) for line in ran.traces.lines("spans")]
        expect(len(spans), 8)
        most = max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
        assert most <= 2, f"{most} steps ran at once"

    def test_two_steps_run_at_once(self, tmp_path: Path) -> None:
        if not self.is_concurrent:
            return
        with self.running(tmp_path, "meeting", max_concurrent=2) as ran:
            assert ran.result.success, "two steps that wait for one another have not met"

    # -- attempts

    def test_attempts_follow_one_another_as_policy_and_op_ask(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "attempts") as ran:
            again = ["STEP_UP_FOR_RETRY", "STEP_RESTARTED"]
            expect(ran.of("flaky"), ["STEP_START", *again, *again, "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"])
            expect(ran.of("asking"), ["STEP_START", *again, "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"])
            expect(ran.of("hopeless"), ["STEP_START", *again, "STEP_FAILURE"])
            expect(ran.result.output_for_node("add"), 3)
            times = [float(line) for line in ran.traces.lines("flaky")]
            assert all(later - sooner >= 0.2 for sooner, later in itertools.pairwise(times)), "the delay was not kept"

    def test_another_step_runs_while_one_waits_for_its_next_attempt(self, tmp_path: Path) -> None:
        if not self.heeds_priority:
            return  # the other may have come first
        with self.running(tmp_path, "patience", max_concurrent=1) as ran:
            assert ran.result.success, ran.told
            expect(ran.traces.lines("order"), ["waiting", "other", "waiting"])

    # -- branches

    def test_branches_run_each_and_are_collected_in_the_order_of_their_keys(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "branches") as ran:
            assert ran.result.success, ran.told
            expect(ran.result.output_for_node("gather_all"), [[60, 62, 64], [20], [40, 42]])
            expect(ran.result.output_for_node("count"), 0)
            wanted = {f"double[outer_{x}][inner_{y}] inner_{y}" for x in (1, 2, 3) for y in range(x)}
            expect(sorted(ran.traces.lines("branches")), sorted(wanted))

    def test_step_is_skipped_that_needs_what_was_not_given(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "skips") as ran:
            assert ran.result.success, ran.told
            expect(ran.of("take_missing"), ["STEP_SKIPPED"])
            expect(ran.result.output_for_node("gather"), [1])

    # -- what goes wrong

    def test_failed_step_is_told_and_others_go_on(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "failure") as ran:
            assert not ran.result.success, ran.told
            expect(ran.result.get_failed_step_keys(), {"boom"})
            error = ran.error("boom")
            assert "no such thing" in error.to_string(), error.to_string()
            assert error.cause is not None, error
            expect(error.cause.cls_name, "LookupError")
            expect(ran.of("after_boom"), [])
            expect(ran.result.output_for_node("after_fine"), 3)

    def test_hooks_are_called_when_a_step_has_ended(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "failure") as ran:
            expect(sorted(ran.traces.lines("hooks")), ["glad after_fine", "glad fine", "sad boom LookupError"])
            expect(sorted(ran.of("fine")[-2:]), ["HOOK_COMPLETED", "HOOK_SKIPPED"])
            expect(sorted(ran.of("boom")[-2:]), ["HOOK_COMPLETED", "HOOK_SKIPPED"])

    def test_raising_raises_what_the_step_raised_or_tells_it(self, tmp_path: Path) -> None:
        raised: Exception | None = None
        try:
            with self.running(tmp_path, "failure", raise_on_error=True):
                pass
        except Exception as error:  # noqa: BLE001 - in processes it is another that tells of it
            raised = error
        assert raised is not None, "nothing was raised"
        assert "no such thing" in str(raised), repr(raised)
        assert self.has_processes or isinstance(raised, LookupError), repr(raised)

    def test_run_is_executed_again_from_its_failure(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "failure") as ran:
            ran.traces.leave("repaired")
            options = ReexecutionOptions.from_failure(ran.result.run_id, ran.instance)
            recipe = self.recipe("failure", tmp_path, 2)
            with execute_job(recipe, ran.instance, QUIET, reexecution_options=options) as again:
                assert again.success, again.all_events
                expect(again.output_for_node("after_boom"), 2)
                assert ran.traces.lines("fine") == [""], "a step that had succeeded was run again"

    def test_value_of_a_wrong_type_fails_the_step_at_once(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "wrong_type") as ran:
            expect(ran.of("wrong"), ["STEP_START", "STEP_OUTPUT", "STEP_FAILURE"])
            expect(ran.error("wrong").cls_name, "DagsterTypeCheckDidNotPass")

    def test_process_that_dies_is_one_truthful_event_and_other_steps_go_on(self, tmp_path: Path) -> None:
        if not self.has_processes:
            return
        with self.running(tmp_path, "crashes") as ran:
            expect(ran.result.get_failed_step_keys(), {"exits", "killed"})
            for key, what in (("exits", "7"), ("killed", "SIGKILL")):
                expect(ran.of(key), ["STEP_START", "STEP_FAILURE"])
                error = ran.error(key)
                expect(error.cls_name, "ChildProcessCrashException")
                assert not self.knows_exits or what in error.to_string(), error.to_string()
            expect(ran.of("once")[:3], ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_RESTARTED"])
            assert ran.result.is_node_success("after_once"), ran.told
            assert ran.result.is_node_success("fine"), ran.told
            assert ran.result.is_node_untouched("after"), ran.told

    # -- how it is ended

    def test_step_that_takes_too_long_fails_for_that_and_others_go_on(self, tmp_path: Path) -> None:
        if not self.keeps_timeouts:
            return
        with self.running(tmp_path, "limits") as ran:
            expect(ran.result.get_failed_step_keys(), {"slow", "slow_async"})
            for key in ("slow", "slow_async"):
                expect(ran.of(key), ["STEP_START", "STEP_FAILURE"])
                expect(ran.error(key).cls_name, "StepTimeoutError")
                expect(ran.of(f"after_{key}"), [])
            again = ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_RESTARTED"]
            expect(ran.of("slow_once"), [*again, "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"])
            expect(ran.result.output_for_node("after_slow_once"), 1)
            expect(ran.result.output_for_node("after_quick"), 1)
            expect(sorted(ran.traces.lines("ended")), ["slow", "slow_async"])

    def test_canceled_run_starts_nothing_more_closes_what_is_open_and_ends_canceled(self, tmp_path: Path) -> None:
        self._cancel(tmp_path, "long")

    def test_async_step_of_a_canceled_run_cleans_up_before_what_it_uses_is_closed(self, tmp_path: Path) -> None:
        self._cancel(tmp_path, "long_async")

    def _cancel(self, folder: Path, name: str) -> None:
        if not self.heeds_cancel:
            return
        traces = Traces(folder)

        def cancel() -> None:
            traces.wait_for("begun")
            with DagsterInstance.local_temp(str(folder / "home")) as instance:
                (run,) = instance.get_runs()
                instance.report_run_canceling(run)

        canceler = threading.Thread(target=cancel)
        canceler.start()
        try:
            with self.running(folder, name) as ran:
                expect(ran.told[-1], (None, "RUN_CANCELED"))
                expect(ran.of("work"), ["STEP_START", "STEP_FAILURE"])
                expect(ran.error("work").cls_name, "DagsterExecutionInterruptedError")
                expect(ran.of("after"), [])
                expect(traces.lines("after"), [])
                expect(traces.lines("shared"), ["open", "clean up", "close"])
        finally:
            canceler.join()

    def test_run_whose_process_is_killed_goes_on_and_repeats_no_step_that_had_succeeded(self, tmp_path: Path) -> None:
        if not self.can_resume:
            return
        traces, run_id = Traces(tmp_path), make_run_id()
        recipe = self.recipe("story", tmp_path, 2)
        options = {"run_config": QUIET, "run_id": run_id}
        child = executor_program.start(
            tmp_path / "program", tmp_path / "home", recipe, next(reversed(EXECUTORS)), options
        )
        with DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
            try:
                _wait_for_begin(instance, run_id, traces, child)
            finally:
                child.kill()
                child.communicate()
            before = [entry.dagster_event for entry in instance.all_logs(run_id)]
            with resume_run(run_id, instance=instance) as result:
                ran = Ran(instance, result, traces)
                self.check_log(ran)
                expect(list(ran.events)[: len(before)], before)
                expect(result.output_for_node("end"), 32)
                again = ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_RESTARTED", "STEP_SUCCESS"]
                expect([each for each in ran.of("hang") if each in again], again)
                expect([name for _, name in ran.told if name.startswith("RUN_")], ["RUN_START", "RUN_SUCCESS"])
        branches = {f"branch[n_{number}]": 1 for number in range(3)}
        expect(Counter(traces.lines("story")), Counter({"spread": 1, **branches, "add": 1, "hang": 2, "end": 1}))

    # -- what steps say, and what they share

    def test_messages_are_in_the_log_under_their_step_in_their_order(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "saying") as ran:
            for number in range(4):
                key = f"say_{number}"
                said = [text for step_key, text in ran.messages() if step_key == key]
                expect(said, [*(f"{key} says {each}" for each in range(5)), "done"])
                wanted = ["STEP_START", "ASSET_MATERIALIZATION", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
                expect(ran.of(key), wanted)
                story = [
                    entry.user_message if entry.dagster_event is None else entry.dagster_event.event_type.name
                    for entry in ran.instance.all_logs(ran.result.run_id)
                    if entry.step_key == key
                ]
                order = ["STEP_START", f"{key} says 0", "ASSET_MATERIALIZATION", "done", "STEP_OUTPUT"]
                expect([each for each in story if each in order], order)

    def test_what_a_step_prints_is_kept_apart_from_what_others_print(self, tmp_path: Path) -> None:
        if not self.keeps_output:
            return
        with self.running(tmp_path, "saying", max_concurrent=4) as ran:
            for number in range(4):
                lines = "".join(f"say_{number} {each}\n" for each in range(50))
                expect(ran.output(f"say_{number}"), (lines, lines))

    def test_what_an_attempt_prints_is_kept_though_it_fails(self, tmp_path: Path) -> None:
        if not self.keeps_output:
            return
        with self.running(tmp_path, "muttering") as ran:
            expect(ran.output("mutter", 0), ("attempt 1\n", "in vain\n"))
            expect(ran.output("mutter", 1), ("attempt 2\n", "in vain\n"))
            expect(ran.output("whisper"), ("before\nafter\n", ""))

    def test_resources_are_open_while_steps_use_them_and_closed_whatever_happens(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "sharing") as ran:
            expect(ran.result.get_failed_step_keys(), {"misuse"})
            expect(ran.result.output_for_node("use_1"), 42)
            told = ran.traces.lines("shared")
        expect(told.count("use"), 4)
        if self.opens_for_each_step:
            expect([told.count("open"), told.count("close")], [4, 4])
        else:
            expect([told[0], told[-1], told.count("open"), told.count("close")], ["open", "close", 1, 1])

    def test_resource_that_cannot_be_opened_fails_the_run_before_the_step(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "unshared") as ran:
            assert not ran.result.success, ran.told
            expect(ran.traces.lines("use"), [])
            assert any(name == "RESOURCE_INIT_FAILURE" for _, name in ran.told), ran.told


def expect(got: object, wanted: object) -> None:
    """Pytest tells both sides of an assertion in a test's own module alone."""
    assert got == wanted, f"expected {wanted!r}, got {got!r}"


def _wait_for_begin(instance: DagsterInstance, run_id: str, traces: Traces, child: Any) -> None:
    """Wait until the step is at work that never comes back, and the log on disk says so."""
    end = time.monotonic() + 60
    wanted = ("hang", "STEP_START")
    while not traces.lines("begun") or wanted not in _told_of(instance, run_id):
        assert child.poll() is None, f"the run has ended by itself: {child.stderr.read()}"
        assert time.monotonic() < end, f"the run has not come to its last step but one: {_told_of(instance, run_id)}"
        time.sleep(0.01)


def _told_of(instance: DagsterInstance, run_id: str) -> list[tuple[str | None, str]]:
    events = [entry.dagster_event for entry in instance.all_logs(run_id)]
    return [(event.step_key, event.event_type.name) for event in events if event is not None]


def _is_cancel(event: DagsterEvent) -> bool:
    return event.event_type.name == "RUN_CANCELING"


def _check_attempts(key: str, types: Sequence[str]) -> None:
    is_open = False
    for each in types:
        if each in ("STEP_START", "STEP_RESTARTED"):
            assert not is_open, f"an attempt at {key} begins while another is under way: {types}"
            is_open = True
        elif each in ("STEP_SUCCESS", "STEP_FAILURE", "STEP_UP_FOR_RETRY"):
            assert is_open or each == "STEP_FAILURE", f"an attempt at {key} ends that never began: {types}"
            is_open = False
        elif each != "STEP_SKIPPED" and not each.startswith("HOOK_"):
            assert is_open, f"{each} of {key} stands outside of any attempt: {types}"
    assert not is_open, f"an attempt at {key} has no end: {types}"
