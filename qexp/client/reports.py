"""Write the report of a study to one .html file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qexp.analysis.atomic_files import atomic_file, check_target
from qexp.analysis.report import gather
from qexp.analysis.report.page import page
from qexp.client.tables_and_comparisons import snapshot

if TYPE_CHECKING:
    from qexp.analysis.report import ReportOptions
    from qexp.client.client import Client


def write(client: Client, options: ReportOptions, path: Path) -> int:
    """
    Write the report of a study to a .html file, completely or not at all; return its size in bytes.

    It comes from one snapshot of the database. The same data give the same bytes.
    """
    check_target(path, (".html", ".htm"))  # before Postgres is read
    with snapshot(client) as connection:
        found = gather(connection, options)
    data = page(found).encode("utf-8", "backslashreplace")
    with atomic_file(path) as draft:
        draft.write_bytes(data)
    return len(data)
