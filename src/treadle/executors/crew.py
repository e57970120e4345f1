"""The worker processes of one run: how they are started, what becomes of them.

Started by a fork server that has loaded the job, or each as a program of its own. `multiprocess` gives them work; nothing
here knows what a step is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from treadle.errors import SerializableErrorInfo
from treadle.executors import presence
from treadle.executors.wire import Assignment, Channel, Exited, Fork, Forked, Ready, Stop

FORKSERVER, SPAWN = "forkserver", "spawn"
CAN_FORK = hasattr(os, "fork")

#: seconds in which a process that was told to end, or was killed, is gone
_PATIENCE = 5.0


class Hand:
    """One worker process, as its parent sees it."""

    def __init__(self, number: int, channel: Channel, process: subprocess.Popen[bytes] | None = None) -> None:
        self.number = number
        self.channel = channel
        #: None while a fork server has not told it
        self.pid: int | None = process.pid if process is not None else None
        self.process = process
        #: how it ended, once that is known; negative for a signal
        self.exit_code: int | None = None

    def has_exited(self) -> bool:
        """True where it is known to be gone."""
        if self.process is not None and self.exit_code is None:
            self.exit_code = self.process.poll()
        return self.exit_code is not None

    def signal(self, number: signal.Signals, *, is_for_group: bool = False) -> None:
        """Send a signal to it, or to it and all that it has started. One that is gone gets none."""
        if self.pid is None or self.exit_code is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if is_for_group else os.kill)(self.pid, number)


#: reads numbers of processes that are there, and with a minus of those that are gone; when its input ends, because whoever
#: wrote them was killed, it kills those that are left with all that they have started
_GUARD = """
import os, signal, sys
there = set()
for line in sys.stdin:
    number = int(line)
    (there.add if number > 0 else there.discard)(abs(number))
for pid in there:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
"""


class Server:
    """A fork server that was started and has not been told yet for which run: it gets itself ready meanwhile."""

    def __init__(self) -> None:
        """Raises OSError where no process can be had."""
        ours, theirs = socket.socketpair()
        try:
            self.process = _start("treadle.executors.forkserver", theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.channel = Channel(ours, is_worker=False)

    def dismiss(self) -> None:
        """End it: there is no run for it. It has loaded nothing of the user's, and has no workers."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


class Crew:
    """Starts workers of one run, and knows how each ended."""

    def __init__(self, assignment: Assignment, method: str, server: Server | None = None) -> None:
        self._assignment = assignment
        self.method = method if CAN_FORK else SPAWN
        self._server: subprocess.Popen[bytes] | None = None
        #: to the fork server, if there is one
        self.control: Channel | None = None
        #: sees to workers that were started without a fork server
        self._guard: subprocess.Popen[bytes] | None = None
        self._hands: dict[int, Hand] = {}
        self._count = 0
        #: exit codes that came before anybody asked
        self._exited: dict[int, int] = {}
        #: how loading the job in the fork server went, once that is known
        self.ready: Ready | None = None
        #: why workers are not forked, though they were to be; told once
        self.troubles: list[tuple[str, SerializableErrorInfo | None]] = []
        #: what all processes of the crew hold as long as they are there
        self._presence = presence.hold(Path(assignment.capture_folder).parent)
        if self.method == FORKSERVER:
            try:
                self._engage(server or Server())
            except OSError:
                self._let_go()
                raise

    def _engage(self, server: Server) -> None:
        self._server, self.control = server.process, server.channel
        assignment = msgspec.structs.replace(self._assignment, brings_presence=self._presence is not None)
        with contextlib.suppress(OSError):  # it is gone already: that is found when it is listened to
            if self._presence is None:
                self.control.send(assignment)
            else:
                self.control.send_with(assignment, self._presence)

    def hire(self) -> Hand:
        """A new worker. Work may be sent to it at once. Raises OSError where no process can be had."""
        self._count += 1
        ours, theirs = socket.socketpair()
        channel = Channel(ours, is_worker=False)
        if self.control is not None:
            hand = Hand(self._count, channel)
            try:
                self.control.send_with(Fork(self._count), theirs.fileno())
            except OSError:  # the fork server is gone, and we have not heard of it yet
                self._lose_server()
        if self.control is None:
            hand = Hand(self._count, channel, _start("treadle.executors.worker", theirs, self._presence))
            self._watch(hand)
            channel.send(self._assignment)
        theirs.close()
        self._hands[hand.number] = hand
        return hand

    def _watch(self, hand: Hand) -> None:
        """Have a worker and all that it starts killed when this process is."""
        if self._guard is None:
            command = [sys.executable, "-I", "-S", "-c", _GUARD]
            self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._tell_guard(hand.pid)

    def _tell_guard(self, number: int | None) -> None:
        if self._guard is not None and self._guard.stdin is not None and number is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.write(f"{number}\n".encode())
                self._guard.stdin.flush()

    def listen(self) -> None:
        """Take what the fork server has to say; for a control channel that can be read."""
        assert self.control is not None
        messages, is_open = self.control.drain()
        for message in messages:
            self._take(message)
        if not is_open:
            self._lose_server()

    def _take(self, message: Any) -> None:
        if isinstance(message, Ready):
            self.ready = message
            if message.problem is not None:
                self.troubles.append(("The job could not be loaded before the workers start", message.problem))
            if message.obstacle is not None:
                self.troubles.append(
                    (f"Workers are started as programs of their own, not forked, since {message.obstacle}", None)
                )
                self.method = SPAWN
        elif isinstance(message, Forked):
            hand = self._hands.get(message.number)
            if hand is not None:
                hand.pid = message.pid
                if message.pid is None:
                    hand.exit_code = 1
                    self.troubles.append((f"A worker could not be started: {message.problem}", None))
                    hand.channel.close()
                elif message.pid in self._exited:
                    hand.exit_code = self._exited.pop(message.pid)
        elif isinstance(message, Exited):
            found = next((hand for hand in self._hands.values() if hand.pid == message.pid), None)
            if found is not None:
                found.exit_code = message.code
            else:
                self._exited[message.pid] = message.code

    def _lose_server(self) -> None:
        """The fork server is gone, and its workers with it: from now on they are started without one."""
        assert self._server is not None
        assert self.control is not None
        self.control.close()
        self.control = None
        self.method = SPAWN
        code = _wait(self._server, _PATIENCE)
        self.troubles.append((f"The process that starts the workers has ended ({describe_exit(code)})", None))

    def settle(self, hand: Hand) -> int | None:
        """How a worker ended whose channel is closed, or is about to be; waits a moment for it, then kills it."""
        deadline = time.monotonic() + _PATIENCE
        is_killed = False
        if hand.process is not None:
            hand.exit_code = _wait(hand.process, _PATIENCE)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(hand.process.pid, signal.SIGKILL)
            self._tell_guard(-hand.process.pid)
        while hand.exit_code is None:
            if self.control is None:
                hand.signal(signal.SIGKILL, is_for_group=True)  # nobody else does, now that the fork server is gone
                break
            if self._can_listen(max(0.0, deadline - time.monotonic())):
                self.listen()
            elif is_killed:
                break
            else:
                hand.signal(signal.SIGKILL, is_for_group=True)
                is_killed, deadline = True, time.monotonic() + _PATIENCE
        self._hands.pop(hand.number, None)
        hand.channel.close()
        return hand.exit_code

    def _can_listen(self, seconds: float) -> bool:
        import selectors

        assert self.control is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.control.socket, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def close(self, hands: Iterator[Hand] | list[Hand]) -> None:
        """Let these workers, who have nothing to do, end; then the fork server. Nothing of the crew is left after this."""
        hands = list(hands)
        for hand in hands:
            with contextlib.suppress(OSError):
                hand.channel.send(Stop())
        for hand in hands:
            self.settle(hand)
        server, self._server = self._server, None
        if self.control is not None:
            self._let_server_end()
            self.control.close()
            self.control = None
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with contextlib.suppress(OSError):
                guard.stdin.close()
        for process in (server, guard):
            if process is not None:
                _wait(process, _PATIENCE)
        self._let_go()

    def _let_server_end(self) -> None:
        """Say that no more is to come, and wait for its end of the socket to be closed, which is when it ends."""
        assert self.control is not None
        with contextlib.suppress(OSError):
            self.control.socket.shutdown(socket.SHUT_WR)
        deadline, is_open = time.monotonic() + _PATIENCE, True
        while is_open and self._can_listen(max(0.0, deadline - time.monotonic())):
            _, is_open = self.control.drain()

    def _let_go(self) -> None:
        if self._presence is not None:
            os.close(self._presence)
            self._presence = None


def _start(module: str, theirs: socket.socket, presence: int | None = None) -> subprocess.Popen[bytes]:
    """A new interpreter that runs `main` of a module with its end of a socket, from where this one finds its modules.

    It has a session of its own, so that no signal of a terminal reaches it.
    """
    inherited = [each for each in (theirs.fileno(), presence) if each is not None]
    # importing makes no garbage worth the search: `main` has it searched for again when what it needs is there
    code = (
        f"import gc, sys; gc.disable(); sys.path[:] = {[str(entry) for entry in sys.path]!r}; sys.argv[:] = {sys.argv[:1]!r}; "
        f"from {module} import main; main(*{inherited})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return subprocess.Popen([sys.executable, *flags, "-c", code], pass_fds=inherited, start_new_session=True)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def describe_exit(code: int | None) -> str:
    """`exit code 3`, `signal 9, SIGKILL`: how a process ended."""
    if code is None:
        return "nobody knows how"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code}, {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
