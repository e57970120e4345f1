"""The API reference: every public name stands in docs/api.md under one topic, and says what it is."""

from __future__ import annotations

import importlib.util
import inspect
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import treadle

DOCS = Path(__file__).parents[2] / "docs"


def load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_reference()
OURS = [name for name in treadle.__all__ if reference.is_documented_itself(name)]


def test_every_public_name_stands_in_the_reference_once() -> None:
    listed = [name for names in reference.topics(reference.PAGE.read_text()).values() for name in names]
    hint = "run scripts/docs, and look under which topic the new names stand"
    assert Counter(listed) == Counter(treadle.__all__), hint


def test_reference_says_what_the_docstrings_say() -> None:
    text = reference.PAGE.read_text()
    assert reference.in_step(text) == text, "run scripts/docs"


@pytest.mark.parametrize("name", OURS)
def test_public_class_or_function_has_a_docstring_of_its_own(name: str) -> None:
    found = getattr(treadle, name)
    docstring = vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
    assert (docstring or "").strip()


@pytest.mark.parametrize("name", sorted(set(treadle.__all__) - set(OURS)))
def test_public_name_without_a_docstring_is_described(name: str) -> None:
    assert reference.describe(name)
    if not reference.describe(name).startswith("The same as"):
        assert name in reference.OBJECTS, f"say what {name} is in OBJECTS of docs/reference.py"


def test_described_objects_are_public() -> None:
    assert set(reference.OBJECTS) - set(treadle.__all__) == set()
