"""The question that a comparison answers, as a person writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from qexp.analysis.table.name_resolution import STUDY
from qexp.analysis.table.spec import Names, TableSpec, is_better_large


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) and value else value or ()


class CompareSpec(BaseModel):
    """Studies, the parameter whose values are compared, the metric, and the test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: Names = Field(min_length=1)
    by: Names = ()
    """The parameters whose values are compared; empty: the studies are compared."""
    metric: str = Field(min_length=1)
    over: Names | None = None
    """The axes whose values are replicates; None: `seed`, if the studies have it."""
    average: Names = ()
    """Axes to average over within each replicate."""
    per: Names = ()
    """Compare separately for each value of these axes."""
    baseline: str | None = None
    test: Literal["wilcoxon", "permutation", "ttest"] = "wilcoxon"
    correction: Literal["holm", "fdr", "none"] = "holm"
    maximize: bool | None = None
    """A larger value is better; None: by the metric's name."""
    where: str | None = None
    ranks: bool = False
    """Also rank all methods over the combinations of all other parameters."""
    allow: Annotated[tuple[Literal["mixed"], ...], BeforeValidator(_listed)] = ()
    """`mixed`: compare although the experiments of one study have different settings, code or packages."""

    @property
    def is_maximized(self) -> bool:
        """Return whether a larger value is better."""
        return is_better_large(self.metric) if self.maximize is None else self.maximize

    @property
    def compared(self) -> tuple[str, ...]:
        """Return the axes whose values are compared."""
        return self.by or (STUDY,)

    def table(self, others: tuple[str, ...]) -> TableSpec:
        """Return a table of the same experiments, whose columns are *others* and whose rows are compared."""
        return TableSpec(
            studies=self.studies,
            metrics=(self.metric,),
            rows=self.compared,
            columns=(*self.per, *others),
            over=self.over,
            average=self.average,
            where=self.where,
        )
