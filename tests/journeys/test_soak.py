"""Random jobs with steps that crash, hang, fail and are tried again, killed, resumed and canceled: a few of them.

benchmarks/soak.py goes on for as long as it is let.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.soak import trial


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_run_ends_and_its_log_is_true(seed: int, tmp_path: Path) -> None:
    trial(tmp_path, seed)
