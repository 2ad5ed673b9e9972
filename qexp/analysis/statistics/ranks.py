"""Ranks of three or more methods over blocks such as datasets, and the tests on them (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.float_noise import Floats, without_noise
from qexp.analysis.statistics.scipy_distributions import chi2_tail, studentized_range
from qexp.errors import StatisticsError


@dataclass(frozen=True)
class Friedman:
    """The Friedman test: do the average ranks of the methods differ by more than chance?"""

    blocks: int
    methods: int
    statistic: float
    """Chi-square with methods - 1 degrees of freedom, corrected for ties."""
    p: float


def average_rank(values: Floats) -> Floats:
    """Return the rank of each value, the smallest 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[inverse])


def block_ranks(scores: npt.ArrayLike, *, maximize: bool = True) -> Floats:
    """
    Return the rank of each method in each block, the best 1; *scores* has the shape (blocks, methods).

    Scores that agree in 13 significant digits tie. A block with a NaN has NaN ranks.
    """
    values = np.asarray(scores, dtype=np.float64)
    plain = without_noise(values, np.abs(values)) * (-1 if maximize else 1)
    ranks = [np.full(row.shape, np.nan) if np.isnan(row).any() else average_rank(row) for row in plain]
    return np.array(ranks).reshape(values.shape)


def average_ranks(scores: npt.ArrayLike, *, maximize: bool = True) -> Floats:
    """
    Return the mean rank of each method over all blocks, the best 1; NaN if a score is NaN.

    >>> average_ranks([[0.9, 0.8, 0.8], [0.7, 0.6, 0.5]]).tolist()
    [1.0, 2.25, 2.75]
    """
    return np.asarray(block_ranks(scores, maximize=maximize).mean(axis=0))


def friedman(scores: npt.ArrayLike, *, maximize: bool = True) -> Friedman:
    """
    Test whether all methods are alike (Friedman 1937, with correction for ties). Needs scipy.

    Raises StatisticsError below three methods or two blocks. If all scores of each block tie, p is 1.
    The p is an approximation that is too large for few blocks; from about ten blocks on it is close.
    """
    ranks = block_ranks(scores, maximize=maximize)
    blocks, methods = ranks.shape
    _require_enough(blocks, methods)
    statistic = _friedman_statistic(ranks)
    p = math.nan if math.isnan(statistic) else chi2_tail(statistic, methods - 1)
    return Friedman(blocks, methods, statistic, p)


def _friedman_statistic(ranks: Floats) -> float:
    blocks, methods = ranks.shape
    middle = (methods + 1) / 2
    within = float(((ranks - middle) ** 2).sum())  # smaller the more ties there are
    if within == 0:
        return 0.0
    between = float(((ranks.sum(axis=0) - blocks * middle) ** 2).sum())
    return float((methods - 1) * between / within)


def critical_difference(methods: int, blocks: int, alpha: float = 0.05) -> float:
    """Return how far two average ranks must be apart to differ at *alpha* (Nemenyi 1963). Needs scipy."""
    _require_enough(blocks, methods)
    quantile = float(studentized_range().ppf(1 - alpha, methods, np.inf))
    return quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * blocks))


def indistinguishable(ranks: Sequence[float] | Floats, difference: float) -> list[tuple[int, ...]]:
    """
    Return the groups of methods whose average ranks are less than a critical difference apart: the bars of a diagram.

    Each group holds places of *ranks*, the best first. Groups inside another one and groups of one are left out.

    >>> indistinguishable([1.2, 3.0, 1.9, 2.6], 1.0)
    [(0, 2), (2, 3), (3, 1)]
    """
    order = [int(place) for place in np.argsort(ranks, kind="stable")]
    groups: list[tuple[int, ...]] = []
    for start, best in enumerate(order):
        group = tuple(place for place in order[start:] if ranks[place] - ranks[best] < difference)
        if len(group) > 1 and not (groups and set(group) <= set(groups[-1])):
            groups.append(group)
    return groups


def _require_enough(blocks: int, methods: int) -> None:
    if methods < 3:
        raise StatisticsError(
            f"ranks: found {methods} methods, expected three or more; two methods are compared with a paired test"
        )
    if blocks < 2:
        raise StatisticsError(f"ranks: found {blocks} blocks such as datasets, expected two or more")
