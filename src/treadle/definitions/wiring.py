"""A graph made flat: every op with the ops that its inputs come from.

Graph boundaries and mappings are resolved here, once for a job; the job checks itself against this, the plan is made
of it. Pure: definitions in, plain values out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from treadle.definitions.compose import (
    Dependency,
    DependencyDefinition,
    DynamicCollectDependencyDefinition,
    Node,
)
from treadle.definitions.graph import GraphDefinition
from treadle.errors import DagsterInvalidDefinitionError
from treadle.names import NodeHandle, split_step_key


class Wire(msgspec.Struct, frozen=True, gc=False):
    """One output of one op, by the op's dotted path."""

    path: str
    output: str
    #: the output has many values, each under a mapping key
    is_dynamic: bool = False


class WiredInput(msgspec.Struct, frozen=True, gc=False):
    """Where an input comes from: `output` and `collect` have one wire, `list` any number, `job_input` a name.

    An element of a list may be the name of an input of the job. `config` is an input of a graph inside the job that
    nothing is connected to: it has the graph's path and the input's name.
    """

    kind: str
    wires: tuple[Wire | str, ...] = ()
    #: path and input of each graph that the value comes in by and that says itself of which type it is
    declared: tuple[tuple[str, Any], ...] = ()

    def members(self, handles: list[Any]) -> list[Any]:
        """What a fan-in is put together of, in its order: these handles of outputs, and names of inputs of the job.

        There is no handle for an output that was skipped.
        """
        if self.kind != "list" or all(isinstance(wire, Wire) for wire in self.wires):
            return handles
        known: dict[Wire | str, Any] = {wire: wire for wire in self.wires if isinstance(wire, str)}
        origins = {(wire.path, wire.output): wire for wire in self.wires if isinstance(wire, Wire)}
        for handle in handles:
            known[origins[split_step_key(handle.step_key)[0], handle.output_name]] = handle
        return [known[wire] for wire in self.wires if wire in known]


class WiredOp(msgspec.Struct, frozen=True):
    """One op of a job with all that its place in the job says about it."""

    path: str
    handle: NodeHandle
    node: Node
    definition: Any
    #: None for an input of the op itself that nothing is connected to
    inputs: Mapping[str, WiredInput | None]
    #: the dynamic outputs that multiply this op, outermost first
    scope: tuple[Wire, ...]
    hooks: frozenset[Any]
    #: of the invocation or of the graphs around it, nearest first; the op's own stands between
    retry_policy: Any

    def is_loaded(self, name: str) -> bool:
        """True for an input that no step gives its value, so that the loader of its type may."""
        source = self.inputs[name]
        return source is None or any(isinstance(wire, str) for wire in source.wires)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the definition with those of the invocation over them."""
        own: Mapping[str, str] = self.definition._tags
        return {**own, **self.node.tags} if self.node.tags else own


class Wiring(msgspec.Struct, frozen=True):
    """All ops of a job in an order in which each comes after those it needs, and where the job's outputs come from."""

    ops: Mapping[str, WiredOp]
    outputs: Mapping[str, Wire]
    #: (op, input, output) wherever an input that wants a value is connected to an output of type Nothing
    valueless: tuple[tuple[WiredOp, str, Wire], ...] = ()


class _Surroundings(msgspec.Struct):
    """What a graph gets from where it is placed."""

    prefix: str
    handle: NodeHandle | None
    inputs: Mapping[str, WiredInput | None]
    hooks: frozenset[Any]
    retry_policy: Any
    #: every op and graph of the job by the name of its definition
    definitions: dict[str, Any]


def wire(graph: GraphDefinition) -> Wiring:
    """Flatten a graph, once.

    Raises DagsterInvalidDefinitionError where an op hangs below two unrelated fan-outs, or two definitions have one name.
    """
    if graph.wiring is not None:
        known: Wiring = graph.wiring
        return known
    ops: dict[str, WiredOp] = {}
    given = {name: WiredInput("job_input", (name,), _declared(graph, "", name)) for name in graph.input_dict}
    top = _Surroundings("", None, given, frozenset(), None, {})
    outputs = _wire_graph(graph, top, ops)
    made = Wiring(_sort(ops), outputs, tuple(_find_valueless(ops)))
    graph.wiring = made
    return made


def _find_valueless(ops: Mapping[str, WiredOp]) -> Iterator[tuple[WiredOp, str, Wire]]:
    for op in ops.values():
        for name, source in op.inputs.items():
            if source is None:
                continue
            for origin in source.wires:
                if isinstance(origin, Wire) and ops[origin.path].definition.output_dict[origin.output].is_nothing:
                    port = op.definition.input_dict[name]
                    if not port.is_nothing and port.input_manager_key is None:
                        yield op, name, origin


def _wire_graph(graph: GraphDefinition, around: _Surroundings, ops: dict[str, WiredOp]) -> dict[str, Wire]:
    produced: dict[tuple[str, str], Wire] = {}
    mapped = {
        (m.mapped_node_name, m.mapped_node_input_name, m.fan_in_index): m.graph_input_name for m in graph.input_mappings
    }
    for name in graph._order:
        node = graph.node_dict[name]
        edges = graph.dependencies[name]
        inputs = {
            input_name: _wire_input(name, input_name, edges.get(input_name), mapped, around, produced)
            for input_name in node.definition.input_dict
        }
        path = around.prefix + name
        _check_name(node.definition, path, around.definitions)
        handle = NodeHandle(name, around.handle)
        hooks = around.hooks | node.hook_defs if node.hook_defs or around.hooks else around.hooks
        if node.definition.is_graph:
            given = {name: _enter_graph(node.definition, path, name, source) for name, source in inputs.items()}
            retry_policy = node.retry_policy or around.retry_policy
            inside = _Surroundings(path + ".", handle, given, hooks, retry_policy, around.definitions)
            for output_name, origin in _wire_graph(node.definition, inside, ops).items():
                produced[name, output_name] = origin
            continue
        retry_policy = node.retry_policy or node.definition.retry_policy or around.retry_policy
        scope = _scope(path, inputs, ops, around)
        ops[path] = WiredOp(path, handle, node, node.definition, inputs, scope, hooks, retry_policy)
        for output_name, port in node.definition.output_dict.items():
            produced[name, output_name] = Wire(path, output_name, port.is_dynamic)
    return {m.graph_output_name: produced[m.mapped_node_name, m.mapped_node_output_name] for m in graph.output_mappings}


def _enter_graph(graph: GraphDefinition, path: str, name: str, source: WiredInput | None) -> WiredInput:
    """Where an input of a graph inside the job comes from, as those that take it see it."""
    declared = _declared(graph, path, name)
    if source is None:
        return WiredInput("config", (path, name), declared)
    return WiredInput(source.kind, source.wires, source.declared + declared) if declared else source


def _declared(graph: GraphDefinition, path: str, name: str) -> tuple[tuple[str, Any], ...]:
    # a type that needs resources is checked where an op asks for them
    declared = graph.declared_types.get(name)
    if declared is None or declared.is_nothing or declared.required_resource_keys:
        return ()
    return ((path, graph.input_dict[name]),)


def _check_name(definition: Any, path: str, known: dict[str, Any]) -> None:
    """Refuse a second op or graph of one name, wherever it stands: what an event or message names must be one thing."""
    first = known.setdefault(definition.name, definition)
    if first is not definition and _whole(first) is not _whole(definition):
        raise DagsterInvalidDefinitionError(
            f'Detected conflicting node definitions with the same name "{definition.name}": the node "{path}" is made of '
            f"another {definition.kind_name} than the {first.kind_name} of this name that stands elsewhere in the job. Give one "
            f"of them another name (name=... in its decorator), or use one object in both places."
        )


def _whole(definition: Any) -> Any:
    """A definition before a selection: graphs are cut down each where it is placed, but are one graph still."""
    return (definition.is_graph and definition.whole) or definition


def _wire_input(
    node_name: str,
    input_name: str,
    edge: Dependency | None,
    mapped: Mapping[tuple[str, str, int | None], str],
    around: _Surroundings,
    produced: Mapping[tuple[str, str], Wire],
) -> WiredInput | None:
    if edge is None:
        outer = mapped.get((node_name, input_name, None))
        return around.inputs.get(outer) if outer is not None else None
    if isinstance(edge, DependencyDefinition):
        return WiredInput("output", (produced[edge.node, edge.output],))
    if isinstance(edge, DynamicCollectDependencyDefinition):
        return WiredInput("collect", (produced[edge.node_name, edge.output_name],))
    wires: list[Wire | str] = []
    for index, part in enumerate(edge.dependencies):
        if isinstance(part, DependencyDefinition):
            wires.append(produced[part.node, part.output])
            continue
        outer = mapped[node_name, input_name, index]
        source = around.inputs.get(outer)
        if source is None or source.kind not in ("output", "job_input"):
            raise DagsterInvalidDefinitionError(
                f'Input "{input_name}" of "{around.prefix}{node_name}": the element {index} of its list is the graph '
                f'input "{outer}", which is {"a list itself" if source and source.kind != "config" else "connected to nothing"}. '
                f"Connect one output to it where the graph is placed."
            )
        wires += source.wires
    return WiredInput("list", tuple(wires))


def _scope(
    path: str, inputs: Mapping[str, WiredInput | None], ops: Mapping[str, WiredOp], around: _Surroundings
) -> tuple[Wire, ...]:
    """The dynamic outputs that an op with these inputs is below, outermost first."""
    longest: tuple[Wire, ...] = ()
    for input_name, source in inputs.items():
        if source is None:
            continue
        for origin in source.wires:
            if not isinstance(origin, Wire):
                continue
            scope = ops[origin.path].scope
            if origin.is_dynamic and source.kind == "list":
                raise DagsterInvalidDefinitionError(
                    f'Problematic dependency on dynamic output "{origin.path}:{origin.output}": input "{input_name}" of '
                    f'"{path}" has it as an element of a list. Its values are not known yet, so it cannot be fanned in: '
                    f"take .collect() of it for the list of all of them."
                )
            if origin.is_dynamic:
                scope = (*scope, origin)
            if source.kind == "collect":
                if not scope:
                    raise DagsterInvalidDefinitionError(
                        f'Input "{input_name}" of "{path}" collects output "{origin.output}" of "{origin.path}", which '
                        f"is neither dynamic nor below a dynamic output. Pass the output itself."
                    )
                scope = scope[:-1]
            if not scope or scope == longest[: len(scope)]:
                continue
            if longest != scope[: len(longest)]:
                raise _unrelated(path, longest[-1], scope[-1], ops, around)
            longest = scope
    return longest


def _unrelated(
    path: str, one: Wire, other: Wire, ops: Mapping[str, WiredOp], around: _Surroundings
) -> DagsterInvalidDefinitionError:
    """What to say of an op below two fan-outs; where one stands outside of the op's graph, by which input it comes in."""
    for outer, inner in ((one, other), (other, one)):
        if outer.path.startswith(around.prefix) or not inner.path.startswith(around.prefix):
            continue
        inputs = (name for name, source in around.inputs.items() if source and _is_below(outer, source, ops))
        for name in inputs:
            return DagsterInvalidDefinitionError(
                f'The graph "{around.handle}" cannot be downstream of dynamic output "{outer.path}:{outer.output}" since input '
                f'"{name}" maps to a node that is already downstream of another dynamic output: "{path}" is below '
                f'"{inner.path}:{inner.output}", too. {_ADVICE}'
            )
    return DagsterInvalidDefinitionError(
        f'Op "{path}" cannot be downstream of more than one dynamic output: it is below "{one.path}" (output "{one.output}") '
        f'and "{other.path}" (output "{other.output}"). {_ADVICE}'
    )


def _is_below(fan_out: Wire, source: WiredInput, ops: Mapping[str, WiredOp]) -> bool:
    return any(isinstance(wire, Wire) and (wire == fan_out or fan_out in ops[wire.path].scope) for wire in source.wires)


_ADVICE = (
    "Nothing says which branch of one goes with which of the other. Collect one of them, or put the second fan-out inside the "
    "map of the first and let its op take a value of the branch."
)


def upstream_paths(op: WiredOp) -> Iterator[str]:
    """Paths of the ops that an op's inputs come from; the same path may come twice."""
    for source in op.inputs.values():
        if source is not None:
            for origin in source.wires:
                if isinstance(origin, Wire):
                    yield origin.path


def _sort(ops: Mapping[str, WiredOp]) -> dict[str, WiredOp]:
    """By levels, each level by path: the order in which steps that become ready together are started."""
    depth: dict[str, int] = {}
    for path, op in ops.items():  # graphs were walked in topological order, so what comes before is known
        deepest = -1
        for origin in upstream_paths(op):
            deepest = max(deepest, depth[origin])
        depth[path] = deepest + 1
    return {path: ops[path] for path in sorted(ops, key=lambda path: (depth[path], path))}
