"""Jobs that tests run on Dask: workers import this module. A run's tag `folder` says where its steps leave marks."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import distributed
import psutil

from treadle import (
    AssetMaterialization,
    DagsterEventType,
    DynamicOut,
    DynamicOutput,
    JobDefinition,
    OpExecutionContext,
    RetryPolicy,
    RetryRequested,
    UPathIOManager,
    dask_executor,
    io_manager,
    job,
    op,
    resource,
)

PATIENCE = 30


def mark(context: OpExecutionContext, name: str) -> int:
    """Leave a mark; gives how many of that name there are now."""
    path = Path(context.run.tags["folder"], name)
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(path.read_text().splitlines())


def wait_for(context: OpExecutionContext, name: str) -> None:
    """Wait until there is a mark."""
    deadline = time.monotonic() + PATIENCE
    while not Path(context.run.tags["folder"], name).exists():
        assert time.monotonic() < deadline, f"{name} never came"
        time.sleep(0.02)


@op
def one(context) -> int:
    context.log.info("one is here")
    context.log.warning("and says more")
    return 1


@op
def plus_one(number: int) -> int:
    return number + 1


@job(executor_def=dask_executor)
def chain():
    plus_one(plus_one(one()))


# -- branches -----------------------------------------------------------------------------------------------------------


@op(out=DynamicOut())
def split():
    for name in ("a", "b"):
        yield DynamicOutput(name, mapping_key=name)


@op
def meet(context, name: str) -> str:
    """Ends only if both branches are under way at once."""
    mark(context, f"here {name}")
    wait_for(context, "here b" if name == "a" else "here a")
    return name.upper()


@op
def join(names: list) -> str:
    return "".join(names)


@job(executor_def=dask_executor)
def meeting():
    join(split().map(meet).collect())


# -- steps that fail ----------------------------------------------------------------------------------------------------


@op(retry_policy=RetryPolicy(max_retries=2))
def third_time(context) -> int:
    if mark(context, "tries") < 3:
        raise ValueError("not yet")
    return 3


@op
def asks_again(context) -> int:
    if mark(context, "asked") < 2:
        raise RetryRequested(max_retries=1)
    return 2


@job(executor_def=dask_executor)
def retried():
    third_time()
    asks_again()


@op
def boom() -> int:
    raise ValueError("the op's own words")


@job(executor_def=dask_executor)
def failing():
    plus_one(boom())
    one()


@op
def kills_worker(context) -> int:
    if mark(context, "begun") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


@op
def goes_on(context) -> int:
    wait_for(context, "begun")
    time.sleep(0.5)
    return 5


@job(executor_def=dask_executor)
def killed():
    plus_one(kills_worker())
    goes_on()


@job(executor_def=dask_executor, op_retry_policy=RetryPolicy(max_retries=1))
def killed_once():
    plus_one(kills_worker())
    goes_on()


# -- steps that take long -----------------------------------------------------------------------------------------------


@op
def takes_long(context) -> int:
    try:
        mark(context, "begun")
        for _ in range(PATIENCE * 50):
            time.sleep(0.02)
    finally:
        mark(context, "cleaned up")
    return 1


@job(executor_def=dask_executor)
def slow():
    plus_one(takes_long())


@op(timeout=0.5)
def takes_too_long(context) -> int:
    mark(context, "begun")
    for _ in range(PATIENCE * 50):
        time.sleep(0.02)
    return 1


@job(executor_def=dask_executor)
def too_slow():
    takes_too_long()
    one()


def be_deaf() -> None:
    """Let no signal but SIGKILL end this process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@op(timeout=0.5)
def too_long_and_deaf(context) -> int:
    be_deaf()
    mark(context, "begun")
    time.sleep(PATIENCE)
    return 1


@job(executor_def=dask_executor)
def too_slow_and_deaf():
    too_long_and_deaf()
    one()


@op
def is_deaf(context) -> int:
    be_deaf()
    mark(context, "begun")
    time.sleep(PATIENCE)
    mark(context, "slept")
    return 1


@job(executor_def=dask_executor)
def deaf():
    plus_one(is_deaf())


@op(memory_limit=300_000_000, retry_policy=RetryPolicy(max_retries=1))
def has_too_much(context) -> int:
    if mark(context, "begun") == 1:
        held = b"x" * 400_000_000
        time.sleep(PATIENCE)
        return len(held)
    return 1


@job(executor_def=dask_executor)
def too_large():
    plus_one(has_too_much())
    one()


@op
def has_much(context) -> int:
    held = b"x" * 800_000_000
    time.sleep(PATIENCE)
    return len(held)


@job(executor_def=dask_executor)
def large():
    has_much()
    one()


def wait_until_known(context: OpExecutionContext) -> None:
    """Wait until the log says that this step has begun: before that nobody has heard of its process."""
    deadline = time.monotonic() + PATIENCE
    while not context.instance.all_logs(context.run_id, of_type=DagsterEventType.STEP_START):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def dask_worker() -> psutil.Process:
    """The Dask worker whose child this process is; between them is what forks."""
    found = psutil.Process().parent().parent()
    assert found is not None
    return found


@op
def kills_dask_worker(context) -> int:
    if mark(context, "begun") == 1:
        wait_until_known(context)
        dask_worker().kill()
        time.sleep(PATIENCE)
        mark(context, "outlived")
    return 1


@job(executor_def=dask_executor)
def bereft():
    plus_one(kills_dask_worker())
    one()


@job(executor_def=dask_executor, op_retry_policy=RetryPolicy(max_retries=1))
def bereft_once():
    plus_one(kills_dask_worker())


@op(retry_policy=RetryPolicy(max_retries=1))
def kills_what_forks(context) -> int:
    if mark(context, "begun") == 1:
        psutil.Process().parent().kill()
        time.sleep(PATIENCE)
    return 1


@job(executor_def=dask_executor)
def forkless():
    plus_one(kills_what_forks())


@op(isolation="fresh_process")
def fresh(context, number: int) -> int:
    mark(context, "fresh")
    return number


@job(executor_def=dask_executor)
def freshly():
    fresh.alias("second")(fresh.alias("first")(one()))


@op
def asks_dask() -> int:
    with distributed.Client() as client:
        return client.submit(sum, [1, 2]).result(timeout=PATIENCE)


@job(executor_def=dask_executor)
def asking_dask():
    asks_dask()


@op(tags={"dagster-dask/resource_requirements": {"GPU": 1}})
def needs_gpu(context) -> int:
    return mark(context, "begun")


@job(executor_def=dask_executor)
def picky():
    needs_gpu()


@op(tags={"dagster-dask/resource_requirements": "lots"})
def needs_lots() -> None: ...


@job(executor_def=dask_executor)
def greedy():
    needs_lots()


@op
def waits_for_go(context, number: int) -> int:
    mark(context, "begun")
    wait_for(context, "go")
    mark(context, "ended")
    return number + 1


@job(executor_def=dask_executor)
def long_chain():
    plus_one(waits_for_go(one()))


# -- resources, what is logged ------------------------------------------------------------------------------------------


@resource
def connection(context):
    context.log.info("opened")
    yield os.getpid()
    context.log.info("closed")


@op(required_resource_keys={"connection"})
def uses(context) -> int:
    assert context.resources.connection == os.getpid()
    context.log_event(AssetMaterialization("report"))
    return os.getpid()


@job(executor_def=dask_executor, resource_defs={"connection": connection})
def with_resource():
    uses()


@op(out=DynamicOut())
def names():
    for name in ("ann", "bob"):
        yield DynamicOutput(name, mapping_key=name)


@op
def prints(context, name: str) -> None:
    mark(context, f"at {name}")
    wait_for(context, "at ann" if name == "bob" else "at bob")
    for _ in range(100):
        print(name)
    print("trouble of", name, file=sys.stderr)
    subprocess.run([sys.executable, "-c", f"print('a program of {name}')"], check=True)


@job(executor_def=dask_executor)
def printing():
    names().map(prints)


@op
def floods(context) -> int:
    """Writes 100 MB, and dies."""
    line = b"x" * 99_999 + b"\n"
    for _ in range(1000):
        os.write(1, line)
    os._exit(7)


@job(executor_def=dask_executor)
def flooding():
    floods()
    one()


@op
def calls_home(context) -> int:
    return len(context.instance.get_runs())


class Elsewhere(UPathIOManager):
    """Keeps values in a folder that is not the instance's."""

    def dump_to_path(self, context, obj, path):
        path.write_text(repr(obj))

    def load_from_path(self, context, path):
        return ast.literal_eval(path.read_text())


@io_manager
def elsewhere(context):
    return Elsewhere(base_path=context.run.tags["folder"] + "/elsewhere")


@job(executor_def=dask_executor, resource_defs={"io_manager": elsewhere})
def stored_elsewhere():
    plus_one(one())
    calls_home()


@job(executor_def=dask_executor, resource_defs={"io_manager": elsewhere})
def far_and_loud():
    names().map(prints)
    floods()


JOBS = {made.name: made for made in list(globals().values()) if isinstance(made, JobDefinition)}


def make(name: str) -> JobDefinition:
    """For build_reconstructable_job."""
    return JOBS[name]
