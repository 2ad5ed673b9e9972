"""The texts of rows, columns and headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qexp.analysis.table.model import Key
from qexp.analysis.table.replicates import Axes
from qexp.dotted_names import ABSENT
from qexp.errors import OptionError, nearest
from qexp.model import Json, canonical, plain, short_names
from qexp.truncation import listed

NO_VALUE = "—"
"""The label of a parameter that an experiment does not have."""


def keys(axes: Axes, labels: Mapping[str, str]) -> list[Key]:
    """
    Return the labels of rows or columns; all labels differ.

    Import paths such as `sklearn.svm.SVC` are shown by their last parts if these differ. *labels* replaces texts,
    unless two values would have the same one.
    """
    made = [_texts([key[at] for key in axes.keys], labels) for at in range(len(axes.names))]
    return list(zip(*made, strict=True)) if made else [() for _ in axes.keys]


def _texts(values: Sequence[Json], labels: Mapping[str, str]) -> list[str]:
    """Return a text for each value of one axis; texts that different values share are replaced by longer ones."""
    short = short_names([value for value in values if value is not ABSENT and value is not None])
    wanted = [_label(text(value), short, labels) for value in values]
    identities = [_exact(value) for value in values]
    for longer in ([text(value) for value in values], identities):
        meant: dict[str, set[str]] = {}
        for label, identity in zip(wanted, identities, strict=True):
            meant.setdefault(label, set()).add(identity)
        wanted = [long if len(meant[label]) > 1 else label for label, long in zip(wanted, longer, strict=True)]
    return wanted if len(set(wanted)) == len(set(identities)) else identities


def _label(whole: str, short: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Return the label of a value, which *labels* may give by its text or by its short name."""
    return labels.get(whole, labels.get(brief := short.get(whole, whole), brief))


def text(value: Json) -> str:
    """Return the value of a parameter as text."""
    return NO_VALUE if value is ABSENT else plain(value)


def _exact(value: Json) -> str:
    """Return a value as JSON: the number 1 and the text "1" differ."""
    return NO_VALUE if value is ABSENT else f'"{value}"' if isinstance(value, str) else canonical(value)


def place(found: Sequence[Key], axes: Axes, wanted: str) -> int | None:
    """Return the place of a row or column by its labels or values, with commas between; None if it is unknown."""
    words = [tuple(text(value) for value in key) for key in axes.keys]
    for known in (found, words):
        for at, key in enumerate(known):
            if wanted in (",".join(key), " / ".join(key)):
                return at
    return None


def baseline(found: Sequence[Key], axes: Axes, wanted: str, noun: str) -> int:
    """Return the place of the baseline. Raises OptionError, with the nearest label, if there is none."""
    at = place(found, axes, wanted)
    if at is None:
        known = [",".join(key) for key in found]
        hint = nearest(wanted, known) or f"; there are {listed(known, 8)}"
        raise OptionError(f"--baseline: there is no {noun} {wanted!r}{hint}")
    return at


def values(key: Sequence[Json]) -> str:
    """Return the values of several axes as one text."""
    return ", ".join(map(text, key))
