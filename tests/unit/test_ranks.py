"""Ranks, the Friedman test and the critical difference equal those of scipy, scikit-posthocs and autorank."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qexp.analysis.statistics import average_ranks, critical_difference, friedman, indistinguishable
from qexp.analysis.statistics.ranks import average_rank, block_ranks
from qexp.errors import StatisticsError

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")

SCORES = st.integers(0, 20).map(lambda whole: whole / 20) | st.floats(0, 1)


@st.composite
def tables(draw):
    """Draw scores (blocks, methods), often with ties."""
    blocks, methods = draw(st.integers(2, 12)), draw(st.integers(3, 6))
    row = st.lists(SCORES, min_size=methods, max_size=methods)
    return np.array(draw(st.lists(row, min_size=blocks, max_size=blocks)))


def rounded(scores):
    """Round, so that two libraries see the same ties."""
    return np.round(scores, 6)


@settings(deadline=None)
@given(st.lists(SCORES, min_size=1, max_size=30))
def test_ranks_share_their_mean_as_in_scipy(values):
    np.testing.assert_array_equal(average_rank(np.array(values)), stats.rankdata(values))


@settings(deadline=None)
@given(tables(), st.booleans())
def test_average_ranks_equal_those_of_pandas(scores, maximize):
    expected = pd.DataFrame(rounded(scores)).rank(axis=1, ascending=not maximize).mean()
    assert average_ranks(rounded(scores), maximize=maximize) == pytest.approx(expected.to_numpy())


@settings(deadline=None)
@given(tables())
def test_the_friedman_test_equals_that_of_scipy(scores):
    scores = rounded(scores)
    assume(any(len(set(row)) > 1 for row in scores))
    expected, found = stats.friedmanchisquare(*scores.T), friedman(scores)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)


@settings(deadline=None, max_examples=10)
@given(st.integers(3, 8), st.integers(5, 30), st.integers(0, 1000))
def test_average_ranks_and_critical_difference_equal_those_of_autorank(methods, blocks, seed):
    autorank = pytest.importorskip("autorank", reason="autorank (extra oracles) is not installed")
    # Given scores in three clusters
    generator = np.random.default_rng(seed)
    scores = generator.choice([0.01, 0.5, 0.99], (blocks, methods)) + generator.random((blocks, methods)) / 100
    columns = [f"m{place}" for place in range(methods)]
    # When both rank them
    expected = autorank.autorank(pd.DataFrame(scores, columns=columns), verbose=False, force_mode="nonparametric")
    # Then ranks, p and critical difference agree
    theirs = expected.rankdf.loc[columns, "meanrank"].to_numpy()
    assert average_ranks(scores) == pytest.approx(theirs)
    assert friedman(scores).p == pytest.approx(expected.pvalue)
    assert critical_difference(methods, blocks) == pytest.approx(expected.cd, rel=1e-3)


@pytest.mark.parametrize(("methods", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_published_quantile(methods, q):
    # Table 5 of Demšar (2006), alpha = 0.05
    found = critical_difference(methods, 14)
    assert found == pytest.approx(q * math.sqrt(methods * (methods + 1) / (6 * 14)), abs=0.002)


def test_a_pair_at_the_critical_difference_has_p_alpha():
    blocks, methods = 12, 4
    difference = critical_difference(methods, blocks, alpha=0.1)
    error = math.sqrt(methods * (methods + 1) / (6 * blocks))
    assert stats.studentized_range.sf(difference / error * math.sqrt(2), methods, np.inf) == pytest.approx(0.1)


def test_methods_that_always_tie_have_p_1():
    found = friedman(np.full((4, 3), 0.5))
    assert (found.blocks, found.methods, found.statistic, found.p) == (4, 3, 0.0, 1.0)


def test_scores_that_differ_by_rounding_tie():
    assert block_ranks([[0.1 + 0.2, 0.3, 0.1]]).tolist() == [[1.5, 1.5, 3.0]]


def test_small_scores_beside_large_ones_keep_their_ranks():
    assert block_ranks([[1e10, 2e-5, 1e-5]]).tolist() == [[1.0, 2.0, 3.0]]


def test_a_nan_is_not_ranked_and_makes_the_averages_nan():
    scores = np.array([[0.9, np.nan, 0.7], [0.9, 0.8, 0.7]])
    assert np.isnan(average_ranks(scores)).all()
    assert np.isnan(friedman(scores).p)
    assert block_ranks(scores)[1].tolist() == [1.0, 2.0, 3.0]


def test_too_few_methods_or_blocks_are_refused():
    with pytest.raises(StatisticsError, match="found 2 methods, expected three or more"):
        friedman(np.zeros((5, 2)))
    with pytest.raises(StatisticsError, match="found 1 blocks such as datasets, expected two or more"):
        friedman(np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("ranks", "difference", "groups"),
    [
        ([1.2, 3.0, 1.9, 2.6], 1.0, [(0, 2), (2, 3), (3, 1)]),
        ([1.0, 2.0, 3.0], 5.0, [(0, 1, 2)]),
        ([1.0, 2.0, 3.0], 1.0, []),  # ranks that are exactly the critical difference apart differ
        ([2.0, 2.0, 2.0], 0.5, [(0, 1, 2)]),
        ([1.0, 1.5, 2.0, 4.0], 1.1, [(0, 1, 2)]),
    ],
)
def test_groups_hold_the_methods_that_are_not_told_apart(ranks, difference, groups):
    assert indistinguishable(ranks, difference) == groups
