"""DagsterEventType, DagsterEvent, and what happened as a sentence.

An event is an immutable fact about a run. The engine makes them, the machine decides by them, the store keeps them;
results and views are folds over them. No clock here: the time of an event is on the log entry that holds it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import msgspec

from treadle.errors import CheckError, SerializableErrorInfo
from treadle.names import AssetKey, NodeHandle
from treadle.outcomes import AssetMaterialization, AssetObservation
from treadle.payloads import (
    AssetObservationData,
    EngineEventData,
    Payload,
    StepMaterializationData,
    TypeCheckData,
)
from treadle.payloads import StepOutputHandle as StepOutputHandle  # the machine knows payloads only through events


class DagsterEventType(str, Enum):
    """What can happen in a run. Run events keep their historical values; `PIPELINE_*` names are aliases."""

    STEP_OUTPUT = "STEP_OUTPUT"
    STEP_INPUT = "STEP_INPUT"
    STEP_FAILURE = "STEP_FAILURE"
    STEP_START = "STEP_START"
    STEP_SUCCESS = "STEP_SUCCESS"
    STEP_SKIPPED = "STEP_SKIPPED"
    STEP_WORKER_STARTING = "STEP_WORKER_STARTING"
    STEP_WORKER_STARTED = "STEP_WORKER_STARTED"
    RESOURCE_INIT_STARTED = "RESOURCE_INIT_STARTED"
    RESOURCE_INIT_SUCCESS = "RESOURCE_INIT_SUCCESS"
    RESOURCE_INIT_FAILURE = "RESOURCE_INIT_FAILURE"
    STEP_UP_FOR_RETRY = "STEP_UP_FOR_RETRY"
    STEP_RESTARTED = "STEP_RESTARTED"
    ASSET_MATERIALIZATION = "ASSET_MATERIALIZATION"
    ASSET_MATERIALIZATION_PLANNED = "ASSET_MATERIALIZATION_PLANNED"
    ASSET_FAILED_TO_MATERIALIZE = "ASSET_FAILED_TO_MATERIALIZE"
    ASSET_OBSERVATION = "ASSET_OBSERVATION"
    STEP_EXPECTATION_RESULT = "STEP_EXPECTATION_RESULT"
    ASSET_CHECK_EVALUATION_PLANNED = "ASSET_CHECK_EVALUATION_PLANNED"
    ASSET_CHECK_EVALUATION = "ASSET_CHECK_EVALUATION"
    ASSET_HEALTH_CHANGED = "ASSET_HEALTH_CHANGED"
    ASSET_WIPED = "ASSET_WIPED"
    RUN_ENQUEUED = "PIPELINE_ENQUEUED"
    RUN_DEQUEUED = "PIPELINE_DEQUEUED"
    RUN_STARTING = "PIPELINE_STARTING"
    RUN_START = "PIPELINE_START"
    RUN_SUCCESS = "PIPELINE_SUCCESS"
    RUN_FAILURE = "PIPELINE_FAILURE"
    RUN_CANCELING = "PIPELINE_CANCELING"
    RUN_CANCELED = "PIPELINE_CANCELED"
    PIPELINE_ENQUEUED = "PIPELINE_ENQUEUED"
    PIPELINE_DEQUEUED = "PIPELINE_DEQUEUED"
    PIPELINE_STARTING = "PIPELINE_STARTING"
    PIPELINE_START = "PIPELINE_START"
    PIPELINE_SUCCESS = "PIPELINE_SUCCESS"
    PIPELINE_FAILURE = "PIPELINE_FAILURE"
    PIPELINE_CANCELING = "PIPELINE_CANCELING"
    PIPELINE_CANCELED = "PIPELINE_CANCELED"
    RUN_SUSPENDED = "RUN_SUSPENDED"
    RUN_RESUMED = "RUN_RESUMED"
    OBJECT_STORE_OPERATION = "OBJECT_STORE_OPERATION"
    ASSET_STORE_OPERATION = "ASSET_STORE_OPERATION"
    LOADED_INPUT = "LOADED_INPUT"
    HANDLED_OUTPUT = "HANDLED_OUTPUT"
    ENGINE_EVENT = "ENGINE_EVENT"
    HOOK_COMPLETED = "HOOK_COMPLETED"
    HOOK_ERRORED = "HOOK_ERRORED"
    HOOK_SKIPPED = "HOOK_SKIPPED"
    ALERT_START = "ALERT_START"
    ALERT_SUCCESS = "ALERT_SUCCESS"
    ALERT_FAILURE = "ALERT_FAILURE"
    LOGS_CAPTURED = "LOGS_CAPTURED"
    FRESHNESS_STATE_EVALUATION = "FRESHNESS_STATE_EVALUATION"
    FRESHNESS_STATE_CHANGE = "FRESHNESS_STATE_CHANGE"
    CODE_LOCATION_UPDATED = "CODE_LOCATION_UPDATED"


_T = DagsterEventType
_BY_VALUE = {member.value: member for member in _T}

STEP_EVENTS = frozenset(
    (_T.STEP_INPUT, _T.STEP_START, _T.STEP_OUTPUT, _T.STEP_FAILURE, _T.STEP_SUCCESS, _T.STEP_SKIPPED)
    + (_T.ASSET_MATERIALIZATION, _T.ASSET_OBSERVATION, _T.STEP_EXPECTATION_RESULT, _T.ASSET_CHECK_EVALUATION)
    + (_T.OBJECT_STORE_OPERATION, _T.HANDLED_OUTPUT, _T.LOADED_INPUT, _T.STEP_RESTARTED, _T.STEP_UP_FOR_RETRY)
)
FAILURE_EVENTS = frozenset((_T.RUN_FAILURE, _T.STEP_FAILURE, _T.RUN_CANCELED))
RUN_EVENTS = frozenset(member for member in _T if member.name.startswith("RUN_"))
HOOK_EVENTS = frozenset((_T.HOOK_COMPLETED, _T.HOOK_ERRORED, _T.HOOK_SKIPPED))
ALERT_EVENTS = frozenset((_T.ALERT_START, _T.ALERT_SUCCESS, _T.ALERT_FAILURE))
MARKER_EVENTS = frozenset(
    (_T.ENGINE_EVENT, _T.STEP_WORKER_STARTING, _T.STEP_WORKER_STARTED)
    + (_T.RESOURCE_INIT_STARTED, _T.RESOURCE_INIT_SUCCESS, _T.RESOURCE_INIT_FAILURE)
)


class StepKind(str, Enum):
    """How a step came to be."""

    COMPUTE = "COMPUTE"
    UNRESOLVED_MAPPED = "UNRESOLVED_MAPPED"
    UNRESOLVED_COLLECT = "UNRESOLVED_COLLECT"


class StepHandle(msgspec.Struct, frozen=True, gc=False):
    """Which step an event is about."""

    node_handle: NodeHandle
    key: str = ""

    def to_key(self) -> str:
        """The step key."""
        return self.key

    @property
    def solid_handle(self) -> NodeHandle:
        """Older name of `node_handle`."""
        return self.node_handle


class ResolvedFromDynamicStepHandle(msgspec.Struct, frozen=True, gc=False):
    """Which step an event is about, where the step is one branch of a fan-out."""

    node_handle: NodeHandle
    mapping_key: str
    key: str = ""

    def to_key(self) -> str:
        """The step key."""
        return self.key

    @property
    def unresolved_form(self) -> StepHandle:
        """The handle of the step before it was multiplied."""
        return StepHandle(self.node_handle, self.key.partition("[")[0] + "[?]" * self.key.count("["))

    @property
    def solid_handle(self) -> NodeHandle:
        """Older name of `node_handle`."""
        return self.node_handle


# -- the event ----------------------------------------------------------------------------------------------------


def _is(*types: DagsterEventType) -> Any:
    values = frozenset(t.value for t in types)
    return property(lambda event: event.event_type_value in values, doc=f"True for {', '.join(t.name for t in types)}.")


def _in(group: frozenset[DagsterEventType], doc: str) -> Any:
    values = frozenset(t.value for t in group)
    return property(lambda event: event.event_type_value in values, doc=doc)


def _payload(name: str, *types: DagsterEventType) -> Any:
    values = frozenset(t.value for t in types)
    names = " or ".join(t.name for t in types)

    def read(event: DagsterEvent) -> Any:
        if event.event_type_value not in values:
            raise CheckError(
                f"{name}: only an event of type {names} has it; this one is of type {event.event_type.name}."
            )
        return event.event_specific_data

    return property(read, doc=f"The payload of {names}; CheckError for any other type.")


class DagsterEvent(msgspec.Struct, frozen=True, gc=False):
    """An immutable fact about a run, equal by value.

    Step events carry a step key and handles, run events carry none. `message` is derived from the other fields unless
    one was given, so that a fast run does not pay for text that nobody reads.
    """

    event_type_value: str
    job_name: str
    step_handle: StepHandle | ResolvedFromDynamicStepHandle | None = None
    node_handle: NodeHandle | None = None
    step_kind_value: str | None = None
    logging_tags: Mapping[str, str] = {}
    event_specific_data: Payload | None = None
    message: str | None = None
    pid: int | None = None
    step_key: str | None = None

    @property
    def event_type(self) -> DagsterEventType:
        """The type as an enum member."""
        return _BY_VALUE[self.event_type_value]

    is_step_event = _in(STEP_EVENTS, "True for events about one step's work.")
    is_hook_event = _in(HOOK_EVENTS, "True for HOOK_* events.")
    is_alert_event = _in(ALERT_EVENTS, "True for ALERT_* events.")
    is_job_event = is_pipeline_event = is_run_event = _in(RUN_EVENTS, "True for RUN_* events.")
    is_failure = _in(FAILURE_EVENTS, "True for RUN_FAILURE, STEP_FAILURE and RUN_CANCELED.")
    is_engine_event = _is(_T.ENGINE_EVENT)
    is_job_success = is_pipeline_success = is_run_success = _is(_T.RUN_SUCCESS)
    is_job_failure = is_pipeline_failure = is_run_failure = _is(_T.RUN_FAILURE)
    is_step_start = _is(_T.STEP_START)
    is_step_success = _is(_T.STEP_SUCCESS)
    is_step_failure = _is(_T.STEP_FAILURE)
    is_step_skipped = _is(_T.STEP_SKIPPED)
    is_step_restarted = _is(_T.STEP_RESTARTED)
    is_step_up_for_retry = _is(_T.STEP_UP_FOR_RETRY)
    is_resource_init_failure = _is(_T.RESOURCE_INIT_FAILURE)
    is_successful_output = _is(_T.STEP_OUTPUT)
    is_handled_output = _is(_T.HANDLED_OUTPUT)
    is_loaded_input = _is(_T.LOADED_INPUT)
    is_step_materialization = _is(_T.ASSET_MATERIALIZATION)
    is_asset_observation = _is(_T.ASSET_OBSERVATION)
    is_expectation_result = _is(_T.STEP_EXPECTATION_RESULT)
    is_asset_materialization_planned = _is(_T.ASSET_MATERIALIZATION_PLANNED)

    step_input_data = _payload("step_input_data", _T.STEP_INPUT)
    step_output_data = _payload("step_output_data", _T.STEP_OUTPUT)
    step_success_data = _payload("step_success_data", _T.STEP_SUCCESS)
    step_failure_data = _payload("step_failure_data", _T.STEP_FAILURE)
    step_retry_data = _payload("step_retry_data", _T.STEP_UP_FOR_RETRY)
    step_materialization_data = _payload("step_materialization_data", _T.ASSET_MATERIALIZATION)
    step_expectation_result_data = _payload("step_expectation_result_data", _T.STEP_EXPECTATION_RESULT)
    asset_observation_data = _payload("asset_observation_data", _T.ASSET_OBSERVATION)
    hook_completed_data = _payload("hook_completed_data", _T.HOOK_COMPLETED)
    hook_errored_data = _payload("hook_errored_data", _T.HOOK_ERRORED)
    hook_skipped_data = _payload("hook_skipped_data", _T.HOOK_SKIPPED)
    logs_captured_data = _payload("logs_captured_data", _T.LOGS_CAPTURED)
    engine_event_data = _payload("engine_event_data", *sorted(MARKER_EVENTS))
    job_failure_data = pipeline_failure_data = _payload("job_failure_data", _T.RUN_FAILURE)
    job_canceled_data = pipeline_canceled_data = _payload("job_canceled_data", _T.RUN_CANCELED)

    @property
    def materialization(self) -> AssetMaterialization:
        """The materialisation of an ASSET_MATERIALIZATION event; CheckError for any other type."""
        data: StepMaterializationData = self.step_materialization_data
        return data.materialization

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset that this event tells of, None where it tells of none."""
        about = self._about_asset()
        return None if about is None else about.asset_key

    @property
    def partition(self) -> str | None:
        """The partition that this event tells of, None where it tells of none."""
        about = self._about_asset()
        return None if about is None else about.partition

    @property
    def partitions_subset(self) -> None:
        """Always None: runs of ops have no partitions."""
        return None

    def _about_asset(self) -> AssetMaterialization | AssetObservation | None:
        data = self.event_specific_data
        if isinstance(data, StepMaterializationData):
            return data.materialization
        return data.asset_observation if isinstance(data, AssetObservationData) else None

    @property
    def step_kind(self) -> StepKind:
        """How the step came to be; ValueError for events without a step."""
        return StepKind(self.step_kind_value)

    @property
    def node_name(self) -> str:
        """The innermost name of the node; CheckError for events without a node."""
        if self.node_handle is None:
            raise CheckError(f"node_name: an event of type {self.event_type.name} belongs to no node.")
        return self.node_handle.name

    @property
    def pipeline_name(self) -> str:
        """Older name of `job_name`."""
        return self.job_name

    @property
    def solid_handle(self) -> NodeHandle | None:
        """Older name of `node_handle`."""
        return self.node_handle

    @property
    def solid_name(self) -> str:
        """Older name of `node_name`."""
        return self.node_name


# The slot keeps what the constructor was given (so pickling, equality and the stored form see that); reading the
# attribute derives the text where none was given.
_given_message: Any = DagsterEvent.message


def given_message(event: DagsterEvent) -> str | None:
    """The message that the event was made with; None where its text is derived."""
    given: str | None = _given_message.__get__(event)
    return given


def _message_of(event: DagsterEvent) -> str:
    given = _given_message.__get__(event)
    return given if given is not None else describe(event)


DagsterEvent.message = property(_message_of, doc="What happened, as a sentence.")  # type: ignore[assignment]


class EventLogEntry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a run's log: an event, or a message that user code logged (then `dagster_event` is None)."""

    error_info: SerializableErrorInfo | None
    #: a level of the logging module
    level: int
    user_message: str
    run_id: str
    #: seconds since the epoch
    timestamp: float
    step_key: str | None = None
    job_name: str | None = None
    dagster_event: DagsterEvent | None = None

    @property
    def message(self) -> str:
        """The event's message, or the user's."""
        if self.dagster_event is not None:
            return self.dagster_event.message or ""
        return self.user_message

    @property
    def is_dagster_event(self) -> bool:
        """True where the entry holds an event."""
        return self.dagster_event is not None

    @property
    def dagster_event_type(self) -> DagsterEventType | None:
        """The type of the event, None for a user's message."""
        return self.dagster_event.event_type if self.dagster_event is not None else None

    def get_dagster_event(self) -> DagsterEvent:
        """The event; CheckError for a user's message."""
        if self.dagster_event is None:
            raise CheckError("get_dagster_event: this log entry is a message of user code, not an event.")
        return self.dagster_event


# -- texts -------------------------------------------------------------------------------------------------------------


def format_duration(milliseconds: float) -> str:
    """A duration for people: `3.46ms`, `1.2s`, `2m5s`."""
    if milliseconds < 1000:
        return f"{milliseconds:.2f}ms" if milliseconds < 10 else f"{milliseconds:.0f}ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.2f}s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}m{seconds}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60}m{seconds}s"


def _type_check_remark(check: TypeCheckData | None) -> str:
    if check is None:
        return "(No type check)."
    return "(Type check passed)." if check.success else "(Type check failed)."


def _describe_output(event: DagsterEvent) -> str:
    data: Any = event.event_specific_data
    branch = f' mapping key "{data.mapping_key}"' if data.mapping_key else ""
    return f'Yielded output "{data.output_name}"{branch} of type "{data.type_name}". {_type_check_remark(data.type_check_data)}'


def _describe_loaded(event: DagsterEvent) -> str:
    data: Any = event.event_specific_data
    origin = ""
    if data.upstream_output_name:
        origin = f', from output "{data.upstream_output_name}" of step "{data.upstream_step_key}"'
    return f'Loaded input "{data.input_name}" using input manager "{data.manager_key}"{origin}'


def _describe_materialization(event: DagsterEvent) -> str:
    about: Any = event._about_asset()
    verb = "Materialized value" if isinstance(about, AssetMaterialization) else "Observed metadata for"
    return about.description or f"{verb} {about.asset_key.to_user_string()}."


def _describe_expectation(event: DagsterEvent) -> str:
    result: Any = event.event_specific_data.expectation_result  # type: ignore[union-attr]
    label = f" {result.label}" if result.label else ""
    return result.description or f"Expectation{label} {'passed' if result.success else 'failed'}"


_MESSAGES: dict[str, Callable[[Any], str]] = {
    _T.RUN_START.value: lambda e: f'Started execution of run for "{e.job_name}".',
    _T.RUN_SUCCESS.value: lambda e: f'Finished execution of run for "{e.job_name}".',
    _T.RUN_FAILURE.value: lambda e: f'Execution of run for "{e.job_name}" failed.',
    _T.RUN_CANCELED.value: lambda e: f'Execution of run for "{e.job_name}" canceled.',
    _T.STEP_START.value: lambda e: f'Started execution of step "{e.step_key}".',
    _T.STEP_RESTARTED.value: lambda e: f'Started re-execution of step "{e.step_key}".',
    _T.STEP_SUCCESS.value: lambda e: (
        f'Finished execution of step "{e.step_key}" in {format_duration(e.event_specific_data.duration_ms)}.'
    ),
    _T.STEP_FAILURE.value: lambda e: f'Execution of step "{e.step_key}" failed.',
    _T.STEP_SKIPPED.value: lambda e: f'Skipped execution of step "{e.step_key}".',
    _T.STEP_UP_FOR_RETRY.value: lambda e: (
        f'Execution of step "{e.step_key}" failed and has requested a retry'
        + (f" in {e.event_specific_data.seconds_to_wait} seconds." if e.event_specific_data.seconds_to_wait else ".")
    ),
    _T.STEP_INPUT.value: lambda e: (
        f'Got input "{e.event_specific_data.input_name}" of type "{e.event_specific_data.type_name}". '
        + _type_check_remark(e.event_specific_data.type_check_data)
    ),
    _T.STEP_OUTPUT.value: _describe_output,
    _T.LOADED_INPUT.value: _describe_loaded,
    _T.HANDLED_OUTPUT.value: lambda e: (
        f'Handled output "{e.event_specific_data.output_name}" using IO manager "{e.event_specific_data.manager_key}"'
    ),
    _T.ASSET_MATERIALIZATION.value: _describe_materialization,
    _T.ASSET_OBSERVATION.value: _describe_materialization,
    _T.STEP_EXPECTATION_RESULT.value: _describe_expectation,
    _T.LOGS_CAPTURED.value: lambda e: f"Capturing logs for process (pid: {e.pid}).",
}


def describe(event: DagsterEvent) -> str:
    """What happened, as a sentence, from the event's other fields; an empty text where the type says it all."""
    make = _MESSAGES.get(event.event_type_value)
    return make(event) if make is not None else ""


#: events that tell of something gone wrong; an ENGINE_EVENT does where it carries an error
_ERROR_EVENTS = frozenset(
    kind.value
    for kind in (
        *(_T.STEP_FAILURE, _T.RUN_FAILURE, _T.RUN_CANCELED),
        *(_T.HOOK_ERRORED, _T.RESOURCE_INIT_FAILURE),
    )
)
#: levels of the logging module
DEBUG_LEVEL, ERROR_LEVEL = 10, 40

#: what ends an attempt at a step, for good or for another one
ATTEMPT_ENDS = frozenset(
    kind.value
    for kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY)
)


def level_of(event: DagsterEvent) -> int:
    """The level that an event is logged at: ERROR for what went wrong, else DEBUG."""
    if event.event_type_value in _ERROR_EVENTS:
        return ERROR_LEVEL
    data = event.event_specific_data
    return ERROR_LEVEL if isinstance(data, EngineEventData) and data.error is not None else DEBUG_LEVEL


def run_event(
    event_type: DagsterEventType,
    job_name: str,
    payload: Payload | None = None,
    *,
    message: str | None = None,
    step_key: str | None = None,
) -> DagsterEvent:
    """An event about the run, or about the engine at work on it."""
    return DagsterEvent(event_type.value, job_name, None, None, None, {}, payload, message, os.getpid(), step_key)
