"""Every message that a user can meet, printed side by side in `messages.txt`, to be read as a set.

When messages are meant to change, `TREADLE_UPDATE_MESSAGES=1 pytest tests/messages` writes the file anew; then read what
changed as a user would: where, what was expected, what came, what to do.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.messages import calls, configs, definitions, lasting, loading, running, wiring
from tests.messages.catalogue import CASES, NOTHING, Case, read, told_by, write

SNAPSHOT = Path(__file__).with_name("messages.txt")
#: in the order in which a user meets them
ORDER = [module.__name__ for module in (definitions, wiring, configs, running, calls, loading, lasting)]
CASES.sort(key=lambda case: ORDER.index(case.do.__module__))

if os.environ.get("TREADLE_UPDATE_MESSAGES"):
    SNAPSHOT.write_text(write(CASES))
KNOWN = read(SNAPSHOT.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section}: {case.title}")
def test_message_is_the_one_that_was_read(case: Case) -> None:
    said = told_by(case)
    assert said != NOTHING
    assert said.strip() == KNOWN[case.section, case.title].strip()


def test_snapshot_has_no_other_messages() -> None:
    assert list(KNOWN) == [(case.section, case.title) for case in CASES]
