"""Expand axes into parameter sets one at a time, without holding all in memory."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter, or_

from qexp import jsonb
from qexp.grid.axes import Axis
from qexp.grid.axis_groups import AxisGroup, JsonbChanges, Row, conditional_names, grouped
from qexp.grid.rule_masks import ALL, concerned_bits, masks_of, matching_bits
from qexp.grid.rules import Rule
from qexp.model import Json, canonical, to_text


class Expansion:
    """The combinations of axes, the last varying fastest, without those that a rule of *exclude* drops."""

    def __init__(self, axes: Sequence[Axis], exclude: Sequence[Rule]) -> None:
        self.axes, self.exclude = axes, exclude
        conditions = list({id(axis.condition): axis.condition for axis in axes if axis.condition is not None}.values())
        self.rules = [*exclude, *conditions]
        self._masks, self._bits = masks_of(self.rules, {name for axis in axes for name in axis.names})
        self._drop = functools.reduce(or_, self._bits[: len(exclude)], 0)
        self._bits_by_id = {id(rule): bits for rule, bits in zip(self.rules, self._bits, strict=True)}
        groups = grouped(axes)
        conditional = conditional_names(groups, self._masks, max(self._bits, default=0).bit_length())
        self._changes = JsonbChanges()
        self._groups = [
            AxisGroup(axes, self._bits_of(axes[0].condition), self._masks, names, self._changes)
            for axes, names in zip(groups, conditional, strict=True)
        ]

    def _bits_of(self, condition: Rule | None) -> int:
        return 0 if condition is None else self._bits_by_id[id(condition)]

    def __iter__(self) -> Iterator[dict[str, Json]]:
        for rows, _ in self._walk(0, (), ALL, 0):
            params: dict[str, Json] = {}
            for row in rows:
                params.update(row.params)
            yield params

    def encoded(self, known: Iterable[str] = ()) -> Iterator[tuple[bytes, str, str | None]]:
        """
        Yield each parameter set as its fingerprint, its JSON text, and the text of `qexp.jsonb.exact`.

        The last is None if jsonb changes nothing for a reader who knows the order of the *known* names.
        """
        hashed, present = hashlib.blake2b, -1
        names = list(dict.fromkeys(name for axis in self.axes for name in axis.names))
        ordered = jsonb.is_in_order(names, known)
        order_text = [] if ordered else [f'"order": {to_text(names)}']
        order: Callable[[Sequence[str]], Sequence[str]] = _no_order
        for rows, active in self._walk(0, (), ALL, 0):
            if active != present:
                order, present = self._order(active), active
            parts = [part for row in rows for part in row.canonical]
            digest = hashed(("{" + ",".join(order(parts)) + "}").encode(), digest_size=16).digest()
            text = "{" + ", ".join([row.text for row in rows]) + "}"
            if ordered and not self._changes.exact:
                yield digest, text, None
                continue
            exact = [row.exact for row in rows if row.exact] + order_text
            yield digest, text, "{" + ", ".join(exact) + "}" if exact else None

    def total(self) -> int:
        """Return the number of combinations, which may exceed `sys.maxsize`, the limit of `len`."""
        return sum(count for count, bits in self._reduced() if not bits & self._drop)

    def holds(self, rows: Sequence[Mapping[str, Json]]) -> list[bool]:
        """Return for each row whether it is one of the combinations; one pass over each axis serves all rows."""
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
        """Return the numbers of the axes that exist for the values of a row. Returns none if a rule drops the row."""
        matching = matching_bits(row, self._masks)
        for name, masks in self._masks.items():
            matching &= ALL if name in row else ~concerned_bits(masks)
        if matching & self._drop:
            return []
        bits = [self._bits_of(axis.condition) for axis in self.axes]
        return [index for index, bit in enumerate(bits) if not bit or matching & bit]

    def unmatched_rules(self) -> list[Rule]:
        """Return the rules of *exclude* and the conditions of axes that match no combination."""
        seen = 0
        for _, bits in self._reduced():
            seen |= bits
        # _reduced yields dropped combinations too: a rule may match only combinations that another rule drops
        return [rule for rule, bits in zip(self.rules, self._bits, strict=True) if not seen & bits]

    def example(self, present: Sequence[Axis] = (), absent: Sequence[Axis] = ()) -> dict[str, Json] | None:
        """
        Return a combination with the axes *present* and without the axes *absent*. Returns None if there is none.

        It is as fast as `total`, because it tries only one of the rows of an axis that have the same bits.
        """
        wanted = {self._bits_of(axis.condition) for axis in present if axis.condition is not None}
        unwanted = functools.reduce(or_, (self._bits_of(axis.condition) for axis in absent), 0)
        found: dict[int, dict[str, Json]] = {ALL: {}}
        for group in self._groups:
            following: dict[int, dict[str, Json]] = {}
            for before, params in found.items():
                for more, bits in group.examples(before):
                    if bits not in following and all(bits & rule for rule in wanted):  # a cleared bit stays cleared
                        following[bits] = {**params, **more} if more else params
            found = following
        for bits, params in found.items():
            if not bits & (self._drop | unwanted):
                return params
        return None

    def _walk(self, depth: int, rows: tuple[Row, ...], bits: int, active: int) -> Iterator[tuple[tuple[Row, ...], int]]:
        """Yield the rows of each combination and their groups, one bit per group."""
        while depth < len(self._groups):  # a loop, since recursion fails with thousands of groups
            here = self._groups[depth]
            if here.is_absent(bits):
                bits = here.left_out(bits)
            elif here.is_single:
                (combination,) = here.combinations()
                rows, bits, active = rows + combination, here.shared(bits, combination), active | 1 << depth
            else:
                break
            depth += 1
        if depth == len(self._groups):
            if rows and not bits & self._drop:
                yield rows, active
            return
        here = self._groups[depth]
        active |= 1 << depth
        last = depth + 1 == len(self._groups)
        for combination in here.combinations():
            shared = here.shared(bits, combination)
            if not last:
                yield from self._walk(depth + 1, rows + combination, shared, active)
            elif not shared & self._drop:
                yield rows + combination, active

    def _reduced(self) -> Iterator[tuple[int, int]]:
        """Yield numbers of combinations with their shared bits; rows with the same bits are only counted."""
        if not self._groups:
            return
        counts = {ALL: 1}
        for group in self._groups[:-1]:
            following: dict[int, int] = {}
            for count, bits in group.reduced(counts):
                following[bits] = following.get(bits, 0) + count
            counts = following
        yield from self._groups[-1].reduced(counts)

    def _order(self, active: int) -> Callable[[Sequence[str]], Sequence[str]]:
        """Return the function that sorts the parts of a combination by name."""
        names = [
            name
            for number, group in enumerate(self._groups)
            if active >> number & 1
            for axis in group.axes
            for name in axis.names
        ]
        order = sorted(range(len(names)), key=names.__getitem__)
        return _no_order if len(order) == 1 else itemgetter(*order)


def _no_order(parts: Sequence[str]) -> Sequence[str]:
    return parts
