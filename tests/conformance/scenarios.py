"""All golden scenarios that can be run in process, by number; tests take them from here."""

from __future__ import annotations

from tests.conformance import endings, flows, values
from tests.conformance.scenario import Scenario

SCENARIOS = sorted(
    (found for module in (flows, endings, values) for found in vars(module).values() if isinstance(found, Scenario)),
    key=lambda scenario: scenario.number,
)
