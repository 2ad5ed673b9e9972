"""Statistics of few replicates: pure functions over numpy arrays, for tables, comparisons and reports."""

from qexp.analysis.statistics.corrections import adjust
from qexp.analysis.statistics.descriptive import describe
from qexp.analysis.statistics.digits import MISSING, NumberFormat, column_format, p_text
from qexp.analysis.statistics.minimum_pairs import least_n, least_p
from qexp.analysis.statistics.paired import PairedComparison, compare, paired_p
from qexp.analysis.statistics.ranks import average_ranks, critical_difference, friedman, indistinguishable
from qexp.analysis.statistics.statistic_names import (
    Correction,
    PairedTest,
    Statistic,
    correction_of,
    paired_test_of,
    statistic_of,
)
from qexp.analysis.statistics.tied_with_best import tied_with_best

__all__ = [
    "MISSING",
    "Correction",
    "NumberFormat",
    "PairedComparison",
    "PairedTest",
    "Statistic",
    "adjust",
    "average_ranks",
    "column_format",
    "compare",
    "correction_of",
    "critical_difference",
    "describe",
    "friedman",
    "indistinguishable",
    "least_n",
    "least_p",
    "p_text",
    "paired_p",
    "paired_test_of",
    "statistic_of",
    "tied_with_best",
]
