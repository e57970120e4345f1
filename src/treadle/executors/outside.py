"""What executors share whose steps run in other processes.

What such a process is given to work for a run, what a run has to fulfil for that, and how a step ends whose process is
gone. The executors of those kinds call it; nothing here knows how they reach their processes.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from treadle import codec
from treadle.definitions.executors import ExecutorRequirement
from treadle.definitions.job import JobDefinition
from treadle.engine.workplace import Stamp, Workplace
from treadle.errors import (
    DagsterSubprocessError,
    DagsterUnmetExecutorRequirementsError,
    SerializableErrorInfo,
    StepMemoryError,
)
from treadle.events import DagsterEvent, DagsterEventType, run_event
from treadle.executors import requirements
from treadle.executors.wire import Assignment, Said
from treadle.instance import DagsterInstance
from treadle.outcomes import retry_delay
from treadle.payloads import EngineEventData, ErrorSource, StepFailureData, StepRetryData
from treadle.plan.model import Launch
from treadle.recipes import ReconstructableJob
from treadle.runs import DagsterRun, DagsterRunStatus


class OutsideExecutor:
    """What executors answer alike whose steps run in other processes; derived classes say how those are reached.

    `words` are: in what errors of the processes come about, and how the log tells that a step is given out.
    """

    def __init__(self, place: Workplace, words: tuple[str, str]) -> None:
        self.place = place
        self._run = place.facts.run
        self._job_name = self._run.job_name
        self._where, self._announcement = words
        self._reader = codec.EventReader(self._run)
        #: what the processes told, and what is told of them
        self._heard: deque[DagsterEvent | Said] = deque()
        self._failures: list[SerializableErrorInfo] = []
        #: the driver was told that there is no room, and waits for it
        self._is_awaited = False
        self._interrupt: BaseException | None = None

    @property
    def starts_in_place(self) -> bool:
        """False: a step starts as soon as another process has it."""
        return False

    @property
    def interrupt(self) -> BaseException | None:
        """What interrupted the run."""
        return self._interrupt

    @property
    def failure(self) -> BaseException | None:
        """What makes the run fail, besides its steps: processes that died, or could not open resources."""
        if not self._failures:
            return None
        shown = "\n\n".join(info.to_string() for info in self._failures)
        return DagsterSubprocessError(f"During {self._where}:\n{shown}", subprocess_error_infos=self._failures)

    def stamp(self, path: str, step_key: str) -> Stamp:
        """What marks the events of a step that does not run, or whose process is gone."""
        return self.place.stamp(path, step_key)

    def announce(self, order: Launch) -> DagsterEvent:
        """Another process is about to get the step."""
        return run_event(
            DagsterEventType.STEP_WORKER_STARTING,
            self._job_name,
            EngineEventData(marker_start="step_process_start"),
            message=self._announcement.format(order.step_key),
            step_key=order.step_key,
        )

    def _note(self, message: str, error: SerializableErrorInfo | None = None, key: str | None = None) -> DagsterEvent:
        data = EngineEventData(error=error)
        return run_event(DagsterEventType.ENGINE_EVENT, self._job_name, data, message=message, step_key=key)


def make_assignment(place: Workplace, folder: Path, preload: Sequence[str] = ()) -> Assignment:
    """What a process is given to work for this run; the output of steps goes to the folder."""
    run = place.facts.run
    assert run.job_code_origin is not None
    _alias_main(ReconstructableJob.from_dict(run.job_code_origin))
    encoded = codec.encode_run(run)
    read = codec.decode_run(encoded, run.status, run.tags)
    ref = place.facts.instance.get_ref()
    return Assignment(
        dict(run.job_code_origin),
        encoded,
        DagsterRunStatus.STARTED.value,
        dict(run.tags),
        ref.home,
        ref.overrides,
        place.retries_enabled,
        str(folder),
        None if read.run_config == run.run_config else _pickled(run.run_config, "run config"),
        None if not place.input_values else _pickled(dict(place.input_values), "input values"),
        list(preload),
    )


def _pickled(value: Any, what: str) -> bytes:
    import cloudpickle

    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise DagsterUnmetExecutorRequirementsError(
            f"The {what} holds something that cannot be sent to another process: {type(error).__name__}: {error}. Leave it out, "
            f"let a resource make it, or run the job in process."
        ) from error
    return pickled


def _alias_main(recipe: ReconstructableJob) -> None:
    """Let values of classes of the main script, which workers know by the name of its file, be those of this process."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    place = recipe.repository.place
    if recipe.repository.kind == "file" and file is not None and Path(file).resolve() == Path(place):
        sys.modules.setdefault(Path(place).stem, main)


def end_of_lost(place: Workplace, order: Launch, error: SerializableErrorInfo, *, may_retry: bool) -> DagsterEvent:
    """The event that ends an attempt whose process is gone: another follows where the policy has it, or the step failed."""
    stamp = place.stamp(order.path, order.step_key)
    delay = None
    if place.retries_enabled and may_retry:
        delay = retry_delay(place.plan.steps[order.path].retry_policy, order.failures + 1)
    if delay is not None:
        return stamp.event(DagsterEventType.STEP_UP_FOR_RETRY.value, StepRetryData(error, delay))
    failure = StepFailureData(error, None, ErrorSource.FRAMEWORK_ERROR)
    return stamp.event(DagsterEventType.STEP_FAILURE.value, failure)


def check_requirements(job: JobDefinition, run: DagsterRun, instance: DagsterInstance, executor: str) -> None:
    """Refuse a run whose steps cannot be run in other processes: DagsterUnmetExecutorRequirementsError."""
    words = (
        f"to run in several processes ({executor} executor)",
        "or run it in one: {'execution': {'config': {'in_process': {}}}}",
    )
    requirements.check(list(ExecutorRequirement), words, job, run, instance)


def took_too_much(step_key: str, memory: int, limit: int) -> StepMemoryError:
    """Of a step that was killed for its op's memory limit."""
    return StepMemoryError(
        f"The process of step {step_key} has had {memory:,} bytes of memory, more than its op's memory_limit of {limit:,}, and was "
        f"killed. Give it more, or let it keep less at a time."
    )
