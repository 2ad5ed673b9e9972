"""
The limits of writing and reading a million rows: `python -m benchmarks.copying in GRID` and `… out STUDY`.

Both are separate commands, so that they start with a new Python like the compared commands of qexp.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qexp.grid import Grid
from qexp.settings import load
from qexp.store.connection import connect

TABLE = "beside"


def write(grid: Path) -> None:
    """Expand a grid and copy its rows into a table with the indexes and checks of qexp's table."""
    rows = Grid.load(grid).encoded()
    with connect(load(folder=grid.parent)) as raw, raw.transaction():
        raw.execute(f"DROP TABLE IF EXISTS {TABLE}")
        raw.execute(f"CREATE TABLE {TABLE} (LIKE experiment INCLUDING ALL)")
        with raw.cursor() as cursor, cursor.copy(f"COPY {TABLE} (study, fingerprint, params) FROM STDIN") as copy:
            for digest, params, _ in rows:
                copy.write(f"1\t{digest.hex()}\t{params}\n")


def read(study: str) -> None:
    """Copy the rows of a study out, and drop them."""
    query = (
        "COPY (SELECT e.id, e.params, e.result, e.status, e.attempt, e.started_at, e.finished_at, e.failure "
        "FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s ORDER BY e.id) TO STDOUT"
    )
    with connect(load()) as raw, raw.cursor() as cursor, cursor.copy(query, [study]) as copy:
        for _ in copy:
            pass


if __name__ == "__main__":
    if sys.argv[1] == "in":
        write(Path(sys.argv[2]))
    else:
        read(sys.argv[2])
