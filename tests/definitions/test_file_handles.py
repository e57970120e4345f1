from __future__ import annotations

import gc
import io
import pickle
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    DagsterInstance,
    DagsterInvariantViolationError,
    FileHandle,
    FileManager,
    LocalFileHandle,
    LocalFileManager,
    ParameterCheckError,
    build_init_resource_context,
    fs_io_manager,
    job,
    local_file_manager,
    op,
)
from treadle.errors import CheckError


@pytest.fixture
def manager(tmp_path: Path) -> LocalFileManager:
    return LocalFileManager(tmp_path / "files")


# -- handles


def test_handle_is_a_small_value() -> None:
    handle = LocalFileHandle("/a/b")
    assert handle.path == handle.path_desc == "/a/b"
    assert handle == LocalFileHandle("/a/b") != LocalFileHandle("/a/c")
    assert pickle.loads(pickle.dumps(handle)) == handle
    assert isinstance(handle, FileHandle)


def test_handle_takes_a_path_as_str() -> None:
    with pytest.raises(ParameterCheckError, match='Param "path" is not a str'):
        LocalFileHandle(3)  # type: ignore[arg-type]


def test_classes_for_other_stores_are_abstract() -> None:
    with pytest.raises(TypeError):
        FileHandle()  # type: ignore[abstract]
    with pytest.raises(TypeError):
        FileManager()  # type: ignore[abstract]


# -- files


def test_bytes_come_back(manager: LocalFileManager) -> None:
    handle = manager.write_data(b"data")
    assert manager.read_data(handle) == b"data"
    with manager.read(handle) as file:
        assert file.read() == b"data"


def test_folder_is_made_when_it_is_needed(manager: LocalFileManager) -> None:
    assert not Path(manager.base_dir).exists()
    handle = manager.write_data(b"data")
    assert Path(handle.path).parent == Path(manager.base_dir)


def test_every_file_has_a_name_of_its_own(manager: LocalFileManager) -> None:
    assert len({manager.write_data(b"same").path for _ in range(5)}) == 5


@pytest.mark.parametrize(("ext", "suffix"), [("csv", ".csv"), (".csv", ".csv"), (None, ""), ("tar.gz", ".gz")])
def test_name_ends_with_the_extension(manager: LocalFileManager, ext: str | None, suffix: str) -> None:
    assert Path(manager.write_data(b"", ext).path).suffix == suffix


def test_open_file_is_kept_from_where_it_stands(manager: LocalFileManager) -> None:
    source = io.BytesIO(b"0123")
    source.read(2)
    assert manager.read_data(manager.write(source)) == b"23"


def test_text_is_utf_8(manager: LocalFileManager) -> None:
    handle = manager.write(io.StringIO("snö"), mode="w", ext="txt")
    assert manager.read_data(handle) == "snö".encode()
    with manager.read(handle, mode="r") as file:
        assert file.read() == "snö"


def test_failed_write_leaves_no_file(manager: LocalFileManager) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        manager.write(io.StringIO("text"))
    assert list(Path(manager.base_dir).iterdir()) == []


def test_wrong_arguments_are_refused(manager: LocalFileManager) -> None:
    handle = manager.write_data(b"data")
    with pytest.raises(CheckError, match="takes an open file, got b'data'"):
        manager.write(b"data")  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match='Param "data" is not a bytes'):
        manager.write_data("data")  # type: ignore[arg-type]
    with pytest.raises(ParameterCheckError, match='Param "file_handle" is not a LocalFileHandle'):
        manager.read_data("data")  # type: ignore[arg-type]
    with pytest.raises(CheckError, match="mode 'rb' is not one of 'wb', 'w'"):
        manager.write(io.BytesIO(b""), mode="rb")
    with pytest.raises(CheckError, match="mode 'wb' is not one of 'rb', 'r'"), manager.read(handle, mode="wb"):
        pass


# -- temporary copies


def test_temporary_copy_is_apart_and_can_be_deleted(manager: LocalFileManager) -> None:
    handle = manager.write_data(b"data", "csv")
    copy = Path(manager.copy_handle_to_local_temp(handle))
    assert copy != Path(handle.path)
    assert copy.suffix == ".csv"
    assert copy.read_bytes() == b"data"
    assert manager.copy_handle_to_local_temp(handle) != str(copy)
    manager.delete_local_temp()
    assert not copy.exists()
    assert Path(handle.path).exists()
    manager.delete_local_temp()
    assert Path(manager.copy_handle_to_local_temp(handle)).read_bytes() == b"data"
    manager.delete_local_temp()


def test_temporary_copies_go_with_the_manager(tmp_path: Path) -> None:
    manager = LocalFileManager(tmp_path)
    copy = Path(manager.copy_handle_to_local_temp(manager.write_data(b"data")))
    del manager
    gc.collect()
    assert not copy.exists()


# -- as a resource


@op(required_resource_keys={"file_manager"})
def write(context: Any) -> LocalFileHandle:
    handle: LocalFileHandle = context.resources.file_manager.write_data(b"data")
    return handle


@op(required_resource_keys={"file_manager"})
def read(context: Any, handle: FileHandle) -> bytes:
    data: bytes = context.resources.file_manager.read_data(handle)
    return data


@job(resource_defs={"file_manager": local_file_manager, "io_manager": fs_io_manager})
def passing() -> None:
    read(write())


def test_ops_hand_files_on_by_their_handles(tmp_path: Path) -> None:
    config = {"resources": {"file_manager": {"config": {"base_dir": str(tmp_path / "kept")}}}}
    with DagsterInstance.ephemeral() as instance:
        result = passing.execute_in_process(config, instance=instance)
        assert result.output_for_node("read") == b"data"
        assert len(list((tmp_path / "kept").iterdir())) == 1


def test_default_folder_is_in_the_storage_of_the_instance() -> None:
    with DagsterInstance.ephemeral() as instance:
        result = passing.execute_in_process(instance=instance)
        handle = result.output_for_node("write")
        assert Path(handle.path).parent == Path(instance.storage_directory(), "file_manager")
        of_run = LocalFileManager.for_instance(instance, "run")
        assert Path(of_run.base_dir) == Path(instance.storage_directory(), "run", "files")


def test_resource_can_be_made_in_a_test(tmp_path: Path) -> None:
    made = local_file_manager(build_init_resource_context(config={"base_dir": str(tmp_path)}))
    assert isinstance(made, LocalFileManager)
    assert made.base_dir == str(tmp_path)


def test_without_folder_and_instance_it_says_what_to_give() -> None:
    from treadle.contexts import InitResourceContext
    from treadle.definitions.resources import ResourceDefinition

    assert isinstance(local_file_manager, ResourceDefinition)
    with pytest.raises(DagsterInvariantViolationError, match="needs a base_dir, or an instance"):
        local_file_manager.resource_fn(InitResourceContext({}))
