"""Comparison of two methods on the same replicates: difference, interval, wins, effect size and p."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.float_noise import Floats, without_noise
from qexp.analysis.statistics.minimum_pairs import can_reach, least_n, least_p
from qexp.analysis.statistics.paired_tests import p_values, standard_deviation
from qexp.analysis.statistics.ranks import average_rank
from qexp.analysis.statistics.scipy_distributions import t_quantile
from qexp.analysis.statistics.statistic_names import Correction, PairedTest, correction_of, paired_test_of


@dataclass(frozen=True)
class PairedComparison:
    """A paired comparison of a with b. Every difference is a - b."""

    test: PairedTest
    n: int
    """Pairs."""
    difference: float
    """The mean difference."""
    low: float
    high: float
    """The 95 % interval of the mean difference; NaN below two pairs."""
    wins: int
    """Pairs in which a is better."""
    ties: int
    losses: int
    cohens_dz: float
    """Mean difference / standard deviation of the differences (Cohen 1988); infinite if all differ equally."""
    rank_biserial: float
    """Matched-pairs rank-biserial correlation (Kerby 2014): 1 if a is larger in all pairs that differ, -1 if b is."""
    p: float | None
    """The two-sided p before any correction; None if there is no test, and *reason* says why."""
    needed_n: int | None = None
    """The pairs that the test needs to reach alpha, if n pairs cannot reach it."""
    reason: str = ""


@dataclass(frozen=True)
class PairedP:
    """The mean of the differences a - b, and the p of a paired test."""

    difference: float
    p: float | None
    """The two-sided p before any correction; None if there is no test, and *reason* says why."""
    needed_n: int | None = None
    """The pairs that the test needs to reach alpha, if n pairs cannot reach it."""
    reason: str = ""


def paired_p(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    test: str = PairedTest.WILCOXON,
    *,
    alpha: float = 0.05,
    comparisons: int = 1,
    correction: str = Correction.HOLM,
) -> PairedP:
    """Test two methods as `compare` does, without an interval: only the t-test needs scipy."""
    differences = paired_differences(a, b)
    if reason := _why_unusable(differences):
        return PairedP(math.nan, None, None, reason)
    return PairedP(_mean(differences), *_tested(differences, paired_test_of(test), alpha, comparisons, correction))


def compare(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    test: str = PairedTest.WILCOXON,
    *,
    maximize: bool = True,
    alpha: float = 0.05,
    comparisons: int = 1,
    correction: str = Correction.HOLM,
) -> PairedComparison:
    """
    Compare two methods on the same n replicates, in the same order. Needs scipy for the interval.

    Differences are rounded to 13 significant digits of the values, so that 0.3 - 0.2 ties with 0.2 - 0.1.
    There is no p if n pairs cannot reach *alpha* with this many *comparisons*. There is none either if a value is NaN
    or infinite, or if a t-test has equal differences. If all differences are zero, p is 1.
    The interval is Student's (1908).
    """
    chosen = paired_test_of(test)
    differences = paired_differences(a, b)
    n = differences.size
    if reason := _why_unusable(differences):
        nan = math.nan
        return PairedComparison(chosen, n, nan, nan, nan, 0, 0, 0, nan, nan, None, None, reason)
    low, high = _t_interval(differences)
    better = differences if maximize else -differences
    p, needed, reason = _tested(differences, chosen, alpha, comparisons, correction)
    return PairedComparison(
        test=chosen,
        n=n,
        difference=_mean(differences),
        low=low,
        high=high,
        wins=int((better > 0).sum()),
        ties=int((better == 0).sum()),
        losses=int((better < 0).sum()),
        cohens_dz=_cohens_dz(differences),
        rank_biserial=_rank_biserial(differences),
        p=p,
        needed_n=needed,
        reason=reason,
    )


def paired_differences(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return a - b along the last axis without binary rounding noise. Raises ValueError if the lengths differ."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape[-1:] != second.shape[-1:]:
        raise ValueError(f"pairs: found {first.shape[-1:]} and {second.shape[-1:]} replicates, expected equal numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        return without_noise(first - second, np.maximum(np.abs(first), np.abs(second)))


def too_few(test: PairedTest, n: int, alpha: float, comparisons: int, correction: str) -> tuple[int | None, str]:
    """Return how many pairs the test needs and a sentence about it; (None, "") if n pairs are enough."""
    if can_reach(test, n, alpha, comparisons, correction):
        return None, ""
    needed = least_n(test, alpha, comparisons, correction)
    if n < 2:
        return needed, f"the {test.label} has no p with n = {n}; n = {needed} is the least that it needs"
    bound = f"{alpha:g} / {comparisons}" if comparisons > 1 and correction_of(correction) is Correction.HOLM else alpha
    return needed, (
        f"with n = {n} no p of the {test.label} is below {bound}, the smallest is {least_p(test, n):.3g}; "
        f"n = {needed} is the least that allows one"
    )


def _tested(
    differences: Floats, test: PairedTest, alpha: float, comparisons: int, correction: str
) -> tuple[float | None, int | None, str]:
    needed, reason = too_few(test, differences.size, alpha, comparisons, correction)
    if needed is not None:
        return None, needed, reason
    p = float(p_values(differences[None, :], test)[0])
    if math.isnan(p):
        return None, None, "all differences are equal, so the paired t-test is undefined"
    return p, None, ""


def _why_unusable(differences: Floats) -> str:
    """Return why differences have no figures; empty if they have some."""
    if not differences.size:
        return "there is no pair"
    return "" if np.isfinite(differences).all() else "a value is NaN or infinite"


def _mean(differences: Floats) -> float:
    return float(differences[0]) if (differences == differences[0]).all() else float(differences.mean())


def _t_interval(differences: Floats) -> tuple[float, float]:
    n = differences.size
    if n < 2:
        return math.nan, math.nan
    half = t_quantile(0.975, n - 1) * standard_deviation(differences) / math.sqrt(n)
    return _mean(differences) - half, _mean(differences) + half


def _cohens_dz(differences: Floats) -> float:
    if differences.size < 2:
        return math.nan
    mean, spread = _mean(differences), standard_deviation(differences)
    if spread == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / spread


def _rank_biserial(differences: Floats) -> float:
    nonzero = differences[differences != 0]
    if not nonzero.size:
        return 0.0
    ranks = average_rank(np.abs(nonzero))
    return float((ranks * np.sign(nonzero)).sum() / ranks.sum())
