"""Identity: which parameter sets are the same experiment."""

import datetime
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.model import compact, describe, fingerprint, storable_text, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_key_order_and_number_spelling_do_not_make_another_experiment():
    assert fingerprint({"a": 1, "b": [1.0, {"x": 2}]}) == fingerprint({"b": [1, {"x": 2.0}], "a": 1e0})


@pytest.mark.parametrize("other", [True, "1", [1], None, 1.5, {"a": 1}])
def test_values_of_other_kinds_are_other_experiments(other):
    assert fingerprint({"x": 1}) != fingerprint({"x": other})


def test_minus_zero_is_zero():
    assert fingerprint({"x": -0.0}) == fingerprint({"x": 0})


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_a_fingerprint_depends_on_values_only(params):
    assert fingerprint(params) == fingerprint(dict(reversed(params.items())))


def test_the_fingerprint_is_the_one_that_databases_already_hold():
    assert str(fingerprint({"dataset": "wine", "depth": 3})) == "04940e83-9c89-0fa4-17ad-124ed71d369d"


def test_numpy_dates_paths_and_non_finite_floats_become_data():
    value = {
        "int": np.int64(3),
        "float": np.float32(1.5),
        "array": np.array([1.0, math.inf]),
        "nan": float("nan"),
        "day": datetime.date(2026, 1, 2),
        "path": Path("a/b"),
        "flag": np.bool_(True),
        "nul": "a\0b",
    }
    assert to_json(value) == {
        "int": 3,
        "float": 1.5,
        "array": [1.0, "Infinity"],
        "nan": "NaN",
        "day": "2026-01-02",
        "path": "a/b",
        "flag": True,
        "nul": "a\\x00b",
    }


def test_what_is_not_data_is_refused_by_name():
    with pytest.raises(ValueError, match=r"a builtins\.object is not data"):
        to_json({"model": object()})


def test_a_value_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError):
        to_json(loop)


@given(st.text())
def test_storable_text_is_utf8_without_nul(text):
    assert b"\0" not in storable_text(text).encode("utf-8")


def test_a_long_description_is_cut():
    line = describe({"text": "x" * 500}, width=50)
    assert len(line) == 50
    assert line.endswith("…")


@given(st.lists(st.integers(1, 60), min_size=1))
def test_compact_ids_name_each_id_once(ids):
    spelled = set()
    for part in compact(ids).split(","):
        first, _, last = part.partition("-")
        spelled |= set(range(int(first), int(last or first) + 1))
    assert spelled == set(ids)
