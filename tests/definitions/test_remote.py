"""Values at a URL: the format of files, complete or not there, and what is said where a URL leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from treadle import (
    DagsterInvariantViolationError,
    FilesystemIOManager,
    InitResourceContext,
    Out,
    build_input_context,
    build_output_context,
    custom_path_fs_io_manager,
    fs_io_manager,
    job,
    op,
)
from treadle.definitions import remote

URL = "memory://tests/remote"


@pytest.fixture(autouse=True)
def store() -> Iterator[dict[str, Any]]:
    """What the file system in memory holds: nothing, before and after."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield MemoryFileSystem.store
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files are; none is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def output(name: str = "result") -> Any:
    return build_output_context(run_id="run", step_key="step", name=name)


def keep(manager: Any, value: Any) -> Any:
    context = output()
    manager.handle_output(context, value)
    return context


def load(manager: Any) -> Any:
    return manager.load_input(build_input_context(upstream_output=output()))


def test_large_buffers_come_back_writable_and_the_store_stays_as_it_is(store: dict[str, Any]) -> None:
    numpy = pytest.importorskip("numpy")
    manager = FilesystemIOManager(URL)
    context = keep(manager, numpy.arange(100_000))
    assert list(store) == ["/tests/remote/run/step/result"]
    assert context.get_logged_metadata()["path"].value == f"{URL}/run/step/result"
    loaded = load(manager)
    loaded[0] = 7
    assert load(manager)[:2].tolist() == [0, 1]
    assert loaded[:2].tolist() == [7, 1]


def test_later_value_replaces_an_earlier_one() -> None:
    manager = FilesystemIOManager(URL)
    keep(manager, 1)
    keep(manager, 2)
    assert load(manager) == 2


def test_of_a_value_that_cannot_be_stored_nothing_is_left(
    store: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = FilesystemIOManager(URL)
    keep(manager, 1)
    with pytest.raises(DagsterInvariantViolationError, match="not picklable"):
        keep(manager, lambda: 1)

    def fill(self: Any, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, b"half")
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(MemoryFileSystem, "put_file", fill)
    with pytest.raises(
        OSError, match=r"nothing of it is left: ConnectionError: the line is dead.*memory://tests/remote"
    ):
        keep(manager, 2)
    assert list(store) == ["/tests/remote/run/step/result"]
    assert load(manager) == 1


def test_value_that_is_missing_or_damaged_is_told_with_its_url(store: dict[str, Any]) -> None:
    manager = FilesystemIOManager(URL)
    with pytest.raises(FileNotFoundError, match="There is no stored value; run the step that makes it again") as caught:
        load(manager)
    assert caught.value.filename == f"{URL}/run/step/result"
    MemoryFileSystem().pipe_file("/tests/remote/run/step/result", b"something else")
    with pytest.raises(DagsterInvariantViolationError, match=f"The stored value {URL}/run/step/result cannot be read"):
        load(manager)


class WholeStore(MemoryFileSystem):
    """One that takes objects whole, and has neither folders nor names that can be changed."""

    protocol = "r2"
    taken: list[str] = []

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        self.taken.append(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def mv(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError

    makedirs = mv


def test_object_store_is_given_a_value_in_one_go_under_its_own_name() -> None:
    fsspec.register_implementation("r2", WholeStore, clobber=True)
    manager = FilesystemIOManager("r2://bucket/folder")
    keep(manager, 5)
    assert WholeStore.taken == ["r2://bucket/folder/run/step/result"]
    assert load(manager) == 5
    assert remote.sweep(remote.find("r2://bucket/folder"), ["run"]) == 0


def test_base_dir_may_be_the_url_of_a_local_folder(tmp_path: Path) -> None:
    manager = FilesystemIOManager(f"file://{tmp_path}")
    keep(manager, 5)
    file = tmp_path / "run" / "step" / "result"
    assert file.is_file()
    assert load(manager) == 5
    file.unlink()
    for folder in (file.parent, file.parent.parent):
        folder.rmdir()


def test_outputs_that_name_their_paths_are_kept_below_a_url(store: dict[str, Any]) -> None:
    @op(out=Out(metadata={"path": "a/b"}))
    def three() -> int:
        return 3

    @op(out=Out(metadata={"path": "a/c"}))
    def more(number: int) -> int:
        return number + 1

    @job(resource_defs={"io_manager": custom_path_fs_io_manager.configured({"base_dir": URL})})
    def naming() -> None:
        more(three())

    result = naming.execute_in_process()
    assert result.output_for_node("more") == 4
    assert list(store) == ["/tests/remote/a/b", "/tests/remote/a/c"]
    (told,) = result.asset_materializations_for_node("three")
    assert told.metadata["path"].value == f"{URL}/a/b"


# -- what leads nowhere -------------------------------------------------------------------------------------------------


def start(url: str) -> Any:
    return fs_io_manager(InitResourceContext({"base_dir": url}))


def test_python_without_fsspec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(DagsterInvariantViolationError, match=r"s3://bucket.*pip install 'treadle\[remote\]'"):
        start("s3://bucket")


def test_protocol_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DagsterInvariantViolationError, match=r"s3://bucket.*Install s3fs"):
        start("s3://bucket")


def test_protocol_that_nobody_knows_is_told_without_the_password() -> None:
    with pytest.raises(DagsterInvariantViolationError, match="Protocol not known: nowhere") as caught:
        start("nowhere://ann:secret@host/folder")
    assert "secret" not in str(caught.value)


def test_store_that_does_not_answer_is_told_when_the_run_starts() -> None:
    with pytest.raises(OSError, match=r"it cannot be reached: ConnectionRefusedError.*'ftp://127.0.0.1:9/x'"):
        start("ftp://ann:secret@127.0.0.1:9/x")


def test_what_a_killed_process_left_among_temporary_files_is_deleted_by_the_next(temporary: Path) -> None:
    code = """
import sys, time
from treadle.definitions import remote
with remote._temporary() as path:
    path.write_bytes(b"half")
    print(path.parent, flush=True)
    time.sleep(60)
"""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    folders = []
    children = []
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        children.append(child)
        folders.append(Path(child.stdout.readline().strip()))
        os.utime(folders[-1], (1, 1))  # it is old enough to be looked at
    dead, living = children
    dead.kill()
    dead.wait()
    remote._sweep_temporary.cache_clear()
    with remote._temporary() as path:
        assert [folder.exists() for folder in (*folders, path.parent)] == [False, True, True]
    living.kill()
    living.wait()
    for child in children:
        assert child.stdout is not None
        child.stdout.close()
    remote._sweep_temporary.cache_clear()
    with remote._temporary():
        assert not folders[1].exists()
