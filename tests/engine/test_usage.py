"""What an attempt costs is told as the system counts it, and not at all where it does not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from treadle.engine import usage


def burn() -> None:
    sum(number * number for number in range(300_000))


@pytest.mark.parametrize("scope", [usage.PROCESS, usage.THREAD])
def test_work_takes_cpu_time_and_memory(scope: str) -> None:
    before = usage.read(scope)
    burn()
    used = usage.since(before)
    assert used is not None
    assert used.cpu_ms > 0
    assert used.peak_memory > 1_000_000


def test_processes_that_were_waited_for_count() -> None:
    before = usage.read(usage.PROCESS)
    subprocess.run([sys.executable, "-c", "sum(n * n for n in range(3_000_000))"], check=True)
    with_child = usage.since(before)
    own = usage.read(usage.THREAD)
    burn()
    alone = usage.since(own)
    assert with_child is not None and alone is not None
    assert with_child.cpu_ms > alone.cpu_ms


def test_nothing_is_told_where_nobody_asks_or_the_system_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage.read(None) is None
    assert usage.since(None) is None
    monkeypatch.setattr(usage, "resource", ModuleType("resource"))  # one that knows nothing of threads
    assert usage.read(usage.THREAD) is None
    monkeypatch.setattr(usage, "resource", None)
    assert usage.read(usage.PROCESS) is None


def test_system_without_the_module_is_one_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    found = importlib.util.find_spec("treadle.engine.usage")
    assert found is not None and found.loader is not None
    copy = importlib.util.module_from_spec(found)
    found.loader.exec_module(copy)
    assert copy.read() is None
