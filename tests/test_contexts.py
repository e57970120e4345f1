"""What user code is handed in a run: every member of every context says what it should."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    AssetObservation,
    CheckError,
    ConfigurableResource,
    DagsterInstance,
    DagsterInvalidPropertyError,
    DagsterInvariantViolationError,
    DagsterLogManager,
    DagsterType,
    DagsterUnknownResourceError,
    DynamicOut,
    DynamicOutput,
    ExecuteInProcessResult,
    ExpectationResult,
    Field,
    HookContext,
    In,
    InitLoggerContext,
    InitResourceContext,
    InMemoryIOManager,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    ParameterCheckError,
    ResourceDefinition,
    RetryRequested,
    SystemComputeExecutionContext,
    TypeCheckContext,
    check_dagster_type,
    failure_hook,
    graph,
    job,
    logger,
    mem_io_manager,
    op,
    resource,
    success_hook,
)
from treadle.contexts import NotPartitionedError

Body = Callable[[OpExecutionContext], Any]


def run_body(body: Body, *, run_config: Any = None, run_tags: Any = None, **of_op: Any) -> ExecuteInProcessResult:
    """Run a job `flight` whose only op, `boards`, placed as `gate`, has this body."""

    made = op(**of_op)(_boards(body))

    @job(tags={"line": "red"}, resource_defs=RESOURCES)
    def flight() -> None:
        made.alias("gate")()

    return flight.execute_in_process(run_config=run_config, tags=run_tags)


def _boards(body: Body) -> Callable[..., Any]:
    def boards(context: OpExecutionContext) -> Any:
        return body(context)

    return boards


RESOURCES = {
    "fuel": ResourceDefinition.hardcoded_resource("F"),
    "crew": ResourceDefinition.hardcoded_resource("C"),
    "unused": ResourceDefinition.hardcoded_resource("U"),
    "shelf": mem_io_manager,
}


def seen_by(read: Body, **options: Any) -> Any:
    """What a body reads from its context."""
    found = []
    run_body(lambda context: found.append(read(context)), **options)
    return found[0]


# -- ops: the run -----------------------------------------------------------------------------------------------------------


def test_op_sees_its_run() -> None:
    found: dict[str, Any] = {}

    def body(context: OpExecutionContext) -> None:
        found.update(
            run_id=context.run_id, runs=(context.run, context.dagster_run, context.pipeline_run),
            instance=context.instance, jobs=(context.job_def, context.pipeline_def),
            names=(context.job_name, context.pipeline_name), config=context.run_config, tags=dict(context.run_tags),
        )  # fmt: skip

    run_config = {"ops": {"gate": {"config": {"any": 1}}}}
    result = run_body(body, run_config=run_config, run_tags={"owner": "ann"})
    assert found["run_id"] == result.run_id
    assert {run.run_id for run in found["runs"]} == {result.run_id}
    assert isinstance(found["instance"], DagsterInstance)
    assert {each.name for each in found["jobs"]} == set(found["names"]) == {"flight"}
    assert found["config"] == run_config
    assert found["tags"] == {"line": "red", "owner": "ann"}


def test_op_sees_the_tags_of_its_run() -> None:
    def read(context: OpExecutionContext) -> Any:
        return context.has_tag("line"), context.get_tag("line"), context.has_tag("no"), context.get_tag("no")

    assert seen_by(read) == (True, "red", False, None)


# -- ops: the op ------------------------------------------------------------------------------------------------------------


def test_op_sees_itself_under_both_of_its_names() -> None:
    @op
    def boards(context: OpExecutionContext) -> None:
        found.append(context)

    @graph
    def inner() -> None:
        boards.alias("gate")()

    @job
    def flight() -> None:
        inner()

    found: list[OpExecutionContext] = []
    assert flight.execute_in_process().success
    (context,) = found
    assert (context.op.name, context.solid.name) == ("gate", "gate")
    assert (context.op_def, context.solid_def) == (boards, boards)
    assert {str(handle) for handle in (context.op_handle, context.node_handle, context.solid_handle)} == {"inner.gate"}
    assert context.step_key == "inner.gate"
    assert context.describe_op() == 'op "gate"'
    assert set(context.selected_output_names) == {"result"}
    assert context.op_execution_context is context.get_step_execution_context() is context
    assert context.step_launcher is None
    with pytest.raises(CheckError, match="No repository definition was set on the step context"):
        _ = context.repository_def


def test_op_config_is_filled_in_and_none_where_there_is_nothing() -> None:
    def read(context: OpExecutionContext) -> Any:
        return context.op_config, context.solid_config

    schema = {"a": Field(int, default_value=1)}
    assert seen_by(read, config_schema=schema) == ({"a": 1}, {"a": 1})
    assert seen_by(read) == (None, None)
    assert seen_by(read, run_config={"ops": {"gate": {"config": {"any": 2}}}}) == ({"any": 2}, {"any": 2})


def test_op_sees_the_resources_that_it_its_types_and_its_io_managers_require() -> None:
    made_of_crew = DagsterType(lambda _context, _value: True, "Crewed", required_resource_keys={"crew"})
    options: Any = {"out": Out(made_of_crew, io_manager_key="shelf"), "required_resource_keys": {"fuel"}}
    resources = seen_by(lambda context: context.resources, **options)
    assert resources._asdict().keys() == {"fuel", "crew", "shelf"}
    assert (resources.fuel, resources.crew) == ("F", "C")
    assert not hasattr(resources, "unused")
    with pytest.raises(DagsterUnknownResourceError, match="Unknown resource `unused`"):
        _ = resources.unused
    assert isinstance(seen_by(lambda context: context.resources.io_manager), InMemoryIOManager)
    assert seen_by(lambda context: context.resources._asdict(), out={}) == {}


def test_log_is_a_logger_and_the_same_for_one_attempt() -> None:
    log, again = seen_by(lambda context: (context.log, context.log))
    assert isinstance(log, DagsterLogManager)
    assert isinstance(log, logging.Logger)
    assert log is again


def test_attempts_are_counted_from_0() -> None:
    numbers = []

    def body(context: OpExecutionContext) -> None:
        numbers.append((context.retry_number, context.get_output_metadata("result")))
        context.add_output_metadata({"n": 1})
        if context.retry_number < 2:
            raise RetryRequested(max_retries=2)

    run_body(body)
    assert numbers == [(0, None), (1, None), (2, None)]


def test_branch_knows_its_key() -> None:
    keys: dict[str, str | None] = {}

    @op(out=DynamicOut(int))
    def splits(context: OpExecutionContext) -> Iterator[DynamicOutput[int]]:
        keys["splits"] = context.get_mapping_key()
        for number in (1, 2):
            yield DynamicOutput(number, f"k{number}")

    @op
    def takes(context: OpExecutionContext, number: int) -> None:
        keys[context.step_key] = context.get_mapping_key()

    @job
    def flight() -> None:
        splits().map(takes)

    flight.execute_in_process()
    assert keys == {"splits": None, "takes[k1]": "k1", "takes[k2]": "k2"}


def test_op_has_no_partition_and_no_asset() -> None:
    names = ["has_partition_key", "has_partitions", "has_partition_key_range", "has_assets_def", "is_subset"]
    context = seen_by(lambda context: context)
    assert [getattr(context, name) for name in names] == [False] * 5
    assert context.selected_asset_keys == set()
    for name in ("partition_key", "partition_keys", "partition_key_range", "partition_time_window"):
        for error in (CheckError, DagsterInvariantViolationError, NotPartitionedError):
            with pytest.raises(error, match="non-partitioned run"):
                getattr(context, name)
    for name in ("assets_def", "asset_key"):
        with pytest.raises(DagsterInvalidPropertyError, match="Op 'gate' does not have an assets definition"):
            getattr(context, name)


def test_debugger_is_at_hand() -> None:
    assert callable(seen_by(lambda context: context.pdb).set_trace)


def test_context_has_its_older_name() -> None:
    assert SystemComputeExecutionContext is OpExecutionContext


def test_get_finds_the_context_while_an_op_runs_and_only_then() -> None:
    assert seen_by(lambda context: OpExecutionContext.get() is context)
    with pytest.raises(DagsterInvariantViolationError, match="No current OpExecutionContext in scope"):
        OpExecutionContext.get()


# -- ops: what the body tells ---------------------------------------------------------------------------------------------


def test_logged_events_stand_in_the_log_before_the_outputs() -> None:
    def body(context: OpExecutionContext) -> None:
        context.log_event(AssetMaterialization("a"))
        context.log_event(AssetObservation("b"))
        context.log_event(ExpectationResult(False))

    kinds = [event.event_type_value for event in run_body(body).all_events if event.is_step_event]
    assert kinds[1:5] == ["ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "STEP_EXPECTATION_RESULT", "STEP_OUTPUT"]


def test_only_events_can_be_logged() -> None:
    with pytest.raises(ParameterCheckError, match='Param "event" of log_event is not one of AssetMaterialization'):
        run_body(lambda context: context.log_event(Output(1)))  # type: ignore[arg-type]


def output_metadata(result: ExecuteInProcessResult) -> dict[Any, Any]:
    made = {}
    for event in result.all_events:
        if event.event_type_value == "STEP_OUTPUT":
            handle = event.event_specific_data.step_output_handle
            made[handle.output_name, handle.mapping_key] = {
                key: value.value for key, value in event.event_specific_data.metadata.items()
            }
    return made


def test_metadata_adds_up_and_wins_over_that_of_the_output() -> None:
    def body(context: OpExecutionContext) -> Output[int]:
        context.add_output_metadata({"a": 1, "b": 1})
        context.add_output_metadata({"b": 2}, output_name="result")
        assert context.get_output_metadata("result") == {"a": 1, "b": 2}
        return Output(1, metadata={"b": 3, "c": 3})

    assert output_metadata(run_body(body)) == {("result", None): {"a": 1, "b": 2, "c": 3}}


def test_metadata_of_a_branch_needs_its_key() -> None:
    def body(context: OpExecutionContext) -> Iterator[DynamicOutput[int]]:
        with pytest.raises(DagsterInvariantViolationError, match="without providing a mapping key"):
            context.add_output_metadata({"n": 0})
        context.add_output_metadata({"n": 1}, mapping_key="a")
        assert context.get_output_metadata("result") == {"a": {"n": 1}}
        assert context.get_output_metadata("result", mapping_key="a") == {"n": 1}
        yield DynamicOutput(1, "a")
        yield DynamicOutput(2, "b", metadata={"n": 2})

    found = output_metadata(run_body(lambda context: (yield from body(context)), out=DynamicOut()))
    assert found == {("result", "a"): {"n": 1}, ("result", "b"): {"n": 2}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x", "for output 'x' which has already been yielded. Metadata must be logged before the output is yielded"),
        ("z", "gate has no output named z.*Outputs: .'x', 'y'."),
        (None, "without providing output_name, but multiple outputs exist: .'x', 'y'."),
    ],
)
def test_metadata_comes_before_its_output_and_names_it(name: str | None, message: str) -> None:
    def body(context: OpExecutionContext) -> Iterator[Output[int]]:
        yield Output(1, "x")
        context.add_output_metadata({"n": 1}, output_name="y")
        context.add_output_metadata({"n": 1}, output_name=name)

    with pytest.raises(DagsterInvariantViolationError, match=f"In op 'gate'.*{message}"):
        run_body(lambda context: (yield from body(context)), out={"x": Out(), "y": Out()})


def test_typed_event_stream_takes_no_bare_value() -> None:
    def body(context: OpExecutionContext) -> Any:
        assert not context.requires_typed_event_stream
        assert context.typed_event_stream_error_message is None
        context.set_requires_typed_event_stream(error_message="Say it.")
        assert context.requires_typed_event_stream
        assert context.typed_event_stream_error_message == "Say it."

    with pytest.raises(DagsterInvariantViolationError, match=r"did not yield or return expected outputs.*Say it\.$"):
        run_body(body)
    with pytest.raises(DagsterInvariantViolationError, match="yielded a value of type <class 'int'>"):
        run_body(lambda context: body(context) or 5)
    assert run_body(lambda context: body(context) or Output(5)).success


# -- types, resources, loggers ------------------------------------------------------------------------------------------


def test_type_check_sees_run_log_and_the_resources_of_the_type() -> None:
    seen: list[TypeCheckContext] = []

    def check(context: TypeCheckContext, _value: object) -> bool:
        seen.append(context)
        return True

    fuelled = DagsterType(check, "Fuelled", required_resource_keys={"fuel"})
    result = run_body(lambda _context: 1, out=Out(fuelled), required_resource_keys={"crew"})
    (context,) = seen
    assert context.run_id == result.run_id
    assert isinstance(context.log, DagsterLogManager)
    assert context.resources._asdict() == {"fuel": "F"}
    assert check_dagster_type(DagsterType(check, "Checked"), 1).success
    assert seen[1].run_id
    assert isinstance(seen[1].log, logging.Logger)


def test_resource_sees_its_config_the_run_and_what_it_requires() -> None:
    seen: list[InitResourceContext] = []

    @resource(config_schema={"n": Field(int, default_value=3)}, required_resource_keys={"fuel"})
    def engine(context: InitResourceContext) -> None:
        seen.append(context)

    @op(required_resource_keys={"engine"})
    def boards() -> None:
        pass

    @job(resource_defs={**RESOURCES, "engine": engine})
    def flight() -> None:
        boards()

    result = flight.execute_in_process()
    (context,) = seen
    assert context.resource_config == {"n": 3}
    assert context.resource_def is engine
    assert context.resources._asdict() == {"fuel": "F"}
    assert context.all_resource_defs.keys() >= {"engine", "fuel", "crew"}
    assert isinstance(context.instance, DagsterInstance)
    assert context.run is not None
    assert context.dagster_run is context.pipeline_run is context.run
    assert context.run_id == context.run.run_id == result.run_id
    assert isinstance(context.log, DagsterLogManager)
    assert context.log_manager is context.log
    other = context.replace_config("other")
    assert (other.resource_config, other.resource_def, other.run_id) == ("other", engine, result.run_id)


class Session(ConfigurableResource[Any]):
    """Tells which event loop it was opened and closed on."""

    @asynccontextmanager
    async def yield_for_execution(self, context: InitResourceContext) -> AsyncIterator[list[Any]]:  # type: ignore[override]
        loops = [asyncio.get_running_loop(), context.event_loop]
        yield loops
        LOOPS.append((loops, asyncio.get_running_loop()))


LOOPS: list[Any] = []


def fly_async() -> ExecuteInProcessResult:
    @op(required_resource_keys={"session"})
    async def first(context: OpExecutionContext) -> None:
        context.resources.session.append(asyncio.get_running_loop())

    @op(required_resource_keys={"session"}, ins={"start": In(Nothing)})
    async def second(context: OpExecutionContext) -> AsyncIterator[Output[int]]:
        await asyncio.sleep(0)
        context.resources.session.append(asyncio.get_running_loop())
        yield Output(7)

    @job(resource_defs={"session": Session()})
    def flight() -> None:
        second(first())

    return flight.execute_in_process()


async def fly_from_a_loop() -> ExecuteInProcessResult:
    return fly_async()


@pytest.mark.parametrize("fly", [fly_async, lambda: asyncio.run(fly_from_a_loop())])
def test_resources_and_async_ops_share_the_event_loop_of_the_run(fly: Callable[[], ExecuteInProcessResult]) -> None:
    LOOPS.clear()
    assert fly().output_for_node("second") == 7
    ((loops, last),) = LOOPS
    assert {id(loop) for loop in (*loops, last)} == {id(last)}
    assert len(loops) == 4
    assert last.is_closed()


def test_function_that_makes_an_async_context_manager_is_a_resource() -> None:
    @resource
    @asynccontextmanager
    async def session(_context: InitResourceContext) -> AsyncIterator[str]:
        yield "open"
        LOOPS.append("closed")

    LOOPS.clear()
    found = []

    @op(required_resource_keys={"session"})
    def asks(context: OpExecutionContext) -> None:
        found.append(context.resources.session)

    @job(resource_defs={"session": session})
    def flight() -> None:
        asks()

    assert flight.execute_in_process().success
    assert (found, LOOPS) == (["open"], ["closed"])


def test_logger_sees_its_config_and_the_job() -> None:
    seen: list[InitLoggerContext] = []

    @logger(config_schema={"n": Field(int, default_value=3)})
    def mine(init_context: InitLoggerContext) -> logging.Logger:
        seen.append(init_context)
        return logging.getLogger("mine")

    @op
    def boards() -> None:
        pass

    @job(logger_defs={"mine": mine})
    def flight() -> None:
        boards()

    result = flight.execute_in_process(run_config={"loggers": {"mine": {}}})
    context = seen[0]
    assert context.logger_config == {"n": 3}
    assert context.logger_def is mine
    assert context.job_def.name == context.pipeline_def.name == "flight"
    assert context.run_id == result.run_id


# -- hooks ------------------------------------------------------------------------------------------------------------------


def hooked(body: Body, **of_op: Any) -> tuple[HookContext, ExecuteInProcessResult]:
    """The context that a hook gets after this body, and the result of the run."""
    seen: list[HookContext] = []

    def keep(context: HookContext) -> None:
        seen.append(context)

    made = op(**of_op)(_boards(body))
    hooks = {
        success_hook(name="glad", required_resource_keys={"crew"})(keep),
        failure_hook(name="sad", required_resource_keys={"crew"})(keep),
    }

    @job(resource_defs=RESOURCES, hooks=hooks)
    def flight() -> None:
        made.alias("gate")()

    result = flight.execute_in_process(raise_on_error=False)
    (context,) = seen
    return context, result


def test_hook_sees_the_step_that_succeeded() -> None:
    context, result = hooked(lambda _context: 5, config_schema={"a": Field(int, default_value=1)})
    assert context.hook_def.name == "glad"
    assert (context.job_name, context.run_id) == ("flight", result.run_id)
    assert context.step_key == "gate"
    assert (context.op.name, context.op.definition.name, context.solid.name) == ("gate", "boards", "gate")
    assert context.op_config == context.solid_config == {"a": 1}
    assert isinstance(context.instance, DagsterInstance)
    assert isinstance(context.log, DagsterLogManager)
    assert context.log is context.log
    assert context.resources._asdict() == {"crew": "C"}
    assert context.required_resource_keys == {"crew"}
    assert context.op_exception is context.solid_exception is None
    assert context.op_output_values == context.solid_output_values == {"result": 5}
    assert context.op_output_metadata == {"result": {}}


def test_hook_sees_the_exception_as_it_was_raised() -> None:
    error = ZeroDivisionError("no")

    def body(_context: OpExecutionContext) -> None:
        raise error

    context, _ = hooked(body)
    assert context.hook_def.name == "sad"
    assert context.op_exception is error
    assert context.op_output_values == {}
    assert context.op_output_metadata == {}


def test_hook_sees_outputs_by_name_and_by_branch() -> None:
    def body(context: OpExecutionContext) -> Iterator[Any]:
        context.add_output_metadata({"n": 1}, "plain")
        yield Output(1, "plain", metadata={"m": 2})
        yield DynamicOutput(2, "k", "branch", metadata={"m": 3})
        yield DynamicOutput(3, "l", "branch")

    outs = {"plain": Out(), "branch": DynamicOut(), "maybe": Out(is_required=False), "done": Out(Nothing)}
    context, _ = hooked(lambda context: (yield from body(context)), out=outs)
    assert context.op_output_values == {"plain": 1, "branch": {"k": 2, "l": 3}, "done": None}
    plain = {key: value.value for key, value in context.op_output_metadata["plain"].items()}
    assert plain == {"n": 1, "m": 2}
    assert context.op_output_metadata["branch"]["k"]["m"].value == 3
    assert context.op_output_metadata["branch"]["l"] == context.op_output_metadata["done"] == {}
    assert "maybe" not in context.op_output_metadata
