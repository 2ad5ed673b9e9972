"""
The rules of a grid as bits, by the parameters that they look at.

Every rule is a bit. A row of an axis has the bits of the rules that it does not contradict. The bits that all rows of a
combination share are the rules that hold for it. So a combination costs one AND per axis that a rule looks at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from qexp.dotted_names import ABSENT, inside, owner
from qexp.grid.rules import Rule
from qexp.model import Json, canonical

ALL = -1
"""Every bit set: nothing is contradicted."""


class RuleMask(NamedTuple):
    """The rules that look at a parameter, or at its value below some keys."""

    keys: tuple[str, ...]
    looking: int
    """The bits of the rules that look at it."""
    allowing: Mapping[str, int]
    """By value, as canonical JSON, the bits of the rules that allow the value."""


RuleMasks = Mapping[str, Sequence[RuleMask]]
"""The rules, by the names of parameters."""


def masks_of(rules: Sequence[Rule], known: Collection[str]) -> RuleMasks:
    """Return rules by the *known* names that they look at: a row finds its bits without a walk over all rules."""
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for number, rule in enumerate(rules):
        for name, texts in rule.allowed.items():
            looking, allowing = found.get(name, (0, {}))
            for text in texts:
                allowing[text] = allowing.get(text, 0) | 1 << number
            found[name] = looking | 1 << number, allowing
    masks: dict[str, list[RuleMask]] = {}
    for name, (looking, allowing) in found.items():
        above, keys = owner(name, known) or (name, ())
        masks.setdefault(above, []).append(RuleMask(keys, looking, allowing))
    return masks


def concerned_bits(masks: Sequence[RuleMask]) -> int:
    """Return the bits of the rules that look at a parameter."""
    bits = 0
    for mask in masks:
        bits |= mask.looking
    return bits


def matching_bits(params: Mapping[str, Json], masks: RuleMasks) -> int:
    """Return the bits of the rules that a parameter set, or a part of one, does not contradict."""
    bits = ALL
    for name, value in params.items():
        for mask in masks.get(name, ()):
            found = inside(value, mask.keys) if mask.keys else value
            bits &= ~mask.looking | (0 if found is ABSENT else mask.allowing.get(canonical(found), 0))
    return bits
