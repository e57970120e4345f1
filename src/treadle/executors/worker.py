"""A child's main: an order in, events out.

A worker runs one step at a time of one run, with resources of the step's own, and sends what happens to the process that
drives the run; that one alone writes the log. It decides nothing. As a process of its own it ends when its socket breaks.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from treadle import codec
from treadle.contexts import RunFacts
from treadle.definitions import invoke, run_config
from treadle.engine.resources import StepResources
from treadle.engine.step import run_step
from treadle.engine.usage import memory_of
from treadle.engine.workplace import Workplace
from treadle.errors import DagsterExecutionInterruptedError, error_info
from treadle.events import DagsterEvent, DagsterEventType, run_event
from treadle.executors.capture import Capture
from treadle.executors.wire import Assignment, Broken, Channel, Done, Order, Said, Stop, ToParent, to_wire
from treadle.instance import DagsterInstance, InstanceRef
from treadle.logs import RunLog
from treadle.payloads import ComputeLogsCaptureData, EngineEventData, ErrorSource, StepFailureData
from treadle.plan.compile import compile_plan
from treadle.plan.model import Launch
from treadle.recipes import ReconstructableJob
from treadle.runs import DagsterRunStatus

_T = DagsterEventType


class Sink(Protocol):
    """Takes what a worker tells to where it is heard."""

    def put(self, message: ToParent) -> None:
        """Take a message; it is sent with the next `flush`."""

    def flush(self) -> None:
        """Send what waits."""

    def send(self, message: ToParent) -> None:
        """Send a message, and what waits before it."""


class Output(Protocol):
    """Keeps what a step writes to stdout and stderr."""

    def begin(self) -> str:
        """Have files that are empty, and give their key."""

    def sizes(self) -> tuple[int, int]:
        """Bytes that were written to them so far."""


class Shop:
    """One run's job, loaded and compiled: all that any step of it needs. Made once, before a process is forked."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        run = codec.decode_run(assignment.run, DagsterRunStatus(assignment.status), assignment.tags)
        if assignment.run_config is not None:
            run = msgspec.structs.replace(run, run_config=pickle.loads(assignment.run_config))  # noqa: S301 - its own parent sent it
        self.run = run
        recipe = ReconstructableJob.from_dict(assignment.recipe)
        job = recipe.get_definition()
        if run.op_selection and not job.is_subset:
            job = job.get_subset(op_selection=list(run.op_selection))
        values: Mapping[str, Any] = job.input_values
        if assignment.input_values is not None:
            values = pickle.loads(assignment.input_values)  # noqa: S301 - its own parent sent it
        # how the run is executed is its own process's business, and may name variables of that one's environment
        config = run_config.resolve(job, run.run_config, ignores_execution=True, given_inputs=values)
        self._instance = _open_instance(assignment)
        self._find_repository = recipe.get_repository
        self._job, self._config, self._values, self._plan = job, config, values, compile_plan(job)

    def make_place(self, sink: Sink) -> Workplace:
        """What one step at a time needs; what is logged goes to the sink."""

        def record(level: int, text: str, step_key: str | None, extra: Mapping[str, Any] | None) -> None:
            sink.send(Said(level, text, step_key, None, (extra or {}).get("exc_text")))

        log = RunLog(self.run.run_id, self._job.name, [], record, self.run.tags)
        facts = RunFacts(self.run, self._job, self._instance, log, self._find_repository)
        retries_enabled = self.assignment.retries_enabled
        place = Workplace(facts, self._plan, self._config, self._values, retries_enabled=retries_enabled)
        place.captured = None
        if self.assignment.shelf is not None:
            from treadle.definitions.shelf import Shelf

            folder, belongs, bound = self.assignment.shelf
            place.shelf = Shelf(Path(folder), Path(belongs), bound)
        place.keeps_timeouts = False  # whoever has started this process ends the step
        return place


def _open_instance(assignment: Assignment) -> DagsterInstance:
    if assignment.unseen_folder is not None:
        from treadle.executors.unseen import UnseenInstance

        return UnseenInstance(assignment)
    ref = InstanceRef(assignment.home, assignment.overrides)
    if assignment.settings is None:
        return DagsterInstance.from_ref(ref)
    return DagsterInstance.from_ref(ref, pickle.loads(assignment.settings))  # noqa: S301 - its own parent sent it


class Worker:
    """What runs the steps in this process."""

    def __init__(self, shop: Shop, sink: Sink, capture: Output | None, where: str = "subprocess") -> None:
        self._run = shop.run
        self._sink = sink
        self._capture = capture
        #: what it is, for people
        self._where = where
        self._tells_memory = shop.assignment.tells_memory
        self.place = shop.make_place(sink)
        self.place.announce = self._tell_now
        self.place.before_body = sink.flush

    def run(self, launch: Launch) -> None:
        """Run an attempt to its end, and say that it is over."""
        place, key = self.place, launch.step_key
        job_name = place.facts.run.job_name
        pid = os.getpid()
        message = f'Executing step "{key}" in {self._where} (pid: {pid}).'
        data = EngineEventData(marker_end="step_process_start")
        self.tell(run_event(_T.STEP_WORKER_STARTED, job_name, data, message=message, step_key=key))
        resources = StepResources(place, key)
        breaks = None
        signals = place.signals
        try:
            signals.is_open = True
            for event in resources.open(place.job.resource_keys_of({launch.path})):
                self.tell(event)
            signals.is_open = False
        except (Exception, KeyboardInterrupt, DagsterExecutionInterruptedError) as error:  # noqa: BLE001 - whatever user code raises
            signals.is_open = False
            breaks = error_info(error)
            is_user = not isinstance(error, Exception)
            source = ErrorSource.INTERRUPT if is_user else ErrorSource.USER_CODE_ERROR
            stamp = place.stamp(launch.path, key)
            self.tell(stamp.event(_T.STEP_FAILURE.value, StepFailureData(breaks, None, source)))
        else:
            if self._capture is not None:
                file_key = self._capture.begin()
                self.tell(run_event(_T.LOGS_CAPTURED, job_name, ComputeLogsCaptureData(file_key, [key])))
            for event in run_step(place, launch):
                self.tell(event)
                payload = event.event_specific_data
                if type(payload) is StepFailureData and payload.error_source is ErrorSource.INTERRUPT:
                    breaks = payload.error
        for event in resources.close():
            self.tell(event)
        if place.loop is not None:
            loop, place.loop = place.loop, None
            invoke.close_event_loop(loop)
        written = self._capture.sizes() if self._capture is not None else (0, 0)
        self._sink.send(Done(breaks, memory_of(pid) if self._tells_memory else 0, written))

    def tell(self, event: DagsterEvent) -> None:
        """Have an event sent."""
        self._sink.put(to_wire(event, self._run))

    def _tell_now(self, event: DagsterEvent) -> None:
        self.tell(event)
        self._sink.flush()


def work(channel: Channel, assignment: Assignment, shop: Shop | None) -> None:
    """Do what comes over the channel, until it breaks or says to stop. Without a shop it is made here."""
    capture = Capture(Path(assignment.capture_folder), assignment.capture_prefix)
    worker: Worker | None = None
    while True:
        message = channel.receive()
        if message is None or isinstance(message, Stop):
            break
        assert isinstance(message, Order)
        if worker is None:
            try:
                worker = Worker(shop or Shop(assignment), channel, capture, assignment.where)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever user code raises
                channel.send(Broken(error_info(error)))
                break
            worker.place.signals.install()
        try:
            worker.run(message.launch)
        except BrokenPipeError:  # the run's process is gone
            break
    capture.close()


def settle_in(farewell: signal.Signals = signal.SIGKILL) -> None:
    """Make this process one that no signal of a terminal reaches, and that gets one when its parent is gone."""
    if os.getsid(0) != os.getpid():  # else it was started so
        os.setsid()
    _die_with_parent(farewell)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _die_with_parent(farewell: signal.Signals) -> None:
    """Where the system can do that. Elsewhere the broken socket tells."""
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    _PR_SET_PDEATHSIG = 1  # noqa: N806 - as prctl(2) has it
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, farewell)
    if os.getppid() != parent:
        os._exit(1)


def keep_to_oneself(*descriptors: int | None) -> None:
    """Let no program that is started from here have these descriptors, though this one was started with them."""
    for descriptor in descriptors:
        if descriptor is not None:
            os.set_inheritable(descriptor, False)


def main(descriptor: int, presence: int | None = None) -> None:
    """A worker that was started as a program of its own. `presence` is a descriptor to be held, see there."""
    gc.enable()
    keep_to_oneself(descriptor, presence)
    channel = Channel(socket.socket(fileno=descriptor), is_worker=True)
    settle_in()
    assignment = channel.receive()
    if isinstance(assignment, Assignment):
        work(channel, assignment, None)
