"""A person at a shell: `treadle run` in real processes, what it prints and how it exits."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

TREADLE = str(Path(sys.executable).with_name("treadle"))

JOBS = """
import sys
import time
from pathlib import Path

from treadle import AssetMaterialization, Field, MetadataValue, job, op, resource


@op(config_schema={"rows": Field(int, default_value=2)})
def load(context):
    context.log.info("naïve café ✈")
    return context.op_config["rows"]


def parse(rows):
    return 10 // (rows - 3)


@op
def write(context, rows):
    parse(rows)
    print("written", flush=True)
    report = MetadataValue.path(Path("out/report.md").absolute())
    context.log_event(AssetMaterialization("report", metadata={"path": report}))
    return rows


@op
def publish(rows):
    pass


@job
def nightly():
    publish(write(load()))


@resource
def lease():
    yield "lease"
    print("lease given back", flush=True)


@op(required_resource_keys={"lease"})
def sleep(rows):
    Path("asleep").touch()
    time.sleep(60)


@job(resource_defs={"lease": lease})
def slow():
    publish(sleep(load()))


@op
def talk(context):
    for number in range(20_000):
        context.log.info(f"line {number}")


@op
def leave_word(talked):
    Path("word").touch()


@job
def talkative():
    leave_word(talk())
"""


class Told(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "PYTHONUNBUFFERED")}
    return {**kept, "TERM": "xterm", **changes}


def treadle(folder: Path, *arguments: str, program: tuple[str, ...] = (TREADLE,), **changes: str) -> Told:
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Told(done.returncode, done.stdout, done.stderr)


def without_times(text: str) -> list[str]:
    """The lines that were printed, without times and the run's id."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    return [re.sub(r"^ +[\d.]+s  |\b[\d.]+m?s\b", "", line) for line in text.splitlines()]


# -- runs ----------------------------------------------------------------------------------------------------------------


def test_success_prints_each_step_what_was_made_and_a_summary(folder: Path) -> None:
    code, out, err = treadle(folder, "run", "jobs.py:nightly")
    assert (code, err) == (0, "")
    assert without_times(out) == [
        "Running nightly (run ID)",
        "start     load",
        "info      load     naïve café ✈",
        "done      load     in ",
        "start     write",
        "written",
        "made      write    report  out/report.md",
        "done      write    in ",
        "start     publish",
        "done      publish  in ",
        "Run succeeded: 3 steps done in .",
    ]


def test_failure_prints_the_users_own_lines_and_exits_with_1(folder: Path) -> None:
    code, out, err = treadle(folder, "run", "jobs.py:nightly", "--set", "ops.load.config.rows=3")
    assert (code, err) == (1, "")
    printed = [line for line in without_times(out) if set(line.strip()) - set("^~")]
    assert printed[4:] == [
        "start     write",
        "FAILED    write    after ",
        "           ZeroDivisionError: integer division or modulo by zero",
        '             File "jobs.py", line 21, in write',
        "               parse(rows)",
        '             File "jobs.py", line 16, in parse',
        "               return 10 // (rows - 3)",
        "not run   publish  needs write",
        "Run failed after : write failed, 1 done, 1 not run.",
    ]


def test_two_files_and_a_setting_are_one_config(folder: Path) -> None:
    (folder / "one.yaml").write_text("ops:\n  load:\n    config: {rows: 3}\nloggers: {}\n")
    (folder / "two.yaml").write_text("ops: {load: {config: {rows: 4}}}\n")
    run = ["run", "jobs.py:nightly", "-c", "one.yaml"]
    assert treadle(folder, *run).code == 1
    assert treadle(folder, *run, "-c", "two.yaml").code == 0
    assert treadle(folder, *run, "-c", "two.yaml", "--set", "ops.load.config.rows=3").code == 1


def test_module_and_python_m_are_other_ways_to_say_the_same(folder: Path) -> None:
    code, out, err = treadle(folder, "run", "jobs:nightly", "-q", program=(sys.executable, "-m", "treadle"))
    assert (code, without_times(out), err) == (0, ["written", "Run succeeded: 3 steps done in ."], "")


def test_version_is_told_at_once() -> None:
    code, out, err = treadle(Path.cwd(), "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"treadle \d+\.\d+\.\d+\S*\n", out)
    assert treadle(Path.cwd(), "--version", program=(sys.executable, "-m", "treadle")).out == out


def test_version_loads_no_part_of_the_engine_and_no_terminal_library() -> None:
    code = "import sys; from treadle.cli import main; main(['--version']); print(*sys.modules)"
    loaded = set(treadle(Path.cwd(), "-c", code, program=(sys.executable,)).out.split())
    ours = {name for name in loaded if name.partition(".")[0] == "treadle"}
    assert ours == {"treadle", "treadle.cli", "treadle.cli.commands", "treadle.cli.exits"}
    assert {"rich", "yaml", "pydantic", "msgspec", "asyncio"} & loaded == set()


def test_running_a_plain_job_loads_no_yaml_and_no_rich(folder: Path) -> None:
    code = "import sys; from treadle.cli import main; main(['run', '-q', 'jobs.py:nightly']); print(*sys.modules)"
    loaded = set(treadle(folder, "-c", code, program=(sys.executable,)).out.split())
    assert {"rich", "yaml", "pydantic", "asyncio", "multiprocessing"} & loaded == set()


# -- mistakes --------------------------------------------------------------------------------------------------------------


def refused(folder: Path, *arguments: str) -> Told:
    """What a call says that was refused: nothing on stdout, no traceback."""
    told = treadle(folder, "run", *arguments)
    assert told.out == ""
    assert "Traceback" not in told.err
    assert "site-packages" not in told.err
    return told


def test_config_mistakes_are_told_all_together_with_their_lines(folder: Path) -> None:
    (folder / "bad.yaml").write_text("ops:\n  load:\n    config:\n      rows: many\n  laod: {}\n")
    code, _, err = refused(folder, "jobs.py:nightly", "-c", "bad.yaml")
    assert code == 2
    assert "2 mistakes; nothing was run." in err
    for part in ("bad.yaml:5\n", '"laod"', 'Did you mean "load"?', "bad.yaml:4\n", 'Value "many"'):
        assert part in err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ops: [1\n", "Error: bad.yaml:2: not valid YAML: "),
        ("ops: {}\nops: {}\n", 'Error: bad.yaml:2: the key "ops" is given twice in one mapping; it stands in line 1'),
        ("- ops\n", "Error: bad.yaml: expected a mapping such as "),
    ],
)
def test_yaml_mistake_is_told_with_file_and_line(folder: Path, text: str, told: str) -> None:
    (folder / "bad.yaml").write_text(text)
    code, _, err = refused(folder, "jobs.py:nightly", "-c", "bad.yaml")
    assert code == 2
    assert err.startswith(told)


def test_missing_config_file_is_told_with_the_nearest(folder: Path) -> None:
    (folder / "run.yaml").touch()
    assert refused(folder, "jobs.py:nightly", "-c", "rnu.yaml") == (
        2,
        "",
        'Error: rnu.yaml: there is no such file. Did you mean "run.yaml"?\n',
    )


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("job.py", 'Error: "job.py" does not exist. Did you mean "jobs.py"?\n'),
        (
            "jobs.py",
            'Error: "jobs.py" has 3 jobs: nightly, slow, talkative. Say which, for example "jobs.py:nightly".\n',
        ),
        (
            "jobs.py:nightyl",
            'Error: "jobs.py" has no job called "nightyl". Did you mean "nightly"? Its jobs: nightly, slow, talkative.\n',
        ),
        ("empty.py", 'Error: "empty.py" has no job. A job is made with @job above a function that calls ops, or with'),
        ("broken.py", "Error: broken.py:2: this is not valid Python: invalid syntax\n    x = = 1\n        ^\n"),
        ("raising.py", "Error: raising.py:1: cannot be imported: ZeroDivisionError: division by zero\n  File"),
        ("jbos:nightly", 'Error: There is no module "jbos": nothing is called "jbos" in '),
    ],
)
def test_job_that_cannot_be_loaded_is_told_with_the_reason(folder: Path, target: str, told: str) -> None:
    (folder / "empty.py").write_text("")
    (folder / "broken.py").write_text("y = 1\nx = = 1\n")
    (folder / "raising.py").write_text("1 / 0\n")
    code, _, err = refused(folder, target)
    assert code == 3
    assert err.startswith(told)


# -- what happens around a run ---------------------------------------------------------------------------------------------


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def test_ctrl_c_ends_the_run_closes_its_resources_and_exits_with_130(folder: Path) -> None:
    process = subprocess.Popen(
        [TREADLE, "run", "jobs.py:slow"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    wait_for(folder / "asleep")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert without_times(out)[-4:] == [
        "start     sleep",
        "FAILED    sleep    after : interrupted",
        "lease given back",
        "Run was interrupted after : 1 done, 1 not run.",
    ]


def test_run_goes_on_where_the_reader_of_its_lines_goes_away(folder: Path) -> None:
    process = subprocess.Popen(
        [TREADLE, "run", "jobs.py:talkative"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=30)) == (b"", 0)
    process.stderr.close()
    assert (folder / "word").exists()


def test_lines_arrive_while_the_run_goes_on(folder: Path) -> None:
    process = subprocess.Popen(
        [TREADLE, "run", "jobs.py:slow"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    wait_for(folder / "asleep")
    ready, _, _ = select.select([process.stdout], [], [], 10)
    assert ready
    assert b"Running slow" in os.read(process.stdout.fileno(), 10_000)
    process.kill()
    process.wait()
    process.stdout.close()


def test_letters_that_a_terminal_lacks_are_escaped(folder: Path) -> None:
    code, out, _ = treadle(folder, "run", "jobs.py:nightly", PYTHONIOENCODING="ascii")
    assert code == 0
    assert "info      load     na\\xefve caf\\xe9 \\u2708" in without_times(out)


def on_a_terminal(folder: Path, *arguments: str, **changes: str) -> str:
    """What a terminal gets from a call."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [TREADLE, *arguments], cwd=folder, env=environment(**changes), stdout=inner, stderr=inner, stdin=inner
    )
    os.close(inner)
    got = b""
    while True:
        try:
            chunk = os.read(outer, 10_000)
        except OSError:  # how Linux says that the other end is closed
            break
        if not chunk:
            break
        got += chunk
    os.close(outer)
    process.wait(timeout=30)
    return got.decode()


def test_terminal_has_colours_and_a_pipe_has_none(folder: Path) -> None:
    assert "\x1b" not in treadle(folder, "run", "jobs.py:nightly").out
    assert "\x1b[32mdone    \x1b[0m  load" in on_a_terminal(folder, "run", "jobs.py:nightly")
    assert "\x1b" not in on_a_terminal(folder, "run", "jobs.py:nightly", NO_COLOR="1")


def test_help_is_short_and_names_the_exit_codes(folder: Path) -> None:
    code, out, err = treadle(folder, "run", "--help")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) < 30
    assert "Exit codes: 0 success" in out
