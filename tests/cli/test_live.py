"""A run as lines: which words, for what, at which detail; and how the lines look on a stream."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from treadle.cli.live import Detail, Line, LiveLines, Printer, Tone, is_coloured, lay_out
from treadle.definitions.graph import graph
from treadle.definitions.hooks import failure_hook
from treadle.definitions.job import JobDefinition, job
from treadle.definitions.op import op
from treadle.definitions.ports import DynamicOut, Out
from treadle.definitions.resources import resource
from treadle.errors import SerializableErrorInfo
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry, run_event
from treadle.instance import DagsterInstance
from treadle.metadata import MetadataValue
from treadle.outcomes import (
    AssetMaterialization,
    AssetObservation,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Output,
    RetryPolicy,
)
from treadle.payloads import (
    ComputeLogsCaptureData,
    ErrorSource,
    JobFailureData,
    StepFailureData,
    StepRetryData,
    StepSuccessData,
)
from treadle.preparation import Conduct, JobRun, RunOptions, set_up

FOLDER = str(Path(__file__).parent)
T = DagsterEventType


def event(kind: DagsterEventType, key: str | None = None, data: Any = None, message: str | None = None) -> DagsterEvent:
    return run_event(kind, "a_job", data, message=message, step_key=key)


def plan(*keys: str) -> DagsterEvent:
    return event(T.LOGS_CAPTURED, data=ComputeLogsCaptureData("key", list(keys)))


def entry(text: str, level: int = logging.INFO, key: str | None = "load", **given: Any) -> EventLogEntry:
    return EventLogEntry(given.get("error"), level, text, "id", 0.0, key)


def story(lines: list[Line]) -> list[str]:
    """`word step text` of each line, times taken out."""
    texts = [" ".join(filter(None, (line.word, line.step_key, line.text))) for line in lines]
    return [re.sub(r"\b[\d.]+(?:ms|s)\b", "TIME", text) for text in texts]


def play(a_job: JobDefinition, detail: Detail = Detail.NORMAL, run_config: Any = None) -> tuple[list[Line], Line]:
    """The lines of a real run, and its summary."""
    view = LiveLines(detail, folder=FOLDER)
    lines: list[Line] = []
    with DagsterInstance.ephemeral() as instance:
        run = JobRun.begin(set_up(a_job, run_config, RunOptions(instance)), instance, Conduct(is_quiet=True))
        instance.add_event_listener(
            run.setup.run.run_id,
            lambda entry: lines.extend(view.hear(entry)) if entry.dagster_event is None else None,
        )
        for each in run.events():
            lines.extend(view.see(each))
    return lines, view.summary()


def seen(*events: DagsterEvent, detail: Detail = Detail.NORMAL) -> tuple[list[Line], LiveLines]:
    """The lines of events that are made up, at one second each."""
    ticks = count()
    view = LiveLines(detail, clock=lambda: float(next(ticks)), folder=FOLDER)
    return [line for each in events for line in view.see(each)], view


# -- what a run looks like -------------------------------------------------------------------------------------------------


@op
def load(context: Any) -> int:
    context.log.info("12 rows\nof 3 columns")
    context.log.debug("read in one go")
    return 12


@op
def double(rows: int) -> int:
    return rows * 2


@op
def boom(rows: Any) -> int:
    raise ValueError("no such plane")


@op
def below(_rows: Any) -> None:
    pass


@job
def good() -> None:
    double(load())


@job
def bad() -> None:
    rows = load()
    below(boom(rows))
    double(rows)


def test_each_step_is_shown_as_it_starts_and_as_it_ends() -> None:
    lines, summary = play(good)
    assert story(lines) == [
        "start load",
        "info load 12 rows",
        "done load in TIME",
        "start double",
        "done double in TIME",
    ]
    assert story([summary]) == ["Run succeeded: 2 steps done in TIME."]


def test_message_of_several_lines_keeps_them_together() -> None:
    (line,) = [line for line in play(good)[0] if line.word == "info"]
    assert (line.text, line.below) == ("12 rows", ("of 3 columns",))


def test_failure_is_shown_with_the_users_frames_and_what_was_not_run() -> None:
    lines, summary = play(bad)
    assert story(lines)[3:] == [
        "start boom",
        "FAILED boom after TIME",
        "not run below needs boom",
        "start double",
        "done double in TIME",
    ]
    (failed,) = [line for line in lines if line.word == "FAILED"]
    assert failed.below[0] == "ValueError: no such plane"
    assert failed.below[1].startswith('  File "test_live.py", line ')
    assert failed.below[2] == '    raise ValueError("no such plane")'
    assert story([summary]) == ["Run failed after TIME: boom failed, 2 done, 1 not run."]


def test_quiet_shows_only_what_goes_wrong_and_the_summary() -> None:
    assert play(good, Detail.QUIET)[0] == []
    assert story(play(bad, Detail.QUIET)[0]) == ["FAILED boom after TIME"]


def test_verbose_shows_every_event() -> None:
    lines, _ = play(good, Detail.VERBOSE)
    assert [line.word for line in lines] == [
        *("engine", "resource", "resource", "start", "info", "debug", "output", "handled", "done"),
        *("start", "loaded", "input", "output", "handled", "done", "engine"),
    ]


def test_retry_is_shown_with_wait_reason_and_place() -> None:
    tries = iter([OSError("share is away"), OSError("share is away")])

    @op(retry_policy=RetryPolicy(max_retries=2))
    def fetch() -> None:
        for error in tries:
            raise error

    @job
    def fetching() -> None:
        fetch()

    lines, summary = play(fetching)
    told = [re.sub(r"\.py:\d+", ".py:N", text) for text in story(lines)]
    assert told == [
        "start fetch",
        "retry fetch at once, after OSError: share is away (test_live.py:N)",
        "again fetch attempt 2",
        "retry fetch at once, after OSError: share is away (test_live.py:N)",
        "again fetch attempt 3",
        "done fetch in TIME, at attempt 3",
    ]
    assert story([summary]) == ["Run succeeded: 1 step done in TIME, 2 retries."]


def test_failure_after_all_retries_tells_the_last_error_once() -> None:
    @op(retry_policy=RetryPolicy(max_retries=1))
    def fetch() -> None:
        raise OSError("share is away")

    @job
    def fetching() -> None:
        fetch()

    failed = play(fetching)[0][-1]
    assert story([failed]) == ["FAILED fetch after TIME, in 2 attempts"]
    assert [line for line in failed.below if "OSError" in line] == [
        "OSError: share is away",
        '    raise OSError("share is away")',
    ]


def test_wait_before_a_retry_is_shown_in_seconds() -> None:
    lines, _ = seen(event(T.STEP_UP_FOR_RETRY, "fetch", StepRetryData(None, 1.5)))
    assert story(lines) == ["retry fetch in 1.5 s"]


def test_skipped_step_says_why() -> None:
    @op(out={"big": Out(is_required=False), "small": Out(is_required=False)})
    def split() -> Iterator[Output[int]]:
        yield Output(1, "big")

    @job
    def splitting() -> None:
        outputs = split()
        below(outputs.small)
        below.alias("taken")(outputs.big)

    lines, summary = play(splitting)
    assert "skipped below an output that it needs was not produced" in story(lines)
    assert story([summary]) == ["Run succeeded: 2 steps done in TIME, 1 skipped."]


def test_materialization_is_shown_with_its_paths_and_addresses() -> None:
    @op
    def report(context: Any) -> None:
        here = MetadataValue.path(f"{FOLDER}/out/report.md")
        page = MetadataValue.url("https://example.org/report")
        context.log_event(AssetMaterialization(["flights", "report"], "Delays.", {"rows": 3, "path": here}))
        context.log_event(AssetMaterialization("page", metadata={"file": MetadataValue.path("/tmp/x"), "page": page}))
        context.log_event(AssetMaterialization("table"))
        context.log_event(AssetObservation("table", metadata={"rows": 3}))

    @job
    def reporting() -> None:
        report()

    lines, _ = play(reporting)
    assert story(lines)[1:4] == [
        "made report flights/report  out/report.md",
        "made report page  file: /tmp/x  page: https://example.org/report",
        "made report table",
    ]
    verbose = [line for line in play(reporting, Detail.VERBOSE)[0] if line.word in ("made", "observed")]
    assert verbose[0].below == ("Delays.", "  rows: 3")
    assert (verbose[-1].word, verbose[-1].below) == ("observed", ("  rows: 3",))


def test_failed_expectation_is_shown_and_a_passed_one_where_everything_is() -> None:
    @op
    def check(context: Any) -> None:
        context.log_event(ExpectationResult(True, "rows", "336,776"))
        context.log_event(ExpectationResult(False, "wind", "1,048 mph"))
        context.log_event(ExpectationResult(False))

    @job
    def checking() -> None:
        check()

    assert story(play(checking)[0])[1:3] == ["check check wind: FAILED, 1,048 mph", "check check expectation: FAILED"]
    assert "check check rows: passed, 336,776" in story(play(checking, Detail.VERBOSE)[0])


def test_failure_of_the_users_own_shows_its_metadata_below_its_description() -> None:
    @op
    def check() -> None:
        table = "| a |\n| - |"
        raise Failure("Two checks failed", {"failed": ["wind", "rows"], "table": MetadataValue.md(table)})

    @job
    def checking() -> None:
        check()

    failed = play(checking)[0][-1]
    assert failed.below[:5] == (
        "Failure: Two checks failed",
        "  failed: ['wind', 'rows']",
        "  table:",
        "    | a |",
        "    | - |",
    )
    assert failed.below[5].startswith('  File "test_live.py"')


def test_hook_that_fails_is_shown_with_its_error() -> None:
    @failure_hook
    def page_somebody(context: Any) -> None:
        raise ConnectionError("pager is off")

    @job(hooks={page_somebody})
    def paging() -> None:
        boom(load())

    (line,) = [line for line in play(paging, Detail.QUIET)[0] if line.word == "hook"]
    assert (line.step_key, line.text) == ("boom", 'Hook "page_somebody" failed.')
    assert line.below[0] == "ConnectionError: pager is off"


def test_resource_that_cannot_start_is_told_once() -> None:
    @resource
    def database() -> None:
        raise ConnectionError("no route")

    @op(required_resource_keys={"database"})
    def query() -> None:
        pass

    @job(resource_defs={"database": database})
    def querying() -> None:
        query()

    lines, summary = play(querying, Detail.QUIET)
    assert [line.word for line in lines] == ["error"]
    assert lines[0].text.startswith("Initialization of resources [database")
    assert "ConnectionError: no route" in lines[0].below
    assert story([summary]) == ["Run failed after TIME."]


def test_resource_that_cannot_be_closed_is_told() -> None:
    @resource
    def database() -> Iterator[int]:
        yield 1
        raise ConnectionError("already gone")

    @op(required_resource_keys={"database"})
    def query() -> None:
        pass

    @job(resource_defs={"database": database})
    def querying() -> None:
        query()

    line = play(querying)[0][-1]
    assert (line.word, line.tone) == ("error", Tone.BAD)
    assert "ConnectionError: already gone" in line.below


def test_branches_are_told_by_their_keys_and_count_as_not_run_before_there_are_any() -> None:
    @op(out=DynamicOut())
    def split() -> Iterator[DynamicOutput[int]]:
        yield DynamicOutput(1, "EWR")
        yield DynamicOutput(2, "JFK")

    @graph
    def branch(rows: Any) -> Any:
        return double(rows)

    @job
    def splitting() -> None:
        below(split().map(branch).collect())

    lines, summary = play(splitting)
    assert "done branch.double[JFK] in TIME" in story(lines)
    assert story([summary]) == ["Run succeeded: 4 steps done in TIME."]
    view = seen(plan("split", "double[?]", "below"), event(T.STEP_START, "split"))[1]
    assert "2 not run" in view.summary().text
    view = seen(plan("split", "double[?]", "below"), event(T.STEP_START, "double[EWR]"))[1]
    assert "2 not run" in view.summary().text


# -- parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "word", "tone", "detail"),
    [
        (logging.DEBUG, "debug", Tone.PLAIN, Detail.VERBOSE),
        (logging.INFO, "info", Tone.PLAIN, Detail.NORMAL),
        (25, "level 25", Tone.PLAIN, Detail.NORMAL),
        (logging.WARNING, "warning", Tone.ODD, Detail.NORMAL),
        (logging.ERROR, "error", Tone.BAD, Detail.QUIET),
        (logging.CRITICAL, "critical", Tone.BAD, Detail.QUIET),
    ],
)
def test_message_is_shown_by_its_level(level: int, word: str, tone: Tone, detail: Detail) -> None:
    (line,) = LiveLines(Detail.VERBOSE).hear(entry("text", level))
    assert line == Line(word, "load", "text", tone, (), detail)
    if detail > Detail.QUIET:
        assert list(LiveLines(Detail(detail - 1)).hear(entry("text", level))) == []


def test_message_with_an_exception_shows_it() -> None:
    error = SerializableErrorInfo("ValueError: no\n", cls_name="ValueError")
    (line,) = LiveLines().hear(entry("caught", logging.ERROR, error=error))
    assert line.below == ("ValueError: no",)


def test_empty_message_is_a_line() -> None:
    (line,) = LiveLines().hear(entry("", key=None))
    assert (line.word, line.text) == ("info", "")


def test_step_that_needs_several_failed_steps_names_them() -> None:
    text = "Dependencies for step c failed: ['a', 'b[k]']. Not executing."
    (line,) = LiveLines().hear(entry(text, logging.ERROR, "c"))
    assert (line.word, line.step_key, line.text) == ("not run", "c", "needs a, b[k]")


def test_step_that_waits_for_slots_says_for_which_and_who_has_them() -> None:
    text = 'Step train[x] waits for 2 of the 2 slots "gpu": step a of run 5a0f has 1 "gpu"; and 3 more.'
    (line,) = LiveLines().hear(entry(text, logging.INFO, "train[x]"))
    assert (line.word, line.step_key) == ("waits", "train[x]")
    assert line.text == 'for 2 of the 2 slots "gpu": step a of run 5a0f has 1 "gpu"; and 3 more.'
    (line,) = LiveLines().hear(entry("Step aside: who waits for slots of machines is late", logging.INFO, "a"))
    assert line.word == "info"


def test_interrupted_step_is_told_without_a_traceback_and_the_run_as_interrupted() -> None:
    error = SerializableErrorInfo("KeyboardInterrupt\n", ['  File "/x/y.py", line 1, in f\n'], "KeyboardInterrupt")
    lines, view = seen(
        plan("load", "save"),
        event(T.STEP_START, "load"),
        event(T.STEP_FAILURE, "load", StepFailureData(error, None, ErrorSource.INTERRUPT)),
        event(T.RUN_FAILURE, data=JobFailureData(error)),
    )
    assert [(line.word, line.below) for line in lines] == [("start", ()), ("FAILED", ())]
    assert lines[-1].text.endswith(": interrupted")
    assert view.is_interrupted
    assert story([view.summary()]) == ["Run was interrupted after TIME: 1 not run."]


def test_run_that_fails_for_a_reason_of_its_own_tells_it() -> None:
    error = SerializableErrorInfo("RuntimeError: the disk is gone\n", cls_name="RuntimeError")
    lines, view = seen(event(T.RUN_FAILURE, data=JobFailureData(error), message="Execution failed."))
    assert story(lines) == ["error Execution failed."]
    assert lines[0].below == ("RuntimeError: the disk is gone",)
    assert view.success is False


def test_many_failed_steps_are_cut_short_in_the_summary() -> None:
    failures = [event(T.STEP_FAILURE, f"s{number}", StepFailureData()) for number in range(7)]
    view = seen(*failures, event(T.RUN_FAILURE, data=JobFailureData()))[1]
    assert "s0, s1, s2, s3, s4 and 2 more failed" in view.summary().text


def test_step_keys_have_as_much_room_as_the_plan_needs() -> None:
    assert seen(plan("a", "load_tables"))[1].width == len("load_tables")
    assert seen(plan("measure[?]"))[1].width == len("measure[EWR]")
    assert seen(plan("a" * 100))[1].width == 40


# -- on a stream ---------------------------------------------------------------------------------------------------------------


def printed(*lines: Line, make: Callable[[], Any] = io.StringIO, **options: Any) -> str:
    stream = make()
    view = LiveLines(clock=lambda: 0.0)
    view.width = 6
    Printer(stream, **options).show(lines, view)
    return str(stream.getvalue())


def test_line_has_columns_for_time_word_step_and_text() -> None:
    text = printed(
        Line("start", "load", tone=Tone.FAINT),
        Line("info", "load", "12 rows", below=("and more", "")),
        Line("error", "", "no step"),
        Line("", "", "Run succeeded.", Tone.GOOD),
    )
    assert text == (
        "    0.00s  start     load\n"
        "    0.00s  info      load    12 rows\n"
        "           and more\n"
        "\n"
        "    0.00s  error     no step\n"
        "Run succeeded.\n"
    )


def test_colour_marks_the_word_alone_and_only_where_it_is_wanted() -> None:
    line = Line("done", "load", "in 3ms", Tone.GOOD)
    assert printed(line, has_colour=True) == "    0.00s  \x1b[32mdone    \x1b[0m  load    in 3ms\n"
    assert "\x1b" not in printed(line)
    assert list(lay_out(Line("info", "load"), 0.0, 4)) == ["    0.00s  info      load"]


def test_escape_codes_of_users_texts_do_not_reach_a_pipe() -> None:
    assert printed(Line("info", "load", "\x1b[31mred\x1b[0m")).endswith("load    red\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_is_coloured_unless_the_user_asked_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_coloured(Terminal())
    assert not is_coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not is_coloured(Terminal())


def test_process_without_a_console_prints_nothing() -> None:
    Printer(None).write("text")


def test_broken_stream_is_given_up_and_the_run_goes_on() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        printer = Printer(stream)
        printer.write("one")
        printer.write("two")
        # what user code prints there, too
        stream.write("three")


def test_duration_of_a_success_is_the_one_that_was_measured() -> None:
    lines, _ = seen(event(T.STEP_SUCCESS, "load", StepSuccessData(1234.5)))
    assert lines[0].text == "in 1.23s"
