"""IO managers as definitions, and what the two built-in ones do with values."""

from __future__ import annotations

import errno
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from treadle.config.schema import EnvVar
from treadle.contexts import InitResourceContext
from treadle.definitions.io_managers import (
    ALIGNMENT,
    OUT_OF_BAND_SIZE,
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
    read_artifact,
    write_artifact,
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
    def storage_directory(self) -> str:
        return "/the/storage"


def test_folder_is_that_of_the_instance_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    context = InitResourceContext(instance=Instance())
    assert FilesystemIOManager().create_io_manager(context).base_dir == "/the/storage"
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


@pytest.mark.parametrize("value", [lambda: 1, threading.Lock()])
def test_object_that_cannot_be_pickled_is_refused_and_leaves_nothing(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="is not picklable.*mem_io_manager") as caught:
        write_artifact(tmp_path / "value", value)
    assert isinstance(caught.value.__cause__, (TypeError, AttributeError, pickle.PicklingError))
    assert list(tmp_path.iterdir()) == []


def test_what_an_object_raises_while_it_is_pickled_is_its_own(tmp_path: Path) -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise ValueError("no pickling me")

    with pytest.raises(ValueError, match="no pickling me"):
        write_artifact(tmp_path / "value", Stubborn())
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, "first")
    with pytest.raises(DagsterInvariantViolationError):
        write_artifact(path, [1, threading.Lock()])
    assert read_artifact(path) == "first"
    assert list(tmp_path.iterdir()) == [path]


# -- the artifact format ------------------------------------------------------------------------------------------------


class Block:
    """Bytes that offer themselves out of band, as arrays do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.data),)


def test_small_value_is_a_plain_pickle_with_a_trailer(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, {"a": [1, 2]})
    with path.open("rb") as file:
        assert pickle.load(file) == {"a": [1, 2]}
        assert len(file.read()) == 36
    assert path.read_bytes().endswith(b"TRDLVAL\n")


def test_large_buffers_stand_aligned_outside_the_pickle(tmp_path: Path) -> None:
    path = tmp_path / "value"
    small, large = Block(bytearray(b"s" * 10)), Block(bytearray(b"L" * OUT_OF_BAND_SIZE))
    write_artifact(path, [small, large, Block(bytearray(b"M" * (OUT_OF_BAND_SIZE + 1)))])
    contents = path.read_bytes()
    assert contents.index(b"L" * 100) % ALIGNMENT == 0
    assert contents.index(b"M" * 100) % ALIGNMENT == 0
    made = read_artifact(path)
    assert [bytes(block.data) for block in made] == [
        b"s" * 10,
        b"L" * OUT_OF_BAND_SIZE,
        b"M" * (OUT_OF_BAND_SIZE + 1),
    ]


def test_mapped_buffer_can_be_written_without_changing_the_file(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, Block(bytearray(b"a" * OUT_OF_BAND_SIZE)))
    view = memoryview(read_artifact(path).data)
    view[0] = ord("z")
    assert bytes(view[:2]) == b"za"
    assert bytes(memoryview(read_artifact(path).data)[:2]) == b"aa"


def test_read_only_buffer_stays_read_only(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, Block(b"a" * OUT_OF_BAND_SIZE))
    assert memoryview(read_artifact(path).data).readonly


def test_buffers_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, Block(bytearray(b"a" * OUT_OF_BAND_SIZE)))
    block = read_artifact(path)
    write_artifact(path, "replaced")
    path.unlink()
    assert bytes(block.data) == b"a" * OUT_OF_BAND_SIZE


def test_arrays_are_mapped_not_copied(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000.0).reshape(100, 1000)
    write_artifact(tmp_path / "value", {"c": array, "f": numpy.asfortranarray(array), "small": array[0, :5]})
    made = read_artifact(tmp_path / "value")
    for key, expected in (("c", array), ("f", array), ("small", array[0, :5])):
        assert numpy.array_equal(made[key], expected)
        assert made[key].flags.writeable
    assert made["f"].flags.f_contiguous
    assert not made["c"].flags.owndata
    made["c"][0, 0] = -1
    assert read_artifact(tmp_path / "value")["c"][0, 0] == 0


def test_tables_come_back(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"n": range(50_000), "s": ["a"] * 50_000})
    write_artifact(tmp_path / "value", table)
    assert read_artifact(tmp_path / "value").equals(table)


def test_large_value_without_buffers_comes_back(tmp_path: Path) -> None:
    value = [str(number) for number in range(50_000)]
    write_artifact(tmp_path / "value", value)
    assert (tmp_path / "value").stat().st_size > OUT_OF_BAND_SIZE
    assert read_artifact(tmp_path / "value") == value


def damaged(path: Path, change: Any) -> Path:
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path


@pytest.mark.parametrize("value", [{"a": [1, 2]}, Block(bytearray(b"a" * OUT_OF_BAND_SIZE))], ids=["small", "large"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[:-1], "cut off"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: b"", "cut off"),
        (lambda data: data[1:], "bytes where"),
        (lambda data: data[:3] + bytes([data[3] ^ 1]) + data[4:], "checksum"),
        (lambda data: data[:-14] + bytes([data[-14] ^ 8]) + data[-13:], "version"),
        (lambda data: data[:-18] + b"\xff\xff" + data[-16:], "bytes where"),
    ],
    ids=["last byte", "half", "all", "first byte", "a bit of the pickle", "version", "number of buffers"],
)
def test_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, value: Any, change: Any, why: str) -> None:
    path = tmp_path / "value"
    write_artifact(path, value)
    with pytest.raises(
        DagsterInvariantViolationError, match=rf"{path} cannot be read: .*{why}.*Delete the file and run"
    ):
        read_artifact(damaged(path, change))


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(pickle.dumps(list(range(100))))
    with pytest.raises(DagsterInvariantViolationError, match="something else than a treadle run wrote it"):
        read_artifact(path)


def test_missing_file_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the step that makes it again.*value"):
        read_artifact(tmp_path / "value")


def missing_elsewhere() -> Any:
    return Path("/no/such/file").read_text()


class Reader:
    def __reduce__(self) -> Any:
        return missing_elsewhere, ()


def test_missing_file_of_the_value_itself_is_not_mistaken(tmp_path: Path) -> None:
    write_artifact(tmp_path / "value", Reader())
    with pytest.raises(FileNotFoundError, match="/no/such/file"):
        read_artifact(tmp_path / "value")


def test_durable_write_syncs_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    write_artifact(tmp_path / "plain", 1)
    assert synced == []
    write_artifact(tmp_path / "durable", 1, is_durable=True)
    assert len(synced) == 2


@pytest.mark.parametrize("missing", ["posix_fallocate", "O_DIRECTORY"])
def test_system_without_a_feature_stores_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delattr(os, missing, raising=False)
    write_artifact(tmp_path / "value", Block(bytearray(b"a" * OUT_OF_BAND_SIZE)), is_durable=True)
    assert len(read_artifact(tmp_path / "value").data) == OUT_OF_BAND_SIZE


@pytest.mark.parametrize(("number", "is_told"), [(errno.EOPNOTSUPP, False), (errno.ENOSPC, True)])
def test_full_disk_is_told_and_a_plain_file_system_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    value = Block(bytearray(b"a" * OUT_OF_BAND_SIZE))
    if not is_told:
        write_artifact(tmp_path / "value", value)
        return
    with pytest.raises(OSError, match="no"):
        write_artifact(tmp_path / "value", value)
    assert list(tmp_path.iterdir()) == []
