"""Paired comparisons of methods, or of studies."""

from qexp.analysis.compare.model import Comparison, Pair, Ranks

__all__ = ["Comparison", "Pair", "Ranks"]
