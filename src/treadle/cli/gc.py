"""`treadle gc`: delete finished runs by the rules of retention, and the values that no run needs any more.

`treadle check`, beside it, only looks. What is deleted is the store's and the artifacts' business.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.run import open_instance
from treadle.definitions.artifacts import collect_artifacts, sweep
from treadle.errors import StoreError
from treadle.settings import read_duration


class Duration(click.ParamType[float]):
    """A duration on the command line: `30 days`, `12h`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return read_duration(value)
        except ValueError as error:
            self.fail(f"expected {error}, got {value!r}.", param, ctx)


@click.command("gc")
@click.option("--max-age", type=Duration(), help='Delete runs that ended longer ago, such as "30 days".')
@click.option("--max-runs", type=click.IntRange(0), help="Delete the oldest finished runs beyond so many.")
def command(max_age: float | None, max_runs: int | None) -> None:
    """Delete old runs and values that no run needs.

    Without options the settings retention.max_age and retention.max_runs hold; where there are none, no run is deleted. Runs
    that are under way, or can be resumed, are never deleted.
    """
    with open_instance() as instance:
        settings = instance.settings
        age = max_age if max_age is not None else settings.max_age
        runs = max_runs if max_runs is not None else settings.max_runs
        try:
            done = instance.store.collect(finished_before=None if age is None else time.time() - age, max_runs=runs)
            kept = set(instance.get_run_ids())
        except StoreError as error:
            raise Refusal(Exit.RUN_FAILED, str(error)) from error
        folder = Path(instance.storage_directory())
        freed = collect_artifacts(folder, kept)
        parts = sweep(folder) if folder.is_dir() else 0
    deleted = len(done.runs_deleted)
    click.echo(f"Deleted {deleted} run{'' if deleted == 1 else 's'}; {len(kept)} left.")
    click.echo(f"The store went from {_size(done.bytes_before)} to {_size(done.bytes_after)}.")
    click.echo(
        f"Values of runs that are gone: {_size(freed)} freed; {parts} half-written file{'' if parts == 1 else 's'} removed."
    )


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
