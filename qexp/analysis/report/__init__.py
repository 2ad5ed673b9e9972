"""The report of a study: one page of HTML that needs no network and no script."""

from qexp.analysis.report.data import Options, Report, gather

__all__ = ["Options", "Report", "gather"]
