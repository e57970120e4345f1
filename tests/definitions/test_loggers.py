"""Logger definitions make the loggers that runs write to."""

# ruff: noqa: LOG001 - loggers that nobody else knows are what is tested here

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from treadle import OpExecutionContext, TreadleLoggerWarning, job, logs, op
from treadle.config.sugar import Field
from treadle.contexts import InitLoggerContext
from treadle.definitions.loggers import (
    LoggerDefinition,
    colored_console_logger,
    default_loggers,
    json_console_logger,
    logger,
)
from treadle.errors import CheckError, DagsterInvalidConfigError, DagsterInvalidDefinitionError, ParameterCheckError
from treadle.errors import DagsterInvalidInvocationError as InvalidInvocation


@logger({"level": Field(str, default_value="INFO")}, "Mine.")
def mine(init_context: InitLoggerContext) -> logging.Logger:
    return logging.Logger("mine", init_context.logger_config["level"])


@logger
def plain(init_context: InitLoggerContext) -> logging.Logger:
    """Plain as it is."""
    return logging.Logger("plain")


def test_definition_has_schema_and_description() -> None:
    assert (mine.description, plain.description) == ("Mine.", "Plain as it is.")
    assert not plain.has_config_field
    assert mine.config_field.default_value == {"level": "INFO"}
    assert logger(str, "D")(lambda context: logging.Logger("x")).config_field.is_required
    assert LoggerDefinition(lambda context: logging.Logger("x")).description is None


def test_logger_can_be_called_in_a_test() -> None:
    assert mine(InitLoggerContext({"level": "ERROR"})).level == logging.ERROR
    assert mine(init_context=InitLoggerContext()).level == logging.INFO
    assert mine(None).level == logging.INFO
    assert plain(None).name == "plain"
    with pytest.raises(DagsterInvalidConfigError, match="Error in config for logger"):
        mine(InitLoggerContext({"level": 5}))


def test_wrong_direct_call_is_refused() -> None:
    with pytest.raises(InvalidInvocation, match="no context argument was provided"):
        mine()
    with pytest.raises(InvalidInvocation, match="multiple arguments"):
        mine(1, 2)
    with pytest.raises(InvalidInvocation, match="expected argument 'init_context'"):
        mine(context=InitLoggerContext())


@pytest.mark.parametrize("wrong", [lambda a, b: None, lambda *, a: None])
def test_function_that_does_not_take_one_context_is_refused(wrong: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="must take one positional argument"):
        logger(wrong)


def test_function_of_nothing_makes_a_logger_without_a_context() -> None:
    lonely = logger(lambda: logging.Logger("lonely"))
    assert lonely.make(InitLoggerContext(), "key").name == "lonely"
    assert lonely().name == "lonely"
    with pytest.raises(InvalidInvocation, match="no context argument"):
        lonely(None)


def test_callable_that_hides_its_parameters_is_taken() -> None:
    assert isinstance(LoggerDefinition(dict), LoggerDefinition)  # type: ignore[arg-type]


def test_only_functions_make_loggers() -> None:
    with pytest.raises(ParameterCheckError, match="not callable"):
        LoggerDefinition(logging.Logger("x"))  # type: ignore[arg-type]


def test_function_must_return_something_that_logs() -> None:
    assert plain.make(InitLoggerContext(), "p").name == "plain"
    adapter = logging.LoggerAdapter(logging.Logger("x"), {})
    assert logger(lambda context: adapter).make(InitLoggerContext(), "a") is adapter
    with pytest.raises(CheckError, match=r'Logger "odd": the logger function returned 5 \(a int\)'):
        logger(lambda context: 5).make(InitLoggerContext(), "odd")  # type: ignore[arg-type,return-value]


def test_config_can_be_filled_in() -> None:
    assert mine.configured({"level": "ERROR"})(None).level == logging.ERROR


# -- of a job ------------------------------------------------------------------------------------------------------------


@op
def work(context: OpExecutionContext) -> None:
    context.log.info("at work")


def test_job_whose_run_config_chooses_none_of_its_loggers_warns_and_logs_to_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @job(logger_defs={"mine": mine})
    def nightly() -> None:
        work()

    with pytest.warns(TreadleLoggerWarning, match=r"\['mine'\], but its run config chooses none.*loggers: {mine: {}}"):
        nightly.execute_in_process()
    assert "at work" in capsys.readouterr().err
    with pytest.warns(TreadleLoggerWarning):
        nightly.execute_in_process(run_config={"loggers": {}})
    capsys.readouterr()
    nightly.execute_in_process(run_config={"loggers": {"mine": {}}})  # warnings are errors in tests
    assert capsys.readouterr().err == ""


def test_empty_dict_of_loggers_means_those_that_jobs_have_by_default() -> None:
    @job(logger_defs={})
    def nightly() -> None:
        work()

    assert nightly.loggers == default_loggers()
    assert nightly.execute_in_process(run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}).success


@pytest.mark.parametrize("wrong", [{"mine": logging.Logger("x")}, [mine]])
def test_what_is_no_logger_definition_is_refused_where_the_job_is_made(wrong: Any) -> None:
    with pytest.raises(ParameterCheckError, match='job "nightly": Param "logger_defs'):

        @job(logger_defs=wrong)
        def nightly() -> None:
            work()


# -- the built-in ones ---------------------------------------------------------------------------------------------------


def test_default_is_the_console() -> None:
    assert default_loggers() == {"console": colored_console_logger}


@pytest.mark.parametrize("definition", [colored_console_logger, json_console_logger])
def test_built_in_loggers_have_level_and_name(definition: LoggerDefinition) -> None:
    made = definition(None)
    assert (made.name, made.level) == ("dagster", logging.INFO)
    made = definition(InitLoggerContext({"log_level": "error", "name": "tool"}))
    assert (made.name, made.level) == ("tool", logging.ERROR)
    with pytest.raises(CheckError, match="BOGUS"):
        definition(InitLoggerContext({"log_level": "BOGUS"}))


def test_each_run_has_its_own_console() -> None:
    first, second = colored_console_logger(None), colored_console_logger(None)
    assert first is not second
    assert logging.root.manager.loggerDict.get("dagster") not in (first, second)


def test_json_logger_writes_objects(capsys: pytest.CaptureFixture[str]) -> None:
    logs.RunLog("r", "j", [json_console_logger(None)]).for_step("one").info("hello")
    assert json.loads(capsys.readouterr().err)["msg"] == "j - r - one - hello"
