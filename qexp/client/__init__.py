"""What a person can do, as Python: the command line and notebooks call only this."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qexp.client.client import Client
    from qexp.client.enqueueing import Difference, Enqueued
    from qexp.client.findings import Findings
    from qexp.client.reading import Shown
    from qexp.client.study import Study, enqueue, load, metrics

__all__ = ["Client", "Difference", "Enqueued", "Findings", "Shown", "Study", "enqueue", "load", "metrics"]

_HOMES = {
    "Difference": "enqueueing",
    "Enqueued": "enqueueing",
    "Findings": "findings",
    "Shown": "reading",
    "Study": "study",
    "enqueue": "study",
    "load": "study",
    "metrics": "study",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: who only looks needs neither grids nor a broker."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'client')}"), name)
    globals()[name] = value
    return value
