"""qexp as a Python library; the command line and notebooks call only this package."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qexp.client.attempt_records import Records
    from qexp.client.client import Client
    from qexp.client.enqueue import Difference, Enqueued
    from qexp.client.experiment_queries import ExperimentDetails
    from qexp.client.study import Study

__all__ = ["Client", "Difference", "Enqueued", "ExperimentDetails", "Records", "Study"]

_HOMES = {
    "Difference": "enqueue",
    "Enqueued": "enqueue",
    "Records": "attempt_records",
    "ExperimentDetails": "experiment_queries",
    "Study": "study",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: commands that only read need neither grids nor a broker."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'client')}"), name)
    globals()[name] = value
    return value
