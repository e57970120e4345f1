"""Exit codes of the command line, and the error that ends a command with one.

Every command ends through `main` of the package; a command that cannot go on raises `Refusal`.
What a user did wrong is told without a traceback.
"""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any

import click


class Exit(IntEnum):
    """What the exit code of a command means."""

    SUCCESS = 0
    RUN_FAILED = 1
    #: of the command line, or of the run config
    MISUSED = 2
    #: the job's definition could not be loaded
    NOT_LOADED = 3
    #: by Ctrl-C, as shells have it
    INTERRUPTED = 130


class Refusal(click.ClickException):
    """A command cannot do what it was asked to; the message says why, and is printed to stderr."""

    def __init__(self, exit_code: Exit, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance, as its own errors have it

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message."""
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.format_message()}", file=file, err=True)
