"""Plots of a study: matplotlib figures of experiments or series, with a caption that explains them."""

from qexp.analysis.plots.spec import KINDS, LOGS, STYLES, PlotSpec, names_of

__all__ = ["KINDS", "LOGS", "STYLES", "PlotSpec", "names_of"]
