"""Values of a run that are handed over in memory: who keeps them, lets them go, and moves to disk what is left.

The run's process holds a lock on the run's folder in memory; a process beside it waits for its end, however that comes, and
moves what is left to disk. Where that one is killed, too, the next run of the home does it, a resume or `treadle gc`.
Which values are needed engine/holdings.py tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.definitions.shelf import NoShelf, Shelf, find_shelves, make_shelf, name_of, of_user, read_shelf
from treadle.engine.holdings import Holdings
from treadle.engine.machine import Machine
from treadle.engine.workplace import Workplace
from treadle.errors import TreadleExecutorWarning, error_info
from treadle.events import DagsterEvent, DagsterEventType, StepOutputHandle, run_event
from treadle.payloads import EngineEventData
from treadle.storage import presence

if TYPE_CHECKING:
    import subprocess

#: seconds in which whoever moves the values of a run that has died is through with it
_PATIENCE = 30.0
#: waits until its input ends. That is without a word where the run's process was killed: then it does that one's work
_GUARD = """
import sys
if not sys.stdin.read():
    import json
    sys.path[:] = json.loads(sys.argv[2])
    from pathlib import Path
    from treadle.executors.custodian import rescue
    from treadle.definitions.shelf import read_shelf
    shelf = read_shelf(Path(sys.argv[1]))
    if shelf is not None:
        rescue(shelf, patience=5.0)
"""


class MemoryCustodian:
    """Keeps the values of one run that are in memory."""

    def __init__(self, place: Workplace, machine: Machine) -> None:
        self._place = place
        self._holdings = Holdings(machine)
        self._shelf: Shelf | None = None
        self._lock: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def open(self) -> Iterator[DagsterEvent]:
        """Make the run's folder in memory, and have it watched. Where that cannot be, it is told, and values go to disk."""
        facts = self._place.facts
        instance = facts.instance
        storage = Path(instance.storage_directory())
        clear_dead(storage)
        try:
            shelf = make_shelf(storage, facts.run.run_id, instance.settings.memory_limit)
            self._lock = presence.hold(shelf.folder)
            shelf = shelf.settle()
        except NoShelf as error:
            text = f"Values are handed over on disk, though artifacts.hand_over says memory: {error}."
            warnings.warn(text, TreadleExecutorWarning, stacklevel=2)
            yield self._note(text)
            return
        self._guard = _start_guard(shelf)
        self._shelf = self._place.shelf = shelf

    def _note(self, text: str, error: BaseException | None = None) -> DagsterEvent:
        data = EngineEventData(error=error_info(error) if error is not None else None)
        return run_event(DagsterEventType.ENGINE_EVENT, self._place.facts.run.job_name, data, message=text)

    def follow(self, event: DagsterEvent) -> list[StepOutputHandle]:
        """The values that nobody needs any more after an event."""
        return self._holdings.follow(event) if self._shelf is not None else []

    def let_go(self, handles: Sequence[StepOutputHandle]) -> None:
        """Delete values."""
        assert self._shelf is not None
        for handle in handles:
            with contextlib.suppress(OSError):
                self._shelf.let_go(path_of(self._shelf.belongs, handle))

    def close(self) -> Iterator[DagsterEvent]:
        """Move what is left to disk, and let the guard go."""
        if self._shelf is not None:
            problems = self._shelf.clear_out()  # may be interrupted, and is called again then
            self._shelf = self._place.shelf = None
            for problem in problems:
                text = (
                    f"A value that is in memory could not be moved to disk, and is lost when the machine stops: {problem}. Make room "
                    f"there, then run `treadle gc`, which moves it."
                )
                yield self._note(text, problem)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        guard, self._guard = self._guard, None
        if guard is not None:
            with contextlib.suppress(OSError):
                guard.communicate(b"done")


def _start_guard(shelf: Shelf) -> subprocess.Popen[bytes] | None:
    """The process that clears up after this one; where there can be none the next run of the home does its work."""
    import subprocess

    path = json.dumps([str(entry) for entry in sys.path])
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(shelf.folder), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def path_of(belongs: Path, handle: StepOutputHandle) -> Path:
    """The own path of a value, below the run's folder on disk."""
    path = belongs / handle.step_key / handle.output_name
    return path if handle.mapping_key is None else path / handle.mapping_key


def rescue(shelf: Shelf, *, patience: float = 0.0) -> bool:
    """Move to disk what a run has left in memory whose process has died; False where that is still there, or one could not be
    moved. Of several that do so at once one does it, and the others wait.
    """
    lock = presence.seize(shelf.folder, patience)
    if lock is None:
        return not shelf.folder.exists()
    try:
        presence.wait_until_free(shelf.belongs)
        if shelf.belongs.is_dir():
            return not shelf.clear_out()
        shelf.remove()  # the run was deleted
        return True
    finally:
        os.close(lock)


def clear_dead(storage: Path) -> int:
    """Rescue the values of all runs of a home that have died; gives how many runs."""
    return sum(rescue(shelf) for shelf in find_shelves(storage))


def rescue_run(storage: Path, run_id: str) -> None:
    """Rescue the values of one run, which nobody has any more, before it goes on."""
    shelf = read_shelf(of_user() / name_of(storage, run_id))
    if shelf is not None:
        rescue(shelf, patience=_PATIENCE)
