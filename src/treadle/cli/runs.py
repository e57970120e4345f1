"""`treadle runs`: the runs of the instance of this place, the newest first.

Reads run records and step summaries only, so that it is as quick in a large store as in a small one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import click

from treadle.cli.run import open_instance
from treadle.events import format_duration
from treadle.instance import DagsterInstance
from treadle.records import RunRecord
from treadle.runs import DagsterRunStatus, RunsFilter
from treadle.storage.store import StepState

#: what a run is shown as whose process died
INTERRUPTED = "INTERRUPTED"


@click.command("runs")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many runs.")
@click.option("--job", help="Only runs of this job.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in DagsterRunStatus] + [INTERRUPTED], case_sensitive=False),
    help="Only runs of this status.",
)
def command(limit: int, job: str | None, status: str | None) -> None:
    """List runs, the newest first: id, job, status, steps, start and duration.

    INTERRUPTED is a run whose process has died; `treadle resume` goes on with it.
    """
    with open_instance() as instance:
        rows = [_row(instance, record) for record in _find(instance, limit, job, status)]
        if not rows:
            click.echo(f"No runs on the instance in {instance.root_directory}.")
            return
        header = ("run", "job", "status", "steps", "started", "took")
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, *rows]:
            click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _find(instance: DagsterInstance, limit: int, job: str | None, status: str | None) -> Sequence[RunRecord]:
    if status == INTERRUPTED:
        filters = RunsFilter(job_name=job, statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
        found = instance.get_run_records(filters)
        return [record for record in found if instance.is_interrupted(record.dagster_run.run_id)][:limit]
    statuses = [DagsterRunStatus(status)] if status is not None else ()
    return instance.get_run_records(RunsFilter(job_name=job, statuses=statuses), limit)


def _row(instance: DagsterInstance, record: RunRecord) -> tuple[str, ...]:
    run = record.dagster_run
    status = INTERRUPTED if instance.is_interrupted(run.run_id) else run.status.value
    states = [summary.state for summary in instance.get_step_summaries(run.run_id)]
    steps = f"{states.count(StepState.SUCCESS)} done"
    if StepState.FAILURE in states:
        steps += f", {states.count(StepState.FAILURE)} failed"
    started, took = "", ""
    if record.start_time is not None:
        started = datetime.fromtimestamp(record.start_time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        if record.end_time is not None or status == DagsterRunStatus.STARTED.value:
            took = format_duration(((record.end_time or time.time()) - record.start_time) * 1000)
    return run.run_id, run.job_name, status, steps, started, took
