"""A run of a job of dask_jobs; as a program it is one that tests kill and interrupt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from treadle import DagsterInstance, build_reconstructable_job, execute_job

JOBS = "tests.executors.dask_jobs"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(instance: DagsterInstance, folder: Path, run_id: str, name: str, config: dict[str, Any]) -> Any:
    """The job of this name, by the config of the Dask executor; steps leave their marks in the folder."""
    recipe = build_reconstructable_job(JOBS, "make", (name,))
    run_config = {**QUIET, "execution": {"config": config}}
    return execute_job(recipe, instance, run_config, tags={"folder": str(folder)}, run_id=run_id)


def main(folder: str, run_id: str, name: str, where: str) -> None:
    """Run it on a local cluster, or on that of a scheduler's address."""
    cluster = {"local": {"n_workers": 1}} if where == "local" else {"existing": {"address": where}}
    with DagsterInstance.local_temp(f"{folder}/home") as instance:
        run(instance, Path(folder), run_id, name, {"cluster": cluster})


if __name__ == "__main__":
    main(*sys.argv[1:])
