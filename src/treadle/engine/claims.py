"""What the steps of a run take of the slots that all runs of a home share: when they ask for them, and who asks next.

The driver takes them here before it launches a step, whatever the executor, and lets those that were refused ask again when
it is time. Who of several runs has its turn the store decides; of a run's own steps that need the same only the first one
asks, so that ten thousand that wait cost the store nothing.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from treadle.events import ATTEMPT_ENDS, DagsterEvent
from treadle.logs import RunLog
from treadle.plan.model import Launch, Plan
from treadle.storage.store import RunWriter, SlotClaim, SlotRequest

#: seconds between two times of asking: a part of the time that was waited already, within bounds
_PART, _SHORTEST, _LONGEST = 0.02, 0.05, 0.5
#: of what is in a step's way, how much its message tells
_TOLD = 5


class SharedSlots(NamedTuple):
    """What a run needs of the slots that all runs of its home share."""

    #: how many there are, by name
    limits: Mapping[str, int]
    #: by path of a step: how many it takes, by name
    needs: Mapping[str, Mapping[str, int]]
    #: of the run among runs
    priority: int = 0


#: what a step needs: how many of each name
_Shape = tuple[tuple[str, int], ...]


class _Waiting(NamedTuple):
    """A step that was refused, in the order in which steps of the run ask."""

    priority: int
    number: int
    key: str


class Claims:
    """The slots that steps of one run have taken, and the steps that wait for some."""

    def __init__(self, shared: SharedSlots, plan: Plan, writer: RunWriter, log: RunLog) -> None:
        self._shared = shared
        self._plan = plan
        self._writer = writer
        self._log = log
        #: keys of steps that have what they need
        self._held: set[str] = set()
        #: by what steps need: those that wait, the first at the top of the heap
        self._queues: dict[_Shape, list[_Waiting]] = {}
        #: of each step that was refused and has not got its slots since: its place, and when that was
        self._places: dict[str, tuple[_Waiting, float]] = {}
        #: keys of those among them that the store knows of: the others have not asked, as they come behind these
        self._asked: set[str] = set()
        self._count = 0
        self._told: set[str] = set()
        #: when somebody is to ask again, by the clock of `monotonic`; infinite where nobody waits
        self.due = math.inf

    def take(self, order: Launch) -> bool:
        """Take what a step needs; False where it cannot have it yet, and then `take_due` names it when it may ask again."""
        needs = self._shared.needs.get(order.path)
        if needs is None:
            return True
        key, now = order.step_key, monotonic()
        priority = self._plan.steps[order.path].priority
        place, since = self._places.get(key) or (self._new_place(key, priority), now)
        shape = tuple(sorted(needs.items()))
        if not self._is_behind(place, shape):
            request = SlotRequest(key, needs, (self._shared.priority, priority))
            hindrances = self._writer.ask_for_slots(request, self._shared.limits)
            if not hindrances:
                self._held.add(key)
                self._asked.discard(key)
                self._places.pop(key, None)
                self._wake()  # the next one may ask at once
                return True
            self._asked.add(key)
            self._tell(key, needs, hindrances)
        self._places[key] = place, since
        heapq.heappush(self._queues.setdefault(shape, []), place)
        self.due = min(self.due, now + min(max((now - since) * _PART, _SHORTEST), _LONGEST))
        return False

    def take_due(self) -> list[str]:
        """The keys of steps that are to ask again now: of those that need some of the same the first."""
        if self.due > monotonic():
            return []
        self.due = math.inf
        chosen: list[str] = []
        names: set[str] = set()
        for shape in sorted(filter(self._queues.get, self._queues), key=lambda each: self._queues[each][0]):
            if names.isdisjoint(name for name, _ in shape):
                chosen.append(heapq.heappop(self._queues[shape]).key)
                names.update(name for name, _ in shape)
        if any(self._queues.values()):
            self.due = monotonic() + _LONGEST
        return chosen

    def heed(self, event: DagsterEvent) -> None:
        """An event of the run: where it ends an attempt, give back what that had taken."""
        key = event.step_key
        if event.event_type_value in ATTEMPT_ENDS and key in self._held:
            assert key is not None
            self._held.discard(key)
            self._writer.give_slots_back(key)
            self._wake()

    def _new_place(self, key: str, priority: int) -> _Waiting:
        self._count += 1
        return _Waiting(-priority, self._count, key)

    def _is_behind(self, place: _Waiting, shape: _Shape) -> bool:
        """Whether another step of this run comes first that waits for some of the same: then there is no use in asking."""
        names = {name for name, _ in shape}
        return any(
            queue
            and queue[0] < place
            and (other == shape or (queue[0].key in self._asked and not names.isdisjoint(name for name, _ in other)))
            for other, queue in self._queues.items()
        )

    def _wake(self) -> None:
        if any(self._queues.values()):
            self.due = monotonic()

    def _tell(self, key: str, needs: Mapping[str, int], hindrances: Sequence[SlotClaim]) -> None:
        """Say once of a step that it waits for other runs, and for which."""
        run_id = self._writer.run.run_id
        others = [claim for claim in hindrances if claim.run_id != run_id]
        if not others or key in self._told:
            return
        self._told.add(key)
        limits = self._shared.limits
        names = {name for claim in hindrances for name in claim.slots if name in needs}
        wanted = ", ".join(f'{needs[name]} of the {limits[name]} slots "{name}"' for name in sorted(names))
        listed = [
            f"step {claim.step_key} of run {claim.run_id} {'waits for' if claim.granted is None else 'has'} "
            + ", ".join(f'{count} "{name}"' for name, count in claim.slots.items() if name in needs)
            for claim in others[:_TOLD]
        ]
        more = [f"and {len(others) - _TOLD} more"] if len(others) > _TOLD else []
        self._log.message(logging.INFO, f"Step {key} waits for {wanted}: {'; '.join([*listed, *more])}.", key)
