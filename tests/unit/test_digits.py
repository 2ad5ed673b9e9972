"""Columns show a uniform number of digits, and rounding shows no wrong number."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexp.analysis.statistics import MISSING, NumberFormat, column_format, p_text
from qexp.analysis.statistics.digits import decimals, fixed, scientific

FLOATS = st.floats(-1e15, 1e15)


@pytest.mark.parametrize(
    ("centers", "spreads", "expected"),
    [
        ([0.912, 0.874], [0.021, 0.013], 3),
        ([91.2, 87.4], [2.1, 1.3], 1),
        ([912.0], [21.0], 0),
        ([9120.0], [2100.0], 0),
        ([0.9], [0.0996], 2),  # two significant digits are 0.10
        ([0.9, 0.8, 0.7], [0.0, 0.0, 0.02], 3),  # a zero says nothing about digits
        ([0.9], [1e-9], 6),
        ([0.9], [math.nan], 1),
        ([0.9], [0.0], 1),
    ],
)
def test_the_median_spread_shows_two_significant_digits(centers, spreads, expected):
    assert decimals(centers, spreads) == expected


@pytest.mark.parametrize(
    ("centers", "expected"),
    [
        ([0.9123, 0.8746], 3),
        ([0.9123, 0.9121], 4),
        ([0.91234, 0.91231], 3),  # a fifth digit would be needed, and is not shown
        ([0.5, 0.25], 2),
        ([1.0, 2.0, 3.0], 0),
        ([93.25, 91.31], 1),
        ([12345.6, 12345.7], 0),
        ([0.0, 0.0], 0),
        ([math.nan, math.inf, 0.25], 2),
        ([], 0),
    ],
)
def test_centers_without_spreads_show_at_most_four_digits(centers, expected):
    assert decimals(centers) == expected


@settings(deadline=None)
@given(st.lists(FLOATS), st.lists(FLOATS.map(abs)))
def test_decimals_are_0_to_6(centers, spreads):
    assert 0 <= decimals(centers, spreads) <= 6


@settings(deadline=None)
@given(FLOATS, st.integers(0, 8))
def test_fixed_rounds_as_format_does_without_a_negative_zero(value, places):
    text = fixed(value, places)
    assert float(text) == float(format(value, f".{places}f"))
    assert not (text.startswith("-") and float(text) == 0)
    assert len(text.partition(".")[2]) == places


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.125, 2, "0.12"),
        (0.375, 2, "0.38"),
        (-0.001, 2, "0.00"),
        (-0.0, 0, "0"),
        (-0.4, 0, "0"),
        (-0.006, 2, "-0.01"),
        (-10.0, 0, "-10"),
        (math.inf, 2, "inf"),
        (-math.inf, 2, "-inf"),
        (math.nan, 2, "nan"),
    ],
)
def test_fixed_notation_of_special_numbers(value, places, text):
    assert fixed(value, places) == text


@pytest.mark.parametrize(
    ("centers", "spreads", "center", "spread"),
    [
        ([1.234e-5], [4.5e-7], "1.234e-05", "4.5e-07"),
        ([1.5e6, 0.5], [2e5, 0.1], "1.5e+06", "2.0e+05"),
        ([1.25e7], [], "1.25e+07", MISSING),
        ([math.inf, 2.5e-6], [math.nan, 1e-6], "inf", MISSING),
        ([0.0, 3e-5], [0.0, 1e-5], "0", "0"),
    ],
)
def test_very_large_and_very_small_columns_are_scientific(centers, spreads, center, spread):
    found = column_format(centers, spreads)
    assert found.is_scientific
    assert found.text(centers[0]) == center
    assert found.spread_text(spreads[0] if spreads else math.nan) == spread


@pytest.mark.parametrize("centers", [[999_999.0], [1e-4], [1e-5, 0.5], [0.0], [math.inf], [math.nan], []])
def test_other_columns_are_fixed(centers):
    assert not column_format(centers).is_scientific


def test_a_number_of_digits_that_was_asked_for_is_kept():
    assert column_format([0.912], [0.021], digits=1) == NumberFormat(1)
    assert column_format([2_000_000.0], digits=1).text(2_000_000.0) == "2000000.0"


def test_a_spread_that_does_not_exist_is_a_dash():
    assert column_format([0.9], [math.nan]).spread_text(math.nan) == "—"


@settings(deadline=None)
@given(st.floats(-1e300, 1e300).filter(bool), st.integers(1, 6))
def test_scientific_text_is_near_the_number(value, places):
    assert float(scientific(value, places)) == pytest.approx(value, rel=0.5 * 10.0**-places * 1.001, abs=5e-323)


@pytest.mark.parametrize(
    ("p", "text"), [(0.03125, "p = 0.031"), (0.0004, "p < 0.001"), (0.0, "p < 0.001"), (1.0, "p = 1.000")]
)
def test_p_values_never_read_as_zero(p, text):
    assert p_text(p) == text
