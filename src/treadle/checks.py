"""Check what a user gave, and show it in a message.

The public classes call these at the door, where user input is checked once; nothing behind the door does. They raise
CheckError or ParameterCheckError in one form of words: where, which argument, what came, what to write instead.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from treadle.errors import CheckError, ParameterCheckError

T = TypeVar("T")

#: what is said to correct an argument: a sentence, or a function of the value that makes one
Hint = str | Callable[[Any], str]

LONGEST = 200

_repr = reprlib.Repr()
_repr.maxlevel = 4
_repr.maxstring = _repr.maxother = _repr.maxlong = LONGEST
_repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxfrozenset = _repr.maxdeque = _repr.maxarray = 20
_repr.maxdict = 10


def show(value: object) -> str:
    """The repr of a value for a message: at most about 200 characters, cheap for huge containers, never raises."""
    try:
        text = _repr.repr(value)
    except Exception:  # noqa: BLE001 - a message about a broken object must not be lost to the object's own repr
        text = f"<{type(value).__name__} without a repr>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def name_of(cls: type) -> str:
    """The name of a class as users know it: builtins bare, others with their module."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def check_param(value: object, kinds: type | tuple[type, ...], name: str, where: str, hint: Hint = "") -> None:
    """Raise ParameterCheckError where an argument of a public class or function is not of one of these classes."""
    if not isinstance(value, kinds):
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        wanted = " or ".join(kind.__name__ for kind in kinds)
        advice = hint if isinstance(hint, str) else hint(value)
        raise ParameterCheckError(
            f'{where}: Param "{name}" is not a {wanted}. Got {show(value)} (type {name_of(type(value))}).'
            f"{' ' + advice if advice else ''}"
        )


def check_optional(value: object, kinds: type | tuple[type, ...], name: str, where: str, hint: Hint = "") -> None:
    """Like `check_param`, but None is allowed."""
    if value is not None:
        check_param(value, kinds, name, where, hint)


def list_of(values: Any, kind: type[T], name: str, where: str) -> list[T]:
    """A list or tuple that a user gave, as a list; raises CheckError where a member is not of this class."""
    check_param(values, (list, tuple), name, where)
    for position, value in enumerate(values):
        if not isinstance(value, kind):
            raise CheckError(
                f"{where}: item {position} of {name} is {show(value)} (type {name_of(type(value))}); "
                f"expected a {kind.__name__}."
            )
    return list(values)


def keys_of(keys: Any, name: str, where: str) -> frozenset[str]:
    """The keys in a collection that a user gave, None for none; ParameterCheckError for a bare str, or what is no str."""
    if (
        isinstance(keys, str)
        or not isinstance(keys, Iterable | None)
        or not all(isinstance(key, str) for key in keys or ())
    ):
        raise ParameterCheckError(
            f'{where}: Param "{name}" is not a set of str. Got {show(keys)}. Write {{"database"}} for the resource database.'
        )
    return frozenset(keys or ())
