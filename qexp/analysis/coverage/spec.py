"""The question that coverage answers, as a person writes it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from qexp.analysis.table.spec import Names, TableSpec


class CoverageSpec(BaseModel):
    """Studies, axes, and the metrics that a done experiment must have; there may be none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    studies: Names = Field(min_length=1)
    rows: Names = ()
    columns: Names = ()
    over: Names = ()
    """Axes whose values are counted; empty: experiments are counted."""
    metrics: Names = ()
    where: str | None = None

    def table(self, columns: tuple[str, ...]) -> TableSpec:
        """Return a table of the same experiments with these columns."""
        return TableSpec.model_construct(  # unchecked: a table has a metric, coverage may have none
            studies=self.studies,
            metrics=self.metrics,
            rows=self.rows,
            columns=columns,
            over=self.over,
            where=self.where,
        )
