"""Resources written as classes behave like other resources, with their fields as config."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import pydantic
import pytest
from pydantic import PrivateAttr, ValidationError

from treadle.config.pythonic import Config, RunConfig
from treadle.config.schema import EnvVar
from treadle.config.sugar import Shape
from treadle.config.validate import process
from treadle.contexts import InitResourceContext
from treadle.definitions.configurable import (
    ConfigurableIOManager,
    ConfigurableIOManagerFactory,
    ConfigurableLegacyIOManagerAdapter,
    ConfigurableLegacyResourceAdapter,
    ConfigurableResource,
    ConfigurableResourceFactory,
    PartialResource,
    ResourceDependency,
)
from treadle.definitions.io_managers import IOManager, IOManagerDefinition, io_manager
from treadle.definitions.opening import OpenResources, open_resources
from treadle.definitions.resources import (
    ResourceDefinition,
    check_dependencies,
    initialisation_order,
    is_resource_annotation,
    resource,
    to_resource_definitions,
)
from treadle.errors import (
    CheckError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPythonicConfigDefinitionError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
)

SAID: list[str] = []


class Early(ConfigurableResource[Any]):
    late: Late


class Late(Config):
    n: int


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


class Client(ConfigurableResource[Any]):
    """Talks to somebody."""

    port: int
    host: str = "here"

    def address(self) -> str:
        return f"{self.host}:{self.port}"


class Door(ConfigurableResource[Any]):
    name: str = "door"
    _key: str | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: InitResourceContext) -> None:
        SAID.append(f"open {self.name}")
        self._key = "turned"

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        SAID.append(f"close {self.name} {self._key}")


class House(ConfigurableResource[Any]):
    door: Door
    rooms: int = 2

    def setup_for_execution(self, context: InitResourceContext) -> None:
        SAID.append(f"build with {self.door._key}")

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        SAID.append("leave")


class Holder(ConfigurableResource[Any]):
    thing: ResourceDependency[str]
    n: int = 3


def start(resources: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> OpenResources:
    """Open resources the way a run does: config is processed by all definitions first, then resolved."""
    definitions = to_resource_definitions(resources)
    check_dependencies(definitions)
    schema = Shape({key: Shape({"config": definition.config_field}) for key, definition in definitions.items()})
    processed = process(schema, config or {}, "Error in config")
    configs = {
        key: definition.resolve_config(processed.get(key, {}).get("config"), f"resource {key}")
        for key, definition in definitions.items()
    }
    return open_resources(definitions, definitions, configs, lambda key, **given: InitResourceContext(**given))


def opened(value: Any, config: Any = None) -> Any:
    """What ops get of one resource."""
    return start({"r": value}, None if config is None else {"r": {"config": config}}).values["r"]


# -- construction -----------------------------------------------------------------------------------------------------


def test_construction_checks_as_pydantic_does() -> None:
    assert Client(port="3").port == 3  # type: ignore[arg-type]
    for wrong in ({}, {"port": "x"}):
        with pytest.raises(ValidationError, match="port"):
            Client(**wrong)


def test_object_can_be_used_without_a_run() -> None:
    assert Client(port=1).address() == "here:1"
    assert Client(port=1) == Client(port=1)
    assert repr(Client(port=1)) == "Client(port=1, host='here')"


def test_object_is_frozen_but_for_its_private_attributes() -> None:
    with pytest.raises(DagsterInvalidInvocationError, match="does not support item assignment.*PrivateAttr"):
        Client(port=1).port = 2
    door = Door()
    door._key = "turned"
    assert door._key == "turned"


def test_field_that_is_neither_config_nor_resource_is_refused() -> None:
    class Odd:
        pass

    class Wrong(ConfigurableResource[Any]):
        odd: Odd

    with pytest.raises(
        DagsterInvalidPythonicConfigDefinitionError, match=r"field 'odd'[\s\S]*ResourceDependency\["
    ) as e:
        Wrong(odd=Odd())
    assert "ConfigurableResource" in str(e.value)


def test_class_is_known_as_a_resource_by_its_annotation() -> None:
    assert is_resource_annotation(Client)
    assert not is_resource_annotation(Config)


# -- config -----------------------------------------------------------------------------------------------------------


def test_values_of_an_object_are_its_config() -> None:
    client = Client(port=1)
    made = opened(client)
    assert type(made) is Client
    assert made.address() == "here:1"
    assert made is not client


def test_run_config_may_replace_each_value() -> None:
    assert opened(Client(port=1), {"port": 2}).address() == "here:2"
    assert opened(Client(port=1), {"host": "there"}).address() == "there:1"
    with pytest.raises(DagsterInvalidConfigError, match='unexpected config entry "prot"'):
        opened(Client(port=1), {"prot": 2})


def test_config_to_come_is_required_unless_it_has_a_default() -> None:
    partial = Client.configure_at_launch(host="there")
    assert opened(partial, {"port": 2}).address() == "there:2"
    assert opened(partial, {"port": 2, "host": "elsewhere"}).address() == "elsewhere:2"
    assert partial.get_resource_definition().config_field.is_required
    assert not Client(port=1).get_resource_definition().config_field.is_required
    with pytest.raises(DagsterInvalidConfigError, match="Missing required config entr"):
        opened(partial)
    assert repr(partial) == "Client.configure_at_launch(host='there')"


def test_wrong_values_for_launch_are_refused_at_once() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="no field 'prot'. Did you mean \"port\""):
        Client.configure_at_launch(prot=1)
    with pytest.raises(DagsterInvalidConfigError):
        Client.configure_at_launch(port="x")


def test_definition_has_the_fields_and_the_docstring_of_the_class() -> None:
    definition = Client(port=1).get_resource_definition()
    assert definition.description == "Talks to somebody."
    assert definition.config_field.default_value == {"port": 1, "host": "here"}
    assert sorted(Client.to_fields_dict()) == ["host", "port"]
    assert Client.to_config_schema().is_required


def test_class_wide_config_types_work() -> None:
    class Colour(enum.Enum):
        RED = "r"
        BLUE = "b"

    class Part(Config):
        n: int = 4

    class Rich(ConfigurableResource[Any]):
        colour: Colour = Colour.RED
        part: Part = Part()
        parts: list[Part] = []
        numbers: dict[str, int] = {}
        maybe: Optional[float] = None

    given = Rich(colour=Colour.BLUE, part=Part(n=5), parts=[Part(n=1)], numbers={"a": 1}, maybe=1.5)
    assert opened(given) == given
    assert opened(Rich()) == Rich()
    at_launch = opened(Rich.configure_at_launch(), {"colour": "BLUE", "part": {"n": 7}, "parts": [{"n": 2}]})
    assert at_launch == Rich(colour=Colour.BLUE, part=Part(n=7), parts=[Part(n=2)])
    with pytest.raises(DagsterInvalidConfigError, match="not in enum type Colour got b"):
        opened(Rich(), {"colour": "b"})


def test_rules_of_the_class_hold_for_run_config_and_are_told_before_the_run() -> None:
    class Careful(ConfigurableResource[Any]):
        n: int = pydantic.Field(default=3, gt=1)

        @pydantic.field_validator("n")
        @classmethod
        def _lucky(cls, value: int) -> int:
            if value == 13:
                raise ValueError("unlucky")
            return value

    assert opened(Careful(), {"n": 2}).n == 2
    for wrong, message in ((0, "greater than 1"), (13, "unlucky")):
        with pytest.raises(DagsterInvalidConfigError, match=message):
            opened(Careful(), {"n": wrong})


def test_validator_that_breaks_is_told_as_a_mistake_in_the_config() -> None:
    class Fragile(ConfigurableResource[Any]):
        n: int = 1

        @pydantic.field_validator("n")
        @classmethod
        def _divide(cls, value: int) -> int:
            return 1 // value

    with pytest.raises(DagsterInvalidConfigError, match="ZeroDivisionError"):
        opened(Fragile(), {"n": 0})


def test_class_may_name_what_is_defined_after_it() -> None:
    assert opened(Early(late=Late(n=3))).late == Late(n=3)


def test_values_beside_the_fields_are_kept_where_the_class_allows_them() -> None:
    class Open(ConfigurableResource[Any]):
        model_config = {"extra": "allow"}
        n: int = 1

    assert opened(Open(n=1, more=2)).more == 2  # type: ignore[call-arg]
    assert opened(Open.configure_at_launch(), {"other": 3}).other == 3


def test_alias_is_the_name_in_config() -> None:
    class Named(ConfigurableResource[Any]):
        name_: str = pydantic.Field("d", alias="name")

    assert opened(Named(name="x")).name_ == "x"
    assert opened(Named.configure_at_launch(), {"name": "y"}).name_ == "y"


def test_variables_are_read_when_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(port=EnvVar.int("PORT"), host=EnvVar("HOST"))
    with pytest.raises(DagsterInvalidConfigError, match="PORT"):
        opened(client)
    monkeypatch.setenv("PORT", "17")
    monkeypatch.setenv("HOST", "there")
    assert opened(client).address() == "there:17"
    assert client.process_config_and_initialize().address() == "there:17"
    assert opened(Client.configure_at_launch(host=EnvVar("HOST")), {"port": {"env": "PORT"}}).address() == "there:17"


def test_object_stands_for_its_config_in_a_run_config_object() -> None:
    config = RunConfig(resources={"c": Client(port=1), "h": House(door=Door())}).to_config_dict()
    assert config["resources"] == {"c": {"config": {"port": 1, "host": "here"}}, "h": {"config": {"rooms": 2}}}


def test_definition_can_be_configured_further() -> None:
    definition = Client.configure_at_launch().get_resource_definition().configured({"port": 5})
    assert start({"r": definition}).values["r"].address() == "here:5"


# -- life of a resource -----------------------------------------------------------------------------------------------


def test_each_run_sets_up_and_tears_down_an_object_of_its_own() -> None:
    door = Door(name="front")
    run = start({"door": door})
    assert run.values["door"]._key == "turned"
    assert run.close() == []
    assert SAID == ["open front", "close front turned"]
    assert door._key is None


def test_failing_setup_is_not_torn_down() -> None:
    class Broken(ConfigurableResource[Any]):
        def setup_for_execution(self, context: InitResourceContext) -> None:
            raise ValueError("setup")

        def teardown_after_execution(self, context: InitResourceContext) -> None:
            SAID.append("torn down")

    with pytest.raises(DagsterResourceFunctionError, match='"r" failed to start, with ValueError: setup') as caught:
        opened(Broken())
    assert isinstance(caught.value.__cause__, ValueError)
    assert SAID == []


def test_failing_teardown_is_told_when_closing() -> None:
    class Broken(ConfigurableResource[Any]):
        def teardown_after_execution(self, context: InitResourceContext) -> None:
            raise ValueError("teardown")

    ((key, error),) = start({"r": Broken()}).close()
    assert (key, str(error)) == ("r", "teardown")


def test_ops_get_what_create_resource_makes() -> None:
    class Maker(ConfigurableResourceFactory[str]):
        n: int

        def create_resource(self, context: InitResourceContext) -> str:
            return f"made {self.n} with {context.resource_config}"

    assert opened(Maker(n=1)) == "made 1 with {'n': 1}"
    assert Maker(n=2).process_config_and_initialize() == "made 2 with {'n': 2}"
    with pytest.raises(TypeError, match="abstract"):
        ConfigurableResourceFactory()


@pytest.mark.parametrize("is_decorated", [True, False])
def test_yield_for_execution_replaces_the_three_others(is_decorated: bool) -> None:
    def around(self: Any, context: InitResourceContext) -> Iterator[str]:
        SAID.append("in")
        yield f"yielded {self.n}"
        SAID.append("out")

    class Around(ConfigurableResource[Any]):
        n: int
        yield_for_execution = contextlib.contextmanager(around) if is_decorated else around  # type: ignore[assignment]

    run = start({"r": Around(n=1)})
    assert (run.values["r"], SAID) == ("yielded 1", ["in"])
    run.close()
    assert SAID == ["in", "out"]


def test_context_is_at_hand_once_the_resource_is_open() -> None:
    with pytest.raises(CheckError, match="Attempted to get context before resource was initialized"):
        Client(port=1).get_resource_context()
    assert opened(Client(port=1)).get_resource_context().resource_config == {"port": 1, "host": "here"}


# -- resources in fields ----------------------------------------------------------------------------------------------


def test_nested_resource_is_open_before_and_closed_after() -> None:
    run = start({"house": House(door=Door(name="d"))})
    assert run.values["house"].rooms == 2
    assert run.close() == []
    assert SAID == ["open d", "build with turned", "leave", "close d turned"]


def test_nested_resource_is_closed_where_the_outer_one_fails_to_start() -> None:
    class Ruin(House):
        def setup_for_execution(self, context: InitResourceContext) -> None:
            raise ValueError("falls down")

    with pytest.raises(DagsterResourceFunctionError, match='"house" failed'):
        start({"house": Ruin(door=Door(name="d"))})
    assert SAID == ["open d", "close d turned"]


def test_nested_resource_is_no_config() -> None:
    assert opened(House(door=Door()), {"rooms": 9}).rooms == 9
    with pytest.raises(DagsterInvalidConfigError, match='unexpected config entry "door"'):
        opened(House(door=Door()), {"door": {"name": "x"}})


def test_nested_resource_configured_at_launch_is_the_one_among_the_resources() -> None:
    door = Door.configure_at_launch()
    definitions = to_resource_definitions({"z_house": House(door=door), "door": door})
    assert initialisation_order(["z_house"], definitions) == ["door", "z_house"]
    run = start({"a_house": House(door=door), "door": door}, {"door": {"config": {"name": "oak"}}})
    assert run.values["a_house"].door is run.values["door"]
    assert run.values["door"].name == "oak"
    run.close()
    assert SAID == ["open oak", "build with turned", "leave", "close oak turned"]


@pytest.mark.parametrize("outer", [lambda door: House(door=door), lambda door: House.configure_at_launch(door=door)])
def test_nested_resource_configured_at_launch_must_be_among_the_resources(outer: Any) -> None:
    with pytest.raises(DagsterInvariantViolationError, match=r"House\.door holds Door\.configure_at_launch\(\)"):
        start({"house": outer(Door.configure_at_launch())})


def test_deeper_resource_to_configure_at_launch_is_found() -> None:
    class Street(ConfigurableResource[Any]):
        house: House

    door = Door.configure_at_launch()
    run = start({"door": door, "a_street": Street(house=House(door=door))})
    assert run.values["a_street"].house.door is run.values["door"]


def test_resource_at_launch_needs_its_nested_resources() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="field 'door' is a resource"):
        House.configure_at_launch(rooms=3)


def test_nested_resource_may_have_a_default_or_be_optional_or_many() -> None:
    class Flat(ConfigurableResource[Any]):
        front: Door = Door(name="front")
        back: Optional[Door]
        others: list[Door] = []
        by_name: dict[str, Door] = {}

    flat = opened(Flat())
    assert (flat.front._key, flat.back) == ("turned", None)
    assert opened(Flat.configure_at_launch()).front._key == "turned"
    SAID.clear()
    run = start({"flat": Flat(back=Door(name="b"), others=[Door(name="o")], by_name={"x": Door(name="x")})})
    assert [run.values["flat"].others[0]._key, run.values["flat"].by_name["x"]._key] == ["turned", "turned"]
    run.close()
    assert SAID[:4] == ["open front", "open b", "open o", "open x"]
    assert len(SAID) == 8


def test_nested_resource_may_be_of_a_subclass_and_nothing_else() -> None:
    class Gate(Door):
        width: int

    assert opened(House(door=Gate(width=3))).door.width == 3
    assert House(door={"name": "by dict"}).door.name == "by dict"  # type: ignore[arg-type]
    for wrong in (Client(port=1), 5, Client.configure_at_launch()):
        with pytest.raises(ValidationError, match="expected a Door"):
            House(door=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="Field required"):
        House()


def test_dependency_may_be_a_value_a_definition_or_a_factory() -> None:
    class Maker(ConfigurableResourceFactory[str]):
        n: int = 1

        def create_resource(self, context: InitResourceContext) -> str:
            return f"made {self.n}"

    @resource(config_schema={"q": str}, required_resource_keys={"other"})
    def by_function(context: InitResourceContext) -> Iterator[str]:
        yield f"{context.resource_config['q']} {context.resources.other} {context.resource_def is not None}"
        SAID.append("closed")

    configured = by_function.configured({"q": "Q"})
    run = start(
        {
            "other": "o",
            "a": Holder(thing="plain"),
            "b": Holder(thing=configured),
            "c": Holder(thing=Maker(n=2)),
            "d": Holder(thing=ResourceDefinition.hardcoded_resource("hard")),
        }
    )
    assert [run.values[key].thing for key in "abcd"] == ["plain", "Q o True", "made 2", "hard"]
    assert run.close() == []
    assert SAID == ["closed"]


def test_dependency_that_needs_config_is_the_one_among_the_resources() -> None:
    thing = resource(config_schema={"q": str})(lambda context: context.resource_config["q"])
    run = start({"thing": thing, "a": Holder(thing=thing)}, {"thing": {"config": {"q": "Q"}}})
    assert run.values["a"].thing == "Q"
    with pytest.raises(DagsterInvariantViolationError, match=r"Holder\.thing"):
        start({"a": Holder(thing=thing)})


def test_class_used_with_a_resource_of_its_own_kind_in_its_rules() -> None:
    class Checked(House):
        @pydantic.model_validator(mode="after")
        def _enough(self) -> Any:
            if self.rooms > 5:
                raise ValueError("too many rooms")
            return self

    assert opened(Checked(door=Door()), {"rooms": 3}).rooms == 3
    with pytest.raises(DagsterInvalidConfigError, match="too many rooms"):
        opened(Checked(door=Door()), {"rooms": 6})


# -- outside a run ----------------------------------------------------------------------------------------------------


def test_resource_can_be_initialised_by_hand() -> None:
    assert Client(port=1).process_config_and_initialize().address() == "here:1"

    class Wrapper(ConfigurableResource[Any]):
        client: Client

    assert Wrapper(client=Client(port=1)).process_config_and_initialize().client.address() == "here:1"
    by_function = resource(lambda: "made")
    assert Holder(thing=by_function).process_config_and_initialize().thing == "made"


def test_resource_with_a_teardown_is_initialised_by_hand_as_a_context_manager() -> None:
    for value in (Door(), House(door=Door())):
        with pytest.raises(CheckError, match="process_config_and_initialize_cm"):
            value.process_config_and_initialize()
    assert SAID == []
    with House(door=Door()).process_config_and_initialize_cm() as house:
        assert house.door._key == "turned"
    assert SAID[-1] == "close door turned"


def test_resource_can_be_made_from_the_context_of_a_function() -> None:
    context = InitResourceContext({"port": 4})
    assert Client.from_resource_context(context).address() == "here:4"
    with Door.from_resource_context_cm(InitResourceContext({"name": "n"})) as door:
        assert door._key == "turned"
    assert SAID == ["open n", "close n turned"]
    with pytest.raises(CheckError, match="from_resource_context_cm"):
        Door.from_resource_context(InitResourceContext({}))
    with House.from_resource_context_cm(InitResourceContext(None), {"door": Door(name="given")}) as house:
        assert house.door.name == "given"


def test_nested_resources_are_listed() -> None:
    door = Door()
    assert House(door=door).nested_resources == {"door": door}


# -- IO managers ------------------------------------------------------------------------------------------------------


class Shelf(ConfigurableIOManager):
    label: str = "top"

    def handle_output(self, context: Any, obj: Any) -> None: ...

    def load_input(self, context: Any) -> Any:
        return self.label


def test_io_manager_class_makes_an_io_manager_definition() -> None:
    shelf = Shelf(label="low")
    assert isinstance(shelf, IOManager)
    definition = shelf.get_resource_definition()
    assert isinstance(definition, IOManagerDefinition)
    assert definition.input_config_schema is None
    assert opened(shelf).load_input(None) == "low"
    assert opened(Shelf.configure_at_launch(), {"label": "mid"}).load_input(None) == "mid"
    with pytest.raises(TypeError, match="abstract"):
        ConfigurableIOManager()


def test_factory_makes_the_io_manager_and_says_what_config_it_takes() -> None:
    class ShelfFactory(ConfigurableIOManagerFactory[IOManager]):
        label: str

        @classmethod
        def output_config_schema(cls) -> Any:
            return {"row": int}

        def create_io_manager(self, context: InitResourceContext) -> IOManager:
            return Shelf(label=self.label + "!")

    definition = ShelfFactory(label="x").get_resource_definition()
    assert isinstance(definition, IOManagerDefinition)
    assert definition.output_config_schema is not None
    assert opened(ShelfFactory(label="x")).load_input(None) == "x!"


def test_factory_that_makes_something_else_fails_to_start() -> None:
    class Wrong(ConfigurableIOManagerFactory[Any]):
        def create_io_manager(self, context: InitResourceContext) -> Any:
            return 5

    with pytest.raises(CheckError, match="is not an IOManager"):
        opened(Wrong())


def test_adapters_give_the_fields_of_a_class_to_a_function() -> None:
    @resource(config_schema={"n": int})
    def by_function(context: InitResourceContext) -> Iterator[str]:
        yield f"n is {context.resource_config['n']}"
        SAID.append("closed")

    class Adapted(ConfigurableLegacyResourceAdapter):
        n: int

        @property
        def wrapped_resource(self) -> ResourceDefinition:
            return by_function

    run = start({"r": Adapted(n=2)})
    assert run.values["r"] == "n is 2"
    run.close()
    assert SAID == ["closed"]

    @io_manager(config_schema={"label": str})
    def shelf(context: InitResourceContext) -> IOManager:
        return Shelf(label=context.resource_config["label"])

    class AdaptedShelf(ConfigurableLegacyIOManagerAdapter):
        label: str

        @property
        def wrapped_io_manager(self) -> IOManagerDefinition:
            return shelf

    assert isinstance(AdaptedShelf(label="x").get_resource_definition(), IOManagerDefinition)
    assert opened(AdaptedShelf(label="x")).load_input(None) == "x"
    assert AdaptedShelf(label="x").create_io_manager(InitResourceContext()).load_input(None) == "x"


def test_partial_resource_is_what_configure_at_launch_gives() -> None:
    assert isinstance(Client.configure_at_launch(), PartialResource)
    assert isinstance(Shelf.configure_at_launch().get_resource_definition(), IOManagerDefinition)
