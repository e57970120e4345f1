"""What docstrings say about parameters and return values, in the styles that people write."""

from __future__ import annotations

import inspect

import pytest

from treadle import In, op
from treadle.docstrings import read_descriptions

GOOGLE = """
    Add two numbers.

    Args:
        a (int): the first
            of two
        *b: the second

    Returns:
        int: the sum
        of both

    Raises:
        ValueError: never
"""
NUMPY = """
    Add two numbers.

    Parameters
    ----------
    a : int
        the first
        of two
    b
        the second

    Returns
    -------
    int
        the sum
        of both
"""
REST = """
    Add two numbers.

    :param a: the first
        of two
    :param int b: the second
    :returns: the sum
        of both
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_every_style_is_read(text: str) -> None:
    found = read_descriptions(inspect.cleandoc(text))
    assert {name: told.split() for name, told in found.parameters.items()} == {
        "a": ["the", "first", "of", "two"],
        "b": ["the", "second"],
    }
    assert found.returns is not None
    assert found.returns.split() == ["the", "sum", "of", "both"]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Adds.",
        "Returns the sum of it.",
        "Args:",
        "Args:\n\nReturns:\n",
        ":param: nothing",
        "Params are odd.\n\nArgs: a, b",
    ],
)
def test_what_has_no_such_parts_gives_none(text: str | None) -> None:
    found = read_descriptions(text)
    assert (found.parameters, found.returns) == ({}, None)


def test_op_describes_its_inputs_and_its_output() -> None:
    @op(ins={"b": In(description="given")})
    def add(a: int, b: int) -> int:
        """Add.

        Args:
            a: the first
            b: the second

        Returns:
            the sum
        """
        return a + b

    assert {name: port.description for name, port in add.ins.items()} == {"a": "the first", "b": "given"}
    assert add.outs["result"].description == "the sum"
