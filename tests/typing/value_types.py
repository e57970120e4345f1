"""Types of values, as users write them. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import assert_type

import treadle
from treadle import (
    DagsterType,
    DagsterTypeLoader,
    Dict,
    In,
    Int,
    List,
    Nothing,
    Optional,
    Out,
    PythonObjectDagsterType,
    String,
    Tuple,
    TypeCheck,
    TypeCheckContext,
    check_dagster_type,
    dagster_type_loader,
    make_python_type_usable_as_dagster_type,
    op,
    usable_as_dagster_type,
)


def is_even(context: TypeCheckContext, value: Any) -> bool:
    context.log.debug("%s in run %s", value, context.run_id)
    return isinstance(value, int) and value % 2 == 0


def is_small(_: TypeCheckContext, value: int) -> TypeCheck:
    return TypeCheck(success=value < 3, description="too large", metadata={"value": value})


@dagster_type_loader({"seats": int}, required_resource_keys={"hangar"})
def load_plane(context: Any, config: Mapping[str, int]) -> Plane:
    return Plane(config["seats"])


EvenNumber = DagsterType(is_even, name="EvenNumber", description="divisible by two", metadata={"since": 1})
SmallNumber = DagsterType(name="SmallNumber", type_check_fn=is_small, required_resource_keys={"limits"})
Numbers = PythonObjectDagsterType((int, float), name="Numbers")
assert_type(EvenNumber.display_name, str)
assert_type(load_plane, DagsterTypeLoader)


@usable_as_dagster_type
class Glider:
    pass


@usable_as_dagster_type(name="Plane", loader=load_plane)
class Plane:
    def __init__(self, seats: int) -> None:
        self.seats = seats


class Kite:
    pass


make_python_type_usable_as_dagster_type(Kite, PythonObjectDagsterType(Kite, description="flies low"))

# A decorated class stays what it was.
assert_type(Plane(3).seats, int)
assert_type(check_dagster_type(EvenNumber, 2), TypeCheck)
assert_type(check_dagster_type(List[int], [2]).success, bool)
assert_type(check_dagster_type(treadle.Any, None).description, str | None)


# Names of types stand in annotations too, and mean the Python types.
@op(ins={"after": In(Nothing), "number": In(EvenNumber)}, out=Out(Numbers))
def count(
    number: Int, names: List[String], seats: Dict[str, int], pair: Tuple[int, str], limit: Optional[int]
) -> float:
    assert_type(number, int)
    assert_type(names, list[str])
    assert_type(seats, dict[str, int])
    assert_type(pair, tuple[int, str])
    assert_type(limit, int | None)
    return float(number)


unfit = DagsterType(is_even, name=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
