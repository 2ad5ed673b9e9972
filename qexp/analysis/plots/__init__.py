"""Plots of a study: matplotlib figures of experiments or series, with a caption that explains them."""

from qexp.analysis.plots.request import KINDS, LOGS, STYLES, PlotRequest, names_of

__all__ = ["KINDS", "LOGS", "STYLES", "PlotRequest", "names_of"]
