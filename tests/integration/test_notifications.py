"""Each event is notified once for any leader, and a slow or failing service affects nothing else."""

import socket
import uuid

import pytest
from tests_support import T0KEN, eventually

from qexp import notify
from qexp.errors import NotifyError
from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.connection import Database
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows
from qexp.worker.main.leader_jobs import LeaderJobs
from qexp.worker.main.notifier import Notifier

FINE = Outcome(result={"y": 1})
TYPO = Outcome(error=Error(Failure.ERROR, "NameError", "name 'sine' is not defined", fingerprint="typo"))


@pytest.fixture
def study(client, raw, tmp_path):
    """Make a study with a notification address; return functions that end experiments and read the notes."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    worker, queue = uuid.uuid4(), f"notices_{uuid.uuid4().hex[:8]}"
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", [queue], 2))

    def study(number, addresses, **keys):
        name = f"told_{uuid.uuid4().hex[:8]}"
        grid = {"study": name, "function": "experiment:f", "parameters": {"x": list(range(number))}, "queue": queue}
        client.enqueue(Grid.from_dict({**grid, "notify": addresses, **keys}, tmp_path))
        return name

    def end(name, *outcomes):
        waiting = iter([view.id for view in client.experiments(Selection(name)) if view.status == "queued"])
        for outcome in outcomes:
            assert claiming.finish(raw, claiming.claim(raw, next(waiting), worker, 1), outcome)

    def noted(name):
        query = (
            "SELECT n.event, n.sent_at IS NOT NULL, n.tries, n.error FROM notice n JOIN study s ON s.id = n.study"
            " WHERE s.name = %s ORDER BY n.created_at, n.event"
        )
        return raw.execute(query, [name]).fetchall()

    study.end, study.noted, study.worker, study.queue = end, noted, worker, queue
    return study


@pytest.fixture
def leader(client):
    """Start the notifier of a leader; it ends with the test."""
    started = []

    def leader(settings=None):
        made = Notifier(Database(settings or client.settings))
        made.start()
        started.append(made)
        return made

    yield leader
    for made in started:
        made.stop(hurry=True)


def test_the_first_failure_and_the_end_are_notified_once_despite_two_leaders(study, service, leader):
    name, leaders = study(4, service.address), [leader(), leader()]
    study.end(name, FINE, TYPO, TYPO)
    for one in leaders * 2:
        one.note_news()
    eventually(lambda: len(service.told) == 1, "a notification of the first failure")
    assert service.told[0].startswith(f"{name}: the first failure\n#")
    assert "x=1\nNameError: name 'sine' is not defined\nsee: qexp show" in service.told[0]
    study.end(name, FINE)
    for one in leaders * 2:
        one.note_news()
    eventually(lambda: len(service.told) == 2, "a notification of the end")
    first, *lines = service.told[1].splitlines()
    assert first == f"{name}: finished: 2 done, 2 failed"
    assert lines[1:] == ["failed: 2 error", f"see: qexp errors {name}"]
    eventually(lambda: all(sent for _, sent, _, _ in study.noted(name)), "all to be marked as sent")
    assert [(event, tries) for event, _, tries, _ in study.noted(name)] == [("failed", 1), ("finished", 1)]
    for one in leaders:
        one.stop()
    assert len(service.told) == 2


def test_after_a_requeue_the_same_events_are_notified_again(client, study, service, leader):
    name, one = study(1, [service.address]), leader()
    study.end(name, TYPO)
    one.note_news()
    eventually(lambda: len(service.told) == 2, "notifications of the first round")
    client.requeue(Selection(name))
    study.end(name, FINE)
    one.note_news()
    eventually(lambda: len(service.told) == 3, "notifications of the second round")
    assert service.told[2].splitlines()[0] == f"{name}: finished: 1 done"
    assert f"qexp export {name}" in service.told[2]


def test_a_reached_failure_limit_is_notified_with_its_pause(client, study, service):
    name = study(4, service.address, stop_after={"failures": 2})
    study.end(name, TYPO, TYPO)
    jobs = LeaderJobs(Database(client.settings))
    jobs.start()
    jobs.run_due()
    eventually(lambda: any("paused" in text for text in service.told), "a notification of the pause")
    jobs.stop()
    (text,) = [text for text in service.told if "paused" in text]
    assert text.startswith(f"{name}: paused\n2 of 2 failed, most by NameError")
    assert f"qexp resume {name}" in text


def test_a_study_without_workers_is_notified_as_stalled_and_a_paused_or_running_one_is_not(
    client, raw, study, service, leader, site
):
    one = leader(site.model_copy(update={"stalled_after": 5.0}))
    resting, waiting = study(2, service.address), study(2, service.address)
    client.pause(resting)
    one.note_news()
    assert study.noted(waiting) == [], "it is not five minutes old"
    long_ago = "now() - interval '6 min'"
    raw.execute(f"UPDATE study SET renewed_at = {long_ago} WHERE queue = %s", [study.queue])
    raw.execute(f"UPDATE experiment SET queued_at = {long_ago} WHERE status = 'queued'")
    running = client.experiments(Selection(waiting))[0]
    claim = claiming.claim(raw, running.id, study.worker, 1)
    raw.execute(f"UPDATE experiment SET started_at = {long_ago} WHERE id = %s", [running.id])
    one.note_news()
    assert study.noted(waiting) == [], "something runs on a live worker"
    worker_rows.deregister(raw, study.worker)
    one.note_news()
    eventually(lambda: len(service.told) == 1, "a notification of the stall")
    assert service.told[0].startswith(
        f"{waiting}: no progress for 5 min\n2 open, 1 of them running; no worker listens to"
    )
    assert f"celery -A qexp worker -Q {study.queue}" in service.told[0]
    one.note_news()
    assert [row[0] for row in study.noted(waiting)] == ["stalled"]
    assert study.noted(resting) == []
    assert claim is not None


def test_a_failing_service_is_retried_later_and_its_secret_is_not_stored(study, service, leader, raw, caplog):
    caplog.set_level("DEBUG")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"json://me:{T0KEN}@127.0.0.1:{free.getsockname()[1]}/{T0KEN}"
    service.status = 500
    name, one = study(1, [down, service.address]), leader()
    study.end(name, FINE)
    one.note_news()
    eventually(lambda: all(row[3] for row in study.noted(name)), "both to be refused")
    assert len(study.noted(name)) == 2
    assert T0KEN not in str(study.noted(name))
    assert T0KEN not in caplog.text and "message to json://***@127.0.0.1" in caplog.text
    # When its next attempt is due
    one.note_news()
    assert {row[2] for row in study.noted(name)} == {1}, "no retry yet"
    service.status = 200
    raw.execute("UPDATE notice SET due_at = now() WHERE sent_at IS NULL")
    one.note_news()
    eventually(
        lambda: {row[1] for row in study.noted(name)} == {True, False}, "a notification by the restarted service"
    )
    # Then the notifier gives up eventually
    raw.execute("UPDATE notice SET due_at = now(), tries = 5 WHERE sent_at IS NULL")
    one.note_news()
    one.stop()
    assert sorted(row[2] for row in study.noted(name)) == [2, 5]


def test_a_hanging_service_delays_only_its_own_message(study, service, leader, monkeypatch):
    monkeypatch.setattr(notify, "LIMIT", 2.0)
    service.hangs = True
    name, one = study(2, service.address), leader()
    study.end(name, TYPO)
    one.note_news()
    eventually(lambda: study.noted(name)[0][2] == 1, "an attempt to notify")
    study.end(name, FINE)
    one.note_news()
    assert [row[0] for row in study.noted(name)] == ["failed", "finished"], "it is recorded meanwhile"
    eventually(lambda: study.noted(name)[0][3] == "no answer within 2 s", "the attempt to fail")


def test_a_new_address_gets_no_old_events(client, study, service, leader, raw, site):
    name = study(1, [])
    study.end(name, FINE)
    # rows of earlier tests, too: hundreds of notifications take minutes
    raw.execute("UPDATE experiment SET finished_at = now() - interval '2 h' WHERE finished_at IS NOT NULL")
    raw.execute("UPDATE study SET renewed_at = now() - interval '3 h'")
    everyone = leader(site.model_copy(update={"notify": (service.address,)}))
    everyone.note_news()
    assert study.noted(name) == []
    fresh = study(1, [])
    study.end(fresh, FINE)
    everyone.note_news()
    eventually(lambda: any(fresh in text for text in service.told), "a notification to the address of the setting")


def test_an_address_is_hidden_in_every_revision_and_its_change_is_shown(client, study, tmp_path, raw):
    name = study(1, f"slack://{T0KEN}/b/c")
    grid = {"study": name, "function": "experiment:f", "parameters": {"x": [0]}, "queue": study.queue}
    assert T0KEN not in str(raw.execute("SELECT grid, settings FROM revision ORDER BY created_at").fetchall())
    same = client.compare(Grid.from_dict({**grid, "notify": f"slack://{T0KEN}/b/c"}, tmp_path))
    assert same.changes == {}
    other = client.compare(Grid.from_dict({**grid, "notify": f"slack://{T0KEN}/b/d"}, tmp_path))
    before, after = other.changes["notify"]
    assert before != after and T0KEN not in str(other)


def test_an_address_that_apprise_does_not_know_is_refused_before_anything_is_written(client, study):
    with pytest.raises(NotifyError, match=r"apprise does not know addresses like nowhere://\*\*\*") as caught:
        study(1, f"nowhere://{T0KEN}")
    assert T0KEN not in str(caught.value)
