"""Resources are opened in order, and closed in the reverse order whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    ConfigurableResource,
    DagsterInstance,
    DagsterLogManager,
    DagsterRun,
    IAttachDifferentObjectToOpContext,
    InMemoryIOManager,
    OpExecutionContext,
    job,
    mem_io_manager,
    op,
)
from treadle.contexts import InitResourceContext
from treadle.definitions.opening import OpenResources, Resources, build_resources, open_resources
from treadle.definitions.resources import ResourceDefinition, resource
from treadle.errors import (
    DagsterInvalidConfigError,
    DagsterResourceFunctionError,
    DagsterUnknownResourceError,
    ParameterCheckError,
)
from treadle.runs import make_run_id

Making = Callable[..., InitResourceContext]


def make_context(*, key: str, **given: Any) -> InitResourceContext:
    return InitResourceContext(**given)


class Doors:
    """Resources that tell when they are opened and closed."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def door(self, name: str, *needs: str, stuck: BaseException | None = None) -> ResourceDefinition:
        def open_and_close(context: InitResourceContext) -> Iterator[str]:
            self.said.append(f"open {name}")
            yield name.upper()
            self.said.append(f"close {name}")
            if stuck is not None:
                raise stuck

        return ResourceDefinition(open_and_close, required_resource_keys=needs)

    def locked(self, error: BaseException) -> ResourceDefinition:
        def fail(context: InitResourceContext) -> None:
            raise error

        return ResourceDefinition(fail)


@pytest.fixture
def doors() -> Doors:
    return Doors()


def test_resources_open_in_order_and_close_in_reverse(doors: Doors) -> None:
    definitions = {"a": doors.door("a", "c"), "b": doors.door("b"), "c": doors.door("c"), "d": doors.door("d")}
    opened = open_resources({"a", "b"}, definitions, {}, make_context)
    assert opened.values == {"b": "B", "c": "C", "a": "A"}
    assert list(opened.init_times) == ["b", "c", "a"]
    assert all(milliseconds >= 0 for milliseconds in opened.init_times.values())
    assert opened.close() == []
    assert doors.said == ["open b", "open c", "open a", "close a", "close c", "close b"]
    assert opened.close() == []


def test_resource_sees_its_config_and_what_it_needs(doors: Doors) -> None:
    @resource(config_schema={"n": int}, required_resource_keys={"c"})
    def curious(context: InitResourceContext) -> Any:
        with pytest.raises(DagsterUnknownResourceError, match="Unknown resource `d`"):
            _ = context.resources.d
        return context.resource_config, context.resources.c, context.resource_def, list(context.all_resource_defs)

    definitions = {"it": curious, "c": doors.door("c"), "d": doors.door("d")}
    opened = open_resources(["it", "d"], definitions, {"it": {"n": 3}}, make_context)
    assert opened.values["it"] == ({"n": 3}, "C", curious, ["it", "c", "d"])


def test_resource_without_config_gets_its_defaults() -> None:
    fixed = resource(config_schema={"n": int})(lambda context: context.resource_config).configured({"n": 4})
    assert open_resources(["it"], {"it": fixed}, {}, make_context).values == {"it": {"n": 4}}
    needy = resource(config_schema={"n": int})(lambda context: None)
    with pytest.raises(DagsterInvalidConfigError, match="Error in config for resource it"):
        open_resources(["it"], {"it": needy}, {}, make_context)


def test_failure_to_start_closes_what_is_open(doors: Doors) -> None:
    definitions = {"a": doors.door("a"), "b": doors.door("b"), "c": doors.locked(KeyError("key")), "d": doors.door("d")}
    with pytest.raises(DagsterResourceFunctionError, match='"c" failed to start') as caught:
        open_resources(definitions, definitions, {}, make_context)
    assert isinstance(caught.value.__cause__, KeyError)
    assert doors.said == ["open a", "open b", "close b", "close a"]


def test_interrupt_while_starting_closes_what_is_open(doors: Doors) -> None:
    definitions = {"a": doors.door("a"), "b": doors.locked(KeyboardInterrupt())}
    with pytest.raises(KeyboardInterrupt):
        open_resources(definitions, definitions, {}, make_context)
    assert doors.said == ["open a", "close a"]


def test_what_goes_wrong_while_closing_is_returned_and_the_rest_is_closed(doors: Doors) -> None:
    stuck = ValueError("stuck")
    definitions = {"a": doors.door("a"), "b": doors.door("b", stuck=stuck), "c": doors.door("c")}
    opened = open_resources(definitions, definitions, {}, make_context)
    assert opened.close() == [("b", stuck)]
    assert doors.said[3:] == ["close c", "close b", "close a"]


def test_interrupt_while_closing_waits_until_all_are_closed(doors: Doors) -> None:
    definitions = {"a": doors.door("a"), "b": doors.door("b", stuck=KeyboardInterrupt()), "c": doors.door("c")}
    opened = open_resources(definitions, definitions, {}, make_context)
    with pytest.raises(KeyboardInterrupt):
        opened.close()
    assert doors.said[-1] == "close a"


def test_caller_may_close_after_a_failure_and_hear_what_went_wrong(doors: Doors) -> None:
    stuck = ValueError("stuck")
    definitions = {"a": doors.door("a", stuck=stuck), "b": doors.locked(KeyError("key"))}
    resources = OpenResources(definitions, {}, make_context)
    with pytest.raises(DagsterResourceFunctionError):
        resources.open(definitions)
    assert resources.close() == [("a", stuck)]


def test_more_can_be_opened_later(doors: Doors) -> None:
    definitions = {"a": doors.door("a"), "b": doors.door("b", "a")}
    resources = open_resources(["a"], definitions, {}, make_context)
    resources.open(["b"])
    assert doors.said == ["open a", "open b"]


def test_selection_is_made_once_for_each_set_of_keys(doors: Doors) -> None:
    opened = open_resources("ab", {key: doors.door(key) for key in "ab"}, {}, make_context)
    both = opened.select(frozenset("ab"))
    assert opened.select(frozenset("ba")) is both
    assert (both.a, both.b, both._asdict()) == ("A", "B", {"a": "A", "b": "B"})
    assert opened.select(frozenset("a"))._asdict() == {"a": "A"}


def test_unknown_resource_is_refused_with_what_there_is() -> None:
    resources = Resources({"db": 1})
    with pytest.raises(DagsterUnknownResourceError, match=r"Unknown resource `dbb`[\s\S]*Available here: db"):
        _ = resources.dbb
    assert hasattr(resources, "db")
    assert not hasattr(resources, "other")
    assert repr(resources) == "Resources(db=1)"


# -- by hand ----------------------------------------------------------------------------------------------------------


def test_resources_can_be_built_for_a_with_block(doors: Doors) -> None:
    class Town(ConfigurableResource[Any]):
        name: str

    number = resource(config_schema={"n": int}, required_resource_keys={"door"})(
        lambda context: (context.resource_config["n"], context.resources.door)
    )
    given = {
        "door": doors.door("door"),
        "number": number,
        "plain": {"a": 1},
        "town": Town(name="Pisa"),
        "io": mem_io_manager,
    }
    with build_resources(given, resource_config={"number": {"config": {"n": 3}}}) as built:
        assert (built.door, built.number, built.plain, built.town.name) == ("DOOR", (3, "DOOR"), {"a": 1}, "Pisa")
        assert isinstance(built.io, InMemoryIOManager)
        with pytest.raises(DagsterUnknownResourceError, match="Available here: door, io, number, plain, town"):
            _ = built.other
        assert doors.said == ["open door"]
    assert doors.said == ["open door", "close door"]


def test_built_resources_see_instance_log_and_run(doors: Doors) -> None:
    sees = resource(lambda context: (context.instance, context.log, context.run, context.event_loop))
    with build_resources({"it": sees}) as built:
        instance, log, run, loop = built.it
        assert isinstance(instance, DagsterInstance)
        assert isinstance(log, DagsterLogManager)
        assert run is loop is None
    mine, loop = DagsterInstance.ephemeral(), object()
    run = DagsterRun(job_name="j", run_id=make_run_id())
    with build_resources({"it": sees}, instance=mine, dagster_run=run, log_manager=log, event_loop=loop) as built:
        assert built.it == (mine, log, run, loop)


def test_instance_of_built_resources_is_cleaned_up() -> None:
    with build_resources({"folder": resource(lambda context: context.instance.storage_directory())}) as built:
        folder = Path(built.folder).parent
        assert folder.exists()
    assert not folder.exists()


def test_built_resources_are_closed_whatever_happens(doors: Doors) -> None:
    with pytest.raises(ZeroDivisionError), build_resources({"a": doors.door("a")}):
        raise ZeroDivisionError
    broken = build_resources({"a": doors.door("a"), "b": doors.locked(KeyError("key"))})
    with pytest.raises(DagsterResourceFunctionError, match='"b" failed to start'), broken:
        pass
    assert doors.said == ["open a", "close a"] * 2


def test_teardown_of_a_built_resource_that_fails_is_logged(doors: Doors, capsys: pytest.CaptureFixture[str]) -> None:
    with build_resources({"a": doors.door("a", stuck=ValueError("stuck")), "b": doors.door("b", "a")}):
        pass
    assert doors.said == ["open a", "open b", "close b", "close a"]
    assert 'Teardown of resource "a" failed: ValueError: stuck' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, 'Missing required config entry "it" at the root'),
        ({"it": {"config": {"n": "text"}}}, "root:it:config:n"),
        ({"it": {"config": {"n": 1}}, "other": {}}, 'unexpected config entry "other" at the root'),
    ],
)
def test_config_of_built_resources_is_checked(config: Any, message: str) -> None:
    needy = resource(config_schema={"n": int})(lambda context: None)
    built = build_resources({"it": needy}, resource_config=config)
    with pytest.raises(DagsterInvalidConfigError, match=f"(?s)Error in config for resources.*{message}"), built:
        pass


@pytest.mark.parametrize("argument", ["resources", "instance"])
def test_arguments_of_build_resources_are_checked(argument: str) -> None:
    built = build_resources(**{"resources": {}, argument: 3})  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match=f'build_resources: Param "{argument}" is not a'), built:
        pass


# -- resources that show something else of themselves -------------------------------------------------------------------------


class Client(ConfigurableResource, IAttachDifferentObjectToOpContext):
    name: str = "c"

    def get_object_to_set_on_execution_context(self) -> str:
        return f"connection of {self.name}"


class Service(ConfigurableResource):
    client: Client


@op(required_resource_keys={"client", "dependent", "service"})
def ask(context: OpExecutionContext) -> Any:
    resources = context.resources
    return resources.client, resources.dependent, type(resources.service.client)


@op
def take(client: Client) -> type:
    return type(client)


@resource(required_resource_keys={"client"})
def dependent(context: Any) -> str:
    return f"on {context.resources.client}"


def test_contexts_show_the_object_that_a_resource_attaches_and_parameters_get_the_resource() -> None:
    @job(resource_defs={"client": Client(name="d"), "dependent": dependent, "service": Service(client=Client())})
    def asking() -> None:
        ask()
        take()

    result = asking.execute_in_process()
    assert result.output_for_node("ask") == ("connection of d", "on connection of d", Client)
    assert result.output_for_node("take") is Client
    with build_resources({"client": Client()}) as resources:
        assert resources.client == "connection of c"
        assert isinstance(resources._asdict()["client"], Client)


def test_attached_object_is_for_the_subclass_to_say() -> None:
    class Empty(IAttachDifferentObjectToOpContext): ...

    with pytest.raises(NotImplementedError, match="Empty has to define get_object_to_set_on_execution_context"):
        Empty().get_object_to_set_on_execution_context()
