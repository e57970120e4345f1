"""context.log, loggers, capture of stdout and stderr.

`RunLog` takes what one run has to say (events, messages of user code, notes of the engine) and gives it to the run's
loggers and to its event log. The driver makes one for a run; steps get a `DagsterLogManager` from it as `context.log`.
Never touches a logger that somebody else made, and never lets a failing logger fail a step.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.events import level_of

if TYPE_CHECKING:
    from treadle.events import DagsterEvent

#: what keeps a message: level, text, step key, and what else was given (`extra`, the text of an exception)
Recorder = Callable[[int, str, "str | None", "dict[str, Any] | None"], None]

#: The context that user code runs under, here and now: anything with an attribute `log`. The engine sets it around a
#: call of user code; `get_dagster_logger` and `OpExecutionContext.get` read it.
active_context: ContextVar[Any] = ContextVar("treadle_active_context", default=None)

#: the level no message reaches: the run has no logger that wants anything
NO_LEVEL = sys.maxsize

_BUILTIN_NAME = "dagster.builtin"
_OWN_FILES = (__file__, logging.__file__)


class Speaker(NamedTuple):
    """Who logs: a step, or a resource, whose `origin` (`resource:db`) stands in place of the job's name."""

    step_key: str | None = None
    op_name: str | None = None
    origin: str | None = None


class _Line(NamedTuple):
    """One thing to show to the loggers; `text` is composed, `message` is what was said."""

    level: int
    text: str
    message: str
    speaker: Speaker
    extra: Mapping[str, Any]
    exc_info: Any = None
    stack_info: bool = False

    def with_traceback(self) -> str:
        # A message that came from a worker has its traceback as text.
        details = format_exception(self.exc_info) if self.exc_info else self.extra.get("exc_text")
        return f"{self.text}\n{details}" if details else self.text


class RunLog:
    """Where one run's events and messages go: its loggers, and its event log through `record`.

    `lowest_level` is the lowest level that any logger wants; the driver does not even call `event` below it.
    """

    __slots__ = ("_loggers", "_record", "job_name", "job_tags", "lowest_level", "run_id")

    def __init__(
        self,
        run_id: str | None,
        job_name: str,
        loggers: Sequence[logging.Logger],
        record: Recorder | None = None,
        job_tags: Mapping[str, str] | None = None,
    ) -> None:
        self.run_id = run_id
        self.job_name = job_name
        self.job_tags = job_tags or {}
        self._loggers = list(loggers)
        self._record = record
        self.lowest_level = min((_threshold(logger) for logger in self._loggers), default=NO_LEVEL)

    def event(self, event: DagsterEvent) -> None:
        """Show an event to the loggers. It is stored by the driver, not from here."""
        level = level_of(event)
        if level < self.lowest_level:
            return
        text = event.message or ""
        about = (event.job_name, self.run_id, event.pid, event.step_key, event.event_type.name, text or None)
        details = _error_text(event)
        op_name = event.node_handle.name if event.node_handle is not None else None
        full = _compose(about) + (f"\n\n{details}" if details else "")
        self._show(_Line(level, full, text, Speaker(event.step_key, op_name), {"dagster_event": event}))

    def message(
        self,
        level: int,
        text: str,
        step_key: str | None = None,
        op_name: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a note of the engine, or a message that a worker sent: to the loggers, and to the event log."""
        self.say(level, text, Speaker(step_key, op_name), extra)

    def say(
        self,
        level: int,
        text: str,
        speaker: Speaker,
        extra: Mapping[str, Any] | None = None,
        exc_info: Any = None,
        stack_info: bool = False,
    ) -> None:
        """Log a message: to the loggers, and to the event log with the text of the exception beside it.

        Like every message of the logging module it is dropped where `logging.disable` says so.
        """
        if logging.root.manager.disable >= level:
            return
        if self._record is not None:
            kept = dict(extra) if extra else {}
            if exc_info:
                kept["exc_text"] = format_exception(exc_info)
            self._record(level, text, speaker.step_key, kept or None)
        if level < self.lowest_level:
            return
        full = _compose((speaker.origin or self.job_name, self.run_id, None, speaker.step_key, None, text))
        self._show(_Line(level, full, text, speaker, extra or {}, exc_info, stack_info))

    def with_record(self, record: Recorder) -> RunLog:
        """The same loggers, and messages kept by `record`."""
        return RunLog(self.run_id, self.job_name, self._loggers, record, self.job_tags)

    def record(self, level: int, text: str, step_key: str | None, extra: dict[str, Any] | None) -> None:
        """Keep a message that the loggers have been shown."""
        if self._record is not None:
            self._record(level, text, step_key, extra)

    def for_step(self, step_key: str | None = None, op_name: str | None = None) -> DagsterLogManager:
        """What a step's code gets as `context.log`."""
        return DagsterLogManager(self, Speaker(step_key, op_name))

    def for_resource(self, resource_key: str, step_key: str | None = None) -> DagsterLogManager:
        """What a resource's code gets as `context.log`."""
        return DagsterLogManager(self, Speaker(step_key, None, f"resource:{resource_key}"))

    def _show(self, line: _Line) -> None:
        """Give one line to every logger that wants it; what a logger raises ends here."""
        attributes: dict[str, Any] | None = None
        for logger in self._loggers:
            if isinstance(logger, ConsoleLogger):
                logger.write_line(line.level, line.with_traceback())
                continue
            if attributes is None:
                attributes = self._attributes(line)
            try:
                _log_to(logger, line, attributes)
            except Exception:  # noqa: BLE001 - any logger of a user's; what it raised is shown on the console
                _report_broken_logger(logger)

    def _attributes(self, line: _Line) -> dict[str, Any]:
        """What a LogRecord gets beside the line: the user's own attributes, the event, and `dagster_meta`."""
        import uuid

        origin = line.speaker.origin
        now = time.time()
        meta = {
            "run_id": self.run_id,
            "job_name": origin or self.job_name,
            "job_tags": dict(self.job_tags),
            "op_name": line.speaker.op_name,
            "resource_name": origin.partition(":")[2] if origin else None,
            "resource_fn_name": None,
            "orig_message": line.message,
            "log_message_id": str(uuid.uuid4()),
            "log_timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}",
            "dagster_event": line.extra.get("dagster_event"),
            "dagster_event_batch_metadata": None,
            "step_key": line.speaker.step_key,
        }
        return {**line.extra, "dagster_meta": meta}


class DagsterLogManager(logging.Logger):
    """`context.log`: a logger whose messages go to the run's loggers and into its event log.

    Everything of `logging.Logger` works: levels, `%` arguments, `extra`, `exception`. It is registered nowhere.
    """

    # Set here rather than in the initialiser of the parent class: one of these is made for every step that logs.
    level = logging.NOTSET
    name = "dagster"
    parent = None
    propagate = False
    disabled = False

    def __init__(self, run_log: RunLog, speaker: Speaker) -> None:
        self._run_log = run_log
        self._speaker = speaker
        self.handlers = []
        self.filters = []

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - named by the logging module
        """True where a message of this level is kept or shown."""
        return level >= self.level and self.manager.disable < level

    def getEffectiveLevel(self) -> int:  # noqa: N802 - named by the logging module
        """The level set by `setLevel`; everything is kept by default."""
        return self.level

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - named by the logging module
        """Drop what is below this level, in this step."""
        self.level = read_level(level)

    def log(self, level: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """Log at a level given as a number or as a name."""
        number = read_level(level)
        if self.isEnabledFor(number):
            self._log(number, msg, args, **kwargs)

    def _log(
        self,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> None:
        if exc_info and not isinstance(exc_info, tuple):
            is_exception = isinstance(exc_info, BaseException)
            exc_info = (type(exc_info), exc_info, exc_info.__traceback__) if is_exception else sys.exc_info()
        self._run_log.say(level, _fill_in(msg, args), self._speaker, extra, exc_info, stack_info)
        if self.handlers:  # a handler that user code added to its own context.log
            record = self.makeRecord(self.name, level, "", 0, msg, args, exc_info, None, extra)
            for handler in self.handlers:
                if level >= handler.level:
                    handler.handle(record)


def read_level(level: int | str) -> int:
    """A level of the logging module from its number or its name in any case; CheckError for an unknown name."""
    if isinstance(level, int):
        return level
    number: object = logging.getLevelName(str(level).upper())
    if isinstance(number, int):
        return number
    from difflib import get_close_matches

    from treadle.errors import CheckError

    names = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    near = get_close_matches(str(level).upper(), names, 1)
    raise CheckError(
        f"Log level {level!r} is not known. Use one of {', '.join(names)}, in upper or lower case, or a number."
        + (f" Did you mean {near[0]}?" if near else "")
    )


# -- where lines end up --------------------------------------------------------------------------------------

_TIME_FORMAT = "%Y-%m-%d %H:%M:%S %z"
_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}


def console() -> Any:
    """`sys.stderr`, whatever that is at the time; past what keeps a step's own output, since log lines are none."""
    return getattr(sys.stderr, "treadle_console", sys.stderr)


class ConsoleLogger(logging.Logger):
    """Writes lines to `sys.stderr`, whatever that is at the time; coloured where it is a terminal.

    Each run makes its own; none is registered with the logging module.
    """

    def __init__(self, name: str = "dagster", level: int = logging.DEBUG) -> None:
        super().__init__(name, level)
        self._second = 0
        self._stamp = ""

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record that came through the logging machinery."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{format_exception(record.exc_info)}"
        self.write_line(record.levelno, text)

    def write_line(self, level: int, text: str) -> None:
        """Write one line, with time, name and level in front of it."""
        if level < self.level or self.manager.disable >= level:
            return
        now = int(time.time())
        if now != self._second:
            # Formatting the time is the dearest part of a line; it changes once a second.
            self._stamp = time.strftime(_TIME_FORMAT, time.localtime(now))
            self._second = now
        stream = console()
        if stream is None:  # a process without a console
            return
        name, label = self.name, logging.getLevelName(level)
        if _is_coloured(stream):
            colour = _COLOURS.get(level, "0")
            line = f"\x1b[2m{self._stamp}\x1b[0m - \x1b[34m{name}\x1b[0m - \x1b[{colour}m{label}\x1b[0m - {text}\n"
        else:
            line = f"{self._stamp} - {name} - {label} - {text}\n"
        try:
            stream.write(line)
        except (OSError, ValueError):
            # The console is gone (a closed pipe, a closed file): the run goes on without it.
            return


class StderrHandler(logging.Handler):
    """Writes formatted records to `sys.stderr`, whatever that is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            stream = console()
            if stream is not None:
                stream.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - what every handler does: report, and let the program go on
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """One JSON object for a record: the attributes of a LogRecord, sorted, and `dagster_meta`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        import msgspec

        attributes = dict(vars(record))
        if record.exc_info:
            attributes["exc_text"] = format_exception(record.exc_info)
            error = record.exc_info[1]
            attributes["exc_info"] = f"{type(error).__name__}: {error}"
        return msgspec.json.encode(_plain(attributes), order="sorted").decode()


def console_logger(name: str = "dagster", level: int | str = logging.DEBUG) -> logging.Logger:
    """A fresh logger that writes readable lines to stderr."""
    return ConsoleLogger(name, read_level(level))


def json_logger(name: str = "dagster", level: int | str = logging.DEBUG) -> logging.Logger:
    """A fresh logger that writes JSON lines to stderr."""
    logger = logging.Logger(name, read_level(level))  # noqa: LOG001 - fresh, and known to nobody else
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger


def system_log() -> DagsterLogManager:
    """`log` of a context that was built by hand: prints to the console, keeps nothing."""
    return RunLog(None, "system", [console_logger()]).for_step()


# -- loggers of modules -------------------------------------------------------------------------------------------


class _ForwardHandler(logging.Handler):
    """Hands the records of a module's logger to the log of the step that is running here."""

    def emit(self, record: logging.LogRecord) -> None:
        context = active_context.get()
        if context is not None:
            context.log._log(record.levelno, record.msg, record.args or (), exc_info=record.exc_info)


_forward = _ForwardHandler()


def get_dagster_logger(name: str | None = None) -> logging.Logger:
    """A logger for the top of a module: what it logs while a step runs goes where `context.log` of that step goes."""
    logger = logging.getLogger(_BUILTIN_NAME)
    if _forward not in logger.handlers:
        logger.addHandler(_forward)
        logger.setLevel(logging.DEBUG)
    return logger.getChild(name) if name else logger


# -- texts ------------------------------------------------------------------------------------------------------------


def format_exception(exc_info: Any) -> str:
    """The traceback that `exc_info` (of sys.exc_info) stands for, without a newline at the end."""
    import traceback

    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


def _compose(parts: tuple[Any, ...]) -> str:
    return " - ".join([str(part) for part in parts if part is not None])


def _fill_in(msg: object, args: Any) -> str:
    """The message with its `%` arguments. A log call with the wrong arguments is still only a log call."""
    text = str(msg)
    if not args:
        return text
    if len(args) == 1 and isinstance(args[0], Mapping) and args[0]:
        args = args[0]
    try:
        return str(text % args)
    except (TypeError, ValueError, KeyError) as error:
        return f"{text} {args!r} (the arguments do not fit the message: {error})"


def _error_text(event: DagsterEvent) -> str:
    data = event.event_specific_data
    error = getattr(data, "error", None)
    if error is None:
        return ""
    return str(getattr(data, "error_display_string", None) or error.to_string()).rstrip("\n")


def _threshold(logger: logging.Logger) -> int:
    # A logger with its own way of logging may look at levels as it likes: it gets everything.
    return logger.getEffectiveLevel() if _has_standard_log(logger) else logging.NOTSET


def _has_standard_log(logger: logging.Logger) -> bool:
    return getattr(type(logger), "log", None) is logging.Logger.log


def _log_to(logger: logging.Logger, line: _Line, attributes: dict[str, Any]) -> None:
    if not _has_standard_log(logger):
        logger.log(line.level, line.text, exc_info=line.exc_info, extra=attributes)
    elif logger.isEnabledFor(line.level):
        # A `%` in a line is text: the arguments are in it already.
        logger.log(
            line.level,
            line.text,
            exc_info=line.exc_info,
            extra=attributes,
            stack_info=line.stack_info,
            stacklevel=_caller_depth(),
        )


def _caller_depth() -> int:
    """How far up the user's log call is, counted as `stacklevel` counts, so that a record names their line, not ours."""
    frame = sys._getframe(1)
    depth = 1
    # From 3.11 on the logging module does not count its own frames.
    counts_logging = sys.version_info < (3, 11)
    while frame.f_back is not None and frame.f_code.co_filename in _OWN_FILES:
        if counts_logging or frame.f_code.co_filename == __file__:
            depth += 1
        frame = frame.f_back
    return depth


def _report_broken_logger(logger: logging.Logger) -> None:
    if not logging.raiseExceptions or sys.stderr is None:
        return
    import traceback

    sys.stderr.write(f"Logger {logger!r} raised an exception while it logged a message; the run goes on.\n")
    traceback.print_exc(file=sys.stderr)


def _is_coloured(stream: Any) -> bool:
    try:
        return stream.isatty() and "NO_COLOR" not in os.environ
    except (AttributeError, ValueError):
        return False


def _plain(value: Any) -> Any:
    """What JSON can hold, in place of anything; objects that it cannot hold become their repr."""
    import msgspec

    return msgspec.to_builtins(value, enc_hook=repr, str_keys=True)
