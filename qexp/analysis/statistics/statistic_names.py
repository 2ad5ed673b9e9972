"""The names of statistics, tests and corrections, as people write them and as tables print them."""

from __future__ import annotations

from enum import StrEnum
from typing import Self, TypeVar

from qexp.errors import StatisticsError, nearest


class StatisticalName(StrEnum):
    """A name that people write, with the texts that tables print."""

    label: str
    """The name in headers and notes, such as `mean ± std` or `paired t-test`."""
    explanation: str
    """The definition for a note below a table."""
    aliases: tuple[str, ...]
    """Other names that people write."""

    def __new__(cls, name: str, label: str, aliases: str = "", explanation: str = "") -> Self:
        made = str.__new__(cls, name)
        made._value_ = name
        made.label, made.explanation, made.aliases = label, explanation, tuple(aliases.split())
        return made


class Statistic(StatisticalName):
    """A summary of the replicates of one cell."""

    MEAN_STD = "mean±std", "mean ± std", "std sd mean±sd", "mean ± sample standard deviation (n - 1)"
    MEAN_SEM = "sem", "mean ± sem", "mean±sem mean±se", "mean ± standard error of the mean"
    MEAN_CI95 = (
        "ci95",
        "mean ± 95 % CI",
        "mean±ci95 mean±ci mean±95%ci ci",
        "mean ± half the width of the 95 % t interval of the mean",
    )
    IQM = "iqm", "IQM", "interquartilemean", "interquartile mean: the mean without the lowest and the highest quarter"
    MEDIAN = "median", "median [quartiles]", "median[quartiles]", "median and quartiles"


class PairedTest(StatisticalName):
    """A two-sided test of paired replicates."""

    WILCOXON = "wilcoxon", "Wilcoxon signed-rank test", "signed-rank"
    PERMUTATION = "permutation", "sign-flip permutation test of the mean difference", "sign-flip"
    TTEST = "ttest", "paired t-test", "t-test t paired-t"


class Correction(StatisticalName):
    """A correction of p-values for several comparisons."""

    HOLM = "holm", "Holm correction", "holm-bonferroni"
    FDR = "fdr", "Benjamini-Hochberg correction", "bh benjamini-hochberg"
    NONE = "none", "no correction for several comparisons"


Choice = TypeVar("Choice", bound=StatisticalName)


def statistic_of(text: str) -> Statistic:
    """
    Return the statistic of a name such as `mean±std`, `mean +- std`, `std` or `sem`. Raises StatisticsError if unknown.

    >>> statistic_of("mean +- std").label
    'mean ± std'
    """
    return _choice("statistic", text, Statistic)


def paired_test_of(text: str) -> PairedTest:
    """Return the test of a name such as `wilcoxon`, `permutation` or `t-test`. Raises StatisticsError if unknown."""
    return _choice("test", text, PairedTest)


def correction_of(text: str) -> Correction:
    """Return the correction of a name such as `holm`, `fdr`, `bh` or `none`. Raises StatisticsError if unknown."""
    return _choice("correction", text, Correction)


def _choice(kind: str, text: str, choices: type[Choice]) -> Choice:
    known = {name: choice for choice in choices for name in (choice.value, *choice.aliases)}
    plain = "".join(text.lower().split()).replace("+/-", "±").replace("+-", "±")
    if plain in known:
        return known[plain]
    expected = ", ".join(choice.value for choice in choices)
    raise StatisticsError(f"{kind}: found {text!r}{nearest(plain, known)}, expected one of {expected}")
