"""`treadle check`: read the store and the stored values through, and tell what is damaged.

It changes nothing; each line that it prints says what to do.
"""

from __future__ import annotations

from pathlib import Path

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.run import open_instance
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
                if not path.is_file() or not _is_artifact(path):
                    continue
                values += 1
                try:
                    verify_artifact(path)
                except (DagsterInvariantViolationError, OSError) as error:
                    problems.append(str(error))
    for problem in problems:
        click.echo(problem)
    runs = f"{len(known)} run{'' if len(known) == 1 else 's'}"
    click.echo(f"{runs} and {values} stored values read: {len(problems) or 'nothing'} damaged.")
    return Exit.RUN_FAILED if problems else Exit.SUCCESS


def _is_artifact(path: Path) -> bool:
    """True for a file that the filesystem IO manager has written, or what is left of it; not for a user's own files."""
    return not path.name.startswith(".") and "." not in path.name and path.parent.name != "compute_logs"
