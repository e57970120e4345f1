"""What steps in a process of their own write to stdout and stderr, kept in files.

The descriptors themselves lead to the files, so that sub-processes and C code write there too, and nothing is lost when
the process dies. A file belongs to the last attempt that names it in its LOGS_CAPTURED event: one that has been
written to is not used again.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from treadle.events import DagsterEvent, DagsterEventType
from treadle.payloads import ComputeLogsCaptureData

#: below the folder of a run's artifacts
FOLDER = "compute_logs"
_NAMES = ("out", "err")
_BEGINNINGS = (DagsterEventType.STEP_START.value, DagsterEventType.STEP_RESTARTED.value)
#: letters of a key; a file's name may have 255 bytes, and step keys are ASCII
LONGEST = 200


class Capture:
    """The two output files of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        #: how the files are named, in the folder; None before the first
        self.key: str | None = None

    def begin(self) -> str:
        """Have files that are empty, and give their key."""
        if self.key is None or any(self.sizes()):
            self._open()
        assert self.key is not None
        return self.key

    def sizes(self) -> tuple[int, int]:
        """Bytes that were written to them so far, by whomever."""
        return os.fstat(1).st_size, os.fstat(2).st_size

    def _open(self) -> None:
        if self.key is None:
            self._folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        while True:
            self.key = f"{os.getpid()}-{self._number}"
            self._number += 1
            try:
                opened = [os.open(self._folder / f"{self.key}.{name}", flags, 0o644) for name in _NAMES]
            except FileExistsError:  # a process of this number has been here before
                continue
            break
        for target, descriptor in zip((1, 2), opened, strict=True):
            os.dup2(descriptor, target)
            os.close(descriptor)
        # Unbuffered: what was written before a process is killed is there.
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(
                io.FileIO(target, "w", closefd=False), "utf-8", errors="backslashreplace", write_through=True
            )
            for target in (1, 2)
        )

    def close(self) -> None:
        """Leave no empty files behind."""
        if self.key is not None and not any(self.sizes()):
            discard(self._folder, self.key)


def discard(folder: Path, key: str) -> None:
    """Delete the files of a key that are empty."""
    for name in _NAMES:
        path = folder / f"{key}.{name}"
        try:
            if path.stat().st_size == 0:
                path.unlink()
        except FileNotFoundError:
            pass


def files_of(folder: Path, key: str) -> tuple[Path, Path]:
    """The two files of a key."""
    return folder / f"{key}.out", folder / f"{key}.err"


def key_of(step_key: str, attempt: int) -> str:
    """The key of the files of an attempt that ran on a thread of the run's own process.

    There LOGS_CAPTURED, as in process, names the steps of the whole run at once; a step that wrote nothing has no files.
    """
    name = f"{step_key}-{attempt}"
    if len(name) <= LONGEST:
        return name
    import hashlib

    digest = hashlib.sha256(step_key.encode()).hexdigest()[:16]
    return f"{step_key[: LONGEST - 40]}-{digest}-{attempt}"


def files_by_step(folder: Path, events: Iterable[DagsterEvent]) -> dict[str, list[tuple[Path, Path]]]:
    """The files that steps of a run have written, one pair for each attempt; steps that have written none are left out."""
    owners: dict[str, str] = {}
    attempts: dict[str, int] = {}
    for event in events:
        data, key = event.event_specific_data, event.step_key
        if type(data) is ComputeLogsCaptureData and len(data.step_keys) == 1:
            owners.pop(data.file_key, None)
            owners[data.file_key] = data.step_keys[0]  # the last that names a file is the one that wrote to it
        elif key is not None and event.event_type_value in _BEGINNINGS:
            attempts[key] = attempts.get(key, 0) + 1
            owners[key_of(key, attempts[key])] = key
    found: dict[str, list[tuple[Path, Path]]] = {}
    for key, step_key in owners.items():
        pair = files_of(folder, key)
        if any(path.is_file() and path.stat().st_size for path in pair):
            found.setdefault(step_key, []).append(pair)
    return found
