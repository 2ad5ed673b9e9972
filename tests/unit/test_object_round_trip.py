"""An object given from Python comes back equal from its data, or enqueueing refuses it by its place."""

import dataclasses
import typing
from decimal import Decimal

import pydantic
import pytest

from qexp.errors import GridError
from qexp.functions import Signature
from qexp.grid import Grid, assignments_of, bind, check_instances


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr | None = None


class Hidden(pydantic.BaseModel):
    depth: int = pydantic.Field(3, exclude=True)
    width: int = 1


@dataclasses.dataclass
class Late:
    x: float
    y: int = dataclasses.field(init=False, default=5)


class Base(pydantic.BaseModel):
    x: int


class Derived(Base):
    y: int = 2


class Point(typing.NamedTuple):
    x: float
    y: float


@dataclasses.dataclass
class Settings:
    y: int


def take_hidden(x: Hidden):
    """Accept x."""


def late(y):
    made = Late(1.0)
    made.y = y
    return made


def arrives(annotation, value, where="parameters"):
    """Return the values of *x* as a function with this annotation receives them."""

    def function(x):
        """Accept x."""

    if annotation is not None:
        function.__annotations__["x"] = annotation
    signature = Signature.of(function, "m:f")
    rows = {"x": value}
    keys = {"parameters": {"parameters": rows}, "include": {"include": [rows]}, "zip": {"zip": [rows]}}[where]
    grid = bind(Grid.from_dict({"study": "g", "function": "m:f", **keys}), signature)
    check_instances(grid, signature.convert)
    return [signature.bind(row)["x"] for row in grid]


CHANGED = {
    "a secret": (pydantic.SecretStr, pydantic.SecretStr("pw")),
    "a secret without annotation": (None, pydantic.SecretStr("pw")),
    "a secret in a model": (Login, Login(user="me", password="pw")),
    "an excluded field": (Hidden, Hidden(depth=8)),
    "a field that no call sets": (Late, late(6)),
    "a derived class": (Base, Derived(x=1)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_object_that_does_not_come_back_equal_is_refused_by_its_place(name):
    annotation, value = CHANGED[name]
    text = r"^grid, at parameters\.x\.0: found .*, which comes back from its data as an unequal \w+; write its"
    with pytest.raises(GridError, match=text) as caught:
        arrives(annotation, [value])
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "value", "place"),
    [
        ("parameters", {"values": [Hidden(), Hidden(depth=8, width=2)]}, "parameters.x.values.1"),
        ("zip", [Hidden(), Hidden(depth=8, width=2)], "zip.0.x.1"),
        ("include", Hidden(depth=8), "include.0.x"),
    ],
)
def test_the_place_is_named_in_every_section(where, value, place):
    with pytest.raises(GridError, match=f"^grid, at {place}: found Hidden"):
        arrives(Hidden, value, where)


def test_an_object_inside_of_a_value_is_compared_too():
    assert arrives(list[Hidden], [[Hidden(width=2)]]) == [[Hidden(width=2)]]
    with pytest.raises(GridError, match=r"^grid, at parameters\.x\.0\.1: found Hidden"):
        arrives(list[Hidden], [[Hidden(), Hidden(depth=8)]])


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Login, Login(user="me")),
        (Hidden, Hidden(width=2)),
        (Late, late(5)),
        (Derived, Derived(x=1, y=3)),
        (Point, Point(1.0, 2.0)),
        (Base | Derived, Derived(x=1)),
    ],
)
def test_an_object_that_comes_back_equal_arrives(annotation, value):
    assert arrives(annotation, [value]) == [value]


def test_a_function_that_asks_for_a_mapping_receives_one():
    assert arrives(dict, [Base(x=1)]) == arrives(None, [Base(x=1)]) == [{"x": 1}]


@pytest.mark.parametrize("text", ["0.1234567890123456789012345", "1.10", "0.5", "1E+40"])
def test_a_decimal_keeps_its_digits_where_the_annotation_is_decimal(text):
    assert [str(value) for value in arrives(Decimal, [Decimal(text)])] == [text]
    assert [str(value) for value in arrives(Decimal, [text])] == [text]


def test_a_decimal_arrives_as_the_float_that_is_asked_for():
    assert arrives(float, [Decimal("1.10")]) == [1.1]
    assert arrives(None, [Decimal("0.5")]) == [0.5]


def test_a_decimal_of_more_digits_than_a_float_needs_an_annotation():
    text = r"^grid, at parameters\.x\.0: found Decimal.* as an unequal str; annotate 'x' as Decimal, or write a float$"
    with pytest.raises(GridError, match=text):
        arrives(None, [Decimal("1.10")])


def test_an_object_may_be_a_whole_section_or_row():
    def function(x, y):
        """Accept x and y."""

    signature = Signature.of(function, "m:f")
    rows = [Derived(x=1, y=2)]
    grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": Base(x=3), "settings": {"y": 1}})
    check_instances(bind(grid, signature), signature.convert)
    grid = Grid.from_dict({"study": "g", "function": "m:f", "include": rows})
    check_instances(bind(grid, signature), signature.convert)
    grid = Grid.from_dict({"study": "g", "function": "m:f", "parameters": {"x": 3}, "settings": Settings(1)})
    check_instances(bind(grid, signature), signature.convert)


def test_an_object_that_an_assignment_replaces_is_not_compared():
    signature = Signature.of(take_hidden, "m:f")
    data = {"study": "g", "function": "m:f", "parameters": {"x": [Hidden(depth=8)]}}
    grid = bind(Grid.from_dict(data, assignments=assignments_of({}, {"x": [{"width": 7}]})), signature)
    check_instances(grid, signature.convert)
    assert [row["x"] for row in grid] == [{"width": 7}]
