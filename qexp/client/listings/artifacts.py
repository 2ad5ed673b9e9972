"""Artifacts of experiments, as a list that shows itself, reads files and saves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from qexp.analysis.column_fitting import TableColumn
from qexp.client.attempt_records import Records
from qexp.client.listings.listing import Listing
from qexp.store.reads.records import Artifact
from qexp.units import size_text


@dataclass(frozen=True)
class ArtifactFile(Artifact):
    """An artifact that can be read, or saved to this machine."""

    records: Records = field(repr=False, compare=False)

    def read(self) -> bytes:
        """Return the bytes of the file. Raises FilesError if it cannot be read."""
        return self.records.content(self)

    def save(self, target: str | Path | None = None) -> Path:
        """
        Copy the file to this machine and return its path; the file appears complete or not at all.

        *target* is a file, or an existing folder. By default it is `ID/NAME` in the working directory. Raises
        FilesError if the file cannot be read, its checksum differs, or its name leads out of the folder.
        """
        path = self.path if target is None else Path(target)
        if path.is_dir():
            path = path.joinpath(*self.path.parts[1:])
        self.records.fetch(self, path)
        return path

    def __repr__(self) -> str:
        return f"artifact {self.name!r} of experiment {self.experiment}, {size_text(self.size)}"


class Artifacts(Listing[ArtifactFile]):
    """Artifacts in the order of ids and names, each from the last attempt that left it."""

    empty: ClassVar[str] = "no artifacts; keep a file in your function with context.artifact(name, path_or_bytes)"

    def columns(self, shown: Sequence[ArtifactFile]) -> list[TableColumn]:
        """Return the experiment, the attempt, the name and the size."""
        return [
            TableColumn("id", [str(item.experiment) for item in shown], right=True),
            TableColumn("attempt", [str(item.attempt) for item in shown], right=True),
            TableColumn("name", [item.name for item in shown], cut=True),
            TableColumn("size", [size_text(item.size) for item in shown], right=True),
        ]

    def save(self, folder: str | Path = ".") -> list[Path]:
        """Copy all files to `FOLDER/ID/NAME` on this machine; return their paths."""
        return [item.save(Path(folder) / item.path) for item in self]
