"""What a resource definition is, how one is opened, and what a set of them must fulfil."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any, cast
from unittest.mock import MagicMock

import pytest

from treadle.config.sugar import Field
from treadle.contexts import InitResourceContext
from treadle.definitions.io_managers import InMemoryIOManager, IOManagerDefinition
from treadle.definitions.opening import Resources
from treadle.definitions.resources import (
    Opened,
    ResourceDefinition,
    ResourceParam,
    check_dependencies,
    initialisation_order,
    is_resource_annotation,
    make_values_resource,
    resource,
    to_resource_definition,
    to_resource_definitions,
)
from treadle.errors import (
    CheckError,
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    ParameterCheckError,
)


def context_with(config: Any = None, **resources: Any) -> InitResourceContext:
    return InitResourceContext(config, resources=Resources(resources))


def needing(*keys: str) -> ResourceDefinition:
    return ResourceDefinition(lambda context: None, required_resource_keys=set(keys))


# -- definitions -------------------------------------------------------------------------------------------------------


def test_decorator_works_with_and_without_parentheses() -> None:
    @resource
    def bare(context: InitResourceContext) -> int:
        """Bare one."""
        return 1

    @resource(config_schema={"n": int}, description="Full.", required_resource_keys={"db"}, version="2")
    def full(context: InitResourceContext) -> int:
        return 1

    assert (bare.description, bare.required_resource_keys, bare.version) == ("Bare one.", frozenset(), None)
    assert (full.description, full.required_resource_keys, full.version) == ("Full.", {"db"}, "2")
    assert full.config_field.is_required
    assert resource(int)(lambda context: 1).config_field.is_required
    assert repr(bare) == "<ResourceDefinition bare>"


def test_callable_that_hides_its_parameters_gets_the_context() -> None:
    assert resource(description="D")(dict).open(cast("Any", {"a": 1}), "r").value == {"a": 1}


@pytest.mark.parametrize("wrong", [lambda a, b: None, lambda a, *, b: None, lambda *, b: None])
def test_function_with_more_than_one_required_argument_is_refused(wrong: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"expects only a single positional.*extra params b"):
        resource(wrong)


def test_wrong_arguments_of_a_definition_are_refused() -> None:
    with pytest.raises(ParameterCheckError, match="hardcoded_resource"):
        ResourceDefinition(5)  # type: ignore[arg-type]
    for keys in ("db", {1}):
        with pytest.raises(ParameterCheckError, match="required_resource_keys"):
            ResourceDefinition(lambda context: 1, required_resource_keys=keys)  # type: ignore[arg-type]
    with pytest.raises(DagsterInvalidConfigDefinitionError):
        resource(config_schema={"a": 5})(lambda context: 1)


@pytest.mark.parametrize(
    ("fn", "value"),
    [
        (lambda: 5, 5),
        (lambda context: context.resource_config, "c"),
        (lambda context, other=3: other, 3),
        (lambda *args: len(args), 1),
        (lambda *, named=4: named, 4),
        (dict, {}),
    ],
)
def test_function_gets_the_context_if_it_takes_one(fn: Any, value: Any) -> None:
    context: Any = {} if fn is dict else context_with("c")
    assert ResourceDefinition(fn).open(context, "r") == Opened(value)


def test_ready_made_resources() -> None:
    assert ResourceDefinition.hardcoded_resource(5, "five").open(context_with(), "r").value == 5
    assert ResourceDefinition.none_resource().open(context_with(), "r").value is None
    assert isinstance(ResourceDefinition.mock_resource().open(context_with(), "r").value, MagicMock)
    text = ResourceDefinition.string_resource()
    assert text.open(context_with("abc"), "r").value == "abc"
    with pytest.raises(DagsterInvalidConfigError):
        text.process_config(3)


def test_hardcoded_generator_is_a_value_like_any_other() -> None:
    numbers = (n for n in range(3))
    assert ResourceDefinition.hardcoded_resource(numbers).open(context_with(), "r") == Opened(numbers)


def test_values_are_read_by_key_and_as_attributes() -> None:
    definition = make_values_resource(city=str, n=Field(int, default_value=3))
    value = definition.open(context_with(definition.process_config({"city": "Rome"})), "r").value
    assert value == {"city": "Rome", "n": 3}
    assert (value.city, value["n"]) == ("Rome", 3)
    with pytest.raises(AttributeError, match='Did you mean "city"'):
        _ = value.citty
    free = make_values_resource()
    assert free.open(context_with(free.process_config({"a": 1})), "r").value.a == 1
    assert free.open(context_with(), "r").value == {}
    assert free.open(context_with(free.process_config(1)), "r").value == 1


# -- annotations --------------------------------------------------------------------------------------------------------


def test_resource_annotations_are_recognised() -> None:
    class Marked:
        __treadle_resource__ = True

    assert is_resource_annotation(ResourceParam[str])
    assert is_resource_annotation(ResourceParam[dict[str, int]])
    assert is_resource_annotation(Marked)
    for other in (str, Annotated[str, "x"], list[int], None, "Marked", Marked()):
        assert not is_resource_annotation(other)


# -- opening and closing -------------------------------------------------------------------------------------------------


def test_generator_is_closed_after_its_yield() -> None:
    said: list[str] = []

    @resource
    def door() -> Iterator[str]:
        said.append("open")
        yield "the door"
        said.append("closed")

    opened = door.open(context_with(), "door")
    assert (opened.value, said) == ("the door", ["open"])
    assert opened.close is not None
    opened.close()
    assert said == ["open", "closed"]


def test_context_manager_function_works_like_a_generator() -> None:
    said: list[str] = []

    @resource
    @contextlib.contextmanager
    def door(context: InitResourceContext) -> Iterator[str]:
        yield "the door"
        said.append("closed")

    opened = door.open(context_with(), "door")
    assert opened.value == "the door"
    assert opened.close is not None
    opened.close()
    assert said == ["closed"]


def test_returned_object_is_not_entered_even_if_it_could_be() -> None:
    lock = contextlib.nullcontext("inner")
    assert resource(lambda: lock).open(context_with(), "r") == Opened(lock)


def test_failing_function_is_an_error_with_its_key_and_cause() -> None:
    with pytest.raises(
        DagsterResourceFunctionError, match='resource "db" failed to start, with ZeroDivisionError'
    ) as e:
        resource(lambda: 1 // 0).open(context_with(), "db")
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert e.value.user_exception is e.value.__cause__


def test_interrupt_is_not_turned_into_an_error() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resource(interrupted).open(context_with(), "db")


@pytest.mark.parametrize("wrap", [lambda fn: fn, contextlib.contextmanager])
def test_generator_without_a_yield_fails_to_start(wrap: Any) -> None:
    def empty() -> Iterator[int]:
        return
        yield 1

    with pytest.raises(DagsterResourceFunctionError, match='"r" failed to start'):
        resource(wrap(empty)).open(context_with(), "r")


def test_second_yield_is_told_when_closing() -> None:
    def twice() -> Iterator[int]:
        yield 1
        yield 2

    close = resource(twice).open(context_with(), "r").close
    assert close is not None
    with pytest.raises(DagsterInvariantViolationError, match="yielded more than once"):
        close()


# -- called directly -----------------------------------------------------------------------------------------------------


def test_resource_can_be_called_in_a_test() -> None:
    scaled = resource(config_schema={"n": int, "unit": Field(str, default_value="m")})(lambda c: c.resource_config)
    assert resource(lambda: 5)() == 5
    assert resource(lambda context: 5)(None) == 5
    assert scaled(context_with({"n": 1})) == {"n": 1, "unit": "m"}
    assert resource(lambda c: 5)(c=context_with()) == 5
    with pytest.raises(DagsterInvalidConfigError, match="root:config:n"):
        scaled(context_with({"n": "x"}))


def test_direct_call_of_a_generator_gives_a_context_manager() -> None:
    said: list[str] = []

    @resource
    def door() -> Iterator[int]:
        yield 1
        said.append("closed")

    with door() as value:
        assert (value, said) == (1, [])
    assert said == ["closed"]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "no context was provided"),
        ((1, 2), {}, "multiple arguments"),
        ((), {"context": None}, "expected argument 'c'"),
        ((None,), {}, "required config schema"),
    ],
)
def test_wrong_direct_call_is_refused(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(DagsterInvalidInvocationError, match=message):
        resource(config_schema=int)(lambda c: 1)(*args, **kwargs)


def test_direct_call_needs_the_resources_that_are_required() -> None:
    user = resource(required_resource_keys={"db"})(lambda context: context.resources.db)
    assert user(context_with(db="it")) == "it"
    with pytest.raises(DagsterInvalidDefinitionError, match="key 'db' required was not provided"):
        user(context_with(other=1))
    with pytest.raises(DagsterInvalidInvocationError, match="has required resources, but no context was provided"):
        user(None)


# -- sets of definitions -------------------------------------------------------------------------------------------------


def test_anything_can_stand_among_resources() -> None:
    kept = InMemoryIOManager()
    definitions = to_resource_definitions({"plain": {"a": 1}, "cls": dict, "none": None, "io": kept, "own": needing()})
    assert isinstance(definitions["io"], IOManagerDefinition)
    opened = {key: definition.open(context_with(), key).value for key, definition in definitions.items()}
    assert opened == {"plain": {"a": 1}, "cls": dict, "none": None, "io": kept, "own": None}
    assert to_resource_definitions(None) == {}
    mock = MagicMock()
    assert to_resource_definition("m", mock).open(context_with(), "m").value is mock


@pytest.mark.parametrize("key", ["a b", "", 3])
def test_key_must_be_an_identifier(key: Any) -> None:
    with pytest.raises(CheckError, match="must be a valid Python identifier"):
        to_resource_definition(key, 1)


def test_dependencies_come_first_and_equals_by_key() -> None:
    definitions = {"b": needing("a"), "z": needing(), "a": needing(), "c": needing(), "unused": needing("z")}
    assert initialisation_order({"c", "b"}, definitions) == ["a", "c", "b"]
    assert initialisation_order(definitions, definitions) == ["a", "c", "z", "b", "unused"]


def test_long_chain_of_dependencies_is_ordered() -> None:
    definitions = {f"r{n}": needing(*([f"r{n + 1}"] if n < 2000 else [])) for n in range(2001)}
    assert initialisation_order({"r0"}, definitions)[0] == "r2000"


def test_missing_dependency_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        DagsterInvariantViolationError,
        match=r"'databse' required by resource with key 'a', but not provided\. Did you mean \"database\"\?",
    ):
        check_dependencies({"a": needing("databse"), "database": needing()})


@pytest.mark.parametrize(
    ("definitions", "path"),
    [
        ({"a": needing("a")}, "a needs a"),
        (
            {"x": needing("a"), "a": needing("b"), "b": needing("c"), "c": needing("b", "d"), "d": needing()},
            "b needs c needs b",
        ),
    ],
)
def test_cycle_is_refused_with_its_path(definitions: dict[str, ResourceDefinition], path: str) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=f"transitively depends on itself: {path}"):
        check_dependencies(definitions)
