"""reconstructable: what another process can make again, and why it cannot make the rest."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import recipe_jobs
from treadle import (
    DagsterCodeNotFoundError,
    DagsterImportError,
    DagsterInstance,
    DagsterInvariantViolationError,
    ParameterCheckError,
    ReconstructableJob,
    build_reconstructable_job,
    execute_job,
    job,
    reconstructable,
)
from treadle.recipes import ReconstructableRepository, recipe_for

FILE = recipe_jobs.__file__


def test_job_of_a_module_is_found_again_by_module_and_name() -> None:
    recipe = reconstructable(recipe_jobs.nightly)
    assert recipe.get_definition() is recipe_jobs.nightly
    assert (recipe.job_name, recipe.get_module()) == ("nightly", "tests.recipe_jobs")
    assert recipe.describe() == '"nightly" in module "tests.recipe_jobs", nightly'


def test_function_that_returns_a_job_is_called_in_each_process() -> None:
    recipe = reconstructable(recipe_jobs.make_weekly)
    assert recipe.job_name == "weekly"
    assert recipe.get_definition().name == "weekly"
    assert recipe.get_definition() is recipe.get_definition()


def test_recipes_are_plain_values() -> None:
    recipe = reconstructable(recipe_jobs.nightly)
    assert recipe == reconstructable(recipe_jobs.nightly)
    assert len({recipe, reconstructable(recipe_jobs.nightly)}) == 1
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert ReconstructableJob.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_part_of_a_job_has_a_recipe_of_its_own() -> None:
    part = reconstructable(recipe_jobs.nightly).get_subset(op_selection=["one"])
    assert part.op_selection == {"one"}
    assert list(part.get_definition().graph.node_dict) == ["one"]
    assert part != reconstructable(recipe_jobs.nightly)
    assert ReconstructableJob.from_dict(json.loads(json.dumps(part.to_dict()))) == part
    assert part.get_subset(op_selection=None) == reconstructable(recipe_jobs.nightly)
    with pytest.raises(ParameterCheckError, match='"op_selection" is not a list'):
        part.get_subset(op_selection="one")


def nested() -> Any:
    @job
    def inner():
        recipe_jobs.one()

    return inner


def make_inner() -> Any:
    def inner() -> Any:
        return recipe_jobs.nightly

    return inner


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (recipe_jobs.make_graph, "must be either a JobDefinition.*gave a graph.*Return graph.to_job"),
        (recipe_jobs.make_nothing, "must be either a JobDefinition, GraphDefinition, Definitions, or RepositoryDefinition. Got None"),
        (recipe_jobs.make_sized, "with no arguments.*takes size, name.*build_reconstructable_job"),
        (lambda: recipe_jobs.nightly, "can not be a lambda"),
        (nested(), "defined at module scope.*different __qualname__"),
        (make_inner(), "defined at module scope.*different __qualname__"),
        (recipe_jobs.Holder.make, "different __qualname__"),
        (recipe_jobs.Holder().bound, "should be a function or definition produced by a decorated function, got <class 'method'>"),
        (functools.partial(recipe_jobs.make_weekly), "got <class 'functools.partial'>"),
        (recipe_jobs.Holder, "got <class 'type'>"),
        ("nightly", "got <class 'str'>"),
        (recipe_jobs.one, "got <class 'treadle.definitions.op.OpDefinition'>"),
        (recipe_jobs.daily, "got <class 'treadle.definitions.graph.GraphDefinition'>"),
        (recipe_jobs.weekly, "you must wrap the ``to_job`` call in a function at module scope"),
        (recipe_jobs.tagged, "you must wrap the ``to_job`` call"),
    ],
    ids=[
        "graph", "nothing", "arguments", "lambda", "nested job", "nested function", "static method", "bound method", "partial",
        "class", "text", "op", "graph object", "to_job", "with_metadata",
    ],
)  # fmt: skip
def test_what_nobody_could_find_again_is_refused_with_the_reason(target: Any, message: str) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=message):
        reconstructable(target)


def test_function_with_arguments_is_called_with_them_in_each_process() -> None:
    recipe = build_reconstructable_job("tests.recipe_jobs", "make_sized", (3,), {"name": "chain"})
    assert recipe.get_definition().name == "chain_3"
    assert ReconstructableJob.from_dict(json.loads(json.dumps(recipe.to_dict()))).get_definition().name == "chain_3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([3],), '"reconstructable_args" is not a tuple'),
        (((3,), ["name"]), '"reconstructable_kwargs" is not a dict'),
        (((object(),),), "JSON cannot hold these arguments"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ParameterCheckError, match=message):
        build_reconstructable_job("tests.recipe_jobs", "make_sized", *arguments)


def test_what_is_not_there_is_told_when_the_job_is_made() -> None:
    with pytest.raises(DagsterImportError, match='module "no.such" of a job cannot be imported') as caught:
        build_reconstructable_job("no.such", "make").get_definition()
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(DagsterInvariantViolationError, match="nothing not found in module tests.recipe_jobs"):
        build_reconstructable_job("tests.recipe_jobs", "nothing").get_definition()
    gone = ReconstructableJob(ReconstructableRepository("file", "/no/such.py", "nightly"), "nightly")
    with pytest.raises(DagsterCodeNotFoundError, match="such.py"):
        gone.get_definition()


def test_module_is_found_from_the_working_directory_that_the_recipe_names(tmp_path: Path) -> None:
    (tmp_path / "far_away_jobs.py").write_text(Path(FILE).read_text())
    recipe = build_reconstructable_job("far_away_jobs", "make_weekly", reconstructor_working_directory=str(tmp_path))
    assert recipe.get_definition().name == "weekly"


def test_file_or_module_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ReconstructableJob.for_file(FILE, "nightly").job_name == "nightly"
    assert ReconstructableJob.for_file(FILE, "make_weekly").get_definition().name == "weekly"
    assert ReconstructableJob.for_module("tests.recipe_jobs", "nightly").get_definition() is recipe_jobs.nightly
    assert ReconstructableJob.for_file(FILE, "nightly").get_module() is None
    monkeypatch.chdir(Path(FILE).parent)
    assert recipe_for("recipe_jobs.py:nightly").repository.place == str(Path(FILE).resolve())
    assert recipe_for("tests.recipe_jobs:make_weekly").job_name == "weekly"


def test_repository_of_a_recipe_can_be_asked_for() -> None:
    assert sorted(ReconstructableRepository("module", "tests.recipe_jobs", "defs").get_definition().job_names) == [
        "nightly",
        "weekly",
    ]
    with pytest.raises(DagsterInvariantViolationError, match="not a repository"):
        ReconstructableRepository("module", "tests.recipe_jobs", "nightly").get_definition()


def test_op_can_ask_for_the_repository_that_its_job_was_found_in() -> None:
    with DagsterInstance.ephemeral() as instance:
        with execute_job(reconstructable(recipe_jobs.asking), instance) as result:
            assert result.output_for_node("name_of_repository") == ("__repository__asking", ["asking"])
        pointer = ReconstructableRepository("module", "tests.recipe_jobs", "asked")
        with execute_job(ReconstructableJob(pointer, "asking"), instance) as result:
            assert result.output_for_node("name_of_repository") == ("asked", ["asking", "nightly"])


# -- of a script, and of a session without a file -------------------------------------------------------------------------

JOBS = """
from treadle import DagsterInstance, execute_job, job, op, reconstructable

@op
def one():
    return 1

@op
def inc(x):
    return x + 1

@job
def scripted():
    inc(one())
"""
RUN = """
if __name__ == "__main__":
    with DagsterInstance.local_temp() as instance, execute_job(reconstructable(scripted), instance) as result:
        print(result.output_for_node("inc"), result.dagster_run.job_code_origin["repository"]["kind"])
"""


def python(*arguments: str, folder: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def test_job_of_a_script_is_found_in_its_file(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(JOBS + RUN)
    done = python("script.py", folder=tmp_path)
    assert done.stdout == "2 file\n", done.stderr


def test_job_of_a_module_that_is_run_is_found_by_the_modules_name(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "script.py").write_text(JOBS + RUN)
    done = python("-m", "package.script", folder=tmp_path)
    assert done.stdout == "2 module\n", done.stderr


def test_script_without_a_guard_is_refused_instead_of_run_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(JOBS + RUN.replace('if __name__ == "__main__":', "if True:"))
    done = python("script.py", folder=tmp_path)
    assert done.returncode != 0
    assert 'below `if __name__ == "__main__":`' in done.stderr
    assert "2 file" not in done.stdout


@pytest.mark.parametrize("way", ["-c", "-"])
def test_job_of_a_session_is_handed_on_by_value_with_a_warning(tmp_path: Path, way: str) -> None:
    code = JOBS + RUN
    done = python("-c", code, folder=tmp_path) if way == "-c" else python("-", folder=tmp_path, stdin=code)
    assert done.stdout == "2 value\n", done.stderr
    assert "TreadleByValueWarning" in done.stderr
    assert "Put it into a module to avoid that" in done.stderr


def test_job_of_a_session_that_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    code = JOBS.replace("@job\n", "import threading\nlock = threading.Lock()\n@op\ndef locked(): return lock\n@job\n")
    code = code.replace("    inc(one())\n", "    inc(locked())\n") + RUN
    done = python("-c", code, folder=tmp_path)
    assert done.returncode == 1
    assert (
        'The job "scripted" is defined in an interactive session, and cannot be handed to other processes'
        in done.stderr
    )


def test_value_that_cannot_be_read_is_told() -> None:
    recipe = ReconstructableJob(ReconstructableRepository("value", value="bm90aGluZw=="), "lost")
    with pytest.raises(DagsterImportError, match="handed on by value cannot be read here"):
        recipe.get_definition()
