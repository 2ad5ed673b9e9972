"""One Python function and one grid.yaml become ten thousand experiments."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qexp.errors import QexpError, QexpWarning

if TYPE_CHECKING:
    from qexp.analysis.table import Table
    from qexp.client.attach import attach
    from qexp.client.listings.studies import studies
    from qexp.client.paper_tables import tables
    from qexp.client.study import Study, enqueue, load, metrics
    from qexp.client.tables_and_comparisons import compare, coverage, table
    from qexp.function_cache import cached
    from qexp.grid import Grid
    from qexp.worker.context.context import Context

__all__ = [
    "Context",
    "Grid",
    "QexpError",
    "QexpWarning",
    "Study",
    "Table",
    "attach",
    "cached",
    "compare",
    "coverage",
    "enqueue",
    "load",
    "metrics",
    "studies",
    "table",
    "tables",
]

_HOMES = {
    "Context": "qexp.worker.context.context",
    "Grid": "qexp.grid",
    "Study": "qexp.client.study",
    "Table": "qexp.analysis.table",
    "attach": "qexp.client.attach",
    "cached": "qexp.function_cache",
    "compare": "qexp.client.tables_and_comparisons",
    "coverage": "qexp.client.tables_and_comparisons",
    "enqueue": "qexp.client.study",
    "load": "qexp.client.study",
    "metrics": "qexp.client.study",
    "studies": "qexp.client.listings.studies",
    "table": "qexp.client.tables_and_comparisons",
    "tables": "qexp.client.paper_tables",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import qexp` costs nothing."""
    if name == "__version__":
        from importlib.metadata import version  # 50 ms that only this name needs

        return version("qexp")
    if name not in _HOMES:
        raise AttributeError(f"module 'qexp' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
