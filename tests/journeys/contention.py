"""Many processes on one home: each runs small jobs, while somebody lists and watches all the time.

    python contention.py HOME RUNS STEPS

runs that many jobs of so many steps, one after another, and prints how many were successful.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from treadle import DagsterInstance, In, JobDefinition, Nothing, job, op

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def chain(steps: int) -> JobDefinition:
    def make(number: int):
        @op(name=f"step_{number}", ins={"after": In(Nothing)})
        def work(context) -> None:
            context.log.info("at work")

        return work

    @op
    def start() -> None:
        pass

    rest = [make(number) for number in range(1, steps)]

    @job(name="contended")
    def contended():
        value = start()
        for each in rest:
            value = each(value)

    return contended


def main(home: str, runs: str, steps: str) -> None:
    a_job = chain(int(steps))
    with DagsterInstance.from_config(home) as instance:
        done = sum(a_job.execute_in_process(QUIET, instance=instance).success for _ in range(int(runs)))
    print(done)


@dataclass
class Outcome:
    """What came of it."""

    seconds: float
    readings: int
    runs: int
    steps: int
    events: int
    errors: list[str]


def contend(home: Path, processes: int, runs: int, steps: int) -> Outcome:
    """Start the processes, read all the while, and count what is there in the end."""
    command = [sys.executable, __file__, str(home), str(runs), str(steps)]
    began = time.monotonic()
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    readings = 0
    with DagsterInstance.from_config(str(home)) as instance:
        while any(child.poll() is None for child in children):
            for run in instance.get_runs(limit=20):
                instance.get_step_summaries(run.run_id)
                instance.get_records_for_run(run.run_id, limit=5, ascending=False)
            readings += 1
            time.sleep(0.01)
        seconds = time.monotonic() - began
        said = [child.communicate() for child in children]
        errors = [
            err for child, (out, err) in zip(children, said, strict=True) if child.returncode or out != f"{runs}\n"
        ]
        found = instance.get_runs()
        summaries = [instance.get_step_summaries(run.run_id) for run in found]
        events = sum(len(instance.all_logs(run.run_id)) for run in found)
        assert all(run.is_success for run in found)
        assert instance.store.check() == []
    return Outcome(seconds, readings, len(found), sum(map(len, summaries)), events, errors)


if __name__ == "__main__":
    main(*sys.argv[1:])
