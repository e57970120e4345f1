"""What every executor promises to a run (treadle.testing.executor_contract), asked of each one that Treadle has.

And of the two that docs/executors.md builds, as they stand there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle import async_executor, dask_executor, in_process_executor, multiprocess_executor, threaded_executor
from treadle.testing.executor_contract import ExecutorContract
from treadle.testing.executor_jobs import make_job

PAGE = Path(__file__).parents[2] / "docs" / "executors.md"


class TestInProcess(ExecutorContract):
    is_concurrent = False
    keeps_output = False

    def make_executor(self, max_concurrent: int) -> Any:
        return in_process_executor


class TestThreads(ExecutorContract):
    def make_executor(self, max_concurrent: int) -> Any:
        return threaded_executor.configured({"max_concurrent": max_concurrent})


class TestAsync(ExecutorContract):
    def make_executor(self, max_concurrent: int) -> Any:
        return async_executor.configured({"max_concurrent": max_concurrent})


class TestWorkers(ExecutorContract):
    has_processes = True
    opens_for_each_step = True

    def make_executor(self, max_concurrent: int) -> Any:
        return multiprocess_executor.configured({"max_concurrent": max_concurrent})


class TestProcessForEachStep(ExecutorContract):
    has_processes = True
    opens_for_each_step = True

    def make_executor(self, max_concurrent: int) -> Any:
        return multiprocess_executor.configured({"max_concurrent": max_concurrent, "isolation": "step"})


class TestMixed(ExecutorContract):
    """Each op of a job in another place than the one before it."""

    has_processes = True
    places: dict[str, str]

    def recipe(self, name: str, folder: Path, max_concurrent: int) -> Any:
        ops = make_job(name, str(folder), "").wiring.ops
        crashing = ("exits", "killed", "once")
        turn = itertools.cycle(("thread", "process", "async", "fresh_process"))
        self.places = {path: "process" if path in crashing else next(turn) for path in ops}
        return super().recipe(name, folder, max_concurrent)

    def make_executor(self, max_concurrent: int) -> Any:
        return multiprocess_executor.configured({"max_concurrent": max_concurrent, "op_isolation": self.places})

    def test_resources_are_open_while_steps_use_them_and_closed_whatever_happens(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "sharing") as ran:
            assert ran.result.get_failed_step_keys() == {"misuse"}
            told = ran.traces.lines("shared")
        assert sorted(self.places.values()) == ["async", "fresh_process", "process", "thread"]
        assert [told.count(each) for each in ("open", "use", "close")] == [3, 4, 3], "one here, one in each process"


@pytest.fixture(scope="class")
def dask_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """Three worker processes of one thread; they have to outlive the steps that crash."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        request.cls.address = cluster.scheduler_address
        yield


@pytest.mark.usefixtures("dask_cluster")
class TestDask(ExecutorContract):
    has_processes = True
    opens_for_each_step = True
    knows_exits = False
    address: str

    def make_executor(self, max_concurrent: int) -> Any:
        cluster = {"existing": {"address": self.address}}
        return dask_executor.configured({"cluster": cluster, "max_concurrent": max_concurrent})


def module_of_the_page(name: str) -> dict[str, Any]:
    """A module that the page writes to a file; the job that it imports for its own run is left out."""
    found = re.search(
        rf"Path\(\"{name}\.py\"\)\.write_text\([\"']{{3}}\n(.*?)[\"']{{3}}\)", PAGE.read_text(), re.DOTALL
    )
    assert found is not None, f"docs/executors.md writes no {name}.py"
    namespace: dict[str, Any] = {}
    exec(found[1].replace("from reports import report\n", ""), namespace)
    return namespace


class TestPoolOfThePage(ExecutorContract):
    def make_executor(self, max_concurrent: int) -> Any:
        return module_of_the_page("pooled")["pooled_executor"].configured({"threads": max_concurrent})


class TestShuffledOfThePage(ExecutorContract):
    heeds_priority = False
    is_concurrent = False
    keeps_output = False

    def make_executor(self, max_concurrent: int) -> Any:
        return module_of_the_page("shuffled")["shuffled_executor"].configured({"seed": 7})

    def test_ready_steps_are_shuffled(self, tmp_path: Path) -> None:
        with self.running(tmp_path, "priorities") as ran:
            begun = [key for key, name in ran.told if name == "STEP_START"]
            assert sorted(begun) == ["high", "higher", "low", "normal"]
            assert begun == ran.traces.lines("order")
            assert begun != ["higher", "high", "normal", "low"], "they were not shuffled"
