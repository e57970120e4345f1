"""What goes between a run's process and its workers: small messages, framed, over one socket a worker.

Both ends import it. Events travel in their stored form; no value of a user's step is in any message.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from treadle import codec
from treadle.errors import SerializableErrorInfo
from treadle.events import DagsterEvent
from treadle.plan.model import Launch
from treadle.runs import DagsterRun


class Assignment(msgspec.Struct, tag=True):
    """What a process is to work for: one run. The first message to it."""

    #: ReconstructableJob.to_dict
    recipe: Mapping[str, Any]
    #: the run's record in its stored form, and what that leaves out
    run: bytes
    status: str
    tags: dict[str, str]
    #: by which the instance is opened: its home, and what its settings were overridden with
    home: str
    overrides: Mapping[str, Any]
    retries_enabled: bool
    #: where the output of steps is kept
    capture_folder: str
    #: run config and input values, pickled, where the recipe and JSON do not give them
    run_config: bytes | None = None
    input_values: bytes | None = None
    #: modules to import before any process is forked
    preload: Sequence[str] = ()
    #: for values that later steps take: their folder in memory, where they belong, and how many bytes may be in memory
    shelf: tuple[str, str, int | None] | None = None
    #: somebody wants to know how much memory a worker has after each step
    tells_memory: bool = False
    #: the instance's settings as the run's process has read them, pickled; None where they are read anew
    settings: bytes | None = None
    #: a descriptor comes with it, to be held as long as the process is there; see `presence`
    brings_presence: bool = False
    #: what a worker is, for people
    where: str = "subprocess"
    #: how the names of output files begin, where those of several machines come together
    capture_prefix: str = ""
    #: the folder of the run's outputs, where this machine does not see it
    unseen_folder: str | None = None


class Order(msgspec.Struct, tag=True):
    """Run an attempt at a step."""

    launch: Launch


class Fork(msgspec.Struct, tag=True):
    """To the fork server: make a worker. The worker's end of its socket comes with it."""

    number: int


class Stop(msgspec.Struct, tag=True):
    """End, when the work at hand is done."""


class Event(msgspec.Struct, tag=True, array_like=True):
    """An event in its stored form, but for what the run itself tells."""

    type_value: str
    step_key: str | None
    op: str | None
    pid: int | None
    body: bytes | None


class Said(msgspec.Struct, tag=True, array_like=True):
    """A message that user code has logged."""

    level: int
    text: str
    step_key: str | None
    op_name: str | None
    traceback: str | None = None


class Done(msgspec.Struct, tag=True, array_like=True):
    """The attempt is over, and all that comes after it: the worker is free."""

    #: what makes the run fail at its end, besides the step
    breaks: SerializableErrorInfo | None = None
    #: bytes of memory that the worker has by now
    memory: int = 0
    #: bytes that the step has written to its two outputs
    output: tuple[int, int] = (0, 0)


class Broken(msgspec.Struct, tag=True, array_like=True):
    """The worker could not so much as begin."""

    error: SerializableErrorInfo


class Ready(msgspec.Struct, tag=True, array_like=True):
    """From the fork server, once: it has loaded the job, or why it has not; and why it must not fork, if it must not."""

    problem: SerializableErrorInfo | None = None
    obstacle: str | None = None


class Forked(msgspec.Struct, tag=True, array_like=True):
    """From the fork server: a worker is there; no pid where it could not be."""

    number: int
    pid: int | None
    problem: str | None = None


class Exited(msgspec.Struct, tag=True, array_like=True):
    """From the fork server: a worker is gone. `code` is negative for a signal."""

    pid: int
    code: int


class Note(msgspec.Struct, tag=True, array_like=True):
    """From who looks after a worker on another machine: something for the run's log."""

    text: str
    error: SerializableErrorInfo | None = None


class Doomed(msgspec.Struct, tag=True, array_like=True):
    """From there: the attempt is about to be ended, since it goes beyond a limit: of its time, or of so many bytes of memory.

    `is_of_host`: the limit is not the op's, it is that of the place where the worker is.
    """

    memory: int | None = None
    limit: int | None = None
    is_of_host: bool = False


class Printed(msgspec.Struct, tag=True, array_like=True):
    """From there: how the two outputs of an attempt begin, which the run's process does not see."""

    file_key: str
    begins: tuple[bytes, bytes]
    #: how many bytes more there are
    left: tuple[int, int]


class Gone(msgspec.Struct, tag=True, array_like=True):
    """From there: the worker is gone before its attempt was over; `code` as in Exited, None where nobody knows."""

    pid: int | None
    code: int | None


ToWorker = Assignment | Order | Fork | Stop
ToParent = Event | Said | Done | Broken | Ready | Forked | Exited | Note | Doomed | Printed | Gone

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode


@cache
def _decoder(is_worker: bool) -> Callable[[bytes], Any]:
    """Reads what comes out at one end. Made where it is needed: no process needs both."""
    return msgspec.msgpack.Decoder(ToWorker if is_worker else ToParent).decode


_HEADER = struct.Struct("<I")
#: descriptors that come are for no program that is started from here
_KEEP_TO_ONESELF = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
#: bytes that are read at once
_CHUNK = 1 << 18


class Channel:
    """One end of a socket. `is_worker` says which end, and so what can come out of it."""

    def __init__(self, sock: socket.socket, *, is_worker: bool) -> None:
        self.socket = sock
        self._decode = _decoder(is_worker)
        self._received = bytearray()
        self._waiting: list[bytes] = []
        #: descriptors that came with messages, in order
        self.descriptors: list[int] = []

    def put(self, message: ToWorker | ToParent) -> None:
        """Take a message; it is sent with the next `flush`."""
        body = _encode(message)
        self._waiting += (_HEADER.pack(len(body)), body)

    def flush(self) -> None:
        """Send what waits. Raises OSError where nobody is at the other end."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.socket.sendall(b"".join(waiting))

    def send(self, message: ToWorker | ToParent) -> None:
        """Send a message, and what waits before it."""
        self.put(message)
        self.flush()

    def send_with(self, message: ToWorker, descriptor: int) -> None:
        """Send a message with a descriptor of this process."""
        body = _encode(message)
        framed = _HEADER.pack(len(body)) + body
        sent = socket.send_fds(self.socket, [framed], [descriptor])
        self.socket.sendall(framed[sent:])

    def receive(self) -> Any:
        """The next message, whenever it comes; None when the other end is closed."""
        while True:
            for message in self._take(1):
                return message
            if not self._read():
                return None

    def drain(self) -> tuple[list[Any], bool]:
        """What has come by now; and True while the other end is there."""
        is_open = self._read(socket.MSG_DONTWAIT)
        return self._take(None), is_open

    def waiting(self) -> list[Any]:
        """What has been read already and not been asked for."""
        return self._take(None)

    def _read(self, flags: int = 0) -> bool:
        try:
            # not recv_fds of the standard library, which does not pass the flags on
            data, ancillary, _, _ = self.socket.recvmsg(_CHUNK, socket.CMSG_SPACE(16 * 4), flags | _KEEP_TO_ONESELF)
        except BlockingIOError:
            return True  # somebody has read it meanwhile
        except ConnectionError:
            return False
        for level, kind, packed in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.descriptors += struct.unpack(f"{len(packed) // 4}i", packed[: len(packed) // 4 * 4])
        self._received += data
        return bool(data)

    def _take(self, limit: int | None) -> list[Any]:
        received, at = self._received, 0
        messages: list[Any] = []
        while (limit is None or len(messages) < limit) and len(received) - at >= _HEADER.size:
            (size,) = _HEADER.unpack_from(received, at)
            end = at + _HEADER.size + size
            if len(received) < end:
                break
            messages.append(self._decode(memoryview(received)[at + _HEADER.size : end].tobytes()))
            at = end
        del received[:at]
        return messages

    def close(self) -> None:
        """Let go of the socket. Again is fine."""
        self.socket.close()


def to_wire(event: DagsterEvent, run: DagsterRun) -> Event:
    """An event as it travels."""
    return Event(
        event.event_type_value, event.step_key, codec.op_name(event), event.pid, codec.encode_event(event, run)
    )


def from_wire(event: Event, reader: codec.EventReader) -> DagsterEvent:
    """The event that travelled."""
    return reader.event(event.type_value, event.step_key, event.op, event.pid, event.body)
