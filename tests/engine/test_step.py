"""One step run by itself, without a driver: what it yields, and what becomes of what user code does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterRun,
    DagsterType,
    DagsterTypeCheckDidNotPass,
    Failure,
    GraphDefinition,
    In,
    IOManager,
    JobDefinition,
    Nothing,
    OpExecutionContext,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    mem_io_manager,
    op,
    resource,
    success_hook,
)
from treadle.api import iterate_in_process
from treadle.contexts import RunFacts
from treadle.definitions import run_config
from treadle.definitions.hooks import HookExecutionResult, event_list_hook
from treadle.definitions.opening import OpenResources
from treadle.engine.step import run_step
from treadle.engine.workplace import Workplace
from treadle.logs import RunLog
from treadle.plan.compile import compile_plan
from treadle.plan.model import Launch
from treadle.preparation import RunOptions

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def workplace(a_job: JobDefinition) -> Workplace:
    """A place to run a job's steps in, its values kept in memory, and nobody to announce events to."""
    bound = a_job.with_top_level_resources({"io_manager": mem_io_manager})
    run = DagsterRun(job_name=bound.name, run_id="run")
    facts = RunFacts(run, bound, DagsterInstance.ephemeral(), RunLog("run", bound.name, []))
    place = Workplace(facts, compile_plan(bound), run_config.resolve(bound, None), {})
    opened = OpenResources(bound.resource_defs, place.config.resources, lambda key, **given: _context(**given))
    opened.open(sorted(bound.required_resource_keys))
    place.resources = opened.values
    return place


def _context(**given: Any) -> Any:
    from treadle import InitResourceContext

    return InitResourceContext(**given)


def events_of(place: Workplace, path: str, attempt: int = 1) -> list[str]:
    return [event.event_type_value for event in run_step(place, Launch(path, path, (), attempt, {}, attempt - 1))]


def test_what_a_body_logs_stands_before_its_next_output_where_nobody_listens() -> None:
    @op(out={"a": Out(), "b": Out()})
    def logs(context: OpExecutionContext) -> Iterator[Output[int]]:
        context.log_event(AssetMaterialization("first"))
        yield Output(1, "a")
        context.log_event(AssetMaterialization("second"))
        yield Output(2, "b")
        context.log_event(AssetMaterialization("third"))

    @job
    def logging() -> None:
        logs()

    assert [e for e in events_of(workplace(logging), "logs") if e != "HANDLED_OUTPUT"] == [
        "STEP_START",
        "ASSET_MATERIALIZATION",
        "STEP_OUTPUT",
        "ASSET_MATERIALIZATION",
        "STEP_OUTPUT",
        "ASSET_MATERIALIZATION",
        "STEP_SUCCESS",
    ]


def test_what_a_plain_function_logs_stands_before_its_output() -> None:
    @op
    def logs(context: OpExecutionContext) -> int:
        context.log_event(AssetMaterialization("made"))
        return 1

    @job
    def logging() -> None:
        logs()

    assert events_of(workplace(logging), "logs")[1:3] == ["ASSET_MATERIALIZATION", "STEP_OUTPUT"]


def test_what_a_body_logged_before_it_failed_is_kept() -> None:
    @op
    def logs(context: OpExecutionContext) -> None:
        context.log_event(AssetMaterialization("made"))
        raise ValueError("no")

    @job
    def logging() -> None:
        logs()

    assert events_of(workplace(logging), "logs") == ["STEP_START", "ASSET_MATERIALIZATION", "STEP_FAILURE"]


def test_signal_that_came_before_the_body_keeps_it_from_running() -> None:
    ran = []

    @op
    def runs() -> None:
        ran.append(1)

    @job
    def running() -> None:
        runs()

    place = workplace(running)
    place.signals.pending = DagsterExecutionInterruptedError("SIGTERM came")
    assert events_of(place, "runs") == ["STEP_START", "STEP_FAILURE"]
    assert ran == []
    assert place.interrupt is place.signals.pending


def test_closed_step_runs_the_cleanup_of_its_generator() -> None:
    cleaned = []

    @op(out={"a": Out(), "b": Out()})
    def cleans() -> Iterator[Output[int]]:
        try:
            yield Output(1, "a")
            yield Output(2, "b")
        finally:
            cleaned.append(1)

    @job
    def cleaning() -> None:
        cleans()

    stream = run_step(workplace(cleaning), Launch("cleans", "cleans", (), 1, {}))
    for event in stream:
        if event.event_type_value == "STEP_OUTPUT":
            break
    stream.close()  # type: ignore[attr-defined]
    assert cleaned == [1]


def test_hook_over_the_list_of_events_sees_the_events_of_its_step() -> None:
    seen: list[list[str]] = []

    @event_list_hook
    def looks(_context: Any, events: list[Any]) -> HookExecutionResult:
        seen.append([event.event_type_value for event in events])
        return HookExecutionResult("looks", is_skipped=False)

    @op
    def one() -> int:
        return 1

    @job(hooks={looks})
    def looking() -> None:
        one()

    assert looking.execute_in_process(run_config=QUIET).success
    assert seen == [["STEP_START", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]]


def test_type_whose_isinstance_raises_fails_the_step_as_user_code() -> None:
    class Broken(type):
        def __instancecheck__(cls, _value: object) -> bool:
            raise RuntimeError("isinstance is broken")

    class Plane(metaclass=Broken):
        pass

    @op
    def flies() -> Plane:
        return object()  # type: ignore[return-value]

    @job
    def flying() -> None:
        flies()

    with pytest.raises(RuntimeError, match="isinstance is broken"):
        flying.execute_in_process(run_config=QUIET)


def test_resources_of_a_type_are_there_for_its_check() -> None:
    limits = []

    def check(context: Any, _value: object) -> bool:
        limits.append(context.resources.limit)
        return True

    Limited = DagsterType(check, name="Limited", required_resource_keys={"limit"})

    @op(out=Out(Limited))
    def gives() -> Any:
        return 1

    @op(ins={"x": In(Limited)})
    def takes(x: Any) -> None:
        return None

    @job(resource_defs={"limit": resource(lambda: 7)})
    def limited() -> None:
        takes(gives())

    assert limited.execute_in_process(run_config=QUIET).success
    assert limits == [7, 7]


def test_value_from_an_output_that_carries_none_is_refused_with_both_names() -> None:
    @op
    def gives_nothing() -> None:
        return None

    @op
    def needs(x: int) -> int:
        return x

    with pytest.warns(UserWarning, match="gives_nothing"):

        @job
        def wrong() -> None:
            needs(gives_nothing())

    with pytest.raises(DagsterInvalidDefinitionError, match='of "gives_nothing", which is of type Nothing'):
        wrong.execute_in_process(run_config=QUIET)


def test_manager_that_returns_something_odd_fails_the_step_with_its_key() -> None:
    class Odd(IOManager):
        def handle_output(self, context: Any, obj: Any) -> Any:
            return "stored"

        def load_input(self, context: Any) -> Any:
            return None

    @op
    def one() -> int:
        return 1

    @job(resource_defs={"io_manager": Odd()})
    def odd() -> None:
        one()

    with pytest.raises(Exception, match='IO manager "io_manager" on output "result" has returned \'stored\''):
        odd.execute_in_process(run_config=QUIET)


def test_what_an_io_manager_logs_stands_before_its_output_is_handled() -> None:
    class Telling(IOManager):
        def handle_output(self, context: Any, obj: Any) -> Iterator[Any]:
            context.step_context.log_event(AssetMaterialization("by the body"))
            yield AssetMaterialization("by the manager")

        def load_input(self, context: Any) -> Any:
            return None

    @op(out=Out(io_manager_key="telling"))
    def one() -> int:
        return 1

    @job(resource_defs={"telling": Telling()})
    def told() -> None:
        one()

    kinds = events_of(workplace(told), "one")
    assert kinds.index("STEP_OUTPUT") < kinds.index("ASSET_MATERIALIZATION") < kinds.index("HANDLED_OUTPUT")
    assert kinds.count("ASSET_MATERIALIZATION") == 2


def test_run_has_one_event_loop_however_often_it_is_asked_for() -> None:
    seen: list[Any] = []

    @resource
    def first(context: Any) -> int:
        seen.append(context.event_loop)
        return 1

    @resource
    def second(context: Any) -> int:
        seen.append(context.event_loop)
        return 2

    @op(required_resource_keys={"a", "b"})
    def use() -> None: ...

    @job(resource_defs={"a": first, "b": second})
    def using() -> None:
        use()

    assert using.execute_in_process(run_config=QUIET).success
    assert seen[0] is seen[1]
    assert seen[0].is_closed()


def test_default_of_a_jobs_own_input_is_used_where_nobody_gives_a_value() -> None:
    @op
    def doubles(x: int) -> int:
        return 2 * x

    @graph
    def doubling(x: int = 4) -> Any:
        return doubles(x)

    assert doubling.execute_in_process(run_config=QUIET).output_value() == 8


def test_required_nothing_output_is_implied_and_an_optional_one_is_not() -> None:
    @op(out={"must": Out(Nothing), "may": Out(Nothing, is_required=False)})
    def runs() -> Iterator[Output[None]]:
        yield from ()

    @job
    def running() -> None:
        runs()

    result = running.execute_in_process(run_config=QUIET)
    outputs = [e.step_output_data.output_name for e in result.all_events if e.is_successful_output]
    assert outputs == ["must"]


def test_failure_with_retries_forbidden_is_final() -> None:
    @op
    def fails() -> None:
        raise Failure("no", allow_retries=False)

    @job
    def failing() -> None:
        fails()

    assert events_of(workplace(failing), "fails") == ["STEP_START", "STEP_FAILURE"]


def test_iterator_that_is_dropped_early_ends_the_run_and_closes_its_resources() -> None:
    closed = []

    @resource
    def connection() -> Iterator[str]:
        yield "open"
        closed.append(1)

    @op(required_resource_keys={"connection"})
    def first() -> int:
        return 1

    @op
    def second(x: int) -> int:
        return x

    @job(resource_defs={"connection": connection})
    def pair() -> None:
        second(first())

    with DagsterInstance.ephemeral() as instance:
        events = iterate_in_process(pair, None, RunOptions(instance=instance))
        for event in events:
            if event.is_step_success:
                break
        events.close()  # type: ignore[attr-defined]
        (run,) = instance.get_runs()
        log = [entry.dagster_event_type.name for entry in instance.all_logs(run.run_id) if entry.dagster_event_type]
    assert closed == [1]
    assert run.status.value == "FAILURE"
    assert log[-2:] == ["STEP_SUCCESS", "RUN_FAILURE"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fault_of_ours_ends_the_run_in_the_log_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    @op
    def one() -> int:
        return 1

    @job
    def single() -> None:
        one()

    def breaks(*_args: object) -> None:
        raise AssertionError("a fault of ours")

    monkeypatch.setattr("treadle.engine.machine.Machine.handle", breaks)
    with DagsterInstance.ephemeral() as instance:
        with pytest.raises(AssertionError, match="a fault of ours"):
            single.execute_in_process(run_config=QUIET, instance=instance)
        (run,) = instance.get_runs()
        assert run.status.value == "FAILURE"


def test_metadata_added_by_the_body_joins_that_of_the_output_and_reaches_hooks() -> None:
    seen: list[Any] = []

    @success_hook
    def looks(context: Any) -> None:
        seen.append({name: sorted(found) for name, found in context.op_output_metadata.items()})

    @op
    def counts(context: OpExecutionContext) -> Output[int]:
        context.add_output_metadata({"rows": 2})
        return Output(1, metadata={"unit": "flights"})

    @job(hooks={looks})
    def counting() -> None:
        counts()

    result = counting.execute_in_process(run_config=QUIET)
    (output,) = [e.step_output_data for e in result.all_events if e.is_successful_output]
    assert {name: found.value for name, found in output.metadata.items()} == {"unit": "flights", "rows": 2}
    assert seen == [{"result": ["rows", "unit"]}]


def test_body_that_asked_for_a_typed_stream_fails_where_an_output_is_missing() -> None:
    @op
    def asks(context: OpExecutionContext) -> None:
        context.set_requires_typed_event_stream(error_message="Report each output.")

    @op(out=Out(is_required=True))
    def forgets(context: OpExecutionContext) -> Iterator[Output[int]]:
        context.set_requires_typed_event_stream(error_message="Report each output.")
        yield from ()

    @job
    def forgetting() -> None:
        forgets()

    with pytest.raises(Exception, match="did not yield or return expected outputs .*Report each output.$"):
        forgetting.execute_in_process(run_config=QUIET)


def test_retries_that_are_switched_off_leave_the_users_error_as_it_is() -> None:
    @op(retry_policy=RetryPolicy(max_retries=3))
    def fails() -> None:
        raise ValueError("no")

    @job
    def failing() -> None:
        fails()

    place = workplace(failing)
    place.retries_enabled = False
    assert events_of(place, "fails") == ["STEP_START", "STEP_FAILURE"]
    assert isinstance(place.first_error, ValueError)


def test_policy_without_retries_leaves_the_users_error_as_it_is() -> None:
    @op(retry_policy=RetryPolicy(max_retries=0))
    def fails() -> None:
        raise ValueError("no")

    @job
    def failing() -> None:
        fails()

    with pytest.raises(ValueError, match="no"):
        failing.execute_in_process(run_config=QUIET)


# -- what graphs say of their inputs ----------------------------------------------------------------------------------------


@op
def passed(x: Any) -> Any:
    return x


@op
def stepped(x: int) -> int:
    return x


@graph
def of_an_int(x: int) -> Any:
    return passed(x)


@graph
def of_ints(x: list[int]) -> Any:
    return passed(x)


@graph
def of_anything(x: Any) -> Any:
    return of_an_int(x)


@graph
def of_what_it_feeds(x) -> Any:  # type: ignore[no-untyped-def]
    passed(x)
    return stepped(x)


@pytest.mark.parametrize(
    ("whole", "value", "whose", "wanted"),
    [
        (of_an_int, "a", 'the job "of_an_int"', "Int"),
        (of_ints, [1, "a"], 'the job "of_ints"', r"\[Int\]"),
        (of_anything, "a", 'the graph "of_an_int"', "Int"),
    ],
)
def test_value_that_an_annotation_of_a_graph_forbids_fails_the_step_that_takes_it(
    whole: GraphDefinition[Any, Any], value: Any, whose: str, wanted: str
) -> None:
    with pytest.raises(
        DagsterTypeCheckDidNotPass,
        match=rf'step input "x" - expected type "{wanted}".*input "x" of {whose} is declared so.*must be',
    ):
        whole.execute_in_process(input_values={"x": value})
    result = whole.execute_in_process(input_values={"x": value}, raise_on_error=False)
    (seen,) = [event.step_input_data for event in result.all_events if event.event_type_value == "STEP_INPUT"]
    assert (seen.input_name, seen.type_check_data.success) == ("x", False)
    assert [event.step_key for event in result.get_step_failure_events()][0].endswith("passed")


def test_value_that_fits_the_annotations_on_its_way_is_taken() -> None:
    assert of_an_int.execute_in_process(input_values={"x": 1}).output_value() == 1
    assert of_ints.to_job(input_values={"x": [1]}).execute_in_process().output_for_node("passed") == [1]
    assert of_anything.execute_in_process(input_values={"x": 1}).output_value() == 1


def test_input_of_a_graph_without_an_annotation_asks_for_nothing_that_its_ops_do_not() -> None:
    result = of_what_it_feeds.execute_in_process(input_values={"x": "a"}, raise_on_error=False)
    assert (result.is_node_success("passed"), result.is_node_success("stepped")) == (True, False)
    part = of_what_it_feeds.to_job().execute_in_process(input_values={"x": "a"}, op_selection=["passed"])
    assert part.output_for_node("passed") == "a"


def test_value_from_an_op_is_held_against_the_graph_that_it_goes_into() -> None:
    @graph
    def maker() -> None:
        of_an_int(passed.alias("source")())

    with pytest.raises(DagsterTypeCheckDidNotPass, match='input "x" of the graph "of_an_int"'):
        maker.execute_in_process(run_config={"ops": {"source": {"inputs": {"x": {"value": "a"}}}}})


def test_check_that_needs_resources_is_left_to_ops() -> None:
    @graph
    def needing(
        x: DagsterType(name="Known", type_check_fn=lambda _context, _value: False, required_resource_keys={"db"}),
    ) -> Any:  # type: ignore[valid-type]
        return passed(x)

    assert needing.execute_in_process(input_values={"x": 1}).output_value() == 1


def test_what_is_to_be_done_before_user_code_is_done_once_the_inputs_are_there() -> None:
    told: list[str] = []

    @op
    def works() -> None:
        told.append("body")

    @job
    def working() -> None:
        works()

    place = workplace(working)
    place.before_body = lambda: told.append("before")
    events_of(place, "works")
    assert told == ["before", "body"]
