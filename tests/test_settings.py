"""Where an instance lives and how it is set up: every place, every kind of value, all mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import DagsterInvariantViolationError, SettingsError, TreadleSettingsWarning
from treadle.settings import Settings, find_home, read_duration, read_settings, read_size


def settings(home: Path, environ: dict[str, str] | None = None, **overrides: object) -> Settings:
    return read_settings(home, environ or {}, home, overrides)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder within a project."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    return inner


def test_variable_names_the_home_before_all_else(place: Path) -> None:
    home = find_home({"TREADLE_HOME": "/somewhere/home", "DAGSTER_HOME": "/other"}, place)
    assert home.path == Path("/somewhere/home")
    assert home.origin == "TREADLE_HOME in the environment"


def test_relative_home_starts_at_the_working_directory_and_variables_in_it_are_put_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "here")
    assert find_home({"TREADLE_HOME": "$WHERE/home"}, place).path == place / "here" / "home"
    assert find_home({"TREADLE_HOME": "~/home"}, place).path == Path.home() / "home"


def test_project_says_where_the_home_is(place: Path, tmp_path: Path) -> None:
    assert find_home({}, place).path == tmp_path / ".treadle"
    assert find_home({"TREADLE_HOME": ""}, place).path == tmp_path / ".treadle"
    (tmp_path / "pyproject.toml").write_text("[tool.treadle]\nhome = 'var/runs'\n")
    home = find_home({}, place)
    assert home.path == tmp_path / "var" / "runs"
    assert home.origin == str(tmp_path / "pyproject.toml")


def test_without_a_project_the_home_is_in_the_working_directory() -> None:
    assert find_home({}, Path("/no/such/place")).path == Path("/no/such/place/.treadle")


def test_older_variable_counts_where_the_newer_one_is_not_set(place: Path, tmp_path: Path) -> None:
    assert find_home({"DAGSTER_HOME": str(tmp_path)}, place).path == tmp_path
    for wrong in ("relative", str(tmp_path / "nowhere")):
        with pytest.raises(DagsterInvariantViolationError, match="not the absolute path of a folder"):
            find_home({"DAGSTER_HOME": wrong}, place)


def test_home_that_is_a_file_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=r"TREADLE_HOME names .*pyproject.toml, which is a file"):
        find_home({"TREADLE_HOME": str(tmp_path / "pyproject.toml")}, place)
    (tmp_path / "pyproject.toml").write_text("[tool.treadle]\nhome = 3\n")
    with pytest.raises(SettingsError, match=r"tool\.treadle\.home: expected the path of a folder as text, got 3"):
        find_home({}, place)


def test_without_a_word_everything_has_its_default(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.durability, found.max_age, found.max_runs) == ("normal", None, None)
    assert (found.max_step_log, found.lease_duration, found.artifacts_dir) == (10_000_000, 15.0, None)
    assert found.database_folder == tmp_path
    assert found.origin_of("durability") == "default"
    with pytest.raises(SettingsError, match='no setting "durabilty". Did you mean "durability"'):
        found.origin_of("durabilty")


def test_what_is_said_later_wins_and_each_value_tells_where_it_was_said(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "pyproject.toml").write_text(
        "[tool.treadle]\nhome = 'home'\ndurability = 'full'\n[tool.treadle.retention]\nmax_age = '30 days'\nmax_runs = 9\n"
    )
    (home / "treadle.toml").write_text(
        "# mine\n[retention]\nmax_runs = 5\nmax_step_log = '4 KiB'\n\n[artifacts]\ndir = 'values'\n"
    )
    environ = {"TREADLE_RETENTION_MAX_STEP_LOG": "1 MB", "TREADLE_LEASE_DURATION": "20s"}
    found = read_settings(home, environ, tmp_path, {"lease": {"duration": 30}})
    assert found.durability == "full"
    assert found.max_age == 30 * 86400
    assert found.max_runs == 5
    assert found.max_step_log == 1_000_000
    assert found.lease_duration == 30
    assert found.artifacts_dir == home / "values"
    assert found.origin_of("durability") == f"{tmp_path / 'pyproject.toml'} line 3"
    assert found.origin_of("retention.max_age") == f"{tmp_path / 'pyproject.toml'} line 5"
    assert found.origin_of("retention.max_runs") == f"{home / 'treadle.toml'} line 3"
    assert found.origin_of("retention.max_step_log") == "TREADLE_RETENTION_MAX_STEP_LOG in the environment"
    assert found.origin_of("lease.duration") == "overrides"


def test_all_mistakes_are_told_at_once_with_place_and_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text("durabilty = 'full'\n[retention]\nmax_age = 'long'\nmax_runs = -1\n")
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, {"TREADLE_DURABILITY": "some"})
    said = str(caught.value)
    assert "4 mistake(s)" in said
    assert f'{tmp_path}/treadle.toml line 1: there is no setting "durabilty". Did you mean "durability"?' in said
    assert "treadle.toml line 3: retention.max_age: expected a duration" in said
    assert "treadle.toml line 4: retention.max_runs: expected a whole number, zero or more, got -1" in said
    assert 'TREADLE_DURABILITY in the environment: durability: expected "normal" or "full", got \'some\'' in said


def test_file_that_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text("durability = \n")
    with pytest.raises(SettingsError, match=r"treadle.toml cannot be read: .*line 1"):
        settings(tmp_path)
    (tmp_path / "treadle.toml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool]\ntreadle = 3\n")
    with pytest.raises(SettingsError, match="tool.treadle: expected a table, got 3"):
        settings(tmp_path)


def test_settings_of_the_other_program_are_told_as_unused_and_its_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "run_queue: {}\nstorage: {sqlite: {base_dir: /data}}\ntelemetry: {enabled: false}\n"
    )
    with pytest.warns(TreadleSettingsWarning, match="does not use run_queue"):
        assert settings(tmp_path).database_folder == Path("/data")
    (tmp_path / "dagster.yaml").write_text("storage: {postgres: {}}\n")
    with pytest.warns(TreadleSettingsWarning, match="does not use storage"):
        assert settings(tmp_path).database_folder == tmp_path
    (tmp_path / "dagster.yaml").write_text("a: [\n")
    with pytest.raises(SettingsError, match="dagster.yaml cannot be read"):
        settings(tmp_path)
    (tmp_path / "dagster.yaml").unlink()
    with pytest.warns(TreadleSettingsWarning, match="overrides: Treadle does not use run_launcher"):
        settings(tmp_path, run_launcher={})


@given(st.floats(0, 1e6), st.sampled_from([("s", 1), ("min", 60), ("h", 3600), ("days", 86400), ("week", 604800)]))
def test_duration_is_a_number_with_a_unit(number: float, unit: tuple[str, int]) -> None:
    text = f"{number:.3f} {unit[0]}"
    assert read_duration(text) == pytest.approx(round(number, 3) * unit[1])


@pytest.mark.parametrize("value", ["", "soon", "3 moons", "-1s", -1, True, None, [3]])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match='a duration, such as "30 days"'):
        read_duration(value)


@given(st.integers(0, 10**6), st.sampled_from([("", 1), ("kB", 1000), (" MiB", 2**20), (" gb", 10**9)]))
def test_size_is_a_number_with_a_unit(number: int, unit: tuple[str, int]) -> None:
    assert read_size(f"{number}{unit[0]}") == number * unit[1]
    assert read_size(number) == number


@pytest.mark.parametrize("value", ["", "big", "3 elephants", -1, True, 1.5])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match='a size, such as "10 MB"'):
        read_size(value)
