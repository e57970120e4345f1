"""What stands under the key of an IO manager or input manager is checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    ConfigurableResource,
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterType,
    Definitions,
    FilesystemIOManager,
    GraphIn,
    In,
    InMemoryIOManager,
    InputManager,
    IOManager,
    Nothing,
    Out,
    ResourceDefinition,
    RunConfig,
    configured,
    dagster_type_loader,
    fs_io_manager,
    graph,
    input_manager,
    job,
    mem_io_manager,
    op,
    resource,
)


class Client(ConfigurableResource):
    port: int = 80


@resource
def client() -> str:
    return "client"


@input_manager
def seven() -> int:
    return 7


ran: list[str] = []


@op
def one() -> int:
    ran.append("one")
    return 1


@op(ins={"number": In(input_manager_key="loader")})
def take(number: int) -> int:
    return number


@graph
def alone() -> None:
    one()


@graph
def loading() -> None:
    take(one())


NO_MANAGERS = [5, None, client, Client(), ResourceDefinition.hardcoded_resource(InMemoryIOManager())]


@pytest.mark.parametrize("value", [*NO_MANAGERS, seven], ids=lambda value: type(value).__name__)
def test_what_is_no_io_manager_is_refused_before_anything_runs(value: Any) -> None:
    ran.clear()
    with pytest.raises(
        DagsterInvalidDefinitionError,
        match=r"io manager with key 'io_manager' required by output 'result' of op 'one', but received .* Give an IOManager",
    ):
        alone.to_job(resource_defs={"io_manager": value}).execute_in_process()
    assert ran == []


@pytest.mark.parametrize("value", NO_MANAGERS, ids=lambda value: type(value).__name__)
def test_what_is_no_input_manager_is_refused_before_anything_runs(value: Any) -> None:
    ran.clear()
    with pytest.raises(
        DagsterInvalidDefinitionError,
        match=r"input manager with key 'loader' required by input 'number' of op 'take', but received .* Give an InputMan",
    ):
        loading.to_job(resource_defs={"loader": value}).execute_in_process()
    assert ran == []


def test_message_shows_what_was_given() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r'job "alone": .* but received 5 \(a int\)'):
        alone.to_job().execute_in_process(resources={"io_manager": 5})


def test_job_is_refused_when_it_is_made() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="io manager with key 'io_manager'"):
        alone.to_job(resource_defs={"io_manager": 5})


def test_what_definitions_bind_is_checked_too() -> None:
    definitions = Definitions(jobs=[alone.to_job()], resources={"io_manager": 5})
    with pytest.raises(DagsterInvalidDefinitionError, match="io manager with key 'io_manager'"):
        definitions.resolve_job_def("alone")


def test_key_that_an_op_requires_as_a_resource_too_is_checked() -> None:
    @op(required_resource_keys={"io_manager"}, out=Out(io_manager_key="io_manager"))
    def both(context: Any) -> int:
        return 1

    with pytest.raises(DagsterInvalidDefinitionError, match="io manager with key 'io_manager'"):

        @job(resource_defs={"io_manager": 5})
        def odd() -> None:
            both()


@pytest.mark.parametrize("value", [seven, InMemoryIOManager(), mem_io_manager], ids=lambda value: type(value).__name__)
def test_io_managers_and_input_managers_can_load_inputs(value: Any) -> None:
    made = loading.to_job(resource_defs={"loader": value, "io_manager": InMemoryIOManager()})
    made.check_resources()


def test_fs_io_manager_that_a_job_names_is_not_replaced_in_process() -> None:
    with DagsterInstance.ephemeral() as instance:
        result = alone.to_job(resource_defs={"io_manager": fs_io_manager}).execute_in_process(instance=instance)
        handled = next(event for event in result.all_node_events if event.is_handled_output)
        assert instance.storage_directory() in handled.event_specific_data.metadata["path"].path


def test_object_that_cannot_be_pickled_is_shown_even_where_its_repr_fails() -> None:
    from treadle import DagsterInvariantViolationError

    @op
    def deep() -> Any:
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]
        return value

    @job(resource_defs={"io_manager": fs_io_manager})
    def storing() -> None:
        deep()

    with pytest.raises(DagsterInvariantViolationError, match="exceeds recursion limit and is not picklable"):
        storing.execute_in_process()


def test_single_input_that_carries_nothing_can_be_given_by_position() -> None:
    @op
    def first() -> None: ...

    @op(ins={"after": In(Nothing)})
    def second() -> None: ...

    @op(ins={"after": In(Nothing)})
    def third(number: int) -> int:
        return number

    @job
    def ordered() -> None:
        second(first())
        third(one(), first.alias("again")())

    assert ordered.execute_in_process().output_for_node("third") == 1


def test_several_inputs_that_carry_nothing_are_given_by_name() -> None:
    @op(ins={"a": In(Nothing), "b": In(Nothing)})
    def last() -> None: ...

    with pytest.raises(DagsterInvalidDefinitionError, match="received too many inputs"):

        @job
        def unordered() -> None:
            last(one(), one.alias("two")())


# -- what managers may do


def test_manager_may_load_what_a_step_without_a_value_left_elsewhere() -> None:
    class Found(IOManager):
        def handle_output(self, context: Any, obj: Any) -> None:
            raise AssertionError("there is nothing to keep")

        def load_input(self, context: Any) -> Any:
            return (context.upstream_output.step_key, 5)

    @op
    def writes_a_table() -> None: ...

    @op(out={})
    def reads_it(table: Any) -> None:
        assert table == ("writes_a_table", 5)

    with pytest.warns(UserWarning, match="A Nothing output carries no value"):

        @graph
        def by_table() -> None:
            reads_it(writes_a_table())

    assert by_table.to_job(resource_defs={"io_manager": Found()}).execute_in_process().success
    with pytest.raises(DagsterInvalidDefinitionError, match="of type Nothing and carries none"):
        by_table.execute_in_process()


def test_function_of_an_input_manager_may_give_one() -> None:
    class Four(InputManager):
        def load_input(self, context: Any) -> Any:
            return (context.name, 4)

    @input_manager
    def four() -> InputManager:
        return Four()

    @op(ins={"number": In(input_manager_key="loader")})
    def take_pair(number: Any) -> Any:
        return number

    @job(resource_defs={"loader": four})
    def loading_four() -> None:
        take_pair()

    assert loading_four.execute_in_process().output_for_node("take_pair") == ("number", 4)


def test_loader_of_a_type_sees_the_resources_that_it_asked_for() -> None:
    @dagster_type_loader(str, required_resource_keys={"greeting"})
    def greet(context: Any, name: str) -> str:
        return f"{context.resources.greeting} {name}"

    greeted = DagsterType(lambda _, value: isinstance(value, str), "Greeted", loader=greet)

    @op(ins={"text": In(greeted)})
    def say(text: Any) -> Any:
        return text

    @graph(ins={"given": GraphIn()})
    def saying(given: Any) -> None:
        say(given)

    @job(resource_defs={"greeting": "hello"})
    def directly() -> None:
        say()

    config = {"ops": {"say": {"inputs": {"text": "you"}}}}
    assert directly.execute_in_process(config).output_for_node("say") == "hello you"
    made = saying.to_job(resource_defs={"greeting": "good day"})
    assert made.execute_in_process({"inputs": {"given": "you"}}).output_for_node("say") == "good day you"
    with pytest.raises(DagsterInvalidDefinitionError, match="resource with key 'greeting' required by the loader"):
        saying.to_job().execute_in_process({"inputs": {"given": "you"}})


def test_folder_of_the_filesystem_manager_can_come_from_run_config(tmp_path: Path) -> None:
    made = alone.to_job(resource_defs={"io_manager": FilesystemIOManager.configure_at_launch()})
    config = RunConfig(resources={"io_manager": FilesystemIOManager(base_dir=str(tmp_path))})
    result = made.execute_in_process(config)
    assert (tmp_path / result.run_id / "one" / "result").exists()


def test_event_that_a_manager_logs_stands_in_the_log_when_it_happened() -> None:
    class Telling(InMemoryIOManager):
        def handle_output(self, context: Any, obj: Any) -> Any:
            context.log_event(AssetMaterialization("first"))
            context.log.info("between")
            super().handle_output(context, obj)
            yield AssetMaterialization("second")

    with DagsterInstance.ephemeral() as instance:
        result = alone.to_job(resource_defs={"io_manager": Telling()}).execute_in_process(instance=instance)
        entries = instance.all_logs(result.run_id)
    told = [entry.dagster_event_type.value if entry.dagster_event_type else entry.user_message for entry in entries]
    start = told.index("STEP_OUTPUT") + 1
    assert told[start : start + 4] == ["ASSET_MATERIALIZATION", "between", "ASSET_MATERIALIZATION", "HANDLED_OUTPUT"]


def test_configured_takes_a_class_of_resources() -> None:
    @configured(Client, config_schema={"secure": bool})
    def client_by_kind(config: Any) -> Any:
        return {"port": 443 if config["secure"] else 80}

    @op
    def port_of(client: Client) -> int:
        return client.port

    @job(resource_defs={"client": client_by_kind})
    def asking() -> None:
        port_of()

    config = {"resources": {"client": {"config": {"secure": True}}}}
    assert asking.execute_in_process(config).output_for_node("port_of") == 443
