"""Results as a fold over events: these tests make the events by hand, so nothing has to run."""

from __future__ import annotations

import gc
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    CheckError,
    DagsterError,
    DagsterEvent,
    DagsterEventType,
    DagsterInvariantViolationError,
    DagsterRun,
    DagsterRunStatus,
    DynamicOut,
    ExecuteInProcessResult,
    ExecutionResult,
    ExpectationResult,
    GraphDefinition,
    GraphOut,
    JobDefinition,
    Nothing,
    Out,
    graph,
    op,
)
from treadle.errors import SerializableErrorInfo
from treadle.events import StepHandle
from treadle.names import NodeHandle, split_step_key
from treadle.payloads import (
    AssetObservationData,
    ErrorSource,
    StepExpectationResultData,
    StepFailureData,
    StepMaterializationData,
    StepOutputData,
    StepOutputHandle,
    StepRetryData,
    StepSuccessData,
)

T = DagsterEventType
NO_OUTPUTS = "No outputs found for output"


class Recording:
    """A run that never happened: its events, made by hand, and the values that it would have captured."""

    def __init__(self, definition: GraphDefinition, status: str = "SUCCESS", **run: Any) -> None:
        self.job: JobDefinition = definition.to_job()
        self.run = DagsterRun(job_name=self.job.name, run_id=str(uuid.uuid4()), status=DagsterRunStatus[status], **run)
        self.events: list[DagsterEvent] = []
        self.outputs: dict[tuple[str, str, str | None], object] = {}

    def add(self, event_type: DagsterEventType, key: str | None = None, payload: Any = None) -> Recording:
        handle = NodeHandle.from_string(split_step_key(key)[0]) if key is not None else None
        step = StepHandle(handle, key) if handle is not None and key is not None else None
        self.events.append(
            DagsterEvent(
                event_type.value, self.job.name, step, handle, event_specific_data=payload, pid=1, step_key=key
            )
        )
        return self

    def start(self, key: str) -> Recording:
        return self.add(T.STEP_START, key)

    def give(self, key: str, value: object, output: str = "result", branch: str | None = None) -> Recording:
        self.outputs[key, output, branch] = value
        return self.add(T.STEP_OUTPUT, key, StepOutputData(StepOutputHandle(key, output, branch)))

    def end(self, key: str) -> Recording:
        return self.add(T.STEP_SUCCESS, key, StepSuccessData(1.0))

    def succeed(self, key: str, *values: object, **branches: object) -> Recording:
        """A whole step: its values are of the output `result`, those with names are branches of it."""
        self.start(key)
        for value in values:
            self.give(key, value)
        for branch, value in branches.items():
            self.give(key, value, branch=branch)
        return self.end(key)

    def fail(self, key: str, error: SerializableErrorInfo | None = None) -> Recording:
        return self.add(T.STEP_FAILURE, key, StepFailureData(error, error_source=ErrorSource.USER_CODE_ERROR))

    def restart(self, key: str) -> Recording:
        return self.add(T.STEP_UP_FOR_RETRY, key, StepRetryData()).add(T.STEP_RESTARTED, key)

    def result(self) -> ExecuteInProcessResult:
        return ExecuteInProcessResult(self.job, self.run, self.events, self.outputs, None)


@op
def one():
    return 1


@op
def inc(x):
    return x + 1


@op(out={"a": Out(), "b": Out(is_required=False)})
def two():
    return 1, 2


@op(out=DynamicOut())
def gen(): ...


@op(out=DynamicOut())
def split(x): ...


@op(out=Out(Nothing))
def tidy(): ...


@graph
def inner(x):
    return inc.alias("inner_inc")(x)


@graph
def outer():
    return inner(one())


@graph
def flights():
    """An op alone, a graph in a graph, several outputs, a map."""
    inc.alias("below")(outer())
    two()
    gen().map(inc)
    tidy()


def keys_of(events: list[DagsterEvent]) -> list[str | None]:
    return list(dict.fromkeys(event.step_key for event in events))


# -- the run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "success"), [("SUCCESS", True), ("FAILURE", False), ("CANCELED", False), ("STARTED", False)]
)
def test_success_is_the_status_of_the_run_whatever_the_events_say(status, success):
    recording = Recording(flights, status)

    assert recording.result().success is success


def test_result_gives_the_run_and_the_job_it_was_made_of():
    recording = Recording(flights)
    result = recording.result()

    assert result.dagster_run is recording.run
    assert result.run_id == recording.run.run_id
    assert result.job_def is recording.job
    assert result.node_def is recording.job.graph
    assert result.handle is None


def test_end_of_the_run_goes_by_two_names():
    good = Recording(flights).add(T.RUN_START).add(T.RUN_SUCCESS).result()
    bad = Recording(flights, "FAILURE").add(T.RUN_START).add(T.RUN_FAILURE).result()

    assert good.get_run_success_event() is good.get_job_success_event() is good.all_events[-1]
    assert bad.get_run_failure_event() is bad.get_job_failure_event() is bad.all_events[-1]


def test_missing_end_of_the_run_is_an_error_that_names_the_type_and_the_status():
    good = Recording(flights).add(T.RUN_SUCCESS).result()

    with pytest.raises(DagsterError, match=r"No event of type RUN_FAILURE found.*flights.*SUCCESS"):
        good.get_run_failure_event()


def test_repr_counts_steps_by_how_they_ended():
    recording = Recording(flights, "FAILURE").succeed("outer.one", 1).succeed("gen", k0=1).fail("inc[k0]")
    recording.add(T.STEP_SKIPPED, "below").start("tidy")

    assert repr(recording.result()) == (
        f'<ExecuteInProcessResult of job "flights", run {recording.run.run_id}: FAILURE; steps: 2 succeeded, 1 failed, '
        f"1 skipped, 1 not ended, 2 never started>"
    )


def test_repr_of_a_run_of_nothing_has_no_steps():
    assert repr(Recording(GraphDefinition("empty")).result()).endswith("SUCCESS; steps: none>")


# -- events ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed() -> ExecuteInProcessResult:
    """Steps of several nodes that took turns."""
    recording = Recording(flights, "FAILURE").add(T.RUN_START).add(T.RESOURCE_INIT_SUCCESS, "outer.one")
    recording.start("gen").start("outer.one").give("outer.one", 1).give("gen", 1, branch="k0")
    recording.give("gen", 2, branch="k1").end("outer.one").end("gen").add(T.HOOK_COMPLETED, "gen")
    recording.start("inc[k0]").start("outer.inner.inner_inc").start("inc[k1]").give("inc[k1]", 3).end("inc[k1]")
    recording.restart("inc[k0]").restart("inc[k0]").fail("inc[k0]").give("outer.inner.inner_inc", 2)
    recording.end("outer.inner.inner_inc").add(T.STEP_SKIPPED, "below")
    return recording.add(T.RUN_FAILURE).result()


@pytest.mark.parametrize(
    ("name", "step_keys"),
    [
        ("gen", ["gen"]),
        ("outer", ["outer.one", "outer.inner.inner_inc"]),
        ("outer.inner", ["outer.inner.inner_inc"]),
        ("outer.one", ["outer.one"]),
        ("inc", ["inc[k0]", "inc[k1]"]),
        ("inc[k0]", []),
        ("out", []),
        ("flights", []),
        ("", []),
        ("tidy", []),
    ],
)
def test_events_for_node_are_those_of_all_its_steps_in_the_order_of_the_run(mixed, name, step_keys):
    events = mixed.events_for_node(name)

    assert keys_of(events) == step_keys
    positions = [next(i for i, other in enumerate(mixed.all_events) if other is event) for event in events]
    assert positions == sorted(positions)


def test_events_of_hooks_and_resources_are_no_step_events_though_they_carry_a_step_key(mixed):
    events = mixed.events_for_node("gen") + mixed.events_for_node("outer.one") + mixed.all_node_events

    assert {T.HOOK_COMPLETED, T.RESOURCE_INIT_SUCCESS}.isdisjoint(event.event_type for event in events)
    assert {T.HOOK_COMPLETED, T.RESOURCE_INIT_SUCCESS} <= {event.event_type for event in mixed.all_events}


def test_all_node_events_stand_node_by_node_in_the_order_of_the_graph(mixed):
    assert keys_of(mixed.all_node_events) == [
        "outer.one", "outer.inner.inner_inc", "below", "gen", "inc[k0]", "inc[k1]",
    ]  # fmt: skip
    assert len(mixed.all_node_events) == sum(event.is_step_event for event in mixed.all_events)


def test_handle_finds_the_events_of_its_node_and_of_what_is_in_it(mixed):
    for path in ("outer", "outer.inner", "inc", "tidy"):
        assert mixed.compute_events_for_handle(NodeHandle.from_string(path)) == mixed.events_for_node(path)


def test_filter_gives_the_events_that_the_function_calls_truthy(mixed):
    assert mixed.filter_events(lambda event: event.is_job_event) == [mixed.all_events[0], mixed.all_events[-1]]
    assert mixed.filter_events(lambda event: None) == []


def test_event_list_is_an_older_name_of_all_events(mixed):
    assert mixed.event_list is mixed.all_events


@pytest.mark.parametrize(
    ("name", "is_success", "is_failed", "is_skipped", "is_untouched"),
    [
        ("gen", True, False, False, False),
        ("outer", True, False, False, False),
        ("inc", False, True, False, False),  # one copy succeeded, one failed
        ("below", False, False, True, False),
        ("tidy", False, False, False, True),
        ("gne", False, False, False, True),
    ],
)
def test_state_of_a_node_is_read_from_its_events(mixed, name, is_success, is_failed, is_skipped, is_untouched):
    assert mixed.is_node_success(name) is is_success
    assert mixed.is_node_failed(name) is is_failed
    assert mixed.is_node_skipped(name) is is_skipped
    assert mixed.is_node_untouched(name) is is_untouched


def test_retries_are_counted_for_ops_and_for_graphs():
    recording = Recording(flights).start("outer.one").restart("outer.one").restart("outer.one").end("outer.one")
    result = recording.result()

    assert [result.retry_attempts_for_node(name) for name in ("outer.one", "outer", "gen", "gne")] == [2, 2, 0, 0]


def test_failure_data_is_that_of_the_first_failure():
    recording = Recording(flights, "FAILURE").succeed("gen", k0=1, k1=2)
    recording.fail("inc[k1]", SerializableErrorInfo("first\n")).fail("inc[k0]", SerializableErrorInfo("second\n"))
    data = recording.result().failure_data_for_node("inc")

    assert data is not None and data.error is not None
    assert data.error.message == "first\n"
    assert recording.result().failure_data_for_node("gen") is None
    assert recording.result().failure_data_for_node("gne") is None


def test_user_events_are_given_as_the_objects_that_the_user_made():
    made, seen, checked = AssetMaterialization("planes"), AssetObservation("weather"), ExpectationResult(True)
    recording = Recording(flights).start("outer.one")
    recording.add(T.ASSET_MATERIALIZATION, "outer.one", StepMaterializationData(made))
    recording.add(T.ASSET_OBSERVATION, "outer.one", AssetObservationData(seen))
    recording.add(T.STEP_EXPECTATION_RESULT, "outer.one", StepExpectationResultData(checked))
    result = recording.result()

    for name in ("outer.one", "outer"):
        assert result.asset_materializations_for_node(name) == [made]
        assert result.asset_observations_for_node(name) == [seen]
        assert result.expectation_results_for_node(name) == [checked]
    assert result.asset_materializations_for_node("gen") == []
    assert [event.materialization for event in result.get_asset_materialization_events()] == [made]
    assert [event.asset_key for event in result.get_asset_observation_events()] == [AssetKey("weather")]


def test_queries_by_type_give_steps_in_the_order_of_the_run(mixed):
    assert keys_of(mixed.get_step_success_events()) == ["outer.one", "gen", "inc[k1]", "outer.inner.inner_inc"]
    assert keys_of(mixed.get_step_failure_events()) == ["inc[k0]"]
    assert keys_of(mixed.get_step_skipped_events()) == ["below"]
    assert mixed.get_failed_step_keys() == {"inc[k0]"}
    assert mixed.get_asset_materialization_planned_events() == []
    assert mixed.get_asset_check_evaluations() == []


def test_changing_a_list_that_was_given_leaves_the_result_as_it_was(mixed):
    mixed.events_for_node("gen").clear()
    mixed.get_step_success_events().clear()

    assert mixed.events_for_node("gen")
    assert mixed.get_step_success_events()


def test_events_are_read_once_however_many_questions_are_asked():
    class CountedEvents(list[DagsterEvent]):
        reads = 0

        def __iter__(self) -> Iterator[DagsterEvent]:
            self.reads += 1
            return super().__iter__()

    recording = Recording(flights).succeed("outer.one", 1).succeed("gen", k0=1).succeed("inc[k0]", 2)
    recording.events = CountedEvents(recording.events)
    result = recording.result()
    assert recording.events.reads == 0

    for name in ("outer.one", "gen", "inc"):
        result.events_for_node(name)
        result.output_for_node(name)
        assert result.is_node_success(name)
        assert result.result_for_node(name.split(".")[0]).success
    result.get_step_success_events()
    assert recording.events.reads == 1


# -- outputs of nodes -----------------------------------------------------------------------------------------------


@pytest.fixture
def whole() -> ExecuteInProcessResult:
    recording = Recording(flights).succeed("outer.one", 1).succeed("outer.inner.inner_inc", 2).succeed("below", 3)
    recording.start("two").give("two", "A", "a").end("two").succeed("gen", k0=10, k1=20)
    recording.succeed("inc[k1]", 21).succeed("inc[k0]", 11)
    return recording.start("tidy").give("tidy", "ignored").end("tidy").result()


@pytest.mark.parametrize(
    ("name", "output", "value"),
    [
        ("below", "result", 3),
        ("two", "a", "A"),
        ("outer", "result", 2),
        ("outer.inner", "result", 2),
        ("outer.one", "result", 1),
        ("outer.inner.inner_inc", "result", 2),
        ("gen", "result", {"k0": 10, "k1": 20}),
        ("inc", "result", {"k0": 11, "k1": 21}),
    ],
)
def test_output_of_a_node_is_the_value_that_was_captured(whole, name, output, value):
    assert whole.output_for_node(name, output) == value


def test_output_that_carries_nothing_is_none_and_needs_no_captured_value():
    recording = Recording(flights).start("tidy").give("tidy", None).end("tidy")
    recording.outputs.clear()

    assert recording.result().output_for_node("tidy") is None


def test_values_are_freed_with_the_result_and_not_by_the_next_garbage_collection():
    class Table:
        pass

    table = Table()
    watch = weakref.ref(table)
    result = Recording(flights).succeed("outer.one", table).result()
    assert result.output_for_node("outer.one") is table
    gc.disable()
    try:
        del table, result
        assert watch() is None
    finally:
        gc.enable()


def test_mapped_values_come_in_the_order_of_yielding_not_of_finishing(whole):
    assert keys_of(whole.events_for_node("inc")) == ["inc[k1]", "inc[k0]"]
    assert list(whole.output_for_node("inc")) == ["k0", "k1"]


def test_copies_without_a_value_are_left_out():
    recording = Recording(flights, "FAILURE").succeed("gen", k0=1, k1=2, k2=3)
    recording.succeed("inc[k0]").start("inc[k1]").fail("inc[k1]").succeed("inc[k2]", 4)

    assert recording.result().output_for_node("inc") == {"k2": 4}


def test_copies_whose_fan_out_belongs_to_an_earlier_run_are_found_all_the_same():
    recording = Recording(flights).succeed("inc[k1]", 21).succeed("inc[k0]", 11)

    assert list(recording.result().output_for_node("inc").items()) == [("k1", 21), ("k0", 11)]


@graph
def nested_maps():
    def per_branch(x):
        return split(x).map(inc)

    return gen().map(per_branch)


def nested_recording() -> Recording:
    recording = Recording(nested_maps).succeed("gen", a=1, b=2)
    recording.succeed("split[b]", y=20, x=21).succeed("split[a]", x=10)
    return recording.succeed("inc[b][x]", 22).succeed("inc[a][x]", 11).succeed("inc[b][y]", 23)


def test_maps_in_maps_give_nested_dicts_with_the_outermost_keys_outside():
    result = nested_recording().result()

    assert result.output_for_node("split") == {"a": {"x": 10}, "b": {"y": 20, "x": 21}}
    assert result.output_for_node("inc") == {"a": {"x": 11}, "b": {"y": 23, "x": 22}}
    assert list(result.output_for_node("inc")) == ["a", "b"]
    assert list(result.output_for_node("inc")["b"]) == ["y", "x"]
    assert result.output_value() == result.output_for_node("inc")


@graph
def mapped_graph():
    return gen().map(inner)


def test_output_of_a_mapped_graph_is_a_dict_too():
    recording = Recording(mapped_graph).succeed("gen", k0=1, k1=2)
    recording.succeed("inner.inner_inc[k0]", 2).succeed("inner.inner_inc[k1]", 3)
    result = recording.result()

    assert result.output_for_node("inner") == {"k0": 2, "k1": 3}
    assert result.output_for_node("inner.inner_inc") == {"k0": 2, "k1": 3}
    assert result.output_value() == {"k0": 2, "k1": 3}


def test_value_of_the_last_attempt_counts():
    recording = Recording(flights).start("outer.one").give("outer.one", "early").restart("outer.one")
    recording.give("outer.one", "late").end("outer.one")

    assert recording.result().output_for_node("outer.one") == "late"


def test_what_only_an_earlier_attempt_yielded_is_gone():
    recording = Recording(flights).start("gen").give("gen", 1, branch="k0").give("gen", 2, branch="k1").restart("gen")
    recording.give("gen", 3, branch="k1").end("gen").start("two").give("two", 1, "b").restart("two").end("two")
    result = recording.result()

    assert result.output_for_node("gen") == {"k1": 3}
    with pytest.raises(DagsterInvariantViolationError, match=NO_OUTPUTS):
        result.output_for_node("two", "b")


def test_value_that_was_yielded_before_the_failure_is_there():
    recording = Recording(flights, "FAILURE").start("outer.one").give("outer.one", "early").fail("outer.one")

    assert recording.result().output_for_node("outer.one") == "early"


def test_output_whose_value_was_not_captured_is_missing():
    recording = Recording(flights, "FAILURE").start("outer.one").give("outer.one", "wrong type").fail("outer.one")
    recording.outputs.clear()

    with pytest.raises(DagsterInvariantViolationError, match=NO_OUTPUTS):
        recording.result().output_for_node("outer.one")


# -- why there is no value ----------------------------------------------------------------------------------------------


def refusal(result: ExecutionResult, *question: str) -> str:
    with pytest.raises(DagsterInvariantViolationError) as caught:
        result.output_for_node(*question)
    return str(caught.value)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (("tdy",), 'flights has no op named tdy. Did you mean "tidy"? Nodes: outer, below, two, gen, inc, tidy.'),
        (("flights",), "flights has no op named flights. Nodes: outer, below, two, gen, inc, tidy."),
        (("",), "flights has no op named . Nodes: outer, below, two, gen, inc, tidy."),
        (("outer.on",), 'outer has no op named on. Did you mean "one"? Nodes: one, inner.'),
        (("outer.inner.x",), 'inner has no op named x (node "outer.inner" of the job). Nodes: inner_inc.'),
        (("below.x",), 'inc has no op named x (node "below" of the job). "below" is an op and has no nodes in it.'),
        (
            ("inc[k0]",),
            'flights has no op named inc[k0]. Ask for "inc": that gives the values of all its copies, by mapping key.',
        ),
        (("nic[k0]",), "flights has no op named nic[k0]. Nodes: outer, below, two, gen, inc, tidy."),
        (("two",), "two has no output named result. Outputs: a, b."),
        (("below", "resutl"), 'inc has no output named resutl (node "below" of the job). Did you mean "result"? Outputs: result.'),
        (("outer", "a"), "outer has no output named a. Outputs: result."),
        (("two", "b"), "No outputs found for output 'b' from node 'two'. It ended without yielding it."),
    ],
)  # fmt: skip
def test_unknown_names_are_refused_with_what_there_is_instead(whole, question, message):
    assert refusal(whole, *question) == message


def test_op_without_outputs_says_so():
    @op(out={})
    def ends(): ...

    @graph
    def only():
        ends()

    assert refusal(Recording(only).succeed("ends").result(), "ends").endswith("Outputs: none.")


def test_refusal_tells_of_a_selection():
    recording = Recording(flights, op_selection=["two"])

    assert refusal(recording.result(), "tdy").endswith("The run was restricted to the op selection ['two'].")


def test_long_lists_of_nodes_are_cut():
    many = GraphDefinition("many", node_defs=[op(name=f"op_{i}")(lambda: 1) for i in range(30)])

    assert refusal(Recording(many).result(), "zz").endswith("op_18, op_19, ... (30 in all).")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, "It failed."),
        (SerializableErrorInfo("Failure: no planes\n"), "It failed: Failure: no planes"),
        (
            SerializableErrorInfo("StepError: in one\n", cause=SerializableErrorInfo("ValueError: boom\n")),
            "It failed: ValueError: boom",
        ),
    ],
)
def test_missing_output_of_a_failed_op_is_explained_by_the_users_error(error, reason):
    result = Recording(flights, "FAILURE").start("outer.one").fail("outer.one", error).result()

    assert refusal(result, "outer.one") == f"No outputs found for output 'result' from node 'outer.one'. {reason}"


def test_missing_output_of_a_graph_is_explained_by_the_op_that_should_have_made_it():
    result = Recording(flights, "FAILURE").start("outer.one").fail("outer.one").result()

    assert refusal(result, "outer") == (
        "No outputs found for output 'result' from node 'outer.inner.inner_inc'. It never started, since steps that it "
        "needs failed: outer.one."
    )


@pytest.mark.parametrize(
    ("recording", "node", "reason"),
    [
        (Recording(flights).add(T.STEP_SKIPPED, "below"), "below", "It was skipped: an optional output that it needs was not yielded."),
        (Recording(flights, "FAILURE").start("below"), "below", "It was begun and did not end."),
        (Recording(flights).succeed("gen"), "gen", "It ended without yielding it."),
        (Recording(flights).succeed("gen"), "inc", 'It is mapped over "gen", which yielded nothing.'),
        (Recording(flights, "CANCELED"), "below", "It never started."),
    ],
)  # fmt: skip
def test_missing_output_is_explained_by_how_the_node_ended(recording, node, reason):
    assert refusal(recording.result(), node) == f"{NO_OUTPUTS} 'result' from node '{node}'. {reason}"


# -- outputs of the graph -----------------------------------------------------------------------------------------------


@graph(out={"small": GraphOut(), "large": GraphOut(), "extra": GraphOut()})
def ends():
    return {"small": one(), "large": outer(), "extra": two().b}


@pytest.fixture
def of_graph() -> ExecuteInProcessResult:
    recording = Recording(ends).succeed("one", 1).succeed("outer.one", 1).succeed("outer.inner.inner_inc", 2)
    return recording.start("two").give("two", "A", "a").end("two").result()


def test_output_value_goes_through_the_mappings_to_the_op(of_graph):
    assert of_graph.output_value("small") == 1
    assert of_graph.output_value("large") == 2


def test_output_values_leave_out_what_was_not_produced(of_graph):
    assert of_graph.output_values == {"small": 1, "large": 2}


def test_output_value_that_was_not_produced_names_its_op(of_graph):
    with pytest.raises(DagsterInvariantViolationError, match="No outputs found for output 'b' from node 'two'"):
        of_graph.output_value("extra")


def test_output_value_of_an_unknown_name_suggests_the_nearest(of_graph):
    with pytest.raises(DagsterInvariantViolationError) as caught:
        of_graph.output_value("smal")
    assert str(caught.value) == (
        "Could not find top-level output 'smal' in 'ends'. Did you mean \"small\"? Outputs: small, large, extra."
    )


@pytest.mark.parametrize("name", ["result", "a"])
def test_graph_without_outputs_says_so_whatever_the_name(whole, name):
    with pytest.raises(DagsterInvariantViolationError, match="top-level outputs for 'flights', which has no outputs"):
        whole.output_value(name)
    assert whole.output_values == {}


# -- results of single nodes ------------------------------------------------------------------------------------------------


def test_result_for_an_op_answers_for_the_op_alone(whole):
    part = whole.result_for_node("two")

    assert part.node_def is two
    assert part.handle == NodeHandle("two")
    assert part.success is True
    assert part.output_values == {"a": "A"}
    assert part.output_value("a") == "A"
    assert part.event_list == whole.events_for_node("two")


def test_result_for_a_mapped_op_has_all_its_copies(whole):
    assert whole.result_for_node("inc").output_values == {"result": {"k0": 11, "k1": 21}}
    assert whole.result_for_node("inc").output_value() == {"k0": 11, "k1": 21}


def test_result_for_a_graph_goes_on_inside(whole):
    part = whole.result_for_node("outer").result_for_node("inner")

    assert str(part.handle) == "outer.inner"
    assert part.node_def is inner
    assert part.output_values == {"result": 2}
    assert part.output_value() == 2
    assert part.result_for_node("inner_inc").output_value() == 2
    assert repr(part) == '<NodeExecutionResult of graph "outer.inner": 3 events>'


def test_success_of_a_node_needs_only_that_nothing_in_it_failed():
    recording = Recording(flights, "FAILURE").succeed("gen", k0=1).start("outer.one").fail("outer.one")
    result = recording.add(T.STEP_SKIPPED, "below").result()

    assert result.result_for_node("outer").success is False
    assert result.result_for_node("outer").result_for_node("one").success is False
    assert result.result_for_node("outer").result_for_node("inner").success is True
    assert result.result_for_node("below").success is True
    assert result.result_for_node("gen").success is True


def test_output_that_an_op_did_not_produce_is_an_empty_dict_in_its_own_result(whole):
    assert whole.result_for_node("two").output_value("b") == {}
    with pytest.raises(DagsterInvariantViolationError, match="two has no output named c"):
        whole.result_for_node("two").output_value("c")


def test_output_that_a_graph_did_not_produce_is_an_error_in_its_own_result():
    result = Recording(flights, "FAILURE").result()

    assert result.result_for_node("outer").output_values == {}
    with pytest.raises(DagsterInvariantViolationError, match=NO_OUTPUTS):
        result.result_for_node("outer").output_value()
    with pytest.raises(DagsterInvariantViolationError, match="Could not find top-level output 'x' in 'outer'"):
        result.result_for_node("outer").output_value("x")


@pytest.mark.parametrize("name", ["nope", "outer.inner", "inc[k0]", ""])
def test_result_for_node_takes_names_of_direct_nodes_only(whole, name):
    with pytest.raises(DagsterInvariantViolationError, match="has no op named"):
        whole.result_for_node(name)


def test_result_for_a_node_of_an_op_is_refused(whole):
    with pytest.raises(DagsterInvariantViolationError, match='"two" is an op and has no nodes in it'):
        whole.result_for_node("two").result_for_node("a")


# -- kinds of results -------------------------------------------------------------------------------------------------------


def test_how_a_value_is_got_is_all_that_another_kind_of_result_adds():
    class StoredResult(ExecutionResult):
        def _load(self, handle: StepOutputHandle) -> Any:
            return f"loaded {handle.step_key}:{handle.output_name}:{handle.mapping_key}"

    recording = nested_recording()
    result = StoredResult(recording.job, recording.run, recording.events)

    assert result.output_for_node("gen") == {"a": "loaded gen:result:a", "b": "loaded gen:result:b"}
    assert result.output_for_node("inc")["a"] == {"x": "loaded inc[a][x]:result:None"}
    assert repr(result).startswith("<StoredResult of job")


@pytest.mark.parametrize("key", ["planes", AssetKey(["raw", "planes"]), ["raw", "planes"]])
def test_asset_value_is_refused_for_jobs_of_ops(whole, key):
    with pytest.raises(CheckError, match="flights.*planes"):
        whole.asset_value(key)
