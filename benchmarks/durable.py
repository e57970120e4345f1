"""Runs that last: what a step costs on a lasting instance, and what reading and resuming cost in a large store.

* A chain of 1,000 ops on a lasting instance with in-memory values, every step committed before the next one starts. Beside
  it, in the same run: the same rows written by bare sqlite3, one transaction a step; the same chain on an instance in
  memory; and Dagster on its default instance, where a peer interpreter has it.
* A store of 1,000,000 events: listing 50 runs, finding runs by a tag and events of one type over all runs, and reading the
  step summary and the log of one run; also in a store of 10,000 events.
* The resume of a run of 10,000 steps whose process died: until its first new step starts.

    durable.py [--peer PYTHON]... [--repeat N] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def chain_of(api: Any, size: int) -> Any:
    def make_op(number: int) -> Any:
        @api.op(name=f"op_{number}")
        def give_on(x):
            return x

        return give_on

    @api.op
    def start():
        return 0

    ops = [make_op(number) for number in range(size - 1)]

    @api.job(name="chain")
    def chain_job():
        value = start()
        for op in ops:
            value = op(value)

    return chain_job


# -- in a fresh interpreter: one measurement ------------------------------------------------------------------------------


def measure_chain(engine: str, size: int, where: str) -> dict[str, float]:
    """CPU and wall time of one run, and the growth of the files on disk."""
    api: Any = __import__(engine)
    job = chain_of(api, size)
    with tempfile.TemporaryDirectory() as folder:
        instance = api.DagsterInstance.ephemeral() if where == "memory" else api.DagsterInstance.local_temp(folder)
        chain_of(api, 3).execute_in_process(run_config=QUIET, instance=instance)
        before = size_of(folder)
        cpu, wall = time.process_time(), time.perf_counter()
        assert job.execute_in_process(run_config=QUIET, instance=instance).success
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if hasattr(instance, "store") and where != "memory":
            instance.dispose()
            with sqlite3.connect(Path(folder, "treadle.db")) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return {"cpu": cpu / size, "wall": wall / size, "bytes": (size_of(folder) - before) / size}


def measure_bare(size: int) -> dict[str, float]:
    """The rows of such a run, written by bare sqlite3 in one transaction a step."""
    import treadle

    with tempfile.TemporaryDirectory() as folder:
        instance = treadle.DagsterInstance.local_temp(folder)
        chain_of(treadle, size).execute_in_process(run_config=QUIET, instance=instance)
        instance.dispose()
        with sqlite3.connect(Path(folder, "treadle.db")) as source:
            events = source.execute("SELECT id, run, at, type, step, pid, body FROM events ORDER BY id").fetchall()
            steps = source.execute("SELECT * FROM steps ORDER BY number").fetchall()
            tables = [row[0] for row in source.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")]
        by_step = [events[start : start + 6] for start in range(0, len(events), 6)]
        target = sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("PRAGMA synchronous = NORMAL")
        for text in tables:
            target.execute(text)
        cpu, wall = time.process_time(), time.perf_counter()
        for rows, step in zip(by_step, [*steps, *steps[-1:] * (len(by_step) - len(steps))], strict=True):
            target.execute("BEGIN IMMEDIATE")
            target.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            target.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)", step)
            target.execute("COMMIT")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        target.close()
        return {"cpu": cpu / size, "wall": wall / size}


def measure_store(events: int) -> dict[str, float]:
    """Milliseconds to list 50 runs and to read one run's steps, in a store of so many events."""
    import treadle

    with tempfile.TemporaryDirectory() as folder:
        instance = treadle.DagsterInstance.local_temp(folder)
        job = chain_of(treadle, 20)
        run_ids = [
            job.execute_in_process(run_config=QUIET, instance=instance, tags={"number": str(number)}).run_id
            for number in range(80)
        ]
        fill(Path(folder, "treadle.db"), events)
        listing = timed(lambda: instance.get_run_records(limit=50))
        tagged = timed(lambda: instance.get_runs(treadle.RunsFilter(tags={"number": "3"}), limit=50))
        wanted = treadle.EventRecordsFilter(treadle.DagsterEventType.RUN_SUCCESS)
        ends = timed(lambda: instance.get_event_records(wanted, limit=50))
        steps = timed(lambda: instance.get_step_summaries(run_ids[3]))
        log = timed(lambda: instance.all_logs(run_ids[3]))
        instance.dispose()
        found = {"list": listing, "tagged": tagged, "ends": ends, "steps": steps, "log": log}
        return {name: seconds * 1000 for name, seconds in found.items()}


def fill(path: Path, events: int) -> None:
    """Copies of the runs that are there, until there are so many events."""
    connection = sqlite3.connect(path)
    has, runs = (connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("events", "runs"))
    copies = max(0, events // has)
    for copy in range(1, copies + 1):
        shift = copy * runs
        connection.execute(
            "INSERT INTO runs SELECT id + ?, 'copy-' || ? || '-' || run_id, job_name, status, snapshot_id, parent_run_id,"
            " created, updated, enqueued, launched, started, ended, materializations, expectations,"
            " replace(body, run_id, 'copy-' || ? || '-' || run_id) FROM runs WHERE id <= ?",
            (shift, copy, copy, runs),
        )
        connection.execute(
            "INSERT INTO steps SELECT run + ?, number, key, op, state, attempts, started, ended FROM steps WHERE run <= ?",
            (shift, runs),
        )
        connection.execute(
            "INSERT INTO run_tags SELECT run + ?, key, value FROM run_tags WHERE run <= ?", (shift, runs)
        )
        connection.execute(
            "INSERT INTO events (run, at, type, step, pid, body) SELECT run + ?, at, type, step, pid, body FROM events WHERE run <= ?",
            (shift, runs),
        )
    marked = "SELECT DISTINCT type FROM marks"
    connection.execute(f"INSERT OR IGNORE INTO marks SELECT type, id, run FROM events WHERE type IN ({marked})")
    connection.commit()
    connection.close()


def timed(call: Callable[[], Any], repeat: int = 15) -> float:
    call()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def measure_resume(size: int) -> dict[str, float]:
    """Seconds from the call of resume_run to the first new step of a run that died at its last step but ten."""
    import treadle

    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            job = resumable(treadle, size, dies=True)
            treadle.execute_job(recipe(treadle, job), treadle.DagsterInstance.from_config(folder), QUIET, run_id=RUN_ID)
            os._exit(1)
        os.waitpid(child, 0)
        with treadle.DagsterInstance.from_config(folder) as instance:
            first: list[float] = []
            job = resumable(treadle, size, dies=False, first=first)
            start = time.perf_counter()
            assert treadle.resume_run(RUN_ID, instance=instance, job=job).success
            return {"first": first[0] - start}


RUN_ID = "7b0a0f6e-0000-4000-8000-000000000000"
_JOB: list[Any] = []


def recipe(api: Any, job: Any) -> Any:
    _JOB[:] = [job]
    return api.build_reconstructable_job("__main__", "kept_job")


def kept_job() -> Any:
    return _JOB[0]


def resumable(api: Any, size: int, *, dies: bool, first: list[float] | None = None) -> Any:
    nothing = api.In(api.Nothing)

    def make_op(number: int) -> Any:
        @api.op(name=f"op_{number}", ins={"after": nothing})
        def work() -> None:
            if first is not None and not first:
                first.append(time.perf_counter())
            if dies and number == size - 10:
                os.kill(os.getpid(), 9)

        return work

    @api.op
    def start() -> None:
        pass

    ops = [make_op(number) for number in range(1, size)]

    @api.job(name="resumable", executor_def=api.in_process_executor)
    def resumable_job():
        value = start()
        for op in ops:
            value = op(value)

    return resumable_job


def size_of(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "chain": measure_chain, "bare": measure_bare, "store": measure_store, "resume": measure_resume,
}  # fmt: skip


# -- out here: all of them, and the table ---------------------------------------------------------------------------------


def run(python: str, name: str, *arguments: Any) -> dict[str, float]:
    """One measurement in a fresh interpreter."""
    command = [python, __file__, "--one", json.dumps([name, *arguments])]
    environment = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{name} {arguments} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def middle(found: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(each[key] for each in found) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one")
    options = parser.parse_args()
    if options.one:
        name, *arguments = json.loads(options.one)
        print(json.dumps(MEASURES[name](*arguments)))
        return
    size, events, long = (100, 20_000, 500) if options.quick else (1_000, 1_000_000, 10_000)
    repeat = 1 if options.quick else options.repeat
    rows = {"treadle, lasting": [], "treadle, in memory": [], "bare sqlite3": []}  # type: dict[str, list[dict[str, float]]]
    for _ in range(repeat):  # in turn, so that a slow moment of the machine meets all of them
        rows["treadle, lasting"].append(run(sys.executable, "chain", "treadle", size, "disk"))
        rows["treadle, in memory"].append(run(sys.executable, "chain", "treadle", size, "memory"))
        rows["bare sqlite3"].append(run(sys.executable, "bare", size))
    figures = {name: middle(found) for name, found in rows.items()}
    for peer in options.peer:
        has = subprocess.run([peer, "-c", "import dagster"], capture_output=True, check=False).returncode == 0
        if has:
            figures["dagster, default instance"] = run(peer, "chain", "dagster", size, "disk")
    print(f"## On a lasting instance: a chain of {size:,} no-op ops\n")
    print(
        "Medians; every step is committed before the next one starts. `benchmarks/durable.py` says what is measured.\n"
    )
    print("| what | wall, us an op | CPU, us an op | on disk, bytes an op |\n| --- | ---: | ---: | ---: |")
    for name, figure in figures.items():
        disk = f"{figure['bytes']:,.0f}" if figure.get("bytes") else ""
        print(f"| {name} | {figure['wall'] * 1e6:,.0f} | {figure['cpu'] * 1e6:,.0f} | {disk} |")
    lasting, memory, bare = (
        figures[name]["wall"] for name in ("treadle, lasting", "treadle, in memory", "bare sqlite3")
    )
    print(
        f"\nA lasting step costs {lasting / bare:.2f} times the bare rows, {(lasting - memory) / bare:.2f} times beyond the same step in"
    )
    print("memory (the budget is 2, in process cost apart).", end="")
    if "dagster, default instance" in figures:
        print(f" Dagster takes {figures['dagster, default instance']['wall'] / lasting:,.0f} times as long.", end="")
    print(
        "\n\n| store | list 50 runs, ms | find runs by a tag, ms | newest 50 ends of runs, ms | steps of one run, ms |"
        " log of one run, 127 entries, ms |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for count in (events // 100, events):
        found = run(sys.executable, "store", count)
        cells = " | ".join(f"{found[name]:.2f}" for name in ("list", "tagged", "ends", "steps", "log"))
        print(f"| {count:,} events | {cells} |")
    found = middle([run(sys.executable, "resume", long) for _ in range(min(3, repeat))])
    print(f"\nA run of {long:,} steps that died is resumed: its first new step starts after {found['first']:.2f} s.")


if __name__ == "__main__":
    main()
