"""An op called in a test is the function that it is: arguments bound, inputs and outputs checked, nothing run or stored."""

from __future__ import annotations

import asyncio
import gc
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    AssetObservation,
    Config,
    ConfigurableResource,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    DagsterType,
    DagsterTypeCheckDidNotPass,
    DagsterUnknownResourceError,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Field,
    In,
    InitResourceContext,
    Nothing,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    ParameterCheckError,
    ResourceParam,
    RetryPolicy,
    RetryRequested,
    StringSource,
    TypeCheck,
    TypeCheckContext,
    build_hook_context,
    build_op_context,
    get_dagster_logger,
    graph,
    job,
    op,
    resource,
)

refused = partial(pytest.raises, DagsterInvalidInvocationError)
violated = partial(pytest.raises, DagsterInvariantViolationError)


def collected(stream: AsyncIterator[Any]) -> list[Any]:
    async def collect() -> list[Any]:
        return [each async for each in stream]

    return asyncio.run(collect())


# -- arguments ----------------------------------------------------------------------------------------------------------


@op
def pair(x: int, y: int = 5) -> Any:
    return x, y


@op
def with_context(context: OpExecutionContext, x: int, y: int = 5) -> Any:
    return context.op_def.name, x, y


@pytest.mark.parametrize(
    "call",
    [
        lambda: pair(1, 5),
        lambda: pair(1),
        lambda: pair(1, y=5),
        lambda: pair(y=5, x=1),
        lambda: pair.alias("other")(1),
        lambda: pair.tag({"a": "b"})(1),
        lambda: pair.with_retry_policy(RetryPolicy())(1),
        lambda: pair(build_op_context(), 1),
    ],
)
def test_arguments_go_by_position_and_by_name(call: Callable[[], Any]) -> None:
    assert call() == (1, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: with_context(None, 1),
        lambda: with_context(None, x=1),
        lambda: with_context(x=1, context=None),
        lambda: with_context(build_op_context(), 1),
        lambda: with_context(x=1, context=build_op_context()),
    ],
)
def test_context_is_the_first_argument_or_goes_by_its_name(call: Callable[[], Any]) -> None:
    assert call() == ("with_context", 1, 5)


def test_inputs_go_in_the_order_of_the_parameters_not_of_ins() -> None:
    @op(ins={"x": In(), "y": In()})
    def swapped(y: int, x: int) -> Any:
        return x, y

    assert swapped(6, 5) == swapped(6, x=5) == (5, 6)


TOO_MANY = (
    "Too many input arguments were provided for op 'pair'. This may be because an argument was provided for the context"
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pair(), r'No value provided for required input "x". This is op \'pair\'.$'),
        (lambda: pair(z=3), r"""required input "x".*There is no parameter 'z'.$"""),
        (lambda: pair(xx=3), r"""There is no parameter 'xx'. Did you mean "x"\?"""),
        (lambda: pair(1, z=3), "op 'pair' has no parameter 'z'. It takes: x, y"),
        (lambda: pair(1, 2, 3), TOO_MANY),
        (lambda: pair(None, 1, 2), "no context parameter was defined for the op. It takes 2: x, y; 3 were given"),
        (lambda: pair(1, 2, z=3), TOO_MANY),
        (lambda: pair.alias("other")(1, 2, 3), "for op 'other'"),
        (lambda: pair(1, x=2), "op pair got multiple values for argument 'x'"),
        (
            lambda: with_context(None, 1, 2, 3),
            r"Too many input arguments were provided for op 'with_context'. It takes 2",
        ),
        (
            lambda: with_context(),
            "Decorated function 'with_context' has context argument, but no context was provided when",
        ),
        (lambda: with_context.alias("other")(), "Decorated function 'with_context'"),
        (lambda: with_context(x=1), "no value for 'context' was found when invoking: no context was provided.*'x'"),
        (lambda: with_context(1, 2), "no context was provided when invoking: its first argument is 1 "),
        (lambda: with_context(build_hook_context(), 2), "its first argument is <.*BuiltHookContext"),
        (lambda: with_context(None, 1, context=None), "multiple values for argument 'context'"),
        (lambda: pair(build_op_context()), "A context was given, which the function does not take"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with refused(match=message):
        call()


def test_parameter_called_ctx_is_an_input() -> None:
    @op
    def odd(ctx: int) -> int:
        return ctx

    assert odd(3) == 3
    with refused(match='required input "ctx".*its first parameter would be named context'):
        odd(build_op_context())


def test_inputs_that_carry_nothing_are_no_arguments() -> None:
    @op(ins={"x": In(), "start": In(Nothing), "z": In()})
    def total(x: int, z: int) -> int:
        return x + z

    assert total(5, 6) == 11
    with refused(match="Attempted to provide value for nothing input 'start'. Nothing dependencies are ignored"):
        total(5, 6, start=None)
    with refused(match="Too many input arguments.*attempted to provide a value for a nothing dependency"):
        total(5, 6, 7)


def test_function_of_keyword_arguments_judges_itself_what_it_needs() -> None:
    @op(ins={"a": In(int), "b": In(default_value=4)})
    def free(**kwargs: Any) -> Any:
        return kwargs

    @op
    def named(*, a: int) -> int:
        return a

    assert free(a=1) == {"a": 1, "b": 4}
    assert free() == {"b": 4}
    assert free(other=1) == {"other": 1, "b": 4}
    assert named(a=1) == 1
    with refused(match="op 'free' has 0 positional inputs, but 1 positional inputs were provided.*by name: a, b"):
        free(1)
    with refused(match="'named' has 0 positional inputs"):
        named(1)
    with refused(match="Too many input arguments"):
        free(a=1, b=2, c=3)
    with pytest.raises(DagsterTypeCheckDidNotPass):
        free(a="text")


def test_partial_function_keeps_its_arguments() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    assert op(name="add")(partial(add, a=1, b=2))() == 3


def test_op_made_without_the_decorator_cannot_be_called() -> None:
    bare = OpDefinition(lambda context, inputs: iter(()), "bare")
    with refused(match="not constructed using the `@op` decorator: 'bare'"):
        bare(None)


def test_graph_and_job_cannot_be_called() -> None:
    @graph
    def whole() -> None:
        pair.alias("one")()

    with violated(
        match="Attempted to call graph 'whole' outside of a composition function. Invoking graphs is only valid"
    ):
        whole()
    with violated(match="Attempted to call graph 'other'"):
        whole.alias("other")()
    with violated(match=r"Attempted to call job 'whole' directly.*\(e.g. `job.execute_in_process`\)"):
        whole.to_job()()


# -- values ---------------------------------------------------------------------------------------------------------------


def test_wrong_input_is_told_with_op_input_and_type() -> None:
    message = 'Type check failed for op "other" input "x" - expected type "Int". Description: Value .text.'
    with pytest.raises(DagsterTypeCheckDidNotPass, match=message):
        pair.alias("other")("text")


def test_wrong_output_is_told_with_op_output_and_type() -> None:
    even = DagsterType(lambda _, value: TypeCheck(value % 2 == 0, "it is odd", {"value": value}), "Even")

    @op(out={"a": Out(int), "b": Out(even)})
    def makes(b: int) -> Any:
        return 1, b

    assert makes(2) == (1, 2)
    with pytest.raises(
        DagsterTypeCheckDidNotPass, match='op "makes" output "b" - expected type "Even".*it is odd'
    ) as info:
        makes(3)
    assert info.value.dagster_type is even
    assert info.value.metadata["value"].value == 3


def test_type_check_sees_the_context_and_its_resources() -> None:
    seen: list[TypeCheckContext] = []

    def check(context: TypeCheckContext, value: int) -> bool:
        seen.append(context)
        return bool(context.resources.limit >= value)

    small = DagsterType(check, "Small", required_resource_keys={"limit"})

    @op(ins={"x": In(small)})
    def take(context: OpExecutionContext, x: int) -> int:
        return x

    assert take(build_op_context(resources={"limit": 3}), 2) == 2
    assert seen[0].run_id == "EPHEMERAL"
    with pytest.raises(DagsterTypeCheckDidNotPass):
        take(build_op_context(resources={"limit": 3}), 4)
    with pytest.raises(DagsterUnknownResourceError):
        take(None, 4)


def test_what_a_type_check_raises_is_raised() -> None:
    def check(_context: TypeCheckContext, _value: object) -> bool:
        raise ZeroDivisionError

    @op(ins={"x": In(DagsterType(check, "Broken"))})
    def take(x: object) -> object:
        return x

    with pytest.raises(ZeroDivisionError):
        take(1)


@pytest.mark.parametrize("raised", [ValueError("no"), RetryRequested(max_retries=3), Failure("oops")])
def test_what_the_body_raises_is_raised_as_it_is(raised: Exception) -> None:
    @op(retry_policy=RetryPolicy(max_retries=5))
    def fails() -> None:
        raise raised

    with pytest.raises(type(raised)) as info:
        fails()
    assert info.value is raised


def test_what_is_returned_comes_back_as_it_is() -> None:
    point = namedtuple("point", "a b")

    @op(out={"a": Out(int), "b": Out(int)})
    def two(value: Any) -> Any:
        return value

    @op(out=DynamicOut(int))
    def branches() -> Any:
        return [DynamicOutput(1, "a"), DynamicOutput(2, "b")]

    outputs = Output(1, "a"), Output(2)
    assert two(outputs) is outputs
    assert two(point(1, 2)) == point(1, 2)
    assert [each.value for each in branches()] == [1, 2]
    assert op(name="plain")(lambda: Output(1, metadata={"n": 1}))().metadata["n"].value == 1
    assert op(name="none", out={"a": Out(Nothing), "b": Out(Nothing)})(lambda: None)() is None


@pytest.mark.parametrize(
    ("out", "value", "message"),
    [
        (
            {"a": Out(), "b": Out()},
            {"a": 1},
            'op "makes" has multiple outputs, but only one output was returned of type <cl',
        ),
        ({"a": Out(), "b": Out()}, None, "has multiple outputs, but only one output was returned"),
        ({"a": Out(), "b": Out()}, (1,), "Length mismatch.*Output tuple has 1 outputs, while op has 2 outputs: a, b"),
        ({"a": Out(), "b": Out()}, (Output(1, "b"), 2), "explicitly named 'b', which does not match.*position 0: 'a'"),
        ({"first": Out()}, Output(1, "frist"), """named 'frist'.*position 0: 'first'. Did you mean "first"\\?"""),
        ({}, 5, "Unexpectedly returned output of type <class 'int'>: 5. Op is explicitly defined to return no results"),
        (Out(), AssetMaterialization("a"), "you must yield them directly, or log them using the context.log_event"),
        (Out(), DynamicOutput(1, "k"), "which is not dynamic. Declare it with DynamicOut"),
        (DynamicOut(), None, "dynamic output 'result' expected a list of DynamicOutput objects, but instead received"),
        (DynamicOut(), DynamicOutput(1, "k"), "expected a list of DynamicOutput objects"),
        (DynamicOut(), [1], "dynamic output 'result' at position 0 expected a list.*an item with type <class 'int'>"),
        (DynamicOut(), [DynamicOutput(1, "k", "other")], "explicitly named 'other'"),
        (DynamicOut(), [DynamicOutput(1, "k"), DynamicOutput(2, "k")], "'result' with mapping_key 'k' multiple times"),
    ],
)
def test_returned_value_that_does_not_fit_the_outputs_is_refused(out: Any, value: Any, message: str) -> None:
    @op(out=out)
    def makes() -> Any:
        return value

    with violated(match=message):
        makes()


def test_none_for_an_optional_output_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    @op(out=Out(is_required=False))
    def maybe() -> Any:
        return None

    assert maybe() is None
    assert 'Value "None" returned for non-required output "result" of op "maybe"' in capsys.readouterr().err


# -- bodies that are run later ------------------------------------------------------------------------------------------


@op(out={"a": Out(int), "b": Out(int, is_required=False)})
def yields(values: Any) -> Iterator[Any]:
    yield from values


@op(out={"a": Out(int), "b": Out(int, is_required=False)})
async def yields_async(values: Any) -> AsyncIterator[Any]:
    for value in values:
        await asyncio.sleep(0)
        yield value


@pytest.mark.parametrize("run", [lambda values: list(yields(values)), lambda values: collected(yields_async(values))])
class TestGenerator:
    def test_gives_its_events_and_outputs_in_order(self, run: Any) -> None:
        events = [AssetMaterialization("m"), Output(1, "a"), ExpectationResult(True), Output(2, "b")]
        assert run(events) == events
        assert run([Output(1, "a")]) == [Output(1, "a")]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                [1],
                "yielded 1 .a int.. When yielding outputs from a op generator, they should be wrapped in an `Output` object",
            ),
            ([Output(1, "c")], "yielded an output 'c' that does not exist.*Outputs: a, b"),
            ([Output(1, "a"), Output(2, "a")], "Invocation of op '.*' yielded an output 'a' multiple times"),
            ([DynamicOutput(1, "k", "a")], "which is not dynamic: yield Output for it"),
            ([], """Invocation of op ['"].*['"] did not return an output for non-optional output ['"]a['"]"""),
        ],
    )
    def test_is_refused_what_does_not_fit_the_outputs(self, run: Any, values: Any, message: str) -> None:
        with violated(match=message):
            run(values)

    def test_has_its_outputs_checked_as_they_come(self, run: Any) -> None:
        with pytest.raises(DagsterTypeCheckDidNotPass, match='output "b"'):
            run([Output(1, "a"), Output("text", "b")])


def test_inputs_are_checked_before_a_body_is_run_later() -> None:
    @op
    def later(x: int) -> Iterator[Output[int]]:
        yield Output(x)

    @op
    async def soon(x: int) -> int:
        return x

    for each in (later, soon):
        with pytest.raises(DagsterTypeCheckDidNotPass):
            each("text")


def test_async_function_gives_a_coroutine() -> None:
    @op
    async def one(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @op
    async def wrong() -> int:
        await asyncio.sleep(0)
        return "text"  # type: ignore[return-value]

    async def both() -> list[int]:
        return await asyncio.gather(one(1), one(2))

    assert asyncio.run(one(3)) == 3
    assert asyncio.run(both()) == [1, 2]
    with pytest.raises(DagsterTypeCheckDidNotPass):
        asyncio.run(wrong())


def test_plain_function_may_return_a_generator_or_an_awaitable() -> None:
    async def soon() -> int:
        return 1

    async def several() -> AsyncIterator[Output[int]]:
        yield Output(1)

    class Once:
        def __init__(self) -> None:
            self.values = [Output(1)]

        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> Output[int]:
            if not self.values:
                raise StopAsyncIteration
            return self.values.pop()

    makers: list[Callable[[], Any]] = [lambda: (Output(n) for n in (1,)), soon, several, Once]
    ops = [op(name="later")(lambda make=make: make()) for make in makers]
    assert list(ops[0]()) == [Output(1)]
    assert asyncio.run(ops[1]()) == 1
    assert collected(ops[2]()) == collected(ops[3]()) == [Output(1)]


def test_async_generator_implies_outputs_that_carry_nothing() -> None:
    @op(out=Out(Nothing))
    async def works() -> AsyncIterator[AssetMaterialization]:
        yield AssetMaterialization("m")

    assert collected(works()) == [AssetMaterialization("m"), Output(None)]


def test_outputs_that_carry_nothing_are_implied() -> None:
    @op(out={"done": Out(Nothing), "maybe": Out(Nothing, is_required=False)})
    def works() -> Iterator[AssetMaterialization]:
        yield AssetMaterialization("m")

    assert list(works()) == [AssetMaterialization("m"), Output(None, "done")]


def test_dynamic_outputs_are_yielded_one_by_one() -> None:
    @op(out={"a": DynamicOut(int), "b": Out()})
    def makes(second: Any) -> Iterator[Any]:
        yield DynamicOutput(1, "k", "a")
        yield second
        yield Output(3, "b")

    assert [each.value for each in makes(DynamicOutput(2, "l", "a"))] == [1, 2, 3]
    with violated(match="yielded an output 'a' with mapping_key 'k' multiple times"):
        list(makes(DynamicOutput(2, "k", "a")))
    with violated(match="which is dynamic: yield DynamicOutput for it"):
        list(makes(Output(2, "a")))


def test_generator_that_is_closed_runs_its_own_cleaning() -> None:
    said = []

    @op
    def works(context: OpExecutionContext) -> Iterator[Any]:
        try:
            yield AssetMaterialization("m")
            yield Output(1)
        finally:
            said.append("cleaned")

    context = build_op_context()
    events = works(context)
    assert not context.is_bound
    next(events)
    assert context.is_bound
    events.close()
    assert said == ["cleaned"]
    assert not context.is_bound


def test_typed_event_stream_takes_no_bare_value() -> None:
    @op(out={"a": Out(), "b": Out(Nothing)})
    def strict(context: OpExecutionContext, value: Any) -> Any:
        context.set_requires_typed_event_stream(error_message="Say it.")
        return value

    outputs = (Output(1, "a"), Output(None, "b"))
    assert strict(None, outputs) is outputs
    with violated(match="did not yield or return expected outputs {'a'}. Say it.$"):
        strict(None, None)
    with violated(match="yielded a value of type <class 'int'> rather than an instance of Output"):
        strict(None, (1, Output(None, "b")))


# -- the context in the body ------------------------------------------------------------------------------------------


def test_events_and_metadata_of_the_last_call_stay_on_the_context() -> None:
    @op(out={"a": Out(), "b": DynamicOut()})
    def tells(context: OpExecutionContext, number: int) -> Iterator[Any]:
        context.log_event(AssetMaterialization("one"))
        context.log_event(AssetObservation("two"))
        context.add_output_metadata({"n": number}, "a")
        context.add_output_metadata({"m": number}, "a")
        yield Output(1, "a")
        context.add_output_metadata({"k": 1}, "b", mapping_key="k")
        yield DynamicOutput(1, "k", "b")

    context = build_op_context()
    for number in (1, 2):
        assert len(list(tells(context, number))) == 2
        assert context.get_events() == [AssetMaterialization("one"), AssetObservation("two")]
        assert context.get_output_metadata("a") == {"n": number, "m": number}
        assert context.get_output_metadata("b") == {"k": {"k": 1}}
        assert context.get_output_metadata("b", mapping_key="k") == {"k": 1}
        assert context.get_output_metadata("b", mapping_key="l") is None
    assert context.has_events()
    assert list(context.consume_events()) != []
    assert context.get_events() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"output_name": "a"},
            "attempted to log output metadata for output 'a' which has already been yielded. Metadata must",
        ),
        (
            {"output_name": "b", "mapping_key": "k"},
            "for output 'b' with mapping_key 'k' which has already been yielded",
        ),
        ({"output_name": "b"}, "metadata for dynamic output 'b' without providing a mapping key"),
        ({"output_name": "c"}, "tells has no output named c.*Outputs: .'a', 'b'."),
        ({}, "without providing output_name, but multiple outputs exist"),
    ],
)
def test_metadata_comes_before_its_output_and_names_it(arguments: Any, message: str) -> None:
    @op(out={"a": Out(), "b": DynamicOut()})
    def tells(context: OpExecutionContext) -> Iterator[Any]:
        yield Output(1, "a")
        yield DynamicOutput(1, "k", "b")
        context.add_output_metadata({"n": 1}, mapping_key="l", output_name="b")
        context.add_output_metadata({"n": 1}, **arguments)

    with violated(match=f"In op 'tells'.*{message}"):
        list(tells(None))


def test_single_output_need_not_be_named_for_its_metadata() -> None:
    @op
    def tells(context: OpExecutionContext) -> int:
        context.add_output_metadata({"n": 1})
        return 1

    context = build_op_context()
    assert tells(context) == 1
    assert context.get_output_metadata("result") == {"n": 1}


def test_only_events_can_be_logged() -> None:
    @op
    def tells(context: OpExecutionContext) -> None:
        context.log_event(Output(1))  # type: ignore[arg-type]

    with pytest.raises(ParameterCheckError, match='Param "event" of log_event is not one of AssetMaterialization'):
        tells(None)


def test_get_finds_the_context_wherever_the_body_runs() -> None:
    def found() -> OpExecutionContext:
        return OpExecutionContext.get()

    @op
    def plain() -> Any:
        return found().op_def.name

    @op
    def later(context: OpExecutionContext) -> Iterator[Any]:
        yield Output(found() is context)

    @op
    async def soon(context: OpExecutionContext) -> Any:
        await asyncio.sleep(0)
        return found() is context

    @op
    async def stream(context: OpExecutionContext) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        yield Output(found() is context)

    assert plain() == "plain"
    for output in later(None):
        assert output.value
        with violated(match="No current OpExecutionContext in scope"):
            found()
    assert asyncio.run(soon(None))
    assert collected(stream(None))[0].value
    with violated(match="No current"):
        found()


def test_loggers_of_modules_speak_through_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    @op
    def speaks(context: OpExecutionContext) -> None:
        context.log.info("by the %s", "context")
        get_dagster_logger().info("by a module")

    speaks(None)
    said = capsys.readouterr().err
    assert "by the context" in said
    assert "by a module" in said


def test_context_serves_one_call_at_a_time() -> None:
    @op
    def outer(context: OpExecutionContext) -> None:
        with_context(context, 1)

    @op
    async def slow(context: OpExecutionContext) -> None:
        await asyncio.sleep(0)

    async def both(context: OpExecutionContext) -> None:
        await asyncio.gather(slow(context), slow(context))

    message = "currently being used to execute outer. The context cannot be used to execute another op until outer has finished"
    context = build_op_context()
    with refused(match=message):
        outer(context)
    with refused(match="currently being used to execute slow"):
        asyncio.run(both(context))
    assert with_context(context, 1) == ("with_context", 1, 5)


def test_context_of_a_run_does_not_serve_another_op() -> None:
    found = []

    @op
    def inner() -> int:
        return 1

    @op
    def outer(context: OpExecutionContext) -> None:
        found.append(inner())
        with refused(match="That of a running op belongs to that op alone"):
            with_context(context, 1)
        found.append(with_context(None, 1))

    @job
    def whole() -> None:
        outer()

    assert whole.execute_in_process().success
    assert found == [1, ("with_context", 1, 5)]


# -- config ---------------------------------------------------------------------------------------------------------------


class Size(Config):
    width: int
    height: int = 2


@op
def sized(config: Size) -> Any:
    return config


@op(config_schema={"a": Field(int), "b": Field(str, default_value="B")})
def configured(context: OpExecutionContext) -> Any:
    return context.op_config, context.run_config


@pytest.mark.parametrize(
    "call",
    [
        lambda: sized(Size(width=1)),
        lambda: sized(config=Size(width=1)),
        lambda: sized(config={"width": 1}),
        lambda: sized(build_op_context(op_config={"width": 1})),
        lambda: sized(build_op_context(config={"width": 1})),
        lambda: sized(build_op_context(op_config=Size(width=1))),
    ],
)
def test_config_comes_as_an_argument_or_in_the_context(call: Callable[[], Any]) -> None:
    assert call() == Size(width=1, height=2)


def test_config_is_checked_and_filled_in() -> None:
    config = {"a": 1, "b": "B"}
    run_config = {"ops": {"configured": {"config": config}}, "resources": {}}
    assert configured(build_op_context(op_config={"a": 1})) == (config, run_config)
    for context in (None, build_op_context()):
        with pytest.raises(
            DagsterInvalidConfigError, match='Error in config for op.*\n.*Missing required config entry "config"'
        ):
            configured(context)
    with pytest.raises(DagsterInvalidConfigError, match='unexpected config entry "c" at path root:config'):
        configured(build_op_context(op_config={"a": 1, "c": 1}))
    with pytest.raises(DagsterInvalidConfigError, match="root:config:width"):
        sized(config={"width": "text"})


def test_context_takes_part_where_config_is_an_argument() -> None:
    @op
    def both(context: OpExecutionContext, x: int, config: Size) -> Any:
        return context.op_config, x, config.width

    expected = ({"width": 3, "height": 2}, 1, 3)
    assert both(build_op_context(), 1, Size(width=3)) == expected
    assert both(None, x=1, config=Size(width=3)) == expected
    assert both(build_op_context(op_config={"width": 3}), 1) == expected
    with refused(match="Cannot provide config in both context and kwargs"):
        both(build_op_context(op_config={"width": 3}), 1, Size(width=3))


def test_op_without_schema_takes_any_config_and_a_plain_annotation_is_a_schema() -> None:
    @op
    def free(context: OpExecutionContext) -> Any:
        return context.op_config

    @op
    def number(config: int) -> int:
        return config

    assert free(build_op_context(op_config={"any": 1})) == {"any": 1}
    assert free(None) is None
    assert number(3) == number(config=3) == 3
    with pytest.raises(DagsterInvalidConfigError):
        number("text")


def test_configured_op_needs_no_config() -> None:
    assert configured.configured({"a": 3}, name="three")(None) == ({"a": 3, "b": "B"}, {"resources": {}})
    doubled = configured.configured(lambda given: {"a": 2 * given["half"]}, name="doubled", config_schema={"half": int})
    assert doubled(build_op_context(op_config={"half": 4}))[0] == {"a": 8, "b": "B"}


def test_environment_is_read_when_the_op_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOWN", "Pisa")

    @op(config_schema={"town": StringSource})
    def visits(context: OpExecutionContext) -> Any:
        return context.op_config["town"]

    assert visits(build_op_context(op_config={"town": {"env": "SOME_TOWN"}})) == "Pisa"


# -- resources ------------------------------------------------------------------------------------------------------------


class Door(ConfigurableResource[Any]):
    """Tells when it is opened and closed."""

    name: str = "front"

    def setup_for_execution(self, context: InitResourceContext) -> None:
        assert context.instance is not None
        SAID.append(f"open {self.name}")

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        SAID.append(f"close {self.name}")


SAID: list[str] = []


@pytest.fixture(autouse=True)
def quiet() -> None:
    SAID.clear()


@op
def enters(context: OpExecutionContext, x: int, door: Door) -> Any:
    SAID.append(f"through {door.name}")
    return x, context.resources.door is door


def test_resource_given_as_an_argument_is_open_for_the_call() -> None:
    for call in (
        lambda: enters(None, 1, Door(name="back")),
        lambda: enters(build_op_context(), x=1, door=Door(name="back")),
    ):
        SAID.clear()
        assert call() == (1, True)
        assert SAID == ["open back", "through back", "close back"]


def test_resource_given_as_an_argument_is_closed_whatever_happens() -> None:
    @op
    def fails(door: Door) -> None:
        raise ZeroDivisionError

    @op
    def wrong(door: Door) -> int:
        return "text"  # type: ignore[return-value]

    @op
    def takes(x: int, door: Door) -> None:
        pass

    for call, error in (
        (fails, ZeroDivisionError),
        (wrong, DagsterTypeCheckDidNotPass),
        (partial(takes, "text"), Exception),
    ):
        SAID.clear()
        with pytest.raises(error):
            call(door=Door())
        assert SAID == ["open front", "close front"]


def test_resource_given_as_an_argument_stays_open_until_a_stream_has_ended() -> None:
    @op
    def later(door: Door) -> Iterator[Any]:
        SAID.append("through")
        yield Output(1)

    @op
    async def soon(door: Door) -> None:
        SAID.append("through")

    @op
    def lazy(door: Door) -> Any:
        return (Output(SAID.append("through")) for _ in (1,))

    list(later(door=Door()))
    asyncio.run(soon(door=Door()))
    list(lazy(door=Door()))
    assert SAID == ["open front", "through", "close front"] * 3
    unused = later(door=Door())
    del unused
    gc.collect()
    assert SAID[9:] == ["open front", "close front"]


def test_resources_come_in_the_context() -> None:
    with build_op_context(resources={"door": Door(name="side")}) as context:
        assert enters(context, 1) == (1, True)
        assert enters(context, 2) == (2, True)
    assert SAID == ["open side", "through side", "through side", "close side"]


def test_resource_to_tear_down_needs_a_with_block() -> None:
    context = build_op_context(resources={"door": Door()})
    with violated(match=r"At least one provided resource is a generator.*`with build_op_context\(...\) as context:`"):
        enters(context, 1)
    del context
    assert SAID == ["open front", "close front"]


class Session(ConfigurableResource[Any]):
    """Is opened and closed on an event loop."""

    @asynccontextmanager
    async def yield_for_execution(self, context: InitResourceContext) -> AsyncIterator[Any]:  # type: ignore[override]
        SAID.append("open")
        yield asyncio.get_running_loop()
        SAID.append("close")


def test_async_resource_is_open_on_the_event_loop_that_was_given() -> None:
    @op(required_resource_keys={"session"})
    async def asks(context: OpExecutionContext) -> Any:
        return context.resources.session is asyncio.get_running_loop()

    with closing(asyncio.new_event_loop()) as loop:
        with build_op_context(resources={"session": Session()}, event_loop=loop) as context:
            assert context.event_loop is loop
            assert loop.run_until_complete(asks(context))
            assert SAID == ["open"]
        assert SAID == ["open", "close"]
    with pytest.raises(
        DagsterResourceFunctionError, match="Unable to handle resource with async def yield_for_execution"
    ):
        build_op_context(resources={"session": Session()})


def test_anything_may_be_a_resource() -> None:
    @op
    def calls(client: ResourceParam[str], x: int = 2) -> Any:
        return client, x

    assert calls("c") == calls(client="c") == calls(build_op_context(resources={"client": "c"})) == ("c", 2)
    assert calls("c", 3) == ("c", 3)
    with refused(match="multiple values for argument 'client'"):
        calls(3, client="c")


def test_resources_come_from_one_side() -> None:
    with refused(match="Cannot provide resources in both context and kwargs"):
        enters(build_op_context(resources={"other": 1}), 1, door=Door())


@op(required_resource_keys={"foo"})
def needs_foo(context: OpExecutionContext) -> Any:
    return context.resources.foo


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda: needs_foo(None), "foo"),
        (lambda: needs_foo(build_op_context(resources={"food": 1})), "foo"),
        (lambda: enters(None, 1), "door"),
        (lambda: passes(), "door"),
    ],
)
def test_missing_resource_is_told_with_key_and_op(call: Callable[[], Any], key: str) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=f"resource with key '{key}' required by op '.*' was not provided"
    ):
        call()


@op
def passes(door: Door) -> None:
    pass


def test_function_that_takes_no_context_misses_no_resource() -> None:
    @op(required_resource_keys={"foo"})
    def blind() -> int:
        return 1

    assert blind() == 1
    with refused(match="Too many input arguments"):
        blind(None)


def test_context_gives_what_it_was_given_and_names_what_it_was_not() -> None:
    @op
    def looks(context: OpExecutionContext, key: str) -> Any:
        return getattr(context.resources, key)

    context = build_op_context(resources={"a": 1})
    assert looks(context, "a") == 1
    with pytest.raises(DagsterUnknownResourceError, match="Available here: a"):
        looks(context, "b")


def test_resource_functions_are_called_with_their_config_and_one_another() -> None:
    @resource(config_schema={"n": Field(int, default_value=7)})
    def number(context: InitResourceContext) -> Any:
        return context.resource_config["n"]

    @resource(required_resource_keys={"number"})
    def foo(context: InitResourceContext) -> Any:
        return context.resources.number + 1

    assert needs_foo(build_op_context(resources={"foo": foo, "number": number})) == 8
    config = {"number": {"config": {"n": 1}}}
    context = build_op_context(resources={"foo": foo, "number": number}, resources_config=config)
    assert needs_foo(context) == 2
    assert op(name="asks")(lambda context: context.run_config)(context) == {"resources": config}
