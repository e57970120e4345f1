"""Steps on a cluster of an existing engine, near or far: what is told of them, and of a cluster in trouble.

The engine's own module (`dask`) gives the line to the cluster; here its messages become events, in the order in which
they come, and the loss of a worker or of the whole cluster one truthful event. This process alone writes the log; when
steps start and what follows from their ends the machine decides.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from treadle.engine.driver import BEGINNINGS, RunEnd
from treadle.engine.workplace import Workplace
from treadle.errors import (
    ChildProcessCrashException,
    DagsterExecutionInterruptedError,
    DagsterSubprocessError,
    SerializableErrorInfo,
    StepTimeoutError,
    TreadleExecutorWarning,
    error_info,
)
from treadle.events import DagsterEvent, DagsterEventType, format_duration, run_event
from treadle.executors import guest
from treadle.executors.capture import FOLDER
from treadle.executors.outside import OutsideExecutor, end_of_lost, make_assignment
from treadle.executors.wire import Assignment, Broken, Done, Event, Order, Said, from_wire
from treadle.plan.model import Launch
from treadle.runs import DagsterRunStatus

_T = DagsterEventType
_ENDS = frozenset((_T.STEP_SUCCESS.value, _T.STEP_FAILURE.value, _T.STEP_UP_FOR_RETRY.value))
_FAILURE, _SUCCESS = _T.STEP_FAILURE.value, _T.STEP_SUCCESS.value

#: seconds that a step has to end after it is asked to, and after its worker was killed
GRACE = 5.0
#: seconds between two looks at the cluster, and whether somebody has canceled the run
LOOK = 0.5
#: seconds in which a cluster answers, and in which everything of it is closed
PATIENCE = 30.0
#: seconds after which it is told that no worker takes a step
WAITING = 10.0


class Told(NamedTuple):
    """What comes over a line.

    `up`: the cluster is there; the key is its address. `down`: it is not, or no longer, and the value says why. `pulse`: its
    workers, each with how many steps it takes at once. `said`: messages of the attempt under the key, with `worker` and
    `pid`. Its end, as the engine sees it: `ended`, `failed` with an error, `cancelled`, or `lost` with its worker.
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

    def submit(self, key: str, order: bytes, tags: Mapping[str, str]) -> None:
        """Have an attempt run somewhere, once: never twice, whatever becomes of its worker."""

    def cancel(self, keys: list[str]) -> None:
        """Have the engine forget these: what has not begun does not begin, what has is interrupted as far as that goes."""

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

    __slots__ = ("deadline", "doom", "has_ended", "is_told_of", "launch", "misses", "pid", "since", "worker")

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.since = time.monotonic()
        #: where it runs, once it does
        self.worker: str | None = None
        self.pid: int | None = None
        #: the log has the event that ends the attempt
        self.has_ended = False
        #: how often in a row the worker was not among those of the cluster
        self.misses = 0
        self.is_told_of = False
        #: when the attempt has taken too long, or when one that was interrupted for that is given up
        self.deadline: float | None = None
        #: why the attempt was interrupted from here
        self.doom: StepTimeoutError | None = None


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
        #: why there is no cluster, or none any more
        self._down: BaseException | None = None
        self._stage = 0
        self._next_stage = 0.0
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
        steps = self.place.plan.steps.values()
        unbound = [step.key for step in steps if step.demands is not None and step.demands.memory_limit]
        if unbound:
            text = (
                f"The memory_limit of {unbound} is not kept: {self._engine} runs several steps in one process. Run the job with the "
                f"multiprocess executor to have it kept, or bound the memory of the workers, as memory_limit of a local cluster does."
            )
            warnings.warn(text, TreadleExecutorWarning, stacklevel=2)
            yield self._note(text)

    def _assign(self) -> Assignment:
        """For workers, whose environment may be another one, with the folder of the outputs as it is here."""
        made = make_assignment(self.place, self._folder / FOLDER)
        overrides = {**made.overrides, "artifacts.dir": str(self._folder.parent)}
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
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # nothing is kept there
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
        self._line.submit(key, guest.encode(Order(order)), self.place.job.wiring.ops[order.path].tags)

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
            else:
                self._next_stage = now  # asked twice
        if self._interrupt is None and now >= self._next_look:
            self._next_look = now + LOOK
            if self.place.facts.instance.get_status(self._run.run_id) is DagsterRunStatus.CANCELING:
                self._stop(DagsterExecutionInterruptedError("The run was canceled."))
        if self._interrupt is not None:
            for key in [key for key, job in self._busy.items() if job.worker is None and now - job.since > LOOK]:
                del self._busy[key]  # it has not begun, and now it will not
            if self._busy and now >= self._next_stage:
                self._insist()
        for key, job in list(self._busy.items()):
            if job.deadline is not None and now >= job.deadline and self._interrupt is None:
                self._end_late(key, job)

    def _stop(self, error: BaseException) -> None:
        self._interrupt = error
        keys = [job.launch.step_key for job in self._busy.values()]
        self._heard.append(
            self._note(f"{self._engine} executor: received termination signal - cancelling steps: {keys}.")
        )
        for job in self._busy.values():
            job.since = time.monotonic()
        self._next_stage = time.monotonic() + GRACE
        if self._line is not None:
            self._line.cancel(list(self._busy))

    def _insist(self) -> None:
        """Steps did not end when they were interrupted."""
        self._stage += 1
        self._next_stage = time.monotonic() + GRACE
        keys = [job.launch.step_key for job in self._busy.values()]
        if self._stage == 1 and self._kill([*self._busy.values()]):
            text = f"{keys} did not end when interrupted; sending SIGKILL to their worker processes."
            self._heard.append(self._note(f"{self._engine} executor: {text}"))
            return
        where = sorted({str(job.worker) for job in self._busy.values()})
        text = (
            f"{keys} did not end when interrupted, and {self._engine} cannot stop a task that runs. The run ends without them; they "
            f"may go on for a while on {where}."
        )
        self._heard.append(self._note(f"{self._engine} executor: {text}"))
        self._fail_all(DagsterExecutionInterruptedError(f"{self._engine} executor: {text}"))

    def _kill(self, jobs: list[_Job]) -> bool:
        """Kill the processes of steps, where they are our own; False where there are none."""
        pids = {job.pid for job in jobs if job.pid is not None} - {os.getpid()}
        if self._site.address is not None or not pids:
            return False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _end_late(self, key: str, job: _Job) -> None:
        """A step takes too long: it is interrupted, and given up if that does not help."""
        demands, step_key = self.place.plan.steps[job.launch.path].demands, job.launch.step_key
        assert demands is not None
        assert self._line is not None
        if job.doom is None:
            job.doom = StepTimeoutError(
                f"Step {step_key} has taken longer than its op's timeout of {demands.timeout:g} s, and was interrupted. Give it more "
                f"time, or see what it waits for: treadle logs {self._run.run_id} {step_key}."
            )
            job.deadline = time.monotonic() + GRACE
            self._line.cancel([key])
            return
        job.deadline = None
        # of a process that has other threads nobody knows what they are at
        is_alone = job.worker is not None and self._threads.get(job.worker) == 1
        is_killed = is_alone and self._kill([job])
        what = "sending SIGKILL to its worker process" if is_killed else f"it may go on for a while on {job.worker}"
        text = f"{self._engine} executor: step {step_key} did not end when interrupted; {what}."
        self._heard.append(self._note(text, key=step_key))
        if not is_killed:
            del self._busy[key]
            self._heard.append(self._end_of_late(job, job.doom))

    def _end_of_late(self, job: _Job, doom: StepTimeoutError) -> DagsterEvent:
        return end_of_lost(self.place, job.launch, error_info(doom), may_retry=self._interrupt is None)

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
        elif what == "down":
            if self._down is None:
                self._lose_cluster(value)
        elif key in self._busy:
            self._hear_end(what, key, value)

    def _hear_step(self, key: str, message: Mapping[str, Any]) -> None:
        job = self._busy.get(key)
        if job is None:
            return
        job.worker, job.pid = message["worker"], message["pid"]
        for body in message["told"]:
            told = guest.decode_told(body)
            if isinstance(told, Event):
                self._hear_event(job, told)
            elif isinstance(told, Said):
                self._heard.append(told)
            elif isinstance(told, Done):
                del self._busy[key]
                if told.breaks is not None and self._interrupt is None and job.doom is None:
                    self._failures.append(told.breaks)
            elif isinstance(told, Broken):
                del self._busy[key]
                self._take_error(job, told.error)

    def _hear_event(self, job: _Job, told: Event) -> None:
        kind = told.type_value
        if kind in BEGINNINGS:
            demands = self.place.plan.steps[job.launch.path].demands
            if demands is not None and demands.timeout is not None:
                job.deadline = time.monotonic() + demands.timeout
        elif kind in _ENDS:
            job.has_ended, job.deadline = True, None
            if job.doom is not None and kind != _SUCCESS:
                self._heard.append(self._end_of_late(job, job.doom))
                return
        self._heard.append(from_wire(told, self._reader))

    def _hear_end(self, what: str, key: str, error: BaseException | None) -> None:
        """The engine is through with an attempt that has not had its last word."""
        if what == "cancelled":
            if self._interrupt is None and self._busy[key].doom is None:
                assert error is not None
                self._lose_cluster(error)
        elif what == "failed":
            assert error is not None
            self._take_error(self._busy.pop(key), error_info(error))
        else:
            self._bury(key, error)

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
                    self._bury(key, None)
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

    def _bury(self, key: str, cause: BaseException | None) -> None:
        """A worker is gone, with the step that it was at."""
        job = self._busy.pop(key)
        assert self._line is not None
        self._line.cancel([key])
        error = ChildProcessCrashException(job.pid)
        error.__cause__ = cause
        info, step_key = error_info(error), job.launch.step_key
        which = f"{self._engine} worker {job.worker or '(unknown)'}"
        if job.has_ended:
            text = f'{self._engine} executor: the {which} was lost after step "{step_key}" had ended.'
            self._heard.append(self._note(text, info, step_key))
            return
        if job.doom is not None:
            self._heard.append(self._end_of_late(job, job.doom))
            return
        text = f'{self._engine} executor: the {which} was lost while it was at step "{step_key}": {error}'
        self._heard.append(self._note(text, info, step_key))
        end = end_of_lost(self.place, job.launch, info, may_retry=self._interrupt is None)
        if end.event_type_value == _FAILURE and self._interrupt is None:
            self._failures.append(info)
        self._heard.append(end)

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
