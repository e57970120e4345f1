"""No-op ops in process: what defining and running one op costs, and whether that grows with their number.

Shapes: a chain and a fan of distinct ops (each made by a factory), and a map over a dynamic output, collected.
Each measurement has a fresh interpreter, which first runs a small job of the same shape, so that what is loaded on
first use is loaded. Times are medians over the repeats of the CPU time of that process, all its threads together: every
engine here computes and hardly waits, and CPU time is not blurred by what else the machine does. Peak memory is the
highest resident size of that process.

    in_process.py [--peer PYTHON]... [--repeat N] [--quick]

A peer interpreter is measured with whichever it has of dagster and hamilton; so is this one with hamilton.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

#: (shape, number of ops); a peer, being slower, gets the short ones only
CASES = [("chain", 1_000), ("chain", 10_000), ("fan", 1_000), ("map", 1_000)]
PEER_CASES = [("chain", 1_000), ("fan", 1_000), ("map", 1_000)]
QUICK_CASES = [("chain", 100), ("chain", 1_000), ("fan", 100), ("map", 100)]
QUICK_PEER_CASES = [("chain", 100), ("fan", 100), ("map", 100)]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

#: defines a job of n ops; gives a function that plans and runs it, which gives the number of events kept
Define = Callable[[int], Callable[[], int]]


# -- in the fresh interpreter: one measurement ----------------------------------------------------------------------


def op_api_shapes(api: Any) -> dict[str, Define]:
    """The shapes for `treadle` and `dagster`, which share one API."""

    def runner(job: Any) -> Callable[[], int]:
        def run() -> int:
            result = job.execute_in_process(run_config=QUIET)
            assert result.success
            return len(result.all_events)

        return run

    def make_op(number: int) -> Any:
        @api.op(name=f"op_{number}")
        def give_on(x):
            return x

        return give_on

    @api.op
    def start():
        return 0

    def chain(size: int) -> Callable[[], int]:
        ops = [make_op(number) for number in range(size - 1)]

        @api.job(name="chain")
        def chain_job():
            value = start()
            for op in ops:
                value = op(value)

        return runner(chain_job)

    def fan(size: int) -> Callable[[], int]:
        ops = [make_op(number) for number in range(size - 1)]

        @api.job(name="fan")
        def fan_job():
            value = start()
            for op in ops:
                op(value)

        return runner(fan_job)

    def mapped(size: int) -> Callable[[], int]:
        give_on = make_op(0)

        @api.op(out=api.DynamicOut())
        def branch():
            for number in range(size):
                yield api.DynamicOutput(number, mapping_key=f"key_{number}")

        @api.op
        def count(values):
            assert len(values) == size

        @api.job(name="mapped")
        def map_job():
            count(branch().map(give_on).collect())

        return runner(map_job)

    return {"chain": chain, "fan": fan, "map": mapped}


def hamilton_shapes() -> dict[str, Define]:
    """A chain and a fan for Hamilton, which keeps no events; it has no like of a map in process."""
    from hamilton import ad_hoc_utils, driver

    def make_function(number: int, upstream: str | None) -> Any:
        parameter = f"{upstream}: int" if upstream else ""
        source = f"def op_{number}({parameter}) -> int:\n    return {upstream or 0}\n"
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        return namespace[f"op_{number}"]

    def runner(functions: list[Any], wanted: list[str]) -> Callable[[], int]:
        module = ad_hoc_utils.create_temporary_module(*functions)
        built = driver.Builder().with_modules(module).build()

        def run() -> int:
            built.execute(wanted)
            return 0

        return run

    def chain(size: int) -> Callable[[], int]:
        functions = [make_function(number, f"op_{number - 1}" if number else None) for number in range(size)]
        return runner(functions, [f"op_{size - 1}"])

    def fan(size: int) -> Callable[[], int]:
        functions = [make_function(number, "op_0" if number else None) for number in range(size)]
        return runner(functions, [f"op_{number}" for number in range(1, size)])

    return {"chain": chain, "fan": fan}


def peak_memory() -> float:
    """The highest resident size of this process, in MiB."""
    try:
        # Not ru_maxrss where it can be helped: on Linux that begins with the size of the process that forked us.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        import resource

        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size / (2**20 if sys.platform == "darwin" else 2**10)


def measure(engine: str, shape: str, size: int) -> dict[str, float]:
    if engine == "hamilton":
        sys.setrecursionlimit(100_000)  # it walks a chain by recursion, and fails past a few hundred ops without this
        shapes = hamilton_shapes()
    else:
        shapes = op_api_shapes(__import__(engine))
    if shape not in shapes:
        return {}
    shapes[shape](3)()
    gc.collect()
    started = time.process_time()
    run = shapes[shape](size)
    defined = time.process_time()
    events = run()
    done = time.process_time()
    return {"define": defined - started, "run": done - defined, "memory": peak_memory(), "events": events}


# -- in this interpreter: asking for measurements and telling ------------------------------------------------------


def has(python: str, package: str) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def ask(python: str, engine: str, case: tuple[str, int], repeat: int) -> dict[str, float]:
    """The medians of one case, each repeat in a fresh interpreter; empty where the engine cannot do it."""
    shape, size = case
    command = [python, __file__, "--one", engine, shape, str(size)]
    environment = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "yes", "HAMILTON_TELEMETRY_ENABLED": "false"}
    answers = []
    for _ in range(repeat):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{engine}, {shape} of {size}: failed: {reason}", file=sys.stderr)
            return {}
        answers.append(json.loads(done.stdout.splitlines()[-1]))
    if not all(answers):
        return {}
    return {key: median(answer[key] for answer in answers) for key in answers[0]}


def engines(peers: list[str]) -> list[tuple[str, str]]:
    """(engine, interpreter) of all that can be measured, Treadle first."""
    found = [("treadle", sys.executable)]
    for python in [sys.executable, *peers]:
        found += [(name, python) for name in ("dagster", "hamilton") if name not in dict(found) and has(python, name)]
    return found


def tell(results: dict[tuple[str, str, int], dict[str, float]]) -> None:
    print("## In process: no-op ops\n")
    print("CPU time, median of the repeats; `benchmarks/in_process.py` says what exactly is measured.\n")
    print("| engine | shape | ops | define, us an op | plan and run, us an op | events an op | peak memory, MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (engine, shape, size), each in results.items():
        define, run = (each[key] / size * 1e6 for key in ("define", "run"))
        print(
            f"| {engine} | {shape} | {size:,} | {define:,.1f} | {run:,.1f} "
            f"| {each['events'] / size:.1f} | {each['memory']:.0f} |"
        )
    tell_scaling(results)
    tell_ratios(results)


def tell_scaling(results: dict[tuple[str, str, int], dict[str, float]]) -> None:
    sizes = sorted({size for engine, shape, size in results if engine == "treadle" and shape == "chain"})
    if len(sizes) < 2:
        return
    short, long = (results["treadle", "chain", size] for size in (sizes[0], sizes[-1]))
    growth = sizes[-1] / sizes[0]
    print(f"\nGrowth of the time an op in a chain, from {sizes[0]:,} to {sizes[-1]:,} ops (1.00 is linear):")
    print(f"define {long['define'] / short['define'] / growth:.2f}, run {long['run'] / short['run'] / growth:.2f}.")


def tell_ratios(results: dict[tuple[str, str, int], dict[str, float]]) -> None:
    rows = []
    for (engine, shape, size), each in results.items():
        ours = results.get(("treadle", shape, size))
        if engine != "treadle" and ours:
            ratios = [f"{each[key] / ours[key]:,.2f}" for key in ("define", "run", "memory")]
            rows.append(f"| {engine} | {shape} | {size:,} | {' | '.join(ratios)} |")
    if rows:
        print("\nPeers as multiples of Treadle, measured in the same run:\n")
        print("| peer | shape | ops | define | plan and run | peak memory |")
        print("| --- | --- | ---: | ---: | ---: | ---: |")
        print("\n".join(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="PYTHON", help="an interpreter with a peer")
    parser.add_argument("--repeat", type=int, default=5, help="fresh interpreters a case (peers get at most two)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the ops, to see that it works")
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "SHAPE", "OPS"), help="one measurement, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        engine, shape, size = arguments.one
        print(json.dumps(measure(engine, shape, int(size))))
        return
    results: dict[tuple[str, str, int], dict[str, float]] = {}
    for engine, python in engines(arguments.peer):
        own, peer = (QUICK_CASES, QUICK_PEER_CASES) if arguments.quick else (CASES, PEER_CASES)
        # Hamilton is quick enough for every size that it has a shape for.
        for case in peer if engine == "dagster" else own:
            print(f"{engine}: {case[0]} of {case[1]:,}", file=sys.stderr)
            answer = ask(python, engine, case, min(arguments.repeat, 2) if engine == "dagster" else arguments.repeat)
            if answer:
                results[(engine, *case)] = answer
    tell(results)


if __name__ == "__main__":
    main()
