"""Summarize the replicates of points, boxes or cells as center and interval, as tables do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.descriptive import Description, around_mean, describe
from qexp.analysis.statistics.statistic_names import Statistic

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """A statistic of several samples: arrays of one entry each; low and high are NaN where there is no spread."""

    n: npt.NDArray[np.int64]
    center: Numbers
    low: Numbers
    high: Numbers


def summary(samples: Sequence[Numbers], statistic: Statistic) -> Summary:
    """Return the statistic of samples, each of at least one finite value."""
    n = np.array([len(values) for values in samples], dtype=np.int64)
    found = np.full((3, len(samples)), np.nan)
    for count in np.unique(n):
        places = np.flatnonzero(n == count)
        part = describe(np.stack([samples[place] for place in places.tolist()]), statistic)
        found[:, places] = part.center, part.low, part.high
    return Summary(n, *found)


def summary_of_rows(rows: Numbers, statistic: Statistic) -> Summary:
    """Return the statistic of samples from rows of `reads.curves`, each of n and the columns that follow it."""
    n = rows[:, 0].astype(np.int64)
    found = _described(n, rows[:, 1:], statistic)
    return Summary(n, found.center, found.low, found.high)


def _described(n: npt.NDArray[np.int64], figures: Numbers, statistic: Statistic) -> Description:
    nothing = np.full(len(n), np.nan)
    if statistic is Statistic.IQM:
        return Description(figures[:, 0], nothing, nothing, nothing)
    if statistic is Statistic.MEDIAN:
        low, center, high = figures.T
        return Description(center, nothing, np.where(n > 1, low, np.nan), np.where(n > 1, high, np.nan))
    return around_mean(n, figures[:, 0], figures[:, 1], statistic)


def in_words(statistic: Statistic, over: str) -> str:
    """Return the definition of a statistic for a caption; *over* is empty or such as ` over seed`."""
    name, _, meaning = statistic.explanation.partition(": ")
    return f"{name}{over} ({meaning})" if meaning else f"{name}{over}"


def line_in_words(statistic: Statistic, over: str) -> str:
    """Return a caption for a line, and for its band if the statistic has a spread."""
    signs = "line" if statistic is Statistic.IQM else "line and band"
    return f"{signs}: {in_words(statistic, over)}"
