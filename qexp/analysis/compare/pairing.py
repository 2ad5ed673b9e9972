"""Pair the results of different methods by all other parameters and by replicates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qexp.analysis.compare.spec import CompareSpec
from qexp.analysis.table import labels
from qexp.analysis.table.name_resolution import DEFAULT_OVER, STUDY, axis_source, parameters
from qexp.analysis.table.replicates import Axes, axes, joint_codes
from qexp.analysis.table.table_experiments import TableExperiments, observe
from qexp.dotted_names import ABSENT
from qexp.errors import OptionError
from qexp.store.connection import Connection
from qexp.store.reads import study_rows
from qexp.store.reads.study_rows import StudyRow

_MOST = 100
"""The most methods that are compared."""


@dataclass(frozen=True)
class Pairing:
    """
    The value of each method for each key.

    A key is one group, one block (a combination of all other parameters) and one replicate.
    """

    spec: CompareSpec
    observed: TableExperiments
    methods: Axes
    groups: Axes
    blocks: Axes
    replicates: Axes
    group: np.ndarray
    """The group of each key."""
    block: np.ndarray
    replicate: np.ndarray
    values: np.ndarray
    """For each method and key; NaN: there is no finite value."""
    place: np.ndarray
    """One experiment of each method and key, preferably one without a finite value; -1: none."""
    fixed: tuple[str, ...]
    """Parameters with one value in each method, and different values between methods."""
    averaged: tuple[tuple[str, ...], ...]
    """The values of `average` of each method, as texts; empty if all are averaged over the same ones."""

    def keys(self, group: int) -> np.ndarray:
        """Return the keys of a group."""
        return np.flatnonzero(self.group == group)

    def count_blocks(self, group: int) -> int:
        """Return how many blocks a group has."""
        return len(np.unique(self.block[self.keys(group)]))

    @cached_property
    def unit(self) -> np.ndarray:
        """
        Return the unit of each key: keys of one unit are averaged.

        A unit is a block of its group. In a group of a single block, each key is a unit: replicates are compared.
        """
        block, single = joint_codes(self.group, self.block), np.arange(len(self.group))
        count = np.array([self.count_blocks(group) for group in range(len(self.groups.keys))])
        return np.where(count[self.group] > 1, block, len(block) + single)


def pair_up(connection: Connection, spec: CompareSpec) -> Pairing:
    """
    Read the experiments of a comparison. Raises OptionError for unknown names, or if methods cannot be paired.

    A parameter that has one value within each method, such as the depth of trees, belongs to the method: it does not
    have to agree.
    """
    known = [study_rows.find(connection, name) for name in spec.studies]
    others = _others(spec, known)
    observed = observe(connection, spec.table(others), implied=others)
    methods = axes(observed, spec.compared)
    _require_methods(spec, methods)
    fixed, blocks = _fixed_and_paired(observed, methods, others)
    return _aligned(spec, observed, methods, blocks, fixed)


def _others(spec: CompareSpec, known: Sequence[StudyRow]) -> tuple[str, ...]:
    """Return the parameters that have no role. If a key of a mapping has a role, its other keys are read as well."""
    named = [*spec.compared, *(spec.over if spec.over is not None else (DEFAULT_OVER,)), *spec.average, *spec.per]
    taken, parts = set[str](), list[str]()
    for name in named:
        paths = [path for study in known if (source := axis_source(study, name)) for path in source.paths]
        taken |= {path[0] for path in paths}
        parts += [name] if paths and all(len(path) > 1 for path in paths) else []
    if parts and len(known) > 1:
        raise OptionError(f"{parts[0]!r} is a part of a parameter; several studies are paired by whole parameters only")
    several = (STUDY,) if len(known) > 1 and STUDY not in named else ()
    return (*several, *(name for name in parameters(known) if name.removeprefix("param.") not in taken))


def _require_methods(spec: CompareSpec, methods: Axes) -> None:
    names = ", ".join(spec.compared)
    if len(methods.keys) > _MOST:
        found = f"found {len(methods.keys):,} values, expected at most {_MOST}"
        raise OptionError(f"--by {names}: {found}; choose some with --where")
    if len(methods.keys) < 2:
        found = ", ".join(map(labels.values, methods.keys)) or "no value"
        how = "give --by, or two studies" if not spec.by else "expected two or more values"
        raise OptionError(f"nothing to compare: {names} is {found}; {how}")


def _fixed_and_paired(
    observed: TableExperiments, methods: Axes, others: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the parameters that belong to the methods, and those by which results are paired.

    Raises OptionError if a method has no such parameter, and another one has it with several values.
    """
    fixed, blocks = [], []
    for name in others:
        column = observed.axes[name]
        pairs = np.unique(methods.codes.astype(np.int64) * len(column.values) + column.codes)
        method, value = np.divmod(pairs, len(column.values))
        counts = np.bincount(method, minlength=len(methods.keys))
        if (counts <= 1).all():
            fixed += [name] if len(set(value.tolist())) > 1 else []
            continue
        single = np.flatnonzero(counts == 1).tolist()
        absent = [code for code in single if column.values[value[method == code][0]] is ABSENT]
        if absent:
            raise OptionError(_unpairable(name, methods, absent, int(counts.argmax()), int(counts.max())))
        blocks.append(name)
    return tuple(fixed), tuple(blocks)


def _unpairable(name: str, methods: Axes, absent: Sequence[int], several: int, count: int) -> str:
    without, having = labels.values(methods.keys[absent[0]]), labels.values(methods.keys[several])
    return (
        f"{without} has no parameter {name!r}, {having} has {count:,} values; "
        f'average with --average {name}, or choose one with --where "{name} = …"'
    )


def _aligned(
    spec: CompareSpec, observed: TableExperiments, methods: Axes, block_names: Sequence[str], fixed: tuple[str, ...]
) -> Pairing:
    """Return the values of all methods side by side."""
    groups, replicates = axes(observed, spec.per), axes(observed, observed.over)
    blocks = _with_rest(axes(observed, block_names), observed, methods, spec)
    together = joint_codes(joint_codes(groups.codes, blocks.codes), replicates.codes)
    keys, first = np.unique(together, return_index=True)
    values, place = _matrix(observed, spec.metric, methods, together, len(keys))
    inner = axes(observed, spec.average)
    return Pairing(
        spec=spec,
        observed=observed,
        methods=methods,
        groups=groups,
        blocks=blocks,
        replicates=replicates,
        group=groups.codes[first],
        block=blocks.codes[first],
        replicate=replicates.codes[first],
        values=values,
        place=place,
        fixed=fixed,
        averaged=_averaged(methods, inner) if _are_uneven(methods, together, inner) else (),
    )


def _with_rest(blocks: Axes, observed: TableExperiments, methods: Axes, spec: CompareSpec) -> Axes:
    """
    Split blocks by the other keys of a mapping, if one key of it has a role.

    Other keys that do not vary within a method belong to it. Several studies are paired by whole parameters.
    """
    rest = observed.rest.astype(np.int64)
    within = np.unique(joint_codes(methods.codes, rest))
    if STUDY in spec.compared or len(within) == len(methods.keys):
        return blocks
    _, first, codes = np.unique(joint_codes(blocks.codes, rest), return_index=True, return_inverse=True)
    keys = [(*blocks.keys[blocks.codes[at]], number) for number, at in enumerate(first.tolist())]
    return Axes((*blocks.names, "other keys"), keys, codes.astype(np.int32))


def _matrix(
    observed: TableExperiments, metric: str, methods: Axes, keys: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each method and key over the averaged axes, and an experiment, preferably without a value."""
    found = np.where(observed.is_done, observed.metrics[metric], np.nan)
    found = np.where(np.isfinite(found), found, np.nan)
    cell = methods.codes.astype(np.int64) * count + keys
    order = np.lexsort((np.isfinite(found), cell))
    start = np.flatnonzero(np.r_[True, np.diff(cell[order]) != 0]) if len(cell) else np.empty(0, dtype=np.int64)
    size = np.diff(np.r_[start, len(order)])
    values = np.full(len(methods.keys) * count, np.nan)
    place = np.full(len(values), -1, dtype=np.int64)
    at = cell[order[start]]
    values[at] = np.add.reduceat(found[order], start) / size
    place[at] = order[start]
    return values.reshape(-1, count), place.reshape(-1, count)


def _are_uneven(methods: Axes, keys: np.ndarray, inner: Axes) -> bool:
    """Return whether methods with a common key are averaged over different values."""
    many, width = len(methods.keys), len(inner.keys)
    having = np.bincount(np.unique(keys * many + methods.codes) // many)
    values = np.unique((keys * width + inner.codes) * many + methods.codes) // many
    pairs, counts = np.unique(values, return_counts=True)
    return bool((counts != having[pairs // width]).any())


def _averaged(methods: Axes, inner: Axes) -> tuple[tuple[str, ...], ...]:
    """Return the values that each method is averaged over."""
    words = [labels.values(key) for key in inner.keys]
    found = [np.unique(inner.codes[methods.codes == method]).tolist() for method in range(len(methods.keys))]
    return tuple(tuple(words[code] for code in some) for some in found)


@dataclass(frozen=True)
class MatchedUnits:
    """The units that two methods share, in the same order."""

    first: np.ndarray
    second: np.ndarray
    results: int
    """Pairs of results from which the units were made."""


def matched(pairing: Pairing, group: int, first: int, second: int) -> MatchedUnits:
    """Return the units of two methods in a group, each averaged over the keys of both."""
    keys = pairing.keys(group)
    one, other = pairing.values[first, keys], pairing.values[second, keys]
    both = np.isfinite(one) & np.isfinite(other)
    unit = pairing.unit[keys][both]
    return MatchedUnits(_means(unit, one[both]), _means(unit, other[both]), len(unit))


def _means(unit: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of each unit that has values."""
    _, member, counts = np.unique(unit, return_inverse=True, return_counts=True)
    return np.bincount(member, weights=values, minlength=len(counts)) / counts


def scores(pairing: Pairing) -> np.ndarray:
    """Return the units that all methods share, as units x methods."""
    is_complete = np.isfinite(pairing.values).all(axis=0)
    return np.array([_means(pairing.unit[is_complete], row[is_complete]) for row in pairing.values]).T


def own_means(pairing: Pairing) -> list[float]:
    """Return the mean of each method over all of its units; NaN: it has none."""
    has = np.isfinite(pairing.values)
    return [
        float(_means(pairing.unit[some], row[some]).mean()) if some.any() else math.nan
        for row, some in zip(pairing.values, has, strict=True)
    ]
