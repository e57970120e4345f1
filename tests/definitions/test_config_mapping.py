"""Config of another shape becomes the config of a graph or job."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from treadle import (
    Config,
    ConfigMapping,
    DagsterConfigMappingFunctionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    Enum,
    Field,
    GraphDefinition,
    Map,
    Noneable,
    Permissive,
    RunConfig,
    Selector,
    Shape,
    config_mapping,
    graph,
    job,
    op,
    validate_run_config,
)
from treadle.definitions.config_mapping import fill_in
from treadle.errors import CheckError, ParameterCheckError


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Simple(Config):
    size: int = 3


class Greeting(Config):
    text: str


@op(config_schema={"text": str, "times": Field(int, default_value=2)})
def greet(context: Any) -> Any:
    return context.op_config


@op
def show(context: Any) -> Any:
    return context.op_config


def run(target: Any, run_config: Any = None, node: str = "greet") -> Any:
    """What an op saw of a run config; a graph is placed in a job under its own name."""
    if isinstance(target, GraphDefinition):
        name = target.name

        @job(name="around")
        def around() -> None:
            target()

        target, node = around, f"{name}.{node}"
    return target.execute_in_process(run_config=run_config).output_for_node(node)


def greeting_graph(config: Any) -> GraphDefinition:
    @graph(config=config)
    def hello() -> None:
        greet()

    return hello


def greeting_job(config: Any) -> Any:
    @job(config=config)
    def hello_job() -> None:
        greet()

    return hello_job


def say(text: Any) -> dict[str, Any]:
    return {"greet": {"config": {"text": text}}}


# -- of a graph -------------------------------------------------------------------------------------------------------


def test_graph_takes_the_config_of_its_mapping_and_its_ops_what_that_makes_of_it() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"].upper()), {"name": str}))
    assert hello.has_config_mapping
    assert run(hello, {"ops": {"hello": {"config": {"name": "ada"}}}}) == {"text": "ADA", "times": 2}


def test_config_of_a_mapping_is_required_where_its_schema_says_so() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"]), {"name": str}))
    with pytest.raises(DagsterInvalidConfigError, match=r"'ops': \{'hello': \{'config': \{'name': '...'\}\}\}"):
        run(hello)
    with pytest.raises(DagsterInvalidConfigError, match="Invalid scalar at path root:ops:hello:config:name"):
        run(hello, {"ops": {"hello": {"config": {"name": 5}}}})


def test_defaults_of_the_mappings_schema_are_filled_in_before_it_is_called() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"]), {"name": Field(str, default_value="you")}))
    assert run(hello)["text"] == "you"


def test_mapping_without_a_schema_takes_anything_and_sees_an_empty_dict_for_nothing() -> None:
    seen: list[Any] = []
    hello = greeting_graph(ConfigMapping(lambda config: seen.append(config) or say("x")))  # type: ignore[func-returns-value]
    run(hello)
    run(hello, {"ops": {"hello": {"config": {"a": 1}}}})
    run(hello, {"ops": {"hello": {"config": 7}}})
    assert seen == [{}, {"a": 1}, 7]


def test_ops_below_a_mapping_cannot_be_configured_and_the_error_says_why() -> None:
    hello = greeting_graph(ConfigMapping(lambda _config: say("x")))
    with pytest.raises(DagsterInvalidConfigError) as caught:
        run(hello, {"ops": {"hello": {"ops": {"greet": {}}}}})
    (error,) = caught.value.errors
    assert error.message.startswith('Received unexpected config entry "ops" at path root:ops:hello.')
    assert 'Graph "hello" has a config mapping, which makes the config of its ops from "config".' in error.message


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (say(4), "Invalid scalar at path root:greet:config:text"),
        ({"ops": say("x")}, 'Received unexpected config entry "ops" at the root'),
        ({}, 'Missing required config entry "greet" at the root'),
        (None, "Value at the root must not be None"),
    ],
)
def test_mapping_whose_result_does_not_fit_is_named_as_the_culprit(made: Any, wrong: str) -> None:
    hello = greeting_graph(ConfigMapping(lambda _config: made))

    @job
    def around() -> None:
        hello.alias("salute")()

    with pytest.raises(DagsterInvalidConfigError) as caught:
        around.execute_in_process()
    text = str(caught.value)
    assert text.startswith("In job around at stack salute: ")
    assert 'Op "salute" with definition "hello" has a configuration error.' in text
    assert "The config that its config mapping function gives does not fit" in text
    assert wrong in text


def test_mapping_that_raises_is_told_with_its_place_and_cause() -> None:
    hello = greeting_graph(ConfigMapping(lambda _config: 1 // 0))

    @graph
    def middle() -> None:
        hello.alias("inner")()

    @job
    def around() -> None:
        middle()

    with pytest.raises(
        DagsterConfigMappingFunctionError,
        match="The config mapping function on graph 'inner' in job 'around' has thrown an unexpected error during its "
        'execution. The definition is instantiated at stack "middle:inner". ZeroDivisionError',
    ) as caught:
        around.execute_in_process()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_mappings_are_called_from_the_outermost_graph_inwards() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"]), {"name": str}))

    @graph(config=ConfigMapping(lambda who: {"hello": {"config": {"name": f"<{who}>"}}}, str))
    def outer() -> None:
        hello()

    assert run(outer, {"ops": {"outer": {"config": "ada"}}}, "hello.greet")["text"] == "<ada>"


def test_mapping_gives_inputs_that_nothing_is_connected_to() -> None:
    @op
    def double(n: int) -> int:
        return 2 * n

    @graph(config=ConfigMapping(lambda n: {"double": {"inputs": {"n": n}}}, int))
    def inner() -> Any:
        return double()

    @graph(config=ConfigMapping(lambda n: {"double": {"inputs": {"n": {"value": n}}}}, int))
    def other() -> Any:
        return double()

    assert run(inner, {"ops": {"inner": {"config": 4}}}, "double") == 8
    assert run(other, {"ops": {"other": {"config": 5}}}, "double") == 10


def test_inputs_of_a_graph_stand_beside_its_config() -> None:
    @op(config_schema=int)
    def add(context: Any, n: int) -> Any:
        return context.op_config + n

    @graph(config=ConfigMapping(lambda config: {"add": {"config": config}}, int))
    def adding(n: Any) -> Any:
        return add(n)

    assert run(adding, {"ops": {"adding": {"config": 1, "inputs": {"n": 2}}}}, "add") == 3


def test_graph_with_a_mapping_as_a_job_takes_its_config_under_ops() -> None:
    hello = greeting_graph(ConfigMapping(lambda name: say(name), str))
    assert run(hello.to_job(), {"ops": {"config": "ada"}})["text"] == "ada"
    assert run(hello.to_job(config={"ops": {"config": "ada"}}))["text"] == "ada"
    assert greeting_graph(ConfigMapping(lambda _config: say("x"))).execute_in_process().success


def test_schema_of_a_jobs_mapping_is_one_of_mappings() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match='job "hello_job": the schema of its config mapping is Int'):
        greeting_job(ConfigMapping(say, int))


def test_selected_ops_get_what_the_mapping_made_for_them() -> None:
    @graph(config=ConfigMapping(lambda text: {**say(text), "show": {"config": text}}, str))
    def both() -> None:
        greet()
        show()

    @job
    def around() -> None:
        both()

    result = around.execute_in_process({"ops": {"both": {"config": "x"}}}, op_selection=["both.show"])
    assert result.output_for_node("both.show") == "x"


# -- a graph's fixed config -------------------------------------------------------------------------------------------


def test_dict_as_config_of_a_graph_fixes_the_config_of_its_ops() -> None:
    assert run(greeting_graph(say("fixed")))["text"] == "fixed"
    assert run(greeting_graph(say("fixed")).to_job())["text"] == "fixed"


@pytest.mark.parametrize("entry", [{"config": {}}, {"ops": {"greet": {"config": {"text": "x"}}}}])
def test_config_for_a_graph_whose_config_is_fixed_is_rejected(entry: Any) -> None:
    with pytest.raises(DagsterInvalidConfigError) as caught:
        run(greeting_graph(say("fixed")), {"ops": {"hello": entry}})
    assert 'The config of graph "hello" is fixed where the graph is defined' in str(caught.value)


@pytest.mark.parametrize("wrong", [say(4), {"greet": {}}, {"ops": say("x")}])
def test_fixed_config_that_does_not_fit_is_refused_when_a_job_is_made_of_it(wrong: Any) -> None:
    hello = greeting_graph(wrong)

    @graph
    def outer() -> None:
        hello()

    with pytest.raises(DagsterInvalidConfigError, match="the config of graph outer.hello, fixed by @graph"):

        @job
        def around() -> None:
            outer()

    with pytest.raises(DagsterInvalidConfigError, match="the config of graph hello, fixed by @graph"):
        hello.to_job()


@pytest.mark.parametrize("wrong", [5, "x", RunConfig(), dict])
def test_config_of_a_graph_is_a_mapping_or_a_dict(wrong: Any) -> None:
    with pytest.raises(ParameterCheckError, match='graph "hello": Param "config" is not a ConfigMapping or a dict'):
        greeting_graph(wrong)


# -- of a job ---------------------------------------------------------------------------------------------------------


def test_run_config_of_a_job_with_a_mapping_follows_the_mappings_schema() -> None:
    hello = greeting_job(ConfigMapping(lambda config: {"ops": say(config["name"])}, {"name": str}))
    result = hello.execute_in_process(run_config={"name": "ada"})
    assert result.output_for_node("greet")["text"] == "ada"
    assert result.dagster_run.run_config == {"name": "ada"}
    with pytest.raises(DagsterInvalidConfigError) as caught:
        hello.execute_in_process(run_config={"nam": "ada"})
    assert str(caught.value).startswith("Error in config for job hello_job\n")
    assert [each.message.partition(" at ")[0] for each in caught.value.errors] == [
        'Received unexpected config entry "nam"',
        'Missing required config entry "name"',
    ]


def test_mapping_of_a_job_makes_a_whole_run_config() -> None:
    @config_mapping(config_schema={"level": str})
    def mapped(config: Any) -> Any:
        return {
            "ops": say("x"),
            "loggers": {"console": {"config": {"log_level": config["level"]}}},
            "execution": {"config": {"in_process": {}}},
        }

    made = validate_run_config(greeting_job(mapped), {"level": "ERROR"})
    assert made["loggers"] == {"console": {"config": {"log_level": "ERROR", "name": "dagster"}}}


def test_job_tells_its_mapping_and_both_schemas() -> None:
    mapping = ConfigMapping(lambda config: {"ops": say(config["name"])}, {"name": str})
    hello = greeting_job(mapping)
    assert hello.config_mapping is mapping
    assert hello.run_config is None
    schema: Any = hello.run_config_schema
    assert list(schema.config_type.fields) == ["name"]
    assert {"ops", "execution", "loggers", "resources"} <= set(schema.run_config_schema_type.fields)


@pytest.mark.parametrize("made", [{"ops": say(4)}, {"opps": {}}, 5, None])
def test_run_config_made_wrong_is_the_fault_of_the_jobs_mapping(made: Any) -> None:
    with pytest.raises(
        DagsterInvalidConfigError,
        match="Error in the run config that the config mapping function of job hello_job made",
    ):
        greeting_job(ConfigMapping(lambda _config: made)).execute_in_process()


def test_mapping_of_a_job_that_raises_is_told_with_its_cause() -> None:
    with pytest.raises(
        DagsterConfigMappingFunctionError, match="The config mapping function on job hello_job has thrown an unexpected"
    ) as caught:
        greeting_job(ConfigMapping(lambda _config: 1 // 0)).execute_in_process()
    assert isinstance(caught.value.user_exception, ZeroDivisionError)


def test_mapping_of_a_job_may_speak_of_ops_that_were_not_selected() -> None:
    @job(config=ConfigMapping(lambda text: {"ops": {**say(text["t"]), "show": {"config": 7}}}))
    def both() -> None:
        greet()
        show()

    assert both.execute_in_process({"t": "x"}, op_selection=["show"]).output_for_node("show") == 7


# -- what the function gets and gives ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("processed", "expected"), [(None, Colour.BLUE), (True, Colour.BLUE), (False, "BLUE")])
def test_function_gets_enums_as_members_unless_it_wants_config_as_written(
    processed: bool | None, expected: Any
) -> None:
    seen: list[Any] = []

    @config_mapping(
        config_schema={
            "given": Enum.from_python_enum(Colour),
            "default": Field(Enum.from_python_enum(Colour), default_value="BLUE"),
        },
        receive_processed_config_values=processed,
    )
    def mapped(config: Any) -> Any:
        seen.append(config)
        return {"ops": say("x")}

    greeting_job(mapped).execute_in_process({"given": "BLUE"})
    hello = greeting_graph(ConfigMapping(lambda c: seen.append(c) or say("x"), mapped.config_schema, processed))  # type: ignore[func-returns-value]
    run(hello, {"ops": {"hello": {"config": {"given": "BLUE"}}}})
    assert seen == [{"given": expected, "default": expected}] * 2


def test_parameter_annotated_with_a_config_class_is_the_schema_and_gets_an_instance() -> None:
    @config_mapping
    def mapped(config: Simple) -> Any:
        assert type(config) is Simple
        return {"ops": say(str(config.size))}

    assert run(greeting_job(mapped))["text"] == "3"
    assert run(greeting_job(mapped), {"size": 5})["text"] == "5"
    with pytest.raises(DagsterInvalidConfigError, match="root:size"):
        run(greeting_job(mapped), {"size": "x"})


def test_function_may_return_run_configs_and_config_objects() -> None:
    @op
    def typed(config: Greeting) -> str:
        return config.text

    def typed_job(config: Any) -> Any:
        @job(config=config)
        def typing() -> None:
            typed()

        return typing

    whole = ConfigMapping(lambda _config: RunConfig(ops={"typed": Greeting(text="a")}))
    inside = ConfigMapping(lambda _config: {"ops": {"typed": {"config": Greeting(text="b")}}})
    assert run(typed_job(whole), None, "typed") == "a"
    assert run(typed_job(inside), None, "typed") == "b"

    @graph(config=ConfigMapping(lambda _config: {"typed": {"config": Greeting(text="c")}}))
    def around() -> None:
        typed()

    assert run(around, None, "typed") == "c"


def test_schema_is_given_once() -> None:
    with pytest.raises(CheckError, match="Cannot provide config_schema to config mapping with Config-annotated param"):

        @config_mapping(config_schema={"size": int})
        def mapped(config: Simple) -> Any: ...


def test_decorated_function_takes_exactly_the_config() -> None:
    with pytest.raises(CheckError, match=r"Config mapping should have exactly one parameter.*two has \['a', 'b'\]"):

        @config_mapping
        def two(a: Any, b: Any) -> Any: ...

    with pytest.raises(CheckError, match="none has none"):

        @config_mapping()
        def none() -> Any: ...


def test_arguments_of_a_mapping_are_checked() -> None:
    with pytest.raises(ParameterCheckError, match='"config_fn" is not callable'):
        ConfigMapping(5)  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match='"receive_processed_config_values" is not a bool'):
        ConfigMapping(lambda config: config, None, "yes")  # type: ignore[arg-type]
    assert repr(ConfigMapping(say)) == "ConfigMapping(say)"


# -- a graph's config filled in ---------------------------------------------------------------------------------------


def test_graph_with_a_mapping_can_be_configured() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"]), {"name": str}))
    assert run(hello.configured({"name": "ada"}, name="hello_ada"))["text"] == "ada"
    shouting = hello.configured(lambda n: {"name": "ada" * n}, name="shouting", config_schema=int)
    assert run(shouting, {"ops": {"shouting": {"config": 2}}})["text"] == "adaada"
    assert (hello.name, shouting.name) == ("hello", "shouting")


def test_config_of_a_configured_graph_that_does_not_fit_is_told_with_its_name() -> None:
    hello = greeting_graph(ConfigMapping(lambda config: say(config["name"]), {"name": str}))
    with pytest.raises(DagsterInvalidConfigError, match=r"Error in config for graph wrong[\s\S]*root:config:name"):
        run(hello.configured({"name": 5}, name="wrong"))


@pytest.mark.parametrize("config", [None, say("x")])
def test_graph_without_a_mapping_has_nothing_to_configure(config: Any) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match="Only graphs utilizing config mapping can be pre-configured"
    ):
        greeting_graph(config).configured({}, name="other")


# -- defaults in config as it was written -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config_type", "value", "filled"),
    [
        (Shape({"a": Field(int, default_value=1), "b": int}), {"b": 2}, {"a": 1, "b": 2}),
        (Shape({"in": {"a": Field(int, default_value=1)}}), {}, {"in": {"a": 1}}),
        (Shape({"in": {"a": Field(int, default_value=1)}}), {"in": {}}, {"in": {"a": 1}}),
        (Shape({"a": Field(int, is_required=False)}), {}, {}),
        (Shape({"a": Field(int, default_value=1)}, field_aliases={"a": "b"}), {"b": 2}, {"a": 2}),
        (Permissive({"a": Field(int, default_value=1)}), {"z": 2}, {"a": 1, "z": 2}),
        (Noneable(Shape({"a": Field(int, default_value=1)})), None, None),
        (Noneable(Shape({"a": Field(int, default_value=1)})), {}, {"a": 1}),
        (Map(str, Shape({"a": Field(int, default_value=1)})), {"k": {}}, {"k": {"a": 1}}),
        (Selector({"a": Field(int, default_value=1)}), {}, {"a": 1}),
        (Selector({"a": Shape({"x": Field(int, default_value=1)}), "b": int}), {"a": {}}, {"a": {"x": 1}}),
    ],
)
def test_defaults_are_filled_in_as_config(config_type: Any, value: Any, filled: Any) -> None:
    assert fill_in(config_type, value) == filled


def test_defaults_are_filled_in_within_lists() -> None:
    hello = greeting_job(
        ConfigMapping(
            lambda config: {"ops": say(config["rows"][0]["text"])},
            {"rows": [{"text": Field(str, default_value="d")}]},
            receive_processed_config_values=False,
        )
    )
    assert run(hello, {"rows": [{}]})["text"] == "d"
