"""Equal parameter sets are the same experiment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.model import compact, describe, fingerprint, storable_text

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
