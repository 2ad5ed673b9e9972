"""Make curves of the series of chosen experiments."""

from __future__ import annotations

from qexp.analysis.plots.curves import Curve, Key, curves_of, members, without_series
from qexp.analysis.plots.data import Chosen
from qexp.analysis.plots.request import PlotRequest
from qexp.analysis.statistics.names import Statistic
from qexp.errors import SummaryError, nearest
from qexp.store.connection import Connection
from qexp.store.reads import curves

_READ = {Statistic.MEDIAN: curves.quartiles, Statistic.IQM: curves.interquartile_means}


def series_of(connection: Connection, chosen: Chosen, request: PlotRequest) -> tuple[dict[Key, Curve], Chosen]:
    """Return the curves, and the chosen experiments that have points. Raises SummaryError if none has."""
    groups = (chosen.ids.tolist(), members(chosen).tolist())
    counts = curves.runs(connection, groups, request.metric)
    runs = {group: drawn for group, drawn, _ in counts if drawn}
    if not runs:
        known = curves.names(connection, groups)
        if request.metric in known:
            raise SummaryError(f"--metric {request.metric}: no point of the series is finite")
        guess = nearest(request.metric, known) or f", expected one of {', '.join(known) or 'none'}"
        raise SummaryError(f"--metric: no series of the done experiments is named {request.metric!r}{guess}")
    rows = _READ.get(request.center, curves.means)(connection, groups, request.metric)
    odd = sum(odd for _, _, odd in counts)
    return curves_of(rows, runs, chosen, request.center), without_series(
        chosen, request.metric, sum(runs.values()), odd
    )
