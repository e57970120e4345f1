"""Type checkers find the mistakes in wrong/, and no others; what users write in the files beside this one also runs."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WRONG = sorted((Path(__file__).parent / "wrong").glob("*.py"))


def lines_of_mypy(path: Path, _folder: Path) -> dict[int, str]:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", str(path)]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stderr
    found = re.finditer(
        rf"^{re.escape(str(path.relative_to(REPOSITORY)))}:(\d+): error: (.*)$", said.stdout, re.MULTILINE
    )
    return {int(each[1]): each[2] for each in found}


def lines_of_pyright(path: Path, folder: Path) -> dict[int, str]:
    # The project's settings leave the file out, so a copy of it is read with others.
    shutil.copy(path, folder)
    settings = {"extraPaths": [str(REPOSITORY / "src")], "typeCheckingMode": "strict", "pythonVersion": "3.10"}
    (folder / "pyrightconfig.json").write_text(json.dumps({"include": [path.name], **settings}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stdout + said.stderr
    found = json.loads(said.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found if each["severity"] == "error"}


@pytest.mark.slow
@pytest.mark.parametrize("check", [lines_of_mypy, lines_of_pyright])
@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.name)
def test_type_checker_finds_each_mistake_and_nothing_else(
    path: Path, check: Callable[[Path, Path], dict[int, str]], tmp_path: Path
) -> None:
    package = check.__name__.removeprefix("lines_of_")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    lines = path.read_text().splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# expect-error")}
    found = check(path.resolve(), tmp_path)
    assert {number: lines[number - 1] for number in expected - found.keys()} == {}, "not found"
    assert {number: found[number] for number in found.keys() - expected} == {}, "found, but no mistake"


def test_calls_that_type_checkers_accept_also_run(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("calls_that_run", Path(__file__).parent / "calls.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec.loader.exec_module(module)
    asyncio.run(module.test_calls())
