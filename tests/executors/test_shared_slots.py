"""Slots that all runs of a home share, within this process: who is refused, what holds beside them, what they cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contracts.stores import begun
from treadle import (
    DagsterEvent,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterUnmetExecutorRequirementsError,
    Executor,
    ExecutorDefinition,
    InitExecutorContext,
    JobDefinition,
    async_executor,
    build_reconstructable_job,
    execute_job,
    executor,
    in_process_executor,
    instance_for_test,
    job,
    op,
    threaded_executor,
)
from treadle.storage import presence
from treadle.storage.store import SlotRequest

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
GPU = {"slots": {"gpu": 2}}


class Meter:
    """How many slots are in use, and were at most, and what ran in which order."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[str] = []
        self._lock = threading.Lock()

    def use(self, name: str, size: int, seconds: float = 0.02) -> None:
        with self._lock:
            self.order.append(name)
            self.now += size
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self._lock:
            self.now -= size


METER = Meter()
MakeJob = Callable[..., JobDefinition]


@pytest.fixture(autouse=True)
def meter() -> Meter:
    METER.__init__()  # type: ignore[misc]
    return METER


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with instance_for_test(GPU) as made:
        yield made


def make_job(sizes: dict[str, int], definition: ExecutorDefinition, slot: str = "gpu", **tags: str) -> JobDefinition:
    """A job of ops that take so many slots each; none where that is 0."""
    ops = [
        _op(name, size, slot, {"dagster/priority": tags[name]} if name in tags else None)
        for name, size in sizes.items()
    ]

    @job(name="sized", executor_def=definition)
    def made() -> None:
        for each in ops:
            each()

    return made


def _op(name: str, size: int, slot: str, tags: dict[str, str] | None):
    @op(name=name, slots={slot: size} if size else None, tags=tags)
    def work() -> None:
        METER.use(name, size)

    return work


def run(made: JobDefinition, instance: DagsterInstance, tags: dict[str, str] | None = None, **config: object):
    given = {**QUIET, **({"execution": {"config": config}} if config else {})}
    return execute_job(_Recipe.of(made), instance, given, tags=tags)


class _Recipe:
    """Jobs that are made here are found by number."""

    known: list[JobDefinition] = []

    @classmethod
    def of(cls, made: JobDefinition):
        cls.known.append(made)
        return build_reconstructable_job(__name__, "find_job", (len(cls.known) - 1,))


def find_job(number: int) -> JobDefinition:
    return _Recipe.known[number]


@executor(config_schema={})
def backward_executor(init_context: InitExecutorContext) -> Executor:
    return Backward(init_context)


class Backward(Executor):
    """Starts in place, and takes the last of the orders that it has."""

    starts_in_place = True

    def __init__(self, context: InitExecutorContext) -> None:
        super().__init__(context)
        self.orders: list = []
        self.events: Iterator[DagsterEvent] = iter(())

    def launch(self, order) -> None:
        self.orders.append(order)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        while True:
            event = next(self.events, None)
            if event is not None:
                return event
            if not self.orders:
                time.sleep(timeout or 0)
                return None
            self.events = self.context.run_step(self.orders.pop())


EXECUTORS = [in_process_executor, threaded_executor, async_executor, backward_executor]
each_executor = pytest.mark.parametrize("definition", EXECUTORS, ids=lambda each: each.name)


@each_executor
def test_runs_of_one_process_share_slots_too(instance, meter, definition) -> None:
    made = [make_job({f"a{n}": 1, f"b{n}": 2, f"c{n}": 1}, definition) for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda each: run(each, instance), made))
    assert all(result.success for result in results)
    assert meter.most == 2
    assert len(meter.order) == 9
    assert instance.get_slots()[0].taken == 0


def test_execute_in_process_takes_slots_of_a_home_that_it_is_given(instance, meter) -> None:
    made = make_job({"a": 2, "b": 2}, in_process_executor)
    seen = []

    @op(slots={"gpu": 1})
    def look() -> None:
        seen.extend((claim.step_key, claim.slots) for claim in instance.store.slot_claims())

    @job
    def looking() -> None:
        look()

    assert looking.execute_in_process(QUIET, instance=instance).success
    assert seen == [("look", {"gpu": 1})]
    assert made.execute_in_process(QUIET).success, "a run in memory has no home"


def test_op_in_a_pool_takes_one_of_the_slots_of_that_name(instance) -> None:
    seen = {}

    def make(name: str, **given: object):
        @op(name=name, **given)  # type: ignore[call-overload]
        def work() -> None:
            (claim,) = instance.store.slot_claims() or [None]
            seen[name] = claim and claim.slots

        return work

    ops = [
        make("pooled", pool="gpu"),
        make("weighted", pool="gpu", slots={"gpu": 2}),
        make("unlimited", pool="db"),
    ]

    @job
    def pools() -> None:
        for each in ops:
            each()

    assert pools.execute_in_process(QUIET, instance=instance).success
    assert seen == {"pooled": {"gpu": 1}, "weighted": {"gpu": 2}, "unlimited": None}


def test_steps_in_place_go_by_priority_as_ever(instance, meter) -> None:
    made = make_job({"a": 0, "b": 1, "c": 2, "d": 0}, in_process_executor, c="5", d="3", a="-1")
    assert run(made, instance).success
    assert meter.order == ["c", "d", "b", "a"]


def test_what_config_gives_the_run_holds_beside_what_all_runs_share(instance, meter) -> None:
    sizes = dict.fromkeys("abcd", 1)
    made = make_job(sizes, threaded_executor)
    assert run(made, instance, max_concurrent=4, slots={"gpu": 1}).success
    assert meter.most == 1
    assert run(made, instance, max_concurrent=4, slots={"gpu": 9}).success
    assert meter.most == 2
    with pytest.raises(DagsterInvalidConfigError, match='takes 1 of the slots "gpu", and the run has 0'):
        run(made, instance, slots={"gpu": 0})


def test_slots_that_nobody_knows_of_are_refused_with_both_places_where_they_may_be_said(instance) -> None:
    made = make_job({"a": 1}, threaded_executor, slot="big one")
    with pytest.raises(DagsterInvalidConfigError) as caught:
        run(made, instance)
    assert '{"slots": {"big one": 1}}; or say in the settings of the home how many there are for all runs' in str(
        caught.value
    )
    assert '[slots] "big one" = 1' in str(caught.value)


@each_executor
def test_op_that_takes_more_than_all_runs_have_is_refused_before_the_run_is_recorded(instance, definition) -> None:
    made = make_job({"a": 1, "b": 3}, definition)
    text = r'Op "b" of the job "sized" takes 3 of the slots "gpu", and all runs of the home .* together have 2 \(overrides\)'
    with pytest.raises(DagsterUnmetExecutorRequirementsError, match=text):
        run(made, instance)
    with pytest.raises(DagsterUnmetExecutorRequirementsError, match=text):
        made.execute_in_process(QUIET, instance=instance)
    assert instance.get_runs() == []


def test_op_that_is_not_selected_is_not_refused(instance, meter) -> None:
    made = make_job({"a": 1, "b": 3}, in_process_executor)
    assert execute_job(_Recipe.of(made), instance, QUIET, op_selection=["a"]).success
    assert meter.order == ["a"]


def test_run_whose_priority_is_no_number_is_refused_where_it_counts(instance) -> None:
    with pytest.raises(DagsterUnmetExecutorRequirementsError, match="dagster/priority must be a whole number"):
        run(make_job({"a": 1}, in_process_executor), instance, {"dagster/priority": "high"})
    assert run(make_job({"a": 0}, in_process_executor), instance, {"dagster/priority": "high"}).success


def test_run_of_higher_priority_has_its_turn_first(instance, meter) -> None:
    _, writer = begun(instance.store)
    assert writer.ask_for_slots(SlotRequest("x", {"gpu": 2}), {"gpu": 2}) == []
    made = {
        priority: make_job({name: 2}, in_process_executor) for name, priority in (("b", "0"), ("c", "-1"), ("a", "7"))
    }
    with ThreadPoolExecutor(3) as pool:
        try:
            results = []
            for number, (priority, each) in enumerate(made.items()):
                results.append(pool.submit(run, each, instance, {"dagster/priority": priority}))
                _wait(lambda number=number: len(instance.get_slots()[0].waiting) == number + 1)
        finally:
            writer.close()
        assert all(each.result().success for each in results)
    assert meter.order == ["a", "b", "c"]


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_get_slots_tells_limits_holders_and_who_waits(instance) -> None:
    assert [(use.name, use.limit, use.origin, use.taken) for use in instance.get_slots()] == [
        ("gpu", 2, "overrides", 0)
    ]
    _, writer = begun(instance.store)
    limits = {"gpu": 2, "db": 5}
    assert writer.ask_for_slots(SlotRequest("x", {"gpu": 1, "db": 4}), limits) == []
    assert writer.ask_for_slots(SlotRequest("y", {"gpu": 2}), limits)
    db, gpu = instance.get_slots()
    assert (db.name, db.limit, db.origin, db.taken, list(db.waiting)) == ("db", None, "another process", 4, [])
    assert (gpu.taken, [c.step_key for c in gpu.holders], [c.step_key for c in gpu.waiting]) == (1, ["x"], ["y"])
    writer.close()


CHILD = """
import subprocess
import sys
import time
from pathlib import Path

from treadle import DagsterInstance, DagsterRun
from treadle.runs import make_run_id
from treadle.storage import presence
from treadle.storage.store import SlotRequest

with DagsterInstance.from_config(sys.argv[1]) as instance:
    run = instance.add_run(DagsterRun(job_name="killed", run_id=make_run_id()))
    writer = instance.open_writer(run.run_id)
    assert writer.ask_for_slots(SlotRequest("a", {"gpu": 2}), {"gpu": 2}) == []
    lock = presence.hold(Path(instance.storage_directory(), run.run_id))
    code = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(code, pass_fds=[lock], stdout=subprocess.DEVNULL)
    print(left.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("artifacts", [None, "values"])
def test_what_a_killed_run_had_is_free_when_its_last_process_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: str | None
) -> None:
    monkeypatch.setattr(presence, "LINGERING", 60.0)
    if artifacts is not None:
        (tmp_path / "treadle.toml").write_text(f"[artifacts]\ndir = '{artifacts}'\n")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    left = int(child.stdout.readline())
    child.kill()
    child.communicate()
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        _, writer = begun(instance.store)
        request = SlotRequest("b", {"gpu": 1})
        try:
            assert [claim.step_key for claim in writer.ask_for_slots(request, {"gpu": 2})] == ["a"]
        finally:
            os.kill(left, signal.SIGKILL)
        _wait(lambda: writer.ask_for_slots(request, {"gpu": 2}) == [])


@pytest.mark.parametrize("definition", [in_process_executor, threaded_executor], ids=lambda each: each.name)
def test_run_that_takes_no_such_slots_costs_the_store_nothing_for_them(tmp_path: Path, definition) -> None:
    def statements(folder: str, overrides: dict, size: int) -> list[str]:
        (tmp_path / folder).mkdir()
        with DagsterInstance.local_temp(str(tmp_path / folder), overrides) as made:
            connection = made.store._open()._writer_connection()  # type: ignore[attr-defined]
            said: list[str] = []
            connection.set_trace_callback(said.append)
            assert run(make_job({"a": size, "b": size}, definition), made).success
            connection.set_trace_callback(None)
        return said

    said = statements("with", GPU, 0)
    assert [text for text in said if "claims" in text] == []
    assert any("leases" in text for text in said)
    assert any("claims" in text for text in statements("taking", GPU, 1))
