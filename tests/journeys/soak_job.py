"""Random jobs whose ops misbehave at random, for the soak: `make(seed)` is always the same job.

    python soak_job.py HOME EFFECTS RUN_ID SEED

The same call again goes on with the run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from treadle import (
    DagsterInstance,
    DynamicOut,
    DynamicOutput,
    In,
    JobDefinition,
    OpDefinition,
    RetryPolicy,
    RetryRequested,
    build_reconstructable_job,
    execute_job,
    job,
    multiprocess_executor,
    op,
)

WAYS = ("well",) * 8 + ("raises", "retries", "exits", "is_killed", "is_late", "prints", "has_child", "asks_again")


def mark(context: Any) -> int:
    """Leave a mark for this attempt, and give how many of the step there were before."""
    path = Path(os.environ["SOAK_EFFECTS"], context.get_step_execution_context().step_key)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    before = os.fstat(descriptor).st_size
    os.write(descriptor, b"x")
    os.close(descriptor)
    return before


def behave(context: Any, way: str) -> None:
    """Do well or badly, as the way says; ways that end badly once do well when they are tried again."""
    before = mark(context)
    time.sleep(random.random() * 0.02)
    if way == "raises":
        raise ValueError("it was to fail")
    if way == "asks_again" and before < 2:
        raise RetryRequested(max_retries=3)
    if way == "prints":
        print("x" * 200_000)
        subprocess.run(["sh", "-c", "echo from a child"], check=True)
    if way == "has_child":
        subprocess.Popen(["sleep", "30"])
    if before:
        return
    if way == "retries":
        raise RuntimeError("it was to fail once")
    if way == "exits":
        os._exit(random.randrange(1, 100))
    if way == "is_killed":
        os.kill(os.getpid(), random.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)))
        time.sleep(5)
    if way == "is_late":
        time.sleep(30)


def _op(name: str, way: str, count: int) -> OpDefinition:
    late = {"timeout": 0.3} if way == "is_late" else {}

    @op(
        name=name,
        ins={f"x{number}": In(int) for number in range(count)},
        retry_policy=RetryPolicy(max_retries=2) if way != "raises" else None,
        **late,
    )
    def does(context, **values: int) -> int:
        behave(context, way)
        return sum(values.values()) + 1

    return does


def _fan(name: str, size: int) -> OpDefinition:
    @op(name=name, out=DynamicOut(int), ins={"x": In(int)})
    def fans(context, x: int):
        mark(context)
        for number in range(size):
            yield DynamicOutput(x + number, mapping_key=f"k{number}")

    return fans


def _total(name: str) -> OpDefinition:
    @op(name=name, ins={"xs": In(list)})
    def totals(context, xs: list) -> int:
        mark(context)
        return sum(xs) % 1000

    return totals


def make(seed: int) -> JobDefinition:
    """The job of a seed."""
    dice = random.Random(seed)
    config = {
        "max_concurrent": dice.choice((1, 2, 4)),
        "isolation": dice.choice(("worker", "worker", "step")),
        "max_steps_per_worker": dice.choice((None, None, 1, 3)),
        "start_method": {dice.choice(("forkserver", "forkserver", "forkserver", "spawn")): {}},
    }

    @job(name=f"soak_{seed}", executor_def=multiprocess_executor.configured(config))
    def soak():
        made: list[Any] = [_op("n0", "well", 0)()]
        for number in range(1, dice.randrange(4, 16)):
            if dice.random() < 0.15:
                branch = _op(f"b{number}", dice.choice(WAYS), 1)
                fanned = _fan(f"f{number}", dice.randrange(0, 6))(dice.choice(made))
                made.append(_total(f"t{number}")(fanned.map(lambda x, branch=branch: branch(x0=x)).collect()))
                continue
            above = dice.sample(made, min(len(made), dice.randrange(0, 3)))
            inputs = {f"x{place}": value for place, value in enumerate(above)}
            made.append(_op(f"n{number}", dice.choice(WAYS), len(above))(**inputs))

    return soak


def main(home: str, effects: str, run_id: str, seed: str) -> None:
    """Run or go on; says what came of it, and what was left open."""
    os.environ["SOAK_EFFECTS"] = effects
    recipe = build_reconstructable_job(__spec__.name if __spec__ else "tests.journeys.soak_job", "make", (int(seed),))
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with DagsterInstance.from_config(home) as instance:
        instance.get_runs(limit=1)
        before = len(list(Path("/proc/self/fd").iterdir()))
        print("ready", flush=True)
        result = execute_job(recipe, instance, quiet, run_id=run_id)
        after = len(list(Path("/proc/self/fd").iterdir()))
    print(json.dumps({"success": result.success, "opened": after - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
