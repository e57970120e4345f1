"""What IO managers are handed: which value is meant, and where it comes from.

`OutputContext` goes to `handle_output`, `InputContext` to `load_input`. The engine makes them for values that have to
be stored or loaded, `definitions.built` makes them for tests. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from treadle.checks import show
from treadle.errors import CheckError, DagsterInvalidMetadata, DagsterInvariantViolationError
from treadle.logs import DagsterLogManager, system_log
from treadle.metadata import MetadataKind, MetadataValue, normalize_metadata
from treadle.names import AssetKey
from treadle.outcomes import AssetMaterialization, AssetObservation

if TYPE_CHECKING:
    from treadle.instance import DagsterInstance
    from treadle.types import DagsterType

#: stands for the run id where a context was built outside a run
EPHEMERAL_RUN_ID = "__EPHEMERAL_RUN_ID"

LoggedEvent = AssetMaterialization | AssetObservation


def _given(name: str, doc: str) -> Any:
    return property(lambda self: self._get(name), doc=doc)


def _refused(doc: str) -> Any:
    def refuse(self: _IOContext) -> NoReturn:
        raise CheckError(f"The {self._value} does not correspond to a partitioned asset: ops make values of runs.")

    return property(refuse, doc=doc)


class _IOContext:
    """What both contexts share: every attribute was either given, or refuses to be read."""

    _kind: str
    _builder: str
    _value: str

    def __init__(self, **given: Any) -> None:
        self._given = given
        self._metadata: dict[str, MetadataKind] = {}
        self._events: list[LoggedEvent] = []

    def _get(self, name: str) -> Any:
        try:
            return self._given[name]
        except KeyError:
            raise DagsterInvariantViolationError(
                f"Attempting to access {name}, but it was not provided when constructing the {self._kind}. In a test, "
                f"pass it to {self._builder} if that takes it."
            ) from None

    @property
    def log(self) -> DagsterLogManager:
        """Logs to the run's loggers and into its event log."""
        if "log" not in self._given:
            self._given["log"] = system_log()
        return self._given["log"]  # type: ignore[no-any-return]

    def consume_events(self) -> Iterator[LoggedEvent]:
        """Take the events that were logged."""
        events, self._events = self._events, []
        return iter(events)

    def consume_logged_metadata(self) -> Mapping[str, MetadataKind]:
        """Take the metadata that was attached."""
        metadata, self._metadata = self._metadata, {}
        return metadata

    # -- what only assets have

    @property
    def has_asset_key(self) -> bool:
        """True where the value belongs to an asset: False in runs of ops."""
        return self._given.get("asset_key") is not None

    asset_key: AssetKey = _given("asset_key", "The asset that the value belongs to; refused in runs of ops.")

    @property
    def has_partition_key(self) -> bool:
        """True where the run has a partition: False in runs of ops."""
        return self._given.get("partition_key") is not None

    @property
    def partition_key(self) -> str:
        """The partition of the run; CheckError where it has none."""
        if not self.has_partition_key:
            raise CheckError("Tried to access partition_key on a non-partitioned run: runs of ops have no partition.")
        return self._given["partition_key"]  # type: ignore[no-any-return]

    has_asset_partitions = False
    asset_partition_key = _refused("CheckError: values of ops have no partitions.")
    asset_partition_keys = asset_partition_key_range = asset_partition_key
    asset_partitions_def = asset_partitions_time_window = asset_partition_key

    def get_asset_identifier(self) -> list[str]:
        """What names the value of an asset: the parts of its key, and the partition."""
        return [*self.asset_key.path, *([self.partition_key] if self.has_partition_key else [])]


class OutputContext(_IOContext):
    """`context` of `handle_output`."""

    _kind, _builder, _value = "OutputContext", "build_output_context", "output"

    step_key: str = _given("step_key", "Key of the step that made the value.")
    name: str = _given("name", "Name of the output.")
    job_name: str = _given("job_name", "Name of the job.")
    run_id: str = _given("run_id", "Id of the run.")
    config: Any = _given("config", "Config of the output, None where the manager has no output config schema.")
    dagster_type: DagsterType = _given("dagster_type", "Declared type of the output.")
    resource_config: Any = _given("resource_config", "Config of the IO manager.")
    resources: Any = _given("resources", "The resources that the IO manager requires.")
    op_def: Any = _given("op_def", "Definition of the op that made the value.")
    solid_def = op_def
    step_context: Any = _given("step_context", "Context of the op that made the value.")
    definition_metadata: Mapping[str, Any] = _given("definition_metadata", "Metadata of the output's definition.")
    metadata = definition_metadata
    output_metadata: Mapping[str, Any] = _given("output_metadata", "Metadata that the op attached to this value.")
    version: str | None = _given("version", "Version of the output.")

    @property
    def mapping_key(self) -> str | None:
        """Key of the branch, of a dynamic output."""
        return self._given.get("mapping_key")

    @property
    def _shelf(self) -> Any:
        """The place in memory where Treadle's own IO manager may keep the value, if there is one."""
        return self._given.get("shelf")

    def get_identifier(self) -> list[str]:
        """What names this value: run id, step key, output name, and the mapping key of a dynamic output.

        Where a version was given it stands in place of the run: values of one version are the same in every run.
        """
        version = self._given.get("version")
        if version is None:
            return self.get_run_scoped_output_identifier()
        if self.mapping_key:
            raise CheckError(
                f"Mapping key and version both provided for output '{self.name}' of step '{self.step_key}'. Values of "
                f"dynamic outputs have no version."
            )
        return ["versioned_outputs", version, self.step_key, self.name]

    get_output_identifier = get_identifier

    def get_run_scoped_output_identifier(self) -> list[str]:
        """The same, always with the run id."""
        run_id = self._given.get("run_id") or EPHEMERAL_RUN_ID
        parts = [run_id, self.step_key, self.name]
        return [*parts, self.mapping_key] if self.mapping_key else parts

    def log_event(self, event: LoggedEvent) -> None:
        """Put an AssetMaterialization or AssetObservation into the run's log, before HANDLED_OUTPUT."""
        if not isinstance(event, (AssetMaterialization, AssetObservation)):
            raise CheckError(
                f"OutputContext.log_event: Unexpected event {show(event)}. It takes an AssetMaterialization or an "
                f"AssetObservation."
            )
        step_context = self._given.get("step_context")
        if step_context is not None:
            step_context.log_event(event)  # a run logs it at once: it stands there when it happened
        else:
            self._events.append(event)

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Attach metadata to the HANDLED_OUTPUT event; DagsterInvalidMetadata for a key that is there already."""
        normalized = normalize_metadata(metadata)
        twice = sorted(normalized.keys() & self._metadata.keys())
        if twice:
            raise DagsterInvalidMetadata(
                f"Tried to add metadata for key(s) that already have metadata: {', '.join(twice)}. Give each entry a key "
                f"of its own."
            )
        self._metadata.update(normalized)

    def get_logged_events(self) -> list[LoggedEvent]:
        """The events that were logged and not taken yet."""
        return list(self._events)

    def get_logged_metadata(self) -> Mapping[str, MetadataValue]:
        """The metadata that was attached and not taken yet."""
        return dict(self._metadata)


class InputContext(_IOContext):
    """`context` of `load_input`."""

    _kind, _builder, _value = "InputContext", "build_input_context", "input"

    name: str = _given("name", "Name of the input.")
    job_name: str = _given("job_name", "Name of the job.")
    op_def: Any = _given("op_def", "Definition of the op that takes the value.")
    solid_def = op_def
    config: Any = _given("config", "Config of the input, None where the manager has no input config schema.")
    definition_metadata: Mapping[str, Any] = _given("definition_metadata", "Metadata of the input's definition.")
    metadata = definition_metadata
    dagster_type: DagsterType = _given("dagster_type", "Declared type of the input.")
    resource_config: Any = _given("resource_config", "Config of the IO manager.")
    resources: Any = _given("resources", "The resources that the IO manager requires.")
    step_context: Any = _given("step_context", "Context of the op that takes the value.")
    instance: DagsterInstance = _given("instance", "The instance that keeps the run.")

    @property
    def has_input_name(self) -> bool:
        """True where the value is loaded for an input of an op."""
        return self._given.get("name") is not None

    @property
    def upstream_output(self) -> OutputContext | None:
        """Context of the output that is loaded; None for an input that is not connected."""
        return self._given.get("upstream_output")

    def get_identifier(self) -> list[str]:
        """What names the value: the identifier of the output that it comes from."""
        if self.upstream_output is None:
            raise DagsterInvariantViolationError(
                "InputContext.upstream_output not defined. Cannot compute an identifier: this input comes from no "
                "output, so nothing was stored for it."
            )
        return self.upstream_output.get_identifier()

    def add_input_metadata(self, metadata: Mapping[str, Any], description: str | None = None) -> None:
        """Attach metadata to the LOADED_INPUT event; a later value for a key replaces an earlier one.

        `description` is for assets, and says nothing here.
        """
        del description
        self._metadata.update(normalize_metadata(metadata))

    def get_observations(self) -> list[AssetObservation]:
        """Observations made of assets while they were loaded: none in runs of ops."""
        return []
