"""Who feeds whom in one graph: its edges, asked for from either end.

graph.py makes a DependencyStructure when a user asks for one; the engine itself never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from treadle.definitions.compose import (
    Dependency,
    DependencyDefinition,
    DynamicCollectDependencyDefinition,
    MappedInputPlaceholder,
    MultiDependencyDefinition,
    Node,
)
from treadle.definitions.ports import InputDefinition, OutputDefinition
from treadle.errors import CheckError
from treadle.names import nearest


class NodeInput(msgspec.Struct, frozen=True, gc=False):
    """One input of a node of a graph."""

    node_name: str
    input_name: str


class NodeOutput(msgspec.Struct, frozen=True, gc=False):
    """One output of a node of a graph."""

    node_name: str
    output_name: str

    def describe(self) -> str:
        """For messages: `load:result`."""
        return f"{self.node_name}:{self.output_name}"


class DependencyStructure:
    """The edges of one graph. Methods that are asked for a node or an edge that is not there raise CheckError."""

    def __init__(self, nodes: Mapping[str, Node], dependencies: Mapping[str, Mapping[str, Dependency]]) -> None:
        self._nodes = nodes
        self._edges = {
            NodeInput(name, input_name): edge
            for name, edges in dependencies.items()
            for input_name, edge in edges.items()
        }

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            raise CheckError(
                f'The graph has no node named "{name}".{nearest(name, self._nodes)} Nodes: {list(self._nodes)}.'
            )
        return self._nodes[name]

    # -- from an input upwards

    def inputs(self) -> list[NodeInput]:
        """Every input that something is connected to."""
        return list(self._edges)

    def has_deps(self, node_input: NodeInput) -> bool:
        """True where something is connected to the input."""
        return node_input in self._edges

    def get_dependency_definition(self, node_input: NodeInput) -> Dependency | None:
        """What is connected to the input, as the graph says it."""
        return self._edges.get(node_input)

    def get_deps_list(self, node_input: NodeInput) -> list[NodeOutput]:
        """The outputs that are connected to the input, however they are."""
        edge = self._edges.get(node_input)
        if edge is None:
            raise CheckError(f'Nothing is connected to input "{node_input.input_name}" of "{node_input.node_name}".')
        return [_end(each) for each in edge.get_node_dependencies()]

    def has_direct_dep(self, node_input: NodeInput) -> bool:
        """True where one output is connected to the input."""
        return isinstance(self._edges.get(node_input), DependencyDefinition)

    def get_direct_dep(self, node_input: NodeInput) -> NodeOutput:
        """The one output that is connected to the input."""
        return self._only(node_input, DependencyDefinition, "one output")[0]

    def has_fan_in_deps(self, node_input: NodeInput) -> bool:
        """True where a list of outputs is connected to the input."""
        return isinstance(self._edges.get(node_input), MultiDependencyDefinition)

    def get_fan_in_deps(self, node_input: NodeInput) -> list[NodeOutput | type[MappedInputPlaceholder]]:
        """The outputs that are connected to the input as a list, with the places of the graph's own inputs among them."""
        self._only(node_input, MultiDependencyDefinition, "a list of outputs")
        edge: Any = self._edges[node_input]
        return [_end(each) if isinstance(each, DependencyDefinition) else each for each in edge.dependencies]

    def has_dynamic_fan_in_dep(self, node_input: NodeInput) -> bool:
        """True where a collected output is connected to the input."""
        return isinstance(self._edges.get(node_input), DynamicCollectDependencyDefinition)

    def get_dynamic_fan_in_dep(self, node_input: NodeInput) -> NodeOutput:
        """The output that is collected for the input."""
        return self._only(node_input, DynamicCollectDependencyDefinition, "a collected output")[0]

    def _only(self, node_input: NodeInput, kind: type, what: str) -> list[NodeOutput]:
        found = self.get_deps_list(node_input)
        if not isinstance(self._edges[node_input], kind):
            raise CheckError(f'Not {what} is connected to input "{node_input.input_name}" of "{node_input.node_name}".')
        return found

    # -- by node

    def input_to_upstream_outputs_for_node(self, node_name: str) -> dict[NodeInput, list[NodeOutput]]:
        """By connected input of a node: the outputs that it takes."""
        self._node(node_name)
        return {end: self.get_deps_list(end) for end in self._edges if end.node_name == node_name}

    def output_to_downstream_inputs_for_node(self, node_name: str) -> dict[NodeOutput, list[NodeInput]]:
        """By output of a node that is taken: the inputs that take it."""
        self._node(node_name)
        found: dict[NodeOutput, list[NodeInput]] = {}
        for end in self._edges:
            for origin in self.get_deps_list(end):
                if origin.node_name == node_name:
                    found.setdefault(origin, []).append(end)
        return found

    def all_upstream_outputs_from_node(self, node_name: str) -> list[NodeOutput]:
        """Every output that a node takes."""
        return [origin for found in self.input_to_upstream_outputs_for_node(node_name).values() for origin in found]

    def input_def(self, node_input: NodeInput) -> InputDefinition:
        """The definition of an input."""
        found: InputDefinition = self._node(node_input.node_name).input_dict[node_input.input_name]
        return found

    def output_def(self, node_output: NodeOutput) -> OutputDefinition:
        """The definition of an output."""
        found: OutputDefinition = self._node(node_output.node_name).output_dict[node_output.output_name]
        return found


def _end(edge: DependencyDefinition) -> NodeOutput:
    return NodeOutput(edge.node, edge.output)
