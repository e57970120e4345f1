"""docs/migrate.md: the project that changes nothing runs through `import dagster`, and its tables name what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import treadle

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "migrate.md").read_text()


def unchanged_project() -> str:
    found = re.search(r"^```python dagster\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(REPOSITORY / each) for each in ("compat/dagster/src", "src"))
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project.py").write_text(unchanged_project())
    return tmp_path


def test_project_that_says_import_dagster_runs_unchanged(project: Path) -> None:
    done = run(project, "project.py")
    assert done.returncode == 0, done.stderr


def test_command_line_runs_its_job_with_what_its_definitions_give_it(project: Path) -> None:
    done = run(project, "-m", "treadle", "run", "project.py:letter")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("name", sorted(set(re.findall(r"from treadle import (\w+)` \|", PAGE))))
def test_name_that_the_table_sends_to_is_there(name: str) -> None:
    assert name in treadle.__all__


def test_older_names_of_the_table_are_there() -> None:
    table = PAGE.partition("## Older names")[2].partition("```")[0]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[2:]
    of_package = [cell for cell in cells if not re.match(r"`(result|context)\.|run config", cell)]
    names = {name for cell in of_package for name in re.findall(r"`@?(\w+)(?:\(.*?\))?`", cell)}
    assert {"solid", "execute_pipeline", "ModeDefinition", "PipelineRun", "MetadataEntry"} <= names
    assert [name for name in sorted(names) if not hasattr(treadle, name)] == []
