"""A graph being written: calling an op records a node and its edges.

While the body of a `@graph` or `@job` runs, a Composition stands on a stack and every call of an op or graph lands here.
It knows names and edges; what the nodes mean is the business of graph.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, overload

import msgspec

from treadle import names
from treadle.checks import check_optional
from treadle.definitions.ports import InputMapping
from treadle.definitions.tags import read_op_tags, read_tags
from treadle.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    ParameterCheckError,
)
from treadle.outcomes import RetryPolicy

# Of what is called: the inputs, and what a call gives to a type checker, which is the annotated value both in a test and
# in a graph (call_types.pyi). Only a checker needs the defaults, which make a bare `OpDefinition` mean any op.
if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar, Unpack

    from treadle.definitions.call_types import RunKeywords
    from treadle.definitions.job import JobDefinition
    from treadle.results import ExecuteInProcessResult

    P = ParamSpec("P", default=...)
    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)

# -- edges -----------------------------------------------------------------------------------------------


class DependencyDefinition(msgspec.Struct, frozen=True, gc=False):
    """An input comes from one output of one node."""

    node: str
    output: str = names.DEFAULT_OUTPUT
    description: str | None = None

    def get_node_dependencies(self) -> list[DependencyDefinition]:
        """This edge as a list."""
        return [self]


class MappedInputPlaceholder:
    """In a fan-in: the place that an input of the graph fills. There is one such object, `MappedInputPlaceholder`."""


class MultiDependencyDefinition(msgspec.Struct, frozen=True):
    """An input is a list of several outputs (a fan-in)."""

    dependencies: Sequence[DependencyDefinition | type[MappedInputPlaceholder]]

    def get_node_dependencies(self) -> list[DependencyDefinition]:
        """The edges, without the places that graph inputs fill."""
        return [dep for dep in self.dependencies if isinstance(dep, DependencyDefinition)]


class DynamicCollectDependencyDefinition(msgspec.Struct, frozen=True, gc=False):
    """An input is the list of what every branch below a dynamic output gave."""

    node_name: str
    output_name: str = names.DEFAULT_OUTPUT

    def get_node_dependencies(self) -> list[DependencyDefinition]:
        """The edge to one of the branches, as a list."""
        return [DependencyDefinition(self.node_name, self.output_name)]


Dependency = DependencyDefinition | MultiDependencyDefinition | DynamicCollectDependencyDefinition


class NodeInvocation(msgspec.Struct, frozen=True):
    """Key of an explicit `dependencies` dict: a definition placed under an alias, with tags, hooks or a retry policy."""

    name: str
    alias: str | None = None
    tags: Mapping[str, str] = {}
    hook_defs: Any = frozenset()
    retry_policy: Any = None

    def __hash__(self) -> int:
        return hash((self.name, self.alias))


class Node(msgspec.Struct, frozen=True):
    """An op or graph placed in a graph under a name."""

    name: str
    definition: Any
    tags: Mapping[str, str] = {}
    hook_defs: Any = frozenset()
    retry_policy: Any = None

    @property
    def is_graph(self) -> bool:
        """True where a graph was placed."""
        return bool(self.definition.is_graph)

    @property
    def input_dict(self) -> Mapping[str, Any]:
        """The inputs of what was placed."""
        return self.definition.input_dict  # type: ignore[no-any-return]

    @property
    def output_dict(self) -> Mapping[str, Any]:
        """The outputs of what was placed."""
        return self.definition.output_dict  # type: ignore[no-any-return]

    def describe_node(self) -> str:
        """For messages: `op "load"`."""
        return f'{"graph" if self.is_graph else "op"} "{self.name}"'


# -- handles that a graph body passes around -----------------------------------------------------------------


class GraphInput:
    """Inside a graph's body: one of the graph's own inputs."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> NoReturn:
        raise DagsterInvariantViolationError(
            f'Graph input "{self.name}" has no value while the graph is being written, so it cannot be iterated. '
            f"Do that in an op; or let an op give it as a dynamic output (DynamicOut), and map that."
        )


class OutputHandle:
    """Inside a graph's body: one output of one node, to be passed to other nodes.

    `open_levels` counts the fan-outs between here and the output's values: such a handle must be mapped or collected
    before an op can take it. A collected handle stands for the list of all branches.
    """

    __slots__ = ("is_collected", "node_name", "open_levels", "output_name")

    def __init__(self, node_name: str, output_name: str, open_levels: int = 0, is_collected: bool = False) -> None:
        self.node_name = node_name
        self.output_name = output_name
        self.open_levels = open_levels
        self.is_collected = is_collected

    def _where(self) -> str:
        return f'output "{self.output_name}" of node "{self.node_name}"'

    def __iter__(self) -> Iterator[Any]:
        raise DagsterInvariantViolationError(
            f"Attempted to iterate over an InvokedNodeOutputHandle. The {self._where()} has no value while the graph is being written. To work on "
            f"each of several values, make it a dynamic output (DynamicOut) and use .map()."
        )

    def __getitem__(self, index: Any) -> NoReturn:
        raise DagsterInvariantViolationError(
            f"Attempted to index in to an InvokedNodeOutputHandle. The {self._where()} has no value while the graph is being written. Take it "
            f"apart inside an op, or give the op several outputs."
        )

    def __bool__(self) -> bool:
        raise DagsterInvariantViolationError(
            f"{self._where()} was used as a condition, but it has no value while the graph is being written. To choose "
            f"what runs, let the op yield one of several optional outputs (Out(is_required=False))."
        )

    def alias(self, _name: str) -> NoReturn:
        """Refused: modifiers come before the call."""
        self._refuse_modifier("alias")

    def with_hooks(self, _hooks: Any) -> NoReturn:
        """Refused: modifiers come before the call."""
        self._refuse_modifier("with_hooks")

    def _refuse_modifier(self, method: str) -> NoReturn:
        raise DagsterInvariantViolationError(
            f"Here somebody attempted to call {method} method for InvokedNodeOutputHandle. On {self._where()} it comes too late: call it on the op before the op is invoked: "
            f"{self.node_name}.{method}(...)(...). Consider checking the location of parentheses."
        )

    def map(self, fn: Callable[[Any], Any]) -> Any:
        """Do what `fn` composes once for each value of a dynamic output; gives what `fn` returns, still to be collected."""
        self._check_open("map")
        if not callable(fn):
            raise DagsterInvariantViolationError(
                f"map on {self._where()} takes an op, a graph or a function of one argument, got {fn!r}."
            )
        result = fn(OutputHandle(self.node_name, self.output_name, self.open_levels - 1, self.is_collected))
        return _reopen(result, self)

    def collect(self) -> OutputHandle:
        """The list of the values of every branch, in the order in which the branches were yielded."""
        self._check_open("collect")
        if self.is_collected:
            raise DagsterInvariantViolationError(
                f"{self._where()} has been collected already; map it, or pass it to an op."
            )
        return OutputHandle(self.node_name, self.output_name, self.open_levels - 1, True)

    def _check_open(self, method: str) -> None:
        if self.open_levels == 0:
            if self.is_collected:
                raise DagsterInvariantViolationError(
                    f"{method} on {self._where()}, which has been collected already: it is a list now. Pass it to an op."
                )
            raise DagsterInvariantViolationError(
                f"{method} is for dynamic outputs; {self._where()} is not one. Declare it with DynamicOut to fan out."
            )


def _reopen(result: Any, origin: OutputHandle) -> Any:
    if result is None:
        return None
    if isinstance(result, OutputHandle):
        return OutputHandle(result.node_name, result.output_name, result.open_levels + 1, result.is_collected)
    if isinstance(result, OutputTuple):
        return OutputTuple(result._names, [_reopen(part, origin) for part in result])
    if isinstance(result, tuple):
        return tuple(_reopen(part, origin) for part in result)
    raise DagsterInvalidDefinitionError(
        f"The function given to map on {origin._where()} must return what the ops that it calls returned, or None; got "
        f"{result!r} (a {type(result).__name__})."
    )


class OutputTuple(tuple[Any, ...]):
    """The outputs of one invocation: unpack it, or take an output by its name."""

    _names: tuple[str, ...]

    def __new__(cls, output_names: Sequence[str], handles: Sequence[Any]) -> OutputTuple:
        made = super().__new__(cls, handles)
        made._names = tuple(output_names)
        return made

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._names:
            raise AttributeError(
                f'No output named "{name}".{names.nearest(name, self._names)} Outputs: {list(self._names)}.'
            )
        return self[self._names.index(name)]

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._names, self, strict=True))


# -- recording ---------------------------------------------------------------------------------------------------


_stack: list[Composition] = []


def current() -> Composition | None:
    """The graph that is being written now, if any."""
    return _stack[-1] if _stack else None


class Composition:
    """What one graph's body has recorded so far."""

    def __init__(self, what: str) -> None:
        #: for messages: `@graph report`
        self.what = what
        self.nodes: dict[str, Node] = {}
        self.dependencies: dict[str, dict[str, Dependency]] = {}
        self.input_mappings: list[InputMapping] = []
        self._definitions: dict[str, Any] = {}
        self._explicit: set[str] = set()
        self._copies: dict[str, int] = {}
        #: with an alias, tags or hooks, and not called so far
        self._waiting: dict[int, Invocation] = {}

    def __enter__(self) -> Composition:
        _stack.append(self)
        return self

    def __exit__(self, error_type: object, *_error: object) -> None:
        _stack.pop()
        if self._waiting and error_type is None:
            self._warn_of_waiting()

    def expect(self, call: Invocation, instead_of: Invocation) -> None:
        """Remember a modified op that has to be called before the body ends."""
        self._waiting.pop(id(instead_of), None)
        self._waiting[id(call)] = call

    def _warn_of_waiting(self) -> None:
        for name in dict.fromkeys(call.name for call in self._waiting.values()):
            warnings.warn(
                f'{self.what} received an uninvoked op or graph: "{name}" was given an alias, tags, hooks or a retry policy, '
                f"but was never called, so it is not part of the graph. Call it: {name}(...).",
                UserWarning,
                stacklevel=4,
            )

    def invoke(self, call: Invocation, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Record a node, its edges from the arguments; give handles to its outputs."""
        definition = call.definition
        self._waiting.pop(id(call), None)
        name = self._name_node(call)
        self.nodes[name] = Node(name, definition, call.tags, call.hooks, call.retry_policy)
        edges: dict[str, Dependency] = {}
        self.dependencies[name] = edges
        for input_name, value in self._bind(name, definition, args, kwargs):
            dependency = self._edge(name, input_name, value)
            if dependency is not None:
                edges[input_name] = dependency
        levels: Mapping[str, int] = definition.output_levels
        if len(levels) == 1:
            for output_name, open_levels in levels.items():
                return OutputHandle(name, output_name, open_levels)
        if not levels:
            return None
        return OutputTuple(tuple(levels), [OutputHandle(name, output, count) for output, count in levels.items()])

    def _name_node(self, call: Invocation) -> str:
        definition = call.definition
        known = self._definitions.setdefault(definition.name, definition)
        if known is not definition:
            raise DagsterInvalidDefinitionError(
                f"In {self.what}: Detected conflicting node definitions with the same name: two different definitions named "
                f'"{definition.name}" are invoked. Give one of them another name (name=... in its decorator).'
            )
        if call.given_alias is None:
            count = self._copies.get(definition.name, 0) + 1
            name = definition.name if count == 1 else f"{definition.name}_{count}"
            while name in self.nodes:
                count += 1
                name = f"{definition.name}_{count}"
            self._copies[definition.name] = count
            return str(name)
        name = call.given_alias
        if name in self.nodes:
            raise DagsterInvalidDefinitionError(
                f"In {self.what}: invoked the same node ({name}) twice without aliasing it to another name. Give each "
                f'invocation an alias of its own: {definition.name}.alias("...")(...).'
            )
        return name

    def _bind(
        self, name: str, definition: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        inputs = definition.input_dict
        if args:
            positions = definition.positional_inputs
            if len(args) > len(positions):
                raise DagsterInvalidDefinitionError(
                    f'In {self.what}, {definition.kind_name} "{name}" received too many inputs: {len(args)} by position, '
                    f"but it takes {len(positions)}{': ' if positions else ''}{', '.join(positions)}. Use keyword args instead. All its inputs: "
                    f"{list(inputs)}."
                )
            for input_name, value in zip(positions, args, strict=False):
                if input_name in kwargs:
                    raise DagsterInvalidInvocationError(
                        f"In {self.what}, {definition.kind_name} {name} got multiple values for argument '{input_name}': "
                        f"one by position and one by name."
                    )
                yield input_name, value
        for input_name, value in kwargs.items():
            if input_name not in inputs:
                raise DagsterInvalidDefinitionError(
                    f'In {self.what}, {definition.kind_name} "{name}" does not have input "{input_name}".'
                    f"{names.nearest(input_name, inputs)} Available inputs: {list(inputs)}."
                )
            yield input_name, value

    def _edge(self, node_name: str, input_name: str, value: Any) -> Dependency | None:
        where = f'In {self.what}, input "{input_name}" of "{node_name}"'
        if type(value) is OutputHandle:
            return self._from_output(where, value)
        if isinstance(value, GraphInput):
            self.input_mappings.append(InputMapping(value.name, node_name, input_name))
            return None
        if isinstance(value, list):
            return self._fan_in(where, node_name, input_name, value)
        raise DagsterInvalidDefinitionError(f"{where}: {_explain_argument(value)}")

    def _from_output(self, where: str, handle: OutputHandle) -> Dependency:
        if handle.open_levels:
            raise DagsterInvalidDefinitionError(
                f"{where} got the dynamic {handle._where()}, which must be unpacked by invoking map or collect: "
                f".map(op) runs the op once for each value, .collect() gives the list of them."
            )
        if handle.node_name not in self.nodes:
            raise DagsterInvalidDefinitionError(
                f"{where} got {handle._where()}, which belongs to another graph. Pass it in as an input of this graph."
            )
        if handle.is_collected:
            return DynamicCollectDependencyDefinition(handle.node_name, handle.output_name)
        return DependencyDefinition(handle.node_name, handle.output_name)

    def _fan_in(self, where: str, node_name: str, input_name: str, values: list[Any]) -> Dependency:
        edges: list[Any] = []
        seen: set[tuple[str, str]] = set()
        for index, value in enumerate(values):
            if isinstance(value, GraphInput):
                self.input_mappings.append(InputMapping(value.name, node_name, input_name, index))
                edges.append(MappedInputPlaceholder)
                continue
            if type(value) is not OutputHandle:
                raise DagsterInvalidDefinitionError(
                    f"{where}, at index {index} of the list: {_explain_argument(value)} Lists can only contain the output "
                    f"from previous op invocations or input mappings."
                )
            edge = self._from_output(f"{where}, at index {index} of the list,", value)
            if not isinstance(edge, DependencyDefinition):
                raise DagsterInvalidDefinitionError(
                    f"{where}, at index {index} of the list: a collected output is a list itself and cannot be an "
                    f"element of another. Give it an input of its own."
                )
            if (edge.node, edge.output) in seen:
                raise DagsterInvalidDefinitionError(
                    f"{where}: Duplicate dependencies: {value._where()} stands in the list twice."
                )
            seen.add((edge.node, edge.output))
            edges.append(edge)
        return MultiDependencyDefinition(edges)


def _explain_argument(value: Any) -> str:
    got = f"got {value!r} (a {type(value).__name__})"
    if isinstance(value, OutputTuple) or (isinstance(value, tuple) and value and isinstance(value[0], OutputHandle)):
        return (
            f"received a tuple of multiple outputs ({', '.join(getattr(value, '_names', ()))}). Must pass individual output: choose "
            f"one by its name, or pass them as a list [a, b] to fan in."
        )
    if isinstance(value, Invocation) or getattr(value, "is_node_definition", False):
        return f"{got}, which was not invoked. Did you forget parentheses? Call it: {value.name}(...)."
    if isinstance(value, dict):
        return f"received invalid type {type(value)}: {got}. A dict cannot be passed between nodes; pass each output to an input of its own."
    return (
        f"{got}. Must pass the output from previous node invocations or inputs to the composition function as inputs when "
        f"invoking nodes during composition. A constant goes into config or a default value."
    )


class Invocation(Generic[P, R_co]):
    """An op or graph about to be placed: with an alias, tags, hooks, a retry policy. Each method gives a new one."""

    __slots__ = ("definition", "given_alias", "hooks", "retry_policy", "tags")

    def __init__(
        self,
        definition: Composable[P, R_co],
        given_alias: str | None = None,
        tags: Mapping[str, str] | None = None,
        hooks: frozenset[Any] = frozenset(),
        retry_policy: Any = None,
    ) -> None:
        self.definition: Any = definition
        self.given_alias = given_alias
        self.tags: Mapping[str, str] = tags or {}
        self.hooks = hooks
        self.retry_policy = retry_policy

    @property
    def name(self) -> str:
        """The alias, or the definition's name."""
        return self.given_alias or str(self.definition.name)

    def _with(self, **changes: Any) -> Invocation[P, R_co]:
        made: Invocation[P, R_co] = Invocation(
            self.definition, self.given_alias, self.tags, self.hooks, self.retry_policy
        )
        for field, value in changes.items():
            setattr(made, field, value)
        composition = current()
        if composition is not None:
            composition.expect(made, self)
        return made

    def alias(self, name: str | None) -> Invocation[P, R_co]:
        """Place it under another name; None leaves it the name that it has."""
        if name is None:
            return self._with()
        return self._with(given_alias=names.check_name(name, f'an alias of "{self.definition.name}"'))

    def tag(self, tags: Mapping[str, Any] | None) -> Invocation[P, R_co]:
        """Add tags to those of the definition."""
        read = read_tags if self.definition.is_graph else read_op_tags
        return self._with(tags={**self.tags, **read(tags, f'"{self.name}"')})

    def with_hooks(self, hook_defs: Any) -> Invocation[P, R_co]:
        """Add hooks; on a graph they reach every op inside."""
        return self._with(hooks=self.hooks | read_hooks(hook_defs, f'"{self.name}"'))

    def with_retry_policy(self, retry_policy: Any) -> Invocation[P, R_co]:
        """Retry by this policy; on a graph it holds for the ops inside that have none of their own."""
        check_optional(retry_policy, RetryPolicy, "retry_policy", f'with_retry_policy of "{self.name}"')
        return self._with(retry_policy=retry_policy)

    def to_job(self, **options: Any) -> JobDefinition:
        """A job of the graph under its alias and with what was added to it; see GraphDefinition.to_job."""
        graph = self.definition
        if not graph.is_graph:
            raise DagsterInvariantViolationError(f'"{self.name}" is an op; only graphs can be made a job.')
        given = {
            "name": self.given_alias,
            "tags": self.tags or None,
            "hooks": self.hooks or None,
            "op_retry_policy": self.retry_policy,
        }
        given = {key: value for key, value in given.items() if value is not None}
        return graph.to_job(**{**given, **options})  # type: ignore[no-any-return]

    def execute_in_process(self, run_config: Any = None, **options: Unpack[RunKeywords]) -> ExecuteInProcessResult:
        """Run the graph in this process, as a job under its alias; see JobDefinition.execute_in_process."""
        return self.to_job().execute_in_process(run_config, **options)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self) -> R_co: ...  # type: ignore[overload-cannot-match]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is not None:
            return composition.invoke(self, args, kwargs)
        return self.definition.call_directly(args, kwargs, self.name)


class Composable(Generic[P, R_co]):
    """What ops and graphs have in common: they can be placed in a graph by calling them in its body."""

    is_node_definition = True
    name: str

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self) -> R_co: ...  # type: ignore[overload-cannot-match]
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is not None:
            return composition.invoke(Invocation(self), args, kwargs)
        return self.call_directly(args, kwargs, self.name)

    def call_directly(self, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
        """Called outside any graph body, under this name."""
        raise NotImplementedError

    def alias(self, name: str | None) -> Invocation[P, R_co]:
        """Place it under another name: `load.alias("load_planes")(...)`."""
        return Invocation(self).alias(name)

    def tag(self, tags: Mapping[str, Any] | None) -> Invocation[P, R_co]:
        """Place it with more tags."""
        return Invocation(self).tag(tags)

    def with_hooks(self, hook_defs: Any) -> Invocation[P, R_co]:
        """Place it with hooks."""
        return Invocation(self).with_hooks(hook_defs)

    def with_retry_policy(self, retry_policy: Any) -> Invocation[P, R_co]:
        """Place it with a retry policy."""
        return Invocation(self).with_retry_policy(retry_policy)


def read_hooks(hook_defs: Any, what: str) -> frozenset[Any]:
    """A set of hooks; ParameterCheckError for anything else."""
    if not isinstance(hook_defs, (set, frozenset, list, tuple)):
        raise ParameterCheckError(
            f'Hooks of {what}: Param "hook_defs" is not a set. Got {hook_defs!r}. Write {{...}} around it.'
        )
    for hook in hook_defs:
        if not getattr(hook, "is_hook_definition", False):
            raise ParameterCheckError(
                f"Hooks of {what}: expected hooks (see @success_hook, @failure_hook), got {hook!r}."
            )
    return frozenset(hook_defs)
