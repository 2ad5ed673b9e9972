"""
The sizes of batches and of messages.

A message has about `bundle` seconds of work, estimated from the durations of the study's last experiments. While no
experiment has ended, a few are published, one per message: they are the study's *probes*. The duration of the first
one that ends sizes the messages of all others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qexp.queueing.messages import LARGEST
from qexp.store.writes.publishing import QueuedExperiment, RecentDurations

BATCH = 5_000
"""Experiments that are marked and published together."""
_WORTHWHILE = 0.2
"""Later batches need room for this part of a batch, since workers free a little room all the time."""
_PROBES = 40
"""The number of a study's probes if fewer than ten children listen to its queue."""
_EXPECTED = 8
"""The number of children to assume while there are none."""
_SPREAD = 5
"""The multiple of `bundle` that a message may take if all its experiments take as long as the longest recent one."""
_GOLDEN = 0.6180339887
"""The fractional parts of its multiples spread evenly (Weyl, 1916), so that the sizes of messages differ."""


def batch_size(room: int, window: int, published: int) -> int:
    """
    Return the number of experiments to publish next, given the *room* and the number *published* just before.

    >>> batch_size(10000, 10000, 0), batch_size(900, 10000, 0), batch_size(900, 10000, 5000)
    (5000, 900, 0)
    """
    if published and room < min(BATCH, window) * _WORTHWHILE:
        return 0
    return max(0, min(BATCH, room))


def probes(children: int) -> int:
    """Return the number of probes of a study, given the number of *children* that listen to its queue."""
    return max(_PROBES, 4 * children)


def message_size(durations: RecentDurations | None, seconds: float) -> int:
    """
    Return the number of experiments that take about *seconds* together; 1 if their durations are unknown.

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

    Sizes differ by up to a quarter. With equal sizes, children that begin together would end together and wait for the
    worker's main process. Messages shrink at the end of a study, so that all children end at about the same time:
    guided self-scheduling (Polychronopoulos and Kuck, 1987). An experiment that runs alone has its own message.
    """
    messages: list[Sequence[QueuedExperiment]] = [[item] for item in items if item.alone]
    items = [item for item in items if not item.alone] if messages else items
    start = 0
    shares = 2 * (children or _EXPECTED)
    most = min(most, math.ceil(len(items) / shares))
    while start < len(items):
        left = len(items) - start
        share = math.ceil(left / shares) if is_tail else left
        uneven = round(most * (0.75 + len(messages) * _GOLDEN % 1 / 2))
        number = share if share <= most else min(share, uneven, LARGEST)
        messages.append(items[start : start + number])
        start += number
    return messages
