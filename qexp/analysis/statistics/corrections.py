"""Corrections of p-values for several comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qexp.analysis.statistics.float_noise import Floats
from qexp.analysis.statistics.statistic_names import Correction, correction_of


def adjust(pvalues: Sequence[float | None] | Floats, method: str = Correction.HOLM) -> Floats:
    """
    Return adjusted p-values of at most 1, to compare with alpha itself.

    None becomes NaN. NaN stays NaN and is no comparison. The order of the values is kept.
    `holm` bounds the chance of any false finding (Holm 1979). `fdr` bounds the expected share of false
    findings (Benjamini and Hochberg 1995).

    >>> adjust([0.01, 0.04, None], "holm").tolist()
    [0.02, 0.04, nan]
    """
    adjusted = np.array([np.nan if p is None else p for p in pvalues], dtype=np.float64)
    family = np.flatnonzero(~np.isnan(adjusted))
    family = family[np.argsort(adjusted[family], kind="stable")]
    ascending = adjusted[family]
    if ascending.size and not (ascending[0] >= 0 and ascending[-1] <= 1):
        raise ValueError(f"p-values: found {ascending[0]} to {ascending[-1]}, expected 0 to 1")
    adjusted[family] = _ADJUSTED[correction_of(method)](ascending)
    return adjusted


def _holm(ascending: Floats) -> Floats:
    factors = np.arange(ascending.size, 0, -1)
    return np.minimum(np.maximum.accumulate(ascending * factors), 1.0)


def _benjamini_hochberg(ascending: Floats) -> Floats:
    scaled = ascending * (ascending.size / np.arange(1, ascending.size + 1))  # factors of 1 or more: never below p
    return np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)


def _unchanged(ascending: Floats) -> Floats:
    return ascending


_ADJUSTED = {Correction.HOLM: _holm, Correction.FDR: _benjamini_hochberg, Correction.NONE: _unchanged}
