"""What user code is handed, and the build_*_context functions for tests.

One small class for each kind of reader: an op's body, an IO manager, a hook, a resource, a logger. The engine makes
them when user code asks for one; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from treadle.errors import (
    CheckError,
    DagsterInvalidMetadata,
    DagsterInvalidPropertyError,
    DagsterInvariantViolationError,
)
from treadle.introspect import MISSING
from treadle.logs import DagsterLogManager, RunLog, active_context, system_log
from treadle.metadata import MetadataValue, normalize_metadata
from treadle.names import NodeHandle, nearest
from treadle.outcomes import AssetMaterialization, AssetObservation, ExpectationResult
from treadle.runs import DagsterRun

UserEvent = AssetMaterialization | AssetObservation | ExpectationResult

#: stands for the run id where a context was built outside a run
EPHEMERAL_RUN_ID = "__EPHEMERAL_RUN_ID"


class RunFacts:
    """What is the same for all steps of a run."""

    __slots__ = ("instance", "job_def", "log", "run")

    def __init__(self, run: DagsterRun, job_def: Any, instance: Any, log: RunLog) -> None:
        self.run = run
        self.job_def = job_def
        self.instance = instance
        self.log = log


class StepFacts:
    """What is the same for all attempts at one step, and where its code leaves events and metadata."""

    __slots__ = (
        "events",
        "handle",
        "mapping_keys",
        "node",
        "op_config",
        "output_metadata",
        "resources",
        "run",
        "step_key",
    )

    def __init__(
        self,
        run: RunFacts,
        step_key: str,
        op: Any,
        mapping_keys: tuple[str, ...],
        op_config: Any,
        resources: Any,
    ) -> None:
        self.run = run
        self.step_key = step_key
        #: of the op's place in the job (a WiredOp)
        self.handle: NodeHandle = op.handle
        self.node = op.node
        self.mapping_keys = mapping_keys
        self.op_config = op_config
        self.resources = resources
        #: what `log_event` was given and the engine has not taken yet
        self.events: list[UserEvent] = []
        #: what `add_output_metadata` was given, by output name and mapping key
        self.output_metadata: dict[tuple[str, str | None], dict[str, Any]] = {}


class OpExecutionContext:
    """`context` of an op's body."""

    __slots__ = ("_attempt", "_events", "_facts", "_log", "_typed_stream_error")

    def __init__(self, facts: StepFacts, attempt: int) -> None:
        self._facts = facts
        self._attempt = attempt
        self._log: DagsterLogManager | None = None
        self._typed_stream_error: str | None = None

    @staticmethod
    def get() -> OpExecutionContext:
        """The context of the op that is running here; DagsterInvariantViolationError outside an op."""
        found = active_context.get()
        if found is None:
            raise DagsterInvariantViolationError(
                "No current OpExecutionContext in scope. OpExecutionContext.get() works only while an op runs."
            )
        return found  # type: ignore[no-any-return]

    # -- the run

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._facts.run.run.run_id

    @property
    def run(self) -> DagsterRun:
        """The run's record."""
        return self._facts.run.run

    dagster_run = pipeline_run = run

    @property
    def run_config(self) -> Mapping[str, Any]:
        """The run config as it was given."""
        return self.run.run_config

    @property
    def run_tags(self) -> Mapping[str, str]:
        """The tags of the run, those of the job among them."""
        return self.run.tags

    def has_tag(self, key: str) -> bool:
        """True where the run has this tag."""
        return key in self.run.tags

    def get_tag(self, key: str) -> str | None:
        """The value of a tag of the run."""
        return self.run.tags.get(key)

    @property
    def instance(self) -> Any:
        """The instance that keeps the run."""
        return self._facts.run.instance

    @property
    def job_def(self) -> Any:
        """The job."""
        return self._facts.run.job_def

    pipeline_def = job_def

    @property
    def job_name(self) -> str:
        """Name of the job."""
        return self.run.job_name

    pipeline_name = job_name

    # -- the op

    @property
    def op(self) -> Any:
        """The node; its name is the alias that the graph uses."""
        return self._facts.node

    solid = op

    @property
    def op_def(self) -> Any:
        """The op's definition; its name is the definition's own."""
        return self._facts.node.definition

    solid_def = op_def

    @property
    def op_handle(self) -> NodeHandle:
        """Where the op stands; str() gives the dotted path."""
        return self._facts.handle

    node_handle = solid_handle = op_handle

    @property
    def step_key(self) -> str:
        """Key of the step."""
        return self._facts.step_key

    @property
    def op_config(self) -> Any:
        """The op's config, checked and with defaults filled in; None where there is neither schema nor config."""
        return self._facts.op_config

    solid_config = op_config

    @property
    def resources(self) -> Any:
        """The resources that this op requires, as attributes; DagsterUnknownResourceError for any other."""
        return self._facts.resources

    @property
    def log(self) -> DagsterLogManager:
        """Logs to the run's loggers and into its event log."""
        if self._log is None:
            self._log = self._facts.run.log.for_step(self._facts.step_key, self._facts.handle.name)
        return self._log

    @property
    def retry_number(self) -> int:
        """0 at the first attempt."""
        return self._attempt - 1

    def get_mapping_key(self) -> str | None:
        """The key of this branch, nearest fan-out; None outside a fan-out."""
        keys = self._facts.mapping_keys
        return keys[-1] if keys else None

    @property
    def selected_output_names(self) -> frozenset[str]:
        """Names of the outputs that are asked for: all."""
        return frozenset(self.op_def.output_dict)

    def describe_op(self) -> str:
        """For messages: `op "load"`."""
        return f'op "{self._facts.node.name}"'

    # -- what the body tells

    def log_event(self, event: UserEvent) -> None:
        """Put an AssetMaterialization, AssetObservation or ExpectationResult into the run's log."""
        if not isinstance(event, (AssetMaterialization, AssetObservation, ExpectationResult)):
            raise DagsterInvariantViolationError(
                f"{self.describe_op()}: log_event takes an AssetMaterialization, an AssetObservation or an "
                f"ExpectationResult, got {event!r} (a {type(event).__name__}). Outputs are yielded or returned."
            )
        self._facts.events.append(event)

    def has_events(self) -> bool:
        """True where `log_event` has left something that is not in the log yet."""
        return bool(self._facts.events)

    def consume_events(self) -> Iterator[UserEvent]:
        """Take what `log_event` has left."""
        events, self._facts.events = self._facts.events, []
        return iter(events)

    def add_output_metadata(
        self, metadata: Mapping[str, Any], output_name: str | None = None, mapping_key: str | None = None
    ) -> None:
        """Attach metadata to an output that is yet to be yielded or returned; one call for each output (or branch).

        An op with a single output may leave `output_name` out. DagsterInvariantViolationError for an unknown output,
        one that was given metadata already, or a missing mapping key.
        """
        outputs = self.op_def.output_dict
        if output_name is None:
            if len(outputs) != 1:
                raise DagsterInvariantViolationError(
                    f"{self.describe_op()}: attempted to add metadata without providing output_name, but the op has "
                    f"{len(outputs)} outputs: {list(outputs)}. Say which."
                )
            output_name = next(iter(outputs))
        if output_name not in outputs:
            raise DagsterInvariantViolationError(
                f'{self.describe_op()}: attempted to add metadata for output "{output_name}", which does not exist.'
                f"{nearest(output_name, outputs)} Outputs: {list(outputs)}."
            )
        if outputs[output_name].is_dynamic and mapping_key is None:
            raise DagsterInvariantViolationError(
                f'{self.describe_op()}: attempted to add metadata for dynamic output "{output_name}" without a '
                f"mapping_key. Say which branch it is for."
            )
        if (output_name, mapping_key) in self._facts.output_metadata:
            branch = f' with mapping_key "{mapping_key}"' if mapping_key else ""
            raise DagsterInvariantViolationError(
                f'{self.describe_op()}: attempted to add metadata for output "{output_name}"{branch} more than once.'
            )
        self._facts.output_metadata[output_name, mapping_key] = dict(metadata)

    def get_output_metadata(self, output_name: str, mapping_key: str | None = None) -> Mapping[str, Any] | None:
        """What `add_output_metadata` was given for an output."""
        return self._facts.output_metadata.get((output_name, mapping_key))

    # -- what plain runs of ops do not have

    has_partition_key = has_partitions = has_partition_key_range = has_assets_def = False
    step_launcher = None

    def _refuse_partition(self) -> NoReturn:
        raise CheckError("Tried to access the partition of a run that has none: jobs of ops are not partitioned.")

    partition_key = property(_refuse_partition, doc="CheckError: runs of ops have no partition.")
    partition_keys = partition_key_range = partition_time_window = partition_key

    @property
    def op_execution_context(self) -> OpExecutionContext:
        """This context."""
        return self

    def get_step_execution_context(self) -> OpExecutionContext:
        """This context."""
        return self

    @property
    def requires_typed_event_stream(self) -> bool:
        """True once the body has asked that a missing output be an error whatever its type."""
        return self._typed_stream_error is not None

    @property
    def typed_event_stream_error_message(self) -> str | None:
        """The text to add where an output is missing."""
        return self._typed_stream_error or None

    def set_requires_typed_event_stream(self, *, error_message: str | None = None) -> None:
        """Make a missing output an error whatever its type."""
        self._typed_stream_error = error_message or ""

    @property
    def pdb(self) -> Any:
        """A debugger for this place: `context.pdb.set_trace()`."""
        import pdb  # noqa: T100 - this is what the user asked for

        return pdb.Pdb()


# -- IO managers ----------------------------------------------------------------------------------------------------


class _IOContext:
    """What input and output contexts share: every attribute was either given, or refuses to be read."""

    def __init__(self, **given: Any) -> None:
        self._given = {name: value for name, value in given.items() if value is not MISSING}
        self._metadata: dict[str, MetadataValue] = {}
        self._events: list[UserEvent] = []

    def _get(self, name: str) -> Any:
        try:
            return self._given[name]
        except KeyError:
            kind = type(self).__name__
            raise DagsterInvariantViolationError(
                f"Attempting to access {name}, but it was not provided when constructing the {kind}. Pass {name}=... to "
                f"build_{'input' if kind == 'InputContext' else 'output'}_context."
            ) from None

    def _add_metadata(self, metadata: Mapping[str, Any]) -> None:
        normalized = normalize_metadata(metadata)
        for key in normalized:
            if key in self._metadata:
                raise DagsterInvalidMetadata(f'Metadata key "{key}" was added twice; give each entry a key of its own.')
        self._metadata.update(normalized)

    def consume_events(self) -> Iterator[UserEvent]:
        """Take the events that were logged."""
        events, self._events = self._events, []
        return iter(events)

    @property
    def log(self) -> DagsterLogManager:
        """Logs to the run's loggers and into its event log."""
        if "log" not in self._given:
            self._given["log"] = system_log()
        return self._given["log"]  # type: ignore[no-any-return]


def _given(name: str, doc: str) -> Any:
    return property(lambda self: self._get(name), doc=doc)


class OutputContext(_IOContext):
    """`context` of `handle_output`."""

    step_key = _given("step_key", "Key of the step that made the value.")
    name = _given("name", "Name of the output.")
    job_name = _given("job_name", "Name of the job.")
    run_id = _given("run_id", "Id of the run.")
    config = _given("config", "Config of the output, None where the manager has no output config schema.")
    dagster_type = _given("dagster_type", "Declared type of the output.")
    resource_config = _given("resource_config", "Config of the IO manager.")
    resources = _given("resources", "The resources that the IO manager requires.")
    op_def = solid_def = _given("op_def", "Definition of the op that made the value.")
    step_context = _given("step_context", "Context of the op that made the value.")
    definition_metadata = metadata = _given("definition_metadata", "Metadata of the output's definition.")
    output_metadata = _given("output_metadata", "Metadata that the op attached to this value.")
    version = _given("version", "Version of the output.")

    @property
    def mapping_key(self) -> str | None:
        """Key of the branch, of a dynamic output."""
        return self._given.get("mapping_key")

    has_asset_key = has_partition_key = has_asset_partitions = False

    @property
    def asset_key(self) -> NoReturn:
        """Refused: outputs of ops are not assets."""
        raise CheckError("Tried to access asset_key on an output of an op: it belongs to no asset.")

    def get_identifier(self) -> list[str]:
        """What names this value: run id, step key, output name, and the mapping key of a dynamic output."""
        run_id = self._given.get("run_id") or EPHEMERAL_RUN_ID
        parts = [run_id, self.step_key, self.name]
        return [*parts, self.mapping_key] if self.mapping_key else parts

    get_run_scoped_output_identifier = get_output_identifier = get_identifier

    def log_event(self, event: UserEvent) -> None:
        """Put an event into the run's log, before HANDLED_OUTPUT."""
        self._events.append(event)

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Attach metadata to the HANDLED_OUTPUT event; DagsterInvalidMetadata for a key that is there already."""
        self._add_metadata(metadata)

    def get_logged_events(self) -> list[UserEvent]:
        """The events that were logged and not taken yet."""
        return list(self._events)

    def get_logged_metadata(self) -> Mapping[str, MetadataValue]:
        """The metadata that was attached."""
        return dict(self._metadata)

    def consume_logged_metadata(self) -> Mapping[str, MetadataValue]:
        """Take the metadata that was attached."""
        metadata, self._metadata = self._metadata, {}
        return metadata


class InputContext(_IOContext):
    """`context` of `load_input`."""

    name = _given("name", "Name of the input.")
    job_name = _given("job_name", "Name of the job.")
    op_def = solid_def = _given("op_def", "Definition of the op that takes the value.")
    config = _given("config", "Config of the input, None where the manager has no input config schema.")
    definition_metadata = metadata = _given("definition_metadata", "Metadata of the input's definition.")
    dagster_type = _given("dagster_type", "Declared type of the input.")
    resource_config = _given("resource_config", "Config of the IO manager.")
    resources = _given("resources", "The resources that the IO manager requires.")
    step_context = _given("step_context", "Context of the op that takes the value.")
    instance = _given("instance", "The instance that keeps the run.")
    has_asset_key = has_partition_key = has_asset_partitions = False

    @property
    def has_input_name(self) -> bool:
        """True where the value is loaded for an input of an op."""
        return self._given.get("name") is not None

    @property
    def upstream_output(self) -> OutputContext | None:
        """Context of the output that is loaded; None for an input that is not connected."""
        return self._given.get("upstream_output")

    @property
    def asset_key(self) -> NoReturn:
        """Refused: inputs of ops are not assets."""
        raise CheckError("Tried to access asset_key on an input of an op: it belongs to no asset.")

    def get_identifier(self) -> list[str]:
        """What names the value: the identifier of the output that it comes from."""
        if self.upstream_output is None:
            raise CheckError("get_identifier: this input comes from no output, so nothing was stored for it.")
        return self.upstream_output.get_identifier()

    def add_input_metadata(self, metadata: Mapping[str, Any], description: str | None = None) -> None:
        """Attach metadata to the LOADED_INPUT event."""
        self._add_metadata(metadata)

    def consume_logged_metadata(self) -> Mapping[str, MetadataValue]:
        """Take the metadata that was attached."""
        metadata, self._metadata = self._metadata, {}
        return metadata


# -- hooks, resources, loggers -----------------------------------------------------------------------------------


class HookContext:
    """`context` of a hook."""

    __slots__ = ("_exception", "_facts", "_log", "_outputs", "hook_def", "resources")

    def __init__(
        self,
        hook_def: Any,
        facts: StepFacts,
        resources: Any,
        exception: BaseException | None,
        outputs: Mapping[str, Any],
    ) -> None:
        self.hook_def = hook_def
        self.resources = resources
        self._facts = facts
        self._exception = exception
        self._outputs = outputs
        self._log: DagsterLogManager | None = None

    @property
    def job_name(self) -> str:
        """Name of the job."""
        return self._facts.run.run.job_name

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._facts.run.run.run_id

    @property
    def instance(self) -> Any:
        """The instance that keeps the run."""
        return self._facts.run.instance

    @property
    def step_key(self) -> str:
        """Key of the step that ended."""
        return self._facts.step_key

    @property
    def op(self) -> Any:
        """The node that ended; its name is the alias that the graph uses."""
        return self._facts.node

    solid = op

    @property
    def op_config(self) -> Any:
        """Config of the op."""
        return self._facts.op_config

    solid_config = op_config

    @property
    def required_resource_keys(self) -> frozenset[str]:
        """The resources that the hook requires."""
        return frozenset(self.hook_def.required_resource_keys)

    @property
    def log(self) -> DagsterLogManager:
        """Logs to the run's loggers and into its event log."""
        if self._log is None:
            self._log = self._facts.run.log.for_step(self._facts.step_key, self._facts.handle.name)
        return self._log

    @property
    def op_exception(self) -> BaseException | None:
        """What the op raised; None where it succeeded."""
        return self._exception

    solid_exception = op_exception

    @property
    def op_output_values(self) -> Mapping[str, Any]:
        """What the op produced, by output name; a dynamic output as a dict by mapping key."""
        return self._outputs

    solid_output_values = op_output_values

    @property
    def op_output_metadata(self) -> Mapping[str, Any]:
        """Metadata that the op attached to its outputs, in the same shape."""
        made: dict[str, Any] = {}
        for (name, mapping_key), metadata in self._facts.output_metadata.items():
            if mapping_key is None:
                made[name] = metadata
            else:
                made.setdefault(name, {})[mapping_key] = metadata
        return made


class InitResourceContext:
    """`context` of a resource function."""

    def __init__(
        self,
        resource_config: Any = None,
        resource_def: Any = None,
        resources: Any = None,
        all_resource_defs: Mapping[str, Any] | None = None,
        log: DagsterLogManager | None = None,
        instance: Any = None,
        run: DagsterRun | None = None,
        event_loop: Any = None,
    ) -> None:
        self.resource_config = resource_config
        self.resource_def = resource_def
        self.resources = resources
        self.all_resource_defs = all_resource_defs or {}
        self._log = log
        self.instance = instance
        self.run = run
        self.event_loop = event_loop

    @property
    def dagster_run(self) -> DagsterRun | None:
        """The run that the resource is for; None outside a run."""
        return self.run

    pipeline_run = dagster_run

    @property
    def run_id(self) -> str | None:
        """Id of the run; None outside a run."""
        return self.run.run_id if self.run is not None else None

    @property
    def log(self) -> DagsterLogManager:
        """Logs to the run's loggers and into its event log."""
        if self._log is None:
            self._log = system_log()
        return self._log

    log_manager = log

    def replace_config(self, config: Any) -> InitResourceContext:
        """The same context with another config."""
        return InitResourceContext(
            config, self.resource_def, self.resources, self.all_resource_defs, self._log, self.instance, self.run,
            self.event_loop,
        )  # fmt: skip


class InitLoggerContext:
    """`context` of a logger function."""

    def __init__(
        self, logger_config: Any = None, logger_def: Any = None, job_def: Any = None, run_id: str | None = None
    ) -> None:
        self.logger_config = logger_config
        self.logger_def = logger_def
        self._job_def = job_def
        self.run_id = run_id

    @property
    def job_def(self) -> Any:
        """The job; DagsterInvalidPropertyError where the context was built without one."""
        if self._job_def is None:
            raise DagsterInvalidPropertyError("job_def is not available: the context was built without one.")
        return self._job_def

    pipeline_def = job_def
