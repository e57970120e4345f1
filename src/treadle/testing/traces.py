"""What steps of a test leave for one another, and for the test: lines in files of a folder.

The jobs of the executor contract use them, from whatever process a step runs in.
"""

from __future__ import annotations

import time
from pathlib import Path


class Traces:
    """What steps tell each other, and the tests, by files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, name: str, text: str = "") -> None:
        """Add a line to the file of this name; lines of several processes do not mix."""
        with Path(self.folder, name).open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())

    def lines(self, name: str) -> list[str]:
        """What was left there."""
        path = Path(self.folder, name)
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, name: str, seconds: float = 20) -> None:
        """Wait until another step has left something."""
        end = time.monotonic() + seconds
        while not self.lines(name):
            if time.monotonic() > end:
                raise TimeoutError(f"nobody has left {name} in {seconds:g} s")
            time.sleep(0.005)
