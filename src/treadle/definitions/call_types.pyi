"""What a call of an op or graph is to a type checker: types only, there is no such module at run time.

A call gives the annotated value, in a test and in the body of a graph, so that a graph is checked like the plain
program that it stands for; docs/decisions/0009-calls-give-the-annotated-value.md says why, and what that costs.
op.py, graph.py and compose.py name these types under TYPE_CHECKING, and nothing else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypedDict, TypeVar, overload

from treadle.config.pythonic import Config
from treadle.contexts import OpExecutionContext
from treadle.definitions.compose import P, R_co
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.graph import GraphDefinition
from treadle.definitions.op import OpDefinition
from treadle.definitions.ports import GraphIn
from treadle.instance import DagsterInstance
from treadle.outcomes import (
    AssetMaterialization,
    AssetObservation,
    DynamicOutput,
    ExpectationResult,
    Output,
    RetryPolicy,
)

#: the parameters of a function
Q = ParamSpec("Q")
#: what a function says that it returns
R = TypeVar("R")
#: the values of a dynamic output
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
#: the class of a parameter that is no input: config, or a configurable resource
S = TypeVar("S", bound=Config)

# -- dynamic outputs --------------------------------------------------------------------------------------------------

class Mapped(Generic[T_co]):
    """In a graph: the values of the branches below a dynamic output, to be mapped further or collected."""

    @overload
    def map(self, fn: Callable[[T_co], tuple[Any, ...]]) -> Any: ...
    @overload
    def map(self, fn: Callable[[T_co], U]) -> Mapped[U]: ...
    @overload
    def collect(self: Mapped[Mapped[U]]) -> Mapped[list[U]]: ...  # type: ignore[overload-overlap]
    @overload
    def collect(self: Mapped[U]) -> list[U]: ...

class Branches(Mapped[T_co]):
    """What an op with a dynamic output gives: in a graph to be mapped or collected, in a test a list or an iterator."""

    def __iter__(self) -> Iterator[DynamicOutput[T_co]]: ...
    def __next__(self) -> DynamicOutput[T_co]: ...
    def __getitem__(self, index: int) -> DynamicOutput[T_co]: ...
    def __len__(self) -> int: ...

# -- what functions return --------------------------------------------------------------------------------------------

_Event: TypeAlias = Output[Any] | AssetMaterialization | AssetObservation | ExpectationResult

#: What has one type in a graph and another in a test: an Output is its value there and an object here, a generator
#: its outputs there and an iterator here. Such a call is Any. These are asked for first, since Any matches them too.
Twofold: TypeAlias = Output[Any] | Iterable[_Event] | AsyncIterator[Any] | Awaitable[Any]

#: what the function of an op with a dynamic output returns
Fan: TypeAlias = list[DynamicOutput[T]] | Iterator[DynamicOutput[T]]

#: what the body of a graph with several outputs returns
Several: TypeAlias = tuple[Any, ...] | dict[str, Any]

# -- ops --------------------------------------------------------------------------------------------------------------

class OpWithContext(OpDefinition[P, R_co]):
    """An op whose function takes a context, which only a direct call gives."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, context: OpExecutionContext | None, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Any, context: OpExecutionContext | None, **kwargs: Any) -> R_co: ...
    @overload
    def __call__(self) -> R_co: ...  # type: ignore[overload-cannot-match]

class OpOptions(TypedDict, total=False):
    """What `@op` takes besides `ins` and `out`."""

    name: str | None
    description: str | None
    config_schema: Any
    required_resource_keys: set[str] | frozenset[str] | None
    tags: Mapping[str, Any] | None
    version: str | None
    retry_policy: RetryPolicy | None
    code_version: str | None
    pool: str | None
    resume: Literal["retry", "fail"]
    timeout: float | str | None
    memory_limit: int | str | None
    slots: Mapping[str, int] | None
    isolation: Literal["inline", "thread", "async", "process", "fresh_process"] | None
    cooperative: bool

class OpDecorator(Protocol):
    """`@op(...)` without `ins`: the inputs are parameters of the function.

    With a Config or ConfigurableResource among the first four parameters the arguments are not checked, since those are
    given in a test and not in a graph.
    """

    @overload
    def __call__(self, fn: Callable[Concatenate[S, ...], Twofold | Fan[Any]], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[S, ...], R], /) -> OpDefinition[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, S, ...], Twofold | Fan[Any]], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, S, ...], R], /) -> OpDefinition[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, S, ...], Twofold | Fan[Any]], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, S, ...], R], /) -> OpDefinition[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, Any, S, ...], Twofold | Fan[Any]], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, Any, S, ...], R], /) -> OpDefinition[..., R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[OpExecutionContext, Q], Twofold], /) -> OpWithContext[Q, Any]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[OpExecutionContext, Q], Fan[T]], /
    ) -> OpWithContext[Q, Branches[T]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[OpExecutionContext, Q], R], /) -> OpWithContext[Q, R]: ...
    @overload
    def __call__(self, fn: Callable[Q, Twofold], /) -> OpDefinition[Q, Any]: ...
    @overload
    def __call__(self, fn: Callable[Q, Fan[T]], /) -> OpDefinition[Q, Branches[T]]: ...
    @overload
    def __call__(self, fn: Callable[Q, R], /) -> OpDefinition[Q, R]: ...

class OpDecoratorWithIns(Protocol):
    """`@op(ins={...})`: an input need not be a parameter of the function, so arguments are not checked."""

    @overload
    def __call__(self, fn: Callable[..., Twofold], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[..., Fan[T]], /) -> OpDefinition[..., Branches[T]]: ...
    @overload
    def __call__(self, fn: Callable[..., R], /) -> OpDefinition[..., R]: ...

class OpDecoratorWithOuts(Protocol):
    """`@op(out={...})`: outputs are taken apart by name or position, which no type can say, so a call gives Any."""

    @overload
    def __call__(self, fn: Callable[Concatenate[S, ...], Any], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, S, ...], Any], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, S, ...], Any], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, Any, Any, S, ...], Any], /) -> OpDefinition: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[OpExecutionContext, Q], Any], /) -> OpWithContext[Q, Any]: ...
    @overload
    def __call__(self, fn: Callable[Q, Any], /) -> OpDefinition[Q, Any]: ...

# -- graphs -----------------------------------------------------------------------------------------------------------

class GraphKeywords(TypedDict, total=False):
    """What `@graph` takes besides `out`."""

    name: str | None
    description: str | None
    ins: Mapping[str, GraphIn] | None
    tags: Mapping[str, Any] | None
    config: Any

class JobKeywords(TypedDict, total=False):
    """What `to_job` takes besides the job's name."""

    description: str | None
    resource_defs: Mapping[str, Any] | None
    executor_def: ExecutorDefinition | None
    logger_defs: Mapping[str, Any] | None
    config: Any
    partitions_def: Any
    tags: Mapping[str, Any] | None
    run_tags: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    hooks: Any
    op_retry_policy: RetryPolicy | None
    op_selection: Sequence[str] | None
    asset_layer: Any
    input_values: Mapping[str, Any] | None
    owners: Any
    automation_condition: Any

class RunKeywords(TypedDict, total=False):
    """What `execute_in_process` takes besides run config and resources."""

    instance: DagsterInstance | None
    partition_key: str | None
    raise_on_error: bool
    op_selection: Sequence[str] | None
    run_id: str | None
    input_values: Mapping[str, Any] | None
    tags: Mapping[str, str] | None

class GraphDecorator(Protocol):
    """`@graph(...)` for a graph with one output or none."""

    @overload
    def __call__(self, fn: Callable[Q, Several], /) -> GraphDefinition[Q, Any]: ...
    @overload
    def __call__(self, fn: Callable[Q, R], /) -> GraphDefinition[Q, R]: ...

class GraphDecoratorWithOuts(Protocol):
    """`@graph(out={...})`: a call gives several outputs, which no type can say."""

    def __call__(self, fn: Callable[Q, Any], /) -> GraphDefinition[Q, Any]: ...
