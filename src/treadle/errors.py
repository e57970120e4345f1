"""Every exception that Treadle raises, and the value form of an exception.

Everybody may import this module; it imports nothing of ours. A class's docstring is its default message.

    Exception
    ├── DagsterError
    │   ├── DagsterUserCodeExecutionError            user code raised; carries the original
    │   │   ├── DagsterExecutionStepExecutionError       an op's body
    │   │   ├── DagsterExecutionLoadInputError           an IO manager's load_input
    │   │   ├── DagsterExecutionHandleOutputError        an IO manager's handle_output
    │   │   ├── DagsterTypeLoadingError                  a type's loader
    │   │   ├── DagsterTypeCheckError                    a type's check function
    │   │   ├── DagsterResourceFunctionError             a resource
    │   │   ├── DagsterConfigMappingFunctionError        a config mapping or configured function
    │   │   └── HookExecutionError                       a hook
    │   ├── DagsterTypeCheckDidNotPass               a value is not of its declared type
    │   ├── DagsterStepOutputNotFoundError           a required output was not produced
    │   ├── DagsterMaxRetriesExceededError
    │   ├── DagsterInvalidConfigError                values against a schema
    │   ├── DagsterInvalidConfigDefinitionError      a schema itself
    │   ├── DagsterInvalidDefinitionError            an op, graph, job, type, ...
    │   ├── DagsterInvalidSubsetError                an op selection
    │   ├── DagsterInvalidInvocationError            an op or resource called directly
    │   ├── DagsterInvariantViolationError           a rule of the API was broken
    │   ├── DagsterInvalidPropertyError, DagsterInvalidMetadata, DagsterUnknownResourceError
    │   ├── DagsterExecutionStepNotFoundError, DagsterUnknownStepStateError
    │   ├── DagsterRunNotFoundError, DagsterRunAlreadyExists, DagsterEventLogInvalidForRun, RunOwnedError
    │   ├── StoreError                               where runs last
    │   │   ├── StoreFullError, StoreReadOnlyError, StoreBusyError, StoreMissingError
    │   │   └── StoreCorruptError, StoreVersionError, LeaseLostError
    │   ├── DagsterSubprocessError, DagsterUnmetExecutorRequirementsError
    │   ├── StepTimeoutError, StepMemoryError
    │   ├── DagsterHomeNotSetError, SettingsError, DagsterImportError, DagsterCodeNotFoundError
    │   ├── NotInThisVersionError                    a name of the API that comes later
    │   └── DagsterInvalidPythonicConfigDefinitionError
    │       └── DagsterInvalidDagsterTypeInPythonicConfigDefinitionError
    ├── CheckError
    │   └── ParameterCheckError
    └── ChildProcessCrashException
    BaseException
    └── DagsterExecutionInterruptedError
    UserWarning
    ├── TreadleWiringWarning                         an output is connected to an input of a type that it never has
    ├── TreadleStorageWarning                        the store is on a network file system
    ├── TreadleExecutorWarning                       steps run elsewhere than the executor says
    ├── TreadleLoggerWarning                         a job has loggers, and none of them is used
    ├── TreadleSettingsWarning                       there is a setting that nothing uses
    └── TreadleByValueWarning                        a job is handed on by value
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec


class DagsterError(Exception):
    """Treadle refused or could not do what was asked."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*(args or (self.__doc__,)))

    @property
    def is_user_code_error(self) -> bool:
        """True where the cause is an exception raised by the user's own code."""
        return False


# -- user code ----------------------------------------------------------------------------------


class DagsterUserCodeExecutionError(DagsterError):
    """User code raised an exception."""

    def __init__(self, *args: Any, user_exception: BaseException | None = None, original_exc_info: Any = None) -> None:
        super().__init__(*args)
        self.user_exception = user_exception
        self.original_exc_info = original_exc_info
        if user_exception is not None:
            self.__cause__ = user_exception

    @property
    def is_user_code_error(self) -> bool:
        return True


class DagsterExecutionStepExecutionError(DagsterUserCodeExecutionError):
    """The body of an op raised an exception."""

    def __init__(self, *args: Any, step_key: str = "", op_name: str = "", op_def_name: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.step_key = step_key
        self.op_name = op_name
        self.op_def_name = op_def_name


class DagsterExecutionLoadInputError(DagsterUserCodeExecutionError):
    """An IO manager raised an exception while it loaded an input."""


class DagsterExecutionHandleOutputError(DagsterUserCodeExecutionError):
    """An IO manager raised an exception while it stored an output."""


class DagsterTypeLoadingError(DagsterUserCodeExecutionError):
    """A type's loader raised an exception while it made an input value from config."""


class DagsterTypeCheckError(DagsterUserCodeExecutionError):
    """A type's check function raised an exception."""


class DagsterResourceFunctionError(DagsterUserCodeExecutionError):
    """A resource raised an exception while it was initialised."""


class DagsterConfigMappingFunctionError(DagsterUserCodeExecutionError):
    """A config mapping function raised an exception."""


class HookExecutionError(DagsterUserCodeExecutionError):
    """A hook raised an exception; the run goes on."""


# -- what a step did wrong --------------------------------------------------------------------------


class DagsterTypeCheckDidNotPass(DagsterError):
    """A value is not of the type declared for it."""

    def __init__(
        self, description: str | None = None, metadata: dict[str, Any] | None = None, dagster_type: Any = None
    ) -> None:
        super().__init__(*((description,) if description else ()))
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.dagster_type = dagster_type


class DagsterStepOutputNotFoundError(DagsterError):
    """An op ended without producing one of its required outputs."""

    def __init__(self, *args: Any, step_key: str = "", output_name: str = "") -> None:
        super().__init__(*args)
        self.step_key = step_key
        self.output_name = output_name


class DagsterMaxRetriesExceededError(DagsterError):
    """A step failed again after its last allowed retry."""

    def __init__(self, *args: Any, user_code_process_error_infos: Iterable[SerializableErrorInfo] = ()) -> None:
        super().__init__(*args)
        self.user_code_process_error_infos = list(user_code_process_error_infos)


# -- config and definitions -----------------------------------------------------------------------------


class DagsterInvalidConfigError(DagsterError):
    """Config values do not fit their schema.

    `errors` holds one object with `message`, `reason`, `stack` and `error_data` for each mistake, all of one pass;
    `config_value` is the value as it was given.
    """

    def __init__(self, preamble: str, errors: Sequence[Any], config_value: Any, *args: Any) -> None:
        self.errors = list(errors)
        self.config_value = config_value
        self.preamble = preamble
        lines = [preamble]
        for number, error in enumerate(self.errors, start=1):
            head, *rest = str(error.message).splitlines() or [""]
            lines.append(f"    Error {number}: {head}")
            lines += [f"        {line}" for line in rest]
        super().__init__("\n".join(lines), *args)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.preamble, self.errors, self.config_value)


class DagsterInvalidConfigDefinitionError(DagsterError):
    """A config schema holds something that is not a config type."""

    def __init__(
        self,
        original_root: Any,
        current_value: Any,
        stack: Sequence[str] = (),
        reason: str | None = None,
    ) -> None:
        self.original_root = original_root
        self.current_value = current_value
        self.stack = list(stack)
        self.reason = reason
        where = f"Error at stack path :{':'.join(self.stack)}. " if self.stack else ""
        super().__init__(
            f"Error defining config. Original value passed: {original_root!r}. {where}{current_value!r} cannot be resolved."
            + (f" Reason: {reason}" if reason else "")
            + " A config type is int, float, str, bool, Any, a Field, a dict of fields, a list of exactly one config "
            "type, a Config class, or an object such as Shape, Selector, Array, Map, Enum or Noneable."
        )


class DagsterInvalidDefinitionError(DagsterError):
    """An op, graph, job, resource, hook or type is not defined properly."""


class DagsterInvalidPythonicConfigDefinitionError(DagsterError):
    """A field of a Config or ConfigurableResource class has a type that config cannot hold."""


class DagsterInvalidDagsterTypeInPythonicConfigDefinitionError(DagsterInvalidPythonicConfigDefinitionError):
    """A field of a Config class has a DagsterType as its annotation; use a Python type."""


class DagsterInvalidSubsetError(DagsterError):
    """An op selection names nothing that can be run."""


class DagsterInvalidInvocationError(DagsterError):
    """A definition was called directly with wrong arguments."""


class DagsterInvariantViolationError(DagsterError):
    """A rule of the API was broken."""


class DagsterInvalidPropertyError(DagsterError):
    """The property is not available on a context that was built by hand."""


class DagsterInvalidMetadata(DagsterError):
    """A metadata value cannot be converted, or a metadata key was given twice."""


def _nearest(name: str, valid: Sequence[str]) -> str:
    from difflib import get_close_matches  # `names.nearest` is above this module, which imports nothing of ours

    found = get_close_matches(name, valid, n=1)
    return f' Did you mean "{found[0]}"?' if found else ""


class DagsterUnknownResourceError(DagsterError, AttributeError):
    """A resource was asked for that is not among the required ones."""

    def __init__(self, resource_name: str, available: Iterable[str] = (), *args: Any) -> None:
        self.resource_name = resource_name
        self.available = sorted(available)
        super().__init__(
            f"Unknown resource `{resource_name}`. Specify `{resource_name}` as a required resource key of the "
            f"definition that uses it (required_resource_keys={{{resource_name!r}}}), or as a parameter with a "
            f"resource annotation.{_nearest(resource_name, self.available)} Available here: "
            f"{', '.join(self.available) or 'none'}.",
            *args,
        )


# -- runs and execution ------------------------------------------------------------------------------------


class DagsterExecutionStepNotFoundError(DagsterError):
    """A step selection names a step that the plan does not have."""

    def __init__(self, *args: Any, step_keys: Iterable[str] = ()) -> None:
        super().__init__(*args)
        self.step_keys = list(step_keys)


class DagsterUnknownStepStateError(DagsterError):
    """A step ended without an event that says how; this is a fault in an executor."""


class DagsterRunNotFoundError(DagsterError):
    """No run has this id."""

    def __init__(self, *args: Any, invalid_run_id: str = "") -> None:
        super().__init__(*args)
        self.invalid_run_id = invalid_run_id


class DagsterRunAlreadyExists(DagsterError):
    """A run with this id exists already; leave run_id out to have a new one made."""


class DagsterEventLogInvalidForRun(DagsterError):
    """The event log of a run cannot be read."""


class RunOwnedError(DagsterError):
    """Another process runs this run, or is resuming it; only one may."""


# -- the store ---------------------------------------------------------------------------------------------


class StoreError(DagsterError):
    """The store could not do what was asked. What was committed before is safe."""


class StoreFullError(StoreError):
    """There is no space left where the store is."""


class StoreReadOnlyError(StoreError):
    """The store cannot be written: its file or folder does not allow it."""


class StoreBusyError(StoreError):
    """Another process holds the store locked, and has not let go of it in time."""


class StoreCorruptError(StoreError):
    """The store's file is damaged, or is no store."""


class StoreMissingError(StoreError):
    """The store's file was deleted or moved while it was in use."""


class StoreVersionError(StoreError):
    """The store was written by a newer version of Treadle."""


class LeaseLostError(StoreError):
    """The lease of a run ran out, and another process has taken the run over; this one must stop."""


class DagsterSubprocessError(DagsterError):
    """A child process crashed, or failed outside a step."""

    def __init__(self, *args: Any, subprocess_error_infos: Iterable[SerializableErrorInfo] = ()) -> None:
        super().__init__(*args)
        self.subprocess_error_infos = list(subprocess_error_infos)


class StepTimeoutError(DagsterError):
    """An attempt at a step has taken longer than its op allows, and was ended, or was asked to end."""


class StepMemoryError(DagsterError):
    """The process of a step has had more memory than its op allows, and was killed."""


class DagsterUnmetExecutorRequirementsError(DagsterError):
    """The executor needs something that this job, instance or IO manager does not give."""


class DagsterHomeNotSetError(DagsterError):
    """No home folder is set for the instance."""


class SettingsError(DagsterError):
    """The settings of an instance cannot be read, or say what cannot be."""


class DagsterImportError(DagsterError):
    """A module that a job is to be loaded from cannot be imported."""


class DagsterCodeNotFoundError(DagsterError):
    """A file, module or attribute that should hold a job was not found or could not be loaded."""


class NotInThisVersionError(DagsterError, NotImplementedError, AttributeError):
    """The name belongs to a later version of Treadle. An AttributeError too, so that `hasattr` tells the truth."""


class DagsterExecutionInterruptedError(BaseException):
    """The run was interrupted by a signal or by a request to cancel."""


class CheckError(Exception):
    """An argument or a state is not what it must be."""


class ParameterCheckError(CheckError):
    """An argument has the wrong type or value."""


class ChildProcessCrashException(Exception):
    """A child process ended without saying how its step went. A negative exit code is the number of a signal."""

    def __init__(self, pid: int | None = None, exit_code: int | None = None) -> None:
        if exit_code is None:
            how = "ended, and nobody knows how"
        elif exit_code >= 0:
            how = f"ended with exit code {exit_code}"
        else:
            how = f"was ended by signal {-exit_code}{_signal_name(-exit_code)}"
        hint = ""
        if exit_code == -9:
            hint = " Possibly out of memory: the system kills the process that has most of it. Or somebody killed it."
        super().__init__(f"Process {pid} {how}.{hint}")
        self.pid = pid
        self.exit_code = exit_code


def _signal_name(number: int) -> str:
    import signal

    return f" ({signal.Signals(number).name})" if number in {each.value for each in signal.Signals} else ""


# -- warnings --------------------------------------------------------------------------------------------------


class TreadleWiringWarning(UserWarning):
    """In a graph, an output is connected to an input whose type none of its values can have.

    With `TREADLE_WIRING=strict` in the environment it is a DagsterInvalidDefinitionError, with `off` it is nothing.
    """


class TreadleStorageWarning(UserWarning):
    """The store works, but not as well as it could where it is."""


class TreadleExecutorWarning(UserWarning):
    """The steps of a job run elsewhere than its executor says."""


class TreadleLoggerWarning(UserWarning):
    """A job has loggers of its own, and its run config chooses none of them, so the run logs to the console."""


class TreadleSettingsWarning(UserWarning):
    """There is a setting that nothing uses."""


class TreadleByValueWarning(UserWarning):
    """A job is handed on as it is, since nothing tells where another process could find it."""


# -- an exception as a value ---------------------------------------------------------------------------------


class SerializableErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception as plain data: what events carry and what crosses process borders."""

    #: the last line of a traceback, with the trailing newline: "ValueError: no such plane\n"
    message: str
    #: traceback lines, outermost call first; frames above the user's function are left out for user code
    stack: list[str] = []
    cls_name: str | None = None
    cause: SerializableErrorInfo | None = None
    context: SerializableErrorInfo | None = None

    def to_string(self) -> str:
        """The whole error as text, its causes after it."""
        text = f"{self.message}\nStack Trace:\n{''.join(self.stack)}" if self.stack else self.message
        if self.cause:
            text += f"\nThe above exception was caused by the following exception:\n{self.cause.to_string()}"
        if self.context:
            text += (
                "\nThe above exception occurred during handling of the following exception:\n"
                f"{self.context.to_string()}"
            )
        return text

    def __str__(self) -> str:
        return self.to_string()


#: with one of these in the environment events tell no text of user code's exceptions, which may hold secrets
REDACTING_VARIABLES = ("TREADLE_REDACT_USER_CODE_ERRORS", "DAGSTER_REDACT_USER_CODE_ERRORS")


def _redacted(exc: BaseException) -> SerializableErrorInfo:
    """An exception without what user code says in it; the log of this process has it in full, under the same id."""
    import logging
    import traceback
    import uuid

    error_id = uuid.uuid4()
    full = "".join(traceback.format_exception(exc))
    logging.getLogger("treadle.redacted").error(
        "Error occurred during user code execution, error ID %s:\n%s", error_id, full
    )
    advice = "Search in logs for this error ID for more details"
    if isinstance(exc, DagsterUserCodeExecutionError):
        name = "DagsterRedactedUserCodeError"
        return SerializableErrorInfo(
            f"{name}: Error occurred during user code execution, error ID {error_id}. It is not told here, since it may hold "
            f"secrets. {advice}.\n",
            cls_name=name,
        )
    text = "".join(traceback.format_exception_only(type(exc), exc)).rstrip("\n")
    return SerializableErrorInfo(f"{text}\nError ID {error_id}. {advice}.\n", cls_name=type(exc).__name__)


def error_info(
    exc: BaseException, *, hide_own_frames: bool = True, _seen: frozenset[int] = frozenset()
) -> SerializableErrorInfo:
    """Turn an exception with its causes into data.

    With `hide_own_frames` the frames of this package that stand above the first frame of somebody else's code are
    left out, so that a user reads their own code first. With one of REDACTING_VARIABLES set, nothing that user code says is
    in it.
    """
    import os
    import traceback

    if any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in REDACTING_VARIABLES):
        return _redacted(exc)
    seen = _seen | {id(exc)}
    frames = list(traceback.extract_tb(exc.__traceback__))
    if hide_own_frames:
        frames = _without_own_frames(frames)
    cause = exc.__cause__
    context = None if cause is not None or exc.__suppress_context__ else exc.__context__

    def nested(other: BaseException | None) -> SerializableErrorInfo | None:
        if other is None or id(other) in seen:
            return None
        return error_info(other, hide_own_frames=hide_own_frames, _seen=seen)

    return SerializableErrorInfo(
        message="".join(traceback.format_exception_only(type(exc), exc)),
        stack=traceback.format_list(frames),
        cls_name=type(exc).__name__,
        cause=nested(cause),
        context=nested(context),
    )


def _without_own_frames(frames: list[Any]) -> list[Any]:
    own = __file__.rsplit("errors.py", 1)[0]
    for index, frame in enumerate(frames):
        if not frame.filename.startswith(own):
            return frames[index:]
    return frames


def hide_own_frames(exc: BaseException) -> BaseException:
    """The same exception, its traceback beginning at the first frame that is not of this package."""
    own = __file__.rsplit("errors.py", 1)[0]
    traceback = exc.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(own):
        traceback = traceback.tb_next
    return exc.with_traceback(traceback) if traceback is not None else exc
