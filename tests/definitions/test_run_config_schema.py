"""JSON Schema and scaffold of a job's run config say what the validator says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.config.strategies import broken, config_types, json_values, values_of
from tests.config.test_jsonschema import accepts, has_empty_choice
from treadle import (
    ConfigMapping,
    DagsterEvaluationErrorReason,
    DagsterInvalidConfigError,
    Field,
    In,
    InMemoryIOManager,
    JobDefinition,
    StringSource,
    executor,
    graph,
    in_process_executor,
    io_manager,
    job,
    json_console_logger,
    multi_or_in_process_executor,
    op,
    resource,
    validate_run_config,
)
from treadle.errors import ParameterCheckError


@op
def double(n: int) -> int:
    return 2 * n


@op
def show(context: Any) -> Any: ...


@st.composite
def jobs(draw: st.DrawFn) -> JobDefinition:
    """Jobs of a few ops, with config at every place where there can be some."""
    schemas = st.none() | config_types
    manager = io_manager(output_config_schema=draw(schemas), input_config_schema=draw(schemas))(InMemoryIOManager)
    first = op(name="first", config_schema=draw(schemas), required_resource_keys={"thing"})(lambda context: None)
    second = op(name="second", config_schema=draw(schemas), ins={"x": In(input_manager_key="manager"), "n": In(int)})(
        lambda context, x, n: None
    )

    @graph
    def inner(n: Any) -> None:
        second(n=n)

    @graph(config=ConfigMapping(lambda _config: {}, draw(schemas)) if draw(st.booleans()) else None)
    def mapped() -> None:
        show()

    @graph
    def made(n: Any) -> None:
        first()
        inner()
        mapped()
        double(n)

    @executor(name="special", config_schema=draw(schemas))
    def special(_context: Any) -> Any: ...

    return made.to_job(  # type: ignore[no-any-return]
        resource_defs={"thing": resource(draw(schemas))(lambda _context: None), "manager": manager},
        executor_def=draw(st.sampled_from([None, special, in_process_executor, multi_or_in_process_executor])),
        logger_defs=draw(st.none() | st.just({"json": json_console_logger})),
    )


@st.composite
def run_configs(draw: st.DrawFn, made: JobDefinition) -> Any:
    """Run configs that are right for a job, nearly right, or anything."""
    schema: Any = made.run_config_schema.config_type
    right = values_of(schema)
    value = draw(st.one_of(right, right.flatmap(broken), json_values))
    if isinstance(value, dict) and draw(st.booleans()):
        name = draw(st.sampled_from(["in_process", "multiprocess", "special", "retries"]))
        config = values_of(schema.fields["execution"].config_type.fields["config"].config_type)
        entry = draw(st.one_of(st.just({}), config.map(lambda each: {"config": each}), json_values))
        value = {**value, "execution": {name: entry}}
    return value


def is_valid(made: JobDefinition, run_config: Any) -> bool:
    """The validator's verdict; variables that are not set, and mappings that come to nothing, are another matter."""
    try:
        validate_run_config(made, run_config)
    except ParameterCheckError:
        return run_config is None
    except DagsterInvalidConfigError as error:
        if error.preamble.startswith("In job "):
            return True
        return all(each.reason is DagsterEvaluationErrorReason.FAILED_POST_PROCESSING for each in error.errors)
    return True


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_json_schema_accepts_what_validate_run_config_accepts(data: st.DataObject) -> None:
    made = data.draw(jobs())
    run_config = data.draw(run_configs(made))
    assume(run_config is not None)  # no run config is no JSON
    schema = made.run_config_json_schema()
    json.dumps(schema)
    assert accepts(schema, run_config) is is_valid(made, run_config)


@settings(max_examples=50, deadline=None)
@given(jobs())
def test_scaffold_of_a_job_is_a_run_config_for_it(made: JobDefinition) -> None:
    assume(not has_empty_choice(made.run_config_schema.config_type))
    assert is_valid(made, yaml.safe_load(made.run_config_scaffold()) or {})


@op(config_schema={"path": Field(str, description="Where the tables are."), "rows": Field(int, default_value=10)})
def load(context: Any) -> Any: ...


@job(config={"ops": {"load": {"config": {"path": "x"}}}})
def loading() -> None:
    load()


def test_own_config_of_a_job_makes_its_entries_optional() -> None:
    schema = loading.run_config_json_schema()
    assert accepts(schema, {})
    assert accepts(schema, {"ops": {"load": {"config": {"path": "y"}}}})
    assert not accepts(schema, {"ops": {"load": {}}})
    assert '"default": {"config": {"path": "x"}}' in json.dumps(schema)


@pytest.mark.parametrize(
    ("run_config", "is_right"),
    [({"name": "x"}, True), ({"name": 5}, False), ({}, False), ({"ops": {}}, False)],
)
def test_json_schema_of_a_job_with_a_mapping_is_that_of_the_mapping(run_config: Any, is_right: bool) -> None:
    mapped = loading.graph.to_job(
        config=ConfigMapping(lambda config: {"ops": {"load": {"config": {"path": config["name"]}}}}, {"name": str})
    )
    schema = mapped.run_config_json_schema()
    assert schema["title"] == "Run config of job loading"
    assert accepts(schema, run_config) is is_right


def test_scaffold_says_what_a_run_may_be_told() -> None:
    @op(config_schema={"key": StringSource, "path": Field(str, description="Where the tables are.")})
    def fetch(context: Any) -> Any: ...

    @job
    def fetching() -> None:
        fetch()

    text = fetching.run_config_scaffold()
    assert text.startswith("# Run config of job fetching\n")
    assert (
        "ops:\n"
        "  fetch:\n"
        "    config:\n"
        '      key: "..."  # (String | { env: String })\n'
        "      # Where the tables are.\n"
        '      path: "..."  # String\n'
    ) in text
    assert "# loggers:\n" in text
    assert is_valid(fetching, yaml.safe_load(text))
