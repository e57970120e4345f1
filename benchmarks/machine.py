"""Prints the head of benchmarks/RESULTS.md: when, on what kind of machine, with which versions."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "unknown"


def treadle_version() -> str:
    try:
        return version("treadle")
    except PackageNotFoundError:
        return "from source"


if __name__ == "__main__":
    print("# Results\n")
    print("Written by `scripts/bench`; a run on another machine gives other figures, so read the ratios.\n")
    print(f"- Date: {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}")
    print(f"- Machine: {os.cpu_count()} cores of {processor()}, {memory()} of memory, {platform.system()}")
    print(f"- Python {platform.python_version()}, Treadle {treadle_version()}")
