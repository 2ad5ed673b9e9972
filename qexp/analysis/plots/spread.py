"""Replicates become a center and an interval: the one place where pictures compute statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

DEFAULT = "mean±std"
NAMES = {
    "mean±std": "mean ± standard deviation",
    "sem": "mean ± standard error of the mean",
    "ci95": "mean with 95 % confidence interval (t)",
    "median": "median with quartiles",
}


@dataclass(frozen=True)
class Summary:
    """A statistic of several samples: arrays of one entry each. The interval of a mean is NaN if n is 1."""

    n: npt.NDArray[np.int64]
    center: Numbers
    low: Numbers
    high: Numbers


def summary(samples: list[Numbers], statistic: str) -> Summary:
    """Return the statistic of samples, each of at least one finite value."""
    n = np.array([len(values) for values in samples], dtype=np.int64)
    if statistic == "median":
        low, center, high = np.array([np.quantile(values, [0.25, 0.5, 0.75]) for values in samples]).T
        return Summary(n, center, low, high)
    mean = np.array([values.mean() for values in samples])
    deviation = np.array([values.std(ddof=1) if len(values) > 1 else np.nan for values in samples])
    return around_mean(n, mean, deviation, statistic)


def around_mean(n: npt.NDArray[np.int64], mean: Numbers, deviation: Numbers, statistic: str) -> Summary:
    """
    Return the interval around means, from the number of values and their standard deviation (ddof = 1).

    The 95 % interval is mean ± t(0.975, n - 1) · deviation / √n: Student's interval for independent normal values.
    """
    if statistic == "mean±std":
        half = deviation
    else:
        half = deviation / np.sqrt(np.maximum(n, 1))
        if statistic == "ci95":
            half = half * _student(n)
    return Summary(n, mean, mean - half, mean + half)


def _student(n: npt.NDArray[np.int64]) -> Numbers:
    """Return the 97.5 % quantile of Student's t with n - 1 degrees of freedom; NaN where n is 1."""
    from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to import

    degrees = np.where(n > 1, n - 1.0, np.nan)
    quantiles: Numbers = stdtrit(degrees, 0.975)
    return quantiles
