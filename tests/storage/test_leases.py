"""Who is alive: processes of this host by what the system says, those of others by the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import msgspec
import pytest

from treadle.storage import leases
from treadle.storage.store import Lease, Owner


def lease_of(owner: Owner, renewed: float | None = None, duration: float = 15.0) -> Lease:
    return Lease("run", owner, time.time() if renewed is None else renewed, duration)


def test_this_process_is_alive_however_long_ago_it_renewed() -> None:
    assert leases.is_alive(lease_of(leases.make_owner(), renewed=0.0), time.time())


def test_two_owners_of_one_process_are_two() -> None:
    assert leases.make_owner() != leases.make_owner()


def test_process_that_has_ended_is_dead_at_once_also_before_it_is_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = leases._start_of(child.pid)
    assert started is not None
    owner = msgspec.structs.replace(leases.make_owner(), pid=child.pid, started=started)
    assert leases.is_alive(lease_of(owner), time.time())
    child.kill()
    until = time.monotonic() + 5
    while leases.is_alive(lease_of(owner), time.time()):
        assert time.monotonic() < until
        time.sleep(0.01)
    child.wait()
    assert not leases.is_alive(lease_of(owner), time.time())
    assert child.stdin is not None
    child.stdin.close()


def test_number_of_a_process_that_was_used_again_is_not_mistaken() -> None:
    owner = msgspec.structs.replace(leases.make_owner(), started=12345)
    assert not leases.is_alive(lease_of(owner), time.time())


def test_owner_of_before_the_machine_was_started_is_dead() -> None:
    owner = msgspec.structs.replace(leases.make_owner(), boot="another")
    assert not leases.is_alive(lease_of(owner), time.time())


@pytest.mark.parametrize(
    ("silent", "is_alive"), [(0.0, True), (14.0, True), (16.0, False), (-10.0, True), (-3600.0, False)]
)
def test_owner_on_another_host_is_alive_while_it_renews_also_when_the_clock_was_set_back(
    silent: float, is_alive: bool
) -> None:
    owner = msgspec.structs.replace(leases.make_owner(), host="elsewhere", pid=os.getpid() + 1)
    now = time.time()
    assert leases.is_alive(lease_of(owner, renewed=now - silent), now) is is_alive


def test_without_the_systems_own_list_a_process_is_asked_for_by_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_start_of", lambda _pid: None)
    monkeypatch.setattr(leases.Path, "exists", lambda _path: False)
    assert leases._is_same_process(msgspec.structs.replace(leases.make_owner(), pid=os.getpid()))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not leases._is_same_process(msgspec.structs.replace(leases.make_owner(), pid=child.pid))
