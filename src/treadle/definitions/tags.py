"""Tags of ops, graphs, jobs and runs: what a user gave, as text.

Every definition that takes tags reads them here, once, when it is made. Of what tags mean only the priority is known
here, so that a wrong one is told where it is written.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec

from treadle.checks import check_optional
from treadle.errors import DagsterInvalidDefinitionError

#: of an op: which of the steps that are ready starts first
PRIORITY_TAG = "dagster/priority"

#: an optional prefix (with a leading dot it is hidden), a slash, and the name
_TAG_KEY = r"(\.?[A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}(/[A-Za-z0-9_.-]{1,63})*"


def _outside() -> int:
    """How many frames up the code of somebody else is."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "treadle":
        depth, frame = depth + 1, frame.f_back
    return depth


def read_tags(tags: Mapping[str, Any] | None, what: str) -> dict[str, str]:
    """Tags as text; what is not a str becomes JSON. DagsterInvalidDefinitionError for what JSON cannot hold."""
    made: dict[str, str] = {}
    check_optional(tags, Mapping, "tags", what, 'Write {"team": "data"}.')
    odd = [key for key in tags or () if not re.fullmatch(_TAG_KEY, str(key))]
    if odd:
        warnings.warn(
            f"Tags of {what}: Non-compliant tag keys like {odd} are deprecated: other tools cannot look for them. A key has up to "
            f"63 letters, digits, '_', '-' and '.', maybe behind a prefix and a slash.",
            DeprecationWarning,
            stacklevel=_outside(),
        )
    for key, value in (tags or {}).items():
        if not isinstance(key, str):
            raise DagsterInvalidDefinitionError(f"Tags of {what}: a tag's name must be a str, got {key!r}.")
        if isinstance(value, str):
            made[key] = value
            continue
        try:
            made[key] = msgspec.json.encode(value).decode()
        except (TypeError, ValueError):
            raise DagsterInvalidDefinitionError(
                f'Tags of {what}: the value of "{key}" must be a str or JSON-serialisable, got {value!r} (a '
                f"{type(value).__name__})."
            ) from None
    return made


def read_op_tags(tags: Mapping[str, Any] | None, what: str) -> dict[str, str]:
    """Tags of an op. DagsterInvalidDefinitionError also for a priority that is not a whole number."""
    made = read_tags(tags, what)
    priority_of(made, what)
    return made


def priority_of(tags: Mapping[str, str], what: str) -> int:
    """The priority that the tags of an op ask for. DagsterInvalidDefinitionError where it is not a whole number."""
    text = tags.get(PRIORITY_TAG)
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError:
        raise DagsterInvalidDefinitionError(
            f'Tags of {what}: {PRIORITY_TAG} must be a whole number as text, such as "5" or "-1"; got {text!r}.'
        ) from None
