"""Names that are not there, or not yet: see calls.py."""
# ruff: noqa: I001 - one import a line, since mypy and pyright tell the line differently

from __future__ import annotations

import treadle
from treadle import asset  # expect-error
from treadle import jobb  # expect-error

treadle.opp  # expect-error
treadle.__version__.upper()
treadle.__version__.uper()  # expect-error
