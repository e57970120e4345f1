"""call a user's function (sync, async, generator) as a stream of outcomes

What comes back from a call of an op's function, by whatever way the function was written, is one stream of Output,
DynamicOutput and user events here. The engine stores what comes; `direct` checks it and hands it to a test.
"""

from __future__ import annotations

import contextlib
import math
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from treadle.checks import show
from treadle.errors import (
    DagsterInvariantViolationError,
)
from treadle.halt import Halt
from treadle.logs import active_context
from treadle.names import nearest
from treadle.outcomes import AssetMaterialization, AssetObservation, DynamicOutput, ExpectationResult, Output

_USER_EVENTS = (AssetMaterialization, AssetObservation, ExpectationResult)


#: in place of an event loop: what is async is not awaited by `stream`, which gives it out as a Pending instead
PARKED: Any = object()


class Pending:
    """Something of a user's that is to be awaited by whoever goes through the stream, before it goes on.

    It is got from `source`, an async generator, or is that itself. Afterwards either `error` is set, or `result` is what came.
    """

    __slots__ = ("awaitable", "context", "error", "halt", "result", "source")

    def __init__(self, awaitable: Any, source: Any, context: Any, halt: Halt) -> None:
        self.awaitable = awaitable
        self.source = source
        self.context = context
        self.halt = halt
        self.result: Any = None
        self.error: BaseException | None = None

    async def wait(self) -> None:
        """Await it, as a task of its own; what user code raises is kept, whatever it is."""
        active_context.set(self.context)
        try:
            self.result = await heed(self.awaitable, self.source, self.halt)
        except BaseException as error:  # noqa: BLE001 - it is raised in the stream
            self.error = error

    def drop(self, error: BaseException) -> None:
        """It is not awaited any more."""
        self.error = error
        if hasattr(self.awaitable, "close"):
            self.awaitable.close()

    def take(self) -> Any:
        """What came of it."""
        if self.error is not None:
            raise self.error
        return self.result


async def heed(awaitable: Any, source: Any, halt: Halt) -> Any:
    """Await what an op gave, in a task of its own, until its attempt is to stop: then the task is cancelled, once.

    The async generator that it was got from, if that is not to go on, is closed: its `finally` blocks run here and now.
    Raises the reason to stop in place of the cancellation.
    """
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if not halt.is_heard and halt.is_asked:
            halt.is_heard = True
            task.cancel()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nothing is awaited any more
            loop.call_soon_threadsafe(stop)

    halt.wake = wake
    timer = loop.call_later(max(0.0, halt.deadline - time.monotonic()), stop) if halt.deadline != math.inf else None
    try:
        if halt.is_asked:
            halt.is_heard = True
            if hasattr(awaitable, "close"):
                awaitable.close()
            if hasattr(source, "aclose"):
                await source.aclose()
            raise halt.error()
        return await awaitable
    except asyncio.CancelledError as error:
        if not halt.is_heard or halt.reason is None:
            raise
        raise halt.error() from error
    finally:
        halt.wake = None
        if timer is not None:
            timer.cancel()


def is_stream(result: Any) -> bool:
    """True where a call gave something that is still to be run: a generator, a coroutine, an async generator."""
    kind = type(result)
    return (
        kind is types.GeneratorType
        or kind is types.CoroutineType
        or kind is types.AsyncGeneratorType
        or (hasattr(result, "__anext__") or (hasattr(result, "__await__") and not isinstance(result, type)))
    )


def stream(op_def: Any, result: Any, context: Any, halt: Halt, event_loop: Any = None) -> Iterator[Any]:
    """Run what a call gave to its end, one outcome after another, or until it has taken too long.

    `context` is what `OpExecutionContext.get()` finds while the user's code runs. What is async runs on `event_loop`, or
    on one of its own; PARKED leaves it to the caller.
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
            if halt.is_late:
                result.close()
                raise halt.error()
            yield outcome
    if event_loop is PARKED:
        yield from _parked(op_def, result, context, halt)
        return
    with EventLoop(event_loop) as loop:
        if hasattr(result, "__anext__"):
            while True:
                token = active_context.set(context)
                try:
                    outcome = loop.run(result.__anext__(), result, halt)
                    if halt.is_late:
                        loop.run(result.aclose())
                        raise halt.error()
                except StopAsyncIteration:
                    return
                finally:
                    active_context.reset(token)
                yield outcome
        token = active_context.set(context)
        try:
            value = loop.run(result, result, halt)
        finally:
            active_context.reset(token)
    if is_stream(value):
        yield from stream(op_def, value, context, halt, event_loop)
    else:
        yield from outcomes(op_def, value, context)


def _parked(op_def: Any, result: Any, context: Any, halt: Halt) -> Iterator[Any]:
    while hasattr(result, "__anext__"):
        pending = Pending(result.__anext__(), result, context, halt)
        yield pending
        try:
            outcome = pending.take()
        except StopAsyncIteration:
            return
        if halt.is_late:
            pending = Pending(result.aclose(), result, context, halt)
            yield pending
            pending.take()
        yield outcome
    pending = Pending(result, result, context, halt)
    yield pending
    value = pending.take()
    if is_stream(value):
        yield from stream(op_def, value, context, halt, PARKED)
    else:
        yield from outcomes(op_def, value, context)


class EventLoop:
    """The loop of a run, or one of our own for one step.

    Where this thread runs one already (a notebook), a thread of its own carries it.
    """

    def __init__(self, shared: Any = None) -> None:
        self._shared = shared

    def __enter__(self) -> EventLoop:
        import asyncio

        self._loop = self._shared or asyncio.new_event_loop()
        self._is_nested = asyncio._get_running_loop() is not None
        return self

    def run(self, awaitable: Any, source: Any = None, halt: Halt | None = None) -> Any:
        """Wait for the result, as long as nobody asks the attempt to stop."""
        halt = halt or Halt()
        if not self._is_nested:
            return self._run(heed(awaitable, source, halt), halt)
        import contextvars
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, "treadle-async-op") as pool:
            future = pool.submit(contextvars.copy_context().run, self._run, heed(awaitable, source, halt), halt)
            try:
                return future.result()
            except BaseException:
                if halt.wake is not None:  # a signal: it has reached this thread alone
                    halt.wake()
                raise

    def _run(self, work: Any, halt: Halt) -> Any:
        task = self._loop.create_task(work)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            # A signal, raised in the midst of the loop: what was awaited is to clean up while its resources are open.
            if not task.done():
                if not halt.is_heard:
                    halt.is_heard = True
                    task.cancel()
                with contextlib.suppress(BaseException):
                    self._loop.run_until_complete(task)
            elif not task.cancelled():
                task.exception()  # it is known
            raise

    def __exit__(self, *_exc: object) -> None:
        if self._shared is None:
            close_event_loop(self._loop)


def close_event_loop(loop: Any) -> None:
    """Close a loop; what still waits on it is cancelled."""
    import asyncio

    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()

    async def settle() -> None:
        await asyncio.gather(*pending, return_exceptions=True)

    if asyncio._get_running_loop() is None:
        loop.run_until_complete(settle())
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def wait_for(awaitable: Any) -> Any:
    """The result of a coroutine of a user, run to its end."""
    with EventLoop() as loop:
        return loop.run(awaitable)


# -- what a function returned ----------------------------------------------------------------------------------


def outcomes(op_def: Any, value: Any, context: Any) -> Iterable[Output[Any] | DynamicOutput[Any]]:
    """What a function returned, as outputs. DagsterInvariantViolationError where it does not fit the declared ones.

    `context` is that of the body: where it asks for a typed event stream, a bare value is no output.
    """
    ports: Mapping[str, Any] = op_def.output_dict
    if op_def.signature is None and isinstance(value, (Output, DynamicOutput, *_USER_EVENTS)):
        raise DagsterInvariantViolationError(
            f'Compute function for op "{op_def.name}" returned an {type(value).__name__}: {show(value)}. A bare compute '
            f"function gives its outputs one by one: let it yield them, or make the op with @op."
        )
    if context.typed_stream_error is not None:
        _refuse_bare(op_def, value)
        if value is None:
            return ()
    if len(ports) == 1:
        name, port = next(iter(ports.items()))
        if port.is_dynamic:
            return _dynamic_outcomes(op_def, name, value)
        if value is None and not port.is_required and not port.is_nothing:
            context.log.warning(
                f'Value "None" returned for non-required output "{name}" of {context.describe_op()}. This value will be '
                f"passed to downstream ops. For conditional execution, results must be yielded: yield Output(value)."
            )
        return (_single_outcome(op_def, name, value),)
    if not ports:
        if value is not None:
            raise DagsterInvariantViolationError(
                f'Error in op "{op_def.name}": Unexpectedly returned output of type {type(value)}: {show(value)}. Op is '
                f"explicitly defined to return no results (out={{}}). Return nothing, or declare an output."
            )
        return ()
    return _several_outcomes(op_def, ports, value)


def _refuse_bare(op_def: Any, value: Any) -> None:
    """Refuse what is not marked as an output: the op asks for a typed event stream."""
    for each in value if isinstance(value, (tuple, list)) else () if value is None else (value,):
        if not isinstance(each, (Output, DynamicOutput, *_USER_EVENTS)):
            raise DagsterInvariantViolationError(
                f'Compute function for op "{op_def.name}" yielded a value of type {type(each)} rather than an instance of '
                f"Output, AssetMaterialization, or ExpectationResult: {show(each)}. The op asks for a typed event stream, "
                f"where a bare value is no output."
            )


def _single_outcome(op_def: Any, name: str, value: Any) -> Output[Any]:
    if isinstance(value, Output):
        if value.output_name not in (name, "result"):
            raise _misnamed(op_def, value, 0, name)
        if op_def.returns_bare and name not in op_def.wrapped_outputs:
            raise DagsterInvariantViolationError(
                f"Error with output for op \"{op_def.name}\": received Output object for output '{name}' which does not have an "
                f"Output annotation. Annotate the function with Output[...], or return the value itself."
            )
        return value if value.output_name == name else Output(value.value, name, value.metadata, value.data_version)
    if isinstance(value, _USER_EVENTS):
        raise DagsterInvariantViolationError(
            f'Error in op "{op_def.name}": it returned {show(value)}. If you are returning an AssetMaterialization or an '
            f"ExpectationResult from op you must yield them directly, or log them using the context.log_event method."
        )
    if isinstance(value, DynamicOutput):
        raise DagsterInvariantViolationError(
            f'Op "{op_def.name}": returned a DynamicOutput for output "{name}", which is not dynamic. Declare it with '
            f"DynamicOut, or return the value itself."
        )
    if name in op_def.wrapped_outputs:
        raise DagsterInvariantViolationError(
            f"Error with output for op \"{op_def.name}\": output '{name}' has generic output annotation, but did not receive "
            f"an Output object for this output. Received instead an object of type {type(value)}: {show(value)}. Return "
            f"Output(value), or annotate with the type of the value alone."
        )
    return Output(value, name)


def _dynamic_outcomes(op_def: Any, name: str, value: Any) -> Iterator[DynamicOutput[Any]]:
    where = f"Error with output for op \"{op_def.name}\": dynamic output '{name}'"
    if not isinstance(value, list):
        raise DagsterInvariantViolationError(
            f"{where} expected a list of DynamicOutput objects, but instead received instead an object of type "
            f"{type(value)}. Got {show(value)}. The list may be empty; DynamicOutput objects may also be yielded."
        )
    for position, item in enumerate(value):
        if not isinstance(item, DynamicOutput):
            raise DagsterInvariantViolationError(
                f"{where} at position {position} expected a list of DynamicOutput objects, but received an item with type "
                f"{type(item)}. Got {show(item)}. Each value needs a mapping key: DynamicOutput(value, mapping_key=...)."
            )
        if item.output_name == name:
            yield item
        elif item.output_name == "result":
            yield DynamicOutput(item.value, item.mapping_key, name, item.metadata)
        else:
            raise _misnamed(op_def, item, list(op_def.output_dict).index(name), name)


def _several_outcomes(op_def: Any, ports: Mapping[str, Any], value: Any) -> Iterator[Any]:
    if value is None and all(port.is_nothing for port in ports.values()):
        for name in ports:
            yield Output(None, name)
        return
    if not isinstance(value, tuple):
        raise DagsterInvariantViolationError(
            f'op "{op_def.name}" has multiple outputs, but only one output was returned of type {type(value)}: '
            f"{show(value)}. Return a tuple with one element an output, in this order: {', '.join(ports)}; or yield an "
            f"Output for each."
        )
    if len(value) != len(ports):
        raise DagsterInvariantViolationError(
            f'Length mismatch between returned tuple of outputs and number of output defs on op "{op_def.name}". Output '
            f"tuple has {len(value)} outputs, while op has {len(ports)} outputs: {', '.join(ports)}."
        )
    for position, ((name, port), item) in enumerate(zip(ports.items(), value, strict=True)):
        if port.is_dynamic:
            yield from _dynamic_outcomes(op_def, name, item)
        elif isinstance(item, Output) and item.output_name not in (name, "result"):
            raise _misnamed(op_def, item, position, name)
        else:
            yield _single_outcome(op_def, name, item)


def _misnamed(
    op_def: Any, output: Output[Any] | DynamicOutput[Any], position: int, name: str
) -> DagsterInvariantViolationError:
    ports = op_def.output_dict
    is_known = output.output_name in ports
    advice = (
        f" Give them in this order: {', '.join(ports)}."
        if is_known
        else f"{nearest(output.output_name, ports)} Outputs: {', '.join(ports)}."
    )
    return DagsterInvariantViolationError(
        f"Bad state in op \"{op_def.name}\": Output was explicitly named '{output.output_name}', which does not match the "
        f"output definition specified for position {position}: '{name}'.{advice}"
    )


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
