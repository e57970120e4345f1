"""`treadle run`, called in this process: what is read, what is refused with which exit code, what is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import click
import pytest

from treadle.cli import main
from treadle.cli.commands import COMMANDS
from treadle.cli.exits import Exit
from treadle.cli.run import read_tags

ETL = """
from treadle import Field, job, op

seen = []

@op(config_schema={"rows": Field(int, default_value=1), "months": Field([int], is_required=False)})
def load(context):
    seen.append((dict(context.op_config), dict(context.run.tags), context.run_id))
    context.log.info(f"{context.op_config['rows']} rows")
    return context.op_config["rows"]

@op
def check(rows):
    if rows > 9:
        raise ValueError(f"too many rows: {rows}")

@job
def nightly():
    check(load())

@op(config_schema={"airport": str, "limit": int})
def strict(context): pass

@job
def demanding():
    strict()
"""


class Told(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What was printed, without times and ids."""
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", self.out)
        return [re.sub(r"^ +[\d.]+s  |\b[\d.]+m?s\b", "", line) for line in text.splitlines()]


Treadle = Callable[..., Told]


@pytest.fixture
def treadle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Treadle]:
    """Runs the command line in a folder that has etl.py."""
    path, modules = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etl.py").write_text(ETL)

    def call(*arguments: str) -> Told:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Told(code, out, err)

    yield call
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(name: str, text: str) -> None:
    Path(name).write_text(dedent(text))


def seen() -> Any:
    """Config, tags and run id that the op `load` saw last."""
    return sys.modules["etl"].seen[-1]


# -- a run -------------------------------------------------------------------------------------------------------------


def test_run_prints_its_steps_and_ends_with_a_summary(treadle: Treadle) -> None:
    told = treadle("run", "etl.py:nightly")
    assert told.code == Exit.SUCCESS
    assert told.err == ""
    assert told.lines == [
        "Running nightly (run ID)",
        "start     load",
        "info      load   1 rows",
        "done      load   in ",
        "start     check",
        "done      check  in ",
        "Run succeeded: 2 steps done in .",
    ]
    assert seen()[2] in told.out


def test_failed_run_has_an_exit_code_of_its_own(treadle: Treadle) -> None:
    told = treadle("run", "etl.py:nightly", "--set", "ops.load.config.rows=10")
    assert told.code == Exit.RUN_FAILED
    assert "           ValueError: too many rows: 10" in told.out.splitlines()
    assert told.lines[-1] == "Run failed after : check failed, 1 done."


def test_quiet_run_prints_its_summary_alone(treadle: Treadle) -> None:
    assert treadle("run", "etl.py:nightly", "--quiet").lines == ["Run succeeded: 2 steps done in ."]


def test_verbose_run_prints_every_event(treadle: Treadle) -> None:
    assert 'handled   load   Handled output "result" using IO manager "io_manager"' in (
        treadle("run", "etl.py:nightly", "--verbose").lines
    )


def test_tags_reach_the_run(treadle: Treadle) -> None:
    treadle("run", "etl.py:nightly", "--tag", "team=ops", "--tag", "note=a=b")
    assert seen()[1].items() >= {"team": "ops", "note": "a=b"}.items()


def test_module_is_run_from_the_current_folder(treadle: Treadle) -> None:
    assert treadle("run", "etl:nightly", "-q").code == Exit.SUCCESS


def test_interrupted_step_ends_the_run_with_130(treadle: Treadle) -> None:
    write("stop.py", "from treadle import job, op\n@op\ndef stop(): raise KeyboardInterrupt\n@job\ndef j(): stop()\n")
    told = treadle("run", "stop.py")
    assert told.code == Exit.INTERRUPTED
    assert told.lines[-1] == "Run was interrupted after ."


def test_interrupt_while_loading_says_so_in_one_line(treadle: Treadle) -> None:
    write("stop.py", "raise KeyboardInterrupt\n")
    told = treadle("run", "stop.py")
    assert (told.code, told.out, told.err.strip()) == (Exit.INTERRUPTED, "", "Interrupted.")


def test_interrupt_between_two_steps_ends_the_run(treadle: Treadle, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ctrl-C while a line is being printed
    from treadle.cli import live

    def stop(_line: Any, *_rest: Any) -> Iterator[str]:
        monkeypatch.undo()
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(live, "lay_out", stop)
    told = treadle("run", str(Path.cwd() / "etl.py") + ":nightly")
    assert told.code == Exit.INTERRUPTED
    assert told.lines[-1].startswith("Run was interrupted after")


# -- config -------------------------------------------------------------------------------------------------------------


def test_later_file_wins_and_a_setting_wins_over_files(treadle: Treadle) -> None:
    write("one.yaml", "ops: {load: {config: {rows: 2, months: [1, 2]}}}\n")
    write("two.yaml", "ops: {load: {config: {rows: 3}}}\n")
    treadle("run", "etl.py:nightly", "-c", "one.yaml", "-c", "two.yaml")
    assert seen()[0] == {"rows": 3, "months": [1, 2]}
    treadle("run", "etl.py:nightly", "--set", "ops.load.config.rows=4", "-c", "one.yaml", "-c", "two.yaml")
    assert seen()[0] == {"rows": 4, "months": [1, 2]}


def test_every_mistake_in_the_config_is_told_with_its_file_and_line(treadle: Treadle) -> None:
    write("bad.yaml", "ops:\n  strict:\n    config:\n      limit: many\n      airprot: EWR\n")
    told = treadle("run", "etl.py:demanding", "-c", "bad.yaml", "--set", "resorces.x=1")
    assert told.code == Exit.MISUSED
    assert told.out == ""
    lines = told.err.splitlines()
    assert re.fullmatch(r"Error: config for job \W?demanding\W?: 4 mistakes; nothing was run\.", lines[0])
    assert [line for line in lines[1:] if line[:5].strip()] == [
        "  1. --set resorces.x=1",
        "  2. bad.yaml:5",
        "  3. bad.yaml:3",
        "  4. bad.yaml:4",
    ]
    for part in ('Did you mean "resources"?', '"airprot"', '"airport"', 'Value "many"'):
        assert part in told.err
    assert "Traceback" not in told.err


def test_missing_config_says_how_to_give_it(treadle: Treadle) -> None:
    told = treadle("run", "etl.py:demanding")
    assert told.code == Exit.MISUSED
    assert 'Missing required config entry "ops" at the root.' in told.err
    assert told.err.endswith("Give config with -c FILE, or value by value with --set PATH=VALUE.\n")


def test_config_that_cannot_be_read_is_told_before_any_code_is_imported(treadle: Treadle) -> None:
    write("bad.yaml", "ops: [1\n")
    write("broken.py", "raise SystemExit\n")
    told = treadle("run", "broken.py", "-c", "bad.yaml")
    assert (told.code, told.out) == (Exit.MISUSED, "")
    assert told.err.startswith("Error: bad.yaml:2: not valid YAML: ")


def test_function_that_makes_config_and_raises_is_told_with_the_users_frames(treadle: Treadle) -> None:
    write(
        "configured.py",
        """
        from treadle import job, op, resource

        @resource(config_schema=str)
        def database(context): pass

        def address(config):
            raise ConnectionError("no table of addresses")

        @op(required_resource_keys={"database"})
        def query(): pass

        @job(resource_defs={"database": database.configured(address, config_schema={"n": int})})
        def nightly(): query()
        """,
    )
    told = treadle("run", "configured.py", "--set", "resources.database.config.n=1")
    assert told.code == Exit.MISUSED
    assert "ConnectionError: no table of addresses" in told.err
    assert '  File "configured.py", line 8, in address' in told.err


def test_resource_that_is_not_there_is_a_fault_of_the_definition(treadle: Treadle) -> None:
    write(
        "query.py",
        """
        from treadle import job, op

        @op(required_resource_keys={"database"})
        def query(): pass

        @job
        def nightly(): query()
        """,
    )
    told = treadle("run", "query.py")
    assert told.code == Exit.NOT_LOADED
    assert "'database'" in told.err or '"database"' in told.err
    assert "Traceback" not in told.err


def test_loggers_that_the_config_asks_for_have_their_say(treadle: Treadle) -> None:
    told = treadle("run", "etl.py:nightly", "--set", "loggers.console.config.log_level=INFO")
    assert "1 rows" in told.err
    assert "info      load   1 rows" in told.lines


# -- a job that is not there ----------------------------------------------------------------------------------------------


def test_exception_while_importing_shows_the_users_frames_alone(treadle: Treadle) -> None:
    write("broken.py", "def connect():\n    raise ConnectionError('no route')\n\nconnect()\n")
    told = treadle("run", "broken.py")
    assert told.code == Exit.NOT_LOADED
    lines = [line for line in told.err.splitlines() if set(line.strip()) - set("^~")]
    assert lines == [
        "Error: broken.py:2: cannot be imported: ConnectionError: no route",
        '  File "broken.py", line 4, in <module>',
        "    connect()",
        '  File "broken.py", line 2, in connect',
        "    raise ConnectionError('no route')",
    ]


def test_syntax_error_of_a_neighbour_tells_who_imported_it(treadle: Treadle) -> None:
    write("rows_of.py", "x = = 1\n")
    write("broken.py", "import rows_of\n")
    told = treadle("run", "broken.py")
    assert told.code == Exit.NOT_LOADED
    assert told.err.splitlines() == [
        "Error: rows_of.py:1: this is not valid Python: invalid syntax",
        "    x = = 1",
        "        ^",
        "imported by",
        '  File "broken.py", line 1, in <module>',
        "    import rows_of",
    ]


def test_graph_that_cannot_be_a_job_is_told_with_the_reason(treadle: Treadle) -> None:
    write(
        "graphs.py", "from treadle import graph, op\nclass Odd: pass\n@op\ndef f(x: Odd): pass\n@graph\ndef g(): f()\n"
    )
    told = treadle("run", "graphs.py:g")
    assert told.code == Exit.NOT_LOADED
    assert told.err.startswith('Error: "graphs.py:g" cannot be made a job. ')


@pytest.mark.parametrize("target", ["etl.py", "etl.py:nihgtly", "elt.py", "etl.py:load", "no.such.module", "etl.py:"])
def test_target_without_a_job_has_an_exit_code_of_its_own(treadle: Treadle, target: str) -> None:
    told = treadle("run", target)
    assert (told.code, told.out) == (Exit.NOT_LOADED, "")
    assert told.err.startswith("Error: ")
    assert "Traceback" not in told.err


# -- the command line ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "Missing argument 'FILE_OR_MODULE[:JOB]'."),
        (["run", "etl.py", "--nonsense"], "--nonsense"),
        (["run", "etl.py", "-q", "-v"], "--quiet and --verbose cannot be used together."),
        (["run", "etl.py", "--tag", "team"], "--tag team: expected KEY=VALUE, such as --tag team=ops."),
        (["run", "etl.py", "--set", "ops"], "--set ops: this has no =. Write PATH=VALUE"),
        (["run", "etl.py", "-c", "etl.yaml"], "etl.yaml: there is no such file."),
        (["rnu", "etl.py"], 'There is no command "rnu". Did you mean "run"?'),
        (["etl.py:nightly"], "To run a job write: treadle run etl.py:nightly"),
        (
            ["something"],
            'There is no command "something". Commands: run, resume, cancel, logs, runs, slots, gc, check.',
        ),
    ],
)
def test_wrong_usage_is_told_in_one_line(treadle: Treadle, arguments: list[str], told: str) -> None:
    code, out, err = treadle(*arguments)
    assert (code, out) == (Exit.MISUSED, "")
    assert told in err.splitlines()[-1]


def test_tag_needs_a_key_and_a_value() -> None:
    assert read_tags(["a=1", "b="]) == {"a": "1", "b": ""}
    for text in ("a", "=1", ""):
        with pytest.raises(click.UsageError):
            read_tags([text])


def test_help_lists_each_command_with_its_exit_codes(treadle: Treadle) -> None:
    told = treadle("--help")
    assert told.code == Exit.SUCCESS
    for name, line in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", told.out, re.MULTILINE)
    told = treadle("run", "-h")
    assert told.code == Exit.SUCCESS
    assert "Exit codes: 0 success, 1 the run failed, 2 usage or config error, 3 the job" in told.out
    assert "--set PATH=VALUE" in told.out


def test_each_command_says_in_its_help_what_the_list_says() -> None:
    from importlib import import_module

    for name, line in COMMANDS.items():
        command: click.Command = import_module(f"treadle.cli.{name}").command
        assert (command.help or "").startswith(line.rstrip("."))


def test_version_is_one_line(treadle: Treadle) -> None:
    told = treadle("--version")
    assert told.code == Exit.SUCCESS
    assert re.fullmatch(r"treadle \d+\.\d+\.\d+\S*\n", told.out)


def test_treadle_alone_shows_its_help(treadle: Treadle) -> None:
    told = treadle()
    assert told.code == Exit.MISUSED
    assert "Usage: treadle" in told.out + told.err
