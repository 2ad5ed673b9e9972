"""The texts of rows, columns and headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qexp.analysis.table.model import Key
from qexp.analysis.table.units import Axes
from qexp.model import Json, plain, short_names

ABSENT = "—"
"""The label of a parameter that an experiment does not have."""


def keys(axes: Axes, labels: Mapping[str, str]) -> list[Key]:
    """
    Return the labels of rows or columns, each unlike the others.

    Import paths such as `sklearn.svm.SVC` are shown by their last parts if these differ. *labels* replaces texts.
    """
    made = [_texts([key[at] for key in axes.keys], labels) for at in range(len(axes.names))]
    found: list[Key] = list(zip(*made, strict=True)) if made else [() for _ in axes.keys]
    return found if len(set(found)) == len(found) else [tuple(map(_exact, key)) for key in axes.keys]


def _texts(values: Sequence[Json], labels: Mapping[str, str]) -> list[str]:
    short = short_names([value for value in values if value is not None])
    return [_label(text := _text(value), short.get(text, text), labels) for value in values]


def _label(text: str, short: str, labels: Mapping[str, str]) -> str:
    """Return the label of a value, which *labels* may give by its text or by its short name."""
    return labels.get(text, labels.get(short, short))


def _text(value: Json) -> str:
    return ABSENT if value is None else plain(value)


def _exact(value: Json) -> str:
    """Return a value as JSON: the number 1 and the text "1" differ."""
    return ABSENT if value is None else f'"{value}"' if isinstance(value, str) else plain(value)


def place(found: Sequence[Key], axes: Axes, wanted: str) -> int | None:
    """Return the place of a row or column by its label or value, or by several with commas between; None: unknown."""
    words = [tuple(_text(value) for value in key) for key in axes.keys]
    for known in (found, words):
        for at, key in enumerate(known):
            if wanted in (",".join(key), " / ".join(key)):
                return at
    return None
