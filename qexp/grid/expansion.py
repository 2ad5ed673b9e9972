"""Axes become parameter sets, without holding them all."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter, or_

from qexp import jsonb
from qexp.grid.levels import ALL, Axis, Level, Row, Seen, bits_of, looking, marks_of, missing_of, side_by_side
from qexp.grid.rules import Rule
from qexp.model import Json, canonical, to_text


class Expansion:
    """The combinations of axes, the last varying fastest, less those that a rule of *exclude* drops."""

    def __init__(self, axes: Sequence[Axis], exclude: Sequence[Rule]) -> None:
        self.axes, self.exclude = axes, exclude
        conditions = list({id(axis.condition): axis.condition for axis in axes if axis.condition is not None}.values())
        self.rules = [*exclude, *conditions]
        self._drop = (1 << len(exclude)) - 1
        bit = {id(rule): 1 << number for number, rule in enumerate(self.rules)}
        self._bit = [0 if axis.condition is None else bit[id(axis.condition)] for axis in axes]
        self._marks = marks_of(self.rules, {name for axis in axes for name in axis.names})
        runs = side_by_side(axes)
        missing = missing_of(runs, self._marks, len(self.rules))
        self._seen = Seen()
        self._levels = [
            Level(run, bit[id(run[0].condition)] if run[0].condition else 0, self._marks, missing[number], self._seen)
            for number, run in enumerate(runs)
        ]

    def __iter__(self) -> Iterator[dict[str, Json]]:
        for rows, _ in self._walk(0, (), ALL, 0):
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
        for rows, active in self._walk(0, (), ALL, 0):
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
        matching = bits_of(row, self._marks)
        for name, marks in self._marks.items():
            matching &= ALL if name in row else ~looking(marks)
        if matching & self._drop:
            return []
        return [index for index, bit in enumerate(self._bit) if not bit or matching & bit]

    def silent(self) -> list[Rule]:
        """Return the rules of *exclude*, and the conditions of axes, that match no combination."""
        seen = 0
        for _, bits in self._reduced():
            seen |= bits
        # a rule that only matches what another one drops too has matched: _reduced yields dropped ones too
        return [rule for number, rule in enumerate(self.rules) if not seen >> number & 1]

    def where(self, present: Sequence[Axis] = (), absent: Sequence[Axis] = ()) -> dict[str, Json] | None:
        """
        Return a combination in which the axes *present* exist and those *absent* do not; None if there is none.

        Each axis is represented by one row for all that no rule tells apart, so this takes as long as to count.
        """
        bit = {id(axis): bit for axis, bit in zip(self.axes, self._bit, strict=True)}
        wanted, unwanted = (functools.reduce(or_, (bit[id(axis)] for axis in axes), 0) for axes in (present, absent))
        found: dict[int, dict[str, Json]] = {ALL: {}}
        for level in self._levels:
            following: dict[int, dict[str, Json]] = {}
            for before, params in found.items():
                for more, bits in level.examples(before):
                    if bits not in following and bits & wanted == wanted:  # a rule never holds again
                        following[bits] = {**params, **more} if more else params
            found = following
        for bits, params in found.items():
            if not bits & (self._drop | unwanted):
                return params
        return None

    def _walk(self, level: int, rows: tuple[Row, ...], bits: int, active: int) -> Iterator[tuple[tuple[Row, ...], int]]:
        """Yield the rows of each combination and which levels they come from, one bit per level."""
        while level < len(self._levels):  # without a call for each level: there may be thousands
            here = self._levels[level]
            if here.is_absent(bits):
                bits = here.left_out(bits)
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
        counts = {ALL: 1}
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
