"""Find results that differ from a study's newest revision, and files that changed since that revision."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qexp.errors import SourceError
from qexp.source import take
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
        _, digest = study_rows.current(connection, study)
        marks = {} if digest is None else snapshots.marks(connection, [digest])[digest]
    if digest is None or study.folder is None:
        return found
    return replace(found, folder=study.folder, edited=_edited(Path(study.folder), digest, marks))


def _edited(folder: Path, digest: str, marks: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of a folder that differ from a snapshot. Returns none if this host cannot pack the folder."""
    if not folder.is_dir():
        return ()
    try:
        now = take(folder)
    except SourceError as error:  # without the folder, revisions can still be compared
        log.warning("the folder was not compared: %s", error)
        return ()
    names = {*marks, *now.files} if now.digest != digest else set()
    return tuple(sorted(name for name in names if marks.get(name) != now.marks.get(name)))
