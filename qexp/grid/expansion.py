"""Axes become parameter sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qexp.model import Json


@dataclass(frozen=True)
class Axis:
    """Names that vary together, and the values they take, in order."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Json, ...]]


def expand(axes: Sequence[Axis]) -> Iterator[dict[str, Json]]:
    """
    Yield one parameter set per combination of *axes*, without holding them all; no axes yield none.

    The last axis varies fastest, so neighbouring experiments differ in the parameter written last.

    >>> list(expand([Axis(("lr",), [(0.1,), (0.01,)]), Axis(("seed",), [(0,), (1,)])]))[1]
    {'lr': 0.1, 'seed': 1}
    """
    if not axes:
        return
    names = [name for axis in axes for name in axis.names]
    for combination in itertools.product(*(axis.rows for axis in axes)):
        yield dict(zip(names, itertools.chain.from_iterable(combination), strict=True))
