"""Rank methods over blocks such as datasets (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qexp.analysis.compare.model import Ranks
from qexp.analysis.compare.pairing import Pairing, scores
from qexp.analysis.statistics import average_ranks, critical_difference, friedman, indistinguishable
from qexp.errors import OptionError

_FEWEST = 5
"""The fewest blocks for which Friedman's approximation is useful."""
_ALPHA = 0.05


def ranked(pairing: Pairing, methods: Sequence[str]) -> Ranks:
    """
    Return the average ranks of all methods over the blocks that all of them have.

    Raises OptionError if there are fewer than three methods or no such block, or ranks are asked for per group.
    """
    if pairing.spec.per:
        raise OptionError("--ranks ranks methods over all combinations; leave out --per, or narrow with --where")
    if len(methods) < 3:
        raise OptionError(f"--ranks: found {len(methods)} methods, expected three or more; two are compared as a pair")
    matrix = scores(pairing)
    if not len(matrix):
        raise OptionError("--ranks: no combination has a result of every method; choose methods with --where")
    ranks = average_ranks(matrix, maximize=pairing.spec.is_maximized)
    order = np.argsort(ranks, kind="stable").tolist()
    names, sorted_ = tuple(methods[at] for at in order), tuple(float(ranks[at]) for at in order)
    if len(matrix) < _FEWEST:
        reason = f"no Friedman test: found {len(matrix)} blocks, expected at least {_FEWEST}"
        return Ranks(names, sorted_, len(matrix), None, None, (), reason)
    tested = friedman(matrix, maximize=pairing.spec.is_maximized)
    if not tested.p <= _ALPHA:
        reason = f"The Friedman test does not tell the {len(methods)} methods apart, so their ranks are not compared."
        return Ranks(names, sorted_, len(matrix), tested.p, None, (), reason)
    difference = critical_difference(len(methods), len(matrix), _ALPHA)
    groups = tuple(tuple(methods[at] for at in group) for group in indistinguishable(ranks, difference))
    return Ranks(names, sorted_, len(matrix), tested.p, difference, groups)
