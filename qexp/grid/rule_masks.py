"""
The rules of a grid as bits, by the parameters that they read.

Every rule is a bit. A row of an axis has the bits of the rules that it does not contradict. The bits that all rows of a
combination share are the rules that hold for it. So a combination costs one AND per axis that a rule reads.

A rule on `o.lr` has several bits if axes give both `o.lr` and `o`. One bit means that `o.lr` is given with the value.
Another means that `o.lr` is not given and the mapping of `o` has the value. The rule holds if any of its bits does.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from qexp.dotted_names import ABSENT, inside, prefixes
from qexp.grid.rules import Rule
from qexp.model import Json, canonical

ALL = -1
"""All bits: no rule is contradicted."""


class RuleMask(NamedTuple):
    """The rules that read a parameter, or its value below some keys."""

    keys: tuple[str, ...]
    looking: int
    """The bits of the rules that read it."""
    allowing: Mapping[str, int] | None
    """The bits of the rules that allow a value, by its canonical JSON. None: the rules hold without the parameter."""


RuleMasks = Mapping[str, Sequence[RuleMask]]
"""The rules, by the names of parameters."""


def masks_of(rules: Sequence[Rule], known: Collection[str]) -> tuple[RuleMasks, list[int]]:
    """
    Return the masks of rules by the *known* names that they read, and the bits of each rule.

    With the masks, a row finds its bits without a loop over all rules.
    """
    found: dict[tuple[str, tuple[str, ...]], tuple[int, dict[str, int]]] = {}
    without: dict[str, int] = {}
    bits: list[int] = []
    number = 0
    for rule in rules:
        first = number
        for giving in itertools.product(*(_giving(name, known) for name in rule.allowed)):
            for (above, keys, longer), texts in zip(giving, rule.allowed.values(), strict=True):
                looking, allowing = found.get((above, keys), (0, {}))
                for text in texts:
                    allowing[text] = allowing.get(text, 0) | 1 << number
                found[above, keys] = looking | 1 << number, allowing
                for name in longer:
                    without[name] = without.get(name, 0) | 1 << number
            number += 1
        bits.append((1 << number) - (1 << first))
    masks: dict[str, list[RuleMask]] = {}
    for (above, keys), (looking, allowing) in found.items():
        masks.setdefault(above, []).append(RuleMask(keys, looking, allowing))
    for name, looking in without.items():
        masks.setdefault(name, []).append(RuleMask((), looking, None))
    return masks, bits


def _giving(name: str, known: Collection[str]) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield each known name that may contain the value of a name, the keys inside, and the longer known names."""
    longer: tuple[str, ...] = ()
    for above, keys in prefixes(name):
        if above in known:
            yield above, keys, longer
            longer += (above,)
    if not longer:
        yield name, (), ()


def concerned_bits(masks: Sequence[RuleMask]) -> int:
    """Return the bits of the rules that hold only if a parameter is given."""
    bits = 0
    for mask in masks:
        if mask.allowing is not None:
            bits |= mask.looking
    return bits


def matching_bits(params: Mapping[str, Json], masks: RuleMasks) -> int:
    """Return the bits of the rules that a parameter set, or a part of one, does not contradict."""
    bits = ALL
    for name, value in params.items():
        for mask in masks.get(name, ()):
            if mask.allowing is None:
                bits &= ~mask.looking
                continue
            found = inside(value, mask.keys) if mask.keys else value
            bits &= ~mask.looking | (0 if found is ABSENT else mask.allowing.get(canonical(found), 0))
    return bits
