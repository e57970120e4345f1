"""Where an instance lives and how it is set up: every place, every kind of value, all mistakes at once."""

from __future__ import annotations

import contextlib
import math
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from treadle.errors import DagsterInvariantViolationError, SettingsError, TreadleSettingsWarning
from treadle.settings import Settings, find_home, read_duration, read_settings, read_size

KEYS = [
    "durability",
    "retention.max_age",
    "retention.max_runs",
    "retention.max_step_log",
    "lease.duration",
    "artifacts.dir",
    "artifacts.hand_over",
    "artifacts.memory_limit",
]


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


def test_home_that_is_no_path_is_refused(place: Path) -> None:
    for text, why in (
        ("~nobody-at-all/x", "nobody knows the home folder"),
        ("$NOT_SET_AT_ALL/x", "is not set in the env"),
    ):
        with pytest.raises(DagsterInvariantViolationError, match=f"TREADLE_HOME names .*{why}"):
            find_home({"TREADLE_HOME": text}, place)
    with pytest.raises(DagsterInvariantViolationError, match="may not be looked at: File name too long"):
        find_home({"TREADLE_HOME": "/" + "x" * 5_000}, place)
    with pytest.raises(DagsterInvariantViolationError, match="not the absolute path of a folder"):
        find_home({"DAGSTER_HOME": "~nobody-at-all/x"}, place)


def test_without_a_word_everything_has_its_default(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.durability, found.max_age, found.max_runs) == ("normal", None, None)
    assert (found.max_step_log, found.lease_duration, found.artifacts_dir) == (10_000_000, 15.0, None)
    assert (found.database_folder, found.slots) == (tmp_path, {})
    assert (found.hand_over, found.memory_limit) == ("disk", None)
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


# -- names and values that cannot be


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("durability = ['full']", 'durability: expected "normal" or "full", got an array'),
        ("[durability]\nx = 1", 'durability: expected "normal" or "full", got a table'),
        ("retention = 3", "retention: expected a table with max_age, max_runs, max_step_log, got 3"),
        (
            "[[retention]]\nmax_runs = 3",
            "retention: expected a table with max_age, max_runs, max_step_log, got an array",
        ),
        ("retention.max_age = inf", "retention.max_age: expected a duration"),
        ("retention.max_age = nan", "retention.max_age: expected a duration"),
        ("retention.max_age = 1e300", "retention.max_age: expected a duration"),
        (f"retention.max_age = '{'9' * 400} weeks'", "retention.max_age: expected a duration"),
        (f"retention.max_age = {'9' * 400}", "retention.max_age: expected a duration"),
        (f"retention.max_runs = 0x{'f' * 9999}", "a whole number, zero or more, got something of type int"),
        ("retention.max_runs = 3.0", "retention.max_runs: expected a whole number"),
        (f"retention.max_step_log = '{'9' * 30} GB'", "retention.max_step_log: expected a size"),
        ("lease.duration = '20 ms'", "lease.duration: expected a duration of a second or more"),
        ("artifacts.dir = ''", "artifacts.dir: expected the path of a folder, got ''"),
        ("artifacts.dir = '~nobody-at-all/x'", "nobody knows the home folder of that user"),
        ("artifacts.dir = '/data/$NOWHERE_AT_ALL'", r"\$NOWHERE_AT_ALL is not set in the environment"),
        ("artifacts.dir = 's3://$NOWHERE_AT_ALL/x'", r"or a URL, and \$NOWHERE_AT_ALL is not set in the environment"),
        ('artifacts.dir = "a\\u0000b"', "artifacts.dir: expected the path of a folder"),
        ("artifacts.hand_over = 'ram'", 'artifacts.hand_over: expected "disk" or "memory", got \'ram\''),
        ("artifacts.memory_limit = 'half'", "artifacts.memory_limit: expected a size"),
        (
            "artifacts.hand_over = 'memory'\ndurability = 'full'",
            'artifacts.hand_over: "memory" goes with a loss of power, and durability is "full" .*treadle.toml line 3',
        ),
        (
            "artifacts.hand_over = 'memory'\nartifacts.dir = 's3://bucket/x'",
            'artifacts.hand_over: "memory" is for values that go to a folder in the end, and artifacts.dir is a URL',
        ),
        ("home = '/x'", "The home is named by TREADLE_HOME, or by home in .tool.treadle. of pyproject.toml"),
    ],
)
def test_value_that_cannot_be_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "treadle.toml").write_text(f"# first\n{text}\n")
    with pytest.raises(SettingsError, match=r"1 mistake\(s\):\n.*treadle\.toml line 2: .*" + says):
        settings(tmp_path)


@pytest.mark.parametrize("text", [f"a = {'9' * 9999}", "a = " + "[" * 9999, "a = '", "\ufeff[", "a = 2020-13-45"])
def test_file_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "treadle.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"treadle\.toml cannot be read: "):
        settings(tmp_path)


def test_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").mkdir()
    with pytest.raises(SettingsError, match=r"treadle\.toml cannot be read: .*directory"):
        settings(tmp_path)


@pytest.mark.parametrize("text", ["tool = 3", "[[tool]]\ntreadle = 1"])
def test_project_file_without_tables_where_they_are_expected_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"pyproject\.toml line 1: tool: expected a table, got"):
        settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "dagster.yaml: expected a mapping, got an array"),
        ("storage: {sqlite: {base_dir: 3}}", "storage.sqlite.base_dir: expected the path of a folder, got 3"),
        (
            "storage: {sqlite: {base_dir: {env: X}}}",
            "storage.sqlite.base_dir: expected the path of a folder, got a table",
        ),
        ("a: 2020-13-45", "dagster.yaml cannot be read: month must be"),
        ("a: !!timestamp x", "dagster.yaml cannot be read"),
    ],
)
def test_file_of_the_other_program_that_cannot_be_is_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "dagster.yaml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        settings(tmp_path)


@pytest.mark.parametrize("text", ["storage: []", "storage: {sqlite: []}", "storage: x", "3: {}"])
def test_what_it_says_in_another_form_is_told_as_unused(tmp_path: Path, text: str) -> None:
    (tmp_path / "dagster.yaml").write_text(text)
    with pytest.warns(TreadleSettingsWarning, match="does not use (storage|3)"):
        assert settings(tmp_path).database_folder == tmp_path


def test_overrides_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="overrides: expected a mapping of settings to their values, got 'full'"):
        read_settings(tmp_path, {}, tmp_path, "full")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match='overrides: there is no setting "3"'):
        read_settings(tmp_path, {}, tmp_path, {3: 4})  # type: ignore[dict-item]


def test_line_of_a_key_is_its_own_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.other]\nmax_runs = 1\n[project]\ndescription = '''\n[tool.treadle]\ndurability = 'full'\n'''\n"
        "[[tool.other.list]]\nmax_runs = 2\n[ tool . \"treadle\" ]\nretention.'max_runs' = 5\n\"durability\" = 'full'\n"
        "lease = { duration = 20 }\n[tool.treadle.artifacts]\n\"d\\u0069r\" = 'x'\n"
    )
    found = settings(tmp_path)
    names = ("retention.max_runs", "durability", "lease.duration", "artifacts.dir")
    assert [found.origin_of(name).rpartition(" line ")[2] for name in names] == ["11", "12", "13", "15"]


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("TREADLE_DURABILTY", "Did you mean TREADLE_DURABILITY?"),
        ("TREADLE_MAX_RUNS", "Did you mean TREADLE_RETENTION_MAX_RUNS?"),
        ("TREADLE_RETENTION_AGE", "Did you mean TREADLE_RETENTION_MAX_AGE?"),
        ("TREADLE_LEASE_FOREVER", "There are TREADLE_DURABILITY, TREADLE_RETENTION_MAX_AGE"),
        ("TREADLE_HOEM", "Did you mean TREADLE_HOME?"),
        ("treadle_home", "Did you mean TREADLE_HOME?"),
        ("TREADLE_REDACT_USER_CODE_ERROR", "Did you mean TREADLE_REDACT_USER_CODE_ERRORS?"),
    ],
)
def test_misspelt_variable_is_told_with_the_one_that_was_meant(tmp_path: Path, variable: str, advice: str) -> None:
    with pytest.warns(TreadleSettingsWarning, match=f"{variable} in the environment: nothing uses it. ") as caught:
        settings(tmp_path, {variable: "x"})
    assert advice in str(caught[0].message)


def test_variables_of_ours_and_of_others_are_not_told(tmp_path: Path) -> None:
    environ = {
        "TREADLE_HOME": "/x",
        "TREADLE_WIRING": "strict",
        "TREADLE_DATABASE_PASSWORD": "x",
        "TREADLE_LEASE_DURATION": "",
    }
    assert settings(tmp_path, environ) == settings(tmp_path)


@given(st.binary(max_size=40) | st.text(st.sampled_from("[]{}=.\"'\n -:!&*#ab0"), max_size=40).map(str.encode))
@settings_of_hypothesis(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_garbage_in_a_file_only_settings_errors_come(tmp_path: Path, text: bytes) -> None:
    for name, wrapped in (
        ("treadle.toml", text),
        ("dagster.yaml", text),
        ("dagster.yaml", b"storage: " + text),
        ("dagster.yaml", b"storage: {sqlite: {base_dir: " + text),
        *((("treadle.toml", f"{key} = ".encode() + text)) for key in KEYS),
        ("pyproject.toml", b"[tool.treadle]\n" + text),
    ):
        (tmp_path / name).write_bytes(wrapped)
        with warnings.catch_warnings(), contextlib.suppress(SettingsError):
            warnings.simplefilter("ignore", TreadleSettingsWarning)
            settings(tmp_path)
        (tmp_path / name).unlink()


anything: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(KEYS), anything, st.sampled_from(["flat", "nested", "section"]))
def test_of_any_value_only_settings_errors_come_or_the_type_that_is_promised(
    name: str, value: object, how: str
) -> None:
    section, _, key = name.partition(".")
    given = (
        {name: value} if how == "flat" or not key else {section: {key: value}} if how == "nested" else {section: value}
    )
    try:
        found = settings(Path("/no/home"), **given)
    except SettingsError as error:
        mistake = str(error)
        found = None
    if found is None:
        assert "expected" in mistake or "there is no setting" in mistake
        return
    assert found.durability in ("normal", "full")
    assert found.max_age is None or 0 <= found.max_age < math.inf
    assert found.max_runs is None or found.max_runs >= 0
    assert found.max_step_log >= 0
    assert 1 <= found.lease_duration < math.inf
    assert found.artifacts_dir is None or found.artifacts_dir.is_absolute()


UNITS = {
    "": 1, "ms": 0.001, "msec": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "s": 1, "sec": 1, "secs": 1, "second": 1,
    "seconds": 1, "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600,
    "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400, "w": 604800, "week": 604800, "weeks": 604800,
    "Days": 86400, "MIN": 60, "MS": 0.001,
}  # fmt: skip


@given(st.floats(0, 1e6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "  "]))
def test_duration_is_a_number_with_a_unit(number: float, unit: str, space: str) -> None:
    text = f"{number:.3f}{space}{unit}"
    assert read_duration(text) == pytest.approx(round(number, 3) * UNITS[unit])


def test_half_a_second_is_half_a_second() -> None:
    assert read_duration("500 ms") == 0.5


@pytest.mark.parametrize(
    "value",
    ["", "soon", "3 moons", "-1s", "1 M", "3 us", "3 mss", "3 hs", "1 month", "1e3", "inf", "nan", -1, -0.5, math.inf, math.nan, 10**400]
    + [True, None, [3], {}],
)  # fmt: skip
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match='a duration, such as "30 days"'):
        read_duration(value)


@given(st.integers(0, 10**6), st.sampled_from([("", 1), ("kB", 1000), (" MiB", 2**20), (" gb", 10**9)]))
def test_size_is_a_number_with_a_unit(number: int, unit: tuple[str, int]) -> None:
    assert read_size(f"{number}{unit[0]}") == number * unit[1]
    assert read_size(number) == number


def test_size_is_exact_where_a_float_would_not_be() -> None:
    assert read_size("9007199254740993") == 9007199254740993
    assert read_size("0.5 kB") == 500


@pytest.mark.parametrize(
    "value", ["", "big", "3 elephants", "3 PB", "-1", -1, True, 1.5, math.inf, 2**63, "9" * 30, None, {}]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match='a size, such as "10 MB"'):
        read_size(value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/folder/", "s3://bucket/folder"),
        ("ftp://ann:$WORD@host/x", "ftp://ann:secret@host/x"),
        ("simplecache::s3://bucket", "simplecache::s3://bucket"),
        ("file:///data/values", Path("/data/values")),
    ],
)
def test_values_may_be_kept_at_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: object) -> None:
    monkeypatch.setenv("WORD", "secret")
    assert read_settings(tmp_path, {}, tmp_path, {"artifacts.dir": text}).artifacts_dir == place


# -- slots


def test_slots_are_said_by_name_in_every_place_and_the_later_one_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.treadle.slots]\ngpu = 1\nlicense = 4\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / "treadle.toml").write_text('[slots]\ngpu = 2\n"big one" = 3\n')
    found = read_settings(home, {"TREADLE_SLOTS": " license = 5,tape=0 "}, tmp_path, {"slots": {"big one": 7}})
    assert found.slots == {"gpu": 2, "license": 5, "big one": 7, "tape": 0}
    assert found.origin_of("slots.gpu") == f"{home / 'treadle.toml'} line 2"
    assert found.origin_of("slots.license") == "TREADLE_SLOTS in the environment"
    assert found.origin_of("slots.big one") == "overrides"
    assert settings(home, slots={"gpu": 1}).origin_of("slots.gpu") == "overrides"
    with pytest.raises(SettingsError, match='no setting "slots.licence". Did you mean "slots.license"'):
        found.origin_of("slots.licence")


def test_slots_that_cannot_be_are_told_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text("[slots]\ngpu = -1\ntape = 'many'\n[slot]\ngpu = 2\n")
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, {"TREADLE_SLOTS": "gpu"}, slots=3)
    said = str(caught.value)
    assert "5 mistake(s)" in said
    assert f"{tmp_path}/treadle.toml line 2: slots.gpu: expected a whole number, zero or more, got -1" in said
    assert "treadle.toml line 3: slots.tape: expected a whole number, zero or more, got 'many'" in said
    assert 'treadle.toml line 4: there is no setting "slot". Did you mean "slots"?' in said
    assert (
        'TREADLE_SLOTS in the environment: slots: expected names of slots and how many there are of each, such as "gpu=2, '
        "license=1\", got 'gpu'." in said
    )
    assert (
        "overrides: slots: expected a table of names of slots and how many there are of each, such as gpu = 2, got 3"
        in said
    )


def test_variable_for_a_single_slot_is_told_of(tmp_path: Path) -> None:
    with pytest.warns(
        TreadleSettingsWarning,
        match="TREADLE_SLOTS_GPU in the environment: nothing uses it. Did you mean TREADLE_SLOTS?",
    ):
        settings(tmp_path, {"TREADLE_SLOTS_GPU": "1"})
