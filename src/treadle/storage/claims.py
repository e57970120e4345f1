"""The slots that runs of a home share: who has taken which, who waits, and whose turn it is.

A claim is a step's, and belongs to the lease of its run: it counts while the lease's owner is alive, and is deleted when
whoever asks next sees that it is not. So nothing leaks, and nobody has to clear up. The SQLite store comes here, in its own
transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from treadle.errors import CheckError
from treadle.storage import sql
from treadle.storage.store import Lease, SlotClaim, SlotRequest

if TYPE_CHECKING:
    import sqlite3

#: seconds after which a step that waits, and does not ask again, holds up nobody: its run is at something else, or stands
#: still. It keeps its place.
SILENCE = 3.0

_LARGEST = 2**63 - 1


class Entry(NamedTuple):
    """A claim as the store has it."""

    number: int
    claim: SlotClaim
    token: str
    seen: float
    #: of the claim's run as it stands, and its token
    lease: Lease | None
    lease_token: str | None

    @property
    def turn(self) -> tuple[int, int, float, int]:
        """What comes first has its turn first."""
        run, step = self.claim.priority
        return -run, -step, self.claim.asked, self.number


class Standing(NamedTuple):
    """Which claims count, and which are to be deleted."""

    counting: Sequence[Entry]
    gone: Sequence[Entry]


def read(connection: sqlite3.Connection) -> list[Entry]:
    """All claims in the store."""
    found = []
    for row in connection.execute(sql.queries()["claims"]):
        number, run_id, step, token, slots, run_priority, step_priority, asked, seen, granted = row[:10]
        claim = SlotClaim(run_id, step, msgspec.json.decode(slots), (run_priority, step_priority), asked, granted)
        lease = sql.lease_of(run_id, row[11:]) if row[10] is not None else None
        found.append(Entry(number, claim, token, seen, lease, row[10]))
    return found


def sort_out(
    entries: Sequence[Entry], is_alive: Callable[[Entry], bool], lingers: Callable[[str, str], bool]
) -> Standing:
    """Which claims count: those whose owner is alive, and of those that are dead what was granted as long as processes that
    used it are still there.
    """
    known: dict[str, bool] = {}
    counting: list[Entry] = []
    gone: list[Entry] = []
    for entry in entries:
        if entry.token not in known:
            known[entry.token] = is_alive(entry)
        counts = known[entry.token]
        if not counts and entry.claim.granted is not None:
            counts = lingers(entry.claim.run_id, entry.token)
        (counting if counts else gone).append(entry)
    return Standing(counting, gone)


def in_the_way(mine: Entry, others: Sequence[Entry], limits: Mapping[str, int], now: float) -> list[SlotClaim]:
    """What keeps a step from taking all that it asks for; nothing where it may.

    In its way is what is taken, and what those are to have who wait and come before it: so a step that needs much is not
    passed by many that need little, for ever.
    """
    wanted = mine.claim.slots
    left = {name: limits[name] for name in wanted}
    ahead: list[Entry] = []
    for other in others:
        names = other.claim.slots.keys() & wanted.keys()
        waits = other.claim.granted is None
        if not names or (waits and (other.turn > mine.turn or abs(now - other.seen) > SILENCE)):
            continue
        ahead.append(other)
        for name in names:
            left[name] -= other.claim.slots[name]
    short = {name for name, count in wanted.items() if left[name] < count}
    return in_order([each for each in ahead if short & each.claim.slots.keys()])


class Asker(NamedTuple):
    """Whose request it is: the number of a run, its id, and the token of its lease."""

    number: int
    run_id: str
    token: str


class Verdict(NamedTuple):
    """What comes of a request."""

    #: what the step is to have, or to wait for
    claim: SlotClaim
    #: what is in its way
    hindrances: list[SlotClaim]
    #: what the store has of it so far
    mine: Entry | None
    #: what is to be deleted, since it does not count any more
    gone: Sequence[Entry]


def weigh(
    entries: Sequence[Entry], asker: Asker, request: SlotRequest, limits: Mapping[str, int], now: float,
    standing: Callable[[list[Entry]], Standing],
) -> Verdict:  # fmt: skip
    """Whether a step may have what it asks for, as things stand."""
    own = [each for each in entries if each.token == asker.token]
    # What the run claimed in a former life is gone: whoever goes on with a run has waited for its processes.
    former = [each for each in entries if each.claim.run_id == asker.run_id and each.token != asker.token]
    counting, gone = standing([each for each in entries if each.claim.run_id != asker.run_id])
    mine = next((each for each in own if each.claim.step_key == request.step_key), None)
    gone = (*former, *gone)
    if mine is not None and mine.claim.granted is not None:
        return Verdict(mine.claim, [], mine, gone)
    run_priority, step_priority = (min(max(each, -_LARGEST), _LARGEST) for each in request.priority)
    asked, number = (now, _LARGEST) if mine is None else (mine.claim.asked, mine.number)
    claim = SlotClaim(asker.run_id, request.step_key, request.slots, (run_priority, step_priority), asked)
    others = [each for each in (*own, *counting) if each is not mine]
    hindrances = in_the_way(Entry(number, claim, asker.token, now, None, None), others, limits, now)
    return Verdict(claim, hindrances, mine, gone)


def look(
    connection: sqlite3.Connection, asker: Asker, request: SlotRequest, limits: Mapping[str, int], now: float,
    standing: Callable[[list[Entry]], Standing],
) -> list[SlotClaim]:  # fmt: skip
    """What is still in the way of a step that waits; nothing where that is for `ask` to say, as something is to be written.

    Whoever waits comes often, and must not keep others from writing each time.
    """
    verdict = weigh(read(connection), asker, request, limits, now, standing)
    mine = verdict.mine
    if mine is None or verdict.gone or verdict.claim != mine.claim or mine.lease_token not in (None, asker.token):
        return []
    return verdict.hindrances if abs(now - mine.seen) < SILENCE / 3 else []


def ask(
    connection: sqlite3.Connection, asker: Asker, request: SlotRequest, limits: Mapping[str, int], now: float,
    standing: Callable[[list[Entry]], Standing],
) -> list[SlotClaim]:  # fmt: skip
    """Take what a step asks for, all of it, or let it wait for its turn; gives what is in its way, nothing where it has it.

    In the caller's transaction.
    """
    check(request, limits)
    verdict = weigh(read(connection), asker, request, limits, now, standing)
    claim, queries = verdict.claim, sql.queries()
    for entry in verdict.gone:
        connection.execute(queries["delete_claim"], (entry.number,))
    if claim.granted is None:
        slots = msgspec.json.encode(claim.slots).decode()
        facts = asker.number, claim.step_key, asker.token, slots, *claim.priority, claim.asked
        connection.execute(queries["put_claim"], (*facts, now, None if verdict.hindrances else now))
    return verdict.hindrances


def check(request: SlotRequest, limits: Mapping[str, int]) -> None:
    """CheckError for a request that could never be met."""
    for name, count in request.slots.items():
        if count > limits.get(name, 0):
            raise CheckError(
                f'Step "{request.step_key}" asks for {count} of the slots "{name}", and there are {limits.get(name, 0)}: it would '
                f"wait for ever."
            )


def in_order(entries: Sequence[Entry]) -> list[SlotClaim]:
    """Claims as they are shown: what is taken, the oldest first, then what waits, in the order of turns."""
    taken = [each for each in entries if each.claim.granted is not None]
    waiting = [each for each in entries if each.claim.granted is None]
    taken.sort(key=lambda each: (each.claim.granted or 0.0, each.number))
    waiting.sort(key=lambda each: each.turn)
    return [each.claim for each in (*taken, *waiting)]
