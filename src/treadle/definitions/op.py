"""OpDefinition and @op: a typed, configured Python function.

Everything about the function is read and checked once, when the op is defined; a bad definition is refused here with
the op's name. How the function is called belongs to invoke.py, where it stands to graph.py.
"""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

from treadle import introspect, names
from treadle.checks import check_optional, keys_of
from treadle.definitions.compose import Composable, P, R_co
from treadle.definitions.configured import ConfigContract, NamedConfigurable
from treadle.definitions.demands import Asked, read_demands
from treadle.definitions.ports import DynamicOut, In, InputDefinition, Out, OutputDefinition, check_default
from treadle.definitions.resources import is_resource_annotation
from treadle.definitions.tags import read_op_tags
from treadle.docstrings import read_descriptions
from treadle.errors import (
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidDefinitionError,
    DagsterInvalidPythonicConfigDefinitionError,
    DagsterInvariantViolationError,
    ParameterCheckError,
)
from treadle.introspect import MISSING, Signature
from treadle.outcomes import Demands, DynamicOutput, Output, RetryPolicy

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from treadle.contexts import OpExecutionContext
    from treadle.definitions.call_types import (
        Branches,
        Fan,
        OpDecorator,
        OpDecoratorWithIns,
        OpDecoratorWithOuts,
        OpOptions,
        OpWithContext,
        Q,
        R,
        S,
        T,
        Twofold,
    )  # fmt: skip

CONTEXT_NAMES = frozenset(("context", "_", "_context", "context_"))
_STREAMS = (
    collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator,
    collections.abc.AsyncIterator, collections.abc.AsyncIterable, collections.abc.AsyncGenerator,
)  # fmt: skip


class OpDefinition(NamedConfigurable, Composable[P, R_co]):
    """An op. Make one with `@op`; called in the body of a `@graph` or `@job` it becomes a node there."""

    is_graph = False
    kind_name = kind = "op"

    def __init__(
        self,
        compute_fn: Callable[..., Any],
        name: str,
        ins: Mapping[str, In] | None = None,
        outs: Mapping[str, Out] | None = None,
        description: str | None = None,
        config_schema: Any = None,
        required_resource_keys: Any = None,
        tags: Mapping[str, Any] | None = None,
        version: str | None = None,
        retry_policy: RetryPolicy | None = None,
        code_version: str | None = None,
        pool: str | None = None,
        *,
        signature: Signature | None = None,
        input_defs: Sequence[InputDefinition] | None = None,
        output_defs: Sequence[OutputDefinition] | None = None,
        resume: str = "retry",
        demands: Demands | None = None,
    ) -> None:
        self.name = names.check_name(name, "an op")
        check_optional(description, str, "description", f'op "{name}"')
        check_optional(version, str, "version", f'op "{name}"')
        self.compute_fn = compute_fn
        self.description = description
        self.version = code_version if code_version is not None else version
        check_optional(retry_policy, RetryPolicy, "retry_policy", f'op "{name}"', "Write RetryPolicy(max_retries=...).")
        self.retry_policy = retry_policy
        #: whether an attempt whose process died may be followed by another when the run is resumed
        self.is_repeatable = _check_resume(resume, self.name) == "retry"
        self.demands = demands
        self._tags = read_op_tags(tags, f'op "{name}"') if tags else {}
        self.pool = names.check_pool(pool, self._tags.get("dagster/concurrency_key"), f'op "{name}"')
        #: None for a bare compute function of `(context, inputs)`, as the constructor takes it
        self.signature = signature
        self.call = _CallShape(signature, self.name)
        if input_defs is None:
            input_defs = _read_inputs(self.name, self.call, signature, ins or {})
        if output_defs is None:
            output_defs = _read_outputs(self.name, signature, outs, self.version)
        self.input_dict: dict[str, InputDefinition] = {port.name: port for port in input_defs}
        self.output_dict: dict[str, OutputDefinition] = _unique(output_defs, self.name)
        self.wrapped_outputs = _wrapped_outputs(signature, self.output_dict)
        #: True where the return annotation names a plain type, so that what is returned is the value itself
        self.returns_bare = signature is not None and len(self.output_dict) == 1 and _is_bare(signature.returns)
        self.output_levels = {name: int(port.is_dynamic) for name, port in self.output_dict.items()}
        self.positional_inputs = _positional_inputs(self.call, self.input_dict) if signature else tuple(self.input_dict)
        self._contract = _read_contract(self.name, config_schema, self.call)
        self.required_resource_keys = _read_resource_keys(required_resource_keys, self.name, self.call)

    @property
    def input_defs(self) -> list[InputDefinition]:
        """The inputs, those that carry nothing first."""
        return list(self.input_dict.values())

    @property
    def output_defs(self) -> list[OutputDefinition]:
        """The outputs, as declared."""
        return list(self.output_dict.values())

    @property
    def ins(self) -> Mapping[str, In]:
        """The inputs as `In` objects."""
        return {
            n: In(p.dagster_type, p.description, p.default_value, p.metadata, input_manager_key=p.input_manager_key)
            for n, p in self.input_dict.items()
        }

    @property
    def outs(self) -> Mapping[str, Out]:
        """The outputs as `Out` objects."""
        return {
            n: (DynamicOut if p.is_dynamic else Out)(
                p.dagster_type, p.description, p.is_required, p.io_manager_key, p.metadata, p.code_version
            )
            for n, p in self.output_dict.items()
        }

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the definition."""
        return dict(self._tags)

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

    def call_directly(self, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
        """Call the op as the function that it is, with its inputs and output checked: for tests."""
        # Only tests need it, so that a program that runs jobs is spared the import.
        from treadle.definitions import direct

        return direct.call_op(self, args, kwargs, name)

    def __repr__(self) -> str:
        return f"<OpDefinition {self.name}>"


_NOTHING: Mapping[str, Any] = {}
_NO_KEYS: frozenset[str] = frozenset()


class _CallShape:
    """How the function wants to be called: which parameters are the context, the config, resources, inputs."""

    __slots__ = ("config_class", "context_name", "has_config_param", "input_names", "resource_params", "takes_any")

    def __init__(self, signature: Signature | None, op_name: str) -> None:
        self.context_name: str | None = None
        self.config_class: Any = None
        self.has_config_param = False
        # Shared or immutable while empty: an op of a large job should add little for the garbage collector to walk.
        self.resource_params: Mapping[str, Any] = _NOTHING
        self.input_names: tuple[str, ...] = ()
        self.takes_any = signature is None or signature.has_varkeywords
        if signature is None:
            return
        if signature.has_varargs:
            raise DagsterInvalidDefinitionError(
                f"@op '{op_name}' decorated function has positional vararg parameter '*{signature.varargs}'. @op decorated "
                f"functions should only have keyword arguments that match input names and, if system information is "
                f"required, a first positional parameter named 'context'. Declare the inputs one by one, or take "
                f"**kwargs and declare `ins`."
            )
        for index, parameter in enumerate(signature.parameters):
            if index == 0 and parameter.name in CONTEXT_NAMES:
                self.context_name = parameter.name
            elif parameter.name == "context":
                raise DagsterInvalidDefinitionError(
                    f'@op "{op_name}": the parameter "context" gets the context of the step only where it stands first, and is '
                    f"not a valid name for an input. Put it first, or call it otherwise."
                )
            elif parameter.name == "config":
                if parameter.annotation is MISSING:
                    raise DagsterInvalidPythonicConfigDefinitionError(
                        f'@op "{op_name}": the parameter "config" needs an annotation that says what the config is, such as a '
                        f"Config class. To read a config_schema take the context, and ask for context.op_config."
                    )
                self.has_config_param = True
                self.config_class = parameter.annotation
            elif is_resource_annotation(parameter.annotation):
                self.resource_params = {**self.resource_params, parameter.name: parameter.annotation}
            else:
                self.input_names += (parameter.name,)


def _read_inputs(
    op_name: str, call: _CallShape, signature: Signature | None, ins: Mapping[str, In]
) -> list[InputDefinition]:
    described = f'op "{op_name}"'
    inputs: list[InputDefinition] = []
    if not isinstance(ins, collections.abc.Mapping):
        raise DagsterInvalidDefinitionError(f"{described}: ins is a dict such as {{'rows': In(int)}}, got {ins!r}.")
    for name, port in ins.items():
        if not isinstance(port, In):
            raise DagsterInvalidDefinitionError(
                f'{described}, input "{name}": expected In(...), got {port!r}.{_wrapped("In", port)}'
            )
        if name in call.input_names:
            continue
        made: InputDefinition = _described(described, port.to_definition, name)
        if not made.is_nothing and not call.takes_any:
            if name == "context":
                raise DagsterInvalidDefinitionError(
                    f'{described}: "context" is not a valid name for an input: a first parameter of this name gets the '
                    f"context of the step."
                )
            raise DagsterInvalidDefinitionError(
                f"{described}: the decorated function does not have argument(s) '{name}', which ins declares."
                f"{names.nearest(name, call.input_names)} Parameters: {', '.join(call.input_names) or 'none'}. Only "
                f"a Nothing input stands in ins alone."
            )
        inputs.append(made)
    if signature is None:
        return inputs
    told = read_descriptions(signature.docstring).parameters
    for name in call.input_names:
        parameter = signature.parameter(name)
        assert parameter is not None
        port = ins.get(name) or _PLAIN_IN
        made = _described(described, port.to_definition, name, parameter.annotation, parameter.default, told.get(name))
        if made.is_nothing or (port.dagster_type is MISSING and parameter.annotation in (None, type(None))):
            raise _nothing_as_parameter(described, name, is_annotated=port.dagster_type is MISSING)
        if made.default_value is not MISSING:
            check_default(made, described)
        inputs.append(made)
    return inputs


def _wrapped(port_class: str, given: Any) -> str:
    return f" Write {port_class}({given.__name__})." if isinstance(given, type) else ""


def _nothing_as_parameter(described: str, name: str, *, is_annotated: bool) -> DagsterInvalidDefinitionError:
    advice = f"Remove the parameter and declare it in ins={{{name!r}: In(Nothing)}} only."
    if is_annotated:
        return DagsterInvalidDefinitionError(
            f'{described}: the input "{name}" is annotated with Nothing. Nothing type inputs must be used via In() and no '
            f"parameter should be included in the @op decorated function. {advice}"
        )
    return DagsterInvalidDefinitionError(
        f'{described}: the input "{name}" is of type Nothing but is a parameter of the function, which should not be '
        f"included since no data will be passed for it. {advice}"
    )


_PLAIN_IN = In()


def _described(described: str, make: Callable[..., Any], *args: Any) -> Any:
    """What `make` gives; its error says whose port it is."""
    try:
        return make(*args)
    except (DagsterInvalidDefinitionError, DagsterInvariantViolationError) as error:
        raise type(error)(f"{described}: {error}") from error.__cause__


def _positional_inputs(call: _CallShape, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The function's parameters, and after them the one input that carries nothing, where there is just one."""
    others = tuple(name for name in inputs if name not in call.input_names)
    return (*call.input_names, *others) if len(others) == 1 else call.input_names


def _read_outputs(
    op_name: str, signature: Signature | None, outs: Mapping[str, Out] | Out | None, code_version: str | None
) -> list[OutputDefinition]:
    returns = signature.returns if signature is not None else MISSING
    described = f'op "{op_name}"'
    told = None  # a docstring tells of one output
    if signature is not None and (not isinstance(outs, collections.abc.Mapping) or len(outs) == 1):
        told = read_descriptions(signature.docstring).returns
    if outs is None or isinstance(outs, Out):
        port, annotation = _described(described, _single_output, outs, returns)
        return [_described(described, port.to_definition, names.DEFAULT_OUTPUT, annotation, told, code_version)]
    if not isinstance(outs, collections.abc.Mapping):
        raise DagsterInvalidDefinitionError(
            f"{described}: out is an Out(...) or a dict of them by name, got {outs!r}.{_wrapped('Out', outs)}"
        )
    annotations = _spread_annotation(described, list(outs), returns)
    made = []
    for name, port in outs.items():
        if not isinstance(port, Out):
            raise DagsterInvalidDefinitionError(
                f'{described}, output "{name}": expected Out(...), got {port!r}.{_wrapped("Out", port)}'
            )
        annotation = _single_output(port, annotations.get(name, MISSING))[1]
        made.append(_described(described, port.to_definition, name, annotation, told, code_version))
    return made


def _single_output(out: Out | None, returns: Any) -> tuple[Out, Any]:
    """The Out of a single output, and the annotation of its value."""
    if returns is MISSING:
        return out or _PLAIN_OUT, MISSING
    if returns is None:
        return out or _PLAIN_OUT, type(None)
    origin = typing.get_origin(returns)
    arguments = typing.get_args(returns)
    if origin in (list, collections.abc.Sequence) and arguments and _is_of(arguments[0], DynamicOutput):
        return out or DynamicOut(), _argument(arguments[0])
    if _is_of(returns, DynamicOutput):
        raise DagsterInvariantViolationError(
            "Op annotated with return type DynamicOutput. DynamicOutputs can only be returned in the context of a List. If "
            "only one output is needed, use the Output API."
        )
    if _is_of(returns, Output):
        return out or _PLAIN_OUT, _argument(returns)
    if origin in _STREAMS or returns in _STREAMS:
        return out or _PLAIN_OUT, MISSING
    return out or _PLAIN_OUT, returns


_PLAIN_OUT = Out()


def _is_of(annotation: Any, outcome_class: type) -> bool:
    return annotation is outcome_class or typing.get_origin(annotation) is outcome_class


def _argument(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    if not arguments or isinstance(arguments[0], typing.TypeVar):
        return MISSING
    return type(None) if arguments[0] is None else arguments[0]


def _spread_annotation(described: str, output_names: list[str], returns: Any) -> dict[str, Any]:
    """A tuple annotation over several outputs, member by member."""
    if returns is MISSING or not output_names or typing.get_origin(returns) in _STREAMS or returns in _STREAMS:
        return {}
    if len(output_names) == 1:
        return {output_names[0]: returns}
    if returns is tuple:
        return {}
    members = typing.get_args(returns)
    if typing.get_origin(returns) is not tuple:
        if returns is None or returns is typing.Any:
            return {}
        raise DagsterInvariantViolationError(
            f"{described}: Expected Tuple annotation for multiple outputs, but received non-tuple annotation. The outputs "
            f"are {', '.join(output_names)}, the annotation is {returns!r}. Annotate with Tuple[...] of one type an output, "
            f"or leave the annotation out."
        )
    if len(members) != len(output_names):
        raise DagsterInvariantViolationError(
            f"{described}: Expected Tuple annotation to have number of entries matching the number of outputs for more than "
            f"one output. Expected {len(output_names)} outputs but annotation has {len(members)}. The outputs are "
            f"{', '.join(output_names)}, the annotation is {returns!r}."
        )
    return dict(zip(output_names, members, strict=True))


def _wrapped_outputs(signature: Signature | None, outputs: Mapping[str, Any]) -> frozenset[str]:
    """The outputs that are annotated as `Output[...]`: what is returned for them must be one."""
    returns = signature.returns if signature is not None else MISSING
    if returns is MISSING or returns is None or type(returns) is type:
        return frozenset(outputs) if returns is Output and len(outputs) == 1 else _NO_KEYS
    if len(outputs) == 1:
        return frozenset(outputs) if _is_of(returns, Output) else _NO_KEYS
    if typing.get_origin(returns) is not tuple:
        return _NO_KEYS
    pairs = zip(outputs, typing.get_args(returns), strict=False)
    return frozenset(name for name, each in pairs if _is_of(each, Output))


def _is_bare(returns: Any) -> bool:
    """Whether a return annotation is a plain class; what says nothing, or something of its own, may be an Output too."""
    return (
        isinstance(returns, type)
        and returns is not Any  # a class, from Python 3.11 on
        and returns is not object
        and typing.get_origin(returns) is None
        and not issubclass(returns, (Output, DynamicOutput))
    )


def _unique(ports: Sequence[OutputDefinition], op_name: str) -> dict[str, OutputDefinition]:
    made = {port.name: port for port in ports}
    if len(made) != len(ports):
        raise DagsterInvalidDefinitionError(
            f'Op "{op_name}": two outputs have the same name; got {[port.name for port in ports]}.'
        )
    return made


#: of every op that declares no config
_NO_CONFIG = ConfigContract()


def _read_contract(op_name: str, config_schema: Any, call: _CallShape) -> ConfigContract:
    if call.has_config_param:
        if config_schema is not None:
            raise DagsterInvalidDefinitionError(
                f'Op "{op_name}": config is declared twice, as a parameter `config` of the function and as '
                f"config_schema. Keep one of them."
            )
        config_schema = call.config_class
    if config_schema is None:
        return _NO_CONFIG
    try:
        return ConfigContract(config_schema)
    except DagsterInvalidConfigDefinitionError as error:
        reason = f'{error.reason or "It is no config type."} This is the config schema of op "{op_name}".'
        raise DagsterInvalidConfigDefinitionError(
            error.original_root, error.current_value, error.stack, reason
        ) from error


def _read_resource_keys(keys: Any, op_name: str, call: _CallShape) -> frozenset[str]:
    if keys is None:
        return frozenset(call.resource_params) if call.resource_params else _NO_KEYS
    return keys_of(keys, "required_resource_keys", f'op "{op_name}"') | frozenset(call.resource_params)


def _check_resume(resume: object, op_name: str) -> object:
    if resume not in ("retry", "fail"):
        raise ParameterCheckError(
            f'Op "{op_name}": Param "resume" is "retry" or "fail". Got {resume!r}. With "fail" an attempt that was under way '
            f"when its process died is not tried again when the run is resumed: the step has failed."
        )
    return resume


# Without parentheses, then with: OpDecorator says the same of the function. See call_types.pyi for the why of each.
@overload
def op(compute_fn: Callable[Concatenate[S, ...], Twofold | Fan[Any]]) -> OpDefinition: ...
@overload
def op(compute_fn: Callable[Concatenate[S, ...], R]) -> OpDefinition[..., R]: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, S, ...], Twofold | Fan[Any]]) -> OpDefinition: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, S, ...], R]) -> OpDefinition[..., R]: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, Any, S, ...], Twofold | Fan[Any]]) -> OpDefinition: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, Any, S, ...], R]) -> OpDefinition[..., R]: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, Any, Any, S, ...], Twofold | Fan[Any]]) -> OpDefinition: ...
@overload
def op(compute_fn: Callable[Concatenate[Any, Any, Any, S, ...], R]) -> OpDefinition[..., R]: ...
@overload
def op(compute_fn: Callable[Concatenate[OpExecutionContext, Q], Twofold]) -> OpWithContext[Q, Any]: ...
@overload
def op(compute_fn: Callable[Concatenate[OpExecutionContext, Q], Fan[T]]) -> OpWithContext[Q, Branches[T]]: ...
@overload
def op(compute_fn: Callable[Concatenate[OpExecutionContext, Q], R]) -> OpWithContext[Q, R]: ...
@overload
def op(compute_fn: Callable[Q, Twofold]) -> OpDefinition[Q, Any]: ...
@overload
def op(compute_fn: Callable[Q, Fan[T]]) -> OpDefinition[Q, Branches[T]]: ...
@overload
def op(compute_fn: Callable[Q, R]) -> OpDefinition[Q, R]: ...
@overload
def op(*, out: Out | None = ..., **options: Unpack[OpOptions]) -> OpDecorator: ...
@overload
def op(*, ins: Mapping[str, In], out: Out | None = ..., **options: Unpack[OpOptions]) -> OpDecoratorWithIns: ...
@overload
def op(*, out: Mapping[str, Out], **options: Unpack[OpOptions]) -> OpDecoratorWithOuts: ...
@overload
def op(
    *,
    ins: Mapping[str, In] | None = ...,
    out: Out | Mapping[str, Out] | None = ...,
    input_defs: Sequence[InputDefinition] | None = ...,
    output_defs: Sequence[OutputDefinition] | None = ...,
    **options: Unpack[OpOptions],
) -> Callable[[Callable[..., Any]], OpDefinition]: ...
def op(
    compute_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, In] | None = None,
    out: Out | Mapping[str, Out] | None = None,
    config_schema: Any = None,
    required_resource_keys: set[str] | frozenset[str] | None = None,
    tags: Mapping[str, Any] | None = None,
    version: str | None = None,
    retry_policy: RetryPolicy | None = None,
    code_version: str | None = None,
    pool: str | None = None,
    input_defs: Sequence[InputDefinition] | None = None,
    output_defs: Sequence[OutputDefinition] | None = None,
    resume: Literal["retry", "fail"] = "retry",
    timeout: float | str | None = None,
    memory_limit: int | str | None = None,
    slots: Mapping[str, int] | None = None,
    isolation: Literal["inline", "thread", "async", "process", "fresh_process"] | None = None,
    cooperative: bool = False,
) -> Any:
    """Make an op of a function.

    Every parameter is an input, its annotation the type, its default the default value; except a first parameter
    named `context`, a parameter `config` annotated with a Config class, and parameters annotated as resources. The
    return annotation is the type of the output `result`.

    `ins` and `out` say more about inputs and outputs; `out` may be a dict of several. `config_schema` is what the op's
    `config` in the run config must look like. `retry_policy` says how often and when a failed attempt is tried again.
    `resume="fail"` is for an op that must not be begun twice: where its process dies in the middle, the step has failed
    when the run is resumed; otherwise it is then tried again.

    `timeout` (seconds, or "90 min") and `memory_limit` (bytes, or "2 GB") bound an attempt in a process of its own: beyond
    them the process is ended, and the attempt has failed. `cooperative=True` promises that the op looks every so often whether
    it is to stop (`context.check_cancelled()`): its limits then hold in the run's own process, as the timeout of any
    `async def` does. `slots={"gpu": 2}`: so many of the slots that the executor's config gives the run, and the settings give all runs of
    the home, are taken while the step runs. `pool`: one of those that all runs share. `isolation` says where the op runs,
    whatever the job's executor is.

    Raises DagsterInvalidDefinitionError for a name, input, output or type that cannot be.
    """

    def make(fn: Callable[..., Any]) -> OpDefinition:
        signature = introspect.read_signature(fn)
        if (ins is not None and input_defs is not None) or (out is not None and output_defs is not None):
            raise DagsterInvalidDefinitionError(
                f'Op "{name or signature.name}": give either ins and out, or the older input_defs and output_defs.'
            )
        declared = {d.name: _in_of(d) for d in input_defs} if input_defs is not None else ins
        made = OpDefinition(
            fn,
            name if name is not None else signature.name,
            declared,
            {names.DEFAULT_OUTPUT: out} if isinstance(out, Out) else out,
            description if description is not None else signature.docstring,
            config_schema,
            required_resource_keys,
            tags,
            version,
            retry_policy,
            code_version,
            pool,
            signature=signature,
            output_defs=output_defs,
            resume=resume,
            demands=read_demands(
                fn, name or signature.name, Asked(timeout, memory_limit, slots, isolation, cooperative)
            ),
        )
        return _dress(made, fn)

    if compute_fn is not None:
        if not callable(compute_fn):
            raise DagsterInvalidDefinitionError(
                f"@op decorates a function; got {compute_fn!r}. Arguments go by keyword: @op(name=...)."
            )
        return make(compute_fn)
    return make


def _dress(made: Any, fn: Callable[..., Any]) -> OpDefinition:
    """Let an op look like the function that it was made of."""
    made.__name__ = getattr(fn, "__name__", made.name)
    made.__doc__ = made.description
    made.__module__ = fn.__module__
    made.__wrapped__ = fn
    dressed: OpDefinition = made
    return dressed


def _in_of(port: InputDefinition) -> In:
    given = port.dagster_type if port._given_type else MISSING
    return In(given, port.description, port.default_value, port.metadata, input_manager_key=port.input_manager_key)
