"""The command line, one module a command, imported when called.

`main` is what the `treadle` program and `python -m treadle` call. What a command prints is its own business; how it
ends, and what a wrong call gets to read, is decided here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code (see `exits.Exit`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # Whatever a user's data holds can be printed, whatever the terminal's encoding is.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(given)
    except KeyboardInterrupt:  # before click, which makes an Abort of it
        return 130


def _run(given: list[str]) -> int:
    import click  # not by whoever imports this package

    from treadle.cli.commands import treadle
    from treadle.cli.exits import Exit

    try:
        ended = treadle.main(given, prog_name="treadle", standalone_mode=False)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Exception as error:
        from treadle.errors import DagsterEventLogInvalidForRun, StoreError  # no command needs them to begin

        if not isinstance(error, (StoreError, DagsterEventLogInvalidForRun)):
            raise
        click.echo(f"Error: {error}", err=True)  # where a command has nothing of its own to say of it
        return Exit.MISUSED
    return ended if isinstance(ended, int) else Exit.SUCCESS
