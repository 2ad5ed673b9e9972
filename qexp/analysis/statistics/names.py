"""The names of statistics, tests and corrections, as people write them and as tables print them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from qexp.errors import StatisticsError, nearest


class Statistic(StrEnum):
    """A summary of the replicates of one cell."""

    MEAN_STD = "mean±std"
    MEAN_SEM = "sem"
    MEAN_CI95 = "ci95"
    IQM = "iqm"
    MEDIAN = "median"

    @property
    def label(self) -> str:
        """Return the short name for a header, such as `mean ± std`."""
        return _STATISTICS[self][0]

    @property
    def explanation(self) -> str:
        """Return the definition for a note below a table."""
        return _STATISTICS[self][1]


class PairedTest(StrEnum):
    """A two-sided test of paired replicates."""

    WILCOXON = "wilcoxon"
    PERMUTATION = "permutation"
    TTEST = "ttest"

    @property
    def label(self) -> str:
        """Return the name for a note, such as `paired t-test`."""
        return _TESTS[self]


class Correction(StrEnum):
    """A correction of p-values for several comparisons."""

    HOLM = "holm"
    FDR = "fdr"
    NONE = "none"

    @property
    def label(self) -> str:
        """Return the name for a note, such as `Holm correction`."""
        return _CORRECTIONS[self]


_STATISTICS = {
    Statistic.MEAN_STD: ("mean ± std", "mean ± sample standard deviation (n - 1)"),
    Statistic.MEAN_SEM: ("mean ± sem", "mean ± standard error of the mean"),
    Statistic.MEAN_CI95: ("mean ± 95 % CI", "mean ± half the width of the 95 % t interval of the mean"),
    Statistic.IQM: ("IQM", "interquartile mean: the mean without the lowest and the highest quarter"),
    Statistic.MEDIAN: ("median [quartiles]", "median and quartiles"),
}
_TESTS = {
    PairedTest.WILCOXON: "Wilcoxon signed-rank test",
    PairedTest.PERMUTATION: "sign-flip permutation test of the mean difference",
    PairedTest.TTEST: "paired t-test",
}
_CORRECTIONS = {
    Correction.HOLM: "Holm correction",
    Correction.FDR: "Benjamini-Hochberg correction",
    Correction.NONE: "no correction for several comparisons",
}
_STATISTIC_ALIASES = {
    "std": Statistic.MEAN_STD,
    "sd": Statistic.MEAN_STD,
    "mean±sd": Statistic.MEAN_STD,
    "mean±sem": Statistic.MEAN_SEM,
    "mean±se": Statistic.MEAN_SEM,
    "mean±ci95": Statistic.MEAN_CI95,
    "mean±ci": Statistic.MEAN_CI95,
    "mean±95%ci": Statistic.MEAN_CI95,
    "ci": Statistic.MEAN_CI95,
    "interquartilemean": Statistic.IQM,
    "median[quartiles]": Statistic.MEDIAN,
}
_TEST_ALIASES = {
    "t-test": PairedTest.TTEST,
    "t": PairedTest.TTEST,
    "paired-t": PairedTest.TTEST,
    "signed-rank": PairedTest.WILCOXON,
    "sign-flip": PairedTest.PERMUTATION,
}
_CORRECTION_ALIASES = {
    "bh": Correction.FDR,
    "benjamini-hochberg": Correction.FDR,
    "holm-bonferroni": Correction.HOLM,
}

Choice = TypeVar("Choice", bound=StrEnum)


def statistic_of(text: str) -> Statistic:
    """
    Return the statistic of a name such as `mean±std`, `mean +- std`, `std` or `sem`. Raises StatisticsError if unknown.

    >>> statistic_of("mean +- std").label
    'mean ± std'
    """
    return _choice("statistic", text, Statistic, _STATISTIC_ALIASES)


def paired_test_of(text: str) -> PairedTest:
    """Return the test of a name such as `wilcoxon`, `permutation` or `t-test`. Raises StatisticsError if unknown."""
    return _choice("test", text, PairedTest, _TEST_ALIASES)


def correction_of(text: str) -> Correction:
    """Return the correction of a name such as `holm`, `fdr`, `bh` or `none`. Raises StatisticsError if unknown."""
    return _choice("correction", text, Correction, _CORRECTION_ALIASES)


def _choice(kind: str, text: str, choices: type[Choice], aliases: Mapping[str, Choice]) -> Choice:
    known = {choice.value: choice for choice in choices} | dict(aliases)
    plain = "".join(text.lower().split()).replace("+/-", "±").replace("+-", "±")
    if plain in known:
        return known[plain]
    expected = ", ".join(choice.value for choice in choices)
    raise StatisticsError(f"{kind}: found {text!r}{nearest(plain, known)}, expected one of {expected}")
