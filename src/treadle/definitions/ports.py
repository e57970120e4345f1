"""In, Out, DynamicOut, GraphIn, GraphOut.

What users say about an input or output, and the finished definition of a port that ops and graphs keep.
Ports know types and names, never ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from treadle import names, types
from treadle.checks import check_optional, check_param
from treadle.errors import DagsterInvalidDefinitionError, DagsterInvalidMetadata
from treadle.introspect import MISSING
from treadle.metadata import MetadataValue, normalize_metadata

DEFAULT_IO_MANAGER_KEY = "io_manager"


class InputDefinition:
    """One finished input of an op or graph: its name, type, default and manager.

    Users write `In`; this class is what ops keep, and the older way to declare an input (`input_defs=[...]`).
    """

    __slots__ = (
        "_metadata",
        "dagster_type",
        "default_value",
        "description",
        "input_manager_key",
        "name",
        "_given_type",
    )

    def __init__(
        self,
        name: str,
        dagster_type: Any = None,
        description: str | None = None,
        default_value: Any = MISSING,
        metadata: Mapping[str, Any] | None = None,
        asset_key: Any = None,
        asset_partitions: Any = None,
        input_manager_key: str | None = None,
        root_manager_key: str | None = None,
    ) -> None:
        self.name = names.check_key(name, "an input")
        self._given_type = dagster_type is not None
        self.dagster_type = types.resolve_dagster_type(dagster_type)
        self.description = description
        self.default_value = default_value
        self._metadata = metadata
        self.input_manager_key = input_manager_key if input_manager_key is not None else root_manager_key
        if default_value is not MISSING and self.dagster_type.is_nothing:
            raise DagsterInvalidDefinitionError(
                f'Input "{name}": a default_value is invalid on an input of type Nothing, which carries no value. Leave one of the two out.'
            )

    @property
    def has_default_value(self) -> bool:
        """True where the input may be left unconnected."""
        return self.default_value is not MISSING

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata of the definition, as given; IO managers read it."""
        return self._metadata or {}

    @property
    def is_nothing(self) -> bool:
        """True for an input that only says what must come before."""
        return bool(self.dagster_type.is_nothing)

    def mapping_to(self, node_name: str, input_name: str, fan_in_index: int | None = None) -> InputMapping:
        """A mapping of this graph input to the input of an inner node."""
        return InputMapping(self.name, node_name, input_name, fan_in_index, self.description)


def check_default(port: InputDefinition, described: str) -> None:
    """DagsterInvalidDefinitionError where an input has a default value that is not of its type."""
    if port.default_value is MISSING:
        return
    fast = port.dagster_type.fast_check
    if port.dagster_type.is_any or (fast is not None and fast(port.default_value)):
        return
    try:
        passed = port.dagster_type.type_check(types.context_outside_run(), port.default_value).success
    except Exception:  # noqa: BLE001 - a check that needs a running context is made when the value is used
        return
    if not passed:
        raise DagsterInvalidDefinitionError(
            f'{described}: Type check failed for the default value of input "{port.name}" of type '
            f"{port.dagster_type.display_name}: got {port.default_value!r} (a {type(port.default_value).__name__}). Change "
            f"the default or the type; T | None takes None, too."
        )


class OutputDefinition:
    """One finished output of an op or graph. Users write `Out`; `output_defs=[...]` is the older way."""

    __slots__ = (
        "_metadata", "code_version", "dagster_type", "description", "io_manager_key", "is_required", "name",
    )  # fmt: skip
    is_dynamic = False

    def __init__(
        self,
        dagster_type: Any = None,
        name: str | None = None,
        description: str | None = None,
        is_required: bool = True,
        io_manager_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        code_version: str | None = None,
    ) -> None:
        self.name = names.check_key(name, "an output") if name is not None else names.DEFAULT_OUTPUT
        self.dagster_type = types.resolve_dagster_type(dagster_type)
        self.description = description
        self.is_required = is_required
        self.io_manager_key = io_manager_key or DEFAULT_IO_MANAGER_KEY
        self._metadata = metadata
        self.code_version = code_version

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata of the definition, as given; IO managers read it."""
        return self._metadata or {}

    @property
    def optional(self) -> bool:
        """True where the op need not produce it."""
        return not self.is_required

    @property
    def is_nothing(self) -> bool:
        """True for an output that carries no value."""
        return bool(self.dagster_type.is_nothing)

    def mapping_from(self, node_name: str, output_name: str | None = None) -> OutputMapping:
        """A mapping of an inner node's output to this graph output."""
        return OutputMapping(self.name, node_name, output_name or names.DEFAULT_OUTPUT, self.description)


class DynamicOutputDefinition(OutputDefinition):
    """A finished output with any number of values, each under a mapping key."""

    __slots__ = ()
    is_dynamic = True


def _resolve_type(port: In | Out) -> None:
    """`In(int)` and `In(Int)` are equal: what was given for a type is replaced by the type."""
    if port.dagster_type is not MISSING:
        msgspec.structs.force_setattr(port, "dagster_type", types.resolve_dagster_type(port.dagster_type))


class In(msgspec.Struct, frozen=True):
    """What an op says about one of its inputs; what is left out is read from the function.

    A Nothing input (`In(Nothing)`) is declared here and is not a parameter of the function.
    """

    dagster_type: Any = MISSING
    description: str | None = None
    default_value: Any = MISSING
    metadata: Mapping[str, Any] | None = None
    asset_key: Any = None
    asset_partitions: Any = None
    input_manager_key: str | None = None
    root_manager_key: str | None = None

    def __post_init__(self) -> None:
        _resolve_type(self)
        check_optional(self.description, str, "description", "In")
        check_optional(self.metadata, Mapping, "metadata", "In")
        check_optional(self.input_manager_key, str, "input_manager_key", "In")

    def to_definition(
        self, name: str, annotation: Any = MISSING, default: Any = MISSING, description: str | None = None
    ) -> InputDefinition:
        """The finished input, with what the function's signature says where this object says nothing."""
        given = self.dagster_type if self.dagster_type is not MISSING else annotation
        return InputDefinition(
            name,
            None if given is MISSING else given,
            self.description or description,
            self.default_value if self.default_value is not MISSING else default,
            self.metadata,
            input_manager_key=self.input_manager_key or self.root_manager_key,
        )


class Out(msgspec.Struct, frozen=True):
    """What an op says about one of its outputs.

    An output that is not required may stay away: the steps that need it are then skipped.
    """

    dagster_type: Any = MISSING
    description: str | None = None
    is_required: bool = True
    io_manager_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    code_version: str | None = None

    def __post_init__(self) -> None:
        _resolve_type(self)
        check_optional(self.description, str, "description", "Out")
        check_param(self.is_required, bool, "is_required", "Out")
        check_optional(self.metadata, Mapping, "metadata", "Out")
        check_optional(self.io_manager_key, str, "io_manager_key", "Out")
        if self.io_manager_key is None:
            msgspec.structs.force_setattr(self, "io_manager_key", DEFAULT_IO_MANAGER_KEY)

    def to_definition(
        self, name: str, annotation: Any = MISSING, description: str | None = None, code_version: str | None = None
    ) -> OutputDefinition:
        """The finished output, with what the function's annotation says where this object says nothing."""
        given = self.dagster_type if self.dagster_type is not MISSING else annotation
        make = DynamicOutputDefinition if isinstance(self, DynamicOut) else OutputDefinition
        return make(
            None if given is MISSING else given,
            name,
            self.description or description,
            self.is_required,
            self.io_manager_key,
            self.metadata,
            self.code_version or code_version,
        )


class DynamicOut(Out, frozen=True):
    """Like `Out`, for an output with any number of values, each yielded as a `DynamicOutput` with a mapping key."""


class GraphIn(msgspec.Struct, frozen=True):
    """What a graph says about one of its inputs."""

    description: str | None = None


class GraphOut(msgspec.Struct, frozen=True):
    """What a graph says about one of its outputs."""

    description: str | None = None


class InputPointer(NamedTuple):
    """One input of a node of a graph."""

    node_name: str
    input_name: str


class OutputPointer(NamedTuple):
    """One output of a node of a graph."""

    node_name: str
    output_name: str


class InputMapping(msgspec.Struct, frozen=True):
    """Where an input of a graph goes: to an input of a node inside it (or one place in that input's fan-in)."""

    graph_input_name: str
    mapped_node_name: str
    mapped_node_input_name: str
    fan_in_index: int | None = None
    graph_input_description: Any = None
    dagster_type: Any = None

    @property
    def maps_to(self) -> InputPointer:
        """The input that it goes to."""
        return InputPointer(self.mapped_node_name, self.mapped_node_input_name)

    @property
    def maps_to_fan_in(self) -> bool:
        """True where it is one element of a list input."""
        return self.fan_in_index is not None


class OutputMapping(msgspec.Struct, frozen=True):
    """Where an output of a graph comes from: an output of a node inside it."""

    graph_output_name: str
    mapped_node_name: str
    mapped_node_output_name: str = names.DEFAULT_OUTPUT
    graph_output_description: Any = None
    dagster_type: Any = None
    from_dynamic_mapping: bool = False
    #: fan-outs between the graph's edge and the output's values, where the body says so
    open_levels: int = 0

    @property
    def maps_from(self) -> OutputPointer:
        """The output that it comes from."""
        return OutputPointer(self.mapped_node_name, self.mapped_node_output_name)


def read_metadata(metadata: Mapping[str, Any] | None, what: str) -> dict[str, MetadataValue]:
    """Normalise metadata of a definition; the error names `what`."""
    check_optional(metadata, Mapping, "metadata", what)
    try:
        return dict(normalize_metadata(metadata or {}))
    except DagsterInvalidMetadata as error:
        raise DagsterInvalidMetadata(f"{what}: {error}") from error
