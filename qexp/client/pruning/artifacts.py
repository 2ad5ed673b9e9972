"""Find files in the artifacts that no row names: their attempts ended before the row was written."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from qexp.client.pruning.unneeded import Unneeded
from qexp.file_storage import Files, PlacedFile
from qexp.store.reads import needed_files, study_rows

if TYPE_CHECKING:
    from qexp.client.client import Client

_KEY = re.compile(r"([a-z][a-z0-9_]*)/([0-9]{1,18})/([0-9]{1,9})/.+", re.DOTALL)
_SETTLED = 3600.0
"""Seconds after which a file is not being recorded any more."""
_AT_ONCE = 1_000


@dataclass
class ForeignFiles:
    """Files of experiments that this database does not have; another one may share the folder."""

    number: int = 0
    bytes: int = 0
    studies: set[str] = field(default_factory=set)


def unrecorded(client: Client, foreign: ForeignFiles) -> Iterator[Unneeded]:
    """Yield the files of this database's experiments that no row names; count the others as *foreign*."""
    files = Files(client.settings.artifacts_root)
    placed = ((found, match) for found in files.files() if (match := _KEY.fullmatch(found.key)))
    while batch := list(itertools.islice(placed, _AT_ONCE)):
        owners = {int(match[2]): match[1] for _, match in batch}
        with client.begin() as connection:
            studies = study_rows.names_by_experiment(connection, [*owners])
            attempts = needed_files.running(connection, [*owners])
            named = needed_files.named(connection, [*owners])
        for found, match in batch:
            number, attempt = int(match[2]), int(match[3])
            if studies.get(number) != match[1]:
                _count(foreign, found, match[1])
            elif found.url not in named and attempts.get(number) != attempt and _is_settled(found):
                yield Unneeded(found.size, partial(_remove, files, found.url))


def _count(foreign: ForeignFiles, found: PlacedFile, study: str) -> None:
    foreign.number += 1
    foreign.bytes += found.size
    foreign.studies.add(study)


def _is_settled(found: PlacedFile) -> bool:
    return found.changed is not None and time.time() - found.changed > _SETTLED


def _remove(files: Files, url: str) -> bool:
    removed = files.delete(url)
    files.remove_empty_folders(url)
    return removed
