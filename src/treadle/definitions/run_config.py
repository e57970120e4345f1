"""The config schema of a job's run_config.

What a run of a job may and must be told, as a schema; and a run config checked against it, taken apart into what each
op, input, resource and logger gets. Everything wrong with it is told at once, before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from treadle.config.schema import ANY, Field
from treadle.config.sugar import Shape
from treadle.config.validate import process
from treadle.definitions.configured import process_config
from treadle.definitions.executors import DEFAULT_EXECUTOR_FIELD
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.job import JobDefinition
from treadle.errors import ParameterCheckError
from treadle.introspect import MISSING
from treadle.type_loaders import config_type_of

#: the key of a graph's ops, and its older spellings
OPS = "ops"
OPS_ALIASES = ("graph", "solids")
_OPTIONAL_ANY = Field(ANY, is_required=False)


class ResolvedConfig(msgspec.Struct):
    """A run config, checked and filled in, by who it is for."""

    #: what a run's record keeps: the run config as it was given, as plain data
    given: Mapping[str, Any]
    #: by the op's path; absent means None
    ops: dict[str, Any]
    #: config for inputs that nothing is connected to, by path of the op or graph and the input's name
    inputs: dict[tuple[str, str], Any]
    #: config for inputs of the job itself
    job_inputs: dict[str, Any]
    #: by resource key: what the resource's function sees
    resources: dict[str, Any]
    #: by logger key; None where run config has no loggers section
    loggers: dict[str, Any] | None
    #: config of the executor, or None where it was not asked for
    execution: Any


# -- the schema ------------------------------------------------------------------------------------------------------


_NO_OPS = Field(ANY, is_required=False)


def schema_of(
    job: JobDefinition,
    *,
    ignores_execution: bool = False,
    given_inputs: Mapping[str, Any] = {},
    with_ops: bool = True,
) -> Shape:
    """The schema of a run config. With `ignores_execution` the executor's config may be anything.

    Without `with_ops` the ops are left out: for a run config that does not speak of them, of a job that needs none.
    """
    required = job.resource_requirements
    fields = {
        "execution": _execution_field(job, ignores_execution),
        "loggers": _section({key: d.config_field for key, d in job.loggers.items()}, required=()),
        "resources": _section(
            {key: _resource_field(d) for key, d in job.resource_defs.items()}, required=frozenset(required)
        ),
        OPS: _ops_field(job.graph) if with_ops else _NO_OPS,
    }
    inputs = _job_inputs_shape(job, given_inputs)
    if inputs:
        fields["inputs"] = Field(Shape(inputs))
    return Shape(fields, field_aliases=_ops_aliases())


def _ops_aliases() -> dict[str, Any]:
    return {OPS: list(OPS_ALIASES)}


def _execution_field(job: JobDefinition, ignored: bool) -> Field:
    if ignored:
        return _OPTIONAL_ANY
    config = job.executor_def.config_field if job.has_specified_executor else DEFAULT_EXECUTOR_FIELD
    return Field(Shape({"config": config}), is_required=False if not config.is_required else None)


def _section(fields: Mapping[str, Field], required: Any) -> Field:
    """A section with one entry `{config: ...}` for each key; only entries of `required` keys may be required."""
    entries = {}
    for key, field in fields.items():
        entry = Shape({"config": field})
        entries[key] = Field(entry) if key in required else Field(entry, is_required=False)
    return Field(Shape(entries))


def _resource_field(definition: Any) -> Field:
    field: Field = definition.config_field
    return field


def _ops_field(graph: GraphDefinition) -> Field:
    return Field(Shape({node.name: _node_field(graph, node) for node in graph.node_dict.values()}))


def _node_field(graph: GraphDefinition, node: Any) -> Field:
    definition = node.definition
    fields: dict[str, Any] = {}
    inputs = _unconnected_inputs(graph, node)
    if inputs:
        fields["inputs"] = Field(Shape(inputs))
    if definition.is_graph:
        fields[OPS] = _ops_field(definition)
        return Field(Shape(fields, field_aliases=_ops_aliases()))
    if not inputs and definition.config_field is None:
        return _PLAIN_OP
    fields["config"] = definition.config_field if definition.config_field is not None else _OPTIONAL_ANY
    return Field(Shape(fields))


_PLAIN_OP = Field(Shape({"config": _OPTIONAL_ANY}))


def _unconnected_inputs(graph: GraphDefinition, node: Any) -> dict[str, Field]:
    """A field for each input of a node that neither an edge nor the graph around it gives a value."""
    edges = graph.dependencies[node.name]
    inputs = node.definition.input_dict
    if len(edges) == len(inputs):
        return {}
    mapped = {m.mapped_node_input_name for m in graph.input_mappings if m.mapped_node_name == node.name}
    return {
        name: _input_field(port)
        for name, port in inputs.items()
        if name not in edges and name not in mapped and _is_loadable(port)
    }


def _is_loadable(port: Any) -> bool:
    return port.dagster_type.loader is not None and not port.is_nothing and port.input_manager_key is None


def _input_field(port: Any) -> Field:
    schema = config_type_of(port.dagster_type.loader)
    return Field(schema, is_required=False) if port.has_default_value else Field(schema)


def _job_inputs_shape(job: JobDefinition, given: Mapping[str, Any]) -> dict[str, Field]:
    made = {}
    for name, port in job.graph.input_dict.items():
        if not _is_loadable(port):
            continue
        field = _input_field(port)
        is_known = name in given or name in job.input_values
        made[name] = Field(field.config_type, is_required=False) if is_known else field
    return made


# -- a run config against it -----------------------------------------------------------------------------------------


def read_run_config(run_config: Any, what: str) -> dict[str, Any]:
    """The mapping in a `run_config` argument: a mapping as it is, a RunConfig as a dict."""
    if run_config is None:
        return {}
    to_dict = getattr(run_config, "to_config_dict", None)
    given = to_dict() if to_dict is not None else run_config
    if not isinstance(given, Mapping):
        raise ParameterCheckError(
            f'{what}: Param "run_config" is not a dict. Got {run_config!r} (a {type(run_config).__name__}). Give a '
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

    Raises DagsterInvalidConfigError with every mistake in it.
    """
    what = f'job "{job.name}"'
    given = read_run_config(run_config, what)
    baked = read_run_config(job.baked_config, what) if job.baked_config is not None else {}
    raw = _drop_unselected(_modern_execution({**baked, **given}, job), job)
    needs_ops = not _OPS_KEYS.isdisjoint(raw) or _has_op_config(job)
    if not raw and not needs_ops and not _needs_config(job, given_inputs):
        return ResolvedConfig(raw, {}, {}, {}, _resource_configs(job, {}), None, None)
    schema = schema_of(job, ignores_execution=ignores_execution, given_inputs=given_inputs, with_ops=needs_ops)
    processed = process(schema, raw, f"Error in config for job {job.name}")
    resolved = ResolvedConfig(
        given=raw,
        ops={},
        inputs={},
        job_inputs=dict(processed.get("inputs") or {}),
        resources=_resource_configs(job, processed.get("resources") or {}),
        loggers=_logger_configs(job, processed.get("loggers")) if "loggers" in raw else None,
        execution=(processed.get("execution") or {}).get("config"),
    )
    for path, entry in _walk_ops(job.graph, processed.get(OPS) or {}, ""):
        if "config" in entry:
            resolved.ops[path] = entry["config"]
        for name, value in (entry.get("inputs") or {}).items():
            resolved.inputs[path, name] = value
    return resolved


_OPS_KEYS = frozenset((OPS, *OPS_ALIASES))


def _has_op_config(job: JobDefinition) -> bool:
    """True where an op has config of its own (to be filled in at least) or an input that config must give."""
    for op in job.wiring.ops.values():
        definition = op.definition
        if definition.config_field is not None:
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


def _walk_ops(
    graph: GraphDefinition, entries: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, entry in entries.items():
        path = prefix + name
        yield path, entry
        node = graph.node_dict[name]
        if node.is_graph:
            yield from _walk_ops(node.definition, entry.get(OPS) or {}, path + ".")


def _modern_execution(raw: dict[str, Any], job: JobDefinition) -> dict[str, Any]:
    """`{execution: {multiprocess: {config: C}}}`, the older spelling, to `{execution: {config: {multiprocess: C}}}`."""
    execution = raw.get("execution")
    if not isinstance(execution, Mapping) or "config" in execution or len(execution) != 1:
        return raw
    ((name, entry),) = execution.items()
    if not isinstance(entry, Mapping) or (entry and set(entry) != {"config"}):
        return raw
    config = entry.get("config", {})
    is_own = job.has_specified_executor and job.executor_def.name == name
    return {**raw, "execution": {"config": config if is_own else {name: config}}}


def _drop_unselected(raw: dict[str, Any], job: JobDefinition) -> dict[str, Any]:
    """A run config of the whole job, without what it says of ops and inputs that are not selected."""
    if not job.is_subset:
        return raw
    whole, graph = job.whole_graph, job.graph
    kept = {key: _keep_nodes(v, whole, graph) if key in _OPS_KEYS else v for key, v in raw.items()}
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
            entry = {k: _keep_nodes(v, node.definition, inner) if k in _OPS_KEYS else v for k, v in entry.items()}
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


def _logger_configs(job: JobDefinition, entries: Mapping[str, Any] | None) -> dict[str, Any]:
    made = {}
    for key, entry in (entries or {}).items():
        definition = job.loggers[key]
        made[key] = definition.resolve_config((entry or {}).get("config"), f"logger {key}")
    return made


def validate_run_config(job_def: JobDefinition, run_config: Any = None) -> dict[str, Any]:
    """The run config of a job, checked and with defaults filled in; DagsterInvalidConfigError with every mistake."""
    if not isinstance(job_def, JobDefinition):
        raise ParameterCheckError(f'validate_run_config: Param "job_def" is not a JobDefinition. Got {job_def!r}.')
    given = read_run_config(run_config, f'job "{job_def.name}"')
    baked = read_run_config(job_def.baked_config, f'job "{job_def.name}"') if job_def.baked_config is not None else {}
    raw = _modern_execution({**baked, **given}, job_def)
    processed: dict[str, Any] = process(schema_of(job_def), raw, f"Error in config for job {job_def.name}")
    return processed
