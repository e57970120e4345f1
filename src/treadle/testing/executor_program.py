"""A run of a job of `executor_jobs` in a process of its own, which a test can kill.

    python -m treadle.testing.executor_program FILE

The file holds what `write` has put there. Nothing else is told to the process, and nothing is told by it but its exit code.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treadle.api import execute_job
from treadle.instance import DagsterInstance
from treadle.recipes import ReconstructableJob
from treadle.testing.executor_jobs import EXECUTORS


def start(file: Path, home: Path, recipe: ReconstructableJob, token: str, options: Mapping[str, Any]) -> Any:
    """Begin such a process: it runs the job on the executor of the token, with these options of `execute_job`.

    The executor goes there by cloudpickle, which takes what stands in a module that can be imported by its name.
    """
    import cloudpickle

    file.write_bytes(cloudpickle.dumps((str(home), recipe.to_dict(), token, EXECUTORS[token], dict(options))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-m", "treadle.testing.executor_program", str(file)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def main(file: str) -> None:
    """Run it."""
    home, recipe, token, definition, options = pickle.loads(Path(file).read_bytes())  # noqa: S301 - its own parent wrote it
    EXECUTORS[token] = definition
    with DagsterInstance.local_temp(home) as instance:
        execute_job(ReconstructableJob.from_dict(recipe), instance, **options)


if __name__ == "__main__":
    main(sys.argv[1])
