"""What `@op(timeout=, memory_limit=, slots=, isolation=, cooperative=)` asks of whoever runs the op, checked where it is written.

Executors of other processes hold a step to its limits by ending its process. In the run's own process a step can only be asked
to stop: where its op has promised to look, or awaits, a timeout holds there, too. A memory_limit holds there where it looks, and
is one for the process, whose memory is that of all its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from treadle import introspect
from treadle.errors import DagsterInvalidDefinitionError
from treadle.names import nearest
from treadle.outcomes import ISOLATIONS, Demands
from treadle.settings import read_duration, read_size

#: of an op: where it is to run, in place of what it says itself; and whether it looks if it is to stop
ISOLATION_TAG = "treadle/isolation"
COOPERATIVE_TAG = "treadle/cooperative"

#: where ops run that are in the run's own process
NEAR = frozenset(("inline", "thread", "async"))


class Asked(NamedTuple):
    """The parameters of `@op` as they were given."""

    timeout: Any
    memory_limit: Any
    slots: Any
    isolation: Any
    cooperative: Any


def read_demands(fn: Callable[..., Any], op_name: str, asked: Asked) -> Demands | None:
    """What was asked for; None where nothing was. DagsterInvalidDefinitionError for what cannot be."""
    if asked == _NOTHING:
        return None
    if not isinstance(asked.cooperative, bool):
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": cooperative is True for an op that looks whether it is to stop, else False; got {asked.cooperative!r}.'
        )
    made = Demands(
        _read(op_name, "timeout", asked.timeout, read_duration),
        _read(op_name, "memory_limit", asked.memory_limit, read_size),
        _read_slots(op_name, asked.slots),
        check_isolation(asked.isolation, f'Op "{op_name}"'),
        asked.cooperative or introspect.is_async(fn),
        asked.cooperative,
    )
    if made.isolation in NEAR:
        _check_near(op_name, made)
    return made


_NOTHING = Asked(None, None, None, None, False)


def _check_near(op_name: str, made: Demands) -> None:
    """Refuse limits that cannot be kept where the op is to run: in the process of the run."""
    where = f'with isolation="{made.isolation}" the op runs in that of the run'
    if made.memory_limit is not None and not made.looks:
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": a memory_limit is kept by ending a process, and {where}, where it can only be asked to stop. Let it '
            f"look, with context.check_cancelled(), and say so: cooperative=True; it then stops when that process, with all its "
            f'steps, has more. Or leave one of the two out, or write isolation="process".'
        )
    if made.timeout is not None and not made.is_cooperative:
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": a timeout is kept by ending a process, and {where}, where it can only be asked to stop. Let it '
            f"look, with context.check_cancelled(), and say so: cooperative=True. Or make it an async def, which is cancelled "
            f'where it awaits. Or leave one of the two out, or write isolation="process".'
        )


def read_cooperation(tag: str, what: str) -> bool:
    """What the tag of that name says; DagsterInvalidDefinitionError for any other word."""
    if tag not in ("true", "false"):
        raise DagsterInvalidDefinitionError(f'{what}: it is "true" or "false"; got {tag!r}.')
    return tag == "true"


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
