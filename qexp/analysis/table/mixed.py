"""Results that do not belong together: of different settings, code, packages or machines."""

from __future__ import annotations

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions

import numpy as np

from qexp.analysis.table.observed import Observed
from qexp.analysis.table.problems import Cells, Problem
from qexp.analysis.table.spec import TableSpec, is_time_like
from qexp.model import Imports, Json, Status, canonical, plain
from qexp.store import origins, revisions, sources
from qexp.store.connect import Connection
from qexp.store.origins import EnvironmentView
from qexp.store.revisions import RevisionView
from qexp.store.studies import StudyRow

Versions = Mapping[str, str]
"""The versions of files or packages by name: two experiments conflict if both have a name with different versions."""

_DONE = list(Status).index(Status.DONE)
_UNSET = "not set"
_SHOWN = 4


def mixed(connection: Connection, observed: Observed, spec: TableSpec, cells: Cells) -> list[Problem]:
    """
    Return what differs among the done experiments of each study.

    Settings may not differ in the whole table, code and packages not within a cell. Between cells, differences of code
    and packages are noted only. Machines may not differ if a metric is a time.
    """
    found: list[Problem] = []
    for at, study in enumerate(observed.studies):
        places = np.flatnonzero((observed.status == _DONE) & (observed.study == at))
        known = revisions.revisions(connection, study.id)
        found += _settings(study, known, observed.revision[places])
        found += _code(connection, study, known, observed, places, cells)
    places = np.flatnonzero(observed.status == _DONE)
    environments = origins.environments(connection, observed.worker.values)
    found += _packages(connection, observed, environments, places, cells)
    found += _hardware(observed, environments, places, spec, cells)
    return found


def _settings(study: StudyRow, known: Mapping[int, RevisionView], ran: np.ndarray) -> Iterator[Problem]:
    """Compare the settings and the function of the revisions that ran."""
    numbers, counts = np.unique(ran, return_counts=True)
    of = {number: {**known[number].settings, "function": known[number].function} for number in numbers.tolist()}
    said = []
    for name in dict.fromkeys(name for settings in of.values() for name in settings):
        values: dict[str, tuple[str, int]] = {}
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            key, word = _value(of[number], name)
            values[key] = word, values.get(key, (word, 0))[1] + count
        if len(values) > 1:
            said.append(f"{name} = {', '.join(f'{word} in {count:,}' for word, count in values.values())}")
    if said:
        text = f"the experiments of {study.name} have different settings: {'; '.join(said)}"
        yield Problem("mixed", text, f"qexp requeue {study.name} --stale")


def _value(settings: Mapping[str, Json], name: str) -> tuple[str, str]:
    return (canonical(settings[name]), plain(settings[name])) if name in settings else ("", _UNSET)


def _code(
    connection: Connection,
    study: StudyRow,
    known: Mapping[int, RevisionView],
    observed: Observed,
    places: np.ndarray,
    cells: Cells,
) -> Iterator[Problem]:
    """Compare the files that the experiments of a study imported."""
    pairs, classes = np.unique(
        observed.revision[places].astype(np.int64) * len(observed.imported.values) + observed.imported.codes[places],
        return_inverse=True,
    )
    used = [divmod(pair, len(observed.imported.values)) for pair in pairs.tolist()]
    digests = {source for number, _ in used if (source := known[number].source)}
    if len(digests) < 2:
        return
    marks = sources.marks(connection, digests)
    imports = origins.imports(connection, observed.imported.values)
    versions = [
        _files(marks.get(known[number].source or "", {}), imports.get(observed.imported.values[code]))
        for number, code in used
    ]
    within, among = _conflicts(cells.of[places], classes, versions)
    files = f"{_listed(among)} {'differs' if len(among) == 1 else 'differ'}"
    if within:
        text = f"{study.name}: {files} within {cells.listed(within)}"
        yield Problem("mixed", text, f"qexp requeue {study.name} --stale", tuple(within))
    elif among:
        yield Problem("code", f"{study.name}: {files} between cells", f"qexp stale {study.name}")


def _files(marks: Versions, imports: Imports | None) -> Versions:
    """Return the marks of imported files; if the imports are unknown, of all Python files."""
    names = imports.files if imports is not None else [name for name in marks if name.endswith(".py")]
    return {name: marks.get(name, "") for name in names}


def _packages(
    connection: Connection,
    observed: Observed,
    environments: Mapping[int, EnvironmentView],
    places: np.ndarray,
    cells: Cells,
) -> Iterator[Problem]:
    """Compare the versions of the packages that experiments imported."""
    if len(environments) < 2:
        return
    width = len(observed.imported.values)
    pairs, classes = np.unique(
        observed.worker.codes[places].astype(np.int64) * width + observed.imported.codes[places], return_inverse=True
    )
    imports = origins.imports(connection, observed.imported.values)
    versions = [
        _versions(
            environments.get(observed.worker.values[pair // width]), imports.get(observed.imported.values[pair % width])
        )
        for pair in pairs.tolist()
    ]
    within, among = _conflicts(cells.of[places], classes, versions)
    if within:
        yield Problem(
            "mixed", f"versions of {_listed(among)} differ within {cells.listed(within)}", cells=tuple(within)
        )
    elif among:
        yield Problem("packages", f"versions of {_listed(among)} differ between cells")


def _versions(environment: EnvironmentView | None, imports: Imports | None) -> Versions:
    """Return the versions of the packages that were imported; nothing if either is unknown."""
    if environment is None or imports is None:
        return {}
    names = {package for module in imports.packages for package in _distributions(module)}
    return {name: version for name, version in environment.packages.items() if name in names}


@functools.cache
def _distributions(module: str) -> frozenset[str]:
    """Return the names of the packages that a top-level module may belong to: sklearn is of scikit-learn."""
    return frozenset(re.sub(r"[-_.]+", "-", name).lower() for name in (module, *_installed().get(module, [])))


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def _hardware(
    observed: Observed, environments: Mapping[int, EnvironmentView], places: np.ndarray, spec: TableSpec, cells: Cells
) -> Iterator[Problem]:
    """Compare the machines, if a metric depends on them."""
    metrics = [metric for metric in spec.metrics if is_time_like(metric)]
    if not metrics:
        return
    used = np.unique(observed.worker.codes[places]).tolist()
    models = dict.fromkeys(one.hardware for code in used if (one := environments.get(observed.worker.values[code])))
    if len(models) > 1:
        yield Problem("mixed", f"{_listed(metrics)} comes from different machines: {_listed(list(models), '; ')}")


def _conflicts(cells: np.ndarray, classes: np.ndarray, versions: Sequence[Versions]) -> tuple[list[int], list[str]]:
    """Return the cells in which versions conflict, and the names: of those cells, or else of the whole table."""
    pairs = np.unique(cells.astype(np.int64) * len(versions) + classes) if len(cells) else np.empty(0, dtype=np.int64)
    members = defaultdict[int, list[int]](list)
    for cell, one in zip(*np.divmod(pairs, len(versions)), strict=True):
        members[int(cell)].append(int(one))
    seen: dict[tuple[int, ...], list[str]] = {}
    within, names = [], dict[str, None]()
    for cell, some in members.items():
        if len(some) > 1:
            found = seen.setdefault(tuple(some), _conflicting(versions[one] for one in some))
            if found:
                within.append(cell)
                names |= dict.fromkeys(found)
    return within, list(names) if within else _conflicting(versions)


def _conflicting(versions: Iterable[Versions]) -> list[str]:
    """Return the names that have several versions."""
    found = defaultdict[str, set[str]](set)
    for name, version in itertools.chain.from_iterable(one.items() for one in versions):
        found[name].add(version)
    return sorted(name for name, some in found.items() if len(some) > 1)


def _listed(names: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
