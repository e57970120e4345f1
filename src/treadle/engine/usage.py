"""What an attempt at a step costs: CPU, memory, bytes read and written, as the system counts them.

Read before and after by the step itself; what memory a process has by now anybody may ask. On a system that does not count
it tells nothing.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from treadle.payloads import StepUsage

try:
    import resource as _resource
except ImportError:  # a system that does not count
    resource: Any = None
else:
    resource = _resource

#: bytes in a block, by getrusage(2)
_BLOCK = 512
#: what `ru_maxrss` counts in
_UNIT = 1 if sys.platform == "darwin" else 1024


#: what a step has used: all that its process has, and the processes that this has waited for, where steps run one after
#: another; else what its thread has
PROCESS, THREAD = "process", "thread"


def read(scope: str | None = PROCESS) -> Any:
    """What was used so far; None where the system does not tell."""
    if resource is None or scope is None:
        return None
    if scope == PROCESS:
        return resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    if not hasattr(resource, "RUSAGE_THREAD"):
        return None
    return resource.getrusage(resource.RUSAGE_THREAD), None


def since(before: Any) -> StepUsage | None:
    """What was used since then, on the same thread."""
    if before is None:
        return None
    own_before, children_before = before
    own, children = read(THREAD if children_before is None else PROCESS)
    cpu = own.ru_utime - own_before.ru_utime + own.ru_stime - own_before.ru_stime
    blocks_in = own.ru_inblock - own_before.ru_inblock
    blocks_out = own.ru_oublock - own_before.ru_oublock
    if children is not None:
        if children.ru_utime != children_before.ru_utime or children.ru_stime != children_before.ru_stime:
            cpu += children.ru_utime - children_before.ru_utime + children.ru_stime - children_before.ru_stime
        blocks_in += children.ru_inblock - children_before.ru_inblock
        blocks_out += children.ru_oublock - children_before.ru_oublock
    return StepUsage(round(cpu * 1000, 3), own.ru_maxrss * _UNIT, blocks_in * _BLOCK, blocks_out * _BLOCK)


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - a file of the kernel's
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
