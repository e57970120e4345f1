"""Steps in processes: what one costs beside a bare process pool, a bare fork server, and Dagster.

* a no-op step in a warm worker, committed before the next one starts; in a process of its own
* 20 sleeps of 0.5 s, 8 at once; the time to the first statement of an op; 200 MB handed through five ops; a wide fan-out

The sleeps are timed twice. The whole call holds the start of a process that loads the job, which has a budget of its own, the
row of the first statement: beside 1.5 s of sleep that start alone is more than 3 %. The steps alone, from the first STEP_START
to the last STEP_SUCCESS by the log, tell how well eight workers are kept busy. Both come from the same runs.

    executors.py [--peer PYTHON]... [--repeat N] [--quick]

Wall time, each measurement in a fresh interpreter, best of N. A machine that does something else meanwhile spoils it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent


def measure(python: str, what: str, *arguments: str, engine: str = "treadle") -> float:
    """One measurement in a fresh interpreter."""
    return float(told_by(python, what, *arguments, engine=engine))


def sleeps(python: str) -> tuple[float, float]:
    """Seconds of a whole run of sleeps, and of its steps alone."""
    whole, steps = told_by(python, "makespan", json.dumps({"max_concurrent": 8})).split()
    return float(whole), float(steps)


def told_by(python: str, what: str, *arguments: str, engine: str = "treadle") -> str:
    """What a program of executor_jobs.py prints at last, in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "ENGINE": engine, "PYTHONPATH": str(_HERE), "TREADLE_HOME": home}
        # as on a user's machine: what was compiled once is not compiled again
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "treadle-bench-pycache"))
        done = subprocess.run(
            [python, "-W", "ignore", str(_HERE / "executor_jobs.py"), what, *arguments],
            env=environment,
            cwd=_HERE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{what} {arguments} with {engine}: {done.stderr}")
        return done.stdout.splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    size = 100 if options.quick else 1000
    own = sys.executable

    def best(what: str, *arguments: str) -> float:
        return min(measure(own, what, *arguments) for _ in range(options.repeat))

    rows = []

    def row(what: str, ours: float, bare: float, unit: str = "ms", budget: str = "") -> None:
        factor = 1000 if unit == "ms" else 1
        rows.append(
            f"| {what} | {ours * factor:.2f} {unit} | {bare * factor:.2f} {unit} | {ours / bare:.2f} | {budget} |"
        )

    warm = best("steps", str(size), json.dumps({"max_concurrent": 2}))
    row("no-op step, warm worker / process pool's round trip", warm, best("bare_pool", str(size)), budget="3")
    fresh = best("steps", str(size // 5), json.dumps({"max_concurrent": 2, "isolation": "step"}))
    row(
        "no-op step, fresh process / fork server's process", fresh, best("bare_processes", str(size // 5)), budget="1.5"
    )
    whole, steps = (min(each) for each in zip(*(sleeps(own) for _ in range(options.repeat)), strict=True))
    row("20 sleeps of 0.5 s, 8 at once, the whole call / ideal", whole, 1.5, "s", "1.03")
    row("20 sleeps of 0.5 s, 8 at once, the steps alone / ideal", steps, 1.5, "s", "1.03")
    row("to the op's first statement / fork server's start", best("first_body"), best("bare_start"), budget="1.5")
    row("200 MB through 5 ops / 4 bare .npy files", best("hand_over"), best("bare_arrays"), "s", "1.5")
    changed = best("hand_over", "changed"), best("bare_arrays", "changed")
    row("200 MB through 5 ops, each a new array / 4 bare .npy files", *changed, "s", "1.5")
    wide = 1000 if options.quick else 10_000
    row(f"a branch of {wide:,}, 4 workers / of 100", best("branches", str(wide)), best("branches", "100"), budget="1")
    print("## Steps in processes\n")
    print("Wall time, on a lasting instance, every event of a process a step in the log; best of", options.repeat, "\n")
    print("| ours / bare | ours | bare | ratio | budget |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))
    for peer in options.peer:
        few = "3"
        theirs = measure(
            peer, "steps", few, json.dumps({"max_concurrent": 2, "start_method": {"spawn": {}}}), engine="dagster"
        )
        print(f"\nDagster, a no-op step in a spawned process: {theirs * 1000:.0f} ms, {theirs / warm:.0f} times ours.")


if __name__ == "__main__":
    main()
