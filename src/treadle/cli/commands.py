"""The command `treadle`, and which commands it has.

A command is a module of this package with a `command` in it, imported when it is called: `treadle --version` and
`treadle --help` pay for none of them.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

#: each command's module, with its line in the help
COMMANDS = {
    "run": "Run a job, and show it while it runs.",
    "resume": "Go on with a run whose process died.",
    "cancel": "Cancel a run that another process drives.",
    "logs": "Print what the steps of a run have written.",
    "runs": "List runs, the newest first.",
    "slots": "Show the slots that all runs share, who has them and who waits.",
    "gc": "Delete old runs and values that no run needs.",
    "check": "Look for damage in the store and in stored values.",
}


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"treadle.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, which needs no command to be imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; for an unknown one, what may have been meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = get_close_matches(name, COMMANDS, n=1)
            if near:
                hint = f' Did you mean "{near[0]}"?'
            elif name.endswith(".py") or ".py:" in name:
                hint = f" To run a job write: treadle run {name}"
            else:
                hint = f" Commands: {', '.join(COMMANDS)}."
            ctx.fail(f'There is no command "{name}".{hint}')
        return super().resolve_command(ctx, args)


def print_version(ctx: click.Context, _option: click.Parameter, value: Any) -> None:
    """Print the version, and be done."""
    if value and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()


def version_line() -> str:
    """`treadle 0.1.0`."""
    from importlib.metadata import version

    return f"treadle {version('treadle')}"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Show the version."
)
def treadle() -> None:
    """Run jobs made of typed Python functions."""
