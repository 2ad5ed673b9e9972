"""The feed of a study gives one worker the study's experiments, and leaves everything else on the queue as it is."""

import uuid

import pytest
import redis

from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.queueing import broker, study_feed
from qexp.queueing.lost_messages import LostMessages
from qexp.queueing.messages import ids_in
from qexp.queueing.publisher import Publisher
from qexp.queueing.study_feed import StudyFeed
from qexp.store.connection import Database
from qexp.store.reads import workers
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows


@pytest.fixture
def queue():
    return f"feed_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def enqueue(narrow, tmp_path, queue):
    (tmp_path / "experiment.py").write_text("def f(x, n=0): ...\n")
    made = []

    def enqueue(number, **keys):
        name = f"a_{uuid.uuid4().hex[:8]}"
        made.append(name)
        grid = {"study": name, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(number))}}
        narrow.enqueue(Grid.from_dict({**grid, **keys}, tmp_path))
        return name

    yield enqueue
    for name in made:  # otherwise they wait in the tests of other modules
        narrow.cancel(Selection(name))


@pytest.fixture
def server(site):
    with redis.Redis.from_url(site.broker_url) as server:
        yield server


@pytest.fixture
def feed(narrow):
    """Make the feed of a study for a worker with one child."""
    made = []

    def feed(study):
        made.append(StudyFeed(Database(narrow.settings, keeps=True), study, 1))
        return made[-1]

    yield feed
    for one in made:
        one.close()


@pytest.fixture
def ids(narrow):
    return lambda study: [view.id for view in narrow.experiments(Selection(study))]


def on(server, name):
    """Return the ids on a list, the next ones first."""
    return [number for message in server.lrange(name, 0, -1)[::-1] for number in ids_in(message)]


@pytest.fixture
def shared(server, queue):
    """Return the ids on the queue of the studies."""
    return lambda: on(server, f"{queue}\x06\x165")


def test_a_feed_has_its_study_s_experiments_although_others_are_before_them(enqueue, feed, server, shared, ids):
    other, study = enqueue(2), enqueue(3)
    before, made = shared(), feed(study)
    assert before == ids(other) + ids(study)
    assert made.top_up() == 3
    assert on(server, made.queue) == ids(study)
    assert server.ttl(made.queue) == -1, "the next look limits its time"
    assert made.top_up() == 0
    assert 0 < server.ttl(made.queue) <= 60
    assert shared() == before, "other workers find all of them"


def test_a_feed_publishes_experiments_for_which_the_window_of_the_queue_has_no_room(
    enqueue, feed, narrow, server, shared, ids
):
    enqueue(5)
    study = enqueue(3)
    assert {view.status for view in narrow.experiments(Selection(study))} == {"pending"}
    made = feed(study)
    assert made.top_up() == 3
    assert on(server, made.queue) == shared()[5:] == ids(study)


def test_a_feed_of_a_paused_or_deleted_study_stays_empty(enqueue, feed, narrow, server):
    study = enqueue(3)
    narrow.pause(study)
    for name, spent in ((study, 3), ("no_such_study", 0)):
        made = feed(name)
        assert (made.top_up(), made.sweep()) == (0, spent)
        assert on(server, made.queue) == []


def test_a_lost_message_of_a_feed_is_repeated_and_a_new_attempt_immediately(
    enqueue, feed, server, ids, raw, worker, narrow, monkeypatch
):
    study = enqueue(2)
    made = feed(study)
    made.top_up()
    server.delete(made.queue)
    assert made.top_up() == 0, "a child may be claiming them"
    first = claiming.claim(raw, ids(study)[0], worker(), 1)
    claiming.finish(raw, first, Outcome(error=Error(Failure.ERROR, "E", "m")))
    narrow.requeue(Selection(study, statuses=("failed",)))
    assert made.top_up() == 1
    assert on(server, made.queue) == ids(study)[:1]
    monkeypatch.setattr(study_feed, "_AGAIN", -60)
    assert made.top_up() == 1
    assert on(server, made.queue) == ids(study)


def test_two_feeds_of_one_study_let_each_experiment_be_claimed_once(enqueue, feed, server, ids, raw, worker):
    study = enqueue(3)
    made = [feed(study), feed(study)]
    assert [one.top_up() for one in made] == [3, 3]
    claimed = [claim for one in made for claim in claiming.claims(raw, on(server, one.queue), worker(), 1)]
    assert [claim.id for claim in claimed] == ids(study)


def test_the_longest_experiments_come_first_if_the_grid_says_so(enqueue, feed, server, ids, raw):
    # Given two ended experiments, two waiting ones with their values, and one whose duration is not known
    study = enqueue(5, order="longest_first")
    short, long, like_short, like_long, unknown = ids(study)
    for number, seconds in ((short, 1), (long, 9)):
        raw.execute(
            "UPDATE experiment SET status = 'done', result = '{}', finished_at = now(), "
            "started_at = now() - make_interval(secs => %s) WHERE id = %s",
            [seconds, number],
        )
    for number, x in ((like_short, 0), (like_long, 1)):
        raw.execute("UPDATE experiment SET params = jsonb_build_object('x', %s::int) WHERE id = %s", [x, number])
    # When the feed publishes them
    made = feed(study)
    made.top_up()
    # Then the longest one comes first
    assert on(server, made.queue) == [like_long, like_short, unknown]


def test_a_sweep_removes_the_messages_of_taken_experiments_and_no_others(
    enqueue, feed, shared, ids, raw, worker, monkeypatch, narrow
):
    monkeypatch.setattr(broker, "_PART", 2)
    other, study = enqueue(2), enqueue(3)
    taken = [*ids(other)[:1], *ids(study)[:2]]
    assert len(claiming.claims(raw, taken, worker(), 1)) == 3
    assert feed(study).sweep() == 2
    assert shared() == ids(other) + ids(study)[2:]


def test_the_leader_misses_no_message_while_a_feed_runs(enqueue, feed, narrow, shared, ids, raw, worker, monkeypatch):
    monkeypatch.setattr("qexp.queueing.lost_messages.LOST_AFTER", 0.0)
    database, known = Database(narrow.settings), uuid.uuid4()
    lost = LostMessages(database, Publisher(database))
    lost.republish(known)
    study = enqueue(5)
    made = feed(study)
    made.top_up()
    claiming.claims(raw, ids(study)[:2], worker(), 1)
    for step in (made.sweep, made.close):
        step()
        before = shared()
        lost.republish(known)
        assert shared() == before == ids(study)[2:]


def test_a_worker_of_one_study_counts_for_this_study_only(enqueue, narrow, raw):
    study, other = narrow.study(enqueue(1)), narrow.study(enqueue(1))
    made = uuid.uuid4()
    worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, "w@here", [workers.only(study.name)], 3))
    with narrow.begin() as connection:
        assert workers.children(connection, study.id, 30) == 3
        assert workers.children(connection, other.id, 30) == 0
        (view,) = [one for one in workers.listed(connection, 30) if one.id == made]
    assert view.serves(study.name, study.queue)
    assert not view.serves(other.name, other.queue)
    assert claiming.is_wanted(raw, [workers.only(study.name)], None)
    assert not claiming.is_wanted(raw, [workers.only("other")], None)
    worker_rows.deregister(raw, made)


def test_other_studies_that_wait_are_counted_without_paused_ones(enqueue, narrow, raw, queue):
    enqueue(2), enqueue(4)
    narrow.pause(enqueue(1))
    study = enqueue(3)
    found = narrow.waiting_beside(study)
    assert (found.queue, found.experiments, found.studies, found.served) == (queue, 6, 2, False)
    made = uuid.uuid4()
    worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, "w@here", [queue], 3))
    assert narrow.waiting_beside(study).served
    worker_rows.deregister(raw, made)
