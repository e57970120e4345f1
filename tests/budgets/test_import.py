"""What `import treadle` loads: few modules of ours, and nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

BUDGET = 12
HEAVY = {"asyncio", "sqlite3", "multiprocessing", "click", "rich", "yaml", "pydantic", "cloudpickle"}


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
