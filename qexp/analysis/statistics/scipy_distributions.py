"""Distributions of scipy, imported at the first call: descriptions and exact tests work without scipy."""

from __future__ import annotations

import importlib
from typing import Any

from qexp.errors import MissingLibraryError


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution with *freedom* degrees of freedom."""
    return float(_scipy("special", "a t quantile").stdtrit(freedom, probability))


def t_two_sided(statistic: float, freedom: int) -> float:
    """Return the two-sided p of a t statistic."""
    return float(2 * _scipy("special", "the t-test").stdtr(freedom, -abs(statistic)))


def chi2_tail(statistic: float, freedom: int) -> float:
    """Return the probability of a larger chi-square statistic."""
    return float(_scipy("special", "the Friedman test").chdtrc(freedom, statistic))


def studentized_range() -> Any:
    """Return scipy's distribution of the studentized range."""
    return _scipy("stats", "the Nemenyi test").studentized_range


def _scipy(module: str, purpose: str) -> Any:
    try:
        return importlib.import_module(f"scipy.{module}")
    except ImportError as error:
        raise MissingLibraryError(purpose, "scipy") from error
