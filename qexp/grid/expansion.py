"""
Axes become parameter sets, without holding them all.

Every rule is a bit. A row of an axis carries the bits of the rules that it does not contradict; the bits that all rows
of a combination share are the rules that hold for it. So a combination costs one AND per axis that a rule looks at.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, itemgetter
from typing import NamedTuple

from qexp import jsonb
from qexp.grid.rules import Rule
from qexp.model import Json, canonical, to_text

Part = str | int

_ALL = -1
"""Every bit set: nothing is contradicted."""
_HELD = 10_000
"""Rows of an axis that are kept ready; those of a longer axis are made anew in each pass."""


@dataclass(frozen=True)
class Axis:
    """Names that vary together and the column of values of each, all of one length."""

    names: tuple[str, ...]
    columns: tuple[Sequence[Json], ...]
    place: tuple[Part, ...]
    """Where in the grid the axis is written; for names that vary together, where the entry is."""
    condition: Rule | None = None
    """The axis exists only where this holds; axes that stand side by side with one condition share the object."""

    def __len__(self) -> int:
        return len(self.columns[0])

    def sets(self) -> Iterator[dict[str, Json]]:
        """Yield the parameters that each row of the axis gives."""
        for values in zip(*self.columns, strict=True):
            yield dict(zip(self.names, values, strict=True))


class Row(NamedTuple):
    """One row of an axis, ready to be combined."""

    params: Mapping[str, Json]
    text: str
    """The parameters as JSON, without the braces."""
    canonical: tuple[str, ...]
    """Each parameter as canonical JSON."""
    bits: int
    exact: str = ""
    """What jsonb would change in the parameters as JSON, without the braces; see `qexp.jsonb`."""


class Expansion:
    """The combinations of axes, the last varying fastest, less those that a rule of *exclude* drops."""

    def __init__(self, axes: Sequence[Axis], exclude: Sequence[Rule]) -> None:
        self.axes, self.exclude = axes, exclude
        conditions = list({id(axis.condition): axis.condition for axis in axes if axis.condition is not None}.values())
        rules = [*exclude, *conditions]
        self._drop = (1 << len(exclude)) - 1
        bit = {id(rule): 1 << number for number, rule in enumerate(rules)}
        self._bit = [0 if axis.condition is None else bit[id(axis.condition)] for axis in axes]
        self._marks = _marks(rules)
        self._seen = _Seen()
        self._levels = [
            _Level(axes_, bit[id(axes_[0].condition)] if axes_[0].condition else 0, self._marks, self._seen)
            for axes_ in _side_by_side(axes)
        ]

    def __iter__(self) -> Iterator[dict[str, Json]]:
        for rows, _ in self._walk(0, (), _ALL, 0):
            params: dict[str, Json] = {}
            for row in rows:
                params.update(row.params)
            yield params

    def encoded(self, known: Iterable[str] = ()) -> Iterator[tuple[bytes, str, str | None]]:
        """
        Yield each parameter set as its fingerprint (see `qexp.model.fingerprint`), its JSON text, and that of `exact`.

        `exact` is what jsonb would change in it, None: nothing, if the order of the *known* names is known.
        """
        hashed, present = hashlib.blake2b, -1
        names = list(dict.fromkeys(name for axis in self.axes for name in axis.names))
        ordered = jsonb.is_in_order(names, known)
        order_text = [] if ordered else [f'"order": {to_text(names)}']
        order: Callable[[Sequence[str]], Sequence[str]] = _no_order
        for rows, active in self._walk(0, (), _ALL, 0):
            if active != present:
                order, present = self._order(active), active
            parts = [part for row in rows for part in row.canonical]
            digest = hashed(("{" + ",".join(order(parts)) + "}").encode(), digest_size=16).digest()
            text = "{" + ", ".join([row.text for row in rows]) + "}"
            if ordered and not self._seen.exact:
                yield digest, text, None
                continue
            exact = [row.exact for row in rows if row.exact] + order_text
            yield digest, text, "{" + ", ".join(exact) + "}" if exact else None

    def total(self) -> int:
        """Return the number of combinations; `len` has no room for one beyond `sys.maxsize`."""
        return sum(count for count, bits in self._reduced() if not bits & self._drop)

    def holds(self, rows: Sequence[Mapping[str, Json]]) -> list[bool]:
        """Say of each row whether it is one of the combinations; each axis is walked once, however many rows ask."""
        held: list[bool] = []
        asked: list[dict[str, list[int]]] = [{} for _ in self.axes]
        for number, row in enumerate(rows):
            there = self._axes_at(row)
            names = {name for index in there for name in self.axes[index].names}
            held.append(bool(names) and names == set(row))
            for index in there if held[-1] else ():
                part = canonical({name: row[name] for name in self.axes[index].names})
                asked[index].setdefault(part, []).append(number)
        for axis, parts in zip(self.axes, asked, strict=True):
            for part in parts.keys() - map(canonical, axis.sets()) if parts else ():
                for number in parts[part]:
                    held[number] = False
        return held

    def _axes_at(self, row: Mapping[str, Json]) -> list[int]:
        """Return the axes that exist where a row is, by their numbers; none where a rule drops it."""
        matching = _bits(row, self._marks)
        for name, (looking, _) in self._marks.items():
            matching &= _ALL if name in row else ~looking
        if matching & self._drop:
            return []
        return [index for index, bit in enumerate(self._bit) if not bit or matching & bit]

    def silent(self) -> list[int]:
        """Return the numbers of the rules of *exclude* that match no combination."""
        seen = 0
        for _, bits in self._reduced():
            seen |= bits & self._drop
        # a rule that only matches what another one drops too has matched: _reduced yields dropped ones too
        return [number for number in range(len(self.exclude)) if not seen >> number & 1]

    def _walk(self, level: int, rows: tuple[Row, ...], bits: int, active: int) -> Iterator[tuple[tuple[Row, ...], int]]:
        """Yield the rows of each combination and which levels they come from, one bit per level."""
        while level < len(self._levels):  # without a call for each level: there may be thousands
            here = self._levels[level]
            if here.is_absent(bits):
                bits &= here.absent
            elif here.is_single:
                (combination,) = here.combinations()
                rows, bits, active = rows + combination, here.shared(bits, combination), active | 1 << level
            else:
                break
            level += 1
        if level == len(self._levels):
            if rows and not bits & self._drop:
                yield rows, active
            return
        here = self._levels[level]
        active |= 1 << level
        last = level + 1 == len(self._levels)
        for combination in here.combinations():
            shared = here.shared(bits, combination)
            if not last:
                yield from self._walk(level + 1, rows + combination, shared, active)
            elif not shared & self._drop:
                yield rows + combination, active

    def _reduced(self) -> Iterator[tuple[int, int]]:
        """Yield how many combinations share which rules: rows that no rule tells apart are counted, not walked."""
        if not self._levels:
            return
        counts = {_ALL: 1}
        for level in self._levels[:-1]:
            following: dict[int, int] = {}
            for count, bits in level.reduced(counts):
                following[bits] = following.get(bits, 0) + count
            counts = following
        yield from self._levels[-1].reduced(counts)

    def _order(self, active: int) -> Callable[[Sequence[str]], Sequence[str]]:
        """Return what brings the parts of a combination into the order of their names."""
        names = [
            name
            for number, level in enumerate(self._levels)
            if active >> number & 1
            for axis in level.axes
            for name in axis.names
        ]
        order = sorted(range(len(names)), key=names.__getitem__)
        return _no_order if len(order) == 1 else itemgetter(*order)


def _no_order(parts: Sequence[str]) -> Sequence[str]:
    return parts


def _side_by_side(axes: Sequence[Axis]) -> list[list[Axis]]:
    """Return axes in runs: those with one condition, or none, whose product is walked at once; a long axis alone."""
    runs: list[list[Axis]] = []
    for axis in axes:
        joins = runs and len(axis) <= _HELD and len(runs[-1][-1]) <= _HELD
        if joins and runs[-1][-1].condition is axis.condition:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


class _Seen:
    """Whether a row of any axis has had something that jsonb changes."""

    exact = False


class _Level:
    """Axes that exist together."""

    def __init__(self, axes: Sequence[Axis], condition: int, marks: Marks, seen: _Seen) -> None:
        self.axes, self.condition, self._marks, self._seen = axes, condition, marks, seen
        self._concerns = [_concerned(axis, marks) for axis in axes]
        self.absent = ~0
        for concern in self._concerns:
            self.absent &= ~concern
        self.is_single = all(len(axis) == 1 for axis in axes)
        self._watched = [index for index, concern in enumerate(self._concerns) if concern]
        self._kinds = [_kinds(axis, marks, concern) for axis, concern in zip(axes, self._concerns, strict=True)]
        self._held: list[list[Row]] | None = None

    def is_absent(self, bits: int) -> bool:
        """Say whether the condition of the axes contradicts the rows before them, which share *bits*."""
        return bool(self.condition) and not bits & self.condition

    def shared(self, bits: int, combination: tuple[Row, ...]) -> int:
        """Return the bits of the rules that hold for a combination and for the rows before it, which share *bits*."""
        for index in self._watched:
            bits &= combination[index].bits
        return bits

    def reduced(self, counts: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Yield how many combinations share which rules, after those before them, which are counted by their bits."""
        for before, number in counts.items():
            if self.is_absent(before):
                yield number, before & self.absent
                continue
            for combination in itertools.product(*self._kinds):
                bits, count = before, number
                for kind, size in combination:
                    bits &= kind
                    count *= size
                yield count, bits

    def combinations(self) -> Iterator[tuple[Row, ...]]:
        if len(self.axes) == 1 and len(self.axes[0]) > _HELD:
            return ((row,) for row in self._rows(0))
        if self._held is None:
            self._held = [list(self._rows(index)) for index in range(len(self.axes))]
        return itertools.product(*self._held)

    def _rows(self, index: int) -> Iterator[Row]:
        axis, concern = self.axes[index], self._concerns[index]
        names = axis.names
        spaced, tight = [f"{to_text(name)}: " for name in names], [f"{to_text(name)}:" for name in names]
        if len(names) == 1 and not concern:  # twice as fast, for the axes that are long
            (name,), (key,), (short,) = names, spaced, tight
            for value in axis.columns[0]:
                exact = self._exact(names, (value,)) if type(value) is not int and jsonb.is_changed(value) else ""
                yield Row({name: value}, key + to_text(value), (short + canonical(value),), _ALL, exact)
            return
        for values in zip(*axis.columns, strict=True):
            params = dict(zip(names, values, strict=True))
            texts = [repr(value) if type(value) in _NUMBERS else to_text(value) for value in values]
            # a number that is no whole float is spelled the same in both
            same = [
                text if (kind := type(value)) is int or (kind is float and not value.is_integer()) else canonical(value)
                for value, text in zip(values, texts, strict=True)
            ]
            bits = _bits(params, self._marks) if concern else _ALL
            exact = self._exact(names, values) if any(map(jsonb.is_changed, values)) else ""
            yield Row(params, ", ".join(map(add, spaced, texts)), tuple(map(add, tight, same)), bits, exact)

    def _exact(self, names: Sequence[str], values: Sequence[Json]) -> str:
        self._seen.exact = True
        return (jsonb.text_of(dict(zip(names, values, strict=True)), names) or "")[1:-1]


_NUMBERS = (int, float)
"""Types whose JSON is their repr: the floats of a grid are finite."""


Marks = Mapping[str, tuple[int, Mapping[str, int]]]
"""By name: the bits of the rules that look at it, and by value, as canonical JSON, of those that allow the value."""


def _marks(rules: Sequence[Rule]) -> Marks:
    """Return rules by what they look at, so that a row finds its bits without going through all rules."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for number, rule in enumerate(rules):
        for name, texts in rule.allowed.items():
            looking, allowing = found.get(name, (0, {}))
            for text in texts:
                allowing[text] = allowing.get(text, 0) | 1 << number
            found[name] = looking | 1 << number, allowing
    return found


def _concerned(axis: Axis, marks: Marks) -> int:
    """Return the bits of the rules that look at any name of an axis."""
    bits = 0
    for name in axis.names:
        bits |= marks[name][0] if name in marks else 0
    return bits


def _bits(params: Mapping[str, Json], marks: Marks) -> int:
    """Return the bits of the rules that nothing in a part of a parameter set contradicts."""
    bits = _ALL
    for name, value in params.items():
        if name in marks:
            looking, allowing = marks[name]
            bits &= ~looking | allowing.get(canonical(value), 0)
    return bits


def _kinds(axis: Axis, marks: Marks, concern: int) -> list[tuple[int, int]]:
    """Return the bits that rows of an axis have, and how many rows have them."""
    if not concern:
        return [(_ALL, len(axis))]
    counts: dict[int, int] = {}
    for params in axis.sets():
        bits = _bits(params, marks)
        counts[bits] = counts.get(bits, 0) + 1
    return list(counts.items())
