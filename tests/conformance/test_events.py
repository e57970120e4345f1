"""Facts of events: their types and groups, fields and properties, payload by payload, and what the messages say.

The events come from runs of golden scenarios that between them emit every type that a run in process can emit.
"""

from __future__ import annotations

import os
import pickle
import re
from typing import Any

import pytest

from tests.conformance.scenario import IS_TREADLE
from tests.conformance.scenarios import SCENARIOS
from treadle import DagsterEvent, DagsterEventType, IntMetadataValue
from treadle.errors import CheckError

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

#: types whose value is the older text; the older text is also a second name of the member
RENAMED = ["ENQUEUED", "DEQUEUED", "STARTING", "START", "SUCCESS", "FAILURE", "CANCELING", "CANCELED"]
SAME_NAME_AND_VALUE = """
    STEP_START STEP_INPUT LOADED_INPUT STEP_OUTPUT HANDLED_OUTPUT STEP_SUCCESS STEP_FAILURE STEP_SKIPPED STEP_UP_FOR_RETRY
    STEP_RESTARTED STEP_WORKER_STARTING STEP_WORKER_STARTED RESOURCE_INIT_STARTED RESOURCE_INIT_SUCCESS RESOURCE_INIT_FAILURE
    LOGS_CAPTURED ENGINE_EVENT ASSET_MATERIALIZATION ASSET_OBSERVATION STEP_EXPECTATION_RESULT HOOK_COMPLETED HOOK_ERRORED
    HOOK_SKIPPED RUN_SUSPENDED RUN_RESUMED OBJECT_STORE_OPERATION ASSET_STORE_OPERATION ALERT_START ALERT_SUCCESS ALERT_FAILURE
""".split()

RUN_TYPES = {f"RUN_{name}" for name in [*RENAMED, "SUSPENDED", "RESUMED"]}
ALERT_TYPES = {"ALERT_START", "ALERT_SUCCESS", "ALERT_FAILURE"}
HOOK_TYPES = {"HOOK_COMPLETED", "HOOK_ERRORED", "HOOK_SKIPPED"}
STEP_TYPES = {
    *("STEP_INPUT", "STEP_START", "STEP_OUTPUT", "STEP_FAILURE", "STEP_SUCCESS", "STEP_SKIPPED", "STEP_RESTARTED"),
    *("STEP_UP_FOR_RETRY", "ASSET_MATERIALIZATION", "ASSET_OBSERVATION", "STEP_EXPECTATION_RESULT"),
    *("HANDLED_OUTPUT", "LOADED_INPUT"),
}
ENGINE_TYPES = {"ENGINE_EVENT", "RESOURCE_INIT_STARTED", "RESOURCE_INIT_SUCCESS", "RESOURCE_INIT_FAILURE"}


def name_of(event: Any) -> str:
    return event.event_type.name


class Seen:
    """Every event of some runs; `of` gives one by scenario, type and step key."""

    def __init__(self, *scenarios: str) -> None:
        self.runs = {name: list(BY_NAME[name].execute(raise_on_error=False).all_events) for name in scenarios}
        self.all = [event for events in self.runs.values() for event in events]

    def of(self, scenario: str, type_name: str, step_key: str | None = None) -> Any:
        return next(
            event for event in self.runs[scenario] if name_of(event) == type_name and step_key in (None, event.step_key)
        )


@pytest.fixture(scope="module")
def frame() -> Seen:
    return Seen(
        *("nested_graph", "dynamic", "branch_skip", "retry_policy_success", "hook_success", "hook_raises_on_success"),
        *("op_exception", "failure_metadata", "independent_continues"),
    )


@pytest.fixture(scope="module")
def wider() -> Seen:
    return Seen(
        *("resource_plain", "resource_init_failure", "resource_teardown_failure", "keyboard_interrupt"),
        *("materialization", "expectation", "io_metadata", "typecheck_input", "typecheck_output"),
    )


# -- types ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAME_NAME_AND_VALUE)
def test_type_has_its_name_as_value(name):
    assert DagsterEventType[name].value == name


@pytest.mark.parametrize("name", RENAMED)
def test_run_type_keeps_its_older_value_and_name(name):
    assert DagsterEventType[f"RUN_{name}"].value == f"PIPELINE_{name}"
    assert DagsterEventType[f"PIPELINE_{name}"] is DagsterEventType[f"RUN_{name}"]
    assert DagsterEventType[f"PIPELINE_{name}"].name == f"RUN_{name}"


# -- groups -----------------------------------------------------------------------------------------------------

GROUPS: dict[str, set[str]] = {
    "is_step_event": STEP_TYPES,
    "is_hook_event": HOOK_TYPES,
    "is_alert_event": ALERT_TYPES,
    "is_engine_event": {"ENGINE_EVENT"},
    "is_job_event": RUN_TYPES,
    "is_failure": {"RUN_FAILURE", "STEP_FAILURE", "RUN_CANCELED"},
    "is_job_success": {"RUN_SUCCESS"},
    "is_job_failure": {"RUN_FAILURE"},
    "is_run_failure": {"RUN_FAILURE"},
    "is_step_start": {"STEP_START"},
    "is_step_success": {"STEP_SUCCESS"},
    "is_step_failure": {"STEP_FAILURE"},
    "is_step_skipped": {"STEP_SKIPPED"},
    "is_step_restarted": {"STEP_RESTARTED"},
    "is_step_up_for_retry": {"STEP_UP_FOR_RETRY"},
    "is_successful_output": {"STEP_OUTPUT"},
    "is_handled_output": {"HANDLED_OUTPUT"},
    "is_loaded_input": {"LOADED_INPUT"},
    "is_step_materialization": {"ASSET_MATERIALIZATION"},
    "is_asset_observation": {"ASSET_OBSERVATION"},
    "is_expectation_result": {"STEP_EXPECTATION_RESULT"},
    "is_resource_init_failure": {"RESOURCE_INIT_FAILURE"},
    "is_asset_materialization_planned": set(),
}


@pytest.mark.parametrize(("property_name", "members"), GROUPS.items(), ids=GROUPS)
def test_group_property_is_true_for_its_members_alone(frame, property_name, members):
    bare = [DagsterEvent(DagsterEventType[name].value, "some_job") for name in sorted(RUN_TYPES | ALERT_TYPES)]

    for event in [*frame.all, *bare]:
        assert getattr(event, property_name) is (name_of(event) in members), name_of(event)


@pytest.mark.later
@pytest.mark.parametrize(("property_name", "members"), GROUPS.items(), ids=GROUPS)
def test_group_property_is_true_for_its_members_among_user_and_resource_events(wider, property_name, members):
    for event in wider.all:
        assert getattr(event, property_name) is (name_of(event) in members), name_of(event)


# -- fields -----------------------------------------------------------------------------------------------------


def test_fields_come_in_their_order():
    event = DagsterEvent(
        "STEP_START", "some_job", None, None, "COMPUTE", {"tag": "1"}, None, "a message", 7, "some_step"
    )

    assert event.event_type is DagsterEventType.STEP_START
    assert (event.event_type_value, event.job_name, event.step_kind_value) == ("STEP_START", "some_job", "COMPUTE")
    assert (event.logging_tags, event.message, event.pid, event.step_key) == ({"tag": "1"}, "a message", 7, "some_step")


def test_event_is_a_value(frame):
    event = frame.of("dynamic", "STEP_START", "inc[k0]")

    assert pickle.loads(pickle.dumps(event)) == event
    assert event != frame.of("dynamic", "STEP_START", "inc[k1]")
    with pytest.raises(AttributeError):
        event.message = "another"


def test_step_event_knows_its_step(frame):
    event = frame.of("nested_graph", "STEP_START", "outer.inner.inner_inc")

    assert event.step_handle.key == "outer.inner.inner_inc"
    assert str(event.step_handle.node_handle) == "outer.inner.inner_inc"
    assert (event.node_handle.name, str(event.node_handle.parent)) == ("inner_inc", "outer.inner")
    assert event.node_name == "inner_inc"
    assert event.step_kind_value == event.step_kind.value == "COMPUTE"
    assert event.pid == os.getpid()


def test_event_of_a_mapped_copy_knows_its_node_and_key(frame):
    event = frame.of("dynamic", "STEP_START", "inc[k0]")

    assert str(event.node_handle) == event.node_name == "inc"
    assert event.step_handle.mapping_key == "k0"
    assert event.step_handle.key == "inc[k0]"


def test_step_event_has_logging_tags(frame):
    event = frame.of("nested_graph", "STEP_START", "outer.one")
    tags = dict(event.logging_tags)

    assert len(tags.pop("run_id")) == 36
    assert tags == {
        "job_name": "nested_graph_job",
        "step_key": "outer.one",
        "op_name": "one",
        "resource_name": "None",
        "resource_fn_name": "None",
    }


def test_event_outside_steps_has_no_step_fields(frame):
    for type_name in ("RUN_START", "ENGINE_EVENT", "RESOURCE_INIT_STARTED", "LOGS_CAPTURED", "RUN_SUCCESS"):
        event = frame.of("dynamic", type_name)

        assert (event.step_handle, event.node_handle, event.step_kind_value, event.step_key) == (None,) * 4
        assert event.logging_tags == {}
        with pytest.raises(ValueError):
            _ = event.step_kind
        with pytest.raises(CheckError):
            _ = event.node_name


def test_asset_fields_never_raise(frame):
    for event in frame.all:
        assert (event.asset_key, event.partition, event.partitions_subset) == (None, None, None)


@pytest.mark.later
def test_materialization_event_knows_its_asset(wider):
    event = wider.of("materialization", "ASSET_MATERIALIZATION")

    assert event.asset_key.path == ["table"]
    assert event.partition is None


# -- payloads ------------------------------------------------------------------------------------------------------

#: payload property -> types that have it; of all others it raises
PAYLOADS: dict[str, set[str]] = {
    "step_input_data": {"STEP_INPUT"},
    "step_output_data": {"STEP_OUTPUT"},
    "step_success_data": {"STEP_SUCCESS"},
    "step_failure_data": {"STEP_FAILURE"},
    "step_retry_data": {"STEP_UP_FOR_RETRY"},
    "step_materialization_data": {"ASSET_MATERIALIZATION"},
    "materialization": {"ASSET_MATERIALIZATION"},
    "step_expectation_result_data": {"STEP_EXPECTATION_RESULT"},
    "asset_observation_data": {"ASSET_OBSERVATION"},
    "hook_completed_data": {"HOOK_COMPLETED"},
    "hook_errored_data": {"HOOK_ERRORED"},
    "hook_skipped_data": {"HOOK_SKIPPED"},
    "logs_captured_data": {"LOGS_CAPTURED"},
    "engine_event_data": ENGINE_TYPES,
    "job_failure_data": {"RUN_FAILURE"},
    "job_canceled_data": {"RUN_CANCELED"},
}


@pytest.mark.parametrize(("property_name", "members"), PAYLOADS.items(), ids=PAYLOADS)
def test_payload_of_another_type_is_refused_by_name(frame, property_name, members):
    own_name = "step_materialization_data" if property_name == "materialization" else property_name

    for event in frame.all:
        if name_of(event) in members:
            assert getattr(event, property_name) is event.event_specific_data
        else:
            with pytest.raises(CheckError, match=f"({own_name}|{property_name}).*{name_of(event)}"):
                getattr(event, property_name)


@pytest.mark.parametrize(
    "type_name",
    ["RUN_START", "RUN_SUCCESS", "STEP_START", "STEP_RESTARTED", "STEP_SKIPPED", "HOOK_COMPLETED", "HOOK_SKIPPED"],
)
def test_event_that_says_it_all_has_no_payload(frame, type_name):
    (event, *_) = [event for event in frame.all if name_of(event) == type_name]

    assert event.event_specific_data is None


def fields(payload: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(payload, name) for name in names}


def test_input_payloads_tell_where_the_value_came_from(frame):
    loaded = frame.of("nested_graph", "LOADED_INPUT", "inc").event_specific_data
    given = frame.of("nested_graph", "STEP_INPUT", "inc").step_input_data

    assert fields(loaded, "input_name", "manager_key", "upstream_output_name", "upstream_step_key", "metadata") == {
        "input_name": "x",
        "manager_key": "io_manager",
        "upstream_output_name": "result",
        "upstream_step_key": "outer.inner.inner_inc",
        "metadata": {},
    }
    assert given.input_name == "x"
    assert fields(given.type_check_data, "success", "label", "description", "metadata") == {
        "success": True,
        "label": "x",
        "description": None,
        "metadata": {},
    }


def test_loaded_input_of_a_collect_names_each_copy(frame):
    loaded = [
        event.event_specific_data.upstream_step_key
        for event in frame.runs["dynamic"]
        if event.is_loaded_input and event.step_key == "total"
    ]

    assert loaded == ["inc[k0]", "inc[k1]"]


def test_output_payloads_tell_the_output_and_its_mapping_key(frame):
    yielded = frame.of("dynamic", "STEP_OUTPUT", "gen").step_output_data
    handled = frame.of("dynamic", "HANDLED_OUTPUT", "gen").event_specific_data

    assert fields(yielded.step_output_handle, "step_key", "output_name", "mapping_key") == {
        "step_key": "gen",
        "output_name": "result",
        "mapping_key": "k0",
    }
    assert (yielded.output_name, yielded.mapping_key, yielded.version, yielded.metadata) == ("result", "k0", None, {})
    assert (yielded.type_check_data.success, yielded.type_check_data.label) == (True, "result")
    assert fields(handled, "output_name", "manager_key", "metadata") == {
        "output_name": "result",
        "manager_key": "io_manager",
        "metadata": {},
    }


def test_success_payload_is_the_duration(frame):
    duration = frame.of("dynamic", "STEP_SUCCESS", "gen").step_success_data.duration_ms

    assert isinstance(duration, float) and duration >= 0


def test_retry_payload_has_the_error_and_the_wait(frame):
    data = frame.of("retry_policy_success", "STEP_UP_FOR_RETRY", "flaky").step_retry_data

    assert data.seconds_to_wait == 0
    assert data.error.cause.cls_name == "ValueError"


def test_engine_payload_lists_process_and_steps(frame):
    events = [event for event in frame.runs["nested_graph"] if event.is_engine_event]

    assert len(events) == 2
    for event in events:
        assert str(event.engine_event_data.metadata["pid"].value) == str(os.getpid())
        assert "outer.inner.inner_inc" in event.engine_event_data.metadata["step_keys"].value
        assert event.engine_event_data.error is None


def test_logs_payload_has_a_file_key(frame):
    data = frame.of("nested_graph", "LOGS_CAPTURED").logs_captured_data

    assert isinstance(data.file_key, str) and data.file_key
    assert "outer.one" in data.step_keys
    assert (data.external_url, data.external_stdout_url, data.external_stderr_url, data.shell_cmd) == (None,) * 4


def test_hook_error_payload_has_the_error(frame):
    data = frame.of("hook_raises_on_success", "HOOK_ERRORED", "one").hook_errored_data

    assert "RuntimeError" in data.error.to_string()


@pytest.mark.later
def test_resource_payload_names_what_was_made(wider):
    made = wider.of("resource_plain", "RESOURCE_INIT_SUCCESS").engine_event_data

    assert set(made.metadata) == {"r", "r:init_time", "io_manager", "io_manager:init_time"}
    assert (made.metadata["r"].module, made.metadata["r"].name) == ("builtins", "str")
    assert made.marker_end == wider.of("resource_plain", "RESOURCE_INIT_STARTED").engine_event_data.marker_start


@pytest.mark.later
def test_resource_failure_payload_has_the_error(wider):
    for scenario, type_name, text in [
        ("resource_init_failure", "RESOURCE_INIT_FAILURE", "Broken: resource"),
        ("resource_teardown_failure", "ENGINE_EVENT", "Broken: teardown"),
    ]:
        errors = [
            event.engine_event_data.error
            for event in wider.runs[scenario]
            if name_of(event) == type_name and event.engine_event_data.error
        ]
        assert len(errors) == 1
        assert text in errors[0].to_string()


@pytest.mark.later
def test_failed_check_is_in_the_payload(wider):
    given = wider.of("typecheck_input", "STEP_INPUT", "takes_int").step_input_data.type_check_data
    yielded = wider.of("typecheck_output", "STEP_OUTPUT", "bad_int").step_output_data.type_check_data

    for check in (given, yielded):
        assert not check.success
        assert "text" in check.description and "str" in check.description


@pytest.mark.later
def test_user_events_are_their_own_payload(wider):
    made = wider.of("materialization", "ASSET_MATERIALIZATION")
    seen = wider.of("materialization", "ASSET_OBSERVATION").asset_observation_data.asset_observation
    expected = wider.of("expectation", "STEP_EXPECTATION_RESULT").step_expectation_result_data.expectation_result

    assert made.step_materialization_data.materialization == made.materialization
    assert made.step_materialization_data.asset_lineage == []
    assert made.materialization.metadata == {"rows": IntMetadataValue(3)}
    assert seen.asset_key.path == ["table"]
    assert (expected.success, expected.label) == (True, "first")


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "type_name", "step_key", "parts"),
    [
        ("nested_graph", "RUN_START", None, ["execution of run for", '"nested_graph_job"']),
        ("nested_graph", "RUN_SUCCESS", None, ["execution of run for", '"nested_graph_job"']),
        ("independent_continues", "RUN_FAILURE", None, ['"independent_continues_job"', r"Steps failed: \['boom'\]"]),
        ("nested_graph", "STEP_START", "outer.one", ['"outer.one"']),
        ("nested_graph", "STEP_SUCCESS", "outer.one", ['"outer.one"', r"\d(\.\d+)?\s*(ms|s)\b"]),
        ("op_exception", "STEP_FAILURE", "boom", ['"boom"']),
        ("branch_skip", "STEP_SKIPPED", "nottaken", ['"nottaken"']),
        ("retry_policy_success", "STEP_RESTARTED", "flaky", [r"attempt # 2", '"flaky"']),
        ("nested_graph", "LOADED_INPUT", "inc", ['"x"', "io_manager", '"result"', '"outer.inner.inner_inc"']),
        ("nested_graph", "HANDLED_OUTPUT", "outer.one", ['"result"', "io_manager"]),
        ("nested_graph", "STEP_INPUT", "inc", ['"x"', '"Any"', "[Tt]ype check passed"]),
        ("dynamic", "STEP_OUTPUT", "gen", ['"result"', '"k0"', '"Any"', "[Tt]ype check passed"]),
        ("nested_graph", "RESOURCE_INIT_STARTED", None, [r"\[io_manager\]"]),
        ("nested_graph", "RESOURCE_INIT_SUCCESS", None, [r"\[io_manager\]"]),
        ("hook_success", "HOOK_COMPLETED", "one", ["when_good", '"one"']),
        ("hook_success", "HOOK_SKIPPED", "one", ["when_bad", '"one"']),
    ],
)
def test_message_says(frame, scenario, type_name, step_key, parts):
    message = frame.of(scenario, type_name, step_key).message

    for part in parts:
        assert re.search(part, message), message


def test_each_attempt_has_its_number_in_the_message(frame):
    restarts = [event.message for event in frame.runs["retry_policy_success"] if event.is_step_restarted]

    assert [re.search(r"attempt # (\d)", message)[1] for message in restarts] == ["2", "3"]


@pytest.mark.later
@pytest.mark.parametrize(
    ("scenario", "type_name", "parts", "absent"),
    [
        ("resource_init_failure", "RUN_FAILURE", ["exception was thrown during execution"], ["Steps failed"]),
        ("keyboard_interrupt", "RUN_FAILURE", ["interrupted unexpectedly", "termination request"], ["Steps failed"]),
        ("resource_plain", "RESOURCE_INIT_STARTED", [r"\[io_manager, r\]"], []),
        ("resource_plain", "RESOURCE_INIT_SUCCESS", [r"\[io_manager, r\]"], []),
        ("resource_init_failure", "RESOURCE_INIT_FAILURE", [r"\[(r, io_manager|io_manager, r)\]"], []),
        ("expectation", "STEP_EXPECTATION_RESULT", ["Expectation first passed"], []),
        ("materialization", "ASSET_MATERIALIZATION", ["table"], []),
        ("typecheck_input", "STEP_INPUT", ['"x"', '"Int"', "[Tt]ype check failed"], []),
        ("typecheck_output", "STEP_OUTPUT", ['"result"', '"Int"', "[Tt]ype check failed"], []),
    ],
)
def test_message_of_user_and_resource_events_says(wider, scenario, type_name, parts, absent):
    step_key = "takes_int" if type_name == "STEP_INPUT" else None
    message = wider.of(scenario, type_name, step_key).message

    for part in parts:
        assert re.search(part, message), message
    for part in absent:
        assert part not in message


# -- older names ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not IS_TREADLE, reason="names that only older releases of the original have")
def test_older_names_on_an_event(frame):
    step = frame.of("nested_graph", "STEP_START", "outer.one")
    failure = frame.of("op_exception", "RUN_FAILURE")

    assert step.pipeline_name == step.job_name
    assert (step.solid_handle, step.solid_name) == (step.node_handle, step.node_name)
    assert step.step_handle.solid_handle == step.node_handle
    assert (step.is_pipeline_event, failure.is_pipeline_event) == (False, True)
    assert (failure.is_pipeline_success, failure.is_pipeline_failure) == (False, True)
    assert failure.pipeline_failure_data == failure.job_failure_data
