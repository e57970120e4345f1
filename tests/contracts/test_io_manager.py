"""What every IO manager promises to a run, asked of each one that Treadle has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treadle.contexts import InitResourceContext
from treadle.io_contexts import InputContext, OutputContext
from treadle.definitions.configurable import ConfigurableIOManager
from treadle.definitions.io_managers import (
    FilesystemIOManager,
    InMemoryIOManager,
    IOManager,
    fs_io_manager,
    mem_io_manager,
)
from treadle.definitions.resources import to_resource_definition


class ShelfIOManager(ConfigurableIOManager):
    """One as users write them."""

    folder: str

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        SHELF[(self.folder, *context.get_identifier())] = obj

    def load_input(self, context: InputContext) -> Any:
        assert context.upstream_output is not None
        return SHELF[(self.folder, *context.upstream_output.get_identifier())]


SHELF: dict[tuple[str, ...], Any] = {}


def open_definition(value: Any, config: Any = None) -> Any:
    definition = to_resource_definition("io_manager", value)
    context = InitResourceContext(definition.process_config(config))
    return definition.open(context, "io_manager").value


MANAGERS: dict[str, Callable[[Path], Any]] = {
    "in memory": lambda folder: InMemoryIOManager(),
    "in memory, by definition": lambda folder: open_definition(mem_io_manager),
    "files": lambda folder: FilesystemIOManager(str(folder)),
    "files that survive a loss of power": lambda folder: FilesystemIOManager(folder, is_durable=True),
    "files, as a resource": lambda folder: open_definition(FilesystemIOManager(base_dir=str(folder))),
    "files, by definition": lambda folder: open_definition(fs_io_manager, {"base_dir": str(folder)}),
    "a class of a user": lambda folder: open_definition(ShelfIOManager(folder=str(folder))),
}


@pytest.fixture(params=list(MANAGERS))
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> IOManager:
    made = MANAGERS[request.param](tmp_path)
    assert isinstance(made, IOManager)
    return made


def output(name: str = "result", step: str = "load", run: str = "run-1", branch: str | None = None) -> OutputContext:
    return OutputContext(run_id=run, step_key=step, name=name, mapping_key=branch)


def load(manager: IOManager, of: OutputContext) -> Any:
    return manager.load_input(InputContext(name="x", upstream_output=of))


@pytest.mark.parametrize(
    "value",
    [None, 0, "text", b"", [1, {"a": (2, 3)}], {"x"}, b"long" * 50_000, bytearray(200_000)],
    ids=["None", "int", "str", "no bytes", "nested", "set", "long bytes", "long bytearray"],
)
def test_value_comes_back_as_it_was(manager: IOManager, value: Any) -> None:
    assert manager.handle_output(output(), value) is None
    made = load(manager, output())
    assert made == value
    assert type(made) is type(value)


def test_value_can_be_loaded_by_many_steps(manager: IOManager) -> None:
    manager.handle_output(output(), [1])
    assert [load(manager, output()) for _ in range(3)] == [[1]] * 3


def test_every_output_of_every_step_of_every_run_is_apart(manager: IOManager) -> None:
    outputs = [
        output(),
        output("other"),
        output(step="graph.load"),
        output(step="load[a]"),
        output(run="run-2"),
        output("many", branch="a"),
        output("many", branch="b"),
    ]
    for number, each in enumerate(outputs):
        manager.handle_output(each, number)
    assert [load(manager, each) for each in outputs] == list(range(len(outputs)))


def test_second_attempt_replaces_what_the_first_one_stored(manager: IOManager) -> None:
    manager.handle_output(output(), "first")
    manager.handle_output(output(), "second")
    assert load(manager, output()) == "second"


def test_value_that_was_never_stored_is_an_error(manager: IOManager) -> None:
    manager.handle_output(output(), 1)
    with pytest.raises(Exception, match=r".+"):
        load(manager, output("never"))
