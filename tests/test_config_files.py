"""Config files and settings: what they come to, how they are merged, and what is said of a mistake in one."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.config_files import (
    ConfigFileError,
    PlacedConfig,
    config_from_files,
    config_from_pkg_resources,
    config_from_yaml_strings,
    merge,
    merge_all,
    read_file,
    read_setting,
)
from treadle.errors import CheckError, DagsterInvariantViolationError, ParameterCheckError

# -- merging ----------------------------------------------------------------------------------------------------------

configs = st.recursive(
    st.integers() | st.sampled_from([None, "x"]) | st.lists(st.integers(), max_size=2),
    lambda values: st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.sampled_from("abc"), configs, max_size=3)


@pytest.mark.parametrize(
    ("under", "over", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"c": 2, "d": 2}}, {"a": {"b": 1, "c": 2, "d": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
    ],
)
def test_mappings_are_merged_at_every_depth_and_the_later_value_wins(under: Any, over: Any, merged: Any) -> None:
    assert merge(under, over) == merged


@given(mappings, mappings)
def test_merging_leaves_both_as_they_were_and_keeps_all_of_the_later(under: Any, over: Any) -> None:
    before = repr((under, over))
    merged = merge(under, over)
    assert repr((under, over)) == before
    assert merge(merged, over) == merged
    assert merge(under, {}) == under
    assert merge({}, over) == over


def test_later_config_wins_and_its_places_do_too() -> None:
    merged = merge_all(
        [
            PlacedConfig({"ops": {"a": 1, "b": 1}}, {("ops",): "x:1", ("ops", "a"): "x:2", ("ops", "b"): "x:3"}),
            PlacedConfig({"ops": {"b": 2}}, {("ops",): "y:1", ("ops", "b"): "y:2"}),
        ]
    )
    assert merged.value == {"ops": {"a": 1, "b": 2}}
    assert merged.line_of(["ops", "a"]) == "x:2"
    assert merged.line_of(["ops", "b", "unknown", "deeper"]) == "y:2"
    assert merged.line_of(["resources"]) is None


def test_nothing_merged_is_an_empty_config() -> None:
    assert merge_all([]) == ({}, {})


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("ops.load.config.rows=3", {"ops": {"load": {"config": {"rows": 3}}}}),
        ("a=true", {"a": True}),
        ("a=1e-3", {"a": 0.001}),
        ("a=[1, x]", {"a": [1, "x"]}),
        ("a={b: 1}", {"a": {"b": 1}}),
        ("a='3'", {"a": "3"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=", {"a": None}),
        (" a.b = x y ", {"a": {"b": "x y"}}),
        ('a."b.c".d=1', {"a": {"b.c": {"d": 1}}}),
    ],
)
def test_setting_is_a_path_and_a_yaml_value(text: str, value: Any) -> None:
    assert read_setting(text).value == value


def test_setting_is_its_own_place() -> None:
    assert read_setting("a.b=1").line_of(["a", "b", "c"]) == "--set a.b=1"


@pytest.mark.parametrize("text", ["a", "a.b", "=1", "a..b=1", ".a=1", "a.=1", "a b=1", ""])
def test_setting_without_a_path_or_a_value_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigFileError, match=r"--set ops\.load\.config\.rows=3"):
        read_setting(text)


def test_setting_whose_value_is_no_yaml_says_how_to_give_it_as_text() -> None:
    with pytest.raises(ConfigFileError) as raised:
        read_setting("ops.load.config.files=*.csv")
    assert str(raised.value).startswith("--set ops.load.config.files=*.csv: the value is not valid YAML: ")
    assert str(raised.value).endswith("""put it in quotes: --set 'ops.load.config.files="*.csv"'.""")


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run.yaml"


def refusal(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigFileError) as raised:
        read_file(path.name)
    return str(raised.value)


def test_file_is_a_config_with_the_line_of_each_part(config: Path) -> None:
    config.write_text("ops:\n  load:\n    config:\n      rows: 3\n      months: [1,\n        2]\n")
    read = read_file("run.yaml")
    assert read.value == {"ops": {"load": {"config": {"rows": 3, "months": [1, 2]}}}}
    assert read.line_of(["ops", "load", "config", "rows"]) == "run.yaml:4"
    assert read.line_of(["ops", "load", "config", "months", "1"]) == "run.yaml:6"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "\ufeff"])
def test_empty_file_is_an_empty_config(config: Path, text: str) -> None:
    config.write_text(text)
    assert read_file("run.yaml").value == {}


def test_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ops: {}\n")))
    assert read_file("-") == ({"ops": {}}, {("ops",): "standard input:1"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2013-01-01", "2013-01-01"),
        ("1e6", 1e6),
        ("1e-3", 1e-3),
        ("2.5e+3", 2500.0),
        ("12e4567", "12e4567"),
        ("1e6x", "1e6x"),
        ("yes", True),
        ("010", 8),
        ("1_000", 1000),
    ],
)
def test_scalars_are_those_of_yaml_with_dates_as_text_and_exponents_as_numbers(
    config: Path, text: str, value: Any
) -> None:
    config.write_text(f"a: {text}\n")
    assert read_file("run.yaml").value == {"a": value}


def test_anchors_and_merge_keys_work(config: Path) -> None:
    config.write_text("base: &base {a: 1, b: 1}\nother:\n  <<: *base\n  b: 2\nagain: *base\n")
    read = read_file("run.yaml")
    assert read.value["other"] == {"a": 1, "b": 2}
    assert read.line_of(["other", "a"]) == "run.yaml:2"
    assert read.line_of(["other", "b"]) == "run.yaml:4"
    assert read.line_of(["again", "a"]) == "run.yaml:5"


def test_aliases_of_aliases_cost_no_more_than_they_are_long(config: Path) -> None:
    rows = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" for n in range(1, 40)]
    config.write_text("k0: &k0 [1]\n" + "\n".join(rows))
    assert len(read_file("run.yaml").places) < 1000


def test_key_given_twice_is_refused_with_both_lines(config: Path) -> None:
    assert refusal(config, "ops:\n  load:\n    config: {}\n  save: {}\n  'load': {}\n") == (
        'run.yaml:5: the key "load" is given twice in one mapping; it stands in line 2 already.\n'
        "  5 |   'load': {}\n"
        "    |   ^"
    )


def test_same_key_in_two_mappings_is_fine(config: Path) -> None:
    config.write_text("a: {x: 1}\nb: {x: 1}\nc: [{x: 1}, {x: 1}]\n")
    assert read_file("run.yaml").value["c"] == [{"x": 1}, {"x": 1}]


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("a: [1, 2\nb: 3\n", "run.yaml:2: not valid YAML: "),
        ("a: 1\n\tb: 2\n", "run.yaml:2: a tab where spaces belong; YAML is indented with spaces only."),
        ("ops:\n  load\n    rows: 3\n", "run.yaml:3: not valid YAML: no value is expected here; look for wrong inden"),
        ("a: *nope\n", "run.yaml:1: not valid YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "run.yaml:2: a second document begins here; a config file holds one."),
        ("a: &x\n  - *x\n", "run.yaml:1: this value refers to itself."),
        ("? [1]\n: 2\n", "run.yaml:1: the key of a mapping must be a plain word or number."),
        ("a: !python/object:os.system x\n", "run.yaml:1: a tag that is not known in a config; leave it out."),
        ("a: b\nc: \x01\n", "run.yaml:2: not valid YAML: "),
    ],
)
def test_mistake_in_yaml_is_told_with_file_and_line(config: Path, text: str, head: str) -> None:
    assert refusal(config, text).startswith(head)


def test_mistake_in_yaml_is_shown_with_its_line_and_a_caret(config: Path) -> None:
    _, line, caret = refusal(config, "a: 1\nb: @x\n").splitlines()
    assert (line, caret) == ("  2 | b: @x", "    |    ^")


def test_mistake_at_the_end_of_the_file_names_the_line_that_began_it(config: Path) -> None:
    assert "begun in line 1)" in refusal(config, "a: [1\n\n\n")


def test_file_that_is_no_mapping_is_refused(config: Path) -> None:
    assert refusal(config, "- 1\n") == (
        "run.yaml: expected a mapping such as `ops: {load: {config: {rows: 3}}}`, got a list."
    )
    assert refusal(config, "rows\n").endswith("got 'rows' (type str).")


def test_file_that_is_not_utf8_is_refused_with_its_line(config: Path) -> None:
    assert refusal(config, b"a: 1\nb: \xe9\n") == "run.yaml:2: this is not UTF-8 text. Save the file as UTF-8."


def test_missing_file_suggests_the_nearest(config: Path) -> None:
    config.write_text("")
    with pytest.raises(ConfigFileError) as raised:
        read_file("rum.yaml")
    assert str(raised.value) == 'rum.yaml: there is no such file. Did you mean "run.yaml"?'
    with pytest.raises(ConfigFileError, match=r"Its folder nowhere does not exist either\."):
        read_file("nowhere/run.yaml")


def test_folder_is_refused_with_its_files(config: Path) -> None:
    config.write_text("")
    with pytest.raises(ConfigFileError) as raised:
        read_file(".")
    assert str(raised.value) == ".: this is a folder; give a YAML file. YAML files there: run.yaml."


# -- for users --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two config files that overlap; it is a package too."""
    (tmp_path / "a.yaml").write_text("ops:\n  load:\n    config:\n      rows: [1, 2]\n      path: x\n")
    (tmp_path / "b.yaml").write_text("ops:\n  load:\n    config:\n      rows: [3]\nloggers: {}\n")
    package = tmp_path / "of_flights"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "a.yaml").write_text("a: 1\n")
    (package / "sub" / "b.yaml").write_text("b: 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


BOTH = {"ops": {"load": {"config": {"rows": [3], "path": "x"}}}, "loggers": {}}


@pytest.mark.parametrize(
    "names", [["a.yaml", "b.yaml"], ("a.yaml", "b.yaml"), ["*.yaml"], ["[ab].yaml"], [Path("a.yaml"), "b.yaml"]]
)
def test_config_from_files_merges_files_and_patterns_in_order(folder: Path, names: Any) -> None:
    assert config_from_files(names) == BOTH


def test_config_from_files_lets_the_later_file_win(folder: Path) -> None:
    assert config_from_files(["b.yaml", "a.yaml"])["ops"]["load"]["config"]["rows"] == [1, 2]
    assert config_from_files([]) == {}


def test_config_from_files_reads_absolute_paths_and_folders_within_folders(folder: Path) -> None:
    assert config_from_files([str(folder / "**" / "b.yaml")]) == {
        "b": 2, "loggers": {}, "ops": {"load": {"config": {"rows": [3]}}},
    }  # fmt: skip


def test_config_from_files_is_a_plain_dict_that_knows_its_lines(folder: Path) -> None:
    config = config_from_files(["a.yaml", "b.yaml"])
    assert isinstance(config, dict)
    for each in (config, pickle.loads(pickle.dumps(config))):
        assert each.line_of(["ops", "load", "config", "rows"]) == "b.yaml:4"
        assert each.line_of(["ops", "load", "config", "path"]) == "a.yaml:5"
    assert type({**config}) is dict
    assert json.loads(json.dumps(config)) == BOTH


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", r'File or glob pattern "c.yaml" for "config_files" produced no results[.] Did you mean "'),
        ("c*.yaml", 'pattern "c[*].yaml" for "config_files" produced no results[.]$'),
        ("list.yaml", "list.yaml: expected a mapping"),
        ("broken.yaml", "broken.yaml:3: not valid YAML: .* begun in line 2"),
        ("twice.yaml", 'twice.yaml:3: the key "a" is given twice'),
    ],
)
def test_what_cannot_be_read_is_told_with_file_and_line(folder: Path, name: str, text: str) -> None:
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "broken.yaml").write_text("a: 1\nb: [1\n")
    (folder / "twice.yaml").write_text("a: 1\nb: 1\na: 2\n")
    with pytest.raises(DagsterInvariantViolationError, match=text) as caught:
        config_from_files([name])
    assert isinstance(caught.value, CheckError)


def test_config_from_yaml_strings_merges_texts_and_numbers_them_in_errors() -> None:
    config = config_from_yaml_strings(["a: 1\nb: {c: 2}", "b: {d: 3}", ""])
    assert config == {"a": 1, "b": {"c": 2, "d": 3}}
    assert config.line_of(["b", "c"]) == "YAML string 1:2"  # type: ignore[attr-defined]
    with pytest.raises(DagsterInvariantViolationError, match="YAML string 2:1: not valid YAML"):
        config_from_yaml_strings(["a: 1", "a: ]"])
    with pytest.raises(CheckError, match="YAML string 1: expected a mapping"):
        config_from_yaml_strings(["5"])


def test_config_from_pkg_resources_reads_what_packages_bring_along(folder: Path) -> None:
    assert config_from_pkg_resources([("of_flights", "a.yaml"), ("of_flights", "sub/b.yaml")]) == {"a": 1, "b": 2}
    with pytest.raises(
        DagsterInvariantViolationError, match="of_flights:c.yaml: the package has no such file"
    ) as caught:
        config_from_pkg_resources([("of_flights", "c.yaml")])
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(
        DagsterInvariantViolationError, match='of_ships:a.yaml: there is no package "of_ships"'
    ) as caught:
        config_from_pkg_resources([("of_ships", "a.yaml")])
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize("read", [config_from_files, config_from_yaml_strings, config_from_pkg_resources])
@pytest.mark.parametrize("given", ["a.yaml", 5, [5], [("a", "b", "c")]])
def test_sources_are_given_as_a_list(read: Any, given: Any) -> None:
    with pytest.raises(ParameterCheckError, match="is not a list|is a list of"):
        read(given)
