"""The stored form of events and runs: exact, compact, readable, and never in the way of what a user writes."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.scenarios import SCENARIOS
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    ExpectationResult,
    MetadataValue,
    TableColumn,
    TableRecord,
    TableSchema,
)
from treadle.codec import (
    LONGEST,
    EventReader,
    decode_message,
    decode_run,
    encode_event,
    encode_message,
    encode_run,
    op_name,
)
from treadle.errors import DagsterEventLogInvalidForRun, SerializableErrorInfo
from treadle.events import DagsterEvent, StepHandle, run_event
from treadle.events import DagsterEventType as T
from treadle.names import NodeHandle
from treadle.payloads import (
    PAYLOADS,
    AssetObservationData,
    ComputeLogsCaptureData,
    EngineEventData,
    ErrorSource,
    HandledOutputData,
    HookErroredData,
    JobCanceledData,
    JobFailureData,
    LoadedInputData,
    RunFailureReason,
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

RUN = DagsterRun(job_name="job", run_id="3f2b", tags={"team": "a"})


def back(event: DagsterEvent, run: DagsterRun = RUN) -> DagsterEvent:
    body = encode_event(event, run)
    if body is not None:
        json.loads(body)  # every stored form is JSON
    return EventReader(run).event(event.event_type_value, event.step_key, op_name(event), event.pid, body)


def step_event(kind: T, payload: Any = None, key: str = "load", **more: Any) -> DagsterEvent:
    path = key.partition("[")[0]
    handle = NodeHandle.from_string(path)
    tags = {"run_id": RUN.run_id, "job_name": "job", "step_key": key, "op_name": path.rpartition(".")[2]}
    tags |= {"resource_name": "None", "resource_fn_name": "None", "team": "a"}
    return DagsterEvent(
        kind.value, "job", StepHandle(handle, key), handle, "COMPUTE", tags, payload, None, 7, key, **more
    )


def test_event_of_several_parts_is_read_also_where_a_text_in_it_has_half_a_character() -> None:
    error = SerializableErrorInfo("ValueError: \ud800", ["\udfff"], "ValueError")
    first = step_event(T.STEP_FAILURE, StepFailureData(error, None))
    event = DagsterEvent(T.RUN_FAILURE.value, "job", event_specific_data=JobFailureData(error, None, first))
    assert back(event) == event


def test_event_that_is_too_long_keeps_its_form() -> None:
    metadata = {f"{number} {'k' * 300}": MetadataValue.text("x" * 20_000) for number in range(2_000)}
    body = encode_event(
        step_event(T.ASSET_MATERIALIZATION, StepMaterializationData(AssetMaterialization("a", "d", metadata))), RUN
    )
    assert body is not None
    assert len(body) <= LONGEST
    read = EventReader(RUN).event(T.ASSET_MATERIALIZATION.value, "load", None, 7, body)
    shown = read.event_specific_data.materialization
    assert (shown.asset_key, shown.description) == (AssetKey("a"), "d")
    assert 0 < len(shown.metadata) < 2_000
    assert "more characters were not kept" in next(iter(shown.metadata.values())).value
    message = decode_message(encode_message(20, "y" * (LONGEST + 1), None))
    assert message[1].startswith("yyy")
    assert message[1].endswith("more characters were not kept)")


CHECK = TypeCheckData(True, "x")
ERROR = SerializableErrorInfo("ValueError: no\n", ["  line\n"], "ValueError", SerializableErrorInfo("KeyError: 'a'\n"))
METADATA = {
    "text": MetadataValue.text("a"),
    "nan": MetadataValue.float(math.nan),
    "inf": MetadataValue.float(-math.inf),
    "big": MetadataValue.int(10**40),
    "json": MetadataValue.json({"a": [1, None]}),
    "none": MetadataValue.null(),
    "asset": MetadataValue.asset(AssetKey(["a", "b"])),
    "table": MetadataValue.table([TableRecord({"a": 1})], TableSchema([TableColumn("a", "int")])),
}
#: type -> a payload of it, and its stored form
FORMS: dict[T, tuple[Any, str]] = {
    T.STEP_START: (None, "null"),
    T.STEP_INPUT: (
        StepInputData("x", CHECK, "Int"),
        '{"input_name":"x","type_check_data":{"success":true,"label":"x"},"type_name":"Int"}',
    ),
    T.STEP_OUTPUT: (
        StepOutputData(StepOutputHandle("load", "result", "k"), CHECK, None, {"rows": MetadataValue.int(3)}),
        '{"step_output_handle":{"step_key":"load","mapping_key":"k"},"type_check_data":{"success":true,"label":"x"},'
        '"metadata":{"rows":{"kind":"int","value":3}}}',
    ),
    T.STEP_SUCCESS: (StepSuccessData(1.5), '{"duration_ms":1.5}'),
    T.STEP_FAILURE: (
        StepFailureData(ERROR, UserFailureData("intentional-failure", "why"), ErrorSource.USER_CODE_ERROR),
        '{"error":{"message":"ValueError: no\\n","stack":["  line\\n"],"cls_name":"ValueError","cause":{"message":'
        '"KeyError: \'a\'\\n"}},"user_failure_data":{"label":"intentional-failure","description":"why"},'
        '"error_source":"USER_CODE_ERROR"}',
    ),
    T.STEP_UP_FOR_RETRY: (StepRetryData(None, 2.0, True), '{"seconds_to_wait":2.0,"is_interruption":true}'),
    T.LOADED_INPUT: (
        LoadedInputData("x", "io_manager", "result", "load"),
        '{"input_name":"x","manager_key":"io_manager","upstream_output_name":"result","upstream_step_key":"load"}',
    ),
    T.HANDLED_OUTPUT: (
        HandledOutputData("result", "io_manager", {"path": MetadataValue.path("/a")}),
        '{"output_name":"result","manager_key":"io_manager","metadata":{"path":{"kind":"path","path":"/a"}}}',
    ),
    T.ASSET_MATERIALIZATION: (
        StepMaterializationData(AssetMaterialization(["a", "b"], "d", {"n": 1})),
        '{"materialization":{"asset_key":["a","b"],"description":"d","metadata":{"n":{"kind":"int","value":1}},'
        '"partition":null,"tags":null}}',
    ),
    T.ASSET_OBSERVATION: (
        AssetObservationData(AssetObservation("a")),
        '{"asset_observation":{"asset_key":["a"],"description":null,"metadata":{},"partition":null,"tags":null}}',
    ),
    T.STEP_EXPECTATION_RESULT: (
        StepExpectationResultData(ExpectationResult(False, "rows", None, {"n": None})),
        '{"expectation_result":{"success":false,"label":"rows","description":null,"metadata":{"n":{"kind":"null"}}}}',
    ),
    T.HOOK_ERRORED: (HookErroredData(SerializableErrorInfo("X: y\n")), '{"error":{"message":"X: y\\n"}}'),
}
RUN_FORMS: dict[T, tuple[Any, str]] = {
    T.RUN_START: (None, "null"),
    T.ENGINE_EVENT: (
        EngineEventData({"pid": MetadataValue.text("1")}, marker_start="a"),
        '{"metadata":{"pid":{"kind":"text","text":"1"}},"marker_start":"a"}',
    ),
    T.LOGS_CAPTURED: (ComputeLogsCaptureData("key", ["a"]), '{"file_key":"key","step_keys":["a"]}'),
    T.RUN_FAILURE: (
        JobFailureData(None, RunFailureReason.STEP_FAILURE, step_event(T.STEP_FAILURE, StepFailureData(ERROR))),
        '[{"failure_reason":"STEP_FAILURE"},{"nested":{"kind":"STEP_FAILURE","step":"load","pid":7,"body":"{\\"error\\":'
        '{\\"message\\":\\"ValueError: no\\\\n\\",\\"stack\\":[\\"  line\\\\n\\"],\\"cls_name\\":\\"ValueError\\",'
        '\\"cause\\":{\\"message\\":\\"KeyError: \'a\'\\\\n\\"}}}"}}]',
    ),
    T.RUN_CANCELED: (JobCanceledData(), "{}"),
}


@pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.name)
def test_event_of_a_step_is_stored_as_it_always_was_and_comes_back_equal(kind: T) -> None:
    payload, form = FORMS[kind]
    event = step_event(kind, payload)
    assert (encode_event(event, RUN) or b"null").decode() == form
    assert back(event) == event


@pytest.mark.parametrize("kind", RUN_FORMS, ids=lambda kind: kind.name)
def test_event_of_a_run_is_stored_as_it_always_was_and_comes_back_equal(kind: T) -> None:
    payload, form = RUN_FORMS[kind]
    event = run_event(kind, "job", payload)
    assert (encode_event(event, RUN) or b"null").decode() == form
    assert back(event) == event


def test_every_payload_class_has_its_stored_form_held_by_a_test() -> None:
    shown = {type(payload) for payload, _ in [*FORMS.values(), *RUN_FORMS.values()]} - {type(None)}
    assert shown == set(PAYLOADS.values())


@pytest.mark.parametrize(
    "event",
    [
        step_event(T.STEP_SUCCESS, StepSuccessData(1.0), "outer.inner.load"),
        msgspec.structs.replace(step_event(T.STEP_START), logging_tags={"a": "b"}),
        msgspec.structs.replace(step_event(T.STEP_START), job_name="another", step_kind_value=None),
        run_event(T.ENGINE_EVENT, "job", EngineEventData(METADATA), message="with its own text"),
        run_event(T.RESOURCE_INIT_SUCCESS, "job", EngineEventData(), step_key="load"),
        run_event(T.ENGINE_EVENT, "job", StepSuccessData(2.0)),
        run_event(T.STEP_START, "job", step_key="load"),
        run_event(T.RUN_FAILURE, "job", JobFailureData(None, None, run_event(T.ENGINE_EVENT, "job", message="m"))),
    ],
    ids=[str(number) for number in range(8)],
)
def test_event_that_is_not_as_events_of_its_type_are_comes_back_equal_too(event: DagsterEvent) -> None:
    assert back(event) == event


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_event_of_a_run_comes_back_equal(scenario: Any) -> None:
    with DagsterInstance.ephemeral() as instance:
        result = scenario.execute(instance=instance, raise_on_error=False)
        for event in result.all_events:
            assert back(event, result.dagster_run) == event


def test_six_events_of_a_step_that_does_nothing_take_little_room() -> None:
    path = "/home/somebody/project/.treadle/storage/3f2b7c1e-0b2f-4f0e-9c83-2f5d1f6f8a11/op_123/result"
    events = [
        step_event(T.STEP_START),
        step_event(T.LOADED_INPUT, LoadedInputData("x", "io_manager", "result", "op_122")),
        step_event(T.STEP_INPUT, StepInputData("x", CHECK)),
        step_event(T.STEP_OUTPUT, StepOutputData(StepOutputHandle("op_123"), TypeCheckData(True, "result"))),
        step_event(T.HANDLED_OUTPUT, HandledOutputData("result", "io_manager", {"path": MetadataValue.path(path)})),
        step_event(T.STEP_SUCCESS, StepSuccessData(0.03127)),
    ]
    assert sum(len(encode_event(event, RUN) or b"") for event in events) <= 550


texts = st.text(st.characters(codec=None), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(
    texts,
    st.builds(MetadataValue.text, texts)
    | st.builds(MetadataValue.json, st.dictionaries(texts, json_values, max_size=3))
    | st.builds(MetadataValue.float, st.floats())
    | st.builds(MetadataValue.int, st.integers(-(10**50), 10**50)),
    max_size=4,
)


@given(texts, metadata, texts | st.none())
def test_whatever_a_user_writes_comes_back_equal(text: str, kinds: Any, description: str | None) -> None:
    event = step_event(
        T.STEP_EXPECTATION_RESULT, StepExpectationResultData(ExpectationResult(True, text, description, kinds))
    )
    assert back(event) == event


@given(texts, texts | st.none(), st.integers(0, 60))
def test_message_comes_back_as_it_was_logged(text: str, traceback: str | None, level: int) -> None:
    assert decode_message(encode_message(level, text, traceback)) == (level, text, traceback)


class Color(Enum):
    RED = "red"


def test_run_comes_back_with_config_that_json_cannot_hold_as_text() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    config = {"n": 1, "path": Path("/a"), "when": datetime(2013, 1, 1, tzinfo=timezone.utc), 3: Color.RED, "loop": loop}
    run = DagsterRun(
        job_name="job",
        run_id="3f2b",
        run_config=config,
        op_selection=["a*"],
        resolved_op_selection=frozenset({"a", "b"}),
        step_keys_to_execute=["a[x]"],
        parent_run_id="1",
        root_run_id="0",
        job_snapshot_id="s",
        job_code_origin={"file": "a.py"},
    )
    stored = decode_run(encode_run(run), DagsterRunStatus.STARTED, {"a": "b"})
    assert msgspec.structs.replace(stored, run_config=config) == msgspec.structs.replace(
        run, status=DagsterRunStatus.STARTED, tags={"a": "b"}
    )
    assert stored.run_config["n"] == 1
    assert stored.run_config["path"] == {"$shown": "PosixPath('/a')"}


@given(st.dictionaries(texts, json_values, max_size=4))
def test_run_config_of_plain_values_comes_back_equal(config: dict[str, Any]) -> None:
    run = DagsterRun(job_name="job", run_id="3f2b", run_config=config)
    assert decode_run(encode_run(run), run.status, {}) == run


@pytest.mark.parametrize("body", [b"{", b'{"input_name":3}', b"[1]", b"garbage", b"\xff\xfe"])
def test_row_that_is_no_event_is_refused_with_what_stands_in_it(body: bytes) -> None:
    with pytest.raises(DagsterEventLogInvalidForRun, match="STEP_INPUT of the run 3f2b cannot be read"):
        EventReader(RUN).event("STEP_INPUT", "load", None, 1, body)
    with pytest.raises(DagsterEventLogInvalidForRun, match="cannot be read"):
        EventReader(RUN).event("NO_SUCH_TYPE", "load", None, 1, None)


def test_fields_of_a_later_version_are_passed_over() -> None:
    body = b'{"duration_ms":1.5,"mood":"good"}'
    assert EventReader(RUN).event("STEP_SUCCESS", "load", None, 7, body) == step_event(
        T.STEP_SUCCESS, StepSuccessData(1.5)
    )


def test_message_or_run_that_is_none_is_refused() -> None:
    with pytest.raises(DagsterEventLogInvalidForRun, match="message in the log"):
        decode_message(b"{}")
    with pytest.raises(DagsterEventLogInvalidForRun, match="record of a run"):
        decode_run(b"nothing", DagsterRunStatus.STARTED, {})
