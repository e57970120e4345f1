"""The config schema of a job's run_config.

What a run of a job may and must be told, as a schema; and a run config checked against it, taken apart into what each
op, input, output, resource and logger gets. Everything wrong with it is told at once, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from treadle.config.schema import ANY, ConfigType, Field, Permissive, Section, Selector, Shape
from treadle.config.validate import process, validate
from treadle.definitions.compose import Node
from treadle.definitions.config_hints import OPS, OPS_ALIASES, OPS_KEYS, explain, locate, ops_of, preamble_of
from treadle.definitions.config_mapping import ConfigMapping, FixedConfig
from treadle.definitions.configured import process_config
from treadle.definitions.executors import DEFAULT_EXECUTOR_FIELD
from treadle.definitions.graph import GraphDefinition
from treadle.errors import DagsterConfigMappingFunctionError, DagsterInvalidConfigError, ParameterCheckError
from treadle.introspect import MISSING
from treadle.type_loaders import config_type_of

if TYPE_CHECKING:
    from treadle.definitions.job import JobDefinition

_OPTIONAL_ANY = Field(ANY, is_required=False)

#: resource definitions that take config for single inputs or outputs, by key
_Managers = Mapping[str, Any]


class ResolvedConfig(msgspec.Struct):
    """A run config, checked and filled in, by who it is for."""

    #: what a run's record keeps: the run config as it was given, as plain data
    given: Mapping[str, Any]
    #: by the op's path; absent means None. A graph with a config mapping is here too, with its own config
    ops: dict[str, Any] = {}
    #: by path of the op or graph and the input's name: values of inputs that nothing is connected to, and config for
    #: those that an input manager loads
    inputs: dict[tuple[str, str], Any] = {}
    #: config for outputs whose IO manager takes some, by path of the op and the output's name
    outputs: dict[tuple[str, str], Any] = {}
    #: config for inputs of the job itself
    job_inputs: dict[str, Any] = {}
    #: by resource key: what the resource's function sees
    resources: dict[str, Any] = {}
    #: by logger key; None where run config asks for none
    loggers: dict[str, Any] | None = None
    #: config of the executor, or None where it was not asked for
    execution: Any = None


# -- the schema ------------------------------------------------------------------------------------------------------


class RunConfigSchema(NamedTuple):
    """What the run config of a job must look like."""

    #: of what a run is given: for a job with a config mapping that mapping's own schema
    config_type: ConfigType
    #: of the whole run config, which a config mapping has to make
    run_config_schema_type: ConfigType
    config_mapping: ConfigMapping | None


def run_config_schema(job: JobDefinition) -> RunConfigSchema:
    """The schema of a job's run config."""
    whole = schema_of(job)
    mapping = job.config_mapping
    return RunConfigSchema(whole if mapping is None else mapping.config_schema.config_type, whole, mapping)


def schema_of(
    job: JobDefinition,
    *,
    ignores_execution: bool = False,
    given_inputs: Mapping[str, Any] = {},
    with_ops: bool = True,
    with_own_config: bool = True,
) -> Shape:
    """The schema of a whole run config. With `ignores_execution` the executor's config may be anything.

    Without `with_ops` the ops are left out: for a run config that does not speak of them, of a job that needs none.
    The job's own config stands in it as defaults, entry by entry, unless `with_own_config` says no.
    """
    required = job.resource_requirements
    fields = {
        "execution": _execution_field(job, ignores_execution),
        "loggers": _section({key: d.config_field for key, d in job.loggers.items()}, required=()),
        "resources": _section({key: d.config_field for key, d in job.resource_defs.items()}, required=required),
        OPS: _root_field(job) if with_ops else _OPTIONAL_ANY,
    }
    inputs = _job_inputs_shape(job, given_inputs)
    if inputs:
        fields["inputs"] = Field(Shape(inputs))
    if with_own_config:
        for key, values in own_config(job).items():
            if key in fields:
                fields[key] = _with_defaults(fields[key], values)
    return Shape(fields, field_aliases=_ops_aliases())


def _ops_aliases() -> dict[str, Any]:
    return {OPS: list(OPS_ALIASES)}


def _execution_field(job: JobDefinition, ignored: bool) -> Field:
    if ignored:
        return _OPTIONAL_ANY
    return Field(Shape({"config": _executor_field(job)}))


def _executor_field(job: JobDefinition) -> Field:
    return job.executor_def.config_field if job.has_specified_executor else DEFAULT_EXECUTOR_FIELD


def _section(fields: Mapping[str, Field], required: Any) -> Field:
    """A section with one entry `{config: ...}` for each key; only entries of `required` keys may be required."""
    entries = {}
    for key, field in fields.items():
        entry = Shape({"config": field})
        entries[key] = Field(entry) if key in required else Field(entry, is_required=False)
    return Field(Shape(entries))


def _with_defaults(field: Field, values: Any) -> Field:
    """A section of which some entries stand there unless a run says otherwise."""
    section = field.config_type
    if not isinstance(section, Section) or not isinstance(values, Mapping):
        return field
    entries = {
        name: Field(each.config_type, values[name], False, each.description) if name in values else each
        for name, each in section.fields.items()
    }
    return Field(Shape(entries, section.description, section.field_aliases))


def _managers(job: JobDefinition) -> _Managers:
    return {
        key: definition
        for key, definition in job.resource_defs.items()
        if getattr(definition, "input_config_schema", None) is not None
        or getattr(definition, "output_config_schema", None) is not None
    }


def _root_field(job: JobDefinition) -> Field:
    graph = job.graph
    if graph.config_mapping is None:
        return _ops_field(graph, _managers(job))
    return Field(Shape({} if graph.config_mapping.is_fixed else {"config": graph.config_field}))


def _ops_field(graph: GraphDefinition, managers: _Managers) -> Field:
    return Field(Shape({node.name: _node_field(graph, node, managers) for node in graph.node_dict.values()}))


def _node_field(graph: GraphDefinition, node: Node, managers: _Managers) -> Field:
    definition = node.definition
    fields: dict[str, Any] = {}
    inputs = _input_fields(graph, node, managers)
    if inputs:
        fields["inputs"] = Field(Shape(inputs))
    if definition.is_graph:
        mapping = definition.config_mapping
        if mapping is None:
            fields[OPS] = _ops_field(definition, managers)
            return Field(Shape(fields, field_aliases=_ops_aliases()))
        if not mapping.is_fixed:
            fields["config"] = definition.config_field
        return Field(Shape(fields))
    outputs = _output_fields(definition, managers) if managers else None
    if outputs:
        fields["outputs"] = Field(Shape(outputs))
    if not fields:
        entry: Field = definition._contract.entry
        return entry
    fields["config"] = definition.config_field
    return Field(Shape(fields))


def _input_fields(graph: GraphDefinition, node: Node, managers: _Managers) -> dict[str, Field]:
    """A field for each input of a node that neither an edge nor the graph around it gives a value, and for those that
    an input manager loads with config.
    """
    edges = graph.dependencies[node.name]
    inputs = node.input_dict
    if len(edges) == len(inputs) and not managers:
        return {}
    mapped = {m.mapped_node_input_name for m in graph.input_mappings if m.mapped_node_name == node.name}
    fields = {}
    for name, port in inputs.items():
        if port.is_nothing:
            continue
        is_connected = name in edges or name in mapped
        if port.input_manager_key is not None:
            field = getattr(managers.get(port.input_manager_key), "input_config_schema", None)
            if node.is_graph:
                continue  # it is told where the op that takes the input stands
            if field is not None:
                fields[name] = field
            elif not is_connected:
                fields[name] = _OPTIONAL_ANY
        elif not is_connected and port.dagster_type.loader is not None:
            fields[name] = _input_field(port)
    return fields


def _input_field(port: Any) -> Field:
    schema = config_type_of(port.dagster_type.loader)
    return Field(schema, is_required=False) if port.has_default_value else Field(schema)


def _output_fields(op: Any, managers: _Managers) -> dict[str, Field]:
    fields = {}
    for name, port in op.output_dict.items():
        field = getattr(managers.get(port.io_manager_key), "output_config_schema", None)
        if field is not None:
            # an output that carries nothing is never handed to its manager
            fields[name] = Field(field.config_type, is_required=False) if port.is_nothing else field
    return fields


def _job_inputs_shape(job: JobDefinition, given: Mapping[str, Any]) -> dict[str, Field]:
    made = {}
    for name, port in job.graph.input_dict.items():
        if port.dagster_type.loader is None or port.is_nothing or port.input_manager_key is not None:
            continue
        field = _input_field(port)
        is_known = name in given or name in job.input_values
        made[name] = Field(field.config_type, is_required=False) if is_known else field
    return made


def json_schema_of(job: JobDefinition) -> dict[str, Any]:
    """JSON Schema 2020-12 of a job's run config: accepts what `validate_run_config` accepts, older spellings too."""
    from treadle.config.jsonschema import json_schema

    schema = job.run_config_schema
    older = {} if schema.config_mapping is not None else _older_execution(job)
    entries = {name: Field(Shape({"config": field}), is_required=False) for name, field in older.items()}
    # made as one, since both refer to the same definitions
    made = json_schema(Shape({"whole": Field(schema.config_type), "older": Field(Shape(entries))}))
    whole = made["properties"]["whole"]
    if older:
        modern = whole["properties"]["execution"]
        single = {**made["properties"]["older"], "minProperties": 1, "maxProperties": 1}
        whole["properties"]["execution"] = {"anyOf": [modern, single]}
    head = {"$schema": made["$schema"], "title": f"Run config of job {job.name}", **whole}
    return {**head, "$defs": made["$defs"]} if "$defs" in made else head


def scaffold_of(job: JobDefinition) -> str:
    """A commented YAML run config for a job to start from."""
    from treadle.config.jsonschema import scaffold

    return scaffold(job.run_config_schema.config_type, f"Run config of job {job.name}")


# -- a run config against it -----------------------------------------------------------------------------------------


def read_run_config(run_config: Any, what: str, parameter: str = "run_config") -> dict[str, Any]:
    """The mapping in a `run_config` argument: a mapping as it is, a RunConfig as a dict."""
    if run_config is None:
        return {}
    to_dict = getattr(run_config, "to_config_dict", None)
    given = to_dict() if to_dict is not None else run_config
    if not isinstance(given, Mapping):
        raise ParameterCheckError(
            f'{what}: Param "{parameter}" is not a dict. Got {run_config!r} (a {type(run_config).__name__}). Give a '
            f"mapping or a RunConfig."
        )
    return dict(given)


def resolve(
    job: JobDefinition,
    run_config: Any,
    *,
    ignores_execution: bool = False,
    given_inputs: Mapping[str, Any] = {},
) -> ResolvedConfig:
    """Check a run config against a job and take it apart.

    Raises DagsterInvalidConfigError with every mistake in it, DagsterConfigMappingFunctionError where a config mapping
    raises.
    """
    given = read_run_config(run_config, f'job "{job.name}"')
    mapping = job.config_mapping
    config = given if mapping is None else _map_run_config(job, mapping, given, run_config)
    raw = _drop_unselected(_modern_execution(config, job), job)
    own = own_config(job)
    needs_ops = OPS in own or not OPS_KEYS.isdisjoint(raw) or _needs_op_config(job)
    if ignores_execution and not raw and not own and not needs_ops and not _needs_config(job, given_inputs):
        return ResolvedConfig(given, resources=_resource_configs(job, {}))
    schema = schema_of(job, ignores_execution=ignores_execution, given_inputs=given_inputs, with_ops=needs_ops)
    try:
        processed = process(schema, raw)
    except DagsterInvalidConfigError as error:
        raise explain(job, error, own, run_config) from None
    resolved = ResolvedConfig(
        given=given,
        ops={},
        inputs={},
        outputs={},
        job_inputs=dict(processed.get("inputs") or {}),
        resources=_resource_configs(job, processed.get("resources") or {}),
        loggers=_logger_configs(job, processed.get("loggers")) or None,
        execution=None if ignores_execution else _execution_config(job, processed["execution"]),
    )
    if needs_ops:
        given_ops = {**own.get(OPS, {}), **ops_of(raw)}
        _Taker(job, resolved).take_graph(job.graph, processed[OPS], given_ops, "")
    return resolved


def validate_run_config(job_def: JobDefinition, run_config: Any = None) -> dict[str, Any]:
    """The run config of a job, checked and with defaults filled in; DagsterInvalidConfigError with every mistake.

    `ops` has an entry for every op and graph of the job, by path: `{"config": ..., "inputs": ..., "outputs": ...}`.
    """
    if not hasattr(job_def, "run_config_schema"):
        raise ParameterCheckError(f'validate_run_config: Param "job_def" is not a JobDefinition. Got {job_def!r}.')
    resolved = resolve(job_def, run_config)
    ops: dict[str, dict[str, Any]] = {}
    for handle in job_def.graph.iterate_node_handles():
        path = str(handle)
        ops[path] = {"config": resolved.ops.get(path), "inputs": {}, "outputs": None}
    for (path, name), value in resolved.inputs.items():
        ops[path]["inputs"][name] = value
    for (path, name), value in resolved.outputs.items():
        ops[path]["outputs"] = {**(ops[path]["outputs"] or {}), name: value}
    made: dict[str, Any] = {
        OPS: ops,
        "execution": resolved.execution
        if not job_def.has_specified_executor
        else {job_def.executor_def.name: resolved.execution},
        "resources": {key: {"config": config} for key, config in resolved.resources.items()},
        "loggers": {key: {"config": config} for key, config in (resolved.loggers or {}).items()},
    }
    return {**made, "inputs": resolved.job_inputs} if resolved.job_inputs else made


def _needs_op_config(job: JobDefinition) -> bool:
    """True where an op has config of its own (to be filled in at least) or an input or output that may take some."""
    if job.graph.maps_config or _managers(job):
        return True
    for op in job.wiring.ops.values():
        definition = op.definition
        if definition.has_config_field:
            return True
        for name, source in op.inputs.items():
            if (source is None or source.kind == "config") and not definition.input_dict[name].has_default_value:
                return True
    return False


def _needs_config(job: JobDefinition, given_inputs: Mapping[str, Any]) -> bool:
    """True where resources or inputs of the job require config."""
    for key in job.resource_requirements:
        found = job.resource_defs.get(key)
        if found is not None and found.config_field.is_required:
            return True
    return any(
        name not in given_inputs and name not in job.input_values and not port.has_default_value
        for name, port in job.graph.input_dict.items()
    )


class _Taker:
    """Takes processed config of ops apart: who gets what, config mappings called on the way down."""

    def __init__(self, job: JobDefinition, resolved: ResolvedConfig) -> None:
        self.job = job
        self.resolved = resolved

    def take_graph(self, graph: GraphDefinition, entries: Any, given: Mapping[str, Any], path: str) -> None:
        """The entries of a graph's nodes, or where it has a config mapping its own config; `given` is not processed."""
        if graph.config_mapping is not None:
            entries, given = self._map(graph, entries, given, path)
        prefix = f"{path}." if path else ""
        for name, entry in entries.items():
            self._take_node(graph.node_dict[name].definition, entry, given.get(name) or {}, prefix + name)

    def _take_node(self, definition: Any, entry: Mapping[str, Any], given: Mapping[str, Any], path: str) -> None:
        resolved = self.resolved
        for name, value in entry.get("inputs", _NOTHING).items():
            resolved.inputs[path, name] = value
        for name, value in entry.get("outputs", _NOTHING).items():
            resolved.outputs[path, name] = value
        if definition.is_graph:
            is_mapped = definition.config_mapping is not None
            self.take_graph(definition, entry if is_mapped else entry[OPS], given if is_mapped else ops_of(given), path)
        elif definition.has_config_field:
            resolved.ops[path] = definition.resolve_config(entry.get("config"), f"op '{path.rpartition('.')[2]}'")
        elif "config" in entry:
            resolved.ops[path] = entry["config"]

    def _map(
        self, graph: GraphDefinition, entry: Mapping[str, Any], given: Mapping[str, Any], path: str
    ) -> tuple[Any, Mapping[str, Any]]:
        """Call a graph's config mapping: the entries of its nodes, processed and as the function gave them."""
        job, mapping = self.job, graph.config_mapping
        assert mapping is not None
        name = path.rpartition(".")[2] or graph.name
        config = entry.get("config")
        if config is not None:
            self.resolved.ops[path] = config
        config = graph.resolve_config({} if config is None else config, f"graph {name}")
        raw = config if graph._contract.is_configured else given.get("config", {})
        try:
            made = mapping.call(config, raw)
        except Exception as error:
            raise DagsterConfigMappingFunctionError(
                f"The config mapping function on graph '{name}' in job '{job.name}' has thrown an unexpected error "
                f'during its execution. The definition is instantiated at stack "{path.replace(".", ":") or name}". '
                f"{type(error).__name__}: {error}",
                user_exception=error,
            ) from error
        if graph.whole is not None:
            made = _keep_nodes(made, graph.whole, graph)
        by = "@graph(config=...)" if mapping.is_fixed else "its config mapping function"
        preamble = (
            f'In job {job.name} at stack {path.replace(".", ":") or name}: Op "{name}" with definition "{graph.name}" has '
            f"a configuration error. The config that {by} gives does not fit the ops inside, and has to be corrected "
            f"there. The paths below begin at what it gave"
        )
        return process(_ops_field(graph, _managers(job)).config_type, made, preamble), made


_NOTHING: Mapping[str, Any] = {}


def _map_run_config(
    job: JobDefinition, mapping: ConfigMapping, given: Mapping[str, Any], run_config: Any
) -> dict[str, Any]:
    """Call the config mapping of a job: the whole run config that it makes of what was given."""
    try:
        processed = process(mapping.config_schema.config_type, given, preamble_of(job))
    except DagsterInvalidConfigError as error:
        raise locate(error, run_config) from None
    try:
        made = mapping.call(processed, given)
    except Exception as error:
        raise DagsterConfigMappingFunctionError(
            f"The config mapping function on job {job.name} has thrown an unexpected error during its execution. "
            f"{type(error).__name__}: {error}",
            user_exception=error,
        ) from error
    if not isinstance(made, Mapping):
        errors = validate(schema_of(job, ignores_execution=True), made)
        raise DagsterInvalidConfigError(preamble_of(job, is_mapped=True), errors, made)
    return dict(made)


def _modern_execution(raw: Mapping[str, Any], job: JobDefinition) -> dict[str, Any]:
    """`{execution: {multiprocess: {config: C}}}`, the older spelling, to `{execution: {config: {multiprocess: C}}}`."""
    execution = raw.get("execution")
    if not isinstance(execution, Mapping) or len(execution) != 1 or "config" in execution:
        return dict(raw)
    ((name, entry),) = execution.items()
    if name not in _older_execution(job) or not isinstance(entry, Mapping) or (entry and set(entry) != {"config"}):
        return dict(raw)
    if job.has_specified_executor and job.executor_def.name == name:
        return {**raw, "execution": entry}
    return {**raw, "execution": {"config": {name: entry.get("config", {})}}}


def _older_execution(job: JobDefinition) -> dict[str, Field]:
    """The names that may stand directly below `execution` in the older spelling, with the config of each."""
    field = _executor_field(job)
    choices = dict(field.config_type.fields) if isinstance(field.config_type, Selector) else {}
    return {**choices, job.executor_def.name: field} if job.has_specified_executor else choices


def _drop_unselected(raw: dict[str, Any], job: JobDefinition) -> dict[str, Any]:
    """A run config of the whole job, without what it says of ops and inputs that are not selected."""
    if not job.is_subset:
        return raw
    whole, graph = job.whole_graph, job.graph
    kept = {key: _keep_nodes(v, whole, graph) if key in OPS_KEYS else v for key, v in raw.items()}
    if isinstance(raw.get("inputs"), Mapping):
        gone = whole.input_dict.keys() - graph.input_dict.keys()
        kept["inputs"] = {name: value for name, value in raw["inputs"].items() if name not in gone}
    return kept


def _keep_nodes(entries: Any, whole: GraphDefinition, graph: GraphDefinition) -> Any:
    if not isinstance(entries, Mapping):
        return entries
    kept = {}
    for name, entry in entries.items():
        if name in whole.node_dict and name not in graph.node_dict:
            continue
        node = whole.node_dict.get(name)
        if node is not None and node.is_graph and isinstance(entry, Mapping):
            inner = graph.node_dict[name].definition
            entry = {k: _keep_nodes(v, node.definition, inner) if k in OPS_KEYS else v for k, v in entry.items()}
        kept[name] = entry
    return kept


def _resource_configs(job: JobDefinition, entries: Mapping[str, Any]) -> dict[str, Any]:
    made = {}
    for key in job.resource_requirements:
        definition = job.resource_defs.get(key)
        if definition is None:
            continue
        config = entries.get(key, {}).get("config", MISSING)
        if config is MISSING:
            config = _default_of(definition.config_field, f"Error in config for resource {key}")
        made[key] = definition.resolve_config(config, f"resource {key}")
    return made


def _default_of(field: Field, preamble: str) -> Any:
    return process_config(field, field.default_value, preamble) if field.default_provided else None


def _execution_config(job: JobDefinition, entry: Mapping[str, Any]) -> Any:
    config = entry.get("config")
    return job.executor_def.resolve_config(config, "executor") if job.has_specified_executor else config


def _logger_configs(job: JobDefinition, entries: Mapping[str, Any] | None) -> dict[str, Any]:
    made = {}
    for key, entry in (entries or {}).items():
        definition = job.loggers[key]
        made[key] = definition.resolve_config((entry or {}).get("config"), f"logger {key}")
    return made


# -- config that the job brings along --------------------------------------------------------------------------------


def own_config(job: JobDefinition) -> dict[str, Any]:
    """The config that a job was made with: what holds for each entry of a section that run config does not have."""
    if not job.run_config:
        return {}
    return run_config_in_modern_words(_drop_unselected(dict(job.run_config), job), job)


def run_config_in_modern_words(raw: Mapping[str, Any], job: JobDefinition) -> dict[str, Any]:
    """A whole run config, its ops under `ops` and its executor where it stands today."""
    return {OPS if key in OPS_KEYS else key: value for key, value in _modern_execution(raw, job).items()}


def check_own_config(job: JobDefinition) -> None:
    """Refuse a job whose own config, or that of a graph in it, cannot be right whatever a run is given.

    Called when a job is made. Nothing is said while resources are missing: their definitions may come later, and
    decide what ops may be told. DagsterInvalidConfigError.
    """
    if any(key not in job.resource_defs for key in job.resource_requirements):
        return
    own = own_config(job)
    if own:
        schema = schema_of(job, ignores_execution=not job.has_specified_executor, with_own_config=False)
        errors = validate(_without_requirements(schema), own)
        if errors:
            raise DagsterInvalidConfigError(preamble_of(job, is_own=True), errors, own)
    managers = _managers(job)
    for path, graph in _graphs_of(job.graph, ""):
        if isinstance(graph.config_mapping, FixedConfig):
            errors = validate(_ops_field(graph, managers).config_type, graph.config_mapping.config)
            if errors:
                preamble = f"Error in the config of graph {path or graph.name}, fixed by @graph(config=...)"
                raise DagsterInvalidConfigError(preamble, errors, graph.config_mapping.config)


def _without_requirements(schema: Shape) -> Shape:
    """The same, but no section and no entry of one has to be there; the entries themselves have to be whole."""
    relaxed: dict[str, Any] = {}
    for key, field in schema.fields.items():
        section = field.config_type
        if isinstance(section, Section):
            entries = {name: Field(each.config_type, is_required=False) for name, each in section.fields.items()}
            # more resources may be bound to the job later
            section = Permissive(entries) if key == "resources" else Shape(entries)
        relaxed[key] = Field(section, is_required=False)
    return Shape(relaxed)


def _graphs_of(graph: GraphDefinition, path: str) -> Iterator[tuple[str, GraphDefinition]]:
    """The graph and the graphs inside it that have a config mapping, or have one inside, with their paths."""
    if graph.maps_config:
        yield path, graph
        for name, node in graph.node_dict.items():
            if node.is_graph:
                yield from _graphs_of(node.definition, f"{path}.{name}" if path else name)
