"""Tables, coverage and comparisons of studies, for the command line and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import text

from qexp.analysis.compare.build import build as build_comparison
from qexp.analysis.compare.spec import CompareSpec
from qexp.analysis.coverage.build import cover
from qexp.analysis.coverage.spec import CoverageSpec
from qexp.analysis.table.build import build
from qexp.analysis.table.spec import TableSpec
from qexp.client.client import Client
from qexp.errors import OptionError, nearest
from qexp.pydantic_errors import expected_one_of, own_sentence
from qexp.store.reads import study_rows

if TYPE_CHECKING:
    from qexp.analysis.compare import Comparison
    from qexp.analysis.coverage import Coverage
    from qexp.analysis.table import Table
    from qexp.store.connection import Connection

Spec = TypeVar("Spec", bound=BaseModel)


def spec_of(options: dict[str, Any]) -> TableSpec:
    """Return the validated options of a table. Raises OptionError for the first wrong one."""
    return _checked(TableSpec, options)


def _checked(kind: type[Spec], options: dict[str, Any]) -> Spec:
    try:
        return kind(**options)
    except ValidationError as error:
        first, *others = error.errors()
        place = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise OptionError(f"there is no option {place!r}{nearest(place, kind.model_fields)}") from error
        if (sentence := own_sentence(first)) is not None:
            raise OptionError(f"{place}: {sentence}") from error
        same = [first, *(other for other in others if other["loc"][0] == place)]
        raise OptionError(f"{place}: found {options[place]!r}, expected {expected_one_of(same)}") from error


@contextmanager
def snapshot(client: Client) -> Iterator[Connection]:
    """Yield a read-only connection; all its statements see the database as the first one does."""
    with client.begin() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        yield connection


def named(client: Client, studies: str | Sequence[str]) -> str | Sequence[str]:
    """Return studies with the names that match in place of each pattern, the oldest study first."""
    given = [studies] if isinstance(studies, str) else list(studies)
    if not any(isinstance(name, str) and study_rows.is_pattern(name) for name in given):
        return studies
    found: list[str] = []
    for name in given:
        names = [row.name for row in client.matching([name])] if study_rows.is_pattern(name) else [name]
        found += [other for other in names if other not in found]
    return found


def make(client: Client, spec: TableSpec) -> Table:
    """Return the table that *spec* describes, from one snapshot; see `qexp.analysis.table.build.build`."""
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

    *study* is a name, a pattern such as `"lenet*"`, or a list of them. *rows* and *columns* name parameters. *options*
    are those of `qexp table`: over, statistic, average, best, by, bold, baseline, test, correction, scale, digits,
    transpose, sort, where, labels, allow, maximize.

    Raises RefusedError, a `qexp.QexpError`, if the table would be wrong: replicates are missing, of different settings
    or code, or NaN.
    """
    client = client or Client()
    given = {"studies": named(client, study), "metrics": metric, "rows": rows, "columns": columns, **options}
    return make(client, spec_of(given))


def coverage(
    study: str | Sequence[str],
    rows: str | Sequence[str] = (),
    columns: str | Sequence[str] = (),
    *,
    over: str | Sequence[str] = (),
    metric: str | Sequence[str] = (),
    where: str | None = None,
    client: Client | None = None,
) -> Coverage:
    """
    Return how many experiments of the newest grid are done in each cell, and why the others are not.

    *rows* and *columns* default to the two parameters with the most values. With *over*, it counts values of these
    parameters: a value is done if all its experiments in the cell are. With *metric*, a done experiment without a
    finite value of the metric is a gap.
    """
    client = client or Client()
    names = named(client, study)
    options = {"studies": names, "metrics": metric, "rows": rows, "columns": columns, "over": over, "where": where}
    with snapshot(client) as connection:
        return cover(connection, _checked(CoverageSpec, options))


def compare(*studies: str, metric: str, client: Client | None = None, **options: Any) -> Comparison:
    """
    Return a paired comparison of the values of the parameter *by*, or of several studies.

    *options* are those of `qexp compare`: by, over, average, per, baseline, test, correction, maximize, ranks, where,
    allow. Raises RefusedError if the results of one study are of different settings or code.
    """
    client = client or Client()
    given = {"studies": named(client, studies), "metric": metric, **options}
    with snapshot(client) as connection:
        return build_comparison(connection, _checked(CompareSpec, given))
