"""What tests of executors share: a lasting instance, and a folder in which steps leave their traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.process_jobs import TRACES
from treadle import DagsterInstance, instance_for_test


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for traces of the jobs in process_jobs and mixed_jobs."""
    monkeypatch.setenv(TRACES, str(tmp_path))
    return tmp_path


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """An instance of the test's own."""
    with instance_for_test() as made:
        yield made
