"""The fork server's main: loads a run's job once, and forks workers that have it.

It runs no step. It tells the run's process of each worker that comes and goes, and when that process is gone it kills
the workers with all that they have started.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import threading

from treadle.errors import error_info
from treadle.executors.wire import Assignment, Channel, Exited, Fork, Forked, Ready
from treadle.executors.worker import Shop, keep_to_oneself, settle_in, work


def main(descriptor: int) -> None:
    """Serve the process at the other end of a socket until it is closed."""
    keep_to_oneself(descriptor)
    control = socket.socket(fileno=descriptor)
    channel = Channel(control, is_worker=True)
    # While the job is loaded that ends it; later the socket tells, so that the workers are killed first.
    settle_in(signal.SIGTERM)
    assignment = channel.receive()
    if not isinstance(assignment, Assignment):
        return
    if assignment.brings_presence:
        keep_to_oneself(channel.descriptors.pop(0))  # held for as long as this process and its workers are there
    shop, ready = _load(assignment)
    server = _Server(channel, assignment, shop)
    try:
        channel.send(ready)
        server.serve()
    finally:  # also where nobody is left who could be told anything
        server.kill_all()
        os._exit(0)


def _load(assignment: Assignment) -> tuple[Shop | None, Ready]:
    problem = None
    shop = None
    try:
        for name in assignment.preload:
            importlib.import_module(name)
        shop = Shop(assignment)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises
        problem = error_info(error)
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    obstacle = None
    if others:
        obstacle = f"importing the job has started {len(others)} thread(s) ({', '.join(others[:5])})"
    gc.freeze()  # what is loaded stays shared with the workers
    gc.enable()
    return shop, Ready(problem, obstacle)


class _Server:
    def __init__(self, channel: Channel, assignment: Assignment, shop: Shop | None) -> None:
        self._channel = channel
        self._assignment = assignment
        self._shop = shop
        self._workers: set[int] = set()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)

    def serve(self) -> None:
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # whoever wants it to end closes the socket
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel.socket, selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            self._obey(self._channel.waiting())  # what came while the job was loaded
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._awake in ready:
                    with contextlib.suppress(BlockingIOError):
                        self._awake.recv(4096)
                self._reap()
                if self._channel.socket not in ready:
                    continue
                messages, is_open = self._channel.drain()
                self._obey(messages)
                if not is_open:
                    return

    def _obey(self, messages: list[object]) -> None:
        """Fork the workers that are asked for, and tell of all at once: who hears it has a processor that they can do with."""
        for message in messages:
            if isinstance(message, Fork):
                self._fork(message.number, self._channel.descriptors.pop(0))
        self._channel.flush()

    def _fork(self, number: int, descriptor: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._channel.put(Forked(number, None, str(error)))
            return
        if pid == 0:
            self._become_worker(descriptor)
        os.close(descriptor)
        self._workers.add(pid)
        self._channel.put(Forked(number, pid))

    def _become_worker(self, descriptor: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._channel.close()
            self._awake.close()
            self._wake.close()
            settle_in()
            work(Channel(socket.socket(fileno=descriptor), is_worker=True), self._assignment, self._shop)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 - the process ends here: what is wrong is told where its output goes
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Tell of workers that are gone, after whatever they have left in their process groups is killed."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            if pid in self._workers:
                self._workers.discard(pid)
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            with contextlib.suppress(OSError):
                self._channel.send(Exited(pid, os.waitstatus_to_exitcode(status)))

    def kill_all(self) -> None:
        for pid in self._workers:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
