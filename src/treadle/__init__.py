"""The public names of Treadle, resolved lazily; nothing else.

`from treadle import op` imports the one module that has it, and what that needs. The table below is the whole public
API; a name that is not in it is not public. Names of later stages stand in treadle.later, and say so when used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any as _AnyObject

if TYPE_CHECKING:
    __version__: str
    # fmt: off
    from treadle.api import (
        execute_job as execute_job,
    )
    from treadle.config.mistakes import (
        DagsterEvaluationErrorReason as DagsterEvaluationErrorReason,
    )
    from treadle.config.mistakes import (
        EvaluationError as EvaluationError,
    )
    from treadle.config.pythonic import (
        Config as Config,
    )
    from treadle.config.pythonic import (
        PermissiveConfig as PermissiveConfig,
    )
    from treadle.config.pythonic import (
        RunConfig as RunConfig,
    )
    from treadle.config.schema import (
        BoolSource as BoolSource,
    )
    from treadle.config.schema import (
        Enum as Enum,
    )
    from treadle.config.schema import (
        EnumValue as EnumValue,
    )
    from treadle.config.schema import (
        EnvVar as EnvVar,
    )
    from treadle.config.schema import (
        IntSource as IntSource,
    )
    from treadle.config.schema import (
        StringSource as StringSource,
    )
    from treadle.config.sugar import (
        Array as Array,
    )
    from treadle.config.sugar import (
        Field as Field,
    )
    from treadle.config.sugar import (
        Map as Map,
    )
    from treadle.config.sugar import (
        Noneable as Noneable,
    )
    from treadle.config.sugar import (
        Permissive as Permissive,
    )
    from treadle.config.sugar import (
        ScalarUnion as ScalarUnion,
    )
    from treadle.config.sugar import (
        Selector as Selector,
    )
    from treadle.config.sugar import (
        Shape as Shape,
    )
    from treadle.config_files import (
        config_from_files as config_from_files,
    )
    from treadle.config_files import (
        config_from_pkg_resources as config_from_pkg_resources,
    )
    from treadle.config_files import (
        config_from_yaml_strings as config_from_yaml_strings,
    )
    from treadle.config_files import (
        file_relative_path as file_relative_path,
    )
    from treadle.contexts import (
        HookContext as HookContext,
    )
    from treadle.contexts import (
        InitLoggerContext as InitLoggerContext,
    )
    from treadle.contexts import (
        InitResourceContext as InitResourceContext,
    )
    from treadle.contexts import (
        OpExecutionContext as DagsterTypeLoaderContext,
    )
    from treadle.contexts import (
        OpExecutionContext as OpExecutionContext,
    )
    from treadle.contexts import (
        OpExecutionContext as SolidExecutionContext,
    )
    from treadle.contexts import (
        OpExecutionContext as SystemComputeExecutionContext,
    )
    from treadle.definitions.built import (
        build_hook_context as build_hook_context,
    )
    from treadle.definitions.built import (
        build_init_logger_context as build_init_logger_context,
    )
    from treadle.definitions.built import (
        build_init_resource_context as build_init_resource_context,
    )
    from treadle.definitions.built import (
        build_input_context as build_input_context,
    )
    from treadle.definitions.built import (
        build_op_context as build_op_context,
    )
    from treadle.definitions.built import (
        build_op_context as build_solid_context,
    )
    from treadle.definitions.built import (
        build_output_context as build_output_context,
    )
    from treadle.definitions.compose import (
        DependencyDefinition as DependencyDefinition,
    )
    from treadle.definitions.compose import (
        DynamicCollectDependencyDefinition as DynamicCollectDependencyDefinition,
    )
    from treadle.definitions.compose import (
        Invocation as Invocation,
    )
    from treadle.definitions.compose import (
        Invocation as PendingNodeInvocation,
    )
    from treadle.definitions.compose import (
        MappedInputPlaceholder as MappedInputPlaceholder,
    )
    from treadle.definitions.compose import (
        MultiDependencyDefinition as MultiDependencyDefinition,
    )
    from treadle.definitions.compose import (
        Node as Node,
    )
    from treadle.definitions.compose import (
        NodeInvocation as NodeInvocation,
    )
    from treadle.definitions.config_mapping import (
        ConfigMapping as ConfigMapping,
    )
    from treadle.definitions.config_mapping import (
        config_mapping as config_mapping,
    )
    from treadle.definitions.configurable import (
        ConfigurableIOManager as ConfigurableIOManager,
    )
    from treadle.definitions.configurable import (
        ConfigurableIOManagerFactory as ConfigurableIOManagerFactory,
    )
    from treadle.definitions.configurable import (
        ConfigurableLegacyIOManagerAdapter as ConfigurableLegacyIOManagerAdapter,
    )
    from treadle.definitions.configurable import (
        ConfigurableLegacyResourceAdapter as ConfigurableLegacyResourceAdapter,
    )
    from treadle.definitions.configurable import (
        ConfigurableResource as ConfigurableResource,
    )
    from treadle.definitions.configurable import (
        ConfigurableResourceFactory as ConfigurableResourceFactory,
    )
    from treadle.definitions.configurable import (
        PartialResource as PartialResource,
    )
    from treadle.definitions.configurable import (
        ResourceDependency as ResourceDependency,
    )
    from treadle.definitions.configured import (
        configured as configured,
    )
    from treadle.definitions.container import (
        Definitions as Definitions,
    )
    from treadle.definitions.container import (
        LazyDefinitions as LazyDefinitions,
    )
    from treadle.definitions.container import (
        create_repository_using_definitions_args as create_repository_using_definitions_args,
    )
    from treadle.definitions.container import (
        load_definitions_from_current_module as load_definitions_from_current_module,
    )
    from treadle.definitions.container import (
        load_definitions_from_module as load_definitions_from_module,
    )
    from treadle.definitions.container import (
        load_definitions_from_modules as load_definitions_from_modules,
    )
    from treadle.definitions.container import (
        load_definitions_from_package_module as load_definitions_from_package_module,
    )
    from treadle.definitions.container import (
        load_definitions_from_package_name as load_definitions_from_package_name,
    )
    from treadle.definitions.container import (
        with_resources as with_resources,
    )
    from treadle.definitions.executors import (
        ExecutorDefinition as ExecutorDefinition,
    )
    from treadle.definitions.executors import (
        ExecutorRequirement as ExecutorRequirement,
    )
    from treadle.definitions.executors import (
        async_executor as async_executor,
    )
    from treadle.definitions.executors import (
        dask_executor as dask_executor,
    )
    from treadle.definitions.executors import (
        executor as executor,
    )
    from treadle.definitions.executors import (
        in_process_executor as in_process_executor,
    )
    from treadle.definitions.executors import (
        multi_or_in_process_executor as multi_or_in_process_executor,
    )
    from treadle.definitions.executors import (
        multiple_process_executor_requirements as multiple_process_executor_requirements,
    )
    from treadle.definitions.executors import (
        multiprocess_executor as multiprocess_executor,
    )
    from treadle.definitions.executors import (
        threaded_executor as threaded_executor,
    )
    from treadle.definitions.file_handles import (
        FileHandle as FileHandle,
    )
    from treadle.definitions.file_handles import (
        FileManager as FileManager,
    )
    from treadle.definitions.file_handles import (
        LocalFileHandle as LocalFileHandle,
    )
    from treadle.definitions.file_handles import (
        LocalFileManager as LocalFileManager,
    )
    from treadle.definitions.file_handles import (
        local_file_manager as local_file_manager,
    )
    from treadle.definitions.graph import (
        GraphDefinition as GraphDefinition,
    )
    from treadle.definitions.graph import (
        graph as composite_solid,
    )
    from treadle.definitions.graph import (
        graph as graph,
    )
    from treadle.definitions.hooks import (
        HookDefinition as HookDefinition,
    )
    from treadle.definitions.hooks import (
        HookExecutionResult as HookExecutionResult,
    )
    from treadle.definitions.hooks import (
        failure_hook as failure_hook,
    )
    from treadle.definitions.hooks import (
        success_hook as success_hook,
    )
    from treadle.definitions.io_managers import (
        FilesystemIOManager as FilesystemIOManager,
    )
    from treadle.definitions.io_managers import (
        InMemoryIOManager as InMemoryIOManager,
    )
    from treadle.definitions.io_managers import (
        InputManager as InputManager,
    )
    from treadle.definitions.io_managers import (
        InputManagerDefinition as InputManagerDefinition,
    )
    from treadle.definitions.io_managers import (
        IOManager as IOManager,
    )
    from treadle.definitions.io_managers import (
        IOManagerDefinition as IOManagerDefinition,
    )
    from treadle.definitions.io_managers import (
        fs_io_manager as fs_io_manager,
    )
    from treadle.definitions.io_managers import (
        input_manager as input_manager,
    )
    from treadle.definitions.io_managers import (
        io_manager as io_manager,
    )
    from treadle.definitions.io_managers import (
        mem_io_manager as mem_io_manager,
    )
    from treadle.definitions.job import (
        JobDefinition as JobDefinition,
    )
    from treadle.definitions.job import (
        job as job,
    )
    from treadle.definitions.loggers import (
        LoggerDefinition as LoggerDefinition,
    )
    from treadle.definitions.loggers import (
        colored_console_logger as colored_console_logger,
    )
    from treadle.definitions.loggers import (
        default_loggers as default_loggers,
    )
    from treadle.definitions.loggers import (
        default_system_loggers as default_system_loggers,
    )
    from treadle.definitions.loggers import (
        json_console_logger as json_console_logger,
    )
    from treadle.definitions.loggers import (
        logger as logger,
    )
    from treadle.definitions.op import (
        OpDefinition as OpDefinition,
    )
    from treadle.definitions.op import (
        op as op,
    )
    from treadle.definitions.op import (
        op as solid,
    )
    from treadle.definitions.opening import (
        IAttachDifferentObjectToOpContext as IAttachDifferentObjectToOpContext,
    )
    from treadle.definitions.opening import (
        build_resources as build_resources,
    )
    from treadle.definitions.paths import (
        UPathIOManager as UPathIOManager,
    )
    from treadle.definitions.paths import (
        custom_path_fs_io_manager as custom_path_fs_io_manager,
    )
    from treadle.definitions.ports import (
        DynamicOut as DynamicOut,
    )
    from treadle.definitions.ports import (
        DynamicOutputDefinition as DynamicOutputDefinition,
    )
    from treadle.definitions.ports import (
        GraphIn as GraphIn,
    )
    from treadle.definitions.ports import (
        GraphOut as GraphOut,
    )
    from treadle.definitions.ports import (
        In as In,
    )
    from treadle.definitions.ports import (
        InputDefinition as InputDefinition,
    )
    from treadle.definitions.ports import (
        InputMapping as InputMapping,
    )
    from treadle.definitions.ports import (
        Out as Out,
    )
    from treadle.definitions.ports import (
        OutputDefinition as OutputDefinition,
    )
    from treadle.definitions.ports import (
        OutputMapping as OutputMapping,
    )
    from treadle.definitions.repositories import (
        RepositoryData as RepositoryData,
    )
    from treadle.definitions.repositories import (
        RepositoryDefinition as RepositoryDefinition,
    )
    from treadle.definitions.repositories import (
        repository as repository,
    )
    from treadle.definitions.resources import (
        ResourceDefinition as ResourceDefinition,
    )
    from treadle.definitions.resources import (
        ResourceParam as ResourceParam,
    )
    from treadle.definitions.resources import (
        make_values_resource as make_values_resource,
    )
    from treadle.definitions.resources import (
        resource as resource,
    )
    from treadle.definitions.run_config import (
        validate_run_config as validate_run_config,
    )
    from treadle.errors import (
        CheckError as CheckError,
    )
    from treadle.errors import (
        ChildProcessCrashException as ChildProcessCrashException,
    )
    from treadle.errors import (
        DagsterCodeNotFoundError as DagsterCodeNotFoundError,
    )
    from treadle.errors import (
        DagsterConfigMappingFunctionError as DagsterConfigMappingFunctionError,
    )
    from treadle.errors import (
        DagsterError as DagsterError,
    )
    from treadle.errors import (
        DagsterEventLogInvalidForRun as DagsterEventLogInvalidForRun,
    )
    from treadle.errors import (
        DagsterExecutionHandleOutputError as DagsterExecutionHandleOutputError,
    )
    from treadle.errors import (
        DagsterExecutionInterruptedError as DagsterExecutionInterruptedError,
    )
    from treadle.errors import (
        DagsterExecutionLoadInputError as DagsterExecutionLoadInputError,
    )
    from treadle.errors import (
        DagsterExecutionStepExecutionError as DagsterExecutionStepExecutionError,
    )
    from treadle.errors import (
        DagsterExecutionStepNotFoundError as DagsterExecutionStepNotFoundError,
    )
    from treadle.errors import (
        DagsterHomeNotSetError as DagsterHomeNotSetError,
    )
    from treadle.errors import (
        DagsterImportError as DagsterImportError,
    )
    from treadle.errors import (
        DagsterInvalidConfigDefinitionError as DagsterInvalidConfigDefinitionError,
    )
    from treadle.errors import (
        DagsterInvalidConfigError as DagsterInvalidConfigError,
    )
    from treadle.errors import (
        DagsterInvalidDagsterTypeInPythonicConfigDefinitionError as DagsterInvalidDagsterTypeInPythonicConfigDefinitionError,
    )
    from treadle.errors import (
        DagsterInvalidDefinitionError as DagsterInvalidDefinitionError,
    )
    from treadle.errors import (
        DagsterInvalidInvocationError as DagsterInvalidInvocationError,
    )
    from treadle.errors import (
        DagsterInvalidMetadata as DagsterInvalidMetadata,
    )
    from treadle.errors import (
        DagsterInvalidPropertyError as DagsterInvalidPropertyError,
    )
    from treadle.errors import (
        DagsterInvalidPythonicConfigDefinitionError as DagsterInvalidPythonicConfigDefinitionError,
    )
    from treadle.errors import (
        DagsterInvalidSubsetError as DagsterInvalidSubsetError,
    )
    from treadle.errors import (
        DagsterInvariantViolationError as DagsterInvariantViolationError,
    )
    from treadle.errors import (
        DagsterMaxRetriesExceededError as DagsterMaxRetriesExceededError,
    )
    from treadle.errors import (
        DagsterResourceFunctionError as DagsterResourceFunctionError,
    )
    from treadle.errors import (
        DagsterRunAlreadyExists as DagsterRunAlreadyExists,
    )
    from treadle.errors import (
        DagsterRunNotFoundError as DagsterRunNotFoundError,
    )
    from treadle.errors import (
        DagsterStepOutputNotFoundError as DagsterStepOutputNotFoundError,
    )
    from treadle.errors import (
        DagsterSubprocessError as DagsterSubprocessError,
    )
    from treadle.errors import (
        DagsterTypeCheckDidNotPass as DagsterTypeCheckDidNotPass,
    )
    from treadle.errors import (
        DagsterTypeCheckError as DagsterTypeCheckError,
    )
    from treadle.errors import (
        DagsterTypeLoadingError as DagsterTypeLoadingError,
    )
    from treadle.errors import (
        DagsterUnknownResourceError as DagsterUnknownResourceError,
    )
    from treadle.errors import (
        DagsterUnknownStepStateError as DagsterUnknownStepStateError,
    )
    from treadle.errors import (
        DagsterUnmetExecutorRequirementsError as DagsterUnmetExecutorRequirementsError,
    )
    from treadle.errors import (
        DagsterUserCodeExecutionError as DagsterUserCodeExecutionError,
    )
    from treadle.errors import (
        HookExecutionError as HookExecutionError,
    )
    from treadle.errors import (
        LeaseLostError as LeaseLostError,
    )
    from treadle.errors import (
        NotInThisVersionError as NotInThisVersionError,
    )
    from treadle.errors import (
        ParameterCheckError as ParameterCheckError,
    )
    from treadle.errors import (
        RunOwnedError as RunOwnedError,
    )
    from treadle.errors import (
        SerializableErrorInfo as SerializableErrorInfo,
    )
    from treadle.errors import (
        SettingsError as SettingsError,
    )
    from treadle.errors import (
        StepMemoryError as StepMemoryError,
    )
    from treadle.errors import (
        StepTimeoutError as StepTimeoutError,
    )
    from treadle.errors import (
        StoreBusyError as StoreBusyError,
    )
    from treadle.errors import (
        StoreCorruptError as StoreCorruptError,
    )
    from treadle.errors import (
        StoreError as StoreError,
    )
    from treadle.errors import (
        StoreFullError as StoreFullError,
    )
    from treadle.errors import (
        StoreMissingError as StoreMissingError,
    )
    from treadle.errors import (
        StoreReadOnlyError as StoreReadOnlyError,
    )
    from treadle.errors import (
        StoreVersionError as StoreVersionError,
    )
    from treadle.errors import (
        TreadleByValueWarning as TreadleByValueWarning,
    )
    from treadle.errors import (
        TreadleExecutorWarning as TreadleExecutorWarning,
    )
    from treadle.errors import (
        TreadleLoggerWarning as TreadleLoggerWarning,
    )
    from treadle.errors import (
        TreadleSettingsWarning as TreadleSettingsWarning,
    )
    from treadle.errors import (
        TreadleStorageWarning as TreadleStorageWarning,
    )
    from treadle.errors import (
        TreadleWiringWarning as TreadleWiringWarning,
    )
    from treadle.events import (
        DagsterEvent as DagsterEvent,
    )
    from treadle.events import (
        DagsterEventType as DagsterEventType,
    )
    from treadle.events import (
        EventLogEntry as EventLogEntry,
    )
    from treadle.events import (
        ResolvedFromDynamicStepHandle as ResolvedFromDynamicStepHandle,
    )
    from treadle.events import (
        StepHandle as StepHandle,
    )
    from treadle.events import (
        StepKind as StepKind,
    )
    from treadle.executors.beside import (
        Executor as Executor,
    )
    from treadle.executors.beside import (
        InitExecutorContext as InitExecutorContext,
    )
    from treadle.instance import (
        DagsterInstance as DagsterInstance,
    )
    from treadle.instance import (
        instance_for_test as instance_for_test,
    )
    from treadle.io_contexts import (
        InputContext as InputContext,
    )
    from treadle.io_contexts import (
        OutputContext as OutputContext,
    )
    from treadle.job_results import (
        JobExecutionResult as JobExecutionResult,
    )
    from treadle.later import (
        MAX_RUNTIME_SECONDS_TAG as MAX_RUNTIME_SECONDS_TAG,
    )
    from treadle.later import (
        BetaWarning as BetaWarning,
    )
    from treadle.later import (
        BetaWarning as ExperimentalWarning,
    )
    from treadle.later import (
        ConfigArgumentWarning as ConfigArgumentWarning,
    )
    from treadle.later import (
        DagsterUnknownPartitionError as DagsterUnknownPartitionError,
    )
    from treadle.later import (
        LaterStageWarning as LaterStageWarning,
    )
    from treadle.later import (
        PreviewWarning as PreviewWarning,
    )
    from treadle.later import (
        SupersessionWarning as SupersessionWarning,
    )
    from treadle.lineage import (
        ReexecutionOptions as ReexecutionOptions,
    )
    from treadle.logs import (
        DagsterLogManager as DagsterLogManager,
    )
    from treadle.logs import (
        JsonFormatter as JsonFormatter,
    )
    from treadle.logs import (
        JsonFormatter as JsonLogFormatter,
    )
    from treadle.logs import (
        get_dagster_logger as get_dagster_logger,
    )
    from treadle.metadata import (
        BoolMetadataValue as BoolMetadataValue,
    )
    from treadle.metadata import (
        CodeLocationReconstructionMetadataValue as CodeLocationReconstructionMetadataValue,
    )
    from treadle.metadata import (
        DagsterAssetMetadataValue as DagsterAssetMetadataValue,
    )
    from treadle.metadata import (
        DagsterJobMetadataValue as DagsterJobMetadataValue,
    )
    from treadle.metadata import (
        DagsterRunMetadataValue as DagsterRunMetadataValue,
    )
    from treadle.metadata import (
        FloatMetadataValue as FloatMetadataValue,
    )
    from treadle.metadata import (
        IntMetadataValue as IntMetadataValue,
    )
    from treadle.metadata import (
        JsonMetadataValue as JsonMetadataValue,
    )
    from treadle.metadata import (
        MarkdownMetadataValue as MarkdownMetadataValue,
    )
    from treadle.metadata import (
        MetadataValue as EventMetadata,
    )
    from treadle.metadata import (
        MetadataValue as MetadataValue,
    )
    from treadle.metadata import (
        NotebookMetadataValue as NotebookMetadataValue,
    )
    from treadle.metadata import (
        NullMetadataValue as NullMetadataValue,
    )
    from treadle.metadata import (
        PathMetadataValue as PathMetadataValue,
    )
    from treadle.metadata import (
        PoolMetadataValue as PoolMetadataValue,
    )
    from treadle.metadata import (
        PythonArtifactMetadataValue as PythonArtifactMetadataValue,
    )
    from treadle.metadata import (
        TableColumnLineageMetadataValue as TableColumnLineageMetadataValue,
    )
    from treadle.metadata import (
        TableMetadataValue as TableMetadataValue,
    )
    from treadle.metadata import (
        TableSchemaMetadataValue as TableSchemaMetadataValue,
    )
    from treadle.metadata import (
        TextMetadataValue as TextMetadataValue,
    )
    from treadle.metadata import (
        TimestampMetadataValue as TimestampMetadataValue,
    )
    from treadle.metadata import (
        UrlMetadataValue as UrlMetadataValue,
    )
    from treadle.names import (
        AssetKey as AssetKey,
    )
    from treadle.names import (
        NodeHandle as NodeHandle,
    )
    from treadle.older import (
        BindResourcesToJobs as BindResourcesToJobs,
    )
    from treadle.older import (
        ConfigSchema as ConfigSchema,
    )
    from treadle.older import (
        MetadataEntry as MetadataEntry,
    )
    from treadle.older import (
        ModeDefinition as ModeDefinition,
    )
    from treadle.older import (
        PipelineDefinition as PipelineDefinition,
    )
    from treadle.older import (
        default_executors as default_executors,
    )
    from treadle.older import (
        execute_pipeline as execute_pipeline,
    )
    from treadle.older import (
        execute_pipeline_iterator as execute_pipeline_iterator,
    )
    from treadle.older import (
        lambda_solid as lambda_solid,
    )
    from treadle.older import (
        pipeline as pipeline,
    )
    from treadle.older import (
        reexecute_pipeline as reexecute_pipeline,
    )
    from treadle.older import (
        reexecute_pipeline_iterator as reexecute_pipeline_iterator,
    )
    from treadle.outcomes import (
        AssetMaterialization as AssetMaterialization,
    )
    from treadle.outcomes import (
        AssetObservation as AssetObservation,
    )
    from treadle.outcomes import (
        Backoff as Backoff,
    )
    from treadle.outcomes import (
        DataVersion as DataVersion,
    )
    from treadle.outcomes import (
        DynamicOutput as DynamicOutput,
    )
    from treadle.outcomes import (
        ExpectationResult as ExpectationResult,
    )
    from treadle.outcomes import (
        Failure as Failure,
    )
    from treadle.outcomes import (
        Jitter as Jitter,
    )
    from treadle.outcomes import (
        Output as Output,
    )
    from treadle.outcomes import (
        RetryPolicy as RetryPolicy,
    )
    from treadle.outcomes import (
        RetryRequested as RetryRequested,
    )
    from treadle.outcomes import (
        TypeCheck as TypeCheck,
    )
    from treadle.payloads import (
        AssetObservationData as AssetObservationData,
    )
    from treadle.payloads import (
        ComputeLogsCaptureData as ComputeLogsCaptureData,
    )
    from treadle.payloads import (
        EngineEventData as EngineEventData,
    )
    from treadle.payloads import (
        ErrorSource as ErrorSource,
    )
    from treadle.payloads import (
        HandledOutputData as HandledOutputData,
    )
    from treadle.payloads import (
        HookErroredData as HookErroredData,
    )
    from treadle.payloads import (
        JobCanceledData as JobCanceledData,
    )
    from treadle.payloads import (
        JobFailureData as JobFailureData,
    )
    from treadle.payloads import (
        LoadedInputData as LoadedInputData,
    )
    from treadle.payloads import (
        RunFailureReason as RunFailureReason,
    )
    from treadle.payloads import (
        StepExpectationResultData as StepExpectationResultData,
    )
    from treadle.payloads import (
        StepFailureData as StepFailureData,
    )
    from treadle.payloads import (
        StepInputData as StepInputData,
    )
    from treadle.payloads import (
        StepMaterializationData as StepMaterializationData,
    )
    from treadle.payloads import (
        StepOutputData as StepOutputData,
    )
    from treadle.payloads import (
        StepOutputHandle as StepOutputHandle,
    )
    from treadle.payloads import (
        StepRetryData as StepRetryData,
    )
    from treadle.payloads import (
        StepSuccessData as StepSuccessData,
    )
    from treadle.payloads import (
        TypeCheckData as TypeCheckData,
    )
    from treadle.payloads import (
        UserFailureData as UserFailureData,
    )
    from treadle.recipes import (
        ReconstructableJob as ReconstructableJob,
    )
    from treadle.recipes import (
        ReconstructableRepository as ReconstructableRepository,
    )
    from treadle.recipes import (
        build_reconstructable_job as build_reconstructable_job,
    )
    from treadle.recipes import (
        reconstructable as reconstructable,
    )
    from treadle.records import (
        DagsterRunStatsSnapshot as DagsterRunStatsSnapshot,
    )
    from treadle.records import (
        EventLogRecord as EventLogRecord,
    )
    from treadle.records import (
        EventRecordsFilter as EventRecordsFilter,
    )
    from treadle.records import (
        EventRecordsResult as EventRecordsResult,
    )
    from treadle.records import (
        RunRecord as RunRecord,
    )
    from treadle.records import (
        RunStepKeyStatsSnapshot as RunStepKeyStatsSnapshot,
    )
    from treadle.records import (
        RunStepMarker as RunStepMarker,
    )
    from treadle.records import (
        StepEventStatus as StepEventStatus,
    )
    from treadle.results import (
        ExecuteInProcessResult as ExecuteInProcessResult,
    )
    from treadle.results import (
        ExecuteInProcessResult as InProcessExecutionResult,
    )
    from treadle.results import (
        ExecuteInProcessResult as InProcessGraphResult,
    )
    from treadle.results import (
        ExecutionResult as ExecutionResult,
    )
    from treadle.resumption import (
        resume_run as resume_run,
    )
    from treadle.runs import (
        DagsterRun as DagsterRun,
    )
    from treadle.runs import (
        DagsterRun as PipelineRun,
    )
    from treadle.runs import (
        DagsterRunStatus as DagsterRunStatus,
    )
    from treadle.runs import (
        DagsterRunStatus as PipelineRunStatus,
    )
    from treadle.runs import (
        RunsFilter as PipelineRunsFilter,
    )
    from treadle.runs import (
        RunsFilter as RunsFilter,
    )
    from treadle.tables import (
        TableColumn as TableColumn,
    )
    from treadle.tables import (
        TableColumnConstraints as TableColumnConstraints,
    )
    from treadle.tables import (
        TableColumnDep as TableColumnDep,
    )
    from treadle.tables import (
        TableColumnLineage as TableColumnLineage,
    )
    from treadle.tables import (
        TableConstraints as TableConstraints,
    )
    from treadle.tables import (
        TableRecord as TableRecord,
    )
    from treadle.tables import (
        TableSchema as TableSchema,
    )
    from treadle.type_kinds import (
        DagsterType as DagsterType,
    )
    from treadle.type_kinds import (
        DagsterTypeKind as DagsterTypeKind,
    )
    from treadle.type_kinds import (
        PythonObjectDagsterType as PythonObjectDagsterType,
    )
    from treadle.type_kinds import (
        TypeCheckContext as TypeCheckContext,
    )
    from treadle.type_loaders import (
        DagsterTypeLoader as DagsterTypeLoader,
    )
    from treadle.type_loaders import (
        dagster_type_loader as dagster_type_loader,
    )
    from treadle.types import (
        Any as Any,
    )
    from treadle.types import (
        Bool as Bool,
    )
    from treadle.types import (
        Dict as Dict,
    )
    from treadle.types import (
        Float as Float,
    )
    from treadle.types import (
        Int as Int,
    )
    from treadle.types import (
        List as List,
    )
    from treadle.types import (
        Nothing as Nothing,
    )
    from treadle.types import (
        Optional as Optional,
    )
    from treadle.types import (
        Set as Set,
    )
    from treadle.types import (
        String as String,
    )
    from treadle.types import (
        Tuple as Tuple,
    )
    from treadle.types import (
        check_dagster_type as check_dagster_type,
    )
    from treadle.types import (
        make_python_type_usable_as_dagster_type as make_python_type_usable_as_dagster_type,
    )
    from treadle.types import (
        usable_as_dagster_type as usable_as_dagster_type,
    )
    # fmt: on

#: module of ours to the public names that it has
_HOMES: dict[str, str] = {
    "treadle.api": """
        execute_job
    """,
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
    "treadle.config_files": """
        config_from_files config_from_pkg_resources config_from_yaml_strings file_relative_path
    """,
    "treadle.contexts": """
        HookContext InitLoggerContext InitResourceContext OpExecutionContext
    """,
    "treadle.definitions.built": """
        build_hook_context build_init_logger_context build_init_resource_context build_input_context
        build_op_context build_output_context
    """,
    "treadle.definitions.compose": """
        DependencyDefinition DynamicCollectDependencyDefinition Invocation MappedInputPlaceholder
        MultiDependencyDefinition Node NodeInvocation
    """,
    "treadle.definitions.config_mapping": """
        ConfigMapping config_mapping
    """,
    "treadle.definitions.configurable": """
        ConfigurableIOManager ConfigurableIOManagerFactory ConfigurableLegacyIOManagerAdapter
        ConfigurableLegacyResourceAdapter ConfigurableResource ConfigurableResourceFactory PartialResource
        ResourceDependency
    """,
    "treadle.definitions.configured": """
        configured
    """,
    "treadle.definitions.container": """
        Definitions LazyDefinitions create_repository_using_definitions_args
        load_definitions_from_current_module load_definitions_from_module load_definitions_from_modules
        load_definitions_from_package_module load_definitions_from_package_name with_resources
    """,
    "treadle.definitions.executors": """
        ExecutorDefinition ExecutorRequirement async_executor dask_executor executor in_process_executor
        multi_or_in_process_executor multiple_process_executor_requirements multiprocess_executor threaded_executor
    """,
    "treadle.definitions.file_handles": """
        FileHandle FileManager LocalFileHandle LocalFileManager local_file_manager
    """,
    "treadle.definitions.graph": """
        GraphDefinition graph
    """,
    "treadle.definitions.hooks": """
        HookDefinition HookExecutionResult failure_hook success_hook
    """,
    "treadle.definitions.io_managers": """
        FilesystemIOManager IOManager IOManagerDefinition InMemoryIOManager InputManager InputManagerDefinition
        fs_io_manager input_manager io_manager mem_io_manager
    """,
    "treadle.definitions.job": """
        JobDefinition job
    """,
    "treadle.definitions.loggers": """
        LoggerDefinition colored_console_logger default_loggers default_system_loggers json_console_logger
        logger
    """,
    "treadle.definitions.op": """
        OpDefinition op
    """,
    "treadle.definitions.opening": """
        IAttachDifferentObjectToOpContext build_resources
    """,
    "treadle.definitions.paths": """
        UPathIOManager custom_path_fs_io_manager
    """,
    "treadle.definitions.ports": """
        DynamicOut DynamicOutputDefinition GraphIn GraphOut In InputDefinition InputMapping Out OutputDefinition
        OutputMapping
    """,
    "treadle.definitions.repositories": """
        RepositoryData RepositoryDefinition repository
    """,
    "treadle.definitions.resources": """
        ResourceDefinition ResourceParam make_values_resource resource
    """,
    "treadle.definitions.run_config": """
        validate_run_config
    """,
    "treadle.errors": """
        CheckError ChildProcessCrashException DagsterCodeNotFoundError DagsterConfigMappingFunctionError DagsterError
        DagsterEventLogInvalidForRun DagsterExecutionHandleOutputError DagsterExecutionInterruptedError
        DagsterExecutionLoadInputError DagsterExecutionStepExecutionError DagsterExecutionStepNotFoundError
        DagsterHomeNotSetError DagsterImportError DagsterInvalidConfigDefinitionError DagsterInvalidConfigError
        DagsterInvalidDagsterTypeInPythonicConfigDefinitionError DagsterInvalidDefinitionError
        DagsterInvalidInvocationError DagsterInvalidMetadata DagsterInvalidPropertyError
        DagsterInvalidPythonicConfigDefinitionError DagsterInvalidSubsetError DagsterInvariantViolationError
        DagsterMaxRetriesExceededError DagsterResourceFunctionError DagsterRunAlreadyExists DagsterRunNotFoundError
        DagsterStepOutputNotFoundError DagsterSubprocessError DagsterTypeCheckDidNotPass DagsterTypeCheckError
        DagsterTypeLoadingError DagsterUnknownResourceError DagsterUnknownStepStateError
        DagsterUnmetExecutorRequirementsError DagsterUserCodeExecutionError HookExecutionError LeaseLostError
        NotInThisVersionError ParameterCheckError RunOwnedError SerializableErrorInfo SettingsError StepMemoryError
        StepTimeoutError StoreBusyError StoreCorruptError StoreError StoreFullError StoreMissingError StoreReadOnlyError StoreVersionError
        TreadleByValueWarning TreadleExecutorWarning TreadleLoggerWarning TreadleSettingsWarning TreadleStorageWarning
        TreadleWiringWarning
    """,
    "treadle.events": """
        DagsterEvent DagsterEventType EventLogEntry ResolvedFromDynamicStepHandle StepHandle StepKind
    """,
    "treadle.executors.beside": """
        Executor InitExecutorContext
    """,
    "treadle.instance": """
        DagsterInstance instance_for_test
    """,
    "treadle.io_contexts": """
        InputContext OutputContext
    """,
    "treadle.job_results": """
        JobExecutionResult
    """,
    "treadle.later": """
        BetaWarning ConfigArgumentWarning DagsterUnknownPartitionError LaterStageWarning MAX_RUNTIME_SECONDS_TAG
        PreviewWarning SupersessionWarning
    """,
    "treadle.lineage": """
        ReexecutionOptions
    """,
    "treadle.logs": """
        DagsterLogManager JsonFormatter get_dagster_logger
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
    "treadle.older": """
        BindResourcesToJobs ConfigSchema MetadataEntry ModeDefinition PipelineDefinition default_executors
        execute_pipeline execute_pipeline_iterator lambda_solid pipeline reexecute_pipeline
        reexecute_pipeline_iterator
    """,
    "treadle.outcomes": """
        AssetMaterialization AssetObservation Backoff DataVersion DynamicOutput ExpectationResult Failure Jitter
        Output RetryPolicy RetryRequested TypeCheck
    """,
    "treadle.payloads": """
        AssetObservationData ComputeLogsCaptureData EngineEventData ErrorSource HandledOutputData
        HookErroredData JobCanceledData JobFailureData LoadedInputData RunFailureReason
        StepExpectationResultData StepFailureData StepInputData StepMaterializationData StepOutputData
        StepOutputHandle StepRetryData StepSuccessData TypeCheckData UserFailureData
    """,
    "treadle.recipes": """
        ReconstructableJob ReconstructableRepository build_reconstructable_job reconstructable
    """,
    "treadle.records": """
        DagsterRunStatsSnapshot EventLogRecord EventRecordsFilter EventRecordsResult RunRecord
        RunStepKeyStatsSnapshot RunStepMarker StepEventStatus
    """,
    "treadle.results": """
        ExecuteInProcessResult ExecutionResult
    """,
    "treadle.resumption": """
        resume_run
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
    "DagsterTypeLoaderContext": "OpExecutionContext",
    "EventMetadata": "MetadataValue",
    "ExperimentalWarning": "BetaWarning",
    "InProcessExecutionResult": "ExecuteInProcessResult",
    "InProcessGraphResult": "ExecuteInProcessResult",
    "JsonLogFormatter": "JsonFormatter",
    "PendingNodeInvocation": "Invocation",
    "PipelineRun": "DagsterRun",
    "PipelineRunStatus": "DagsterRunStatus",
    "PipelineRunsFilter": "RunsFilter",
    "SolidExecutionContext": "OpExecutionContext",
    "SystemComputeExecutionContext": "OpExecutionContext",
    "build_solid_context": "build_op_context",
    "composite_solid": "graph",
    "solid": "op",
}

_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

# fmt: off
__all__ = [
    "Any", "Array", "AssetKey", "AssetMaterialization", "AssetObservation", "AssetObservationData", "Backoff",
    "BetaWarning", "BindResourcesToJobs", "Bool", "BoolMetadataValue", "BoolSource", "CheckError",
    "ChildProcessCrashException", "CodeLocationReconstructionMetadataValue", "ComputeLogsCaptureData", "Config",
    "ConfigArgumentWarning", "ConfigMapping", "ConfigSchema", "ConfigurableIOManager",
    "ConfigurableIOManagerFactory", "ConfigurableLegacyIOManagerAdapter", "ConfigurableLegacyResourceAdapter",
    "ConfigurableResource", "ConfigurableResourceFactory", "DagsterAssetMetadataValue", "DagsterCodeNotFoundError",
    "DagsterConfigMappingFunctionError", "DagsterError", "DagsterEvaluationErrorReason", "DagsterEvent",
    "DagsterEventLogInvalidForRun", "DagsterEventType", "DagsterExecutionHandleOutputError",
    "DagsterExecutionInterruptedError", "DagsterExecutionLoadInputError", "DagsterExecutionStepExecutionError",
    "DagsterExecutionStepNotFoundError", "DagsterHomeNotSetError", "DagsterImportError", "DagsterInstance",
    "DagsterInvalidConfigDefinitionError", "DagsterInvalidConfigError",
    "DagsterInvalidDagsterTypeInPythonicConfigDefinitionError", "DagsterInvalidDefinitionError",
    "DagsterInvalidInvocationError", "DagsterInvalidMetadata", "DagsterInvalidPropertyError",
    "DagsterInvalidPythonicConfigDefinitionError", "DagsterInvalidSubsetError", "DagsterInvariantViolationError",
    "DagsterJobMetadataValue", "DagsterLogManager", "DagsterMaxRetriesExceededError", "DagsterResourceFunctionError",
    "DagsterRun", "DagsterRunAlreadyExists", "DagsterRunMetadataValue", "DagsterRunNotFoundError",
    "DagsterRunStatsSnapshot", "DagsterRunStatus", "DagsterStepOutputNotFoundError", "DagsterSubprocessError",
    "DagsterType", "DagsterTypeCheckDidNotPass", "DagsterTypeCheckError", "DagsterTypeKind", "DagsterTypeLoader",
    "DagsterTypeLoaderContext", "DagsterTypeLoadingError", "DagsterUnknownPartitionError",
    "DagsterUnknownResourceError", "DagsterUnknownStepStateError", "DagsterUnmetExecutorRequirementsError",
    "DagsterUserCodeExecutionError", "DataVersion", "Definitions", "DependencyDefinition", "Dict",
    "DynamicCollectDependencyDefinition", "DynamicOut", "DynamicOutput", "DynamicOutputDefinition",
    "EngineEventData", "Enum", "EnumValue", "EnvVar", "ErrorSource", "EvaluationError", "EventLogEntry",
    "EventLogRecord", "EventMetadata", "EventRecordsFilter", "EventRecordsResult", "ExecuteInProcessResult",
    "ExecutionResult", "Executor", "ExecutorDefinition", "ExecutorRequirement", "ExpectationResult", "ExperimentalWarning",
    "Failure", "Field", "FileHandle", "FileManager", "FilesystemIOManager", "Float", "FloatMetadataValue",
    "GraphDefinition", "GraphIn", "GraphOut", "HandledOutputData", "HookContext", "HookDefinition",
    "HookErroredData", "HookExecutionError", "HookExecutionResult", "IAttachDifferentObjectToOpContext", "IOManager", "IOManagerDefinition", "In",
    "InMemoryIOManager", "InProcessExecutionResult", "InProcessGraphResult", "InitExecutorContext", "InitLoggerContext",
    "InitResourceContext", "InputContext", "InputDefinition", "InputManager", "InputManagerDefinition",
    "InputMapping", "Int", "IntMetadataValue", "IntSource", "Invocation", "Jitter", "JobCanceledData",
    "JobDefinition", "JobExecutionResult", "JobFailureData", "JsonFormatter", "JsonLogFormatter",
    "JsonMetadataValue", "LaterStageWarning", "LazyDefinitions", "LeaseLostError", "List", "LoadedInputData",
    "LocalFileHandle", "LocalFileManager", "LoggerDefinition", "MAX_RUNTIME_SECONDS_TAG", "Map",
    "MappedInputPlaceholder", "MarkdownMetadataValue", "MetadataEntry", "MetadataValue", "ModeDefinition",
    "MultiDependencyDefinition", "Node", "NodeHandle", "NodeInvocation", "Noneable", "NotInThisVersionError",
    "NotebookMetadataValue", "Nothing", "NullMetadataValue", "OpDefinition", "OpExecutionContext", "Optional", "Out",
    "Output", "OutputContext", "OutputDefinition", "OutputMapping", "ParameterCheckError", "PartialResource",
    "PathMetadataValue", "PendingNodeInvocation", "Permissive", "PermissiveConfig", "PipelineDefinition",
    "PipelineRun", "PipelineRunStatus", "PipelineRunsFilter", "PoolMetadataValue", "PreviewWarning",
    "PythonArtifactMetadataValue", "PythonObjectDagsterType", "ReconstructableJob", "ReconstructableRepository",
    "ReexecutionOptions", "RepositoryData", "RepositoryDefinition", "ResolvedFromDynamicStepHandle",
    "ResourceDefinition", "ResourceDependency", "ResourceParam", "RetryPolicy", "RetryRequested", "RunConfig",
    "RunFailureReason", "RunOwnedError", "RunRecord", "RunStepKeyStatsSnapshot", "RunStepMarker", "RunsFilter",
    "ScalarUnion", "Selector", "SerializableErrorInfo", "Set", "SettingsError", "Shape", "SolidExecutionContext",
    "StepEventStatus", "StepExpectationResultData", "StepFailureData", "StepHandle", "StepInputData", "StepKind",
    "StepMaterializationData", "StepMemoryError", "StepOutputData", "StepOutputHandle", "StepRetryData", "StepSuccessData",
    "StepTimeoutError",
    "StoreBusyError", "StoreCorruptError", "StoreError", "StoreFullError", "StoreMissingError", "StoreReadOnlyError",
    "StoreVersionError", "String", "StringSource", "SupersessionWarning", "SystemComputeExecutionContext",
    "TableColumn", "TableColumnConstraints", "TableColumnDep", "TableColumnLineage",
    "TableColumnLineageMetadataValue", "TableConstraints", "TableMetadataValue", "TableRecord", "TableSchema",
    "TableSchemaMetadataValue", "TextMetadataValue", "TimestampMetadataValue", "TreadleByValueWarning",
    "TreadleExecutorWarning", "TreadleLoggerWarning", "TreadleSettingsWarning", "TreadleStorageWarning", "TreadleWiringWarning", "Tuple",
    "TypeCheck", "TypeCheckContext", "TypeCheckData", "UPathIOManager", "UrlMetadataValue", "UserFailureData",
    "__version__", "async_executor", "build_hook_context", "build_init_logger_context", "build_init_resource_context",
    "build_input_context", "build_op_context", "build_output_context", "build_reconstructable_job",
    "build_resources", "build_solid_context", "check_dagster_type", "colored_console_logger", "composite_solid",
    "config_from_files", "config_from_pkg_resources", "config_from_yaml_strings", "config_mapping", "configured",
    "create_repository_using_definitions_args", "custom_path_fs_io_manager", "dagster_type_loader",
    "dask_executor", "default_executors", "default_loggers", "default_system_loggers", "execute_job", "execute_pipeline",
    "execute_pipeline_iterator", "executor", "failure_hook", "file_relative_path", "fs_io_manager",
    "get_dagster_logger", "graph", "in_process_executor", "input_manager", "instance_for_test", "io_manager", "job",
    "json_console_logger", "lambda_solid", "load_definitions_from_current_module", "load_definitions_from_module",
    "load_definitions_from_modules", "load_definitions_from_package_module", "load_definitions_from_package_name",
    "local_file_manager", "logger", "make_python_type_usable_as_dagster_type", "make_values_resource",
    "mem_io_manager", "multi_or_in_process_executor", "multiple_process_executor_requirements",
    "multiprocess_executor", "op", "pipeline", "reconstructable", "reexecute_pipeline",
    "reexecute_pipeline_iterator", "repository", "resource", "resume_run", "solid", "success_hook",
    "threaded_executor", "usable_as_dagster_type", "validate_run_config", "with_resources",
]
# fmt: on


if not TYPE_CHECKING:  # a type checker would take this for leave to import any name

    def _is_module(name: str) -> bool:
        """Whether it is one of ours: `from treadle import recipes` asks for an attribute first, and loads it then."""
        from os.path import exists

        ends = (".py", "/__init__.py")
        return any(exists(f"{__path__[0]}/{name}{end}") for end in ends)  # noqa: PTH110 - pathlib takes a while to load

    def __getattr__(name: str) -> _AnyObject:
        if name == "__version__":
            from importlib.metadata import version

            return version("treadle")
        from importlib import import_module

        target = _OLDER_NAMES.get(name, name)
        module = _MODULE_OF.get(target)
        if module is None:
            if _is_module(name):
                raise AttributeError(f"The module treadle.{name} is not loaded. Import it first.")
            module = "treadle.later"
            later = import_module(module)
            if name not in later.NAMES:
                from difflib import get_close_matches

                near = get_close_matches(name, [*__all__, *later.NAMES], n=1)
                raise AttributeError(
                    f"module 'treadle' has no attribute {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
                )
        value = globals()[name] = getattr(import_module(module), target)
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
