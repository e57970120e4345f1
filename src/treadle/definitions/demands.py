"""What `@op(timeout=, memory_limit=, slots=, isolation=)` asks of whoever runs the op, checked where it is written.

Executors of other processes hold a step to its limits by ending its process; in process nothing can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from treadle.errors import DagsterInvalidDefinitionError
from treadle.names import nearest
from treadle.outcomes import ISOLATIONS, Demands
from treadle.settings import read_duration, read_size

#: of an op: where it is to run, in place of what it says itself
ISOLATION_TAG = "treadle/isolation"


def read_demands(op_name: str, timeout: Any, memory_limit: Any, slots: Any, isolation: Any) -> Demands | None:
    """What is asked for; None where nothing is. DagsterInvalidDefinitionError for what cannot be."""
    if timeout is None and memory_limit is None and not slots and isolation is None:
        return None
    made = Demands(
        _read(op_name, "timeout", timeout, read_duration),
        _read(op_name, "memory_limit", memory_limit, read_size),
        _read_slots(op_name, slots),
        check_isolation(isolation, f'Op "{op_name}"'),
    )
    if isolation in ("inline", "thread", "async") and (timeout is not None or memory_limit is not None):
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": a timeout or memory_limit is kept by ending a process, and with isolation="{isolation}" the op runs in '
            f'that of the run. Leave one of the two out, or write isolation="process".'
        )
    return made


def check_isolation(isolation: Any, what: str) -> str | None:
    """Where an op is to run; DagsterInvalidDefinitionError where that is no such place."""
    if isolation is not None and isolation not in ISOLATIONS:
        raise DagsterInvalidDefinitionError(
            f"{what}: isolation is one of {', '.join(ISOLATIONS)}; got {isolation!r}."
            f"{nearest(isolation, ISOLATIONS) if isinstance(isolation, str) else ''}"
        )
    found: str | None = isolation
    return found


def _read(op_name: str, name: str, value: Any, read: Any) -> Any:
    if value is None:
        return None
    try:
        found = read(value)
    except ValueError as error:
        raise DagsterInvalidDefinitionError(f'Op "{op_name}": {name} is {error}; got {value!r}.') from None
    if not found > 0 or math.isinf(found):
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": {name} must be more than nothing, and have an end; got {value!r}. Leave it out for no limit.'
        )
    return found


def _read_slots(op_name: str, slots: Any) -> dict[str, int]:
    if slots is None:
        return {}
    if not isinstance(slots, Mapping) or not all(isinstance(name, str) and name for name in slots):
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": slots is a dict of names and how many a step takes, such as {{"gpu": 1}}; got {slots!r}.'
        )
    for name, count in slots.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise DagsterInvalidDefinitionError(
                f'Op "{op_name}": a step takes a whole number of slots "{name}", one or more; got {count!r}.'
            )
    return dict(slots)
