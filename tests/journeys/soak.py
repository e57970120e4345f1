"""Runs random jobs that misbehave, kills and cancels them at random, and looks whether the log tells the truth.

tests/journeys/test_soak.py does a few, benchmarks/soak.py as many as go into ten minutes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

from tests.journeys.soak_job import make
from treadle import DagsterInstance
from treadle.events import DagsterEventType as T

#: seconds in which a run of a dozen short steps, each tried at most three times, must have ended
PATIENCE = 90.0
_BEGINNINGS = (T.STEP_START, T.STEP_RESTARTED)
_ROOT = Path(__file__).parents[2]


def start(folder: Path, run_id: str, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.journeys.soak_job", str(folder / "home"), str(folder / "effects"), run_id]
    environment = {**os.environ, "SOAK_MARK": run_id}
    return subprocess.Popen(
        [*command, str(seed)], cwd=_ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def trial(folder: Path, seed: int) -> str:
    """One job, perhaps killed and resumed, perhaps canceled; gives what was done to it. Every claim is an assertion."""
    dice = random.Random(seed * 7919 + 1)
    (folder / "effects").mkdir()
    run_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    done = []
    for fate in (
        *dice.choice(((), ("killed",), ("killed", "killed"), ("canceled",), ("killed", "canceled"))),
        "let be",
    ):
        child = start(folder, run_id, seed)
        assert child.stdout is not None
        child.stdout.readline()
        if fate == "killed":
            time.sleep(dice.uniform(0.0, 1.5))
            child.kill()
        elif fate == "canceled":
            time.sleep(dice.uniform(0.1, 1.0))
            _cancel(folder, run_id)
        out, err = child.communicate(timeout=PATIENCE)
        if child.returncode != -9:
            assert child.returncode == 0, f"seed {seed}, {fate}: {err}"
            told = json.loads(out.splitlines()[-1])
            assert told["opened"] <= 0, f"seed {seed}: descriptors were left open: {told}"
            done.append(fate)
            break
        done.append(fate)
    _check(folder, run_id, seed)
    return ", ".join(done)


def _cancel(folder: Path, run_id: str) -> None:
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceling(run)


def _check(folder: Path, run_id: str, seed: int) -> None:
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        assert instance.store.check() == []
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.is_finished, f"seed {seed}: the run stands at {run.status}"
        events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event is not None]
    successes = Counter(event.step_key for event in events if event.event_type is T.STEP_SUCCESS)
    failures = Counter(event.step_key for event in events if event.event_type is T.STEP_FAILURE)
    begun = Counter(event.step_key for event in events if event.event_type in _BEGINNINGS)
    ordered = Counter(event.step_key for event in events if event.event_type is T.STEP_WORKER_STARTING)
    marks = {path.name: path.stat().st_size for path in (folder / "effects").iterdir()}
    for key, count in successes.items():
        assert count == 1, f"seed {seed}: {key} succeeded {count} times"
        assert key not in failures, f"seed {seed}: {key} succeeded and failed"
        assert marks.get(str(key), 0) >= 1, f"seed {seed}: {key} succeeded without having run"
    assert all(count == 1 for count in failures.values()), f"seed {seed}: {failures}"
    for key, count in marks.items():
        assert count <= ordered[key], f"seed {seed}: {key} ran {count} times, and {ordered[key]} were ordered"
        assert begun[key] <= ordered[key]
    if run.status.value == "SUCCESS":
        paths = set(make(seed).wiring.ops)
        assert {str(key).partition("[")[0] for key in successes} >= {path for path in paths if path[0] in "nft"}
    left = [path for path in folder.rglob("*") if path.name.endswith((".part", "-journal"))]
    assert left == [], f"seed {seed}: {left} is left over"
    deadline = time.monotonic() + 3
    while (alive := _processes_of(run_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == [], f"seed {seed}: these processes outlive the run: {alive}"


def _processes_of(run_id: str) -> list[str]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                if f"SOAK_MARK={run_id}".encode() in (path / "environ").read_bytes():
                    found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
            except OSError:
                continue
    return [command for command in found if command]
