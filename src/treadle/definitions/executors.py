"""The definitions users write: executors.

An executor's definition is a name, a config schema and a function that makes the executor when a run starts; what an
executor does stands in engine/driver.py (the protocol) and in executors/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from treadle import introspect, names
from treadle.config.sugar import Field, Selector
from treadle.definitions.configured import ConfigContract, ConfigurableDefinition
from treadle.errors import DagsterInvalidDefinitionError

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
    ) -> None:
        self.name = names.check_name(name, "an executor")
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
                f"{[p.name for p in signature.parameters]}."
            )
        given = name if isinstance(name, str) else signature.name
        return ExecutorDefinition(given, config_schema, requirements, fn, signature.docstring)

    return make(name) if callable(name) else make


#: runs the steps one after another in this process; what makes it stands in api.py, which knows executors
in_process_executor = ExecutorDefinition(
    "in_process", IN_PROCESS_SCHEMA, description="Runs the steps one after another in this process."
)

#: the executor config that a job without an executor of its own takes: one of these, by name
DEFAULT_EXECUTOR_FIELD = Field(
    Selector({"in_process": Field(IN_PROCESS_SCHEMA, is_required=False)}), default_value={"in_process": {}}
)

__all__ = ["DEFAULT_EXECUTOR_FIELD", "ExecutorDefinition", "executor", "in_process_executor"]
