"""What `treadle` exports: each name is there, and type checkers see the same names as the running program."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

import treadle

TREE = ast.parse(Path(treadle.__file__).read_text())


def names_for_type_checkers() -> set[str]:
    blocks = [node for node in TREE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@pytest.mark.parametrize("name", treadle.__all__)
def test_public_name_is_there(name: str) -> None:
    assert getattr(treadle, name) is not None


def test_public_names_are_listed_once() -> None:
    assert len(treadle.__all__) == len(set(treadle.__all__))


def test_dir_lists_the_public_names() -> None:
    assert set(treadle.__all__) <= set(dir(treadle))


def test_type_checkers_see_the_same_names() -> None:
    assert names_for_type_checkers() == set(treadle.__all__) - {"__version__"}


def test_unknown_name_is_refused_and_the_nearest_suggested() -> None:
    with pytest.raises(AttributeError, match="graph"):
        treadle.gaph


def test_public_name_is_no_module_of_ours() -> None:
    """Importing `treadle.job` as a module would replace the public name `job` by it."""
    folder = Path(treadle.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules & set(treadle.__all__) == set()


def test_error_of_an_unknown_name_is_an_attribute_error_that_travels() -> None:
    with pytest.raises(AttributeError, match="no attribute 'grahp'. Did you mean 'graph'") as caught:
        treadle.grahp
    assert type(caught.value).__name__ == type(caught.value).__qualname__ == "AttributeError"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
