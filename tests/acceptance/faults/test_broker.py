"""A broker that is killed, wiped, flushed or out of memory loses messages but no experiment."""

import pytest
import redis
from acceptance.faults.support import assert_consistent
from tests_support import eventually

from qexp.errors import BrokerUnreachableError

NUMBER = 100


def under_load(own):
    """Return a study that two workers are running."""
    study = own.study(NUMBER, settings={"seconds": 0.03})
    own.workers(2, "-Q", study.queue, "-c", "2")
    study.enqueue()
    study.await_done(20)
    return study


def test_a_broker_that_is_killed_and_restarted_with_its_data_only_costs_time(own):
    study = under_load(own)
    own.restart_broker()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_messages_of_a_broker_that_restarts_empty_are_announced_again(own):
    study = under_load(own)
    own.wipe_broker()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_flushed_messages_are_announced_again(own):
    study = under_load(own)
    for number in (35, 50):
        with own.broker() as broker:
            broker.flushall()
        study.await_done(number)
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_a_queue_that_was_evicted_is_announced_again(own):
    """A broker with an eviction policy drops a whole queue without a message to anyone."""
    # Given busy workers, so that the queue is the least recently used key
    study = own.study(NUMBER, gated=True)
    own.workers(2, "-Q", study.queue, "-c", "2")
    study.enqueue()
    study.await_begun(4)
    # When the broker runs out of memory
    with own.broker() as broker:
        broker.config_set("maxmemory-policy", "allkeys-lru")
        broker.config_set("maxmemory", broker.info("memory")["used_memory"] + 500_000)
        try:
            eventually(lambda: evicted(broker, study.queue), "the queue to be evicted")
        finally:
            broker.config_set("maxmemory", 0)
            broker.config_set("maxmemory-policy", "noeviction")
    # Then all experiments run nevertheless
    study.open_gate()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_a_full_broker_only_costs_time(own):
    """With the policy of the embedded broker, a full broker refuses new messages, and qexp announces them later."""
    study = own.study(NUMBER, settings={"seconds": 0.01})
    own.workers(2, "-Q", study.queue, "-c", "2")
    with own.broker() as broker:
        broker.config_set("maxmemory", "1kb")
        try:
            with pytest.raises(BrokerUnreachableError, match="memory"):
                study.enqueue()
        finally:
            broker.config_set("maxmemory", 0)
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def evicted(broker: redis.Redis, queue: str) -> bool:
    """Write a value, and return whether the queue is gone."""
    with broker.pipeline(transaction=False) as pipeline:
        for number in range(200):
            pipeline.set(f"filler{number}", "x" * 5_000, ex=20)
        pipeline.execute()
    return not broker.exists(queue, *(f"{queue}\x06\x16{level}" for level in range(10)))
