"""The number of pairs that a test needs for a significant result."""

from __future__ import annotations

from qexp.analysis.statistics.statistic_names import Correction, PairedTest, correction_of, paired_test_of


def least_p(test: str, n: int) -> float:
    """
    Return the smallest two-sided p that n pairs can have, whatever their values are.

    Of the 2ⁿ equally likely signs of n differences, two are the most extreme: p ≥ 2 / 2ⁿ for `wilcoxon` and
    `permutation`. `ttest` assumes a normal distribution and has no such bound from n = 2 on.

    >>> least_p("wilcoxon", 5), least_p("wilcoxon", 6)
    (0.0625, 0.03125)
    """
    if paired_test_of(test) is PairedTest.TTEST:
        return 0.0 if n >= 2 else 1.0
    return min(1.0, 2.0 ** (1 - n))


def least_n(test: str, alpha: float = 0.05, comparisons: int = 1, correction: str = Correction.HOLM) -> int:
    """
    Return the number of pairs from which on a difference can be significant at *alpha*.

    With several comparisons, Holm's correction compares the smallest p with alpha / comparisons. Benjamini-Hochberg
    compares it with alpha if all comparisons have the smallest p, so more comparisons need no more pairs.

    >>> least_n("wilcoxon"), least_n("wilcoxon", comparisons=4), least_n("ttest")
    (6, 8, 2)
    """
    threshold = _threshold(alpha, comparisons, correction)
    n = 2
    while least_p(test, n) > threshold:
        n += 1
    return n


def can_reach(test: str, n: int, alpha: float, comparisons: int, correction: str) -> bool:
    """Return whether n pairs can be significant at *alpha* with this many comparisons."""
    return n >= 2 and least_p(test, n) <= _threshold(alpha, comparisons, correction)


def _threshold(alpha: float, comparisons: int, correction: str) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: found {alpha}, expected a number between 0 and 1")
    return alpha / max(comparisons, 1) if correction_of(correction) is Correction.HOLM else alpha
