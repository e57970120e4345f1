"""Steps that a failure kept from running, and which failure: what a run's events do not say of themselves.

results.py asks with what it knows of the events. Nothing here reads events or values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from treadle.definitions.wiring import Wire, WiredOp
from treadle.names import step_key

#: stands for the mapping keys that nobody knows, since the step that gives them did not succeed
UNKNOWN = "?"

_Keys = tuple[str, ...]
#: what did not succeed, for a failure's sake: path -> mapping keys -> keys of the failed steps
_Down = dict[str, dict[_Keys, set[str]]]


def find_blocked(
    ops: Mapping[str, WiredOp],
    begun: Collection[str],
    failed: Collection[str],
    branches_of: Callable[[str, str], Collection[str | None]],
) -> dict[str, list[str]]:
    """By key, the steps without an event that need what failed, directly or not, each with the steps that failed.

    `begun` are the keys of steps with events, skipped ones too, `failed` those that failed; `branches_of` gives the
    mapping keys that a step has yielded for an output. A branch that is not known has `[?]` in its key.
    """
    down: _Down = {}
    blocked: dict[str, list[str]] = {}
    for path, op in ops.items():
        for keys in _branches(op.scope, down, branches_of):
            key = step_key(path, keys)
            if key in failed:
                down.setdefault(path, {})[keys] = {key}
            elif key not in begun:
                causes = {cause for above in _upstream(op) for cause in _causes(down.get(above, {}), keys)}
                if causes:
                    down.setdefault(path, {})[keys] = causes
                    blocked[key] = sorted(causes)
    return blocked


def _branches(
    scope: tuple[Wire, ...], down: _Down, branches_of: Callable[[str, str], Collection[str | None]]
) -> list[_Keys]:
    """The mapping keys of every step that an op has."""
    found: list[_Keys] = [()]
    for fan in scope:
        longer: list[_Keys] = []
        for keys in found:
            longer += [(*keys, str(key)) for key in branches_of(step_key(fan.path, keys), fan.output)]
            if keys in down.get(fan.path, {}):
                longer.append((*keys, UNKNOWN))
        found = longer
    return found


def _upstream(op: WiredOp) -> Iterator[str]:
    for source in op.inputs.values():
        if source is not None:
            yield from (wire.path for wire in source.wires if isinstance(wire, Wire))
    if op.scope:
        yield op.scope[-1].path


def _causes(above: Mapping[_Keys, set[str]], keys: _Keys) -> Iterator[str]:
    """What failed of a step above that these mapping keys lead to; of what is collected, of any of its branches."""
    for other, causes in above.items():
        if all(one == two for one, two in zip(other, keys, strict=False)):
            yield from causes
