"""one payload class for each kind of event

What an event of a type tells besides its type and step. Plain frozen data, which the codec writes and reads by the type
of the event; `PAYLOADS` says which type carries which. `gc=False`: no payload may ever lead back to what holds it (decision 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from treadle.errors import SerializableErrorInfo
from treadle.metadata import MetadataKind
from treadle.outcomes import AssetMaterialization, AssetObservation, ExpectationResult


class ErrorSource(str, Enum):
    """Whose fault a step failure is."""

    FRAMEWORK_ERROR = "FRAMEWORK_ERROR"
    USER_CODE_ERROR = "USER_CODE_ERROR"
    UNEXPECTED_ERROR = "UNEXPECTED_ERROR"
    INTERRUPT = "INTERRUPT"


class RunFailureReason(str, Enum):
    """Why a run ended in failure."""

    UNEXPECTED_TERMINATION = "UNEXPECTED_TERMINATION"
    RUN_EXCEPTION = "RUN_EXCEPTION"
    STEP_FAILURE = "STEP_FAILURE"
    JOB_INITIALIZATION_FAILURE = "JOB_INITIALIZATION_FAILURE"
    START_TIMEOUT = "START_TIMEOUT"
    RUN_WORKER_RESTART = "RUN_WORKER_RESTART"
    UNKNOWN = "UNKNOWN"


class StepOutputHandle(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One output of one step; with a mapping key, one branch of a dynamic output."""

    step_key: str
    output_name: str = "result"
    mapping_key: str | None = None


_NO_METADATA: Mapping[str, MetadataKind] = {}


class TypeCheckData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a type check said; `label` is the name of the input or output."""

    success: bool
    label: str
    description: str | None = None
    metadata: Mapping[str, MetadataKind] = _NO_METADATA


class StepInputData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_INPUT."""

    input_name: str
    type_check_data: TypeCheckData
    #: display name of the declared type, for the message
    type_name: str = "Any"


class StepOutputData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_OUTPUT."""

    step_output_handle: StepOutputHandle
    type_check_data: TypeCheckData | None = None
    version: str | None = None
    metadata: Mapping[str, MetadataKind] = _NO_METADATA
    type_name: str = "Any"

    @property
    def output_name(self) -> str:
        """Name of the output."""
        return self.step_output_handle.output_name

    @property
    def mapping_key(self) -> str | None:
        """Key of the branch, of a dynamic output."""
        return self.step_output_handle.mapping_key


class StepUsage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an attempt has cost, as the system tells it: of its process, and of those that it has started and waited for."""

    cpu_ms: float = 0
    #: bytes: the most that the process has had at once, in its life up to the end of the attempt
    peak_memory: int = 0
    #: bytes that went to and from storage, in blocks of 512
    read_bytes: int = 0
    written_bytes: int = 0


class StepSuccessData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_SUCCESS."""

    duration_ms: float
    usage: StepUsage | None = None


class UserFailureData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a `Failure` carried."""

    label: str
    description: str | None = None
    metadata: Mapping[str, MetadataKind] = _NO_METADATA


class StepFailureData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_FAILURE."""

    error: SerializableErrorInfo | None = None
    user_failure_data: UserFailureData | None = None
    error_source: ErrorSource = ErrorSource.FRAMEWORK_ERROR
    usage: StepUsage | None = None

    @property
    def error_display_string(self) -> str:
        """The error as text; for an error in user code, the user's own exception after it."""
        if self.error is None:
            return ""
        if self.error_source is ErrorSource.USER_CODE_ERROR and self.error.cause is not None:
            return f"{self.error.message.strip().rstrip(':')}:\n\n{self.error.cause.to_string()}"
        return self.error.to_string()


class StepRetryData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_UP_FOR_RETRY; `seconds_to_wait` is 0 where there is no delay."""

    error: SerializableErrorInfo | None = None
    seconds_to_wait: float = 0
    #: the attempt ended because its process did: that is not counted against the op's retries
    is_interruption: bool = False


class LoadedInputData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of LOADED_INPUT."""

    input_name: str
    manager_key: str
    upstream_output_name: str | None = None
    upstream_step_key: str | None = None
    metadata: Mapping[str, MetadataKind] = _NO_METADATA


class HandledOutputData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of HANDLED_OUTPUT."""

    output_name: str
    manager_key: str
    metadata: Mapping[str, MetadataKind] = _NO_METADATA


class StepMaterializationData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of ASSET_MATERIALIZATION."""

    materialization: AssetMaterialization
    asset_lineage: list[Any] = []


class AssetObservationData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of ASSET_OBSERVATION."""

    asset_observation: AssetObservation


class StepExpectationResultData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of STEP_EXPECTATION_RESULT."""

    expectation_result: ExpectationResult


class HookErroredData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of HOOK_ERRORED."""

    error: SerializableErrorInfo


#: in the metadata of an ENGINE_EVENT that tells of an error: the key of the resource that could not be closed
TEARDOWN_KEY = "resource_key"


class EngineEventData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of ENGINE_EVENT, STEP_WORKER_* and RESOURCE_INIT_*."""

    metadata: Mapping[str, MetadataKind] = _NO_METADATA
    error: SerializableErrorInfo | None = None
    marker_start: str | None = None
    marker_end: str | None = None


class ComputeLogsCaptureData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of LOGS_CAPTURED."""

    file_key: str
    step_keys: list[str]
    external_url: str | None = None
    external_stdout_url: str | None = None
    external_stderr_url: str | None = None
    shell_cmd: Any = None


class JobFailureData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of RUN_FAILURE."""

    error: SerializableErrorInfo | None = None
    failure_reason: RunFailureReason | None = None
    #: the STEP_FAILURE event of the first step that failed, a DagsterEvent
    first_step_failure_event: Any = None


class JobCanceledData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Payload of RUN_CANCELED."""

    error: SerializableErrorInfo | None = None


Payload = (
    StepInputData | StepOutputData | StepSuccessData | StepFailureData | StepRetryData | LoadedInputData
    | HandledOutputData | StepMaterializationData | AssetObservationData | StepExpectationResultData
    | HookErroredData | EngineEventData | ComputeLogsCaptureData | JobFailureData | JobCanceledData
)  # fmt: skip

#: the payload class of each type of event, by the type's stored value; a type that is not here carries none
PAYLOADS: Mapping[str, type[Any]] = {
    "STEP_INPUT": StepInputData,
    "STEP_OUTPUT": StepOutputData,
    "STEP_SUCCESS": StepSuccessData,
    "STEP_FAILURE": StepFailureData,
    "STEP_UP_FOR_RETRY": StepRetryData,
    "LOADED_INPUT": LoadedInputData,
    "HANDLED_OUTPUT": HandledOutputData,
    "ASSET_MATERIALIZATION": StepMaterializationData,
    "ASSET_OBSERVATION": AssetObservationData,
    "STEP_EXPECTATION_RESULT": StepExpectationResultData,
    "HOOK_ERRORED": HookErroredData,
    "ENGINE_EVENT": EngineEventData,
    "STEP_WORKER_STARTING": EngineEventData,
    "STEP_WORKER_STARTED": EngineEventData,
    "RESOURCE_INIT_STARTED": EngineEventData,
    "RESOURCE_INIT_SUCCESS": EngineEventData,
    "RESOURCE_INIT_FAILURE": EngineEventData,
    "LOGS_CAPTURED": ComputeLogsCaptureData,
    "PIPELINE_FAILURE": JobFailureData,
    "PIPELINE_CANCELED": JobCanceledData,
}
