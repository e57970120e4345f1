"""What `import treadle` loads, and what a worker loads before its first step: few modules of ours, and nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BUDGET = 12
#: modules of ours in a worker: what every run with processes waits for. One more is a decision, not an accident
WORKER_BUDGET = 74
HEAVY = {"asyncio", "sqlite3", "multiprocessing", "click", "rich", "yaml", "pydantic", "cloudpickle"}


#: what a worker has no need of: the store and how workers are started are the business of the run's process
FOREIGN_TO_WORKERS = HEAVY | {
    "subprocess",
    "hashlib",
    "tempfile",
    "shutil",
    "random",
    "difflib",
    "fcntl",
    "tomllib",
    "base64",
}

LIGHT = """
import json, os, sys
from treadle import job, multiprocess_executor, op

@op
def tell() -> None:
    with open(os.environ["MODULES"], "w") as file:
        json.dump(sorted(sys.modules), file)

@job(executor_def=multiprocess_executor)
def light():
    tell()

if __name__ == "__main__":
    from treadle import execute_job, instance_for_test, reconstructable
    with instance_for_test() as instance:
        execute_job(reconstructable(light), instance, raise_on_error=True)
"""


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running the code, less those that it starts with."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "COVERAGE"))}
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def own(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "treadle"}


def test_import_loads_at_most_twelve_modules_of_ours() -> None:
    modules = own(loaded_by("import treadle"))
    assert len(modules) <= BUDGET, sorted(modules)


def test_import_loads_nothing_heavy() -> None:
    modules = loaded_by("import treadle")
    assert HEAVY & {name.partition(".")[0] for name in modules} == set()


def test_defining_a_plain_job_loads_no_pydantic_and_no_yaml() -> None:
    code = (
        "import treadle\n"
        "@treadle.op\n"
        "def one() -> int: return 1\n"
        "@treadle.job\n"
        "def a_job(): one()\n"
    )  # fmt: skip
    modules = loaded_by(code)
    assert {"pydantic", "yaml", "click", "rich"} & {name.partition(".")[0] for name in modules} == set()
    assert {"treadle.config.pythonic", "treadle.definitions.configurable"} & modules == set()


def loaded_in_worker(folder: Path, method: str) -> set[str]:
    """The modules that a worker of a light job has while its step's body runs."""
    script, told = folder / "light.py", folder / f"{method}.json"
    config = {"execution": {"config": {"start_method": {method: {}}}}}
    script.write_text(LIGHT.replace("instance, raise", f"instance, {config!r}, raise"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "COVERAGE"))}
    environment |= {"MODULES": str(told), "TREADLE_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(told.read_text()))


def test_worker_loads_what_it_needs_and_nothing_heavy(tmp_path: Path) -> None:
    modules = loaded_in_worker(tmp_path, "forkserver")
    assert len(own(modules)) == WORKER_BUDGET, sorted(own(modules))
    assert FOREIGN_TO_WORKERS & {name.partition(".")[0] for name in modules} == set()
    of_server = own(loaded_by("from treadle.executors.forkserver import main"))
    assert own(modules) == of_server, "loaded in each worker again, since the process that forks them has it not"


def test_worker_of_its_own_loads_no_more_than_one_that_is_forked(tmp_path: Path) -> None:
    spawned = own(loaded_in_worker(tmp_path, "spawn"))
    assert len(spawned) == WORKER_BUDGET - 1, sorted(spawned)  # all but the fork server
