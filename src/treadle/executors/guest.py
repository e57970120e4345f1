"""The steps of a run in a process of an existing engine, where Treadle is a guest among other work.

Each step runs in a child of that process, so that one that dies, hangs or takes too much harms nothing else there, and how
it ended is known. A Site is what such a process has for a run: a crew of children. An Errand is one attempt: it gives the
order to a child, sends on what that tells, and holds it to its limits. All of it lives in the engine's event loop. Nothing
here knows which engine it is, and no user code runs in its processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from treadle.engine.driver import BEGINNINGS
from treadle.engine.usage import memory_of
from treadle.errors import DagsterSubprocessError, error_info
from treadle.events import ATTEMPT_ENDS
from treadle.executors.capture import FOLDER, files_of
from treadle.executors.crew import FORKSERVER, Crew, Hand
from treadle.executors.wire import Assignment, Broken, Done, Doomed, Event, Gone, Note, Order, Printed, Stop, ToParent
from treadle.plan.model import Launch

#: seconds that a step has to end after it is asked to, and after SIGTERM to all its processes; then comes SIGKILL
GRACE = 5.0
#: seconds between two looks whether the attempt is still wanted
LOOK = 0.2
#: seconds between two looks at the memory of a process whose step is held to a limit
MEMORY_LOOK = 0.05
#: seconds in which the run gives a sign of life; a crew with nothing to do that has not had one ends
LINGER = 3.0
#: seconds in which a process is gone that was told to end, or was killed
PATIENCE = 5.0
#: messages, and bytes of them, that may wait to be sent before the child has to wait
_MOST, _MOST_BYTES = 1000, 1 << 23
#: bytes of each of a step's two outputs that are sent where the run's process does not see the files: schedulers keep
#: what passes by them for a while
SENT = 1 << 16

#: how the run wants its steps to end, see `Host.ending`
IN_STAGES, AT_ONCE = 1, 2


class Task(msgspec.Struct):
    """What the engine's task carries: an attempt, and what its op asks of whoever runs it."""

    launch: Launch
    timeout: float | None = None
    memory_limit: int | None = None
    #: in a process that has run nothing before, and runs nothing after
    is_fresh: bool = False


encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder(enc_hook=repr).encode
decode_told = msgspec.msgpack.Decoder(ToParent).decode
_decode_assignment = msgspec.msgpack.Decoder(Assignment).decode
_decode_task = msgspec.msgpack.Decoder(Task).decode


class Host(NamedTuple):
    """What the engine gives to one attempt. Everything is called in its event loop."""

    #: the engine's worker; what is kept of a run goes with it
    owner: Any
    #: what a child is, for people
    where: str
    #: a folder of the engine's own for what need not last
    scratch: str
    #: variables that children have
    environment: Mapping[str, str]
    #: bytes of memory at which the engine would end a process here; None for no bound
    memory_limit: int | None
    #: sends messages to the run's process, with the pid of the child; comes back when they are out of this one's hands
    post: Callable[[int | None, list[bytes]], Awaitable[None]]
    #: False once nobody waits for the attempt any more
    is_wanted: Callable[[], bool]
    #: how what is not wanted is to end: IN_STAGES, AT_ONCE; None where there is no run any more that has said so
    ending: Callable[[], Awaitable[int | None]]
    #: changes for as long as the run is there
    sign_of_life: Callable[[], Awaitable[Any]]


# -- what a process of the engine has of a run --------------------------------------------------------------------------


class Site:
    """The children of one engine's worker for one run."""

    def __init__(self, host: Host, assignment: bytes) -> None:
        made = _decode_assignment(assignment)
        folder = Path(made.capture_folder).parent
        #: where the output of steps is kept that the run's process cannot see from where it is
        self.far_folder: Path | None = None
        self.prefix = ""
        if not folder.is_dir():  # the run's process has made it
            scratch = host.scratch if Path(host.scratch).is_dir() else None
            self.far_folder = Path(tempfile.mkdtemp(prefix="treadle-", dir=scratch))
            self.prefix = f"{os.urandom(4).hex()}-"
            made = msgspec.structs.replace(
                made,
                capture_folder=str(self.far_folder / FOLDER),
                capture_prefix=self.prefix,
                unseen_folder=str(folder),
            )
        self._loop = asyncio.get_running_loop()
        self._crew = Crew(msgspec.structs.replace(made, where=host.where), FORKSERVER, environment=host.environment)
        self._hands: set[Hand] = set()
        self._idle: list[Hand] = []
        self._busy: set[Hand] = set()
        self._control: int | None = None
        self.is_closed = False
        if self._crew.control is not None:
            self._control = self._crew.control.socket.fileno()
            self._loop.add_reader(self._control, self._hear_crew)
        self._keeper = self._loop.create_task(self._keep(host))

    def _hear_crew(self) -> None:
        if self._crew.control is not None:
            self._crew.listen()
        self._check_control()

    def _check_control(self) -> None:
        """What is closed is listened to no more: its number may soon be that of another socket."""
        if self._control is not None and (self._crew.control is None or self.is_closed):
            self._loop.remove_reader(self._control)
            self._control = None

    async def _keep(self, host: Host) -> None:
        """End what has nothing to do once the run gives no sign of life: its process may have been killed."""
        last = None
        while True:
            await asyncio.sleep(LINGER)
            if self._busy:
                continue  # who is at work looks for itself
            sign = None
            with contextlib.suppress(Exception):  # no engine, no run
                sign = await asyncio.wait_for(host.sign_of_life(), LINGER)
            if self._busy:
                continue
            if sign is None or sign == last:
                break
            last = sign
        await self.close()

    def assign(self, launch: Launch, *, is_fresh: bool) -> Hand:
        """A child that has begun with the attempt. Raises OSError where no process can be had."""
        while True:
            hand = self._idle.pop() if self._idle and not is_fresh else None
            if hand is None:
                hand = self._crew.hire()
                self._check_control()
                self._hands.add(hand)
            try:
                hand.channel.send(Order(launch))
            except OSError:  # it has died idle: nothing was lost
                continue  # its end is heard of by and by
            self._busy.add(hand)
            return hand

    def take_troubles(self) -> list[Note]:
        """Degradation is loud."""
        told = [Note(f"{text}.", info) for text, info in self._crew.troubles]
        self._crew.troubles.clear()
        return told

    def release(self, hand: Hand) -> None:
        """The child is free for another attempt."""
        self._busy.discard(hand)
        self._idle.append(hand)

    async def settle(self, hand: Hand, *, is_told: bool = False) -> int | None:
        """How a child ended that is gone, or about to be; `is_told` has it told to end first."""
        if is_told:
            with contextlib.suppress(OSError):
                hand.channel.send(Stop())
        deadline = time.monotonic() + PATIENCE
        is_killed = False
        while not self.is_closed and not hand.has_exited() and (hand.process or self._crew.control):
            if time.monotonic() >= deadline:
                if is_killed:
                    break
                hand.signal(signal.SIGKILL, is_for_group=True)
                is_killed, deadline = True, time.monotonic() + PATIENCE
            await asyncio.sleep(0.005)
        self._busy.discard(hand)
        if self.is_closed:
            return hand.exit_code
        self._hands.discard(hand)
        code = self._crew.settle(hand) if hand.has_exited() or self._crew.control is None else None
        self._check_control()
        return code

    async def close(self) -> None:
        """End all children; what is at work is killed. Again is fine."""
        if self.is_closed:
            return
        self.is_closed = True
        self._check_control()
        if self._keeper is not asyncio.current_task():
            self._keeper.cancel()
        for sites in _sites.values():
            for key in [key for key, site in sites.items() if site is self]:
                del sites[key]
        for hand in self._busy:
            hand.signal(signal.SIGKILL, is_for_group=True)
        # it waits for the processes, and the loop has other things to do
        await asyncio.to_thread(self._crew.close, list(self._hands))
        if self.far_folder is not None:
            shutil.rmtree(self.far_folder, ignore_errors=True)


#: by the engine's worker, of which there may be several in a process, and by the assignment
_sites: weakref.WeakKeyDictionary[Any, dict[bytes, Site]] = weakref.WeakKeyDictionary()


def _site_of(host: Host, assignment: bytes) -> Site:
    sites = _sites.setdefault(host.owner, {})
    site = sites.get(assignment)
    if site is None:
        site = sites[assignment] = Site(host, assignment)
    return site


async def leave(owner: Any, assignment: bytes) -> None:
    """The run is over: end what this worker of the engine has for it; without one, what any has in this process."""
    all_sites = [_sites.get(owner, {})] if owner is not None else list(_sites.values())
    for site in [sites[assignment] for sites in all_sites if assignment in sites]:
        await site.close()


# -- an attempt ---------------------------------------------------------------------------------------------------------


class Outbox:
    """Sends what is told of one attempt to the run's process, in order."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._sender: asyncio.Task[None] | None = None
        #: the child that it is about
        self.pid: int | None = None

    def put(self, message: ToParent) -> None:
        """Send a message, without waiting. Raises what the engine raised when it was to send earlier ones."""
        body = encode(message)
        self._waiting.append(body)
        self._size += len(body)
        if self._sender is None or self._sender.done():
            self.check()
            self._sender = asyncio.get_running_loop().create_task(self._send())

    def check(self) -> None:
        """Raise what the engine raised when it was to send."""
        if self._sender is not None and self._sender.done():
            self._sender.result()

    @property
    def is_full(self) -> bool:
        """True where so much waits that nothing more is to be taken from the child."""
        return len(self._waiting) > _MOST or self._size > _MOST_BYTES

    async def _send(self) -> None:
        while self._waiting:
            messages = list(self._waiting)
            self._waiting.clear()
            self._size = 0
            await self._host.post(self.pid, messages)

    async def drain(self) -> None:
        """Wait until all is out of this process's hands."""
        while self._sender is not None and (self._waiting or not self._sender.done()):
            await asyncio.wait({self._sender})
            self.check()
        self.check()


class Errand:
    """One attempt, carried out by a child of this process."""

    def __init__(self, host: Host, site: Site, task: Task) -> None:
        self._host = host
        self._site = site
        self._task = task
        self._outbox = Outbox(host)
        self._deadline: float | None = None
        #: it goes beyond a limit, and is being ended for that
        self._is_doomed = False
        #: how far the ending of what nobody wants has gone, and when it goes further
        self._stage = 0
        self._next_stage = 0.0
        self._is_over = False
        limits = [each for each in (task.memory_limit, host.memory_limit) if each is not None]
        self._memory_limit = min(limits) if limits else None

    async def carry_out(self) -> None:
        """Do it, and tell what comes of it. Raises what the engine raises when it is to send that."""
        try:
            hand = self._site.assign(self._task.launch, is_fresh=self._task.is_fresh)
        except OSError as error:
            self._outbox.put(Broken(error_info(error)))
            await self._outbox.drain()
            return
        try:
            while not self._is_over:
                if hand.pid is None and hand.has_exited():  # it could not be forked
                    await self._bury(hand)
                    break
                await _wait_until_readable(None if self._outbox.is_full else hand.channel.socket, self._patience())
                self._outbox.check()
                self._outbox.pid = hand.pid
                if not self._outbox.is_full:
                    await self._hear(hand)
                if not self._is_over:
                    await self._look(hand)
        except BaseException:
            hand.signal(signal.SIGKILL, is_for_group=True)  # nobody is left to tell, or the engine lets this worker go
            await asyncio.shield(self._site.settle(hand))
            raise
        self._tell_troubles()
        await self._outbox.drain()

    def _tell_troubles(self) -> None:
        for note in self._site.take_troubles():
            self._outbox.put(note)

    def _patience(self) -> float:
        """Seconds until something is to be done though nobody says anything."""
        seconds = LOOK if self._task.memory_limit is None or self._is_doomed else MEMORY_LOOK
        soonest = self._next_stage if self._stage else self._deadline
        if soonest is not None:
            seconds = min(seconds, soonest - time.monotonic())
        return max(0.0, seconds)

    # -- what the child tells

    async def _hear(self, hand: Hand) -> None:
        has_exited = hand.has_exited() and hand.pid is not None
        messages, is_open = hand.channel.drain()
        self._tell_troubles()
        for message in messages:
            if isinstance(message, Event):
                if message.type_value in BEGINNINGS and self._task.timeout is not None:
                    self._deadline = time.monotonic() + self._task.timeout
                elif message.type_value in ATTEMPT_ENDS:
                    self._deadline = None
            elif isinstance(message, Done):
                await self._ship(hand, message)
            self._outbox.put(message)
            if isinstance(message, (Done, Broken)):
                self._is_over = True
                await self._part(hand, is_worn=isinstance(message, Broken))
                return
        # what it has forked may still hold the channel
        if not is_open or has_exited:
            await self._bury(hand)

    async def _bury(self, hand: Hand) -> None:
        """The child is gone with the attempt, or never was."""
        code = await self._site.settle(hand)
        await self._ship(hand, None)
        self._outbox.pid = hand.pid
        self._outbox.put(Gone(hand.pid, code))
        self._is_over = True

    async def _part(self, hand: Hand, *, is_worn: bool) -> None:
        """The child is through with the attempt: it waits for another, or ends."""
        if is_worn or self._is_doomed or self._stage or self._task.is_fresh:
            await self._site.settle(hand, is_told=True)
        else:
            self._site.release(hand)

    async def _ship(self, hand: Hand, done: Done | None) -> None:
        """Send what the child has written, where the run's process does not see the files."""
        folder = self._site.far_folder
        if folder is None or (done is not None and not any(done.output)):
            return
        keys = {path.stem for path in (folder / FOLDER).glob(f"{self._site.prefix}{hand.pid}-*.out")}
        for key in sorted(keys, key=lambda key: int(key.rpartition("-")[2]))[-1:]:
            begins, left = [], []
            for path in files_of(folder / FOLDER, key):
                with path.open("rb") as file:
                    begins.append(file.read(SENT))
                    left.append(os.fstat(file.fileno()).st_size - len(begins[-1]))
            if any(begins):
                self._outbox.put(Printed(key, (begins[0], begins[1]), (left[0], left[1])))

    # -- limits, and what nobody wants

    async def _look(self, hand: Hand) -> None:
        now = time.monotonic()
        if not self._stage and not self._host.is_wanted():
            await self._begin_to_end(hand)
        elif self._stage and now >= self._next_stage:
            self._go_on_ending(hand, self._stage + 1)
        elif self._stage in (1, 2) and await self._ask_ending() != IN_STAGES:
            self._go_on_ending(hand, 3)
        elif not self._stage:
            self._hold_to_limits(hand, now)

    async def _ask_ending(self) -> int | None:
        with contextlib.suppress(Exception):  # no engine, no run
            return await asyncio.wait_for(self._host.ending(), PATIENCE)
        return None

    async def _begin_to_end(self, hand: Hand) -> None:
        if hand.pid is None:
            return  # it is about to be there
        if await self._ask_ending() == IN_STAGES:
            self._stage, self._next_stage = 1, time.monotonic() + GRACE
            hand.signal(signal.SIGINT)
        else:
            self._go_on_ending(hand, 3)

    def _go_on_ending(self, hand: Hand, stage: int) -> None:
        number = signal.SIGTERM if stage == 2 else signal.SIGKILL
        if self._stage:
            key = self._task.launch.step_key
            told = f"did not end in {GRACE:g} s" if stage == self._stage + 1 else "is to end at once"
            self._outbox.put(Note(f"step {key} {told}; sending {number.name} to all of it."))
        self._stage, self._next_stage = stage, time.monotonic() + GRACE
        hand.signal(number, is_for_group=True)

    def _hold_to_limits(self, hand: Hand, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            if not self._is_doomed:
                self._is_doomed, self._deadline = True, now + GRACE
                self._outbox.put(Doomed())
                hand.signal(signal.SIGTERM, is_for_group=True)
            else:
                self._deadline = None
                hand.signal(signal.SIGKILL, is_for_group=True)
        limit = self._memory_limit
        if limit is not None and not self._is_doomed and hand.pid is not None:
            memory = memory_of(hand.pid)
            if memory > limit:
                self._is_doomed = True
                self._outbox.put(Doomed(memory, limit, limit != self._task.memory_limit))
                hand.signal(signal.SIGKILL, is_for_group=True)


async def _wait_until_readable(channel: socket.socket | None, seconds: float) -> None:
    """Wait so long for something to come; without a channel, just wait."""
    if channel is None:
        await asyncio.sleep(min(seconds, 0.01))
        return
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(channel.fileno(), came.set)
    try:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(came.wait(), seconds)
    finally:
        loop.remove_reader(channel.fileno())


async def perform(host: Host, assignment: bytes, task: bytes) -> None:
    """Have a child of this process run an attempt, and tell what comes of it.

    Raises what the engine raises when it is told, and OSError where this process can have no child.
    """
    if not hasattr(socket, "send_fds"):
        raise DagsterSubprocessError("Steps run in processes of their own, for which Treadle needs a Unix.")
    await Errand(host, _site_of(host, assignment), _decode_task(task)).carry_out()
