"""Config filled in beforehand behaves as if it had been given."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from treadle import Config, InMemoryIOManager, RunConfig, in_process_executor, io_manager, job, logger, op
from treadle.config.sugar import Field
from treadle.config.validate import process
from treadle.contexts import InitResourceContext
from treadle.definitions.configured import ConfigContract, NamedConfigurable, configured
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.resources import ResourceDefinition, resource
from treadle.definitions.run_config import resolve
from treadle.errors import (
    CheckError,
    DagsterConfigMappingFunctionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
)


@resource(config_schema={"n": int, "unit": Field(str, default_value="m")})
def height(context: InitResourceContext) -> Any:
    """How high."""
    return context.resource_config


def seen(definition: ResourceDefinition, config: Any = None) -> Any:
    """What the resource's function sees of a run config."""
    return definition.process_config(config, "resource height")


class Named(NamedConfigurable):
    kind = "op"

    def __init__(self, name: str) -> None:
        self.name = name
        self.description = None
        self._contract = ConfigContract({"n": int})


def test_definition_without_schema_takes_anything_or_nothing() -> None:
    plain = resource(lambda context: None)
    assert not plain.has_config_field
    assert not plain.config_field.is_required
    assert (seen(plain, 7), seen(plain)) == (7, None)


def test_config_is_checked_and_filled_in() -> None:
    assert seen(height, {"n": 3}) == {"n": 3, "unit": "m"}
    with pytest.raises(DagsterInvalidConfigError, match=r"Error in config for resource height[\s\S]*root:config:n"):
        seen(height, {"n": "x"})
    with pytest.raises(DagsterInvalidConfigError, match='Missing required config entry "config"'):
        seen(height)


def test_constant_stands_for_config_that_is_not_given() -> None:
    tall = height.configured({"n": 9})
    assert not tall.config_field.is_required
    assert seen(tall) == {"n": 9, "unit": "m"}
    assert seen(tall, {"n": 4}) == {"n": 9, "unit": "m"}


def test_constant_is_checked_on_use_with_the_place_and_the_resource() -> None:
    wrong = height.configured({"n": "x", "zzz": 1})
    with pytest.raises(DagsterInvalidConfigError) as caught:
        seen(wrong)
    text = str(caught.value)
    assert text.startswith("Error in config for resource height: the config that configured() gave does not fit")
    assert '"zzz" at path root:config' in text
    assert "root:config:n" in text


def test_function_maps_new_config_to_the_old() -> None:
    in_feet = height.configured(lambda config: {"n": config["feet"] // 3, "unit": "yd"}, config_schema={"feet": int})
    assert in_feet.config_field.is_required
    assert seen(in_feet, {"feet": 9}) == {"n": 3, "unit": "yd"}
    with pytest.raises(DagsterInvalidConfigError, match="root:config:feet"):
        seen(in_feet, {"feet": "9"})


def test_function_without_schema_gets_what_was_given() -> None:
    assert seen(height.configured(lambda n: {"n": n}), 5) == {"n": 5, "unit": "m"}


def test_function_whose_result_does_not_fit_is_named_as_the_culprit() -> None:
    wrong = height.configured(lambda _config: {"n": "x"})
    with pytest.raises(
        DagsterInvalidConfigError, match=r"resource height: the config that the configured\(\) function gave"
    ):
        seen(wrong, 1)


def test_function_that_raises_is_a_mapping_error_with_the_cause() -> None:
    wrong = height.configured(lambda _config: {"n": 1 // 0})
    with pytest.raises(DagsterConfigMappingFunctionError, match="resource height raised ZeroDivisionError") as caught:
        seen(wrong, 1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.user_exception is caught.value.__cause__


def test_layers_are_applied_from_the_outermost_inwards() -> None:
    once = height.configured(lambda config: {"n": config["feet"] // 3}, config_schema={"feet": int})
    twice = once.configured({"feet": 30})
    assert seen(twice) == {"n": 10, "unit": "m"}


def test_copy_keeps_everything_but_the_config() -> None:
    tall = height.configured({"n": 9}, description="Tall.")
    assert (tall.description, height.description) == ("Tall.", "How high.")
    assert height.configured({"n": 9}).description == "How high."
    assert tall.resource_fn is height.resource_fn
    assert type(tall) is ResourceDefinition


def test_anonymous_definitions_take_no_name() -> None:
    with pytest.raises(TypeError, match="name"):
        height.configured({"n": 9}, name="tall")  # type: ignore[call-arg]


def test_named_definitions_need_a_name() -> None:
    with pytest.raises(TypeError, match="name"):
        Named("a").configured({"n": 1})  # type: ignore[call-arg]
    assert Named("a").configured({"n": 1}, name="b").name == "b"


def test_decorator_takes_the_name_of_the_function() -> None:
    @configured(Named("a"), config_schema=int)
    def from_int(n: int) -> Any:
        return {"n": n}

    assert from_int.name == "from_int"
    assert process(from_int.config_field, 4) == 4
    assert from_int.resolve_config(4) == {"n": 4}
    assert configured(Named("a"), name="own")(lambda n: {"n": n}).name == "own"
    assert configured(Named("a"), name="own")({"n": 1}).name == "own"


def test_decorator_on_an_anonymous_definition_takes_functions_and_constants() -> None:
    assert seen(configured(height)({"n": 2})) == {"n": 2, "unit": "m"}

    @configured(height, config_schema={"feet": int})
    def in_feet(config: Any) -> Any:
        return {"n": config["feet"] // 3}

    assert seen(in_feet, {"feet": 6}) == {"n": 2, "unit": "m"}


def test_executor_keeps_its_name_unless_given_another() -> None:
    plain = ExecutorDefinition("fast", {"n": int})
    assert plain.configured({"n": 1}).name == "fast"
    assert plain.configured({"n": 1}, name="faster").name == "faster"


def test_configured_refuses_what_takes_no_config() -> None:
    with pytest.raises(CheckError, match="takes an op, graph, resource"):
        configured(5)  # type: ignore[type-var]


# -- ops --------------------------------------------------------------------------------------------------------------


@op(config_schema={"text": str, "times": Field(int, default_value=2)}, tags={"kind": "greeting"})
def greet(context: Any) -> Any:
    """Greets."""
    return context.op_config


class Simple(Config):
    size: int = 3


class Text(Config):
    text: str


def greeted(definition: Any, run_config: Any = None) -> Any:
    """What the op's function sees in a run."""

    @job
    def greeting() -> None:
        definition()

    return greeting.execute_in_process(run_config=run_config).output_for_node(definition.name)


def test_op_is_configured_under_a_name_of_its_own() -> None:
    hello = greet.configured({"text": "hello"}, name="hello")
    assert greeted(hello) == {"text": "hello", "times": 2}
    assert (hello.name, greet.name, hello.description, hello.tags) == (
        "hello",
        "greet",
        "Greets.",
        {"kind": "greeting"},
    )
    assert hello.has_config_field
    assert not hello.config_field.is_required
    with pytest.raises(TypeError, match="name"):
        greet.configured({"text": "hello"})  # type: ignore[call-arg]
    with pytest.raises(DagsterInvalidDefinitionError, match='"no name" is not a valid name for a configured op'):
        greet.configured({"text": "hello"}, name="no name")


def test_configured_ops_of_one_op_stand_side_by_side() -> None:
    first, second = (greet.configured({"text": text}, name=text) for text in ("a", "b"))

    @job
    def both() -> None:
        first()
        second()
        greet()

    result = both.execute_in_process(run_config={"ops": {"greet": {"config": {"text": "c"}}}})
    assert [result.output_for_node(name)["text"] for name in ("a", "b", "greet")] == ["a", "b", "c"]


def test_configured_op_takes_config_of_its_new_schema() -> None:
    doubled = greet.configured(lambda text: {"text": text * 2}, name="doubled", config_schema=str)
    assert greeted(doubled, {"ops": {"doubled": {"config": "ab"}}})["text"] == "abab"
    with pytest.raises(DagsterInvalidConfigError, match="root:ops:doubled:config"):
        greeted(doubled, {"ops": {"doubled": {"config": 5}}})
    with pytest.raises(DagsterInvalidConfigError, match="'ops': {'doubled': {'config': '...'}}"):
        greeted(doubled)


def test_configured_op_is_configured_again() -> None:
    doubled = greet.configured(lambda text: {"text": text * 2}, name="doubled", config_schema=str)
    assert greeted(doubled.configured("x", name="twice"))["text"] == "xx"
    counted = doubled.configured(lambda n: "y" * n, name="counted", config_schema=int)
    assert greeted(counted, {"ops": {"counted": {"config": 3}}})["text"] == "yyyyyy"


def test_config_of_a_configured_op_that_does_not_fit_is_told_with_its_name() -> None:
    with pytest.raises(DagsterInvalidConfigError, match=r"^Error in config for op 'wrong': [\s\S]*root:config:text"):
        greeted(greet.configured({"text": 5}, name="wrong"))
    with pytest.raises(DagsterConfigMappingFunctionError, match="for op 'wrong' raised ZeroDivisionError"):
        greeted(greet.configured(lambda _config: 1 // 0, name="wrong"))


def test_op_without_schema_can_be_configured() -> None:
    @op
    def show(context: Any) -> Any:
        return context.op_config

    assert not show.has_config_field
    assert greeted(show.configured({"any": 1}, name="shown")) == {"any": 1}


def test_op_with_a_config_class_is_configured_by_dicts_and_instances() -> None:
    @op
    def typed(config: Text) -> str:
        return config.text

    assert greeted(typed.configured({"text": "a"}, name="a")) == "a"
    assert greeted(typed.configured(Text(text="b"), name="b")) == "b"


def test_decorated_function_names_the_op_and_its_annotation_is_the_schema() -> None:
    @configured(greet)
    def sized(config: Simple) -> Text:
        assert type(config) is Simple
        return Text(text="x" * config.size)

    assert sized.name == "sized"
    assert greeted(sized)["text"] == "xxx"
    assert greeted(sized, RunConfig(ops={"sized": Simple(size=1)}))["text"] == "x"


def test_decorated_function_has_one_schema_and_one_parameter() -> None:
    with pytest.raises(
        CheckError, match="Cannot provide config_schema to @configured function with Config-annotated param"
    ):

        @configured(greet, config_schema={"size": int})
        def twice(config: Simple) -> Any: ...

    with pytest.raises(CheckError, match="@configured function should have exactly one parameter"):

        @configured(greet)
        def more(config: Simple, other: str) -> Any: ...


# -- what is used through run config ----------------------------------------------------------------------------------


def test_configured_resource_loggers_and_io_managers_are_used_as_they_are() -> None:
    made: list[Any] = []

    @logger({"level": str})
    def own(context: Any) -> logging.Logger:
        made.append(context.logger_config)
        return logging.getLogger("tests.configured")

    class Keeper(InMemoryIOManager):
        def handle_output(self, context: Any, obj: Any) -> None:
            made.append((context.resource_config, context.config))
            super().handle_output(context, obj)

    @io_manager(
        config_schema={"folder": str}, output_config_schema={"mode": Field(str, default_value="w")}, version="1"
    )
    def keeper() -> Keeper:
        return Keeper()

    @op(required_resource_keys={"height"})
    def measure(context: Any) -> Any:
        return context.resources.height

    folder = keeper.configured({"folder": "here"})
    assert (folder.output_config_schema, folder.version) == (keeper.output_config_schema, None)

    @job(
        resource_defs={"height": height.configured({"n": 4}), "io_manager": folder},
        logger_defs={"own": own.configured(lambda level: {"level": level.upper()}, config_schema=str)},
    )
    def measuring() -> None:
        measure()

    result = measuring.execute_in_process(run_config={"loggers": {"own": {"config": "info"}}})
    assert result.output_for_node("measure") == {"n": 4, "unit": "m"}
    assert made == [{"level": "INFO"}, ({"folder": "here"}, {"mode": "w"})]


def test_wrong_constant_of_a_resource_is_told_with_its_key_when_a_run_starts() -> None:
    @op(required_resource_keys={"tall"})
    def measure(context: Any) -> Any: ...

    @job(resource_defs={"tall": height.configured({"n": "x"})})
    def measuring() -> None:
        measure()

    with pytest.raises(DagsterInvalidConfigError, match=r"Error in config for resource tall: [\s\S]*root:config:n"):
        measuring.execute_in_process()


def test_executor_is_configured_by_the_decorator_under_the_functions_name() -> None:
    @configured(in_process_executor, config_schema={"again": bool})
    def stubborn(config: Any) -> Any:
        return {"retries": {"enabled" if config["again"] else "disabled": {}}}

    assert isinstance(stubborn, ExecutorDefinition)
    assert stubborn.name == "stubborn"

    @job(executor_def=stubborn)
    def trying() -> None:
        greet()

    resolved = resolve(trying, {"ops": {"greet": {"config": {"text": ""}}}, "execution": {"config": {"again": False}}})
    assert resolved.execution == {"retries": {"disabled": {}}}
