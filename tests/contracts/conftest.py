"""Fixtures of the contract suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.stores import KINDS, SHARED, Backend, backend_of
from treadle.storage.store import Store


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    yield from backend_of(request.param, tmp_path)


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A kind of store of which each store that is made opens the same one, as another process would."""
    yield from backend_of(request.param, tmp_path)


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.store()
