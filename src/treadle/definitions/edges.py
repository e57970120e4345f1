"""The edges and mappings of a graph: ends that exist, the inputs and outputs that follow, an order without circles.

graph.py calls this once for each graph that is made. It reads definitions and writes nothing but the graph's
`output_levels`, which come with its outputs. Whether types agree is asked in type_wiring.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from treadle import names
from treadle.checks import show
from treadle.definitions.compose import (
    DependencyDefinition,
    DynamicCollectDependencyDefinition,
    MultiDependencyDefinition,
)
from treadle.definitions.ports import DynamicOutputDefinition, InputDefinition, InputMapping, OutputDefinition
from treadle.errors import DagsterInvalidDefinitionError
from treadle.introspect import MISSING
from treadle.type_kinds import DagsterType

if TYPE_CHECKING:
    from treadle.definitions.graph import GraphDefinition


def check_edges(graph: GraphDefinition) -> None:
    """Raise DagsterInvalidDefinitionError, with the nearest valid names, where an end of an edge is not there."""
    for node_name, inputs in graph.dependencies.items():
        node = graph.node_dict[node_name]
        if not isinstance(inputs, Mapping):
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph.name}": the dependencies of "{node_name}" must be a dict of its inputs, such as {{"x": '
                f'DependencyDefinition("load")}}; got {show(inputs)}.'
            )
        for input_name, dependency in inputs.items():
            where = f'Graph "{graph.name}", input "{input_name}" of "{node_name}"'
            if input_name not in node.input_dict:
                raise DagsterInvalidDefinitionError(
                    f'Graph "{graph.name}": {node.describe_node()} does not have input "{input_name}".'
                    f"{names.nearest(input_name, node.input_dict)} Available inputs: {list(node.input_dict)}."
                )
            if not isinstance(
                dependency, (DependencyDefinition, MultiDependencyDefinition, DynamicCollectDependencyDefinition)
            ):
                raise DagsterInvalidDefinitionError(f"{where}: expected a DependencyDefinition, got {dependency!r}.")
            edges = dependency.get_node_dependencies()
            for edge in edges:
                _check_end(graph, where, edge.node, edge.output)
            if len(edges) > 1 and len({(edge.node, edge.output) for edge in edges}) < len(edges):
                raise DagsterInvalidDefinitionError(
                    f"{where}: Duplicate dependencies: an output stands twice in {[(e.node, e.output) for e in edges]}. To have "
                    f"its value twice, let the op take it once and use it twice."
                )
    for mapping in graph.output_mappings:
        where = f'Graph "{graph.name}", output "{mapping.graph_output_name}"'
        _check_end(graph, where, mapping.mapped_node_name, mapping.mapped_node_output_name)


def _check_end(graph: GraphDefinition, where: str, node_name: str, output_name: str) -> None:
    node = graph.node_dict.get(node_name)
    if node is None:
        raise DagsterInvalidDefinitionError(
            f'{where}: Invalid dependencies: node "{node_name}" not found in node list.'
            f"{names.nearest(node_name, graph.node_dict)} Nodes: {list(graph.node_dict)}."
        )
    if output_name not in node.output_dict:
        raise DagsterInvalidDefinitionError(
            f'{where}: {node.describe_node()} does not have output "{output_name}".'
            f"{names.nearest(output_name, node.output_dict)} Available outputs: {list(node.output_dict)}."
        )


def read_inputs(graph: GraphDefinition, declared: Sequence[InputDefinition] | None) -> dict[str, InputDefinition]:
    """A graph's inputs take what they do not declare (a type, a default) from where they go."""
    inputs: dict[str, InputDefinition] = {d.name: d for d in declared or ()}
    own_types = {name: port.dagster_type for name, port in inputs.items() if not port.dagster_type.is_any}
    graph.declared_types = own_types
    mapped = set()
    for mapping in graph.input_mappings:
        name = mapping.graph_input_name
        node = graph.node_named(mapping.mapped_node_name)
        target = node.input_dict.get(mapping.mapped_node_input_name)
        if target is None:
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph.name}": input mapping of "{name}" to node "{node.name}", which contains no input named '
                f'"{mapping.mapped_node_input_name}".'
                f"{names.nearest(mapping.mapped_node_input_name, node.input_dict)} "
                f"Available inputs: {list(node.input_dict)}."
            )
        known = inputs.get(name)
        # an input that also feeds one of type Nothing is of the type that carries a value
        is_open = known is None or known.dagster_type.is_any or (known.is_nothing and name not in own_types)
        if is_open or name not in mapped:
            inputs[name] = _mapped_input(mapping, known, target, own_types.get(name))
        mapped.add(name)
    for name in inputs:
        if name not in mapped:
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph.name}" has an unmapped input "{name}": no node takes it. Remove the parameter, or pass it '
                f"to an op in the graph's body."
            )
    return inputs


def _mapped_input(
    mapping: InputMapping, known: InputDefinition | None, target: InputDefinition, own_type: DagsterType | None
) -> InputDefinition:
    """One input of a graph: what it says itself, then what the input says that it is mapped to."""
    element = target.dagster_type
    if mapping.fan_in_index is not None and element.supports_fan_in:
        element = element.get_inner_type_for_fan_in()
    default = known.default_value if known is not None else MISSING
    if default is MISSING and mapping.fan_in_index is None:
        default = target.default_value
    return InputDefinition(
        mapping.graph_input_name,
        own_type or element,
        (known.description if known else None) or mapping.graph_input_description or target.description,
        default,
        target.metadata,
        input_manager_key=target.input_manager_key,
    )


def read_outputs(graph: GraphDefinition) -> dict[str, OutputDefinition]:
    """A graph's outputs are those that they are mapped from; `output_levels` says how many fan-outs lie above each."""
    outputs: dict[str, OutputDefinition] = {}
    for mapping in graph.output_mappings:
        node = graph.node_dict[mapping.mapped_node_name]
        origin = node.output_dict[mapping.mapped_node_output_name]
        levels = max(mapping.open_levels, int(mapping.from_dynamic_mapping), node.definition.output_levels[origin.name])
        make = DynamicOutputDefinition if levels else OutputDefinition
        name = mapping.graph_output_name
        if name in outputs:
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph.name}": the output "{name}" is mapped twice. It comes from one node; give the other mapping '
                f"an output of its own."
            )
        outputs[name] = make(
            origin.dagster_type,
            name,
            mapping.graph_output_description or origin.description,
            origin.is_required,
            origin.io_manager_key,
            origin.metadata,
        )
        graph.output_levels[name] = levels
    return outputs


def sort_nodes(graph: GraphDefinition) -> list[str]:
    """Kahn's order by levels, each level by name: stable, and without recursion."""
    needed_by: dict[str, list[str]] = {name: [] for name in graph.node_dict}
    missing: dict[str, int] = {}
    for name, inputs in graph.dependencies.items():
        upstream = {edge.node for dependency in inputs.values() for edge in dependency.get_node_dependencies()}
        missing[name] = len(upstream)
        for other in upstream:
            needed_by[other].append(name)
    level = sorted(name for name, count in missing.items() if count == 0)
    order: list[str] = []
    while level:
        order += level
        following = []
        for name in level:
            for dependent in needed_by[name]:
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    following.append(dependent)
        level = sorted(following)
    if len(order) < len(missing):
        raise DagsterInvalidDefinitionError(
            f'Graph "{graph.name}": Circular dependencies exist: {_find_cycle(graph, set(missing) - set(order))}. Remove one of '
            f"these edges."
        )
    return order


def _find_cycle(graph: GraphDefinition, candidates: set[str]) -> str:
    """One circle among nodes that all wait for one another, as text: each node with the input that it waits for."""
    trail: list[str] = []
    waits: dict[str, tuple[str, str]] = {}
    name = min(candidates)
    while name not in trail:
        trail.append(name)
        waits[name] = min(
            (edge.node, input_name)
            for input_name, dependency in graph.dependencies[name].items()
            for edge in dependency.get_node_dependencies()
            if edge.node in candidates
        )
        name = waits[name][0]
    circle = trail[trail.index(name) :]
    return ", ".join(f'input "{waits[node][1]}" of "{node}" needs "{waits[node][0]}"' for node in circle)
