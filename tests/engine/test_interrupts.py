"""Signals of a run, and what somebody asks for from another thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from treadle import DagsterExecutionInterruptedError
from treadle.engine.interrupts import Interrupts


@pytest.fixture
def interrupts():
    made = Interrupts()
    made.install()
    yield made
    made.restore()


def in_thread(work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_signal_is_raised_where_user_code_runs_and_waits_elsewhere(interrupts: Interrupts) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert "SIGTERM" in str(interrupts.pending)
    interrupts.is_open = True
    with pytest.raises(DagsterExecutionInterruptedError, match="SIGINT"):
        os.kill(os.getpid(), signal.SIGINT)
    assert not interrupts.is_open


def test_what_another_thread_asks_for_is_raised_in_the_main_thread(interrupts: Interrupts) -> None:
    asked = DagsterExecutionInterruptedError("The run was canceled.")
    timer = threading.Timer(0.05, interrupts.interrupt, [asked])
    timer.start()
    with pytest.raises(DagsterExecutionInterruptedError) as raised:
        interrupts.is_open = True
        time.sleep(20)
    timer.join()
    assert raised.value is asked


def test_run_outside_the_main_thread_finds_what_is_asked_for_when_it_looks() -> None:
    made = Interrupts()
    in_thread(made.install)
    asked = DagsterExecutionInterruptedError("The run was canceled.")
    made.interrupt(asked)
    assert made.pending is asked
    made.restore()


def test_run_within_a_run_leaves_the_signals_to_the_outer_one(interrupts: Interrupts) -> None:
    inner = Interrupts()
    inner.install()
    os.kill(os.getpid(), signal.SIGINT)
    assert inner.pending is None
    assert interrupts.pending is not None
    inner.restore()
    assert signal.getsignal(signal.SIGINT) == interrupts._handle


def test_second_signal_leaves_with_the_exit_code_of_the_signal(
    interrupts: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    interrupts.ends_at_second = True
    os.kill(os.getpid(), signal.SIGTERM)
    assert codes == []
    os.kill(os.getpid(), signal.SIGTERM)
    assert codes == [128 + signal.SIGTERM]


def test_second_signal_ends_a_process_that_wants_it_so_and_no_other() -> None:
    code = (
        "import os, signal, sys\nfrom treadle.engine.interrupts import Interrupts\n"
        "made = Interrupts()\nmade.ends_at_second = sys.argv[1] == 'ends'\nmade.install()\n"
        "for _ in range(2):\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    codes = {
        how: subprocess.run([sys.executable, "-c", code, how], check=False, timeout=30).returncode
        for how in ("ends", "goes on")
    }
    assert codes == {"ends": 130, "goes on": 0}
