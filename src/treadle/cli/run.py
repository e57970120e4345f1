"""`treadle run`: load a job, run it in this process on the instance of this place, show it while it runs.

Config files and settings are read first, then the job is loaded, then everything is checked, and only then does it run.
Each way in which that can go wrong has its exit code and is told without a traceback of ours.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.live import Detail, LiveLines, Printer
from treadle.cli.tracebacks import tell_error
from treadle.config_files import ConfigFileError, PlacedConfig, merge_all, read_file, read_setting
from treadle.errors import (
    CheckError,
    DagsterCodeNotFoundError,
    DagsterError,
    DagsterImportError,
    DagsterInvalidConfigError,
    DagsterRunAlreadyExists,
    DagsterUserCodeExecutionError,
    RunOwnedError,
    StoreError,
    error_info,
)
from treadle.events import DagsterEvent, EventLogEntry
from treadle.instance import DagsterInstance
from treadle.preparation import Conduct, JobRun, RunOptions, Setup, set_up_stored
from treadle.recipes import ReconstructableJob, recipe_for
from treadle.resumption import check_same, prepare
from treadle.runs import DagsterRun, check_run_id

_EPILOG = "Exit codes: 0 success, 1 the run failed, 2 usage or config error, 3 the job could not be loaded."


@click.command("run", epilog=_EPILOG)
@click.argument("target", metavar="FILE_OR_MODULE[:JOB]")
@click.option("-c", "--config", "files", multiple=True, metavar="FILE", help="YAML run config; - is standard input.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="One value of the run config: ops.load.config.rows=3.",
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag for the run.")
@click.option("--run-id", metavar="UUID", help="The id of the run; with one that is there already nothing runs twice.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what goes wrong, and how the run ends.")
@click.option("-v", "--verbose", is_flag=True, help="Show every event, debug messages and all of a traceback.")
def command(target: str, files: Sequence[str], settings: Sequence[str], tags: Sequence[str], **more: Any) -> int:
    """Run a job, and show it while it runs.

    FILE_OR_MODULE is a Python file or a module; JOB is a job in it, and may be left out where there is only one.
    Of several -c files the later one wins, value by value; --set comes last.
    """
    detail = read_detail(more["quiet"], more["verbose"])
    options = RunOptions(tags=read_tags(tags), run_id=read_run_id(more["run_id"]))
    config = read_config(files, settings)
    return run_job(load(target), config, options, detail)


# -- what is given ------------------------------------------------------------------------------------------------------


def read_detail(is_quiet: bool, is_verbose: bool) -> Detail:
    """How much is shown, by -q and -v."""
    if is_quiet and is_verbose:
        raise click.UsageError("--quiet and --verbose cannot be used together.")
    return Detail.QUIET if is_quiet else Detail.VERBOSE if is_verbose else Detail.NORMAL


def read_tags(texts: Sequence[str]) -> dict[str, str]:
    """`team=ops` as a tag."""
    tags = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--tag {text}: expected KEY=VALUE, such as --tag team=ops.")
        tags[key] = value
    return tags


def read_run_id(text: str | None) -> str | None:
    """The id that a user wants for the run."""
    try:
        return None if text is None else check_run_id(text)
    except CheckError as error:
        raise click.UsageError(f"--run-id {text}: {error}") from error


def read_config(files: Sequence[str], settings: Sequence[str]) -> PlacedConfig:
    """The files and settings as one config."""
    try:
        return merge_all([*map(read_file, files), *map(read_setting, settings)])
    except ConfigFileError as error:
        raise Refusal(Exit.MISUSED, str(error)) from error


def load(target: str) -> ReconstructableJob:
    """How the job is made, or a refusal that says why there is none; for an exception in it, with the user's own frames."""
    try:
        recipe = recipe_for(target)
        recipe.get_definition()
    except (DagsterCodeNotFoundError, DagsterImportError) as error:
        raise Refusal(Exit.NOT_LOADED, "\n".join([str(error), *frames_of(error.__cause__)])) from error
    except (DagsterError, CheckError) as error:
        raise Refusal(Exit.NOT_LOADED, f'"{target}" cannot be made a job. {error}') from error
    return recipe


def frames_of(error: BaseException | None) -> list[str]:
    """Where in the user's code an exception came from, and what caused it; its message was told already."""
    if error is None:
        return []
    info = error_info(error)
    message = len(info.message.rstrip("\n").splitlines())
    frames = tell_error(info, folder=str(Path.cwd()))[message:]
    return ["imported by", *frames] if frames and isinstance(error, SyntaxError) else frames


# -- the run ------------------------------------------------------------------------------------------------------------


def run_job(job: ReconstructableJob, config: PlacedConfig, options: RunOptions, detail: Detail) -> int:
    """Run a job on the instance of this place, and print its lines; gives the exit code."""
    with open_instance() as instance:
        try:
            setup = set_up_stored(job, config.value or None, options._replace(instance=instance))
            known = instance.get_run_by_id(setup.run.run_id)
            if known is not None:
                return show_known(known, setup, instance, detail)
            # These lines stand in for the console logger; loggers that config asks for have their say.
            run = JobRun.begin(setup, instance, Conduct(is_quiet=True, cancels_at_interrupt=True))
        except DagsterInvalidConfigError as error:
            raise Refusal(Exit.MISUSED, tell_config_error(error, config)) from error
        except DagsterUserCodeExecutionError as error:
            raise Refusal(Exit.MISUSED, "\n".join(tell_error(error_info(error), folder=str(Path.cwd())))) from error
        except (StoreError, RunOwnedError, DagsterRunAlreadyExists) as error:
            raise Refusal(Exit.MISUSED, str(error)) from error
        except (DagsterError, CheckError) as error:
            raise Refusal(Exit.NOT_LOADED, str(error)) from error
        return show_run(run, detail, f"Running {setup.job.name} (run {setup.run.run_id})")


def show_known(run: DagsterRun, setup: Setup, instance: DagsterInstance, detail: Detail) -> int:
    """The run has been begun before, under the same id: show how it ended, or go on with it."""
    check_same(run, setup.job, setup.config)
    if not run.is_finished:
        resumption = prepare(run.run_id, instance, Conduct(is_quiet=True, cancels_at_interrupt=True))
        headline = f"Resuming {run.job_name} (run {run.run_id})"
        return show_run(resumption.run, detail, headline, resumption.before)
    view = LiveLines(detail)
    for entry in instance.all_logs(run.run_id):
        if entry.dagster_event is not None:
            view.see(entry.dagster_event)
    printer = Printer(sys.stdout)
    if detail is not Detail.QUIET:
        printer.write(f"{run.job_name} (run {run.run_id}) was run before; nothing is run again")
    printer.show([view.summary()], view)
    return Exit.SUCCESS if run.is_success else Exit.RUN_FAILED


@contextlib.contextmanager
def open_instance() -> Iterator[DagsterInstance]:
    """The instance of this place, or a refusal that says why it cannot be opened or read."""
    try:
        opened = DagsterInstance.get()
    except DagsterError as error:
        raise Refusal(Exit.MISUSED, str(error)) from error
    try:
        with opened as instance:
            yield instance
    except StoreError as error:
        raise Refusal(Exit.MISUSED, str(error)) from error


def show_run(run: JobRun, detail: Detail, headline: str, before: Sequence[DagsterEvent] = ()) -> int:
    """Drive a run and print its lines; gives the exit code. What happened `before` is counted, and not printed again."""
    view = LiveLines(detail)
    for event in before:
        view.see(event)
    printer = Printer(sys.stdout)

    def hear(entry: EventLogEntry) -> None:
        if entry.dagster_event is None:
            printer.show(view.hear(entry), view)

    run.instance.add_event_listener(run.setup.run.run_id, hear)
    if detail is not Detail.QUIET:
        printer.write(headline)
    events = run.events()
    try:
        for event in events:
            printer.show(view.see(event), view)
    except KeyboardInterrupt:
        # Between two events, so that no step has told of it: closing ends the run and logs how.
        view.is_interrupted = True
        events.close()  # type: ignore[attr-defined]
    except StoreError as error:
        raise Refusal(
            Exit.RUN_FAILED, f"{error}\nTo go on with the run: treadle resume {run.setup.run.run_id}"
        ) from error
    printer.show([view.summary()], view)
    if view.is_interrupted:
        return Exit.INTERRUPTED
    return Exit.SUCCESS if view.success else Exit.RUN_FAILED


def tell_config_error(error: DagsterInvalidConfigError, config: PlacedConfig) -> str:
    """Every mistake, each with the file and line where it is."""
    count = len(error.errors)
    where = error.preamble.removeprefix("Error in ")
    lines = [f"{where}: {count} {'mistake' if count == 1 else 'mistakes'}; nothing was run."]
    is_about_job = where.startswith("config for job")
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
    for number, mistake in enumerate(error.errors, start=1):
        place = _place_of(mistake, config) if is_about_job else None
        indent = f"{number:3}. "
        texts = [*([place] if place else []), *str(mistake.message).splitlines()]
        for text in texts:
            lines.append(_wrap(text, indent, width))
            indent = "     "
    if not config.value:
        lines.append("Give config with -c FILE, or value by value with --set PATH=VALUE.")
    return "\n".join(lines)


def _place_of(mistake: Any, config: PlacedConfig) -> str | None:
    """File and line of a mistake; of an entry that should not be there, its own line."""
    way = mistake.stack.levels
    names = mistake.error_data.field_names
    return config.line_of([*way, str(names[0])] if names else way)


def _wrap(text: str, indent: str, width: int) -> str:
    """On a terminal, lines broken between words; elsewhere one line, as programs like it."""
    if width < 40:
        return indent + text
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )
