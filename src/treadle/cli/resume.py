"""`treadle resume`: go on with a run whose process died, and show it as `treadle run` does.

What may be resumed, and where it goes on, is resumption's business.
"""

from __future__ import annotations

import click

from treadle.cli.exits import Exit, Refusal
from treadle.cli.run import frames_of, open_instance, read_detail, show_run
from treadle.errors import (
    CheckError,
    DagsterCodeNotFoundError,
    DagsterError,
    DagsterImportError,
    DagsterInvalidConfigError,
)
from treadle.instance import DagsterInstance
from treadle.preparation import Conduct
from treadle.resumption import Resumption, prepare

_EPILOG = (
    "Exit codes: as of `treadle run`; 2 also where the run cannot be resumed, as it has ended or somebody runs it."
)


@click.command("resume", epilog=_EPILOG)
@click.argument("run_id")
@click.option("--force", is_flag=True, help="Go on although the job is not the one that the run began with.")
@click.option("-q", "--quiet", is_flag=True, help="Show only what goes wrong, and how the run ends.")
@click.option("-v", "--verbose", is_flag=True, help="Show every event, debug messages and all of a traceback.")
def command(run_id: str, force: bool, quiet: bool, verbose: bool) -> int:
    """Go on with a run whose process died, after the last event in its log.

    Steps that have succeeded are not run again. RUN_ID may be cut short, as long as only one run begins with it.
    """
    detail = read_detail(quiet, verbose)
    with open_instance() as instance:
        resumption = take_over(instance, run_id, force)
        run = resumption.run.setup.run
        done = sum(event.is_step_success for event in resumption.before)
        headline = f"Resuming {run.job_name} (run {run.run_id}): {done} step{'' if done == 1 else 's'} done before"
        return show_run(resumption.run, detail, headline, resumption.before)


def find_run(instance: DagsterInstance, text: str) -> str:
    """The id of the run that is meant by an id or the beginning of one."""
    if instance.has_run(text):
        return text
    found = [each for each in instance.get_run_ids() if each.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal(
            Exit.MISUSED,
            f"There is no run {text} on the instance in {instance.root_directory}. `treadle runs` lists the runs.",
        )
    listed = ", ".join(found[:5])
    raise Refusal(Exit.MISUSED, f"{len(found)} runs begin with {text}: {listed}. Give more of the id.")


def take_over(instance: DagsterInstance, text: str, force: bool) -> Resumption:
    """The run that is meant, ready to go on, or a refusal that says why it cannot."""
    try:
        return prepare(
            find_run(instance, text), instance, Conduct(is_quiet=True, cancels_at_interrupt=True), force=force
        )
    except (DagsterCodeNotFoundError, DagsterImportError) as error:
        lines = [
            f"The job of the run cannot be made again. {error}",
            *frames_of(error.__cause__),
            "Put back what has changed; or go on from Python: resume_run(run_id, instance=..., job=...).",
        ]
        raise Refusal(Exit.NOT_LOADED, "\n".join(lines)) from error
    except DagsterInvalidConfigError as error:
        raise Refusal(Exit.MISUSED, str(error)) from error
    except (DagsterError, CheckError) as error:
        raise Refusal(Exit.MISUSED, str(error)) from error
