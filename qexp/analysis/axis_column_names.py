"""Name the columns of axes: a name that a statistic already has becomes `param.NAME`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def axis_columns(axes: Sequence[str], figures: Iterable[str]) -> list[str]:
    """
    Return the columns of some axes; an axis named like a figure or an earlier axis is `param.NAME`.

    >>> axis_columns(["model", "done"], ["done", "expected"])
    ['model', 'param.done']
    """
    taken, names = set(figures), []
    for axis in axes:
        while axis in taken:
            axis = f"param.{axis}"
        taken.add(axis)
        names.append(axis)
    return names
