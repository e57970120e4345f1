"""An exception as a person reads it: what went wrong, then the lines of their own code.

The live lines tell step failures with this, `treadle run` what happened while user code was imported. Frames of this
package and of the import machinery are left out; whoever asks for everything gets everything.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from treadle import errors
from treadle.errors import DagsterMaxRetriesExceededError, DagsterUserCodeExecutionError, SerializableErrorInfo

_MACHINERY = (
    f"{Path(errors.__file__).parent}{os.sep}",
    f"{Path(importlib.__file__).parent}{os.sep}",
    "<frozen importlib",
)
_OWN_MODULES = ("treadle.errors.", "treadle.outcomes.")
_STANDARD_LIBRARY = f"{Path(os.__file__).parent}{os.sep}"
#: wrappers that say no more than the line above them says already: which step or hook failed, how often it was tried
_PLAIN_WRAPPERS = {"DagsterExecutionStepExecutionError", "DagsterMaxRetriesExceededError", "HookExecutionError"}


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
        below = seen.cause or seen.context
        assert below is not None
        seen, is_cause = below, seen.cause is not None
        if not is_cause and not shows_all and all(_is_library(_file_of(frame)) for frame in below.stack):
            continue  # raised and handled inside the library that raised the error
        first, *rest = _message(below)
        lines += [
            f"{'because of' if is_cause else 'while handling'} {first}",
            *rest,
            *_frames(below, folder, shows_all),
        ]
    return lines


def unwrap(error: SerializableErrorInfo) -> tuple[SerializableErrorInfo, list[str]]:
    """The exception that user code raised, and what the wrappers around it say of where that was."""
    where = []
    while error.cause is not None and is_wrapper(error):
        if error.cls_name not in _PLAIN_WRAPPERS:
            # Where the sentence ends with what the cause is, the cause's own lines say that better.
            told = headline(error).partition(": ")[2].partition(headline(error.cause))[0]
            where.append(told.rstrip(" :,").removesuffix(", with") + ":")
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
    frames = users_frames(error.stack)
    if not frames:
        return ""
    file, _, rest = frames[-1].strip().removeprefix('File "').partition('", line ')
    number = rest.partition(",")[0].partition("\n")[0]
    return f"{_relative(file, folder)}:{number}" if number.isdigit() else ""


def users_frames(stack: Iterable[str]) -> list[str]:
    """The frames of a traceback from the user's first on, without those of this package and of the import machinery."""
    frames = [frame for frame in stack if not _file_of(frame).startswith(_MACHINERY)]
    # What of the standard library stands above the user's first frame (contextlib, mostly) was called by us.
    first = next((index for index, frame in enumerate(frames) if not _is_library(_file_of(frame))), 0)
    return frames[first:]


def _file_of(frame: str) -> str:
    return frame.strip().removeprefix('File "').partition('"')[0]


def _is_library(file: str) -> bool:
    return file.startswith(_STANDARD_LIBRARY) and "site-packages" not in file


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
