"""Contexts made by hand know what they were given, and refuse to say what only a run can tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    CheckError,
    ConfigurableResource,
    DagsterEvent,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPropertyError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    DagsterType,
    DagsterUnknownResourceError,
    FilesystemIOManager,
    HookContext,
    InitLoggerContext,
    InitResourceContext,
    InputContext,
    IOManager,
    OpExecutionContext,
    OutputContext,
    ParameterCheckError,
    build_hook_context,
    build_init_logger_context,
    build_init_resource_context,
    build_input_context,
    build_op_context,
    build_output_context,
    build_solid_context,
    colored_console_logger,
    failure_hook,
    fs_io_manager,
    input_manager,
    io_manager,
    job,
    logger,
    mem_io_manager,
    op,
    resource,
    success_hook,
)
from treadle.definitions.hooks import event_list_hook


@op
def some_op(context: OpExecutionContext) -> None:
    pass


@job
def some_job() -> None:
    some_op()


SAID: list[str] = []


@resource
def door(context: InitResourceContext) -> Iterator[str]:
    SAID.append("open")
    yield "door"
    SAID.append("close")


@pytest.fixture(autouse=True)
def quiet() -> None:
    SAID.clear()


# -- all that hold resources --------------------------------------------------------------------------------------------

BUILDERS = [
    build_op_context,
    build_hook_context,
    build_init_resource_context,
    build_input_context,
    build_output_context,
]
each_builder = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)


@each_builder
def test_resources_are_opened_and_given_as_attributes(build: Any) -> None:
    class Address(ConfigurableResource[Any]):
        town: str

    @resource
    def sees(context: InitResourceContext) -> Any:
        return context.run_id, context.run, isinstance(context.instance, DagsterInstance), context.log is not None

    resources = build(resources={"plain": 1, "sees": sees, "address": Address(town="Pisa")}).resources
    assert resources.plain == 1
    assert resources.sees == (None, None, True, True)
    assert resources.address.town == "Pisa"
    with pytest.raises(DagsterUnknownResourceError, match="Available here: address, plain, sees"):
        _ = resources.other
    with pytest.raises(DagsterUnknownResourceError):
        _ = build().resources.any


@each_builder
def test_resources_to_tear_down_are_open_for_the_length_of_a_with_block(build: Any) -> None:
    with build(resources={"door": door}) as context:
        assert context.resources.door == "door"
        assert SAID == ["open"]
    assert SAID == ["open", "close"]


@each_builder
def test_resources_to_tear_down_are_refused_outside_of_a_with_block(build: Any) -> None:
    context = build(resources={"door": door, "plain": 1})
    with pytest.raises(
        DagsterInvariantViolationError, match=f"syntax to open a context manager: `with {build.__name__}"
    ):
        _ = context.resources
    del context
    assert SAID == ["open", "close"]


@each_builder
def test_resource_that_fails_to_start_closes_those_that_are_open(build: Any) -> None:
    @resource(required_resource_keys={"door"})
    def broken(context: InitResourceContext) -> Any:
        raise ZeroDivisionError

    with pytest.raises(DagsterResourceFunctionError, match="Error executing resource_fn on ResourceDefinition broken"):
        build(resources={"broken": broken, "door": door})
    assert SAID == ["open", "close"]


@each_builder
def test_resources_and_instance_are_checked(build: Any) -> None:
    with pytest.raises(ParameterCheckError, match='Param "resources" is not a Mapping. Got 3'):
        build(resources=3)
    with pytest.raises(
        ParameterCheckError, match=f'{build.__name__}: Param "instance" is not a DagsterInstance. Got 3'
    ):
        build(instance=3)
    with pytest.raises(CheckError, match="must be a valid Python identifier"):
        build(resources={"no name": 1})


def test_teardown_that_fails_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    @resource
    def stuck() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("stuck")

    with build_op_context(resources={"stuck": stuck, "door": door}):
        pass
    assert SAID == ["open", "close"]
    assert 'Teardown of resource "stuck" failed: ZeroDivisionError: stuck' in capsys.readouterr().err


# -- for ops --------------------------------------------------------------------------------------------------------------


def test_op_context_knows_what_it_was_given() -> None:
    instance = DagsterInstance.ephemeral()
    context = build_op_context(op_config={"a": 1}, instance=instance, mapping_key="k", run_tags={"owner": "ann"})
    assert isinstance(context, OpExecutionContext)
    assert context.run_id == "EPHEMERAL"
    assert context.op_config == context.solid_config == {"a": 1}
    assert context.instance is instance
    assert context.get_mapping_key() == "k"
    assert context.run_tags == {"owner": "ann"}
    assert (context.has_tag("owner"), context.get_tag("owner")) == (True, "ann")
    assert (context.has_tag("other"), context.get_tag("other")) == (False, None)
    assert context.op_execution_context is context
    assert isinstance(context.log, logging.Logger)


def test_op_context_without_arguments_is_empty() -> None:
    context = build_op_context()
    assert context.op_config is None
    assert context.run_tags == {}
    assert context.get_mapping_key() is None
    assert isinstance(context.instance, DagsterInstance)
    assert context.instance is context.instance
    assert context.get_events() == []
    assert context.get_output_metadata("result") is None
    assert not context.is_bound
    assert context.execution_properties.output_metadata == {}


def test_first_attempt_has_number_0_in_a_direct_call_too() -> None:
    assert build_op_context().retry_number == 0
    assert op(name="tells")(lambda context: context.retry_number)(None) == 0


ONLY_IN_A_RUN = [
    "run", "dagster_run", "pipeline_run", "job_def", "job_name", "op", "op_handle", "node_handle", "step_launcher",
    "step_key", "repository_def", "assets_def", "asset_key", "get_step_execution_context",
]  # fmt: skip
ONLY_IN_A_CALL = ["run_config", "op_def", "selected_output_names"]


@pytest.mark.parametrize("name", [*ONLY_IN_A_RUN, *ONLY_IN_A_CALL])
def test_op_context_refuses_what_it_does_not_know(name: str) -> None:
    with pytest.raises(
        DagsterInvalidPropertyError, match="property is not set on the context when an op is directly invoked"
    ):
        getattr(build_op_context(), name)


@pytest.mark.parametrize("name", ONLY_IN_A_RUN)
def test_op_context_refuses_what_only_a_run_has_in_the_body_too(name: str) -> None:
    asks = op(name="asks")(lambda context: getattr(context, name))
    with pytest.raises(DagsterInvalidPropertyError, match="there is no run"):
        asks(build_op_context())


def test_op_context_knows_its_op_in_the_body() -> None:
    @op(out={})
    def tells(context: OpExecutionContext) -> None:
        assert context.is_bound
        assert context.op_def is context.solid_def is tells
        assert context.describe_op() == 'op "alias"'
        assert context.selected_output_names == frozenset()
        assert context.run_config == {"resources": {}}
        assert not context.requires_typed_event_stream
        assert not context.has_assets_def

    tells.alias("alias")(None)


@pytest.mark.parametrize(
    "call",
    [
        lambda context: context.log_event(AssetMaterialization("a")),
        lambda context: context.add_output_metadata({"n": 1}),
        lambda context: context.describe_op(),
    ],
)
def test_op_context_takes_nothing_outside_of_a_body(call: Callable[[OpExecutionContext], Any]) -> None:
    with pytest.raises(DagsterInvalidPropertyError, match="the context belongs to no op"):
        call(build_op_context())


def test_partition_is_what_was_given() -> None:
    context = build_op_context(partition_key="2024")
    assert (context.has_partition_key, context.has_partition_key_range) == (True, False)
    assert (context.partition_key, context.partition_keys) == ("2024", ["2024"])
    context = build_op_context(partition_key_range=("a", "b"))
    assert (context.has_partition_key, context.has_partition_key_range) == (False, True)
    assert context.partition_key_range == ("a", "b")
    context = build_op_context()
    assert not context.has_partitions
    for name in ("partition_key", "partition_keys", "partition_key_range", "partition_time_window"):
        with pytest.raises(CheckError, match="Tried to access partition_key.*non-partitioned run"):
            getattr(context, name)
    with pytest.raises(CheckError, match="give one of them"):
        build_op_context(partition_key="a", partition_key_range=("a", "b"))


def test_config_goes_by_one_name() -> None:
    assert (
        build_solid_context(solid_config={"a": 1}).op_config == build_op_context(config={"a": 1}).op_config == {"a": 1}
    )
    with pytest.raises(DagsterInvalidInvocationError, match="both ``op_config``, and its legacy version, ``config``"):
        build_op_context(op_config=1, config=1)


@pytest.mark.parametrize("argument", ["mapping_key", "run_tags", "resources_config"])
def test_arguments_of_the_op_context_are_checked(argument: str) -> None:
    with pytest.raises(ParameterCheckError, match=f'build_op_context: Param "{argument}" is not a'):
        build_op_context(**{argument: 3})  # type: ignore[arg-type]


def test_config_of_resources_is_checked_when_the_context_is_built() -> None:
    town = resource(config_schema={"name": str})(lambda context: context.resource_config["name"])
    config = {"town": {"config": {"name": "Pisa"}}}
    assert build_op_context(resources={"town": town}, resources_config=config).resources.town == "Pisa"
    for wrong, message in (
        (None, 'Missing required config entry "town" at the root'),
        ({"town": {"config": {"name": 3}}}, "root:town:config:name"),
        ({"twon": {"config": {}}}, 'Received unexpected config entry "twon" at the root.*Did you mean "town"'),
    ):
        with pytest.raises(DagsterInvalidConfigError, match=f"(?s)Error in config for resources.*{message}"):
            build_op_context(resources={"town": town}, resources_config=wrong)


# -- for hooks ------------------------------------------------------------------------------------------------------------


def test_hook_context_knows_what_it_was_given() -> None:
    instance, error = DagsterInstance.ephemeral(), ValueError()
    context = build_hook_context(op=some_op, run_id="r", job_name="j", op_exception=error, instance=instance)
    assert isinstance(context, HookContext)
    assert (context.run_id, context.job_name, context.op_exception) == ("r", "j", error)
    assert context.instance is instance
    assert (context.op.name, context.op.definition) == ("some_op", some_op)
    assert build_hook_context(op=some_op.alias("other")).op.name == "other"
    assert isinstance(context.log, logging.Logger)
    assert context.log is context.log


@pytest.mark.parametrize("name", ["run_id", "job_name", "op"])
def test_hook_context_says_how_to_give_what_it_lacks(name: str) -> None:
    message = f"Attribute '{name}' was not provided.*Provide a value for the '{name}' parameter on 'build_hook_context'"
    with pytest.raises(DagsterInvalidPropertyError, match=message):
        getattr(build_hook_context(), name)


@pytest.mark.parametrize("name", ["step_key", "op_config", "op_output_values", "op_output_metadata", "hook_def"])
def test_hook_context_refuses_what_only_a_run_has(name: str) -> None:
    with pytest.raises(
        DagsterInvalidPropertyError, match=f"The {name} property is not set when a `HookContext` is construct"
    ):
        getattr(build_hook_context(), name)


@pytest.mark.parametrize("error", [DagsterInvalidPropertyError, DagsterInvariantViolationError])
def test_hook_context_without_an_instance_says_so(error: type[Exception]) -> None:
    with pytest.raises(error, match="no instance was provided to `build_hook_context`"):
        _ = build_hook_context().instance


def test_op_that_did_not_fail_has_no_exception() -> None:
    assert build_hook_context().op_exception is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"op": 3}, 'Param "op" is not an OpDefinition. Got 3'),
        ({"run_id": 3}, 'Param "run_id" is not a str'),
        ({"job_name": 3}, 'Param "job_name" is not a str'),
        ({"op_exception": "text"}, 'Param "op_exception" is not a BaseException'),
    ],
)
def test_arguments_of_the_hook_context_are_checked(arguments: Any, message: str) -> None:
    with pytest.raises(ParameterCheckError, match=f"build_hook_context: {message}"):
        build_hook_context(**arguments)


@pytest.mark.parametrize("decorator", [success_hook, failure_hook])
def test_hook_is_called_with_its_resources(decorator: Any) -> None:
    @decorator(required_resource_keys={"chat"})
    def tells(context: HookContext) -> Any:
        return context.resources.chat, context.hook_def, context.required_resource_keys

    assert tells(build_hook_context(resources={"chat": "C", "more": 1})) == ("C", tells, {"chat"})
    with build_hook_context(resources={"chat": door}) as context:
        assert tells(context)[0] == "door"
    assert SAID == ["open", "close"]
    for context in (None, build_hook_context(resources={"chatt": 1})):
        with pytest.raises(
            DagsterInvalidDefinitionError, match="resource with key 'chat' required by hook 'tells'  was not"
        ):
            tells(context)
    for wrong in (3, build_op_context()):
        with pytest.raises(ParameterCheckError, match='Hook "tells": Param "context" is not a HookContext'):
            tells(wrong)


def test_hook_may_call_another_with_the_context_of_its_run() -> None:
    seen = []

    @success_hook(required_resource_keys={"chat"})
    def inner(context: HookContext) -> None:
        seen.append((context.step_key, context.hook_def.name))

    @success_hook
    def outer(context: HookContext) -> None:
        inner(context)

    assert some_job.with_hooks({outer}).execute_in_process().success
    assert seen == [("some_op", "outer")]


def test_event_list_hook_is_called_with_the_events_too() -> None:
    seen = []

    @event_list_hook
    def decides(context: HookContext, event_list: list[DagsterEvent]) -> None:
        assert context.hook_def is decides
        seen.append(event_list)

    decides(None, ["e"])
    decides(build_hook_context(), event_list=["e"])
    decides(event_list=["e"], context=None)
    assert seen == [["e"]] * 3
    for arguments in ({}, {"context": None}, {"event_list": []}):
        with pytest.raises(
            DagsterInvalidInvocationError, match="expects two parameters, context and event_list, but [01] were"
        ):
            decides(**arguments)
    with pytest.raises(DagsterInvalidInvocationError, match="Could not find expected argument 'event_list'"):
        decides(context=None, events=[])


# -- for resources and loggers --------------------------------------------------------------------------------------------


def test_resource_context_knows_what_it_was_given() -> None:
    instance = DagsterInstance.ephemeral()
    context = build_init_resource_context(config={"a": 1}, resources={"b": 2}, instance=instance)
    assert isinstance(context, InitResourceContext)
    assert context.resource_config == {"a": 1}
    assert context.resources.b == 2
    assert context.instance is instance
    assert (context.run, context.dagster_run, context.run_id, context.event_loop) == (None, None, None, None)
    assert context.all_resource_defs == {}
    assert isinstance(context.log, logging.Logger)
    other = context.replace_config(3)
    assert (other.resource_config, other.resources.b, other.instance) == (3, 2, instance)


def test_resource_is_called_with_config_and_resources() -> None:
    @resource(config_schema={"n": int}, required_resource_keys={"base"})
    def total(context: InitResourceContext) -> Any:
        assert context.resource_def is total
        return context.resource_config["n"] + context.resources.base

    assert total(build_init_resource_context(config={"n": 1}, resources={"base": 2})) == 3
    with pytest.raises(DagsterInvalidConfigError, match="Error in config for resource"):
        total(build_init_resource_context(resources={"base": 2}))
    with pytest.raises(DagsterInvalidDefinitionError, match="resource with key 'base' required was not provided"):
        total(build_init_resource_context(config={"n": 1}))
    with pytest.raises(
        DagsterInvalidInvocationError, match="Resource has required resources, but no context was provided"
    ):
        total(None)
    for wrong in (3, build_op_context()):
        with pytest.raises(ParameterCheckError, match='Param "context" is not a InitResourceContext'):
            total(wrong)


def test_resource_that_takes_no_context_is_given_none() -> None:
    @resource(required_resource_keys={"foo"})
    def plain() -> int:
        return 1

    assert plain() == 1
    with pytest.raises(DagsterInvalidInvocationError, match="underlying function has no context argument"):
        plain(None)


def test_resource_of_a_class_is_made_by_its_definition() -> None:
    class Town(ConfigurableResource[Any]):
        name: str

    class Gate(Town):
        def teardown_after_execution(self, context: InitResourceContext) -> None:
            SAID.append("shut")

    town = Town(name="Pisa").get_resource_definition()(build_init_resource_context())
    assert town.name == "Pisa"
    with Gate(name="North").get_resource_definition()(None) as gate:
        assert gate.name == "North"
    assert SAID == ["shut"]


def test_logger_context_knows_what_it_was_given() -> None:
    context = build_init_logger_context(logger_config={"a": 1}, job_def=some_job)
    assert isinstance(context, InitLoggerContext)
    assert context.logger_config == {"a": 1}
    assert context.job_def is context.pipeline_def is some_job
    assert context.run_id == "__EPHEMERAL_RUN_ID"
    assert build_init_logger_context().job_def is None
    with pytest.raises(ParameterCheckError, match='Param "job_def" is not a JobDefinition. Got 3'):
        build_init_logger_context(job_def=3)


def test_logger_is_called_with_config() -> None:
    seen: list[InitLoggerContext] = []

    @logger(config_schema={"level": str})
    def mine(init_context: InitLoggerContext) -> logging.Logger:
        seen.append(init_context)
        return logging.getLogger("mine")

    assert mine(build_init_logger_context(logger_config={"level": "INFO"}, job_def=some_job)).name == "mine"
    assert (seen[0].logger_config, seen[0].logger_def, seen[0].job_def) == ({"level": "INFO"}, mine, some_job)
    with pytest.raises(DagsterInvalidConfigError, match="Error in config for logger"):
        mine(build_init_logger_context())
    with pytest.raises(ParameterCheckError, match='Param "init_context" is not a InitLoggerContext'):
        mine(3)
    assert colored_console_logger(None).name == "dagster"


# -- for IO managers ------------------------------------------------------------------------------------------------------

SOME_TYPE = DagsterType(lambda _context, _value: True, "Some")


def test_output_context_knows_what_it_was_given() -> None:
    context = build_output_context(
        step_key="s", name="n", run_id="r", mapping_key="k", config=3, dagster_type=SOME_TYPE, op_def=some_op,
        resource_config={"a": 1}, resources={"b": 2}, metadata={"c": 3}, output_metadata={"d": 4},
    )  # fmt: skip
    assert isinstance(context, OutputContext)
    assert (context.step_key, context.name, context.run_id, context.mapping_key) == ("s", "n", "r", "k")
    assert (context.config, context.dagster_type, context.op_def) == (3, SOME_TYPE, some_op)
    assert (context.resource_config, context.resources.b) == ({"a": 1}, 2)
    assert (context.definition_metadata, context.metadata, context.output_metadata) == ({"c": 3}, {"c": 3}, {"d": 4})
    assert context.get_identifier() == context.get_run_scoped_output_identifier() == ["r", "s", "n", "k"]


def test_output_context_without_arguments_has_what_may_be_missing_in_a_run_too() -> None:
    context = build_output_context()
    assert context.run_id == "__EPHEMERAL_RUN_ID"
    assert (context.config, context.mapping_key, context.version) == (None, None, None)
    assert (context.definition_metadata, context.output_metadata, context.resource_config) == ({}, {}, {})
    assert isinstance(context.log, logging.Logger)
    assert not context.has_asset_key
    assert not context.has_partition_key
    assert not context.has_asset_partitions


def test_input_context_knows_what_it_was_given() -> None:
    upstream, instance = build_output_context(step_key="s", name="o"), DagsterInstance.ephemeral()
    context = build_input_context(
        name="n", config=3, upstream_output=upstream, dagster_type=SOME_TYPE, op_def=some_op, step_context="step",
        resource_config={"a": 1}, resources={"b": 2}, definition_metadata={"c": 3}, instance=instance,
    )  # fmt: skip
    assert isinstance(context, InputContext)
    assert (context.name, context.has_input_name) == ("n", True)
    assert (context.config, context.dagster_type, context.op_def, context.step_context) == (
        3,
        SOME_TYPE,
        some_op,
        "step",
    )
    assert (context.resource_config, context.resources.b, context.metadata) == ({"a": 1}, 2, {"c": 3})
    assert context.upstream_output is upstream
    assert context.instance is instance
    assert context.get_identifier() == ["__EPHEMERAL_RUN_ID", "s", "o"]


def test_input_context_without_arguments_has_what_may_be_missing_in_a_run_too() -> None:
    context = build_input_context()
    assert not context.has_input_name
    assert (context.config, context.upstream_output) == (None, None)
    assert (context.definition_metadata, context.resource_config) == ({}, {})
    with pytest.raises(
        DagsterInvariantViolationError, match="upstream_output not defined. Cannot compute an identifier"
    ):
        context.get_identifier()


@pytest.mark.parametrize(
    ("build", "name"),
    [
        *(
            (build_output_context, n)
            for n in ("step_key", "name", "job_name", "dagster_type", "op_def", "step_context")
        ),
        *((build_input_context, n) for n in ("name", "job_name", "dagster_type", "op_def", "step_context", "instance")),
        (build_output_context, "asset_key"),
        (build_input_context, "asset_key"),
    ],
)
def test_io_context_refuses_what_it_was_not_given(build: Any, name: str) -> None:
    with pytest.raises(
        DagsterInvariantViolationError, match=f"Attempting to access {name}, but it was not provided when"
    ):
        getattr(build(), name)


@pytest.mark.parametrize("build", [build_output_context, build_input_context])
def test_io_context_may_be_told_of_an_asset_and_a_partition(build: Any) -> None:
    assert build(asset_key="apple").asset_key == AssetKey("apple")
    context = build(asset_key=["a", "b"], partition_key="2024")
    assert (context.has_asset_key, context.asset_key) == (True, AssetKey(["a", "b"]))
    assert (context.has_partition_key, context.partition_key) == (True, "2024")
    assert context.get_asset_identifier() == ["a", "b", "2024"]
    with pytest.raises(CheckError, match="Tried to access partition_key on a non-partitioned run"):
        _ = build().partition_key
    for name in ("asset_partition_key", "asset_partition_keys", "asset_partition_key_range", "asset_partitions_def"):
        with pytest.raises(CheckError, match="does not correspond to a partitioned asset"):
            getattr(build(), name)


@pytest.mark.parametrize("build", [build_output_context, build_input_context])
def test_metadata_goes_by_one_name(build: Any) -> None:
    with pytest.raises(CheckError, match='give "definition_metadata", or "metadata", its older name, but not both'):
        build(metadata={"a": 1}, definition_metadata={"a": 1})


def test_io_context_takes_the_resources_of_another_context() -> None:
    other = build_op_context(resources={"a": 1})
    assert build_output_context(resources=other.resources).resources.a == 1


def test_upstream_output_has_to_be_a_context() -> None:
    with pytest.raises(ParameterCheckError, match='"upstream_output" is not a OutputContext.*build_output_context'):
        build_input_context(upstream_output=3)  # type: ignore[arg-type]


def test_values_of_one_version_are_the_same_in_every_run() -> None:
    context = build_output_context(step_key="s", name="n", version="v", run_id="r")
    assert context.get_identifier() == ["versioned_outputs", "v", "s", "n"]
    assert context.get_run_scoped_output_identifier() == ["r", "s", "n"]
    with pytest.raises(CheckError, match="Mapping key and version both provided"):
        build_output_context(step_key="s", name="n", version="v", mapping_key="k").get_identifier()


class Shelf(IOManager):
    """Keeps values, and tells of it."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], Any] = {}

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        context.add_output_metadata({"size": len(obj)})
        context.log_event(AssetMaterialization("shelf"))
        self.values[tuple(context.get_identifier())] = obj

    def load_input(self, context: InputContext) -> Any:
        assert context.upstream_output is not None
        context.add_input_metadata({"from": context.upstream_output.step_key})
        return self.values[tuple(context.upstream_output.get_identifier())]


def test_io_manager_is_called_with_contexts() -> None:
    shelf = io_manager(lambda _context: Shelf())(build_init_resource_context())
    output = build_output_context(step_key="s", name="n")
    shelf.handle_output(output, "value")
    assert output.get_logged_metadata()["size"].value == 5
    assert output.get_logged_events() == [AssetMaterialization("shelf")]
    context = build_input_context(upstream_output=output)
    assert shelf.load_input(context) == "value"
    assert context.consume_logged_metadata()["from"].value == "s"


def test_built_in_io_managers_are_called_with_contexts(tmp_path: Any) -> None:
    with DagsterInstance.ephemeral(str(tmp_path)) as instance:
        context = build_init_resource_context(instance=instance)
        for manager in (mem_io_manager(context), fs_io_manager(context), FilesystemIOManager(str(tmp_path / "own"))):
            output = build_output_context(step_key="s", name="n", run_id="r")
            manager.handle_output(output, [1, 2])
            assert manager.load_input(build_input_context(upstream_output=output)) == [1, 2]


def test_input_manager_is_called_with_a_context() -> None:
    @input_manager
    def named(context: InputContext) -> Any:
        return context.name

    assert named(build_init_resource_context()).load_input(build_input_context(name="x")) == "x"
