"""Jobs whose values go over a remote store; a run's tag `folder` says where their steps leave marks."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from treadle import DynamicOut, DynamicOutput, dask_executor, job, multiprocess_executor, op


@op
def begin(context) -> dict:
    Path(context.run.tags["folder"], f"begun {os.getpid()}").touch()
    return {"many": b"x" * 300_000, "few": [1, 2]}


@op(out=DynamicOut())
def split(found: dict):
    for number in found["few"]:
        yield DynamicOutput(number, mapping_key=f"n{number}")


@op
def double(number: int) -> int:
    return number * 2


@op
def add(context, numbers: list[int], found: dict) -> int:
    assert bytes(found["many"]) == b"x" * 300_000
    if Path(context.run.tags["folder"], "deadly").exists():
        Path(context.run.tags["folder"], "reached").touch()
        time.sleep(60)
    if Path(context.run.tags["folder"], "broken").exists():
        raise ValueError("broken")
    return sum(numbers)


def compose() -> None:
    found = begin()
    add(split(found).map(double).collect(), found)


@job(executor_def=multiprocess_executor.configured({"max_concurrent": 2}))
def in_processes():
    compose()


@job
def here():
    compose()


@job(executor_def=dask_executor)
def on_dask():
    compose()


def execute(home: str, folder: str, run_id: str, name: str) -> None:
    """Execute one of these jobs; tests kill this in the middle."""
    from treadle import DagsterInstance, ReconstructableJob, execute_job

    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    recipe = ReconstructableJob.for_module("tests.journeys.remote_jobs", name)
    with DagsterInstance.from_config(home) as instance:
        execute_job(recipe, instance, quiet, tags={"folder": folder}, run_id=run_id)


def main(url: str, folder: str) -> None:
    """Write a value of 20 MB, as a step does; tests kill this half-way."""
    from treadle import FilesystemIOManager, build_output_context

    Path(folder, "writing").touch()
    output: Any = build_output_context(run_id="00000000-0000-4000-8000-000000000000", step_key="large", name="result")
    FilesystemIOManager(url).handle_output(output, os.urandom(20_000_000))


if __name__ == "__main__":
    (execute if len(sys.argv) > 3 else main)(*sys.argv[1:])
