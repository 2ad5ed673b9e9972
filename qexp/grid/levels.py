"""
Axes that stand side by side, and their rows as bits.

Every rule is a bit. A row of an axis carries the bits of the rules that it does not contradict; the bits that all rows
of a combination share are the rules that hold for it. So a combination costs one AND per axis that a rule looks at.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from qexp import jsonb
from qexp.dotted_names import ABSENT, inside, owner
from qexp.grid.reader import Part
from qexp.grid.rules import Rule
from qexp.model import Json, canonical, to_text

ALL = -1
"""Every bit set: nothing is contradicted."""
_HELD = 10_000
"""Rows of an axis that are kept ready; those of a longer axis are made anew in each pass."""


@dataclass(frozen=True)
class Axis:
    """Names that vary together and the column of values of each, all of one length."""

    names: tuple[str, ...]
    columns: tuple[Sequence[Json], ...]
    places: tuple[tuple[Part, ...], ...]
    """Where in the grid the values of each name are written."""
    condition: Rule | None = None
    """The axis exists only where this holds; axes of one entry of `when` share the object."""
    drawn: bool = False
    repeats: int = 0
    """Drawn rows that were equal to others and left out."""

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


class Seen:
    """Whether a row of any axis has had something that jsonb changes."""

    exact = False


def side_by_side(axes: Sequence[Axis]) -> list[list[Axis]]:
    """Return axes in runs: those with one condition, or none, whose product is walked at once; a long axis alone."""
    runs: list[list[Axis]] = []
    for axis in axes:
        joins = runs and len(axis) <= _HELD and len(runs[-1][-1]) <= _HELD
        if joins and runs[-1][-1].condition is axis.condition:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


@dataclass
class Missing:
    """What a level must know of names that several levels give, each under a condition of its own."""

    given: dict[str, int]
    """By name, the bit that says that no level has given it yet, for the names of this level."""
    last: list[tuple[int, int]]
    """This bit, and those of the rules that look at the name, for the names that no later level gives."""


def missing_of(runs: Sequence[Sequence[Axis]], marks: Marks, first: int) -> list[Missing]:
    """Return what each level must know; the bits begin with number *first*."""
    levels: dict[str, list[int]] = {}
    for number, run in enumerate(runs):
        for axis in run:
            for name in axis.names:
                levels.setdefault(name, []).append(number)
    missing = [Missing({}, []) for _ in runs]
    several = [name for name, numbers in levels.items() if len(numbers) > 1 and name in marks]
    for bit, name in enumerate(several, first):
        for number in levels[name]:
            missing[number].given[name] = 1 << bit
        missing[levels[name][-1]].last.append((1 << bit, looking(marks[name])))
    return missing


class Level:
    """Axes that exist together."""

    def __init__(self, axes: Sequence[Axis], condition: int, marks: Marks, missing: Missing, seen: Seen) -> None:
        self.axes, self.condition, self._marks, self._missing, self._seen = axes, condition, marks, missing, seen
        self._concerns = [_concerned(axis, marks) for axis in axes]
        self._absent = ~0
        for axis in axes:
            for name in axis.names:
                if name in marks and name not in missing.given:
                    self._absent &= ~looking(marks[name])
        self.is_single = all(len(axis) == 1 for axis in axes)
        self._watched = [index for index, concern in enumerate(self._concerns) if concern]
        self._kinds = [self._kinds_of(axis, concern) for axis, concern in zip(axes, self._concerns, strict=True)]
        self._held: list[list[Row]] | None = None

    def _bits(self, params: Mapping[str, Json]) -> int:
        """Return the bits of a row: of the rules that it does not contradict, less those of the names that it gives."""
        bits = bits_of(params, self._marks)
        for name, bit in self._missing.given.items():
            if name in params:
                bits &= ~bit
        return bits

    def _kinds_of(self, axis: Axis, concern: bool) -> list[tuple[int, int, Mapping[str, Json]]]:
        """Return the bits that rows of an axis have, how many rows have them, and the first of these."""
        if not concern:
            return [(ALL, len(axis), next(axis.sets()))]
        kinds: dict[int, tuple[int, Mapping[str, Json]]] = {}
        for params in axis.sets():
            bits = self._bits(params)
            count, first = kinds.get(bits, (0, params))
            kinds[bits] = count + 1, first
        return [(bits, count, first) for bits, (count, first) in kinds.items()]

    def left_out(self, bits: int) -> int:
        """Return the bits of a combination without these axes: no rule holds that looks at what nothing gives."""
        bits &= self._absent
        for missing, concerned in self._missing.last:
            if bits & missing:
                bits &= ~concerned
        return bits

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
                yield number, self.left_out(before)
                continue
            for combination in itertools.product(*self._kinds):
                bits, count = before, number
                for kind, size, _ in combination:
                    bits &= kind
                    count *= size
                yield count, bits

    def examples(self, before: int) -> Iterator[tuple[Mapping[str, Json], int]]:
        """Yield one combination for all that no rule tells apart, and its bits, after rows that share *before*."""
        if self.is_absent(before):
            yield {}, self.left_out(before)
            return
        for combination in itertools.product(*self._kinds):
            bits, params = before, dict[str, Json]()
            for kind, _, first in combination:
                bits &= kind
                params.update(first)
            yield params, bits

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
                yield Row({name: value}, key + to_text(value), (short + canonical(value),), ALL, exact)
            return
        for values in zip(*axis.columns, strict=True):
            params = dict(zip(names, values, strict=True))
            texts = [repr(value) if type(value) in _NUMBERS else to_text(value) for value in values]
            # a number that is no whole float is spelled the same in both
            same = [
                text if (kind := type(value)) is int or (kind is float and not value.is_integer()) else canonical(value)
                for value, text in zip(values, texts, strict=True)
            ]
            bits = self._bits(params) if concern else ALL
            exact = self._exact(names, values) if any(map(jsonb.is_changed, values)) else ""
            yield Row(params, ", ".join(map(add, spaced, texts)), tuple(map(add, tight, same)), bits, exact)

    def _exact(self, names: Sequence[str], values: Sequence[Json]) -> str:
        self._seen.exact = True
        return (jsonb.text_of(dict(zip(names, values, strict=True)), names) or "")[1:-1]


_NUMBERS = (int, float)
"""Types whose JSON is their repr: the floats of a grid are finite."""


class Mark(NamedTuple):
    """What rules say of a parameter, or of what it has below some keys."""

    keys: tuple[str, ...]
    looking: int
    """The bits of the rules that look at it."""
    allowing: Mapping[str, int]
    """By value, as canonical JSON, the bits of the rules that allow the value."""


Marks = Mapping[str, Sequence[Mark]]
"""What rules say, by the names of parameters."""


def marks_of(rules: Sequence[Rule], known: Collection[str]) -> Marks:
    """Return rules by the *known* names they look at, so that a row finds its bits without going through all rules."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for number, rule in enumerate(rules):
        for name, texts in rule.allowed.items():
            looking, allowing = found.get(name, (0, {}))
            for text in texts:
                allowing[text] = allowing.get(text, 0) | 1 << number
            found[name] = looking | 1 << number, allowing
    marks: dict[str, list[Mark]] = {}
    for name, (looking, allowing) in found.items():
        above, keys = owner(name, known) or (name, ())
        marks.setdefault(above, []).append(Mark(keys, looking, allowing))
    return marks


def looking(marks: Sequence[Mark]) -> int:
    """Return the bits of the rules that look at a parameter."""
    bits = 0
    for mark in marks:
        bits |= mark.looking
    return bits


def _concerned(axis: Axis, marks: Marks) -> bool:
    """Say whether a rule looks at any name of an axis."""
    return any(name in marks for name in axis.names)


def bits_of(params: Mapping[str, Json], marks: Marks) -> int:
    """Return the bits of the rules that nothing in a part of a parameter set contradicts."""
    bits = ALL
    for name, value in params.items():
        for mark in marks.get(name, ()):
            found = inside(value, mark.keys) if mark.keys else value
            bits &= ~mark.looking | (0 if found is ABSENT else mark.allowing.get(canonical(found), 0))
    return bits
