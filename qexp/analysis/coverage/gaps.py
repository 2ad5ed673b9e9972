"""Find the reason for each experiment that is not done, and the command that fills the gap."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qexp.analysis.coverage.model import KINDS, Gap
from qexp.analysis.table import refusal_reasons
from qexp.analysis.table.checks import without_number
from qexp.analysis.table.name_resolution import metric_source
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.model import Status, compact
from qexp.store.connection import Connection
from qexp.store.reads import staleness
from qexp.store.reads.study_rows import StudyRow
from qexp.store.selection.where_parser import spelled

_NO_NUMBERS = "('NaN', 'Infinity', '-Infinity')"


@dataclass(frozen=True)
class Reasons:
    """The kind of gap of each experiment: a place in KINDS, -1 if it is done."""

    observed: TableExperiments
    codes: np.ndarray
    metrics: Sequence[str]
    where: str | None

    def places(self, kind: str) -> np.ndarray:
        """Return the experiments of one kind."""
        return np.flatnonzero(self.codes == KINDS.index(kind))


def reasons(connection: Connection, observed: TableExperiments, metrics: Sequence[str], where: str | None) -> Reasons:
    """
    Return why each experiment is not done.

    A done one must have the settings and the code of the newest revision, and a finite value of each metric.

    Raises OptionError if a metric is text, a list or a mapping.
    """
    kinds = ["pending" if status is Status.QUEUED else str(status) for status in Status]
    codes = np.array([KINDS.index(kind) if kind in KINDS else -1 for kind in kinds], dtype=np.int8)[observed.status]
    for study in observed.studies:
        if stale := staleness.ids(connection, study):
            codes[np.isin(observed.ids, stale)] = KINDS.index("stale")
    for metric in metrics:
        strange = np.flatnonzero(observed.is_done & ~np.isfinite(observed.metrics[metric]))
        codes[strange] = KINDS.index("diverged")
        for at, study in enumerate(observed.studies):
            ids = observed.ids[strange[observed.study[strange] == at]]
            missing = without_number(connection, study, metric, ids)["missing"]
            codes[strange[np.isin(observed.ids[strange], missing)]] = KINDS.index("valueless")
    return Reasons(observed, codes, metrics, where)


def gaps(found: Reasons, cell: np.ndarray) -> Iterator[Gap]:
    """Yield the gaps; *cell* is the cell of each experiment."""
    for kind in KINDS:
        places = found.places(kind)
        if len(places):
            commands = tuple(_commands(found, kind, places))
            yield Gap(kind, len(places), _text(found, kind, places), commands, tuple(np.unique(cell[places]).tolist()))


def _text(found: Reasons, kind: str, places: np.ndarray) -> str:
    number, metrics = f"{len(places):,}", " or ".join(found.metrics)
    if kind == "failed":
        return f"{number} failed ({refusal_reasons.failures(found.observed, places)})"
    if kind == "stale":
        return f"{number} done with other settings or code"
    if kind == "valueless":
        return f"{number} done without {metrics}"
    return f"{number} done with {metrics} NaN or infinite" if kind == "diverged" else f"{number} {kind}"


def _commands(found: Reasons, kind: str, places: np.ndarray) -> Iterator[str]:
    for at in np.unique(found.observed.study[places]).tolist():
        study = found.observed.studies[at]
        ids = found.observed.ids[places[found.observed.study[places] == at]]
        yield " ".join(map(_word, ["qexp", *_command(found, kind, study, ids)]))


def _word(text: str) -> str:
    """Quote a word for a shell. A condition, which has single quotes, gets double ones."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def _command(found: Reasons, kind: str, study: StudyRow, ids: np.ndarray) -> list[str]:
    narrowed = ["--where", found.where] if found.where else []
    match kind:
        case "failed" | "stale":
            return ["requeue", study.name, f"--{kind}", *narrowed]
        case "cancelled":
            return ["requeue", study.name, "--status", "cancelled", *narrowed]
        case "paused" | "running" | "pending":
            is_paused = kind == "paused" or (kind == "pending" and study.paused_at is not None)
            return ["resume" if is_paused else "wait", study.name]
    return _of_values(found, kind, study, ids)


def _of_values(found: Reasons, kind: str, study: StudyRow, ids: np.ndarray) -> list[str]:
    """Return the command for done experiments without a finite value of a metric."""
    source = metric_source(study, found.metrics[0])
    if len(found.metrics) > 1 or source is None or source.column != "result":
        return ["show", compact(sorted(ids.tolist())[:3])]
    name = spelled(found.metrics[0])
    name = f"result.{name}" if found.metrics[0] in study.parameters else name
    wanted = f"{name} is null" if kind == "valueless" else f"{name} in {_NO_NUMBERS}"
    condition = f"({found.where}) and {wanted}" if found.where else wanted
    return ["requeue" if kind == "valueless" else "list", study.name, "--status", "done", "--where", condition]
