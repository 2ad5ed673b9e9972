"""
How many experiments are published at once, and how many one message holds.

A message holds about `bundle` seconds of work, judged by the durations of the study's last experiments. While none has
ended, only a few are published, one per message: they are the study's *probes*. As soon as one ends, its duration
sizes the messages of all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qexp.queueing.messages import LARGEST
from qexp.store.writes.publishing import QueuedExperiment, RecentDurations

BATCH = 5_000
"""Experiments that are marked and published together."""
_WORTHWHILE = 0.2
"""The share of a batch that a further batch needs room for: workers free a little room all the time."""
_PROBES = 40
"""Probes of a study, if it has fewer than ten children."""
_EXPECTED = 8
"""The number of children that is assumed while there are none."""
_SPREAD = 5
"""How many times `bundle` a message may take if all its experiments take as long as the longest recent one."""
_GOLDEN = 0.6180339887
"""The fractional parts of its multiples lie apart from each other, however many there are (Weyl, 1916)."""


def batch_size(room: int, window: int, published: int) -> int:
    """
    Return how many experiments to publish next, if there is *room* for so many and some were *published* just now.

    >>> batch_size(10000, 10000, 0), batch_size(900, 10000, 0), batch_size(900, 10000, 5000)
    (5000, 900, 0)
    """
    if published and room < min(BATCH, window) * _WORTHWHILE:
        return 0
    return max(0, min(BATCH, room))


def probes(children: int) -> int:
    """Return how many probes a study has when so many children listen to its queue."""
    return max(_PROBES, 4 * children)


def message_size(durations: RecentDurations | None, seconds: float) -> int:
    """
    Return how many experiments take about so many seconds together; 1 if nobody knows how long one takes.

    >>> message_size(None, 1), message_size(RecentDurations(0.02, 0.03), 1), message_size(RecentDurations(0.02, 2), 1)
    (1, 50, 2)
    """
    if durations is None:
        return 1
    typical = seconds / max(durations.median, 1e-6)
    unlucky = _SPREAD * seconds / max(durations.longest, 1e-6)
    return max(1, min(LARGEST, int(typical), int(unlucky)))


def divide(
    items: Sequence[QueuedExperiment], most: int, children: int, is_tail: bool
) -> list[Sequence[QueuedExperiment]]:
    """
    Divide experiments into messages of about *most*, with at least two messages for each child.

    Sizes differ by up to a quarter. With equal sizes, children that begin together would always end together and wait
    for each other at the worker's main process. The messages of a study's tail shrink, so that all children end at one
    time: guided self-scheduling (Polychronopoulos and Kuck, 1987). An experiment that runs alone has its own message.
    """
    found: list[Sequence[QueuedExperiment]] = [[item] for item in items if item.alone]
    items = [item for item in items if not item.alone] if found else items
    start = 0
    shares = 2 * (children or _EXPECTED)
    most = min(most, math.ceil(len(items) / shares))
    while start < len(items):
        left = len(items) - start
        share = math.ceil(left / shares) if is_tail else left
        uneven = round(most * (0.75 + len(found) * _GOLDEN % 1 / 2))
        number = share if share <= most else min(share, uneven, LARGEST)
        found.append(items[start : start + number])
        start += number
    return found
