"""What IO managers are handed in a run: which value is meant, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from treadle import (
    AssetMaterialization,
    AssetObservation,
    CheckError,
    DagsterInstance,
    DagsterInvalidMetadata,
    DagsterInvariantViolationError,
    DagsterLogManager,
    DynamicOut,
    DynamicOutput,
    ExecuteInProcessResult,
    ExpectationResult,
    Field,
    In,
    InputContext,
    IOManager,
    OpExecutionContext,
    Out,
    OutputContext,
    ResourceDefinition,
    input_manager,
    io_manager,
    job,
    op,
)


class Shelf(IOManager):
    """Keeps values and the contexts that it was given."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], Any] = {}
        self.outputs: list[OutputContext] = []
        self.inputs: list[InputContext] = []

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        self.outputs.append(context)
        context.add_output_metadata({"size": 1})
        context.log_event(AssetObservation("shelf"))
        self.values[tuple(context.get_identifier())] = obj

    def load_input(self, context: InputContext) -> Any:
        self.inputs.append(context)
        context.add_input_metadata({"from": "there"})
        context.add_input_metadata({"from": "shelf"}, description="where it was")
        return self.values[tuple(context.get_identifier())]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@op(out=Out(int, metadata={"unit": "kg"}))
def weighs(context: OpExecutionContext) -> int:
    context.add_output_metadata({"scale": 1})
    return 5


@op(ins={"weight": In(int, metadata={"as": "load"})})
def loads(weight: int) -> int:
    return weight


def run(shelf: Shelf) -> ExecuteInProcessResult:
    @io_manager(
        config_schema={"n": Field(int, default_value=3)},
        required_resource_keys={"fuel"},
        output_config_schema={"deep": Field(int, default_value=1)},
    )
    def makes_shelf(_context: object) -> Shelf:
        return shelf

    fuel = ResourceDefinition.hardcoded_resource("F")

    @job(resource_defs={"io_manager": makes_shelf, "fuel": fuel, "other": ResourceDefinition.none_resource()})
    def flight() -> None:
        loads.alias("hold")(weighs.alias("scale")())

    return flight.execute_in_process()


def test_output_context_describes_the_value(shelf: Shelf) -> None:
    result = run(shelf)
    context = shelf.outputs[0]
    assert (context.step_key, context.name, context.job_name, context.run_id) == (
        "scale",
        "result",
        "flight",
        result.run_id,
    )
    assert context.mapping_key is None
    assert (context.op_def, context.solid_def) == (weighs, weighs)
    assert context.dagster_type.display_name == "Int"
    assert context.definition_metadata == context.metadata == {"unit": "kg"}
    assert {key: value.value for key, value in context.output_metadata.items()} == {"scale": 1}
    assert context.config == {"deep": 1}
    assert context.resource_config == {"n": 3}
    assert context.resources._asdict() == {"fuel": "F"}
    assert isinstance(context.log, DagsterLogManager)
    assert context.version is None
    assert context.step_context.op.name == "scale"
    assert context.get_identifier() == context.get_run_scoped_output_identifier() == [result.run_id, "scale", "result"]
    assert not context.has_asset_key
    assert not context.has_partition_key
    with pytest.raises(DagsterInvariantViolationError, match="Attempting to access asset_key"):
        _ = context.asset_key


def test_input_context_describes_the_value_and_the_output_that_it_comes_from(shelf: Shelf) -> None:
    result = run(shelf)
    (context,) = shelf.inputs
    assert (context.name, context.has_input_name, context.job_name) == ("weight", True, "flight")
    assert (context.op_def, context.solid_def) == (loads, loads)
    assert context.dagster_type.display_name == "Int"
    assert context.definition_metadata == context.metadata == {"as": "load"}
    assert context.config is None
    assert context.resource_config == {"n": 3}
    assert context.resources._asdict() == {"fuel": "F"}
    assert isinstance(context.log, DagsterLogManager)
    assert isinstance(context.instance, DagsterInstance)
    assert context.step_context.op.name == "hold"
    assert context.get_observations() == []
    upstream = context.upstream_output
    assert upstream is not None
    assert (upstream.step_key, upstream.name, upstream.run_id) == ("scale", "result", result.run_id)
    assert (upstream.op_def, upstream.mapping_key, upstream.job_name) == (weighs, None, "flight")
    assert (upstream.config, upstream.resource_config) == ({"deep": 1}, {"n": 3})
    assert (upstream.definition_metadata, upstream.output_metadata) == ({"unit": "kg"}, {})
    assert context.get_identifier() == upstream.get_identifier() == [result.run_id, "scale", "result"]
    with pytest.raises(DagsterInvariantViolationError, match="Attempting to access step_context"):
        _ = upstream.step_context


def test_what_a_manager_tells_goes_to_its_events(shelf: Shelf) -> None:
    events = run(shelf).all_events
    kinds = [event.event_type_value for event in events]
    assert kinds.index("ASSET_OBSERVATION") == kinds.index("HANDLED_OUTPUT") - 1
    handled = next(event for event in events if event.event_type_value == "HANDLED_OUTPUT")
    loaded = next(event for event in events if event.event_type_value == "LOADED_INPUT")
    assert handled.event_specific_data.metadata["size"].value == 1
    assert loaded.event_specific_data.metadata["from"].value == "shelf"
    assert shelf.outputs[0].get_logged_metadata() == {}
    assert shelf.outputs[0].get_logged_events() == []


def test_value_of_a_branch_has_its_key(shelf: Shelf) -> None:
    @op(out=DynamicOut(int))
    def splits() -> Iterator[DynamicOutput[int]]:
        yield DynamicOutput(1, "a")
        yield DynamicOutput(2, "b")

    @job(resource_defs={"io_manager": shelf})
    def flight() -> None:
        splits().map(loads.alias("weight"))

    result = flight.execute_in_process()
    assert [context.mapping_key for context in shelf.outputs if context.step_key == "splits"] == ["a", "b"]
    assert [context.get_identifier() for context in shelf.inputs] == [
        [result.run_id, "splits", "result", key] for key in ("a", "b")
    ]


def test_input_manager_of_an_unconnected_input_sees_no_output() -> None:
    seen: list[InputContext] = []

    @input_manager
    def brings(context: InputContext) -> int:
        seen.append(context)
        return 7

    @op(ins={"weight": In(int, input_manager_key="brings")})
    def takes(weight: int) -> int:
        return weight

    @job(resource_defs={"brings": brings})
    def flight() -> None:
        takes()

    assert flight.execute_in_process().output_for_node("takes") == 7
    assert seen[0].upstream_output is None
    with pytest.raises(DagsterInvariantViolationError, match="Cannot compute an identifier"):
        seen[0].get_identifier()


# -- what can be told -----------------------------------------------------------------------------------------------------


def test_metadata_key_is_given_once_to_an_output() -> None:
    context = OutputContext()
    context.add_output_metadata({"a": 1, "b": 2})
    with pytest.raises(DagsterInvalidMetadata, match=r"key\(s\) that already have metadata: a, b"):
        context.add_output_metadata({"b": 3, "a": 3, "c": 3})
    assert {key: value.value for key, value in context.get_logged_metadata().items()} == {"a": 1, "b": 2}
    assert context.consume_logged_metadata().keys() == {"a", "b"}
    assert context.consume_logged_metadata() == {}


def test_output_context_logs_events_of_assets_only() -> None:
    context = OutputContext()
    context.log_event(AssetMaterialization("a"))
    assert context.get_logged_events() == [AssetMaterialization("a")]
    assert list(context.consume_events()) == [AssetMaterialization("a")]
    assert list(context.consume_events()) == []
    with pytest.raises(CheckError, match="log_event: Unexpected event ExpectationResult"):
        context.log_event(ExpectationResult(True))  # type: ignore[arg-type]
