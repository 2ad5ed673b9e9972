"""Center and spread of the replicates of many cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.float_noise import Floats
from qexp.analysis.statistics.scipy_distributions import t_quantile
from qexp.analysis.statistics.statistic_names import Statistic, statistic_of
from qexp.errors import StatisticsError


@dataclass(frozen=True)
class Description:
    """One statistic of each cell; every array has the shape of the values without their last axis."""

    center: Floats
    """The mean, interquartile mean or median; NaN if the cell has no replicate or one of them is NaN."""
    spread: Floats
    """The number after ±; NaN if the statistic has none or n is 1."""
    low: Floats
    """center - spread, or the first quartile of a median; NaN where there is no spread."""
    high: Floats
    """center + spread, or the third quartile of a median; NaN where there is no spread."""


def describe(values: npt.ArrayLike, statistic: str = Statistic.MEAN_STD) -> Description:
    """
    Summarise the replicates along the last axis: *values* has the shape (..., n).

    NaN is never dropped: a cell with a NaN has the center NaN. One replicate has no spread. Equal replicates have
    the spread 0 and exactly their own value as center. The order of the replicates changes nothing.

    - `mean±std`: sample standard deviation, n - 1 in the denominator
    - `sem`: standard error of the mean, std / √n
    - `ci95`: half the width of the two-sided 95 % t interval of the mean (Student 1908); needs scipy
    - `iqm`: interquartile mean, scipy's trim_mean(0.25) (Agarwal et al. 2021); below n = 4 it is the mean
    - `median`: with the quartiles by linear interpolation, type 7 of Hyndman and Fan (1996)

    >>> describe([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]).spread.tolist()
    [1.0, 0.0]
    """
    chosen = statistic_of(statistic)
    numbers = np.array(values, dtype=np.float64, order="C", ndmin=1)  # numpy's sums depend on the order in memory
    replicates = np.sort(numbers, axis=-1)
    if replicates.shape[-1] == 0:
        return _undefined(np.full(replicates.shape[:-1], np.nan))
    with np.errstate(invalid="ignore", over="ignore"):
        if chosen is Statistic.MEDIAN:
            return _median(replicates)
        if chosen is Statistic.IQM:
            return _undefined(_interquartile_mean(replicates))
        return _mean(replicates, _spread_factor(chosen, replicates.shape[-1]))


def around_mean(
    n: npt.NDArray[np.int64], mean: Floats, deviation: Floats, statistic: str = Statistic.MEAN_STD
) -> Description:
    """
    Describe cells by their n, mean and sample standard deviation, in arrays of one dimension.

    There is no spread if n is 1. Raises StatisticsError for `iqm` and `median`, which need the replicates.

    >>> around_mean(np.array([4, 1]), np.array([2.0, 3.0]), np.array([1.0, np.nan]), "sem").spread.tolist()
    [0.5, nan]
    """
    chosen = statistic_of(statistic)
    if chosen in (Statistic.IQM, Statistic.MEDIAN):
        raise StatisticsError(f"statistic: found {chosen.value!r} without replicates, expected one around the mean")
    counts, places = np.unique(n, return_inverse=True)
    factors = np.array([_spread_factor(chosen, count) for count in counts.tolist()])[places]
    spread = np.where(n > 1, deviation * factors, np.nan)
    return Description(mean, spread, mean - spread, mean + spread)


def _spread_factor(statistic: Statistic, n: int) -> float:
    if statistic is Statistic.MEAN_STD or n == 1:
        return 1.0
    error = 1 / float(np.sqrt(n))
    return error if statistic is Statistic.MEAN_SEM else error * t_quantile(0.975, n - 1)


def _mean(replicates: Floats, factor: float) -> Description:
    center = _unless_equal(replicates, replicates.mean(axis=-1))
    if replicates.shape[-1] == 1:
        return _undefined(center)
    spread = np.where(_are_equal(replicates), 0.0, replicates.std(axis=-1, ddof=1)) * factor
    return Description(center, spread, center - spread, center + spread)


def _median(replicates: Floats) -> Description:
    low, center, high = (_quantile(replicates, share) for share in (0.25, 0.5, 0.75))
    if replicates.shape[-1] == 1:
        return _undefined(center)
    return Description(center, np.full(center.shape, np.nan), low, high)


def _quantile(replicates: Floats, share: float) -> Floats:
    """Interpolate as numpy does by default, and also between two equal infinities."""
    position = (replicates.shape[-1] - 1) * share
    below, above = replicates[..., math.floor(position)], replicates[..., math.ceil(position)]
    between = np.where(below == above, below, below + (above - below) * (position % 1))
    return np.where(_has_nan(replicates), np.nan, between)


def _interquartile_mean(replicates: Floats) -> Floats:
    n = replicates.shape[-1]
    trimmed = replicates[..., n // 4 : n - n // 4].mean(axis=-1)
    return np.where(_has_nan(replicates), np.nan, _unless_equal(replicates, trimmed))


def _has_nan(replicates: Floats) -> npt.NDArray[np.bool_]:
    return np.isnan(replicates[..., -1])  # sorting puts NaN last


def _unless_equal(replicates: Floats, centers: Floats) -> Floats:
    return np.where(_are_equal(replicates), replicates[..., 0], centers)


def _are_equal(replicates: Floats) -> npt.NDArray[np.bool_]:
    lowest, highest = replicates[..., 0], replicates[..., -1]
    return np.asarray(np.isfinite(lowest) & (lowest == highest))


def _undefined(center: Floats) -> Description:
    nothing = np.full(center.shape, np.nan)
    return Description(center, nothing, nothing, nothing)
