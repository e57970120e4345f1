"""`treadle logs`: what the steps of a run have written to stdout and stderr.

The log of the run names the files; here they are only copied out.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.resume import find_run
from treadle.cli.run import open_instance
from treadle.executors.capture import FOLDER, files_by_step
from treadle.instance import DagsterInstance
from treadle.names import nearest


@click.command("logs")
@click.argument("run_id")
@click.argument("step_key", required=False)
@click.option("--stdout", "only", flag_value="out", help="Only what went to stdout.")
@click.option("--stderr", "only", flag_value="err", help="Only what went to stderr.")
def command(run_id: str, step_key: str | None, only: str | None) -> int:
    """Print what the steps of a run have written, byte by byte, with a line before each; or what one step has.

    Of a step that was tried several times it is all attempts. Steps that run in process, one after another, write to the terminal alone.
    RUN_ID may be cut short.
    """
    with open_instance() as instance:
        found = find_run(instance, run_id)
        files = _files(instance, found)
        if step_key is not None and step_key not in files:
            known = [step.step_key for step in instance.store.steps(found)]
            if step_key not in known:
                hint = nearest(step_key, known)
                raise Refusal(Exit.MISUSED, f'The run {found} has no step "{step_key}".{hint}')
            click.echo(f'Nothing that step "{step_key}" has written is kept.', err=True)
            return Exit.SUCCESS
        for key in [step_key] if step_key is not None else list(files):
            _print(key, files[key], only, is_named=step_key is None)
    return Exit.SUCCESS


def _files(instance: DagsterInstance, run_id: str) -> dict[str, list[tuple[Path, Path]]]:
    folder = Path(instance.storage_directory(), run_id, FOLDER)
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event is not None]
    return files_by_step(folder, events)


def _print(key: str, attempts: list[tuple[Path, Path]], only: str | None, *, is_named: bool) -> None:
    for attempt in attempts:
        for path, name, stream in zip(attempt, ("out", "err"), (sys.stdout, sys.stderr), strict=True):
            if only not in (None, name) or not path.is_file() or not path.stat().st_size:
                continue
            if is_named:
                click.echo(f"-- {key} ({'stdout' if name == 'out' else 'stderr'})", err=name == "err")
            stream.flush()
            with path.open("rb") as file:
                shutil.copyfileobj(file, stream.buffer)
            stream.flush()
