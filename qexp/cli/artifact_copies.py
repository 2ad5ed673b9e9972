"""Copy artifacts to this machine: one to a file, or those of several experiments into a folder."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qexp.cli.terminal_writer import echo
from qexp.errors import FilesError
from qexp.model import counted
from qexp.truncation import listed
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client import Records
    from qexp.store.reads.records import Artifact

_NAMED = 3


def copy(records: Records, found: Sequence[Artifact], output: str | None, overwrite: bool) -> None:
    """
    Copy artifacts of one name, each of another experiment, to *output*: a file, a folder, `-`, or ID/NAME.

    Files with other content are refused before anything is copied, unless *overwrite* is set.
    """
    if len(found) > 1 and output is not None and (output == "-" or not _is_folder(output)):
        raise click.UsageError(
            f"-o {output}: found {counted(len(found), 'experiment')} with an artifact {found[0].name!r}, expected one; "
            f"a folder takes all of them: -o {_folder_for(output)}/"
        )
    if output is not None and output != "-" and _is_folder(output) and Path(output).is_file():
        raise click.UsageError(f"-o {output}: found a file, expected a folder: -o {_folder_for(output)}/")
    if output == "-":
        sys.stdout.buffer.write(records.content(found[0]))
        return
    targets = [(_target(item, output), item) for item in found]
    present = {target for target, item in targets if target.is_file() and _sha256(target) == item.sha256}
    other = [str(target) for target, _ in targets if target not in present and os.path.lexists(target)]
    if other and not overwrite:
        raise click.UsageError(f"{listed(other, _NAMED)}: the file exists; replace it with --overwrite")
    for target, item in targets:
        if target in present:
            echo(f"{target}: {size_text(item.size)}, already there")
        else:
            records.fetch(item, target)
            echo(f"{target}: {size_text(item.size)}")


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _folder_for(output: str) -> str:
    """Return a name for a folder that resembles *output* and that no file has."""
    name = "" if output == "-" else str(Path(output).with_suffix(""))
    return "artifacts" if not name or Path(name).is_file() else name


def _target(item: Artifact, output: str | None) -> Path:
    """Return the path for an artifact. In a folder, its name begins with the id, and has no folders."""
    if output is not None and not _is_folder(output):
        return Path(output)
    if output is not None:
        return Path(output) / f"{item.experiment}-{item.name.replace('/', '-').replace(os.sep, '-')}"
    try:
        return item.path
    except FilesError as error:
        raise click.UsageError(f"{error} with -o") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
