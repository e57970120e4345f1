"""run one step here: load, check, call, check, store; yields events

Every executor runs steps with this, in whatever process or thread. What user code does wrong becomes an event here;
only faults of our own leave as exceptions. It never decides what runs next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

from treadle.checks import show
from treadle.contexts import OpExecutionContext, StepFacts
from treadle.definitions import invoke
from treadle.definitions.io_managers import InMemoryIOManager
from treadle.definitions.wiring import WiredInput
from treadle.engine import usage
from treadle.engine.hooks import run_hooks
from treadle.engine.workplace import Bench, Workplace
from treadle.errors import (
    DagsterError,
    DagsterExecutionHandleOutputError,
    DagsterExecutionInterruptedError,
    DagsterExecutionLoadInputError,
    DagsterExecutionStepExecutionError,
    DagsterInvariantViolationError,
    DagsterMaxRetriesExceededError,
    DagsterStepOutputNotFoundError,
    DagsterTypeCheckDidNotPass,
    DagsterTypeCheckError,
    DagsterTypeLoadingError,
    DagsterUserCodeExecutionError,
    error_info,
)
from treadle.events import DagsterEvent, DagsterEventType
from treadle.io_contexts import InputContext
from treadle.logs import active_context
from treadle.metadata import normalize_metadata
from treadle.names import nearest, split_step_key
from treadle.outcomes import (
    AssetMaterialization,
    AssetObservation,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Output,
    RetryRequested,
    retry_delay,
)
from treadle.payloads import (
    AssetObservationData,
    ErrorSource,
    HandledOutputData,
    LoadedInputData,
    StepExpectationResultData,
    StepFailureData,
    StepInputData,
    StepMaterializationData,
    StepOutputData,
    StepOutputHandle,
    StepRetryData,
    StepSuccessData,
    TypeCheckData,
    UserFailureData,
)
from treadle.plan.model import Launch
from treadle.types import TypeCheckContext

_LOADED = DagsterEventType.LOADED_INPUT.value
_INPUT = DagsterEventType.STEP_INPUT.value
_OUTPUT = DagsterEventType.STEP_OUTPUT.value
_HANDLED = DagsterEventType.HANDLED_OUTPUT.value
_SUCCESS = DagsterEventType.STEP_SUCCESS.value
_FAILURE = DagsterEventType.STEP_FAILURE.value
_UP_FOR_RETRY = DagsterEventType.STEP_UP_FOR_RETRY.value

#: what ends a run rather than a step
INTERRUPTS = (KeyboardInterrupt, DagsterExecutionInterruptedError)


def run_step(place: Workplace, order: Launch) -> Iterator[DagsterEvent]:
    """Run one attempt at a step; yields its events as they happen."""
    return Attempt(place, place.bench(order.path), order).run()


class Attempt:
    """One try at a step."""

    __slots__ = (
        "before", "bench", "boundary", "context", "facts", "halt", "order", "place", "produced", "stamp", "values",
    )  # fmt: skip

    def __init__(self, place: Workplace, bench: Bench, order: Launch) -> None:
        self.place = place
        self.bench = bench
        self.order = order
        op = bench.op
        self.stamp = place.stamp(op.path, order.step_key)
        self.facts = StepFacts(
            place.facts, order.step_key, op, order.mapping_keys, bench.config, place.scope(bench.keys)
        )
        self.halt = self.facts.halt = place.take_halt()
        self.context = OpExecutionContext(self.facts, order.attempt)
        #: which user code is running: makes an exception of it into one that says whose fault it is
        self.boundary: Callable[[BaseException], DagsterError] | None = None
        #: input values
        self.values: dict[str, Any] = {}
        #: output name to its value, or to {mapping key: value}
        self.produced = self.facts.produced
        if place.announce is not None:
            self.facts.announce = self._announce
        if any(hook.runs_on_success is None for hook in bench.hooks):
            self.stamp.kept = []

    def run(self) -> Iterator[DagsterEvent]:
        """The attempt from its first event to its last."""
        stamp = self.stamp
        yield stamp.beginning(self.order.attempt)
        if self.bench.limits is not None:
            self.bench.hold_to_limits(self.halt, self.place.facts.run.run_id, stamp.step_key)
        self.before = usage.read(self.place.usage_scope)
        started = perf_counter()
        try:
            if self.bench.inputs:
                yield from self._load_inputs()
            yield from self._compute()
            ending = stamp.event(_SUCCESS, StepSuccessData((perf_counter() - started) * 1000, usage.since(self.before)))
            error = None
        except GeneratorExit:
            raise
        except BaseException as raised:  # noqa: BLE001 - what user code raises is a value in here
            self.place.signals.is_open = False
            yield from self._take_logged()
            error = raised
            ending = self._fail(raised)
        yield ending
        if self.bench.hooks and ending.event_type_value != _UP_FOR_RETRY:
            yield from run_hooks(self.place, self.bench, self.facts, stamp, error)
        # It leads back here: the values of the attempt are to go with it, not with the next collection.
        self.facts.announce = None

    # -- inputs

    def _load_inputs(self) -> Iterator[DagsterEvent]:
        place = self.place
        for port, wired, manager in self.bench.inputs:
            name = port.name
            handles = self.order.inputs.get(name)
            if handles is None:
                value, event = self._unconnected(port, wired, manager)
                if event is not None:
                    yield event
                self.values[name] = value
                continue
            if isinstance(handles, StepOutputHandle):
                self.values[name], payload = self._load(port, handles, manager)
                yield self.stamp.event(_LOADED, payload)
                continue
            found = []
            for handle in wired.members(handles) if wired is not None else handles:
                if isinstance(handle, str):
                    found.append(self._job_input(port, handle))
                    continue
                value, payload = self._load(port, handle, manager)
                yield self.stamp.event(_LOADED, payload)
                found.append(value)
            self.values[name] = found
        for port, _wired, _manager in self.bench.inputs:
            verdict = self._check(port, self.values[port.name], place)
            if verdict.success and port.name in self.bench.declared:
                port, verdict = self._check_declared(port, verdict)
            yield self.stamp.event(_INPUT, StepInputData(port.name, verdict, port.dagster_type.display_name))
            if not verdict.success:
                raise _type_check_error(self.stamp.step_key, "input", port, verdict)

    def _load(
        self, port: Any, handle: StepOutputHandle, manager: tuple[str, Any] | None
    ) -> tuple[Any, LoadedInputData]:
        if manager is None:
            path = split_step_key(handle.step_key)[0]
            upstream = self.place.job.wiring.ops[path].definition.output_dict[handle.output_name]
            manager = upstream.io_manager_key, self.place.resources[upstream.io_manager_key]
        key, loader = manager
        run_id = self.order.origins.get(handle.step_key, self.place.facts.run.run_id)
        if type(loader) is InMemoryIOManager:
            parts = (run_id, handle.step_key, handle.output_name)
            value = loader.fetch(parts if handle.mapping_key is None else (*parts, handle.mapping_key))
            return value, LoadedInputData(port.name, key, handle.output_name, handle.step_key)
        upstream = self.place.output_context(handle, self.context.log, output_metadata={}, run_id=run_id)
        context = self.place.input_context(self.bench, port, key, self.context, upstream)
        value = self._call_loader(loader, context, port)
        metadata = context.consume_logged_metadata()
        return value, LoadedInputData(port.name, key, handle.output_name, handle.step_key, metadata)

    def _call_loader(self, loader: Any, context: InputContext, port: Any) -> Any:
        self._enter(
            lambda error: DagsterExecutionLoadInputError(
                f'Error occurred while loading input "{port.name}" of step "{self.stamp.step_key}":',
                user_exception=error,
            )
        )
        value = loader.load_input(context)
        self._leave()
        return value

    def _unconnected(
        self, port: Any, wired: WiredInput | None, manager: tuple[str, Any] | None
    ) -> tuple[Any, DagsterEvent | None]:
        """Value of an input that no step gives: from the caller, from config, from a manager of its own, the default."""
        place, name = self.place, port.name
        if wired is not None and wired.kind == "job_input":
            if manager is None or wired.wires[0] in place.input_values:
                return self._job_input(port, wired.wires[0]), None
        if manager is not None:
            context = self.place.input_context(self.bench, port, manager[0], self.context)
            value = self._call_loader(manager[1], context, port)
            metadata = context.consume_logged_metadata()
            return value, self.stamp.event(_LOADED, LoadedInputData(name, manager[0], metadata=metadata))
        where: Any = (self.bench.op.path, name) if wired is None else wired.wires
        outer = port if wired is None else self._graph_port(where)
        if where in place.config.inputs:
            return self._from_config(outer, place.config.inputs[where]), None
        return (outer if outer.has_default_value else port).default_value, None

    def _graph_port(self, where: tuple[str, str]) -> Any:
        graph = self.place.job.graph
        for name in where[0].split("."):
            graph = graph.node_dict[name].definition
        return graph.input_dict[where[1]]

    def _job_input(self, port: Any, name: Any) -> Any:
        place = self.place
        if name in place.input_values:
            return place.input_values[name]
        outer = place.job.graph.input_dict[name]
        if name in place.config.job_inputs:
            return self._from_config(outer, place.config.job_inputs[name])
        return (outer if outer.has_default_value else port).default_value

    def _from_config(self, port: Any, config: Any) -> Any:
        """The value that config stands for, by the loader of the input whose schema it was checked against."""
        self.boundary = lambda error: DagsterTypeLoadingError(
            f'Error occurred while loading input "{port.name}" of step "{self.stamp.step_key}" from config:',
            user_exception=error,
        )
        value = port.dagster_type.loader.construct_from_config_value(self.context, config)
        self.boundary = None
        return value

    # -- calling the function

    def _compute(self) -> Iterator[DagsterEvent]:
        bench, context = self.bench, self.context
        definition = bench.op.definition
        args, kwargs = invoke.arguments(definition, self.values, context, bench.config, self.place.resources)
        signals = self.place.signals
        if self.place.before_body is not None:
            self.place.before_body()
        self.boundary = self._body_error
        token = active_context.set(context)
        signals.is_open = True
        try:
            if signals.pending is not None:
                raise signals.pending
            self.halt.check()
            result = definition.compute_fn(*args, **kwargs)
        finally:
            signals.is_open = False
            active_context.reset(token)
        if invoke.is_stream(result):
            signals.is_open = True
            for outcome in invoke.stream(definition, result, context, self.halt, self.place.loop):
                if type(outcome) is invoke.Pending:
                    yield outcome  # type: ignore[misc]  # to who asked for it, by invoke.PARKED: it is no event
                    continue
                self._leave()
                yield from self._take(outcome)
                self._enter(self._body_error)
            self._leave()
            self.halt.finish()
        else:
            self.boundary = None
            self.halt.finish()
            if self.facts.events:
                yield from self._take_logged()
            for outcome in invoke.outcomes(definition, result, context):
                yield from self._store(outcome)
        if self.facts.events:
            yield from self._take_logged()
        if len(self.produced) < len(bench.outputs):
            yield from self._complete_outputs()

    def _enter(self, boundary: Callable[[BaseException], DagsterError]) -> None:
        """User code is about to run: what it raises is its own, and a signal may interrupt it."""
        self.boundary = boundary
        self.place.signals.is_open = True

    def _leave(self) -> None:
        """User code has come back."""
        self.boundary = None
        self.place.signals.is_open = False

    def _body_error(self, error: BaseException) -> DagsterError:
        node = self.bench.op.node
        return DagsterExecutionStepExecutionError(
            f'Error occurred while executing op "{node.name}":',
            user_exception=error,
            step_key=self.stamp.step_key,
            op_name=node.name,
            op_def_name=node.definition.name,
        )

    def _take(self, outcome: Any) -> Iterator[DagsterEvent]:
        """One outcome of user code into events."""
        if self.facts.events:
            yield from self._take_logged()
        if isinstance(outcome, (Output, DynamicOutput)):
            yield from self._store(outcome)
        elif isinstance(outcome, (AssetMaterialization, AssetObservation, ExpectationResult)):
            yield self._user_event(outcome)
        else:
            what = self.bench.op.node.describe_node()
            raise DagsterInvariantViolationError(
                f"Compute function for {what} yielded a value of type {type(outcome)} rather than an instance of Output, "
                f"AssetMaterialization, or ExpectationResult. (DynamicOutput and AssetObservation are fine, too.) Got "
                f"{show(outcome)}. A bare value is returned, or wrapped: yield Output(value)."
            )

    def _take_logged(self) -> Iterator[DagsterEvent]:
        for logged in self.context.consume_events():
            yield self._user_event(logged)

    def _announce(self, outcome: Any) -> None:
        """Tell the log at once of an event that the body logs: it stands there when it happened."""
        assert self.place.announce is not None
        self.place.announce(self._user_event(outcome))

    def _user_event(self, outcome: Any) -> DagsterEvent:
        if isinstance(outcome, AssetMaterialization):
            return self.stamp.event("ASSET_MATERIALIZATION", StepMaterializationData(outcome))
        if isinstance(outcome, AssetObservation):
            return self.stamp.event("ASSET_OBSERVATION", AssetObservationData(outcome))
        return self.stamp.event("STEP_EXPECTATION_RESULT", StepExpectationResultData(outcome))

    # -- outputs

    def _admit(self, outcome: Any) -> tuple[Any, Any, str | None]:
        """Port, manager and mapping key for an output; DagsterInvariantViolationError where it may not be."""
        name = outcome.output_name
        found = self.bench.outputs.get(name)
        if found is None:
            raise DagsterInvariantViolationError(
                f'Core compute for {self._what()} returned an output "{name}" that does not exist.'
                f"{nearest(name, self.bench.outputs)} The available outputs are {list(self.bench.outputs)}."
            )
        port, manager = found
        if type(outcome) is Output:
            if port.is_dynamic:
                raise DagsterInvariantViolationError(
                    f'{self._what()}, output "{name}" is dynamic: yield DynamicOutput(value, mapping_key=...) for it, not Output.'
                )
            if name in self.produced:
                raise DagsterInvariantViolationError(
                    f'Compute for {self._what()} returned an output "{name}" multiple times. Give it once; '
                    f"for several values declare it with DynamicOut."
                )
            self.produced[name] = outcome.value
            return port, manager, None
        if not port.is_dynamic:
            raise DagsterInvariantViolationError(
                f'{self._what()} yielded a DynamicOutput for output "{name}", which is not dynamic. Declare it with DynamicOut, '
                f"or yield Output."
            )
        branches = self.produced.setdefault(name, {})
        if outcome.mapping_key in branches:
            raise DagsterInvariantViolationError(
                f'Compute for {self._what()} yielded a dynamic output "{name}" with mapping_key "{outcome.mapping_key}" '
                f"multiple times. Each value needs a mapping key of its own."
            )
        branches[outcome.mapping_key] = outcome.value
        return port, manager, outcome.mapping_key

    def _what(self) -> str:
        return str(self.bench.op.node.describe_node())

    def _store(self, outcome: Any) -> Iterator[DagsterEvent]:
        place, key, value, name = self.place, self.stamp.step_key, outcome.value, outcome.output_name
        port, manager, mapping_key = self._admit(outcome)
        if place.captured is not None:
            place.captured[key, name, mapping_key] = value
        metadata = outcome.metadata
        added = self.facts.output_metadata
        if added and (name, mapping_key) in added:
            metadata = {**normalize_metadata(metadata or {}), **normalize_metadata(added[name, mapping_key])}
        if self.bench.hooks:
            self.facts.keep_metadata(name, mapping_key, metadata)
        verdict = self._check(port, value, place)
        handle = StepOutputHandle(key, name, mapping_key)
        yield self.stamp.event(
            _OUTPUT, StepOutputData(handle, verdict, None, metadata or {}, port.dagster_type.display_name)
        )
        if not verdict.success:
            raise _type_check_error(key, "output", port, verdict)
        if manager is None:
            return
        manager_key = port.io_manager_key
        if type(manager) is InMemoryIOManager:
            parts = (place.facts.run.run_id, key, name)
            manager.values[parts if mapping_key is None else (*parts, mapping_key)] = value
            yield self.stamp.event(_HANDLED, HandledOutputData(name, manager_key))
            return
        yield from self._hand_over(port, manager, value, mapping_key, metadata or {})

    def _hand_over(
        self, port: Any, manager: Any, value: Any, mapping_key: str | None, metadata: Mapping[str, Any]
    ) -> Iterator[DagsterEvent]:
        handle = StepOutputHandle(self.stamp.step_key, port.name, mapping_key)
        shelf = self.place.shelf_for(self.bench.op.path, port.name)
        more: Any = {"output_metadata": metadata, "step_context": self.context, "shelf": shelf}
        context = self.place.output_context(handle, self.context.log, **more)
        self._enter(
            lambda error: DagsterExecutionHandleOutputError(
                f'Error occurred while handling output "{port.name}" of step "{self.stamp.step_key}":',
                user_exception=error,
            )
        )
        given = manager.handle_output(context, value)
        parts = given if hasattr(given, "__next__") else () if given is None else [given]
        for part in parts:
            if isinstance(part, AssetMaterialization):
                context.log_event(part)
            elif isinstance(part, Mapping):
                context.add_output_metadata(part)
            else:
                self._leave()
                raise DagsterInvariantViolationError(
                    f'IO manager "{port.io_manager_key}" on output "{port.name}" has returned {part!r} (a '
                    f"{type(part).__name__}). handle_output returns None, or yields AssetMaterializations and dicts of "
                    f"metadata."
                )
        self._leave()
        if self.facts.events:
            yield from self._take_logged()
        yield self.stamp.event(
            _HANDLED, HandledOutputData(port.name, port.io_manager_key, context.consume_logged_metadata())
        )

    def _complete_outputs(self) -> Iterator[DagsterEvent]:
        """After the body: outputs that carry nothing are implied, others must be there, optional, or dynamic."""
        for name, (port, _manager) in self.bench.outputs.items():
            if name in self.produced or port.is_dynamic:
                continue
            if port.is_nothing and not self.context.requires_typed_event_stream:
                if port.is_required:
                    yield from self._store(Output(None, name))
            elif port.is_required and self.context.requires_typed_event_stream:
                raise DagsterInvariantViolationError(
                    f"{self._what()} did not yield or return expected outputs {{{name!r}}}. "
                    f"{self.context.typed_event_stream_error_message or ''}".rstrip()
                )
            elif port.is_required:
                what = self.bench.op.node.describe_node()
                hint = self.context.typed_event_stream_error_message
                raise DagsterStepOutputNotFoundError(
                    f'Core compute for {what} did not return an output for non-optional output "{name}". Yield or '
                    f"return it, or declare it with Out(is_required=False).{' ' + hint if hint else ''}",
                    step_key=self.stamp.step_key,
                    output_name=name,
                )

    # -- type checks

    def _check(self, port: Any, value: Any, place: Workplace) -> TypeCheckData:
        dagster_type = port.dagster_type
        fast = dagster_type.fast_check
        try:
            if dagster_type.is_any or (fast is not None and fast(value)):
                return TypeCheckData(True, port.name)
        except Exception:  # noqa: BLE001, S110 - a class whose isinstance raises: the full check below tells of it
            pass
        resources = place.scope(dagster_type.required_resource_keys)
        context = TypeCheckContext(place.facts.run.run_id, self.context.log, resources)
        self.boundary = lambda error: DagsterTypeCheckError(
            f'Error occurred while type-checking "{port.name}" of type "{dagster_type.display_name}", of step '
            f'"{self.stamp.step_key}":',
            user_exception=error,
        )
        try:
            verdict = dagster_type.type_check(context, value)
        except DagsterInvariantViolationError:
            self.boundary = None
            raise
        self.boundary = None
        return TypeCheckData(verdict.success, port.name, verdict.description, verdict.metadata)

    def _check_declared(self, port: Any, verdict: TypeCheckData) -> tuple[Any, TypeCheckData]:
        """Hold an input against what the graphs say that it came in by: the first that it does not fit, with the verdict."""
        for path, outer in self.bench.declared[port.name]:
            found = self._check(outer, self.values[port.name], self.place)
            if not found.success:
                whose = f'graph "{path}"' if path else f'job "{self.place.job.name}"'
                text = f'The input "{outer.name}" of the {whose} is declared so. {found.description or ""}'.rstrip()
                return outer, TypeCheckData(False, port.name, text, found.metadata)
        return port, verdict

    # -- how it ends

    def _fail(self, raised: BaseException) -> DagsterEvent:
        """The event that ends a failed attempt: another follows, or the step has failed."""
        policy = self.bench.policy
        if self.halt.is_late and not isinstance(raised, INTERRUPTS):
            return self._end_late(raised)
        if isinstance(raised, DagsterTypeCheckDidNotPass):  # maybe of user code, with metadata as users write it
            raised.metadata = dict(normalize_metadata(raised.metadata))
        requested = raised if isinstance(raised, RetryRequested) else None
        error = raised if requested is not None else self._attribute(raised)
        is_retryable = _is_retryable(raised, error)
        info = error_info(error)
        limit = None
        if self.place.retries_enabled:
            failed = self.order.failures + 1
            delay = retry_delay(policy, failed, requested=requested, is_retryable=is_retryable)
            if delay is not None:
                cause = info.cause if requested is not None and info.cause is not None else info
                return self.stamp.event(_UP_FOR_RETRY, StepRetryData(cause, delay))
            if requested is not None:
                limit = requested.max_retries
            elif policy is not None and is_retryable:
                limit = policy.max_retries or None
        source = self._source_of(raised, error)
        if limit is not None:
            error = DagsterMaxRetriesExceededError(
                f"Exceeded max_retries of {limit}\n\n{(info.cause or info).to_string()}",
                user_code_process_error_infos=[info],
            )
            error.__cause__ = raised.__cause__ if requested is not None else raised
            info = error_info(error)
        if self.place.first_error is None:
            is_wrapped = isinstance(error, DagsterUserCodeExecutionError) and error.user_exception is not None
            self.place.first_error = raised if is_wrapped else error
        user_data = None
        if isinstance(raised, Failure):
            user_data = UserFailureData("intentional-failure", raised.description, raised.metadata)
        return self.stamp.event(_FAILURE, StepFailureData(info, user_data, source, usage.since(self.before)))

    def _end_late(self, raised: BaseException) -> DagsterEvent:
        """As where the process of a step is ended that takes too long: whatever it made of that, it has failed for the time."""
        error = self.halt.error()
        if type(raised) is not type(error):
            error.__cause__ = raised
        info = error_info(error)
        may_retry = self.place.retries_enabled and not self.halt.is_last
        delay = retry_delay(self.bench.policy, self.order.failures + 1) if may_retry else None
        if delay is not None:
            return self.stamp.event(_UP_FOR_RETRY, StepRetryData(info, delay))
        self.place.first_error = self.place.first_error or error
        data = StepFailureData(info, None, ErrorSource.FRAMEWORK_ERROR, usage.since(self.before))
        return self.stamp.event(_FAILURE, data)

    def _attribute(self, raised: BaseException) -> BaseException:
        """The exception as the engine tells it: wrapped, where it came out of user code."""
        boundary, self.boundary = self.boundary, None
        if isinstance(raised, DagsterTypeLoadingError):
            return raised  # a loader of ours has said already what is wrong
        if boundary is None or isinstance(raised, Failure) or not isinstance(raised, Exception):
            return raised
        return boundary(raised)

    def _source_of(self, raised: BaseException, error: BaseException) -> ErrorSource:
        if isinstance(error, DagsterUserCodeExecutionError):
            return ErrorSource.USER_CODE_ERROR
        if isinstance(error, INTERRUPTS):
            self.place.interrupt = raised
            return ErrorSource.INTERRUPT
        if isinstance(error, (DagsterError, Failure, RetryRequested)):
            return ErrorSource.FRAMEWORK_ERROR
        return ErrorSource.UNEXPECTED_ERROR


def _is_retryable(raised: BaseException, error: BaseException) -> bool:
    """Whether a policy may try again: for what user code raises, but not for wrong types, missing outputs, an exit."""
    if not isinstance(raised, Exception):
        return False
    if isinstance(raised, Failure):
        return bool(raised.allow_retries)
    is_wrong_value = isinstance(error, (DagsterTypeCheckError, DagsterTypeLoadingError))
    return isinstance(error, DagsterUserCodeExecutionError) and not is_wrong_value


def _type_check_error(step_key: str, kind: str, port: Any, verdict: TypeCheckData) -> DagsterTypeCheckDidNotPass:
    description = f" Description: {verdict.description}" if verdict.description else ""
    return DagsterTypeCheckDidNotPass(
        f'Op "{step_key}": Type check failed for step {kind} "{port.name}" - expected type '
        f'"{port.dagster_type.display_name}".{description}',
        dict(verdict.metadata),
        port.dagster_type,
    )
