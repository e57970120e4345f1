"""Steps on a cluster of an existing engine, near or far: what is told of them, and of a cluster in trouble.

The engine's own module (`dask`) gives the line to the cluster; here its messages become events, in the order in which
they come, and the loss of a worker or of the whole cluster one truthful event. This process alone writes the log; when
steps start and what follows from their ends the machine decides.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from treadle.definitions.artifacts import sweep
from treadle.engine.driver import RunEnd
from treadle.engine.workplace import Workplace
from treadle.errors import (
    ChildProcessCrashException,
    DagsterExecutionInterruptedError,
    DagsterSubprocessError,
    SerializableErrorInfo,
    StepMemoryError,
    StepTimeoutError,
    error_info,
)
from treadle.events import ATTEMPT_ENDS, DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.executors import guest
from treadle.executors.capture import FOLDER, files_of, show
from treadle.executors.crew import describe_exit
from treadle.executors.outside import OutsideExecutor, end_of_lost, make_assignment, took_too_much
from treadle.executors.wire import Assignment, Broken, Doomed, Event, Gone, Note, Printed, Said, from_wire
from treadle.halt import took_too_long
from treadle.plan.model import Launch
from treadle.runs import DagsterRunStatus
from treadle.storage import presence

_T = DagsterEventType
_FAILURE, _SUCCESS = _T.STEP_FAILURE.value, _T.STEP_SUCCESS.value
_CAPTURED = _T.LOGS_CAPTURED.value

#: seconds between two looks at the cluster, and whether somebody has canceled the run
LOOK = 0.5
#: seconds in which a cluster answers, and in which everything of it is closed
PATIENCE = 30.0
#: seconds in which it becomes known how a worker process of our own has ended
EXIT = 2.0
#: seconds after which it is told that no worker takes a step
WAITING = 10.0


class Told(NamedTuple):
    """What comes over a line.

    `up`: the cluster is there; the key is its address. `down`: it is not, or no longer, and the value says why. `pulse`: its
    workers, each with how many steps it takes at once. `exited`: a worker process of our own, under its address, with its
    exit code. `said`: messages of the attempt under the key, with `worker` and `pid`. Its end, as the engine sees it: `ended`, `failed` with an error, `cancelled`, or `lost` with its worker.
    """

    what: str
    key: str = ""
    value: Any = None


class Inbox:
    """What has come over a line, in its order. A signal may interrupt who waits here, and nothing is lost by that."""

    def __init__(self) -> None:
        self._told: deque[Told] = deque()
        self._is_there = threading.Event()

    def put(self, told: Told) -> None:
        """Add something, from any thread."""
        self._told.append(told)
        self._is_there.set()

    def wait(self, seconds: float) -> None:
        """Wait so long for something to come."""
        self._is_there.wait(seconds)

    def take(self) -> list[Told]:
        """All that has come."""
        self._is_there.clear()
        return [self._told.popleft() for _ in range(len(self._told))]


class Line(Protocol):
    """The way to a cluster. It exists as long as the run, and no longer."""

    @property
    def inbox(self) -> Inbox:
        """Where what is told comes."""

    def submit(self, key: str, task: bytes, tags: Mapping[str, str]) -> None:
        """Have an attempt run somewhere, once: never twice, whatever becomes of its worker."""

    def cancel(self, keys: list[str], *, at_once: bool = False) -> None:
        """Have the engine forget these: what has not begun does not begin, what has is ended where it runs, in stages or
        at once.
        """

    def close(self) -> None:
        """Let go of everything; what still runs on a cluster of our own ends."""


class Site(NamedTuple):
    """Where the cluster is."""

    #: the engine, for people
    engine: str
    #: None for a local cluster, made for the run
    address: str | None
    #: goes there, with the assignment for whoever works for the run
    open_line: Callable[[bytes], Line]


class _Job:
    """An attempt that the engine has."""

    __slots__ = (
        "cause",
        "doom",
        "file_key",
        "has_ended",
        "is_told_of",
        "launch",
        "lost",
        "misses",
        "pid",
        "since",
        "worker",
    )

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.since = time.monotonic()
        #: where it runs, once it does, and in which process
        self.worker: str | None = None
        self.pid: int | None = None
        #: of the files that its output goes to
        self.file_key: str | None = None
        #: the log has the event that ends the attempt
        self.has_ended = False
        #: how often in a row the worker was not among those of the cluster
        self.misses = 0
        self.is_told_of = False
        #: why the attempt was ended by those who look after it
        self.doom: StepTimeoutError | StepMemoryError | None = None
        #: when the worker was found to be lost, and by what
        self.lost: float | None = None
        self.cause: BaseException | None = None


class ClusterExecutor(OutsideExecutor):
    """Steps as tasks of another engine."""

    def __init__(self, place: Workplace, limit: int | None, site: Site) -> None:
        in_workers = f"{site.engine} execution errors occurred in worker processes"
        super().__init__(place, (in_workers, f'Submitting "{{}}" to {site.engine}.'))
        #: how many steps may be with the engine at once; None for as many as the cluster has threads
        self._limit = limit
        self._site = site
        self._engine = site.engine
        self._folder = Path(place.facts.instance.storage_directory(), self._run.run_id)
        self._line: Line | None = None
        #: address of the scheduler, once it has answered
        self._scheduler: str | None = None
        #: worker -> how many steps it takes at once
        self._threads: Mapping[str, int] = {}
        self._busy: dict[str, _Job] = {}
        #: how worker processes of our own have ended, by their addresses
        self._exits: dict[str, int | None] = {}
        #: a process of a step, or a worker, was lost or ended from here
        self._has_lost = False
        #: why there is no cluster, or none any more
        self._down: BaseException | None = None
        #: when steps of an interrupted run are given up of which nothing is heard
        self._last_moment = 0.0
        self._next_look = 0.0
        self._started = 0.0

    # -- before the first step and after the last

    def open(self) -> Iterator[DagsterEvent]:
        """Reach the cluster, or make one."""
        self._started = time.perf_counter()
        self.place.signals.install()
        keys = self.place.step_keys
        what = "nothing to run"
        if keys:
            self._folder.mkdir(parents=True, exist_ok=True)  # by this a worker knows that it sees the folder
            assignment = guest.encode(self._assign())
            self._line = self._site.open_line(assignment)
            while self._scheduler is None and self._down is None and self._interrupt is None:
                self._listen(LOOK)
                self._look_around()
            if self._down is not None:
                raise RunEnd(self._no_cluster(self._down)) from self._down
            what = f"scheduler {self._scheduler}, {len(self._threads)} worker(s), {self._room} thread(s)"
        yield run_event(
            _T.ENGINE_EVENT,
            self._job_name,
            self.place.describe(),
            message=f"Executing steps using {self._engine} executor: parent process (pid: {os.getpid()}), {what}",
        )

    def _assign(self) -> Assignment:
        """For workers, whose environment may be another one, with the place of the outputs as it is here."""
        made = make_assignment(self.place, self._folder / FOLDER)
        overrides = {**made.overrides, "artifacts.dir": self.place.facts.instance.artifacts_place}
        return msgspec.structs.replace(made, home=str(Path(made.home).resolve()), overrides=overrides)

    def _no_cluster(self, error: BaseException) -> Exception:
        why = f"{type(error).__name__}: {error}"
        if self._site.address is None:
            return DagsterSubprocessError(f"A local {self._engine} cluster could not be started: {why}")
        return DagsterSubprocessError(
            f"No {self._engine} scheduler answers at {self._site.address}: {why}. Start one there, or give the address of one that "
            f"is there: {{'cluster': {{'existing': {{'address': ...}}}}}}."
        )

    def close(self, is_aborted: bool) -> Iterator[DagsterEvent]:
        """Let go of the cluster; one that was made for the run ends, with what still runs there."""
        self.place.signals.restore()
        if self._line is not None:
            self._line.close()
            is_free = presence.wait_until_free(self._folder)
            with contextlib.suppress(OSError):
                Path(self._folder, FOLDER).rmdir()  # no step has said anything
                self._folder.rmdir()  # nor stored anything
            if is_free and (self._has_lost or self._interrupt is not None):
                sweep(self._folder, is_deserted=True)  # whoever was killed may have been writing a value
        if self._interrupt is not None:
            yield self._note(f"{self._engine} executor: the run has let go of the cluster after it was interrupted.")
        elif not is_aborted:
            took = format_duration((time.perf_counter() - self._started) * 1000)
            yield run_event(
                _T.ENGINE_EVENT,
                self._job_name,
                self.place.describe(),
                message=f"{self._engine} executor: parent process exiting after {took} (pid: {os.getpid()})",
            )

    # -- steps

    @property
    def _room(self) -> int:
        return sum(self._threads.values())

    def has_room(self, count: int) -> bool:
        """Whether the cluster has a thread to spare; not before all that came from there was heard."""
        limit = self._limit if self._limit is not None else max(1, self._room)
        has_room = not self._heard and self._interrupt is None and len(self._busy) + count < limit
        self._is_awaited = not has_room
        return has_room

    def launch(self, order: Launch) -> None:
        """Give a step to the engine."""
        assert self._line is not None
        key = f"treadle-{self._run.run_id}-{order.step_key}-{order.attempt}"
        self._busy[key] = _Job(order)
        demands = self.place.plan.steps[order.path].demands
        task = guest.Task(order)
        if demands is not None:
            task = guest.Task(order, demands.timeout, demands.memory_limit, demands.isolation == "fresh_process")
        self._line.submit(key, guest.encode(task), self.place.job.wiring.ops[order.path].tags)

    def next_event(self, timeout: float | None) -> DagsterEvent | None:
        """What comes from the cluster, in the order in which it comes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while self._heard:
                told = self._heard.popleft()
                if isinstance(told, DagsterEvent):
                    return told
                extra = {"exc_text": told.traceback} if told.traceback else None
                self.place.facts.log.message(told.level, told.text, told.step_key, told.op_name, extra)
            if self._is_awaited and self.has_room(0):
                return None
            if not self._busy and (deadline is None or self._interrupt is not None):
                return None
            wait = LOOK
            if deadline is not None:
                wait = min(LOOK, deadline - time.monotonic())
                if wait <= 0:
                    return None
            self._listen(wait)
            self._look_around()

    # -- waiting

    def _listen(self, seconds: float) -> None:
        """Wait so long for something to come, and take all that has. A signal is taken too."""
        signals = self.place.signals
        assert self._line is not None
        inbox = self._line.inbox
        signals.is_open = True
        try:
            if signals.pending is None:
                inbox.wait(seconds)
        except DagsterExecutionInterruptedError as error:
            signals.pending = error
        finally:
            signals.is_open = False
        for told in inbox.take():
            self._hear(told)

    def _look_around(self) -> None:
        """Take signals, see whether the run is canceled, and go on with ending what runs."""
        signals, now = self.place.signals, time.monotonic()
        if signals.pending is not None:
            error, signals.pending = signals.pending, None
            if self._interrupt is None:
                self._stop(error)
            elif self._line is not None:  # asked twice
                self._line.cancel(list(self._busy), at_once=True)
                self._last_moment = min(self._last_moment, now + guest.GRACE)
        if self._interrupt is None and now >= self._next_look:
            self._next_look = now + LOOK
            if self.place.facts.instance.get_status(self._run.run_id) is DagsterRunStatus.CANCELING:
                self._stop(DagsterExecutionInterruptedError("The run was canceled."))
        if self._interrupt is not None:
            for key in [key for key, job in self._busy.items() if job.worker is None and now - job.since > LOOK]:
                del self._busy[key]  # it has not begun, and now it will not
            if self._busy and now >= self._last_moment:
                self._leave_behind()
        for key, job in list(self._busy.items()):
            if job.lost is not None and (job.worker in self._exits or now - job.lost > EXIT):
                self._bury(key)

    def _stop(self, error: BaseException) -> None:
        self._interrupt = error
        keys = [job.launch.step_key for job in self._busy.values()]
        self._heard.append(
            self._note(f"{self._engine} executor: received termination signal - cancelling steps: {keys}.")
        )
        for job in self._busy.values():
            job.since = time.monotonic()
        # interrupted, asked and killed they are ended where they run
        self._last_moment = time.monotonic() + 3 * guest.GRACE + EXIT
        if self._line is not None:
            self._line.cancel(list(self._busy))

    def _leave_behind(self) -> None:
        """Nothing was heard of what was to end: neither its worker nor the engine answers."""
        keys = [job.launch.step_key for job in self._busy.values()]
        where = sorted({str(job.worker) for job in self._busy.values()})
        text = (
            f"nothing was heard of the end of {keys}, and the run ends without them. They may go on on {where}, as long as these "
            f"workers of {self._engine} do not answer."
        )
        self._heard.append(self._note(f"{self._engine} executor: {text}"))
        self._fail_all(DagsterExecutionInterruptedError(f"{self._engine} executor: {text}"))

    def _fail_all(self, error: BaseException) -> None:
        for job in self._busy.values():
            if not job.has_ended:
                self._heard.append(end_of_lost(self.place, job.launch, error_info(error), may_retry=False))
        self._busy.clear()

    # -- what comes from the cluster

    def _hear(self, told: Told) -> None:
        what, key, value = told
        if what == "said":
            self._hear_step(key, value)
        elif what == "pulse":
            self._threads = value
            self._look_at_workers()
        elif what == "up":
            self._scheduler = key
        elif what == "exited":
            self._exits[key] = value
        elif what == "down":
            if self._down is None:
                self._lose_cluster(value)
        elif key in self._busy:
            self._hear_end(what, key, value)

    def _hear_step(self, key: str, message: Mapping[str, Any]) -> None:
        job = self._busy.get(key)
        if job is None:
            return
        job.worker, job.pid = message["worker"], message["pid"] or job.pid
        for body in message["told"]:
            told = guest.decode_told(body)
            if isinstance(told, Event):
                self._hear_event(job, told)
            elif isinstance(told, Said):
                self._heard.append(told)
            elif isinstance(told, Note):
                self._heard.append(self._note(f"{self._engine} executor: {told.text}", told.error, job.launch.step_key))
            elif isinstance(told, Doomed):
                job.doom = self._doom_of(job, told)
            elif isinstance(told, Printed):
                self._keep_output(job, told)
            else:
                self._busy.pop(key, None)
                self._hear_over(job, told)

    def _hear_over(self, job: _Job, told: Any) -> None:
        """The last word of who looks after an attempt."""
        self._show(job)
        if isinstance(told, Broken):
            self._take_error(job, told.error)
        elif isinstance(told, Gone):
            self._bury_process(job, told)
        elif told.breaks is not None and self._interrupt is None and job.doom is None:
            self._failures.append(told.breaks)

    def _hear_event(self, job: _Job, told: Event) -> None:
        event = from_wire(told, self._reader)
        if told.type_value in ATTEMPT_ENDS:
            job.has_ended = True
            if job.doom is not None and told.type_value != _SUCCESS:
                self._heard.extend(self._ended_from_there(job, job.doom))
                return
        elif told.type_value == _CAPTURED:
            job.file_key = event.event_specific_data.file_key  # type: ignore[union-attr]
        self._heard.append(event)

    def _doom_of(self, job: _Job, told: Doomed) -> StepTimeoutError | StepMemoryError:
        key = job.launch.step_key
        self._has_lost = True
        if told.memory is None:
            demands = self.place.plan.steps[job.launch.path].demands
            return took_too_long(self._run.run_id, key, demands.timeout if demands is not None else None)
        limit = told.limit or 0
        if told.is_of_host:
            whose = f"the share at which the memory limit of {self._engine} worker {job.worker} ends a process,"
            return took_too_much(key, told.memory, limit, whose)
        return took_too_much(key, told.memory, limit)

    def _keep_output(self, job: _Job, told: Printed) -> None:
        """What a step has written where its files are not seen from here."""
        folder = Path(self._folder, FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for path, begin, left in zip(files_of(folder, told.file_key), told.begins, told.left, strict=True):
            more = f"\n... and {left:,} bytes more, which were not sent from {job.worker}\n" if left else ""
            path.write_bytes(begin + more.encode())

    def _show(self, job: _Job) -> None:
        if job.file_key is not None:
            how = f"treadle logs {self._run.run_id} {job.launch.step_key}"
            show(Path(self._folder, FOLDER), job.file_key, how)

    def _ended_from_there(self, job: _Job, doom: Exception) -> Iterator[DagsterEvent]:
        """The events of a step that was ended because it went beyond a limit."""
        info, key = error_info(doom), job.launch.step_key
        text = f'{self._engine} executor: step "{key}" was ended, since it went beyond a limit.'
        yield self._note(text, info, key)
        yield end_of_lost(self.place, job.launch, info, may_retry=self._interrupt is None)

    def _bury_process(self, job: _Job, told: Gone) -> None:
        """The process of a step is gone; its worker is not."""
        self._has_lost = True
        if job.doom is not None and not job.has_ended:
            self._heard.extend(self._ended_from_there(job, job.doom))
            return
        info, key = error_info(ChildProcessCrashException(told.pid, told.code)), job.launch.step_key
        if job.has_ended:
            text = f'The process of step "{key}" crashed after the step had ended ({describe_exit(told.code)}).'
            self._heard.append(self._note(text, info, key))
            return
        text = f'{self._engine} executor: child process for step "{key}" on {job.worker} unexpectedly exited.'
        self._heard.append(self._note(text, info, key))
        self._end_lost(job, info)

    def _end_lost(self, job: _Job, info: SerializableErrorInfo) -> None:
        end = end_of_lost(self.place, job.launch, info, may_retry=self._interrupt is None)
        if end.event_type_value == _FAILURE and self._interrupt is None:
            self._failures.append(info)
        self._heard.append(end)

    def _hear_end(self, what: str, key: str, error: BaseException | None) -> None:
        """The engine is through with an attempt that has not had its last word."""
        if what == "cancelled":
            if self._interrupt is None and self._busy[key].lost is None:
                assert error is not None
                self._lose_cluster(error)
        elif what == "failed":
            assert error is not None
            self._take_error(self._busy.pop(key), error_info(error))
        else:
            self._lose_worker(key, error)

    def _take_error(self, job: _Job, error: SerializableErrorInfo) -> None:
        """A worker could not so much as begin, or could not say what it did."""
        self._failures.append(error)
        if not job.has_ended:
            self._heard.append(end_of_lost(self.place, job.launch, error, may_retry=False))

    def _look_at_workers(self) -> None:
        now = time.monotonic()
        for key, job in list(self._busy.items()):
            if job.worker is not None:
                # one that has just joined may not be in an answer that was under way
                job.misses = 0 if job.worker in self._threads else job.misses + 1
                if job.misses > 1:
                    self._lose_worker(key, None)
            elif not job.is_told_of and now - job.since > WAITING and self._has_idle_thread():
                job.is_told_of = True
                text = (
                    f'{self._engine} executor: step "{job.launch.step_key}" has waited {WAITING:g} s for a {self._engine} worker to take it. '
                    f"The cluster has {len(self._threads)} worker(s) with {self._room} thread(s): see that there are some, and "
                    f"that they have the resources that the step's tags ask for."
                )
                self._heard.append(self._note(text, key=job.launch.step_key))

    def _has_idle_thread(self) -> bool:
        return not self._threads or sum(job.worker is not None for job in self._busy.values()) < self._room

    def _lose_worker(self, key: str, cause: BaseException | None) -> None:
        """A worker is gone, with the step that it was at. How it ended is known a moment later, where it is our own."""
        job = self._busy[key]
        assert self._line is not None
        if job.lost is None:
            job.lost, job.cause = time.monotonic(), cause
            self._line.cancel([key], at_once=True)
        if self._site.address is not None or job.worker is None:
            self._bury(key)

    def _bury(self, key: str) -> None:
        job = self._busy.pop(key)
        self._has_lost = True
        code = self._exits.get(job.worker or "")
        step_key = job.launch.step_key
        which = f"{self._engine} worker {job.worker or '(unknown)'}"
        how = f" ({describe_exit(code)})" if code is not None else ""
        error = ChildProcessCrashException(job.pid)
        error.__cause__ = DagsterSubprocessError(f"The {which} was lost{how}, and its children go with it.")
        error.__cause__.__cause__ = job.cause
        info = error_info(error)
        self._show(job)
        if job.has_ended:
            text = f'{self._engine} executor: the {which} was lost{how} after step "{step_key}" had ended.'
            self._heard.append(self._note(text, info, step_key))
        elif job.doom is not None:
            self._heard.extend(self._ended_from_there(job, job.doom))
        else:
            text = f'{self._engine} executor: the {which} was lost{how} while it was at step "{step_key}".'
            self._heard.append(self._note(text, info, step_key))
            self._end_lost(job, info)

    def _lose_cluster(self, cause: BaseException) -> None:
        self._down = cause
        if self._scheduler is None:
            return  # it was never there: `open` tells
        error = DagsterSubprocessError(
            f"The {self._engine} scheduler {self._scheduler} was lost, or was started anew: {type(cause).__name__}: {cause}. Nobody knows "
            f"how far these steps came: {[job.launch.step_key for job in self._busy.values()]}. See that the scheduler is "
            f"there, and execute the run again from its failure."
        )
        self._interrupt = self._interrupt or error
        self._heard.append(self._note(f"{self._engine} executor: {error}", error_info(error)))
        self._fail_all(error)
