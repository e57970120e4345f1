"""Kill and resume: a run of 14 steps killed at every entry of its log, at every commit, and at random instants.

    kill.py [--instants N] [--seed N] [--quick] [--workers]

Not a measure of speed: it counts what was lost, repeated or left over, which must be nothing. Some minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.journeys.kill_harness import check_kill, check_kill_at_random, undisturbed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workers", action="store_true", help="run the steps in worker processes")
    parser.add_argument("--peer", action="append", help="not used: nobody else resumes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = undisturbed(Path(folder), "everything_elsewhere" if options.workers else "everything")
    step = 10 if options.quick else 1
    entries = [f"event:{number}" for number in range(1, wanted.entries + 1, step)]
    commits = [f"commit:{number}" for number in range(1, wanted.commits, step)]
    generators = [random.Random(options.seed * 1_000_003 + number) for number in range(options.instants // step)]

    def trial(check: Callable[[Path], bool]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            return check(Path(folder))

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:  # each trial is two processes of its own
        at_entries = sum(pool.map(lambda how: trial(lambda folder: check_kill(folder, wanted, how)), entries))
        in_commits = sum(pool.map(lambda how: trial(lambda folder: check_kill(folder, wanted, how)), commits))
        at_random = sum(
            pool.map(lambda made: trial(lambda folder: check_kill_at_random(folder, wanted, made)), generators)
        )
    print("## Kill and resume\n")
    print(
        "A run of 14 steps (a chain, a fan-out of 4, a collect, a step that fails once, a nested graph, a skip), each with a side"
    )
    print(
        "effect, is killed with SIGKILL and resumed in a new process. After each: every side effect of a step with a logged success"
    )
    print(
        "happened once, results and log are those of an undisturbed run, no temporary file stays. `tests/journeys/kill_harness.py`.\n"
    )
    print("| killed | trials | of them while it ran | lost, repeated or left over |\n| --- | ---: | ---: | ---: |")
    print(f"| at each entry of the log | {len(entries)} | {at_entries} | 0 |")
    print(f"| in each commit | {len(commits)} | {in_commits} | 0 |")
    print(f"| at random instants | {len(generators)} | {at_random} | 0 |")
    print(f"\n{time.monotonic() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
