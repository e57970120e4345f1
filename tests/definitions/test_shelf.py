"""The place in memory of a run: what goes there, what does not, and how it is cleared out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.definitions.test_artifacts import Block
from treadle.definitions import shelf as shelves
from treadle.definitions.artifacts import read_artifact, write_artifact
from treadle.definitions.shelf import WORTH_MEMORY, NoShelf, Shelf, find_shelves, make_shelf, read_shelf

RUN = "7b0a0f6e-0000-4000-8000-00000000000f"


def block(letter: str = "a", size: int = WORTH_MEMORY) -> Block:
    return Block(bytearray(letter.encode() * size))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "memory").mkdir()
    return Shelf(tmp_path / "memory", tmp_path / "disk", 10 * WORTH_MEMORY)


def store(shelf: Shelf, name: str, value: Any) -> Path:
    path = shelf.belongs / name / "result"
    write_artifact(path, value, shelf=shelf, home=shelf.belongs)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_large_value_goes_into_memory_and_its_path_leads_there(shelf: Shelf) -> None:
    path = store(shelf, "a", block())
    assert path.is_symlink()
    assert path.resolve() == (shelf.folder / "a" / "result").resolve()
    assert bytes(read_artifact(path).data) == b"a" * WORTH_MEMORY
    assert files(shelf.folder) == ["a/result"]
    assert files(shelf.belongs) == ["a/result"]


@pytest.mark.parametrize(
    "value", [1, "x" * WORTH_MEMORY * 2, block(size=WORTH_MEMORY - 1)], ids=["one", "text", "less"]
)
def test_value_without_large_buffers_goes_to_disk(shelf: Shelf, value: Any) -> None:
    assert not store(shelf, "a", value).is_symlink()
    assert files(shelf.folder) == []


def test_value_of_another_run_goes_to_disk(shelf: Shelf, tmp_path: Path) -> None:
    assert not write_artifact(tmp_path / "elsewhere", block(), shelf=shelf)
    assert not (tmp_path / "elsewhere").is_symlink()


def test_what_does_not_fit_goes_to_disk_until_something_is_let_go(shelf: Shelf) -> None:
    small = shelf._replace(bound=WORTH_MEMORY + 1000)
    first = store(small, "a", block())
    assert not store(small, "b", block()).is_symlink()
    small.let_go(first)
    assert store(small, "c", block()).is_symlink()
    assert files(shelf.folder) == ["c/result"]


def test_without_a_bound_half_of_what_is_free_is_taken(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shelf._replace(bound=None)
    room = [5 * WORTH_MEMORY]
    monkeypatch.setattr(shelves, "_free", lambda _folder: room[0])
    assert store(free, "a", block(size=2 * WORTH_MEMORY)).is_symlink()
    room[0] = 3 * WORTH_MEMORY - 1000
    assert not store(free, "b", block()).is_symlink()


def test_memory_that_is_full_after_all_is_no_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.posix_fallocate

    def refuse(descriptor: int, *more: Any) -> None:
        if "/memory/" in os.readlink(f"/proc/self/fd/{descriptor}"):  # noqa: PTH115
            raise OSError(28, "No space left on device")
        real(descriptor, *more)

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    path = store(shelf, "a", block())
    assert not path.is_symlink()
    assert bytes(read_artifact(path).data) == b"a" * WORTH_MEMORY
    assert files(shelf.folder) == []
    assert files(shelf.belongs) == ["a/result"]


def test_value_that_is_handed_on_takes_no_room(shelf: Shelf) -> None:
    small = shelf._replace(bound=WORTH_MEMORY + 10_000)
    value = read_artifact(store(small, "a", block()))
    second = store(small, "b", value)
    assert second.is_symlink() is (sys.platform == "linux")
    if second.is_symlink():
        assert (shelf.folder / "a/result").samefile(shelf.folder / "b/result")
        small.let_go(shelf.belongs / "a/result")
    assert bytes(read_artifact(second).data) == b"a" * WORTH_MEMORY


def test_value_that_was_let_go_says_so(shelf: Shelf) -> None:
    path = store(shelf, "a", block())
    shelf.let_go(path)
    with pytest.raises(FileNotFoundError, match=r"handed over in memory \(artifacts.hand_over\), and let go") as caught:
        read_artifact(path)
    assert caught.value.filename == str(path)


def test_second_attempt_takes_the_place_of_the_first_wherever_either_is(shelf: Shelf) -> None:
    for letter, value in (("a", block("a")), ("b", block("b")), ("c", "small"), ("d", block("d"))):
        path = store(shelf, "step", value)
        loaded = read_artifact(path)
        assert loaded == "small" if letter == "c" else bytes(loaded.data) == bytes(value.data)  # type: ignore[attr-defined]
        assert files(shelf.folder) == ([] if letter == "c" else ["step/result"])
        assert files(shelf.belongs) == ["step/result"]


def test_clearing_out_moves_what_is_left_and_takes_the_rest_away(shelf: Shelf) -> None:
    kept, gone = store(shelf, "kept", block("k")), store(shelf, "gone", block("g"))
    shelf.let_go(gone)
    # as a crash may leave them: half written, or without a link yet, or with a value on disk in its place
    (shelf.folder / "kept" / ".result.1-00ff.part").write_bytes(b"half")
    (shelf.folder / "unlinked").write_bytes(b"whole")
    replaced = store(shelf, "replaced", block("r"))
    replaced.unlink()
    write_artifact(replaced, "on disk")
    assert shelf.clear_out() == []
    assert not shelf.folder.exists()
    assert not kept.is_symlink()
    assert bytes(read_artifact(kept).data) == b"k" * WORTH_MEMORY
    assert read_artifact(replaced) == "on disk"
    assert gone.is_symlink()
    assert files(shelf.belongs) == ["gone/result", "kept/result", "replaced/result"]


def test_values_of_one_file_are_one_file_on_disk(shelf: Shelf) -> None:
    store(shelf, "a", block())
    os.link(shelf.folder / "a/result", shelf.folder / "b")
    (shelf.belongs / "b").symlink_to(shelf.folder / "b")
    assert shelf.clear_out() == []
    assert (shelf.belongs / "a/result").samefile(shelf.belongs / "b")


def test_what_cannot_be_moved_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    first, second = store(shelf, "a", block("a")), store(shelf, "b", block("b"))
    real = shutil.copyfile

    def refuse(source: Path, target: Path) -> None:
        if "/a/" in str(source):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(shutil, "copyfile", refuse)
    (problem,) = shelf.clear_out()
    assert problem.errno == 28
    assert first.is_symlink()
    assert bytes(read_artifact(first).data) == b"a" * WORTH_MEMORY
    assert not second.is_symlink()
    monkeypatch.undo()
    assert shelf.clear_out() == []
    assert files(shelf.belongs) == ["a/result", "b/result"]
    assert not shelf.folder.exists()


# -- where it is ------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the machine's own; said to be a tmpfs."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(shelves, "MEMORY", folder)
    monkeypatch.setattr(shelves, "kind_of", lambda _path, _mounts: "tmpfs")
    return folder


def test_place_is_of_this_user_alone_and_known_when_it_is_settled(memory: Path, tmp_path: Path) -> None:
    made = make_shelf(tmp_path / "storage", RUN, 5)
    assert find_shelves(tmp_path / "storage") == []
    settled = made.settle()
    assert find_shelves(tmp_path / "storage") == [settled._replace(bound=None)]
    assert find_shelves(tmp_path / "other") == []
    assert settled.belongs == tmp_path / "storage" / RUN
    for folder in (settled.folder, settled.folder.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    settled.remove()
    assert list(memory.iterdir()) == []


def test_runs_of_one_id_in_two_homes_are_apart(memory: Path, tmp_path: Path) -> None:
    first, second = (make_shelf(tmp_path / name, RUN, None).settle() for name in "ab")
    assert first.folder != second.folder
    first.remove()
    assert second.folder.is_dir()


def test_place_that_is_there_already_is_not_taken(memory: Path, tmp_path: Path) -> None:
    first = make_shelf(tmp_path / "storage", RUN, None).settle()
    (first.folder / "value").write_bytes(b"")
    with pytest.raises(NoShelf, match="cannot be made: Directory not empty"):
        make_shelf(tmp_path / "storage", RUN, None).settle()
    assert [path.name for path in first.folder.parent.iterdir()] == [first.folder.name]


@pytest.mark.parametrize("what", ["open", "file", "link"])
def test_folder_that_others_may_enter_is_not_used(memory: Path, tmp_path: Path, what: str) -> None:
    user = shelves.of_user()
    if what == "open":
        user.mkdir()
        user.chmod(0o770)
    elif what == "file":
        user.write_text("")
    else:
        (tmp_path / "theirs").mkdir(mode=0o700)
        user.symlink_to(tmp_path / "theirs")
    with pytest.raises(NoShelf, match=r"is not a folder of this user's alone \(mode 0700\)"):
        make_shelf(tmp_path / "storage", RUN, None)


@pytest.mark.parametrize(("kind", "says"), [("ext4", "is no tmpfs here"), (None, "is no tmpfs here")])
def test_machine_without_a_tmpfs_is_told(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, says: str
) -> None:
    monkeypatch.setattr(shelves, "kind_of", lambda _path, _mounts: kind)
    with pytest.raises(NoShelf, match=says):
        make_shelf(tmp_path / "storage", RUN, None)
    memory.rmdir()
    with pytest.raises(NoShelf, match="there is no .*shm here"):
        make_shelf(tmp_path / "storage", RUN, None)


def test_storage_that_takes_no_links_is_told(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_more: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(NoShelf, match="storage takes no symbolic links: Operation not permitted"):
        make_shelf(tmp_path / "storage", RUN, None)
    assert list(memory.iterdir()) == []


def test_folder_of_something_else_is_no_place(memory: Path, tmp_path: Path) -> None:
    user = shelves.of_user()
    user.mkdir()
    (user / shelves.name_of(tmp_path / "storage", RUN)).mkdir()
    assert find_shelves(tmp_path / "storage") == []
    assert read_shelf(user / "not there") is None
