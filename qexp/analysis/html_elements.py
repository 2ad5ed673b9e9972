"""Build HTML: text is escaped unless it is HTML already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

# characters that HTML forbids, and characters that reorder a line: https://trojansource.codes
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"br", "hr", "meta"})


class Html(str):
    """Text that is HTML and is not escaped again."""

    __slots__ = ()


Child = Html | str | None | Iterable["Child"]
"""HTML, text to escape, nothing, or several of these."""


def visible(text: str) -> str:
    r"""
    Return text in which characters that control a terminal or the direction of a line are shown as escapes.

    >>> visible("a\x1b[31m")
    'a\\x1b[31m'
    """
    text = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escaped(text: str) -> Html:
    """
    Return text as HTML.

    >>> escaped('<b> "')
    '&lt;b&gt; &quot;'
    """
    return Html(escape(visible(text)))


def join(*children: Child) -> Html:
    """Return HTML and escaped text joined."""
    return Html("".join(_parts(children)))


def _parts(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str):
            yield escaped(child)
        elif child is not None:
            yield from _parts(child)


def tag(name: str, /, *children: Child, **attributes: str | int | float | None) -> Html:
    """
    Return an element; the attribute `class_` is `class`, other underscores become hyphens, None leaves one out.

    >>> tag("p", "a < b", tag("br"), class_="note", id=None)
    '<p class="note">a &lt; b<br></p>'
    """
    given = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None]
    opening = "".join([name, *(f' {key}="{escaped(str(value))}"' for key, value in given)])
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(*children)}</{name}>")


def table(
    heads: Iterable[Child],
    body: Iterable[Iterable[Child]],
    numbers: Iterable[int] = (),
    shades: Sequence[Sequence[str]] = (),
) -> Html:
    """
    Return a table; columns at the places *numbers* are aligned to the right.

    *shades* has a background for each cell of the body, or an empty text.
    """
    right = set(numbers)

    def line(kind: str, cells: Iterable[Child], colors: Sequence[str] = ()) -> Html:
        made = []
        for at, cell in enumerate(cells):
            style = f"background:{colors[at]}" if colors and colors[at] else None
            made.append(tag(kind, cell, class_="number" if at in right else None, style=style))
        return tag("tr", made)

    lines = [line("td", cells, shades[at] if shades else ()) for at, cells in enumerate(body)]
    return tag("table", tag("thead", line("th", heads)), tag("tbody", lines))


def rows(
    heads: Iterable[Child], body: Iterable[Iterable[Child]], numbers: Iterable[int] = (), facts: bool = False
) -> Html:
    """Return a table that a page may scroll; *facts* hides the heads."""
    return tag("div", table(heads, body, numbers), class_="wide facts" if facts else "wide")


def command(text: str) -> Html:
    """Return a command to copy, on a line of its own."""
    return tag("pre", tag("code", text), class_="command")


def fold(summary: Child, *children: Child) -> Html:
    """Return content that is folded on a screen and shown in print."""
    return tag("details", tag("summary", summary), *children)
