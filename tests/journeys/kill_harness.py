"""Kills a run at a given moment, resumes it, and looks whether anything was lost, repeated or left over.

tests/journeys/test_kill.py does that at some moments, benchmarks/kill.py at all of them and at many more at random.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from treadle import DagsterInstance
from treadle.events import DagsterEventType as T
from treadle.plan.past import fold

PROGRAM = Path(__file__).with_name("kill_job.py")
RUN_ID = "7b0a0f6e-0000-4000-8000-00000000000a"
STEPS = [
    "first", "double", "weigh", "fan", "branch[k0]", "branch[k1]", "branch[k2]", "branch[k3]", "total", "inner.again",
    "inner.double", "flaky", "part", "odd",
]  # fmt: skip
RESULT = {"success": True, "odd": "odd 1465"}


@dataclass
class Undisturbed:
    """What a run gives that nobody kills: how many entries and commits it has, how long it takes, how its steps end."""

    entries: int
    commits: int
    #: from the first entry to the last
    seconds: float
    known: dict[str, object]
    #: which job of the program
    job: str = "everything"


def start(folder: Path, how: str, job: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(folder / "home"), str(folder / "effects"), RUN_ID, how]
    environment = {**os.environ, "KILL_JOB": job}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(folder: Path, how: str, job: str) -> tuple[int, str, str]:
    child = start(folder, how, job)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err


def read(folder: Path) -> tuple[set[str], list[T], dict[str, object]]:
    """The steps whose success is in the store, the types of all events, and what a fold knows of the steps."""
    if not (folder / "home" / "treadle.db").exists():
        return set(), [], {}
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        events = [entry.dagster_event for entry in instance.all_logs(RUN_ID) if entry.dagster_event is not None]
        assert instance.store.check() == []
        states = {
            each.step_key: each.state.value for each in instance.get_step_summaries(RUN_ID) if each.state is not None
        }
    done = {event.step_key or "" for event in events if event.is_step_success}
    assert done == {key for key, state in states.items() if state == "SUCCESS"}, "the summary is not what the log says"
    known = {key: step is None or (step.outputs, step.is_skipped) for key, step in fold("run", events).items()}
    return done, [event.event_type for event in events], known


def effects(folder: Path) -> Counter[str]:
    path = folder / "effects"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def undisturbed(folder: Path, job: str = "everything") -> Undisturbed:
    """Run once without a kill."""
    code, out, err = run(folder, "never", job)
    assert code == 0, err
    assert json.loads(out) == RESULT
    _done, types, known = read(folder)
    # each attempt is committed before it begins, and the end of the run once more; taking and giving up the run besides
    commits = sum(kind in (T.STEP_START, T.STEP_RESTARTED) for kind in types) + 5
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        (record,) = instance.get_run_records()
    assert record.start_time is not None
    assert record.end_time is not None
    return Undisturbed(len(types), commits, record.end_time - record.start_time, known, job)


def check_kill(folder: Path, wanted: Undisturbed, how: str) -> bool:
    """Kill, resume and compare; gives whether the run was killed at all. Every claim is an assertion."""
    code, _out, _err = run(folder, how, wanted.job)
    assert code in (0, -9), _err
    return _check_resumed(folder, wanted, how) and code == -9


def check_kill_at_random(folder: Path, wanted: Undisturbed, generator: random.Random) -> bool:
    """The same, at an instant between the beginning of the run and its end."""
    child = start(folder, "wait", wanted.job)
    assert child.stdout is not None
    child.stdout.readline()
    wait = generator.uniform(0, wanted.seconds * 1.2)
    time.sleep(wait)
    child.kill()
    child.communicate(timeout=60)
    return _check_resumed(folder, wanted, f"after {wait:.4f} s") and child.returncode == -9


def _check_resumed(folder: Path, wanted: Undisturbed, how: str) -> bool:
    done, types, _known = read(folder)
    before = effects(folder)
    code, out, err = run(folder, "never", wanted.job)
    assert code == 0, f"{how}: {err}"
    assert json.loads(out) == RESULT, how
    after = effects(folder)
    for key in done:
        assert after[key] == before[key], f"{how}: {key} had succeeded, and was run again"
    for key in STEPS:
        # the retried step has one attempt more, and whatever was under way or not yet committed may have one more
        assert 1 <= after[key] <= 2 + (key == "flaky"), f"{how}: {key} left {after[key]} marks"
    assert set(after) == set(STEPS), how
    all_done, all_types, known = read(folder)
    assert all_types[: len(types)] == types, f"{how}: the log was changed"
    assert Counter(kind for kind in all_types if kind in _ONCE) == _ONCE, f"{how}: {Counter(all_types)}"
    assert all_done == set(STEPS), how
    assert known == wanted.known, f"{how}: the log folds to another state"
    left = [path for path in folder.rglob("*") if path.name.endswith((".part", "-journal"))]
    assert left == [], f"{how}: {left} is left over"
    return True


_ONCE = Counter({T.STEP_SUCCESS: len(STEPS), T.STEP_SKIPPED: 1, T.RUN_START: 1, T.RUN_SUCCESS: 1})
