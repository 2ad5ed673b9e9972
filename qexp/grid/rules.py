"""Conditions on parameters: the rules of `exclude`, the `if` of `when`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qexp.model import Json, canonical


@dataclass(frozen=True)
class Rule:
    """Equality on some parameters: keys are ANDed, a list means any of its values; absent keys are wildcards."""

    allowed: Mapping[str, frozenset[str]]
    """By parameter, the canonical texts of the values it may have."""

    @classmethod
    def of(cls, written: Mapping[str, Json]) -> Rule:
        return cls(
            {
                name: frozenset(map(canonical, values if isinstance(values, list) else [values]))
                for name, values in written.items()
            }
        )
