"""Find results that differ from a study's newest revision, and files that changed since that revision."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.source import ChangedFiles, take
from qexp.store.reads import snapshots, staleness, study_rows
from qexp.store.reads.staleness_model import Staleness

if TYPE_CHECKING:
    from qexp.client.client import Client

log = logging.getLogger(__name__)


def stale(client: Client, name: str) -> Staleness:
    """Return which done experiments differ from the study's newest revision, and why."""
    with client.begin() as connection:
        study = study_rows.find(connection, name)
        found = staleness.of(connection, study)
        code = study_rows.present_code(connection, study)
        digest = code.digest
        marks = {} if digest is None else snapshots.marks(connection, [digest])[digest]
    if digest is None or study.folder is None:
        return found
    return replace(found, folder=study.folder, edited=_edited(Path(study.folder), code.include, marks))


def _edited(folder: Path, include: Sequence[str], marks: Mapping[str, str]) -> tuple[str, ...]:
    """Return the code files of a folder that differ from a snapshot; none if this host cannot pack the folder."""
    if not folder.is_dir():
        return ()
    try:
        now = take(folder, include)
    except SourceError as error:  # without the folder, revisions can still be compared
        log.warning("the folder was not compared: %s", error)
        return ()
    return tuple(ChangedFiles.between(marks, now.marks, now.own).code)
