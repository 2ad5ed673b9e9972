"""The report of a study: one page of HTML without network access and scripts."""

from qexp.analysis.report.gathering import Report, ReportOptions, gather

__all__ = ["Report", "ReportOptions", "gather"]
