"""SVG pictures inside of a report: results over parameters, and series over steps."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd

from qexp.analysis.html_elements import Html, visible
from qexp.analysis.plots.curves import series_of
from qexp.analysis.plots.drawing import draw
from qexp.analysis.plots.figure import Picture, applied
from qexp.analysis.plots.selection import Experiments, choose
from qexp.analysis.plots.spec import PlotSpec
from qexp.analysis.table.default_layout import DefaultLayout
from qexp.dotted_names import ABSENT
from qexp.errors import OptionError
from qexp.model import Json, Status
from qexp.store.connection import Connection
from qexp.store.reads import curves

if TYPE_CHECKING:
    from qexp.analysis.table.build import ComputedTable
    from qexp.analysis.table.table_experiments import TableExperiments

_SIZE = (7.0, 3.6)
"""Inches: the width of the text of a printed page."""
_LARGEST = 1e300
"""Whole numbers from here on may not fit into a double."""
_MOST_PANELS = 6
_MOST_LINES = 8
_MOST_SERIES = 4
_MOST_POINTS = 500_000


@dataclass(frozen=True)
class Drawing:
    """A picture, or the reason why there is none."""

    title: str
    svg: Html | None
    problem: str = ""


def of_result(parts: ComputedTable, arrangement: DefaultLayout, place: int) -> Drawing:
    """Draw a metric over the rows: lines over a number, boxes otherwise."""
    metric = parts.metrics[0].name
    title = " by ".join([f"{metric} over {arrangement.rows[-1]}", *arrangement.columns])

    def make() -> Picture:
        request = _request(parts.observed, arrangement, metric)
        frame, names = _frame(parts.observed, arrangement, metric)
        return draw(choose(Experiments(frame, names, [metric], parts.observed.studies[0].name), request), request)

    return _drawing(title, place, make)


def _request(observed: TableExperiments, arrangement: DefaultLayout, metric: str) -> PlotSpec:
    x, outer = arrangement.rows[-1], arrangement.rows[:-1]
    is_numeric = all(_is_number(value) for value in observed.axes[x].values)
    facet = next((name for name in outer if len(observed.axes[name].values) <= _MOST_PANELS), None)
    by = next(iter(arrangement.columns), None)
    kind = "line" if is_numeric else "box"
    style, size = _style_and_size(facet)
    log = "x" if is_numeric and _is_geometric(observed.axes[x].values) else ""
    x, by, facet = _label(x, metric), by and _label(by, metric), facet and _label(facet, metric)
    return PlotSpec(kind, metric, x, by, facet=facet, log=log, style=style, size=size, allow="open,mixed")


def _style_and_size(facet: str | None) -> tuple[str, tuple[float, float] | None]:
    """Return the style and the size: pictures with panels are wider, and have smaller letters."""
    return ("screen", _SIZE) if facet is None else ("paper", None)


def _is_geometric(values: Sequence[Json]) -> bool:
    """
    Return whether numbers are spaced more evenly on a logarithmic axis.

    >>> _is_geometric([0.01, 0.1, 1]), _is_geometric([1, 2, 3]), _is_geometric([0, 1, 10])
    (True, False, False)
    """
    numbers = np.sort(np.array(values, dtype=np.float64))
    if len(numbers) < 2 or numbers[0] <= 0 or not np.isfinite(numbers[-1]) or numbers[-1] < 10 * numbers[0]:
        return False
    steps, ratios = np.diff(numbers), np.diff(np.log(numbers))
    return bool(ratios.std() / ratios.mean() < steps.std() / steps.mean()) or len(numbers) == 2


def _is_number(value: Json) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


def _label(axis: str, metric: str | None) -> str:
    """Return the column name of an axis; `param.NAME` if another column has its name."""
    return f"param.{axis}" if axis in ("id", "status", metric) else axis


def _frame(
    observed: TableExperiments, arrangement: DefaultLayout, metric: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the experiments with the columns that a picture needs, and the columns that are parameters."""
    columns: dict[str, Any] = {"id": observed.ids, "status": np.array(list(map(str, Status)))[observed.status]}
    axes = {
        _label(name, metric): observed.axes[name] for name in [*arrangement.rows, *arrangement.columns, *observed.over]
    }
    for name, axis in axes.items():
        values = np.empty(len(axis.values), dtype=object)
        values[:] = [None if value is ABSENT else value for value in axis.values]
        columns[name] = pd.Series(values[axis.codes], dtype=object).infer_objects()
    if metric is not None:
        columns[metric] = observed.metrics[metric]
    return pd.DataFrame(columns), list(axes)


def of_series(
    connection: Connection, observed: TableExperiments, arrangement: DefaultLayout, place: int
) -> list[Drawing]:
    """Draw the series that experiments have recorded, a picture for each name."""
    ids = observed.ids.tolist()
    if curves.is_large(connection, ids, _MOST_POINTS):
        text = f"there are more than {_MOST_POINTS:,} points; draw some with 'qexp plot {observed.studies[0].name}"
        return [Drawing("Series over steps", None, f"{text} --kind curve --metric NAME --where CONDITION'")]
    names = curves.names(connection, (ids, ids))
    found = [
        _curve(connection, observed, arrangement, name, place + at) for at, name in enumerate(names[:_MOST_SERIES])
    ]
    if left := names[_MOST_SERIES:]:
        found.append(Drawing("More series", None, f"not drawn: {', '.join(left)}"))
    return found


def _curve(
    connection: Connection, observed: TableExperiments, arrangement: DefaultLayout, name: str, place: int
) -> Drawing:
    axes = [*reversed(arrangement.rows), *arrangement.columns]
    by = next((one for one in axes if 1 < len(observed.axes[one].values) <= _MOST_LINES), None)
    facet = next((one for one in axes if one != by and 1 < len(observed.axes[one].values) <= _MOST_PANELS), None)
    title = f"{name} over steps{f', by {by}' if by else ''}"
    style, size = _style_and_size(facet)
    by, facet = by and _label(by, None), facet and _label(facet, None)
    request = PlotSpec("curve", name, by=by, facet=facet, style=style, size=size, allow="open,mixed")

    def make() -> Picture:
        frame, names = _frame(observed, arrangement, None)
        chosen = choose(Experiments(frame, names, [], observed.studies[0].name), request)
        series, drawn = series_of(connection, chosen, request)
        return draw(drawn, request, series)

    return _drawing(title, place, make)


def _drawing(title: str, place: int, make: Callable[[], Picture]) -> Drawing:
    """Return the picture that *make* draws, or the reason why it cannot; *place* makes the ids of pictures differ."""
    try:
        with warnings.catch_warnings():
            # the browser has a font for letters that matplotlib's font lacks
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            return Drawing(title, svg(make(), f"p{place}"))
    except OptionError as error:
        return Drawing(title, None, str(error))


def svg(picture: Picture, prefix: str) -> Html:
    """
    Return a picture as an element for a page.

    It has no reference to anything outside, takes black and white from the page, and its ids begin with *prefix*.
    """
    content = io.StringIO()
    with applied(picture.style), matplotlib.rc_context({"svg.fonttype": "none"}):
        picture.savefig(content, format="svg", metadata=_NO_METADATA)
    return Html(_cleaned(content.getvalue(), prefix))


_NO_METADATA: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
_COLORS = {
    "#000000": "currentcolor",
    "#ffffff": "var(--page)",
    "#666666": "var(--faint)",
    "#e6e6e6": "var(--line)",
}
"""Colours that follow the page, so that pictures can be read in the dark."""


def _cleaned(text: str, prefix: str) -> str:
    """Return the drawing in a file of matplotlib. Only tags are changed: text of users stands between them."""
    text = visible(text[text.index("<svg") :])
    for what in (r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>", r"<!--.*?-->"):
        text = re.sub(what, "", text, flags=re.DOTALL)
    referred = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    text = re.sub(r"<[^<>]+>", lambda match: _cleaned_tag(match[0], prefix, referred), text)
    return re.sub(r">\s+<", "><", text).strip()


def _cleaned_tag(found: str, prefix: str, referred: Collection[str]) -> str:
    """Return one tag: no namespaces, no ids that nothing refers to, colours of the page, two decimals."""
    found = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", " ".join(found.split()))
    found = re.sub(r' id="([^"]*)"', lambda match: f' id="{prefix}-{match[1]}"' * (match[1] in referred), found)
    found = re.sub(r"(?:xlink:)?href=\"#", f'href="#{prefix}-', found).replace("url(#", f"url(#{prefix}-")
    found = re.sub(r"(\d\.\d\d)\d+", r"\1", found)
    for color, name in _COLORS.items():
        found = re.sub(rf"{color}\b", name, found)
    return found.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
