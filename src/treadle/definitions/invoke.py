"""call a user's function (sync, async, generator) as a stream of outcomes

What comes back from a call of an op's function, by whatever way the function was written, is one stream of Output,
DynamicOutput and user events here. The engine stores what comes; `invoke_op` is the call of an op in a test.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from treadle.errors import (
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterTypeCheckDidNotPass,
)
from treadle.logs import active_context
from treadle.names import nearest
from treadle.outcomes import AssetMaterialization, AssetObservation, DynamicOutput, ExpectationResult, Output

_USER_EVENTS = (AssetMaterialization, AssetObservation, ExpectationResult)


def is_stream(result: Any) -> bool:
    """True where a call gave something that is still to be run: a generator, a coroutine, an async generator."""
    kind = type(result)
    return (
        kind is types.GeneratorType
        or kind is types.CoroutineType
        or kind is types.AsyncGeneratorType
        or (hasattr(result, "__anext__") or (hasattr(result, "__await__") and not isinstance(result, type)))
    )


def stream(op_def: Any, result: Any, context: Any) -> Iterator[Any]:
    """Run what a call gave to its end, one outcome after another.

    `context` is what `OpExecutionContext.get()` finds while the user's code runs.
    """
    if type(result) is types.GeneratorType:
        while True:
            token = active_context.set(context)
            try:
                outcome = next(result)
            except StopIteration:
                return
            finally:
                active_context.reset(token)
            yield outcome
    with _EventLoop() as loop:
        if hasattr(result, "__anext__"):
            while True:
                token = active_context.set(context)
                try:
                    outcome = loop.run(result.__anext__())
                except StopAsyncIteration:
                    return
                finally:
                    active_context.reset(token)
                yield outcome
        token = active_context.set(context)
        try:
            value = loop.run(result)
        finally:
            active_context.reset(token)
    if is_stream(value):
        yield from stream(op_def, value, context)
    else:
        yield from outcomes(op_def, value)


class _EventLoop:
    """A loop of our own for one step. Where this thread runs one already (a notebook), a thread of its own carries it."""

    def __enter__(self) -> _EventLoop:
        import asyncio

        self._loop = asyncio.new_event_loop()
        self._is_nested = asyncio._get_running_loop() is not None
        return self

    def run(self, awaitable: Any) -> Any:
        """Wait for the result."""

        async def wait() -> Any:
            return await awaitable

        if not self._is_nested:
            return self._loop.run_until_complete(wait())
        import contextvars
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, "treadle-async-op") as pool:
            return pool.submit(contextvars.copy_context().run, self._loop.run_until_complete, wait()).result()

    def __exit__(self, *_exc: object) -> None:
        import asyncio

        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()

        async def settle() -> None:
            await asyncio.gather(*pending, return_exceptions=True)

        if not self._is_nested:
            self._loop.run_until_complete(settle())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


# -- what a function returned ----------------------------------------------------------------------------------


def outcomes(op_def: Any, value: Any) -> Iterable[Output[Any] | DynamicOutput[Any]]:
    """What a function returned, as outputs. DagsterInvariantViolationError where it does not fit the declared ones."""
    ports: Mapping[str, Any] = op_def.output_dict
    if len(ports) == 1:
        name, port = next(iter(ports.items()))
        if port.is_dynamic:
            return _dynamic_outcomes(op_def, name, value)
        return (_single_outcome(op_def, name, value),)
    if not ports:
        if value is not None:
            raise DagsterInvariantViolationError(
                f'Op "{op_def.name}": unexpectedly returned {_show(value)}, but it declares no outputs (out={{}}). Return '
                f"nothing, or declare an output."
            )
        return ()
    return _several_outcomes(op_def, ports, value)


def _single_outcome(op_def: Any, name: str, value: Any) -> Output[Any]:
    if isinstance(value, Output):
        if value.output_name not in (name, "result"):
            raise DagsterInvariantViolationError(
                f'Op "{op_def.name}": returned an Output with the name "{value.output_name}", but its only output is '
                f'"{name}".{nearest(value.output_name, [name])}'
            )
        return value if value.output_name == name else Output(value.value, name, value.metadata, value.data_version)
    if isinstance(value, _USER_EVENTS):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}": returned {_show(value)}. Log it with context.log_event(...), or yield it together '
            f"with the outputs."
        )
    if isinstance(value, DynamicOutput):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}": returned a DynamicOutput for output "{name}", which is not dynamic. Declare it with '
            f"DynamicOut, or return the value itself."
        )
    return Output(value, name)


def _dynamic_outcomes(op_def: Any, name: str, value: Any) -> Iterator[DynamicOutput[Any]]:
    if value is None:
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}": returned None for dynamic output "{name}". Return a list of DynamicOutput (it may be '
            f"empty), or yield them."
        )
    if not isinstance(value, list):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}": for dynamic output "{name}" expected a list of DynamicOutput objects, got '
            f"{_show(value)}."
        )
    for item in value:
        if not isinstance(item, DynamicOutput):
            raise DagsterInvariantViolationError(
                f'Op "{op_def.name}": for dynamic output "{name}" expected DynamicOutput objects in the list, got '
                f"{_show(item)}. Each value needs a mapping key: DynamicOutput(value, mapping_key=...)."
            )
        yield item if item.output_name == name else DynamicOutput(item.value, item.mapping_key, name, item.metadata)


def _several_outcomes(op_def: Any, ports: Mapping[str, Any], value: Any) -> Iterator[Any]:
    if value is None and all(port.is_nothing for port in ports.values()):
        for name in ports:
            yield Output(None, name)
        return
    if not isinstance(value, tuple):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}" has multiple outputs ({", ".join(ports)}), but returned {_show(value)}. Return a tuple '
            f"with one element an output, in that order, or yield an Output for each."
        )
    if len(value) != len(ports):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}" has {len(ports)} outputs ({", ".join(ports)}), but returned a tuple of {len(value)} outputs. '
            f"Length mismatch between returned tuple of outputs and number of output_defs."
        )
    for (name, port), item in zip(ports.items(), value, strict=True):
        if port.is_dynamic:
            yield from _dynamic_outcomes(op_def, name, item)
        elif isinstance(item, Output) and item.output_name not in (name, "result"):
            raise DagsterInvariantViolationError(
                f'Op "{op_def.name}": bad state: output was explicitly named "{item.output_name}", which does not match '
                f'the output definition specified for position: "{name}".'
            )
        else:
            yield _single_outcome(op_def, name, item)


def _show(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 200 else text[:200] + '...'} (a {type(value).__name__})"


# -- arguments ------------------------------------------------------------------------------------------------------


def arguments(
    op_def: Any, inputs: Mapping[str, Any], context: Any, config: Any, resources: Mapping[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """How to call an op's function: `fn(*args, **kwargs)`."""
    shape = op_def.call
    if op_def.signature is None:
        return (context, inputs), {}
    kwargs = dict(inputs)
    if shape.has_config_param:
        kwargs["config"] = typed_config(shape.config_class, config)
    for name in shape.resource_params:
        kwargs[name] = resources[name]
    return (context,) if shape.context_name is not None else (), kwargs


def typed_config(config_class: Any, config: Any) -> Any:
    """Processed config as an instance of the Config class that a parameter is annotated with."""
    make: Callable[[Any], Any] | None = getattr(config_class, "__from_config__", None)
    return make(config if config is not None else {}) if make is not None else config


# -- calling an op directly, in a test ----------------------------------------------------------------------------


def refuse_graph(graph_def: Any) -> NoReturn:
    """A graph called outside a graph body."""
    raise DagsterInvalidInvocationError(
        f'Attempted to call graph "{graph_def.name}" outside of a composition function. Run it with '
        f"{graph_def.name}.execute_in_process(), or call it in the body of a @graph or @job."
    )


def invoke_op(op_def: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call an op as the function that it is. Inputs and what it returns are type-checked; what it raises is raised.

    Raises DagsterInvalidInvocationError for missing or superfluous arguments.
    """
    shape = op_def.call
    given = list(args)
    context = None
    if shape.context_name is not None:
        if given:
            context = given.pop(0)
        elif shape.context_name in kwargs:
            kwargs = dict(kwargs)
            context = kwargs.pop(shape.context_name)  # type: ignore[attr-defined]
        else:
            raise DagsterInvalidInvocationError(
                f'Op "{op_def.name}" has a context argument, but no context was provided when invoking. Make one with '
                f"build_op_context(), or pass None where the op needs none of it."
            )
    inputs = _bind_inputs(op_def, given, kwargs)
    for name, value in inputs.items():
        _check(op_def, "input", op_def.input_dict[name], value)
    extras = {name: kwargs[name] for name in (*shape.resource_params, "config") if name in kwargs}
    result = op_def.compute_fn(*((context,) if shape.context_name is not None else ()), **inputs, **extras)
    if is_stream(result):
        return result
    made = list(outcomes(op_def, result))
    for outcome in made:
        _check(op_def, "output", op_def.output_dict[outcome.output_name], outcome.value)
    return result


def _bind_inputs(op_def: Any, args: list[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    positions = op_def.positional_inputs
    if len(args) > len(positions):
        raise DagsterInvalidInvocationError(
            f'Too many input arguments were provided for op "{op_def.name}": {len(args)} by position, but it takes '
            f"{len(positions)}: {positions}."
        )
    inputs = dict(zip(positions, args, strict=False))
    reserved = {*op_def.call.resource_params, "config"}
    for name, value in kwargs.items():
        if name in reserved:
            continue
        if name not in op_def.input_dict:
            raise DagsterInvalidInvocationError(
                f'Op "{op_def.name}" does not have input "{name}".{nearest(name, op_def.input_dict)} Inputs: '
                f"{list(op_def.input_dict)}."
            )
        inputs[name] = value
    for name, port in op_def.input_dict.items():
        if name in inputs or port.is_nothing:
            continue
        if not port.has_default_value:
            raise DagsterInvalidInvocationError(f'No value provided for required input "{name}" of op "{op_def.name}".')
        inputs[name] = port.default_value
    return {name: value for name, value in inputs.items() if not op_def.input_dict[name].is_nothing}


def _check(op_def: Any, kind: str, port: Any, value: Any) -> None:
    fast = port.dagster_type.fast_check
    if port.dagster_type.is_any or (fast is not None and fast(value)):
        return
    verdict = port.dagster_type.type_check(None, value)
    if not verdict.success:
        raise DagsterTypeCheckDidNotPass(
            f'Type check failed for op "{op_def.name}" {kind} "{port.name}" - expected type '
            f'"{port.dagster_type.display_name}". Description: {verdict.description}',
            verdict.metadata,
            port.dagster_type,
        )
