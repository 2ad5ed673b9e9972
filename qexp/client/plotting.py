"""A study becomes a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_

from qexp.analysis.plots.request import Request, require_matplotlib
from qexp.client import reading
from qexp.errors import PlotError
from qexp.model import Origin, Status
from qexp.store import experiments, selectors, staleness, studies, tables
from qexp.store.connect import Connection
from qexp.store.selectors import Selection

if TYPE_CHECKING:
    from qexp.analysis.plots.picture import Picture
    from qexp.client.client import Client


def plot(client: Client, selection: Selection, request: Request) -> Picture:
    """Return a picture of the chosen experiments of one study; PlotError says why there is none."""
    require_matplotlib()
    from qexp.analysis.plots.data import Experiments, choose
    from qexp.analysis.plots.drawing import draw
    from qexp.analysis.plots.series import series_of

    series = None
    with client.begin() as connection:
        condition = selectors.where(connection, selection)
        study = studies.of(connection, condition, selection.study)
        notes = [
            *_stale(connection, condition, selection, request, study),
            *_orphaned(connection, condition, selection),
        ]
        if not selection.orphaned:
            condition = and_(condition, tables.experiment.c.origin != Origin.ORPHANED)
        frame, sources = reading.frame_and_sources(connection, condition, study)
        parameters = [name for name, source in sources.items() if source == "params"]
        results = [name for name, source in sources.items() if source == "result"]
        chosen = choose(Experiments(frame, parameters, results, study.name), request)
        chosen = replace(chosen, notes=(*chosen.notes, *notes))
        if request.kind == "curve":
            series, chosen = series_of(connection, chosen, request)
    return draw(chosen, request, series)


def _stale(
    connection: Connection,
    condition: ColumnElement[bool],
    selection: Selection,
    request: Request,
    study: studies.StudyRow,
) -> list[str]:
    """Return a note on experiments of other settings or code; PlotError unless they are asked for or allowed."""
    if selection.stale is not None:
        return []
    current = tables.experiment.c.origin != Origin.ORPHANED
    closed, _ = experiments.count(connection, and_(condition, current, staleness.condition(connection, [study])))
    if not closed:
        return []
    text = (
        f"{closed:,} {'experiment has' if closed == 1 else 'experiments have'} other settings or code than the newest"
    )
    if request.mixes:
        return [text]
    raise PlotError(
        f"{study.name}: {text} revision, expected one; run them again with 'qexp requeue {study.name} --stale', "
        "or draw them beside the others with --allow mixed"
    )


def _orphaned(connection: Connection, condition: ColumnElement[bool], selection: Selection) -> list[str]:
    """Return a note on done experiments that the newest grid leaves out, and that are not drawn."""
    if selection.orphaned:
        return []
    columns = tables.experiment.c
    left = and_(condition, columns.origin == Origin.ORPHANED, columns.status == Status.DONE)
    closed, _ = experiments.count(connection, left)
    return [f"{closed:,} done {'experiment' if closed == 1 else 'experiments'} that the newest grid leaves out"] * (
        closed > 0
    )
