"""An exception as lines: what went wrong first, then the user's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from treadle.cli.tracebacks import headline, place_of, tell_error, unwrap
from treadle.definitions.op import op
from treadle.errors import (
    DagsterExecutionHandleOutputError,
    DagsterExecutionStepExecutionError,
    DagsterInvalidDefinitionError,
    DagsterMaxRetriesExceededError,
    SerializableErrorInfo,
    error_info,
)

FOLDER = str(Path(__file__).parent)


def parse(text: str) -> int:
    return int(text)


def caught(call: Any) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def wrapped(kind: Any, error: BaseException, *args: Any) -> SerializableErrorInfo:
    return error_info(kind(*args, user_exception=error))


def code_of(lines: list[str]) -> list[str]:
    """The lines without carets, which not every Python draws."""
    return [line for line in lines if set(line.strip()) - set("^~")]


def test_message_comes_first_then_the_frames_with_paths_from_the_folder() -> None:
    error = caught(lambda: parse("12 minutes"))
    message, *frames = code_of(tell_error(error_info(error), folder=FOLDER))
    assert message == "ValueError: invalid literal for int() with base 10: '12 minutes'"
    assert frames[-2].startswith('  File "test_tracebacks.py", line ')
    assert frames[-2].endswith(", in parse")
    assert frames[-1] == "    return int(text)"


def test_wrapper_that_names_the_step_only_is_left_out() -> None:
    info = wrapped(DagsterExecutionStepExecutionError, caught(lambda: parse("x")), 'Error occurred in op "a":')
    assert tell_error(info)[0].startswith("ValueError: ")
    assert headline(unwrap(info)[0]).startswith("ValueError: ")


def test_wrapper_that_says_where_it_was_is_told_before() -> None:
    info = wrapped(DagsterExecutionHandleOutputError, OSError("disk full"), 'Error occurred while handling output "a":')
    assert tell_error(info) == ['Error occurred while handling output "a":', "OSError: disk full"]


def test_everything_is_shown_where_everything_is_asked_for() -> None:
    info = wrapped(DagsterExecutionStepExecutionError, OSError("away"), 'Error occurred in op "a":')
    assert tell_error(info, shows_all=True) == [
        'DagsterExecutionStepExecutionError: Error occurred in op "a":',
        "because of OSError: away",
    ]


def test_last_error_after_all_retries_is_not_told_twice() -> None:
    last = OSError("away")
    error = DagsterMaxRetriesExceededError(f"Exceeded max_retries of 2\n\n{last!r}\nStack Trace: ...")
    error.__cause__ = last
    assert tell_error(error_info(error)) == ["OSError: away"]


def test_causes_follow_with_how_they_are_connected() -> None:
    def explicitly() -> None:
        try:
            {}["airport"]
        except KeyError as error:
            raise ValueError("no airport\nin row 3") from error

    def meanwhile() -> None:
        try:
            {}["airport"]
        except KeyError:
            parse("x")

    told = [line for line in tell_error(error_info(caught(explicitly))) if not line.startswith(" ")]
    assert told == ["ValueError: no airport", "in row 3", "because of KeyError: 'airport'"]
    told = [line for line in tell_error(error_info(caught(meanwhile))) if not line.startswith(" ")]
    assert told[1:] == ["while handling KeyError: 'airport'"]


def test_what_a_library_raised_and_handled_within_itself_is_left_out(tmp_path: Path) -> None:
    # pathlib tries the parent folders from within an `except`, which leaves a chain of its own errors
    error = caught(lambda: Path("/proc/nowhere/at/all").mkdir(parents=True))
    assert error.__context__ is not None
    assert [line for line in tell_error(error_info(error)) if line.startswith("while handling")] == []


def test_frames_of_this_package_are_left_out() -> None:
    error = caught(lambda: op(name="has space")(parse))
    assert isinstance(error, DagsterInvalidDefinitionError)
    lines = tell_error(error_info(error, hide_own_frames=False))
    assert lines[0].startswith('DagsterInvalidDefinitionError: "has space" is not a valid name')
    assert [line for line in lines if line.startswith("  File") and "test_tracebacks" not in line] == []


def test_given_lines_stand_between_the_message_and_the_frames() -> None:
    lines = tell_error(error_info(caught(lambda: parse("x"))), given=["  rows: 3"])
    assert lines[1] == "  rows: 3"
    assert lines[2].startswith("  File ")


def test_place_is_the_innermost_frame_of_the_user() -> None:
    line = parse.__code__.co_firstlineno + 1
    assert place_of(error_info(caught(lambda: parse("x"))), FOLDER) == f"test_tracebacks.py:{line}"
    assert place_of(error_info(OSError("never raised"))) == ""


def test_error_without_a_message_is_told_by_its_class() -> None:
    assert headline(SerializableErrorInfo("", cls_name="Odd")) == "Odd"
    assert headline(error_info(KeyboardInterrupt())) == "KeyboardInterrupt"
