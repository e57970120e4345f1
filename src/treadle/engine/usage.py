"""What an attempt at a step costs: CPU, memory, bytes read and written, as the system counts them."""

from __future__ import annotations

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


def read() -> Any:
    """What this process, and those that it has waited for, have used so far; None where the system does not tell."""
    if resource is None:
        return None
    return resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)


def since(before: Any) -> StepUsage | None:
    """What was used since then."""
    if before is None:
        return None
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    own_before, children_before = before
    cpu = own.ru_utime - own_before.ru_utime + own.ru_stime - own_before.ru_stime
    if children.ru_utime != children_before.ru_utime or children.ru_stime != children_before.ru_stime:
        cpu += children.ru_utime - children_before.ru_utime + children.ru_stime - children_before.ru_stime
    return StepUsage(
        round(cpu * 1000, 3),
        own.ru_maxrss * _UNIT,
        (own.ru_inblock - own_before.ru_inblock + children.ru_inblock - children_before.ru_inblock) * _BLOCK,
        (own.ru_oublock - own_before.ru_oublock + children.ru_oublock - children_before.ru_oublock) * _BLOCK,
    )
