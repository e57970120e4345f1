"""Who owns a run's log: this process as an owner, and whether another one is alive.

The store keeps leases, and takes them and asks about them here. A process of this host is looked up among its processes; of another host only the
clock tells.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from treadle.errors import RunOwnedError
from treadle.storage import sql
from treadle.storage.store import Lease, Owner

if TYPE_CHECKING:
    import sqlite3


def make_owner() -> Owner:
    """This process, with a token that no other owner has."""
    pid = os.getpid()
    return Owner(_host(), _boot(), pid, _start_of(pid) or 0, uuid.uuid4().hex)


class LeaseTerms(NamedTuple):
    """On what terms a store keeps leases; all but the first are for tests, which play several processes in one."""

    #: seconds for which an owner on another host may be silent before it counts as dead
    duration: float = 15.0
    #: seconds between two renewals; None for as often as the duration asks for. `math.inf` is for never, and then nothing is
    #: committed by itself either
    heartbeat: float | None = None
    clock: Callable[[], float] = time.time
    make_owner: Callable[[], Owner] = make_owner
    #: of a run and the token of a lease whose owner is dead: whether processes that it left may still be at work, and use
    #: what they had of the slots that runs share
    lingers: Callable[[str, str], bool] = lambda _run_id, _token: False


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


def owned(run_id: str, lease: Lease | None = None) -> RunOwnedError:
    """What to raise where a run has an owner that is alive; without a lease it is this process."""
    who = "this process"
    if lease is not None and lease.owner.pid != os.getpid():
        who = f"process {lease.owner.pid} on {lease.owner.host.partition(' ')[0]}"
    return RunOwnedError(
        f"The run {run_id} is under way: {who} runs it. Wait for its end, or follow it; a run can be resumed when its process "
        f"has died."
    )


def take(connection: sqlite3.Connection, number: int, lease: Lease, *, steals: bool = False) -> None:
    """Write a lease on the run of this number, in the caller's transaction.

    RunOwnedError where another owner is alive, unless it `steals`.
    """
    held = connection.execute(sql.queries()["lease"], (lease.run_id,)).fetchone()
    if held is not None and not steals:
        other = sql.lease_of(lease.run_id, held)
        if is_alive(other, lease.renewed):
            raise owned(lease.run_id, other)
    body = msgspec.json.encode(lease.owner).decode()
    parameters = (number, lease.owner.token, body, lease.renewed, lease.duration)
    connection.execute(sql.queries()["take_lease"], parameters)


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
