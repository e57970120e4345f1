"""The public names of Treadle, resolved lazily; nothing else.

`from treadle import op` imports the one module that has it, and what that needs. The table below is the whole public
API; a name that is not in it is not public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any as _AnyObject

if TYPE_CHECKING:
    # fmt: off
    from treadle.config.mistakes import (
        DagsterEvaluationErrorReason as DagsterEvaluationErrorReason, EvaluationError as EvaluationError,
    )
    from treadle.config.pythonic import (
        Config as Config, PermissiveConfig as PermissiveConfig, RunConfig as RunConfig,
    )
    from treadle.config.schema import (
        BoolSource as BoolSource, Enum as Enum, EnumValue as EnumValue, EnvVar as EnvVar,
        IntSource as IntSource, StringSource as StringSource,
    )
    from treadle.config.sugar import (
        Array as Array, Field as Field, Map as Map, Noneable as Noneable, Permissive as Permissive,
        ScalarUnion as ScalarUnion, Selector as Selector, Shape as Shape,
    )
    from treadle.contexts import (
        HookContext as HookContext, InitLoggerContext as InitLoggerContext,
        InitResourceContext as InitResourceContext, InputContext as InputContext,
        OpExecutionContext as OpExecutionContext, OpExecutionContext as SystemComputeExecutionContext,
        OpExecutionContext as SolidExecutionContext, OutputContext as OutputContext,
    )
    from treadle.definitions.compose import (
        DependencyDefinition as DependencyDefinition,
        DynamicCollectDependencyDefinition as DynamicCollectDependencyDefinition,
        MappedInputPlaceholder as MappedInputPlaceholder,
        MultiDependencyDefinition as MultiDependencyDefinition, Node as Node, NodeInvocation as NodeInvocation,
    )
    from treadle.definitions.configurable import (
        ConfigurableIOManager as ConfigurableIOManager,
        ConfigurableIOManagerFactory as ConfigurableIOManagerFactory,
        ConfigurableResource as ConfigurableResource,
        ConfigurableResourceFactory as ConfigurableResourceFactory, ResourceDependency as ResourceDependency,
    )
    from treadle.definitions.configured import (
        configured as configured,
    )
    from treadle.definitions.executors import (
        ExecutorDefinition as ExecutorDefinition, executor as executor,
        in_process_executor as in_process_executor,
    )
    from treadle.definitions.graph import (
        GraphDefinition as GraphDefinition, graph as graph,
    )
    from treadle.definitions.hooks import (
        HookDefinition as HookDefinition, failure_hook as failure_hook, success_hook as success_hook,
    )
    from treadle.definitions.io_managers import (
        FilesystemIOManager as FilesystemIOManager, IOManager as IOManager,
        IOManagerDefinition as IOManagerDefinition, InMemoryIOManager as InMemoryIOManager,
        InputManager as InputManager, InputManagerDefinition as InputManagerDefinition,
        fs_io_manager as fs_io_manager, input_manager as input_manager, io_manager as io_manager,
        mem_io_manager as mem_io_manager,
    )
    from treadle.definitions.job import (
        JobDefinition as JobDefinition, job as job,
    )
    from treadle.definitions.loggers import (
        LoggerDefinition as LoggerDefinition, colored_console_logger as colored_console_logger,
        default_loggers as default_loggers, json_console_logger as json_console_logger, logger as logger,
    )
    from treadle.definitions.op import (
        OpDefinition as OpDefinition, op as op, op as solid,
    )
    from treadle.definitions.ports import (
        DynamicOut as DynamicOut, DynamicOutputDefinition as DynamicOutputDefinition, GraphIn as GraphIn,
        GraphOut as GraphOut, In as In, InputDefinition as InputDefinition, InputMapping as InputMapping,
        Out as Out, OutputDefinition as OutputDefinition, OutputMapping as OutputMapping,
    )
    from treadle.definitions.resources import (
        ResourceDefinition as ResourceDefinition, ResourceParam as ResourceParam,
        make_values_resource as make_values_resource, resource as resource,
    )
    from treadle.definitions.run_config import (
        validate_run_config as validate_run_config,
    )
    from treadle.errors import (
        CheckError as CheckError, ChildProcessCrashException as ChildProcessCrashException,
        DagsterCodeNotFoundError as DagsterCodeNotFoundError,
        DagsterConfigMappingFunctionError as DagsterConfigMappingFunctionError, DagsterError as DagsterError,
        DagsterEventLogInvalidForRun as DagsterEventLogInvalidForRun,
        DagsterExecutionHandleOutputError as DagsterExecutionHandleOutputError,
        DagsterExecutionInterruptedError as DagsterExecutionInterruptedError,
        DagsterExecutionLoadInputError as DagsterExecutionLoadInputError,
        DagsterExecutionStepExecutionError as DagsterExecutionStepExecutionError,
        DagsterExecutionStepNotFoundError as DagsterExecutionStepNotFoundError,
        DagsterHomeNotSetError as DagsterHomeNotSetError, DagsterImportError as DagsterImportError,
        DagsterInvalidConfigDefinitionError as DagsterInvalidConfigDefinitionError,
        DagsterInvalidConfigError as DagsterInvalidConfigError,
        DagsterInvalidDagsterTypeInPythonicConfigDefinitionError as DagsterInvalidDagsterTypeInPythonicConfigDefinitionError,
        DagsterInvalidDefinitionError as DagsterInvalidDefinitionError,
        DagsterInvalidInvocationError as DagsterInvalidInvocationError,
        DagsterInvalidMetadata as DagsterInvalidMetadata,
        DagsterInvalidPropertyError as DagsterInvalidPropertyError,
        DagsterInvalidPythonicConfigDefinitionError as DagsterInvalidPythonicConfigDefinitionError,
        DagsterInvalidSubsetError as DagsterInvalidSubsetError,
        DagsterInvariantViolationError as DagsterInvariantViolationError,
        DagsterMaxRetriesExceededError as DagsterMaxRetriesExceededError,
        DagsterResourceFunctionError as DagsterResourceFunctionError,
        DagsterRunAlreadyExists as DagsterRunAlreadyExists, DagsterRunNotFoundError as DagsterRunNotFoundError,
        DagsterStepOutputNotFoundError as DagsterStepOutputNotFoundError,
        DagsterSubprocessError as DagsterSubprocessError,
        DagsterTypeCheckDidNotPass as DagsterTypeCheckDidNotPass,
        DagsterTypeCheckError as DagsterTypeCheckError, DagsterTypeLoadingError as DagsterTypeLoadingError,
        DagsterUnknownResourceError as DagsterUnknownResourceError,
        DagsterUnknownStepStateError as DagsterUnknownStepStateError,
        DagsterUnmetExecutorRequirementsError as DagsterUnmetExecutorRequirementsError,
        DagsterUserCodeExecutionError as DagsterUserCodeExecutionError,
        HookExecutionError as HookExecutionError, ParameterCheckError as ParameterCheckError,
        SerializableErrorInfo as SerializableErrorInfo,
    )
    from treadle.events import (
        AssetObservationData as AssetObservationData, ComputeLogsCaptureData as ComputeLogsCaptureData,
        DagsterEvent as DagsterEvent, DagsterEventType as DagsterEventType, EngineEventData as EngineEventData,
        ErrorSource as ErrorSource, EventLogEntry as EventLogEntry, HandledOutputData as HandledOutputData,
        HookErroredData as HookErroredData, JobFailureData as JobFailureData,
        LoadedInputData as LoadedInputData, RunFailureReason as RunFailureReason,
        StepExpectationResultData as StepExpectationResultData, StepFailureData as StepFailureData,
        StepHandle as StepHandle, StepInputData as StepInputData, StepKind as StepKind,
        StepMaterializationData as StepMaterializationData, StepOutputData as StepOutputData,
        StepOutputHandle as StepOutputHandle, StepRetryData as StepRetryData,
        StepSuccessData as StepSuccessData, TypeCheckData as TypeCheckData, UserFailureData as UserFailureData,
    )
    from treadle.instance import (
        DagsterInstance as DagsterInstance,
    )
    from treadle.logs import (
        DagsterLogManager as DagsterLogManager, get_dagster_logger as get_dagster_logger,
    )
    from treadle.metadata import (
        BoolMetadataValue as BoolMetadataValue,
        CodeLocationReconstructionMetadataValue as CodeLocationReconstructionMetadataValue,
        DagsterAssetMetadataValue as DagsterAssetMetadataValue,
        DagsterJobMetadataValue as DagsterJobMetadataValue, DagsterRunMetadataValue as DagsterRunMetadataValue,
        FloatMetadataValue as FloatMetadataValue, IntMetadataValue as IntMetadataValue,
        JsonMetadataValue as JsonMetadataValue, MarkdownMetadataValue as MarkdownMetadataValue,
        MetadataValue as MetadataValue, MetadataValue as EventMetadata,
        NotebookMetadataValue as NotebookMetadataValue, NullMetadataValue as NullMetadataValue,
        PathMetadataValue as PathMetadataValue, PoolMetadataValue as PoolMetadataValue,
        PythonArtifactMetadataValue as PythonArtifactMetadataValue,
        TableColumnLineageMetadataValue as TableColumnLineageMetadataValue,
        TableMetadataValue as TableMetadataValue, TableSchemaMetadataValue as TableSchemaMetadataValue,
        TextMetadataValue as TextMetadataValue, TimestampMetadataValue as TimestampMetadataValue,
        UrlMetadataValue as UrlMetadataValue,
    )
    from treadle.names import (
        AssetKey as AssetKey, NodeHandle as NodeHandle,
    )
    from treadle.outcomes import (
        AssetMaterialization as AssetMaterialization, AssetObservation as AssetObservation, Backoff as Backoff,
        DataVersion as DataVersion, DynamicOutput as DynamicOutput, ExpectationResult as ExpectationResult,
        Failure as Failure, Jitter as Jitter, Output as Output, RetryPolicy as RetryPolicy,
        RetryRequested as RetryRequested, TypeCheck as TypeCheck,
    )
    from treadle.results import (
        ExecuteInProcessResult as ExecuteInProcessResult, ExecuteInProcessResult as InProcessExecutionResult,
        ExecuteInProcessResult as InProcessGraphResult, ExecutionResult as ExecutionResult,
    )
    from treadle.runs import (
        DagsterRun as DagsterRun, DagsterRun as PipelineRun, DagsterRunStatus as DagsterRunStatus,
        DagsterRunStatus as PipelineRunStatus, RunsFilter as RunsFilter, RunsFilter as PipelineRunsFilter,
    )
    from treadle.tables import (
        TableColumn as TableColumn, TableColumnConstraints as TableColumnConstraints,
        TableColumnDep as TableColumnDep, TableColumnLineage as TableColumnLineage,
        TableConstraints as TableConstraints, TableRecord as TableRecord, TableSchema as TableSchema,
    )
    from treadle.type_kinds import (
        DagsterType as DagsterType, DagsterTypeKind as DagsterTypeKind,
        PythonObjectDagsterType as PythonObjectDagsterType, TypeCheckContext as TypeCheckContext,
    )
    from treadle.type_loaders import (
        DagsterTypeLoader as DagsterTypeLoader, dagster_type_loader as dagster_type_loader,
    )
    from treadle.types import (
        Any as Any, Bool as Bool, Dict as Dict, Float as Float, Int as Int, List as List, Nothing as Nothing,
        Optional as Optional, Set as Set, String as String, Tuple as Tuple,
        check_dagster_type as check_dagster_type,
        make_python_type_usable_as_dagster_type as make_python_type_usable_as_dagster_type,
        usable_as_dagster_type as usable_as_dagster_type,
    )
    # fmt: on

#: module of ours to the public names that it has
_HOMES: dict[str, str] = {
    "treadle.config.mistakes": """
        DagsterEvaluationErrorReason EvaluationError
    """,
    "treadle.config.pythonic": """
        Config PermissiveConfig RunConfig
    """,
    "treadle.config.schema": """
        BoolSource Enum EnumValue EnvVar IntSource StringSource
    """,
    "treadle.config.sugar": """
        Array Field Map Noneable Permissive ScalarUnion Selector Shape
    """,
    "treadle.contexts": """
        HookContext InitLoggerContext InitResourceContext InputContext OpExecutionContext OutputContext
    """,
    "treadle.definitions.compose": """
        DependencyDefinition DynamicCollectDependencyDefinition MappedInputPlaceholder MultiDependencyDefinition
        Node NodeInvocation
    """,
    "treadle.definitions.configurable": """
        ConfigurableIOManager ConfigurableIOManagerFactory ConfigurableResource ConfigurableResourceFactory
        ResourceDependency
    """,
    "treadle.definitions.configured": """
        configured
    """,
    "treadle.definitions.executors": """
        ExecutorDefinition executor in_process_executor
    """,
    "treadle.definitions.graph": """
        GraphDefinition graph
    """,
    "treadle.definitions.hooks": """
        HookDefinition failure_hook success_hook
    """,
    "treadle.definitions.io_managers": """
        FilesystemIOManager IOManager IOManagerDefinition InMemoryIOManager InputManager InputManagerDefinition
        fs_io_manager input_manager io_manager mem_io_manager
    """,
    "treadle.definitions.job": """
        JobDefinition job
    """,
    "treadle.definitions.loggers": """
        LoggerDefinition colored_console_logger default_loggers json_console_logger logger
    """,
    "treadle.definitions.op": """
        OpDefinition op
    """,
    "treadle.definitions.ports": """
        DynamicOut DynamicOutputDefinition GraphIn GraphOut In InputDefinition InputMapping Out OutputDefinition
        OutputMapping
    """,
    "treadle.definitions.resources": """
        ResourceDefinition ResourceParam make_values_resource resource
    """,
    "treadle.definitions.run_config": """
        validate_run_config
    """,
    "treadle.errors": """
        CheckError ChildProcessCrashException DagsterCodeNotFoundError DagsterConfigMappingFunctionError
        DagsterError DagsterEventLogInvalidForRun DagsterExecutionHandleOutputError
        DagsterExecutionInterruptedError DagsterExecutionLoadInputError DagsterExecutionStepExecutionError
        DagsterExecutionStepNotFoundError DagsterHomeNotSetError DagsterImportError
        DagsterInvalidConfigDefinitionError DagsterInvalidConfigError
        DagsterInvalidDagsterTypeInPythonicConfigDefinitionError DagsterInvalidDefinitionError
        DagsterInvalidInvocationError DagsterInvalidMetadata DagsterInvalidPropertyError
        DagsterInvalidPythonicConfigDefinitionError DagsterInvalidSubsetError DagsterInvariantViolationError
        DagsterMaxRetriesExceededError DagsterResourceFunctionError DagsterRunAlreadyExists
        DagsterRunNotFoundError DagsterStepOutputNotFoundError DagsterSubprocessError DagsterTypeCheckDidNotPass
        DagsterTypeCheckError DagsterTypeLoadingError DagsterUnknownResourceError DagsterUnknownStepStateError
        DagsterUnmetExecutorRequirementsError DagsterUserCodeExecutionError HookExecutionError
        ParameterCheckError SerializableErrorInfo
    """,
    "treadle.events": """
        AssetObservationData ComputeLogsCaptureData DagsterEvent DagsterEventType EngineEventData ErrorSource
        EventLogEntry HandledOutputData HookErroredData JobFailureData LoadedInputData RunFailureReason
        StepExpectationResultData StepFailureData StepHandle StepInputData StepKind StepMaterializationData
        StepOutputData StepOutputHandle StepRetryData StepSuccessData TypeCheckData UserFailureData
    """,
    "treadle.instance": """
        DagsterInstance
    """,
    "treadle.logs": """
        DagsterLogManager get_dagster_logger
    """,
    "treadle.metadata": """
        BoolMetadataValue CodeLocationReconstructionMetadataValue DagsterAssetMetadataValue
        DagsterJobMetadataValue DagsterRunMetadataValue FloatMetadataValue IntMetadataValue JsonMetadataValue
        MarkdownMetadataValue MetadataValue NotebookMetadataValue NullMetadataValue PathMetadataValue
        PoolMetadataValue PythonArtifactMetadataValue TableColumnLineageMetadataValue TableMetadataValue
        TableSchemaMetadataValue TextMetadataValue TimestampMetadataValue UrlMetadataValue
    """,
    "treadle.names": """
        AssetKey NodeHandle
    """,
    "treadle.outcomes": """
        AssetMaterialization AssetObservation Backoff DataVersion DynamicOutput ExpectationResult Failure Jitter
        Output RetryPolicy RetryRequested TypeCheck
    """,
    "treadle.results": """
        ExecuteInProcessResult ExecutionResult
    """,
    "treadle.runs": """
        DagsterRun DagsterRunStatus RunsFilter
    """,
    "treadle.tables": """
        TableColumn TableColumnConstraints TableColumnDep TableColumnLineage TableConstraints TableRecord
        TableSchema
    """,
    "treadle.type_kinds": """
        DagsterType DagsterTypeKind PythonObjectDagsterType TypeCheckContext
    """,
    "treadle.type_loaders": """
        DagsterTypeLoader dagster_type_loader
    """,
    "treadle.types": """
        Any Bool Dict Float Int List Nothing Optional Set String Tuple check_dagster_type
        make_python_type_usable_as_dagster_type usable_as_dagster_type
    """,
}

#: older name to today's
_OLDER_NAMES = {
    "EventMetadata": "MetadataValue",
    "InProcessExecutionResult": "ExecuteInProcessResult",
    "InProcessGraphResult": "ExecuteInProcessResult",
    "PipelineRun": "DagsterRun",
    "PipelineRunStatus": "DagsterRunStatus",
    "PipelineRunsFilter": "RunsFilter",
    "SolidExecutionContext": "OpExecutionContext",
    "SystemComputeExecutionContext": "OpExecutionContext",
    "solid": "op",
}

_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

# fmt: off
__all__ = [
    "Any", "Array", "AssetKey", "AssetMaterialization", "AssetObservation", "AssetObservationData", "Backoff",
    "Bool", "BoolMetadataValue", "BoolSource", "CheckError", "ChildProcessCrashException",
    "CodeLocationReconstructionMetadataValue", "ComputeLogsCaptureData", "Config", "ConfigurableIOManager",
    "ConfigurableIOManagerFactory", "ConfigurableResource", "ConfigurableResourceFactory",
    "DagsterAssetMetadataValue", "DagsterCodeNotFoundError", "DagsterConfigMappingFunctionError",
    "DagsterError", "DagsterEvaluationErrorReason", "DagsterEvent", "DagsterEventLogInvalidForRun",
    "DagsterEventType", "DagsterExecutionHandleOutputError", "DagsterExecutionInterruptedError",
    "DagsterExecutionLoadInputError", "DagsterExecutionStepExecutionError", "DagsterExecutionStepNotFoundError",
    "DagsterHomeNotSetError", "DagsterImportError", "DagsterInstance", "DagsterInvalidConfigDefinitionError",
    "DagsterInvalidConfigError", "DagsterInvalidDagsterTypeInPythonicConfigDefinitionError",
    "DagsterInvalidDefinitionError", "DagsterInvalidInvocationError", "DagsterInvalidMetadata",
    "DagsterInvalidPropertyError", "DagsterInvalidPythonicConfigDefinitionError", "DagsterInvalidSubsetError",
    "DagsterInvariantViolationError", "DagsterJobMetadataValue", "DagsterLogManager",
    "DagsterMaxRetriesExceededError", "DagsterResourceFunctionError", "DagsterRun", "DagsterRunAlreadyExists",
    "DagsterRunMetadataValue", "DagsterRunNotFoundError", "DagsterRunStatus", "DagsterStepOutputNotFoundError",
    "DagsterSubprocessError", "DagsterType", "DagsterTypeCheckDidNotPass", "DagsterTypeCheckError",
    "DagsterTypeKind", "DagsterTypeLoader", "DagsterTypeLoadingError", "DagsterUnknownResourceError",
    "DagsterUnknownStepStateError", "DagsterUnmetExecutorRequirementsError", "DagsterUserCodeExecutionError",
    "DataVersion", "DependencyDefinition", "Dict", "DynamicCollectDependencyDefinition", "DynamicOut",
    "DynamicOutput", "DynamicOutputDefinition", "EngineEventData", "Enum", "EnumValue", "EnvVar", "ErrorSource",
    "EvaluationError", "EventLogEntry", "EventMetadata", "ExecuteInProcessResult", "ExecutionResult",
    "ExecutorDefinition", "ExpectationResult", "Failure", "Field", "FilesystemIOManager", "Float",
    "FloatMetadataValue", "GraphDefinition", "GraphIn", "GraphOut", "HandledOutputData", "HookContext",
    "HookDefinition", "HookErroredData", "HookExecutionError", "IOManager", "IOManagerDefinition", "In",
    "InMemoryIOManager", "InProcessExecutionResult", "InProcessGraphResult", "InitLoggerContext",
    "InitResourceContext", "InputContext", "InputDefinition", "InputManager", "InputManagerDefinition",
    "InputMapping", "Int", "IntMetadataValue", "IntSource", "Jitter", "JobDefinition", "JobFailureData",
    "JsonMetadataValue", "List", "LoadedInputData", "LoggerDefinition", "Map", "MappedInputPlaceholder",
    "MarkdownMetadataValue", "MetadataValue", "MultiDependencyDefinition", "Node", "NodeHandle",
    "NodeInvocation", "Noneable", "NotebookMetadataValue", "Nothing", "NullMetadataValue", "OpDefinition",
    "OpExecutionContext", "Optional", "Out", "Output", "OutputContext", "OutputDefinition", "OutputMapping",
    "ParameterCheckError", "PathMetadataValue", "Permissive", "PermissiveConfig", "PipelineRun",
    "PipelineRunStatus", "PipelineRunsFilter", "PoolMetadataValue", "PythonArtifactMetadataValue",
    "PythonObjectDagsterType", "ResourceDefinition", "ResourceDependency", "ResourceParam", "RetryPolicy",
    "RetryRequested", "RunConfig", "RunFailureReason", "RunsFilter", "ScalarUnion", "Selector",
    "SerializableErrorInfo", "Set", "Shape", "SolidExecutionContext", "StepExpectationResultData",
    "StepFailureData", "StepHandle", "StepInputData", "StepKind", "StepMaterializationData", "StepOutputData",
    "StepOutputHandle", "StepRetryData", "StepSuccessData", "String", "StringSource",
    "SystemComputeExecutionContext", "TableColumn", "TableColumnConstraints", "TableColumnDep",
    "TableColumnLineage", "TableColumnLineageMetadataValue", "TableConstraints", "TableMetadataValue",
    "TableRecord", "TableSchema", "TableSchemaMetadataValue", "TextMetadataValue", "TimestampMetadataValue",
    "Tuple", "TypeCheck", "TypeCheckContext", "TypeCheckData", "UrlMetadataValue", "UserFailureData",
    "__version__", "check_dagster_type", "colored_console_logger", "configured", "dagster_type_loader",
    "default_loggers", "executor", "failure_hook", "fs_io_manager", "get_dagster_logger", "graph",
    "in_process_executor", "input_manager", "io_manager", "job", "json_console_logger", "logger",
    "make_python_type_usable_as_dagster_type", "make_values_resource", "mem_io_manager", "op", "resource",
    "solid", "success_hook", "usable_as_dagster_type", "validate_run_config",
]
# fmt: on


def __getattr__(name: str) -> _AnyObject:
    if name == "__version__":
        from importlib.metadata import version

        return version("treadle")
    target = _OLDER_NAMES.get(name, name)
    module = _MODULE_OF.get(target)
    if module is None:
        from difflib import get_close_matches

        near = get_close_matches(name, __all__, n=1)
        raise AttributeError(
            f"module 'treadle' has no attribute {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
        )
    from importlib import import_module

    value = globals()[name] = getattr(import_module(module), target)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
