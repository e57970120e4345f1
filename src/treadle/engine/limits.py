"""Which of the steps that are ready may run beside those that do: counted slots; pure

The machine asks before it launches a step, and tells when one has ended. A step that must wait is kept here until what it
waits for is given back, so that ten thousand that wait cost nothing meanwhile. What is taken is part of one run's progress
and ends with it: nothing can leak.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence


class Limits:
    """Slots by name, and how many each step takes.

    `capacities` says how many there are of each; `needs` by path of a step which it takes. No step needs more than there are.
    """

    def __init__(self, capacities: Mapping[str, int], needs: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        self._needs = needs
        self._free = dict(capacities)
        #: by name of what they wait for: keys of steps, with their paths
        self._waiting: dict[str, deque[tuple[str, str]]] = {}

    def take(self, key: str, path: str) -> bool:
        """Take what a step needs, and True; or False, and it waits here until `give_back` names it."""
        needs = self._needs.get(path, ())
        for name, count in needs:
            if self._free[name] < count:
                self._waiting.setdefault(name, deque()).append((key, path))
                return False
        self.occupy(path)
        return True

    def occupy(self, path: str) -> None:
        """Take what a step needs that has begun already."""
        for name, count in self._needs.get(path, ()):
            self._free[name] -= count

    def give_back(self, path: str) -> list[str]:
        """A step has ended; gives the keys of steps that may ask again."""
        found = []
        for name, count in self._needs.get(path, ()):
            self._free[name] += count
            waiting, left = self._waiting.get(name), self._free[name]
            while waiting and left > 0:
                key, waiting_path = waiting.popleft()
                found.append(key)
                left -= dict(self._needs[waiting_path])[name]
        return found

    @property
    def waiting(self) -> int:
        """How many steps wait here."""
        return sum(len(each) for each in self._waiting.values())
