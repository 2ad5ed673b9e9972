"""Fold text at the width of the terminal; the rest of a line continues below it, indented."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qexp.cli.output import console
from qexp.cli.terminal_writer import visible

_NARROWEST = 20
_MARKS = re.compile(r"\s*[\^~]+\s*")
_MOST = 20_000
"""Characters of a line that are folded; the terminal breaks the rest."""


def folded(text: str, indent: int = 0, deeper: int = 4) -> str:
    """
    Return text whose lines stand *indent* columns from the left, and fit into the terminal.

    The first line has no indent, so that text may precede it. The rest of a line stands *deeper* than its beginning. A
    pipe gets lines of any length. Characters that control a terminal are escaped.
    """
    width = max(_NARROWEST, console().width - indent)
    lines = [part for line in _without_misplaced_marks(visible(text), width) for part in _parts(line, width, deeper)]
    return "\n".join(f"{'':{indent if number and line else 0}}{line}" for number, line in enumerate(lines))


def _without_misplaced_marks(text: str, width: int) -> Iterator[str]:
    """Yield lines, except the marks that a traceback puts below a line that is folded."""
    before = ""
    for line in text.split("\n"):
        if not (_MARKS.fullmatch(line) and len(before) > width):
            yield line
        before = line


def _parts(line: str, width: int, deeper: int) -> list[str]:
    """Break a line between words, or within a word that is too long."""
    from rich.cells import cell_len
    from rich.text import Text

    line = line.rstrip().expandtabs(4)
    if cell_len(line) <= width or len(line) > _MOST:
        return [line]
    own = len(line) - len(line.lstrip())
    rest = min(own + deeper, width - _NARROWEST // 2)
    first, *others = Text(line).wrap(console(), width)
    if not others:
        return [first.plain]
    kept = line[len(first.plain) :].lstrip()
    return [
        first.plain.rstrip(),
        *(f"{'':{rest}}{part.plain.rstrip()}" for part in Text(kept).wrap(console(), width - rest)),
    ]
