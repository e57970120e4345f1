"""What every IO manager promises to a run (treadle.testing.io_managers), asked of each one that Treadle has.

`custom_path_fs_io_manager` is left out: its outputs name their own paths, so that outputs of one path share a value.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from treadle.definitions.configurable import ConfigurableIOManager
from treadle.definitions.io_managers import FilesystemIOManager, InMemoryIOManager, fs_io_manager, mem_io_manager
from treadle.definitions.paths import UPathIOManager
from treadle.definitions.shelf import Shelf
from treadle.io_contexts import InputContext, OutputContext
from treadle.testing.io_managers import IOManagerContract


class TestInMemory(IOManagerContract):
    is_lasting = False

    def make_io_manager(self, folder: Path) -> Any:
        return InMemoryIOManager()


class TestInMemoryByDefinition(IOManagerContract):
    is_lasting = False

    def make_io_manager(self, folder: Path) -> Any:
        return mem_io_manager


class TestFiles(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return FilesystemIOManager(base_dir=str(folder))


class TestFilesAtARemoteStore(IOManagerContract):
    """In memory here; over a socket in tests/journeys/test_remote.py."""

    def make_io_manager(self, folder: Path) -> Any:
        return FilesystemIOManager(f"memory:/{folder}")


class Block:
    """Bytes that offer themselves out of band, as arrays do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and bytes(self.data) == bytes(other.data)

    __hash__ = None  # type: ignore[assignment]


class ShelvingIOManager(FilesystemIOManager):
    """One whose runs each have a place in memory, as the engine gives it."""

    bound: int = 1 << 30

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        folder = Path(str(self.base_dir))
        shelf = Shelf(folder / "memory" / context.run_id, folder / "disk" / context.run_id, self.bound)
        context._given["shelf"] = shelf
        inner = FilesystemIOManager(str(folder / "disk"))
        inner.handle_output(context, obj)

    def load_input(self, context: InputContext) -> Any:
        return FilesystemIOManager(str(Path(str(self.base_dir)) / "disk")).load_input(context)


class TestFilesInMemory(IOManagerContract):
    values = (None, "small", Block(b"a" * (1 << 20)), [Block(bytearray(3 << 20)), Block(b"b" * 70_000)])

    def make_io_manager(self, folder: Path) -> Any:
        return ShelvingIOManager(base_dir=str(folder))


class TestFilesOfWhichSomeFitIntoMemory(TestFilesInMemory):
    def make_io_manager(self, folder: Path) -> Any:
        made = ShelvingIOManager(base_dir=str(folder))
        made.bound = 2 << 20
        return made


class TestFilesThatSurviveALossOfPower(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return FilesystemIOManager(folder, is_durable=True)


class TestFilesByDefinition(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return fs_io_manager.configured({"base_dir": str(folder)})


class PickleIOManager(UPathIOManager):
    extension = ".pickle"

    def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
        path.write_bytes(pickle.dumps(obj))

    def load_from_path(self, context: InputContext, path: Any) -> Any:
        return pickle.loads(path.read_bytes())


class TestLocalPath(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return PickleIOManager(folder)


class TestLocalPathWrittenInPlace(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        manager = PickleIOManager(folder)
        manager.writes_aside = False  # type: ignore[misc]
        return manager


class TestUniversalPath(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return PickleIOManager(pytest.importorskip("upath").UPath(folder))


class TestRemotePath(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        pytest.importorskip("upath")
        return PickleIOManager(f"memory://{folder}")


class FolderIOManager(UPathIOManager):
    """Writes a folder for each value."""

    def dump_to_path(self, context: OutputContext, obj: Any, path: Any) -> None:
        path.mkdir()
        (path / "kind").write_text(type(obj).__name__)
        (path / "data.json").write_text(json.dumps(obj))

    async def load_from_path(self, context: InputContext, path: Any) -> Any:
        return json.loads((path / "data.json").read_text())


class TestFolders(IOManagerContract):
    values = ("a", "b", 1, [2])

    def make_io_manager(self, folder: Path) -> Any:
        return FolderIOManager(folder)


class ShelfIOManager(ConfigurableIOManager):
    """One as users write them."""

    folder: str

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        SHELF[(self.folder, *context.get_identifier())] = obj

    def load_input(self, context: InputContext) -> Any:
        return SHELF[(self.folder, *context.get_identifier())]


SHELF: dict[tuple[str, ...], Any] = {}


class TestClassOfAUser(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return ShelfIOManager(folder=str(folder))


class ConfigurablePathIOManager(ConfigurableIOManager, PickleIOManager):
    """A user's, of both kinds."""

    folder: str

    @property
    def _base_path(self) -> Any:  # type: ignore[override]
        return Path(self.folder)


class TestPathsOfAConfigurableClass(IOManagerContract):
    def make_io_manager(self, folder: Path) -> Any:
        return ConfigurablePathIOManager(folder=str(folder))
