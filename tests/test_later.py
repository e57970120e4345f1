"""Names of later stages: a file that imports them loads, and using one says in one sentence that it is not there yet."""

from __future__ import annotations

import pickle
import subprocess
import sys
import typing
import warnings

import pytest

import treadle
from treadle import NotInThisVersionError, later

DECORATORS = """
    asset asset_check asset_sensor graph_asset graph_multi_asset multi_asset multi_asset_check multi_asset_sensor
    multi_observable_source_asset observable_source_asset run_failure_sensor run_status_sensor schedule sensor
""".split()


DEFINERS = ["AssetSpec", "ScheduleDefinition", "SensorDefinition", "SourceAsset", "define_asset_job"]


@pytest.mark.parametrize("name", sorted(later.NAMES - set(DECORATORS) - set(DEFINERS)))
def test_name_of_a_later_stage_can_be_imported_and_refuses_to_be_called(name: str) -> None:
    found = getattr(treadle, name)
    with pytest.raises(NotInThisVersionError) as caught:
        found()
    message = str(caught.value)
    assert message.startswith(f"{name} is not in Treadle yet: ")
    assert message.count(". ") == 0
    assert message.endswith(".")


@pytest.mark.parametrize("name", DECORATORS)
@pytest.mark.parametrize("has_options", [False, True])
def test_decorator_of_a_later_stage_puts_the_function_aside_with_a_warning(name: str, has_options: bool) -> None:
    def prices() -> int: ...

    decorate = getattr(treadle, name)
    with pytest.warns(later.LaterStageWarning) as told:
        left = decorate(cron_schedule="@daily")(prices) if has_options else decorate(prices)
    assert str(told[0].message).startswith(f'{name} "prices" is not in Treadle yet: ')
    assert told[0].filename == __file__
    for use in (lambda: left(), lambda: left.op, lambda: list(left), lambda: type("Mine", (left,), {})):
        with pytest.raises(NotInThisVersionError, match=rf'^{name} "prices"(\.op)? is not in Treadle yet'):
            use()
    assert repr(left) == f'<{name} "prices": not in Treadle yet>'


@pytest.mark.parametrize("name", DEFINERS)
@pytest.mark.parametrize("arguments", [{"name": "nightly"}, {}])
def test_what_only_defines_something_puts_it_aside_with_a_warning(name: str, arguments: dict[str, str]) -> None:
    with pytest.warns(later.LaterStageWarning) as told:
        left = getattr(treadle, name)(**arguments)
    what = f'{name} "nightly"' if arguments else name
    assert str(told[0].message).startswith(f"{what} is not in Treadle yet: ")
    assert told[0].filename == __file__
    with pytest.raises(NotInThisVersionError, match=f"{what}.* is not in Treadle yet: "):
        left.name
    with pytest.raises(NotInThisVersionError):
        left()


def test_what_was_put_aside_is_refused_where_it_is_handed_in() -> None:
    with pytest.warns(later.LaterStageWarning):

        @treadle.schedule(cron_schedule="@daily")
        def nightly() -> None: ...

    with pytest.raises(NotInThisVersionError, match="schedules come in a later version"):
        treadle.Definitions(schedules=[nightly])


def test_what_was_put_aside_is_left_out_of_a_repository_and_refused_where_it_is_asked_for() -> None:
    with pytest.warns(later.LaterStageWarning):

        @treadle.asset
        def prices() -> None: ...

    with pytest.warns(later.LaterStageWarning):
        all_prices = treadle.define_asset_job("all_prices")

    @treadle.job
    def nightly() -> None: ...

    @treadle.repository
    def ours() -> list[object]:
        return [nightly, prices, [all_prices]]

    assert ours.job_names == ["nightly"]
    with pytest.raises(NotInThisVersionError, match='^define_asset_job "all_prices" is not in Treadle yet'):
        ours.get_job("all_prices")


def test_no_name_is_both_there_and_yet_to_come() -> None:
    assert later.NAMES & set(treadle.__all__) == set()


def test_sentence_says_what_it_comes_with() -> None:
    with pytest.raises(NotInThisVersionError, match="schedules come in a later version"):
        treadle.build_schedule_context()
    with pytest.raises(NotInThisVersionError, match="Pipes comes in a later version"):
        treadle.PipesSubprocessClient()


def test_attribute_of_a_later_name_is_refused_by_its_full_name() -> None:
    with pytest.raises(NotInThisVersionError, match=r"^AutomationCondition\.eager is not in Treadle yet"):
        treadle.AutomationCondition.eager()


def test_subclass_of_a_later_name_is_refused() -> None:
    with pytest.raises(NotInThisVersionError, match=r"^Component is not in Treadle yet"):

        class _Mine(treadle.Component): ...


def test_iteration_over_a_later_enumeration_is_refused() -> None:
    with pytest.raises(NotInThisVersionError, match="AssetCheckSeverity"):
        list(treadle.AssetCheckSeverity)


def test_later_name_may_stand_in_annotations() -> None:
    def annotated(
        context: treadle.AssetExecutionContext,
        keys: typing.Optional[treadle.AssetSelection] = None,
        window: treadle.TimeWindow | None = None,
        partitions: treadle.PartitionsDefinition[str] | None = None,
    ) -> list[treadle.SourceAsset]: ...

    assert typing.get_type_hints(annotated)["context"] is treadle.AssetExecutionContext


def test_tools_that_look_at_every_name_of_a_module_are_not_disturbed() -> None:
    assert not hasattr(treadle.AssetSelection, "all")
    assert getattr(treadle.AssetSelection, "__wrapped__", None) is None
    assert not isinstance(3, treadle.AssetSelection)
    assert repr(treadle.AssetSelection) == "<AssetSelection: not in Treadle yet>"
    assert pickle.loads(pickle.dumps(treadle.AssetSelection)) is treadle.AssetSelection


def test_file_with_an_import_of_a_later_name_loads_and_its_jobs_run() -> None:
    code = (
        "from treadle import AssetExecutionContext, AssetSelection, DailyPartitionsDefinition, job, op, schedule, sensor\n"
        "@op\n"
        "def one(): return 1\n"
        "@job\n"
        "def a_job(): one()\n"
        "assert a_job.execute_in_process().success\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_except_clauses_and_warning_filters_of_the_original_go_on_working() -> None:
    assert issubclass(treadle.DagsterUnknownPartitionError, treadle.DagsterError)
    with warnings.catch_warnings():
        for category in (
            treadle.BetaWarning,
            treadle.PreviewWarning,
            treadle.SupersessionWarning,
            treadle.ConfigArgumentWarning,
            treadle.ExperimentalWarning,
        ):
            warnings.filterwarnings("ignore", category=category)


def test_import_of_treadle_does_not_make_later_names() -> None:
    code = "import sys, treadle; assert 'treadle.later' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_misspelt_later_name_is_suggested() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'AssetSelection'"):
        treadle.AssetSelecton


@pytest.mark.parametrize("parameter", ["partitions_def", "automation_condition"])
def test_parameter_of_a_later_stage_is_refused_by_the_job(parameter: str) -> None:
    @treadle.graph
    def nothing() -> None: ...

    with pytest.raises(NotInThisVersionError, match=rf'job "nothing": {parameter}=\.\.\. is not in Treadle yet'):
        treadle.JobDefinition(graph_def=nothing, **{parameter: object()})
