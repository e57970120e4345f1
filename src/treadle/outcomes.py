"""What user code may return, yield, raise or ask for.

Ops' authors make these; `invoke` streams them out of a body, the machine asks a RetryPolicy how long to wait, and
events carry those that are facts. What a user gives is checked when the object is made. No clock here: a random number
may be given, so that the machine stays deterministic.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from keyword import iskeyword
from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from msgspec.structs import force_setattr

from treadle.checks import check_optional, check_param, show
from treadle.errors import DagsterInvalidDefinitionError, ParameterCheckError
from treadle.metadata import NO_METADATA, MetadataKind, PathMetadataValue, RawMetadataValue, normalize_metadata
from treadle.names import DEFAULT_OUTPUT, NAME_PATTERN, AssetKey

T_co = TypeVar("T_co", covariant=True)

DATA_VERSION_TAG: Final = "dagster/data_version"


class DataVersion(msgspec.Struct, frozen=True):
    """A name for the state of a piece of data; equal names mean equal data."""

    value: str

    def __post_init__(self) -> None:
        check_param(self.value, str, "value", "DataVersion")


# -- outputs --------------------------------------------------------------------------------------------------------


class Output(Generic[T_co]):
    """A value for one output of an op, with what is to be known of it. Equal by value.

    `metadata` is attached to the event of the output; `data_version` and `tags` describe the value. Raises CheckError
    or DagsterInvalidMetadata for arguments that cannot be used.
    """

    __slots__ = ("data_version", "metadata", "output_name", "tags", "value")

    __hash__ = None  # type: ignore[assignment]

    value: T_co
    output_name: str
    metadata: Mapping[str, MetadataKind]
    data_version: DataVersion | None
    tags: Mapping[str, str] | None

    def __init__(
        self,
        value: T_co,
        output_name: str = DEFAULT_OUTPUT,
        metadata: Mapping[str, RawMetadataValue] | None = None,
        data_version: DataVersion | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        # One op of a chain makes one of these: the common case, a value alone, must stay cheap.
        if type(output_name) is not str:
            check_param(output_name, str, "output_name", "Output")
            output_name = str.__str__(output_name)
        if data_version is not None:
            check_param(data_version, DataVersion, "data_version", "Output", 'Write DataVersion("...").')
        self.value = value
        self.output_name = output_name
        self.metadata = NO_METADATA if metadata is None else normalize_metadata(metadata)
        self.data_version = data_version
        self.tags = None if tags is None else normalize_tags(tags, "Output")

    def with_metadata(self, metadata: Mapping[str, RawMetadataValue] | None) -> Output[T_co]:
        """The same output with this metadata instead of its own."""
        return Output(self.value, self.output_name, metadata, self.data_version, tags=self.tags)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is Output
            and self.output_name == other.output_name
            and self.metadata == other.metadata
            and self.data_version == other.data_version
            and self.tags == other.tags
            and bool(self.value is other.value or self.value == other.value)
        )

    def __repr__(self) -> str:
        return f"Output({show(self.value)}, output_name={self.output_name!r}{_extras(self)})"


class DynamicOutput(Generic[T_co]):
    """A value for one branch of a dynamic output; `mapping_key` names the branch. Equal by value.

    A mapping key is a word of letters, digits and underscores, different for each branch of the output.
    """

    __slots__ = ("mapping_key", "metadata", "output_name", "value")

    __hash__ = None  # type: ignore[assignment]

    value: T_co
    mapping_key: str
    output_name: str
    metadata: Mapping[str, MetadataKind]

    def __init__(
        self,
        value: T_co,
        mapping_key: str,
        output_name: str | None = DEFAULT_OUTPUT,
        metadata: Mapping[str, RawMetadataValue] | None = None,
    ) -> None:
        if type(output_name) is not str:
            check_optional(output_name, str, "output_name", "DynamicOutput")
        self.value = value
        self.mapping_key = check_mapping_key(mapping_key)
        self.output_name = DEFAULT_OUTPUT if output_name is None else output_name
        self.metadata = NO_METADATA if metadata is None else normalize_metadata(metadata)

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is DynamicOutput
            and self.mapping_key == other.mapping_key
            and self.output_name == other.output_name
            and self.metadata == other.metadata
            and bool(self.value is other.value or self.value == other.value)
        )

    def __repr__(self) -> str:
        key, name = self.mapping_key, self.output_name
        return f"DynamicOutput({show(self.value)}, mapping_key={key!r}, output_name={name!r}{_extras(self)})"


def _extras(output: Output[Any] | DynamicOutput[Any]) -> str:
    return f", metadata={show(output.metadata)}" if output.metadata else ""


def check_mapping_key(key: object) -> str:
    """Return the key of a branch, or say what is wrong with it and what would do."""
    if not isinstance(key, str):
        check_param(key, str, "mapping_key", "DynamicOutput", "Write str(...) around it.")
    elif NAME_PATTERN.fullmatch(key) is not None and not iskeyword(key):
        return str.__str__(key)  # a member of a str Enum says its value
    key = str(key)
    if not iskeyword(key):
        allowed = re.sub(r"[^A-Za-z0-9_]+", "_", key).strip("_") or "branch_1"
        raise DagsterInvalidDefinitionError(
            f'DynamicOutput: mapping_key "{key}" is not a valid name. It must be in regex ^[A-Za-z0-9_]+$: letters, '
            f'digits and underscores only, at least one of them; for example "{allowed}".'
        )
    raise DagsterInvalidDefinitionError(
        f'DynamicOutput: mapping_key "{key}" is not a valid name: it conflicts with a Python keyword. Write for example '
        f'"{key}_".'
    )


def normalize_tags(tags: Mapping[str, str], where: str) -> dict[str, str]:
    """Copy tags that a user gave; DagsterInvalidDefinitionError where a key or value is not a str."""
    check_param(tags, Mapping, "tags", where)
    given: Mapping[Any, Any] = tags
    for key, value in given.items():
        if not isinstance(key, str) or not isinstance(value, str):
            culprit = key if not isinstance(key, str) else value
            raise DagsterInvalidDefinitionError(
                f"{where}: tag keys and values must be strings, got {show(culprit)} of type {type(culprit).__name__} "
                f"at key {key}. Write str(...) around it, or use metadata, which takes other types."
            )
    return dict(tags)


# -- facts about assets and data --------------------------------------------------------------------------------------


class _AssetEvent(msgspec.Struct, frozen=True):
    """What a materialisation and an observation have in common: they tell of an asset."""

    asset_key: AssetKey
    description: str | None = None
    metadata: dict[str, MetadataKind] = NO_METADATA
    partition: str | None = None
    tags: dict[str, str] | None = None

    def __post_init__(self) -> None:
        where = type(self).__name__
        check_optional(self.description, str, "description", where)
        check_optional(self.partition, str, "partition", where, "Partitions are named by text: write str(...).")
        force_setattr(self, "asset_key", asset_key_of(self.asset_key, where))
        force_setattr(self, "metadata", normalize_metadata(self.metadata))
        if self.tags is not None:
            force_setattr(self, "tags", normalize_tags(self.tags, where))

    @property
    def label(self) -> str:
        """The parts of the key, for a list of events."""
        return " ".join(self.asset_key.path)


class AssetMaterialization(_AssetEvent, frozen=True):
    """Something that lasts outside the run was written: a file, a table, a model.

    `asset_key` is an AssetKey, a list of parts, or a str that is split into parts at everything that is not a letter,
    digit or underscore.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            asset_key: AssetKey | str | Sequence[str],
            description: str | None = None,
            metadata: Mapping[str, RawMetadataValue] | None = None,
            partition: str | None = None,
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    @staticmethod
    def file(
        path: str | PathLike[Any],
        description: str | None = None,
        asset_key: AssetKey | str | Sequence[str] | None = None,
    ) -> AssetMaterialization:
        """A file was written; its path is the metadata `path`, and the key too where none is given."""
        check_param(path, (str, PathLike), "path", "AssetMaterialization.file")
        text = fsdecode(path)
        metadata = {"path": PathMetadataValue(text)}
        return AssetMaterialization(text if asset_key is None else asset_key, description, metadata)

    def with_metadata(self, metadata: Mapping[str, RawMetadataValue] | None) -> AssetMaterialization:
        """The same materialisation with this metadata instead of its own."""
        return AssetMaterialization(self.asset_key, self.description, metadata, self.partition, self.tags)


class AssetObservation(_AssetEvent, frozen=True):
    """Something that lasts outside the run was looked at, not changed. Takes what AssetMaterialization takes."""

    if TYPE_CHECKING:

        def __init__(
            self,
            asset_key: AssetKey | str | Sequence[str],
            description: str | None = None,
            metadata: Mapping[str, RawMetadataValue] | None = None,
            partition: str | None = None,
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    @property
    def data_version(self) -> str | None:
        """The version of the data that was seen, where a tag names one."""
        return (self.tags or {}).get(DATA_VERSION_TAG)

    def with_metadata(self, metadata: Mapping[str, RawMetadataValue] | None) -> AssetObservation:
        """The same observation with this metadata instead of its own."""
        return AssetObservation(self.asset_key, self.description, metadata, self.partition, self.tags)


def asset_key_of(key: AssetKey | str | Sequence[str], where: str) -> AssetKey:
    """An AssetKey as it is, a list as its parts, a str split into its words."""
    if isinstance(key, AssetKey):
        return key
    check_param(key, (AssetKey, str, list, tuple), "asset_key", where)
    parts = re.findall(r"[A-Za-z0-9_]+", key) if isinstance(key, str) else key
    if not parts:
        raise ParameterCheckError(
            f'{where}: Param "asset_key" names nothing: got {show(key)}. Give at least one part, such as "flights".'
        )
    return AssetKey(parts)


class ExpectationResult(msgspec.Struct, frozen=True):
    """What a test of the data said. A failed one is recorded; it does not fail the step."""

    success: bool
    label: str | None = None
    description: str | None = None
    metadata: dict[str, MetadataKind] = NO_METADATA

    if TYPE_CHECKING:

        def __init__(
            self,
            success: bool,
            label: str | None = None,
            description: str | None = None,
            metadata: Mapping[str, RawMetadataValue] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        check_param(self.success, bool, "success", "ExpectationResult", "Write bool(...) around it.")
        check_optional(self.label, str, "label", "ExpectationResult")
        check_optional(self.description, str, "description", "ExpectationResult")
        force_setattr(self, "label", DEFAULT_OUTPUT if self.label is None else self.label)
        force_setattr(self, "metadata", normalize_metadata(self.metadata))


class TypeCheck(msgspec.Struct, frozen=True):
    """What a type's check function says of a value; `description` is what is wrong with it."""

    success: bool
    description: str | None = None
    metadata: dict[str, MetadataKind] = NO_METADATA

    if TYPE_CHECKING:

        def __init__(
            self,
            success: bool,
            description: str | None = None,
            metadata: Mapping[str, RawMetadataValue] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        check_param(self.success, bool, "success", "TypeCheck", "Write bool(...) around it.")
        check_optional(self.description, str, "description", "TypeCheck")
        force_setattr(self, "metadata", normalize_metadata(self.metadata))


# -- failing and trying again -------------------------------------------------------------------------------------------


class Failure(Exception):
    """Raised by an op to fail with a description and metadata of its own.

    A RetryPolicy tries the op again unless `allow_retries` is False.
    """

    def __init__(
        self,
        description: str | None = None,
        metadata: Mapping[str, RawMetadataValue] | None = None,
        allow_retries: bool | None = None,
    ) -> None:
        check_optional(description, str, "description", "Failure")
        check_optional(allow_retries, bool, "allow_retries", "Failure")
        super().__init__(description)
        self.description = description
        self.metadata: Mapping[str, MetadataKind] = normalize_metadata(metadata)
        self.allow_retries = True if allow_retries is None else allow_retries


class RetryRequested(Exception):
    """Raised by an op to be tried again; its own `max_retries` holds, whatever the op's RetryPolicy says.

    Write `raise RetryRequested(...) from error` to keep the cause.
    """

    def __init__(self, max_retries: int = 1, seconds_to_wait: float | None = None) -> None:
        super().__init__()
        self.max_retries = _check_count(max_retries, "RetryRequested", ParameterCheckError)
        self.seconds_to_wait = _check_seconds(seconds_to_wait, "seconds_to_wait", "RetryRequested", ParameterCheckError)


class Backoff(Enum):
    """How the wait grows from one retry to the next."""

    LINEAR = "LINEAR"
    EXPONENTIAL = "EXPONENTIAL"


class Jitter(Enum):
    """How the wait is spread at random, so that many retries do not come at once.

    FULL: anything between no wait and the whole wait. PLUS_MINUS: the wait, up to `delay` more or less.
    """

    FULL = "FULL"
    PLUS_MINUS = "PLUS_MINUS"


#: after this many doublings any wait is longer than anything
_MOST_DOUBLINGS = 1000


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often an op that fails is tried again, and after how long a wait, in seconds.

    Raises DagsterInvalidDefinitionError for negative numbers, and for `backoff` or `jitter` without a `delay`.
    """

    max_retries: int = 1
    delay: float | None = None
    backoff: Backoff | None = None
    jitter: Jitter | None = None

    def __post_init__(self) -> None:
        _check_count(self.max_retries, "RetryPolicy", DagsterInvalidDefinitionError)
        _check_seconds(self.delay, "delay", "RetryPolicy", DagsterInvalidDefinitionError)
        check_optional(self.backoff, Backoff, "backoff", "RetryPolicy", "Write Backoff.LINEAR or Backoff.EXPONENTIAL.")
        check_optional(self.jitter, Jitter, "jitter", "RetryPolicy", "Write Jitter.FULL or Jitter.PLUS_MINUS.")
        for name, value in (("backoff", self.backoff), ("jitter", self.jitter)):
            if value is not None and self.delay is None:
                raise DagsterInvalidDefinitionError(
                    f"Can not set {name} on RetryPolicy without also setting delay: there is no wait for it to change. "
                    f"Write RetryPolicy(..., delay=1, {name}={value})."
                )

    def calculate_delay(self, attempt_num: int, rand: float | None = None) -> float:
        """Seconds to wait before retry number `attempt_num`, counted from 1.

        `rand` is the random number in [0, 1) that jitter takes; without it one is drawn.
        """
        if self.delay is None:
            return 0
        wait = self.delay
        if self.backoff is Backoff.LINEAR:
            wait *= attempt_num
        elif self.backoff is Backoff.EXPONENTIAL:
            wait *= 2 ** min(attempt_num, _MOST_DOUBLINGS) - 1
        if self.jitter is None:
            return wait
        if rand is None:
            import random

            rand = random.random()
        return wait * rand if self.jitter is Jitter.FULL else wait + (2 * rand - 1) * self.delay


def _check_count(number: int, where: str, error: type[Exception]) -> int:
    check_param(number, int, "max_retries", where)
    if number < 0:
        raise error(f"{where}: max_retries must not be negative, got {number}. 0 means that nothing is tried again.")
    return number


def _check_seconds(number: float | None, name: str, where: str, error: type[Exception]) -> float | None:
    check_optional(number, (int, float), name, where, "Give seconds as a number.")
    if number is not None and not (number >= 0 and math.isfinite(number)):
        raise error(f"{where}: {name} must be a number of seconds, zero or more, got {number}.")
    return number


class Demands(msgspec.Struct, frozen=True):
    """What an op asks of whoever runs it."""

    #: seconds that an attempt may take, and bytes of memory that its process may have
    timeout: float | None = None
    memory_limit: int | None = None
    #: how many slots of each name a step takes while it runs: of those of the run, and of those that all runs share
    slots: Mapping[str, int] = {}
    #: where the op is to run, one of ISOLATIONS; None for where the executor has it
    isolation: str | None = None
    #: it ends when it is asked to: it looks whether it is to stop, or awaits
    is_cooperative: bool = False
    #: its author says that it looks
    looks: bool = False


#: in the run's own process on the thread that drives it, on another thread, on an event loop; in a process that takes one
#: step after another, in one of the step's own
ISOLATIONS = ("inline", "thread", "async", "process", "fresh_process")


def retry_delay(
    policy: RetryPolicy | None,
    attempt: int,
    *,
    requested: RetryRequested | None = None,
    is_retryable: bool = True,
    rand: float | None = None,
) -> float | None:
    """Seconds to wait before another attempt, or None where this failure is final.

    `attempt` is the one that failed, counted from 1. What the op itself asks for (`RetryRequested`) rules over the
    policy. Used wherever a failure is seen: in the worker that ran the step, and by whoever finds the worker dead.
    """
    if requested is not None:
        return (requested.seconds_to_wait or 0) if attempt <= requested.max_retries else None
    if policy is None or not is_retryable or attempt > policy.max_retries:
        return None
    return policy.calculate_delay(attempt, rand)
