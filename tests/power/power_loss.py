"""Runs a program under the model of power loss in shim.c, and builds the tree of what would be left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

SHIM = Path(__file__).with_name("shim.c")


def build_shim(folder: Path) -> Path:
    """Compile the shim; skips where there is no C compiler, which CI has."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        assert not os.environ.get("CI"), "CI has a C compiler"
        pytest.skip("THE MODEL OF POWER LOSS IS NOT TESTED: there is no C compiler here")
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


class PowerLoss:
    """One program, whose world may end."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = library
        self.shadow = folder / "shadow"
        self.shadow.mkdir()

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, or to its death."""
        environment = {**os.environ, "LD_PRELOAD": str(self.library), "POWER_SHADOW": str(self.shadow)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def rebuild(self, folder: Path, target: Path) -> None:
        """Make `target` what would be left of `folder`: synced contents under synced names."""
        target.mkdir(parents=True, exist_ok=True)
        self._rebuild(folder.stat().st_ino, target)

    def _rebuild(self, inode: int, target: Path) -> None:
        listed = self.shadow / f"folder-{inode}"
        if not listed.exists():
            return
        for line in listed.read_text().splitlines():
            number, _, name = line.partition(" ")
            if name in (".", ".."):
                continue
            contents = self.shadow / f"file-{number}"
            if contents.exists():
                shutil.copyfile(contents, target / name)
            elif (self.shadow / f"folder-{number}").exists():
                (target / name).mkdir(exist_ok=True)
                self._rebuild(int(number), target / name)
            else:
                # a name without synced contents: an empty file, as file systems leave it
                (target / name).touch()
