"""Departure delays from New York's airports in 2013: 336,776 real flights, from raw tables to a report and a picture.

    treadle run examples/flights/flights.py -c examples/flights/flights.yaml

Read it from top to bottom: config, resources, hooks, ops, the graph of one airport's branch, the job.
"""

import enum
import pathlib
import time
from collections.abc import Callable, Iterator

import pandas as pd
import pydantic
from flight_chart import draw
from flight_data import TABLES, FlightsTable, compare, read_table
from flight_delays import AirportDelays, measure, overview
from flight_report import compose, statistics_table

from treadle import (
    AssetMaterialization,
    Backoff,
    Config,
    ConfigurableResource,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    Failure,
    Field,
    HookContext,
    In,
    InitResourceContext,
    MetadataValue,
    OpExecutionContext,
    Out,
    Output,
    RetryPolicy,
    failure_hook,
    graph,
    job,
    op,
    resource,
    success_hook,
)


class Airport(enum.Enum):
    """The airports that the data covers; run config names them by these codes."""

    EWR = "EWR"
    JFK = "JFK"
    LGA = "LGA"


class Selection(Config):
    """Which flights to look at."""

    airports: list[Airport] = pydantic.Field(min_length=1, description="Each gets a branch of the job.")
    months: list[int] = pydantic.Field(default=list(range(1, 13)), min_length=1, description="1 is January.")

    @pydantic.field_validator("months")
    @classmethod
    def months_exist(cls, months: list[int]) -> list[int]:
        """Refuse a thirteenth month."""
        if wrong := [month for month in months if not 1 <= month <= 12]:
            raise ValueError(f"months are 1 to 12, not {wrong}")
        return months


class Lateness(Config):
    """What counts as late."""

    late_after: int = pydantic.Field(default=15, ge=1, le=240, description="Minutes behind schedule.")


class ReportFolder(ConfigurableResource):
    """The folder that the job writes to."""

    path: str

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Make the folder before any op runs, so that a path that cannot be written costs no work."""
        pathlib.Path(self.path).mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> pathlib.Path:
        """Give the full path of a file in the folder."""
        return pathlib.Path(self.path, name).absolute()


@resource
def stopwatch() -> Callable[[], float]:
    """Seconds since the run's resources were opened."""
    started = time.perf_counter()
    return lambda: time.perf_counter() - started


@success_hook(required_resource_keys={"stopwatch"})
def log_time(context: HookContext) -> None:
    """Say when each step was done."""
    context.log.info(f"{context.step_key} done {context.resources.stopwatch():.2f} s into the run")


@failure_hook(required_resource_keys={"report_folder"})
def leave_note(context: HookContext) -> None:
    """Leave a note in the folder, so that nobody takes an older report for today's."""
    note = f"Run {context.run_id} failed in {context.step_key}:\n{context.op_exception}\n"
    context.resources.report_folder.file("FAILED.txt").write_text(note, encoding="utf-8")


# The files may sit on a network share that is away for a moment: try again after 0.5, 1.5 and 3.5 seconds.
@op(
    out={name: Out(FlightsTable if name == "flights" else pd.DataFrame) for name in TABLES},
    retry_policy=RetryPolicy(max_retries=3, delay=0.5, backoff=Backoff.EXPONENTIAL),
)
def load_tables() -> Iterator[Output[pd.DataFrame]]:
    """Read the five tables."""
    for name in TABLES:
        table = read_table(name)
        yield Output(table, name, metadata={"rows": len(table), "columns": list(table.columns)})


@op(
    ins={"flights": In(FlightsTable)},
    out={"flights": Out(FlightsTable), "weather": Out(pd.DataFrame), "checks": Out(pd.DataFrame)},
    config_schema={
        "min_flights": Field(int, default_value=330_000, description="Fewer rows mean a truncated file."),
        "max_cancelled": Field(float, default_value=0.05, description="Largest credible share of cancelled flights."),
        "max_wind_mph": Field(float, default_value=150.0, description="More than this is a broken sensor."),
        "strict": Field(bool, default_value=False, description="A failed check stops the run."),
    },
)
def check_tables(
    context: OpExecutionContext,
    flights: pd.DataFrame,
    weather: pd.DataFrame,
    airlines: pd.DataFrame,
    airports: pd.DataFrame,
    planes: pd.DataFrame,
) -> Iterator[ExpectationResult | Output[pd.DataFrame]]:
    """Report each check as an expectation; pass the tables on, without impossible wind speeds."""
    limits = context.op_config
    results = compare(limits, flights, weather, {"airlines": airlines, "airports": airports, "planes": planes})
    yield from results
    failed = [str(result.label) for result in results if not result.success]
    if failed and limits["strict"]:
        raise Failure(f"Checks failed: {', '.join(failed)}", {"failed": failed}, allow_retries=False)
    if failed:
        context.log.warning(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}")
    yield Output(flights, "flights")
    yield Output(
        weather.assign(wind_speed=weather.wind_speed.where(weather.wind_speed <= limits["max_wind_mph"])), "weather"
    )
    rows = [(result.label, result.description, "passed" if result.success else "FAILED") for result in results]
    yield Output(pd.DataFrame(rows, columns=["check", "found", "result"]), "checks")


@op
def name_codes(airlines: pd.DataFrame, airports: pd.DataFrame) -> dict[str, str]:
    """Give the names behind the codes of airlines and airports."""
    return dict(airlines[["carrier", "name"]].to_numpy()) | dict(airports[["faa", "name"]].to_numpy())


@op(ins={"flights": In(FlightsTable)}, out=DynamicOut(FlightsTable))
def split_by_airport(
    context: OpExecutionContext, config: Selection, flights: pd.DataFrame
) -> Iterator[DynamicOutput[pd.DataFrame]]:
    """Give each chosen airport's flights under its code, which becomes the key of its branch."""
    flights = flights[flights.month.isin(config.months)]
    for airport in dict.fromkeys(config.airports):
        chosen = flights[flights.origin == airport.value]
        context.log.info(f"{airport.value}: {len(chosen):,} flights")
        yield DynamicOutput(chosen, mapping_key=airport.value, metadata={"rows": len(chosen)})


@op
def join_weather(context: OpExecutionContext, flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Add to each flight the weather at its airport in the hour in which it should leave."""
    readings = weather[["origin", "time_hour", "precip", "visib", "wind_speed"]].assign(has_weather=True)
    joined = flights.merge(readings, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined["has_weather"] = joined.has_weather.notna()
    known = float(joined.has_weather.mean())
    found = f"for {known:.1%} of {context.get_mapping_key()}'s flights"
    context.log_event(ExpectationResult(known >= 0.95, "weather is known", found, {"share": known}))
    return joined


@op
def measure_delays(config: Lateness, flights: pd.DataFrame) -> AirportDelays:
    """Take the delay statistics of one airport by hour, carrier and weather."""
    return measure(flights, config.late_after)


@graph
def airport_delays(flights: pd.DataFrame, weather: pd.DataFrame) -> AirportDelays:
    """What happens in the branch of each airport."""
    return measure_delays(join_weather(flights, weather))


@op
def draw_chart(
    context: OpExecutionContext, report_folder: ReportFolder, delays: list[AirportDelays], names: dict[str, str]
) -> str:
    """Draw the picture; give its file name."""
    path = report_folder.file("delays.png")
    draw(delays, names).savefig(path, dpi=150)
    metadata = {"path": MetadataValue.path(path), "bytes": path.stat().st_size}
    context.log_event(AssetMaterialization(["flights", "chart"], metadata=metadata))
    return path.name


@op
def write_report(
    report_folder: ReportFolder, delays: list[AirportDelays], chart: str, checks: pd.DataFrame, names: dict[str, str]
) -> Iterator[AssetMaterialization | Output[str]]:
    """Write the report; give its path."""
    path = report_folder.file("report.md")
    path.write_text(compose(delays, chart, checks, names), encoding="utf-8")
    report_folder.file("FAILED.txt").unlink(missing_ok=True)
    summary = overview(delays)
    metadata = {
        "rows": int(summary.flights.iloc[-1]),
        "path": MetadataValue.path(path),
        "overview": MetadataValue.md(statistics_table(summary, "from", delays[0].late_after, names)),
    }
    yield AssetMaterialization(["flights", "report"], "Departure delays from New York.", metadata)
    yield Output(str(path))


@job(
    resource_defs={"report_folder": ReportFolder.configure_at_launch(), "stopwatch": stopwatch},
    hooks={log_time, leave_note},
)
def flights_job() -> None:
    """Load and check the tables, measure the delays of each airport, tell what was found."""
    tables = load_tables()
    checked = check_tables(tables.flights, tables.weather, tables.airlines, tables.airports, tables.planes)
    names = name_codes(tables.airlines, tables.airports)
    branches = split_by_airport(checked.flights)
    delays = branches.map(lambda flights: airport_delays(flights, checked.weather)).collect()
    write_report(delays, draw_chart(delays, names), checked.checks, names)
