"""What those are told who wait for something long."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int], None]
"""Is told what was done to how many experiments so far: "written" or "announced"."""


def nobody(what: str, number: int) -> None:
    """Take progress and say nothing."""
