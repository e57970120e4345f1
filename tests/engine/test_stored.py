"""Values of a run that has ended, read back from where its IO managers keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import recipe_jobs
from treadle import DagsterInstance, DagsterInvariantViolationError, execute_job, reconstructable

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def test_value_that_was_kept_in_memory_went_with_the_run() -> None:
    recipe = reconstructable(recipe_jobs.forgetting)
    with DagsterInstance.ephemeral() as instance, execute_job(recipe, instance, QUIET) as result:
        assert result.success
        with pytest.raises(
            DagsterInvariantViolationError, match='"one" was kept in memory by the IO manager "io_manager"'
        ):
            result.output_for_node("one")


def test_manager_that_needs_an_event_loop_gets_one_for_as_long_as_values_are_read(tmp_path: Path) -> None:
    config: Any = {**QUIET, "resources": {"io_manager": {"config": str(tmp_path)}}}
    with DagsterInstance.ephemeral() as instance:
        result = execute_job(reconstructable(recipe_jobs.looping), instance, config)
        with result:
            assert result.output_for_node("one") == 1
            loop = recipe_jobs.LOOPS[-1]
            assert not loop.is_closed()
        assert loop.is_closed()
    assert len({id(each) for each in recipe_jobs.LOOPS}) == 2  # one for the run, one for its result
