"""SlotUse: how the slots stand that runs share, as an instance answers it; a fold over what steps have claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from treadle.storage.store import SlotClaim


class SlotUse(msgspec.Struct, frozen=True):
    """How the slots of one name stand that all runs of an instance share."""

    name: str
    #: how many there are, and where that was said; None where this process knows of no limit, and another one does
    limit: int | None
    origin: str
    #: how many are taken
    taken: int
    #: by whom, the oldest first
    holders: Sequence[SlotClaim]
    #: steps that wait for some, in the order of their turns
    waiting: Sequence[SlotClaim]


def uses_of(claims: Sequence[SlotClaim], limits: Mapping[str, int], origins: Mapping[str, str]) -> list[SlotUse]:
    """How the slots of each name stand, sorted by name: of those with a limit, and of all that are claimed."""
    found = []
    for name in sorted({*limits, *(name for claim in claims for name in claim.slots)}):
        about = [claim for claim in claims if name in claim.slots]
        holders = [claim for claim in about if claim.granted is not None]
        waiting = [claim for claim in about if claim.granted is None]
        taken = sum(claim.slots[name] for claim in holders)
        found.append(SlotUse(name, limits.get(name), origins.get(name, "another process"), taken, holders, waiting))
    return found
