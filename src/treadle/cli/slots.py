"""`treadle slots`: the slots that all runs of the home share, who has them, and who waits for them.

Reads what runs have claimed; what a run has that died is not among it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from treadle.cli.run import open_instance
from treadle.events import format_duration
from treadle.instance import DagsterInstance
from treadle.storage.store import SlotClaim, SlotUse


@click.command("slots")
def command() -> None:
    """Show the slots that all runs share, who has them and who waits, the next one first.

    Limits are set by [slots] in treadle.toml; what a step takes its op says: @op(slots={"gpu": 2}).
    """
    with open_instance() as instance:
        uses = instance.get_slots()
        if not uses:
            click.echo(f"The home {instance.root_directory} has no slots: say how many in [slots] of its treadle.toml.")
            return
        names = _jobs(instance, uses)
    header = ("slot", "limit", "taken", "waiting", "said by")
    rows = [header, *(_row(use) for use in uses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for number, row in enumerate(rows):
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        if number:
            for line in _claims(uses[number - 1], names):
                click.echo(line)


def _row(use: SlotUse) -> tuple[str, ...]:
    limit = "" if use.limit is None else str(use.limit)
    return use.name, limit, str(use.taken), str(sum(claim.slots[use.name] for claim in use.waiting)), use.origin


def _claims(use: SlotUse, jobs: dict[str, str]) -> Iterator[str]:
    now = time.time()
    for claim in (*use.holders, *use.waiting):
        since = claim.asked if claim.granted is None else claim.granted
        word = "waits" if claim.granted is None else "has"
        took = format_duration(max(now - since, 0.0) * 1000)
        yield f"  {word:<5}  {claim.slots[use.name]}  {claim.step_key}  {jobs[claim.run_id]} (run {claim.run_id})  {took}"


def _jobs(instance: DagsterInstance, uses: list[SlotUse]) -> dict[str, str]:
    """The job of each run that is among the claims."""
    claims: list[SlotClaim] = [claim for use in uses for claim in (*use.holders, *use.waiting)]
    found = {}
    for run_id in {claim.run_id for claim in claims}:
        run = instance.get_run_by_id(run_id)
        found[run_id] = "" if run is None else run.job_name
    return found
