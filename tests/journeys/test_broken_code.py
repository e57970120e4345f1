"""A user's code goes wrong while it runs: the error says what and where, their own lines come first, and nothing is lost.

Outputs that do not fit their op, mapping keys, resources, and exceptions of the op's own, all through the public API.
"""

from __future__ import annotations

import uuid

import pytest

from tests.conformance.wiring import job_of
from tests.journeys.messages import IS_TREADLE, assert_says, assert_steps
from treadle import (
    AssetMaterialization,
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    DagsterStepOutputNotFoundError,
    DagsterUnknownResourceError,
    DynamicOut,
    DynamicOutput,
    Out,
    Output,
    job,
    op,
    resource,
)

# -- what an op gives back ------------------------------------------------------------------------------------------


TWO = {"small": Out(), "large": Out()}


def undeclared():
    yield Output(1, "smal")


def twice():
    yield Output(1, "small")
    yield Output(2, "small")


def only_one():
    yield Output(1, "small")


def none_at_all():
    yield AssetMaterialization("table")


def nothing():
    return None


def too_many():
    return 1, 2, 3


def key_twice():
    yield DynamicOutput(1, mapping_key="EWR")
    yield DynamicOutput(2, mapping_key="EWR")


def plain_for_dynamic():
    yield Output(1)


def dynamic_for_plain():
    yield DynamicOutput(1, mapping_key="EWR")


SO_FAR = ["STEP_OUTPUT", "HANDLED_OUTPUT"]


@pytest.mark.parametrize(
    ("body", "out", "error", "parts", "hint", "events"),
    [
        (undeclared, TWO, DagsterInvariantViolationError, ["undeclared", '"smal"', "small", "large"], "small", []),
        (twice, TWO, DagsterInvariantViolationError, ["twice", '"small"', "multiple times"], None, SO_FAR),
        (only_one, TWO, DagsterStepOutputNotFoundError, ["only_one", '"large"'], None, SO_FAR),
        (
            none_at_all,
            Out(),
            DagsterStepOutputNotFoundError,
            ["none_at_all", '"result"'],
            None,
            ["ASSET_MATERIALIZATION"],
        ),
        (nothing, TWO, DagsterInvariantViolationError, ["nothing", "multiple outputs", "NoneType"], None, []),
        (too_many, TWO, DagsterInvariantViolationError, ["too_many", "3 outputs", "2 outputs"], None, []),
        (
            key_twice,
            DynamicOut(),
            DagsterInvariantViolationError,
            ["key_twice", '"EWR"', "multiple times"],
            None,
            SO_FAR,
        ),
        (
            plain_for_dynamic,
            DynamicOut(),
            DagsterInvariantViolationError,
            ["plain_for_dynamic", "DynamicOutput"],
            None,
            [],
        ),
        (dynamic_for_plain, Out(), DagsterInvariantViolationError, ["dynamic_for_plain", "DynamicOut"], None, []),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)
def test_wrong_output_fails_the_step_and_says_which(body, out, error, parts, hint, events):
    one_op = op(out=out)(body)
    one_job = job_of(one_op, name="giving")

    with pytest.raises(error) as raised:
        one_job.execute_in_process()
    result = one_job.execute_in_process(raise_on_error=False)

    assert_says(raised, *parts, hint=hint)
    name = body.__name__
    assert_steps(result, *(f"{name} {event}" for event in ["STEP_START", *events, "STEP_FAILURE"]))
    assert_says(result.failure_data_for_node(name).error.message, *parts)


@pytest.mark.parametrize("key", ["a b", "a-b", "a.b", "a[b]", ""])
def test_mapping_key_that_is_not_allowed_is_refused(key):
    def splits():
        yield DynamicOutput(1, mapping_key=key)

    one_op = op(out=DynamicOut())(splits)
    one_job = job_of(one_op, name="splitting")

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        one_job.execute_in_process()

    assert_says(error, f'"{key}"', "valid name")


# -- resources ---------------------------------------------------------------------------------------------------------


@op(required_resource_keys={"database"})
def query(context):
    return context.resources.database


@resource
def broken():
    raise ConnectionError("no route to host")


@resource
def torn_down():
    yield "open"
    closed.append("torn_down")


closed: list[str] = []


def test_missing_resource_names_the_key_the_op_and_what_there_is():
    def body():
        query()

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="querying", resource_defs={"databse": torn_down})(body).execute_in_process()

    assert_says(error, "'database'", "'query'", "'databse'", hint="databse")


def test_missing_resource_is_found_before_anything_runs():
    ran: list[str] = []

    @op
    def a_first():
        ran.append("a_first")

    def body():
        a_first()
        query()

    with pytest.raises(DagsterInvalidDefinitionError):
        job(name="querying")(body).execute_in_process()

    assert ran == []


def test_resource_that_cannot_start_is_named_with_the_reason():
    one_job = job_of(query, name="querying", resource_defs={"database": broken})

    with pytest.raises(DagsterResourceFunctionError) as error:
        one_job.execute_in_process()

    assert_says(error, "database")
    assert isinstance(error.value.__cause__, ConnectionError)
    assert isinstance(error.value.user_exception, ConnectionError)


def test_resource_that_cannot_start_leaves_a_result_and_closes_the_others():
    @op(required_resource_keys={"a_file", "database"})
    def both(context):
        pass

    closed.clear()
    one_job = job_of(both, name="querying", resource_defs={"a_file": torn_down, "database": broken})

    result = one_job.execute_in_process(raise_on_error=False)

    assert [event.event_type.name for event in result.all_events] == [
        "RUN_START",
        "ENGINE_EVENT",
        "RESOURCE_INIT_STARTED",
        "RESOURCE_INIT_FAILURE",
        "RUN_FAILURE",
    ]
    assert "no route to host" in result.get_run_failure_event().job_failure_data.error.to_string()
    assert closed == ["torn_down"]


def test_resource_that_the_op_did_not_ask_for_is_refused_by_name():
    @op(required_resource_keys={"database"})
    def asks_too_much(context):
        return context.resources.databse

    one_job = job_of(asks_too_much, name="querying", resource_defs={"database": torn_down})

    with pytest.raises(DagsterUnknownResourceError) as error:
        one_job.execute_in_process()

    assert_says(error, "databse", "required")
    if IS_TREADLE:
        assert_says(error, "Available here: database")


# -- an exception of the op's own ------------------------------------------------------------------------------------------


def parse(row):
    return int(row)


@op
def reads():
    return "12 minutes"


@op
def parses(row):
    yield AssetMaterialization("seen_before")
    yield Output(parse(row))


@op
def below(number):
    pass


@job
def parsing():
    below(parses(reads()))


UP_TO_IT = [
    *("reads STEP_START", "reads STEP_OUTPUT", "reads HANDLED_OUTPUT", "reads STEP_SUCCESS"),
    *("parses STEP_START", "parses LOADED_INPUT", "parses STEP_INPUT", "parses ASSET_MATERIALIZATION"),
    "parses STEP_FAILURE",
]


def test_exception_of_an_op_shows_the_users_frames_first():
    error = parsing.execute_in_process(raise_on_error=False).failure_data_for_node("parses").error
    stack = error.cause.stack

    assert "parses" in error.message
    assert error.cause.cls_name == "ValueError"
    assert error.cause.message == "ValueError: invalid literal for int() with base 10: '12 minutes'\n"
    assert __file__ in stack[-1] and "return int(row)" in stack[-1]
    if IS_TREADLE:
        assert [__file__ in frame for frame in stack] == [True, True]
        assert "in parses" in stack[0] and "in parse\n" in stack[1]


def test_exception_of_an_op_is_in_the_text_of_the_failure():
    data = parsing.execute_in_process(raise_on_error=False).failure_data_for_node("parses")

    assert_says(data.error_display_string, "parses", "invalid literal for int()", "return int(row)")


def test_result_keeps_every_event_up_to_the_exception():
    result = parsing.execute_in_process(raise_on_error=False)

    assert_steps(result, *UP_TO_IT)
    assert result.output_for_node("reads") == "12 minutes"
    assert result.get_failed_step_keys() == {"parses"}
    assert result.all_events[-1].message.endswith("Steps failed: ['parses'].")


def test_exception_that_is_raised_is_the_very_one_of_the_op_and_the_log_keeps_every_event():
    run_id = str(uuid.uuid4())
    with DagsterInstance.ephemeral() as instance:
        with pytest.raises(ValueError, match="12 minutes") as error:
            parsing.execute_in_process(instance=instance, run_id=run_id)
        events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.is_dagster_event]

    assert error.traceback[-1].name == "parse"
    assert [f"{event.step_key} {event.event_type.name}" for event in events if event.is_step_event] == UP_TO_IT
    assert events[-1].event_type.name == "RUN_FAILURE"


def test_cause_of_the_users_exception_is_kept():
    def raises_from():
        try:
            parse("x")
        except ValueError as error:
            raise LookupError("no such row") from error

    one_op = op(raises_from)
    result = job_of(one_op, name="causing").execute_in_process(raise_on_error=False)
    cause = result.failure_data_for_node("raises_from").error.cause

    assert (cause.cls_name, cause.cause.cls_name) == ("LookupError", "ValueError")
    assert __file__ in cause.cause.stack[-1]
