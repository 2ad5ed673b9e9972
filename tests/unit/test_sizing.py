"""The number of experiments in one message."""

from collections import Counter

import pytest

from qexp.queueing.sizing import divide, message_size
from qexp.store.writes.publishing import QueuedExperiment, RecentDurations


def test_one_announcement_has_enough_messages_for_all_children():
    items = [QueuedExperiment(number, 0, "{}") for number in range(1000)]
    for children, number in ((4, 8), (16, 32), (0, 16)):  # without children, a default number counts
        messages = divide(items, 1000, children, is_tail=False)
        assert [item for message in messages for item in message] == items
        assert number <= len(messages) <= number + 2
    assert [len(message) for message in divide(items[:3], 1000, 4, is_tail=False)] == [1, 1, 1]
    assert divide([], 1000, 4, is_tail=True) == []


def test_children_that_begin_together_do_not_end_their_messages_together():
    items = [QueuedExperiment(number, 0, "{}") for number in range(1000)]
    sizes = [len(message) for message in divide(items, 8, 16, is_tail=False)]
    ends = Counter(sizes[:16])
    assert set(ends) == {6, 7, 8, 9, 10}
    assert max(ends.values()) <= 5, "the sizes are evenly distributed"
    assert sum(sizes[:-1]) / len(sizes[:-1]) == pytest.approx(8, abs=0.1)
    tail = [len(message) for message in divide(items, 8, 16, is_tail=True)]
    assert sum(tail) == 1000 and tail[-20:] == [1] * 20
    assert [len(message) for message in divide(items[:5], 1, 2, is_tail=False)] == [1] * 5, (
        "without a tail, each has its own message"
    )


def test_one_long_experiment_makes_messages_smaller():
    assert message_size(RecentDurations(0.01, 0.01), 1.0) == 100
    assert message_size(RecentDurations(0.01, 1.0), 1.0) == 5
    assert message_size(RecentDurations(3.0, 3.0), 1.0) == 1
    assert message_size(None, 1.0) == 1
