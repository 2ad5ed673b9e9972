"""The question that a table answers, as a person writes it: on the command line, in tables.yaml or in Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

ALLOWED = ("missing", "mixed", "nan", "open")
"""What a table refuses unless it is allowed: see `TableSpec.allow`."""


def _names(value: Any) -> Any:
    """Accept one name, names with commas, or a list of them; a name that is there twice counts once."""
    if isinstance(value, str):
        return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(part, str) for part in value):
        return _names(",".join(value))
    return value


def _known(kinds: frozenset[str]) -> frozenset[str]:
    if unknown := sorted(kinds - set(ALLOWED)):
        raise ValueError(f"found {unknown[0]!r}, expected some of {', '.join(ALLOWED)}")
    return kinds


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class TableSpec(BaseModel):
    """Studies, metrics, axes, the statistic, and what the table may show although it is incomplete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: Names = Field(min_length=1)
    metrics: Names = Field(min_length=1)
    rows: Names = ()
    columns: Names = ()
    over: Names | None = None
    """The axes whose values are replicates; None: `seed`, if the studies have it."""
    average: Names = ()
    """Axes to average over within each replicate, before the statistic."""
    statistic: str = "mean±std"
    maximize: bool | None = None
    """A larger value is better; None: by the metric's name."""
    best: Names = ()
    """Axes of which each cell shows the value that is best *by* another metric."""
    by: str | None = None
    bold: Literal["best", "tied", "none"] = "best"
    baseline: str | None = None
    test: Literal["wilcoxon", "permutation", "ttest"] = "wilcoxon"
    correction: Literal["holm", "fdr", "none"] = "holm"
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    digits: Literal["auto"] | Annotated[int, Field(ge=0, le=12)] = "auto"
    transpose: bool = False
    sort: str = "grid"
    """`grid`: as the grid has them; `name`; `value`: best mean first; or a column's label: best there first."""
    where: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Other texts for names and values in the table."""
    allow: Annotated[frozenset[str], BeforeValidator(lambda v: frozenset(_names(v))), AfterValidator(_known)] = (
        frozenset()
    )
    """
    Show the table although replicates are missing, or are of mixed settings, code, packages or machines, or nan, or
    though an axis is open: it is no row, column, replicate or average, and has several values in a cell.
    """

    @property
    def axes(self) -> tuple[str, ...]:
        """All parameters that have a role."""
        return (*self.rows, *self.columns, *(self.over or ()), *self.average, *self.best)

    def command(self) -> str:
        """Return the command line that makes this table."""
        words = ["qexp", "table", *self.studies]
        for name, value in self.model_dump(exclude_defaults=True, exclude={"studies", "labels"}).items():
            words += _option(name, value)
        return shlex.join(words)


_OPTIONS = {"metrics": "--metric", "statistic": "--stat", "correction": "--correct"}


def _option(name: str, value: Any) -> list[str]:
    if name == "maximize":
        return ["--max" if value else "--min"]
    option = _OPTIONS.get(name, f"--{name}")
    if value is True:
        return [option]
    if isinstance(value, tuple | frozenset | set | list):
        parts = value if isinstance(value, tuple) else sorted(value)
        return [option, ",".join(parts)]
    return [option, str(value)]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LOWER = _set("""
    loss losses error errors err rmse mse mae mape rmsle msle perplexity ppl wer cer eer ece fid nll logloss brier
    regret deviance bpc bpb misclassification duration latency runtime walltime time seconds energy kwh memory
    """)
_HIGHER = _set("""
    accuracy acc auc auroc auprc ap map f1 precision recall sensitivity specificity score r2 bleu rouge reward return
    iou dice psnr ssim throughput fps
    """)
_MACHINE = _set("""
    duration latency runtime walltime elapsed seconds second secs sec ms energy kwh throughput fps memory
    """)
_NO_CLOCK = frozenset(("series", "step", "steps", "point", "points"))
"""Words after `time` that make it no measured time, as in time_series_accuracy."""


def _words(metric: str) -> list[str]:
    """
    Return the words of a metric's name in lower case.

    >>> _words("val/topK_err"), _words("trainLoss")
    (['val', 'top', 'k', 'err'], ['train', 'loss'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*|[0-9]+", metric)]


def is_time_like(metric: str) -> bool:
    """
    Return whether a metric depends on the machine, by its name.

    >>> [is_time_like(name) for name in ("duration", "fit_time", "time_per_step_ms", "time_series_accuracy")]
    [True, True, True, False]
    """
    words = _words(metric)
    followed = zip(words, [*words[1:], ""], strict=True)
    is_time = any(word == "time" and after not in _NO_CLOCK for word, after in followed)
    return metric == "last_attempt" or is_time or not _MACHINE.isdisjoint(words)


def known_direction(metric: str) -> bool | None:
    """Return whether a larger value is better, by the last word of the name that tells; None: no word tells."""
    for word in reversed(_words(metric)):
        if word in _LOWER or word in _HIGHER:
            return word in _HIGHER
    return False if metric == "last_attempt" else None


def is_better_large(metric: str) -> bool:
    """
    Return whether a larger value of a metric is better, as far as its name tells.

    >>> [is_better_large(name) for name in ("accuracy", "val_loss", "test.rmse", "error_rate", "fit_time")]
    [True, False, False, False, False]
    """
    return known_direction(metric) is not False
