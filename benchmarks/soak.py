"""Random jobs that misbehave, killed, resumed and canceled at random, for a time.

    soak.py [--minutes N] [--seed N] [--quick]

Not a measure of speed: it counts what hung, leaked or was told wrong, which must be nothing. tests/journeys/soak.py has the
claims.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.journeys.soak import trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer", action="append", help="not used: nobody else resumes")
    options = parser.parse_args()
    began = time.monotonic()
    until = began + (0.5 if options.quick else options.minutes) * 60
    fates: Counter[str] = Counter()
    seed = options.seed
    while time.monotonic() < until:
        with tempfile.TemporaryDirectory() as folder:
            fates[trial(Path(folder), seed)] += 1
        seed += 1
    print("## Soak\n")
    print(
        f"Random jobs of 4 to 40 steps in workers, whose steps crash, are killed, hang past their timeout, fail, are tried again, "
        f"print, leave children: {sum(fates.values())} runs in {(time.monotonic() - began) / 60:.1f} minutes. None hung; no process, "
        f"descriptor or temporary file was left; each log agrees with what the steps did.\n"
    )
    print("| what was done to the run | runs |\n| --- | ---: |")
    for fate, count in sorted(fates.items()):
        print(f"| {fate} | {count} |")


if __name__ == "__main__":
    main()
