"""The artifact format: what is in a file, what is not found out of it, and what is left over."""

from __future__ import annotations

import errno
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from treadle.definitions import mapped
from treadle.definitions.artifacts import (
    ALIGNMENT,
    OUT_OF_BAND_SIZE,
    collect_artifacts,
    read_artifact,
    sweep,
    verify_artifact,
    write_artifact,
)
from treadle.errors import DagsterInvariantViolationError
from treadle.runs import make_run_id


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
    with pytest.raises(OSError, match="nothing of it is left. Make room there") as caught:
        write_artifact(tmp_path / "value", value)
    assert list(tmp_path.iterdir()) == []
    assert caught.value.filename == str(tmp_path / "value")
    assert caught.value.errno == errno.ENOSPC


def test_file_that_grows_too_large_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import resource, signal, sys
from pathlib import Path
from treadle.definitions.artifacts import write_artifact
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_artifact(Path({str(tmp_path / "value")!r}), ["x" * 1000] * 100 + [str(n) for n in range(50_000)])
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large: the value was not stored, and nothing of it is left. Make room there" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_damaged_buffer_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "value"
    write_artifact(path, Block(bytearray(b"a" * OUT_OF_BAND_SIZE)))
    contents = bytearray(path.read_bytes())
    contents[contents.index(b"aaaa") + 50] ^= 1
    path.write_bytes(contents)
    with pytest.raises(DagsterInvariantViolationError, match="checksum of a buffer is wrong"):
        read_artifact(path)


def test_buffer_too_large_to_be_read_through_each_time_is_found_when_all_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value"
    write_artifact(path, Block(bytearray(b"a" * OUT_OF_BAND_SIZE)))
    verify_artifact(path)
    contents = bytearray(path.read_bytes())
    contents[contents.index(b"aaaa") + 50] ^= 1
    path.write_bytes(contents)
    with pytest.raises(DagsterInvariantViolationError, match="checksum of a buffer is wrong"):
        verify_artifact(path)


def test_folders_are_made_with_the_value_and_synced_where_it_is_to_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    write_artifact(tmp_path / "a" / "b" / "value", 1, is_durable=True)
    assert len(synced) == 4  # the two folders' names, the file, its name


def test_writers_that_are_killed_leave_complete_values_or_none(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from treadle.definitions.artifacts import write_artifact
folder = Path(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    write_artifact(folder / f"value-{number % 3}", [number, "x" * 300_000, bytearray(b"y" * 200_000)])
    number += 1
"""
    generator = random.Random(7)
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(generator.uniform(0.0, 0.03))
        child.kill()
        child.wait()
        child.stdout.close()
        for path in tmp_path.glob("value-*"):
            number, text, data = read_artifact(path)
            assert (len(text), len(data)) == (300_000, 200_000)
            assert path.name == f"value-{number % 3}"
    sweep(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_sweep_leaves_what_living_processes_write(tmp_path: Path) -> None:
    mine = tmp_path / f".value.{os.getpid()}-00ff.part"
    parent = tmp_path / "inner" / f".value.{os.getppid()}-00ff.part"
    other = tmp_path / ".something.part"
    parent.parent.mkdir()
    for path in (mine, parent, other):
        path.write_bytes(b"")
    assert sweep(tmp_path) == 0
    assert all(path.exists() for path in (mine, parent, other))


def test_sweep_takes_what_a_process_began_that_is_dead_and_was_not_waited_for(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read() == b""  # it has ended, or is about to
    time.sleep(0.1)
    part = tmp_path / f".value.{child.pid}-00ff.part"
    part.write_bytes(b"")
    assert sweep(tmp_path) == 1
    child.wait()
    child.stdout.close()


def test_sweep_of_a_folder_that_is_deserted_takes_all(tmp_path: Path) -> None:
    (tmp_path / f".value.{os.getppid()}-00ff.part").write_bytes(b"")
    assert sweep(tmp_path, is_deserted=True) == 1


def test_collect_deletes_the_values_of_runs_that_are_gone_and_nothing_else(tmp_path: Path) -> None:
    kept, gone = make_run_id(), make_run_id()
    for name in (kept, gone, "files", "not-a-run"):
        write_artifact(tmp_path / name / "step" / "result", name)
    (tmp_path / make_run_id()).symlink_to(tmp_path / "files")
    freed = collect_artifacts(tmp_path, lambda: {kept})
    assert freed > 0
    assert not (tmp_path / gone).exists()
    assert read_artifact(tmp_path / kept / "step" / "result") == kept
    assert read_artifact(tmp_path / "files" / "step" / "result") == "files"
    assert collect_artifacts(tmp_path / "nowhere", set) == 0


# -- values that are in a file already --------------------------------------------------------------------------------

#: bytes of the buffers here: enough to be worth a link
MUCH = 3 << 20
#: only there the kernel tells which file a buffer comes from
IS_TOLD = sys.platform == "linux"


def are_one(first: Path, second: Path) -> bool:
    return first.samefile(second)


def stored(folder: Path, *, is_read_only: bool = False) -> Any:
    """A value that was stored below a folder, as a step loads it."""
    data = os.urandom(MUCH)
    write_artifact(folder / "run" / "first", {"a": Block(data if is_read_only else bytearray(data)), "n": 5})
    return read_artifact(folder / "run" / "first")


@pytest.mark.parametrize("is_read_only", [False, True])
@pytest.mark.parametrize("is_looked_at", [False, True])
def test_value_that_is_in_a_file_already_gets_another_name(
    tmp_path: Path, is_read_only: bool, is_looked_at: bool
) -> None:
    value = stored(tmp_path, is_read_only=is_read_only)
    if is_looked_at:
        assert sum(memoryview(value["a"].data)[::512]) > 0
    write_artifact(tmp_path / "run" / "second", value, home=tmp_path)
    assert are_one(tmp_path / "run" / "first", tmp_path / "run" / "second") is IS_TOLD
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["first", "second"]
    again = read_artifact(tmp_path / "run" / "second")
    assert bytes(again["a"].data) == bytes(value["a"].data)
    assert memoryview(again["a"].data).readonly is is_read_only
    assert again["n"] == 5


@pytest.mark.parametrize("where", [0, MUCH // 2, MUCH - 1])
def test_value_that_was_changed_is_written(tmp_path: Path, where: int) -> None:
    value = stored(tmp_path)
    before = bytes(value["a"].data)
    view = memoryview(value["a"].data)
    view[where] ^= 1
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert bytes(read_artifact(tmp_path / "run" / "first")["a"].data) == before
    assert bytes(read_artifact(tmp_path / "second")["a"].data) == bytes(view) != before


def test_value_that_was_changed_and_changed_back_is_as_in_the_file(tmp_path: Path) -> None:
    value = stored(tmp_path)
    memoryview(value["a"].data)[70_000] ^= 1
    memoryview(value["a"].data)[70_000] ^= 1
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert are_one(tmp_path / "run" / "first", tmp_path / "second") is IS_TOLD


def test_where_the_kernel_does_not_tell_of_pages_they_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = stored(tmp_path)
    monkeypatch.setattr(mapped, "_PAGES", str(tmp_path / "not there"))
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert are_one(tmp_path / "run" / "first", tmp_path / "second") is IS_TOLD
    memoryview(value["a"].data)[MUCH - 1] ^= 1
    write_artifact(tmp_path / "third", value, home=tmp_path)
    assert not are_one(tmp_path / "run" / "first", tmp_path / "third")
    assert bytes(read_artifact(tmp_path / "third")["a"].data) == bytes(value["a"].data)


OTHER_VALUES = {
    "another pickle": lambda value: {**value, "n": 6},
    "a part of a buffer": lambda value: {**value, "a": Block(memoryview(value["a"].data)[:-64])},
    "moved": lambda value: {**value, "a": Block(memoryview(value["a"].data)[64:])},
    "read-only now": lambda value: {**value, "a": Block(memoryview(value["a"].data).toreadonly())},
    "one buffer more": lambda value: {**value, "b": Block(bytearray(os.urandom(MUCH)))},
    "the buffer twice": lambda value: {**value, "b": Block(memoryview(value["a"].data))},
    "a copy": lambda value: {**value, "a": Block(bytearray(value["a"].data))},
}


@pytest.mark.parametrize("change", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_value_that_is_not_all_of_a_file_is_written(tmp_path: Path, change: Any) -> None:
    changed = change(stored(tmp_path))
    write_artifact(tmp_path / "second", changed, home=tmp_path)
    assert not are_one(tmp_path / "run" / "first", tmp_path / "second")
    again = read_artifact(tmp_path / "second")
    assert again.keys() == changed.keys()
    assert again["n"] == changed["n"]
    for key in again.keys() - {"n"}:
        assert bytes(again[key].data) == bytes(changed[key].data)
    verify_artifact(tmp_path / "second")


def test_values_of_two_files_are_written(tmp_path: Path) -> None:
    values = [stored(tmp_path / name) for name in "ab"]
    write_artifact(tmp_path / "both", values, home=tmp_path)
    assert [bytes(value["a"].data) for value in read_artifact(tmp_path / "both")] == [
        bytes(value["a"].data) for value in values
    ]


@pytest.mark.parametrize("what", ["removed", "replaced", "elsewhere", "no home"])
def test_file_that_is_not_there_any_more_or_elsewhere_is_not_linked(tmp_path: Path, what: str) -> None:
    value = stored(tmp_path / "here")
    first = tmp_path / "here" / "run" / "first"
    if what == "removed":
        first.unlink()
    elif what == "replaced":
        write_artifact(first, "another attempt")
    home = {"elsewhere": tmp_path / "there", "no home": None}.get(what, tmp_path)
    write_artifact(tmp_path / "there" / "second", value, home=home)
    assert (tmp_path / "there" / "second").stat().st_nlink == 1
    assert bytes(read_artifact(tmp_path / "there" / "second")["a"].data) == bytes(value["a"].data)


def test_file_of_somebody_else_is_not_taken_for_a_stored_value(tmp_path: Path) -> None:
    import mmap

    foreign = tmp_path / "foreign"
    foreign.write_bytes(os.urandom(MUCH))
    with foreign.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    write_artifact(tmp_path / "second", Block(view), home=tmp_path)
    assert not are_one(foreign, tmp_path / "second")
    assert bytes(read_artifact(tmp_path / "second").data) == foreign.read_bytes()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_there_are_no_links_the_value_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*args: Any, **more: Any) -> None:
        raise OSError(number, "no")

    value = stored(tmp_path)
    monkeypatch.setattr(os, "link", refuse)
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert not are_one(tmp_path / "run" / "first", tmp_path / "second")
    assert bytes(read_artifact(tmp_path / "second")["a"].data) == bytes(value["a"].data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "second"]


def test_file_that_is_replaced_at_the_last_moment_is_not_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, real = stored(tmp_path), os.link

    def link(source: Any, target: Any) -> None:
        write_artifact(tmp_path / "run" / "first", "another attempt")
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert bytes(read_artifact(tmp_path / "second")["a"].data) == bytes(value["a"].data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "second"]


def test_second_attempt_at_a_link_leaves_one_name(tmp_path: Path) -> None:
    value = stored(tmp_path)
    for _ in range(2):
        write_artifact(tmp_path / "second", value, home=tmp_path)
    write_artifact(tmp_path / "run" / "first", value, home=tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["first", "run", "second"]
    assert (tmp_path / "second").stat().st_nlink == (2 if IS_TOLD else 1)


def test_link_takes_the_place_of_what_an_earlier_attempt_stored(tmp_path: Path) -> None:
    value = stored(tmp_path)
    write_artifact(tmp_path / "second", "earlier")
    write_artifact(tmp_path / "second", value, home=tmp_path)
    assert bytes(read_artifact(tmp_path / "second")["a"].data) == bytes(value["a"].data)


@pytest.mark.parametrize("doomed", ["first", "second"])
def test_each_name_of_a_file_outlives_the_other(tmp_path: Path, doomed: str) -> None:
    value = stored(tmp_path)
    expected = bytes(value["a"].data)
    paths = {"first": tmp_path / "run" / "first", "second": tmp_path / "second"}
    write_artifact(paths["second"], value, home=tmp_path)
    if doomed == "first":
        write_artifact(paths.pop(doomed), "replaced")
    else:
        paths.pop(doomed).unlink()
    (left,) = paths.values()
    verify_artifact(left)
    assert bytes(read_artifact(left)["a"].data) == expected


def test_damage_that_nobody_has_found_is_found_in_every_name(tmp_path: Path) -> None:
    value = stored(tmp_path)
    first = tmp_path / "run" / "first"
    with first.open("r+b") as file:  # as a disk would do it
        file.seek(1 << 20)
        byte = file.read(1)[0]
        file.seek(1 << 20)
        file.write(bytes([byte ^ 1]))
    write_artifact(tmp_path / "second", value, home=tmp_path)
    if IS_TOLD:
        with pytest.raises(DagsterInvariantViolationError, match="checksum of a buffer is wrong"):
            verify_artifact(tmp_path / "second")


def test_linked_value_lasts_where_it_is_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = stored(tmp_path)
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_artifact(tmp_path / "second", value, home=tmp_path, is_durable=True)
    assert synced == [(path.stat().st_dev, path.stat().st_ino) for path in (tmp_path / "second", tmp_path)]


def test_collect_counts_what_is_freed_and_not_what_has_another_name(tmp_path: Path) -> None:
    kept, gone = make_run_id(), make_run_id()
    write_artifact(tmp_path / gone / "first", Block(bytearray(os.urandom(MUCH))))
    value = read_artifact(tmp_path / gone / "first")
    write_artifact(tmp_path / kept / "second", value, home=tmp_path)
    write_artifact(tmp_path / gone / "small", "small")
    freed = collect_artifacts(tmp_path, lambda: {kept})
    assert (freed < 1000) is IS_TOLD
    assert bytes(read_artifact(tmp_path / kept / "second").data) == bytes(value.data)
    assert collect_artifacts(tmp_path, set) > MUCH


def test_writers_that_are_killed_while_they_link_harm_no_name(tmp_path: Path) -> None:
    expected = bytes(stored(tmp_path)["a"].data)
    code = """
import sys
from pathlib import Path
from treadle.definitions.artifacts import read_artifact, write_artifact
folder = Path(sys.argv[1])
value = read_artifact(folder / "run" / "first")
print("ready", flush=True)
number = 0
while True:
    path = folder / f"value-{number % 3}"
    write_artifact(path, "small" if number % 5 == 0 else value, home=folder)
    number += 1
"""
    generator = random.Random(8)
    for _ in range(8):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        child = subprocess.Popen(
            [sys.executable, "-c", code.replace("import sys", "import sys, test_artifacts", 1), str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(generator.uniform(0.0, 0.03))
        child.kill()
        child.wait()
        child.stdout.close()
        for path in tmp_path.glob("value-*"):
            value = read_artifact(path)
            assert value == "small" or bytes(value["a"].data) == expected
    sweep(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    verify_artifact(tmp_path / "run" / "first")


def test_arrays_and_tables_that_ops_hand_on_are_not_written_again(tmp_path: Path) -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    values = {
        "array": numpy.arange(500_000.0),
        "fortran": numpy.asfortranarray(numpy.arange(500_000.0).reshape(500, 1000)),
        "table": pandas.DataFrame({"n": range(300_000), "x": numpy.arange(300_000.0)}),
    }
    for name, value in values.items():
        write_artifact(tmp_path / name, value)
        write_artifact(tmp_path / f"{name}-2", read_artifact(tmp_path / name), home=tmp_path)
        assert are_one(tmp_path / name, tmp_path / f"{name}-2") is IS_TOLD, name
    write_artifact(tmp_path / "more", read_artifact(tmp_path / "array") + 1, home=tmp_path)
    assert (tmp_path / "more").stat().st_nlink == 1
