"""Make a comparison: read, check, pair, compare and rank results."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from qexp.analysis.compare import notes
from qexp.analysis.compare.model import Comparison, Pair
from qexp.analysis.compare.pairing import Pairing, matched, own_means, pair_up
from qexp.analysis.compare.ranking import ranked
from qexp.analysis.compare.spec import CompareSpec
from qexp.analysis.statistics import adjust, compare, correction_of, paired_test_of
from qexp.analysis.table import labels
from qexp.analysis.table.refusal_reasons import nothing_done
from qexp.errors import OptionError
from qexp.store.connection import Connection

MOST = 6
"""The most methods for which all pairs are compared without a baseline."""
_ALPHA = 0.05


def build(connection: Connection, spec: CompareSpec) -> Comparison:
    """
    Compare methods in pairs.

    Raises OptionError if *spec* names something unknown, nothing is done yet, or results cannot be paired. Raises
    RefusedError if the results of one study have different settings or code.
    """
    pairing = pair_up(connection, spec)
    if not pairing.observed.is_done.any():
        raise nothing_done(pairing.observed, spec.where)
    heads = labels.keys(pairing.methods, {})
    problems = notes.mixed(connection, pairing)
    notes.refuse(problems, spec)
    notes.require_numbers(connection, pairing)
    names = ", ".join(pairing.methods.names)
    base = None if spec.baseline is None else labels.baseline(heads, pairing.methods, spec.baseline, names)
    wanted = _pairs(pairing, base)
    methods = [" / ".join(name) for name in heads]
    return Comparison(
        studies=spec.studies,
        by=spec.compared,
        metric=spec.metric,
        maximize=spec.is_maximized,
        methods=tuple(methods),
        means=tuple(own_means(pairing)),
        per=spec.per,
        unit=notes.unit(pairing),
        pairs=tuple(_compared(pairing, methods, wanted)),
        is_matrix=base is None and not spec.per and len(methods) > 2,
        test=paired_test_of(spec.test).label,
        correction=correction_of(spec.correction).label,
        ranks=ranked(pairing, methods) if spec.ranks else None,
        notes=tuple(notes.all_notes(connection, pairing, methods, problems)),
        baseline=None if base is None else methods[base],
    )


def _pairs(pairing: Pairing, baseline: int | None) -> list[tuple[int, int]]:
    """Return all pairs, or each method against the baseline."""
    count = len(pairing.methods.keys)
    if baseline is not None:
        return [(method, baseline) for method in range(count) if method != baseline]
    if count > MOST and not pairing.spec.ranks:
        total = count * (count - 1) // 2
        raise OptionError(
            f"--by {','.join(pairing.methods.names)}: {count} values make {total:,} pairs, expected at most {MOST} "
            "values; compare them with a --baseline, choose some with --where, or rank all with --ranks"
        )
    return list(itertools.combinations(range(count), 2)) if count <= MOST else []


def _compared(pairing: Pairing, methods: Sequence[str], wanted: Sequence[tuple[int, int]]) -> Iterator[Pair]:
    """Compare the pairs of each group; p-values are corrected over all of them."""
    spec = pairing.spec
    keys = labels.keys(pairing.groups, {})
    places = [(group, *pair) for group in range(len(keys)) for pair in wanted]
    shared = [matched(pairing, group, first, second) for group, first, second in places]
    count = max(1, sum(len(units.first) > 0 for units in shared))
    found = [
        compare(
            units.first,
            units.second,
            spec.test,
            maximize=spec.is_maximized,
            alpha=_ALPHA,
            comparisons=count,
            correction=spec.correction,
        )
        for units in shared
    ]
    corrected = adjust([figures.p for figures in found], spec.correction).tolist()
    for (group, first, second), units, figures, p in zip(places, shared, found, corrected, strict=True):
        yield Pair(
            group=keys[group],
            first=methods[first],
            second=methods[second],
            first_mean=float(units.first.mean()) if len(units.first) else np.nan,
            second_mean=float(units.second.mean()) if len(units.second) else np.nan,
            figures=figures,
            results=units.results,
            p=p if np.isfinite(p) else None,
        )
