"""Dotted names: `optimizer.lr` is a parameter, or the key `lr` of the parameter `optimizer`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from qexp.model import Json

NOTHING = object()
"""Stands for the value that a mapping has not."""


def head(name: str) -> str:
    """Return the argument that a name belongs to: of `optimizer.lr` it is `optimizer`."""
    return name.partition(".")[0]


def prefixes(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """
    Yield a name and the names above it, the longest first, each with the keys that lead from it to the name.

    >>> list(prefixes("a.b.c"))
    [('a.b.c', ()), ('a.b', ('c',)), ('a', ('b', 'c'))]
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length]), tuple(parts[length:])


def owner(name: str, known: Collection[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the longest of the *known* names that has the value of *name*, and the keys that lead to it inside."""
    return next(((above, keys) for above, keys in prefixes(name) if above in known), None)


def inside(value: Json, keys: Sequence[str]) -> Json:
    """Return what a value has below some keys, or NOTHING."""
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return NOTHING
        value = value[key]
    return value
