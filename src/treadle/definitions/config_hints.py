"""What only a job knows about a mistake in its run config.

Validation says what is wrong with a value at its place. Here is added whose config it is: that of the run, of the job
itself, or what a config mapping made of it; why an op takes no such entry; and in which line of a file it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from treadle.config.mistakes import DagsterEvaluationErrorReason, EvaluationError
from treadle.definitions.compose import Node
from treadle.errors import DagsterInvalidConfigError

if TYPE_CHECKING:
    from treadle.definitions.graph import GraphDefinition
    from treadle.definitions.job import JobDefinition

#: the key of a graph's ops in a run config, and its older spellings
OPS = "ops"
OPS_ALIASES = ("graph", "solids")
OPS_KEYS = frozenset((OPS, *OPS_ALIASES))


def ops_of(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands under `ops`, by whatever name, in config that was validated so far."""
    for key in OPS_KEYS:
        if isinstance(raw.get(key), Mapping):
            found: Mapping[str, Any] = raw[key]
            return found
    return {}


def preamble_of(job: JobDefinition, *, is_own: bool = False, is_mapped: bool = False) -> str:
    if is_mapped:
        return (
            f"Error in the run config that the config mapping function of job {job.name} made. It does not fit the job, "
            f"so the function has to be corrected. The paths below begin at what it gave"
        )
    if is_own:
        return (
            f"Error in config when building job '{job.name}': the provided config is missing required fields or "
            f"contains invalid entries. It is the default that the job itself brings (config=...), not run config"
        )
    return f"Error in config for job {job.name}"


def explain(
    job: JobDefinition, error: DagsterInvalidConfigError, own: Mapping[str, Any], run_config: Any
) -> DagsterInvalidConfigError:
    """The same errors, each with what only the job knows about it, and the line of a file where it stands.

    `own` is the config that the job brings along, `run_config` what was given.
    """
    if job.config_mapping is not None:
        return DagsterInvalidConfigError(preamble_of(job, is_mapped=True), error.errors, error.config_value)
    given = error.config_value
    errors = []
    own_count = 0
    for each in error.errors:
        is_own = _is_own(own, each, given)
        own_count += is_own
        note = _hint(job, each)
        if is_own:
            note += " This stands in the default config of the job itself (config=...)."
        elif place := _line_of(run_config, each):
            note += f" ({place})"
        errors.append(msgspec.structs.replace(each, message=each.message + note) if note else each)
    is_all_own = own_count == len(errors) or (not given and job.run_config is not None)
    return DagsterInvalidConfigError(preamble_of(job, is_own=is_all_own), errors, given)


def locate(error: DagsterInvalidConfigError, run_config: Any) -> DagsterInvalidConfigError:
    """The same errors, each with the line of a file where it stands."""
    errors = [
        msgspec.structs.replace(each, message=f"{each.message} ({place})")
        if (place := _line_of(run_config, each)) is not None
        else each
        for each in error.errors
    ]
    return DagsterInvalidConfigError(error.preamble, errors, error.config_value)


def _is_own(own: Mapping[str, Any], error: EvaluationError, given: Mapping[str, Any]) -> bool:
    """True where the error is in an entry that the job's own config has, and run config does not."""
    levels = error.stack.levels
    if len(levels) < 2:
        return False
    section, entry = OPS if levels[0] in OPS_KEYS else levels[0], levels[1]
    told = ops_of(given) if section == OPS else given.get(section, {})
    return entry in own.get(section, {}) and entry not in told


def _line_of(run_config: Any, error: EvaluationError) -> str | None:
    """Where in a file an error stands, if the run config was read from files."""
    line_of = getattr(run_config, "line_of", None)
    if line_of is None:
        return None
    names = error.error_data.field_names
    is_missing = error.reason in _MISSING_REASONS
    found: str | None = line_of([*error.stack.levels, *([] if is_missing else map(str, names[:1]))])
    return found


_MISSING_REASONS = (
    DagsterEvaluationErrorReason.MISSING_REQUIRED_FIELD,
    DagsterEvaluationErrorReason.MISSING_REQUIRED_FIELDS,
)
_UNEXPECTED_REASONS = (
    DagsterEvaluationErrorReason.FIELD_NOT_DEFINED,
    DagsterEvaluationErrorReason.FIELDS_NOT_DEFINED,
)


def _hint(job: JobDefinition, error: EvaluationError) -> str:
    """Why an entry of a node is not accepted there, where the job knows."""
    node = _node_at(job.graph, error.stack.levels) if error.reason in _UNEXPECTED_REASONS else None
    if node is None:
        return ""
    names = error.error_data.field_names
    if node.is_graph:
        mapping = node.definition.config_mapping
        if mapping is not None and mapping.is_fixed and not {"config", *OPS_KEYS}.isdisjoint(names):
            return f' The config of graph "{node.name}" is fixed where the graph is defined (@graph(config=...)).'
        if mapping is not None and not OPS_KEYS.isdisjoint(names):
            return f' Graph "{node.name}" has a config mapping, which makes the config of its ops from "config".'
        return ""
    if "inputs" in names and node.input_dict:
        return f' No input of op "{node.name}" takes config: they are connected, or of types that config cannot hold.'
    if "outputs" in names:
        return f' No output of op "{node.name}" takes config: its IO manager declares no output_config_schema.'
    return ""


def _node_at(graph: GraphDefinition, levels: list[str]) -> Node | None:
    """The node whose entry is at the end of a way such as ops, outer, ops, inner."""
    node = None
    for key, name in zip(levels[::2], levels[1::2], strict=False):
        if key not in OPS_KEYS or (node is not None and not node.is_graph):
            return None
        node = (graph if node is None else node.definition).node_dict.get(name)
        if node is None:
            return None
    return node if len(levels) % 2 == 0 else None
