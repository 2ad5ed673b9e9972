"""Messages are hints: for any content of the queue, workers survive, and each experiment runs once."""

import base64
import json
import random
import uuid

import pytest
import tests_support
from acceptance.faults.support import assert_consistent

from qexp.queueing.messages import TASK, Message

NUMBER = 20


@pytest.fixture
def study(own):
    """A study without messages, and an idle worker."""
    study = own.study(NUMBER)
    own.worker("-Q", study.queue, "-c", "2").await_ready()
    return study


def ids(study):
    query = "SELECT e.id FROM experiment e JOIN study s ON s.id = e.study WHERE s.name = %s ORDER BY e.id"
    return [row[0] for row in study.site.rows(query, study.name)]


def publish(study, *messages: tuple[int, ...]) -> None:
    found = [Message(study.queue, message, 1, "forged") for message in messages]
    tests_support.publish(study.site.settings, *found)


def test_messages_that_arrive_three_times_and_in_any_order_run_each_experiment_once(study):
    study.enqueue()
    found = ids(study)
    messages = [(number,) for number in found] * 2
    random.Random(1).shuffle(messages)
    publish(study, *messages, tuple(found), tuple(reversed(found)))
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_messages_that_arrive_before_their_experiments_do_no_harm(study):
    publish(study, *[(number,) for number in range(10**6)][-100:])
    study.enqueue()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_a_message_with_a_million_ids_does_not_block_a_worker(study):
    publish(study, tuple(range(10**9, 10**9 + 10**6)))
    publish(study, tuple(range(10**9, 10**9 + 10**6)))
    study.enqueue()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


WRONG_IDS = {
    "no list": 5,
    "text": "abc",
    "texts": ["one", "1; DROP TABLE experiment", "1"],
    "nothing": [None],
    "truth": [True, False],
    "fractions": [1.5, float("nan")],
    "huge": [2**80, -(2**80)],
    "lists": [[1], [[2]]],
    "mappings": [{"id": 1}],
    "mapping": {"ids": [1]},
    "empty": [],
    "missing": ...,
}


def test_ids_of_other_types_are_dropped_and_the_valid_ones_beside_them_run(study):
    study.enqueue()
    with study.site.broker() as server:
        server.delete(study.queue, *(f"{study.queue}\x06\x16{level}" for level in range(10)))
    found = ids(study)
    for wrong in WRONG_IDS.values():
        put(study, task([] if wrong is ... else [wrong]))
    for number in found:
        put(study, task([["x", None, True, 2**80, [number], number]]))
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def test_messages_of_other_tasks_are_dropped(study):
    for name in ("qexp.other", "", "celery.chord_unlock", "os.system"):
        put(study, task([[1]], name))
    study.enqueue()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


GARBAGE = {
    "no JSON": b"garbage",
    "half of a message": json.dumps({"body": "e30="}).encode()[:-3],
    "no bytes of text": b"\xff\xfe\x00",
    "nothing": b"",
    "a number": b"5",
    "a list": b"[]",
    "an empty mapping": b"{}",
    "a pickle": base64.b64encode(b"\x80\x04N."),
}


def test_data_that_is_no_message_is_dropped(study):
    with study.site.broker() as server:
        server.lpush(study.queue, *GARBAGE.values())
    study.enqueue()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


BODIES = ["not base64 !", *(base64.b64encode(body).decode() for body in (b"not json", b"[]", b"{}", b"[[], {}]", b"5"))]


def test_partly_readable_messages_are_dropped_for_good(study):
    """Unacknowledged messages would take the place of others as long as the worker lives."""
    for body in BODIES:
        put(study, {**task([[1]]), "body": body})
    put(study, {**task([[1]]), "content-type": "application/x-python-serialize"})
    put(study, {**task([[1]]), "headers": None})
    put(study, {**task([[1]]), "properties": {}})
    study.enqueue()
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


ODD = {
    "timelimit": ["x", 5, [1], {"a": 1}, [None, "x"], [0.001, 0.001], ["1", "2"]],
    "shadow": [["a"], 5, {"a": 1}, "x" * 10**6],
    "eta": ["x", 5, "2999-01-01T00:00:00", [1]],
    "expires": ["x", 5, "1999-01-01T00:00:00", [1]],
    "id": [None, 5, ["a"], {"a": 1}, ""],
    "root_id": [5, ["a"]],
    "parent_id": [["a"]],
    "argsrepr": [5, ["a"], None],
    "kwargsrepr": [5, ["a"]],
    "retries": ["x", None, -1, 10**30],
    "group": [["a"], 5],
    "ignore_result": [False, "x"],
    "stamped_headers": [["a"], 5],
    "qexp_probe": ["x", -1, 2**40, [1]],
    "task": [TASK],
}
"""Headers that Celery reads, some of them after it has reserved a child."""


def test_odd_headers_block_no_child_and_change_nothing(own):
    # Given a worker with one child, and forged messages before the messages of its study
    study = own.study(NUMBER)
    own.worker("-Q", study.queue, "-c", "1").await_ready()
    study.enqueue()
    found = ids(study)
    for name, values in ODD.items():
        for value in values:
            message = task([[found[0]]])
            message["headers"][name] = value
            put(study, message)
    callbacks = task([[found[1]]])
    steps = [{"task": TASK, "args": [[found[2]]], "options": {}}]
    body = json.dumps([[[found[1]]], {}, {"callbacks": steps, "errbacks": 5, "chain": ["x"], "chord": {"a": 1}}])
    put(study, {**callbacks, "body": base64.b64encode(body.encode()).decode()})
    # When it runs, then each experiment runs once, in time
    study.await_closed()
    assert_consistent(study, NUMBER, {"done": NUMBER})


def task(arguments: list[object], name: str = TASK) -> dict[str, object]:
    """Return a message in Celery's format for a queue of Redis."""
    number = str(uuid.uuid4())
    body = json.dumps([arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": name, "id": number, "root_id": number, "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "correlation_id": number,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "q"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": number,
        },
    }


def put(study, message: dict[str, object]) -> None:
    with study.site.broker() as server:
        server.lpush(study.queue, json.dumps(message))
