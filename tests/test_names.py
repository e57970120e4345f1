"""Names that are checked when they are given: owners and pools."""

from __future__ import annotations

import pytest

from treadle import DagsterInvalidDefinitionError
from treadle.names import check_owners, check_pool


def test_owners_are_email_addresses_and_teams() -> None:
    assert check_owners(["team:data", "jo@example.com"], "job") == ["team:data", "jo@example.com"]
    assert check_owners(None, "job") is None


@pytest.mark.parametrize("owners", [["jo"], ["jo@example"], ["TEAM:data"], [3], "team:data"])
def test_other_owners_are_refused(owners: object) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Owner must be an email address or a team name prefixed"):
        check_owners(owners, "job")


def test_team_needs_a_name() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Team name cannot be empty after 'team:' prefix"):
        check_owners(["team:"], "job")


def test_pool_has_no_spaces_and_agrees_with_the_older_tag() -> None:
    assert check_pool("gpu", "gpu", "op") == check_pool("gpu", None, "op") == "gpu"
    assert check_pool(None, "gpu", "op") is None
    with pytest.raises(DagsterInvalidDefinitionError, match="not a valid pool name"):
        check_pool("two words", None, "op")
    with pytest.raises(
        DagsterInvalidDefinitionError, match='conflicts with the tag dagster/concurrency_key, which says "b"'
    ):
        check_pool("a", "b", "op")
