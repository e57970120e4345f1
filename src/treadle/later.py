"""Names of later stages: they can be imported, and say on use that they are not there yet.

One table: what comes later, and which public names go with it. The package root answers a name from here when it
knows no other; code that is handed something of a later stage refuses it in the same words. Nothing here does anything.
"""

from __future__ import annotations

import warnings
from types import FunctionType
from typing import Any, NoReturn

from treadle.errors import DagsterError, NotInThisVersionError

#: what comes in a later version, as the sentence says it -> the public names that go with it
_COMING: dict[str, str] = {
    "assets come": """
        AssetDep AssetExecutionContext AssetIn AssetJobKey AssetOut AssetRecordsFilter AssetSelection AssetSpec
        AssetValueLoader AssetsDefinition DataProvenance DataVersionsByPartition MaterializeResult ObserveResult
        ResolvedAssetKey ResolvedAssetSpec SourceAsset asset build_asset_context define_asset_job graph_asset
        graph_multi_asset load_assets_from_current_module load_assets_from_modules load_assets_from_package_module
        load_assets_from_package_name map_asset_specs materialize materialize_to_memory multi_asset
        multi_observable_source_asset observable_source_asset
    """,
    "asset checks come": """
        AssetCheckEvaluation AssetCheckExecutionContext AssetCheckKey AssetCheckResult AssetCheckSeverity
        AssetCheckSpec AssetChecksDefinition AssetOrCheckKey ResolvedAssetCheckSpec asset_check
        build_asset_check_context build_column_schema_change_checks build_metadata_bounds_checks
        load_asset_checks_from_current_module load_asset_checks_from_modules load_asset_checks_from_package_module
        load_asset_checks_from_package_name multi_asset_check
    """,
    "freshness policies come": """
        FreshnessPolicy LegacyFreshnessPolicy apply_freshness_policy build_last_update_freshness_checks
        build_sensor_for_freshness_checks build_time_partition_freshness_checks
    """,
    "automation conditions come": """
        AutoMaterializeAssetPartitionsFilter AutoMaterializePolicy AutoMaterializeRule AutomationCondition
        AutomationConditionSensorDefinition AutomationContext AutomationResult EvaluateAutomationConditionsResult
        evaluate_automation_conditions
    """,
    "partitions come": """
        AddDynamicPartitionsRequest AllPartitionMapping AssetPartitionStatus BackfillPolicy DailyPartitionsDefinition
        DeleteDynamicPartitionsRequest DimensionPartitionMapping DynamicPartitionsDefinition HourlyPartitionsDefinition
        IdentityPartitionMapping LastPartitionMapping MonthlyPartitionsDefinition MultiPartitionKey
        MultiPartitionMapping MultiPartitionsDefinition MultiToSingleDimensionPartitionMapping Partition
        PartitionKeyRange PartitionMapping PartitionedConfig PartitionsDefinition SpecificPartitionsPartitionMapping
        StaticPartitionMapping StaticPartitionsDefinition TimeWindow TimeWindowPartitionMapping
        TimeWindowPartitionsDefinition WeeklyPartitionsDefinition daily_partitioned_config dynamic_partitioned_config
        hourly_partitioned_config monthly_partitioned_config partition_loading_context partitioned_config
        static_partitioned_config weekly_partitioned_config
    """,
    "schedules come": """
        DefaultScheduleStatus ScheduleDefinition ScheduleEvaluationContext build_schedule_context
        build_schedule_from_partitioned_job schedule
    """,
    "sensors come": """
        AssetSensorDefinition DefaultSensorStatus MultiAssetSensorDefinition MultiAssetSensorEvaluationContext
        RunFailureSensorContext RunShardedEventsCursor RunStatusChangeRecordsFilter RunStatusSensorContext
        RunStatusSensorDefinition SensorDefinition SensorEvaluationContext SensorResult SensorReturnTypesUnion
        SkipReason asset_sensor build_multi_asset_sensor_context build_run_status_sensor_context build_sensor_context
        make_email_on_run_failure_sensor multi_asset_sensor run_failure_sensor run_status_sensor sensor
    """,
    "queues and launchers of runs come": """
        CodeLocationSelector DefaultRunLauncher JobSelector PaginatedResults QueuedRunCoordinator RepositorySelector
        RunRequest SubmitRunContext
    """,
    "steps that run outside this process come": """
        StepExecutionContext StepLauncher StepRunRef external_instance_from_step_run_ref
        raise_execution_interrupts run_step_from_ref step_context_to_step_run_ref step_run_ref_to_step_context
    """,
    "Pipes comes": """
        PipesBlobStoreMessageReader PipesClient PipesClientCompletedInvocation PipesCompositeMessageReader
        PipesContextInjector PipesEnvContextInjector PipesExecutionResult PipesFileContextInjector
        PipesFileMessageReader PipesLaunchedData PipesLogReader PipesMessageHandler PipesMessageReader PipesSession
        PipesSubprocessClient PipesTempFileContextInjector PipesTempFileMessageReader open_pipes_session
    """,
    "components come": """
        AssetAttributesModel Component ComponentFormConfig ComponentLoadContext ComponentTree ComponentTypeSpec
        DefinitionsComponent DefsFolderComponent FunctionComponent Injected Model PythonScriptComponent
        ResolutionContext Resolvable Resolver ScaffoldRequest Scaffolder SqlComponent StateBackedComponent
        TemplatedSqlComponent UPathDefsStateStorage UvRunComponent build_component_defs build_defs_for_component
        component_defs component_instance get_all_components_defs_within_project get_component_defs_within_project
        load_defs load_from_defs_folder resources scaffold_component scaffold_with template_var
    """,
    "links from definitions to their source code come": """
        AnchorBasedFilePathMapping CodeReferencesMetadataValue FilePathMapping LocalFileCodeReference UrlCodeReference
        link_code_references_to_git with_source_code_references
    """,
    "a stored form for values of users' own classes comes": """
        deserialize_value serialize_value
    """,
    "a tool that moves stored outputs to another IO manager comes": """
        MigrateIOStorageResult migrate_io_storage
    """,
}  # fmt: skip

_STAGE_OF = {name: stage for stage, names in _COMING.items() for name in names.split()}

#: every name that is not there yet
NAMES = frozenset(_STAGE_OF)

#: a run tag of the original; a run that takes longer is not stopped as yet
MAX_RUNTIME_SECONDS_TAG = "dagster/max_runtime"


# Users name these in `except` clauses and warning filters, which has to go on working though nothing raises them.


class DagsterUnknownPartitionError(DagsterError):
    """A partition was asked for that is not there; raised by nothing as yet, since there are no partitions."""


class BetaWarning(Warning):
    """Something may still change; never issued here."""


class PreviewWarning(Warning):
    """Something is new and will change; never issued here."""


class SupersessionWarning(FutureWarning):
    """Something has a successor; never issued here."""


class ConfigArgumentWarning(SyntaxWarning):
    """Config was given where code was expected; never issued here."""


class LaterStageWarning(UserWarning):
    """A file defines something of a later stage, which is left out; its jobs are not touched by that."""


def _sentence(what: str, part: str) -> str:
    return f"{what} is not in Treadle yet: {_STAGE_OF.get(part, part)} in a later version; this one runs ops, graphs and jobs."


def refuse(what: str, part: str, advice: str = "") -> NoReturn:
    """Raise NotInThisVersionError for `what` a user wrote.

    `part` is the name of the table that it comes together with, or what comes, as the sentence says it.
    """
    raise NotInThisVersionError(f"{_sentence(what, part)} {advice}" if advice else _sentence(what, part))


#: parameters of today's definitions that belong to later stages
_PARAMETERS = {
    "asset_selection": "AssetSelection",
    "partitions_def": "PartitionsDefinition",
    "partition_key": "PartitionsDefinition",
    "automation_condition": "AutomationCondition",
}


def refuse_given(what: str, **given: object) -> None:
    """Refuse parameters of later stages, for those that are given."""
    for parameter, value in given.items():
        if value is not None:
            refuse(f"{what}: {parameter}=...", _PARAMETERS[parameter])


#: These define something and do nothing by themselves, mostly above functions that nobody calls while a file loads.
#: What they define is put aside with a warning, so that the jobs of the same file can be used; whoever uses what is
#: left of it is refused.
_DECORATORS = frozenset(
    """
    asset asset_check asset_sensor graph_asset graph_multi_asset multi_asset multi_asset_check multi_asset_sensor
    multi_observable_source_asset observable_source_asset run_failure_sensor run_status_sensor schedule sensor
    """.split()
)
_DEFINERS = frozenset("AssetSpec ScheduleDefinition SensorDefinition SourceAsset define_asset_job".split())


class NotYet(type):
    """The type of a name that is not there yet: it stands in annotations and imports, and refuses everything else."""

    #: as the sentence names it
    _what: str
    #: the name of the table that it is, or was defined with
    _part: str

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **_options: Any) -> NotYet:
        for each in bases:
            if isinstance(each, NotYet):
                each.refuse()
        return super().__new__(cls, name, bases, body)

    def refuse(cls, tail: str = "") -> NoReturn:
        """Raise NotInThisVersionError for this name, or for an attribute of it."""
        refuse(f"{cls._what}{tail}", cls._part)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        name = cls.__name__
        if cls._what == name and name in _DEFINERS:
            given = kwargs.get("name", args[0] if args else None)
            return _put_aside(name, given if isinstance(given, str) else None, __name__)
        if cls._what != name or name not in _DECORATORS:
            cls.refuse()
        if len(args) == 1 and not kwargs and isinstance(args[0], FunctionType):
            return _put_aside(name, args[0].__name__, args[0].__module__)
        return lambda fn: _put_aside(name, getattr(fn, "__name__", None), getattr(fn, "__module__", __name__))

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):  # what Python and its tools ask of anything
            raise AttributeError(name)
        cls.refuse(f".{name}")

    def __getitem__(cls, _parameters: Any) -> NotYet:
        return cls  # in an annotation, such as PartitionsDefinition[str]

    def __iter__(cls) -> NoReturn:
        cls.refuse()

    def __repr__(cls) -> str:
        return f"<{cls._what}: not in Treadle yet>"


def _make(name: str, what: str, part: str, module: str) -> NotYet:
    body = {"__module__": module, "__doc__": f"{what} is not in Treadle yet.", "_what": what, "_part": part}
    return NotYet(name, (), body)


def _put_aside(part: str, name: str | None, module: str) -> NotYet:
    """What is left of something that was defined by `part`, a name of the table."""
    what = f'{part} "{name}"' if name else part
    warnings.warn(_sentence(what, part), LaterStageWarning, stacklevel=3)
    return _make(name or part, what if name else f"what {part} defined", part, module)


def __getattr__(name: str) -> Any:
    if name not in _STAGE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = _make(name, name, name, __name__)
    return found
