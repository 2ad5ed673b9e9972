"""A worker on which only its own attempts fail is quarantined and loses no experiment."""

import uuid
from types import SimpleNamespace

import pytest

from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.rules import worker_quarantine
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows

FINE = Outcome(result={"y": 1})
LEASE = 30.0


def error(fingerprint="no_torch", failure=Failure.ERROR):
    kind = Error(failure, "ModuleNotFoundError", "No module named 'torch'", fingerprint=fingerprint)
    return Outcome(error=kind)


@pytest.fixture
def site(client, raw, tmp_path):
    """A study of forty experiments on its own queue; functions start workers and end experiments."""
    raw.execute("UPDATE worker SET stopped_at = now() WHERE stopped_at IS NULL")  # rows of other tests
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    name = queue = f"quarantine_{uuid.uuid4().hex[:8]}"
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": list(range(40))}, "queue": queue}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    waiting = iter([view.id for view in client.experiments(Selection(name))])

    def start(host, *queues):
        made = uuid.uuid4()
        worker_rows.register(raw, made, worker_rows.WorkerInfo(host, 1, f"worker@{host}", list(queues or [queue]), 2))
        return made

    def end(worker, *outcomes):
        for outcome in outcomes:
            assert claiming.finish(raw, claiming.claim(raw, next(waiting), worker, 1), outcome)

    def look():
        with client.begin() as connection:
            for suspect in worker_quarantine.suspects(connection, LEASE):
                reason = worker_quarantine.conviction(connection, suspect)
                if reason is not None and worker_quarantine.quarantine(connection, suspect, reason, LEASE):
                    yield suspect.id, reason

    return SimpleNamespace(
        start=start, end=end, look=lambda: dict(look()), next=lambda: next(waiting), name=name, queue=queue
    )


def test_a_worker_that_fails_alone_is_quarantined_with_the_reason_and_the_repair(site, raw):
    bad, good = site.start("cellar"), site.start("attic")
    site.end(bad, *[error()] * 5)
    assert site.look() == {}, "no experiment is done yet"
    site.end(good, *[FINE] * 5)
    (reason,) = site.look().values()
    assert "No module named 'torch'" in reason and "repair cellar, then restart the worker" in reason
    assert worker_rows.beat(raw, bad).quarantine == reason
    assert worker_rows.beat(raw, good).quarantine is None
    assert site.look() == {}, "it is quarantined only once"


def test_a_quarantined_worker_gets_no_experiments_and_returns_its_messages(site, raw, client):
    bad, good = site.start("cellar"), site.start("attic")
    site.end(bad, *[error()] * 5)
    site.end(good, *[FINE] * 5)
    site.look()
    number = site.next()
    assert claiming.claim(raw, number, bad, 1) is None
    assert claiming.hand_over(raw, [number], bad)
    assert not claiming.hand_over(raw, [number], bad)
    client.publisher.publish_all()
    assert claiming.claim(raw, number, good, 1) is not None
    assert not claiming.hand_over(raw, [number], bad), "it is someone else's"


def test_four_failures_are_too_few_and_a_success_resets_the_count(site):
    bad, good = site.start("cellar"), site.start("attic")
    site.end(bad, *[error()] * 4, FINE, *[error()] * 4)
    site.end(good, *[FINE] * 5)
    assert site.look() == {}


def test_an_error_that_occurred_on_another_worker_too_is_the_experiments_own(site):
    bad, good = site.start("cellar"), site.start("attic")
    site.end(good, error(), FINE)
    site.end(bad, *[error()] * 5)
    site.end(good, *[FINE] * 5)
    assert site.look() == {}


def test_equal_failures_on_another_worker_of_the_same_host_do_not_prevent_the_quarantine(site):
    bad, worse, good = site.start("cellar"), site.start("cellar"), site.start("attic")
    site.end(worse, *[error()] * 5)
    site.end(bad, *[error()] * 5)
    site.end(good, *[FINE] * 5)
    assert set(site.look()) == {bad, worse}


def test_attempts_that_others_started_earlier_do_not_count(site, raw):
    bad, good = site.start("cellar"), site.start("attic")
    claims = [claiming.claim(raw, site.next(), good, 1) for _ in range(5)]
    site.end(bad, *[error()] * 5)
    for claim in claims:
        claiming.finish(raw, claim, FINE)
    assert site.look() == {}


def test_failures_by_time_or_long_ago_are_no_sign_of_a_bad_host(site, raw):
    slow, old, good = site.start("cellar"), site.start("barn"), site.start("attic")
    site.end(slow, *[error(failure=Failure.TIMEOUT)] * 5)
    site.end(old, *[error("rust")] * 5)
    raw.execute("UPDATE attempt SET finished_at = now() - interval '11 min' WHERE worker = %s", [old])
    site.end(good, *[FINE] * 5)
    assert site.look() == {}


def test_the_last_live_worker_of_a_queue_is_never_quarantined(site, raw):
    bad, good = site.start("cellar", site.queue, f"{site.queue}_gpu"), site.start("attic")
    site.end(bad, *[error()] * 5)
    site.end(good, *[FINE] * 5)
    assert site.look() == {}, "no other worker listens to the other queue"
    other = site.start("barn", f"{site.queue}_gpu")
    worker_rows.deregister(raw, other)
    assert site.look() == {}, "and a stopped worker does not count"
    site.start("barn", f"{site.queue}_gpu")
    assert set(site.look()) == {bad}


def test_only_one_of_two_workers_that_replace_each_other_is_quarantined(site, raw):
    one, two, good = site.start("cellar"), site.start("barn"), site.start("attic")
    site.end(good, FINE)
    for bad in (one, two):
        site.end(bad, *[error()] * 5)
    site.end(good, *[FINE] * 5)
    worker_rows.deregister(raw, good)
    assert len(site.look()) == 1
