"""Tables of studies: from the database to a table, for the command line and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import text

from qexp.client.client import Client
from qexp.errors import SummaryError

if TYPE_CHECKING:
    from qexp.analysis.table import Table
    from qexp.analysis.table.spec import TableSpec
    from qexp.store.connect import Connection


def spec_of(options: dict[str, Any]) -> TableSpec:
    """Return the options of a table, checked; SummaryError names the first one that is wrong."""
    from qexp.analysis.table.spec import TableSpec

    try:
        return TableSpec(**options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SummaryError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from error


@contextmanager
def snapshot(client: Client) -> Iterator[Connection]:
    """Give a connection to which the database stays as it is at the first statement."""
    with client.begin() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield connection


def make(client: Client, spec: TableSpec) -> Table:
    """Return the table that *spec* asks for, of one moment; see `qexp.analysis.table.build.build`."""
    from qexp.analysis.table.build import build

    with snapshot(client) as connection:
        return build(connection, spec)


def table(
    study: str | Sequence[str],
    metric: str | Sequence[str],
    rows: str | Sequence[str] = (),
    columns: str | Sequence[str] = (),
    *,
    client: Client | None = None,
    **options: Any,
) -> Table:
    """
    Return a table of one or more studies: the mean ± std of a metric over seeds, in rows and columns.

    *rows* and *columns* name parameters. *options* are those of `qexp table`: over, statistic, average, best, by, bold,
    baseline, test, correction, scale, digits, transpose, sort, where, labels, allow, maximize.

    RefusedError, a `qexp.QexpError`, says why the table would be wrong: replicates are missing, of different settings
    or code, or NaN.
    """
    spec = spec_of({"studies": study, "metrics": metric, "rows": rows, "columns": columns, **options})
    return make(client or Client(), spec)
