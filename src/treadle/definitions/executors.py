"""The definitions users write: executors.

An executor's definition is a name, a config schema and a function that makes the executor when a run starts; what an
executor does stands in engine/driver.py (the protocol) and in executors/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from treadle import introspect, names
from treadle.config.mistakes import DagsterEvaluationErrorReason, EvaluationError, EvaluationErrorData
from treadle.config.schema import StringSource
from treadle.config.sugar import Field, Map, Noneable, Permissive, ScalarUnion, Selector
from treadle.definitions.configured import ConfigContract, ConfigurableDefinition
from treadle.errors import DagsterInvalidConfigError, DagsterInvalidDefinitionError
from treadle.outcomes import ISOLATIONS

RETRIES_FIELD = Field(
    Selector({"enabled": Field({}, is_required=False), "disabled": Field({}, is_required=False)}),
    default_value={"enabled": {}},
    description="Whether a failed attempt may be tried again.",
)

IN_PROCESS_SCHEMA = {
    "retries": RETRIES_FIELD,
    "marker_to_close": Field(str, is_required=False),
    "step_dependency_config": Field(
        {"require_upstream_step_success": Field(bool, default_value=True)}, is_required=False
    ),
}


#: for executors that share a run with others
OP_ISOLATION = Field(
    Map(str, str),
    default_value={},
    description=f"By path of an op where it runs, whatever the op says itself: {', '.join(ISOLATIONS)}.",
)

MULTIPROCESS_SCHEMA = {
    "max_concurrent": Field(
        Noneable(int),
        default_value=None,
        description="How many steps may run at once; None: as many as there are cores.",
    ),
    "retries": RETRIES_FIELD,
    "start_method": Field(
        Selector({"spawn": Field({}), "forkserver": Field({"preload_modules": Field([str], is_required=False)})}),
        is_required=False,
        description="How child processes are started.",
    ),
    "tag_concurrency_limits": Field(
        [
            {
                "key": str,
                "value": Field(ScalarUnion(str, {"applyLimitPerUniqueValue": bool}), is_required=False),
                "limit": int,
            }
        ],
        is_required=False,
        description="How many steps with a tag may run at once.",
    ),
    "step_dependency_config": IN_PROCESS_SCHEMA["step_dependency_config"],
    "slots": Field(
        Map(str, int),
        default_value={},
        description="How many slots of each name there are for the steps whose ops ask for them.",
    ),
    "op_isolation": OP_ISOLATION,
    "isolation": Field(
        str,
        default_value="worker",
        description="`worker`: a process takes one step after another; `step`: each attempt has a process of its own.",
    ),
    "max_steps_per_worker": Field(
        Noneable(int), default_value=None, description="After so many steps a worker is replaced; None: never."
    ),
    "max_worker_rss": Field(
        Noneable(int),
        default_value=None,
        description="A worker that has more bytes of memory than this after a step is replaced; None: it is not.",
    ),
    "worker_idle_timeout": Field(
        Noneable(float),
        default_value=None,
        description="A worker that has had nothing to do for so many seconds is let go; None: not before the run's end.",
    ),
}


DASK_SCHEMA = {
    "cluster": Field(
        Selector(
            {
                "local": Field(Permissive(), is_required=False),
                "existing": Field({"address": Field(StringSource, description="Such as tcp://scheduler:8786.")}),
            }
        ),
        default_value={"local": {}},
        description="Where steps run: on a cluster that is there, or on a local one made for the run, with what LocalCluster takes.",
    ),
    "max_concurrent": Field(
        Noneable(int),
        default_value=None,
        description="How many steps may be with Dask at once; None: as many as the cluster has threads.",
    ),
    **{
        name: MULTIPROCESS_SCHEMA[name]
        for name in ("retries", "tag_concurrency_limits", "step_dependency_config", "slots")
    },
}

THREADED_SCHEMA = {
    "max_concurrent": Field(
        Noneable(int),
        default_value=None,
        description="How many steps may run at once; None: four more than there are cores, at most 32.",
    ),
    "retries": RETRIES_FIELD,
    "tag_concurrency_limits": MULTIPROCESS_SCHEMA["tag_concurrency_limits"],
    "slots": MULTIPROCESS_SCHEMA["slots"],
    "step_dependency_config": IN_PROCESS_SCHEMA["step_dependency_config"],
}

ASYNC_SCHEMA = {
    **THREADED_SCHEMA,
    "max_concurrent": Field(
        Noneable(int), default_value=None, description="How many steps may run at once; None: 100."
    ),
}


IN_PROCESS, MULTIPROCESS = "in_process", "multiprocess"
THREADED, ASYNC = "threaded", "async"
DASK = "dask"
#: those that run config can name
NAMED = (IN_PROCESS, MULTIPROCESS, THREADED, ASYNC, DASK)
#: run config names one of the two
CHOICE = "choice"
#: a user's own
CUSTOM = "custom"


class Execution(NamedTuple):
    """What the config of an executor asks for."""

    #: which built-in executor, or CUSTOM
    engine: str = IN_PROCESS
    #: whether a failed attempt may be tried again
    retries_enabled: bool = True
    #: False where a step may use what a failed step had yielded before it failed
    needs_success: bool = True
    #: how many steps may run at once; None for as many as the executor thinks fit
    max_concurrent: int | None = 1
    #: all of the executor's own config; of a user's own it may be anything
    options: Any = {}


def read_execution(engine: str | None, config: Any) -> Execution:
    """What the config of an executor asks for; `engine` is None for a user's own."""
    chosen: Any = config if isinstance(config, Mapping) else {}
    if engine == CHOICE:
        engine = next((name for name in NAMED if name in chosen), IN_PROCESS)
        chosen = chosen.get(engine) or {}
    if engine is not None:
        _check(engine, chosen)
    count = chosen.get("max_concurrent")
    retries = chosen.get("retries")
    dependency = chosen.get("step_dependency_config") or {}
    return Execution(
        engine or CUSTOM,
        "disabled" not in (retries if isinstance(retries, Mapping) else {}),
        bool(dependency.get("require_upstream_step_success", True)) if isinstance(dependency, Mapping) else True,
        1 if engine == IN_PROCESS else count if type(count) is int and count > 0 else None,
        config if engine is None else chosen,
    )


def _check(engine: str, config: Mapping[str, Any]) -> None:
    """Refuse numbers that no run could go by, which the types of the schema let through: all at once."""
    mistakes = []

    def check(name: str, is_right: bool, expected: str, value: Any) -> None:
        if not is_right:
            text = f"Invalid value at path {name}: expected {expected}, got {value!r}."
            data = EvaluationErrorData(expected, repr(value), (name,))
            mistakes.append(EvaluationError(text, DagsterEvaluationErrorReason.FAILED_POST_PROCESSING, error_data=data))

    for name in ("max_concurrent", "max_steps_per_worker", "max_worker_rss", "worker_idle_timeout"):
        value = config.get(name)
        least = 0 if name in ("max_concurrent", "worker_idle_timeout") else 1
        check(name, value is None or value >= least, f"a number of {least} or more, or None", value)
    isolation = config.get("isolation", "worker")
    check("isolation", isolation in ("worker", "step"), '"worker" or "step"', isolation)
    for path, place in (config.get("op_isolation") or {}).items():
        check(f"op_isolation:{path}", place in ISOLATIONS, f"one of {', '.join(ISOLATIONS)}", place)
    for number, limit in enumerate(config.get("tag_concurrency_limits") or ()):
        check(f"tag_concurrency_limits[{number}]:limit", limit["limit"] >= 1, "1 or more", limit["limit"])
    if mistakes:
        raise DagsterInvalidConfigError(f"Error in config for the {engine} executor", mistakes, config)


class ExecutorRequirement(Enum):
    """What an executor may need of the job and the instance that it works for."""

    RECONSTRUCTABLE_PIPELINE = "RECONSTRUCTABLE_PIPELINE"
    RECONSTRUCTABLE_JOB = "RECONSTRUCTABLE_PIPELINE"  # noqa: PIE796 - both names are public
    NON_EPHEMERAL_INSTANCE = "NON_EPHEMERAL_INSTANCE"
    PERSISTENT_OUTPUTS = "PERSISTENT_OUTPUTS"


def multiple_process_executor_requirements() -> list[ExecutorRequirement]:
    """What every executor needs whose steps run in other processes."""
    return list(ExecutorRequirement)


class ExecutorDefinition(ConfigurableDefinition):
    """A named way to run a job's steps, with a config schema. Make one with `@executor`."""

    kind = "executor"

    def __init__(
        self,
        name: str,
        config_schema: Any = None,
        requirements: Any = None,
        executor_creation_fn: Callable[..., Any] | None = None,
        description: str | None = None,
        *,
        contract: ConfigContract | None = None,
        engine: str | None = None,
    ) -> None:
        self.name = names.check_name(name, "an executor")
        #: which of the built-in executors it is, however it was configured and named; None for a user's own
        self.engine = engine
        self._contract = contract if contract is not None else ConfigContract(config_schema)
        self._requirements = requirements
        self.executor_creation_fn = executor_creation_fn
        self.description = description

    def get_requirements(self, executor_config: Any) -> list[Any]:
        """What the executor needs of a job and an instance, under this config."""
        if callable(self._requirements):
            return list(self._requirements(executor_config))
        return list(self._requirements or ())

    def configured(
        self,
        config_or_config_fn: Any,
        name: str | None = None,
        config_schema: Any = None,
        description: str | None = None,
    ) -> ExecutorDefinition:
        """A copy with its config filled in, under the same name unless another is given."""
        return self._fill_in(config_or_config_fn, config_schema, description, name)

    def _with_contract(self, contract: ConfigContract, description: str | None, name: Any) -> ExecutorDefinition:
        return ExecutorDefinition(
            name or self.name,
            None,
            self._requirements,
            self.executor_creation_fn,
            description,
            contract=contract,
            engine=self.engine,
        )

    def __repr__(self) -> str:
        return f"<ExecutorDefinition {self.name}>"


def executor(name: Any = None, config_schema: Any = None, requirements: Any = None) -> Any:
    """Decorate a function of `init_context` that returns an Executor; with or without parentheses."""

    def make(fn: Callable[..., Any]) -> ExecutorDefinition:
        signature = introspect.read_signature(fn)
        if len(signature.parameters) != 1:
            raise DagsterInvalidDefinitionError(
                f'@executor "{signature.name}": the function takes one parameter, the init context; it has '
                f"{', '.join(p.name for p in signature.parameters) or 'none'}."
            )
        given = name if isinstance(name, str) else signature.name
        return ExecutorDefinition(given, config_schema, requirements, fn, signature.docstring)

    return make(name) if callable(name) else make


#: runs the steps one after another in this process; what makes it stands in api.py, which knows executors
in_process_executor = ExecutorDefinition(
    IN_PROCESS,
    IN_PROCESS_SCHEMA,
    description="Runs the steps one after another in this process.",
    engine=IN_PROCESS,
)


#: runs each step in a process of its own, or in workers that take one step after another
multiprocess_executor = ExecutorDefinition(
    "multiprocess",
    MULTIPROCESS_SCHEMA,
    multiple_process_executor_requirements(),
    description="Runs steps in processes of their own, several at once.",
    engine=MULTIPROCESS,
)

#: runs several steps at once on threads of this process
threaded_executor = ExecutorDefinition(
    "threaded_executor",
    THREADED_SCHEMA,
    description="Runs several steps at once on threads of this process.",
    engine=THREADED,
)

#: runs async ops concurrently on one event loop, and all others on threads of this process
async_executor = ExecutorDefinition(
    "async_executor",
    ASYNC_SCHEMA,
    description="Runs async ops concurrently on one event loop, and all others on threads of this process.",
    engine=ASYNC,
)


#: runs each step as a task of Dask
dask_executor = ExecutorDefinition(
    DASK,
    DASK_SCHEMA,
    multiple_process_executor_requirements(),
    description="Runs each step as a task on a Dask cluster.",
    engine=DASK,
)


def _requirements_of_choice(config: Mapping[str, Any]) -> list[ExecutorRequirement]:
    return multiple_process_executor_requirements() if "multiprocess" in config else []


#: lets run config choose between the two
multi_or_in_process_executor = ExecutorDefinition(
    "multi_or_in_process_executor",
    Field(
        Selector(
            {
                "multiprocess": Field(MULTIPROCESS_SCHEMA, is_required=False),
                "in_process": Field(IN_PROCESS_SCHEMA, is_required=False),
            }
        ),
        default_value={"multiprocess": {}},
    ),
    _requirements_of_choice,
    description="Runs the steps as run config says: in processes of their own, or one after another in this one.",
    engine=CHOICE,
)

#: the executor config that a job without an executor of its own takes: one of these, by name
DEFAULT_EXECUTOR_FIELD = Field(
    Selector(
        {
            "in_process": Field(IN_PROCESS_SCHEMA, is_required=False),
            "multiprocess": Field(MULTIPROCESS_SCHEMA, is_required=False),
            "threaded": Field(THREADED_SCHEMA, is_required=False),
            "async": Field(ASYNC_SCHEMA, is_required=False),
            "dask": Field(DASK_SCHEMA, is_required=False),
        }
    ),
    default_value={"in_process": {}},
)

__all__ = [
    "DEFAULT_EXECUTOR_FIELD",
    "ExecutorDefinition",
    "ExecutorRequirement",
    "async_executor",
    "dask_executor",
    "executor",
    "in_process_executor",
    "multi_or_in_process_executor",
    "multiple_process_executor_requirements",
    "multiprocess_executor",
    "threaded_executor",
]
