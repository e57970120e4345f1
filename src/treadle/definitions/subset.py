"""A smaller graph: what a selection leaves of one.

Takes a graph and a Selection, gives a graph of the same name with only the wanted nodes. Inputs that lose what they
were connected to become unconnected: config or a default must give them a value. Called by job.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from treadle.definitions import selection
from treadle.definitions.compose import (
    Dependency,
    DependencyDefinition,
    DynamicCollectDependencyDefinition,
    MultiDependencyDefinition,
    Node,
)
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.ports import InputMapping
from treadle.definitions.selection import Selection
from treadle.errors import DagsterInvalidDefinitionError, DagsterInvalidSubsetError
from treadle.names import nearest


def select_graph(graph: GraphDefinition, clauses: Sequence[str]) -> GraphDefinition:
    """The part of a graph that a selection means.

    Raises DagsterInvalidSubsetError where the selection names nothing, or leaves an edge without its origin.
    """
    wanted = selection.split(clauses, upstream_of(graph))
    try:
        return _cut(graph, wanted)
    except DagsterInvalidDefinitionError as error:
        raise DagsterInvalidSubsetError(
            f"The attempted subset {list(clauses)} results in an invalid graph: {error}"
        ) from error


def resolve_selection(graph: GraphDefinition, clauses: Sequence[str]) -> frozenset[str]:
    """What a selection means: names of nodes, and dotted paths where only parts of a graph inside are wanted."""
    return frozenset(selection.split(clauses, upstream_of(graph)).paths)


def upstream_of(graph: GraphDefinition) -> dict[str, list[str]]:
    """For every node of a graph the nodes directly above it."""
    return {
        name: list({edge.node: None for dependency in inputs.values() for edge in dependency.get_node_dependencies()})
        for name, inputs in graph.dependencies.items()
    }


def _cut(graph: GraphDefinition, wanted: Selection) -> GraphDefinition:
    nodes: dict[str, Node] = {}
    for name in wanted.names:
        if name not in graph.node_dict:
            raise DagsterInvalidSubsetError(
                f'"{graph.name}" has no node named "{name}".{nearest(name, graph.node_dict)} Nodes: {sorted(graph.node_dict)}.'
            )
    for name, node in graph.node_dict.items():
        if name in wanted.whole:
            nodes[name] = node
        elif name in wanted.parts:
            if not node.is_graph:
                raise DagsterInvalidSubsetError(f'"{name}" is an op: there is no node named anything inside it.')
            nodes[name] = msgspec.structs.replace(node, definition=_cut(node.definition, wanted.parts[name]))
    cut = GraphDefinition(
        graph.name,
        description=graph.description,
        nodes=nodes,
        dependencies={name: _cut_edges(graph, nodes, name) for name in nodes},
        input_mappings=[_shift(graph, nodes, m) for m in graph.input_mappings if _is_kept(nodes, m)],
        output_mappings=[m for m in graph.output_mappings if m.mapped_node_name in nodes],
        config=graph.config_mapping,
        tags=graph.tags,
        input_defs=[d for d in graph.input_defs if any(_is_kept(nodes, m) for m in _mappings_of(graph, d.name))],
    )
    cut.whole, cut._contract, cut.declared_types = graph.whole or graph, graph._contract, graph.declared_types
    return cut


def _mappings_of(graph: GraphDefinition, name: str) -> list[InputMapping]:
    return [m for m in graph.input_mappings if m.graph_input_name == name]


def _is_kept(nodes: dict[str, Node], mapping: InputMapping) -> bool:
    node = nodes.get(mapping.mapped_node_name)
    return node is not None and mapping.mapped_node_input_name in node.input_dict


def _shift(graph: GraphDefinition, nodes: dict[str, Node], mapping: InputMapping) -> InputMapping:
    """A mapping into a fan-in, moved up by the members before it that are gone."""
    if mapping.fan_in_index is None:
        return mapping
    dependency = graph.dependencies[mapping.mapped_node_name][mapping.mapped_node_input_name]
    before = dependency.dependencies[: mapping.fan_in_index]  # type: ignore[union-attr]
    gone = sum(isinstance(edge, DependencyDefinition) and edge.node not in nodes for edge in before)
    return msgspec.structs.replace(mapping, fan_in_index=mapping.fan_in_index - gone)


def _cut_edges(graph: GraphDefinition, nodes: dict[str, Node], name: str) -> dict[str, Dependency]:
    kept: dict[str, Dependency] = {}
    for input_name, dependency in graph.dependencies[name].items():
        if input_name not in nodes[name].input_dict:
            continue  # the part of the inner graph that took it is not selected
        if isinstance(dependency, DependencyDefinition):
            if dependency.node in nodes:
                kept[input_name] = dependency
        elif isinstance(dependency, DynamicCollectDependencyDefinition):
            if dependency.node_name in nodes:
                kept[input_name] = dependency
        else:
            edges = [e for e in dependency.dependencies if not isinstance(e, DependencyDefinition) or e.node in nodes]
            if edges:
                kept[input_name] = MultiDependencyDefinition(edges)
    return kept
