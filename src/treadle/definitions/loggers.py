"""The definitions users write: loggers.

Functions that make the `logging.Logger` that a run's events and messages go to. A job holds their
definitions by key, the engine makes them when a run starts. The built-in ones write to the console and are known to
nobody but their run; nothing here registers or changes a logger of somebody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, overload

from treadle.checks import check_optional
from treadle.config.schema import STRING, Field
from treadle.contexts import InitLoggerContext
from treadle.definitions.configured import AnonymousConfigurable, ConfigContract, is_decorated_function, pick_context
from treadle.errors import CheckError, DagsterInvalidDefinitionError, ParameterCheckError
from treadle.introspect import MISSING, read_docstring, read_signature
from treadle.io_contexts import EPHEMERAL_RUN_ID
from treadle.logs import console_logger, json_logger

LoggerFunction = Callable[[InitLoggerContext], logging.Logger] | Callable[[], logging.Logger]


class LoggerDefinition(AnonymousConfigurable):
    """How to make a logger for a run: a function of an InitLoggerContext, with a config schema."""

    kind = "logger"

    def __init__(self, logger_fn: LoggerFunction, config_schema: Any = None, description: str | None = None) -> None:
        if not callable(logger_fn):
            raise ParameterCheckError(
                f'Param "logger_fn" is not callable. Got {logger_fn!r} (a {type(logger_fn).__name__}); a logger is '
                f"made by a function of (init_context) that returns a logging.Logger."
            )
        self.logger_fn: Callable[..., logging.Logger] = logger_fn
        self._takes_context = _takes_context(logger_fn)
        self.description = description
        self._contract = ConfigContract(config_schema)

    def make(self, context: InitLoggerContext, key: str) -> logging.Logger:
        """Call the function, with a context whose config is processed; CheckError for what cannot log.

        Raises what the user's function raises.
        """
        made = self._call(context)
        if not callable(getattr(made, "log", None)):
            raise CheckError(
                f'Logger "{key}": the logger function returned {made!r} (a {type(made).__name__}). It must return a '
                f"logging.Logger."
            )
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> logging.Logger:
        """Make the logger in a test: call the function with a context of `build_init_logger_context`, or None.

        Raises DagsterInvalidConfigError for config that does not fit.
        """
        takes_context, context = pick_context("logger", self.logger_fn, args, kwargs)
        if not takes_context:
            return self.logger_fn()
        advice = "Make one with build_init_logger_context(), or pass None."
        check_optional(context, InitLoggerContext, "init_context", self.kind, advice)
        if context is None:
            context = InitLoggerContext(run_id=EPHEMERAL_RUN_ID)
        config = self.process_config(context.logger_config)
        return self.logger_fn(InitLoggerContext(config, self, context.job_def, context.run_id))

    def _call(self, context: InitLoggerContext) -> logging.Logger:
        return self.logger_fn(context) if self._takes_context else self.logger_fn()


@overload
def logger(config_schema: LoggerFunction) -> LoggerDefinition: ...
@overload
def logger(config_schema: Any = ..., description: str | None = ...) -> Callable[[LoggerFunction], LoggerDefinition]: ...
def logger(
    config_schema: Any = None, description: str | None = None
) -> LoggerDefinition | Callable[[LoggerFunction], LoggerDefinition]:
    """Decorate a function of `(init_context: InitLoggerContext)`, or of nothing, that returns a `logging.Logger`."""

    def decorate(fn: LoggerFunction) -> LoggerDefinition:
        return LoggerDefinition(fn, schema, description or read_docstring(fn))

    if is_decorated_function(config_schema):
        schema = None
        return decorate(config_schema)
    schema = config_schema
    return decorate


def _takes_context(fn: Callable[..., Any]) -> bool:
    """False for a function of nothing; DagsterInvalidDefinitionError for one that cannot be called with a context alone."""
    try:
        signature = read_signature(fn)
    except (TypeError, ValueError):  # a callable that does not tell its parameters
        return True
    positional = [p for p in signature.parameters if not p.is_keyword_only]
    required = [p for p in signature.parameters if p.default is MISSING]
    if any(p not in positional[:1] for p in required):
        raise DagsterInvalidDefinitionError(
            f"Logger function '{signature.name}' must take one positional argument, the context, or none; it takes: "
            f"{', '.join(p.name for p in signature.parameters)}."
        )
    return bool(positional or signature.has_varargs)


_CONSOLE_SCHEMA = {
    "log_level": Field(STRING, "INFO", description="The lowest level that is shown."),
    "name": Field(STRING, "dagster", description="The name that stands in each line."),
}


@logger(_CONSOLE_SCHEMA, "Readable lines on stderr, coloured where it is a terminal.")
def colored_console_logger(init_context: InitLoggerContext) -> logging.Logger:
    """Make the logger that jobs have by default."""
    config = init_context.logger_config
    return console_logger(config["name"], config["log_level"])


@logger(_CONSOLE_SCHEMA, "One JSON object a line, on stderr.")
def json_console_logger(init_context: InitLoggerContext) -> logging.Logger:
    """Make a logger for machines to read."""
    config = init_context.logger_config
    return json_logger(config["name"], config["log_level"])


def default_loggers() -> Mapping[str, LoggerDefinition]:
    """The loggers of a job that names none, by key."""
    return {"console": colored_console_logger}


def default_system_loggers(_instance: object = None) -> list[tuple[LoggerDefinition, Mapping[str, Any]]]:
    """The loggers of a run whose config names none, each with its config."""
    return [(colored_console_logger, {"name": "dagster", "log_level": "DEBUG"})]
