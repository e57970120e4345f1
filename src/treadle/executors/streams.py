"""stdout and stderr of steps that share a process, told apart by a context variable.

While a run that asks for it is under way, `sys.stdout` and `sys.stderr` are stand-ins that write where they wrote before
and, for whoever runs under a StepOutput, to that step's files too. What C code and sub-processes write does not pass here,
nor what a thread writes that user code has started without its context.
"""

from __future__ import annotations

import os
import sys
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from treadle.executors.capture import files_of

_NAMES = ("stdout", "stderr")


class StepOutput:
    """The files of one attempt, made when something is written."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._paths = files_of(folder, key)
        self._files: list[int | None] = [None, None]
        self._lock = threading.Lock()
        self._is_closed = False

    def write(self, number: int, data: bytes) -> None:
        """Keep what was written to stdout (0) or stderr (1); unbuffered, so that it is there when the process is killed."""
        with self._lock:
            if self._is_closed or not data:
                return
            file = self._files[number]
            if file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
                file = self._files[number] = os.open(self._paths[number], flags, 0o644)
            while data:
                data = data[os.write(file, data) :]

    def close(self) -> None:
        """The step has ended: what is still written, by a thread that it left behind, is not its own."""
        with self._lock:
            self._is_closed = True
            for file in self._files:
                if file is not None:
                    os.close(file)


#: the step that runs here, if one does whose output is kept
step_output: ContextVar[StepOutput | None] = ContextVar("treadle_step_output", default=None)


class _Bytes:
    """`sys.stdout.buffer`."""

    def __init__(self, stream: Any, number: int) -> None:
        self._stream = stream
        self._number = number

    def write(self, data: Any) -> Any:
        kept = step_output.get()
        if kept is not None:
            kept.write(self._number, bytes(data))
        return self._stream.write(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class StandIn:
    """In place of `sys.stdout` or `sys.stderr`; whatever else is asked of it, the stream itself answers."""

    def __init__(self, stream: Any, number: int) -> None:
        #: the stream itself; log lines of the engine go there
        self.treadle_console = stream
        self._number = number

    def write(self, text: str) -> Any:
        """Write to the stream, and keep it for the step."""
        kept = step_output.get()
        if kept is not None:
            kept.write(self._number, text.encode("utf-8", "backslashreplace"))
        return self.treadle_console.write(text)

    def writelines(self, lines: Any) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The same for bytes."""
        return _Bytes(self.treadle_console.buffer, self._number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.treadle_console, name)


class _Installation:
    """The stand-ins of this process, for as long as any run needs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._made: dict[str, StandIn] = {}

    def install(self) -> None:
        with self._lock:
            self._count += 1
            if self._count > 1:
                return
            for number, name in enumerate(_NAMES):
                stream = getattr(sys, name)
                if stream is not None:
                    self._made[name] = StandIn(stream, number)
                    setattr(sys, name, self._made[name])

    def remove(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count:
                return
            for name, made in self._made.items():
                if getattr(sys, name) is made:  # else somebody has replaced it, who will put it back
                    setattr(sys, name, made.treadle_console)
            self._made.clear()


_installation = _Installation()
install = _installation.install
remove = _installation.remove
