"""Facts of the result object of a run in process: its queries, outputs of nodes and of graphs, data of failures.

One run of one job with a bit of everything answers most of the questions; each table below is one fact a row.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

import treadle
from tests.conformance.flows import Broken, boom, do_nothing, gen0, inc, maybe, one
from tests.conformance.scenario import IS_TREADLE
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.wiring import job_of
from treadle import (
    AssetMaterialization,
    AssetObservation,
    DagsterError,
    DagsterInvariantViolationError,
    DynamicOut,
    DynamicOutput,
    ExecuteInProcessResult,
    ExpectationResult,
    Failure,
    GraphOut,
    Out,
    Output,
    RetryPolicy,
    graph,
    job,
    op,
)

NO_OUTPUTS = "No outputs found for output"


@op(out={"a": Out(), "b": Out()})
def two():
    return 1, 2


@op(out=DynamicOut())
def source():
    yield DynamicOutput(1, mapping_key="k0")
    yield DynamicOutput(2, mapping_key="k1")


@op(out=Out(is_required=False))
def only_k0(context, value):
    if context.get_mapping_key() == "k0":
        yield Output(value)


@op
def yields_then_fails():
    yield Output("early")
    raise Broken("late")


@op(retry_policy=RetryPolicy(max_retries=3))
def flaky(context):
    yield Output(context.retry_number)
    if context.retry_number < 2:
        raise Broken("not yet")


@op
def reports():
    yield AssetMaterialization("table", metadata={"rows": 3})
    yield AssetObservation("other_table")
    yield ExpectationResult(success=False, label="enough")
    yield Output(1)


@graph
def inner(x):
    return inc.alias("inner_inc")(x)


@graph
def outer():
    return inner(one())


@job
def everything():
    inc.alias("below_outer")(outer())
    two()
    inc.alias("below_skipped")(inc.alias("skipped")(maybe()))
    inc.alias("untouched")(boom())
    source().map(only_k0)
    gen0().map(inc.alias("over_none"))
    yields_then_fails()
    flaky()
    do_nothing()
    reports()


@pytest.fixture(scope="module")
def result() -> ExecuteInProcessResult:
    return everything.execute_in_process(raise_on_error=False)


# -- the run as a whole --------------------------------------------------------------------------------------


def test_result_knows_its_run_and_job(result):
    assert result.success is False
    assert str(uuid.UUID(result.run_id)) == result.run_id
    assert result.job_def.name == "everything"
    assert result.dagster_run.run_id == result.run_id
    assert result.dagster_run.job_name == "everything"
    assert result.dagster_run.is_failure


def test_result_keeps_the_run_id_that_was_given():
    run_id = str(uuid.uuid4())

    assert everything.execute_in_process(run_id=run_id, raise_on_error=False).run_id == run_id


def test_all_events_are_of_this_job_in_the_order_they_happened(result):
    events = list(result.all_events)

    assert {event.job_name for event in events} == {"everything"}
    assert events[0].event_type.name == "RUN_START"
    assert events[-1].event_type.name == "RUN_FAILURE"


def test_node_events_are_the_step_events_node_by_node(result):
    events = list(result.all_node_events)
    top_nodes = [event.step_key.split(".")[0].split("[")[0] for event in events]

    assert all(event.is_step_event for event in events)
    assert sorted(map(str, events)) == sorted(str(event) for event in result.all_events if event.is_step_event)
    changes = [name for before, name in zip([None, *top_nodes], top_nodes, strict=False) if name != before]
    assert len(changes) == len(set(changes)), "the events of a node stand together"


def test_filter_events_keeps_what_the_function_says(result):
    kept = result.filter_events(lambda event: event.step_key == "two")

    assert [event.event_type.name for event in kept] == [
        "STEP_START",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "STEP_SUCCESS",
    ]


@pytest.mark.parametrize(
    ("query", "type_name", "step_keys"),
    [
        ("get_asset_materialization_events", "ASSET_MATERIALIZATION", ["reports"]),
        ("get_asset_observation_events", "ASSET_OBSERVATION", ["reports"]),
        ("get_step_skipped_events", "STEP_SKIPPED", ["skipped", "below_skipped"]),
        ("get_step_failure_events", "STEP_FAILURE", ["boom", "yields_then_fails"]),
        ("get_asset_materialization_planned_events", "", []),
        ("get_asset_check_evaluations", "", []),
    ],
)
def test_query_gives_the_events_of_its_type(result, query, type_name, step_keys):
    found = list(getattr(result, query)())

    assert sorted(event.step_key for event in found) == sorted(step_keys)
    assert {event.event_type.name for event in found} <= {type_name}


def test_failed_step_keys_are_a_set_of_step_keys(result):
    assert result.get_failed_step_keys() == {"boom", "yields_then_fails"}


def test_success_events_are_those_of_the_steps_that_succeeded(result):
    assert "flaky" in {event.step_key for event in result.get_step_success_events()}
    assert "boom" not in {event.step_key for event in result.get_step_success_events()}


def test_last_run_event_is_found_by_its_kind(result):
    good = job_of(one, name="good").execute_in_process()

    assert good.get_run_success_event().event_type.name == "RUN_SUCCESS"
    assert result.get_run_failure_event().event_type.name == "RUN_FAILURE"


def test_asking_for_the_other_end_of_the_run_is_an_error(result):
    good = job_of(one, name="good").execute_in_process()

    with pytest.raises(DagsterError, match="PIPELINE_FAILURE|RUN_FAILURE"):
        good.get_run_failure_event()
    with pytest.raises(DagsterError, match="PIPELINE_SUCCESS|RUN_SUCCESS"):
        result.get_run_success_event()


# -- questions about a node --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "is_success", "is_failed", "is_skipped", "is_untouched"),
    [
        ("two", True, False, False, False),
        ("boom", False, True, False, False),
        ("yields_then_fails", False, True, False, False),
        ("flaky", True, False, False, False),
        ("maybe", True, False, False, False),
        ("skipped", False, False, True, False),
        ("below_skipped", False, False, True, False),
        ("untouched", False, False, False, True),
        ("over_none", False, False, False, True),
        ("only_k0", True, False, False, False),
        ("outer", True, False, False, False),
        ("outer.inner", True, False, False, False),
        ("outer.inner.inner_inc", True, False, False, False),
        ("no_such_node", False, False, False, True),
    ],
)
def test_state_of_a_node(result, node, is_success, is_failed, is_skipped, is_untouched):
    assert result.is_node_success(node) is is_success
    assert result.is_node_failed(node) is is_failed
    assert result.is_node_skipped(node) is is_skipped
    assert result.is_node_untouched(node) is is_untouched


@pytest.mark.parametrize(
    ("node", "step_keys"),
    [
        ("two", {"two"}),
        ("outer", {"outer.one", "outer.inner.inner_inc"}),
        ("outer.inner", {"outer.inner.inner_inc"}),
        ("outer.one", {"outer.one"}),
        ("only_k0", {"only_k0[k0]", "only_k0[k1]"}),
        ("only_k0[k0]", set()),
        ("no_such_node", set()),
        ("untouched", set()),
    ],
)
def test_events_for_node_holds_the_events_of_all_its_steps(result, node, step_keys):
    events = list(result.events_for_node(node))

    assert {event.step_key for event in events} == step_keys
    assert all(event.is_step_event for event in events)


@pytest.mark.parametrize(("node", "retries"), [("flaky", 2), ("two", 0), ("boom", 0), ("no_such_node", 0)])
def test_retry_attempts_are_those_after_the_first(result, node, retries):
    assert result.retry_attempts_for_node(node) == retries


def test_failure_data_is_that_of_the_failed_step(result):
    assert result.failure_data_for_node("boom").error.cause.cls_name == "ValueError"
    assert result.failure_data_for_node("two") is None
    assert result.failure_data_for_node("no_such_node") is None


def test_user_events_are_found_by_node(result):
    (made,) = result.asset_materializations_for_node("reports")
    (seen,) = result.asset_observations_for_node("reports")
    (expected,) = result.expectation_results_for_node("reports")

    assert made.asset_key.path == ["table"] and made.metadata["rows"].value == 3
    assert seen.asset_key.path == ["other_table"]
    assert (expected.success, expected.label) == (False, "enough")
    assert list(result.asset_materializations_for_node("two")) == []


def test_events_are_found_by_handle(result):
    (start,) = [event for event in result.events_for_node("outer.one") if event.is_step_start]

    found = list(result.compute_events_for_handle(start.node_handle))

    assert str(start.node_handle) == "outer.one"
    assert {event.step_key for event in found} == {"outer.one"}


# -- outputs of nodes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "output_name", "value"),
    [
        ("below_outer", "result", 3),
        ("two", "a", 1),
        ("two", "b", 2),
        ("outer", "result", 2),
        ("outer.inner", "result", 2),
        ("outer.one", "result", 1),
        ("outer.inner.inner_inc", "result", 2),
        ("source", "result", {"k0": 1, "k1": 2}),
        ("only_k0", "result", {"k0": 1}),
        ("yields_then_fails", "result", "early"),
        ("do_nothing", "result", None),
        ("flaky", "result", 2),
    ],
)
def test_output_for_node_gives_the_value(result, node, output_name, value):
    assert result.output_for_node(node, output_name) == value


@pytest.mark.parametrize(
    ("node", "output_name", "text"),
    [
        ("two", "result", "has no output named"),
        ("two", "c", "has no output named"),
        ("boom", "result", NO_OUTPUTS),
        ("skipped", "result", NO_OUTPUTS),
        ("maybe", "result", NO_OUTPUTS),
        ("untouched", "result", NO_OUTPUTS),
        ("gen0", "result", NO_OUTPUTS),
        ("over_none", "result", NO_OUTPUTS),
        ("only_k0[k0]", "result", "has no op named"),
        ("no_such_node", "result", "everything has no op named no_such_node"),
        ("outer.no_such_node", "result", "outer has no op named no_such_node"),
        ("everything", "result", "has no op named everything"),
    ],
)
def test_output_for_node_says_why_there_is_no_value(result, node, output_name, text):
    with pytest.raises(DagsterInvariantViolationError, match=text):
        result.output_for_node(node, output_name)


def test_output_is_the_very_object_that_was_yielded():
    value = object()

    @op
    def gives():
        return value

    assert job_of(gives, name="giving").execute_in_process().output_for_node("gives") is value


@pytest.mark.later
def test_output_of_a_node_that_was_not_selected_is_unknown():
    selected = everything.execute_in_process(op_selection=["two"])

    assert selected.output_for_node("two", "a") == 1
    with pytest.raises(DagsterInvariantViolationError, match="has no op named flaky"):
        selected.output_for_node("flaky")


# -- outputs of a graph ------------------------------------------------------------------------------------------------


@graph(out={"small": GraphOut(), "large": GraphOut()})
def two_ends():
    start = one()
    return {"small": start, "large": inc(start)}


def test_output_value_gives_the_outputs_of_the_graph():
    graph_result = two_ends.execute_in_process()

    assert graph_result.output_value("small") == 1
    assert graph_result.output_value("large") == 2
    assert outer.execute_in_process().output_value() == 2


def test_output_value_refuses_a_name_the_graph_does_not_have():
    with pytest.raises(DagsterInvariantViolationError, match="Could not find top-level output"):
        two_ends.execute_in_process().output_value("middle")


@pytest.mark.parametrize("name", ["result", "small"])
def test_output_value_of_a_job_says_there_are_none(result, name):
    with pytest.raises(DagsterInvariantViolationError, match="no outputs"):
        result.output_value(name)


def test_graph_result_names_the_job_after_the_graph():
    assert two_ends.execute_in_process().job_def.name == "two_ends"


# -- data of failures -----------------------------------------------------------------------------------------------------

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
WRAPPED = "DagsterExecutionStepExecutionError"


def later(*row: Any) -> Any:
    return pytest.param(*row, marks=pytest.mark.later)


@pytest.mark.parametrize(
    ("scenario", "cls_name", "cause", "source"),
    [
        ("op_exception", WRAPPED, "ValueError: boom\n", "USER_CODE_ERROR"),
        ("failure_metadata", "Failure", None, "FRAMEWORK_ERROR"),
        ("dynamic_duplicate_key", "DagsterInvariantViolationError", None, "FRAMEWORK_ERROR"),
        ("dynamic_one_fails", WRAPPED, f"{Broken.__module__}.Broken: k1\n", "USER_CODE_ERROR"),
        later("typecheck_input", "DagsterTypeCheckDidNotPass", None, "FRAMEWORK_ERROR"),
        later("typecheck_output", "DagsterTypeCheckDidNotPass", None, "FRAMEWORK_ERROR"),
        later("typecheck_raises", "DagsterTypeCheckError", f"{Broken.__module__}.Broken: check\n", "USER_CODE_ERROR"),
        later("typecheck_nonbool", "DagsterInvariantViolationError", None, "FRAMEWORK_ERROR"),
        later("missing_required_output", "DagsterStepOutputNotFoundError", None, "FRAMEWORK_ERROR"),
        later("undeclared_output_name", "DagsterInvariantViolationError", None, "FRAMEWORK_ERROR"),
        later("output_twice", "DagsterInvariantViolationError", None, "FRAMEWORK_ERROR"),
        later("yield_non_event", "DagsterInvariantViolationError", None, "FRAMEWORK_ERROR"),
        later(
            "io_load_error", "DagsterExecutionLoadInputError", f"{Broken.__module__}.Broken: load\n", "USER_CODE_ERROR"
        ),
        later(
            "io_dump_error",
            "DagsterExecutionHandleOutputError",
            f"{Broken.__module__}.Broken: store\n",
            "USER_CODE_ERROR",
        ),
        later("keyboard_interrupt", "KeyboardInterrupt", None, "INTERRUPT"),
        later("system_exit", "SystemExit", None, "UNEXPECTED_ERROR"),
    ],
)
def test_failure_data_tells_the_kind_and_the_cause(scenario, cls_name, cause, source):
    failed = BY_NAME[scenario].execute(raise_on_error=False)
    (event,) = failed.get_step_failure_events()
    data = event.step_failure_data

    assert data.error.cls_name == cls_name
    assert data.error.message.endswith("\n")
    assert (data.error.cause.message if data.error.cause else None) == cause
    assert data.error_source.name == source
    assert (data.user_failure_data is not None) == (cls_name == "Failure")
    assert data.error_display_string.startswith(data.error.message.strip())
    assert cause is None or cause.strip() in data.error_display_string


@pytest.mark.parametrize(
    ("scenario", "cause", "source"),
    [("retry_exhausted", "ValueError", "USER_CODE_ERROR"), ("retry_requested_exhausted", None, "FRAMEWORK_ERROR")],
)
def test_failure_data_of_used_up_retries_says_how_many_there_were(scenario, cause, source):
    failed = BY_NAME[scenario].execute(raise_on_error=False)
    (event,) = failed.get_step_failure_events()
    data = event.step_failure_data

    assert "Exceeded max_retries of 1" in data.error.message
    assert (data.error.cause.cls_name if data.error.cause else None) == cause
    assert data.error_source.name == source


def test_intentional_failure_keeps_its_description_and_metadata():
    @op
    def fails():
        raise Failure("no planes", metadata={"rows": 0, "why": "fog"})

    failed = job_of(fails, name="failing").execute_in_process(raise_on_error=False)
    data = failed.failure_data_for_node("fails").user_failure_data

    assert (data.label, data.description) == ("intentional-failure", "no planes")
    assert {key: value.value for key, value in data.metadata.items()} == {"rows": 0, "why": "fog"}
    assert isinstance(data.metadata["rows"], treadle.IntMetadataValue)


@pytest.mark.parametrize(
    ("scenario", "reason", "first_step"),
    [
        ("independent_continues", "STEP_FAILURE", "boom"),
        later("resource_init_failure", "RUN_EXCEPTION", None),
        later("keyboard_interrupt", "UNEXPECTED_TERMINATION", None),
    ],
)
def test_run_failure_tells_its_reason_and_first_step(scenario, reason, first_step):
    failed = BY_NAME[scenario].execute(raise_on_error=False)
    data = failed.get_run_failure_event().job_failure_data

    assert data.failure_reason.name == reason
    assert (data.first_step_failure_event.step_key if data.first_step_failure_event else None) == first_step
    assert data.error is not None


def test_reasons_of_a_run_failure_have_their_names(result):
    reasons = type(result.get_run_failure_event().job_failure_data.failure_reason)

    assert {reason.name for reason in reasons} >= {
        "UNEXPECTED_TERMINATION",
        "RUN_EXCEPTION",
        "STEP_FAILURE",
        "JOB_INITIALIZATION_FAILURE",
        "START_TIMEOUT",
        "RUN_WORKER_RESTART",
        "UNKNOWN",
    }


# -- older members, on the same class ---------------------------------------------------------------------------------------

#: the current release of the original has dropped these names, so it cannot vouch for them
older_names = pytest.mark.skipif(not IS_TREADLE, reason="names that only older releases of the original have")


@older_names
def test_result_class_goes_by_its_older_name_too():
    assert treadle.InProcessExecutionResult is ExecuteInProcessResult


@older_names
def test_older_names_of_the_last_run_event(result):
    assert result.get_job_failure_event() == result.get_run_failure_event()
    with pytest.raises(DagsterError):
        result.get_job_success_event()


@older_names
def test_event_list_is_all_events(result):
    assert list(result.event_list) == list(result.all_events)


@older_names
def test_result_for_node_answers_for_that_node_alone(result):
    of_op = result.result_for_node("two")

    assert of_op.success is True
    assert of_op.output_values == {"a": 1, "b": 2}
    assert of_op.output_value("a") == 1
    assert str(of_op.handle) == "two"
    assert {event.step_key for event in of_op.event_list} == {"two"}
    assert result.result_for_node("boom").success is False


@older_names
def test_result_for_node_of_a_graph_goes_down_level_by_level(result):
    of_graph = result.result_for_node("outer")

    assert of_graph.success is True
    assert of_graph.output_values == {"result": 2}
    assert of_graph.output_value() == 2
    assert str(of_graph.result_for_node("inner").result_for_node("inner_inc").handle) == "outer.inner.inner_inc"
    assert of_graph.result_for_node("inner").output_value() == 2


@older_names
def test_result_for_node_nests_dynamic_outputs_by_mapping_key(result):
    assert result.result_for_node("source").output_values == {"result": {"k0": 1, "k1": 2}}


@older_names
def test_result_for_node_of_an_unknown_name_is_refused(result):
    with pytest.raises(DagsterInvariantViolationError, match="no_such_node"):
        result.result_for_node("no_such_node")


@older_names
def test_output_that_was_not_produced_is_left_out(result):
    assert result.result_for_node("maybe").output_values == {}
    assert result.result_for_node("maybe").output_value() == {}


@older_names
def test_whole_result_has_no_handle_and_knows_its_graph(result):
    assert result.handle is None
    assert result.node_def.name == "everything"
    assert two_ends.execute_in_process().output_values == {"small": 1, "large": 2}
