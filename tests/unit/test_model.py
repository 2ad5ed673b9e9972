"""Equal parameter sets are the same experiment."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.model import compact, describe, duration, fingerprint, rate, storable_text

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


_SECONDS = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}


def parsed(text):
    """Return a duration in seconds, and the size of its smallest unit."""
    words = text.split()
    return sum(float(number) * _SECONDS[unit] for number, unit in zip(words[::2], words[1::2], strict=True)), words[-1]


BORDERS = [0.001, 0.00995, 0.01, 0.0995, 0.1, 1, 9.995, 10, 59.95, 60, 3600, 86400, 864000]
NEAR_A_BORDER = st.builds(lambda border, part: border * (1 + part), st.sampled_from(BORDERS), st.floats(-0.01, 0.01))


@given(st.floats(0, 1e9) | NEAR_A_BORDER)
def test_a_duration_has_plain_digits_below_the_next_unit_and_differs_by_a_twentieth_at_most(seconds):
    text = duration(seconds)
    assert re.fullmatch(r"\d{1,3}(\.\d+)? m?s|\d+ min \d+ s|\d+ h \d+ min|\d+ d \d+ h", text)
    for number, unit in re.findall(r"([\d.]+) (ms|s|min|h)", text):
        assert float(number) < {"ms": 1000, "s": 60, "min": 60, "h": 24}[unit]
    shown, unit = parsed(text)
    smallest = {"h": 3600, "min": 60, "s": 0.5 if "min" in text else 0}.get(unit, 0)
    assert abs(shown - seconds) <= max(0.05 * seconds, smallest, 1e-6)


@given(NEAR_A_BORDER, NEAR_A_BORDER)
def test_a_longer_duration_never_looks_shorter(one, other):
    assert parsed(duration(min(one, other)))[0] <= parsed(duration(max(one, other)))[0] + 1e-9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0996, "100 ms"),
        (0.00996, "10 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (86399.6, "1 d 0 h"),
        (1e-9, "0 ms"),
    ],
)
def test_a_duration_at_the_border_of_a_unit(seconds, text):
    assert duration(seconds) == text


@given(st.floats(1e-5, 1e7) | st.sampled_from([0.99994, 0.016666, 0.0999, 99.96, 999.6]))
def test_a_rate_has_plain_digits_below_the_next_unit(per_second):
    text = rate(per_second)
    number, unit = re.fullmatch(r"([\d,]+(?:\.\d+)?)/(s|min|h)", text).groups()
    seen = float(number.replace(",", ""))
    assert seen < {"s": 1e8, "min": 60, "h": 60}[unit]
    assert seen / {"s": 1, "min": 60, "h": 3600}[unit] == pytest.approx(per_second, rel=0.006)
