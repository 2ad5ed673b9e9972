"""The report of a study: one page of HTML without network access and scripts."""

from qexp.analysis.report.gathering import Options, Report, gather

__all__ = ["Options", "Report", "gather"]
