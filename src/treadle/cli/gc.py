"""`treadle gc`: delete finished runs by the rules of retention, and the values that no run needs any more.

`treadle check`, beside it, only looks. What is deleted is the store's and the artifacts' business.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.run import open_instance
from treadle.definitions import remote
from treadle.definitions.artifacts import collect_artifacts, sweep
from treadle.errors import StoreError
from treadle.executors.custodian import clear_dead
from treadle.instance import DagsterInstance
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
    that are under way, or can be resumed, are never deleted, nor is a run that another one follows which stays.
    """
    with open_instance() as instance:
        settings = instance.settings
        age = max_age if max_age is not None else settings.max_age
        runs = max_runs if max_runs is not None else settings.max_runs
        far = _find_far(instance)
        try:
            has_runs = instance.get_runs_count() > 0
            done = instance.store.collect(finished_before=None if age is None else time.time() - age, max_runs=runs)
            left = instance.get_runs_count()
            freed = _collect_values(instance, done.runs_deleted) if has_runs else 0
            ended = [run.run_id for run in instance.get_runs() if run.is_finished] if far is not None else []
        except StoreError as error:
            raise Refusal(Exit.RUN_FAILED, str(error)) from error
        folder = Path(instance.storage_directory())
        rescued = clear_dead(folder)
        parts = sweep(folder) if folder.is_dir() else 0
        if far is not None:
            more, gone = _collect_far(far, done.runs_deleted, ended)
            freed, parts = freed + more, parts + gone
    click.echo(f"Deleted {_count(len(done.runs_deleted), 'run')}; {left} left.")
    if done.runs_spared:
        click.echo(
            f"{_count(len(done.runs_spared), 'run')} that would be deleted stayed, as later runs take values from them."
        )
    click.echo(f"The store went from {_size(done.bytes_before)} to {_size(done.bytes_after)}.")
    click.echo(f"Values of runs that are gone: {_size(freed)} freed; {_count(parts, 'half-written file')} removed.")
    if rescued:
        click.echo(f"Values of {_count(rescued, 'run')} that died were in memory; they are on disk now.")
    if done.problem is not None:
        click.echo(f"The store was not made smaller: {done.problem}", err=True)
    if not has_runs:
        # A store that was lost and made anew knows of no run: what was kept may be all that is left of them.
        click.echo("The store has no runs; stored values were left alone.")


def _collect_values(instance: DagsterInstance, deleted: Sequence[str]) -> int:
    """Delete what the storage folder holds of runs that are gone; gives the bytes freed.

    A folder that a setting names may be one for several instances, so there only what was deleted now is looked for.
    """
    folder = Path(instance.storage_directory())
    if not isinstance(instance.settings.artifacts_dir, Path):
        return collect_artifacts(folder, instance.get_run_ids)
    doomed = set(deleted)
    return collect_artifacts(folder, lambda: {each.name for each in folder.iterdir()} - doomed)


def _find_far(instance: DagsterInstance) -> remote.RemoteFile | None:
    """Where values are kept at a remote store. That it answers is seen to before any run is deleted whose values are there."""
    url = instance.settings.artifacts_dir
    if not isinstance(url, str):
        return None
    try:
        far = remote.find(url)
        with contextlib.suppress(FileNotFoundError):  # no value yet
            far.fs.ls(far.path)
    except Exception as error:
        raise Refusal(
            Exit.RUN_FAILED, f"Values are kept at {url}, which does not answer, so nothing was deleted: {error}"
        ) from error
    return far


def _collect_far(far: remote.RemoteFile, deleted: Sequence[str], ended: Sequence[str]) -> tuple[int, int]:
    """Delete what the store holds of runs that were deleted now, and what was left half written; gives bytes, and files."""
    try:
        return remote.collect(far, deleted), remote.sweep(far, ended)
    except Exception as error:
        left = f" Values of these runs, which are gone, may be left there: {', '.join(deleted)}." if deleted else ""
        raise Refusal(Exit.RUN_FAILED, f"{far.url} could not be cleared up: {error}.{left}") from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
