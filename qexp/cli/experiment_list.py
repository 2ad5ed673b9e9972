"""The command list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from qexp.cli.options import NAMES, WholeNumber, format_option, selection_options
from qexp.cli.output import console, say, show_json, wrapped
from qexp.errors import NoTablesError
from qexp.model import Status
from qexp.truncation import listed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from qexp.cli.experiment_cells import ExperimentCells
    from qexp.client import Client
    from qexp.store.reads.experiment_rows import ExperimentView
    from qexp.store.reads.study_rows import StudyRow
    from qexp.store.selection.selectors import Selection

_SHOWN = 50
_NEWEST = ("-id",)


@click.command()
@selection_options(required=False)
@click.option("--sort", multiple=True, metavar=NAMES, help="By these columns; -NAME: the largest first.")
@click.option(
    "--limit",
    type=WholeNumber("a whole number, or 0 for all", 0),
    metavar="N",
    help="The most to show; 0: all.  [default: 50 in a table]",
)
@click.option("--columns", multiple=True, metavar=NAMES, help="Only these columns, in this order.")
@format_option
def list_(selection: Selection, sort: tuple[str, ...], limit: int | None, columns: tuple[str, ...], form: str) -> None:
    """
    List experiments with their parameters and results.

    The experiments of one study are in the order of their ids; of several or all studies, the newest come first. A
    terminal shows the columns for which it has room, and names constant ones in a line; a pipe gets all columns.
    Columns have the names of frames, as in --where.
    """
    from qexp.client import Client, missing_results
    from qexp.store.selection.column_choice import chosen

    client, is_json = Client(), form == "json"
    most = limit if limit is not None or is_json else _SHOWN
    order = sort or (() if selection.study or selection.ids else _NEWEST)
    try:
        views = client.experiments(selection, most + 1 if most else None, order)
    except NoTablesError:
        if selection.names_some:
            raise
        views = []
    shown = views[:most] if most else views
    if not shown:
        say(_nothing(client, selection))
        if is_json:
            show_json([])
        return
    studies = client.studies({view.study for view in shown})
    with_study = not (selection.study or selection.ids) or len(studies) > 1
    cells = _cells(client, shown, studies, with_study)
    labels = chosen(columns, cells.sources, studies) if columns else []
    if is_json:
        show_json(_chosen_data(cells, labels) if labels else [_data(cells, view) for view in shown])
        return
    is_cut = len(views) > len(shown)
    console().print(_table(cells, labels, studies, sort, "all shown" if is_cut else "all"))
    if is_cut and limit is None:
        say(f"only the {'newest' if order == _NEWEST else 'first'} {most} are shown; --limit 0 shows all")
    if archived := [study.name for study in studies if study.archived_at is not None]:
        say(wrapped(f"archived: {listed(archived, 5)}; 'qexp archive STUDY --undo' brings a study back"))
    if len(studies) == 1 and (text := missing_results.note(client, studies[0].name)):
        say(wrapped(text))


def _nothing(client: Client, selection: Selection) -> str:
    """Say why a list is empty."""
    from qexp.cli.status import without_studies
    from qexp.store.selection import selectors

    found = client.overview(limit=1) if selection == selectors.Selection() else None
    return "no experiment matches" if found is None or found.shown else without_studies(found)


def _cells(
    client: Client, views: Sequence[ExperimentView], studies: Sequence[StudyRow], with_study: bool
) -> ExperimentCells:
    from qexp.cli.experiment_cells import ExperimentCells
    from qexp.client.attempt_records import Records
    from qexp.store.reads.study_rows import value_names

    ids = [view.id for view in views if view.status is Status.RUNNING]
    running = Records(client).running(ids) if ids else {}
    return ExperimentCells(views, *value_names(studies), running, with_study)


def _table(
    cells: ExperimentCells, labels: Sequence[str], studies: Sequence[StudyRow], sort: Sequence[str], scope: str
) -> RenderableType:
    from qexp.cli.experiment_table import chosen_table, default_table
    from qexp.store.selection.column_choice import chosen
    from qexp.store.selection.sorting import parse

    if labels:
        return chosen_table(cells, labels)
    sorted_by = chosen([key.name.text for key in parse(sort)], cells.sources, studies, "--sort")
    alike = len({(*study.parameters, "|", *study.results) for study in studies}) == 1
    return default_table(cells, sorted_by, alike, scope)


def _data(cells: ExperimentCells, view: ExperimentView) -> dict[str, Any]:
    from qexp.cli.show import experiment_json, running_json

    return {**experiment_json(view), "running": running_json(cells.running.get(view.id))}


def _chosen_data(cells: ExperimentCells, labels: Sequence[str]) -> list[dict[str, Any]]:
    from qexp.store.schema.value_columns import value_or_none

    columns = [map(value_or_none, cells.values(label)) for label in labels]
    return [dict(zip(labels, row, strict=True)) for row in zip(*columns, strict=True)]
