"""Paired tests equal scipy and a count of all signs; few pairs have no p-value."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qexp.analysis.statistics import (
    Correction,
    PairedTest,
    compare,
    least_n,
    least_p,
    paired_p,
    paired_test_of,
    tied_with_best,
)
from qexp.analysis.statistics.paired_tests import permutation, ttest, wilcoxon
from qexp.errors import StatisticsError

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

WHOLE = st.integers(-8, 8)
SCALES = st.sampled_from([1e-100, 1e-9, 1.0, 1e12, 1e100])
HIGH_ALPHA = 0.999


def some(numbers, least=2, most=9):
    return st.lists(numbers, min_size=least, max_size=most)


def share_of_signs(sizes, observed, statistic):
    """Return the share of all combinations of signs whose statistic is as extreme as the observed one."""
    combinations = list(itertools.product((-1, 1), repeat=len(sizes)))
    extreme = sum(
        statistic([sign * size for sign, size in zip(signs, sizes, strict=True)]) >= statistic(observed)
        for signs in combinations
    )
    return extreme / len(combinations)


@settings(deadline=None)
@given(some(WHOLE), SCALES)
def test_the_permutation_test_counts_all_signs(differences, scale):
    assume(any(differences))
    expected = share_of_signs(differences, differences, lambda signed: abs(sum(signed)))
    assert permutation(np.array(differences) * scale) == expected


@settings(deadline=None)
@given(some(st.integers(-(10**6), 10**6), most=8))
def test_the_permutation_test_counts_ties_of_decimal_numbers(millionths):
    assume(any(millionths))
    expected = share_of_signs(millionths, millionths, lambda signed: abs(sum(signed)))
    assert permutation(np.array(millionths) / 1e6) == expected


@settings(deadline=None, max_examples=30)
@given(some(WHOLE, most=10))
def test_the_permutation_test_equals_that_of_scipy(differences):
    assume(any(differences))
    expected = stats.permutation_test(
        (np.array(differences, dtype=float),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert permutation(np.array(differences, dtype=float)) == pytest.approx(expected.pvalue)


def test_many_pairs_are_flipped_at_random_and_repeat_exactly():
    # Given 30 pairs whose exact p is near that of the t-test
    differences = np.random.default_rng(1).normal(0.4, 1, 30)
    # When the test runs twice
    first, second = permutation(differences), permutation(differences)
    # Then both agree, and are near the t-test
    assert first == second
    assert first == pytest.approx(ttest(differences), abs=0.01)


def test_random_flips_count_as_often_as_all_flips(monkeypatch):
    differences = np.random.default_rng(5).normal(0.3, 1, 18)
    exact = permutation(differences)
    monkeypatch.setattr("qexp.analysis.statistics.paired_tests.EXACT_FLIPS", 0)
    error = math.sqrt(exact * (1 - exact) / 100_000)
    assert permutation(differences) == pytest.approx(exact, abs=4 * error)


def test_random_flips_are_never_certain():
    assert permutation(np.ones(40)) == 1 / 100_001


@settings(deadline=None)
@given(st.sets(st.integers(1, 1000), min_size=2, max_size=50), st.randoms(), SCALES)
def test_wilcoxon_without_ties_equals_the_exact_test_of_scipy(sizes, random, scale):
    differences = np.array([size * random.choice((-1, 1)) for size in sizes]) * scale
    assert wilcoxon(differences) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


@settings(deadline=None)
@given(some(WHOLE))
def test_wilcoxon_with_ties_and_zeros_counts_all_signs(differences):
    nonzero = np.array([value for value in differences if value], dtype=float)
    assume(nonzero.size)
    ranks = stats.rankdata(np.abs(nonzero)) * np.sign(nonzero)
    expected = share_of_signs(ranks.tolist(), ranks.tolist(), lambda signed: abs(sum(signed)))
    assert wilcoxon(np.array(differences, dtype=float)) == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(some(WHOLE, most=10))
def test_wilcoxon_with_ties_and_zeros_equals_the_permutation_method_of_scipy(differences):
    assume(any(differences))
    values = np.array(differences, dtype=float)
    method = stats.PermutationMethod(n_resamples=np.inf)
    expected = stats.wilcoxon(values, zero_method="wilcox", method=method).pvalue
    assert wilcoxon(values) == pytest.approx(expected)


@settings(deadline=None)
@given(some(WHOLE, least=60, most=120))
def test_wilcoxon_of_many_pairs_equals_the_approximation_of_scipy(differences):
    values = np.array(differences, dtype=float)
    assume(np.count_nonzero(values) > 50)
    expected = stats.wilcoxon(values, zero_method="wilcox", method="approx").pvalue
    assert wilcoxon(values) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)
@given(some(WHOLE, most=30), SCALES)
def test_the_t_test_equals_that_of_scipy(differences, scale):
    assume(len(set(differences)) > 1)
    values = np.array(differences) * scale
    assert ttest(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(some(st.tuples(WHOLE, WHOLE), most=20), st.booleans())
def test_a_comparison_has_the_figures_of_its_definitions(pairs, maximize):
    a, b = (np.array(side, dtype=float) / 8 for side in zip(*pairs, strict=True))
    d, found = a - b, compare(a, b, "ttest", maximize=maximize)
    assert (found.n, found.difference) == (len(pairs), pytest.approx(d.mean()))
    better, worse = int((a > b).sum()), int((a < b).sum())
    assert (found.wins, found.losses) == ((better, worse) if maximize else (worse, better))
    assert found.wins + found.ties + found.losses == found.n
    if len(set(d)) > 1:
        expected = stats.ttest_rel(a, b)
        interval = expected.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p == pytest.approx(expected.pvalue)
        assert found.cohens_dz == pytest.approx(d.mean() / d.std(ddof=1))


@settings(deadline=None)
@given(some(st.tuples(WHOLE, WHOLE), most=12), st.sampled_from(list(PairedTest)))
def test_exchanging_both_sides_changes_signs_only(pairs, test):
    a, b = zip(*pairs, strict=True)
    first, second = compare(a, b, test, alpha=HIGH_ALPHA), compare(b, a, test, alpha=HIGH_ALPHA)
    assert first.p == pytest.approx(second.p)
    assert (first.wins, first.ties, first.losses) == (second.losses, second.ties, second.wins)
    assert first.difference == pytest.approx(-second.difference)
    assert first.rank_biserial == pytest.approx(-second.rank_biserial)
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low))


def test_effect_sizes_are_those_of_a_worked_example():
    found = compare([4, 6, 5, 9], [1, 7, 3, 5], "ttest")  # differences 3, -1, 2, 4 with ranks 3, 1, 2, 4
    assert found.rank_biserial == pytest.approx((9 - 1) / 10)
    assert found.cohens_dz == pytest.approx(2 / math.sqrt(14 / 3))


def test_decimal_results_with_the_same_difference_tie():
    # Given differences that all print as 0.1 but differ in binary
    a, b = [0.3, 0.2, 0.7], [0.2, 0.1, 0.6]
    assert len({x - y for x, y in zip(a, b, strict=True)}) > 1
    # When qexp compares them
    found = compare(a, b, "ttest")
    # Then the differences are equal
    assert (found.difference, found.low, found.high) == (0.1, 0.1, 0.1)
    assert found.cohens_dz == math.inf


def test_results_that_differ_by_rounding_are_ties():
    found = compare([0.1 + 0.2, 0.5], [0.3, 0.4])
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)


@pytest.mark.parametrize(
    ("n", "wilcoxon_p"), [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.125), (5, 0.0625), (6, 0.03125), (8, 0.0078125)]
)
def test_the_smallest_p_is_the_p_of_the_most_extreme_signs(n, wilcoxon_p):
    assert least_p("wilcoxon", n) == least_p("permutation", n) == wilcoxon_p
    assert wilcoxon(np.arange(1.0, n + 1)) == permutation(np.arange(1.0, n + 1)) == wilcoxon_p


def test_the_least_n_is_the_smallest_that_reaches_alpha():
    for test, alpha, comparisons in itertools.product(PairedTest, (0.1, 0.05, 0.01, 1e-6), (1, 2, 10, 1000)):
        n = least_n(test, alpha, comparisons)
        assert least_p(test, n) <= alpha / comparisons
        assert n == 2 or least_p(test, n - 1) > alpha / comparisons


def test_only_holm_asks_for_more_pairs_with_more_comparisons():
    assert [least_n("wilcoxon", comparisons=10, correction=name) for name in Correction] == [9, 6, 6]


def test_the_table_of_the_documentation_has_the_smallest_p():
    page = Path(__file__).parents[2].joinpath("docs/statistics.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| (yes|no) \| (yes|no) \|$", page, re.MULTILINE)
    assert len(rows) == 7
    for n, smallest, alone, of_four in rows:
        assert float(smallest) == pytest.approx(least_p("wilcoxon", int(n)), abs=5.1e-5)
        assert (alone == "yes") == (int(n) >= least_n("wilcoxon"))
        assert (of_four == "yes") == (int(n) >= least_n("wilcoxon", comparisons=4))


@pytest.mark.parametrize("test", [PairedTest.WILCOXON, PairedTest.PERMUTATION])
def test_too_few_pairs_have_no_p_and_say_how_many_it_takes(test):
    found = compare([5, 6, 7, 8, 9], [1, 2, 3, 4, 4], test)
    assert (found.p, found.needed_n) == (None, 6)
    assert found.reason == (
        f"with n = 5 no p of the {test.label} is below 0.05, the smallest is 0.0625; n = 6 is the least that allows one"
    )
    assert found.difference == 4.2
    assert compare([5, 6, 7, 8, 9, 1], [1, 2, 3, 4, 4, 0], test).p == 0.03125


def test_more_comparisons_need_more_pairs():
    a, b = [5, 6, 7, 8, 9, 1], [1, 2, 3, 4, 4, 0]
    found = compare(a, b, comparisons=4)
    assert (found.p, found.needed_n) == (None, 8)
    assert found.reason.startswith("with n = 6 no p of the Wilcoxon signed-rank test is below 0.05 / 4, ")
    assert compare(a, b, comparisons=4, correction="fdr").p == 0.03125


@pytest.mark.parametrize("test", list(PairedTest))
def test_one_pair_has_a_difference_and_no_test(test):
    found = compare([0.9], [0.8], test)
    assert (found.n, found.difference, found.p) == (1, 0.1, None)
    assert found.needed_n == least_n(test)
    assert found.reason.startswith(f"the {test.label} has no p with n = 1; n = ")
    assert np.isnan([found.low, found.high, found.cohens_dz]).all()


@pytest.mark.parametrize("test", list(PairedTest))
def test_no_difference_at_all_has_p_1(test):
    found = compare([0.5] * 8, [0.5] * 8, test)
    assert (found.p, found.ties, found.cohens_dz, found.rank_biserial) == (1.0, 8, 0.0, 0.0)


def test_a_t_test_of_equal_differences_is_undefined():
    found = compare([0.9, 0.8], [0.8, 0.7], "ttest")
    assert (found.p, found.needed_n) == (None, None)
    assert found.reason == "all differences are equal, so the paired t-test is undefined"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_has_no_figures(bad, recwarn):
    found = compare([bad, *range(9)], [bad, *range(9)])
    assert (found.p, found.needed_n, found.reason) == (None, None, "a value is NaN or infinite")
    assert math.isnan(found.difference)
    assert not recwarn.list


def test_no_pairs_have_no_figures():
    assert compare([], []).reason == "there is no pair"


def test_sides_of_different_lengths_are_no_pairs():
    with pytest.raises(ValueError, match="expected equal numbers"):
        compare([1, 2, 3], [1, 2])


def test_a_test_has_the_names_that_people_write():
    assert paired_test_of("T-Test") is PairedTest.TTEST
    with pytest.raises(StatisticsError, match=r"test: found 'wilcoxen' \(did you mean 'wilcoxon'\?\), expected one of"):
        compare([1], [2], "wilcoxen")


def rows_of(n, *levels):
    """Return one row per level: each level plus the same noise, so that pairs differ by the levels only."""
    noise, own = np.random.default_rng(3).normal(size=n), np.random.default_rng(4).normal(size=(len(levels), n))
    return np.array([noise + level for level in levels]) + own / 10


@pytest.mark.parametrize("test", list(PairedTest))
def test_rows_that_differ_from_the_best_do_not_tie(test):
    found = tied_with_best(rows_of(12, 0, 5, 5.001, 3), test=test)
    assert found.best.sum() == 1 and found.best[1:3].any()
    assert found.mask.tolist() == [False, True, True, False]
    assert found.reason == ""


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.integers(2, 12), st.data())
def test_ties_follow_from_compare_and_holm(methods, n, data):
    rows = np.array(data.draw(st.lists(some(WHOLE, n, n), min_size=methods, max_size=methods)), dtype=float)
    found = tied_with_best(rows, maximize=False, correction="holm")
    best, others = int(np.argmin(rows.sum(axis=1))), np.flatnonzero(rows.sum(axis=1) > rows.sum(axis=1).min())
    assert found.best.tolist() == (rows.sum(axis=1) == rows[best].sum()).tolist()
    pairs = [compare(rows[best], rows[row], comparisons=len(others)) for row in others]
    if any(pair.p is None for pair in pairs):
        assert found.mask.all() and found.reason == pairs[0].reason
    else:
        order = np.argsort([pair.p for pair in pairs])
        least = 0.0
        for place, index in enumerate(order):
            least = max(least, min(1.0, (len(order) - place) * pairs[index].p))
            assert found.mask[others[index]] == (least > 0.05)


def test_too_few_replicates_tie_all_rows_with_a_note():
    found = tied_with_best(rows_of(3, 0, 50, 100))
    assert found.mask.all()
    assert found.best.tolist() == [False, False, True]
    assert found.reason.endswith("is below 0.05 / 2, the smallest is 0.25; n = 7 is the least that allows one")


def test_rows_with_the_same_mean_are_all_best():
    found = tied_with_best([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.2, 0.2], [0.0, 0.1, 0.2]], test="ttest")
    assert found.best.tolist() == [True, True, True, False]


def test_a_row_with_a_nan_is_never_best_and_never_ties():
    rows = rows_of(12, 0, 5, 9)
    rows[2, 4] = np.nan
    found = tied_with_best(rows)
    assert found.mask.tolist() == [False, True, False]
    assert found.mask[:2].tolist() == tied_with_best(rows[:2]).mask.tolist()


def test_one_row_and_rows_of_nan_need_no_test():
    assert tied_with_best([[0.5, 0.6]]).mask.tolist() == [True]
    assert tied_with_best([[np.nan], [np.nan]]).mask.tolist() == [False, False]
    assert tied_with_best(np.empty((2, 0))).mask.tolist() == [False, False]
    assert tied_with_best([[0.5, np.inf], [0.4, 0.4]]).mask.tolist() == [False, True]


def test_an_undefined_t_test_separates_no_rows():
    assert tied_with_best([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]], test="ttest").mask.all()


def test_the_best_row_is_the_best_by_the_statistic():
    rows = [[0.5, 0.5, 0.5, 0.5], [0.4, 0.4, 0.4, 5.0]]
    assert tied_with_best(rows).best.tolist() == [False, True]
    assert tied_with_best(rows, statistic="median").best.tolist() == [True, False]
    assert tied_with_best(rows, statistic="iqm").best.tolist() == [True, False]


@given(st.integers(0, 12), st.sampled_from(["wilcoxon", "permutation"]), st.integers(1, 8), st.data())
def test_a_single_test_gives_the_p_value_of_a_comparison(n, test, comparisons, data):
    a, b = np.array(data.draw(some(WHOLE, n, n)), float), np.array(data.draw(some(WHOLE, n, n)), float)
    alone, whole = paired_p(a, b, test, comparisons=comparisons), compare(a, b, test, comparisons=comparisons)
    assert (alone.p, alone.needed_n, alone.reason) == (whole.p, whole.needed_n, whole.reason)
    np.testing.assert_array_equal(alone.difference, whole.difference)
