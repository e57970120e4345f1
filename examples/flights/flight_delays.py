"""Delay statistics: plain pandas, called by flights.py, the report and the chart; it knows no ops and no files."""

from __future__ import annotations

import calendar
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class AirportDelays:
    """What one airport's flights say. Each table has the columns of `summarise`; its index names the rows."""

    airport: str
    period: str
    late_after: int
    overall: pd.DataFrame
    by_carrier: pd.DataFrame
    by_hour: pd.DataFrame
    by_hour_and_carrier: pd.DataFrame
    by_sky_and_hour: pd.DataFrame
    by_weather: pd.DataFrame


def summarise(flights: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Count flights; average the delay (minutes) and the lateness (a share) of those that departed."""
    return flights.groupby(list(keys)).agg(
        flights=("flight", "size"),
        departed=("dep_delay", "count"),
        mean_delay=("dep_delay", "mean"),
        late=("is_late", "mean"),
    )


def measure(flights: pd.DataFrame, late_after: int) -> AirportDelays:
    """Take the statistics of one airport's flights, which carry the weather of their scheduled hour."""
    conditions = {
        "rain or snow": flights.precip > 0,
        "visibility under 3 miles": flights.visib < 3,
        "wind of 20 mph or more": flights.wind_speed >= 20,
    }
    is_bad = pd.concat(conditions, axis=1).any(axis=1)
    delay, is_good = flights.dep_delay, flights.has_weather & ~is_bad
    flights = flights.assign(is_late=(delay >= late_after).astype(float).where(delay.notna()))
    parts = {"dry, clear and calm": is_good, **conditions}
    months = [calendar.month_abbr[month] for month in sorted(flights.month.unique())]
    return AirportDelays(
        airport=flights.origin.iloc[0],
        period="2013" if len(months) == 12 else f"{', '.join(months)} 2013",
        late_after=late_after,
        overall=summarise(flights, "origin"),
        by_carrier=summarise(flights, "carrier"),
        by_hour=summarise(flights, "hour"),
        by_hour_and_carrier=summarise(flights, "hour", "carrier"),
        by_sky_and_hour=pd.concat(
            {"good": summarise(flights[is_good], "hour"), "bad": summarise(flights[is_bad], "hour")}
        ),
        by_weather=pd.concat(
            [summarise(flights[part].assign(weather=name), "weather") for name, part in parts.items()]
        ),
    )


def together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Merge tables row by row: counts add up, averages are weighted by departures."""
    rows, averages = pd.concat(tables), ["mean_delay", "late"]
    rows[averages] = rows[averages].mul(rows.departed, axis=0)
    sums = rows.groupby(level=rows.index.names, sort=False).sum()
    sums[averages] = sums[averages].div(sums.departed, axis=0)
    return sums


def overview(delays: list[AirportDelays]) -> pd.DataFrame:
    """Put the airports' totals under one another; if there are several, all of them together in the last row."""
    airports = pd.concat([one.overall for one in delays])
    if len(airports) == 1:
        return airports
    return pd.concat([airports, together([airports.set_axis(pd.Index(["together"] * len(airports), name="origin"))])])


def busy_hours(delays: list[AirportDelays]) -> pd.DataFrame:
    """Give the hours with at least 1 % of the flights, from the shortest mean delay to the longest."""
    hours = together([one.by_hour for one in delays])
    return hours[hours.flights >= 0.01 * hours.flights.sum()].sort_values("mean_delay")
