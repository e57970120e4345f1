"""JobDefinition and @job: a graph bound to resources, executor, config: what can be run.

A job checks everything that it can without config when it is made; what it needs from resources is checked when it
is to run, since they may be given then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, overload

from treadle import later, names
from treadle.checks import check_optional, check_param, show
from treadle.config.schema import AnyType, Map, Section
from treadle.definitions import resources as resource_defs_module
from treadle.definitions import subset, wiring
from treadle.definitions.compose import Node, read_hooks
from treadle.definitions.config_mapping import ConfigMapping
from treadle.definitions.executors import ExecutorDefinition, in_process_executor
from treadle.definitions.graph import GraphDefinition, GraphOptions, compose_graph
from treadle.definitions.io_managers import (
    InputManagerDefinition,
    IOManagerDefinition,
    default_job_io_manager,
    mem_io_manager,
)
from treadle.definitions.loggers import LoggerDefinition, default_loggers
from treadle.definitions.ports import DEFAULT_IO_MANAGER_KEY, read_metadata
from treadle.definitions.requirements import describe_keeper, describe_loader, find_requirements
from treadle.definitions.run_config import (
    RunConfigSchema,
    check_own_config,
    json_schema_of,
    read_run_config,
    run_config_in_modern_words,
    run_config_schema,
    scaffold_of,
)
from treadle.definitions.structure import DependencyStructure
from treadle.definitions.tags import read_tags
from treadle.errors import DagsterInvalidDefinitionError, DagsterInvariantViolationError, ParameterCheckError
from treadle.metadata import MetadataValue
from treadle.outcomes import RetryPolicy

if TYPE_CHECKING:
    from treadle.instance import DagsterInstance
    from treadle.results import ExecuteInProcessResult


class JobDefinition:
    """What can be run. Make one with `@job` or `GraphDefinition.to_job`; it never changes, the `with_*` give a new one."""

    def __init__(
        self,
        *,
        graph_def: GraphDefinition,
        name: str | None = None,
        description: str | None = None,
        resource_defs: Mapping[str, Any] | None = None,
        executor_def: ExecutorDefinition | None = None,
        logger_defs: Mapping[str, Any] | None = None,
        config: Any = None,
        partitions_def: Any = None,
        tags: Mapping[str, Any] | None = None,
        run_tags: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        hooks: Any = None,
        hook_defs: Any = None,
        op_retry_policy: RetryPolicy | None = None,
        op_selection: Sequence[str] | None = None,
        asset_layer: Any = None,
        input_values: Mapping[str, Any] | None = None,
        owners: Any = None,
        automation_condition: Any = None,
    ) -> None:
        if not isinstance(graph_def, GraphDefinition):
            raise ParameterCheckError(
                f'A job is made of a graph: Param "graph_def" is not a GraphDefinition. Got {graph_def!r}.'
            )
        if op_selection is not None and (isinstance(op_selection, str) or not isinstance(op_selection, Sequence)):
            raise ParameterCheckError(f'A job: Param "op_selection" is not a list of str. Got {op_selection!r}.')
        #: the strings that this job was cut down by, None for a whole job
        self.op_selection: frozenset[str] | None = frozenset(op_selection) if op_selection else None
        #: the graph before the selection
        self.whole_graph = graph_def
        self.graph = subset.select_graph(graph_def, list(op_selection)) if op_selection else graph_def
        self.name = names.check_name(name if name is not None else graph_def.name, "a job")
        what = f'job "{self.name}"'
        self.description = _check(description, str, "description", what) or graph_def.description
        self._given_tags = tags
        later.refuse_given(what, partitions_def=partitions_def, automation_condition=automation_condition)
        self.tags: dict[str, str] = {**graph_def._tags, **(read_tags(tags, what) if tags else {})}
        self._given_run_tags = read_tags(run_tags, what) if run_tags is not None else None
        self.metadata: dict[str, MetadataValue] = read_metadata(metadata, what)
        self.hook_defs = read_hooks(hooks or hook_defs or (), what)
        self.op_retry_policy = _check(op_retry_policy, RetryPolicy, "op_retry_policy", what)
        self._given_executor = _check(executor_def, ExecutorDefinition, "executor_def", what)
        self._given_loggers = _read_loggers(logger_defs, what)
        self._given_resources = dict(_check(resource_defs, Mapping, "resource_defs", what) or {})
        self.resource_defs = self._bind_resources()
        self._given_config = config
        #: from what a run is given to its whole run config; None where it is given that itself
        self.config_mapping = _read_mapping(config, what)
        #: config of the job's own, which holds where a run says nothing else; None where there is none
        self.run_config = None if config is None or self.config_mapping else read_run_config(config, what, "config")
        self.input_values: dict[str, Any] = dict(_check(input_values, Mapping, "input_values", what) or {})
        self.owners = names.check_owners(owners, what)
        self.wiring = wiring.wire(self.graph)
        _check_inputs(self)
        _check_managers(self, self._given_resources)
        if op_selection is None and (self.run_config or self.graph.maps_config):
            check_own_config(self)

    def _bind_resources(self) -> dict[str, Any]:
        made = {}
        for key, value in self._given_resources.items():
            if not isinstance(key, str):
                raise ParameterCheckError(f'job "{self.name}": a key of resource_defs must be a str, got {key!r}.')
            made[key] = resource_defs_module.to_resource_definition(key, value)
        made.setdefault(DEFAULT_IO_MANAGER_KEY, default_job_io_manager)
        resource_defs_module.check_dependencies(made)
        return made

    # -- what it is made of

    @property
    def has_default_io_manager(self) -> bool:
        """True where the job names no IO manager of its own for outputs that ask for none."""
        return DEFAULT_IO_MANAGER_KEY not in self._given_resources

    @property
    def executor_def(self) -> ExecutorDefinition:
        """How the steps are run."""
        return self._given_executor or in_process_executor

    @property
    def has_specified_executor(self) -> bool:
        """True where the job names its own executor."""
        return self._given_executor is not None

    @property
    def loggers(self) -> Mapping[str, Any]:
        """The loggers that run config may turn on."""
        return self._given_loggers or default_loggers()

    @property
    def has_specified_loggers(self) -> bool:
        """True where the job names its own loggers."""
        return self._given_loggers is not None

    @property
    def has_own_loggers(self) -> bool:
        """True where there are loggers other than those of a job that names none."""
        return bool(self._given_loggers)

    @property
    def run_tags(self) -> Mapping[str, str]:
        """The tags that every run of the job gets."""
        return self._given_run_tags if self._given_run_tags is not None else self.tags

    @property
    def nodes(self) -> list[Node]:
        """The nodes of the graph."""
        return self.graph.nodes

    @property
    def nodes_in_topological_order(self) -> list[Node]:
        """The nodes so that each comes after those it needs."""
        return self.graph.nodes_in_topological_order

    @property
    def dependencies(self) -> Mapping[str, Mapping[str, Any]]:
        """The edges of the graph."""
        return self.graph.dependencies

    @property
    def dependency_structure(self) -> DependencyStructure:
        """The edges of the graph, to be asked for from either end."""
        return self.graph.dependency_structure

    @property
    def node_defs(self) -> list[Any]:
        """The definitions of the nodes, each once."""
        return self.graph.node_defs

    @cached_property
    def run_config_schema(self) -> RunConfigSchema:
        """What a run config of the job must look like."""
        return run_config_schema(self)

    def run_config_json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the job's run config, for editors: accepts what `validate_run_config` accepts."""
        return json_schema_of(self)

    def run_config_scaffold(self) -> str:
        """A commented run config in YAML to start from: what is required with example values, the rest as comments."""
        return scaffold_of(self)

    def get_node_named(self, name: str) -> Node:
        """One node of the graph, by name."""
        return self.graph.node_named(name)

    def has_node_named(self, name: str) -> bool:
        """True where the graph has a node of this name."""
        return self.graph.has_node_named(name)

    def has_node(self, name: str) -> bool:
        """True where a node of this name stands anywhere in the job, in graphs too."""
        return any(name in path.split(".") for path in self.wiring.ops)

    def node_def_named(self, name: str) -> Any:
        """What was placed under this name."""
        return self.graph.node_def_named(name)

    def get_node(self, handle: names.NodeHandle) -> Node:
        """The node that a handle leads to."""
        graph = self.graph
        *outer, last = handle.path
        for name in outer:
            graph = graph.node_def_named(name)
        return graph.node_named(last)

    get_op = get_node

    def iterate_op_defs(self) -> Iterator[Any]:
        """Every op definition of the job."""
        return self.graph.iterate_op_defs()

    # -- what it needs

    @cached_property
    def resource_requirements(self) -> dict[str, str]:
        """The resource keys that the steps need, each with who needs it (for messages)."""
        return find_requirements(self, self.wiring.ops.values())

    @property
    def required_resource_keys(self) -> frozenset[str]:
        """The resource keys that the steps need."""
        return frozenset(self.resource_requirements)

    def resource_keys_of(self, paths: Iterable[str]) -> frozenset[str]:
        """The resource keys that these ops need, by their dotted paths."""
        return frozenset(find_requirements(self, [self.wiring.ops[path] for path in paths]))

    def check_resources(self) -> None:
        """Raise DagsterInvalidDefinitionError where a needed resource is not there, or cannot do what is asked of it."""
        for op, name, origin in self.wiring.valueless:
            key = self.wiring.ops[origin.path].definition.output_dict[origin.output].io_manager_key
            # Another manager may find a value that something else has put where it looks.
            if self.resource_defs.get(key) is mem_io_manager:
                raise DagsterInvalidDefinitionError(
                    f'job "{self.name}": input "{name}" of op "{op.path}" takes the value of output "{origin.output}" of '
                    f'"{origin.path}", which is of type Nothing and carries none. Declare the input with In(Nothing).'
                )
        for key, requirer in self.resource_requirements.items():
            if key not in self.resource_defs:
                available = sorted(self._given_resources)
                raise DagsterInvalidDefinitionError(
                    f'job "{self.name}": {requirer} was not provided. Please provide a resource for '
                    f'key "{key}" in resource_defs.{names.nearest(key, available)} Available resource keys: {available}.'
                )

    @property
    def is_subset(self) -> bool:
        """True where only some of the ops were selected."""
        return self.op_selection is not None

    @property
    def resolved_op_selection(self) -> frozenset[str] | None:
        """The nodes that the selection means, those inside graphs by dotted paths; None for a whole job."""
        if self.op_selection is None:
            return None
        return subset.resolve_selection(self.whole_graph, sorted(self.op_selection))

    @property
    def op_selection_data(self) -> JobDefinition | None:
        """Older way to `op_selection` and `resolved_op_selection`: the job itself where some of its ops were selected."""
        return self if self.is_subset else None

    def get_subset(self, *, op_selection: Sequence[str] | None = None, **_assets: Any) -> JobDefinition:
        """The job with only the selected ops, by the operators of the selection language."""
        return self._with(op_selection=op_selection)

    # -- others made of it

    def _with(self, **changes: Any) -> JobDefinition:
        options: dict[str, Any] = {
            "graph_def": self.whole_graph,
            "op_selection": list(self.op_selection) if self.op_selection else None,
            "name": self.name,
            "description": self.description,
            "resource_defs": self._given_resources,
            "executor_def": self._given_executor,
            "logger_defs": self._given_loggers,
            "config": self._given_config,
            "tags": self._given_tags,
            "run_tags": self._given_run_tags,
            "metadata": self.metadata,
            "hooks": self.hook_defs,
            "op_retry_policy": self.op_retry_policy,
            "input_values": self.input_values,
            "owners": self.owners,
        }
        return JobDefinition(**{**options, **changes})

    def with_hooks(self, hook_defs: Any) -> JobDefinition:
        """A job with more hooks."""
        return self._with(hooks=self.hook_defs | read_hooks(hook_defs, f'job "{self.name}"'))

    def with_executor_def(self, executor_def: ExecutorDefinition) -> JobDefinition:
        """A job with another executor."""
        return self._with(executor_def=executor_def)

    def with_logger_defs(self, logger_defs: Mapping[str, Any]) -> JobDefinition:
        """A job with other loggers."""
        return self._with(logger_defs=logger_defs)

    def with_top_level_resources(self, resource_defs: Mapping[str, Any]) -> JobDefinition:
        """A job with these resources; where a key is there already, the new one wins."""
        return self._with(resource_defs={**self._given_resources, **resource_defs})

    def with_run_config(self, run_config: Any) -> JobDefinition:
        """A job with config of its own that is this one's with `run_config` over it, key by key down to single values.

        `config=` and a run's own config, in contrast, replace the whole entry of an op or resource. Raises
        DagsterInvalidConfigError for what cannot be right, DagsterInvariantViolationError for a job with a config mapping.
        """
        from treadle.config_files import merge  # reading files is nothing that a job needs otherwise

        what = f'job "{self.name}"'
        if self.config_mapping is not None:
            raise DagsterInvariantViolationError(
                f"with_run_config: {what} has a config mapping, which makes its whole run config. Give run_config to the run, or "
                f"use the job of the graph without the mapping."
            )
        own = run_config_in_modern_words(self.run_config or {}, self)
        return self._with(config=merge(own, run_config_in_modern_words(read_run_config(run_config, what), self)))

    def with_metadata(self, metadata: Mapping[str, Any]) -> JobDefinition:
        """A job with other metadata."""
        return self._with(metadata=metadata)

    def describe_target(self) -> str:
        """For messages: `job 'report'`."""
        return f"job '{self.name}'"

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: a job is run, not called."""
        raise DagsterInvariantViolationError(
            f"Attempted to call job '{self.name}' directly. Jobs should be invoked by using an execution API function "
            f"(e.g. `job.execute_in_process`)."
        )

    def execute_in_process(
        self,
        run_config: Any = None,
        instance: DagsterInstance | None = None,
        partition_key: str | None = None,
        raise_on_error: bool = True,
        op_selection: Sequence[str] | None = None,
        asset_selection: Any = None,
        run_id: str | None = None,
        input_values: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> ExecuteInProcessResult:
        """Run the job in this process and wait; gives an ExecuteInProcessResult.

        `run_config` is a mapping or a RunConfig, `input_values` gives values for the job's own inputs, `resources`
        replaces resource definitions. With `raise_on_error` the run stops at the first step that fails and the
        user's own exception is raised; without it every step that can run does, and the result tells.

        Raises DagsterInvalidConfigError, with every mistake at once, before anything runs.
        """
        from treadle import api  # deferred: the API makes this a method of a job, which is below everything that runs

        return api.execute_in_process(
            self,
            run_config,
            api.RunOptions(
                instance, op_selection, run_id, input_values, tags, resources, partition_key, asset_selection
            ),
            raise_on_error=raise_on_error,
        )

    def __repr__(self) -> str:
        return f"<JobDefinition {self.name}>"


def _check(value: Any, kind: Any, parameter: str, what: str) -> Any:
    if value is not None and not isinstance(value, kind):
        raise ParameterCheckError(f'{what}: Param "{parameter}" is not a {kind.__name__}. Got {value!r}.')
    return value


def _read_loggers(given: Mapping[str, Any] | None, what: str) -> dict[str, LoggerDefinition] | None:
    check_optional(given, Mapping, "logger_defs", what)
    for key, value in (given or {}).items():
        check_param(value, LoggerDefinition, f"logger_defs[{key!r}]", what, "Make one with @logger.")
    return None if given is None else dict(given)


def _read_mapping(config: Any, what: str) -> ConfigMapping | None:
    if not isinstance(config, ConfigMapping):
        return None
    config_type = config.config_schema.config_type
    if not isinstance(config_type, AnyType | Section | Map):
        raise DagsterInvalidDefinitionError(
            f"{what}: the schema of its config mapping is {config_type.notation}, but run config is always a mapping. Give "
            f"the value a name: config_schema={{'value': ...}}."
        )
    return config


def _check_inputs(job: JobDefinition) -> None:
    """Refuse values for inputs that are not there, inputs that nothing can give a value, types that cannot be told apart."""
    known = job.whole_graph.input_dict
    for key in job.input_values:
        if key not in known:
            raise DagsterInvalidDefinitionError(
                f'job "{job.name}": input_values has "{key}", but job has no top-level input with that name.'
                f"{names.nearest(key, known)} Inputs: {list(known)}."
            )
    types_by_key: dict[str, Any] = {}
    for op in job.wiring.ops.values():
        definition = op.definition
        for name, port in definition.input_dict.items():
            _check_type(types_by_key, port.dagster_type, op.path)
            if op.inputs[name] is None and not port.has_default_value and not port.is_nothing:
                if port.dagster_type.loader is None and port.input_manager_key is None:
                    raise DagsterInvalidDefinitionError(
                        f"job '{job.name}': Input '{name}' of op '{op.path}' has no way of being resolved: it is not "
                        f"connected, has no default value, and its type {port.dagster_type.display_name} cannot be "
                        f"loaded from config. Connect it, give it a default, or give its type a loader "
                        f"(@dagster_type_loader)."
                    )
        for out in definition.output_dict.values():
            _check_type(types_by_key, out.dagster_type, op.path)


def _check_type(known: dict[str, Any], dagster_type: Any, path: str) -> None:
    first = known.setdefault(dagster_type.key, dagster_type)
    if first is not dagster_type and first != dagster_type and dagster_type.has_unique_name:
        raise DagsterInvalidDefinitionError(
            f'You have created two dagster types with the same name "{dagster_type.display_name}" (the second is used by '
            f'op "{path}"). Type names have to be unique in a job: rename one of them, or use one object for both.'
        )


def _check_managers(job: JobDefinition, given: Mapping[str, Any]) -> None:
    """Refuse what stands under the key of an IO manager, or input manager, and is none."""
    definitions = job.resource_defs
    no_keepers = {key for key in given if not isinstance(definitions[key], IOManagerDefinition)}
    if not no_keepers:
        return
    no_loaders = {key for key in no_keepers if not isinstance(definitions[key], InputManagerDefinition)}
    for op in job.wiring.ops.values():
        for port in op.definition.output_dict.values():
            if port.io_manager_key in no_keepers:
                raise _wrong_manager(
                    job,
                    describe_keeper(port, op),
                    given[port.io_manager_key],
                    "an IOManager, or what @io_manager makes",
                )
        for port in op.definition.input_dict.values():
            if port.input_manager_key in no_loaders:
                raise _wrong_manager(
                    job,
                    describe_loader(port, op),
                    given[port.input_manager_key],
                    "an InputManager or IOManager, or what @input_manager makes",
                )


def _wrong_manager(job: JobDefinition, requirer: str, value: Any, wanted: str) -> DagsterInvalidDefinitionError:
    return DagsterInvalidDefinitionError(
        f'job "{job.name}": {requirer}, but received {show(value)} (a {type(value).__name__}). Give {wanted}.'
    )


@overload
def job(compose_fn: Callable[..., Any]) -> JobDefinition: ...
@overload
def job(
    compose_fn: None = ...,
    *,
    name: str | None = ...,
    description: str | None = ...,
    resource_defs: Mapping[str, Any] | None = ...,
    config: Any = ...,
    tags: Mapping[str, Any] | None = ...,
    run_tags: Mapping[str, Any] | None = ...,
    metadata: Mapping[str, Any] | None = ...,
    logger_defs: Mapping[str, Any] | None = ...,
    executor_def: ExecutorDefinition | None = ...,
    hooks: Any = ...,
    op_retry_policy: RetryPolicy | None = ...,
    partitions_def: Any = ...,
    input_values: Mapping[str, Any] | None = ...,
    owners: Any = ...,
) -> Callable[[Callable[..., Any]], JobDefinition]: ...
def job(
    compose_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    resource_defs: Mapping[str, Any] | None = None,
    config: Any = None,
    tags: Mapping[str, Any] | None = None,
    run_tags: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    logger_defs: Mapping[str, Any] | None = None,
    executor_def: ExecutorDefinition | None = None,
    hooks: Any = None,
    op_retry_policy: RetryPolicy | None = None,
    partitions_def: Any = None,
    input_values: Mapping[str, Any] | None = None,
    owners: Any = None,
) -> Any:
    """Make a job of a function whose body calls ops and graphs, as `@graph` does, and bind it to what it needs.

    `resource_defs` maps keys to resource definitions, resource objects or plain values. `config` is run config to
    use where a run gives none. `hooks` are called after every step; `op_retry_policy` holds for ops without their own.
    """

    def make(fn: Callable[..., Any]) -> JobDefinition:
        graph = compose_graph(fn, GraphOptions(name, description), kind="@job")
        if graph.output_mappings:
            raise DagsterInvalidDefinitionError(
                f'@job "{graph.name}": the body returns outputs, but a job has none. Return nothing, or make it a @graph '
                f"and call .to_job() on it."
            )
        made = JobDefinition(
            graph_def=graph,
            resource_defs=resource_defs,
            config=config,
            partitions_def=partitions_def,
            tags=tags,
            run_tags=run_tags,
            metadata=metadata,
            logger_defs=logger_defs,
            executor_def=executor_def,
            hooks=hooks,
            op_retry_policy=op_retry_policy,
            input_values=input_values,
            owners=owners,
        )
        made.__name__ = made.name  # type: ignore[attr-defined]
        made.__doc__ = made.description
        made.__module__ = fn.__module__
        made.__wrapped__ = fn  # type: ignore[attr-defined]
        return made

    return make(compose_fn) if compose_fn is not None else make
