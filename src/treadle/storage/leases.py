"""Who owns a run's log: this process as an owner, and whether another one is alive.

The store keeps leases and asks here. A process of this host is looked up among its processes; of another host only the
clock tells.
"""

from __future__ import annotations

import os
import socket
import uuid
from functools import lru_cache
from pathlib import Path

from treadle.storage.store import Lease, Owner


def make_owner() -> Owner:
    """This process, with a token that no other owner has."""
    pid = os.getpid()
    return Owner(_host(), _boot(), pid, _start_of(pid) or 0, uuid.uuid4().hex)


def is_alive(lease: Lease, now: float, host: str | None = None) -> bool:
    """True while the owner may be at work: its process is there, or, on another host, it has renewed the lease in time.

    A lease from the future is one of before the clock was set back: that it is renewed is not to be expected of it.
    """
    owner = lease.owner
    if owner.host == (_host() if host is None else host):
        if owner.boot != _boot():
            return False
        return _is_same_process(owner)
    return abs(now - lease.renewed) <= lease.duration


def _is_same_process(owner: Owner) -> bool:
    started = _start_of(owner.pid)
    if started is not None:
        return owner.started in (0, started)
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> int | None:
    """When a process started, in ticks since the start of the machine; None where there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; the fields count from behind it.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


@lru_cache(maxsize=1)
def _host() -> str:
    """This host, and where there is such a thing the set of processes that can be seen from here."""
    try:
        space = Path("/proc/self/ns/pid").readlink()
    except OSError:
        space = Path()
    return f"{socket.gethostname()} {space}"


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
