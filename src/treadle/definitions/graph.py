"""GraphDefinition and @graph: ops and graphs wired together.

A graph is checked whole when it is made: every edge ends at something that exists and nothing runs in a circle.
What it needs beyond its nodes (resources, an executor) belongs to job.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, overload

from treadle import introspect, names, types
from treadle.checks import check_optional
from treadle.definitions.compose import (
    Composable,
    Composition,
    Dependency,
    GraphInput,
    Node,
    NodeInvocation,
    OutputHandle,
    OutputTuple,
    P,
    R_co,
)
from treadle.definitions.config_mapping import ConfigMapping, read_graph_config
from treadle.definitions.configured import ConfigContract, NamedConfigurable
from treadle.definitions.edges import check_edges, read_inputs, read_outputs, sort_nodes
from treadle.definitions.ports import (
    GraphIn,
    GraphOut,
    InputDefinition,
    InputMapping,
    OutputDefinition,
    OutputMapping,
    check_default,
)
from treadle.definitions.structure import DependencyStructure
from treadle.definitions.tags import read_op_tags, read_tags
from treadle.definitions.type_wiring import check_wiring
from treadle.errors import DagsterInvalidDefinitionError, DagsterInvariantViolationError
from treadle.introspect import MISSING
from treadle.type_kinds import DagsterType

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from treadle.definitions.call_types import (
        GraphDecorator,
        GraphDecoratorWithOuts,
        GraphKeywords,
        JobKeywords,
        Q,
        R,
        RunKeywords,
        Several,
    )
    from treadle.definitions.job import JobDefinition
    from treadle.results import ExecuteInProcessResult


class GraphDefinition(NamedConfigurable, Composable[P, R_co]):
    """Ops and graphs wired together; reusable and nestable. Make one with `@graph`, or from explicit dependencies.

    `dependencies` maps a node's name (or a NodeInvocation) to {input name: DependencyDefinition |
    MultiDependencyDefinition | DynamicCollectDependencyDefinition}.
    """

    is_graph = True
    kind_name = kind = "graph"
    #: of a graph that was cut down by a selection: the graph before that
    whole: GraphDefinition | None = None

    def __init__(
        self,
        name: str,
        *,
        description: str | None = None,
        node_defs: Sequence[Any] | None = None,
        dependencies: Mapping[Any, Mapping[str, Dependency]] | None = None,
        input_mappings: Sequence[InputMapping] | None = None,
        output_mappings: Sequence[OutputMapping] | None = None,
        config: Any = None,
        tags: Mapping[str, Any] | None = None,
        node_input_source_assets: Any = None,
        input_defs: Sequence[InputDefinition] | None = None,
        nodes: Mapping[str, Node] | None = None,
    ) -> None:
        self.name = names.check_name(name, "a graph")
        self.description = description
        self._tags = read_tags(tags, f'graph "{name}"') if tags else {}
        #: from the graph's own config to that of its nodes; None where run config speaks of the nodes themselves
        self.config_mapping: ConfigMapping | None = read_graph_config(config, f'graph "{name}"')
        schema = self.config_mapping.config_schema if self.config_mapping is not None else None
        self._contract = ConfigContract(schema)
        is_written_out = nodes is None
        if nodes is None:
            what = f'graph "{name}"'
            check_optional(node_defs, (list, tuple), "node_defs", what)
            check_optional(dependencies, Mapping, "dependencies", what)
            nodes, dependencies = _place_nodes(name, node_defs or (), dependencies or {})
        self.node_dict: dict[str, Node] = dict(nodes)
        #: True where this graph or one inside it has a config mapping
        self.maps_config: bool = config is not None or any(
            node.definition.is_graph and node.definition.maps_config for node in nodes.values()
        )
        self.dependencies: dict[str, Mapping[str, Dependency]] = {
            node_name: (dependencies or {}).get(node_name, {}) for node_name in self.node_dict
        }
        self.input_mappings = list(input_mappings or ())
        self.output_mappings = list(output_mappings or ())
        check_edges(self)
        #: of each input that says itself which type it is, rather than taking that of where it goes
        self.declared_types: Mapping[str, DagsterType] = {}
        self.input_dict = read_inputs(self, input_defs)
        self.positional_inputs = tuple(self.input_dict)
        self.output_levels: dict[str, int] = {}
        self.output_dict = read_outputs(self)
        self._order = sort_nodes(self)
        #: the graph made flat, once a job has asked for it; wiring.py makes and keeps it here
        self.wiring: Any = None
        if is_written_out:
            check_wiring(self)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the definition."""
        return dict(self._tags)

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order in which they were placed."""
        return list(self.node_dict.values())

    @property
    def node_defs(self) -> list[Any]:
        """The definitions of the nodes, each once."""
        return list({id(n.definition): n.definition for n in self.node_dict.values()}.values())

    @property
    def nodes_in_topological_order(self) -> list[Node]:
        """The nodes so that each comes after those it needs; ties by name."""
        return [self.node_dict[name] for name in self._order]

    @property
    def dependency_structure(self) -> DependencyStructure:
        """The edges, to be asked for from either end."""
        return DependencyStructure(self.node_dict, self.dependencies)

    @property
    def input_defs(self) -> list[InputDefinition]:
        """The inputs."""
        return list(self.input_dict.values())

    @property
    def output_defs(self) -> list[OutputDefinition]:
        """The outputs."""
        return list(self.output_dict.values())

    @property
    def has_config_mapping(self) -> bool:
        """True where the graph's own config is mapped to that of its nodes."""
        return self.config_mapping is not None

    def configured(
        self,
        config_or_config_fn: Any,
        name: str,
        config_schema: Any = None,
        description: str | None = None,
    ) -> GraphDefinition[P, R_co]:
        """A copy under another name whose own config, the one that its config mapping takes, is filled in.

        DagsterInvalidDefinitionError for a graph without a config mapping.
        """
        if self.config_mapping is None or self.config_mapping.is_fixed:
            raise DagsterInvalidDefinitionError(
                f'Only graphs utilizing config mapping can be pre-configured. The graph "{self.name}" does not have a '
                f"config mapping, and thus has nothing to be configured. Give it one: @graph(config=ConfigMapping(...))."
            )
        return super().configured(config_or_config_fn, name, config_schema, description)

    def node_names(self) -> list[str]:
        """Names of the nodes."""
        return list(self.node_dict)

    def node_named(self, name: str) -> Node:
        """One node; DagsterInvalidDefinitionError with the nearest name where there is none."""
        if name not in self.node_dict:
            raise DagsterInvalidDefinitionError(
                f'Graph "{self.name}" has no node named "{name}".{names.nearest(name, self.node_dict)} '
                f"Nodes: {list(self.node_dict)}."
            )
        return self.node_dict[name]

    def has_node_named(self, name: str) -> bool:
        """True where there is a node of this name."""
        return name in self.node_dict

    def node_def_named(self, name: str) -> Any:
        """What was placed under this name."""
        return self.node_named(name).definition

    def input_def_named(self, name: str) -> InputDefinition:
        """One input, by its name."""
        return self.input_dict[name]

    def output_def_named(self, name: str) -> OutputDefinition:
        """One output, by its name."""
        return self.output_dict[name]

    def has_input(self, name: str) -> bool:
        """True where there is an input of this name."""
        return name in self.input_dict

    def has_output(self, name: str) -> bool:
        """True where there is an output of this name."""
        return name in self.output_dict

    def get_output_mapping(self, name: str) -> OutputMapping:
        """Where an output comes from."""
        return next(mapping for mapping in self.output_mappings if mapping.graph_output_name == name)

    def get_input_mapping(self, name: str) -> InputMapping:
        """Where an input goes (the first place, where there are several)."""
        return next(mapping for mapping in self.input_mappings if mapping.graph_input_name == name)

    def iterate_op_defs(self) -> Iterator[Any]:
        """Every op definition in the graph and the graphs inside it."""
        for definition in self.node_defs:
            if definition.is_graph:
                yield from definition.iterate_op_defs()
            else:
                yield definition

    def iterate_node_handles(self, parent: names.NodeHandle | None = None) -> Iterator[names.NodeHandle]:
        """The handle of every node in the graph and the graphs inside it."""
        for node in self.node_dict.values():
            handle = names.NodeHandle(node.name, parent)
            yield handle
            if node.is_graph:
                yield from node.definition.iterate_node_handles(handle)

    def call_directly(self, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> NoReturn:
        """Refused: a graph runs only as a job, or inside another graph."""
        raise DagsterInvariantViolationError(
            f"Attempted to call graph '{name}' outside of a composition function. Invoking graphs is only valid in a "
            f"function decorated with @job or @graph. To run it, call {self.name}.execute_in_process()."
        )

    def to_job(self, name: str | None = None, **options: Unpack[JobKeywords]) -> JobDefinition:
        """Bind the graph to resources, config and an executor. Takes what `@job` takes."""
        from treadle.definitions.job import JobDefinition  # deferred: a job is above a graph, the API makes it a method

        return JobDefinition(graph_def=self, name=name, **options)

    def execute_in_process(
        self,
        run_config: Any = None,
        *,
        config: Any = None,
        resources: Mapping[str, Any] | None = None,
        **options: Unpack[RunKeywords],
    ) -> ExecuteInProcessResult:
        """Run the graph as an ephemeral job in this process; see JobDefinition.execute_in_process.

        `resources` are the job's resource definitions, `config` is an older name of `run_config`.
        """
        job = self.to_job(resource_defs=resources)
        return job.execute_in_process(config if config is not None else run_config, **options)

    def __repr__(self) -> str:
        return f"<GraphDefinition {self.name}>"


# -- explicit dependencies -----------------------------------------------------------------------------------


def _place_nodes(
    graph_name: str, node_defs: Sequence[Any], dependencies: Mapping[Any, Mapping[str, Dependency]]
) -> tuple[dict[str, Node], dict[str, Mapping[str, Dependency]]]:
    definitions: dict[str, Any] = {}
    for definition in node_defs:
        if not getattr(definition, "is_node_definition", False):
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph_name}": node_defs takes ops and graphs. You have passed a lambda or function '
                f"{getattr(definition, '__name__', repr(definition))}; was the @op decorator forgotten?"
            )
        if definitions.setdefault(definition.name, definition) is not definition:
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph_name}": two different definitions are named "{definition.name}".'
            )
    nodes: dict[str, Node] = {}
    edges: dict[str, Mapping[str, Dependency]] = {}
    for key, inputs in dependencies.items():
        invocation = key if isinstance(key, NodeInvocation) else NodeInvocation(key)
        if invocation.name not in definitions:
            raise DagsterInvalidDefinitionError(
                f'Graph "{graph_name}": Invalid dependencies: node "{invocation.name}" not found in node list.'
                f"{names.nearest(invocation.name, definitions)} Node definitions: {sorted(definitions)}."
            )
        alias = invocation.alias or invocation.name
        definition = definitions[invocation.name]
        read = read_tags if definition.is_graph else read_op_tags
        nodes[alias] = Node(
            alias,
            definition,
            read(invocation.tags, f'graph "{graph_name}", node "{alias}"'),
            frozenset(invocation.hook_defs),
            invocation.retry_policy,
        )
        edges[alias] = inputs
    placed = {node.definition.name for node in nodes.values()}
    for definition in definitions.values():
        if definition.name not in placed:
            nodes.setdefault(definition.name, Node(definition.name, definition))
    return nodes, edges


# -- writing a graph as a function ---------------------------------------------------------------------------------


class GraphOptions(NamedTuple):
    """What a decorator says about the graph that it makes."""

    name: str | None = None
    description: str | None = None
    ins: Mapping[str, GraphIn] | None = None
    out: GraphOut | Mapping[str, GraphOut] | None = None
    tags: Mapping[str, Any] | None = None
    config: Any = None
    input_defs: Sequence[InputDefinition] | None = None
    output_defs: Sequence[OutputDefinition] | None = None


def compose_graph(fn: Callable[..., Any], options: GraphOptions, kind: str = "@graph") -> GraphDefinition:
    """Run a graph's body once and keep what it wired."""
    signature = introspect.read_signature(fn)
    graph_name = options.name if options.name is not None else signature.name
    what = f"{kind} {graph_name}"
    names.check_name(graph_name, f"a {kind[1:]}")
    declared = _declared_inputs(what, signature, options)
    with Composition(what) as composition:
        result = fn(**{p.name: GraphInput(p.name) for p in signature.parameters})
    out = options.out
    if options.output_defs is not None:
        out = {d.name: GraphOut(d.description) for d in options.output_defs}
    if kind == "@job" and isinstance(result, tuple):
        result = None  # users' jobs end with `return first(), second()`, which says nothing
    made = GraphDefinition(
        graph_name,
        description=options.description if options.description is not None else signature.docstring,
        nodes=composition.nodes,
        dependencies=composition.dependencies,
        input_mappings=_in_order(composition.input_mappings, signature),
        output_mappings=_map_outputs(what, result, out),
        config=options.config,
        tags=options.tags,
        input_defs=declared,
    )
    check_wiring(made)
    made.__name__ = made.name  # type: ignore[attr-defined]
    made.__doc__ = made.description
    made.__module__ = fn.__module__
    made.__wrapped__ = fn  # type: ignore[attr-defined]
    return made


def _in_order(mappings: list[InputMapping], signature: introspect.Signature) -> list[InputMapping]:
    """The mappings in the order of the graph's inputs, those of one input in the order of the calls."""
    places = {parameter.name: place for place, parameter in enumerate(signature.parameters)}
    return sorted(mappings, key=lambda mapping: places[mapping.graph_input_name])


def _declared_inputs(what: str, signature: introspect.Signature, options: GraphOptions) -> list[InputDefinition]:
    if signature.has_varargs or signature.has_varkeywords:
        raise DagsterInvalidDefinitionError(
            f"{what}: the decorated function has positional vararg parameter *args, or **kwargs; each input needs a parameter."
        )
    ins = options.ins or {}
    for given in ins:
        if signature.parameter(given) is None:
            raise DagsterInvalidDefinitionError(
                f"{what}: the decorated function does not have argument(s) '{given}', which ins declares."
                f"{names.nearest(given, [p.name for p in signature.parameters])}"
            )
    older = {d.name: d for d in options.input_defs or ()}
    return [older.get(p.name) or _declared_input(what, p, ins.get(p.name)) for p in signature.parameters]


def _declared_input(what: str, parameter: introspect.Parameter, port: GraphIn | None) -> InputDefinition:
    description = port.description if port is not None else None
    made = InputDefinition(parameter.name, _annotated_type(parameter.annotation), description, parameter.default)
    check_default(made, what)
    return made


def _annotated_type(annotation: Any) -> DagsterType | None:
    """The type that a parameter of a graph's function is annotated with, if it is a type that values have.

    The parameter itself gets a handle when the body runs, so an annotation that is no type of values is let be.
    """
    if annotation is MISSING or annotation in (OutputHandle, GraphInput):
        return None
    try:
        return types.resolve_dagster_type(annotation)
    except DagsterInvalidDefinitionError:
        return None


def _map_outputs(what: str, result: Any, out: GraphOut | Mapping[str, GraphOut] | None) -> list[OutputMapping]:
    if result is None:
        if out:
            wanted = [names.DEFAULT_OUTPUT] if isinstance(out, GraphOut) else list(out)
            raise DagsterInvalidDefinitionError(
                f"{what} has unmapped output {wanted[0]!r}: out declares {wanted}, but its body returns nothing."
            )
        return []
    if out is None and isinstance(result, OutputTuple):
        return [_map_output(what, name, handle, None) for name, handle in zip(result._names, result, strict=True)]
    if out is None and isinstance(result, dict):
        return [_map_output(what, name, handle, None) for name, handle in result.items()]
    if out is None or isinstance(out, GraphOut):
        return [_map_output(what, names.DEFAULT_OUTPUT, result, out)]
    if isinstance(result, dict):
        unknown = [name for name in result if name not in out]
        if unknown:
            raise DagsterInvalidDefinitionError(
                f"{what} returns {unknown}, which does not match any defined outputs.{names.nearest(unknown[0], out)} "
                f"Declared: {list(out)}."
            )
        missing = [name for name in out if name not in result]
        if missing:
            raise DagsterInvalidDefinitionError(
                f"{what} declares the outputs {missing}, but its body does not return them."
            )
        return [_map_output(what, name, handle, out[name]) for name, handle in result.items()]
    handles = list(result) if isinstance(result, tuple) else [result]
    if len(handles) != len(out):
        raise DagsterInvalidDefinitionError(
            f"{what}: its body returned {len(handles)}, but {len(out)} outputs are defined ({', '.join(out)}). Return a dict of "
            f"them, or a tuple in their order."
        )
    return [_map_output(what, name, handle, out[name]) for name, handle in zip(out, handles, strict=True)]


def _map_output(what: str, name: str, handle: Any, out: GraphOut | None) -> OutputMapping:
    if not isinstance(handle, OutputHandle) or handle.is_collected:
        raise DagsterInvalidDefinitionError(
            f'{what} returned problematic value: the output "{name}" must be an output of one of its nodes, got {handle!r} (a '
            f"{type(handle).__name__}). A constant, an input of the graph or a collected list goes through an op first."
        )
    return OutputMapping(
        name,
        handle.node_name,
        handle.output_name,
        out.description if out is not None else None,
        None,
        handle.open_levels > 0,
        handle.open_levels,
    )


@overload
def graph(compose_fn: Callable[Q, Several]) -> GraphDefinition[Q, Any]: ...
@overload
def graph(compose_fn: Callable[Q, R]) -> GraphDefinition[Q, R]: ...
@overload
def graph(*, out: GraphOut | None = ..., **options: Unpack[GraphKeywords]) -> GraphDecorator: ...
@overload
def graph(*, out: Mapping[str, GraphOut], **options: Unpack[GraphKeywords]) -> GraphDecoratorWithOuts: ...
@overload
def graph(
    *,
    out: GraphOut | Mapping[str, GraphOut] | None = ...,
    input_defs: Sequence[InputDefinition] | None = ...,
    output_defs: Sequence[OutputDefinition] | None = ...,
    **options: Unpack[GraphKeywords],
) -> Callable[[Callable[..., Any]], GraphDefinition]: ...
def graph(
    compose_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    input_defs: Sequence[InputDefinition] | None = None,
    output_defs: Sequence[OutputDefinition] | None = None,
    ins: Mapping[str, GraphIn] | None = None,
    out: GraphOut | Mapping[str, GraphOut] | None = None,
    tags: Mapping[str, Any] | None = None,
    config: Any = None,
) -> Any:
    """Make a graph of a function whose body calls ops and other graphs.

    The body runs once, when the graph is defined; calls in it record nodes, and passing an output to a call records an
    edge. Parameters are the graph's inputs; what the body returns are its outputs.
    """

    def make(fn: Callable[..., Any]) -> GraphDefinition:
        options = GraphOptions(name, description, ins, out, tags, config, input_defs, output_defs)
        return compose_graph(fn, options)

    return make(compose_fn) if compose_fn is not None else make
