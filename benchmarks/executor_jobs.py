"""The jobs of benchmarks/executors.py, and its programs: `executor_jobs.py WHAT ARGUMENTS`, one measurement in a fresh process.

Works with `treadle` or `dagster` as the engine, by the variable ENGINE.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

api: Any = importlib.import_module(os.environ.get("ENGINE", "treadle"))
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
EXECUTOR = api.multiprocess_executor


@api.op
def begin() -> None:
    pass


@api.op(ins={"start": api.In(api.Nothing)})
def go_on() -> None:
    pass


@api.op
def leave_the_time() -> None:
    Path(os.environ["MOMENT"]).write_text(repr(time.time()))


@api.op
def sleep() -> None:
    time.sleep(0.5)


def chain(size: int) -> Any:
    @api.job(executor_def=EXECUTOR)
    def chain_job():
        value = begin()
        for _ in range(size - 1):
            value = go_on(value)

    return chain_job


def sleeps() -> Any:
    @api.job(executor_def=EXECUTOR)
    def sleeps_job():
        for number in range(20):
            sleep.alias(f"sleep_{number}")()

    return sleeps_job


def moment() -> Any:
    @api.job(executor_def=EXECUTOR)
    def moment_job():
        leave_the_time()

    return moment_job


def arrays(is_changed: bool) -> Any:
    """200 MB through five ops; each hands on what it is given, or a new array."""
    import numpy

    @api.op
    def make():
        return numpy.ones(25_000_000)

    @api.op
    def hand_on(x):
        x[0]
        return x

    @api.op
    def add_one(x):
        return x + 1

    each = add_one if is_changed else hand_on

    @api.job(executor_def=EXECUTOR)
    def arrays_job():
        value = make()
        for number in range(4):
            value = each.alias(f"each_{number}")(value)

    return arrays_job


@api.op(out=api.DynamicOut())
def fan(context):
    for number in range(int(os.environ["BRANCHES"])):
        yield api.DynamicOutput(number, mapping_key=f"k{number}")


@api.op
def branch(x: int) -> None:
    pass


def fanned() -> Any:
    @api.job(executor_def=EXECUTOR)
    def fanned_job():
        fan().map(branch)

    return fanned_job


def execute(name: str, arguments: tuple[Any, ...], config: dict[str, Any]) -> float:
    """Seconds that execute_job takes."""
    return execute_and_look(name, arguments, config)[0]


def execute_and_look(name: str, arguments: tuple[Any, ...], config: dict[str, Any]) -> tuple[float, float]:
    """Seconds that execute_job takes, and from the first step's start to the last one's success by the log.

    What a program imports to call it is imported before, as `multiprocessing` is before the bare measurements begin.
    """
    execute_job = api.execute_job
    recipe = api.build_reconstructable_job(
        "executor_jobs", name, arguments, reconstructor_working_directory=str(Path.cwd())
    )
    with api.instance_for_test() as instance:
        os.environ["BEGAN"] = repr(time.time())
        began = time.perf_counter()
        result = execute_job(recipe, instance, {**QUIET, "execution": {"config": config}})
        took = time.perf_counter() - began
        assert result.success
        times: dict[str, list[float]] = {"STEP_START": [], "STEP_SUCCESS": []}
        for entry in instance.all_logs(result.run_id):
            if entry.is_dagster_event and entry.dagster_event.event_type_value in times:
                times[entry.dagster_event.event_type_value].append(entry.timestamp)
    return took, max(times["STEP_SUCCESS"]) - min(times["STEP_START"])


# -- programs -------------------------------------------------------------------------------------------------------------


def steps(size: str, config: str) -> float:
    """Seconds a step, beyond what a run of one step takes."""
    given = json.loads(config)
    alone = min(execute("chain", (1,), given) for _ in range(2))
    return (execute("chain", (int(size),), given) - alone) / (int(size) - 1)


def makespan(config: str) -> str:
    """Seconds of the whole call, and of its steps alone."""
    return "{} {}".format(*execute_and_look("sleeps", (), json.loads(config)))


def first_body() -> float:
    """Seconds from execute_job to the op's first statement."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MOMENT"] = str(Path(folder, "moment"))
        execute("moment", (), {"max_concurrent": 1})
        return float(Path(os.environ["MOMENT"]).read_text()) - float(os.environ["BEGAN"])


def hand_over(is_changed: str = "") -> float:
    """Seconds of a run that hands 200 MB through five ops, the start of its processes and their import of numpy included."""
    import numpy  # noqa: F401 - as in the peer, this process has it before the clock runs

    return execute("arrays", (bool(is_changed),), {"max_concurrent": 1})


def branches(count: str) -> float:
    """Seconds a branch."""
    os.environ["BRANCHES"] = count
    return execute("fanned", (), {"max_concurrent": 4}) / int(count)


def _nothing(_x: int) -> None:
    pass


def bare_pool(count: str) -> float:
    """Seconds a round trip through a warm process pool, one after another."""
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        pool.submit(_nothing, 0).result()
        began = time.perf_counter()
        for number in range(int(count)):
            pool.submit(_nothing, number).result()
        return (time.perf_counter() - began) / int(count)


def bare_processes(count: str) -> float:
    """Seconds a process of a warm fork server, started and waited for, one after another."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["executor_jobs"])
    first = context.Process(target=_nothing, args=(0,))
    first.start()
    first.join()
    began = time.perf_counter()
    for number in range(int(count)):
        process = context.Process(target=_nothing, args=(number,))
        process.start()
        process.join()
    return (time.perf_counter() - began) / int(count)


def _leave_the_time(path: str) -> None:
    Path(path).write_text(repr(time.time()))


def bare_start() -> float:
    """Seconds from nothing to the first statement in a process of a fork server that has loaded this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["executor_jobs"])
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "moment"))
        began = time.time()
        process = context.Process(target=_leave_the_time, args=(path,))
        process.start()
        process.join()
        return float(Path(path).read_text()) - began


def bare_arrays(is_changed: str = "") -> float:
    """Seconds of making a 200 MB array, and writing and mapping it four times; or each time what is one more."""
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        value = numpy.ones(25_000_000)
        for number in range(4):
            path = Path(folder, f"{number}.npy")
            numpy.save(path, value)
            value = numpy.load(path, mmap_mode="r")
            if is_changed:
                value = value + 1
            else:
                value[0]
        return time.perf_counter() - began


if __name__ == "__main__":
    print(globals()[sys.argv[1]](*sys.argv[2:]))
