"""The rules of docs/architecture.md that import-linter cannot express, checked on the syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import treadle
from docs import architecture
from docs.architecture import PURE, Import, imports, layer_of, modules, tree

#: Imports that the API itself asks for, because it makes them methods of lower nouns. Each is a one-line delegation.
DEFERRED = {
    ("treadle.definitions.graph", "treadle.definitions.job", "to_job"),
    ("treadle.definitions.job", "treadle.api", "execute_in_process"),
}

#: Imports for annotations alone that point up: what a public signature has to name. Keep this list short.
TYPE_ONLY_UPWARD = {
    # execute_in_process, of a job, of a graph, and of a graph under an alias
    (f"treadle.definitions.{module}", "treadle.results")
    for module in ("compose", "graph", "job")
}

FORBIDDEN_NAMES = {"util", "core", "common", "base", "helper", "manager", "misc", "shared", "stuff"}

#: A word of the API that we follow: IO managers are what its users call them.
API_NAMES = {"io_managers"}

#: Modules whose docstring is longer than six lines, with the reason.
LONG_DOCSTRINGS = {
    "treadle.errors",  # draws the tree of exceptions
}

each_module = pytest.mark.parametrize("name", modules())


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


# -- the tree -------------------------------------------------------------------------------------------------------


def test_each_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in architecture.SOURCE.rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_no_module_is_an_empty_shell() -> None:
    paths = [path for path in architecture.SOURCE.rglob("*.py") if path.name != "__init__.py"]
    assert [path for path in paths if not path.read_text().strip()] == []


@each_module
def test_module_is_a_noun_of_its_own(name: str) -> None:
    words = [word for word in name.split(".") if word not in API_NAMES]
    parts = {part.lower() for word in words for part in word.split("_")}
    assert not {part for part in parts if part.rstrip("s") in FORBIDDEN_NAMES or part in FORBIDDEN_NAMES}


@each_module
def test_module_has_a_layer(name: str) -> None:
    assert layer_of(name) >= 0, f"{name} is in no layer: give it one in pyproject.toml and in docs/architecture.md"


@each_module
def test_module_is_at_most_600_lines(name: str) -> None:
    assert lines_of(modules()[name]) <= 600


# -- docs/architecture.md -------------------------------------------------------------------------------------------


@each_module
def test_first_docstring_line_is_the_one_on_the_architecture_page(name: str) -> None:
    listed = architecture.listed_modules()
    assert name in listed, f"docs/architecture.md does not list {name}: run scripts/docs"
    assert architecture.first_line(name) == listed[name]


def test_architecture_page_lists_only_modules_that_exist() -> None:
    assert set(architecture.listed_modules()) - set(modules()) == set()


def test_architecture_page_shows_the_layers_that_are_checked() -> None:
    checked = [" | ".join(layer) for layer in architecture.layers()]
    shown = re.search(r"```layers\n(.*?)```", architecture.PAGE.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1].splitlines() == checked


@each_module
def test_module_docstring_is_two_to_six_lines(name: str) -> None:
    docstring = ast.get_docstring(tree(modules()[name])) or ""
    count = len(docstring.splitlines())
    is_short_package = modules()[name].name == "__init__.py" and count == 1
    assert 2 <= count <= 6 or is_short_package or name in LONG_DOCSTRINGS


# -- functions and classes ------------------------------------------------------------------------------------------

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, owner: str = "") -> Iterator[tuple[str, AnyFunction]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from functions(child, f"{owner}{child.name}.")
        elif isinstance(child, AnyFunction):
            yield f"{owner}{child.name}", child
            yield from functions(child, f"{owner}{child.name}.")
        else:
            yield from functions(child, owner)


def length_without_docstring(function: AnyFunction) -> int:
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


@each_module
def test_function_is_at_most_60_lines(name: str) -> None:
    found = {key: length_without_docstring(function) for key, function in functions(tree(modules()[name]))}
    assert {key: length for key, length in found.items() if length > 60} == {}


@each_module
def test_function_has_at_most_six_parameters(name: str) -> None:
    """The public API is excepted: what `treadle` exports, and the methods of classes that it exports."""

    def count(function: AnyFunction) -> int:
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        return len([each for each in names if each not in ("self", "cls")])

    found = {
        key: count(function)
        for key, function in functions(tree(modules()[name]))
        if key.split(".")[0] not in treadle.__all__
    }
    assert {key: length for key, length in found.items() if length > 6} == {}


@each_module
def test_class_says_what_it_stands_for_without_base_or_abstract(name: str) -> None:
    classes = [node.name for node in ast.walk(tree(modules()[name])) if isinstance(node, ast.ClassDef)]
    odd = [each for each in classes if re.match(r"_*(Base|Abstract|I[A-Z][a-z])", each)]
    assert [each for each in odd if each not in treadle.__all__] == []


# -- imports --------------------------------------------------------------------------------------------------------


def is_deferred(each: Import) -> bool:
    return (each.importer, each.imported, each.function) in DEFERRED


def test_no_module_imports_the_package_root() -> None:
    assert [each for each in imports() if each.imported == "treadle"] == []


def test_imports_make_no_cycle_even_where_they_hide_in_functions() -> None:
    graph: dict[str, set[str]] = {}
    for each in imports():
        if not each.is_type_only and not is_deferred(each):
            graph.setdefault(each.importer, set()).add(each.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_for_annotations_that_point_up_are_the_listed_ones() -> None:
    upward = {
        (each.importer, each.imported)
        for each in imports()
        if each.is_type_only and layer_of(each.imported) < layer_of(each.importer)
    }
    assert upward == TYPE_ONLY_UPWARD


def test_deferred_imports_are_one_line_delegations() -> None:
    for importer, imported, function_name in DEFERRED & {(e.importer, e.imported, e.function) for e in imports()}:
        for key, function in functions(tree(modules()[importer])):
            if key.endswith(f".{function_name}") and imported.rpartition(".")[2] in ast.unparse(function):
                body = function.body[1:] if ast.get_docstring(function) else function.body
                assert len(body) <= 2, f"{importer}: {key} does more than import and delegate"


def test_deferred_imports_happen_only_where_the_api_asks_for_them() -> None:
    pairs = {(importer, imported) for importer, imported, _ in DEFERRED}
    strays = [each for each in imports() if (each.importer, each.imported) in pairs and not each.is_type_only]
    assert [each for each in strays if not is_deferred(each)] == []


@pytest.mark.parametrize("heavy", ["treadle.config.pythonic", "treadle.definitions.configurable"])
def test_pydantic_classes_are_loaded_only_when_asked_for(heavy: str) -> None:
    eager = [each for each in imports() if each.imported == heavy and each.function is None and not each.is_type_only]
    assert {each.importer for each in eager} <= {"treadle.definitions.configurable"}


# -- what decides is pure -------------------------------------------------------------------------------------------


def test_pure_modules_are_where_the_contracts_expect_them() -> None:
    """The contracts name modules that may be missing as yet; a renamed one must not slip out of them."""
    expected = {
        "treadle.engine": "treadle.engine.machine",
        "treadle.plan": "treadle.plan.model",
        "treadle.config": "treadle.config.validate",
        "treadle.definitions": "treadle.definitions.selection",
    }
    whole = "treadle.api" in modules()
    assert [name for package, name in expected.items() if whole and name not in modules()] == []


def test_machine_needs_only_data_structures_from_outside() -> None:
    if "treadle.engine.machine" not in modules():
        pytest.skip("there is no machine yet")
    allowed = {"__future__", "bisect", "collections", "dataclasses", "enum", "heapq", "msgspec", "types", "typing"}
    wanted = set()
    for node in ast.walk(tree(modules()["treadle.engine.machine"])):
        if isinstance(node, ast.Import):
            wanted |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            wanted.add(node.module.split(".")[0])
    assert wanted - {"treadle"} <= allowed


@pytest.mark.parametrize("name", [name for name in modules() if PURE.match(name)])
def test_pure_module_opens_no_file_and_prints_nothing(name: str) -> None:
    calls = [node.func for node in ast.walk(tree(modules()[name])) if isinstance(node, ast.Call)]
    assert not {call.id for call in calls if isinstance(call, ast.Name)} & {"open", "print", "input", "exec", "eval"}
