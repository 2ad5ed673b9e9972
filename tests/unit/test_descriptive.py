"""Center and spread of replicates equal those of numpy, pandas and scipy; NaN is never dropped."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexp.analysis.statistics import Statistic, describe, statistic_of
from qexp.analysis.statistics.descriptive import around_mean
from qexp.errors import StatisticsError

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

SCALES = st.sampled_from([1e-100, 1e-9, 1.0, 100.0, 1e12, 1e100])
PLAIN = st.integers(-1000, 1000).map(lambda whole: whole / 1000) | st.floats(-10, 10, allow_subnormal=False)


@st.composite
def cells(draw):
    """Draw an array (cells, n): ties, zeros and constants are likely, magnitudes are tiny to huge."""
    n, scale = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 10, 30])), draw(SCALES)
    row = st.lists(PLAIN, min_size=n, max_size=n) | PLAIN.map(lambda value: [value] * n)
    return np.array(draw(st.lists(row, min_size=1, max_size=4))) * scale


def equal_to(expected, values):
    """Allow for rounding in the size of the values, because a mean of 1 and -1 has no relative precision."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12 * float(np.abs(values).max()), nan_ok=True)


@settings(deadline=None)
@given(cells())
def test_mean_and_std_equal_those_of_pandas(values):
    found, frame = describe(values, "mean±std"), pd.DataFrame(values)
    assert found.center == equal_to(frame.mean(axis=1).to_numpy(), values)
    assert found.spread == equal_to(frame.std(axis=1).to_numpy(), values)


@settings(deadline=None)
@given(cells())
def test_the_standard_error_equals_that_of_pandas(values):
    assert describe(values, "sem").spread == equal_to(pd.DataFrame(values).sem(axis=1).to_numpy(), values)


@settings(deadline=None)
@given(cells())
def test_the_confidence_interval_equals_that_of_scipy(values):
    found = describe(values, "ci95")
    for row, center, low, high in zip(values, found.center, found.low, found.high, strict=True):
        if len(row) == 1:
            assert np.isnan([low, high]).all()
        elif len(set(row)) == 1:
            assert low == center == high
        else:
            expected = stats.ttest_1samp(row, 0).confidence_interval(0.95)
            assert (low, high) == equal_to((expected.low, expected.high), values)


@settings(deadline=None)
@given(cells())
def test_the_interquartile_mean_equals_that_of_scipy(values):
    found = describe(values, "iqm")
    assert found.center == equal_to(stats.trim_mean(values, 0.25, axis=1), values)
    assert np.isnan(found.spread).all()


@settings(deadline=None)
@given(cells())
def test_median_and_quartiles_equal_those_of_numpy(values):
    found = describe(values, "median")
    assert found.center == equal_to(np.median(values, axis=1), values)
    if values.shape[1] > 1:
        assert found.low == equal_to(np.percentile(values, 25, axis=1), values)
        assert found.high == equal_to(np.percentile(values, 75, axis=1), values)


@settings(deadline=None)
@given(cells(), st.sampled_from(list(Statistic)), st.randoms())
def test_the_order_of_replicates_changes_nothing(values, statistic, random):
    order = random.sample(range(values.shape[1]), values.shape[1])
    first, second = describe(values, statistic), describe(values[:, order], statistic)
    for name in ("center", "spread", "low", "high"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(deadline=None)
@given(cells(), st.sampled_from(list(Statistic)))
def test_the_other_cells_change_nothing(values, statistic):
    together = describe(values, statistic)
    for place, row in enumerate(values):
        alone = describe(row, statistic)
        for name in ("center", "spread", "low", "high"):
            np.testing.assert_array_equal(getattr(together, name)[place], getattr(alone, name))


@pytest.mark.parametrize("statistic", list(Statistic))
def test_one_replicate_has_no_spread(statistic):
    found = describe([[0.9], [0.8]], statistic)
    assert found.center.tolist() == [0.9, 0.8]
    assert np.isnan([found.spread, found.low, found.high]).all()


@pytest.mark.parametrize("statistic", [Statistic.MEAN_STD, Statistic.MEAN_SEM, Statistic.MEAN_CI95])
def test_equal_replicates_have_a_spread_of_exactly_zero(statistic):
    # Given a value whose mean over three replicates is not itself in binary fractions
    assert np.mean([0.1, 0.1, 0.1]) != 0.1
    # When it is described
    found = describe([0.1, 0.1, 0.1], statistic)
    # Then neither center nor spread has a rounding error
    assert (found.center, found.spread) == (0.1, 0.0)


@pytest.mark.parametrize("statistic", list(Statistic))
def test_a_nan_makes_its_cell_nan_and_no_other(statistic):
    found = describe([[1.0, np.nan, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 5.0]], statistic)
    assert np.isnan(found.center[0]) and np.isnan(found.spread[0]) and np.isnan(found.low[0])
    assert found.center[1] == 3.0


@pytest.mark.parametrize("statistic", list(Statistic))
def test_infinite_replicates_stay_visible_without_a_warning(statistic, recwarn):
    found = describe([[1.0, np.inf, np.inf, np.inf], [np.inf] * 4], statistic)
    assert found.center.tolist() == [np.inf, np.inf]
    assert not np.isfinite(found.spread).any()
    assert not recwarn.list


@pytest.mark.parametrize("statistic", list(Statistic))
def test_a_cell_without_replicates_is_nan(statistic):
    found = describe(np.empty((2, 0)), statistic)
    assert found.center.shape == (2,) and np.isnan(found.center).all()


def test_every_leading_axis_is_kept():
    assert describe(np.zeros((2, 3, 5))).spread.shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "statistic"),
    [
        ("mean±std", Statistic.MEAN_STD),
        ("Mean +- std", Statistic.MEAN_STD),
        ("mean +/- sd", Statistic.MEAN_STD),
        ("std", Statistic.MEAN_STD),
        ("mean±sem", Statistic.MEAN_SEM),
        ("mean ± 95 % CI", Statistic.MEAN_CI95),
        ("IQM", Statistic.IQM),
        ("median", Statistic.MEDIAN),
    ],
)
def test_a_statistic_has_the_names_that_people_write(text, statistic):
    assert statistic_of(text) is statistic


@pytest.mark.parametrize("statistic", list(Statistic))
def test_the_label_of_a_statistic_is_a_name_of_it(statistic):
    assert statistic_of(statistic.label) is statistic
    assert statistic.explanation


def test_an_unknown_statistic_is_refused_with_the_nearest_name():
    with pytest.raises(StatisticsError) as caught:
        statistic_of("mediam")
    assert str(caught.value) == (
        "statistic: found 'mediam' (did you mean 'median'?), expected one of mean±std, sem, ci95, iqm, median"
    )


@pytest.mark.parametrize("statistic", ["mean±std", "sem", "ci95"])
@given(st.lists(st.lists(PLAIN, min_size=1, max_size=6), min_size=1, max_size=4))
def test_means_and_deviations_alone_give_the_same_description(statistic, cells):
    frame = pd.DataFrame({place: pd.Series(values) for place, values in enumerate(cells)})
    found = around_mean(frame.count().to_numpy(), frame.mean().to_numpy(), frame.std().to_numpy(), statistic)
    for place, values in enumerate(cells):
        expected = describe(values, statistic)
        for name in ("center", "spread", "low", "high"):
            assert getattr(found, name)[place] == equal_to(float(getattr(expected, name)), np.array(values))


@pytest.mark.parametrize("statistic", ["iqm", "median"])
def test_a_median_does_not_follow_from_a_mean(statistic):
    with pytest.raises(StatisticsError, match=f"found '{statistic}' without replicates, expected one around the mean"):
        around_mean(np.array([3]), np.array([1.0]), np.array([0.5]), statistic)


def test_scipy_is_imported_only_by_functions_that_need_it():
    program = (
        "import sys; sys.modules['scipy'] = None\n"
        "from qexp.analysis.statistics import describe, column_format, adjust, paired_p, tied_with_best\n"
        "assert paired_p(range(8), range(1, 9)).p == 2 / 2**8\n"
        "assert tied_with_best([range(8), range(1, 9)]).mask.tolist() == [False, True]\n"
        "for name in ('mean±std', 'sem', 'iqm', 'median'): print(describe([1, 2, 3, 6], name).center)\n"
        "describe([1, 2], 'ci95')\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["3.0", "3.0", "2.5", "2.5"]
    assert "MissingLibraryError: a t quantile needs scipy; install it with pip install 'qexp[analysis]'" in found.stderr
