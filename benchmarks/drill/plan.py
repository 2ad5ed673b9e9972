"""The plan of faults, drawn from a seed before the drill, so that a seed repeats it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

SPAN = (0.2, 3.0)
"""Range of seconds for which a process or service stays stopped or killed."""
_LONG = 0.08
"""The share of stops that last longer than a lease."""

KINDS: Sequence[str] = (
    "kill a child",
    "stop a child",
    "kill a worker",
    "kill a main process",
    "stop a worker",
    "stop a main process",
    "tell a worker to stop",
    "kill postgres",
    "restart postgres",
    "stop postgres",
    "cut connections to postgres",
    "kill the broker",
    "wipe the broker",
    "stop the broker",
    "flush the broker",
    "cut connections to the broker",
    "put garbage on the queue",
    "pause the study",
    "requeue failed ones",
    "enqueue the grid again",
)
"""The types of faults; `benchmarks.drill.storm` has a method for each."""


@dataclass(frozen=True)
class Fault:
    """A fault with its duration, if it has one, and a number that chooses its victim."""

    at: float
    """Seconds since the start of the faults."""
    kind: str
    seconds: float
    pick: float
    """From 0 to 1."""


def plan(seed: int, seconds: float, lease: float, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """
    Return a fault for each second.

    >>> plan(1, 240, 30) == plan(1, 240, 30), len(plan(1, 240, 30))
    (True, 240)
    """
    dice = random.Random(seed)
    return [
        Fault(float(at), kind := dice.choice(kinds), _span(dice, kind, lease), dice.random())
        for at in range(int(seconds))
    ]


def _span(dice: random.Random, kind: str, lease: float) -> float:
    is_long = dice.random() < _LONG and kind in ("stop a worker", "stop a main process")
    return dice.uniform(1.05, 1.4) * lease if is_long else dice.uniform(*SPAN)
