"""Where buffers of this process are mapped from, as the kernel tells: which file, and whether they are still as in that file.

The artifact format asks here, so as not to write again what is in a file already. It works on Linux; elsewhere nothing is
known of any buffer. Nothing is kept here: the kernel's own books are read each time.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_MAPS = "/proc/self/maps"
_PAGES = "/proc/self/pagemap"
#: `start-end permissions offset device inode path`, numbers but the inode in hexadecimal
_LINE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ ([0-9]+) +(/.*)")
#: what the kernel adds to the name of a file that is no longer there
_GONE = b" (deleted)"
#: bytes that the kernel tells of each page. Of the last one: the page is in memory, in swap, and as in the file
_PAGE_FACTS = 8
_PRESENT, _SWAPPED, _OF_FILE = 0x80, 0x40, 0x20
_CHUNK = 1 << 18


class Mapped(NamedTuple):
    """Where a buffer is mapped from: the file, its number in its file system, and at which byte of it the buffer begins."""

    path: Path
    inode: int
    offset: int


def find_mapped(views: Sequence[memoryview]) -> list[Mapped] | None:
    """Where each of these buffers is mapped from; None unless each lies in a mapping of a file that is there."""
    try:
        with open(_MAPS, "rb") as file:  # noqa: PTH123 - a file of the kernel's
            lines = [parts for line in file.read().splitlines() if (parts := _LINE.fullmatch(line))]
        addresses = [_address_of(view) for view in views]
    except (OSError, ImportError):
        return None
    found = [_find(lines, address, view.nbytes) for address, view in zip(addresses, views, strict=True)]
    return None if None in found else [each for each in found if each is not None]


def _find(lines: Sequence[re.Match[bytes]], address: int, size: int) -> Mapped | None:
    for line in lines:
        start, end = int(line[1], 16), int(line[2], 16)
        if start <= address and address + size <= end:
            # A newline in a name is told as \012, which may as well be the name itself.
            if line[5].endswith(_GONE) or b"\\" in line[5]:
                return None
            return Mapped(Path(os.fsdecode(line[5])), int(line[4]), int(line[3], 16) + address - start)
    return None


def _address_of(view: memoryview) -> int:
    """Where a buffer begins in memory; by way of C, since Python tells it only of buffers that can be written."""
    import ctypes

    found = _buffer_class()()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(found), 0)
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(found))
    return int(found.buf or 0)


@cache
def _buffer_class() -> Any:
    """`Py_buffer`, as C knows it. Made when it is first needed: ctypes takes a while to load."""
    import ctypes

    pointer, size, number = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
    fields = {
        "buf": pointer, "obj": pointer, "len": size, "itemsize": size, "readonly": number, "ndim": number,
        "format": pointer, "shape": pointer, "strides": pointer, "suboffsets": pointer, "internal": pointer,
    }  # fmt: skip
    return type("Py_buffer", (ctypes.Structure,), {"_fields_": list(fields.items())})


def is_untouched(view: memoryview) -> bool:
    """Whether no page of a buffer in a private mapping has been written to; False also where the kernel does not tell.

    It costs 8 bytes a page: 400 KB, or a millisecond, for 200 MB.
    """
    if sys.platform != "linux":
        return False
    address = _address_of(view)
    first, last = address // mmap.PAGESIZE, (address + view.nbytes - 1) // mmap.PAGESIZE
    wanted = (last - first + 1) * _PAGE_FACTS
    try:
        with open(_PAGES, "rb", buffering=0) as file:  # noqa: PTH123 - a file of the kernel's
            file.seek(first * _PAGE_FACTS)
            facts = file.read(wanted)
    except OSError:
        return False
    if facts is None or len(facts) != wanted:
        return False
    # A page that was written to is one of this process, no longer the file's; one that was never looked at is neither.
    kinds = set(facts[_PAGE_FACTS - 1 :: _PAGE_FACTS] if sys.byteorder == "little" else facts[::_PAGE_FACTS])
    return not any(kind & _SWAPPED or (kind & _PRESENT and not kind & _OF_FILE) for kind in kinds)


def is_same(view: memoryview, file: int, offset: int) -> bool:
    """Whether a buffer holds what a file, by its descriptor, has from there on; stops at the first chunk that differs."""
    chunk = bytearray(_CHUNK)  # it compares with any buffer as C does; a memoryview goes item by item
    os.lseek(file, offset, os.SEEK_SET)
    at = 0
    while at < view.nbytes:
        if view.nbytes - at < len(chunk):
            chunk = bytearray(view.nbytes - at)
        count = os.readv(file, [chunk])
        if count != len(chunk) or chunk != view[at : at + count]:
            return False
        at += count
    return True
