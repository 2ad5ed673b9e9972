"""Nested values become columns, and a column's name means the same in every command."""

import json
import math

import pytest

from qexp.store.schema.value_columns import ABSENT, WIDEST, Shape, columns, locate, shapes

NAMES = {"params": ["lr", "opt", "n", "status"], "result": ["train", "train.acc", "n", "val/loss", "result"]}


@pytest.mark.parametrize(
    ("prefix", "parts", "expected"),
    [
        (None, ["lr"], ("params", [("lr",)])),
        (None, ["n"], ("params", [("n",)])),
        ("result", ["n"], ("result", [("n",)])),
        (None, ["result.n"], ("result", [("n",)])),
        (None, ["opt", "lr"], ("params", [("opt", "lr")])),
        (None, ["opt.lr"], ("params", [("opt", "lr")])),
        ("param", ["status"], ("params", [("status",)])),
        ("param", ["status", "k"], ("params", [("status", "k")])),
        (None, ["train", "acc"], ("result", [("train.acc",), ("train", "acc")])),
        ("result", ["train", "acc"], ("result", [("train", "acc"), ("train.acc",)])),
        (None, ["train", "a.b"], ("result", [("train", "a.b"), ("train", "a", "b")])),
        (None, ["train", "a", "b"], ("result", [("train", "a", "b"), ("train", "a.b")])),
        (None, ["val/loss", "0"], ("result", [("val/loss", "0")])),
        ("result", ["x"], ("result", [("result", "x")])),
        ("param", ["train"], None),
        (None, ["trai"], None),
        (None, ["lrs", "x"], None),
    ],
)
def test_a_name_refers_to_the_column_of_frames(prefix, parts, expected):
    assert locate(NAMES, prefix, parts) == expected


def test_a_name_with_too_many_keys_for_columns_is_explained():
    _, paths = locate(NAMES, None, ["opt", *"abcdefghijklmnopqrstuvwxyz"])
    assert paths == [("opt", *"abcdefghijklmnopqrstuvwxyz")]


def test_a_shape_becomes_data_and_comes_back():
    shape = Shape()
    shape.add([1, 0.5, math.nan, "a", True, [], {"z": {"b": 1}, "a": {}}, {"w": dict.fromkeys(map(str, range(999)))}])
    shape.limit()
    data = json.loads(json.dumps(shape.data()))
    assert Shape.of(data).data() == data
    assert [path for path, _ in Shape.of(data).paths(("x",))] == [
        *[("x",), ("x", "z", "b"), ("x", "a"), ("x", "w")],
    ]


def test_mappings_that_together_are_too_many_columns_stay_values():
    half = dict.fromkeys(map(str, range(WIDEST // 2)), 1)
    found = shapes(["m", "k"], [{"m": {"a": half, "b": half, "c": 1}, "k": {"a": half}}])
    made = columns({}, found)
    assert [column.label for column in made][:2] == ["m", "k.a.0"]
    assert len(made) == 1 + WIDEST // 2
    assert made[0].of({"m": {"a": half}}) == {"a": half}


def test_a_column_tells_a_missing_value_from_none():
    (first, second, _) = columns({}, shapes(["m"], [{"m": {"a": None, "b": 1}}, {"m": 3}]))
    assert [first.of(row) for row in ({"m": 3}, {"m": {}}, {"m": {"a": 1}}, {}, None)] == [3, {}, *[ABSENT] * 3]
    assert [second.of(row) for row in ({"m": {"a": None}}, {"m": {}}, {"m": 3}, None)] == [None, *[ABSENT] * 3]
