"""Conditions on parameters: the rules of `exclude`, and the `if` of `when`."""

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
    """The allowed values of each parameter, as canonical JSON."""
    location: Location = ()
    """Its location in the grid."""

    @classmethod
    def of(cls, written: Mapping[str, Json], location: Location = ()) -> Rule:
        allowed = {
            name: frozenset(map(canonical, values if isinstance(values, list) else [values]))
            for name, values in written.items()
        }
        return cls(allowed, location)

    def __str__(self) -> str:
        """Return it as text, such as `kernel=rbf|poly, deep=true`."""
        texts = {name: sorted(plain(json.loads(text)) for text in texts) for name, texts in self.allowed.items()}
        return ", ".join(f"{name}={'|'.join(values)}" for name, values in texts.items())

    def contradicts(self, other: Rule) -> bool:
        """Return whether both can never hold, judged by single parameters. False does not mean that both can hold."""
        return any(self.allowed[name].isdisjoint(other.allowed[name]) for name in self.allowed.keys() & other.allowed)
