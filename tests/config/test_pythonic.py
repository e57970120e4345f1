# ruff: noqa: UP006, UP035  # written as users write
from __future__ import annotations

import enum
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Dict, Generic, List, Literal, NewType, Optional, Set, Tuple, TypeVar, Union

import pytest
from pydantic import AliasChoices, BaseModel, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic import Field as PyField
from typing_extensions import TypeAliasType

from treadle.config import schema, sugar
from treadle.config.pythonic import Config, PermissiveConfig, RunConfig, config_of, fields_of, prepare
from treadle.config.schema import ABSENT, ANY, FLOAT, STRING, BoolSource, EnvVar, IntSource, StringSource
from treadle.config.sugar import Array, Map, Noneable, Permissive, Shape, to_field
from treadle.config.validate import process, validate
from treadle.errors import (
    DagsterInvalidConfigError,
    DagsterInvalidDagsterTypeInPythonicConfigDefinitionError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPythonicConfigDefinitionError,
    ParameterCheckError,
)


class Color(enum.Enum):
    RED = "r"
    BLUE = "b"


class Inner(Config):
    a: int = 1
    b: str = "x"


class Plain(Config):
    """What the flights are filtered by."""

    number: int
    text: str = "x"
    ratio: Optional[float] = None
    flag: bool = PyField(description="whether")


class Cat(Config):
    kind: Literal["cat", "lion"]
    lives: int


class Dog(Config):
    kind: Literal["dog"] = "dog"
    weight: float = 1.0


Pet = Annotated[Union[Cat, Dog], PyField(discriminator="kind")]
UserId = NewType("UserId", int)
Label = TypeAliasType("Label", str)
T = TypeVar("T")


def one_field(annotation: Any, *default: Any) -> type[Config]:
    """A Config class with one field, `f`."""
    namespace = {"__annotations__": {"f": annotation}, "__module__": __name__, **({"f": default[0]} if default else {})}
    return type("One", (Config,), namespace)


def field_of(annotation: Any, *default: Any) -> schema.Field:
    return fields_of(one_field(annotation, *default))["f"]


def made(cls: type[Config], config: Any, environ: Any = None) -> Any:
    """An instance, the way an op gets it."""
    return cls.__from_config__(process(Shape({"config": cls}), {"config": config}, environ=environ)["config"])


def problems(cls: type[Config], config: Any) -> list[tuple[str, str]]:
    """Path and last words of each error."""
    with pytest.raises(DagsterInvalidConfigError) as raised:
        process(Shape({"config": cls}), {"config": config}, environ={})
    return [(error.path, error.message.rpartition(" failed: ")[2]) for error in raised.value.errors]


# -- a class as schema ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "config_type"),
    [
        (int, IntSource),
        (str, StringSource),
        (bool, BoolSource),
        (float, FLOAT),
        (Any, ANY),
        (Color, schema.Enum.from_python_enum(Color)),
        (Optional[int], Noneable(IntSource)),
        (int | None, Noneable(IntSource)),
        (list, Array(ANY)),
        (List, Array(ANY)),
        (List[int], Array(IntSource)),
        (list[Optional[str]], Array(Noneable(StringSource))),
        (Sequence[int], Array(IntSource)),
        (dict, Permissive()),
        (Dict, Permissive()),
        (Dict[str, int], Map(STRING, IntSource)),
        (dict[int, Color], Map(int, schema.Enum.from_python_enum(Color))),
        (Mapping[str, List[int]], Map(STRING, Array(IntSource))),
        (Annotated[int, PyField(ge=3)], IntSource),
        (List[Annotated[int, PyField(ge=3)]], Array(IntSource)),
        (UserId, IntSource),
        (Label, StringSource),
        (Optional[Label], Noneable(StringSource)),
        (Literal["x", "y"], schema.Enum("Literal", [schema.EnumValue("x"), schema.EnumValue("y")])),
        (Literal[Color.RED], schema.Enum("Literal", [schema.EnumValue("RED", Color.RED)])),
        (Literal["x", None], Noneable(schema.Enum("Literal", [schema.EnumValue("x")]))),
    ],
)
def test_annotation_becomes_a_config_type(annotation: Any, config_type: schema.ConfigType) -> None:
    field = field_of(annotation)
    assert field.config_type == config_type
    assert not field.default_provided or annotation in {dict, Dict}


def test_class_becomes_a_shape_with_its_docstring() -> None:
    field = to_field(Plain)
    assert field.config_type.notation == (
        "{ flag: (Bool | { env: String }) number: (Int | { env: String }) ratio?: Float? "
        "text?: (String | { env: String })? }"
    )
    assert field.config_type.description == "What the flights are filtered by."
    assert isinstance(field.config_type, schema.Shape)
    assert field.config_type.fields["flag"].description == "whether"
    assert Plain.to_config_schema() is Plain.__config_field__() is to_field(Plain)
    assert list(Plain.to_fields_dict()) == ["number", "text", "ratio", "flag"]
    assert Plain.__treadle_config__ is True


def test_defaults_make_a_field_optional() -> None:
    fields = fields_of(Plain)
    assert {name: field.is_required for name, field in fields.items()} == {
        "number": True,
        "text": False,
        "ratio": False,
        "flag": True,
    }
    assert fields["text"].default_value == "x"
    assert fields["ratio"].default_value is None
    assert to_field(Inner).default_value == {"a": 1, "b": "x"}
    assert field_of(Inner).is_required is False


def test_optional_field_without_default_may_be_left_out() -> None:
    field = field_of(Optional[int])
    assert (field.is_required, field.default_provided) == (False, False)
    cls = one_field(Optional[int])
    assert cls().f is None
    assert made(cls, {}).f is None
    assert cls(f=3).f == 3


@pytest.mark.parametrize(
    ("annotation", "default", "config"),
    [
        (int, 3, 3),
        (str, None, None),
        (Color, Color.RED, "RED"),
        (Optional[Color], Color.RED, "RED"),
        (List[Color], [Color.RED], ["RED"]),
        (Dict[str, Color], {"q": Color.BLUE}, {"q": "BLUE"}),
        (List[Inner], [Inner(a=7)], [{"a": 7, "b": "x"}]),
        (str, EnvVar("X"), {"env": "X"}),
        (int, EnvVar.int("X"), {"env": "X"}),
        (Pet, Dog(weight=3), {"dog": {"weight": 3.0}}),
        (Optional[Pet], None, None),
        (List[Pet], [Cat(kind="lion", lives=1)], [{"lion": {"lives": 1}}]),
        (Inner, Inner(a=5), {"a": 5, "b": "x"}),
        (Optional[Inner], Inner(a=5), {"a": 5, "b": "x"}),
    ],
    ids=repr,
)
def test_default_is_shown_as_config_and_comes_back_as_it_was(annotation: Any, default: Any, config: Any) -> None:
    cls = one_field(annotation, default)
    field = fields_of(cls)["f"]
    assert field.default_value == config
    assert field.is_required is False
    if not isinstance(default, EnvVar | schema.IntEnvVar):
        assert made(cls, {}).f == default == cls().f


def test_union_that_may_be_none_is_left_out_for_that() -> None:
    field = field_of(Pet, None)
    assert (field.is_required, field.default_provided) == (False, False)
    cls = one_field(Pet, None)
    assert made(cls, {}).f is None
    assert made(cls, {"f": {"dog": {}}}).f == Dog()
    assert problems(cls, {"f": None})[0][0] == "root:config:f"


def test_dict_without_a_default_must_be_given_as_pydantic_asks() -> None:
    assert field_of(dict).is_required
    assert problems(one_field(dict), {})[0][0] == "root:config"
    assert made(one_field(dict), {"f": {}}).f == {}
    assert field_of(dict, {}).default_value == {}


def test_default_factory_is_called_for_each_instance() -> None:
    calls: list[int] = []

    class Made(Config):
        f: List[int] = PyField(default_factory=lambda: calls.append(1) or [len(calls)])  # type: ignore[func-returns-value]
        inner: Inner = PyField(default_factory=lambda: Inner(a=9))

    assert to_field(Made).default_value == {}
    assert calls == []
    assert made(Made, {}).f == [2]  # once when validated, once for the op
    assert made(Made, {}).inner == Inner(a=9)
    assert made(Made, {"inner": {"b": "q"}}).inner == Inner(a=1, b="q")


def test_class_as_default_factory_shows_what_it_makes() -> None:
    assert field_of(List[int], PyField(default_factory=list)).default_value == []
    assert field_of(Union[Cat, Dog], PyField(default_factory=Dog, discriminator="kind")).default_value == {
        "dog": {"weight": 1.0}
    }
    assert field_of(Inner, PyField(default_factory=Inner)).default_value == {"a": 1, "b": "x"}
    cls = one_field(List[int], PyField(default_factory=list))
    assert made(cls, {}).f == []
    assert made(cls, {}).f is not made(cls, {}).f


def test_config_field_is_no_pydantic_field() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"on field 'f'.*Did you mean to use 'pydantic.Field'"):
        field_of(str, sugar.Field(str))


def test_default_of_a_nested_class_gives_its_values_as_defaults() -> None:
    cls = one_field(Inner, Inner(a=5))
    assert made(cls, {"f": {"b": "q"}}).f == Inner(a=5, b="q")
    assert made(cls, {"f": {"a": 1}}).f == Inner(a=1)


def test_default_need_not_pass_the_constraints_but_a_given_value_must() -> None:
    cls = one_field(int, PyField(default=3, gt=5))
    assert made(cls, {}).f == 3
    assert problems(cls, {"f": 4}) == [("root:config:f", "Input should be greater than 5")]


def test_default_of_another_type_is_refused() -> None:
    with pytest.raises(DagsterInvalidConfigError, match=r"One'> on field 'f'. Invalid default_value for Field"):
        field_of(int, "x")


def test_secret_and_alias_of_a_field() -> None:
    class Named(Config):
        schema_: str = PyField(alias="schema", json_schema_extra={"dagster__is_secret": True})
        other: int = PyField(1, validation_alias=AliasChoices("other", "another"))

    fields = fields_of(Named)
    assert fields["schema"].is_secret
    assert list(fields) == ["schema", "other"]
    assert made(Named, {"schema": "s"}).schema_ == "s"
    assert Named(schema_="s") == Named(schema="s")
    assert problems(Named, {"schema_": "s"})[0][0] == "root:config"
    assert config_of(Named(schema="s")) == {"schema": "s", "other": 1}


def test_optional_field_with_alias_is_found_under_both_names() -> None:
    class Named(Config):
        schema_: Optional[str] = PyField(alias="schema")

    assert (Named(schema_="s").schema_, Named(schema="s").schema_, Named().schema_) == ("s", "s", None)


def test_forward_references_and_generics_are_resolved() -> None:
    class Box(Config, Generic[T]):
        item: T

    assert fields_of(Box[int])["item"].config_type is IntSource
    assert made(Box[int], {"item": 1}).item == 1
    assert fields_of(Early)["late"].config_type.notation == "{ n: (Int | { env: String }) }"


class Early(Config):
    late: Late


class Late(Config):
    n: int


def test_private_attributes_are_no_config() -> None:
    class Hidden(Config):
        n: int = 1
        _cache: int = PrivateAttr(default=3)

    hidden = Hidden()
    hidden._cache = 4
    assert hidden._cache == 4
    assert list(fields_of(Hidden)) == ["n"]


# -- types that config cannot hold ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        (Path, "Use int, float, str, bool"),
        (bytes, "Use int, float"),
        (None, "Use int, float"),
        (EnvVar, "Use int, float"),
        (Union[int, str], "cannot tell the members of this union apart"),
        (Union[Inner, Plain], "needs a discriminator"),
        (List[Union[Cat, Dog]], "needs a discriminator"),
        (Literal[1], "A Literal in config has strings and members"),
        (tuple, "Config has lists only"),
        (Tuple[int, str], "Config has lists only"),
        (Set[int], "Config has lists only"),
        (Dict[Inner, int], "The keys of a Dict in config are str"),
        (BaseModel, "Derive BaseModel from Config"),
        (T, "Use int, float"),
    ],
    ids=repr,
)
def test_field_of_another_type_is_refused(annotation: Any, hint: str) -> None:
    cls = one_field(annotation)
    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError, match=hint) as raised:
        to_field(cls)
    assert str(raised.value).startswith(
        f"Error defining Dagster config class {cls!r} on field 'f'. Unable to resolve config type "
    )


def test_type_for_values_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(
        DagsterInvalidDagsterTypeInPythonicConfigDefinitionError, match="Its annotation Int is a type for"
    ):
        one_field(SimpleNamespace(display_name="Int"))


def test_class_that_contains_itself_is_refused() -> None:
    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError, match="Tree -> Branch -> Tree"):
        to_field(Tree)


class Tree(Config):
    branches: List[Branch]


class Branch(Config):
    tree: Optional[Tree] = None


def test_discriminator_chooses_among_config_classes_only() -> None:
    class Cow(BaseModel):
        kind: Literal["cow"]

    cls = one_field(Annotated[Union[Cat, Cow], PyField(discriminator="kind")])
    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError, match="chooses among Config classes"):
        to_field(cls)


# -- from config to instances -----------------------------------------------------------------------------------------


def test_processed_config_becomes_an_instance() -> None:
    config = {"number": {"env": "N"}, "flag": True, "ratio": 1}
    assert made(Plain, config, {"N": "7"}) == Plain(number=7, flag=True, ratio=1.0)


def test_wrong_types_are_ordinary_config_errors() -> None:
    assert [path for path, _ in problems(Plain, {"number": "1", "flag": 1})] == [
        "root:config:number",
        "root:config:flag",
    ]


def test_nested_values_become_instances() -> None:
    class Outer(Config):
        one: Inner
        many: List[Inner] = []
        named: Dict[str, Inner] = {}
        maybe: Optional[Inner]
        color: Color

    config = {"one": {"a": 2}, "many": [{"b": "q"}], "named": {"k": {}}, "color": "BLUE"}
    outer = made(Outer, config)
    assert outer.one == Inner(a=2)
    assert (outer.many, outer.named) == ([Inner(b="q")], {"k": Inner()})
    assert (outer.maybe, outer.color) == (None, Color.BLUE)
    assert made(Outer, {**config, "maybe": {"a": 4}}).maybe == Inner(a=4)
    assert config_of(outer) == {
        "one": {"a": 2, "b": "x"},
        "many": [{"a": 1, "b": "q"}],
        "named": {"k": {"a": 1, "b": "x"}},
        "maybe": None,
        "color": "BLUE",
    }


def test_permissive_config_keeps_other_entries() -> None:
    class Open(PermissiveConfig):
        a: int

    assert made(Open, {"a": 1, "z": [1]}).z == [1]
    assert config_of(Open(a=1, z=[Inner()])) == {"a": 1, "z": [{"a": 1, "b": "x"}]}
    assert isinstance(to_field(Open).config_type, schema.Permissive)
    assert made(one_field(Open), {"f": {"a": 1, "z": 2}}).f.z == 2


def test_config_ignores_unknown_keywords_but_not_unknown_config() -> None:
    assert Inner(zzz=3) == Inner()  # type: ignore[call-arg]
    assert problems(Inner, {"zzz": 3})


def test_union_is_chosen_by_the_name_of_the_option() -> None:
    class Owner(Config):
        pet: Pet
        others: List[Pet] = []
        maybe: Optional[Pet] = None
        named: Dict[str, Pet] = {}

    owner = made(Owner, {"pet": {"lion": {"lives": 1}}, "others": [{"dog": {}}, {"dog": None}], "maybe": {"dog": {}}})
    assert owner.pet == Cat(kind="lion", lives=1)
    assert owner.others == [Dog(), Dog()]
    assert owner.maybe == Dog()
    assert made(Owner, {"pet": {"dog": {}}, "maybe": None, "named": {"k": {"dog": {"weight": 2}}}}).named == {
        "k": Dog(weight=2.0)
    }
    assert config_of(owner) == {
        "pet": {"lion": {"lives": 1}},
        "others": [{"dog": {"weight": 1.0}}, {"dog": {"weight": 1.0}}],
        "maybe": {"dog": {"weight": 1.0}},
        "named": {},
    }
    assert [path for path, _ in problems(Owner, {"pet": {"kind": "cat", "lives": 3}})] == ["root:config:pet"]


def test_members_of_an_enum_tell_classes_apart_by_their_value() -> None:
    class Kind(enum.Enum):
        ONE = "one"
        TWO = "two"

    class One(Config):
        kind: Literal[Kind.ONE]

    class Two(Config):
        kind: Literal[Kind.TWO]

    cls = one_field(Annotated[Union[One, Two], PyField(discriminator="kind")])
    assert made(cls, {"f": {"two": {}}}).f == Two(kind=Kind.TWO)
    assert config_of(cls(f=Two(kind=Kind.TWO))) == {"f": {"two": {}}}


# -- constraints and validators ---------------------------------------------------------------------------------------


class Ruled(Config):
    low: int = PyField(default=1, ge=1)
    high: int = PyField(default=9, le=9)
    word: str = PyField(default="w", max_length=3)
    inner: Inner = Inner()

    @field_validator("word")
    @classmethod
    def refuse_bad(cls, word: str) -> str:
        if word == "bad":
            raise AssertionError("a bad word")
        return word

    @model_validator(mode="after")
    def in_order(self) -> Ruled:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def test_all_complaints_of_a_class_come_at_once_before_anything_runs() -> None:
    assert validate(to_field(Ruled).config_type, {"low": 0}) == []
    assert problems(Ruled, {"low": 0, "high": 10, "word": "long"}) == [
        ("root:config:low", "Input should be greater than or equal to 1"),
        ("root:config:high", "Input should be less than or equal to 9"),
        ("root:config:word", "String should have at most 3 characters"),
    ]
    assert problems(Ruled, {"low": 8, "high": 2}) == [("root:config", "low is above high")]
    assert problems(Ruled, {"word": "bad"}) == [("root:config:word", "a bad word")]
    assert made(Ruled, {"low": 2}) == Ruled(low=2)


def test_complaint_inside_a_nested_class_has_its_path() -> None:
    class Outer(Config):
        many: List[Ruled]
        pet: Optional[Pet] = None
        named: Dict[str, Ruled] = {}

    assert problems(Outer, {"many": [{}, {"low": 0}], "named": {"k": {"low": -1}}}) == [
        ("root:config:many[1]:low", "Input should be greater than or equal to 1"),
        ("root:config:named:'k':value:low", "Input should be greater than or equal to 1"),
    ]


def test_none_for_a_field_that_cannot_be_none_is_refused_unless_a_validator_takes_it() -> None:
    assert problems(Inner, {"b": None}) == [("root:config:b", "Input should be a valid string")]

    class Lenient(Config):
        b: str = "x"

        @field_validator("b", mode="before")
        @classmethod
        def fill(cls, b: Any) -> Any:
            return b or "filled"

    assert made(Lenient, {"b": None}).b == "filled"


def test_validator_that_breaks_is_a_config_error() -> None:
    class Broken(Config):
        a: int

        @field_validator("a")
        @classmethod
        def fail(cls, a: int) -> int:
            raise KeyError("lost")

    assert problems(Broken, {"a": 1}) == [("root:config", "KeyError: 'lost'")]


def test_instance_from_config_that_breaks_a_rule_is_a_config_error() -> None:
    with pytest.raises(DagsterInvalidConfigError, match="Error in config for Ruled") as raised:
        Ruled.__from_config__({"low": 0, "inner": {"a": "x"}})
    assert [error.path for error in raised.value.errors] == ["root:low", "root:inner:a"]
    assert isinstance(raised.value.__cause__, ValidationError)


# -- instances --------------------------------------------------------------------------------------------------------


def test_instances_are_made_by_pydantic() -> None:
    assert Inner(a="3").a == 3  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Inner(a="x")  # type: ignore[arg-type]
    assert hash(Inner()) == hash(Inner())
    assert pickle.loads(pickle.dumps(Inner(a=4))) == Inner(a=4)


@pytest.mark.parametrize("name", ["a", "unknown"])
def test_instances_are_frozen(name: str) -> None:
    with pytest.raises(DagsterInvalidInvocationError, match="'Inner' is a Pythonic config class and does not support"):
        setattr(Inner(), name, 3)


def test_class_may_say_that_it_is_not_frozen() -> None:
    class Open(Config, frozen=False):
        a: int = 1

    instance = Open()
    instance.a = 2
    assert instance.a == 2


# -- environment variables --------------------------------------------------------------------------------------------


class Connection(PermissiveConfig):
    host: str = PyField(min_length=3)
    port: int = PyField(ge=1, alias="tcp_port")
    tags: List[str] = []
    named: Dict[str, str] = {}


def test_variables_wait_until_a_run_starts() -> None:
    connection = Connection(
        host=EnvVar("H"),
        tcp_port=EnvVar.int("P"),
        tags=[EnvVar("T")],
        named={"k": EnvVar("K")},
        extra=EnvVar("E"),
    )
    assert isinstance(connection.host, EnvVar)
    assert isinstance(connection.port, schema.IntEnvVar)
    config = config_of(connection)
    assert config == {
        "host": {"env": "H"},
        "tcp_port": {"env": "P"},
        "tags": [{"env": "T"}],
        "named": {"k": {"env": "K"}},
        "extra": {"env": "E"},
    }
    environ = {"H": "host", "P": "5432", "T": "t", "K": "k"}
    assert made(Connection, {**config, "extra": 1}, environ) == Connection(
        host="host", tcp_port=5432, tags=["t"], named={"k": "k"}, extra=1
    )
    assert repr(connection).startswith('Connection(host=EnvVar("H"), port=EnvVar.int("P")')


def test_rules_for_a_variable_wait_until_it_is_known() -> None:
    connection = Connection(host="localhost", port=EnvVar.int("P"))
    assert (connection.host, config_of(connection)["tcp_port"]) == ("localhost", {"env": "P"})
    with pytest.raises(DagsterInvalidConfigError, match="Input should be greater than or equal to 1"):
        made(Connection, config_of(connection), {"P": "0"})


def test_variables_do_not_hide_other_mistakes() -> None:
    with pytest.raises(ValidationError):
        Connection(host="lo", tcp_port=EnvVar.int("P"))
    with pytest.raises(ValidationError):
        Connection(host=EnvVar("H"))

    class Both(Config):
        a: str
        b: str

        @model_validator(mode="after")
        def refuse(self) -> Both:
            raise ValueError("never")

    with pytest.raises(ValidationError):
        Both(a=EnvVar("A"), b="b")


def test_unknown_keyword_with_a_variable_is_ignored_as_others_are() -> None:
    assert Inner(zzz=EnvVar("Z")) == Inner()  # type: ignore[call-arg]


def test_default_from_a_variable_is_read_when_processed() -> None:
    cls = one_field(str, EnvVar("X"))
    assert made(cls, {}, {"X": "v"}).f == "v"
    assert made(cls, {}, {"X": "X"}).f == "X"
    assert type(made(cls, {}, {"X": "X"}).f) is str
    assert problems(cls, {})[0][0] == "root:config:f"


# -- other pydantic classes -------------------------------------------------------------------------------------------


class Resource(BaseModel, arbitrary_types_allowed=True):
    """Like a ConfigurableResource: some of its fields are config."""

    size: int = 3
    color: Color = Color.RED
    other: Path = Path()


def test_fields_that_are_no_config_can_be_left_out() -> None:
    out = {"other"}
    assert list(fields_of(Resource, out)) == ["size", "color"]
    assert config_of(Resource(size=4), out) == {"size": 4, "color": "RED"}
    processed = process(Shape(fields_of(Resource, out)), {"color": "BLUE"})
    assert prepare(Resource, processed, out) == {"color": Color.BLUE}
    with pytest.raises(DagsterInvalidPythonicConfigDefinitionError):
        fields_of(Resource)


# -- RunConfig --------------------------------------------------------------------------------------------------------


def test_run_config_is_plain_data() -> None:
    run_config = RunConfig(
        ops={"o": Inner(a=2), "g": {"ops": {"i": Inner()}, "inputs": {"x": 1}}, "d": {"config": {"c": Color.RED}}},
        resources={"r": Plain(number=1, flag=True), "p": {"config": {"n": EnvVar("N")}}, "x": 3},
        loggers={"console": {"config": {"log_level": "DEBUG"}}},
        execution={"config": {"multiprocess": {}}},
    )
    assert run_config.to_config_dict() == {
        "loggers": {"console": {"config": {"log_level": "DEBUG"}}},
        "resources": {
            "r": {"config": {"number": 1, "text": "x", "flag": True}},
            "p": {"config": {"n": {"env": "N"}}},
            "x": 3,
        },
        "ops": {
            "o": {"config": {"a": 2, "b": "x"}},
            "g": {"ops": {"i": {"config": {"a": 1, "b": "x"}}}, "inputs": {"x": 1}},
            "d": {"config": {"c": "RED"}},
        },
        "execution": {"config": {"multiprocess": {}}},
    }


def test_run_config_may_be_empty() -> None:
    empty = RunConfig()
    assert empty.to_config_dict() == {"loggers": {}, "resources": {}, "ops": {}, "execution": {}}
    assert (empty.ops, empty.resources, empty.loggers, empty.execution) == ({}, {}, {}, {})
    assert empty == RunConfig(ops={})
    assert empty != RunConfig(ops={"o": Inner()})
    assert empty != {}
    assert repr(RunConfig(ops={"o": Inner()})).startswith("RunConfig(ops={'o': Inner(a=1, b='x')}, resources={}")


def test_run_config_refuses_other_values() -> None:
    with pytest.raises(ParameterCheckError, match='Param "ops" is not a Mapping or None'):
        RunConfig(ops=3)  # type: ignore[arg-type]


# -- what is imported when --------------------------------------------------------------------------------------------


def test_pydantic_is_imported_by_this_module_alone() -> None:
    code = (
        "import sys; from treadle.config import jsonschema, mistakes, schema, sugar, validate; "
        "sys.exit('pydantic' in sys.modules or 'treadle.config.pythonic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_absent_default_stays_absent() -> None:
    assert field_of(int).default is ABSENT
    assert sugar.to_field(one_field(int)).is_required
