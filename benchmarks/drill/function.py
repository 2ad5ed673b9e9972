"""The function of the drill: its copy lies beside the grid, and the judge computes expected outcomes with it."""

from __future__ import annotations

import os
import random
import time
from typing import Literal

import qexp

Fate = Literal["returns", "raises", "exits"]


def fate(seed: int, x: int) -> tuple[Fate, float]:
    """Return how an experiment ends, and its seconds until then."""
    dice = random.Random(f"{seed} {x}")
    share, seconds = dice.random(), dice.uniform(0.02, 0.3)
    return "raises" if share < 0.05 else "exits" if share < 0.06 else "returns", seconds


def note(log: str, what: str, context: qexp.Context) -> None:
    """Add a line to the log in one write, so that lines of several processes never mix."""
    line = f"{what} {context.id} {context.attempt} {os.getpid()} {time.time():.3f}\n".encode()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def run(x: int, seed: int, log: str, *, context: qexp.Context) -> dict[str, int]:
    """Sleep, then end like the fate of this experiment."""
    what, seconds = fate(seed, x)
    note(log, "begin", context)
    time.sleep(seconds)
    if what == "exits":
        os._exit(3)
    if what == "raises":
        raise ValueError(f"experiment {x} always fails")
    note(log, "end", context)
    return {"y": 2 * x, "attempt": context.attempt}
