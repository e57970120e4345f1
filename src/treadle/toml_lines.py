"""In which line of a TOML file each key stands, which the reader of TOML does not tell.

For the settings, whose mistakes are told with their line. Pure; what is no valid TOML has no promise, but ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

#: keys from the root of the file
Way = tuple[str, ...]

_BASIC, _LITERAL = r'"(?:\\.|[^"\\\n])*"', r"'[^'\n]*'"
#: three quotes end a text of several lines, and one or two more belong to it
_LONG_BASIC, _LONG_LITERAL = r'"""(?:\\.|[^\\])*?"{3,5}', r"'''.*?'{3,5}"
_PART = rf"(?:[A-Za-z0-9_-]+|{_BASIC}|{_LITERAL})"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
#: what a value is made of, as far as its end is concerned
_PIECE = re.compile(
    rf"{_LONG_BASIC}|{_LONG_LITERAL}|{_BASIC}|{_LITERAL}|[\[{{]|[\]}}]|\n|#[^\n]*|[^\[\]{{}}\"'\n#]+", re.DOTALL
)
_HEADER = re.compile(r"\[\[?[ \t]*")


def find_lines(text: str, loads: Callable[[str], Mapping[str, Any]]) -> dict[Way, int]:
    """The line, from 1 on, of every key and header of a TOML text; of a key that comes several times the first.

    Arrays of tables are taken as if they were one table, and keys inside a value are left out: see `nearest_line`. `loads`
    reads TOML; quoted keys are read by it.
    """
    found: dict[Way, int] = {}
    table: Way = ()
    place = _end(_SPACE, text, 0)
    while place < len(text):
        header = _HEADER.match(text, place)
        key = _KEY.match(text, header.end() if header else place)
        if key is None:
            break
        way = _read_key(key[0], loads) if header else (*table, *_read_key(key[0], loads))
        line = text.count("\n", 0, place) + 1
        for length in range(1, len(way) + 1):
            found.setdefault(way[:length], line)
        if header:
            table = way
            place = text.find("\n", key.end())
            place = len(text) if place < 0 else place
        else:
            place = _skip_value(text, key.end())
        place = _end(_SPACE, text, place)
    return found


def nearest_line(lines: Mapping[Way, int], way: Way) -> int | None:
    """The line of a key, or of the table or value that it stands in."""
    for length in range(len(way), 0, -1):
        if way[:length] in lines:
            return lines[way[:length]]
    return None


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()


def _read_key(text: str, loads: Callable[[str], Mapping[str, Any]]) -> Way:
    if '"' not in text and "'" not in text:
        return tuple(part.strip() for part in text.split("."))
    way: list[str] = []
    inner: Any = loads(f"{text} = 0")
    while isinstance(inner, Mapping):
        ((name, inner),) = inner.items()
        way.append(name)
    return tuple(way)


def _skip_value(text: str, place: int) -> int:
    """The end of the line in which the value ends that begins here."""
    depth = 0
    while place < len(text):
        piece = _PIECE.match(text, place)
        if piece is None:
            return len(text)
        if piece[0] == "\n" and depth <= 0:
            return place
        depth += (piece[0] in "[{") - (piece[0] in "]}")
        place = piece.end()
    return place
