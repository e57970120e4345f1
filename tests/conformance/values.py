"""Golden scenarios 33 to 59: what a step does with values - types, resources, outputs, user events, config, IO managers.

Each function builds the job of one scenario; `scenarios.py` collects them.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.endings import takes_int
from tests.conformance.flows import Broken, inc
from tests.conformance.scenario import golden
from tests.conformance.wiring import job_of
from treadle import (
    AssetMaterialization,
    AssetObservation,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    DagsterStepOutputNotFoundError,
    DagsterType,
    DagsterTypeCheckDidNotPass,
    ExpectationResult,
    IOManager,
    JobDefinition,
    Out,
    Output,
    TypeCheck,
    job,
    op,
    resource,
)

# -- type checks -------------------------------------------------------------------------------------


@golden(
    33,
    "Pn · retstr{SS SO HO SX} takes_int{SS LI SI SF} · FAIL",
    failed=("takes_int",),
    raises=DagsterTypeCheckDidNotPass,
    outputs={"retstr": "text"},
)
def typecheck_input() -> JobDefinition:
    @op
    def retstr():
        return "text"

    @job
    def typecheck_input_job():
        takes_int(retstr())

    return typecheck_input_job


@golden(
    34,
    "Pn · bad_int{SS SO SF} · FAIL",
    failed=("bad_int",),
    raises=DagsterTypeCheckDidNotPass,
    untouched=("inc",),
)
def typecheck_output() -> JobDefinition:
    @op
    def bad_int() -> int:
        return "text"  # type: ignore[return-value]

    @job
    def typecheck_output_job():
        inc(bad_int())

    return typecheck_output_job


def _job_of_one_typed_op(op_name: str, type_check_fn: Any) -> JobDefinition:
    @op(name=op_name, out=Out(DagsterType(type_check_fn, name=f"type_of_{op_name}")))
    def typed():
        return 1

    return job_of(typed)


def _check_data(result: Any) -> Any:
    (event,) = result.filter_events(lambda event: event.is_successful_output)
    return event.step_output_data.type_check_data


def _check_passed_with_metadata(result: Any) -> None:
    assert _check_data(result).success
    assert _check_data(result).metadata["rows"].value == 3


def _check_failed_with_metadata(result: Any) -> None:
    assert not _check_data(result).success
    assert _check_data(result).description == "too few"
    assert _check_data(result).metadata["rows"].value == 0


@golden(35, "P1 · tc_ok{SS SO HO SX} · OK", check=_check_passed_with_metadata)
def typecheck_metadata_ok() -> JobDefinition:
    return _job_of_one_typed_op("tc_ok", lambda _, value: TypeCheck(success=True, metadata={"rows": 3}))


@golden(
    36,
    "P1 · tc_bad{SS SO SF} · FAIL",
    failed=("tc_bad",),
    raises=DagsterTypeCheckDidNotPass,
    check=_check_failed_with_metadata,
)
def typecheck_metadata_bad() -> JobDefinition:
    return _job_of_one_typed_op(
        "tc_bad", lambda _, value: TypeCheck(success=False, description="too few", metadata={"rows": 0})
    )


@golden(37, "P1 · tc_raise{SS SF} · FAIL", failed=("tc_raise",), raises=Broken)
def typecheck_raises() -> JobDefinition:
    def broken_check(_: Any, value: object) -> bool:
        raise Broken("check")

    return _job_of_one_typed_op("tc_raise", broken_check)


@golden(38, "P1 · tc_nonbool{SS SF} · FAIL", failed=("tc_nonbool",), raises=DagsterInvariantViolationError)
def typecheck_nonbool() -> JobDefinition:
    return _job_of_one_typed_op("tc_nonbool", lambda _, value: "yes")


# -- resources ----------------------------------------------------------------------------------------


@op(required_resource_keys={"r"})
def use_r(context):
    return context.resources.r


@op(required_resource_keys={"r2"})
def use_r2(context):
    return context.resources.r2


@resource
def r_value():
    return "r"


@resource
def r_broken():
    raise Broken("resource")


@resource
def r_torn_down():
    yield "r"


@resource
def r_broken_teardown():
    yield "r"
    raise Broken("teardown")


@golden(39, "P1 · use_r{SS SO HO SX} · OK", outputs={"use_r": "r"})
def resource_plain() -> JobDefinition:
    @job(resource_defs={"r": r_value})
    def resource_plain_job():
        use_r()

    return resource_plain_job


@golden(40, "-{RS EE RI RX RF}", raises=DagsterResourceFunctionError, untouched=("use_r", "inc"))
def resource_init_failure() -> JobDefinition:
    @job(resource_defs={"r": r_broken})
    def resource_init_failure_job():
        inc(use_r())

    return resource_init_failure_job


@golden(41, "-{RS EE RI RX RF}", raises=DagsterResourceFunctionError, untouched=("use_r", "use_r2"))
def resource_multi_one_fails() -> JobDefinition:
    @job(resource_defs={"r": r_value, "r2": r_broken})
    def resource_multi_one_fails_job():
        use_r()
        use_r2()

    return resource_multi_one_fails_job


@golden(42, "P1 · use_r{SS SO HO SX} · OK", outputs={"use_r": "r"})
def resource_teardown() -> JobDefinition:
    @job(resource_defs={"r": r_torn_down})
    def resource_teardown_job():
        use_r()

    return resource_teardown_job


@golden(43, "P1 · use_r{SS SO HO SX EE} · OK", outputs={"use_r": "r"})
def resource_teardown_failure() -> JobDefinition:
    @job(resource_defs={"r": r_broken_teardown})
    def resource_teardown_failure_job():
        use_r()

    return resource_teardown_failure_job


@golden(
    44,
    "Pn · use_r{SS SO HO SX} boom_in{SS LI SI SF} -{EE EE RF}",
    failed=("boom_in",),
    raises=ValueError,
    events_when_raising="Pn · use_r{SS SO HO SX} boom_in{SS LI SI SF} -{EE RF}",
)
def resource_teardown_failure_and_op_failure() -> JobDefinition:
    @op
    def boom_in(x):
        raise ValueError(x)

    @job(resource_defs={"r": r_broken_teardown})
    def resource_teardown_failure_and_op_failure_job():
        boom_in(use_r())

    return resource_teardown_failure_and_op_failure_job


@golden(45, "P1 · use_r2{SS SO HO SX} · OK", outputs={"use_r2": "r and more"})
def resource_dependency() -> JobDefinition:
    @resource(required_resource_keys={"r"})
    def needs_r(context):
        return f"{context.resources.r} and more"

    @job(resource_defs={"r": r_value, "r2": needs_r})
    def resource_dependency_job():
        use_r2()

    return resource_dependency_job


# -- user events ------------------------------------------------------------------------------------------


def _expectations_are_kept(result: Any) -> None:
    assert [found.success for found in result.expectation_results_for_node("expect")] == [True, False]


@golden(46, "P1 · expect{SS EX EX SO HO SX} · OK", outputs={"expect": 1}, check=_expectations_are_kept)
def expectation() -> JobDefinition:
    @op
    def expect():
        yield ExpectationResult(success=True, label="first")
        yield ExpectationResult(success=False, label="second")
        yield Output(1)

    @job
    def expectation_job():
        expect()

    return expectation_job


def _materialization_and_observation_are_kept(result: Any) -> None:
    assert [made.asset_key.path for made in result.asset_materializations_for_node("mat")] == [["table"]]
    assert [seen.asset_key.path for seen in result.asset_observations_for_node("mat")] == [["table"]]


@golden(
    47,
    "P1 · mat{SS AM AO SO HO SX} · OK",
    outputs={"mat": 1},
    check=_materialization_and_observation_are_kept,
)
def materialization() -> JobDefinition:
    @op
    def mat():
        yield AssetMaterialization(asset_key="table", metadata={"rows": 3})
        yield AssetObservation(asset_key="table", metadata={"rows": 3})
        yield Output(1)

    @job
    def materialization_job():
        mat()

    return materialization_job


@golden(48, "P1 · mat_log{SS AM EX SO HO SX} · OK", outputs={"mat_log": 1})
def log_event() -> JobDefinition:
    @op
    def mat_log(context):
        context.log_event(AssetMaterialization(asset_key="table"))
        context.log_event(ExpectationResult(success=True, label="rows"))
        return 1

    @job
    def log_event_job():
        mat_log()

    return log_event_job


# -- outputs ------------------------------------------------------------------------------------------------


TWO_OUTPUTS = {"a": Out(), "b": Out()}


@golden(
    49,
    "Pn · multi{SS SO HO SO HO SX} inc{SS LI SI SO HO SX} · OK",
    outputs={("multi", "a"): 1, ("multi", "b"): 2, "inc": 2},
)
def multi_output() -> JobDefinition:
    @op(out=TWO_OUTPUTS)
    def multi():
        return 1, 2

    @job
    def multi_output_job():
        a, _ = multi()
        inc(a)

    return multi_output_job


@golden(
    50,
    "P1 · multi_missing{SS SO HO SF} · FAIL",
    failed=("multi_missing",),
    raises=DagsterStepOutputNotFoundError,
    outputs={("multi_missing", "a"): 1},
)
def missing_required_output() -> JobDefinition:
    @op(out=TWO_OUTPUTS)
    def multi_missing():
        yield Output(1, "a")

    return job_of(multi_missing)


@golden(51, "P1 · wrong_name{SS SF} · FAIL", failed=("wrong_name",), raises=DagsterInvariantViolationError)
def undeclared_output_name() -> JobDefinition:
    @op
    def wrong_name():
        yield Output(1, "other")

    return job_of(wrong_name)


@golden(52, "P1 · twice{SS SO HO SF} · FAIL", failed=("twice",), raises=DagsterInvariantViolationError)
def output_twice() -> JobDefinition:
    @op
    def twice():
        yield Output(1)
        yield Output(2)

    return job_of(twice)


@golden(
    53,
    "Pn · gen_then_raise{SS SO HO SF} · FAIL",
    failed=("gen_then_raise",),
    raises=Broken,
    outputs={"gen_then_raise": 1},
    untouched=("inc",),
)
def raise_after_output() -> JobDefinition:
    @op
    def gen_then_raise():
        yield Output(1)
        raise Broken("after")

    return job_of(lambda: inc(gen_then_raise()))


@golden(54, "P1 · yields_raw{SS SF} · FAIL", failed=("yields_raw",), raises=DagsterInvariantViolationError)
def yield_non_event() -> JobDefinition:
    @op
    def yields_raw():
        yield 1

    return job_of(yields_raw)


@golden(
    55,
    "P1 · cfg{SS SO HO SX} · OK",
    run={"run_config": {"ops": {"cfg": {"config": {"n": 3}}}}},
    outputs={"cfg": 3},
)
def op_config_ok() -> JobDefinition:
    @op(config_schema={"n": int})
    def cfg(context):
        return context.op_config["n"]

    return job_of(cfg)


# -- IO managers ------------------------------------------------------------------------------------------------


class Shelf(IOManager):
    """Keeps the values it is handed; the scenarios' managers differ from it in one method."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def handle_output(self, context: Any, obj: Any) -> Any:
        self.kept[context.step_key] = obj

    def load_input(self, context: Any) -> Any:
        return self.kept[context.upstream_output.step_key]


def _job_with_io_manager(manager: IOManager) -> JobDefinition:
    @op(out=Out(io_manager_key="shelf"))
    def one_iom():
        return 1

    @job(resource_defs={"shelf": manager})
    def io_manager_job():
        inc(one_iom())

    return io_manager_job


@golden(56, "Pn · one_iom{SS SO HO SX} inc{SS SF} · FAIL", failed=("inc",), raises=Broken)
def io_load_error() -> JobDefinition:
    class CannotLoad(Shelf):
        def load_input(self, context: Any) -> Any:
            raise Broken("load")

    return _job_with_io_manager(CannotLoad())


@golden(57, "Pn · one_iom{SS SO SF} · FAIL", failed=("one_iom",), raises=Broken, untouched=("inc",))
def io_dump_error() -> JobDefinition:
    class CannotStore(Shelf):
        def handle_output(self, context: Any, obj: Any) -> Any:
            raise Broken("store")

    return _job_with_io_manager(CannotStore())


def _metadata_is_on_the_events(result: Any) -> None:
    (handled,) = [e for e in result.events_for_node("one_iom") if e.is_handled_output]
    assert handled.event_specific_data.metadata["rows"].value == 3
    (loaded,) = [e for e in result.events_for_node("inc") if e.is_loaded_input]
    assert loaded.event_specific_data.metadata["seconds"].value == 0.5


@golden(
    58,
    "Pn · one_iom{SS SO AM HO SX} inc{SS LI SI SO HO SX} · OK",
    outputs={"inc": 2},
    check=_metadata_is_on_the_events,
)
def io_metadata() -> JobDefinition:
    class WithMetadata(Shelf):
        def handle_output(self, context: Any, obj: Any) -> Any:
            super().handle_output(context, obj)
            context.add_output_metadata({"rows": 3})
            context.log_event(AssetMaterialization(asset_key="shelf"))

        def load_input(self, context: Any) -> Any:
            context.add_input_metadata({"seconds": 0.5})
            return super().load_input(context)

    return _job_with_io_manager(WithMetadata())


@golden(59, "Pn · one_iom{SS SO AM HO SX} inc{SS LI SI SO HO SX} · OK", outputs={"inc": 2})
def io_generator() -> JobDefinition:
    class Yields(Shelf):
        def handle_output(self, context: Any, obj: Any) -> Any:
            super().handle_output(context, obj)
            yield AssetMaterialization(asset_key="shelf")
            yield {"rows": 3}

    return _job_with_io_manager(Yields())
