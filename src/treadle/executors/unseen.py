"""The instance of a run for a worker on a machine that sees neither its home nor the folder of its outputs.

Steps run there all the same, as long as they ask for neither; whoever asks is told what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from treadle.errors import StoreError
from treadle.executors.wire import Assignment
from treadle.instance import DagsterInstance
from treadle.settings import Settings, is_url


class _OutOfReach:
    """In place of a store: whatever is asked of it, says that it cannot be reached."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __getattr__(self, _name: str) -> Any:
        raise StoreError(self._message)


class UnseenInstance(DagsterInstance):
    """The instance of a run whose home this machine does not see. Values that are kept at a URL are within reach."""

    def __init__(self, assignment: Assignment) -> None:
        folder = Path(assignment.unseen_folder or "").parent
        self._message = (
            f"The instance of the run is in {assignment.home}, and its outputs are in {folder}, a folder that this machine does not "
            f"see. Let every worker see it under that name, name a folder or a URL that they reach (artifacts.dir in the settings "
            f"of the instance), or give the outputs an IO manager that keeps them elsewhere: one of a base_dir or base_path "
            f"that workers reach."
        )
        values = assignment.overrides.get("artifacts.dir")
        own = Settings(artifacts_dir=values) if isinstance(values, str) and is_url(values) else None
        super().__init__(lambda: _OutOfReach(self._message), own=own)

    @property
    def root_directory(self) -> str:
        raise StoreError(self._message)

    def storage_directory(self) -> str:
        raise StoreError(self._message)
