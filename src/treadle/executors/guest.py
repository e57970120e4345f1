"""A step in a process of an existing engine, where Treadle is a guest among other work and other threads.

The engine's task calls `perform` in one of its threads. What the step tells goes to the run's process by what the engine
has for that, `Host.post`; the job is made once in each process. Nothing here knows which engine it is; nothing is killed,
and no signal handler, descriptor or logger of the process is touched.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from treadle.errors import DagsterExecutionInterruptedError, StoreError, error_info
from treadle.executors import streams
from treadle.executors.capture import files_of, key_of
from treadle.executors.wire import Assignment, Broken, Done, Order, ToParent
from treadle.executors.worker import Shop, Worker
from treadle.instance import DagsterInstance
from treadle.payloads import ErrorSource, StepFailureData
from treadle.plan.model import Launch

encode = msgspec.msgpack.Encoder(enc_hook=repr).encode
decode_told = msgspec.msgpack.Decoder(ToParent).decode
_decode_assignment = msgspec.msgpack.Decoder(Assignment).decode
_decode_order = msgspec.msgpack.Decoder(Order).decode

#: seconds between two looks whether the attempt is still wanted
LOOK = 0.2
#: messages that may wait to be sent before the step waits for them
_MOST = 1000
#: runs whose jobs a process keeps
_KEPT = 8


class Host(NamedTuple):
    """What the engine gives to one attempt."""

    #: what the process is, for people
    where: str
    #: the engine's event loop in this process; the next two are called in it
    loop: asyncio.AbstractEventLoop
    #: sends messages to the run's process; comes back when they are out of this one's hands
    post: Callable[[list[bytes]], Awaitable[None]]
    #: False once nobody waits for the attempt any more
    is_wanted: Callable[[], bool]


class Outbox:
    """Sends what one attempt tells to the run's process, in order."""

    def __init__(self) -> None:
        self.host: Host | None = None
        self._waiting: deque[bytes] = deque()
        self._turn = asyncio.Lock()

    def put(self, message: ToParent) -> None:
        """Take a message; it is sent with the next `flush`."""
        self._waiting.append(encode(message))

    def flush(self) -> None:
        """Send what waits, and wait until it is safe from the death of this process. Raises what the engine raises."""
        self._start().result()

    def send(self, message: ToParent) -> None:
        """Send a message, and what waits before it, without waiting."""
        self.put(message)
        if len(self._waiting) > _MOST:
            self.flush()
        else:
            self._start()

    def _start(self) -> Any:
        assert self.host is not None
        return asyncio.run_coroutine_threadsafe(self._drain(self.host), self.host.loop)

    async def _drain(self, host: Host) -> None:
        async with self._turn:
            messages = []
            while self._waiting:
                messages.append(self._waiting.popleft())
            if messages:
                await host.post(messages)


class Interruption:
    """Interrupts the step in a thread at its next bytecode; one that waits in C code is not reached before that ends."""

    def __init__(self, worker: Worker, host: Host) -> None:
        self._signals = worker.place.signals
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._is_over = False
        self._host = host
        asyncio.run_coroutine_threadsafe(self._watch(), host.loop)

    async def _watch(self) -> None:
        while not self._is_over:
            await asyncio.sleep(LOOK)
            if not self._host.is_wanted() and self._strike():
                return

    def _strike(self) -> bool:
        """True when it has been done, or nobody is there any more; else user code does not run just now, or only awaits."""
        with self._lock:
            if self._is_over:
                return True
            error = DagsterExecutionInterruptedError("The run was canceled.")
            if not self._signals.is_open:
                self._signals.pending = error
                return False
            halt = self._signals.halt
            if halt is not None:
                is_first = halt.reason is None
                halt.ask(error)
                if halt.wake is not None and is_first:
                    return False  # its loop cancels what it awaits; where it computes instead, the next look raises
                if halt.is_heard:
                    return True
            self._signals.is_open = False
            _raise_in(self._thread, DagsterExecutionInterruptedError)
            return True

    def end(self) -> None:
        """The attempt is over; nothing is to be raised in this thread any more."""
        with self._lock:
            self._is_over = True
            _raise_in(self._thread, None)
            self._signals.pending = None


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have a thread raise an exception at its next bytecode; None takes back what it has not raised yet."""
    given = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), given)


class PrintedOutput:
    """Keeps what the step in this thread prints, in files that its run's process sees; `name` says which, before each step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = ""
        self._kept: streams.StepOutput | None = None
        self._token: Any = None

    def begin(self) -> str:
        """Keep it from now on; gives the key of the files."""
        streams.install()
        self._kept = streams.StepOutput(self._folder, self.name)
        self._token = streams.step_output.set(self._kept)
        return self.name

    def sizes(self) -> tuple[int, int]:
        """Bytes that were written to them so far."""
        out, err = (path.stat().st_size if path.exists() else 0 for path in files_of(self._folder, self.name))
        return out, err

    def end(self) -> None:
        """The step is over. Again is fine."""
        kept, self._kept = self._kept, None
        if kept is not None:
            streams.step_output.reset(self._token)
            kept.close()
            streams.remove()


# -- what a process keeps of a run --------------------------------------------------------------------------------------


class _Desk(NamedTuple):
    """What one thread runs steps of a run with."""

    worker: Worker
    outbox: Outbox
    #: None where nobody would see it
    output: PrintedOutput | None


class _Room:
    """One run in this process: its job, and desks, one for each thread that has had a step."""

    def __init__(self, assignment: Assignment) -> None:
        far = _far_instance(assignment)
        self._shop = Shop(assignment, far)
        self._folder = Path(assignment.capture_folder) if far is None else None
        self._idle: list[_Desk] = []

    def enter(self, host: Host) -> _Desk:
        """A desk that nobody else has, whose messages go by this host."""
        try:
            desk = self._idle.pop()
        except IndexError:
            outbox = Outbox()
            output = PrintedOutput(self._folder) if self._folder is not None else None
            desk = _Desk(Worker(self._shop, outbox, output, host.where), outbox, output)
        desk.outbox.host = host
        return desk

    def leave(self, desk: _Desk) -> None:
        """Give it back."""
        self._idle.append(desk)


#: by the assignment
_rooms: dict[bytes, _Room] = {}
_making = threading.Lock()


def _room_of(assignment: bytes) -> _Room:
    with _making:
        room = _rooms.get(assignment)
        if room is None:
            room = _rooms[assignment] = _Room(_decode_assignment(assignment))
            while len(_rooms) > _KEPT:
                del _rooms[next(iter(_rooms))]
        return room


class _OutOfReach:
    """In place of a store: whatever is asked of it, says that it cannot be reached."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, _name: str) -> Any:
        raise StoreError(self._message)


class _FarInstance(DagsterInstance):
    """The instance of a run whose home this machine does not see."""

    def __init__(self, folder: Path, home: str) -> None:
        self._message = (
            f"The instance of the run is in {home}, and its outputs are in {folder}, a folder that this machine does not see. Let "
            f"every worker see it under that name, name one that they see (artifacts.dir in the settings of the instance), or "
            f"give the outputs an IO manager that keeps them elsewhere: one of a base_dir or base_path that workers reach."
        )
        super().__init__(lambda: _OutOfReach(self._message))

    @property
    def root_directory(self) -> str:
        raise StoreError(self._message)

    def storage_directory(self) -> str:
        raise StoreError(self._message)


def _far_instance(assignment: Assignment) -> DagsterInstance | None:
    """None where this process sees the folder that the run's process has made for the run."""
    folder = Path(assignment.capture_folder).parent
    return None if folder.is_dir() else _FarInstance(folder.parent, assignment.home)


# -- a step -------------------------------------------------------------------------------------------------------------


def perform(host: Host, assignment: bytes, order: bytes) -> None:
    """Run an attempt at a step in this thread, and tell what comes of it. Raises what the engine raises when it is told."""
    launch = _decode_order(order).launch
    try:
        room = _room_of(assignment)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises
        outbox = Outbox()
        outbox.host = host
        outbox.put(Broken(error_info(error)))
        outbox.flush()
        return
    desk = room.enter(host)
    worker, outbox, output = desk
    if output is not None:
        output.name = key_of(launch.step_key, launch.attempt)
    interruption = Interruption(worker, host)
    try:
        worker.run(launch)
    except DagsterExecutionInterruptedError as error:  # it came between two parts of user code
        _tell_interrupted(worker, outbox, launch, error)
    finally:
        interruption.end()
        if output is not None:
            output.end()
    outbox.flush()
    room.leave(desk)


def _tell_interrupted(worker: Worker, outbox: Outbox, launch: Launch, error: BaseException) -> None:
    info = error_info(error)
    stamp = worker.place.stamp(launch.path, launch.step_key)
    worker.tell(stamp.event("STEP_FAILURE", StepFailureData(info, None, ErrorSource.INTERRUPT)))
    outbox.put(Done(info))
