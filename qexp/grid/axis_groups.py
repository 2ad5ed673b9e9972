"""Groups of axes that exist together, and the rows that they add to each combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

from qexp import jsonb
from qexp.grid.axes import Axis
from qexp.grid.rule_masks import ALL, RuleMasks, concerned_bits, matching_bits
from qexp.model import Json, canonical, to_text

_HELD = 10_000
"""The most rows of an axis in memory; rows of a longer axis are built again in each pass."""


class Row(NamedTuple):
    """One row of an axis, encoded for combinations."""

    params: Mapping[str, Json]
    text: str
    """The parameters as JSON, without the braces."""
    canonical: tuple[str, ...]
    """Each parameter as canonical JSON."""
    bits: int
    exact: str = ""
    """The changes that jsonb would make in the parameters, as JSON without braces; see `qexp.jsonb.exact`."""


class JsonbChanges:
    """Whether an earlier row has a value that jsonb changes."""

    exact = False


def grouped(axes: Sequence[Axis]) -> list[list[Axis]]:
    """Group neighbouring axes with the same condition, or without one; a long axis is its own group."""
    groups: list[list[Axis]] = []
    for axis in axes:
        joins = groups and len(axis) <= _HELD and len(groups[-1][-1]) <= _HELD
        if joins and groups[-1][-1].condition is axis.condition:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


@dataclass
class ConditionalNames:
    """Bits for names that several groups give, each group under another condition."""

    not_given: dict[str, int]
    """For each such name of this group, the bit that is set until a group gives the name."""
    last: list[tuple[int, int]]
    """For each such name that no later group gives: its bit, and the bits of the rules that read it."""


def conditional_names(groups: Sequence[Sequence[Axis]], masks: RuleMasks, first: int) -> list[ConditionalNames]:
    """Return the conditional names of each group; *first* is the number of their first bit."""
    giving: dict[str, list[int]] = {}
    for number, axes in enumerate(groups):
        for axis in axes:
            for name in axis.names:
                giving.setdefault(name, []).append(number)
    found = [ConditionalNames({}, []) for _ in groups]
    several = [name for name, numbers in giving.items() if len(numbers) > 1 and name in masks]
    for bit, name in enumerate(several, first):
        for number in giving[name]:
            found[number].not_given[name] = 1 << bit
        found[giving[name][-1]].last.append((1 << bit, concerned_bits(masks[name])))
    return found


class AxisGroup:
    """Axes that exist together."""

    def __init__(
        self,
        axes: Sequence[Axis],
        condition: int,
        masks: RuleMasks,
        conditional: ConditionalNames,
        changes: JsonbChanges,
    ) -> None:
        self.axes, self.condition, self._masks = axes, condition, masks
        self._conditional, self._changes = conditional, changes
        self._concerns = [_concerned(axis, masks) for axis in axes]
        self._absent = ~0
        for axis in axes:
            for name in axis.names:
                if name in masks and name not in conditional.not_given:
                    self._absent &= ~concerned_bits(masks[name])
        self.is_single = all(len(axis) == 1 for axis in axes)
        self._watched = [index for index, concern in enumerate(self._concerns) if concern]
        self._kinds = [self._kinds_of(axis, concern) for axis, concern in zip(axes, self._concerns, strict=True)]
        self._held: list[list[Row]] | None = None

    def _bits(self, params: Mapping[str, Json]) -> int:
        """Return the bits of the rules that a row does not contradict, without the `not_given` bits of its names."""
        bits = matching_bits(params, self._masks)
        for name, bit in self._conditional.not_given.items():
            if name in params:
                bits &= ~bit
        return bits

    def _kinds_of(self, axis: Axis, concern: bool) -> list[tuple[int, int, Mapping[str, Json]]]:
        """Return the distinct sets of bits of an axis's rows, each with the number of rows and the first row."""
        if not concern:
            return [(ALL, len(axis), next(axis.sets()))]
        kinds: dict[int, tuple[int, Mapping[str, Json]]] = {}
        for params in axis.sets():
            bits = self._bits(params)
            count, first = kinds.get(bits, (0, params))
            kinds[bits] = count + 1, first
        return [(bits, count, first) for bits, (count, first) in kinds.items()]

    def left_out(self, bits: int) -> int:
        """Return the bits of a combination without these axes; rules about missing names do not hold."""
        bits &= self._absent
        for not_given, concerned in self._conditional.last:
            if bits & not_given:
                bits &= ~concerned
        return bits

    def is_absent(self, bits: int) -> bool:
        """Return whether rows of earlier groups, whose common bits are *bits*, contradict the axes' condition."""
        return bool(self.condition) and not bits & self.condition

    def shared(self, bits: int, combination: tuple[Row, ...]) -> int:
        """Return the common bits of a combination and of earlier groups, whose common bits are *bits*."""
        for index in self._watched:
            bits &= combination[index].bits
        return bits

    def reduced(self, counts: Mapping[int, int]) -> Iterator[tuple[int, int]]:
        """Yield how many combinations have the same common bits; *counts* has the numbers before this group."""
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
        """Yield one combination for each set of common bits; those of earlier rows are *before*."""
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
        """Yield the product of the rows of the axes, the last varying fastest."""
        if len(self.axes) == 1 and len(self.axes[0]) > _HELD:
            return ((row,) for row in self._rows(0))
        if self._held is None:
            self._held = [list(self._rows(index)) for index in range(len(self.axes))]
        return itertools.product(*self._held)

    def _rows(self, index: int) -> Iterator[Row]:
        axis, concern = self.axes[index], self._concerns[index]
        names = axis.names
        spaced, tight = [f"{to_text(name)}: " for name in names], [f"{to_text(name)}:" for name in names]
        if len(names) == 1 and not concern:  # a path that is twice as fast, for long axes
            (name,), (key,), (short,) = names, spaced, tight
            for value in axis.columns[0]:
                exact = self._exact(names, (value,)) if type(value) is not int and jsonb.is_changed(value) else ""
                yield Row({name: value}, key + to_text(value), (short + canonical(value),), ALL, exact)
            return
        for values in zip(*axis.columns, strict=True):
            params = dict(zip(names, values, strict=True))
            texts = [repr(value) if type(value) in _NUMBERS else to_text(value) for value in values]
            # JSON and canonical JSON agree on integers and on floats that are not whole
            same = [
                text if (kind := type(value)) is int or (kind is float and not value.is_integer()) else canonical(value)
                for value, text in zip(values, texts, strict=True)
            ]
            bits = self._bits(params) if concern else ALL
            exact = self._exact(names, values) if any(map(jsonb.is_changed, values)) else ""
            yield Row(params, ", ".join(map(add, spaced, texts)), tuple(map(add, tight, same)), bits, exact)

    def _exact(self, names: Sequence[str], values: Sequence[Json]) -> str:
        self._changes.exact = True
        return (jsonb.exact_text(dict(zip(names, values, strict=True)), names) or "")[1:-1]


_NUMBERS = (int, float)
"""Types whose repr is JSON, since the floats of a grid are finite."""


def _concerned(axis: Axis, masks: RuleMasks) -> bool:
    """Return whether a rule reads a name of an axis."""
    return any(name in masks for name in axis.names)
