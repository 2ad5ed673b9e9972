"""
Axes become parameter sets, without holding them all.

Every rule is a bit. A row of an axis carries the bits of the rules that it does not contradict; the bits that all rows
of a combination share are the rules that hold for it. So a combination costs one AND per axis that a rule looks at.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add, itemgetter
from typing import NamedTuple

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


class Expansion:
    """The combinations of axes, the last varying fastest, less those that a rule of *exclude* drops."""

    def __init__(self, axes: Sequence[Axis], exclude: Sequence[Rule]) -> None:
        self.axes, self.exclude = axes, exclude
        conditions = list({id(axis.condition): axis.condition for axis in axes if axis.condition is not None}.values())
        self.rules = [*exclude, *conditions]
        self._drop = (1 << len(exclude)) - 1
        bit = {id(rule): 1 << number for number, rule in enumerate(self.rules)}
        self._levels = [
            _Level(axes_, bit[id(axes_[0].condition)] if axes_[0].condition else 0, self.rules)
            for axes_ in _side_by_side(axes)
        ]

    def __iter__(self) -> Iterator[dict[str, Json]]:
        for rows, _ in self._walk(0, (), _ALL, 0):
            params: dict[str, Json] = {}
            for row in rows:
                params.update(row.params)
            yield params

    def encoded(self) -> Iterator[tuple[bytes, str]]:
        """Yield each parameter set as its fingerprint (see `qexp.model.fingerprint`) and its JSON text."""
        hashed, present = hashlib.blake2b, -1
        order: Callable[[Sequence[str]], Sequence[str]] = _no_order
        for rows, active in self._walk(0, (), _ALL, 0):
            if active != present:
                order, present = self._order(active), active
            parts = [part for row in rows for part in row.canonical]
            digest = hashed(("{" + ",".join(order(parts)) + "}").encode(), digest_size=16).digest()
            yield digest, "{" + ", ".join([row.text for row in rows]) + "}"

    def __len__(self) -> int:
        return sum(count for count, _ in self._reduced(0, 1, _ALL))

    def silent(self) -> list[int]:
        """Return the numbers of the rules of *exclude* that match no combination."""
        seen = 0
        for _, bits in self._reduced(0, 1, _ALL):
            seen |= bits & self._drop
        # a rule that only matches what another one drops too has matched: _reduced yields dropped ones, counted 0
        return [number for number in range(len(self.exclude)) if not seen >> number & 1]

    def _walk(self, level: int, rows: tuple[Row, ...], bits: int, active: int) -> Iterator[tuple[tuple[Row, ...], int]]:
        """Yield the rows of each combination and which levels they come from, one bit per level."""
        if level == len(self._levels):
            if rows and not bits & self._drop:
                yield rows, active
            return
        here = self._levels[level]
        if here.condition and not bits & here.condition:
            yield from self._walk(level + 1, rows, bits & here.absent, active)
            return
        active |= 1 << level
        last = level + 1 == len(self._levels)
        for combination in here.combinations():
            shared = bits
            for index in here.watched:
                shared &= combination[index].bits
            if not last:
                yield from self._walk(level + 1, rows + combination, shared, active)
            elif not shared & self._drop:
                yield rows + combination, active

    def _reduced(self, level: int, count: int, bits: int) -> Iterator[tuple[int, int]]:
        """Yield how many combinations share which rules: rows that no rule tells apart are counted, not walked."""
        if level == len(self._levels):
            yield (0 if bits & self._drop or not self._levels else count), bits
            return
        here = self._levels[level]
        if here.condition and not bits & here.condition:
            yield from self._reduced(level + 1, count, bits & here.absent)
            return
        for combination in itertools.product(*here.kinds):
            shared, size = bits, count
            for kind, number in combination:
                shared &= kind
                size *= number
            yield from self._reduced(level + 1, size, shared)

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


class _Level:
    """Axes that exist together."""

    def __init__(self, axes: Sequence[Axis], condition: int, rules: Sequence[Rule]) -> None:
        self.axes, self.condition, self._rules = axes, condition, rules
        self._concerns = [_concerned(axis, rules) for axis in axes]
        self.absent = ~0
        for concern in self._concerns:
            self.absent &= ~concern
        self.watched = [index for index, concern in enumerate(self._concerns) if concern]
        self.kinds = [_kinds(axis, rules, concern) for axis, concern in zip(axes, self._concerns, strict=True)]
        self._held: list[list[Row]] | None = None

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
                yield Row({name: value}, key + to_text(value), (short + canonical(value),), _ALL)
            return
        for values in zip(*axis.columns, strict=True):
            params = dict(zip(names, values, strict=True))
            texts = [repr(value) if type(value) in _NUMBERS else to_text(value) for value in values]
            # a number that is no whole float is spelled the same in both
            same = [
                text if (kind := type(value)) is int or (kind is float and not value.is_integer()) else canonical(value)
                for value, text in zip(values, texts, strict=True)
            ]
            bits = _bits(params, self._rules, concern) if concern else _ALL
            yield Row(params, ", ".join(map(add, spaced, texts)), tuple(map(add, tight, same)), bits)


_NUMBERS = (int, float)
"""Types whose JSON is their repr: the floats of a grid are finite."""


def _concerned(axis: Axis, rules: Sequence[Rule]) -> int:
    """Return the bits of the rules that look at any name of an axis."""
    return sum(1 << number for number, rule in enumerate(rules) if any(name in rule.allowed for name in axis.names))


def _bits(params: Mapping[str, Json], rules: Sequence[Rule], concern: int) -> int:
    bits = _ALL
    for number, rule in enumerate(rules):
        if concern >> number & 1 and not rule.holds_on(params):
            bits &= ~(1 << number)
    return bits


def _kinds(axis: Axis, rules: Sequence[Rule], concern: int) -> list[tuple[int, int]]:
    """Return the bits that rows of an axis have, and how many rows have them."""
    if not concern:
        return [(_ALL, len(axis))]
    counts: dict[int, int] = {}
    for params in axis.sets():
        bits = _bits(params, rules, concern)
        counts[bits] = counts.get(bits, 0) + 1
    return list(counts.items())
