"""The jobs of the executor contract: small ones, which leave their traces in a folder.

Each is made by a function of its name, in the process that drives the run and in those that run steps, wherever these are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.graph import graph
from treadle.definitions.hooks import failure_hook, success_hook
from treadle.definitions.job import JobDefinition
from treadle.definitions.op import op
from treadle.definitions.ports import DynamicOut, In, Out
from treadle.definitions.resources import resource
from treadle.outcomes import AssetMaterialization, DynamicOutput, Output, RetryPolicy, RetryRequested
from treadle.testing.traces import Traces
from treadle.types import Nothing

#: what jobs run on in the process that drives the run; elsewhere nobody asks
EXECUTORS: dict[str, ExecutorDefinition] = {}


def make_job(name: str, folder: str, token: str) -> JobDefinition:
    """The job that the function of this name makes, on the executor that was given under the token."""
    job: JobDefinition = globals()[name](Traces(Path(folder)))
    return job.with_executor_def(EXECUTORS[token]) if token in EXECUTORS else job


#: seconds that steps take which are to be ended sooner
LONG = 20.0


# -- values and their order


def values(traces: Traces) -> JobDefinition:
    """Several outputs, a fan-in, a default, config, an output that orders and carries nothing."""

    @op(config_schema={"start": int})
    def begin(context: Any) -> int:
        number: int = context.op_config["start"]
        return number

    @op(out={"half": Out(), "double": Out()})
    def split(x: int) -> Any:
        return x // 2, x * 2

    @op
    async def add(xs: list[int], more: int = 100) -> int:
        await asyncio.sleep(0)
        return sum(xs) + more

    @op(out=Out(Nothing))
    def tidy(x: int) -> None:
        traces.leave("tidy")

    @op(ins={"tidied": In(Nothing)})
    def end() -> list[str]:
        return traces.lines("tidy")

    @graph
    def all_of_it() -> None:
        half, double = split(begin())
        end(tidy(add([half, double])))

    return all_of_it.to_job(name="values", config={"ops": {"begin": {"config": {"start": 10}}}})


def priorities(traces: Traces) -> JobDefinition:
    """Independent steps of different priority."""

    @graph
    def all_of_it() -> None:
        for name, priority in (("low", "-3"), ("normal", "0"), ("high", "7"), ("higher", "20")):

            @op(name=name, tags={"dagster/priority": priority})
            def step(context: Any) -> None:
                traces.leave("order", context.step_key)

            step()

    return all_of_it.to_job(name="priorities")


def crowd(traces: Traces) -> JobDefinition:
    """Steps that tell when they began and ended."""

    @op
    def member() -> None:
        began = time.monotonic()
        time.sleep(0.05)
        traces.leave("spans", f"{began} {time.monotonic()}")

    @graph
    def all_of_it() -> None:
        for number in range(8):
            member.alias(f"member_{number}")()

    return all_of_it.to_job(name="crowd")


def meeting(traces: Traces) -> JobDefinition:
    """Two steps that wait for one another."""

    @graph
    def all_of_it() -> None:
        for name, other in (("left", "right"), ("right", "left")):

            @op(name=name)
            def step(context: Any) -> None:
                traces.leave(context.op.name)
                traces.wait_for(OTHER[context.op.name])

            assert OTHER[name] == other
            step()

    return all_of_it.to_job(name="meeting")


OTHER = {"left": "right", "right": "left"}


# -- attempts


def attempts(traces: Traces) -> JobDefinition:
    """Steps that are tried again, by policy and by their own wish, and one that never succeeds."""

    @op(retry_policy=RetryPolicy(max_retries=3, delay=0.2))
    def flaky(context: Any) -> int:
        traces.leave("flaky", str(time.monotonic()))
        if context.retry_number < 2:
            raise OSError("not yet")
        number: int = context.retry_number
        return number

    @op
    def asking(context: Any) -> int:
        if context.retry_number == 0:
            raise RetryRequested(max_retries=1)
        return 1

    @op(retry_policy=RetryPolicy(max_retries=1))
    def hopeless(context: Any) -> None:
        traces.leave("hopeless")
        raise OSError("never")

    @op
    def add(a: int, b: int) -> int:
        return a + b

    @graph
    def all_of_it() -> None:
        add(flaky(), asking())
        hopeless()

    return all_of_it.to_job(name="attempts")


def patience(traces: Traces) -> JobDefinition:
    """A step that waits for its next attempt, and one that can run meanwhile."""

    @op(retry_policy=RetryPolicy(max_retries=1, delay=2), tags={"dagster/priority": "1"})
    def waiting(context: Any) -> None:
        traces.leave("order", "waiting")
        if context.retry_number == 0:
            raise OSError("later")

    @op
    def other() -> None:
        traces.leave("order", "other")

    @graph
    def all_of_it() -> None:
        waiting()
        other()

    return all_of_it.to_job(name="patience")


# -- branches


def branches(traces: Traces) -> JobDefinition:
    """A map within a map, a collect of both, and a fan-out of nothing."""

    @op(out=DynamicOut())
    def outer() -> Iterator[DynamicOutput[int]]:
        for number in (3, 1, 2):
            yield DynamicOutput(number, f"outer_{number}")

    @op(out=DynamicOut())
    def inner(x: int) -> Iterator[DynamicOutput[int]]:
        for number in range(x):
            yield DynamicOutput(10 * x + number, f"inner_{number}")

    @op
    def double(context: Any, x: int) -> int:
        traces.leave("branches", f"{context.step_key} {context.get_mapping_key()}")
        return 2 * x

    @op
    def gather(xs: list[int]) -> list[int]:
        return xs

    @op
    def gather_all(xs: list[list[int]]) -> list[list[int]]:
        return xs

    @op(out=DynamicOut())
    def nothing() -> Iterator[DynamicOutput[int]]:
        yield from ()

    @op
    def count(xs: list[int]) -> int:
        return len(xs)

    @graph
    def all_of_it() -> None:
        gather_all(outer().map(lambda x: gather(inner(x).map(double).collect())).collect())
        count(nothing().collect())

    return all_of_it.to_job(name="branches")


def skips(traces: Traces) -> JobDefinition:
    """An output that is not given, what needs it, and what can do without."""

    @op(out={"given": Out(is_required=False), "missing": Out(is_required=False)})
    def choose() -> Iterator[Output[int]]:
        yield Output(1, "given")

    @op
    def take(x: int) -> int:
        return x

    @op
    def gather(xs: list[int]) -> list[int]:
        return xs

    @graph
    def all_of_it() -> None:
        given, missing = choose()
        a = take.alias("take_given")(given)
        b = take.alias("take_missing")(missing)
        gather([a, b])

    return all_of_it.to_job(name="skips")


# -- what goes wrong


def failure(traces: Traces) -> JobDefinition:
    """A step that fails, what needs it, and what does not; with hooks."""

    @success_hook
    def glad(context: Any) -> None:
        traces.leave("hooks", f"glad {context.op.name}")

    @failure_hook
    def sad(context: Any) -> None:
        traces.leave("hooks", f"sad {context.op.name} {type(context.op_exception).__name__}")

    @op
    def boom() -> int:
        if not traces.lines("repaired"):
            raise LookupError("no such thing")
        return 1

    @op
    def after_boom(x: int) -> int:
        return x + 1

    @op
    def fine() -> int:
        traces.leave("fine")
        return 2

    @op
    def after_fine(x: int) -> int:
        return x + 1

    @graph
    def all_of_it() -> None:
        after_boom(boom())
        after_fine(fine())

    return all_of_it.to_job(name="failure", hooks={glad, sad})


def wrong_type(traces: Traces) -> JobDefinition:
    """A value that is not of the type that was declared; trying again would be no use."""

    @op(out=Out(int), retry_policy=RetryPolicy(max_retries=3))
    def wrong() -> Any:
        traces.leave("wrong")
        return "text"

    @graph
    def all_of_it() -> None:
        wrong()

    return all_of_it.to_job(name="wrong_type")


def crashes(traces: Traces) -> JobDefinition:
    """Steps whose processes end under them."""

    @op
    def exits() -> int:
        os._exit(7)

    @op
    def killed() -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 1

    @op(retry_policy=RetryPolicy(max_retries=1))
    def once() -> int:
        if len(traces.lines("once")) == 0:
            traces.leave("once")
            os.kill(os.getpid(), signal.SIGKILL)
        return 1

    @op
    def after(x: int) -> int:
        return x

    @op
    def fine() -> int:
        return 1

    @graph
    def all_of_it() -> None:
        after(exits())
        killed()
        after.alias("after_once")(once())
        fine()

    return all_of_it.to_job(name="crashes")


# -- how it is ended


def limits(traces: Traces) -> JobDefinition:
    """Steps that take longer than their ops allow, of both kinds, one of them only at first; and one that does not."""

    @op(timeout=0.3, cooperative=True)
    def slow(context: Any) -> int:
        try:
            _work(context)
        finally:
            traces.leave("ended", "slow")
        return 1

    @op(timeout=0.3)
    async def slow_async() -> int:
        try:
            await asyncio.sleep(LONG)
        finally:
            traces.leave("ended", "slow_async")
        return 1

    @op(timeout=0.7, cooperative=True, retry_policy=RetryPolicy(max_retries=1))
    def slow_once(context: Any) -> int:
        if context.retry_number == 0:
            _work(context)
        return 1

    @op(timeout=60, cooperative=True)
    def quick() -> int:
        return 1

    @op
    def after(x: int) -> int:
        return x

    @graph
    def all_of_it() -> None:
        for each in (slow, slow_async, slow_once, quick):
            after.alias(f"after_{each.name}")(each())

    return all_of_it.to_job(name="limits")


def _work(context: Any) -> None:
    """Take long, and look whether that is still wanted."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        context.check_cancelled()
        time.sleep(0.005)


def long(traces: Traces) -> JobDefinition:
    """A step that is at work, and looks, when the run is canceled; one that would come after it, and a resource."""

    @op(required_resource_keys={"shared"})
    def work(context: Any) -> int:
        traces.leave("begun")
        try:
            _work(context)
        finally:
            traces.leave("shared", "clean up")
        return 1

    return _before_another(traces, work)


def long_async(traces: Traces) -> JobDefinition:
    """The same with a step that awaits, also while it cleans up."""

    @op(required_resource_keys={"shared"})
    async def work() -> int:
        traces.leave("begun")
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.01)
            traces.leave("shared", "clean up")
        return 1

    return _before_another(traces, work)


def _before_another(traces: Traces, work: Any) -> JobDefinition:
    @op
    def after(x: int) -> None:
        traces.leave("after")

    @graph
    def all_of_it() -> None:
        after(work())

    return all_of_it.to_job(name="long", resource_defs={"shared": _shared(traces)})


def story(traces: Traces) -> JobDefinition:
    """Steps that each leave a trace when they run, one of which never comes back at its first attempt."""

    @op(out=DynamicOut())
    def spread(context: Any) -> Iterator[DynamicOutput[int]]:
        traces.leave("story", context.step_key)
        for number in range(3):
            yield DynamicOutput(number, f"n_{number}")

    @op
    def branch(context: Any, x: int) -> int:
        traces.leave("story", context.step_key)
        return 10 * x

    @op
    def add(context: Any, xs: list[int]) -> int:
        traces.leave("story", context.step_key)
        return sum(xs)

    @op
    def hang(context: Any, x: int) -> int:
        traces.leave("story", context.step_key)
        if context.retry_number == 0:
            traces.leave("begun")
            _work(context)
        return x + 1

    @op
    def end(context: Any, x: int) -> int:
        traces.leave("story", context.step_key)
        return x + 1

    @graph
    def all_of_it() -> None:
        end(hang(add(spread().map(branch).collect())))

    return all_of_it.to_job(name="story")


# -- what steps say, and what they share


def saying(traces: Traces) -> JobDefinition:
    """Steps that log, print and tell of materializations."""

    @op
    def say(context: Any) -> int:
        for number in range(5):
            context.log.info(f"{context.step_key} says {number}")
        context.log_event(AssetMaterialization(context.step_key))
        context.log.warning("done")
        for number in range(50):
            print(f"{context.step_key} {number}")  # noqa: T201 - it is what is looked for
            print(f"{context.step_key} {number}", file=sys.stderr)  # noqa: T201
        return 1

    @graph
    def all_of_it() -> None:
        for number in range(4):
            say.alias(f"say_{number}")()

    return all_of_it.to_job(name="saying")


def muttering(traces: Traces) -> JobDefinition:
    """A step that prints and fails, twice; and one that prints and is fine."""

    @op(retry_policy=RetryPolicy(max_retries=1))
    def mutter(context: Any) -> None:
        print(f"attempt {context.retry_number + 1}")  # noqa: T201 - it is what is looked for
        print("in vain", file=sys.stderr)  # noqa: T201
        raise LookupError("after all that")

    @op
    async def whisper() -> None:
        print("before")  # noqa: T201
        await asyncio.sleep(0.01)
        print("after")  # noqa: T201

    @graph
    def all_of_it() -> None:
        mutter()
        whisper()

    return all_of_it.to_job(name="muttering")


def _shared(traces: Traces) -> Any:
    @resource
    def shared(_context: Any) -> Iterator[int]:
        traces.leave("shared", "open")
        yield 42
        traces.leave("shared", "close")

    return shared


def sharing(traces: Traces) -> JobDefinition:
    """Steps that use a resource; one fails."""

    @op(required_resource_keys={"shared"})
    def use(context: Any) -> int:
        number: int = context.resources.shared
        traces.leave("shared", "use")
        return number

    @op(required_resource_keys={"shared"})
    def misuse(context: Any) -> None:
        traces.leave("shared", "use")
        raise LookupError("in the middle")

    @graph
    def all_of_it() -> None:
        for number in range(3):
            use.alias(f"use_{number}")()
        misuse()

    return all_of_it.to_job(name="sharing", resource_defs={"shared": _shared(traces)})


def unshared(traces: Traces) -> JobDefinition:
    """A resource that cannot be opened."""

    @resource
    def broken(_context: Any) -> int:
        raise LookupError("no connection")

    @op(required_resource_keys={"broken"})
    def use() -> None:
        traces.leave("use")

    @graph
    def all_of_it() -> None:
        use()

    return all_of_it.to_job(name="unshared", resource_defs={"broken": broken})
