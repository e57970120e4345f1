"""`import dagster.components`: names of a later stage, so that a file with such an import loads.

Each name is Treadle's own and says on use that it is not there yet; Treadle has one table of them, and so nothing is
listed here.
"""

from __future__ import annotations

from typing import Any

from treadle import later


def __getattr__(name: str) -> Any:
    if name not in later.NAMES:
        raise AttributeError(
            f"module 'dagster.components' has no attribute {name!r}: components come in a later version."
        )
    return getattr(later, name)
