"""Where each key of a TOML file stands: the reader of TOML is the judge of which keys there are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.toml_lines import Way, find_lines, nearest_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def lines(text: str) -> dict[Way, int]:
    return find_lines(text, tomllib.loads)


TEXT = """\
# durability = "full"
title = "a = 1" # b = 2
long = '''
[retention]
max_runs = 3
'''
quoted = \"\"\"x \\\"\"\"
durability = 4 \"\"\"\"\"
numbers = [ # [no.table]
  1, "]",
  { c = 3 },
]
retention.max_runs = 7
inline = { max_runs = 1, deep = { x = "}" } }

[ "tool" . 'tread.le' ]
"max age" = 1
max_runs = 2
[other]
max_runs = 3
[[table.of]]
max_runs = 4
[[table.of]]
max_runs = 5
    [table.of.inner]
    "esc\\u0061ped" = 1
[[lone]]"""


def test_every_key_has_the_line_in_which_it_stands() -> None:
    tomllib.loads(TEXT)
    assert lines(TEXT) == {
        ("title",): 2, ("long",): 3, ("quoted",): 7, ("numbers",): 9, ("retention",): 13, ("retention", "max_runs"): 13,
        ("inline",): 14, ("tool",): 16, ("tool", "tread.le"): 16, ("tool", "tread.le", "max age"): 17,
        ("tool", "tread.le", "max_runs"): 18, ("other",): 19, ("other", "max_runs"): 20, ("table",): 21,
        ("table", "of"): 21, ("table", "of", "max_runs"): 22, ("table", "of", "inner"): 25,
        ("table", "of", "inner", "escaped"): 26, ("lone",): 27,
    }  # fmt: skip


def test_key_inside_a_value_has_the_line_of_the_value() -> None:
    found = lines(TEXT)
    assert nearest_line(found, ("inline", "deep", "x")) == 14
    assert nearest_line(found, ("nowhere", "x")) is None


keys = st.text(st.sampled_from("ab-_1 .\"'#=[]é\n\\"), min_size=1, max_size=4)
texts = st.text(st.sampled_from("ab \"'\n\\#=[]{},"), max_size=12)


def basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def long_basic(text: str) -> str:
    return '"""\n' + text.replace("\\", "\\\\").replace('"""', '""\\"') + '"""'


@st.composite
def values(draw: st.DrawFn) -> str:
    one = st.one_of(
        st.just("1"), st.just("2020-01-01"), texts.map(basic), texts.map(long_basic),
        texts.filter(lambda text: "'" not in text and "\n" not in text).map(lambda text: f"'{text}'"),
        texts.filter(lambda text: "'''" not in text and not text.endswith("'")).map(lambda text: f"'''{text}'''"),
    )  # fmt: skip
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return "[ # first\n" + ",\n".join(draw(st.lists(one, max_size=3))) + "\n]"
    if kind == 1:
        return "{ x = " + draw(one) + ", y.z = " + draw(one) + " }"
    alone: str = draw(one)
    return alone


def written(way: tuple[str, ...], is_bare: bool) -> str:
    bare = [
        part if is_bare and part.replace("-", "a").replace("_", "a").isalnum() and part.isascii() else basic(part)
        for part in way
    ]
    return " . ".join(bare)


@given(st.lists(st.tuples(st.lists(keys, min_size=1, max_size=3), values(), st.booleans(), st.booleans()), max_size=6))
def test_lines_are_found_for_exactly_the_keys_that_the_reader_finds(
    entries: list[tuple[list[str], str, bool, bool]],
) -> None:
    text = ""
    table: Way = ()
    expected: dict[Way, int] = {}
    for way, value, is_header, is_bare in entries:
        piece = (
            f"[{written(tuple(way), is_bare)}] # {value[:3].splitlines()[:1]}\n"
            if is_header
            else f"{written(tuple(way), is_bare)} = {value}\n"
        )
        try:
            tomllib.loads(text + piece)
        except tomllib.TOMLDecodeError:
            continue  # the key is there already
        line = text.count("\n") + 1
        table = tuple(way) if is_header else table
        full = table if is_header else (*table, *way)
        for length in range(1, len(full) + 1):
            expected.setdefault(full[:length], line)
        text += piece
    assert lines(text) == expected
    for each in ways(tomllib.loads(text)):
        assert nearest_line(lines(text), each) is not None


def ways(table: Mapping[str, Any], before: Way = ()) -> list[Way]:
    found = []
    for key, value in table.items():
        found += ways(value, (*before, key)) if isinstance(value, Mapping) and value else [(*before, key)]
    return found


@given(st.text(st.sampled_from("ab \"'\n\\#=[]{},.")))
def test_any_text_at_all_comes_to_an_end(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines(text)


@pytest.mark.parametrize("text", ["", "# only a comment", "\n\n", "a = 1", "a = 1\r\nb = 2"])
def test_small_files(text: str) -> None:
    assert set(lines(text.replace("\r\n", "\n"))) == {(key,) for key in tomllib.loads(text)}
