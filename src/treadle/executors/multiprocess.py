"""Children of this process: every step in a worker, several at once.

It gives orders to workers, hands on what they tell, and makes of a worker's death one truthful event. The process that
drives the run alone writes the log. When steps start and what follows from their ends the machine decides.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

from treadle.definitions.artifacts import sweep
from treadle.definitions.executors import Execution
from treadle.engine.driver import BEGINNINGS, RunEnd
from treadle.engine.usage import memory_of
from treadle.engine.workplace import Workplace
from treadle.errors import (
    ChildProcessCrashException,
    DagsterExecutionInterruptedError,
    StepMemoryError,
    StepTimeoutError,
    error_info,
)
from treadle.events import ATTEMPT_ENDS, DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.executors.capture import FOLDER, discard, show
from treadle.executors.crew import FORKSERVER, Crew, Hand, Server, describe_exit
from treadle.executors.outside import OutsideExecutor, end_of_lost, make_assignment, took_too_much
from treadle.executors.wire import Broken, Done, Event, Order, Said, Stop, from_wire
from treadle.halt import took_too_long
from treadle.outcomes import Demands
from treadle.payloads import ErrorSource, StepFailureData
from treadle.plan.model import Launch
from treadle.runs import DagsterRunStatus

_T = DagsterEventType
_FAILURE = _T.STEP_FAILURE.value
_SUCCESS = _T.STEP_SUCCESS.value
_CAPTURED = _T.LOGS_CAPTURED.value

#: seconds that a step has to end after it is asked to, and after SIGTERM to all its processes; then comes SIGKILL
GRACE = 5.0
#: seconds between two looks whether somebody has canceled the run
LOOK = 0.5
#: seconds between two looks at the memory of a process whose step is held to a limit
MEMORY_LOOK = 0.05


NO_PLACES: Mapping[str, str] = {}
#: in place of a worker, in the selector
_DOORBELL = object()


class _Job:
    """What a hand is at."""

    __slots__ = ("deadline", "demands", "doom", "file_key", "has_ended", "launch")

    def __init__(self, launch: Launch, demands: Demands | None) -> None:
        self.launch = launch
        self.demands = demands
        #: when the attempt has taken too long, or when one that was ended for that is killed
        self.deadline: float | None = None
        #: why the attempt was ended from here
        self.doom: StepTimeoutError | StepMemoryError | None = None
        #: the log has the event that ends the attempt
        self.has_ended = False
        #: of the files that its output goes to
        self.file_key: str | None = None


class MultiprocessExecutor(OutsideExecutor):
    """Steps in worker processes."""

    def __init__(
        self,
        place: Workplace,
        execution: Execution,
        limit: int,
        places: Mapping[str, str] = NO_PLACES,
        server: Server | None = None,
    ) -> None:
        in_children = "multiprocess execution errors occurred in child processes"
        super().__init__(place, (in_children, 'Launching subprocess for "{}".'))
        #: by path of an op: `process` or `fresh_process`, where it is not as config has it for all
        self._places = places
        self._limit = limit
        self._options = execution.options
        self._is_fresh = self._options.get("isolation") == "step"
        self._max_steps: int | None = self._options.get("max_steps_per_worker")
        self._max_memory: int | None = self._options.get("max_worker_rss")
        self._max_idle: float | None = self._options.get("worker_idle_timeout")
        self._idle_since: dict[Hand, float] = {}
        self._folder = Path(place.facts.instance.storage_directory(), self._run.run_id, FOLDER)
        self._selector = selectors.DefaultSelector()
        self._crew: Crew | None = None
        #: a fork server that was started ahead, as long as the crew has not got it
        self._server = server
        #: to the fork server, as far as it is listened to
        self._control: socket.socket | None = None
        self._orders: deque[Launch] = deque()
        self._idle: list[Hand] = []
        self._busy: dict[Hand, _Job] = {}
        #: told to end, and not gone yet
        self._leaving: set[Hand] = set()
        self._steps_done: dict[Hand, int] = {}
        #: a worker was lost, or ended from here
        self._has_lost = False
        #: somebody wants `next_event` to come back
        self._is_rung = False
        #: how far the cancelling of what runs has gone, and when it goes further
        self._stage = 0
        self._next_stage = 0.0
        self._next_look = 0.0
        self._started = 0.0

    # -- before the first step and after the last

    def open(self) -> Iterator[DagsterEvent]:
        """Start the process that starts the workers."""
        self._started = time.perf_counter()
        self.place.signals.install()
        pid = os.getpid()
        keys = self.place.step_keys
        message = f"Executing steps using multiprocess executor: parent process (pid: {pid})"
        yield run_event(_T.ENGINE_EVENT, self._job_name, self.place.describe(), message=message)
        if not keys:
            return
        method = self._options.get("start_method") or {FORKSERVER: {}}
        name = next(iter(method))
        try:
            preload = (method[name] or {}).get("preload_modules") or ()
            assignment = make_assignment(self.place, self._folder, preload)
            assignment.tells_memory = self._max_memory is not None
            assignment.settings = pickle.dumps(self.place.facts.instance.settings)
            shelf = self.place.shelf
            assignment.shelf = (str(shelf.folder), str(shelf.belongs), shelf.bound) if shelf is not None else None
            self._crew = Crew(assignment, name, self._server)
            self._server = None
        except OSError as error:
            raise RunEnd(error) from error
        if self._crew.control is not None:
            self._control = self._crew.control.socket
            self._selector.register(self._control, selectors.EVENT_READ)

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """End every worker. What is still at work is killed."""
        self.place.signals.restore()
        self._orders.clear()
        for hand in self._busy:
            hand.signal(signal.SIGTERM, is_for_group=True)
        deadline = time.monotonic() + 1.0
        while self._busy and time.monotonic() < deadline:
            self._listen(0.1)
        for hand in self._busy:
            hand.signal(signal.SIGKILL, is_for_group=True)
        keys = [job.file_key for job in self._busy.values()]
        if self._server is not None:
            self._server.dismiss()
        if self._crew is not None:
            self._crew.close([*self._busy, *self._idle, *self._leaving])
        for key in keys:
            if key is not None:
                discard(self._folder, key)
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # no step has said anything
            self._folder.parent.rmdir()  # nor stored anything
        self._selector.close()
        if self._has_lost or keys:
            sweep(self._folder.parent)  # whoever was killed may have been writing a value
        if self._interrupt is not None:
            yield self._note("Multiprocess executor: all child processes have ended after the run was interrupted.")
        elif not is_aborted:
            took = format_duration((time.perf_counter() - self._started) * 1000)
            message = f"Multiprocess executor: parent process exiting after {took} (pid: {os.getpid()})"
            yield run_event(_T.ENGINE_EVENT, self._job_name, self.place.describe(), message=message)

    # -- steps

    def has_room(self, count: int) -> bool:
        """Whether a worker is free, or may be had; not before all that workers have told was heard."""
        has_room = not self._heard and len(self._busy) + len(self._orders) + count < self._limit
        self._is_awaited = not has_room
        return has_room

    def launch(self, order: Launch) -> None:
        """Give a step to a worker as soon as one is free."""
        self._orders.append(order)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """What the workers tell, in the order in which it comes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while self._heard:
                told = self._heard.popleft()
                if isinstance(told, DagsterEvent):
                    return told
                extra = {"exc_text": told.traceback} if told.traceback else None
                self.place.facts.log.message(told.level, told.text, told.step_key, told.op_name, extra)
            if self._interrupt is not None:
                self._orders.clear()
            else:
                self._assign()
            if self._heard:
                continue
            is_over = not self._busy and not self._orders
            if self._is_awaited and self._interrupt is None and self.has_room(0):
                return None
            if is_over and (deadline is None or self._interrupt is not None):
                return None
            wait = self._patience()
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                wait = min(wait, left)
            self._listen(wait)
            self._look_around()
            if self._is_rung:
                self._is_rung = False
                return None

    def _assign(self) -> None:
        while self._orders and self._crew is not None:
            demands = self.place.plan.steps[self._orders[0].path].demands
            is_fresh = self._is_fresh_for(self._orders[0].path)
            hand = self._idle.pop() if self._idle and not is_fresh else self._hire()
            if hand is None:
                return
            order = self._orders.popleft()
            try:
                hand.channel.send(Order(order))
            except OSError:  # it has died idle: nothing was lost
                self._orders.appendleft(order)
                self._forget(hand)
                self._crew.settle(hand)
                self._tell_troubles()
                continue
            self._busy[hand] = _Job(order, demands)

    def _is_fresh_for(self, path: str) -> bool:
        """Whether an attempt has a process of its own: as its op says, or else as config does."""
        where = self._places.get(path)
        return self._is_fresh if where is None else where == "fresh_process"

    def _hire(self) -> Hand | None:
        assert self._crew is not None
        if len(self._busy) >= self._limit:
            return None
        try:
            hand = self._crew.hire()
            self._tell_troubles()
        except OSError as error:
            if self._busy:
                return None  # there will be one when another is done
            order = self._orders.popleft()
            self._heard.extend(self._lost(order, error))
            return None
        self._selector.register(hand.channel.socket, selectors.EVENT_READ, hand)
        self._steps_done[hand] = 0
        return hand

    # -- waiting

    def _patience(self) -> float:
        """Seconds until something is to be done though nobody says anything."""
        now = time.monotonic()
        soonest = self._next_stage if self._stage else self._next_look
        for job in self._busy.values():
            if job.deadline is not None:
                soonest = min(soonest, job.deadline)
            if job.demands is not None and job.demands.memory_limit is not None:
                soonest = min(soonest, now + MEMORY_LOOK)
        return max(0.0, min(soonest - now, LOOK))

    def _listen(self, seconds: float) -> None:
        """Wait so long for workers to say something, and take what they say. A signal is taken too."""
        signals = self.place.signals
        ready = []
        signals.is_open = True
        try:
            if signals.pending is None:
                ready = self._selector.select(seconds)
        except DagsterExecutionInterruptedError as error:
            signals.pending = error
        finally:
            signals.is_open = False
        for key, _ in ready:
            if key.data is _DOORBELL:
                self._is_rung = True
            elif key.data is None:
                self._hear_crew()
            elif key.data in self._steps_done:  # else it was buried meanwhile
                self._hear(key.data)

    def _hear_crew(self) -> None:
        crew = self._crew
        assert crew is not None
        if crew.control is None:
            return
        crew.listen()
        self._tell_troubles()
        self._bury_exited()

    def _bury_exited(self) -> None:
        """Of workers that are gone, though what they have forked may still hold their channels, hear what they had to say."""
        for hand in [hand for hand in self._steps_done if hand.has_exited()]:
            if hand.pid is not None:
                self._hear(hand)
            if hand in self._steps_done:
                self._bury(hand)

    def _tell_troubles(self) -> None:
        """Degradation is loud. What is closed is listened to no more: its number may soon be that of another socket."""
        assert self._crew is not None
        if self._control is not None and self._crew.control is None:
            self._selector.unregister(self._control)
            self._control = None
        for text, info in self._crew.troubles:
            self._heard.append(self._note(f"Multiprocess executor: {text}.", info))
        self._crew.troubles.clear()

    def _look_around(self) -> None:
        """Take signals, see whether the run is canceled, and go on with ending what runs."""
        signals, now = self.place.signals, time.monotonic()
        if signals.pending is not None:
            error, signals.pending = signals.pending, None
            if self._interrupt is None:
                self._stop(error)
            else:
                self._go_to_stage(3)  # asked twice
        if self._interrupt is None and now >= self._next_look:
            self._next_look = now + LOOK
            self._bury_exited()
            if self._max_idle is not None:
                self._dismiss_idle(now)
            if self.place.facts.instance.get_status(self._run.run_id) is DagsterRunStatus.CANCELING:
                self._stop(DagsterExecutionInterruptedError("The run was canceled."))
        for hand, job in list(self._busy.items()):
            if job.demands is not None and not self._stage:
                self._hold_to_limits(hand, job, now)
        if self._stage and now >= self._next_stage and self._busy:
            self._go_to_stage(self._stage + 1)

    def _hold_to_limits(self, hand: Hand, job: _Job, now: float) -> None:
        """End a step that takes too long, or has too much memory."""
        demands, key = job.demands, job.launch.step_key
        assert demands is not None
        if job.deadline is not None and now >= job.deadline:
            if job.doom is None:
                job.doom = took_too_long(self._run.run_id, key, demands.timeout)
                job.deadline = now + GRACE
                hand.signal(signal.SIGTERM, is_for_group=True)
            else:
                job.deadline = None
                hand.signal(signal.SIGKILL, is_for_group=True)
        limit = demands.memory_limit
        if limit is not None and job.doom is None and hand.pid is not None:
            memory = memory_of(hand.pid)
            if memory > limit:
                job.doom = took_too_much(key, memory, limit)
                hand.signal(signal.SIGKILL, is_for_group=True)

    def _stop(self, error: BaseException) -> None:
        self._interrupt = error
        keys = [job.launch.step_key for job in self._busy.values()]
        told = f"received termination signal - forwarding to active child processes: {keys}."
        self._heard.append(self._note(f"Multiprocess executor: {told}"))
        self._go_to_stage(1)

    def _go_to_stage(self, stage: int) -> None:
        if stage > 4:  # nothing that can be said or sent has helped
            for hand in list(self._busy):
                self._bury(hand)
            return
        self._stage = stage
        self._next_stage = time.monotonic() + GRACE
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[min(stage, 3) - 1]
        keys = [job.launch.step_key for job in self._busy.values()]
        if stage > 1 and keys:
            told = f"{keys} did not end in {GRACE:g} s; sending {number.name} to all of it."
            self._heard.append(self._note(f"Multiprocess executor: {told}"))
        for hand in self._busy:
            hand.signal(number, is_for_group=stage > 1)

    # -- beside other executors

    def heed(self, doorbell: socket.socket) -> None:
        """Let `next_event` come back with nothing when this can be read."""
        self._selector.register(doorbell, selectors.EVENT_READ, _DOORBELL)

    def unheed(self, doorbell: socket.socket) -> None:
        """Heed it no more."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(doorbell)

    @property
    def is_idle(self) -> bool:
        """True where no step is under way, and nothing that was told is to be heard."""
        return not (self._busy or self._orders or self._heard)

    @property
    def count(self) -> int:
        """How many steps are under way."""
        return len(self._busy) + len(self._orders)

    def stop(self, error: BaseException) -> None:
        """Interrupt the run: end what is under way, in stages."""
        if self._interrupt is None:
            self._stop(error)

    # -- what workers tell

    def _hear(self, hand: Hand) -> None:
        messages, is_open = hand.channel.drain()
        for message in messages:
            kind = type(message)
            if kind is Event:
                self._hear_event(hand, message)
            elif kind is Said:
                self._heard.append(message)
            elif kind is Done:
                self._release(hand, message)
            elif kind is Broken:
                self._take_broken(hand, message)
        if not is_open:
            self._bury(hand)

    def _hear_event(self, hand: Hand, message: Event) -> None:
        event = from_wire(message, self._reader)
        job = self._busy.get(hand)
        if job is not None:
            if message.type_value in ATTEMPT_ENDS:
                job.has_ended = True
                job.deadline = None
                if job.doom is not None and message.type_value != _SUCCESS:
                    self._heard.extend(self._ended_from_here(job, job.doom))
                    return
            elif message.type_value in BEGINNINGS:
                if job.demands is not None and job.demands.timeout is not None:
                    job.deadline = time.monotonic() + job.demands.timeout
            elif message.type_value == _CAPTURED:
                job.file_key = event.event_specific_data.file_key  # type: ignore[union-attr]
        self._heard.append(event)

    def _release(self, hand: Hand, done: Done) -> None:
        """A worker is through with its step: it gets another, or goes."""
        job = self._busy.pop(hand)
        self._steps_done[hand] += 1
        if done.breaks is not None and self._interrupt is None and job.doom is None:
            self._failures.append(done.breaks)
        if any(done.output):
            self._show(job)
        is_worn = self._max_steps is not None and self._steps_done[hand] >= self._max_steps
        is_worn = is_worn or job.doom is not None or self._is_fresh_for(job.launch.path)
        if is_worn or (self._max_memory is not None and done.memory > self._max_memory):
            self._leaving.add(hand)
            with contextlib.suppress(OSError):
                hand.channel.send(Stop())
        else:
            self._idle.append(hand)
            self._idle_since[hand] = time.monotonic()

    def _dismiss_idle(self, now: float) -> None:
        """Let workers go that have had nothing to do for too long."""
        assert self._max_idle is not None
        for hand in [hand for hand in self._idle if now - self._idle_since[hand] >= self._max_idle]:
            self._idle.remove(hand)
            self._leaving.add(hand)
            with contextlib.suppress(OSError):
                hand.channel.send(Stop())

    def _show(self, job: _Job) -> None:
        """Let the user of a terminal see what a step has written, as if it had written it here."""
        if job.file_key is not None:
            show(self._folder, job.file_key, f"treadle logs {self._run.run_id} {job.launch.step_key}")

    def _take_broken(self, hand: Hand, message: Broken) -> None:
        """A worker could not load the job: its step fails, and it ends."""
        job = self._busy.pop(hand)
        self._leaving.add(hand)
        stamp = self.stamp(job.launch.path, job.launch.step_key)
        self._failures.append(message.error)
        self._heard.append(stamp.event(_FAILURE, StepFailureData(message.error, None, ErrorSource.FRAMEWORK_ERROR)))

    # -- what becomes of workers

    def _forget(self, hand: Hand) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(hand.channel.socket)
        self._steps_done.pop(hand, None)
        self._idle_since.pop(hand, None)
        self._leaving.discard(hand)
        if hand in self._idle:
            self._idle.remove(hand)

    def _bury(self, hand: Hand) -> None:
        """A worker is gone. If it was at a step, that is told."""
        assert self._crew is not None
        self._forget(hand)
        code = self._crew.settle(hand)
        self._tell_troubles()
        job = self._busy.pop(hand, None)
        if job is None:
            return
        self._has_lost = True
        error = ChildProcessCrashException(hand.pid, code)
        if job.file_key is not None:
            self._show(job)
        if job.doom is not None and not job.has_ended:
            self._heard.extend(self._ended_from_here(job, job.doom))
            return
        if job.has_ended:
            text = (
                f'The process of step "{job.launch.step_key}" crashed after the step had ended ({describe_exit(code)}).'
            )
            self._heard.append(self._note(text, error_info(error), job.launch.step_key))
            return
        self._heard.extend(self._lost(job.launch, error))

    def _lost(self, order: Launch, error: Exception) -> Iterator[DagsterEvent]:
        """The events of a step whose process died, or could not be had."""
        key, info = order.step_key, error_info(error)
        text = f'Multiprocess executor: child process for step "{key}" unexpectedly exited.'
        yield self._note(text, info, key)
        end = end_of_lost(self.place, order, info, may_retry=self._interrupt is None)
        if end.event_type_value == _FAILURE and self._interrupt is None:
            self._failures.append(info)
        yield end

    def _ended_from_here(self, job: _Job, doom: Exception) -> Iterator[DagsterEvent]:
        """The events of a step that was ended because it went beyond a limit of its op."""
        info = error_info(doom)
        key = job.launch.step_key
        yield self._note(
            f'Multiprocess executor: step "{key}" was ended, since it went beyond a limit of its op.', info, key
        )
        yield end_of_lost(self.place, job.launch, info, may_retry=self._interrupt is None)
