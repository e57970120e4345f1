"""What user code is handed: an op's body, a hook, a resource, a logger.

One small class for each kind of reader; IO managers have theirs in `io_contexts`. The engine makes them when user code
asks for one, `definitions.built` makes them for tests. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from treadle.checks import show
from treadle.errors import (
    CheckError,
    DagsterInvalidPropertyError,
    DagsterInvariantViolationError,
    ParameterCheckError,
)
from treadle.halt import NEVER, Halt
from treadle.logs import DagsterLogManager, RunLog, active_context, system_log
from treadle.names import AssetKey, NodeHandle, nearest
from treadle.outcomes import AssetMaterialization, AssetObservation, ExpectationResult
from treadle.runs import DagsterRun

UserEvent = AssetMaterialization | AssetObservation | ExpectationResult


class NotPartitionedError(DagsterInvariantViolationError, CheckError):
    """The run has no partition."""


class RunFacts:
    """What is the same for all steps of a run."""

    __slots__ = ("find_repository", "instance", "job_def", "log", "run")

    def __init__(
        self,
        run: DagsterRun,
        job_def: Any,
        instance: Any,
        log: RunLog,
        find_repository: Callable[[], Any] | None = None,
    ) -> None:
        self.run = run
        #: gives what the code of the job was loaded from; None where the run knows only its job
        self.find_repository = find_repository
        self.job_def = job_def
        self.instance = instance
        self.log = log


class StepFacts:
    """What is the same for all attempts at one step, and where its code leaves events and metadata."""

    __slots__ = (
        "announce",
        "events",
        "final_metadata",
        "halt",
        "handle",
        "mapping_keys",
        "node",
        "op_config",
        "output_metadata",
        "produced",
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
        #: whether the attempt that is under way is to stop
        self.halt: Halt = NEVER
        #: tells the log at once what `log_event` was given; None where nobody listens: it is kept in `events`
        self.announce: Callable[[UserEvent], None] | None = None
        #: what `log_event` was given and the engine has not taken yet
        self.events: list[UserEvent] = []
        #: what `add_output_metadata` was given, by output name and mapping key
        self.output_metadata: dict[tuple[str, str | None], dict[str, Any]] = {}
        #: the values so far: output name to its value, or to {mapping key: value}
        self.produced: dict[str, Any] = {}
        #: metadata of the outputs so far, in the same shape; kept only where hooks may ask
        self.final_metadata: dict[str, Any] = {}

    def keep_metadata(self, name: str, mapping_key: str | None, metadata: Mapping[str, Any]) -> None:
        """Keep the metadata of an output for the step's hooks."""
        if mapping_key is None:
            self.final_metadata[name] = dict(metadata)
        else:
            self.final_metadata.setdefault(name, {})[mapping_key] = dict(metadata)


class OpExecutionContext:
    """`context` of an op's body."""

    __slots__ = ("_attempt", "_events", "_facts", "_log", "typed_stream_error")

    def __init__(self, facts: StepFacts, attempt: int) -> None:
        self._facts = facts
        self._attempt = attempt
        self._log: DagsterLogManager | None = None
        #: what to add where an output is missing, once `set_requires_typed_event_stream` was called
        self.typed_stream_error: str | None = None

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

    @property
    def is_cancelled(self) -> bool:
        """True once this attempt is to stop: it went beyond its op's timeout or memory_limit, or the run is canceled."""
        return self._facts.halt.look()

    def check_cancelled(self) -> None:
        """Raise where this attempt is to stop; else it costs a fraction of a microsecond, so call it often.

        Raises StepTimeoutError where it has taken longer than its op's timeout, StepMemoryError where its process has more
        memory than its op's memory_limit, DagsterExecutionInterruptedError where the run is canceled or interrupted, and
        again at each call.
        """
        halt = self._facts.halt
        if halt.look():
            raise halt.error()

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
            raise ParameterCheckError(
                f'{self.describe_op()}: Param "event" of log_event is not one of AssetMaterialization, AssetObservation, '
                f"ExpectationResult. Got {show(event)} (a {type(event).__name__}). Outputs are yielded or returned."
            )
        if self._facts.announce is not None:
            self._facts.announce(event)
        else:
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
        """Attach metadata to an output that is yet to be yielded or returned; further calls add to it.

        An op with a single output may leave `output_name` out. DagsterInvariantViolationError for an unknown output,
        one that was yielded already, or a missing mapping key.
        """
        outputs = self.op_def.output_dict
        what = f"In op '{self._facts.node.name}'"
        if output_name is None:
            if len(outputs) != 1:
                raise DagsterInvariantViolationError(
                    f"{what}: Attempted to add metadata without providing output_name, but multiple outputs exist: "
                    f"{list(outputs)}. Please provide an output_name to the invocation of "
                    f"`context.add_output_metadata`."
                )
            output_name = next(iter(outputs))
        if output_name not in outputs:
            raise DagsterInvariantViolationError(
                f"{what}, attempted to log output metadata: {self._facts.node.name} has no output named {output_name}."
                f"{nearest(output_name, outputs)} Outputs: {list(outputs)}."
            )
        if outputs[output_name].is_dynamic and mapping_key is None:
            raise DagsterInvariantViolationError(
                f"{what}, attempted to log metadata for dynamic output '{output_name}' without providing a mapping key. "
                f"Say which branch it is for: mapping_key=..."
            )
        is_dynamic, made = outputs[output_name].is_dynamic, self._facts.produced
        if output_name in made and (not is_dynamic or mapping_key in made[output_name]):
            branch = f" with mapping_key '{mapping_key}'" if is_dynamic else ""
            raise DagsterInvariantViolationError(
                f"{what}, attempted to log output metadata for output '{output_name}'{branch} which has already been "
                f"yielded. Metadata must be logged before the output is yielded."
            )
        self._facts.output_metadata.setdefault((output_name, mapping_key), {}).update(metadata)

    def get_output_metadata(self, output_name: str, mapping_key: str | None = None) -> Mapping[str, Any] | None:
        """What `add_output_metadata` was given for an output, or for one branch of it; None for nothing.

        For a dynamic output without `mapping_key`: of every branch, by mapping key.
        """
        given = self._facts.output_metadata
        found = given.get((output_name, mapping_key))
        if found is not None or mapping_key is not None:
            return found
        return {key: data for (name, key), data in given.items() if name == output_name and key is not None} or None

    # -- what plain runs of ops do not have

    has_partition_key = has_partitions = has_partition_key_range = has_assets_def = is_subset = False
    selected_asset_keys: frozenset[AssetKey] = frozenset()
    step_launcher = None

    def _refuse_partition(self) -> NoReturn:
        raise NotPartitionedError(
            "Tried to access partition_key, or what belongs to it, for a non-partitioned run: runs of ops have no "
            "partition."
        )

    partition_key: Any = property(_refuse_partition, doc="NotPartitionedError: runs of ops have no partition.")
    partition_keys = partition_key_range = partition_time_window = partition_key

    def _refuse_asset(self) -> NoReturn:
        raise DagsterInvalidPropertyError(
            f"Op '{self._facts.node.name}' does not have an assets definition: it makes values of runs, not assets."
        )

    @property
    def repository_def(self) -> Any:
        """The RepositoryDefinition that the job comes from: one of the job alone where it stands in none.

        CheckError in a run of `execute_in_process`, which was given no more than its job.
        """
        find = self._facts.run.find_repository
        if find is None:
            raise CheckError(
                "No repository definition was set on the step context: the run knows only its job. Run it by "
                "execute_job(reconstructable(...), instance)."
            )
        return find()

    assets_def: Any = property(_refuse_asset, doc="DagsterInvalidPropertyError: ops make no assets.")
    asset_key = assets_def

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
        return self.typed_stream_error is not None

    @property
    def typed_event_stream_error_message(self) -> str | None:
        """The text to add where an output is missing."""
        return self.typed_stream_error or None

    def set_requires_typed_event_stream(self, *, error_message: str | None = None) -> None:
        """Make a missing output an error whatever its type."""
        self.typed_stream_error = error_message or ""

    @property
    def pdb(self) -> Any:
        """A debugger for this place: `context.pdb.set_trace()`."""
        import pdb  # noqa: T100 - this is what the user asked for

        return pdb.Pdb()


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
        """Metadata of the outputs that the op produced, as MetadataValue objects, in the same shape."""
        return self._facts.final_metadata


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
        self._resources = resources
        self.all_resource_defs = all_resource_defs or {}
        self._log = log
        self.instance = instance
        self.run = run
        self._event_loop = event_loop

    @property
    def event_loop(self) -> Any:
        """The event loop that async ops will run on, made when it is first asked for; None outside a run."""
        if callable(self._event_loop):
            self._event_loop = self._event_loop()
        return self._event_loop

    @property
    def resources(self) -> Any:
        """The resources that this one requires, as attributes."""
        return self._resources

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
            config, self.resource_def, self._resources, self.all_resource_defs, self._log, self.instance, self.run,
            self._event_loop,
        )  # fmt: skip


class InitLoggerContext:
    """`context` of a logger function."""

    def __init__(
        self, logger_config: Any = None, logger_def: Any = None, job_def: Any = None, run_id: str | None = None
    ) -> None:
        self.logger_config = logger_config
        self.logger_def = logger_def
        #: the job whose logger it is; None where the context was built without one
        self.job_def = job_def
        self.run_id = run_id

    @property
    def pipeline_def(self) -> Any:
        """The job, by its older name."""
        return self.job_def
