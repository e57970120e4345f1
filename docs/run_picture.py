"""Draws docs/img/run.svg: a real run of examples/flights as a terminal shows it.

Run by scripts/docs. The lines are what `treadle run` printed on a terminal, colours included; nothing is made up.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "img" / "run.svg"
COMMAND = ["run", "examples/flights/flights.py:flights_job", "-c", "examples/flights/flights.yaml"]

#: width of a character and height of a line, in user units
ACROSS, DOWN = 7.85, 18.0
#: colours of the standard codes on a dark ground
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea"}
COLOURS |= {str(int(code) + 60): colour for code, colour in COLOURS.items()}
PLAIN, DIM, GROUND = "#e6edf3", "#8b949e", "#0d1117"
_CODE = re.compile(r"\x1b\[([0-9;]*)m")


def run_on_terminal(command: list[str]) -> str:
    """What a command prints when its output is a terminal of 110 columns."""
    ours, theirs = pty.openpty()
    # the run is kept, with its values, in a home that nobody needs afterwards
    home = tempfile.TemporaryDirectory()
    env = {**os.environ, "COLUMNS": "110", "TERM": "xterm-256color", "TREADLE_HOME": home.name}
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT, env=env)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the terminal is closed with the last process that has it
            break
        if not part:
            break
        parts.append(part)
    is_failed = child.wait() != 0
    home.cleanup()
    if is_failed:
        raise SystemExit(f"{command} failed:\n{b''.join(parts).decode()}")
    return b"".join(parts).decode().replace("\r\n", "\n")


def draw_line(text: str, row: int) -> str:
    """One line of terminal output as SVG text, each stretch in its colour."""
    spans, colour, weight, column = [], PLAIN, "normal", 0
    for index, piece in enumerate(_CODE.split(text)):
        if index % 2:
            for code in piece.split(";") if piece else ["0"]:
                if code in ("", "0"):
                    colour, weight = PLAIN, "normal"
                elif code == "1":
                    weight = "bold"
                elif code in ("2", "90"):
                    colour = DIM
                else:
                    colour = COLOURS.get(code, colour)
        elif piece:
            x = 18 + column * ACROSS
            width = len(piece) * ACROSS
            spans.append(
                f'<tspan x="{x:.1f}" fill="{colour}" font-weight="{weight}" textLength="{width:.1f}" '
                f'lengthAdjust="spacingAndGlyphs">{escape(piece)}</tspan>'
            )
            column += len(piece)
    return f'<text y="{50 + row * DOWN:.0f}" xml:space="preserve">{"".join(spans)}</text>'


def draw(printed: str) -> str:
    """The whole terminal window."""
    lines = [f"$ treadle {' '.join(COMMAND)}", *printed.rstrip("\n").split("\n")]
    # What the hook of the example says after each step is left out of the picture, to keep it readable.
    lines = [line for line in lines if "into the run" not in line]
    columns = max(len(_CODE.sub("", line)) for line in lines)
    width, height = 36 + columns * ACROSS, 66 + len(lines) * DOWN
    body = "\n".join(draw_line(line, row) for row, line in enumerate(lines))
    dots = "".join(
        f'<circle cx="{20 + 18 * n}" cy="18" r="5.5" fill="{c}"/>'
        for n, c in enumerate(["#ff5f57", "#febc2e", "#28c840"])
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">\n'
        f'<rect width="100%" height="100%" rx="10" fill="{GROUND}"/>\n{dots}\n'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13">\n{body}\n</g>\n</svg>\n'
    )


if __name__ == "__main__":
    TARGET.write_text(draw(run_on_terminal([str(Path(sys.executable).with_name("treadle")), *COMMAND])))
