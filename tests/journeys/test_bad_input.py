"""A user makes a mistake, and reads what Treadle says: where, what was expected, what came, and what to do.

One test for each kind of mistake, all through the public API. Code that goes wrong while it runs
is the business of `test_broken_code.py`; what comes from files and the command line has its own tests, too.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.conformance.wiring import job_of
from tests.journeys.messages import IS_TREADLE, assert_says
from treadle import (
    Config,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DependencyDefinition,
    Field,
    GraphDefinition,
    Out,
    job,
    op,
)

# -- config ------------------------------------------------------------------------------------------------------


@op(
    config_schema={
        "airport": str,
        "limit": Field(int, default_value=3),
        "inner": {"deep": int},
        "months": Field([int], is_required=False),
    }
)
def delays(context):
    pass


@job
def flights():
    delays()


class ReportConfig(Config):
    threshold: float
    months: list[int] = [1]


@op
def report(config: ReportConfig):
    pass


@job
def reports():
    report()


GOOD = {"airport": "EWR", "inner": {"deep": 1}}


def refused(run_config: Any, of: Any = flights, **kwargs: Any) -> DagsterInvalidConfigError:
    with pytest.raises(DagsterInvalidConfigError) as error:
        of.execute_in_process(run_config=run_config, **kwargs)
    return error.value


def delays_config(config: Any) -> dict[str, Any]:
    return {"ops": {"delays": {"config": config}}}


def test_unknown_config_key_is_named_with_its_path_and_what_was_meant():
    error = refused(delays_config({**GOOD, "limt": 2}))

    (found,) = error.errors
    assert found.reason.name == "FIELD_NOT_DEFINED"
    assert_says(error, 'unexpected config entry "limt"', "root:ops:delays:config", "limit?: Int", hint="limit")


def test_unknown_key_in_a_nested_shape_has_its_whole_path():
    error = refused(delays_config({"airport": "EWR", "inner": {"deep": 1, "depe": 2}}))

    assert_says(error, '"depe"', "root:ops:delays:config:inner", "{ deep: Int }", hint="deep")


def test_unknown_op_in_the_config_is_named_with_what_was_meant():
    error = refused({"ops": {"delays": {"config": GOOD}, "dleays": {"config": GOOD}}})

    assert_says(error, 'unexpected config entry "dleays"', "root:ops", hint="delays")


def test_unknown_section_of_the_config_is_named_with_what_was_meant():
    error = refused({**delays_config(GOOD), "resorces": {}})

    assert_says(error, 'unexpected config entry "resorces"', "at the root", hint="resources")


def test_several_unknown_keys_are_named_together():
    error = refused(delays_config({**GOOD, "limt": 2, "airprot": "JFK"}))

    (found,) = error.errors
    assert found.reason.name == "FIELDS_NOT_DEFINED"
    assert_says(error, "limt", "airprot", hint="airport")


def test_missing_config_comes_with_an_example():
    error = refused(delays_config({"inner": {"deep": 1}}))

    (found,) = error.errors
    assert found.reason.name == "MISSING_REQUIRED_FIELD"
    assert_says(error, 'Missing required config entry "airport"', "root:ops:delays:config", "{'airport': '...'}")


def test_several_missing_keys_are_named_together():
    error = refused(delays_config({}))

    (found,) = error.errors
    assert found.reason.name == "MISSING_REQUIRED_FIELDS"
    assert_says(error, "['airport', 'inner']", "root:ops:delays:config", "{'deep': 0}")


def test_config_left_out_altogether_shows_the_whole_of_what_is_missing():
    error = refused(None)

    assert_says(error, 'Missing required config entry "ops"', "at the root", "{'ops': {'delays': {'config': {")


@pytest.mark.parametrize(
    ("config", "path", "came", "expected"),
    [
        ({**GOOD, "airport": 3}, "root:ops:delays:config:airport", '"3"', '"String"'),
        ({**GOOD, "limit": "many"}, "root:ops:delays:config:limit", '"many"', '"Int"'),
        ({**GOOD, "limit": True}, "root:ops:delays:config:limit", '"True"', '"Int"'),
        ({**GOOD, "inner": {"deep": "x"}}, "root:ops:delays:config:inner:deep", '"x"', '"Int"'),
        ({**GOOD, "months": [1, "may"]}, "root:ops:delays:config:months[1]", '"may"', '"Int"'),
        ({**GOOD, "airport": None}, "root:ops:delays:config:airport", "None", "String"),
    ],
)
def test_value_of_a_wrong_type_is_shown_with_the_type_that_was_expected(config, path, came, expected):
    error = refused(delays_config(config))

    (found,) = error.errors
    assert found.reason.name == "RUNTIME_TYPE_MISMATCH"
    assert_says(error, path, came, expected)


@pytest.mark.parametrize(
    ("config", "path", "came", "expected"),
    [
        ({**GOOD, "months": "may"}, "root:ops:delays:config:months", "may", "must be list"),
        ({**GOOD, "inner": 57}, "root:ops:delays:config:inner", "57", "must be dict"),
        (57, "root:ops:delays:config", "57", "must be dict"),
    ],
)
def test_scalar_where_entries_belong_is_refused(config, path, came, expected):
    error = refused(delays_config(config))

    assert_says(error, path, expected)
    if IS_TREADLE:
        assert_says(error, came)


def test_all_mistakes_are_reported_together_each_with_its_path():
    error = refused(delays_config({"limit": "many", "limt": 2, "inner": {"deep": "x"}, "months": ["may"]}))

    assert [found.reason.name for found in error.errors] == [
        "FIELD_NOT_DEFINED",
        "MISSING_REQUIRED_FIELD",
        *["RUNTIME_TYPE_MISMATCH"] * 3,
    ]
    assert_says(
        error,
        "Error in config for job flights",
        *(f"Error {number}:" for number in range(1, 6)),
        *('"limt"', '"airport"', "config:limit", "config:inner:deep", "config:months[0]"),
    )


def test_mistakes_in_a_config_class_are_reported_the_same_way():
    error = refused({"ops": {"report": {"config": {"threshhold": 1.5, "months": ["may"]}}}}, of=reports)

    assert [found.reason.name for found in error.errors] == [
        "FIELD_NOT_DEFINED",
        "MISSING_REQUIRED_FIELD",
        "RUNTIME_TYPE_MISMATCH",
    ]
    assert_says(error, '"threshhold"', '"threshold"', "root:ops:report:config:months[0]", '"may"', hint="threshold")


def test_bad_config_is_refused_before_the_run_starts_even_when_it_is_not_to_raise():
    run_id = str(uuid.uuid4())
    with DagsterInstance.ephemeral() as instance:
        refused({}, raise_on_error=False, instance=instance, run_id=run_id)

        assert not instance.has_run(run_id)


# -- wiring -------------------------------------------------------------------------------------------------------


@op
def load():
    return 1


@op
def clean(rows):
    return rows


@op(out={"small": Out(), "large": Out()})
def split():
    return 1, 2


def wired(dependencies: Any) -> GraphDefinition:
    return GraphDefinition(name="wired", node_defs=[load, clean], dependencies=dependencies)


@pytest.mark.parametrize(
    ("dependencies", "parts", "hint"),
    [
        ({"clean": {"rows": DependencyDefinition("laod")}}, ['"laod"', '"clean"', '"rows"'], "load"),
        ({"claen": {"rows": DependencyDefinition("load")}}, ['"claen"'], "clean"),
        ({"clean": {"row": DependencyDefinition("load")}}, ['"clean"', '"row"', "['rows']"], "rows"),
        ({"clean": {"rows": DependencyDefinition("load", "resutl")}}, ['"load"', '"resutl"'], "result"),
    ],
    ids=["unknown upstream op", "unknown op", "unknown input", "unknown output"],
)
def test_unknown_name_in_the_wiring_is_refused_with_what_was_meant(dependencies, parts, hint):
    with pytest.raises(DagsterInvalidDefinitionError) as error:
        wired(dependencies)

    assert_says(error, *parts, hint=hint)


def test_unknown_input_of_a_call_is_refused_with_what_was_meant():
    def body():
        clean(row=load())

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="wired")(body)

    assert_says(error, "does not have input", '"row"', '"clean"', "['rows']", hint="rows")


def test_unknown_output_of_a_call_is_refused_with_what_was_meant():
    def body():
        clean(split().smal)

    with pytest.raises(AttributeError) as error:
        job(name="wired")(body)

    assert_says(error, "smal", hint="small")


def test_too_many_inputs_of_a_call_are_refused():
    def body():
        clean(load(), load())

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="wired")(body)

    assert_says(error, "received too many inputs", "clean")


def test_value_that_is_no_output_is_refused_with_its_place():
    def body():
        clean(5)

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="wired")(body)

    assert_says(error, "clean", "rows", "int")


def test_cycle_is_refused_when_the_graph_is_defined():
    round_trip = {
        "first": {"x": DependencyDefinition("second")},
        "second": {"x": DependencyDefinition("first")},
    }

    @op
    def first(x):
        return x

    @op
    def second(x):
        return x

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        GraphDefinition(name="round", node_defs=[first, second], dependencies=round_trip)

    assert_says(error, "first", "second")


def test_op_that_needs_itself_is_refused():
    with pytest.raises(DagsterInvalidDefinitionError) as error:
        wired({"clean": {"rows": DependencyDefinition("clean")}})

    assert_says(error, '"clean"', '"rows"')


def test_two_definitions_of_one_name_are_refused():
    @op(name="load")
    def another_load():
        return 2

    def body():
        load()
        another_load()

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="wired")(body)

    assert_says(error, "conflicting", '"load"')


def test_same_alias_twice_is_refused():
    def body():
        load.alias("again")()
        load.alias("again")()

    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job(name="wired")(body)

    assert_says(error, "wired", "invoked the same node (again) twice")


@pytest.mark.parametrize("name", ["has-dash", "has space", "", "input", "class"])
def test_name_that_is_not_allowed_is_refused_when_defined(name):
    with pytest.raises(DagsterInvalidDefinitionError) as error:
        job_of(load, name=name) if name else op(name="a b")(lambda: 1)

    assert_says(error, name or "a b", "valid name")
