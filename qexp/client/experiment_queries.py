"""Read selected experiments from Postgres: as views, grouped by error, as a frame, or into a file."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, text

from qexp.analysis.html_elements import visible
from qexp.escapes import printable
from qexp.model import Json, Status, shown
from qexp.store.connection import Connection
from qexp.store.reads import experiment_rows, revisions, running_experiments, snapshots, study_rows
from qexp.store.reads.error_groups import ErrorGroup, error_groups, with_messages
from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
from qexp.store.reads.experiment_texts import attempt_line
from qexp.store.reads.revisions import RevisionView
from qexp.store.reads.running_experiments import RunningExperiment
from qexp.store.reads.staleness_model import differences
from qexp.store.schema import tables
from qexp.store.schema.expressions import among
from qexp.store.selection import column_choice, selectors, sorting
from qexp.store.selection.selectors import Selection

if TYPE_CHECKING:
    import pandas as pd

    from qexp.store.schema.value_columns import Source

_WIDTH = 500
"""The most characters of a parameter or a part of a result."""


@dataclass(frozen=True)
class ExperimentDetails:
    """Everything about one experiment."""

    experiment: ExperimentView
    attempts: list[AttemptView]
    revision: RevisionView
    """The one that its last attempt ran; the newest one if it never ran."""
    newest: RevisionView
    changed_code: Mapping[str, str]
    """The files of code that are `changed`, `added` or `removed` in the newest revision, by name."""
    running: RunningExperiment | None = None
    """How far it is; None unless it runs."""

    @property
    def changed_settings(self) -> Mapping[str, tuple[Json, Json]]:
        """The settings whose values differ in the newest revision: before and after, or ABSENT."""
        return differences(self.revision.settings, self.newest.settings)

    @property
    def code_line(self) -> str:
        """Say which revision the settings and code belong to, and how the newest one differs."""
        mine, newest = self.revision, self.newest
        place = "revision" if self.experiment.revision is not None else "not run yet; the newest revision is"
        text = f"{place} {mine.number}, {mine.function}"
        if newest.number == mine.number:
            return text
        different = [
            *["other settings"] * bool(self.changed_settings),
            *["another function"] * (mine.function != newest.function),
            *_other_code(self.changed_code),
        ]
        how = " and ".join(different) or "the same settings and code"
        return f"{text}; the newest is {newest.number}, with {how}"

    def __repr__(self) -> str:
        view = self.experiment
        lines = [f"{view.study} #{view.id}  {view.status}{f' ({view.failure})' if view.failure else ''}"]
        lines.append(self.code_line)
        settings = self.revision.settings
        for title, values in (("parameters", view.params), ("settings", settings), ("result", view.result or {})):
            lines += [title] * bool(values)
            width = min(40, max(map(len, values), default=0))
            lines += [f"  {printable(name):{width}}  {shown(value, _WIDTH)}" for name, value in values.items()]
        for attempt in self.attempts:
            lines.append(attempt_line(attempt, with_error=not attempt.traceback))
            if attempt.traceback:
                lines.append(textwrap.indent(visible(attempt.traceback.rstrip()), "  "))
        if view.reason:
            lines.append(f"{view.status}: {visible(view.reason)}")
        return "\n".join(lines)


def _other_code(files: Mapping[str, str]) -> Iterator[str]:
    if files:
        from qexp.source import change_text  # slow to import, and most experiments have the newest code

        yield f"other code ({change_text(files)})"


def experiments(
    connection: Connection, selection: Selection, limit: int | None = None, sort: str | Iterable[str] = ()
) -> list[ExperimentView]:
    """Return the selected experiments by the sort keys and then by id."""
    condition = selectors.where(connection, selection)
    order = sorting.terms(connection, selection, condition, sort)
    return list(experiment_rows.experiments(connection, condition, limit, order))


def show(connection: Connection, selection: Selection) -> list[ExperimentDetails]:
    """Return everything about the selected experiments."""
    found = experiments(connection, selection)
    attempts = experiment_rows.attempts(connection, [view.id for view in found])
    known = revisions.chosen(connection, {(view.study, view.revision) for view in found})
    running = running_experiments.running(connection, [view.id for view in found if view.status == Status.RUNNING])
    pairs = {view.id: (known[view.study, view.revision], known[view.study, None]) for view in found}
    code = snapshots.changed_code(connection, {(mine.source, newest.source) for mine, newest in pairs.values()})
    return [
        ExperimentDetails(view, attempts[view.id], mine, newest, code[mine.source, newest.source], running.get(view.id))
        for view, (mine, newest) in ((view, pairs[view.id]) for view in found)
    ]


def errors(connection: Connection, selection: Selection) -> list[ErrorGroup]:
    """Group the failed ones among the selected experiments by error; return the largest group first."""
    return with_messages(connection, error_groups(connection, selectors.where(connection, selection)))


def frame(
    connection: Connection,
    selection: Selection,
    sort: str | Iterable[str] = (),
    limit: int | None = None,
    columns: str | Iterable[str] = (),
) -> pd.DataFrame:
    """Return the first *limit* selected experiments as a frame with these *columns*, or with all."""
    from qexp.analysis.frame import frame_and_sources as build

    chosen = _Chosen.of(connection, selection)
    order = sorting.terms(connection, selection, chosen.condition, sort)
    blocks = experiment_rows.blocks(connection, chosen.condition, chosen.with_study, limit, order)
    table, sources = build(blocks, chosen.parameters, chosen.results, chosen.with_study)
    if not columns:
        return table
    labels = {label: sources.get(label, "fact") for label in table.columns}
    return table.reindex(columns=column_choice.chosen(columns, labels, chosen.studies, "columns"))


def parameters(connection: Connection, selection: Selection, ids: Sequence[int]) -> pd.DataFrame:
    """Return `id` and one column per parameter for those selected experiments that have one of the *ids*."""
    from qexp.analysis.frame import frame_and_sources as build

    chosen = _Chosen.of(connection, selection)
    condition = and_(chosen.condition, among(tables.experiment.c.id, ids))
    blocks = experiment_rows.blocks(connection, condition, chosen.with_study)
    table, sources = build(blocks, chosen.parameters, chosen.results, chosen.with_study)
    return table[[name for name in table.columns if name == "id" or sources.get(name) == "params"]]


@dataclass(frozen=True)
class _Chosen:
    """The condition of a selection, and the columns of its frame."""

    condition: ColumnElement[bool]
    studies: list[study_rows.StudyRow]
    parameters: list[str]
    results: list[str]
    with_study: bool
    """Whether the frame has the column `study`: a pattern or several studies were given, or ids of several."""

    @classmethod
    def of(cls, connection: Connection, selection: Selection) -> _Chosen:
        condition = selectors.where(connection, selection)
        known = selectors.studies(connection, selection)
        known = study_rows.among(connection, condition) if known is None else known
        with_study = bool(selection.studies) or len(known) > 1
        return cls(condition, known, *study_rows.value_names(known), with_study)


def frame_and_sources(
    connection: Connection, condition: ColumnElement[bool], study: study_rows.StudyRow
) -> tuple[pd.DataFrame, dict[str, Source]]:
    """Return a frame of a study's selected experiments, and the source of each column: parameter or result."""
    from qexp.analysis.frame import frame_and_sources as build

    return build(experiment_rows.blocks(connection, condition), study.parameters, study.results)


def export(
    connection: Connection, selection: Selection, save: Callable[[Iterable[pd.DataFrame]], None]
) -> tuple[int, int]:
    """
    Pass the selected experiments to *save* in several frames; return the numbers of rows and columns.

    It reads them twice, first for the types of the columns, so that memory holds only some thousands at a time.
    """
    from qexp.analysis.frame import frames

    shapes: list[tuple[int, int]] = []
    # both reads see the same rows
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    chosen = _Chosen.of(connection, selection)
    seen = experiment_rows.values(connection, chosen.condition)
    blocks = experiment_rows.blocks(connection, chosen.condition, chosen.with_study)
    save(_with_shapes(frames(seen, blocks, chosen.parameters, chosen.results, chosen.with_study), shapes))
    return sum(rows for rows, _ in shapes), shapes[0][1]


def _with_shapes(pieces: Iterable[pd.DataFrame], shapes: list[tuple[int, int]]) -> Iterator[pd.DataFrame]:
    for piece in pieces:
        shapes.append(piece.shape)
        yield piece
