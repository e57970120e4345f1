"""The second distribution: `import dagster` gives Treadle's names, or says clearly why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(code: str, *more_path: Path) -> subprocess.CompletedProcess[str]:
    path = [*more_path, REPOSITORY / "compat" / "dagster" / "src", REPOSITORY / "src"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def assert_runs(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr


def error_of(code: str, *more_path: Path) -> str:
    done = run(code, *more_path)
    assert done.returncode == 1, f"expected an error, got {done.stdout!r}"
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import dagster as dg, treadle; assert dg.op is treadle.op",
        "from dagster import op, job; import treadle; assert (op, job) == (treadle.op, treadle.job)",
        "from dagster import *; import treadle; assert op is treadle.op",
        "import dagster, treadle; assert dagster.__version__ == treadle.__version__",
        "import dagster, treadle; assert set(treadle.__all__) == set(dagster.__all__) == set(dir(dagster)) - {'definitions'}",
        "from dagster import Definitions, definitions; assert isinstance(definitions(lambda: Definitions())(), Definitions)",
        "import dagster, treadle; assert dagster.AssetSelection is treadle.AssetSelection",
    ],
)
def test_names_are_treadles_own(code: str) -> None:
    assert_runs(code)


def test_a_job_written_for_dagster_runs() -> None:
    assert_runs(
        "from dagster import job, op\n"
        "@op\n"
        "def two(): return 2\n"
        "@op\n"
        "def double(n): return 2 * n\n"
        "@job\n"
        "def sum_up(): double(two())\n"
        "assert sum_up.execute_in_process().output_for_node('double') == 4\n"
    )


def test_import_loads_no_more_of_treadle_than_treadle_does() -> None:
    assert_runs(
        "import sys, treadle\n"
        "own = {name for name in sys.modules if name.startswith('treadle')}\n"
        "import dagster\n"
        "assert own == {name for name in sys.modules if name.startswith('treadle')}\n"
    )


@pytest.mark.parametrize("code", ["from dagster import gaph", "import dagster; dagster.gaph", "import dagster.gaph"])
def test_unknown_name_suggests_the_nearest(code: str) -> None:
    message = error_of(code)
    assert "'gaph'" in message
    assert "Did you mean graph" in message


def test_unknown_name_is_an_import_error_that_code_can_catch() -> None:
    assert_runs(
        "try:\n    from dagster import not_there\nexcept ImportError: pass\n"
        "import dagster\nassert not hasattr(dagster, 'not_there')\n"
    )


@pytest.mark.parametrize("name", ["dagster._core.definitions", "dagster.core.execution.api", "dagster._utils"])
def test_submodule_says_that_only_public_names_are_there(name: str) -> None:
    message = error_of(f"import {name}")
    assert message.startswith("ModuleNotFoundError")
    assert "Only the public names" in message


def test_treadles_submodules_are_no_names_of_it() -> None:
    assert_runs("import dagster, treadle.errors\nassert not hasattr(dagster, 'errors')")


def test_components_can_be_imported_and_say_that_they_come_later() -> None:
    assert_runs(
        "import dagster.components, treadle\n"
        "from dagster.components import Component, Model\n"
        "import dagster\n"
        "assert Component is treadle.Component\n"
        "assert 'Component' not in dir(dagster.components)\n"
    )
    message = error_of("from dagster.components import Component\nclass Mine(Component): pass")
    assert "Component is not in Treadle yet" in message
    assert error_of("from dagster.components import Componnt").startswith("ImportError")


def test_refuses_where_the_real_package_is_installed(tmp_path: Path) -> None:
    metadata = tmp_path / "dagster-1.13.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: dagster\nVersion: 1.13.0\n")
    message = error_of("import dagster", tmp_path)
    assert message.startswith("ImportError: treadle-dagster")
    assert "dagster 1.13.0" in message
    assert "pip uninstall" in message


def test_installed_companions_of_the_real_package_do_not_matter(tmp_path: Path) -> None:
    metadata = tmp_path / "dagster_pipes-1.13.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: dagster-pipes\nVersion: 1.13.0\n")
    assert run("import dagster", tmp_path).returncode == 0
