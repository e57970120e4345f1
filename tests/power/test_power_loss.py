"""With `durability = "full"` a run survives a loss of power at any moment; with `normal` the store stays sound."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.journeys.kill_harness import PROGRAM, RESULT, RUN_ID, effects, read
from tests.power.power_loss import PowerLoss, build_shim
from treadle import DagsterInstance
from treadle.definitions.artifacts import read_artifact


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


def test_value_that_was_reported_as_written_is_there(library: Path, tmp_path: Path) -> None:
    world, home = PowerLoss(library, tmp_path), tmp_path / "home"
    home.mkdir()
    code = f"""
import os
from pathlib import Path
from treadle.definitions.artifacts import write_artifact
home = Path({str(home)!r})
write_artifact(home / "run" / "step" / "kept", ["x" * 1000], is_durable=True)
write_artifact(home / "run" / "step" / "lost", ["x" * 1000])
os.kill(os.getpid(), 9)
"""
    assert world.run([sys.executable, "-c", code]).returncode == -9
    left = tmp_path / "left"
    world.rebuild(home, left)
    assert read_artifact(left / "run" / "step" / "kept") == ["x" * 1000]
    assert not (left / "run" / "step" / "lost").exists()


def test_model_keeps_what_sqlite_promises(library: Path, tmp_path: Path) -> None:
    world, home = PowerLoss(library, tmp_path), tmp_path / "home"
    home.mkdir()
    code = f"""
import os, sqlite3
connection = sqlite3.connect({str(home / "a.db")!r}, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("CREATE TABLE t (n)")
for number in range(10):
    connection.execute("INSERT INTO t VALUES (?)", (number,))
connection.execute("BEGIN")
connection.execute("INSERT INTO t VALUES (99)")
os.kill(os.getpid(), 9)
"""
    assert world.run([sys.executable, "-c", code]).returncode == -9
    left = tmp_path / "left"
    world.rebuild(home, left)
    with contextlib.closing(sqlite3.connect(left / "a.db")) as connection:
        assert [row[0] for row in connection.execute("SELECT n FROM t")] == list(range(10))


@pytest.mark.parametrize("how", ["event:8", "event:23", "commit:9", "event:47", "commit:14", "event:80", "event:101"])
def test_run_with_full_durability_is_resumed_after_a_loss_of_power(library: Path, tmp_path: Path, how: str) -> None:
    world, home = PowerLoss(library, tmp_path), tmp_path / "home"
    home.mkdir()
    (home / "treadle.toml").write_text('durability = "full"\n')
    done = world.run([sys.executable, str(PROGRAM), str(home), str(tmp_path / "effects"), RUN_ID, how])
    assert done.returncode == -9, done.stderr
    begun = list(dict.fromkeys((tmp_path / "effects").read_text().split())) if (tmp_path / "effects").exists() else []

    left = tmp_path / "left" / "home"
    world.rebuild(home, left)
    shutil.copyfile(home / "treadle.toml", left / "treadle.toml")
    for name in ("effects", "effects.flaky"):
        if (tmp_path / name).exists():
            shutil.copyfile(tmp_path / name, left.parent / name)
    survived, _types, _known = read(left.parent)
    # what a step follows from was committed before the step began, and a commit survives
    assert survived >= set(begun[:-1])
    before = effects(left.parent)

    again = world.run([sys.executable, str(PROGRAM), str(left), str(left.parent / "effects"), RUN_ID])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == RESULT
    after = effects(left.parent)
    assert {key: after[key] for key in survived} == {key: before[key] for key in survived}


def test_store_with_normal_durability_stays_sound_though_it_may_have_lost_its_last_commits(
    library: Path, tmp_path: Path
) -> None:
    world, home = PowerLoss(library, tmp_path), tmp_path / "home"
    home.mkdir()
    done = world.run([sys.executable, str(PROGRAM), str(home), str(tmp_path / "effects"), RUN_ID, "event:60"])
    assert done.returncode == -9, done.stderr
    left = tmp_path / "left"
    world.rebuild(home, left)
    with DagsterInstance.from_config(str(left)) as instance:
        assert instance.store.check() == []
        assert instance.get_runs_count() <= 1
