"""A place in memory for values that later steps of a run need: a folder on a tmpfs, of one user and one run.

The artifact format writes there what fits, and leaves a symbolic link under the value's own path, which is all that
readers know of it. Who keeps the place, lets values go and moves what is left to disk is executors/custodian.py.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from treadle.storage.networks import kind_of, read_mounts

#: where Linux has its memory for all programs
MEMORY = Path("/dev/shm")
#: bytes of buffers from which a value goes there
WORTH_MEMORY = 1 << 20
#: in each run's folder, a link to the folder on disk where its values belong
_BELONGS = ".belongs"
_MEMINFO = "/proc/meminfo"


class NoShelf(Exception):
    """There is no such place on this machine; the message says why."""


class Shelf(NamedTuple):
    """The place of one run."""

    #: in memory
    folder: Path
    #: where values belong: the run's folder on disk, by its real path
    belongs: Path
    #: bytes that may be there at once; None for half of what is free
    bound: int | None = None

    def settle(self) -> Shelf:
        """The place under its own name, now that a lock tells that it is in use."""
        settled = self._replace(folder=of_user() / name_of(self.belongs.parent, self.belongs.name))
        try:
            self.folder.rename(settled.folder)
        except OSError as error:
            self.remove()
            raise NoShelf(f"{settled.folder} cannot be made: {error.strerror}") from error
        return settled

    def place_of(self, path: Path) -> Path | None:
        """Where a value is in memory whose own path this is; None for one that does not belong to the run."""
        path = Path(os.path.realpath(path.parent), path.name)  # it may be a link itself, which leads to memory
        return self.folder / path.relative_to(self.belongs) if path.is_relative_to(self.belongs) else None

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more fit. Of steps that ask at the same instant each may be told so."""
        used = sum(_sizes(self.folder))
        if self.bound is not None:
            return used + size <= self.bound
        return used + size <= (_free(self.folder) + used) // 2

    def let_go(self, path: Path) -> None:
        """Delete a value, by its own path, from memory. The link stays, and tells readers what became of it."""
        place = self.place_of(path)
        if place is not None:
            place.unlink(missing_ok=True)

    def clear_out(self) -> list[OSError]:
        """Move all values to where they belong, and take the folder away; gives why some could not be moved, which stay."""
        problems = []
        moved: dict[int, Path] = {}
        for place in sorted(self.folder.rglob("*")):
            if place.is_symlink() or not place.is_file():
                continue
            try:
                self._move(place, moved)
            except OSError as error:
                problems.append(error)
        if not problems:
            self.remove()
        return problems

    def remove(self) -> None:
        """Take the folder away with all that is in it, and the user's folder with the last one."""
        from shutil import rmtree

        rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _move(self, place: Path, moved: dict[int, Path]) -> None:
        path = self.belongs / place.relative_to(self.folder)
        if not path.is_symlink() or path.readlink() != place:
            place.unlink(missing_ok=True)  # half written, or of an attempt that was followed by another
            return
        aside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
        try:
            number = place.stat().st_ino
            if number not in moved or not _link(moved[number], aside):
                from shutil import copyfile

                copyfile(place, aside)
            aside.replace(path)
        except FileNotFoundError:
            if place.exists():
                raise
            return  # somebody else has moved it
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        moved[number] = path
        place.unlink(missing_ok=True)


def _link(path: Path, aside: Path) -> bool:
    try:
        os.link(path, aside)
    except OSError:
        return False
    return True


def _sizes(folder: Path) -> Iterator[int]:
    seen: set[int] = set()
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # let go of meanwhile
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_ino not in seen:
                seen.add(status.st_ino)
                yield status.st_size


def _free(folder: Path) -> int:
    """Bytes that are free there: of the tmpfs, and of the machine's memory, which it takes its own from."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    with contextlib.suppress(OSError, ValueError, StopIteration):
        with open(_MEMINFO, encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel's
            available = next(line for line in file if line.startswith("MemAvailable:"))
        free = min(free, int(available.split()[1]) * 1024)
    return free


def name_of(storage: Path, run_id: str) -> str:
    """The name of a run's folder: ids are of one home, and there may be several."""
    return f"{run_id}.{zlib.crc32(os.fsencode(os.path.realpath(storage))):08x}"


def of_user() -> Path:
    """The folder of this user in memory; it may not be there."""
    return MEMORY / f"treadle-{os.getuid()}" if hasattr(os, "getuid") else MEMORY / "treadle"


def make_shelf(storage: Path, run_id: str, bound: int | None) -> Shelf:
    """Make the place of a run whose values belong below a storage folder, under a name that nobody looks for as long as it is
    not told by `Shelf.settle`. NoShelf where that cannot be.
    """
    kind = kind_of(str(MEMORY), read_mounts())
    if kind != "tmpfs":
        raise NoShelf(f"{MEMORY} is no tmpfs here" if MEMORY.is_dir() else f"there is no {MEMORY} here")
    storage = Path(os.path.realpath(storage))
    try:
        storage.mkdir(parents=True, exist_ok=True)
        probe = storage / f".{run_id}.link"
        probe.symlink_to(MEMORY)
        probe.unlink()
    except OSError as error:
        raise NoShelf(f"{storage} takes no symbolic links: {error.strerror}") from error
    user, belongs = of_user(), storage / run_id
    folder = user / f"{name_of(storage, run_id)}.{os.getpid()}.new"
    for is_last in (False, False, True):
        try:
            with contextlib.suppress(FileExistsError):
                user.mkdir(mode=0o700)
            status = user.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
                raise NoShelf(f"{user} is not a folder of this user's alone (mode 0700)")
            folder.mkdir(mode=0o700)
            (folder / _BELONGS).symlink_to(belongs)
            break
        except FileNotFoundError as error:  # a run that has ended took the user's folder away with its own
            if is_last:
                raise NoShelf(f"{error.filename} cannot be made: {error.strerror}") from error
        except OSError as error:
            raise NoShelf(f"{error.filename} cannot be made: {error.strerror}") from error
    return Shelf(folder, belongs, bound)


def find_shelves(storage: Path) -> list[Shelf]:
    """The places of all runs whose values belong below a storage folder."""
    try:
        names = [each.name for each in of_user().iterdir()]
    except OSError:
        return []
    wanted = name_of(storage, "")
    return [each for name in names if name.endswith(wanted) and (each := read_shelf(of_user() / name)) is not None]


def read_shelf(folder: Path) -> Shelf | None:
    """The place of a run that is in this folder; None where there is none of this user's."""
    try:
        if folder.lstat().st_uid != os.getuid():
            return None
        return Shelf(folder, (folder / _BELONGS).readlink())
    except OSError:
        return None
