"""The job of a golden scenario by its number, for recipes."""

from __future__ import annotations

from tests.conformance.scenarios import SCENARIOS
from treadle import JobDefinition


def make(number: int) -> JobDefinition:
    """The job of one scenario, that keeps its values in memory where the scenario's own job does not say otherwise."""
    return next(scenario for scenario in SCENARIOS if scenario.number == number).build()
