"""Markers of the conformance tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden(number): a golden scenario, by its number")
    config.addinivalue_line("markers", "later: needs a part of the API beyond the first thirty golden scenarios")
