"""How many steps run at once where nobody says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.executors import process_jobs
from treadle import DagsterUnmetExecutorRequirementsError, execute_job, instance_for_test, reconstructable
from treadle.definitions.executors import read_execution
from treadle.executors.choice import _cores_of_group, count_cores, limit_of


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_container_says_how_many_cores_there_are(files: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _cores_of_group(tmp_path) == expected


def test_config_rules_over_the_environment_and_that_over_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "TREADLE_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT"
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("DAGSTER_MULTIPROCESS_EXECUTOR_MAX_CONCURRENT", raising=False)
    assert limit_of(read_execution("multiprocess", {})) == count_cores() >= 1
    monkeypatch.setenv(variable, "7")
    assert limit_of(read_execution("multiprocess", {})) == 7
    assert limit_of(read_execution("multiprocess", {"max_concurrent": 0})) == 7
    assert limit_of(read_execution("multiprocess", {"max_concurrent": 3})) == 3


def test_system_that_cannot_pass_descriptors_on_is_told_of_before_there_is_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "send_fds")
    with instance_for_test() as instance:
        with pytest.raises(DagsterUnmetExecutorRequirementsError, match="it needs a Unix"):
            execute_job(reconstructable(process_jobs.chained), instance)
        assert instance.get_runs() == []
