"""Measures of summaries of a million experiments: 100 by 100 cells of 100 seeds."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.bulk import MANY, MEGABYTE, STUDY, Bulk, filled
from benchmarks.site import Took
from benchmarks.suite import How, Line, Measure

_SECOND_REVISION = """
    INSERT INTO revision (study, number, grid, settings, function, folder, python, qexp, host, "user", source)
    SELECT study, 2, grid, '{"epochs": 20}', function, folder, python, qexp, host, "user", source
    FROM   revision WHERE study = (SELECT id FROM study WHERE name = %s) AND number = 1
    ON CONFLICT DO NOTHING
"""
_HALF = "UPDATE experiment SET revision = 1 + (id %% 2)::int WHERE study = (SELECT id FROM study WHERE name = %s)"
_NEWEST = "UPDATE study SET revision = 2 WHERE name = %s"


def _summary(bulk: Bulk, *arguments: str) -> Took:
    bulk.finish(bulk.rows)
    return bulk.site.timed("-m", "qexp", *arguments)


def table(bulk: Bulk) -> Mapping[str, float]:
    output = str(bulk.site.folder / "table.tex")
    took = _summary(bulk, "table", STUDY, "--metric", "loss", "--rows", "lr", "--columns", "x", "-o", output)
    return {"table": took.seconds, "table peak": took.peak / MEGABYTE}


def coverage(bulk: Bulk) -> Mapping[str, float]:
    took = _summary(bulk, "coverage", STUDY, "--rows", "lr", "--columns", "x", "--format", "json")
    return {"coverage": took.seconds, "coverage peak": took.peak / MEGABYTE}


def stale(bulk: Bulk) -> Mapping[str, float]:
    """Move half of the experiments to an older revision with other settings, and count the stale ones."""
    bulk.finish(bulk.rows)
    with bulk.site.raw() as raw:
        for query in (_SECOND_REVISION, _HALF, _NEWEST):
            raw.execute(query.encode(), [STUDY])
    bulk.vacuum()
    took = _summary(bulk, "stale", STUDY)
    return {"stale": took.seconds, "stale peak": took.peak / MEGABYTE}


MEASURES = (
    Measure(("table", "table peak"), filled, table),
    Measure(("coverage", "coverage peak"), filled, coverage),
    Measure(("stale", "stale peak"), filled, stale),
)
NOTE = """
The times are those of whole commands, with the start of Python. The table has 100 rows and 100 columns with 100 seeds
each, and is written to a LaTeX file. Half of the experiments are stale: an older revision with other settings made
them.
"""
LINES = (
    Line("table", f"qexp table of {MANY}", "table", "s", how=How.PLAIN, most=3.0),
    Line("table-memory", "– peak memory", "table peak", "MB", how=How.PLAIN, most=150.0),
    Line("coverage", f"qexp coverage of {MANY}", "coverage", "s", how=How.PLAIN, most=3.0),
    Line("coverage-memory", "– peak memory", "coverage peak", "MB", how=How.PLAIN, most=150.0),
    Line("stale", f"qexp stale over {MANY}", "stale", "s", how=How.PLAIN, most=3.0),
    Line("stale-memory", "– peak memory", "stale peak", "MB", how=How.PLAIN, most=150.0),
)
