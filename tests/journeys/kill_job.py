"""The job of the kill harness, and the program that runs it: twelve steps of every shape, each with a side effect.

With KILL_JOB=everything_elsewhere in the environment its steps run in workers, with everything_on_threads on threads, and
with everything_on_a_loop its ops are coroutine functions and async generators that are awaited on one event loop.

    python kill_job.py HOME EFFECTS RUN_ID [never | event:N | commit:N | wait]

`event:N` kills the process when the N-th entry of the log is made, before it is committed; `commit:N` at the N-th commit of
the database, after all that it writes and before it counts. `wait` says on stdout when the run begins, so that somebody
else can kill it. The same call again goes on with the run, since its id is given.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from treadle import (
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    Out,
    ReconstructableJob,
    RetryPolicy,
    async_executor,
    execute_job,
    graph,
    in_process_executor,
    multiprocess_executor,
    op,
    threaded_executor,
)


def leave_a_mark(context) -> None:
    """The side effect: a line in a file, on disk when this returns."""
    mapping_key = context.get_mapping_key()
    key = f"{context.op_handle}[{mapping_key}]" if mapping_key is not None else str(context.op_handle)
    descriptor = os.open(os.environ["KILL_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{key}\n".encode())
    os.fsync(descriptor)
    os.close(descriptor)
    time.sleep(0.002)


@op
def first(context) -> int:
    leave_a_mark(context)
    return 4


@op
def double(context, x: int) -> int:
    leave_a_mark(context)
    return x * 2


@op
def weigh(context, x: int) -> bytearray:
    leave_a_mark(context)
    return bytearray([x]) * 300_000


@op(out=DynamicOut())
def fan(context, data: bytearray):
    leave_a_mark(context)
    for number in range(4):
        yield DynamicOutput(data[number] + number, mapping_key=f"k{number}")


@op
def branch(context, x: int) -> int:
    leave_a_mark(context)
    return x * x


@op
def total(context, xs: list) -> int:
    leave_a_mark(context)
    return sum(xs)


@op(retry_policy=RetryPolicy(max_retries=2))
def flaky(context, x: int) -> int:
    leave_a_mark(context)
    marker = Path(os.environ["KILL_EFFECTS"] + ".flaky")
    if not marker.exists():
        marker.touch()
        raise ValueError("not at the first time")
    return x + 1


@op(out={"even": Out(is_required=False), "odd": Out(is_required=False)})
def part(context, x: int):
    from treadle import Output

    leave_a_mark(context)
    yield Output(x, "odd" if x % 2 else "even")


@op
def even(context, x: int) -> str:
    leave_a_mark(context)
    return f"even {x}"


@op
def odd(context, x: int) -> str:
    leave_a_mark(context)
    return f"odd {x}"


def wire(ops, name: str):
    """The job of these ops."""

    @graph
    def inner(x):
        return ops["double"](ops["double"].alias("again")(x))

    @graph(name=name)
    def everything():
        sum_of_all = ops["total"](ops["fan"](ops["weigh"](ops["double"](ops["first"]()))).map(ops["branch"]).collect())
        evens, odds = ops["part"](ops["flaky"](inner(sum_of_all)))
        ops["even"](evens)
        ops["odd"](odds)

    return everything.to_job(executor_def=in_process_executor)


OPS = {each.name: each for each in (first, double, weigh, fan, branch, total, flaky, part, even, odd)}


def as_coroutine(plain):
    """The op as an `async def`: it awaits, leaves its mark, and awaits again before it is through."""
    fn = plain.compute_fn

    async def compute(context, **inputs):
        await asyncio.sleep(0.001)
        value = fn(context, **inputs)
        await asyncio.sleep(0.001)
        return value

    async def stream(context, **inputs):
        await asyncio.sleep(0.001)
        for outcome in fn(context, **inputs):
            yield outcome
            await asyncio.sleep(0.001)

    return op(name=plain.name, ins=dict(plain.ins), out=dict(plain.outs), retry_policy=plain.retry_policy)(
        stream if plain.name in ("fan", "part") else compute
    )


everything = wire(OPS, "everything")

#: the same by workers, two steps at once
everything_elsewhere = everything.with_executor_def(multiprocess_executor.configured({"max_concurrent": 2}))

#: the same on threads of the run's own process
everything_on_threads = everything.with_executor_def(threaded_executor.configured({"max_concurrent": 3}))


#: the same awaited on one event loop
everything_on_a_loop = wire({name: as_coroutine(each) for name, each in OPS.items()}, "on_a_loop").with_executor_def(
    async_executor.configured({"max_concurrent": 3})
)


def arm(how: str, instance: DagsterInstance, run_id: str) -> None:
    """Make the process kill itself at the moment that is asked for."""
    kind, _, number = how.partition(":")
    left = int(number or 0)

    def count(*_seen: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind == "event":
        instance.add_event_listener(run_id, count)
    elif kind == "commit":
        with instance.store._open().writing() as connection:  # type: ignore[attr-defined]
            pass
        connection.set_trace_callback(lambda text: count() if text == "COMMIT" else None)
    elif kind == "wait":
        print("ready", flush=True)


def main(home: str, effects: str, run_id: str, how: str = "never") -> None:
    os.environ["KILL_EFFECTS"] = effects
    recipe = ReconstructableJob.for_file(__file__, os.environ.get("KILL_JOB", "everything"))
    with DagsterInstance.from_config(home) as instance:
        arm(how, instance, run_id)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        with execute_job(recipe, instance, quiet, run_id=run_id) as result:
            print(json.dumps({"success": result.success, "odd": result.output_for_node("odd")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
