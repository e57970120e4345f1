"""IO managers as definitions, and what the two built-in ones do with values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle.config.schema import EnvVar
from treadle.contexts import InitResourceContext
from treadle.definitions.io_managers import (
    FilesystemIOManager,
    InMemoryIOManager,
    InputManager,
    InputManagerDefinition,
    IOManager,
    IOManagerDefinition,
    WrongManagerError,
    fs_io_manager,
    input_manager,
    io_manager,
    mem_io_manager,
)
from treadle.definitions.resources import to_resource_definition
from treadle.errors import (
    CheckError,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
)
from treadle.io_contexts import InputContext, OutputContext
from treadle.metadata import MetadataValue


class Kept(IOManager):
    def handle_output(self, context: OutputContext, obj: Any) -> None: ...

    def load_input(self, context: InputContext) -> Any:
        return "kept"


def start(definition: Any, config: Any = None) -> Any:
    context = InitResourceContext(definition.process_config(config))
    return definition.open(context, "io_manager").value


def output(**given: Any) -> OutputContext:
    return OutputContext(**{"run_id": "run", "step_key": "graph.one", "name": "result", **given})


# -- definitions -------------------------------------------------------------------------------------------------------


def test_decorator_makes_a_definition_with_config_for_inputs_and_outputs() -> None:
    @io_manager
    def bare() -> Kept:
        """Bare."""
        return Kept()

    @io_manager({"a": int}, "Full.", {"b": int}, {"c": int}, {"db"}, "1")
    def full(context: InitResourceContext) -> Kept:
        return Kept()

    assert isinstance(bare, IOManagerDefinition)
    assert (bare.description, bare.input_config_schema, bare.output_config_schema) == ("Bare.", None, None)
    assert full.output_config_schema is not None
    assert full.input_config_schema is not None
    assert list(full.output_config_schema.config_type.fields) == ["b"]  # type: ignore[attr-defined]
    assert list(full.input_config_schema.config_type.fields) == ["c"]  # type: ignore[attr-defined]
    assert (full.required_resource_keys, full.version, full.description) == ({"db"}, "1", "Full.")
    assert isinstance(full.configured({"a": 1}), IOManagerDefinition)
    with pytest.raises(DagsterInvalidDefinitionError, match="@io_manager decorated function"):
        io_manager(lambda a, b: None)  # type: ignore[call-overload]


def test_interface_must_be_complete() -> None:
    class Half(IOManager):
        def handle_output(self, context: OutputContext, obj: Any) -> None: ...

    with pytest.raises(TypeError, match="load_input"):
        Half()  # type: ignore[abstract]


def test_function_must_return_an_io_manager() -> None:
    with pytest.raises(WrongManagerError, match=r'Resource "io_manager": the function returned 5 \(a int\)') as caught:
        start(io_manager(lambda: 5))  # type: ignore[arg-type,return-value]
    assert isinstance(caught.value, CheckError)
    assert isinstance(caught.value, DagsterResourceFunctionError)


def test_what_was_opened_by_mistake_is_closed() -> None:
    closed = []

    @io_manager
    def wrong() -> Iterator[Any]:
        yield 5
        closed.append(True)
        raise ValueError("and fails")

    with pytest.raises(WrongManagerError):
        start(wrong)
    assert closed == [True]


def test_instances_stand_for_themselves() -> None:
    kept = Kept()
    assert start(to_resource_definition("io_manager", kept)) is kept
    assert start(IOManagerDefinition.hardcoded_io_manager(kept)) is kept


def test_io_manager_can_be_called_in_a_test() -> None:
    assert isinstance(mem_io_manager(None), InMemoryIOManager)
    assert isinstance(io_manager(lambda context: Kept())(None), Kept)


def test_input_manager_is_a_function_or_an_object() -> None:
    loader = input_manager(lambda context: context.name)
    assert isinstance(loader, InputManagerDefinition)
    assert start(loader).load_input(InputContext(name="x")) == "x"
    assert start(input_manager(lambda: 9)).load_input(InputContext()) == 9
    full = input_manager({"q": int}, "D", {"c": int})(lambda context: 1)
    assert full.input_config_schema is not None
    assert full.config_field.is_required

    class Own(InputManager):
        def load_input(self, context: InputContext) -> Any:
            return 77

    definition = to_resource_definition("im", Own())
    assert isinstance(definition, InputManagerDefinition)
    assert start(definition).load_input(InputContext()) == 77
    with pytest.raises(DagsterInvalidDefinitionError):
        input_manager(lambda a, b: None)  # type: ignore[call-overload]


# -- in memory ----------------------------------------------------------------------------------------------------------


def test_memory_gives_the_object_itself() -> None:
    manager = InMemoryIOManager()
    value = object()
    manager.handle_output(output(mapping_key="k"), value)
    assert manager.load_input(InputContext(upstream_output=output(mapping_key="k"))) is value
    assert manager.values == {("run", "graph.one", "result", "k"): value}


def test_engine_may_store_and_fetch_by_key() -> None:
    manager = InMemoryIOManager()
    manager.store(("run", "graph.one", "result"), 5)
    assert manager.load_input(InputContext(upstream_output=output())) == 5
    assert manager.fetch(("run", "graph.one", "result")) == 5
    with pytest.raises(DagsterInvariantViolationError, match="holds no value for run / two / result"):
        manager.fetch(("run", "two", "result"))


@pytest.mark.parametrize("manager", [InMemoryIOManager(), FilesystemIOManager("somewhere")])
def test_unconnected_input_has_nothing_stored(manager: IOManager) -> None:
    with pytest.raises(DagsterInvariantViolationError, match='Input "x" is not connected'):
        manager.load_input(InputContext(name="x"))


# -- on the filesystem --------------------------------------------------------------------------------------------------


def test_file_is_named_after_run_step_output_and_branch(tmp_path: Path) -> None:
    manager = FilesystemIOManager(tmp_path)
    manager.handle_output(output(), 1)
    manager.handle_output(output(step_key="many[a]", name="out", mapping_key="k"), 1)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["run/graph.one/result", "run/many[a]/out/k"]


def test_handled_output_tells_the_path(tmp_path: Path) -> None:
    context = output()
    FilesystemIOManager(tmp_path).handle_output(context, 1)
    assert context.get_logged_metadata() == {"path": MetadataValue.path(str(tmp_path / "run/graph.one/result"))}


class Instance:
    durability = "full"
    artifacts_place = "/the/storage"


def test_folder_is_that_of_the_instance_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    context = InitResourceContext(instance=Instance())
    settled = FilesystemIOManager().create_io_manager(context)
    assert (settled.base_dir, settled.is_durable) == ("/the/storage", True)
    assert FilesystemIOManager(is_durable=False).create_io_manager(context).is_durable is False
    assert FilesystemIOManager("own").create_io_manager(context).base_dir == "own"
    assert fs_io_manager(InitResourceContext({}, instance=Instance())).base_dir == "/the/storage"
    monkeypatch.setenv("FOLDER", "/from/env")
    from_env = FilesystemIOManager(base_dir=EnvVar("FOLDER"))
    assert from_env.create_io_manager(context).base_dir == "/from/env"
    assert start(to_resource_definition("io_manager", from_env)).base_dir == "/from/env"
    assert start(to_resource_definition("io_manager", from_env), {"base_dir": "/other"}).base_dir == "/other"
    with pytest.raises(DagsterInvariantViolationError, match="needs a base_dir"):
        FilesystemIOManager().create_io_manager(InitResourceContext())
    for unsettled in (FilesystemIOManager(), from_env):
        with pytest.raises(DagsterInvariantViolationError, match="settled when a run starts"):
            unsettled.handle_output(output(), 1)
