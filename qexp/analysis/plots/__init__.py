"""Pictures of a study: experiments or series become a matplotlib figure, with a line that says what it stands for."""

from qexp.analysis.plots.request import KINDS, LOGS, STYLES, PlotRequest, names_of

__all__ = ["KINDS", "LOGS", "STYLES", "PlotRequest", "names_of"]
