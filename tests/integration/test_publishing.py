"""The publisher announces a window of ids per queue and priority, skips paused studies, and repeats lost ids."""

import math
import os
import uuid

import pytest
import redis

from qexp.client import Client
from qexp.errors import DatabaseUnreachableError
from qexp.grid import Grid
from qexp.model import Outcome, Status
from qexp.queueing import broker
from qexp.queueing.lost_messages import LostMessages
from qexp.queueing.messages import ids_in
from qexp.queueing.publisher import Publisher
from qexp.store.connection import Database
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, publishing, worker_rows
from qexp.store.writes.publishing import RecentDurations, recent_durations
from qexp.worker.main.reconciler import Reconciler
from qexp.worker.slots import ChildRequest, SlotEntry, SlotTable

DEAD = 2**22 + 7
"""A process id above 2**22, which Linux never assigns."""


@pytest.fixture
def queue():
    return f"publishing_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def enqueue(narrow, tmp_path, queue):
    (tmp_path / "experiment.py").write_text("def f(x, n=0): ...\n")

    def enqueue(number, **keys):
        name = f"a_{uuid.uuid4().hex[:8]}"
        grid = {"study": name, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(number))}}
        narrow.enqueue(Grid.from_dict({**grid, **keys}, tmp_path))
        return name

    return enqueue


@pytest.fixture
def worker(raw):
    made = uuid.uuid4()
    worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))
    return made


@pytest.fixture
def depth(site, queue):
    def depth():
        with redis.Redis.from_url(site.broker_url) as server:
            return sum(
                found.number for found in broker.waiting(server, [(queue, level) for level in range(10)]).values()
            )

    return depth


@pytest.fixture
def again(narrow, depth):
    """Publish lost experiments again, and return their number on this test's queue."""
    database = Database(narrow.settings)
    lost = LostMessages(database, Publisher(database))

    def again(*arguments, **options):
        before = depth()
        lost.republish(*arguments, **options)
        return depth() - before

    return again


def statuses(client, study):
    return [str(view.status) for view in client.experiments(Selection(study))]


def claim_all(client, raw, study, worker):
    claims = [claiming.claim(raw, view.id, worker, 1) for view in client.experiments(Selection(study))]
    return [claim for claim in claims if claim is not None]


def test_the_window_limits_the_announced_experiments_and_the_others_follow(narrow, raw, enqueue, worker, depth):
    study = enqueue(12)
    assert (statuses(narrow, study).count("queued"), depth()) == (5, 5)
    narrow.publisher.publish_all()
    assert statuses(narrow, study).count("queued") == 5, "the window is full"
    assert len(claim_all(narrow, raw, study, worker)) == 5
    narrow.publisher.publish_all()
    assert statuses(narrow, study)[:10] == ["running"] * 5 + ["queued"] * 5
    assert statuses(narrow, study)[10:] == ["pending"] * 2


def test_each_priority_has_a_window_and_a_list_that_workers_empty_first(narrow, site, enqueue, queue):
    enqueue(7)
    urgent = enqueue(7, priority=2)
    assert statuses(narrow, urgent).count("queued") == 5
    with redis.Redis.from_url(site.broker_url) as server:
        assert server.llen(f"{queue}\x06\x163") == server.llen(f"{queue}\x06\x165") == 5
    app = broker.application(site)
    with app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
        first = [waiting.get(timeout=10) for _ in range(6)]
        assert [message.headers["argsrepr"].split()[0] == urgent for message in first] == [True] * 5 + [False]
        for message in first:
            message.requeue()


def test_experiments_of_a_paused_study_are_neither_announced_nor_claimed_until_its_resume(narrow, raw, enqueue, worker):
    study = enqueue(7)
    views = narrow.experiments(Selection(study))
    assert narrow.pause(study, "the disk is full")
    assert not narrow.pause(study, "again")
    assert narrow.study(study).pause_reason == "the disk is full"
    assert statuses(narrow, study) == ["pending"] * 7
    raw.execute("UPDATE experiment SET status = 'queued' WHERE id = %s", [views[0].id])  # announced at the same moment
    assert claiming.claim(raw, views[0].id, worker, 1) is None
    narrow.publisher.publish_all()
    assert statuses(narrow, study).count("pending") == 6
    assert narrow.resume(study)
    assert not narrow.resume(study)
    assert statuses(narrow, study).count("queued") == 5
    assert claiming.claim(raw, views[0].id, worker, 1) is not None


def test_a_pause_that_comes_while_a_study_is_announced_is_kept(narrow, enqueue, depth):
    study = enqueue(7)
    known, before = narrow.study(study), depth()
    assert narrow.pause(study)
    assert narrow.publish(known) == 0
    assert statuses(narrow, study) == ["pending"] * 7
    assert depth() == before


def test_untaken_messages_of_a_paused_study_are_announced_again_when_it_is_resumed(narrow, raw, enqueue, depth):
    study = enqueue(1)
    assert narrow.pause(study)
    raw.execute("UPDATE experiment SET status = 'queued' WHERE study = %s", [narrow.study(study).id])  # meanwhile
    before = depth()
    assert narrow.resume(study)
    assert depth() == before + 1


def test_messages_that_a_wiped_broker_lost_are_announced_again_immediately_and_once(
    narrow, site, enqueue, queue, depth, again
):
    enqueue(4)
    known = uuid.uuid4()
    before = depth()
    assert again(known, is_first=True) == 0, "there was no key yet"
    assert again(known) == 0
    with redis.Redis.from_url(site.broker_url) as server:
        server.delete(f"qexp:{known}", f"{queue}\x06\x165")
    assert again(known) == 4
    assert depth() == 4 <= before
    assert again(known) == 0


def test_messages_missing_from_an_empty_queue_are_announced_again(
    narrow, site, enqueue, queue, depth, again, monkeypatch
):
    enqueue(4)
    known = uuid.uuid4()
    again(known)
    with redis.Redis.from_url(site.broker_url) as server:
        server.delete(f"{queue}\x06\x165")
    assert again(known) == 0, "it may be on its way to a child"
    monkeypatch.setattr("qexp.queueing.lost_messages.LOST_AFTER", 0.0)
    assert again(known) == 4
    assert depth() == 4


def test_messages_missing_before_the_next_one_of_a_queue_are_announced_again(
    narrow, raw, site, enqueue, queue, depth, again, monkeypatch
):
    study, known = enqueue(4), uuid.uuid4()
    again(known)
    raw.execute(
        "UPDATE experiment e SET queued_at = now() - (3 - (params ->> 'x')::int) * interval '1 min' "
        "FROM study s WHERE s.id = e.study AND s.name = %s",
        [study],
    )
    with redis.Redis.from_url(site.broker_url) as server:
        while server.llen(f"{queue}\x06\x165") > 3:
            server.rpop(f"{queue}\x06\x165")
    assert again(known) == 0, "it may be on its way to a child"
    monkeypatch.setattr("qexp.queueing.lost_messages.LOST_AFTER", 0.0)
    assert again(known) == 1, "the first one is lost, the others are on the queue"
    assert depth() == 4
    assert again(known) == 0


def test_a_forged_message_of_very_many_ids_does_not_stop_announcements(narrow, site, enqueue, queue, depth, again):
    study, known = enqueue(4), uuid.uuid4()
    again(known)
    app = broker.application(site)
    with app.connection_for_write() as connection, connection.Producer(auto_declare=False) as producer:
        producer.publish([[list(range(2**40, 2**40 + 100_000))], {}, {}], exchange="", routing_key=queue, priority=5)
    with redis.Redis.from_url(site.broker_url) as server:
        while server.llen(f"{queue}\x06\x165") > 1:
            server.rpop(f"{queue}\x06\x165")
        (backlog,) = broker.waiting(server, [(queue, 5)]).values()
    assert len(backlog.next_ids) == 100_000
    assert again(known) == 0, "its announcement has no time"
    narrow.publisher.republish([*backlog.next_ids, *(view.id for view in narrow.experiments(Selection(study)))])
    assert depth() == 5
    assert statuses(narrow, study) == ["queued"] * 4


def ended(raw, study, number, seconds):
    """Finish experiments of a study with these durations."""
    raw.execute(
        "UPDATE experiment SET status = 'done', result = '{}', started_at = now() - make_interval(secs => %s), "
        "finished_at = now() WHERE id IN (SELECT e.id FROM experiment e JOIN study s ON s.id = e.study "
        "WHERE s.name = %s ORDER BY e.id LIMIT %s)",
        [seconds, study, number],
    )


def test_a_study_of_unknown_duration_has_few_messages_of_one_experiment_each(site, raw, tmp_path, queue, depth):
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    worker_rows.register(raw, uuid.uuid4(), worker_rows.WorkerInfo("here", 1, "worker@here", [queue], 2))
    wide = Client(site)
    grid = {"study": queue, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(1000))}}
    assert wide.enqueue(Grid.from_dict(grid, tmp_path)).announced == depth() == 40
    # When their short duration is known
    ended(raw, queue, 40, 0.02)
    assert wide.publish(wide.study(queue)) == 960
    # Then one message holds about 1 s of work
    assert depth() == 40 + 32, "and the last ones are smaller"
    assert wide.publish(wide.study(queue)) == 0


def test_the_last_messages_of_a_study_become_smaller(site, raw, tmp_path, queue, depth):
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    worker_rows.register(raw, uuid.uuid4(), worker_rows.WorkerInfo("here", 1, "worker@here", [queue], 4))
    wide = Client(site)
    grid = {"study": queue, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(300))}}
    wide.enqueue(Grid.from_dict(grid, tmp_path))
    ended(raw, queue, 200, 0.001)
    with redis.Redis.from_url(site.broker_url) as server:
        server.delete(f"{queue}\x06\x165")
        wide.publish(wide.study(queue))
        found = [ids_in(text) for text in server.lrange(f"{queue}\x06\x165", 0, -1)][::-1]
    sizes = [len(ids) for ids in found]
    assert sum(sizes) == 100
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (13, 1), "one of 4 children has half of its share"
    assert [number for ids in found for number in ids] == sorted(number for ids in found for number in ids)


def test_the_longest_experiments_are_announced_first(narrow, raw, site, enqueue, queue):
    # Given a study in which the value of n decides how long an experiment takes
    study = enqueue(2, parameters={"n": [1, 2, 3], "x": [1, 2, 3]}, order="longest_first")
    raw.execute(
        "UPDATE experiment e SET status = 'done', result = '{}', finished_at = now(), "
        "started_at = now() - make_interval(mins => (params ->> 'n')::int) FROM study s "
        "WHERE s.id = e.study AND s.name = %s AND params ->> 'x' = '1'",
        [study],
    )
    raw.execute(
        "UPDATE experiment e SET status = 'pending' FROM study s "
        "WHERE s.id = e.study AND s.name = %s AND status = 'queued'",
        [study],
    )
    with redis.Redis.from_url(site.broker_url) as server:
        server.delete(f"{queue}\x06\x165")
        # When five of the six remaining ones are announced
        narrow.publish(narrow.study(study))
        sent = [ids_in(text) for text in server.lrange(f"{queue}\x06\x165", 0, -1)][::-1]
    # Then the shortest one remains, and the longest ones come first
    views = {view.id: (view.params["n"], view.params["x"]) for view in narrow.experiments(Selection(study))}
    assert [views[number] for ids in sent for number in ids] == [(3, 2), (3, 3), (2, 2), (2, 3), (1, 2)]


def test_the_expected_duration_ignores_slow_first_experiments(narrow, raw, enqueue):
    # Given nine experiments of 0.1 s and three slow ones with imports
    study = enqueue(12)
    raw.execute(
        "UPDATE experiment e SET status = 'done', result = '{}', finished_at = now(), started_at = "
        "now() - CASE WHEN (params ->> 'x')::int < 3 THEN interval '2 s' ELSE interval '0.1 s' END "
        "FROM study s WHERE s.id = e.study AND s.name = %s",
        [study],
    )
    # Then the majority decides
    with narrow.begin() as connection:
        found = recent_durations(connection, narrow.study(study).id)
    assert found == RecentDurations(0.1, 2.0)


def test_running_experiments_are_cancelled_with_their_attempt(narrow, raw, enqueue, worker):
    study = enqueue(7)
    claim = claim_all(narrow, raw, study, worker)[0]
    done = narrow.cancel(Selection(study), "wrong data")
    assert (len(done.ids), len(done.running)) == (7, 5)
    assert set(statuses(narrow, study)) == {Status.CANCELLED}
    assert not claiming.finish(raw, claim, Outcome(result={"y": 1})), "a late result is discarded"
    (shown, *_) = narrow.show(Selection(study))
    assert shown.experiment.reason == "wrong data"
    assert [(attempt.outcome, attempt.error_message) for attempt in shown.attempts] == [("cancelled", "wrong data")]
    assert worker_rows.unwanted(raw, worker, [(claim.id, 1)]) == [
        worker_rows.UnwantedAttempt(claim.id, 1, False, claim.study, is_cancelled=True)
    ]
    narrow.requeue(Selection(study, statuses=(Status.CANCELLED,)))
    assert claiming.claim(raw, claim.id, worker, 1).attempt == 2
    assert worker_rows.unwanted(raw, worker, [(claim.id, 2)]) == []


@pytest.fixture
def strays(narrow, raw, enqueue, worker, tmp_path):
    """Two experiments that run according to their rows, and the deaths that the reconciler of a worker detects."""

    def strays(pid, begun):
        study = enqueue(2)
        claims = claim_all(narrow, raw, study, worker)
        raw.execute("UPDATE experiment SET pid = %s WHERE id = ANY (%s)", [pid, [claim.id for claim in claims]])
        slots, died = SlotTable(tmp_path / "slots"), []
        slots.create()
        if begun:
            slots.write(0, SlotEntry(pid, 0.0, claims[0].id, 1, pid, 0.0, 0.0, math.inf, 0, False, ChildRequest.NONE))
        return study, claims, Reconciler(slots, worker, died.append), died

    return strays


def test_the_experiment_of_a_dead_child_is_ended_after_a_while(raw, strays, monkeypatch):
    _, (one, _), reconciler, died = strays(DEAD, begun=True)
    for _ in range(2):
        reconciler.reconcile(raw)
    assert died == [], "Celery has not yet reported the death"
    monkeypatch.setattr("qexp.worker.main.reconciler._UNSEEN", 0.0)
    reconciler.reconcile(raw)
    (death,) = died
    assert (death.pid, death.experiment, death.attempt, death.error.failure) == (DEAD, one.id, 1, "crashed")


def test_a_claim_for_a_recorded_dead_child_is_released_immediately(raw, strays):
    _, _, reconciler, died = strays(DEAD, begun=False)
    reconciler.reconcile(raw)
    (death,) = died
    assert (death.pid, death.experiment) == (DEAD, None)


@pytest.mark.parametrize("busy", [True, False])
def test_a_claim_unknown_to_an_idle_living_child_is_released(narrow, raw, strays, monkeypatch, busy):
    study, _, reconciler, died = strays(os.getpid(), begun=busy)
    monkeypatch.setattr("qexp.worker.main.reconciler._UNSEEN", 0.0)
    for _ in range(2):
        reconciler.reconcile(raw)
    assert died == []
    assert {view.status for view in narrow.experiments(Selection(study))} == {
        Status.RUNNING if busy else Status.PENDING
    }


def test_a_claim_whose_answer_was_lost_is_found_again(raw, narrow, enqueue, worker):
    (view,) = narrow.experiments(Selection(enqueue(1)))
    claim = claiming.claim(raw, view.id, worker, pid=7)
    assert claiming.claim(raw, view.id, worker, pid=7) is None
    assert claiming.adopt(raw, worker, pid=7) == [claim]
    assert claiming.adopt(raw, worker, pid=7, known=[claim.id]) == []
    assert claiming.adopt(raw, worker, pid=8) == []


def test_a_process_that_lost_the_network_does_not_keep_the_lock_of_a_study(site, client, monkeypatch):
    # Given a transaction that holds the publish lock and sends nothing any more
    client.migrate()
    with pytest.raises(DatabaseUnreachableError, match="idle-in-transaction timeout"), Database(site).begin() as silent:
        monkeypatch.setattr(publishing, "LONGEST_PAUSE", "100ms")
        publishing.lock_study(silent, -1)
        # When another process wants the lock, then it gets it
        with Database(site).begin() as other:
            publishing.lock_study(other, -1)
        # And the silent one learns that its transaction is over
        publishing.lock_study(silent, -1)
