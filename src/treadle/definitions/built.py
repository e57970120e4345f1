"""Contexts made by hand, for tests: build_op_context and its relatives.

Each is a context of its usual class that knows only what it was given; what only a run can tell, it refuses to say.
Those with resources are context managers. Users call the functions; `direct` calls an op with a `BuiltOpContext`.
Nothing here runs anything but resources.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from treadle.checks import check_optional, show
from treadle.contexts import (
    HookContext,
    InitLoggerContext,
    InitResourceContext,
    OpExecutionContext,
    StepFacts,
    UserEvent,
)
from treadle.definitions.compose import Invocation, Node
from treadle.definitions.opening import Resources, ResourceScope
from treadle.errors import (
    CheckError,
    DagsterInvalidInvocationError,
    DagsterInvalidPropertyError,
    DagsterInvariantViolationError,
    ParameterCheckError,
)
from treadle.instance import DagsterInstance
from treadle.io_contexts import EPHEMERAL_RUN_ID, InputContext, OutputContext
from treadle.logs import DagsterLogManager, system_log
from treadle.names import AssetKey

#: `run_id` of a context for an op that was made by hand
EPHEMERAL = "EPHEMERAL"

_Self = TypeVar("_Self", bound="_ByHand")


class _ByHand:
    """A context that holds resources of its own."""

    _scope: ResourceScope

    @property
    def resources(self) -> Any:
        """The resources that were given, as attributes."""
        return self._scope.values

    @property
    def event_loop(self) -> Any:
        """The event loop that was given."""
        return self._scope.event_loop

    @property
    def resource_keys(self) -> frozenset[str]:
        """Keys of the resources that were given."""
        return self._scope.keys

    def __enter__(self: _Self) -> _Self:
        self._scope.__enter__()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._scope.__exit__()


def _open(
    resources: Any, builder: str, configs: Mapping[str, Any] | None = None, instance: Any = None, event_loop: Any = None
) -> ResourceScope:
    check_optional(instance, DagsterInstance, "instance", builder)
    if isinstance(resources, Resources):
        resources = resources._asdict()
    return ResourceScope(resources, configs, InitResourceContext(instance=instance, event_loop=event_loop), builder)


# -- for ops ----------------------------------------------------------------------------------------------------------


class Serving(NamedTuple):
    """The call of an op that a context is used for."""

    #: the op under the name that it is called by
    node: Node
    op_config: Any
    run_config: Mapping[str, Any]
    #: given as arguments of the call, on top of those of the context
    resources: Mapping[str, Any]


class _Seat(NamedTuple):
    """Stands for the place in a job that the op does not have."""

    handle: Any
    node: Any


def _refused(sentence: str) -> Any:
    def refuse(_self: Any) -> None:
        raise DagsterInvalidPropertyError(sentence)

    return property(refuse, doc="DagsterInvalidPropertyError: only a run has one.")


def _only_in_a_run(name: str) -> Any:
    return _refused(
        f"The {name} property is not set on the context when an op is directly invoked: there is no run. Test what "
        f"needs it by running a job with execute_in_process()."
    )


class BuiltOpContext(_ByHand, OpExecutionContext):
    """`context` of an op's body, made by `build_op_context`. While an op runs with it, it also knows that op."""

    def __init__(
        self,
        scope: ResourceScope,
        config: Any,
        resources_config: Mapping[str, Any],
        run_tags: Mapping[str, str],
        mapping_key: str | None,
    ) -> None:
        self._scope = scope
        #: the op's config as it was given
        self.given_config = config
        #: config of the resources as it was given
        self.resources_config = resources_config
        self._run_tags = run_tags
        self._mapping_keys = () if mapping_key is None else (mapping_key,)
        self._partition: Mapping[str, Any] = {}
        self._serving: Serving | None = None
        super().__init__(self._fresh_facts(None), 1)

    def _fresh_facts(self, node: Node | None) -> StepFacts:
        no_run: Any = None
        return StepFacts(no_run, "", _Seat(None, node), self._mapping_keys, None, None)

    @contextlib.contextmanager
    def serve(self, serving: Serving) -> Iterator[None]:
        """Use the context for one call: what the call before left is forgotten.

        DagsterInvalidInvocationError while another call goes on.
        """
        self.check_free()
        self._facts = self._fresh_facts(serving.node)
        self.typed_stream_error = None
        self._serving = serving
        try:
            yield
        finally:
            self._serving = None

    def check_free(self) -> None:
        """DagsterInvalidInvocationError while a call goes on."""
        if self._serving is not None:
            busy = self._serving.node.name
            raise DagsterInvalidInvocationError(
                f"This context is currently being used to execute {busy}. The context cannot be used to execute another "
                f"op until {busy} has finished executing. Make another with build_op_context()."
            )

    def _call(self, name: str) -> Serving:
        if self._serving is None:
            raise DagsterInvalidPropertyError(
                f"The {name} property is not set on the context when an op is directly invoked, until the op runs: outside "
                f"of its body the context belongs to no op."
            )
        return self._serving

    # -- known at any time

    run_id = EPHEMERAL

    @property
    def is_bound(self) -> bool:
        """True while an op runs with this context."""
        return self._serving is not None

    @property
    def execution_properties(self) -> StepFacts:
        """What the last call left: its events and output metadata."""
        return self._facts

    def get_events(self) -> list[UserEvent]:
        """What `log_event` was given in the last call, and was not consumed."""
        return list(self._facts.events)

    @property
    def run_tags(self) -> Mapping[str, str]:
        """The tags that were given."""
        return self._run_tags

    def has_tag(self, key: str) -> bool:
        """True where this tag was given."""
        return key in self._run_tags

    def get_tag(self, key: str) -> str | None:
        """The value of a tag that was given."""
        return self._run_tags.get(key)

    @property
    def instance(self) -> DagsterInstance:
        """The instance that was given, or one of this context's own."""
        return self._scope.instance

    @property
    def log(self) -> DagsterLogManager:
        """Prints to the console."""
        if self._log is None:
            self._log = system_log()
        return self._log

    @property
    def op_config(self) -> Any:
        """In the op's body its config, checked and with defaults filled in; outside of it the config as it was given."""
        return self.given_config if self._serving is None else self._serving.op_config

    solid_config = op_config

    @property
    def resources(self) -> Any:
        """The resources that were given, to the context or to the call."""
        if self._serving is not None and self._serving.resources:
            return Resources({**self._scope.opened, **self._serving.resources})
        return self._scope.values

    # -- known while an op runs

    @property
    def run_config(self) -> Mapping[str, Any]:
        """What the run config would be: the op's config and that of the resources."""
        return self._call("run_config").run_config

    @property
    def op_def(self) -> Any:
        """The op's definition."""
        return self._call("op_def").node.definition

    solid_def = op_def

    @property
    def selected_output_names(self) -> frozenset[str]:
        """Names of the op's outputs."""
        return frozenset(self._call("selected_output_names").node.output_dict)

    def describe_op(self) -> str:
        """For messages: `op "load"`."""
        return self._call("describe_op").node.describe_node()

    def log_event(self, event: UserEvent) -> None:
        """Keep an AssetMaterialization, AssetObservation or ExpectationResult; `get_events` gives them."""
        self._call("log_event")
        super().log_event(event)

    def add_output_metadata(
        self, metadata: Mapping[str, Any], output_name: str | None = None, mapping_key: str | None = None
    ) -> None:
        """Attach metadata to an output that is yet to be yielded or returned; `get_output_metadata` gives it."""
        self._call("add_output_metadata")
        super().add_output_metadata(metadata, output_name, mapping_key)

    # -- what there is only in a run

    run = _only_in_a_run("run")
    dagster_run = pipeline_run = _only_in_a_run("dagster_run")
    job_def = pipeline_def = _only_in_a_run("job_def")
    job_name = pipeline_name = _only_in_a_run("job_name")
    op = solid = _only_in_a_run("op")
    op_handle = node_handle = solid_handle = _only_in_a_run("node_handle")
    step_key = _only_in_a_run("step_key")
    repository_def = _only_in_a_run("repository_def")
    step_launcher = _only_in_a_run("step_launcher")
    get_step_execution_context = _only_in_a_run("get_step_execution_context")
    assets_def = asset_key = _only_in_a_run("assets_def")

    # -- partitions, which an op of a job does not have unless they are given

    has_partition_key: Any = property(lambda self: "partition_key" in self._partition)
    has_partition_key_range: Any = property(lambda self: "partition_key_range" in self._partition)

    @property
    def partition_key(self) -> Any:
        """The partition that was given; NotPartitionedError where none was."""
        return self._partition.get("partition_key") or self._refuse_partition()

    @property
    def partition_key_range(self) -> Any:
        """The range of partitions that was given; NotPartitionedError where none was."""
        return self._partition.get("partition_key_range") or self._refuse_partition()

    @property
    def partition_keys(self) -> list[str]:
        """The partition that was given, as a list; NotPartitionedError where none was."""
        return [self.partition_key]


def build_op_context(
    resources: Mapping[str, Any] | None = None,
    op_config: Any = None,
    resources_config: Mapping[str, Any] | None = None,
    instance: DagsterInstance | None = None,
    config: Any = None,
    partition_key: str | None = None,
    partition_key_range: Any = None,
    mapping_key: str | None = None,
    run_tags: Mapping[str, str] | None = None,
    event_loop: Any = None,
    solid_config: Any = None,
) -> BuiltOpContext:
    """A context to call an op with: `my_op(build_op_context(op_config={"n": 3}, resources={"db": db}), 1)`.

    `resources` are definitions, configurable resources or plain objects by key; they are opened here, with
    `resources_config` as `{key: {"config": ...}}`. With a resource that has to be torn down use it in a `with` block.
    `op_config` (older: `config`, `solid_config`) is checked when an op is called.

    Raises DagsterInvalidConfigError for resource config that does not fit, DagsterResourceFunctionError for a resource
    that fails to start.
    """
    what = "build_op_context"
    given = [each for each in (op_config, config, solid_config) if each is not None]
    if len(given) > 1:
        raise DagsterInvalidInvocationError(
            "Attempted to invoke ``build_op_context`` with both ``op_config``, and its legacy version, ``config``. "
            "Please provide one or the other."
        )
    check_optional(mapping_key, str, "mapping_key", what)
    check_optional(run_tags, Mapping, "run_tags", what)
    check_optional(resources_config, Mapping, "resources_config", what)
    if partition_key is not None and partition_key_range is not None:
        raise CheckError(f"{what}: partition_key and partition_key_range are both given; give one of them.")
    scope = _open(resources, what, resources_config, instance, event_loop)
    made = BuiltOpContext(
        scope, given[0] if given else None, dict(resources_config or {}), dict(run_tags or {}), mapping_key
    )
    partition = {"partition_key": partition_key, "partition_key_range": partition_key_range}
    made._partition = {name: value for name, value in partition.items() if value is not None}
    return made


# -- for hooks --------------------------------------------------------------------------------------------------------


class NoInstanceError(DagsterInvalidPropertyError, DagsterInvariantViolationError):
    """The context was built without an instance."""


def _given_to_hook(name: str, doc: str) -> Any:
    def read(self: BuiltHookContext) -> Any:
        if self._given[name] is None:
            raise DagsterInvalidPropertyError(
                f"Attribute '{name}' was not provided when constructing context. Provide a value for the '{name}' "
                f"parameter on 'build_hook_context'."
            )
        return self._given[name]

    return property(read, doc=doc)


def _never_given_to_hook(name: str) -> Any:
    return _refused(
        f"The {name} property is not set when a `HookContext` is constructed from `build_hook_context`. Test a hook "
        f"that needs it by running a job with execute_in_process()."
    )


class BuiltHookContext(_ByHand, HookContext):
    """`context` of a hook, made by `build_hook_context`."""

    def __init__(self, scope: ResourceScope, given: Mapping[str, Any], hook: Any = None) -> None:
        self._scope = scope
        self._given = given
        self._hook = hook
        self._log: DagsterLogManager | None = None

    def serving(self, hook: Any) -> BuiltHookContext:
        """This context as the hook sees it."""
        return BuiltHookContext(self._scope, self._given, hook)

    job_name = _given_to_hook("job_name", "Name of the job, where it was given.")
    run_id = _given_to_hook("run_id", "Id of the run, where it was given.")
    op = solid = _given_to_hook("op", "The node, where an op was given.")
    step_key = _never_given_to_hook("step_key")
    op_config = solid_config = _never_given_to_hook("op_config")
    op_output_values = solid_output_values = _never_given_to_hook("op_output_values")
    op_output_metadata = _never_given_to_hook("op_output_metadata")

    @property
    def hook_def(self) -> Any:
        """The hook, in its own body."""
        if self._hook is None:
            raise DagsterInvalidPropertyError(
                "The hook_def property is not set when a `HookContext` is constructed from `build_hook_context`, until a "
                "hook is called with it."
            )
        return self._hook

    @property
    def instance(self) -> DagsterInstance:
        """The instance, where it was given."""
        found: DagsterInstance | None = self._given["instance"]
        if found is None:
            raise NoInstanceError(
                "Tried to access the HookContext instance, but no instance was provided to `build_hook_context`."
            )
        return found

    @property
    def log(self) -> DagsterLogManager:
        """Prints to the console."""
        if self._log is None:
            self._log = system_log()
        return self._log

    @property
    def op_exception(self) -> BaseException | None:
        """The exception that was given."""
        return self._given["op_exception"]  # type: ignore[no-any-return]

    solid_exception = op_exception


def build_hook_context(
    resources: Mapping[str, Any] | None = None,
    op: Any = None,
    run_id: str | None = None,
    job_name: str | None = None,
    op_exception: BaseException | None = None,
    instance: DagsterInstance | None = None,
) -> BuiltHookContext:
    """A context to call a hook with: `my_hook(build_hook_context(resources={"chat": chat}))`.

    `op` is an op, or one with an alias. What is not given, and what only a run has, raises DagsterInvalidPropertyError.
    With a resource that has to be torn down use it in a `with` block.
    """
    what = "build_hook_context"
    check_optional(run_id, str, "run_id", what)
    check_optional(job_name, str, "job_name", what)
    check_optional(op_exception, BaseException, "op_exception", what)
    call = Invocation(op) if getattr(op, "is_node_definition", False) else op
    if call is not None and not isinstance(call, Invocation):
        raise ParameterCheckError(
            f'{what}: Param "op" is not an OpDefinition. Got {show(op)} (a {type(op).__name__}). Give an op, or one with '
            f"an alias: my_op.alias(...)."
        )
    node = None if call is None else Node(call.name, call.definition, call.tags, call.hooks, call.retry_policy)
    given = {"op": node, "run_id": run_id, "job_name": job_name, "op_exception": op_exception, "instance": instance}
    return BuiltHookContext(_open(resources, what, None, instance), given)


# -- for resources and loggers ----------------------------------------------------------------------------------------


class BuiltInitResourceContext(_ByHand, InitResourceContext):
    """`context` of a resource function, made by `build_init_resource_context`."""

    def __init__(self, scope: ResourceScope, config: Any) -> None:
        self._scope = scope
        super().__init__(config, instance=scope.instance)

    def replace_config(self, config: Any) -> InitResourceContext:
        """A context with another config and the same resources."""
        return InitResourceContext(config, None, self.resources, self.all_resource_defs, self._log, self.instance)


def build_init_resource_context(
    config: Any = None,
    resources: Mapping[str, Any] | None = None,
    instance: DagsterInstance | None = None,
) -> BuiltInitResourceContext:
    """A context to call a resource with: `my_resource(build_init_resource_context(config={"url": "..."}))`.

    `resources` are those that the resource requires. With one that has to be torn down use it in a `with` block.
    """
    return BuiltInitResourceContext(_open(resources, "build_init_resource_context", None, instance), config)


def build_init_logger_context(logger_config: Any = None, job_def: Any = None) -> InitLoggerContext:
    """A context to call a logger with: `my_logger(build_init_logger_context(logger_config={"level": "INFO"}))`."""
    if job_def is not None and not hasattr(job_def, "resource_requirements"):
        raise ParameterCheckError(
            f'build_init_logger_context: Param "job_def" is not a JobDefinition. Got {show(job_def)} (a '
            f"{type(job_def).__name__}). Give a job, as made by @job or to_job()."
        )
    return InitLoggerContext(logger_config, None, job_def, EPHEMERAL_RUN_ID)


# -- for IO managers --------------------------------------------------------------------------------------------------


class BuiltOutputContext(_ByHand, OutputContext):
    """`context` of `handle_output`, made by `build_output_context`."""


class BuiltInputContext(_ByHand, InputContext):
    """`context` of `load_input`, made by `build_input_context`."""


def build_output_context(
    step_key: str | None = None,
    name: str | None = None,
    definition_metadata: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    mapping_key: str | None = None,
    config: Any = None,
    dagster_type: Any = None,
    version: str | None = None,
    resource_config: Mapping[str, Any] | None = None,
    resources: Any = None,
    op_def: Any = None,
    asset_key: Any = None,
    partition_key: str | None = None,
    asset_partitions_def: Any = None,
    asset_partition_key_range: Any = None,
    instance: DagsterInstance | None = None,
    asset_spec: Any = None,
    metadata: Mapping[str, Any] | None = None,
    output_metadata: Mapping[str, Any] | None = None,
) -> BuiltOutputContext:
    """A context to call `handle_output` with: `manager.handle_output(build_output_context("step", "result"), value)`.

    What is not given raises DagsterInvariantViolationError where it is read, except for what may be missing in a run
    too. `metadata` is an older name of `definition_metadata`. With a resource that has to be torn down use it in a
    `with` block.
    """
    del asset_partitions_def, asset_partition_key_range, asset_spec  # assets are not there yet
    what = "build_output_context"
    made = BuiltOutputContext(
        **_known(step_key=step_key, name=name, dagster_type=dagster_type, op_def=op_def),
        run_id=run_id if run_id is not None else EPHEMERAL_RUN_ID,
        definition_metadata=_metadata(definition_metadata, metadata, what),
        mapping_key=mapping_key,
        config=config,
        version=version,
        resource_config=resource_config if resource_config is not None else {},
        output_metadata=output_metadata if output_metadata is not None else {},
        **_known(asset_key=_asset_key(asset_key), partition_key=partition_key),
    )
    made._scope = _open(resources, what, None, instance)
    return made


def build_input_context(
    name: str | None = None,
    config: Any = None,
    definition_metadata: Mapping[str, Any] | None = None,
    upstream_output: OutputContext | None = None,
    dagster_type: Any = None,
    resource_config: Mapping[str, Any] | None = None,
    resources: Any = None,
    op_def: Any = None,
    step_context: Any = None,
    asset_key: Any = None,
    partition_key: str | None = None,
    asset_partition_key_range: Any = None,
    asset_partitions_def: Any = None,
    instance: DagsterInstance | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> BuiltInputContext:
    """A context to call `load_input` with: `manager.load_input(build_input_context(upstream_output=...))`.

    `upstream_output` is a context of `build_output_context`. What is not given raises DagsterInvariantViolationError
    where it is read, except for what may be missing in a run too. `metadata` is an older name of
    `definition_metadata`. With a resource that has to be torn down use it in a `with` block.
    """
    del asset_partition_key_range, asset_partitions_def  # assets are not there yet
    what = "build_input_context"
    check_optional(upstream_output, OutputContext, "upstream_output", what, "Make one with build_output_context().")
    made = BuiltInputContext(
        **_known(name=name, dagster_type=dagster_type, op_def=op_def, step_context=step_context, instance=instance),
        config=config,
        definition_metadata=_metadata(definition_metadata, metadata, what),
        upstream_output=upstream_output,
        resource_config=resource_config if resource_config is not None else {},
        **_known(asset_key=_asset_key(asset_key), partition_key=partition_key),
    )
    made._scope = _open(resources, what, None, instance)
    return made


def _known(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _asset_key(given: Any) -> AssetKey | None:
    return None if given is None else AssetKey.from_coercible(given)


def _metadata(given: Mapping[str, Any] | None, older: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
    if given is not None and older is not None:
        raise CheckError(f'{what}: give "definition_metadata", or "metadata", its older name, but not both.')
    found = given if given is not None else older
    return found if found is not None else {}
