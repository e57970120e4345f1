"""stdout and stderr of steps that share a process."""

from __future__ import annotations

import contextvars
import io
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from treadle.executors import streams
from treadle.executors.capture import LONGEST, files_of, key_of


def put_out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stdout of the test's own; in its body, since pytest puts in another before that."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def under(output: streams.StepOutput, fn: Any) -> None:
    def run() -> None:
        streams.step_output.set(output)
        fn()

    contextvars.copy_context().run(run)


def test_what_a_step_writes_goes_to_the_stream_and_to_its_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = put_out(monkeypatch)
    streams.install()
    try:
        print("of nobody")
        output = streams.StepOutput(tmp_path / "deep", "load-1")
        under(output, lambda: print("of load \ud800"))
        output.close()
        under(output, lambda: print("too late"))
    finally:
        streams.remove()
    assert ascii(out.getvalue()) == ascii("of nobody\nof load \ud800\ntoo late\n")
    stdout, stderr = files_of(tmp_path / "deep", "load-1")
    assert stdout.read_text() == "of load \\ud800\n"
    assert not stderr.exists()


def test_bytes_and_lines_are_kept_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
    streams.install()
    try:
        output = streams.StepOutput(tmp_path, "load-1")

        def write() -> None:
            sys.stderr.buffer.writelines([b"a\n", b"b\n"])
            sys.stderr.writelines(["c\n"])
            sys.stderr.buffer.flush()

        under(output, write)
        assert sys.stderr.encoding
        assert not sys.stderr.isatty()
    finally:
        streams.remove()
    output.close()
    assert raw.getvalue() == b"a\nb\nc\n"
    assert files_of(tmp_path, "load-1")[1].read_text() == "a\nb\nc\n"


def test_stand_ins_are_there_until_the_last_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    out = put_out(monkeypatch)
    streams.install()
    stand_in = sys.stdout
    streams.install()
    assert sys.stdout is stand_in
    streams.remove()
    assert sys.stdout is stand_in
    streams.remove()
    assert sys.stdout is out


def test_stream_that_somebody_else_has_put_in_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    put_out(monkeypatch)
    streams.install()
    other = io.StringIO()
    sys.stdout = other
    streams.remove()
    assert sys.stdout is other


def test_process_without_streams_has_none_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    streams.install()
    assert sys.stdout is None
    streams.remove()
    assert sys.stdout is None


def test_threads_with_the_context_of_a_step_write_to_its_file_whole_lines_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    streams.install()
    try:
        output = streams.StepOutput(tmp_path, "load-1")

        def write() -> None:
            contexts = [contextvars.copy_context() for _ in range(4)]
            threads = [
                threading.Thread(
                    target=context.run, args=(lambda: [sys.stdout.write("x" * 99 + "\n") for _ in range(50)],)
                )
                for context in contexts
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        under(output, write)
        output.close()
    finally:
        streams.remove()
    assert files_of(tmp_path, "load-1")[0].read_text().splitlines() == ["x" * 99] * 200


def test_key_names_step_and_attempt_and_fits_a_file_name() -> None:
    assert key_of("a.b[x]", 2) == "a.b[x]-2"
    first, second = (key_of("deep." * 100 + name, 12) for name in "ab")
    assert first != second
    assert len(first) <= LONGEST
    assert first.endswith("-12")
