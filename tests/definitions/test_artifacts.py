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
