"""A run that is killed at any moment is resumed, with nothing lost, nothing repeated and nothing left over.

In short; benchmarks/kill.py does it at every entry of the log, at every commit, and at 200 instants at random.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.journeys.kill_harness import Undisturbed, check_kill, check_kill_at_random, undisturbed


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def wanted_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), "everything_elsewhere")


@pytest.mark.parametrize("part", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_run_in_workers_killed_at_an_entry_of_its_log_goes_on(
    wanted_elsewhere: Undisturbed, part: float, tmp_path: Path
) -> None:
    assert check_kill(tmp_path, wanted_elsewhere, f"event:{1 + round(part * (wanted_elsewhere.entries - 1))}")


@pytest.mark.parametrize("seed", range(4))
def test_run_in_workers_killed_at_any_instant_goes_on(wanted_elsewhere: Undisturbed, seed: int, tmp_path: Path) -> None:
    check_kill_at_random(tmp_path, wanted_elsewhere, random.Random(seed))


@pytest.fixture(scope="module")
def wanted_on_threads(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), "everything_on_threads")


@pytest.mark.parametrize("part", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_run_on_threads_killed_at_an_entry_of_its_log_goes_on(
    wanted_on_threads: Undisturbed, part: float, tmp_path: Path
) -> None:
    assert check_kill(tmp_path, wanted_on_threads, f"event:{1 + round(part * (wanted_on_threads.entries - 1))}")


@pytest.mark.parametrize("seed", range(4))
def test_run_on_threads_killed_at_any_instant_goes_on(
    wanted_on_threads: Undisturbed, seed: int, tmp_path: Path
) -> None:
    check_kill_at_random(tmp_path, wanted_on_threads, random.Random(seed))


@pytest.mark.parametrize("part", [0.0, 0.05, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0])
def test_run_killed_at_an_entry_of_its_log_goes_on(wanted: Undisturbed, part: float, tmp_path: Path) -> None:
    assert check_kill(tmp_path, wanted, f"event:{1 + round(part * (wanted.entries - 1))}")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 1.0])
def test_run_killed_in_a_commit_goes_on(wanted: Undisturbed, part: float, tmp_path: Path) -> None:
    assert check_kill(tmp_path, wanted, f"commit:{1 + round(part * (wanted.commits - 2))}")


@pytest.mark.parametrize("seed", range(6))
def test_run_killed_at_any_instant_goes_on(wanted: Undisturbed, seed: int, tmp_path: Path) -> None:
    check_kill_at_random(tmp_path, wanted, random.Random(seed))
