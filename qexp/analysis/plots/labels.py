"""Labels of axes, panels and legends for the values of parameters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from qexp.model import Json, plain, short_names, strict
from qexp.truncation import single_line

LONGEST = 32
"""The most characters of a label; a longer value is cut, and the caption has the whole value."""
WIDTH = 0.53
"""The mean width of a character in sizes of its font."""
NOTHING = "none"
"""The label of a parameter that an experiment does not have."""


def labels_of(values: Sequence[Json]) -> list[str]:
    """
    Return a label for each of some different values; no two are equal.

    >>> labels_of(["sklearn.svm.SVC", "sklearn.tree.DecisionTreeClassifier"]), labels_of([0.1, 1e-05, None])
    (['SVC', 'DecisionTreeClassifier'], ['0.1', '1e-05', 'none'])
    >>> labels_of([1, "1"])
    ['1', '"1"']
    """
    short = short_names([value for value in values if value is not None])
    texts = [short.get(text, text) for text in map(text_of, values)]
    twice = {text for text, count in Counter(texts).items() if count > 1}
    return _cut([_exact(value) if text in twice else text for value, text in zip(values, texts, strict=True)])


def text_of(value: Json) -> str:
    """Return a value as a person writes it, on one line: numbers to six digits."""
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.6g}"
    return single_line(plain(value)) or '""'


def _exact(value: Json) -> str:
    return repr(value) if isinstance(value, float) else json.dumps(strict(value), ensure_ascii=False)


def _cut(texts: list[str]) -> list[str]:
    """Return texts of at most LONGEST characters: without their middle, and numbered if two became equal."""
    half = LONGEST // 2
    cut = [text if len(text) <= LONGEST else f"{text[:half]}…{text[1 - half :]}" for text in texts]
    if len(set(cut)) == len(cut):
        return cut
    return [
        text if text == whole else f"{text[:-4]}…#{place}"
        for place, (text, whole) in enumerate(zip(cut, texts, strict=True), 1)
    ]


def shown(text: str) -> str:
    """
    Return text as matplotlib draws it unchanged: it takes two dollar signs for a formula.

    >>> shown("a$b$")
    'a\\\\$b\\\\$'
    """
    return text.replace("$", r"\$")
