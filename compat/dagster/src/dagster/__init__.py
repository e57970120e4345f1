"""`import dagster`, answered by Treadle: each public name here is Treadle's own object.

Imported by code that was written for the package of this name. It is a door and must never become a second
implementation, nor stand in for the real package where that is installed.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle import *  # noqa: F403

try:
    _real = version("dagster")
except PackageNotFoundError:
    pass
else:
    raise ImportError(
        f"treadle-dagster answers `import dagster` with Treadle's names, but the real package (dagster {_real}) is "
        "installed in this environment too. Two packages cannot share one name. "
        "To use the real one: pip uninstall treadle-dagster, then pip install --force-reinstall dagster. "
        "To use Treadle: pip uninstall dagster, then pip install --force-reinstall treadle-dagster."
    )

# after the refusal, which must come first
import treadle

#: what the import system and type checkers ask a module for, and Treadle knows
_SHARED_DUNDERS = frozenset({"__all__", "__version__"})

#: public sub-modules of the original
_SUBMODULES = frozenset({"components"})

#: names that are a sub-module of Treadle's, too -> the module that has what is meant here
_HOMES = {"definitions": "treadle.definitions.container"}


def __getattr__(name: str) -> Any:
    is_private = name.startswith("_") and name not in _SHARED_DUNDERS
    home = import_module(_HOMES[name]) if name in _HOMES else treadle
    value = None if is_private else getattr(home, name, None)
    # Treadle's own sub-modules are no names of this API.
    if value is None or isinstance(value, ModuleType):
        raise AttributeError(f"module 'dagster' (which is Treadle's here) has no attribute {name!r}.{_nearest(name)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*treadle.__all__, *_HOMES])


def _nearest(name: str) -> str:
    near = get_close_matches(name, treadle.__all__, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""


class _NoSubmodules:
    """The last finder asked: says why `dagster.anything` cannot be imported, instead of a bare "No module named"."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> None:
        package, _, rest = fullname.partition(".")
        if package != __name__ or not rest or rest in _SUBMODULES:
            return
        # No `name=` in the error: `from dagster import opp` asks here too, and Python would replace an error that
        # names the module by its own, shorter one.
        raise ModuleNotFoundError(
            f"cannot import {rest!r} from 'dagster', which is Treadle's here.{_nearest(rest)} Only the public names of "
            f"the package are there, as `from dagster import job`; its sub-modules are not."
        )


sys.meta_path.append(_NoSubmodules)
