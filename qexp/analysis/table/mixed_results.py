"""Find results that do not belong together: with different settings, code, packages or machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qexp.analysis.table.metric_directions import is_time_like
from qexp.analysis.table.refusal_reasons import BY_STUDY, Cells, Problem
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.analysis.table.version_conflicts import PLACE, Versions, conflicting, conflicts, packages
from qexp.model import Imports, Json, canonical, counted, plain
from qexp.store.connection import Connection
from qexp.store.reads import imports_and_environments
from qexp.store.reads.imported_files import RevisionCode
from qexp.store.reads.imports_and_environments import EnvironmentView
from qexp.store.reads.observations import CodedColumn
from qexp.store.reads.revisions import RevisionView
from qexp.store.reads.study_rows import StudyRow
from qexp.truncation import listed, shortened

_UNSET = "not set"
_SHOWN = 3
_LONGEST = 24
"""Characters of a setting's value in a sentence."""
FUNCTION = "function"


def mixed(connection: Connection, observed: TableExperiments, spec: TableSpec, cells: Cells) -> list[Problem]:
    """
    Return the differences among the done experiments.

    Settings and code may not differ in a study, nor settings from those of its newest revision. Packages may not differ
    within a cell; between cells they are noted only. Several studies may not differ in settings or code within a cell.
    Machines may not differ if a metric depends on them.
    """
    done = np.flatnonzero(observed.is_done).astype(np.int32)  # half the memory for a million experiments
    known = observed.revisions
    found: list[Problem] = []
    for at, study in enumerate(observed.studies):
        found += _settings(study, known[at], observed.revision[observed.is_done & (observed.study == at)])
    found += _across(observed, known, done, cells) if not found else []
    found += _code(connection, observed, known, done, cells)
    environments = imports_and_environments.environments(connection, observed.worker.values)
    found += _packages(connection, observed, environments, done, cells)
    found += _hardware(observed, environments, done, spec)
    found += _unknown_environments(observed, environments, done, cells)
    return list(dict.fromkeys(found))


def _settings(study: StudyRow, known: Mapping[int, RevisionView], ran: np.ndarray) -> Iterator[Problem]:
    """Compare the settings and the function of the revisions that ran, and then with the newest revision's."""
    numbers, counts = np.unique(ran, return_counts=True)
    named = [
        (_described(known[number]), count) for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
    ]
    differing = _differences([(one, f"in {count:,}") for one, count in _counted(named)])
    text = f"the experiments of {study.name} have different settings: {differing}"
    if not differing and named:
        newest = _described(known[study.revision])
        differing = _differences([(named[0][0], "in the results"), (newest, "in the newest grid")])
        text = f"the results of {study.name} are of earlier settings: {differing}"
    if differing:
        yield Problem("mixed", text, f"qexp requeue {study.name} --stale")


def _described(revision: RevisionView) -> dict[str, Json]:
    return {**revision.settings, FUNCTION: revision.function}


def _counted(named: Sequence[tuple[dict[str, Json], int]]) -> list[tuple[dict[str, Json], int]]:
    """Add up the experiments of revisions with the same settings."""
    found: dict[str, tuple[dict[str, Json], int]] = {}
    for one, count in named:
        key = canonical(one)
        found[key] = one, count + found.get(key, (one, 0))[1]
    return list(found.values())


def _differences(described: Sequence[tuple[Mapping[str, Json], str]]) -> str:
    """Return the settings that differ, as `epochs = 10 in 40, 20 in 11`; empty if none does."""
    parts = []
    for name in dict.fromkeys(name for one, _ in described for name in one):
        values: dict[str, list[str]] = {}
        words: dict[str, str] = {}
        for one, where in described:
            key = canonical(one[name]) if name in one else ""
            words[key] = shortened(plain(one[name]), _LONGEST) if name in one else _UNSET
            values.setdefault(key, []).append(where)
        if len(values) > 1:
            shown = [f"{words[key]} {listed(where, 1)}" for key, where in values.items()]
            parts.append(f"{name} = {listed(shown, _SHOWN)}")
    return listed(parts, _SHOWN, "; ")


def _across(
    observed: TableExperiments, known: Sequence[Mapping[int, RevisionView]], done: np.ndarray, cells: Cells
) -> Iterator[Problem]:
    """Compare the settings between studies; each study has one kind of settings."""
    if len(observed.studies) < 2:
        return
    described = [_described(one[study.revision]) for one, study in zip(known, observed.studies, strict=True)]
    names = dict.fromkeys(name for one in described for name in one)
    versions = [{name: canonical(one[name]) if name in one else "" for name in names} for one in described]
    within, _ = conflicts(cells.of[done], observed.study[done], versions)
    ran = np.unique(observed.study[done]).tolist()
    differing = _differences([(described[at], f"in {observed.studies[at].name}") for at in ran])
    if within:
        text = f"{cells.listed(within)}: studies of different settings: {differing}"
        yield Problem("mixed", text, cells=tuple(within), advice=BY_STUDY)
    elif differing:
        yield Problem("settings", f"the studies have different settings: {differing}")


def _code(
    connection: Connection,
    observed: TableExperiments,
    known: Sequence[Mapping[int, RevisionView]],
    done: np.ndarray,
    cells: Cells,
) -> Iterator[Problem]:
    """Compare the files that experiments imported: within cells, and between the cells of each study."""
    newest = [observed.newest(at) for at in range(len(observed.studies))]
    if len({one.source for some in known for one in some.values()}) < 2 or not len(done):
        return
    used, classes = _classes(observed, done)
    ran = [known[study][number] for study, number, _ in used]
    code = RevisionCode(connection, [*ran, *newest])
    imports = imports_and_environments.imports(connection, observed.imported.values)
    yield from _unknown_imports(observed, imports, done, cells)
    versions = [
        code.files(one, _imports_of(imports, observed, place)) for one, (_, _, place) in zip(ran, used, strict=True)
    ]
    within, among = conflicts(cells.of[done], classes, versions)
    if within:
        commands = "; ".join(
            f"qexp requeue {name} --stale" for name in _studies_in_conflict(observed, done, cells, classes, versions)
        )
        text = f"{listed(among, _SHOWN)} {_differ(among)} within {cells.listed(within)}"
        yield Problem("mixed", text, commands, tuple(within), advice="" if commands else BY_STUDY)
        return
    for at, study in enumerate(observed.studies):
        own = [one for one, (place, _, _) in zip(versions, used, strict=True) if place == at]
        if among := conflicting(own):
            text = f"{study.name}: {listed(among, _SHOWN)} {_differ(among)} between cells"
            yield Problem("mixed", text, f"qexp requeue {study.name} --stale")
            continue
        names = dict.fromkeys(name for one in own for name in one if name != PLACE)
        current = code.files(newest[at], Imports(tuple(names), ()))
        if changed := sorted({name for one in own for name in one if current.get(name, one[name]) != one[name]}):
            text = f"{study.name}: {listed(changed, _SHOWN)} {_differ(changed)} from the newest revision"
            yield Problem("code", text, f"qexp stale {study.name}")


def _studies_in_conflict(
    observed: TableExperiments, done: np.ndarray, cells: Cells, classes: np.ndarray, versions: Sequence[Versions]
) -> list[str]:
    """Return the studies with conflicts between their own results in a cell."""
    of_study = [(study.name, observed.study[done] == at) for at, study in enumerate(observed.studies)]
    return [name for name, own in of_study if conflicts(cells.of[done[own]], classes[own], versions)[0]]


def _classes(observed: TableExperiments, done: np.ndarray) -> tuple[list[tuple[int, int, int]], np.ndarray]:
    """Return the distinct (study, revision, place in *imported*) of done experiments, and the index of each one's."""
    width, most = len(observed.imported.values), int(observed.revision[done].max()) + 1
    key = (observed.study[done].astype(np.int64) * most + observed.revision[done]) * width + observed.imported.codes[
        done
    ]
    found, classes = np.unique(key, return_inverse=True)
    return [(one // width // most, one // width % most, one % width) for one in found.tolist()], classes


def _imports_of(imports: Mapping[int, Imports], observed: TableExperiments, place: int) -> Imports | None:
    return imports.get(observed.imported.values[place])


def _differ(names: Sequence[str]) -> str:
    return "differs" if len(names) == 1 else "differ"


def _packages(
    connection: Connection,
    observed: TableExperiments,
    environments: Mapping[int, EnvironmentView],
    done: np.ndarray,
    cells: Cells,
) -> Iterator[Problem]:
    """Compare the versions of the packages that experiments imported."""
    if len({canonical(dict(one.packages)) for one in environments.values()}) < 2:
        return
    width = len(observed.imported.values)
    key = observed.worker.codes[done].astype(np.int64) * width + observed.imported.codes[done]
    pairs, classes = np.unique(key, return_inverse=True)
    imports = imports_and_environments.imports(connection, observed.imported.values)
    yield from _unknown_imports(observed, imports, done, cells)
    known = Imports((), tuple(sorted({name for one in imports.values() for name in one.packages})))
    versions: list[Versions] = []
    for worker, place in (divmod(pair, width) for pair in pairs.tolist()):
        environment = environments.get(observed.worker.values[worker])
        # an attempt with unknown imports may have imported all packages of the others
        imported = _imports_of(imports, observed, place) or known
        versions.append({} if environment is None else packages(environment, imported))
    within, among = conflicts(cells.of[done], classes, versions)
    found = {name: sorted({one[name] for one in versions if name in one})[:_SHOWN] for name in among}
    packages_text = listed([f"{name} ({' and '.join(some)})" for name, some in found.items()], _SHOWN)
    if within:
        yield Problem("mixed", f"versions of {packages_text} differ within {cells.listed(within)}", cells=tuple(within))
    elif among:
        yield Problem("packages", f"versions of {packages_text} differ between cells")


def _unknown_imports(
    observed: TableExperiments, imports: Mapping[int, Imports], done: np.ndarray, cells: Cells
) -> Iterator[Problem]:
    """Note results whose imports are unknown, so that all files and packages count for them."""
    places = done[~_is_known(observed.imported, imports)[observed.imported.codes[done]]]
    if len(places):
        text = f"the imports of {_results(places, cells)} are not known, so all files and packages count"
        yield Problem("unknown", text)


def _unknown_environments(
    observed: TableExperiments, environments: Mapping[int, EnvironmentView], done: np.ndarray, cells: Cells
) -> Iterator[Problem]:
    """Note results of workers whose environment is unknown, so that it cannot be compared."""
    places = done[~_is_known(observed.worker, environments)[observed.worker.codes[done]]]
    if observed.has_workers and len(places):
        text = f"the packages and machines of {_results(places, cells)} are not known, so nothing is compared with them"
        yield Problem("unknown", text)


def _is_known(column: CodedColumn, found: Mapping[int, object]) -> np.ndarray:
    """Return for each value of a column whether it was found."""
    return np.array([example in found for example in column.values], dtype=bool)


def _results(places: np.ndarray, cells: Cells) -> str:
    return f"{counted(len(places), 'result')} in {cells.listed(np.unique(cells.of[places]).tolist())}"


def _hardware(
    observed: TableExperiments, environments: Mapping[int, EnvironmentView], done: np.ndarray, spec: TableSpec
) -> Iterator[Problem]:
    """Compare the machines, if a metric depends on them."""
    metrics = [metric for metric in spec.all_metrics if is_time_like(metric)]
    if not metrics:
        return
    used = np.unique(observed.worker.codes[done]).tolist()
    models = {one.hardware for code in used if (one := environments.get(observed.worker.values[code]))}
    if len(models) > 1:
        yield Problem(
            "mixed", f"{listed(metrics, _SHOWN)} comes from different machines: {listed(sorted(models), _SHOWN, '; ')}"
        )
