"""The notes of a comparison: its unit, unpaired results, and other differences."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.compare.pairing import Pairing
from qexp.analysis.compare.spec import CompareSpec
from qexp.analysis.table import labels, refusal_reasons
from qexp.analysis.table import mixed_results as differences
from qexp.analysis.table.checks import without_number
from qexp.analysis.table.disclosures import remarks
from qexp.analysis.table.model import Note
from qexp.analysis.table.name_resolution import STUDY
from qexp.analysis.table.refusal_reasons import Cells, Problem
from qexp.analysis.table.replicates import Axes, units
from qexp.analysis.table.spec import TableSpec
from qexp.analysis.table.table_experiments import TableExperiments, with_studies
from qexp.dotted_names import ABSENT
from qexp.errors import RefusedError
from qexp.model import OPEN, Status, compact, counted, short_names
from qexp.store.connection import Connection
from qexp.store.reads import snapshots
from qexp.truncation import listed

_STATUSES = list(Status)
_DONE = _STATUSES.index(Status.DONE)
_SHOWN = 3
_FILES = 6
"""Files that a note names."""
_FEW = 6
"""The fewest combinations with which a Wilcoxon test can reach 0.05."""


def mixed(connection: Connection, pairing: Pairing) -> list[Problem]:
    """Return the differences within each study, which is one cell of a comparison."""
    observed, table = with_studies(pairing.observed), pairing.spec.table(())
    return differences.mixed(connection, observed, table, _study_cells(observed, table))


def _study_cells(observed: TableExperiments, table: TableSpec) -> Cells:
    names = [(study.name,) for study in observed.studies]
    return Cells(observed, units(observed, (STUDY,), ()), table, names, [()])


def _remarks(connection: Connection, pairing: Pairing) -> Iterator[Note]:
    """Yield notes on results that another run replaced, a person accepted or code added."""
    observed, table = with_studies(pairing.observed), pairing.spec.table(())
    for problem in remarks(connection, observed, table, _study_cells(observed, table)):
        yield problem.note("")


def refuse(found: Sequence[Problem], spec: CompareSpec) -> None:
    """Raise RefusedError if settings, code or packages differ within a study, unless it is allowed."""
    refused = [problem.line for problem in found if problem.kind == "mixed"]
    if refused and not spec.allow:
        raise RefusedError(refused, "--allow mixed compares them with a note", "comparison")


def require_numbers(connection: Connection, pairing: Pairing) -> None:
    """Raise OptionError if the metric is text, a list or a mapping in some results."""
    observed, metric = pairing.observed, pairing.spec.metric
    strange = np.flatnonzero(observed.is_done & ~np.isfinite(observed.metrics[metric]))
    for at, study in enumerate(observed.studies):
        ids = observed.ids[strange[observed.study[strange] == at]]
        without_number(connection, study, metric, ids)


def unit(pairing: Pairing) -> str:
    """Return the unit of a pair in words."""
    over = ", ".join(pairing.observed.over)
    single = f"values of {over}" if over else "single results"
    counts = [pairing.count_blocks(group) for group in _groups(pairing)]
    if max(counts, default=0) <= 1:
        return single
    names = _varying(pairing)
    blocks = f"combinations of {', '.join(names)}" if len(names) > 1 else f"values of {names[0]}"
    blocks += f", each the mean over the values of {over} that both have" if over else ""
    few = [", ".join(key) for key, count in zip(labels.keys(pairing.groups, {}), counts, strict=True) if count == 1]
    return f"{blocks}; {single} in {listed(few, _SHOWN)}" if few else blocks


def _varying(pairing: Pairing) -> list[str]:
    """Return the parameters that differ between the blocks of a group."""
    keys = [
        [pairing.blocks.keys[at] for at in np.unique(pairing.block[pairing.keys(group)])] for group in _groups(pairing)
    ]
    return [
        name
        for at, name in enumerate(pairing.blocks.names)
        if any(key[at] != some[0][at] for some in keys for key in some)
    ]


def _groups(pairing: Pairing) -> range:
    return range(len(pairing.groups.keys))


def all_notes(
    connection: Connection, pairing: Pairing, methods: Sequence[str], found: Sequence[Problem]
) -> Iterator[Note]:
    """Yield the notes of a comparison."""
    yield from _unpaired(pairing, methods)
    yield from (problem.note("") for problem in found)
    yield from _remarks(connection, pairing)
    for name in pairing.fixed:
        yield Note(
            "fixed", f"{name} differs with {', '.join(pairing.methods.names)}: {_values(pairing, name, methods)}"
        )
    if pairing.averaged:
        averages = "; ".join(
            f"{listed(values, _SHOWN)} for {method}" for method, values in zip(methods, pairing.averaged, strict=True)
        )
        yield Note(
            "average", f"the averages are over different values of {', '.join(pairing.spec.average)}: {averages}"
        )
    if STUDY in pairing.spec.compared:
        yield from _code(connection, pairing.observed)
    names = _varying(pairing)
    if len(names) > 1:
        text = f"each combination of {', '.join(names)} counts as an independent result; average what is none"
        yield Note("unit", f"{text}: --average {','.join(names[1:])}")
    if advice := _advice(pairing):
        yield Note("unit", advice)


def _code(connection: Connection, observed: TableExperiments) -> Iterator[Note]:
    """Yield a note on the Python files that differ between the last revisions of the studies that ran."""
    ran = [observed.revision[(observed.study == at) & observed.is_done] for at in range(len(observed.studies))]
    last = [known.get(int(some.max())) for known, some in zip(observed.revisions, ran, strict=True) if len(some)]
    digests = [one.source for one in last if one is not None and one.source]
    marks = snapshots.marks(connection, set(digests)) if len(set(digests)) > 1 else {}
    files = sorted({name for one in marks.values() for name in one if name.endswith(".py")})
    differing = [name for name in files if len({marks.get(digest, {}).get(name) for digest in digests}) > 1]
    if differing:
        yield Note("code", f"files that differ: {listed(differing, _FILES)}")


def _values(pairing: Pairing, name: str, methods: Sequence[str]) -> str:
    """Return the value that a parameter has for each method."""
    column, values = pairing.observed.axes[name], []
    for method, label in enumerate(methods):
        codes = column.codes[pairing.methods.codes == method]
        value = column.values[codes[0]] if len(codes) else ABSENT
        values.append(f"{labels.text(value)} for {label}")
    return listed(values, 8)


@dataclass(frozen=True)
class _MissingKeys:
    """Keys for which a method has no value, for one reason."""

    reason: str
    keys: tuple[int, ...]
    command: str
    ids: tuple[int, ...] = ()
    """Experiments that are done and have no value: `qexp show` shows them."""


def _unpaired(pairing: Pairing, methods: Sequence[str]) -> Iterator[Note]:
    """Yield a note for each reason of unpaired results; methods that lack the same results share a note."""
    lacks: dict[tuple[str, tuple[int, ...]], list[tuple[str, _MissingKeys]]] = {}
    for method, name in enumerate(methods):
        for lack in _lacks(pairing, method):
            lacks.setdefault((lack.reason, lack.keys), []).append((name, lack))
    for (reason, keys), found in lacks.items():
        text = f"not paired: {_lacking_results(found, len(keys), len(methods))}, {reason}: {_key_list(pairing, keys)}"
        yield Note("unpaired", text, command=_shared_command([lack for _, lack in found]))


def _lacking_results(found: Sequence[tuple[str, _MissingKeys]], count: int, methods: int) -> str:
    """Return the number of missing results with their methods, such as `3 of svm, tree`."""
    if len(found) == methods:
        return f"{counted(count, 'result')} of each method"
    return f"{count:,} of {', '.join(name for name, _ in found)}"


def _shared_command(lacks: Sequence[_MissingKeys]) -> str:
    """Return the command that completes or shows the results that several methods lack."""
    if ids := sorted(number for lack in lacks for number in lack.ids):
        return f"qexp show {compact(ids[:_SHOWN])}"
    return "; ".join(dict.fromkeys(lack.command for lack in lacks if lack.command))


def _lacks(pairing: Pairing, method: int) -> Iterator[_MissingKeys]:
    """Yield the keys without a value of a method, by reason."""
    lacking = np.flatnonzero(~np.isfinite(pairing.values[method]))
    places = pairing.place[method, lacking]
    status = np.where(places >= 0, pairing.observed.status[places], -1)
    for code in (-1, *range(len(_STATUSES))):
        keys, some = lacking[status == code], places[status == code]
        if len(keys):
            reason = "not in the grid" if code < 0 else _reason(pairing, _STATUSES[code], some)
            command = "" if code in (-1, _DONE) else _command(pairing, _STATUSES[code], some)
            ids = tuple(pairing.observed.ids[some].tolist()) if code == _DONE else ()
            yield _MissingKeys(reason, tuple(keys.tolist()), command, ids)


def _reason(pairing: Pairing, status: Status, places: np.ndarray) -> str:
    if status is Status.DONE:
        return f"done without a finite {pairing.spec.metric}"
    if status is not Status.FAILED:
        return str(status)
    return f"failed ({refusal_reasons.failures(pairing.observed, places)})"


def _command(pairing: Pairing, status: Status, places: np.ndarray) -> str:
    """Return the command that completes or shows some experiments, one per study."""
    observed, where = pairing.observed, pairing.spec.where
    names = [observed.studies[at].name for at in np.unique(observed.study[places]).tolist()]
    if status in OPEN:
        return "; ".join(f"qexp wait {name}" for name in names)
    narrowed = ["--where", where] if where else []
    return "; ".join(shlex.join(["qexp", "requeue", name, "--status", str(status), *narrowed]) for name in names)


def _key_list(pairing: Pairing, keys: Sequence[int]) -> str:
    return listed([_key(pairing, key) for key in keys], _SHOWN, "; ")


def _key(pairing: Pairing, key: int) -> str:
    """Return a key in words: `iris, seed 3`."""
    parts = [
        (pairing.groups, pairing.group[key]),
        (pairing.blocks, pairing.block[key]),
        (pairing.replicates, pairing.replicate[key]),
    ]
    words = [word for axes, code in parts for word in _words(axes, int(code))]
    return ", ".join(words) or "the only result"


def _words(axes: Axes, code: int) -> Iterator[str]:
    """Yield the values of a key; a value that is not text gets the name of its axis."""
    for at, (name, value) in enumerate(zip(axes.names, axes.keys[code], strict=True)):
        short = short_names([key[at] for key in axes.keys if key[at] is not ABSENT])
        yield short.get(value, value) if isinstance(value, str) else f"{name} {labels.text(value)}"


def _advice(pairing: Pairing) -> str:
    """Return advice to compare over replicates if there are few combinations."""
    over, most = ", ".join(pairing.observed.over), max(map(pairing.count_blocks, _groups(pairing)), default=0)
    if not over or not 1 < most < _FEW:
        return ""
    return f"--per {','.join((*pairing.spec.per, *_varying(pairing)))} compares within each, over {over}"
