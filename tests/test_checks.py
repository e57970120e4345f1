"""What users gave, checked and shown in messages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.checks import check_optional, check_param, list_of, name_of, show
from treadle.errors import CheckError, ParameterCheckError


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_shown_value_is_cut() -> None:
    for value in ("x" * 10_000, list(range(10_000)), dict.fromkeys(range(1000), "x" * 50), 10**4000, b"x" * 9999):
        assert len(show(value)) <= 203


def test_showing_a_value_never_raises() -> None:
    for value in (Broken(), [Broken()], {"a": Broken()}, 10**5000):
        assert show(value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_small_values_are_shown_as_python_shows_them(value: Any) -> None:
    if len(repr(value)) < 60:
        assert show(value) == repr(value) or isinstance(value, (dict, list))


def test_class_is_named_as_users_know_it() -> None:
    assert name_of(int) == "int"
    assert name_of(Broken).endswith("test_checks.Broken")


def test_wrong_argument_is_told_with_where_what_and_how() -> None:
    with pytest.raises(ParameterCheckError) as raised:
        check_param(3, str, "name", "Thing", "Write str(...) around it.")
    assert str(raised.value) == 'Thing: Param "name" is not a str. Got 3 (type int). Write str(...) around it.'


def test_several_classes_are_told_with_or() -> None:
    with pytest.raises(ParameterCheckError, match="is not a str or int"):
        check_param(None, (str, int), "name", "Thing")


def test_hint_may_depend_on_the_value() -> None:
    with pytest.raises(ParameterCheckError, match=r"It is 3\.$"):
        check_param(3, str, "name", "Thing", lambda value: f"It is {value}.")


def test_optional_argument_may_be_none() -> None:
    check_optional(None, str, "name", "Thing")
    with pytest.raises(ParameterCheckError):
        check_optional(3, str, "name", "Thing")


def test_wrong_member_is_told_with_its_place() -> None:
    assert list_of(("a", "b"), str, "names", "Thing") == ["a", "b"]
    with pytest.raises(CheckError, match=r"Thing: item 1 of names is 2 \(type int\); expected a str\."):
        list_of(["a", 2], str, "names", "Thing")


def test_text_is_no_list_of_texts() -> None:
    with pytest.raises(ParameterCheckError):
        list_of("ab", str, "names", "Thing")
