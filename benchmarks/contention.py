"""Contention: 16 processes on one SQLite home, each running 50 runs of 5 steps, under a reader that never rests.

contention.py [--quick]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.journeys.contention import contend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer", action="append", help="not used")
    options = parser.parse_args()
    processes, runs, steps = (4, 5, 5) if options.quick else (16, 50, 5)
    with tempfile.TemporaryDirectory() as folder:
        found = contend(Path(folder), processes, runs, steps)
    lost = processes * runs * steps - found.steps
    print("## Contention on one SQLite home\n")
    print(
        f"{processes} processes, each {runs} runs of {steps} steps, and one more that lists runs and reads logs all the time:\n"
    )
    print(
        "| runs | steps | lost | errors that anybody saw | steps a second | rounds of the reader |\n| ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    print(
        f"| {found.runs:,} | {found.steps:,} | {lost} | {len(found.errors)} | {found.steps / found.seconds:,.0f} | {found.readings:,} |"
    )
    print("\nThe start of the processes is in the time.")


if __name__ == "__main__":
    main()
