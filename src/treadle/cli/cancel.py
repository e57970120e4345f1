"""`treadle cancel`: ask for the end of a run that another process drives.

It marks the run in the store; the run's own process sees that, ends what is under way, and says how.
"""

from __future__ import annotations

import time

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.resume import find_run
from treadle.cli.run import open_instance
from treadle.instance import DagsterInstance
from treadle.runs import DagsterRunStatus


@click.command("cancel", epilog="Exit codes: 0 the run has ended; 1 it has not yet; 2 there is nothing to cancel.")
@click.argument("run_id")
@click.option(
    "--wait", default=30.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait until the run has ended."
)
def command(run_id: str, wait: float) -> int:
    """Cancel a run that another process drives: what is under way is interrupted, and killed where it does not end.

    RUN_ID may be cut short, as long as only one run begins with it. A run whose process has died is marked as canceled.
    """
    with open_instance() as instance:
        found = find_run(instance, run_id)
        run = instance.get_run_by_id(found)
        assert run is not None
        if run.is_finished:
            raise Refusal(Exit.MISUSED, f"The run {found} has ended: it stands at {run.status.value}.")
        if instance.is_interrupted(found) or instance.store.lease(found) is None:
            instance.report_run_canceled(run, "The run was canceled after its process had died.")
            click.echo(f"{run.job_name} (run {found}) is canceled; its process had died before.")
            return Exit.SUCCESS
        if run.status is not DagsterRunStatus.CANCELING:
            instance.report_run_canceling(run)
        return _wait_for_end(instance, found, wait)


def _wait_for_end(instance: DagsterInstance, run_id: str, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while True:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            ended = run.status.value if run is not None else "deleted"
            click.echo(f"The run {run_id} has ended: {ended}.")
            return Exit.SUCCESS
        if time.monotonic() >= deadline:
            click.echo(f"The run {run_id} was asked to end, and has not ended yet. `treadle runs` shows how it stands.")
            return Exit.RUN_FAILED
        time.sleep(0.05)
