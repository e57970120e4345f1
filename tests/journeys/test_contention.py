"""Many local writers: no lock error reaches anybody, and nothing is lost. In full in benchmarks/contention.py."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.journeys.contention import QUIET, chain, contend
from treadle import DagsterInstance


def test_many_processes_write_one_home_while_another_reads(tmp_path: Path) -> None:
    outcome = contend(tmp_path, processes=6, runs=8, steps=5)
    assert outcome.errors == []
    assert outcome.readings > 0
    assert (outcome.runs, outcome.steps) == (48, 48 * 5)
    one = 48 * (5 * 3 + 4 + 7)  # of each step three events, of four of them a message; of each run seven more
    assert outcome.events == one


def test_many_threads_write_one_instance(tmp_path: Path) -> None:
    problems: list[BaseException] = []
    with DagsterInstance.from_config(str(tmp_path)) as instance:

        def work() -> None:
            try:
                for _ in range(5):
                    assert chain(5).execute_in_process(QUIET, instance=instance).success
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert instance.get_runs_count() == 40
        assert instance.store.check() == []
