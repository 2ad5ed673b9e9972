"""Values that jsonb would change have a copy beside it; unchanged values have none."""

import math

import pytest

from qexp import jsonb


@pytest.mark.parametrize(
    "data",
    [
        {"y": 1.0},
        {"a": 1, "b": [0.5, None, True, "text"], "c": {"x": 1, "yy": 2}},
        {"loss": math.nan, "most": [math.inf, -math.inf]},
        {"n": 10**40, "x": 1e15, "small": 5e-324},
    ],
)
def test_ordinary_data_have_no_copy(data):
    assert jsonb.exact(data, list(data)) is None


@pytest.mark.parametrize(
    "value", [1e16, -1e22, -0.0, "NaN", "Infinity", {"b": 1, "a": 2}, {"aa": 1, "b": 2}, [[{"x": [-0.0]}]]]
)
def test_values_that_jsonb_changes_are_copied_by_name(value):
    exact = jsonb.exact({"plain": 1, "x": value}, ["plain", "x"])
    assert list(exact) == ["=x"]
    assert repr(jsonb.restored({"plain": 1, "x": None}, exact, ["plain", "x"])["x"]) == repr(value)


def test_an_order_that_readers_do_not_know_is_kept():
    assert jsonb.exact({"b": 1, "a": 2}, ["a", "b"]) == {"order": ["b", "a"]}
    assert jsonb.exact({"b": 1, "new": 2}, ["a", "b"]) == {"order": ["b", "new"]}
    assert jsonb.exact({"a": 1, "c": 2}, ["a", "b", "c"]) is None
    assert jsonb.exact({"new": 1}, ["a"]) is None


def test_names_come_in_their_stored_order_then_in_the_order_of_the_study():
    found = jsonb.restored({"a": 1, "c": 3, "new": 4, "b": 2}, {"order": ["c", "a"]}, ["a", "b", "c"])
    assert list(found) == ["c", "a", "b", "new"]


def test_a_row_with_the_text_of_a_number_that_json_lacks_comes_back_as_it_was():
    import json

    for row in ({"b": math.inf, "a": -0.0}, {"text": "NaN", "float": math.nan}):
        assert repr(jsonb.row_of(json.loads(jsonb.row_text(row)))) == repr(row)
