"""The grammar of op names, node paths, step keys and output keys.

Everything that has a name in a job is checked and taken apart here, once, when it is defined.
Pure text in, text or small values out; nothing here knows what a name stands for.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from treadle.errors import CheckError, DagsterInvalidDefinitionError, ParameterCheckError

NAME_PATTERN = re.compile(r"[A-Za-z0-9_]+")

EMAIL_PATTERN = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")

#: the output of an op that names none
DEFAULT_OUTPUT = "result"

#: words that cannot be names: they are keys of run config or names of types
RESERVED_NAMES = frozenset(
    "context conf config meta arg_dict dict input_arg_dict output_arg_dict int str bool float type".split()
) | frozenset(("input", "output"))

#: stands for a mapping key that is not known yet: the step key of a mapped step before its fan-out is `name[?]`
UNKNOWN_KEY = "?"


_NAMELESS = " A lambda has no name: give one with name=..., or write a function."


def is_valid_name(name: object) -> bool:
    """True for a non-empty ASCII word of letters, digits and underscores."""
    return isinstance(name, str) and NAME_PATTERN.fullmatch(name) is not None


def check_name(name: object, what: str) -> str:
    """Return `name`, or raise DagsterInvalidDefinitionError saying why it cannot be the name of `what`."""
    if not isinstance(name, str):
        raise DagsterInvalidDefinitionError(
            f"The name of {what} must be a str, got {name!r} (a {type(name).__name__})."
        )
    if name in RESERVED_NAMES:
        raise DagsterInvalidDefinitionError(
            f'"{name}" is not a valid name for {what}: it conflicts with a reserved word. Choose another name, for '
            f'example "{name}_".'
        )
    return check_key(name, what)


def check_key(name: str, what: str) -> str:
    """Like `check_name`, but reserved words are allowed: for ports and mapping keys."""
    if keyword.iskeyword(name):
        raise DagsterInvalidDefinitionError(
            f'"{name}" is not a valid name for {what}: it conflicts with a Python keyword. Choose another name, for '
            f'example "{name}_".'
        )
    if not is_valid_name(name):
        raise DagsterInvalidDefinitionError(
            f'"{name}" is not a valid name for {what}. It must be in regex ^[A-Za-z0-9_]+$: letters, digits and '
            f"underscores only, at least one of them.{_NAMELESS if name == '<lambda>' else ''}"
        )
    return name


def check_owners(owners: Any, what: str) -> list[str] | None:
    """Owners of `what` as a list; DagsterInvalidDefinitionError for what is neither an email address nor a team."""
    if owners is None:
        return None
    for owner in [owners] if isinstance(owners, str) else owners:
        if owner == "team:":
            raise DagsterInvalidDefinitionError(
                f"{what}: invalid owner 'team:'. Team name cannot be empty after 'team:' prefix."
            )
        is_known = isinstance(owner, str) and (owner.startswith("team:") or EMAIL_PATTERN.fullmatch(owner))
        if not is_known or isinstance(owners, str):
            raise DagsterInvalidDefinitionError(
                f"{what}: invalid owner {owner!r}. Owner must be an email address or a team name prefixed with 'team:', "
                f"in a list, such as owners=['team:data', 'jo@example.com']."
            )
    return list(owners)


def check_pool(pool: str | None, tag: str | None, what: str) -> str | None:
    """A pool's name, or DagsterInvalidDefinitionError where it has spaces or is not what the older tag says."""
    if pool is not None and not isinstance(pool, str):
        raise ParameterCheckError(f'{what}: Param "pool" is not a str. Got {pool!r}.')
    if pool is not None and re.search(r"\s", pool):
        raise DagsterInvalidDefinitionError(
            f'{what}: "{pool}" is not a valid pool name. It must match the regex ^\\S+$: no spaces.'
        )
    if pool is not None and tag is not None and tag != pool:
        raise DagsterInvalidDefinitionError(
            f'{what}: pool "{pool}" conflicts with the tag dagster/concurrency_key, which says "{tag}". Keep one of them.'
        )
    return pool


def nearest(name: object, valid: Iterable[str]) -> str:
    """A clause that suggests the nearest valid name, or an empty string: ` Did you mean "load"?`"""
    import difflib

    matches = difflib.get_close_matches(str(name), list(valid), n=1)
    return f' Did you mean "{matches[0]}"?' if matches else ""


def step_key(path: str, mapping_keys: Sequence[str] = ()) -> str:
    """`outer.inner` and ("a", "b") to `outer.inner[a][b]`."""
    return path + "".join(f"[{key}]" for key in mapping_keys) if mapping_keys else path


def split_step_key(key: str) -> tuple[str, tuple[str, ...]]:
    """`outer.inner[a][b]` to `outer.inner` and ("a", "b")."""
    if not key.endswith("]"):
        return key, ()
    path, *keys = key.split("[")
    return path, tuple(part[:-1] for part in keys)


class NodeHandle(msgspec.Struct, frozen=True, gc=False):
    """Where a node stands: its name in its graph, and the handle of that graph; `str()` gives the dotted path."""

    name: str
    parent: NodeHandle | None = None

    @classmethod
    def from_string(cls, path: str) -> NodeHandle:
        """`outer.inner` to a handle."""
        handle: NodeHandle | None = None
        for part in path.split("."):
            handle = cls(part, handle)
        assert handle is not None
        return handle

    @classmethod
    def from_path(cls, path: Sequence[str]) -> NodeHandle:
        """["outer", "inner"] to a handle."""
        return cls.from_string(".".join(path))

    @property
    def path(self) -> list[str]:
        """Names from the outermost graph inwards."""
        names = []
        handle: NodeHandle | None = self
        while handle is not None:
            names.append(handle.name)
            handle = handle.parent
        return names[::-1]

    @property
    def root(self) -> NodeHandle:
        """The handle of the outermost graph or op on the path."""
        return NodeHandle(self.path[0])

    def to_string(self) -> str:
        """The dotted path."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return self.to_string()

    def is_or_descends_from(self, other: NodeHandle) -> bool:
        """True where `other` is this node or a graph around it."""
        return self.path[: len(other.path)] == other.path


class AssetKey:
    """The name of something that lasts outside the run, in parts; equal and hashed by its parts.

    A str is one part, slashes and all; `from_user_string` splits at slashes. Raises CheckError for anything else.
    """

    __slots__ = ("_parts",)

    def __init__(self, path: str | Sequence[str]) -> None:
        parts = (path,) if isinstance(path, str) else tuple(path) if isinstance(path, (list, tuple)) else None
        if not parts or not all(isinstance(part, str) for part in parts):
            raise CheckError(
                f"AssetKey takes a str or a non-empty list of str, got {path!r} (a {type(path).__name__})."
            )
        self._parts = parts

    @staticmethod
    def from_user_string(text: str) -> AssetKey:
        """`a/b` to a key of two parts."""
        return AssetKey(text.split("/"))

    @staticmethod
    def from_coercible(key: AssetKey | str | Sequence[str]) -> AssetKey:
        """A key as it is, a list as its parts, and a str as a single part; `from_user_string` splits at slashes."""
        return key if isinstance(key, AssetKey) else AssetKey(key)

    @property
    def path(self) -> list[str]:
        """The parts."""
        return list(self._parts)

    @property
    def parts(self) -> list[str]:
        """The parts; another name of `path`."""
        return list(self._parts)

    def to_user_string(self) -> str:
        """The parts joined by slashes."""
        return "/".join(self._parts)

    def to_python_identifier(self, suffix: str | None = None) -> str:
        """The parts as one valid Python name."""
        joined = "__".join([*self._parts, *([suffix] if suffix else [])])
        return re.sub(r"\W", "_", joined)

    def has_prefix(self, prefix: Sequence[str]) -> bool:
        """True where the first parts are those of `prefix`."""
        return self._parts[: len(prefix)] == tuple(prefix)

    def with_prefix(self, prefix: str | Sequence[str]) -> AssetKey:
        """A key with parts put in front."""
        return AssetKey([*([prefix] if isinstance(prefix, str) else prefix), *self._parts])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AssetKey) and self._parts == other._parts

    def __lt__(self, other: AssetKey) -> bool:
        return self._parts < other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    def __repr__(self) -> str:
        return f"AssetKey({list(self._parts)!r})"

    def __reduce__(self) -> tuple[type[AssetKey], tuple[list[str]]]:
        return AssetKey, (list(self._parts),)
