"""Calling an op as the function that it is, in a test.

Arguments are bound to the parameters as Python does it, inputs and outputs are checked, and what the body raises is
raised. The body runs with a context made by hand. Nothing is stored, and no run is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from treadle import introspect
from treadle.checks import show
from treadle.contexts import InitResourceContext, OpExecutionContext
from treadle.definitions import invoke
from treadle.definitions.built import EPHEMERAL, BuiltOpContext, Serving, build_op_context
from treadle.definitions.compose import Node
from treadle.definitions.configured import as_config
from treadle.definitions.opening import Resources, ResourceScope
from treadle.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterTypeCheckDidNotPass,
)
from treadle.introspect import MISSING
from treadle.logs import active_context
from treadle.names import nearest
from treadle.outcomes import AssetMaterialization, AssetObservation, DynamicOutput, ExpectationResult, Output
from treadle.types import TypeCheckContext

_USER_EVENTS = (AssetMaterialization, AssetObservation, ExpectationResult)


def call_op(op_def: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> Any:
    """Call an op, known in messages as `name`: what its function returns, its outputs checked.

    A generator function gives a generator of events, an async one a coroutine or an async generator; inputs are
    checked before these are returned, outputs as they come.

    Raises DagsterInvalidInvocationError for arguments that do not fit, DagsterInvalidConfigError for config,
    DagsterInvalidDefinitionError for a missing resource, DagsterTypeCheckDidNotPass for a value of a wrong type, and
    whatever the function raises.
    """
    if op_def.signature is None:
        raise DagsterInvalidInvocationError(
            f"Attempted to directly invoke an op that was not constructed using the `@op` decorator: '{name}'. Only "
            f"decorated functions can be directly invoked."
        )
    call = _prepare(op_def, name, args, kwargs)
    fn = op_def.compute_fn
    if introspect.is_async(fn):
        return _relay_async(call, call.start) if introspect.is_generator(fn) else _relay_coroutine(call, call.start)
    if introspect.is_generator(fn):
        return _relay(call, call.start)
    return _call_now(call)


# -- the arguments ----------------------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """One call of an op, its arguments bound and checked."""

    context: BuiltOpContext
    serving_as: Serving
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    #: of the resources given as arguments
    scope: ResourceScope | None

    @property
    def op_def(self) -> Any:
        return self.serving_as.node.definition

    @property
    def name(self) -> str:
        return self.serving_as.node.name

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """While the body runs, to its end: the context knows its op, and then what the call opened is closed."""
        try:
            with self.context.serve(self.serving_as):
                yield
        finally:
            self.close()

    def close(self) -> None:
        """Close the resources that were given as arguments."""
        if self.scope is not None:
            self.scope.close()

    def start(self) -> Any:
        """Call the function."""
        with self.active():
            return self.op_def.compute_fn(*self.args, **self.kwargs)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """While user code runs: `OpExecutionContext.get()` finds the context."""
        token = active_context.set(self.context)
        try:
            yield
        finally:
            active_context.reset(token)


def _prepare(op_def: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
    context, args, kwargs = _take_context(op_def, name, args, kwargs)
    bound = _bind(op_def, name, args, kwargs, has_context=context is not None)
    context = context if context is not None else build_op_context()
    shape = op_def.call
    config = _config_of(op_def, context, bound.pop("config", MISSING) if shape.has_config_param else MISSING)
    resolved = op_def.process_config(config, f'op "{name}", given by build_op_context(op_config=...)')
    run_config: dict[str, Any] = {"resources": context.resources_config}
    if config is not None:
        run_config = {"ops": {name: {"config": resolved}}, **run_config}
    scope = _open_given(context, {key: bound.pop(key) for key in shape.resource_params if key in bound})
    try:
        given = scope.opened if scope is not None else {}
        resources = _resources_for(op_def, context, given)
        call_args, call_kwargs = invoke.arguments(op_def, bound, context, resolved, resources)
        serving = Serving(Node(name, op_def), resolved, run_config, given)
        call = _Call(context, serving, call_args, call_kwargs, scope)
        for key, value in bound.items():
            if key in op_def.input_dict:
                _check(call, "input", op_def.input_dict[key], value)
    except BaseException:
        if scope is not None:
            scope.close()
        raise
    return call


def _take_context(
    op_def: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[BuiltOpContext | None, Sequence[Any], Mapping[str, Any]]:
    """The context among the arguments, and the rest of them. One that the function does not ask for is taken too."""
    wanted = op_def.call.context_name
    if wanted is None:
        if args and isinstance(args[0], BuiltOpContext):
            return args[0], args[1:], kwargs
        return None, args, kwargs
    if wanted in kwargs and args:
        raise DagsterInvalidInvocationError(f"op {name} got multiple values for argument '{wanted}', its context.")
    if args:
        given, args = args[0], args[1:]
    elif wanted in kwargs:
        given, kwargs = kwargs[wanted], {key: value for key, value in kwargs.items() if key != wanted}
    else:
        raise _no_context(op_def, wanted, kwargs)
    if given is None:
        return build_op_context(), args, kwargs
    if not isinstance(given, BuiltOpContext):
        hint = " That of a running op belongs to that op alone." if isinstance(given, OpExecutionContext) else ""
        raise DagsterInvalidInvocationError(
            f"Decorated function '{_function_name(op_def)}' has context argument, but no context was provided when "
            f"invoking: its first argument is {show(given)} (a {type(given).__name__}).{hint} Make one with "
            f"build_op_context(), or pass None."
        )
    given.check_free()
    return given, args, kwargs


def _no_context(op_def: Any, wanted: str, kwargs: Mapping[str, Any]) -> DagsterInvalidInvocationError:
    advice = "Make one with build_op_context(), or pass None where the op needs none of it."
    fn = _function_name(op_def)
    if kwargs:
        return DagsterInvalidInvocationError(
            f"Decorated function '{fn}' has context argument '{wanted}', but no value for '{wanted}' was found when "
            f"invoking: no context was provided. Provided kwargs: {sorted(kwargs)}. {advice}"
        )
    return DagsterInvalidInvocationError(
        f"Decorated function '{fn}' has context argument, but no context was provided when invoking. {advice}"
    )


def _function_name(op_def: Any) -> str:
    return str(getattr(op_def.compute_fn, "__name__", op_def.name))


def _bind(op_def: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], has_context: bool) -> dict[str, Any]:
    """The arguments by parameter name, defaults filled in. Without the inputs that carry nothing."""
    shape = op_def.call
    for key in kwargs:
        if key in op_def.input_dict and op_def.input_dict[key].is_nothing:
            raise DagsterInvalidInvocationError(
                f"Attempted to provide value for nothing input '{key}'. Nothing dependencies are ignored when directly "
                f"invoking ops."
            )
    wanted = [key for key, port in op_def.input_dict.items() if not port.is_nothing]
    wanted += [*shape.resource_params, *(["config"] if shape.has_config_param else [])]
    if len(args) + len(kwargs) > len(wanted):
        raise _too_many(op_def, name, wanted, len(args) + len(kwargs))
    positions = [p.name for p in op_def.signature.parameters if not p.is_keyword_only and p.name != shape.context_name]
    if len(args) > len(positions):
        raise DagsterInvalidInvocationError(
            f"op '{name}' has {len(positions)} positional inputs, but {len(args)} positional inputs were provided. Give "
            f"the others by name: {', '.join(key for key in wanted if key not in positions)}."
        )
    bound = dict(zip(positions, args, strict=False))
    for key, value in kwargs.items():
        if key in bound:
            raise DagsterInvalidInvocationError(f"op {name} got multiple values for argument '{key}'.")
        bound[key] = value
    unknown = [key for key in kwargs if key not in wanted]
    _fill_in(op_def, name, bound, unknown, has_context)
    if unknown and not shape.takes_any:
        raise DagsterInvalidInvocationError(
            f"op '{name}' has no parameter '{unknown[0]}'.{nearest(unknown[0], wanted)} It takes: {', '.join(wanted)}."
        )
    return bound


def _fill_in(op_def: Any, name: str, bound: dict[str, Any], unknown: Sequence[str], has_context: bool) -> None:
    for key, port in op_def.input_dict.items():
        if key in bound or port.is_nothing:
            continue
        if port.has_default_value:
            bound[key] = port.default_value
        elif key in op_def.call.input_names:
            more = f" There is no parameter '{unknown[0]}'.{nearest(unknown[0], [key])}" if unknown else ""
            if has_context and op_def.call.context_name is None:
                more += " A context was given, which the function does not take: its first parameter would be named context."
            raise DagsterInvalidInvocationError(
                f"No value provided for required input \"{key}\". This is op '{name}'.{more}"
            )
        # else an input that the function takes as one of its **kwargs: whether it has to be there is its own business


def _too_many(op_def: Any, name: str, wanted: Sequence[str], count: int) -> DagsterInvalidInvocationError:
    reason = ""
    if any(port.is_nothing for port in op_def.input_dict.values()):
        reason = (
            " This may be because you attempted to provide a value for a nothing dependency. Nothing dependencies are "
            "ignored when directly invoking ops."
        )
    elif op_def.call.context_name is None:
        reason = (
            " This may be because an argument was provided for the context parameter, but no context parameter was "
            "defined for the op."
        )
    return DagsterInvalidInvocationError(
        f"Too many input arguments were provided for op '{name}'.{reason} It takes {len(wanted)}"
        f"{': ' + ', '.join(wanted) if wanted else ''}; {count} were given."
    )


def _open_given(context: BuiltOpContext, given: Mapping[str, Any]) -> ResourceScope | None:
    """Open the resources among the arguments."""
    if not given:
        return None
    if context.resource_keys:
        raise DagsterInvalidInvocationError(
            f"Cannot provide resources in both context and kwargs: {', '.join(sorted(context.resource_keys))} in the "
            f"context, {', '.join(sorted(given))} as arguments."
        )
    return ResourceScope(
        given, None, InitResourceContext(instance=context.instance, event_loop=context.event_loop), "build_op_context"
    )


def _config_of(op_def: Any, context: BuiltOpContext, given: Any) -> Any:
    """The raw config for the op, from the context or the argument `config`."""
    if given is MISSING:
        return as_config(context.given_config)
    if context.given_config is not None:
        raise DagsterInvalidInvocationError(
            f"Cannot provide config in both context and kwargs: op '{op_def.name}' got both. Leave one of them out."
        )
    return as_config(given)


def _resources_for(op_def: Any, context: BuiltOpContext, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The resources that the function gets, by key; DagsterInvalidDefinitionError where a required one is missing."""
    shape = op_def.call
    # A function that takes neither context nor resources cannot miss what it requires.
    needed = op_def.required_resource_keys if shape.context_name is not None else frozenset(shape.resource_params)
    found = given
    if needed - found.keys() and context.resource_keys:
        found = context.resources._asdict()
    for key in sorted(needed - found.keys()):
        raise DagsterInvalidDefinitionError(
            f"resource with key '{key}' required by op '{op_def.name}' was not provided.{nearest(key, found)} Give it to "
            f"build_op_context(resources={{{key!r}: ...}}). Given: {', '.join(sorted(found)) or 'none'}."
        )
    return found


# -- the values -------------------------------------------------------------------------------------------------------


def _check(call: _Call, kind: str, port: Any, value: Any) -> None:
    dagster_type = port.dagster_type
    fast = dagster_type.fast_check
    if dagster_type.is_any or (fast is not None and fast(value)):
        return
    needs = dagster_type.required_resource_keys
    resources = call.context.resources if needs else Resources({})
    verdict = dagster_type.type_check(TypeCheckContext(EPHEMERAL, call.context.log, resources), value)
    if not verdict.success:
        raise DagsterTypeCheckDidNotPass(
            f'Type check failed for op "{call.name}" {kind} "{port.name}" - expected type '
            f'"{dagster_type.display_name}". Description: {verdict.description}',
            dict(verdict.metadata),
            dagster_type,
        )


def _take_returned(call: _Call, value: Any) -> None:
    """Check what a function returned."""
    for outcome in invoke.outcomes(call.op_def, value, call.context):
        _take(call, outcome)
    if call.context.requires_typed_event_stream:
        list(_implied(call, '"'))  # complains of what is missing


def _take(call: _Call, outcome: Any) -> Any:
    """Check one thing that a body made, and remember that it did."""
    if isinstance(outcome, _USER_EVENTS):
        return outcome
    what = f"Invocation of op '{call.name}'"
    if not isinstance(outcome, (Output, DynamicOutput)):
        raise DagsterInvariantViolationError(
            f"{what} yielded {show(outcome)} (a {type(outcome).__name__}). When yielding outputs from a op generator, they "
            f"should be wrapped in an `Output` object."
        )
    name = outcome.output_name
    port = call.op_def.output_dict.get(name)
    if port is None:
        raise DagsterInvariantViolationError(
            f"{what} yielded an output '{name}' that does not exist.{nearest(name, call.op_def.output_dict)} Outputs: "
            f"{', '.join(call.op_def.output_dict)}."
        )
    if isinstance(outcome, DynamicOutput) is not port.is_dynamic:
        wanted = "DynamicOutput" if port.is_dynamic else "Output"
        raise DagsterInvariantViolationError(
            f"{what} yielded {show(outcome)} for output '{name}', which is "
            f"{'dynamic' if port.is_dynamic else 'not dynamic'}: yield {wanted} for it."
        )
    made, key, branch = call.context.execution_properties.produced, name, ""
    if isinstance(outcome, DynamicOutput):
        made, key = made.setdefault(name, {}), outcome.mapping_key
        branch = f" with mapping_key '{key}'"
    if key in made:
        raise DagsterInvariantViolationError(f"{what} yielded an output '{name}'{branch} multiple times.")
    made[key] = outcome.value
    _check(call, "output", port, outcome.value)
    return outcome


def _implied(call: _Call, quote: str) -> Iterator[Output[None]]:
    """After a generator has ended: outputs that carry nothing; DagsterInvariantViolationError for others not yielded."""
    context = call.context
    for name, port in call.op_def.output_dict.items():
        if name in context.execution_properties.produced or port.is_dynamic or not port.is_required:
            continue
        if port.is_nothing and not context.requires_typed_event_stream:
            yield Output(None, name)
            continue
        if context.requires_typed_event_stream:
            raise DagsterInvariantViolationError(
                f"op '{call.name}' did not yield or return expected outputs {{{name!r}}}. "
                f"{context.typed_event_stream_error_message or ''}".rstrip()
            )
        raise DagsterInvariantViolationError(
            f"Invocation of op {quote}{call.name}{quote} did not return an output for non-optional output "
            f"{quote}{name}{quote}. Yield it, or declare it with Out(is_required=False)."
        )


def _call_now(call: _Call) -> Any:
    """Call a plain function. What it returns may still have to be run; then that is wrapped as a generator would be."""
    is_later = False
    try:
        with call.context.serve(call.serving_as):
            result = call.start()
            is_later = invoke.is_stream(result)
            if not is_later:
                _take_returned(call, result)
                return result
    finally:
        if not is_later:
            call.close()
    return _relay_any(call, result)


# -- functions that are run later -------------------------------------------------------------------------------------

# Each calls the function only when somebody asks for the first value: until then the context serves nobody.

_Start = Callable[[], Any]


def _relay(call: _Call, start: _Start) -> Iterator[Any]:
    with call.serving():
        stream = start()
        try:
            while True:
                with call.active():
                    try:
                        outcome = next(stream)
                    except StopIteration:
                        break
                yield _take(call, outcome)
            yield from _implied(call, '"')
        finally:
            stream.close()


async def _relay_async(call: _Call, start: _Start) -> AsyncIterator[Any]:
    with call.serving():
        stream = start()
        try:
            while True:
                with call.active():
                    try:
                        outcome = await stream.__anext__()
                    except StopAsyncIteration:
                        break
                yield _take(call, outcome)
            for outcome in _implied(call, "'"):
                yield outcome
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:  # an async iterator of the user's own making need not have it
                await close()


async def _relay_coroutine(call: _Call, start: _Start) -> Any:
    with call.serving():
        with call.active():
            result = await start()
        _take_returned(call, result)
        return result


def _relay_any(call: _Call, result: Any) -> Any:
    """What a plain function made to be run later."""
    if hasattr(result, "__anext__"):
        return _relay_async(call, lambda: result)
    if hasattr(result, "__await__"):
        return _relay_coroutine(call, lambda: result)
    return _relay(call, lambda: result)
