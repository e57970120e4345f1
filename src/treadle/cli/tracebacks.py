"""An exception as a person reads it: what went wrong, then the lines of their own code.

The live lines tell step failures with this, `treadle run` what happened while user code was imported. Frames of this
package and of the import machinery are left out; whoever asks for everything gets everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from treadle import errors
from treadle.errors import DagsterMaxRetriesExceededError, DagsterUserCodeExecutionError, SerializableErrorInfo

_OWN_FOLDER = os.path.dirname(os.path.abspath(errors.__file__))
_OWN_MODULES = ("treadle.errors.", "treadle.outcomes.")
#: wrappers that say no more than the line above them says already: which step failed, how often it was tried
_PLAIN_WRAPPERS = ("DagsterExecutionStepExecutionError", DagsterMaxRetriesExceededError.__name__)


def tell_error(
    error: SerializableErrorInfo, *, folder: str = "", shows_all: bool = False, given: Sequence[str] = ()
) -> list[str]:
    """The lines of an error: the exception, the lines that are `given`, its frames, then what caused it.

    Paths inside `folder` are shown relative to it. With `shows_all` no wrapper and no frame is left out.
    """
    lines: list[str] = []
    if not shows_all:
        error, where = unwrap(error)
        lines += where
    lines += [*_message(error), *given, *_frames(error, folder, shows_all)]
    seen = error
    while seen.cause is not None or seen.context is not None:
        words = "because of" if seen.cause is not None else "while handling"
        below = seen.cause or seen.context
        assert below is not None
        first, *rest = _message(below)
        lines += [f"{words} {first}", *rest, *_frames(below, folder, shows_all)]
        seen = below
    return lines


def unwrap(error: SerializableErrorInfo) -> tuple[SerializableErrorInfo, list[str]]:
    """The exception that user code raised, and what the wrappers around it say of where that was."""
    where = []
    while error.cause is not None and is_wrapper(error):
        if error.cls_name not in _PLAIN_WRAPPERS:
            where.append(headline(error).partition(": ")[2].rstrip(":") + ":")
        error = error.cause
    return error, where


def is_wrapper(error: SerializableErrorInfo) -> bool:
    """True for an error of ours that only says which user code raised its cause."""
    kind = getattr(errors, error.cls_name or "", None)
    return isinstance(kind, type) and issubclass(kind, (DagsterUserCodeExecutionError, DagsterMaxRetriesExceededError))


def headline(error: SerializableErrorInfo) -> str:
    """`ValueError: no such plane`: the first line of the message, our own classes without their module."""
    return _message(error)[0]


def place_of(error: SerializableErrorInfo, folder: str = "") -> str:
    """`file:line` of the innermost frame of the user's, or an empty text."""
    frames = list(users_frames(error.stack))
    if not frames:
        return ""
    file, _, rest = frames[-1].strip().removeprefix('File "').partition('", line ')
    number = rest.partition(",")[0].partition("\n")[0]
    return f"{_relative(file, folder)}:{number}" if number.isdigit() else ""


def users_frames(stack: Iterable[str]) -> Iterator[str]:
    """The frames of a traceback without those of this package and of the import machinery."""
    for frame in stack:
        file = frame.strip().removeprefix('File "').partition('"')[0]
        if not file.startswith((_OWN_FOLDER + os.sep, "<frozen importlib", "<frozen runpy")):
            yield frame


def _frames(error: SerializableErrorInfo, folder: str, shows_all: bool) -> list[str]:
    # A frame is two spaces in as Python makes it: below the message, that is where it belongs.
    frames = error.stack if shows_all else users_frames(error.stack)
    return [_shorten(line, folder) for frame in frames for line in frame.rstrip("\n").splitlines()]


def _message(error: SerializableErrorInfo) -> list[str]:
    text = error.message.rstrip("\n")
    for module in _OWN_MODULES:
        text = text.removeprefix(module)
    if error.cls_name == DagsterMaxRetriesExceededError.__name__:
        # The rest is the last error as text; whoever shows this shows that error, too.
        text = text.partition("\n")[0]
    return text.splitlines() or [error.cls_name or "an error without a message"]


def _shorten(line: str, folder: str) -> str:
    start = '  File "'
    if folder and line.startswith(f"{start}{folder}{os.sep}"):
        return start + line[len(start) + len(folder) + 1 :]
    return line


def _relative(file: str, folder: str) -> str:
    inside = folder + os.sep
    return file[len(inside) :] if folder and file.startswith(inside) else file
