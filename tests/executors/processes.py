"""Which processes of executors there are: for tests of what becomes of them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


def children() -> dict[int, str]:
    """The processes of executors below this one, as far as they live."""
    found = {}
    for path in Path("/proc").iterdir():
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if path.name.isdecimal() and int(fields[1]) == os.getpid() and fields[0] != "Z":
                command = (path / "cmdline").read_bytes().decode(errors="replace")
                if "treadle.executors" in command:
                    found[int(path.name)] = command
        except OSError:
            continue
    return found


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
