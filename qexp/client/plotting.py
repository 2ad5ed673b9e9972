"""Draw a picture of a study: `qexp plot`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement

from qexp.analysis.plots.selection import Experiments, choose
from qexp.analysis.plots.spec import PlotSpec, require_matplotlib
from qexp.analysis.table.name_resolution import check_where
from qexp.client import experiment_queries
from qexp.client.tables_and_comparisons import snapshot
from qexp.errors import OptionError
from qexp.model import are, counted, them
from qexp.store.connection import Connection
from qexp.store.reads import plotted_experiments, study_rows
from qexp.store.reads.study_rows import StudyRow
from qexp.store.selection import selectors
from qexp.store.selection.selectors import Selection

if TYPE_CHECKING:
    from qexp.analysis.plots.figure import Picture
    from qexp.client.client import Client


def plot(client: Client, selection: Selection, request: PlotSpec) -> Picture:
    """
    Return a picture of the selected experiments of one study, from one snapshot of the database.

    Raises OptionError if an option does not fit the study. Raises RefusedError if the picture would be wrong, because
    it pools a parameter, or results of different settings or code.
    """
    require_matplotlib()
    from qexp.analysis.plots.curves import series_of
    from qexp.analysis.plots.drawing import draw

    _check_selectors(selection)
    series = None
    with snapshot(client) as connection:
        condition = selectors.where(connection, selection)
        study = study_rows.of(connection, condition, selection.study)
        _check_where(study, selection)
        mixed = _mixed(connection, condition, selection, study)
        notes = [*_chosen_by(selection), *mixed, *_left_out(connection, condition, selection)]
        shown = condition if selection.orphaned else plotted_experiments.planned(condition)
        chosen = choose(_experiments(connection, shown, study), request, [_refusal(study, text) for text in mixed])
        chosen = replace(chosen, notes=(*chosen.notes, *notes))
        if request.kind == "curve":
            series, chosen = series_of(connection, chosen, request)
    return draw(chosen, request, series)


def _check_selectors(selection: Selection) -> None:
    """Raise OptionError if experiments are selected by status."""
    if selection.statuses or selection.error is not None:
        option = "--status, --failed" if selection.statuses else "--error"
        raise OptionError(f"{option}: pictures show only done experiments; select by parameters with --where")


def _check_where(study: StudyRow, selection: Selection) -> None:
    """Raise OptionError if experiments are selected by results."""
    if selection.where is not None:
        check_where([study], selection.where, "picture")


def _experiments(connection: Connection, condition: ColumnElement[bool], study: StudyRow) -> Experiments:
    frame, sources = experiment_queries.frame_and_sources(connection, condition, study)
    parameters = [name for name, source in sources.items() if source == "params"]
    results = [name for name, source in sources.items() if source == "result"]
    return Experiments(frame, parameters, results, study.name)


def _chosen_by(selection: Selection) -> list[str]:
    """Return a note if experiments are selected by ids, time or host, since the parameters do not show that."""
    given = {"ids": selection.ids, "--since": selection.since, "--host": selection.host}
    options = [option for option, value in given.items() if value]
    return [f"only experiments chosen by {' and '.join(options)}"] * bool(options)


def _mixed(connection: Connection, condition: ColumnElement[bool], selection: Selection, study: StudyRow) -> list[str]:
    """Return a problem if experiments are stale, unless --stale selects them."""
    number = 0 if selection.stale is not None else plotted_experiments.stale(connection, condition, study)
    have = "has" if number == 1 else "have"
    return [f"{counted(number, 'experiment')} {have} other settings or code than the newest revision"] * (number > 0)


def _refusal(study: StudyRow, text: str) -> str:
    return f"{text}, expected results of the newest revision only; qexp requeue {study.name} --stale"


def _left_out(connection: Connection, condition: ColumnElement[bool], selection: Selection) -> list[str]:
    """Return a note if the newest grid lacks some of the done experiments."""
    number = 0 if selection.orphaned else plotted_experiments.left_out(connection, condition)
    text = f"{counted(number, 'done experiment')} {are(number)} not drawn: the newest grid leaves"
    return [f"{text} {them(number)} out"] * (number > 0)
