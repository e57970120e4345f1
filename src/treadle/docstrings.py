"""What a docstring says about parameters and the return value: Google, NumPy and reST styles.

`read_descriptions` is called when an op is defined, and only for docstrings that seem to have such parts. Text in,
text out; what cannot be read is left out, since a description is never worth an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

# as text, compiled when one is first used: most programs have no such docstring
_HEADER = r"(Args|Arguments|Parameters|Params|Returns?|Yields?):?"
_PARAMETERS = frozenset(("Args", "Arguments", "Parameters", "Params"))
_GOOGLE_ENTRY = r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)"
_NUMPY_ENTRY = r"\*{0,2}(\w+)\s*(?::.*)?"
_RETURN_TYPE = r"[\w.\[\], |]+:\s+(.*)"
_REST_ENTRY = r":(param|returns?)\b([^:]*):\s*(.*)"


class Descriptions(NamedTuple):
    """What stands about each parameter, and about the return value."""

    parameters: dict[str, str]
    returns: str | None = None


NONE = Descriptions({})


def read_descriptions(docstring: str | None) -> Descriptions:
    """Read a docstring whose indentation was taken off."""
    if not docstring or not any(mark in docstring for mark in (":param", ":return", "Returns", "Args", "Param")):
        return NONE
    lines = docstring.splitlines()
    found = Descriptions(*_read_rest(lines))
    return found if found != NONE else Descriptions(*_read_sections(lines))


def _read_rest(lines: list[str]) -> tuple[dict[str, str], str | None]:
    parameters: dict[str, str] = {}
    returns: str | None = None
    for text in re.split(r"\n(?=:)", "\n".join(lines)):
        entry = re.match(_REST_ENTRY, " ".join(text.split("\n\n")[0].split("\n")))
        if entry is None:
            continue
        if entry[1] != "param":
            returns = entry[3].strip()
        elif entry[2].strip():
            parameters[entry[2].split()[-1]] = entry[3].strip()  # `:param int number:` gives the type, too
    return parameters, returns


def _read_sections(lines: list[str]) -> tuple[dict[str, str], str | None]:
    parameters: dict[str, str] = {}
    returns: str | None = None
    for header, is_underlined, body in _sections(lines):
        if header in _PARAMETERS:
            parameters.update(_read_entries(body, re.compile(_NUMPY_ENTRY if is_underlined else _GOOGLE_ENTRY)))
        elif is_underlined:
            returns = "\n".join(line.strip() for line in body if line.startswith((" ", "\t"))).strip() or None
        else:
            first, *rest = [line.strip() for line in body] or [""]
            typed = re.fullmatch(_RETURN_TYPE, first)
            returns = "\n".join([typed[1] if typed else first, *rest]).strip() or None
    return parameters, returns


def _sections(lines: list[str]) -> Iterator[tuple[str, bool, list[str]]]:
    """Each section with its header, whether a line of dashes stands below that, and the lines in it."""
    for index, line in enumerate(lines):
        header = re.fullmatch(_HEADER, line.rstrip())
        if header is None:
            continue
        is_underlined = index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}
        if not is_underlined and not line.rstrip().endswith(":"):
            continue
        body = []
        for below in lines[index + 1 + is_underlined :]:
            if is_underlined and (not below.strip() or re.fullmatch(_HEADER, below)):
                break
            if not is_underlined and below.strip() and not below.startswith((" ", "\t")):
                break
            body.append(below)
        yield header[1], is_underlined, body


def _read_entries(body: list[str], pattern: re.Pattern[str]) -> dict[str, str]:
    filled = [line for line in body if line.strip()]
    if not filled:
        return {}
    margin = len(filled[0]) - len(filled[0].lstrip())
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in filled:
        entry = pattern.fullmatch(line.strip()) if len(line) - len(line.lstrip()) <= margin else None
        if entry is not None:
            current = found[entry[1]] = [entry[2]] if pattern.groups > 1 and entry[2] else []
        else:
            current.append(line.strip())
    return {name: "\n".join(told) for name, told in found.items() if told}
