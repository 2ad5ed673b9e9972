"""Sections on the outcomes: coverage, tables, pictures and errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qexp.analysis.coverage import Coverage
from qexp.analysis.html_elements import Child, Html, command, fold, join, rows, tag
from qexp.analysis.report.gathering import Errors, Results
from qexp.analysis.report.result_tables import MOST_CELLS, MetricTable
from qexp.analysis.writers.html import STYLE, to_html
from qexp.analysis.writers.labels import shown, with_axis
from qexp.model import SHORT_GROUP, counted
from qexp.store.reads.failures import Failed
from qexp.store.reads.staleness_model import Staleness
from qexp.truncation import single_line, truncated

_MESSAGE, _TRACEBACK = 1_000, 8_000
"""Bytes of an error that are shown."""
_FIRST, _LAST = 10, 30
"""Lines of a traceback that are shown."""


def coverage(found: Coverage) -> Html:
    """Return the done and expected experiments of each cell, the reasons of gaps, and the notes."""
    text = f"{found.total_done:,} of {found.total:,} experiments of the newest grid are done."
    if not found.expected.any():
        text = "There are no experiments."
    notes = [
        [tag("p", note.text, class_="note"), command(note.command) if note.command else None] for note in found.notes
    ]
    return join(tag("p", text), _cells(found), _gaps(found), notes)


def _cells(found: Coverage) -> Html | None:
    if not (found.row_axes or found.column_axes):
        return None
    if found.is_complete and len(sizes := set(found.expected[found.expected > 0].tolist())) == 1:
        size = sizes.pop()
        return tag("p", f"Each of the {int((found.expected > 0).sum()):,} cells is complete: {size:,} of {size:,}.")
    if found.expected.size > MOST_CELLS:
        size = f"{len(found.rows):,} rows and {len(found.columns):,} columns"
        return tag("p", f"The cells are not shown: there are {size}.", class_="note")
    heads = [" / ".join(map(with_axis, found.column_axes, key)) for key in found.columns]
    body: list[list[Child]] = [
        [*map(shown, key), *map(_cell, found.done[at].tolist(), found.expected[at].tolist())]
        for at, key in enumerate(found.rows)
    ]
    width = len(found.row_axes)
    names = heads if found.column_axes else ["done"]
    return rows([*map(shown, found.row_axes), *names], body, numbers=range(width, width + len(names)))


def _cell(done: int, expected: int) -> Child:
    if not expected:
        return ""
    return tag("span", f"{done:,} / {expected:,}", class_=None if done == expected else "gap")


def _gaps(found: Coverage) -> Iterable[Child]:
    if found.gaps:
        yield tag("h3", "Gaps")
    for gap in found.gaps:
        yield tag("p", found.sentence(gap), ":" if gap.commands else None)
        yield [command(line) for line in gap.commands]


def results(found: Results, stale: Staleness, is_done: bool) -> Html:
    """Return a table for each metric."""
    if not is_done:
        return tag("p", "Nothing is done yet.", class_="note")
    if not found.results:
        return tag("p", "No result is a number in all done experiments.", class_="note")
    pooled = None
    if found.pooled:
        names = ", ".join(found.pooled)
        pooled = tag(
            "p", f"Tables and pictures pool all values of {names}: there are too many for rows.", class_="warning"
        )
    left = None
    if found.left:
        left = tag("p", f"Without a table: {', '.join(found.left)}; name some with --metric.", class_="note")
    outdated = None
    if stale.count:
        text = f"{stale.count:,} of {stale.done:,} results are of earlier settings or code: "
        outdated = tag("p", text, tag("a", "see the revisions", href="#revisions"), ".", class_="warning")
    return join(tag("style", Html(STYLE)), outdated, pooled, [_result(one) for one in found.results], left)


def _result(found: MetricTable) -> Html:
    body: list[Child] = [tag("h3", found.metric)]
    if found.table is None:
        body.append([tag("p", line, class_="warning") for line in found.refusal])
    else:
        if found.refusal:
            body.append(_refused(found.refusal))
        body.append(Html(to_html(found.table).replace(f"<style>\n{STYLE}</style>\n", "", 1)))
    return tag("div", body, command(found.command), class_="result")


def _refused(reasons: Sequence[str]) -> Html:
    text = "'qexp table' refuses this table. The notes below it say why, with marks in the cells that they are about."
    return tag(
        "p", text if len(reasons) > 1 else text.replace("notes below it say", "note below it says"), class_="warning"
    )


def pictures(found: Results) -> Html:
    """Return the pictures, or how to get them."""
    if found.no_pictures:
        return tag("p", f"There are no pictures: {found.no_pictures}.", class_="note")
    if not found.drawings:
        return tag(
            "p", "There is nothing to draw: no parameter has several values, and there are no series.", class_="note"
        )
    drawn = []
    for one in found.drawings:
        body = one.svg if one.svg is not None else tag("p", f"Not drawn: {one.problem}", class_="note")
        drawn.append(tag("figure", tag("figcaption", one.title), body))
    return join(drawn)


def errors(found: Errors, study: str) -> Html:
    """Return the groups of errors, each with a traceback and the commands that repeat it."""
    if not found.groups:
        return tag("p", "Nothing has failed.")
    more = found.total - len(found.groups)
    note = f"{counted(more, 'more group')}; 'qexp errors {study}' shows all."
    return join([_group(one, study) for one in found.groups], tag("p", note, class_="note") if more > 0 else None)


def _group(found: Failed, study: str) -> Html:
    short = (found.fingerprint or "")[:SHORT_GROUP]
    title = f"{counted(found.count, 'experiment')}: {found.failure}, {found.error_type or 'no error recorded'}"
    again = f"qexp requeue {study} --error {short}" if short else f"qexp requeue {study} --failed"
    trace = None
    if found.traceback:
        trace = fold(f"traceback of experiment {found.example}", tag("pre", tag("code", _short(found.traceback))))
    return tag(
        "div",
        tag("h3", title),
        tag("p", single_line(found.error_message, _MESSAGE), class_="message") if found.error_message else None,
        tag("p", "at ", tag("code", found.error_frame)) if found.error_frame else None,
        trace,
        command(f"qexp debug {found.example}  # repeats one here and writes nothing\n{again}  # runs them again"),
        class_="error",
    )


def _short(traceback: str) -> str:
    """Return a traceback without the middle of many lines."""
    lines = traceback.strip("\n").split("\n")
    left = len(lines) - _FIRST - _LAST
    if left > 1:
        lines = [*lines[:_FIRST], f"… {left:,} lines left out …", *lines[-_LAST:]]
    return truncated("\n".join(lines), _TRACEBACK)
