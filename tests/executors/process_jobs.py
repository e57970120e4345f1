"""Jobs for the tests of executors that use processes: what goes wrong there."""

from __future__ import annotations

import fcntl
import os
import pickle
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
from treadle.engine.usage import memory_of

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


@op(timeout=0.4)
def takes_long() -> int:
    child = subprocess.Popen(["sleep", "60"])
    trace("child", str(child.pid))
    try:
        time.sleep(60)
    finally:
        trace("finally")
    return 1


@op(timeout=0.4)
def is_quick() -> int:
    return 1


@op(timeout="400 ms", retry_policy=RetryPolicy(max_retries=1))
def takes_long_once() -> int:
    if not was_here("long"):
        trace("long")
        time.sleep(60)
    return 4


@op(timeout=0.3)
def ignores_its_timeout() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    trace("begun")
    time.sleep(60)
    return 1


@op(memory_limit="200 MB")
def takes_much() -> int:
    taken = []
    for _ in range(400):
        taken.append(bytearray(os.urandom(1024) * 2048))
        time.sleep(0.005)
    return len(taken)


@job(executor_def=multiprocess_executor)
def late():
    inc(takes_long())
    inc.alias("other")(is_quick())


@job(executor_def=multiprocess_executor)
def late_once():
    inc(takes_long_once())


@job(executor_def=multiprocess_executor)
def deaf():
    ignores_its_timeout()


@job(executor_def=multiprocess_executor)
def greedy():
    takes_much()


def _count(name: str) -> None:
    """Be one of those at work for a moment; leave a trace of how many there were at once."""
    with Path(os.environ[TRACES], f"{name}.at").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("+")
        file.flush()
        file.seek(0)
        text = file.read()
        trace(name, str(text.count("+") - text.count("-")))
    time.sleep(0.05)
    with Path(os.environ[TRACES], f"{name}.at").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("-")


@op(tags={"db": "main"})
def uses_main() -> None:
    _count("main")


@op(tags={"db": "side"})
def uses_side() -> None:
    _count("side")


@op(slots={"gpu": 2})
def takes_two() -> None:
    _count("gpu")


@job(executor_def=multiprocess_executor)
def sharing():
    for number in range(5):
        uses_main.alias(f"main{number}")()
        uses_side.alias(f"side{number}")()


@job(executor_def=multiprocess_executor)
def slotted():
    for number in range(4):
        takes_two.alias(f"two{number}")()


@op
def works() -> None:
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass


@job(executor_def=multiprocess_executor)
def working():
    works()


@op(retry_policy=RetryPolicy(max_retries=2))
def waits_a_while() -> int:
    trace("begun")
    if not was_here("twice"):
        trace("twice")
        time.sleep(2)
    return 1


@job(executor_def=multiprocess_executor)
def outliving():
    inc(waits_a_while())


@op
def says_much(context: OpExecutionContext) -> int:
    for number in range(20_000):
        context.log.debug(f"line {number}")
    return 1


@job(executor_def=multiprocess_executor)
def talkative():
    inc(says_much())
    inc.alias("other")(says_much.alias("says_more")())


@op
def gives_much(x: int) -> bytearray:
    return bytearray(100_000_000)


@op
def tells_memory(x: bytearray) -> int:
    return memory_of(os.getpid())


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 1}))
def heavy():
    value = one()
    for number in range(5):
        value = tells_memory.alias(f"memory_{number}")(gives_much.alias(f"much_{number}")(value))


@job(executor_def=multiprocess_executor.configured({"isolation": "step", "max_concurrent": 1}))
def outliving_afresh():
    value = waits_a_while()
    for number in range(6):
        value = inc.alias(f"inc_{number}")(value)


class SlowToPickle:
    """A value that is still being written when its process is killed."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)
        return int, ()


@op(retry_policy=RetryPolicy(max_retries=1))
def dies_while_it_stores() -> object:
    if was_here("stored"):
        return 1
    trace("stored")
    return [bytearray(10_000_000), SlowToPickle()]


@job(executor_def=multiprocess_executor)
def storing():
    dies_while_it_stores()


class Block:
    """Bytes that are mapped where they are stored, as arrays are."""

    def __init__(self, data: object) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: object) -> object:
        return Block, (pickle.PickleBuffer(self.data),)  # type: ignore[arg-type]


@op
def gives_block() -> Block:
    return Block(bytearray(os.urandom(2 << 20)))


@op
def looks_at(block: Block) -> Block:
    assert len(set(memoryview(block.data)[::512])) > 100  # type: ignore[arg-type]
    return block


@op
def changes(block: Block) -> Block:
    memoryview(block.data)[1 << 20] ^= 1  # type: ignore[arg-type]
    return block


@job(executor_def=multiprocess_executor)
def handing_on():
    looks_at.alias("last")(changes(looks_at.alias("again")(looks_at(gives_block()))))


@op
def tell_settings(context) -> tuple:
    settings = context.instance.settings
    return settings.max_step_log, settings.origins["retention.max_step_log"], context.instance.storage_directory()


@job(executor_def=multiprocess_executor)
def knowing_settings():
    tell_settings()
