"""What a user does wrong, by section, and what Treadle says to that.

A case is a function that does one thing wrong; its name says what. `told_by` runs it and gives the message as text that
is the same on every machine.
"""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from treadle import TreadleWiringWarning

REPOSITORY = Path(__file__).parents[2]


class Case(NamedTuple):
    section: str
    title: str
    do: Callable[..., Any]


CASES: list[Case] = []
#: what stands for a mistake that is not told; the test refuses it
NOTHING = "(nothing was said)"


def section(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for the cases of one section. A case raises; or it returns the text that a user gets to see.

    A case with a parameter gets an empty folder.
    """

    def add(do: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(Case(name, do.__name__.strip("_").replace("_", " "), do))
        return do

    return add


def told_by(case: Case) -> str:
    """The class of the error and its message."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # where a mistake is told as a warning, that is what the user reads
        warnings.simplefilter("error", TreadleWiringWarning)
        try:
            said = case.do(Path(folder)) if case.do.__code__.co_argcount else case.do()
            if not isinstance(said, str):
                said = NOTHING
        except BaseException as error:
            said = "\n".join(_lines_of(error))
        return "\n".join(filter(str.strip, _without_circumstances(said, folder).splitlines()))


def _lines_of(error: BaseException) -> Iterator[str]:
    yield f"{type(error).__name__}: {error}"
    cause = getattr(error, "user_exception", None)
    if cause is not None:
        yield f"caused by {type(cause).__name__}: {cause}"


def _without_circumstances(text: str, folder: str) -> str:
    text = text.replace(folder, "FOLDER").replace(f"{REPOSITORY}/", "")
    text = text.replace(sys.executable, "PYTHON").replace(sys.executable.removeprefix(f"{REPOSITORY}/"), "PYTHON")
    text = re.sub(r"^[ ~^]+$", "", text, flags=re.MULTILINE)  # where in its line an error is: newer Pythons tell
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "RUN_ID", text)
    text = re.sub(r"\bat 0x[0-9a-f]+", "at 0x...", text)
    text = re.sub(r"For further information visit \S+", "For further information visit ...", text)
    return text.replace("<locals>.", "")


def write(cases: list[Case]) -> str:
    """All messages, as the snapshot has them."""
    lines: list[str] = []
    at = ""
    for case in cases:
        if case.section != at:
            at = case.section
            lines += ["", f"# {at}", ""] if lines else [f"# {at}", ""]
        lines.append(case.title)
        lines += [f"    {line}".rstrip() for line in told_by(case).splitlines()]
        lines.append("")
    return "\n".join(lines)


def read(text: str) -> dict[tuple[str, str], str]:
    """The messages of a snapshot by section and title."""
    found: dict[tuple[str, str], str] = {}
    at = title = ""
    for line in text.splitlines():
        if line.startswith("# "):
            at = line[2:]
        elif line.startswith("    "):
            found[at, title] += line[4:] + "\n"
        elif line:
            title = line
            found[at, title] = ""
    return found
