"""Jobs for the tests of executors that use processes: what goes wrong there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from treadle import (
    In,
    Nothing,
    OpExecutionContext,
    RetryPolicy,
    failure_hook,
    job,
    multiprocess_executor,
    op,
    resource,
)

#: where ops of these jobs leave their traces
TRACES = "TREADLE_TEST_TRACES"


def trace(name: str, text: str = "") -> None:
    """Leave a trace that tests read."""
    with Path(os.environ[TRACES], name).open("a") as file:
        file.write(f"{text or os.getpid()}\n")


def was_here(name: str) -> bool:
    """True where the trace was left before."""
    return Path(os.environ[TRACES], name).exists()


def wait_for(name: str) -> None:
    """Wait until another step has left a trace."""
    deadline = time.monotonic() + 20
    while not was_here(name):
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.005)


@op
def one() -> int:
    return 1


@op
def inc(x: int) -> int:
    return x + 1


@op
def exits() -> int:
    os._exit(7)


@op
def is_killed() -> int:
    print("before the end", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@op
def is_killed_with_child() -> int:
    child = subprocess.Popen(["sleep", "60"])
    trace("child", str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@op
def forks_and_is_killed() -> int:
    if os.fork() == 0:
        os.setsid()  # it gets away from whoever ends the step's group
        time.sleep(8)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@job(executor_def=multiprocess_executor)
def forking():
    forks_and_is_killed()


@op(retry_policy=RetryPolicy(max_retries=1))
def dies_once() -> int:
    if was_here("dies_once"):
        return 5
    trace("dies_once")
    os._exit(3)


@failure_hook
def tell(_context) -> None:
    trace("hook")


@job(executor_def=multiprocess_executor, hooks={tell})
def crashing():
    inc(exits())
    inc.alias("other")(one())


@job(executor_def=multiprocess_executor)
def killed():
    inc(is_killed())


@job(executor_def=multiprocess_executor)
def killed_with_child():
    is_killed_with_child()


@job(executor_def=multiprocess_executor)
def dying_once():
    inc(dies_once())


@op
def meets(context: OpExecutionContext) -> int:
    trace(context.op.name)
    wait_for("right" if context.op.name == "left" else "left")
    return os.getpid()


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 2}))
def meeting():
    meets.alias("left")()
    meets.alias("right")()


@op
def pid(_start) -> int:
    return os.getpid()


@job(executor_def=multiprocess_executor)
def chained():
    value = one()
    for number in range(4):
        value = pid.alias(f"pid{number}")(value)


@op
def is_loud() -> None:
    print("said by Python")
    print("to stderr", file=sys.stderr)
    os.write(1, b"said to the descriptor\n")
    subprocess.run(["sh", "-c", "echo said by a child; echo a child on stderr >&2"], check=True)
    sys.stdout.write("no newline at the end")


@op(ins={"start": In(Nothing)})
def is_silent() -> None:
    pass


@op
def prints_much() -> int:
    block = "x" * 9_999_999 + "\n"
    for _ in range(10):
        print(block, end="")
    return 1


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 1}))
def loud():
    is_silent(is_loud())


@job(executor_def=multiprocess_executor)
def printing():
    inc(prints_much())


@resource
def guarded(_context):
    trace("opened")
    yield 1
    trace("closed")


@op(required_resource_keys={"guarded"})
def sleeps(context: OpExecutionContext) -> None:
    trace("begun")
    try:
        time.sleep(60)
    finally:
        trace("finally")


@op(ins={"start": In(Nothing)})
def after() -> None:
    trace("after")


@job(executor_def=multiprocess_executor, resource_defs={"guarded": guarded})
def sleeping():
    after(sleeps())


@op
def is_stubborn() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "60"])
    trace("begun", str(child.pid))
    time.sleep(60)


@job(executor_def=multiprocess_executor)
def stubborn():
    is_stubborn()


@op
def logs(context: OpExecutionContext) -> None:
    context.log.info("a word from the worker")
    try:
        raise ValueError("inside")
    except ValueError:
        context.log.exception("with a traceback")


@job(executor_def=multiprocess_executor)
def logging():
    logs()
