"""A run as lines on a screen, while it runs: a fold over its events.

`LiveLines` takes events and messages in the order in which they happen and gives lines; `Printer` puts lines on a
stream. The lines are plain text that is right in a pipe; colour only marks the word that says what happened.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, NamedTuple

import click

from treadle.cli import tracebacks
from treadle.errors import SerializableErrorInfo
from treadle.events import DagsterEvent, DagsterEventType, EventLogEntry, format_duration
from treadle.metadata import (
    MarkdownMetadataValue,
    NotebookMetadataValue,
    PathMetadataValue,
    TableMetadataValue,
    UrlMetadataValue,
)
from treadle.names import split_step_key
from treadle.payloads import ComputeLogsCaptureData, ErrorSource, StepFailureData

_T = DagsterEventType


class Detail(IntEnum):
    """How much is shown."""

    #: what goes wrong, and how the run ends
    QUIET = 0
    NORMAL = 1
    #: every event, every level of messages, every frame
    VERBOSE = 2


class Tone(IntEnum):
    """How a line is meant; on a terminal its word has a colour."""

    PLAIN = 0
    FAINT = 1
    GOOD = 2
    ODD = 3
    BAD = 4


class Line(NamedTuple):
    """What is shown of one thing that happened: a word, which step, and a text; more lines below it."""

    word: str
    step_key: str = ""
    text: str = ""
    tone: Tone = Tone.PLAIN
    below: tuple[str, ...] = ()
    #: the least detail at which the line is shown
    detail: Detail = Detail.NORMAL


#: how the engine says that a step will not run
_DEPENDENCIES_FAILED = re.compile(r"Dependencies for step .* failed: \[(.*)\]\. Not executing\.")

#: how the engine says that a step waits for slots that other runs have
_WAITS = re.compile(r"Step .*? waits for (.* slots .*: .* of run .*)")

#: events that are told by their message, where everything is to be told
_MINOR = {
    _T.STEP_INPUT.value: "input",
    _T.STEP_OUTPUT.value: "output",
    _T.LOADED_INPUT.value: "loaded",
    _T.HANDLED_OUTPUT.value: "handled",
    _T.HOOK_COMPLETED.value: "hook",
    _T.HOOK_SKIPPED.value: "hook",
    _T.RESOURCE_INIT_STARTED.value: "resource",
    _T.RESOURCE_INIT_SUCCESS.value: "resource",
    _T.STEP_WORKER_STARTING.value: "worker",
    _T.STEP_WORKER_STARTED.value: "worker",
    _T.ENGINE_EVENT.value: "engine",
}


class LiveLines:
    """The fold: feed it one run's events and messages, show the lines that it gives, then its summary."""

    def __init__(
        self,
        detail: Detail = Detail.NORMAL,
        clock: Callable[[], float] = time.monotonic,
        folder: str | None = None,
    ) -> None:
        self.detail = detail
        #: paths below this folder are shown relative to it
        self.folder = str(Path.cwd()) if folder is None else folder
        #: columns for the step keys, so that what follows them stands in line
        self.width = 12
        self.is_interrupted = False
        #: how the run ended: True for success, None while it goes on
        self.success: bool | None = None
        self._clock = clock
        self._started = clock()
        self._planned: list[str] = []
        #: steps that have begun, with the time of their first attempt, and number of attempts
        self._begun: dict[str, tuple[float, int]] = {}
        self._failed: list[str] = []
        self._skipped: set[str] = set()
        self._done = 0
        self._retries = 0
        self._has_told_error = False
        self._tellers: dict[str, Callable[[DagsterEvent], Line | None]] = {
            _T.LOGS_CAPTURED.value: self._plan,
            _T.STEP_START.value: self._start,
            _T.STEP_RESTARTED.value: self._restart,
            _T.STEP_SUCCESS.value: self._succeed,
            _T.STEP_FAILURE.value: self._fail,
            _T.STEP_SKIPPED.value: self._skip,
            _T.STEP_UP_FOR_RETRY.value: self._retry,
            _T.ASSET_MATERIALIZATION.value: self._materialize,
            _T.ASSET_OBSERVATION.value: self._observe,
            _T.STEP_EXPECTATION_RESULT.value: self._expect,
            _T.HOOK_ERRORED.value: self._hook_error,
            _T.RESOURCE_INIT_FAILURE.value: self._engine_error,
            _T.RUN_SUCCESS.value: self._run_success,
            _T.RUN_FAILURE.value: self._run_failure,
            _T.RUN_CANCELED.value: self._run_failure,
        }

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._started

    # -- what happens

    def see(self, event: DagsterEvent) -> Iterator[Line]:
        """The lines for an event."""
        teller = self._tellers.get(event.event_type_value)
        if teller is not None:
            line = teller(event)
        elif getattr(event.event_specific_data, "error", None) is not None:
            line = self._engine_error(event)
        else:
            line = self._minor(event)
        return self._shown(line)

    def hear(self, entry: EventLogEntry) -> Iterator[Line]:
        """The lines for a message that user code logged, or for a note of the engine."""
        key, text = entry.step_key or "", entry.message
        needs = _DEPENDENCIES_FAILED.fullmatch(text)
        if needs is not None:
            return self._shown(Line("not run", key, f"needs {needs[1].replace(chr(39), '')}", Tone.ODD))
        waits = _WAITS.fullmatch(text)
        if waits is not None:
            return self._shown(Line("waits", key, f"for {waits[1]}", Tone.ODD))
        tone = Tone.BAD if entry.level >= logging.ERROR else Tone.ODD if entry.level >= logging.WARNING else Tone.PLAIN
        if entry.level >= logging.ERROR:
            detail = Detail.QUIET
        else:
            detail = Detail.NORMAL if entry.level >= logging.INFO else Detail.VERBOSE
        first, *rest = text.splitlines() or [""]
        word = logging.getLevelName(entry.level).lower()
        return self._shown(Line(word, key, first, tone, (*rest, *self._tell(entry.error_info)), detail))

    def _shown(self, line: Line | None) -> Iterator[Line]:
        if line is not None and line.detail <= self.detail:
            yield line

    # -- events of steps

    def _plan(self, event: DagsterEvent) -> None:
        if isinstance(event.event_specific_data, ComputeLogsCaptureData) and not self._planned:
            self._planned = list(event.event_specific_data.step_keys)
            # The key of a branch takes the place of the question mark: room for three letters.
            widths = [len(key) + 2 * key.endswith("[?]") for key in self._planned]
            self.width = min(max(widths, default=self.width), 40)

    def _start(self, event: DagsterEvent) -> Line:
        key = event.step_key or ""
        self._begun[key] = (self._clock(), 1)
        return Line("start", key, tone=Tone.FAINT)

    def _restart(self, event: DagsterEvent) -> Line:
        key = event.step_key or ""
        since, attempts = self._begun.get(key, (self._clock(), 1))
        self._begun[key] = (since, attempts + 1)
        return Line("again", key, f"attempt {attempts + 1}", Tone.FAINT)

    def _succeed(self, event: DagsterEvent) -> Line:
        self._done += 1
        attempts = self._begun.get(event.step_key or "", (0, 1))[1]
        text = f"in {format_duration(event.step_success_data.duration_ms)}"
        return Line("done", event.step_key or "", text + _after(attempts), Tone.GOOD)

    def _fail(self, event: DagsterEvent) -> Line:
        key = event.step_key or ""
        self._failed.append(key)
        self._has_told_error = True
        data: StepFailureData = event.step_failure_data
        self.is_interrupted = self.is_interrupted or data.error_source is ErrorSource.INTERRUPT
        since, attempts = self._begun.get(key, (self._clock(), 1))
        text = f"after {format_duration((self._clock() - since) * 1000)}{_after(attempts, 'in')}"
        if data.error_source is ErrorSource.INTERRUPT and self.detail < Detail.VERBOSE:
            return Line("FAILED", key, f"{text}: interrupted", Tone.BAD, detail=Detail.QUIET)
        given = self._metadata(data.user_failure_data.metadata) if data.user_failure_data is not None else []
        return Line("FAILED", key, text, Tone.BAD, self._tell(data.error, given), Detail.QUIET)

    def _skip(self, event: DagsterEvent) -> Line:
        self._skipped.add(event.step_key or "")
        return Line("skipped", event.step_key or "", "an output that it needs was not produced", Tone.ODD)

    def _retry(self, event: DagsterEvent) -> Line:
        self._retries += 1
        data = event.step_retry_data
        wait = f"in {data.seconds_to_wait:.3g} s" if data.seconds_to_wait else "at once"
        if data.error is None:
            return Line("retry", event.step_key or "", wait, Tone.ODD)
        error, _ = tracebacks.unwrap(data.error)
        place = tracebacks.place_of(error, self.folder)
        text = f"{wait}, after {tracebacks.headline(error)}{f' ({place})' if place else ''}"
        below = self._tell(data.error) if self.detail is Detail.VERBOSE else ()
        return Line("retry", event.step_key or "", text, Tone.ODD, below)

    # -- what user code tells

    def _materialize(self, event: DagsterEvent) -> Line:
        return self._about_asset("made", event, event.materialization, Detail.NORMAL)

    def _observe(self, event: DagsterEvent) -> Line:
        return self._about_asset("observed", event, event.asset_observation_data.asset_observation, Detail.VERBOSE)

    def _about_asset(self, word: str, event: DagsterEvent, about: Any, detail: Detail) -> Line:
        places = {key: place for key, value in about.metadata.items() if (place := self._place(value)) is not None}
        listed = list(places.values()) if len(places) == 1 else [f"{key}: {place}" for key, place in places.items()]
        text = "  ".join([about.asset_key.to_user_string(), *listed])
        below = []
        if self.detail is Detail.VERBOSE:
            below = [about.description] if about.description else []
            below += self._metadata({key: value for key, value in about.metadata.items() if key not in places})
        return Line(word, event.step_key or "", text, Tone.GOOD, tuple(below), detail)

    def _expect(self, event: DagsterEvent) -> Line:
        result = event.step_expectation_result_data.expectation_result
        named = result.label if result.label and result.label != "result" else "expectation"
        text = f"{named}: {'passed' if result.success else 'FAILED'}"
        text += f", {result.description}" if result.description else ""
        below = tuple(self._metadata(result.metadata)) if self.detail is Detail.VERBOSE else ()
        if result.success:
            return Line("check", event.step_key or "", text, Tone.PLAIN, below, Detail.VERBOSE)
        return Line("check", event.step_key or "", text, Tone.ODD, below)

    def _place(self, value: Any) -> str | None:
        """Where a thing is, if that is what the metadata tells."""
        if isinstance(value, UrlMetadataValue):
            return value.url
        if isinstance(value, PathMetadataValue | NotebookMetadataValue):
            inside = self.folder + os.sep
            return value.path.removeprefix(inside) if value.path != inside else value.path
        return None

    def _metadata(self, metadata: Mapping[str, Any]) -> list[str]:
        """`  key: value` for each entry; texts and tables of several lines below their key."""
        lines = []
        for key, value in metadata.items():
            if isinstance(value, TableMetadataValue):
                text = f"table of {len(value.records)} rows"
            else:
                text = self._place(value) or str(value.value)
            first, *rest = text.splitlines() or [""]
            is_block = bool(rest) or isinstance(value, MarkdownMetadataValue)
            lines += [f"  {key}:", *(f"    {line}" for line in (first, *rest))] if is_block else [f"  {key}: {first}"]
        return lines

    # -- what the engine tells

    def _minor(self, event: DagsterEvent) -> Line | None:
        word = _MINOR.get(event.event_type_value)
        if word is None:
            return None
        return Line(word, event.step_key or "", event.message or "", Tone.FAINT, detail=Detail.VERBOSE)

    def _hook_error(self, event: DagsterEvent) -> Line:
        below = self._tell(event.hook_errored_data.error)
        return Line("hook", event.step_key or "", event.message or "A hook failed.", Tone.BAD, below, Detail.QUIET)

    def _engine_error(self, event: DagsterEvent) -> Line:
        self._has_told_error = True
        below = self._tell(getattr(event.event_specific_data, "error", None))
        return Line("error", event.step_key or "", event.message or "", Tone.BAD, below, Detail.QUIET)

    def _run_success(self, event: DagsterEvent) -> None:
        self.success = True

    def _run_failure(self, event: DagsterEvent) -> Line | None:
        self.success = False
        error = getattr(event.event_specific_data, "error", None)
        if error is not None and error.cls_name in ("KeyboardInterrupt", "DagsterExecutionInterruptedError"):
            self.is_interrupted = True
            return None
        if error is None or self._has_told_error:
            return None
        return Line("error", "", event.message or "", Tone.BAD, self._tell(error), Detail.QUIET)

    def _tell(self, error: SerializableErrorInfo | None, given: Sequence[str] = ()) -> tuple[str, ...]:
        """The lines of an error; `given` stands between its message and its frames."""
        if error is None:
            return tuple(given)
        shows_all = self.detail is Detail.VERBOSE
        return tuple(tracebacks.tell_error(error, folder=self.folder, shows_all=shows_all, given=given))

    # -- the end

    def summary(self) -> Line:
        """The last line: how the run ended, and how its steps did."""
        took = format_duration(self.elapsed * 1000)
        counts = [
            _count(len(self._skipped), "skipped"),
            _count(self._not_run(), "not run"),
            _count(self._retries, "retry", "retries"),
        ]
        if self.success:
            steps = "1 step" if self._done == 1 else f"{self._done} steps"
            text = ", ".join(filter(None, [f"Run succeeded: {steps} done in {took}", *counts]))
            return Line("", "", f"{text}.", Tone.GOOD, detail=Detail.QUIET)
        ended = "was interrupted" if self.is_interrupted else "failed"
        what = f"{_some(self._failed)} failed" if self._failed and not self.is_interrupted else ""
        parts = ", ".join(filter(None, [what, _count(self._done, "done"), *counts]))
        return Line("", "", f"Run {ended} after {took}{f': {parts}' if parts else ''}.", Tone.BAD, detail=Detail.QUIET)

    def _not_run(self) -> int:
        """Steps of the plan that nothing was heard of; one that stands for branches counts until one has begun."""
        touched = self._begun.keys() | self._skipped
        paths = {split_step_key(key)[0] for key in touched}
        return sum(
            key not in touched and not (key.endswith("]") and split_step_key(key)[0] in paths) for key in self._planned
        )


def _after(attempts: int, word: str = "at") -> str:
    if attempts <= 1:
        return ""
    return f", at attempt {attempts}" if word == "at" else f", in {attempts} attempts"


def _count(number: int, word: str, words: str | None = None) -> str:
    return f"{number} {word if number == 1 or words is None else words}" if number else ""


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# -- on a stream --------------------------------------------------------------------------------------------------------

_STYLES: dict[Tone, dict[str, Any]] = {
    Tone.PLAIN: {},
    Tone.FAINT: {"dim": True},
    Tone.GOOD: {"fg": "green"},
    Tone.ODD: {"fg": "yellow"},
    Tone.BAD: {"fg": "red", "bold": True},
}
_INDENT = " " * 11


def is_coloured(stream: IO[Any]) -> bool:
    """True for a terminal, unless the user asked for none of it (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def lay_out(line: Line, elapsed: float, width: int) -> Iterator[str]:
    """The lines of text for a line: seconds since the start, word, step, text; and what stands below."""
    if not line.word:
        yield click.style(line.text, **_STYLES[line.tone])
    else:
        style = _STYLES[line.tone]
        word = click.style(f"{line.word:<8}", **style) if style else f"{line.word:<8}"
        columns = [f"{elapsed:8.2f}s", word, f"{line.step_key:<{width}}" if line.step_key else "", line.text]
        yield "  ".join(column for column in columns if column).rstrip()
    for text in line.below:
        yield f"{_INDENT}{text}".rstrip()


class Printer:
    """Puts lines on a stream. Where the stream breaks (a closed pipe, a full disk), the run goes on without it."""

    def __init__(self, stream: IO[str] | None, *, has_colour: bool | None = None) -> None:
        self._stream = stream
        self._has_colour = stream is not None and (is_coloured(stream) if has_colour is None else has_colour)

    def show(self, lines: Iterable[Line], view: LiveLines) -> None:
        """Print lines as they are now."""
        for line in lines:
            for text in lay_out(line, view.elapsed, view.width):
                self.write(text)

    def write(self, text: str) -> None:
        """Print one line of text."""
        if self._stream is None:
            return
        try:
            click.echo(text, file=self._stream, color=self._has_colour)
        except OSError:
            # What user code still prints, and what Python flushes at the end, goes nowhere instead of failing.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream = None
