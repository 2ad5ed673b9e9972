"""Columns of parameters and results in frames, views and tables: a mapping has several columns; labels are unique."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qexp.dotted_names import ABSENT, Absent, inside
from qexp.model import Json

FACTS = {
    "status": "str",
    "attempt": "int64",
    "revision": "Int64",
    "host": "str",
    "started_at": "datetime64[us, UTC]",
    "duration": "float64",
    "last_attempt": "float64",
    "failure": "str",
    "error": "str",
}
"""The columns of each table of experiments except `id`, with their types in frames."""
MORE_FACTS = ("study", "created_at", "finished_at")
"""Facts that conditions, `--sort` and `--columns` know too, unless a parameter or result has the name."""
WIDEST = 200
"""The most columns that one mapping becomes; a mapping with more keys, such as a histogram, stays a value."""
DEEPEST = 10
"""The most nested mappings that become columns; a mapping that is deeper inside, as in a tree, stays a value."""

KeyPath = tuple[str, ...]
"""The keys that lead to a value; the first one is the name of a parameter or result."""
Source = Literal["params", "result"]
_PREFIXES: Mapping[Source, str] = {"params": "param.", "result": "result."}


class Shape:
    """
    The shape of a parameter or result: the kinds of its values, and the keys of mappings in their order.

    A mapping with keys becomes columns; a list and an empty mapping are values.
    """

    __slots__ = ("keys", "kinds", "wide")

    def __init__(self) -> None:
        self.keys: dict[str, Shape] = {}
        self.kinds: set[str] = set()
        """The kinds of values that are not mappings: whole, number, nan, text, bool, json."""
        self.wide = False
        """There are too many keys: mappings are values."""

    def add(self, values: Iterable[Json], depth: int = 0) -> None:
        """Add values to the shape; *depth* is their depth in a parameter or result, and None changes nothing."""
        for value in values:
            if type(value) is dict and value:
                self._add_keys(value, depth + 1)
            elif value is not None:
                self.kinds.add(_kind(value))

    def _add_keys(self, mapping: Mapping[str, Json], depth: int) -> None:
        if self.wide:
            return
        for key, value in mapping.items() if depth <= DEEPEST else ():
            self.keys.setdefault(key, Shape()).add([value], depth)
        if depth > DEEPEST or len(self.keys) > WIDEST:
            self._fold()

    def _fold(self) -> None:
        self.wide = True
        self.keys.clear()
        self.kinds.add("json")

    def limit(self) -> int:
        """Keep mappings with too many columns as values, inner ones first. Returns the number of columns."""
        width = sum(shape.limit() for shape in self.keys.values()) + (bool(self.kinds) or not self.keys)
        if width <= WIDEST:
            return width
        self._fold()
        return 1

    def paths(self, path: KeyPath) -> Iterator[tuple[KeyPath, Shape]]:
        """Yield the columns below *path* after `limit`: paths, each with the shape of its values."""
        if self.kinds or not self.keys:
            yield path, self
        for key, shape in self.keys.items():
            yield from shape.paths((*path, key))

    def items(self, value: Json, path: KeyPath) -> Iterator[tuple[KeyPath, Json]]:
        """Yield the paths and values of the columns below *path* for a value that the shape has seen."""
        if type(value) is dict and value and not self.wide:
            for key, item in value.items():
                yield from self.keys[key].items(item, (*path, key))
        else:
            yield path, value

    def data(self) -> Json:
        """Return this as JSON data, which `of` reads."""
        return [sorted(self.kinds), self.wide, [[key, shape.data()] for key, shape in self.keys.items()]]

    @classmethod
    def of(cls, data: Json) -> Shape:
        """Return the shape that `data` returned as JSON."""
        made = cls()
        kinds, made.wide, keys = data
        made.kinds, made.keys = set(kinds), {key: cls.of(item) for key, item in keys}
        return made


def _kind(value: Json) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "whole"
        case float():
            return "number" if math.isfinite(value) else "nan"
        case str():
            return "text"
    return "json"


_NOTHING = Shape()


@dataclass(frozen=True)
class Column:
    """A column of a table of experiments."""

    source: Source
    path: KeyPath
    label: str
    """Its name in frames, exports, views, tables and conditions."""
    splits: bool = False
    """Mappings among its values have columns of their own, and are absent in this one."""
    folds: bool = False
    """Mappings among its values stay values, since they have too many keys."""
    base: KeyPath = ()
    """The path to the key that a dotted parameter sets, for experiments that have it in a mapping instead."""

    def inside(self, value: Json | Absent, path: KeyPath | None = None) -> Json | Absent:
        """Return the value of this column in a value of its parameter or result; *path* replaces the column's path."""
        found = inside(value, (path or self.path)[1:])
        return ABSENT if self.splits and type(found) is dict and found else found

    def of(self, data: Mapping[str, Json] | None) -> Json | Absent:
        """Return the value of this column in an experiment's parameters or result."""
        found = self.inside((data or {}).get(self.path[0], ABSENT))
        if found is ABSENT and self.base:
            return self.inside((data or {}).get(self.base[0], ABSENT), self.base)
        return found


def shapes(names: Iterable[str], rows: Sequence[Mapping[str, Json] | None]) -> dict[str, Shape]:
    """Return the shape of each parameter or result of some experiments."""
    found = {name: Shape() for name in names}
    for name, shape in found.items():
        shape.add((row or {}).get(name) for row in rows)
        shape.limit()
    return found


def top_labels(
    parameters: Iterable[str], results: Iterable[str], reserved: Iterable[str] = ()
) -> dict[tuple[Source, str], str]:
    """
    Return the label of each parameter and result.

    It is the plain name if that is free, otherwise the name with the prefix `param.` or `result.`, repeated if needed.
    Names that are *reserved* are not free, nor are those of the facts.

    >>> list(top_labels(["n", "status"], ["n"]).values())
    ['n', 'param.status', 'result.n']
    """
    given: list[tuple[Source, str]] = [*(("params", name) for name in parameters), *(("result", n) for n in results)]
    taken, found = {"id", *FACTS, *reserved}, {}
    for source, name in given:
        found[source, name] = label = _free(source, name, taken)
        taken.add(label)
    return found


def columns(
    parameters: Mapping[str, Shape], results: Mapping[str, Shape], reserved: Iterable[str] = ()
) -> list[Column]:
    """
    Return the columns of parameters, then results, of these shapes, in their order.

    A key of a mapping has the label of the mapping, a dot, and its own name. A parameter with such a dotted name sets
    this key, so both are one column. A result with such a name takes the label from the key, unless it has no values.
    """
    tops = top_labels(parameters, results, reserved)
    taken = {"id", *FACTS, *reserved, *tops.values()}
    found: list[Column] = []
    given: list[tuple[Source, Mapping[str, Shape]]] = [("params", parameters), ("result", results)]
    for source, known in given:
        nested = {path: shape for name, top in known.items() for path, shape in top.paths((name,))}
        same: dict[str, KeyPath] = {}
        for path in nested:
            if len(path) > 1 and (flat := ".".join(path)) in known:
                same.setdefault(flat, path)
        blank = {name for name in same if source == "result" and not nested.get((name,), _NOTHING).kinds}
        bases = set(same.values()) if source == "params" else set()
        taken -= {tops[source, name] for name in blank}
        for path, shape in nested.items():
            label = tops[source, path[0]]
            if path in bases or (len(path) == 1 and path[0] in blank):
                continue
            if len(path) > 1:
                label = _free(source, ".".join((label, *path[1:])), taken)
                taken.add(label)
            base = same.get(path[0], ()) if len(path) == 1 and source == "params" else ()
            below = nested.get(base, _NOTHING)
            splits, folds = bool(shape.keys or below.keys), shape.wide or below.wide
            found.append(Column(source, path, label, splits, folds, base))
    return found


_MOST_DOTS = 4
"""The most dots in a written path for which keys with dots are tried; with more dots each one separates keys."""


def locate(
    names: Mapping[Source, Sequence[str]], prefix: str | None, parts: Sequence[str]
) -> tuple[Source, list[KeyPath]] | None:
    """
    Return the source of a column that is written as *parts*, and possible paths to its value in order of likelihood.

    *names* has the names of parameters and results; *prefix* is `param`, `result` or None. Returns None if no column
    has this name.

    >>> locate({"params": ["lr"], "result": ["train"]}, None, ["train", "acc"])
    ('result', [('train', 'acc')])
    """
    text = ".".join(parts)
    if prefix is None and (found := _locate(names, None, text, parts)) is not None:
        return found
    if prefix is None:  # quotes may enclose the prefix too
        prefix, _, text = text.partition(".")
        parts = [text]
    return _locate(names, prefix, text, parts)


def _locate(
    names: Mapping[Source, Sequence[str]], prefix: str | None, text: str, parts: Sequence[str]
) -> tuple[Source, list[KeyPath]] | None:
    whole = text if prefix is None else f"{prefix}.{text}"
    labels = top_labels(names["params"], names["result"])
    own = {top: label for top, label in labels.items() if prefix is None or label.startswith(f"{prefix}.")}
    plain = {top: top[1] for top in labels if prefix is None or _PREFIXES[top[0]] == f"{prefix}."}
    return (
        _leading(own, whole, parts)
        or _leading(plain, text, parts, shortest=prefix is not None)
        or _leading(labels, whole, parts)
    )


def _leading(
    spelled: Mapping[tuple[Source, str], str], text: str, parts: Sequence[str], shortest: bool = False
) -> tuple[Source, list[KeyPath]] | None:
    """Return possible paths by the names that a text begins with: the longest name first, or the *shortest*."""
    leads = [top for top, label in spelled.items() if text == label or text.startswith(f"{label}.")]
    if not leads:
        return None
    leads.sort(key=lambda top: len(spelled[top]), reverse=not shortest)
    source, name = leads[0]
    if spelled[leads[0]] != name:  # a label with a prefix has one meaning
        leads = leads[:1]
    return source, _paths(text, parts, [(spelled[top], top[1]) for top in leads if top[0] == source])


def _paths(text: str, parts: Sequence[str], known: Iterable[tuple[str, str]]) -> list[KeyPath]:
    """Return the paths that a text may mean, by the labels and names that it begins with."""
    found: dict[KeyPath, None] = {}
    for label, name in known:
        rest = text[len(label) + 1 :]
        written = (parts[first:] for first in range(len(parts)) if ".".join(parts[first:]) == rest)
        keys = [*written, *_splits(rest)] if len(text) > len(label) else [()]
        found |= dict.fromkeys((name, *some) for some in keys)
    return list(found)


def _splits(text: str) -> Iterator[KeyPath]:
    """Yield the ways to split a text into keys at its dots, most keys first."""
    keys = text.split(".")
    if len(keys) > _MOST_DOTS + 1:
        yield tuple(keys)
        return
    gaps = range(1, len(keys))
    for count in range(len(keys)):
        for joined in itertools.combinations(gaps, count):
            cuts = [0, *(gap for gap in gaps if gap not in joined), len(keys)]
            yield tuple(".".join(keys[low:high]) for low, high in itertools.pairwise(cuts))


def _free(source: Source, label: str, taken: set[str]) -> str:
    while label in taken:
        label = _PREFIXES[source] + label
    return label


def value_or_none(value: Any) -> Json:
    """Return the value of a column, or None if it is absent."""
    return None if value is ABSENT else value
