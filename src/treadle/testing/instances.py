"""Instances for tests: lasting ones that go with the test.

Nothing here is needed to run jobs; the engine never imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from treadle import settings
from treadle.instance import DagsterInstance


@contextmanager
def instance_for_test(
    overrides: Mapping[str, Any] | None = None,
    set_dagster_home: bool = True,
    temp_dir: str | None = None,
    synchronous_run_coordinator: bool = False,
    synchronous_run_launcher: bool = False,
) -> Iterator[DagsterInstance]:
    """For tests: a lasting instance in a temporary folder, which is the home of the place while the block runs.

    `set_dagster_home` sets TREADLE_HOME and DAGSTER_HOME for that time. Runs are always executed by whoever calls, so the two
    last parameters change nothing.
    """
    with DagsterInstance.local_temp(temp_dir, overrides) as instance:
        if not set_dagster_home:
            yield instance
            return
        before = {name: os.environ.get(name) for name in settings.HOME_VARIABLES}
        os.environ.update(dict.fromkeys(settings.HOME_VARIABLES, instance.root_directory))
        try:
            yield instance
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
