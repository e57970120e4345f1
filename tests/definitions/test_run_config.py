"""What a run of a job may and must be told, and who gets what of it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple  # noqa: UP035  # as users still write

import pytest

from treadle import (
    Config,
    ConfigMapping,
    DagsterInstance,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterType,
    DagsterTypeLoadingError,
    DynamicOut,
    DynamicOutput,
    Field,
    In,
    IOManager,
    Nothing,
    Out,
    Output,
    RunConfig,
    StringSource,
    config_from_files,
    dagster_type_loader,
    executor,
    graph,
    in_process_executor,
    input_manager,
    io_manager,
    job,
    logger,
    op,
    resource,
    validate_run_config,
)
from treadle.definitions.run_config import ResolvedConfig, resolve
from treadle.errors import DagsterInvariantViolationError, ParameterCheckError


@op(config_schema={"text": str, "times": Field(int, default_value=2)})
def greet(context: Any) -> Any:
    return context.op_config


@op
def show(context: Any) -> Any:
    return context.op_config


@op
def one() -> int:
    return 1


@op
def double(n: int) -> int:
    return 2 * n


@job
def greeting() -> None:
    greet()


GREETING = {"ops": {"greet": {"config": {"text": "hi"}}}}


def messages(caught: pytest.ExceptionInfo[DagsterInvalidConfigError]) -> list[str]:
    return [error.message for error in caught.value.errors]


def refused(target: Any, run_config: Any) -> list[str]:
    with pytest.raises(DagsterInvalidConfigError) as caught:
        target.execute_in_process(run_config=run_config)
    return messages(caught)


# -- the root ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["ops", "graph", "solids"])
def test_ops_have_older_names(key: str) -> None:
    result = greeting.execute_in_process(run_config={key: GREETING["ops"]})
    assert result.output_for_node("greet") == {"text": "hi", "times": 2}


def test_two_names_of_ops_at_once_are_refused() -> None:
    (message,) = refused(greeting, {**GREETING, "graph": GREETING["ops"]})
    assert message == 'The entries "ops", "graph" at the root all mean "ops". Keep one of them.'


def test_everything_wrong_is_told_at_once() -> None:
    found = refused(greeting, {"opps": {}, "resources": {"db": {}}, "loggers": {"console": {"config": {"name": 5}}}})
    assert [message.partition(". ")[0] for message in found] == [
        'Received unexpected config entry "opps" at the root',
        'Missing required config entry "ops" at the root',
        'Received unexpected config entry "db" at path root:resources',
        "Invalid scalar at path root:loggers:console:config:name",
    ]


def test_what_is_missing_is_shown_from_the_root() -> None:
    (message,) = refused(greeting, None)
    assert message.startswith('Missing required config entry "ops" at the root. You must provide this value')
    assert "{'ops': {'greet': {'config': {'text': '...'}}}}" in message


@pytest.mark.parametrize("run_config", ["ops: {}", 5, [("ops", {})]])
def test_run_config_is_a_mapping_or_a_run_config_object(run_config: Any) -> None:
    with pytest.raises(ParameterCheckError, match='Param "run_config" is not a dict'):
        greeting.execute_in_process(run_config=run_config)
    with pytest.raises(ParameterCheckError, match='Param "run_config" is not a dict'):
        validate_run_config(greeting, run_config)


def test_run_config_object_is_taken_apart() -> None:
    class Text(Config):
        text: str

    assert greeting.execute_in_process(run_config=RunConfig(ops={"greet": Text(text="hi")})).success


def test_record_of_a_run_keeps_run_config_as_it_was_given() -> None:
    given = {"graph": GREETING["ops"]}
    assert greeting.execute_in_process(run_config=given).dagster_run.run_config == given


def test_section_that_is_none_is_refused() -> None:
    (message,) = refused(greeting, {"ops": None})
    assert message.startswith("Value at path root:ops must not be None")


def test_config_of_resources_is_required_only_where_an_op_needs_them() -> None:
    @resource(config_schema=int)
    def number(context: Any) -> Any:
        return context.resource_config

    @op(required_resource_keys={"a"})
    def use(context: Any) -> Any:
        return context.resources.a

    @job(resource_defs={"a": number, "b": number})
    def using() -> None:
        use()

    assert using.execute_in_process(run_config={"resources": {"a": {"config": 1}}}).output_for_node("use") == 1
    both = {"resources": {"a": {"config": 1}, "b": {"config": 2}}}
    assert using.execute_in_process(run_config=both).success
    assert refused(using, {"resources": {"b": {"config": 2}}})[0].startswith(
        'Missing required config entry "a" at path root:resources'
    )


def test_resource_without_schema_takes_any_config() -> None:
    @resource
    def anything(context: Any) -> Any:
        return context.resource_config

    @op(required_resource_keys={"a"})
    def use(context: Any) -> Any:
        return context.resources.a

    @job(resource_defs={"a": anything})
    def using() -> None:
        use()

    assert using.execute_in_process().output_for_node("use") is None
    assert using.execute_in_process(run_config={"resources": {"a": {"config": [1]}}}).output_for_node("use") == [1]


def test_loggers_are_those_that_run_config_names() -> None:
    made: list[Any] = []

    @logger({"n": Field(int, default_value=1), "needed": str})
    def own(context: Any) -> Any:
        import logging

        made.append(context.logger_config)
        return logging.getLogger("test_loggers_are_those_that_run_config_names")

    @job(logger_defs={"own": own})
    def logging_job() -> None:
        one()

    assert resolve(logging_job, None).loggers is None
    assert resolve(logging_job, {"loggers": {}}).loggers is None
    logging_job.execute_in_process(run_config={"loggers": {"own": {"config": {"needed": "x"}}}})
    assert made == [{"n": 1, "needed": "x"}]
    assert "needed" in refused(logging_job, {"loggers": {"own": {}}})[0]
    assert "otherr" in refused(logging_job, {"loggers": {"otherr": {}}})[0]


# -- ops --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "seen"), [({}, None), ({"config": 7}, 7), ({"config": {"a": 1}}, {"a": 1})])
def test_op_without_schema_takes_any_config(entry: Any, seen: Any) -> None:
    @job
    def showing() -> None:
        show()

    assert showing.execute_in_process(run_config={"ops": {"show": entry}}).output_for_node("show") == seen


def test_ops_are_named_by_alias_and_graphs_have_ops_inside() -> None:
    @graph
    def inner() -> None:
        greet.alias("salute")()

    @job
    def outer() -> None:
        inner.alias("first")()

    for key in ("ops", "graph", "solids"):
        config = {key: {"first": {key: {"salute": {"config": {"text": "hi"}}}}}}
        assert outer.execute_in_process(run_config=config).output_for_node("first.salute")["text"] == "hi"
    assert "'first': {'ops': {'salute': {'config': {'text': '...'}}}}" in refused(outer, {})[0]


def test_config_of_an_op_that_is_not_selected_is_ignored() -> None:
    @job
    def two() -> None:
        greet()
        show()

    config = {"ops": {"greet": {"config": {"text": 5}}, "show": {"config": 1}}}
    result = two.execute_in_process(run_config=config, op_selection=["show"])
    assert result.output_for_node("show") == 1
    assert result.dagster_run.run_config == config
    assert two.execute_in_process(op_selection=["show"]).success


def test_job_that_needs_no_config_is_not_asked_about_its_ops() -> None:
    @job
    def plain() -> None:
        one()

    resolved = resolve(plain, {})
    assert (resolved.ops, resolved.inputs, resolved.outputs, resolved.given) == ({}, {}, {}, {})


def test_resolved_config_is_empty_by_default() -> None:
    assert ResolvedConfig({}).ops == {}
    assert ResolvedConfig({}).loggers is None


# -- values of inputs -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "v.json").write_text(json.dumps({"value": 7}))
    (tmp_path / "other.json").write_text(json.dumps({"v": 7}))
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(7))
    return {
        "JSON": {"json": {"path": str(tmp_path / "v.json")}},
        "PICKLE": {"pickle": {"path": str(tmp_path / "v.pkl")}},
        "NO FILE": {"json": {"path": str(tmp_path / "none.json")}},
        "NO VALUE": {"json": {"path": str(tmp_path / "other.json")}},
    }


def loaded(dagster_type: Any, value: Any, files: dict[str, Any], is_top: bool) -> Any:
    """What an op gets for an input of a type, told by run config: its own entry, or the job's `inputs`."""

    @op(ins={"x": In(dagster_type)})
    def take(x: Any) -> Any:
        return x

    def fill(part: Any) -> Any:
        if isinstance(part, list):
            return [fill(item) for item in part]
        return files.get(part, part) if isinstance(part, str) else part

    value = fill(value)
    if is_top:

        @graph
        def taking(x: Any) -> Any:
            return take(x)

        return taking.to_job().execute_in_process(run_config={"inputs": {"x": value}}).output_for_node("take")

    @job
    def taking_alone() -> None:
        take()

    config = {"ops": {"take": {"inputs": {"x": value}}}}
    return taking_alone.execute_in_process(run_config=config).output_for_node("take")


at_both_places = pytest.mark.parametrize("is_top", [False, True], ids=["op", "job"])


@at_both_places
@pytest.mark.parametrize(
    ("dagster_type", "value", "expected"),
    [
        (int, 3, 3),
        (int, {"value": 3}, 3),
        (int, "JSON", 7),
        (int, "PICKLE", 7),
        (float, 3, 3.0),
        (float, {"value": 3}, 3.0),
        (str, "a", "a"),
        (str, {"value": "a"}, "a"),
        (bool, True, True),
        (bool, {"value": False}, False),
        (Any, {"value": 3}, 3),
        (Any, {"value": {"a": 1}}, {"a": 1}),
        (Any, {"value": None}, None),
        (Any, "JSON", 7),
        (Any, "PICKLE", 7),
        (List[int], [1, 2], [1, 2]),  # noqa: UP006
        (List[int], [{"value": 1}, "JSON"], [1, 7]),  # noqa: UP006
        (List[int], [], []),  # noqa: UP006
        (list, [{"value": 1}], [1]),
        (List, [{"value": 1}], [1]),  # noqa: UP006
        (Dict[str, int], {"a": 1, "b": {"value": 2}}, {"a": 1, "b": 2}),  # noqa: UP006
        (Dict[str, Any], {"a": {"value": 1}}, {"a": 1}),  # noqa: UP006
        (Optional[int], None, None),
        (Optional[int], 3, 3),
        (Optional[int], {"value": 3}, 3),
        (Optional[int], "JSON", 7),
        (Optional[List[int]], None, None),  # noqa: UP006
        (Optional[List[int]], [1], [1]),  # noqa: UP006
        (dict, {"a": 1}, {"a": 1}),
        (dict, {"value": {"a": 1}}, {"value": {"a": 1}}),
        (Tuple[int, str], [1, "a"], (1, "a")),  # noqa: UP006
        (Tuple[int, str], [{"value": 1}, "b"], (1, "b")),  # noqa: UP006
        (Set[int], [1, {"value": 2}, 1], {1, 2}),  # noqa: UP006
        (List[List[int]], [[1], [2]], [[1], [2]]),  # noqa: UP006
        (List[Dict[str, int]], [{"a": 1}], [{"a": 1}]),  # noqa: UP006
    ],
)
def test_value_form_is_loaded(
    dagster_type: Any, value: Any, expected: Any, files: dict[str, Any], is_top: bool
) -> None:
    found = loaded(dagster_type, value, files, is_top)
    assert found == expected
    assert type(found) is type(expected)


@at_both_places
@pytest.mark.parametrize(
    ("dagster_type", "value", "wrong"),
    [
        (int, "x", "Invalid scalar"),
        (int, {"value": "x"}, "Invalid scalar"),
        (int, None, "must not be None"),
        (int, True, "Invalid scalar"),
        (int, {"json": {}}, 'Missing required config entry "path"'),
        (int, {"value": 1, "json": {"path": "x"}}, "You can only specify a single field"),
        (str, 3, "Invalid scalar"),
        (bool, 1, "Invalid scalar"),
        (Any, 3, "Value for selector type"),
        (Any, None, "must not be None"),
        (Any, {"a": 1}, 'Received unexpected config entry "a"'),
        (List[int], {"value": [1]}, "must be list"),  # noqa: UP006
        (List[int], ["a"], "Invalid scalar"),  # noqa: UP006
        (list, [1], "Value for selector type"),
        (Dict[str, int], {"a": "x"}, "Invalid scalar"),  # noqa: UP006
        (Dict[str, Any], {"a": 1}, "Value for selector type"),  # noqa: UP006
        (Optional[int], "x", "Invalid scalar"),
        (dict, 3, "must be dict"),
    ],
)
def test_value_form_is_refused(dagster_type: Any, value: Any, wrong: str, files: dict[str, Any], is_top: bool) -> None:
    with pytest.raises(DagsterInvalidConfigError) as caught:
        loaded(dagster_type, value, files, is_top)
    assert wrong in messages(caught)[0]
    assert f"root:{'inputs' if is_top else 'ops:take:inputs'}:x" in messages(caught)[0]


@at_both_places
@pytest.mark.parametrize("value", ["NO FILE", "NO VALUE"])
def test_file_without_the_value_fails_the_step_that_loads_it(value: str, files: dict[str, Any], is_top: bool) -> None:
    with pytest.raises(DagsterTypeLoadingError):
        loaded(int, value, files, is_top)


def test_loader_of_a_type_has_its_own_schema() -> None:
    @dagster_type_loader({"a": int})
    def load(_context: Any, config: Any) -> Any:
        return ("loaded", config["a"])

    pair = DagsterType(name="Pair", type_check_fn=lambda _context, _value: True, loader=load)
    assert loaded(pair, {"a": 4}, {}, False) == ("loaded", 4)
    assert loaded(pair, {"a": 4}, {}, True) == ("loaded", 4)
    with pytest.raises(DagsterInvalidConfigError, match="root:ops:take:inputs:x:a"):
        loaded(pair, {"a": "4"}, {}, False)


def test_input_that_is_connected_or_carries_nothing_takes_no_value() -> None:
    @op(ins={"after": In(Nothing)})
    def last() -> None: ...

    @job
    def chain() -> None:
        double(one())
        last()

    message = refused(chain, {"ops": {"double": {"inputs": {"n": 5}}}})[0]
    assert message.startswith('Received unexpected config entry "inputs" at path root:ops:double.')
    assert 'No input of op "double" takes config: they are connected' in message
    assert "inputs" in refused(chain, {"ops": {"last": {"inputs": {"after": 5}}}})[0]


def test_default_of_an_input_holds_where_run_config_says_nothing() -> None:
    @op
    def add(n: int = 4) -> int:
        return n

    @job
    def adding() -> None:
        add()

    assert adding.execute_in_process().output_for_node("add") == 4
    assert adding.execute_in_process(run_config={"ops": {"add": {"inputs": {"n": 5}}}}).output_for_node("add") == 5


def test_inputs_of_a_graph_inside_are_told_where_the_graph_stands() -> None:
    @graph
    def inner(n: Any) -> Any:
        return double(n)

    @job
    def outer() -> None:
        inner()

    assert outer.execute_in_process(run_config={"ops": {"inner": {"inputs": {"n": 5}}}}).output_for_node("inner") == 10
    found = refused(outer, {"ops": {"inner": {"ops": {"double": {"inputs": {"n": 5}}}}}})
    assert found[0].startswith('Missing required config entry "inputs" at path root:ops:inner')
    assert found[1].startswith('Received unexpected config entry "inputs" at path root:ops:inner:ops:double')


def test_value_given_by_the_caller_comes_before_run_config() -> None:
    @graph
    def doubling(n: Any) -> Any:
        return double(n)

    config = {"inputs": {"n": 2}}
    assert doubling.to_job().execute_in_process(run_config=config).output_for_node("double") == 4
    given = doubling.to_job().execute_in_process(run_config=config, input_values={"n": 5})
    assert given.output_for_node("double") == 10
    bound = doubling.to_job(input_values={"n": 6})
    assert bound.execute_in_process(run_config=config).output_for_node("double") == 12
    assert refused(doubling.to_job(), {})[0].startswith('Missing required config entry "inputs" at the root')
    assert 'unexpected config entry "m"' in refused(doubling.to_job(), {"inputs": {"n": 1, "m": 2}})[0]


def test_inputs_of_the_job_may_be_members_of_a_fan_in() -> None:
    @op
    def gather(parts: List[int]) -> Any:  # noqa: UP006
        return parts

    @graph
    def gathering(a: Any, b: Any) -> Any:
        return gather([a, one(), b])

    made = gathering.to_job().execute_in_process(run_config={"inputs": {"a": 5, "b": {"value": 6}}})
    assert made.output_for_node("gather") == [5, 1, 6]
    given = gathering.to_job().execute_in_process(run_config={"inputs": {"a": 5}}, input_values={"b": 7})
    assert given.output_for_node("gather") == [5, 1, 7]


def test_job_without_inputs_takes_no_section_for_them() -> None:
    assert 'unexpected config entry "inputs" at the root' in refused(greeting, {**GREETING, "inputs": {}})[0]


def test_value_that_config_cannot_hold_is_asked_of_the_caller() -> None:
    class Plane: ...

    @op
    def fly(plane: Plane) -> Any:
        return plane

    @graph
    def flying(plane: Any) -> Any:
        return fly(plane)

    with pytest.raises(DagsterInvalidInvocationError, match=r"input_values=\{'plane': ...\}"):
        flying.to_job().execute_in_process()
    assert isinstance(flying.to_job().execute_in_process(input_values={"plane": Plane()}).output_for_node("fly"), Plane)


# -- config for single inputs and outputs -----------------------------------------------------------------------------


class Recorder(IOManager):
    """Keeps values, and what its contexts say."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.value: Any = "from nowhere"

    def handle_output(self, context: Any, obj: Any) -> None:
        self.seen.append((f"{context.step_key}.{context.name}", context.config))
        self.value = obj

    def load_input(self, context: Any) -> Any:
        upstream = context.upstream_output
        self.seen.append((f">{context.name}", context.config, upstream.config if upstream is not None else "none"))
        return self.value


def recording(output: Any = None, input_schema: Any = None) -> tuple[Recorder, Any]:
    recorder = Recorder()

    @io_manager(output_config_schema=output, input_config_schema=input_schema)
    def manager() -> Recorder:
        return recorder

    return recorder, manager


@graph
def chain_of_two() -> None:
    double(one())


def test_io_manager_gets_the_config_of_each_output() -> None:
    recorder, manager = recording({"path": str, "mode": Field(str, default_value="w")})
    made = chain_of_two.to_job(resource_defs={"io_manager": manager})
    outputs = {"one": "a", "double": "b"}
    made.execute_in_process(
        run_config={"ops": {name: {"outputs": {"result": {"path": path}}} for name, path in outputs.items()}}
    )
    assert recorder.seen == [
        ("one.result", {"path": "a", "mode": "w"}),
        (">n", None, {"path": "a", "mode": "w"}),
        ("double.result", {"path": "b", "mode": "w"}),
    ]
    (message,) = refused(made, {})
    assert "{'one': {'outputs': {'result': {'path': '...'}}}, 'double':" in message


def test_defaults_of_an_output_config_schema_are_filled_in() -> None:
    recorder, manager = recording({"mode": Field(str, default_value="w")})
    chain_of_two.to_job(resource_defs={"io_manager": manager}).execute_in_process()
    assert recorder.seen[0] == ("one.result", {"mode": "w"})


def test_output_whose_manager_takes_no_config_has_none() -> None:
    message = refused(chain_of_two.to_job(), {"ops": {"one": {"outputs": {"result": 1}}}})[0]
    assert 'No output of op "one" takes config: its IO manager declares no output_config_schema.' in message


def test_outputs_are_configured_one_by_one_and_by_their_own_managers() -> None:
    recorder, manager = recording(int)

    @op(out={"a": Out(io_manager_key="keeper"), "b": Out(), "c": Out(Nothing, io_manager_key="keeper")})
    def several() -> Any:
        yield Output(1, "a")
        yield Output(2, "b")

    @op(out=DynamicOut(io_manager_key="keeper"))
    def many() -> Any:
        yield DynamicOutput(1, "k")

    @job(resource_defs={"keeper": manager})
    def keeping() -> None:
        several()
        many()

    config = {"several": {"outputs": {"a": 5}}, "many": {"outputs": {"result": 6}}}
    keeping.execute_in_process(run_config={"ops": config})
    assert sorted(recorder.seen) == [("many.result", 6), ("several.a", 5)]
    config["several"]["outputs"]["b"] = 7
    assert 'unexpected config entry "b"' in refused(keeping, {"ops": config})[0]


def test_input_manager_gets_the_config_of_each_input() -> None:
    recorder, manager = recording(None, {"format": str})

    @op(ins={"n": In(input_manager_key="loader")})
    def use(n: Any) -> Any:
        return n

    @graph
    def inner(n: Any) -> None:
        use.alias("inside")(n)

    @job(resource_defs={"loader": manager})
    def loading() -> None:
        use()
        use.alias("below")(one())
        inner(one())

    def entry(text: str) -> Any:
        return {"inputs": {"n": {"format": text}}}

    loading.execute_in_process(
        run_config={"ops": {"use": entry("a"), "below": entry("b"), "inner": {"ops": {"inside": entry("c")}}}}
    )
    assert {(config["format"], upstream) for _, config, upstream in recorder.seen} == {
        ("a", "none"), ("b", None), ("c", None),
    }  # fmt: skip
    assert "'use': {'inputs': {'n': {'format': '...'}}}" in refused(loading, {})[0]


def test_input_config_schema_holds_only_for_inputs_that_name_the_manager() -> None:
    _recorder, manager = recording(None, {"format": str})
    made = chain_of_two.to_job(resource_defs={"io_manager": manager})
    made.execute_in_process()
    assert "inputs" in refused(made, {"ops": {"double": {"inputs": {"n": {"format": "x"}}}}})[0]


def test_input_manager_without_schema_takes_any_config_for_what_nothing_is_connected_to() -> None:
    @input_manager
    def loader(context: Any) -> Any:
        return context.config

    @op(ins={"n": In(input_manager_key="loader")})
    def use(n: Any) -> Any:
        return n

    @job(resource_defs={"loader": loader})
    def loading() -> None:
        use()

    assert loading.execute_in_process().output_for_node("use") is None
    assert loading.execute_in_process(run_config={"ops": {"use": {"inputs": {"n": [1]}}}}).output_for_node("use") == [1]


def test_input_of_the_job_with_a_manager_of_its_own_is_loaded_by_it_unless_the_caller_gives_a_value() -> None:
    recorder, manager = recording(None, Field(int, default_value=3))

    @op(ins={"n": In(input_manager_key="loader")})
    def use(n: Any) -> Any:
        return n

    @graph
    def using(n: Any) -> Any:
        return use(n)

    made = using.to_job(resource_defs={"loader": manager})
    assert made.execute_in_process().output_for_node("use") == "from nowhere"
    assert recorder.seen == [(">n", 3, "none")]
    assert made.execute_in_process(input_values={"n": 9}).output_for_node("use") == 9
    assert 'unexpected config entry "inputs" at the root' in refused(made, {"inputs": {"n": 4}})[0]


def test_manager_that_is_given_for_one_run_brings_its_schema() -> None:
    recorder, manager = recording(int)
    chain_of_two.to_job().execute_in_process(
        run_config={"ops": {"one": {"outputs": {"result": 1}}, "double": {"outputs": {"result": 2}}}},
        resources={"io_manager": manager},
    )
    assert recorder.seen[0] == ("one.result", 1)


# -- config of the job's own ------------------------------------------------------------------------------------------


@graph
def two_greetings() -> None:
    greet()
    show()


OWN: Any = {"ops": {"greet": {"config": {"text": "own", "times": 9}}, "show": {"config": {"a": 1}}}}


def seen_with_own(run_config: Any, own: Any = OWN) -> Any:
    result = two_greetings.to_job(config=own).execute_in_process(run_config=run_config)
    return result.output_for_node("greet"), result.output_for_node("show")


def test_own_config_holds_where_run_config_says_nothing() -> None:
    assert seen_with_own(None) == ({"text": "own", "times": 9}, {"a": 1})
    assert seen_with_own({"ops": {}}) == ({"text": "own", "times": 9}, {"a": 1})
    assert seen_with_own({"loggers": {}}) == ({"text": "own", "times": 9}, {"a": 1})


def test_entry_in_run_config_replaces_the_entry_of_the_job_whole() -> None:
    assert seen_with_own({"ops": {"greet": {"config": {"text": "run"}}}}) == ({"text": "run", "times": 2}, {"a": 1})
    assert seen_with_own({"graph": {"show": {"config": {"b": 2}}}}) == ({"text": "own", "times": 9}, {"b": 2})
    assert seen_with_own({"ops": {"show": {}}})[1] is None
    with pytest.raises(DagsterInvalidConfigError, match='"text" at path root:ops:greet:config'):
        seen_with_own({"ops": {"greet": {"config": {"times": 1}}}})


def test_own_config_may_be_a_run_config_object_and_use_older_names() -> None:
    class Text(Config):
        text: str

    assert seen_with_own(None, RunConfig(ops={"greet": Text(text="object")}))[0]["text"] == "object"
    assert seen_with_own(None, {"solids": OWN["ops"]})[0]["text"] == "own"


def test_job_tells_its_own_config_and_a_run_records_what_it_was_given() -> None:
    made = two_greetings.to_job(config=OWN)
    assert made.run_config == OWN
    assert made.config_mapping is None
    assert made.execute_in_process().dagster_run.run_config == {}
    assert two_greetings.to_job().run_config is None


def test_own_config_of_resources_and_loggers_holds_key_by_key() -> None:
    @resource(config_schema=int)
    def number(context: Any) -> Any:
        return context.resource_config

    @op(required_resource_keys={"a", "b"})
    def use(context: Any) -> Any:
        return context.resources.a, context.resources.b

    @job(
        resource_defs={"a": number, "b": number},
        config={"resources": {"a": {"config": 1}, "b": {"config": 2}}, "loggers": {"console": {}}},
    )
    def using() -> None:
        use()

    assert using.execute_in_process({"resources": {"b": {"config": 5}}}).output_for_node("use") == (1, 5)
    assert resolve(using, {}).loggers == {"console": {"log_level": "INFO", "name": "dagster"}}


def test_run_config_may_be_merged_over_that_of_the_job_down_to_single_values() -> None:
    made = two_greetings.to_job(config=OWN)
    merged = made.with_run_config({"ops": {"greet": {"config": {"text": "run"}}}})
    assert merged.execute_in_process().output_for_node("greet") == {"text": "run", "times": 9}
    assert merged.execute_in_process().output_for_node("show") == {"a": 1}
    assert made.run_config == OWN  # as it was
    older = made.with_run_config({"solids": {"show": {"config": {"b": 2}}}})
    assert older.run_config == {"ops": {**OWN["ops"], "show": {"config": {"a": 1, "b": 2}}}}
    first = two_greetings.to_job().with_run_config(RunConfig(ops={"greet": {"config": {"text": "first"}}}))
    assert first.execute_in_process().output_for_node("greet")["text"] == "first"
    assert merged.execute_in_process(op_selection=["greet"]).output_for_node("greet")["text"] == "run"


def test_merged_config_that_cannot_be_right_is_refused_at_once() -> None:
    made = two_greetings.to_job(config=OWN)
    with pytest.raises(DagsterInvalidConfigError, match="root:ops:greet:config:times"):
        made.with_run_config({"ops": {"greet": {"config": {"times": "often"}}}})

    @job(config=ConfigMapping(lambda _config: OWN))
    def mapped() -> None:
        two_greetings()

    with pytest.raises(DagsterInvariantViolationError, match='"mapped" has a config mapping'):
        mapped.with_run_config({})


def test_own_config_is_kept_by_copies_of_the_job_and_cut_with_it() -> None:
    made = two_greetings.to_job(config=OWN)
    assert made.with_hooks(set()).run_config == OWN
    assert made.execute_in_process(op_selection=["show"]).output_for_node("show") == {"a": 1}


@pytest.mark.parametrize(
    ("own", "wrong"),
    [
        ({"ops": {"greet": {"config": {"text": 5}}}}, "Invalid scalar at path root:ops:greet:config:text"),
        ({"ops": {"greet": {"config": {}}}}, 'Missing required config entry "text" at path root:ops:greet:config'),
        ({"ops": {"great": {}}}, 'unexpected config entry "great" at path root:ops'),
        ({"opps": {}}, 'unexpected config entry "opps" at the root'),
        ({"loggers": {"own": {}}}, 'unexpected config entry "own" at path root:loggers'),
        (
            {"resources": {"io_manager": {"conf": 1}}},
            'unexpected config entry "conf" at path root:resources:io_manager',
        ),
        ({"ops": 5}, "Value at path root:ops must be dict"),
    ],
)
def test_own_config_that_cannot_be_right_is_refused_when_the_job_is_made(own: Any, wrong: str) -> None:
    with pytest.raises(DagsterInvalidConfigError) as caught:
        two_greetings.to_job(name="made", config=own)
    text = str(caught.value)
    assert text.startswith("Error in config when building job 'made': the provided config is missing required fields")
    assert "the default that the job itself brings (config=...), not run config" in text
    assert wrong in text


def test_own_config_need_not_be_whole() -> None:
    made = two_greetings.to_job(config={"ops": {"show": {"config": 1}}})
    assert made.execute_in_process(GREETING).output_for_node("show") == 1


def test_run_that_was_given_nothing_fails_by_the_config_of_the_job() -> None:
    with pytest.raises(DagsterInvalidConfigError, match="Error in config when building job 'two_greetings'") as caught:
        two_greetings.to_job(config={}).execute_in_process()
    assert 'Missing required config entry "ops" at the root' in str(caught.value)


def test_own_config_is_not_judged_before_the_resources_are_there() -> None:
    @resource(config_schema=int)
    def number(context: Any) -> Any:
        return context.resource_config

    @op(required_resource_keys={"a"})
    def use(context: Any) -> Any:
        return context.resources.a

    @graph
    def using() -> None:
        use()

    made = using.to_job(config={"resources": {"a": {"config": "x"}}})
    with pytest.raises(DagsterInvalidConfigError, match="Error in config when building job 'using'"):
        made.with_top_level_resources({"a": number})
    late = using.to_job(config={"resources": {"a": {"config": 3}, "later": {"config": 1}}}, resource_defs={"a": number})
    assert late.execute_in_process().output_for_node("use") == 3


def test_variable_in_own_config_is_read_when_a_run_starts_and_the_error_says_whose_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @op(config_schema={"key": StringSource})
    def secret(context: Any) -> Any:
        return context.op_config["key"]

    @job(config={"ops": {"secret": {"config": {"key": {"env": "TREADLE_TEST_KEY"}}}}})
    def keeping() -> None:
        secret()
        show()

    (message,) = refused(keeping, {"ops": {"show": {}}})
    assert "TREADLE_TEST_KEY" in message
    assert "This stands in the default config of the job itself" in message
    monkeypatch.setenv("TREADLE_TEST_KEY", "x")
    assert keeping.execute_in_process().output_for_node("secret") == "x"


def test_inputs_may_stand_in_own_config() -> None:
    @graph
    def doubling(n: Any) -> Any:
        return double(n)

    made = doubling.to_job(config={"inputs": {"n": 4}})
    assert made.execute_in_process().output_for_node("double") == 8
    assert made.execute_in_process({"inputs": {"n": 5}}).output_for_node("double") == 10


@pytest.mark.parametrize("config", [5, "ops: {}", [1]])
def test_config_of_a_job_is_a_mapping_or_a_dict(config: Any) -> None:
    with pytest.raises(ParameterCheckError, match='job "two_greetings": Param "config" is not a dict'):
        two_greetings.to_job(config=config)


# -- execution --------------------------------------------------------------------------------------------------------


def execution_of(target: Any, execution: Any) -> Any:
    return resolve(target, {**GREETING, "execution": execution}).execution


def test_executor_without_a_name_takes_the_default_ones_config() -> None:
    assert execution_of(greeting, {"config": {"in_process": {}}}) == {"in_process": {"retries": {"enabled": {}}}}
    assert execution_of(greeting, {}) == {"in_process": {"retries": {"enabled": {}}}}


def test_older_spelling_of_execution_is_understood() -> None:
    disabled = {"retries": {"disabled": {}}}
    assert execution_of(greeting, {"in_process": {"config": disabled}}) == {"in_process": disabled}
    assert execution_of(greeting, {"in_process": {}}) == {"in_process": {"retries": {"enabled": {}}}}
    own = greeting.with_executor_def(in_process_executor)
    assert execution_of(own, {"in_process": {"config": disabled}}) == disabled
    for wrong in ({"elsewhere": {}}, {"in_process": 5}, {"in_process": {"x": 1}}, {"in_process": {}, "other": {}}):
        with pytest.raises(DagsterInvalidConfigError):
            execution_of(greeting, wrong)


def test_config_of_an_executor_is_required_where_its_schema_says_so_and_filled_in_by_configured() -> None:
    @executor(name="special", config_schema={"n": int})
    def special(_context: Any) -> Any: ...

    own = greeting.with_executor_def(special)
    assert execution_of(own, {"config": {"n": 1}}) == {"n": 1}
    with pytest.raises(DagsterInvalidConfigError, match='"execution" at the root'):
        resolve(own, GREETING)
    filled = greeting.with_executor_def(special.configured({"n": 5}, name="filled"))
    assert resolve(filled, GREETING).execution == {"n": 5}


def test_execute_in_process_ignores_the_executors_config() -> None:
    assert greeting.execute_in_process(run_config={**GREETING, "execution": {"config": {"zzz": 1}}}).success


# -- files ------------------------------------------------------------------------------------------------------------


def test_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("ops:\n  greet:\n    config:\n      text: 5\n      tmies: 3\nloggers: {}\n")
    found = refused(greeting, config_from_files([str(path)]))
    assert found[0].startswith('Received unexpected config entry "tmies"')
    assert found[0].endswith(f" ({path}:5)")
    assert found[1].startswith("Invalid scalar at path root:ops:greet:config:text")
    assert found[1].endswith(f" ({path}:4)")
    path.write_text("ops:\n  greet:\n    config: {}\n")
    assert refused(greeting, config_from_files([str(path)]))[0].endswith(f" ({path}:3)")


def test_mistake_in_a_file_for_a_config_mapping_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: x\nage: old\n")
    mapped = greeting.graph.to_job(config=ConfigMapping(lambda _config: GREETING, {"name": str, "age": int}))
    assert refused(mapped, config_from_files([path]))[0].endswith(f" ({path}:2)")
    assert "(" not in refused(mapped, {"name": "x", "age": "old"})[0]


# -- validate_run_config, the schema ----------------------------------------------------------------------------------


def test_validate_run_config_gives_the_config_filled_in_for_every_node() -> None:
    @graph
    def inner(n: Any) -> Any:
        return double(n)

    @job
    def outer() -> None:
        inner()
        greet()

    made = validate_run_config(outer, {"ops": {"inner": {"inputs": {"n": 5}}, **GREETING["ops"]}})
    nothing = {"config": None, "inputs": {}, "outputs": None}
    assert made["ops"] == {
        "inner": {**nothing, "inputs": {"n": 5}},
        "inner.double": nothing,
        "greet": {**nothing, "config": {"text": "hi", "times": 2}},
    }
    assert made["loggers"] == {}
    assert list(made["resources"]) == ["io_manager"]
    assert made["execution"] == {"in_process": {"retries": {"enabled": {}}}}


def test_validate_run_config_tells_outputs_inputs_of_the_job_and_an_own_executor() -> None:
    _recorder, manager = recording(int)

    @graph
    def doubling(n: Any) -> Any:
        return double(n)

    made = validate_run_config(
        doubling.to_job(resource_defs={"io_manager": manager}, executor_def=in_process_executor),
        {"inputs": {"n": 5}, "ops": {"double": {"outputs": {"result": 4}}}},
    )
    assert made["ops"]["double"]["outputs"] == {"result": 4}
    assert made["inputs"] == {"n": 5}
    assert made["execution"] == {"in_process": {"retries": {"enabled": {}}}}


def test_validate_run_config_refuses_what_a_run_would() -> None:
    with pytest.raises(DagsterInvalidConfigError, match='"ops" at the root'):
        validate_run_config(greeting)
    assert validate_run_config(two_greetings.to_job(config=OWN))["ops"]["show"]["config"] == {"a": 1}
    with pytest.raises(ParameterCheckError, match='"job_def" is not a JobDefinition'):
        validate_run_config(greet, {})  # type: ignore[arg-type]


def test_schema_of_a_job_can_be_looked_at() -> None:
    schema: Any = greeting.run_config_schema
    assert set(schema.config_type.fields) == {"execution", "loggers", "resources", "ops"}
    assert schema.config_type.fields["ops"].is_required
    assert not two_greetings.to_job(config=OWN).run_config_schema.config_type.fields["ops"].is_required  # type: ignore[attr-defined]
    assert schema.config_mapping is None


def test_missing_resource_is_told_before_config_is_looked_at() -> None:
    @op(required_resource_keys={"gone"})
    def use(context: Any) -> Any: ...

    @job
    def using() -> None:
        use()

    with pytest.raises(DagsterInvalidDefinitionError, match="gone"):
        using.execute_in_process(run_config={"resources": {"gone": {}}}, instance=DagsterInstance.ephemeral())
