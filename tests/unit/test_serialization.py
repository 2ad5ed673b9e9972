"""Python values become data: numbers keep their type, and errors name other values."""

import collections
import dataclasses
import datetime
import enum
import math
import subprocess
import sys
import typing
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pydantic
import pytest

from qexp.serialization import NotDataError, key_types, to_json


class Colour(enum.Enum):
    RED = "red"


class Point(typing.NamedTuple):
    x: float
    y: float


@dataclasses.dataclass
class Score:
    mean: float
    by_class: dict[int, float] = dataclasses.field(default_factory=dict)


class Model(pydantic.BaseModel):
    depth: int
    by_class: dict[int, float] = {}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (np.int64(3), 3),
        (np.float32(1.5), 1.5),
        (np.array([1.0, math.inf]), [1.0, math.inf]),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (1e22, 1e22),
        (10**22, 10**22),
        (Decimal("0.5"), 0.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(minutes=1), "PT1M"),
        (Path("a/b"), "a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        ("a\0b", "a\\x00b"),
        ({"\udc80": 1}, {"\\udc80": 1}),
        (range(3), [0, 1, 2]),
        (collections.deque([1]), [1]),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Point(1.0, 2.0), {"x": 1.0, "y": 2.0}),
        ([Point(1.0, 2.0)], [{"x": 1.0, "y": 2.0}]),
        (Score(0.5, {0: 1.0}), {"mean": 0.5, "by_class": {"0": 1.0}}),
        (Model(depth=1, by_class={0: 1.0}), {"depth": 1, "by_class": {"0": 1.0}}),
        (pd.Series({"b": 1, "a": 2.5}), {"b": 1.0, "a": 2.5}),
        (pd.Series([1, 2]), [1, 2]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), [{"a": 1, "b": 2.5}]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0], {"a": 1, "b": 2.5}),
        (np.array((1, (2,)), dtype=[("a", "i4"), ("b", [("c", "i4")])])[()], {"a": 1, "b": {"c": 2}}),
        (pd.NA, None),
        (pd.NaT, None),
        ([pd.NaT, pd.Timestamp("2026-01-02")], [None, "2026-01-02T00:00:00"]),
    ],
)
def test_values_of_many_libraries_become_data(value, data):
    found = to_json(value)
    assert repr(found) == repr(data)


def test_not_a_number_stays_a_float_and_its_name_stays_text():
    found = to_json({"float": math.nan, "text": "NaN"})
    assert math.isnan(found["float"])
    assert found["text"] == "NaN"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "an object is not data"),
        ({"a": [0, {"model": object()}]}, r"a\[1\].model: an object is not data"),
        ({"history": pd.DataFrame()}, r"history: a pandas.DataFrame is not data; write frame.to_dict\('list'\)"),
        (b"raw", "a bytes object is not data"),
        ([1 + 2j], r"\[0\]: a complex number is not data"),
        (int, "a type is not data"),
        ({0: 1.0}, "found the key 0, expected text"),
        ({None: 1.0}, "found the key None, expected text"),
        ({"a": {(1, 2): 1.0}}, r"a: found the key \(1, 2\), expected text"),
        (pd.Series({3: 1, 4: 2}), "found a pandas.Series with the label 3, expected labels that are text"),
        ({Colour.RED: 1, "red": 2}, "found the key 'red' twice"),
        ([10**5000], "more than 4,300 digits"),
    ],
)
def test_a_value_that_is_no_data_is_refused_with_its_place(value, message):
    with pytest.raises(NotDataError, match=message):
        to_json(value)


def test_a_value_that_contains_itself_is_refused_by_name():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(NotDataError, match=r"^loop\[0\]: it is nested too deeply, or contains itself$"):
        to_json({"a": 1, "loop": loop})


def test_non_finite_floats_are_refused_where_only_finite_ones_may_be():
    with pytest.raises(NotDataError, match=r"lr\[1\]: found nan, expected finite numbers"):
        to_json({"lr": [1.0, math.nan]}, finite=True)


def test_keys_become_text_where_an_annotation_names_their_type():
    keys = key_types(dict[str, list[dict[int | None, float]]])
    assert keys == {int, type(None)}
    assert to_json({"a": [{0: 1.0, None: 2.0}]}, keys=keys) == {"a": [{"0": 1.0, "null": 2.0}]}
    assert key_types(Score) == {int}
    assert key_types(dict[str, float] | None) == frozenset()


def test_keys_that_collide_as_text_are_refused_for_any_annotation():
    with pytest.raises(NotDataError, match="found the key '0' twice"):
        to_json({0: 1.0, "0": 2.0}, keys=frozenset({int}))


def test_a_set_has_one_order_under_every_hash_seed():
    code = "from qexp.serialization import to_json; print(to_json({'b', 'a', 'c', 1, 2.5}))"
    orders = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(orders) == 1
