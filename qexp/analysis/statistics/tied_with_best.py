"""Find the methods that a paired test cannot tell from the best one, for `--bold tied`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.corrections import adjust
from qexp.analysis.statistics.descriptive import describe
from qexp.analysis.statistics.float_noise import Floats
from qexp.analysis.statistics.paired import paired_differences, too_few
from qexp.analysis.statistics.paired_tests import p_values
from qexp.analysis.statistics.statistic_names import Correction, PairedTest, Statistic, paired_test_of

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tied:
    """The rows that tie with the best one."""

    mask: Bools
    """True for the best row, and for each row that the test cannot tell from it."""
    best: Bools
    """True for the row with the best center; several rows if their centers are equal."""
    reason: str = ""


def tied_with_best(
    rows: npt.ArrayLike,
    *,
    maximize: bool = True,
    test: str = PairedTest.WILCOXON,
    alpha: float = 0.05,
    correction: str = Correction.HOLM,
    statistic: str = Statistic.MEAN_STD,
) -> Tied:
    """
    Compare each of m rows of n paired replicates with the best row; *rows* has the shape (m, n).

    The best row has the best center of the *statistic*, such as the median.

    A row ties if its corrected p is above *alpha*, or if the test is undefined. If n is too small to reach *alpha*,
    every row ties, and *reason* tells it. A row with NaN or infinite values neither is best nor ties,
    and does not count as a comparison. "Tied" means "not told apart": more replicates can separate the rows.
    """
    values = np.asarray(rows, dtype=np.float64)
    chosen = paired_test_of(test)
    usable = np.isfinite(values).all(axis=-1) & (values.shape[-1] > 0)
    best = best_rows(values, maximize=maximize, statistic=statistic) & usable
    others = np.flatnonzero(usable & ~best)
    if not others.size:
        return Tied(best, best)
    needed, reason = too_few(chosen, values.shape[-1], alpha, others.size, correction)
    if needed is not None:
        return Tied(usable, best, reason)
    adjusted = _against_best(values, best, others, chosen, correction)
    return Tied(usable & ~(adjusted <= alpha), best)


def best_rows(values: Floats, *, maximize: bool = True, statistic: str = Statistic.MEAN_STD) -> Bools:
    """
    Return which rows have the best center; several if their centers agree in 13 significant digits of the values.

    Rows with a NaN or infinite center are never best.
    """
    centers = describe(values, statistic).center * (1 if maximize else -1)
    finite = np.isfinite(centers)
    if not finite.any():
        return finite
    first = int(np.argmax(np.where(finite, centers, -np.inf)))
    sizes = np.abs(values).max(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(finite & (centers[first] - centers <= 1e-13 * np.maximum(sizes, sizes[first])))


def _against_best(
    values: Floats, best: Bools, others: npt.NDArray[np.intp], test: PairedTest, correction: str
) -> Floats:
    found = np.full(len(values), np.nan)
    differences = paired_differences(values[int(np.argmax(best))], values[others])
    found[others] = p_values(differences, test)
    return adjust(found, correction)
