"""Two-sided p-values of finite paired differences; each test needs a difference that is not zero."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from qexp.analysis.statistics.float_noise import Floats
from qexp.analysis.statistics.ranks import average_rank
from qexp.analysis.statistics.scipy_distributions import t_two_sided
from qexp.analysis.statistics.statistic_names import PairedTest

EXACT_RANKS = 50
"""Up to this many differences, the rank test uses every combination of signs; above, the normal approximation."""
EXACT_FLIPS = 20
"""Up to this many differences, the permutation test uses every combination of signs; above, RANDOM_FLIPS of them."""
RANDOM_FLIPS = 100_000
SEED = 0
GROUP = 8


def p_values(differences: Floats, test: PairedTest) -> Floats:
    """
    Return the p of each row of differences, shape (rows, n).

    A row of zeros has p = 1; a t-test that is undefined has p = NaN.
    """
    found = np.ones(len(differences))
    for row in np.flatnonzero(differences.any(axis=-1)):
        found[row] = _TESTS[test](differences[row])
    return found


def wilcoxon(differences: Floats) -> float:
    """
    Test with signed ranks (Wilcoxon 1945), as scipy's and R's tests do by default: zero differences are left out.

    Up to 50 differences the p-value is exact, also with ties: it counts all combinations of signs of the ranks.
    Above 50 it is the normal approximation with correction for ties and without continuity correction.
    """
    nonzero = differences[differences != 0]
    ranks = average_rank(np.abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    if nonzero.size > EXACT_RANKS:
        return _normal_p(ranks, positive)
    doubled = np.sort(np.rint(2 * ranks).astype(int))
    lower = int(min(2 * positive, doubled.sum() - 2 * positive))
    return min(1.0, 2 * float(_rank_sum_distribution(tuple(doubled.tolist()))[lower]))


@lru_cache(maxsize=256)
def _rank_sum_distribution(doubled: tuple[int, ...]) -> Floats:
    """Return P(sum ≤ s) for s = 0, 1, …: the sum has each of the doubled ranks with probability 1/2."""
    chances = np.zeros(sum(doubled) + 1)
    chances[0] = 1.0
    for rank in doubled:
        with_rank = np.zeros_like(chances)
        with_rank[rank:] = chances[:-rank]
        chances = (chances + with_rank) / 2
    return np.cumsum(chances)


def _normal_p(ranks: Floats, positive: float) -> float:
    n = ranks.size
    ties = np.unique(ranks, return_counts=True)[1].astype(float)
    variance = (n * (n + 1) * (2 * n + 1) - (ties**3 - ties).sum() / 2) / 24
    z = (positive - n * (n + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


def permutation(differences: Floats) -> float:
    """
    Test the mean difference with sign flips (Fisher 1935): the share of flips whose mean is as far from zero.

    Up to 20 differences all flips are counted. Above 20 it draws 100,000 random flips with a fixed seed. The observed
    signs count as one more flip (Phipson and Smyth 2010), so p is never below 1 / 100,001.
    """
    scaled = differences / np.abs(differences).max()
    bound = abs(float(scaled.sum())) - 64 * np.finfo(float).eps * float(np.abs(scaled).sum())
    if scaled.size <= EXACT_FLIPS:
        return float(np.mean(np.abs(_all_flipped_sums(scaled)) >= bound))
    return (1 + _count_random_flips(scaled, bound)) / (1 + RANDOM_FLIPS)


def _all_flipped_sums(differences: Floats) -> Floats:
    """Return the sum for each of the 2ⁿ combinations of signs."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate((sums + difference, sums - difference))
    return sums


def _count_random_flips(differences: Floats, bound: float) -> int:
    """Draw the signs of GROUP differences at a time: one random number chooses one of all their flipped sums."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    flipped = np.zeros(RANDOM_FLIPS)
    for group in np.split(differences, range(GROUP, differences.size, GROUP)):
        sums = _all_flipped_sums(group)
        flipped += sums[generator.integers(0, sums.size, size=RANDOM_FLIPS)]
    return int(np.count_nonzero(np.abs(flipped) >= bound))


def ttest(differences: Floats) -> float:
    """Test the mean difference with Student's t (Student 1908); NaN if all differences are equal. Needs scipy."""
    spread = standard_deviation(differences)
    if spread == 0:
        return math.nan
    statistic = float(differences.mean()) / spread * math.sqrt(differences.size)
    return t_two_sided(statistic, differences.size - 1)


def standard_deviation(differences: Floats) -> float:
    """Return the sample standard deviation (n - 1), exactly 0 for equal differences, also of tiny and huge ones."""
    scale = float(np.abs(differences).max())
    if scale == 0 or (differences == differences[0]).all():
        return 0.0
    return scale * float((differences / scale).std(ddof=1))


_TESTS = {PairedTest.WILCOXON: wilcoxon, PairedTest.PERMUTATION: permutation, PairedTest.TTEST: ttest}
