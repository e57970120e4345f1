"""The notation of golden event sequences: text into the full list of (event type, step key), and back from a run.

`key{SS SX}` stands for events with that step key, `-{RS EE}` for events without one. `Pn · … · OK` and its relatives stand
for what an engine adds around the steps. Tests call `expand` and `observe` and compare the two lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

CODES = {
    "RS": "RUN_START",
    "OK": "RUN_SUCCESS",
    "RF": "RUN_FAILURE",
    "RC": "RUN_CANCELED",
    "EE": "ENGINE_EVENT",
    "RI": "RESOURCE_INIT_STARTED",
    "RD": "RESOURCE_INIT_SUCCESS",
    "RX": "RESOURCE_INIT_FAILURE",
    "LC": "LOGS_CAPTURED",
    "WS": "STEP_WORKER_STARTING",
    "WD": "STEP_WORKER_STARTED",
    "SS": "STEP_START",
    "LI": "LOADED_INPUT",
    "SI": "STEP_INPUT",
    "SO": "STEP_OUTPUT",
    "HO": "HANDLED_OUTPUT",
    "SX": "STEP_SUCCESS",
    "SF": "STEP_FAILURE",
    "SK": "STEP_SKIPPED",
    "UR": "STEP_UP_FOR_RETRY",
    "RE": "STEP_RESTARTED",
    "HC": "HOOK_COMPLETED",
    "HE": "HOOK_ERRORED",
    "HS": "HOOK_SKIPPED",
    "AM": "ASSET_MATERIALIZATION",
    "AO": "ASSET_OBSERVATION",
    "EX": "STEP_EXPECTATION_RESULT",
}

#: what an engine adds before the first step, and after the last one; `{key}` is the plan's only step
HEADS = {"Pn": "-{RS EE RI RD LC}", "P1": "-{RS EE} KEY{RI RD} -{LC}", "M": "-{RS EE}"}
TAILS = {"OK": "-{EE OK}", "FAIL": "-{EE RF}"}

#: what one child process adds before the events of its step
CHILD = "KEY{WS WD RI RD} -{LC}"

GROUP = re.compile(r"\s*(?P<key>-|[\w.\[\]]+)(?P<open>[{«])(?P<codes>[^}]*)}")
HOOKS = {"HOOK_COMPLETED", "HOOK_SKIPPED", "HOOK_ERRORED"}


class Seen(NamedTuple):
    """One event, as far as a golden sequence tells it."""

    type_name: str
    step_key: str | None


def expand(text: str) -> list[Seen]:
    """All events that the text stands for, in order; `ValueError` where the text is not in the notation."""
    parts = [part.strip() for part in text.split("·")]
    head = HEADS[parts.pop(0)] if parts[0] in HEADS else ""
    tail = TAILS[parts.pop()] if parts[-1] in TAILS else ""
    body = " ".join(parts)
    if "KEY" in head:
        head = head.replace("KEY", _first_key(body))
    return _normalised([*_groups(head), *_groups(body), *_groups(tail)])


def observe(events: Iterable[Any]) -> list[Seen]:
    """The events of a run in the same form as `expand` gives."""
    return _normalised([Seen(event.event_type.name, event.step_key) for event in events])


def stop_at_first_failure(text: str) -> str:
    """The sequence of the same run when it stops at its first failing step, before any hook: `… k{SS SF} -{RF}`."""
    before, failing, _ = text.partition("SF")
    return f"{before}SF}} -{{RF}}" if failing else text


def _groups(text: str) -> list[Seen]:
    seen: list[Seen] = []
    at = 0
    while text[at:].strip():
        group = GROUP.match(text, at)
        if group is None:
            raise ValueError(f"expected `key{{CODES}}` at {text[at:]!r} in {text!r}")
        key = group["key"]
        if group["open"] == "«":
            seen += _groups(CHILD.replace("KEY", key))
        unknown = [code for code in group["codes"].split() if code not in CODES]
        if unknown:
            raise ValueError(f"unknown codes {unknown} in {text!r}; known are {sorted(CODES)}")
        seen += [Seen(CODES[code], None if key == "-" else key) for code in group["codes"].split()]
        at = group.end()
    return seen


def _first_key(body: str) -> str:
    group = GROUP.match(body)
    if group is None:
        raise ValueError(f"a plan of one step needs that step's events, got {body!r}")
    return group["key"]


def _normalised(seen: list[Seen]) -> list[Seen]:
    """Hooks of one step have no order among themselves: a stretch of hook events is sorted."""
    ordered: list[Seen] = []
    for is_hook, group in groupby(seen, key=lambda event: event.type_name in HOOKS):
        stretch = list(group)
        ordered += sorted(stretch, key=lambda event: (str(event.step_key), event.type_name)) if is_hook else stretch
    return ordered
