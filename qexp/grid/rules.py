"""Conditions on parameters: the rules of `exclude`, the `if` of `when`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from qexp.grid.yaml_source import Location
from qexp.model import Json, canonical, plain


@dataclass(frozen=True)
class Rule:
    """Equality on some parameters: keys are ANDed, a list means any of its values; absent keys are wildcards."""

    allowed: Mapping[str, frozenset[str]]
    """By parameter, the canonical texts of the values it may have."""
    location: Location = ()
    """Where in the grid it is written."""

    @classmethod
    def of(cls, written: Mapping[str, Json], location: Location = ()) -> Rule:
        allowed = {
            name: frozenset(map(canonical, values if isinstance(values, list) else [values]))
            for name, values in written.items()
        }
        return cls(allowed, location)

    def __str__(self) -> str:
        """Return it as a person reads it: `kernel=rbf|poly, deep=true`."""
        texts = {name: sorted(plain(json.loads(text)) for text in texts) for name, texts in self.allowed.items()}
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in texts.items())

    def contradicts(self, other: Rule) -> bool:
        """Say whether a parameter would need two values for both to hold; False: they may still never do."""
        return any(self.allowed[name].isdisjoint(other.allowed[name]) for name in self.allowed.keys() & other.allowed)
