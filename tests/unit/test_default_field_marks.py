"""Fields with their default value are no part of the experiment of a dataclass or model instance."""

import dataclasses
import typing

import pytest
from pydantic import BaseModel, Field, computed_field
from pydantic.dataclasses import dataclass

from qexp.functions import Signature
from qexp.grid import Grid, bind
from qexp.grid.assignments import assignments_of


class Model(BaseModel):
    name: str
    tags: list[str] = Field(default_factory=list)
    kind: typing.Literal["model"] = "model"

    @computed_field
    def size(self) -> int:
        return len(self.name)


@dataclass
class Checked:
    name: str
    rate: float = Field(0.5)


@dataclasses.dataclass
class Plain:
    name: str
    rate: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)
    size: int = dataclasses.field(init=False, default=0)
    inner: Model = dataclasses.field(default_factory=lambda: Model(name="x"))


@dataclasses.dataclass
class Other:
    rate: float = 0.5
    more: int = 1


@dataclasses.dataclass
class Another:
    rate: float = 0.5
    less: int = 1


class Pair(typing.NamedTuple):
    x: int
    y: int = 5


def signature(annotation):
    def f(x, y=0): ...

    f.__annotations__ = {"x": annotation} if annotation else {}
    return Signature.of(f, "m:f")


def rows(annotation, values, **keys):
    data = {"study": "g", "function": "m:f", "parameters": {"x": {"values": values}}, **keys}
    grid = bind(Grid.from_dict(data), signature(annotation))
    assert [text for _, text, _ in grid.encoded()]
    return [row["x"] for row in grid]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Plain, Plain("a"), {"name": "a"}),
        (Plain, Plain("a", 0.25, ["t"]), {"name": "a", "rate": 0.25, "tags": ["t"]}),
        (Plain, Plain("a", inner=Model(name="b")), {"name": "a", "inner": {"name": "b"}}),
        (Model, Model(name="a"), {"name": "a"}),
        (Model, Model(name="a", tags=[]), {"name": "a", "tags": []}),
        (Checked, Checked("a"), {"name": "a"}),
        (Pair, Pair(1), {"x": 1}),
        (list[Plain], [Plain("a")], [{"name": "a"}]),
        (dict[str, Plain], {"k": Plain("a")}, {"k": {"name": "a"}}),
    ],
    ids=str,
)
def test_a_field_with_its_default_is_no_part_of_an_experiment(annotation, value, expected):
    assert rows(annotation, [value]) == [expected]
    # and the function receives an equal instance
    assert signature(annotation).bind({"x": expected})["x"] == value


def test_an_instance_is_one_experiment_before_and_after_its_class_has_another_field():
    before = dataclasses.make_dataclass("D", [("a", str)])
    after = dataclasses.make_dataclass("D", [("a", str), ("b", int, 1)])
    assert rows(before, [before("a")]) == rows(after, [after("a")]) == [{"a": "a"}]


def test_a_field_that_the_function_needs_stays_despite_its_default_value():
    # Given a function without an annotation, or with a union whose members differ only by such fields
    assert rows(None, [Pair(1)]) == [{"x": 1, "y": 5}]
    assert rows(Other | Another, [Another(), Other()]) == [{"less": 1}, {}]


def test_instances_that_are_assigned_or_stand_in_other_sections_lose_their_defaults_too():
    data = {"study": "g", "function": "m:f", "parameters": {"y": [1]}}
    grid = bind(Grid.from_dict(data, assignments=assignments_of({}, {"x": [Plain("a")]})), signature(Plain))
    assert [row["x"] for row in grid] == [{"name": "a"}]
    grid = bind(Grid.from_dict({**data, "parameters": {}, "include": [{"x": Plain("a")}]}), signature(Plain))
    assert list(grid) == [{"x": {"name": "a"}}]
    kept = rows(Plain, [Plain("a"), Plain("b")], exclude=[{"x": Plain("a")}])
    assert kept == [{"name": "b"}]


def test_an_instance_beside_dotted_names_loses_its_defaults_too():
    data = {"parameters": {"x": {"values": [Other(), Other(more=2)]}, "x.rate": ["0.5", 1]}}
    grid = bind(Grid.from_dict({"study": "g", "function": "m:f", **data}), signature(Other))
    expected = [({}, 0.5), ({}, 1.0), ({"more": 2}, 0.5), ({"more": 2}, 1.0)]
    assert [(row["x"], row["x.rate"]) for row in grid] == expected
    assert signature(Other).bind(list(grid)[3])["x"] == Other(1.0, 2)
