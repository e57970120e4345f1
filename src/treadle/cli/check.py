"""`treadle check`: read the store and the stored values through, and tell what is damaged.

It changes nothing; each line that it prints says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePath, PurePosixPath

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.run import open_instance
from treadle.definitions import remote
from treadle.definitions.artifacts import verify_artifact
from treadle.errors import DagsterInvariantViolationError, StoreError


@click.command("check", epilog="Exit codes: 0 all is sound, 1 something is damaged.")
def command() -> int:
    """Look for damage in the store and in stored values."""
    with open_instance() as instance:
        try:
            problems = instance.store.check()
            known = set(instance.get_run_ids())
        except StoreError as error:
            raise Refusal(Exit.RUN_FAILED, str(error)) from error
        values = 0
        for run_id in sorted(known):
            for path in sorted(Path(instance.storage_directory(), run_id).rglob("*")):
                if path.is_file() and _is_artifact(path):
                    values += 1
                    problems += _verify(partial(verify_artifact, path))
            if isinstance(instance.settings.artifacts_dir, str):
                for file in _find_far(instance.settings.artifacts_dir, run_id, problems):
                    values += 1
                    problems += _verify(partial(remote.verify, file))
    for problem in problems:
        click.echo(problem)
    runs = f"{len(known)} run{'' if len(known) == 1 else 's'}"
    click.echo(f"{runs} and {values} stored values read: {len(problems) or 'nothing'} damaged.")
    return Exit.RUN_FAILED if problems else Exit.SUCCESS


def _verify(read: Callable[[], None]) -> list[str]:
    try:
        read()
    except (DagsterInvariantViolationError, OSError) as error:
        return [str(error)]
    return []


def _find_far(url: str, run_id: str, problems: list[str]) -> list[remote.RemoteFile]:
    try:
        found = remote.files_below(remote.find(url, run_id))
    except Exception as error:  # noqa: BLE001 - whatever a store raises is told
        problems.append(f"The values of run {run_id} at {url} could not be looked at: {error}")
        return []
    return [each for each in found if _is_artifact(PurePosixPath(each.path))]


def _is_artifact(path: PurePath) -> bool:
    """True for a file that the filesystem IO manager has written, or what is left of it; not for a user's own files."""
    return not path.name.startswith(".") and "." not in path.name and path.parent.name != "compute_logs"
