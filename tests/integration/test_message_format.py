"""Messages on the broker have the format of Celery."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
import redis
from tests_support import publish

from qexp.queueing import broker, messages
from qexp.queueing.messages import Message


@pytest.fixture
def sent(site):
    """Return a function that takes a message from a queue and decodes it."""
    with redis.Redis.from_url(site.broker_url, decode_responses=True) as server:

        def take(queue):
            (name,) = server.keys(f"{queue}*")
            envelope = json.loads(server.rpop(name))
            envelope["body"] = json.loads(base64.b64decode(envelope["body"]))
            return name.removeprefix(queue), envelope

        yield take


def test_only_probes_are_marked_as_probes(site, sent):
    for probe in (None, 17):
        queue = f"q{uuid.uuid4().hex}"
        publish(site, Message(queue, (3,), 1, "s #3", probe=probe))
        assert sent(queue)[1]["headers"].get(messages.PROBE) == probe


def test_a_message_equals_one_that_celery_sends(site, sent):
    ours, theirs = (f"q{uuid.uuid4().hex}" for _ in range(2))
    message = Message(ours, (3, 4), 1, "s #3 to #4  2 experiments", 7)
    publish(site, message)
    broker.application(site).send_task(
        messages.TASK,
        ([3, 4],),
        queue=theirs,
        task_id=messages.task_id(message.ids, message.attempt),
        priority=message.level,
        argsrepr=message.line,
        kwargsrepr="",
        ignore_result=True,
    )
    (name, found), (expected_name, expected) = sent(ours), sent(theirs)
    assert name == expected_name
    assert found["body"] == expected["body"]
    assert expected["properties"].keys() - found["properties"].keys() <= {"argsrepr", "kwargsrepr"}, "as in the headers"
    for key in ("correlation_id", "priority", "body_encoding"):
        assert found["properties"][key] == expected["properties"][key]
    different = {key for key, value in expected["headers"].items() if found["headers"].get(key) != value}
    assert different <= {"origin", "replaced_task_nesting", "stamps"}, "0 and {} mean nothing"
    assert {key: found[key] for key in ("content-type", "content-encoding")} == {
        key: expected[key] for key in ("content-type", "content-encoding")
    }
