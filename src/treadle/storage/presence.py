"""Whether processes of a run are still at work, told by the kernel: all of them hold a lock, which goes with the last one.

The run's process takes the lock on the run's folder and its children inherit it. When that process is killed they are gone
a moment later, and whoever goes on with the run waits for that moment: no step begins again while it is still at work, and
nobody is left who writes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

#: seconds in which all children of a process that was killed are gone
LINGERING = 3.0
_LOOK = 0.01
#: seconds in which whoever looks at the lock has seen it
_PATIENCE = 1.0


def hold(folder: Path) -> int | None:
    """Take the lock of a run, to be held together with whoever inherits the descriptor that this gives; make the folder.

    None where the file system has no such locks.
    """
    if sys.platform == "win32":
        return None
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # somebody looks whether it is free, which takes a moment
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def seize(folder: Path, seconds: float = 0.0) -> int | None:
    """Take a lock that nobody holds, for oneself alone: a descriptor, with which it goes. None where somebody holds it after
    that time, or the folder is gone.
    """
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    deadline = time.monotonic() + seconds
    try:
        while not _is_free(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(_LOOK)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def wait_until_free(folder: Path, seconds: float = LINGERING) -> bool:
    """Wait until nobody holds the lock of a run; False where somebody still does after that time, or nobody can tell."""
    if sys.platform != "win32" and not folder.exists():
        return True
    descriptor = seize(folder, seconds)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


class Lingerers:
    """Of leases whose owner is dead, whether processes of their run may still be at work: while they hold the lock, and for
    as long as such processes have at most. So what they use is not given to others at once, and is never lost.

    `folder` has the folders of runs by their ids.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: when a lease was first seen to be dead, by its token
        self._since: dict[str, float] = {}

    def are_there(self, run_id: str, token: str) -> bool:
        """Ask about a lease."""
        since = self._since.setdefault(token, time.monotonic())
        return time.monotonic() - since < LINGERING and not wait_until_free(self._folder / run_id, 0.0)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
