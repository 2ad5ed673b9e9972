"""The interface of notebooks: enqueue a grid, and wait for, read or requeue a study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qexp.analysis.html_elements import tag
from qexp.client import study_bars
from qexp.client.attempt_records import Records
from qexp.client.client import Client
from qexp.client.listings.studies import Studies
from qexp.client.study_bars import delayed_bar
from qexp.client.study_control import StudyControl
from qexp.client.study_reads import StudyReads
from qexp.errors import QexpError
from qexp.functions import reference
from qexp.progress_bars import progress_bar
from qexp.store.reads import study_progress
from qexp.store.selection import selectors
from qexp.store.selection.selectors import Selection

if TYPE_CHECKING:
    import pandas as pd

    from qexp.analysis.compare import Comparison
    from qexp.analysis.coverage import Coverage
    from qexp.analysis.plots.figure import Picture
    from qexp.analysis.table import Table
    from qexp.grid import Grid
    from qexp.store.reads.staleness_model import Staleness


class Study(StudyControl, StudyReads):
    """An existing study, by name. Every method reads the database again."""

    def __repr__(self) -> str:
        try:
            return f"<Study {self.status()!r}>"
        except QexpError as error:  # a study must show itself while Postgres is away, too
            return f"<Study {self.name}: {error}>"

    def _repr_html_(self) -> str:
        try:
            return Studies([self.status()])._repr_html_()
        except QexpError as error:
            return tag("p", f"{self.name}: {error}")

    def status(self) -> study_progress.StudyProgress:
        """Return how many experiments there are in each status, and the rate."""
        return self._client.counts(self.name)[0]

    def add(self, rows: Iterable[Mapping[str, Any]], *, progress: bool = True) -> int:
        """
        Add parameter sets from code, one per experiment; return how many were new.

        If this takes more than a second, a bar shows the progress, unless *progress* is False. Raises GridError for
        rows that the function does not take, and adds nothing then.
        """
        rows = rows if isinstance(rows, Mapping) else list(rows)
        with delayed_bar(len(rows), progress) as update:
            return self._client.extend(self.name, rows, update).new

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> study_progress.StudyProgress:
        """
        Wait until every experiment has finished, or the study is paused and none runs; return its progress.

        A bar shows the progress, in a notebook and on a terminal, unless *progress* is False. You may interrupt this
        (Ctrl-C, or the button of the notebook): workers continue, and you can wait again. Raises TimeoutError after
        *timeout* seconds, if given; workers continue then, too.
        """
        try:
            return study_bars.wait(self._client, self.name, timeout, bar=progress_bar(progress))
        except KeyboardInterrupt:
            message = study_bars.without_wait(self._client, self.name)
            raise KeyboardInterrupt(f"{message}; wait again with study.wait()") from None

    def frame(
        self,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        current: bool = False,
        sort: str | Iterable[str] = (),
        limit: int | None = None,
        columns: str | Iterable[str] = (),
    ) -> pd.DataFrame:
        """Return one row per experiment; see `qexp.load`."""
        return self._client.frame(_narrowed(self.name, where, since, host, stale, current), sort, limit, columns)

    def metrics(
        self,
        *names: str,
        params: bool = False,
        every: bool = False,
        where: str | None = None,
        since: str | None = None,
        host: str | None = None,
        stale: bool | None = None,
        current: bool = False,
    ) -> pd.DataFrame:
        """Return the series of experiments; see `qexp.metrics`."""
        selection = _narrowed(self.name, where, since, host, stale, current)
        return Records(self._client).metrics(selection, names, every, params)

    def plot(
        self,
        metric: str,
        kind: str = "line",
        *,
        x: str | None = None,
        by: str | None = None,
        over: str | Sequence[str] | None = None,
        facet: str | None = None,
        where: str | None = None,
        log: str = "",
        statistic: str | None = None,
        title: str | None = None,
        size: tuple[float, float] | None = None,
        style: str = "screen",
        allow: str | Sequence[str] = "",
    ) -> Picture:
        """
        Return a matplotlib figure of done experiments; docs/plots.md shows each kind.

        *metric* is a result, or with *kind* `curve` a series. *x* names the parameter of the horizontal axis, *by* of
        the lines or boxes, *over* of the replicates (default: seed), *facet* of the panels. *size* is in inches.
        Raises RefusedError if the picture would be wrong, unless *allow* has `open` or `mixed`. `figure.notes` lists
        omitted data; `figure.save(path)` writes the same bytes for the same data.
        """
        from qexp.analysis.plots import PlotSpec, names_of
        from qexp.client.plotting import plot

        replicates, allowed = None if over is None else names_of(over), ",".join(names_of(allow))
        request = PlotSpec(kind, metric, x, by, replicates, facet, log, statistic, title, size, style, allowed)
        return plot(self._client, _narrowed(self.name, where), request)

    def rows(self, name: str) -> pd.DataFrame:
        """Return the rows of the list *name* of all experiments, with id, attempt and at."""
        return Records(self._client).rows(Selection(self.name), name)

    def table(
        self,
        metric: str | Sequence[str],
        rows: str | Sequence[str] = (),
        columns: str | Sequence[str] = (),
        **options: Any,
    ) -> Table:
        """Return a table of a metric, by default its mean ± std over seeds; see `qexp.table`."""
        from qexp.client.tables_and_comparisons import table

        return table(self.name, metric, rows, columns, client=self._client, **options)

    def stale(self) -> Staleness:
        """
        Return how done experiments differ from the newest revision: their number, settings and files.

        Only imported files count. `requeue(stale=True)` runs stale experiments again.
        """
        from qexp.client.staleness import stale

        return stale(self._client, self.name)

    def coverage(self, rows: str | Sequence[str] = (), columns: str | Sequence[str] = (), **options: Any) -> Coverage:
        """Return the done experiments of each cell, and reasons for the others; see `qexp.coverage`."""
        from qexp.client.tables_and_comparisons import coverage

        return coverage(self.name, rows, columns, client=self._client, **options)

    def compare(self, by: str | Sequence[str], metric: str, **options: Any) -> Comparison:
        """Return a paired comparison of the values of a parameter; see `qexp.compare`."""
        from qexp.client.tables_and_comparisons import compare

        return compare(self.name, by=by, metric=metric, client=self._client, **options)

    def report(
        self,
        path: str | Path,
        metric: str | Sequence[str] = (),
        rows: str | Sequence[str] = (),
        columns: str | Sequence[str] = (),
    ) -> Path:
        """
        Write all about the study to one .html file and return its path.

        *metric* names results, by default all numeric ones. *rows* and *columns* name parameters, by default chosen by
        the grid. Tables that `qexp.table` would refuse appear with the reasons.
        """
        from qexp.analysis.report import ReportOptions
        from qexp.client.reports import write

        metrics, first, second = ((names,) if isinstance(names, str) else names for names in (metric, rows, columns))
        write(self._client, ReportOptions(self.name, tuple(metrics), tuple(first), tuple(second)), Path(path))
        return Path(path)


def enqueue(
    grid: str | Path | Grid | Mapping[str, Any] | Callable[..., Any],
    /,
    *,
    set: Mapping[str, Any] | None = None,  # noqa: A002 - the name of the option on the command line
    progress: bool = True,
    **keys: Any,
) -> Study:
    """
    Enqueue a grid and return its study.

    *grid* is a grid file, a `qexp.Grid`, a mapping with the keys of a grid file, or the function itself. A function
    gives its name to the study by default: `qexp.enqueue(train, parameters={"lr": [0.1, 0.01]}, study="lr")`. *keys*
    are keys of a grid file and override those of the grid. *set* overrides or adds parameters by name, as `--set` does:
    `qexp.enqueue("grid.yaml", study="other", set={"lr": [0.1], "settings.epochs": 5})`.

    Enqueueing the same grid again adds nothing, so a cell of a notebook can run again. If an enqueue takes more than a
    second, a bar shows its progress, unless *progress* is False.

    Raises a `qexp.QexpError` for a wrong grid, and writes nothing then. Gives a `qexp.QexpWarning` for likely mistakes,
    files that the snapshot leaves out, stale results, experiments that failed before, and those that the grid no longer
    has.
    """
    from qexp.client.enqueue_notices import warn
    from qexp.client.function_check import checked

    client = Client()
    made = checked(grid_of(grid, keys, set or {}))
    with delayed_bar(len(made), progress) as update:
        done = client.enqueue(made, update)
    warn(made, done, stacklevel=2)
    return Study(done.study, client)


def grid_of(
    grid: str | Path | Grid | Mapping[str, Any] | Callable[..., Any], keys: Mapping[str, Any], values: Mapping[str, Any]
) -> Grid:
    from qexp.grid import Grid, assignments_of

    if callable(grid):
        function, folder = reference(grid)
        name = function.rpartition(":")[2].rpartition(".")[2].lower()
        own = {"study": name, "function": function, **keys}
        return Grid.from_dict(own, folder, assignments_of({}, values))
    assignments = assignments_of(keys, values)
    if isinstance(grid, Grid):
        return grid.over(assignments) if assignments else grid
    if isinstance(grid, Mapping):
        return Grid.from_dict(grid, assignments=assignments)
    return Grid.load(grid, assignments)


def _narrowed(
    study: str | Iterable[str],
    where: str | None = None,
    since: str | None = None,
    host: str | None = None,
    stale: bool | None = None,
    current: bool = False,
) -> Selection:
    selection = selectors.parse([], where=where, since=since, host=host, stale=stale, current=current)
    return selectors.within(selection, study)


def load(
    study: str | Iterable[str],
    where: str | None = None,
    since: str | None = None,
    host: str | None = None,
    stale: bool | None = None,
    current: bool = False,
    sort: str | Iterable[str] = (),
    limit: int | None = None,
    columns: str | Iterable[str] = (),
) -> pd.DataFrame:
    """
    Return the experiments of a study as a pandas DataFrame, one row each, failed ones included.

    *study* may also be a pattern such as `"lenet*"`, or a list of names and patterns: the frame then has the column
    `study` after `id`, and the columns of all these studies.

    Columns: id, one per parameter, one per result, then status, attempt, revision (missing where it never ran), host,
    started_at (UTC), duration (seconds of the last attempt and of those whose checkpoints it used), last_attempt
    (seconds of the last attempt alone), failure and error. A mapping becomes a column per key, such as `train.acc`.

    *where* is a condition on these columns, such as `"lr > 0.1 and dataset = 'wine'"`. *since*, such as `"6 hours"` or
    `"2026-01-31T17:05"`, keeps experiments that finished later; unfinished ones if they started or were enqueued later.
    *host*, such as `"node*"`, keeps experiments whose last attempt ran on it. *stale* keeps only stale experiments
    (True), or only the others (False); see `Study.stale`. *current* leaves out experiments that the newest grid no
    longer has.

    *sort* has names of columns, such as `"-accuracy,lr"`: the rows are sorted by them and then by id; after `-` the
    largest value comes first, and missing values are always last. *limit* is the most rows. *columns* keeps these
    columns, in this order.
    """
    return Client().frame(_narrowed(study, where, since, host, stale, current), sort, limit, columns)


def metrics(
    study: str | Iterable[str],
    *names: str,
    params: bool = False,
    every: bool = False,
    where: str | None = None,
    since: str | None = None,
    host: str | None = None,
    stale: bool | None = None,
    current: bool = False,
) -> pd.DataFrame:
    """
    Return the series of a study's experiments as a long pandas DataFrame, one row per point.

    Columns: id (of the experiment), attempt, name, step, value and at (UTC); only the series *names*, if given. Rows
    are sorted by id, name and step. *params* adds one column per parameter, with its name in frames, ready for
    `groupby` and seaborn; a parameter named `step` becomes `param.step`.

    If a later attempt repeats steps of an earlier one, the later points count; *every* returns all points. *where*,
    *since*, *host*, *stale* and *current* are those of `qexp.load`. *study* may be a pattern or a list, as there; with
    *params*, the frame then has the column `study`.
    """
    return Records().metrics(_narrowed(study, where, since, host, stale, current), names, every, params)
