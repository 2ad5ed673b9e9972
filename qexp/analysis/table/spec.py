"""The specification of a table, as a person writes it on the command line, in tables.yaml or in Python."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from qexp.analysis.table.metric_directions import is_better_large

__all__ = ["ALLOWED", "Names", "TableSpec", "is_better_large"]

ALLOWED = ("missing", "mixed", "nan", "open")
"""Problems for which a table is refused unless they are allowed: see `TableSpec.allow`."""


def _names(value: Any) -> Any:
    """Accept one name, names with commas, or a list of names; duplicates count once."""
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
    """Each cell shows the value of these axes that is best *by* another metric."""
    by: str | None = None
    bold: Literal["best", "tied", "none"] = "best"
    baseline: str | None = None
    test: Literal["wilcoxon", "permutation", "ttest"] = "wilcoxon"
    correction: Literal["holm", "fdr", "none"] = "holm"
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    digits: Literal["auto"] | Annotated[int, Field(ge=0, le=12)] = "auto"
    transpose: bool = False
    sort: str = "grid"
    """`grid`: the order of the grid; `name`; `value`: the best mean first; or a column's label: its best first."""
    where: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Other texts for names and values in the table."""
    allow: Annotated[frozenset[str], BeforeValidator(lambda v: frozenset(_names(v))), AfterValidator(_known)] = (
        frozenset()
    )
    """
    Problems that do not refuse the table: `missing` replicates, `mixed` settings, code, packages or machines, `nan`,
    and an `open` axis. An open axis has no role and several values in one cell.
    """

    @property
    def axes(self) -> tuple[str, ...]:
        """All parameters that have a role."""
        return (*self.rows, *self.columns, *(self.over or ()), *self.average, *self.best)

    @property
    def all_metrics(self) -> tuple[str, ...]:
        """The metrics in the cells, and the one in `by`."""
        return (*self.metrics, self.by) if self.by else self.metrics

    def command(self) -> str:
        """Return the command line that makes this table; labels have no option and are left out."""
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
