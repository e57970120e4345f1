"""What a run has to say reaches its loggers and its event log, and nothing else."""

# ruff: noqa: LOG001 - loggers that nobody else knows are what is tested here

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from treadle import logs
from treadle.errors import CheckError, SerializableErrorInfo
from treadle.events import DagsterEvent, DagsterEventType, level_of
from treadle.names import NodeHandle
from treadle.payloads import EngineEventData, StepFailureData

RUN_ID = "5c3a1b2e"
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"


class Kept:
    """A recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, str | None, dict[str, Any] | None]] = []

    def __call__(self, level: int, text: str, step_key: str | None, extra: dict[str, Any] | None) -> None:
        self.entries.append((level, text, step_key, extra))


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def collecting_logger(level: int = logging.DEBUG) -> tuple[logging.Logger, Collector]:
    logger = logging.Logger("mine", level)
    collector = Collector()
    logger.addHandler(collector)
    return logger, collector


def console_run(level: int = logging.DEBUG) -> tuple[logs.RunLog, Kept]:
    kept = Kept()
    return logs.RunLog(RUN_ID, "nightly", [logs.console_logger(level=level)], kept), kept


def event(kind: DagsterEventType, message: str, step_key: str | None = None, data: Any = None) -> DagsterEvent:
    handle = NodeHandle.from_string(step_key) if step_key else None
    return DagsterEvent(kind.value, "nightly", None, handle, None, {}, data, message, 77, step_key)


@pytest.fixture
def enabled_logging() -> Iterator[None]:
    """Puts back what a test disabled."""
    yield
    logging.disable(logging.NOTSET)


# -- the console line -------------------------------------------------------------------------------------------------


def test_console_line_of_a_message_has_time_name_level_job_run_and_step(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, _ = console_run()
    run_log.for_step("load.one", "one").info("got %d rows", 3)
    line = capsys.readouterr().err
    assert re.fullmatch(rf"{STAMP} - dagster - INFO - nightly - {RUN_ID} - load\.one - got 3 rows\n", line)


def test_console_line_of_an_event_has_pid_and_the_type_by_its_run_name(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, _ = console_run()
    run_log.event(event(DagsterEventType.RUN_START, 'Started execution of run for "nightly".'))
    run_log.event(event(DagsterEventType.STEP_START, "Started.", "one"))
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f'DEBUG - nightly - {RUN_ID} - 77 - RUN_START - Started execution of run for "nightly".')
    assert second.endswith(f"DEBUG - nightly - {RUN_ID} - 77 - one - STEP_START - Started.")


def test_message_of_a_resource_names_the_resource_in_place_of_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, _ = console_run()
    run_log.for_resource("db", "one").info("connected")
    assert capsys.readouterr().err.endswith(f" - INFO - resource:db - {RUN_ID} - one - connected\n")


def test_failed_step_is_shown_at_error_level_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, _ = console_run()
    error = SerializableErrorInfo("ValueError: no such plane\n", ["  File x\n"], "ValueError")
    run_log.event(event(DagsterEventType.STEP_FAILURE, "It failed.", "one", StepFailureData(error)))
    text = capsys.readouterr().err
    assert " - ERROR - nightly" in text
    assert "It failed.\n\nValueError: no such plane" in text


@pytest.mark.parametrize(
    ("kind", "data", "level"),
    [
        (DagsterEventType.STEP_SUCCESS, None, logging.DEBUG),
        (DagsterEventType.STEP_UP_FOR_RETRY, None, logging.DEBUG),
        (DagsterEventType.ENGINE_EVENT, EngineEventData(), logging.DEBUG),
        (DagsterEventType.ENGINE_EVENT, EngineEventData(error=SerializableErrorInfo("x")), logging.ERROR),
        (DagsterEventType.STEP_FAILURE, None, logging.ERROR),
        (DagsterEventType.RUN_FAILURE, None, logging.ERROR),
        (DagsterEventType.HOOK_ERRORED, None, logging.ERROR),
        (DagsterEventType.RESOURCE_INIT_FAILURE, None, logging.ERROR),
    ],
)
def test_only_what_went_wrong_is_an_error(kind: DagsterEventType, data: Any, level: int) -> None:
    assert level_of(event(kind, "", None, data)) == level


def test_console_writes_to_the_stderr_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    run_log, _ = console_run()
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", elsewhere)
    run_log.message(logging.INFO, "here")
    assert elsewhere.getvalue().endswith(" - here\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_console_is_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    run_log, _ = console_run()
    for stream, is_coloured in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        run_log.message(logging.ERROR, "red")
        assert ("\x1b[31mERROR\x1b[0m" in stream.getvalue()) is is_coloured


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", Terminal())
    console_run()[0].message(logging.ERROR, "plain")
    assert "\x1b" not in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_lost_console_does_not_stop_a_run(monkeypatch: pytest.MonkeyPatch, stderr: str | None) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if stderr else None)
    run_log, kept = console_run()
    run_log.message(logging.INFO, "nobody hears")
    assert len(kept.entries) == 1


def test_console_logger_also_works_as_a_plain_logger(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logs.console_logger("tool", "warning")
    logger.info("unseen")
    logger.warning("seen %s", "once")
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("wrong")
    text = capsys.readouterr().err
    assert "unseen" not in text
    assert " - tool - WARNING - seen once\n" in text
    assert "ValueError: inside" in text


# -- levels -----------------------------------------------------------------------------------------------------------


def test_lowest_level_is_that_of_the_most_curious_logger() -> None:
    loud = logs.console_logger(level="WARNING")
    quiet = logs.console_logger(level="ERROR")
    assert logs.RunLog(RUN_ID, "j", [quiet, loud]).lowest_level == logging.WARNING
    assert logs.RunLog(RUN_ID, "j", []).lowest_level == logs.NO_LEVEL


def test_events_below_the_level_are_not_even_described() -> None:
    class Mute(DagsterEvent, frozen=True):
        @property
        def message(self) -> str:  # type: ignore[override]
            raise AssertionError("nobody asked for the text")

    run_log, _ = console_run(logging.INFO)
    run_log.event(Mute(DagsterEventType.STEP_START.value, "nightly"))


def test_console_shows_only_what_is_at_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, kept = console_run(logging.WARNING)
    log = run_log.for_step("one", "one")
    log.info("low")
    log.warning("high")
    assert [line.rpartition(" - ")[2] for line in capsys.readouterr().err.splitlines()] == ["high"]
    assert [entry[1] for entry in kept.entries] == ["low", "high"]


def test_level_names_are_read_in_any_case_and_unknown_ones_are_refused() -> None:
    assert logs.read_level("warning") == logging.WARNING
    assert logs.read_level(25) == 25
    with pytest.raises(CheckError, match=r"'WARNNG'.*Did you mean WARNING\?"):
        logs.read_level("WARNNG")


# -- context.log ------------------------------------------------------------------------------------------------------


def test_messages_are_recorded_with_level_step_and_extra() -> None:
    run_log, kept = console_run(logging.CRITICAL)
    log = run_log.for_step("one", "one")
    log.debug("a %s", "b")
    log.warning("w", extra={"rows": 3})
    log.log("info", {"an": "object"})
    log.log(25, "between")
    assert kept.entries == [
        (10, "a b", "one", None),
        (30, "w", "one", {"rows": 3}),
        (20, "{'an': 'object'}", "one", None),
        (25, "between", "one", None),
    ]


def test_exception_records_its_traceback_and_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, kept = console_run()
    try:
        raise ValueError("inside")
    except ValueError as error:
        run_log.for_step("one").exception("first")
        run_log.for_step("one").error("second", exc_info=error)
    for _, _, _, extra in kept.entries:
        assert extra is not None
        assert extra["exc_text"].endswith("ValueError: inside")
    assert capsys.readouterr().err.count("Traceback (most recent call last)") == 2


def test_message_from_a_worker_shows_the_traceback_it_brought(capsys: pytest.CaptureFixture[str]) -> None:
    run_log, _ = console_run()
    run_log.message(logging.ERROR, "broken", "one", "one", {"exc_text": "Traceback ...\nValueError: there"})
    assert capsys.readouterr().err.endswith("broken\nTraceback ...\nValueError: there\n")


def test_arguments_that_do_not_fit_do_not_fail_the_step() -> None:
    run_log, kept = console_run(logging.CRITICAL)
    log = run_log.for_step("one")
    log.info("%d rows of %s", 1)
    log.info("%(a)s", {"a": 3})
    log.info("100 %")
    texts = [entry[1] for entry in kept.entries]
    assert texts[0].startswith("%d rows of %s (1,)")
    assert texts[1:] == ["3", "100 %"]


def test_disabled_logging_drops_messages_but_not_the_event(
    enabled_logging: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run_log, kept = console_run()
    logging.disable(logging.CRITICAL)
    assert not run_log.for_step("one").isEnabledFor(logging.CRITICAL)
    run_log.for_step("one").critical("lost")
    run_log.message(logging.ERROR, "lost too")
    assert kept.entries == []
    assert capsys.readouterr().err == ""


def test_context_log_is_a_logger_of_its_own() -> None:
    run_log, kept = console_run(logging.CRITICAL)
    log = run_log.for_step("one")
    assert isinstance(log, logging.Logger)
    assert log.name == "dagster"
    assert logging.root.manager.loggerDict.get("dagster") is not log
    logging.LoggerAdapter(log, {"a": 1}).info("through an adapter")
    assert kept.entries == [(20, "through an adapter", "one", {"a": 1})]


def test_level_and_handlers_of_one_context_log_are_its_own() -> None:
    run_log, kept = console_run(logging.CRITICAL)
    log, other = run_log.for_step("one"), run_log.for_step("two")
    collector = Collector()
    log.addHandler(collector)
    log.setLevel("WARNING")
    log.info("dropped")
    log.warning("kept %d", 1)
    other.info("there")
    assert [record.getMessage() for record in collector.records] == ["kept 1"]
    assert [entry[1] for entry in kept.entries] == ["kept 1", "there"]
    assert log.getEffectiveLevel() == logging.WARNING


def test_log_of_a_context_built_by_hand_prints(capsys: pytest.CaptureFixture[str]) -> None:
    logs.system_log().info("by hand")
    assert capsys.readouterr().err.endswith(" - dagster - INFO - system - by hand\n")


# -- loggers of users -------------------------------------------------------------------------------------------------


def test_record_for_a_users_logger_has_the_line_and_the_facts() -> None:
    logger, collector = collecting_logger()
    run_log = logs.RunLog(RUN_ID, "nightly", [logger], None, {"team": "x"})
    run_log.for_step("load.one", "one").warning("100 %% of %s", "it", extra={"rows": 3})
    (record,) = collector.records
    assert record.getMessage() == f"nightly - {RUN_ID} - load.one - 100 % of it"
    assert record.rows == 3  # type: ignore[attr-defined]
    meta = record.dagster_meta  # type: ignore[attr-defined]
    assert meta["orig_message"] == "100 % of it"
    assert (meta["run_id"], meta["job_name"], meta["job_tags"]) == (RUN_ID, "nightly", {"team": "x"})
    assert (meta["op_name"], meta["step_key"], meta["dagster_event"]) == ("one", "load.one", None)


def test_record_names_the_line_of_the_user_who_logged() -> None:
    logger, collector = collecting_logger()
    log = logs.RunLog(RUN_ID, "nightly", [logger]).for_step("one")
    log.info("from here")
    log.log("info", "and here")
    assert [(record.pathname, record.funcName) for record in collector.records] == [
        (__file__, "test_record_names_the_line_of_the_user_who_logged")
    ] * 2


def test_event_comes_with_its_record() -> None:
    logger, collector = collecting_logger()
    happened = event(DagsterEventType.STEP_START, "Started.", "outer.one")
    logs.RunLog(RUN_ID, "nightly", [logger]).event(happened)
    (record,) = collector.records
    assert record.dagster_event is happened  # type: ignore[attr-defined]
    assert record.dagster_meta["dagster_event"] is happened  # type: ignore[attr-defined]
    assert record.dagster_meta["op_name"] == "one"  # type: ignore[attr-defined]


def test_message_of_a_resource_tells_its_name() -> None:
    logger, collector = collecting_logger()
    logs.RunLog(RUN_ID, "nightly", [logger]).for_resource("db").info("connected")
    assert collector.records[0].dagster_meta["resource_name"] == "db"  # type: ignore[attr-defined]


def test_logger_with_its_own_log_method_gets_everything() -> None:
    said: list[tuple[Any, ...]] = []

    class Own(logging.Logger):
        def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
            said.append((level, msg, sorted(kwargs)))

    run_log = logs.RunLog(RUN_ID, "nightly", [Own("own", logging.CRITICAL)])
    assert run_log.lowest_level == logging.NOTSET
    run_log.for_step("one").debug("fine")
    assert said == [(10, f"nightly - {RUN_ID} - one - fine", ["exc_info", "extra"])]


def test_each_logger_gets_what_is_at_its_own_level(capsys: pytest.CaptureFixture[str]) -> None:
    logger, collector = collecting_logger(logging.ERROR)
    log = logs.RunLog(RUN_ID, "nightly", [logger, logs.console_logger(level="WARNING")]).for_step("one")
    log.addHandler(high := Collector())
    high.setLevel(logging.ERROR)
    log.setLevel("INFO")
    log.log("debug", "none")
    for level in ("info", "warning", "error"):
        log.log(level, level)
    assert [record.levelname for record in collector.records] == ["ERROR"]
    assert [record.levelname for record in high.records] == ["ERROR"]
    assert [line.rpartition(" - ")[2] for line in capsys.readouterr().err.splitlines()] == ["warning", "error"]


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_json_logger_without_a_console_stays_quiet(monkeypatch: pytest.MonkeyPatch, stderr: str | None) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if stderr else None)
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Broken(logging.Logger):
        def log(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("out of paper")

    logs.RunLog(RUN_ID, "nightly", [logs.json_logger(), Broken("b")]).message(logging.INFO, "x")


def test_broken_logger_is_reported_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(logging.Logger):
        def log(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("out of paper")

    logger, collector = collecting_logger()
    logs.RunLog(RUN_ID, "nightly", [Broken("b"), logger]).for_step("one").info("hello")
    assert len(collector.records) == 1
    text = capsys.readouterr().err
    assert "raised an exception while it logged" in text
    assert "out of paper" in text


# -- JSON -------------------------------------------------------------------------------------------------------------


def test_json_line_is_one_object_with_the_record_and_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    run_log = logs.RunLog(RUN_ID, "nightly", [logs.json_logger("machine", "INFO")])
    log = run_log.for_step("one", "one")
    log.debug("too low")
    log.info("two\nlines", extra={"odd": object})
    run_log.event(event(DagsterEventType.RUN_FAILURE, "It failed."))
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["name"], first["levelname"], first["dagster_meta"]["orig_message"]) == (
        "machine",
        "INFO",
        "two\nlines",
    )
    assert first["odd"] == repr(object)
    assert list(first) == sorted(first)
    assert second["dagster_meta"]["dagster_event"]["event_type_value"] == "PIPELINE_FAILURE"


def test_json_line_of_an_exception_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.RunLog(RUN_ID, "nightly", [logs.json_logger()]).for_step("one")
    try:
        raise ValueError("inside")
    except ValueError:
        log.exception("wrong")
    line = json.loads(capsys.readouterr().err)
    assert line["exc_info"] == "ValueError: inside"
    assert line["exc_text"].startswith("Traceback")


# -- loggers of modules -----------------------------------------------------------------------------------------------


def test_logger_of_a_module_forwards_to_the_step_that_runs() -> None:
    class Context:
        log = logs.RunLog(RUN_ID, "nightly", [], kept := Kept()).for_step("one")

    logger = logs.get_dagster_logger("loading")
    logger.info("outside")
    token = logs.active_context.set(Context())
    try:
        logger.info("inside %d", 1)
        logs.get_dagster_logger().debug("top")
    finally:
        logs.active_context.reset(token)
    assert Context.kept.entries == [(20, "inside 1", "one", None), (10, "top", "one", None)]
    assert (logs.get_dagster_logger().name, logger.name) == ("dagster.builtin", "dagster.builtin.loading")


def test_library_leaves_other_loggers_alone() -> None:
    before = list(logging.root.handlers), list(logging.getLogger("dagster").handlers)
    run_log, _ = console_run(logging.CRITICAL)
    run_log.for_step("one").info("x")
    assert (list(logging.root.handlers), list(logging.getLogger("dagster").handlers)) == before
