"""Config filled in beforehand behaves as if it had been given."""

from __future__ import annotations

from typing import Any

import pytest

from treadle.config.sugar import Field
from treadle.config.validate import process
from treadle.contexts import InitResourceContext
from treadle.definitions.configured import ConfigContract, NamedConfigurable, configured
from treadle.definitions.executors import ExecutorDefinition
from treadle.definitions.resources import ResourceDefinition, resource
from treadle.errors import (
    CheckError,
    DagsterConfigMappingFunctionError,
    DagsterInvalidConfigError,
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
