"""`qexp explain` gives the reason for an experiment's state and the command that changes it."""

import json
import subprocess

import pytest
import redis
from tests_support import eventually

SOURCE = """
import pathlib, time
import qexp
def f(kind, folder, context: qexp.Context):
    if kind == "fails":
        raise ValueError("no such data")
    if kind == "pauses":
        return context.pause("waits for the data of March")
    print("begun")
    context.metric(3, loss=0.5)
    while not (pathlib.Path(folder) / "go").exists():
        time.sleep(0.02)
    return 1
"""


@pytest.fixture
def explained(qexp):
    """Return the explanation of the first experiment of a study, or of another one, as data."""

    def explained(study, index=0, **environ):
        number = study.listed()[index]["id"]
        done = qexp("explain", number, "--format", "json", environ=environ)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        found["text"] = " ".join(sentence["text"] for sentence in found["sentences"])
        found["commands"] = [sentence["command"] for sentence in found["sentences"] if sentence["command"]]
        return found

    return explained


@pytest.fixture
def enqueue(study, queue, tmp_path, request):
    """Enqueue one experiment per kind on the test's own queue, the study's `queue`."""

    def enqueue(*kinds, **keys):
        own = f"{queue}_{request.node.name[-40:]}"
        made = study(SOURCE, {"kind": list(kinds)}, settings={"folder": str(tmp_path)}, queue=own, **keys)
        made.queue = own
        made.enqueue()
        return made

    return enqueue


@pytest.fixture
def start(start_worker, monkeypatch):
    """Start a worker with one child and fast heartbeats; it is killed with the test."""
    monkeypatch.setenv("QEXP_HEARTBEAT", "0.2")
    started = []

    def start(study):
        started.append(start_worker("-Q", study.queue, "-c", "1", "-n", f"{study.name}@%h").await_ready())
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


def becomes(study, status, index=0):
    eventually(lambda: study.listed()[index]["status"] == status, f"experiment {index} to be {status}")


def test_an_experiment_on_a_queue_without_workers_names_the_worker_to_start(qexp, enqueue, explained):
    study = enqueue("waits", "waits too")
    found = explained(study, 1)
    assert (found["status"], found["study"], found["history"]) == ("queued", study.name, "")
    assert "It was announced on the queue" in found["text"]
    assert found["commands"] == [f"celery -A qexp worker -Q {study.queue}"]
    # And the text has the same sentences in lines that fit
    text = qexp("explain", found["id"], environ={"COLUMNS": "80"}).stdout
    assert text.startswith(f"{study.name} #{found['id']}  queued\nIt was announced on the queue")
    assert f"\n  celery -A qexp worker -Q {study.queue}  # starts one\n" in text


def test_an_experiment_behind_a_busy_worker_counts_those_before_it(enqueue, explained, start, tmp_path):
    study = enqueue("first", "second", "third")
    start(study)
    becomes(study, "running")
    found = explained(study, 2)
    assert "1 other is before it in the queue, and the only child of" in found["text"]
    assert found["commands"] == [f"celery -A qexp worker -Q {study.queue}"]
    assert "It is the next one in the queue" in explained(study, 1)["text"]
    (tmp_path / "go").touch()
    assert study.wait() == 0
    assert "Attempt 1 succeeded" in explained(study, 2)["text"]


def test_an_experiment_outside_the_window_names_the_window(qexp, enqueue, explained, monkeypatch):
    monkeypatch.setenv("QEXP_WINDOW", "2")
    study = enqueue(*"abcd")
    found = explained(study, 3)
    assert found["status"] == "pending"
    assert "is full (2 announced, setting 'window': 2), and 3 are before it." in found["text"]


def test_a_running_experiment_names_its_worker_and_its_recorded_data(enqueue, explained, start):
    study = enqueue("runs", timeout="1h")
    start(study)
    becomes(study, "running")
    eventually(lambda: "loss at step 3" in explained(study)["text"], "the point to be there")
    eventually(lambda: "has printed 6 bytes" in explained(study)["text"], "the output to be there")
    found = explained(study)
    assert f"by the worker {study.name}@" in found["text"]
    assert "Its timeout of 1 h 0 min ends it at" in found["text"]
    number = found["id"]
    assert found["commands"] == [
        f"qexp {verb}" for verb in (f"logs {number} -f", f"metrics {number}", f"cancel {number}")
    ]
    assert found["history"] == "1: running"


def test_an_experiment_of_a_killed_worker_is_being_recovered(enqueue, explained, start):
    study = enqueue("runs", "waits")
    worker = start(study)
    becomes(study, "running")
    worker.kill()
    eventually(lambda: "Its worker is silent" in explained(study, QEXP_LEASE="1")["text"], "the worker to be silent")
    assert "runs again as attempt 2" in explained(study, QEXP_LEASE="1")["text"]
    # And an experiment that waits for this worker says that it is silent, too
    text = explained(study, 1, QEXP_LEASE="1")["text"]
    assert f"{study.name}@" in text and "has been silent for" in text


def test_a_failed_experiment_names_its_error_and_that_no_retry_is_left(enqueue, explained, start):
    study = enqueue("fails")
    start(study)
    becomes(study, "failed")
    found = explained(study)
    assert "Attempt 1 failed: ValueError: no such data (at experiment.py:6 in f)." in found["text"]
    assert "No retry follows, because its study gives no retries to 'error'" in found["text"]
    assert found["commands"] == [f"qexp show {found['id']}", f"qexp requeue {found['id']}"]
    assert found["history"].startswith("1: error at ")


def test_an_experiment_that_waits_for_a_retry_names_its_time(enqueue, explained, start):
    study = enqueue("fails", retries={"error": 3, "delay": "600s"})
    start(study)
    eventually(lambda: study.listed()[0]["not_before"], "the first attempt to fail")
    found = explained(study)
    assert found["status"] == "pending"
    assert found["text"].startswith("It waits for a retry at ")
    assert found["text"].endswith("After this retry, 2 of 3 retries for 'error' are left.")


def test_an_experiment_that_its_function_paused_names_the_resume_command(qexp, enqueue, explained, start):
    study = enqueue("pauses")
    start(study)
    becomes(study, "paused")
    found = explained(study)
    assert "Its function paused it in attempt 1, " in found["text"]
    assert "(reason: waits for the data of March)." in found["text"]
    assert qexp(*found["commands"][0].split()[1:]).returncode == 0
    eventually(lambda: ", then resumed; 2: paused at " in explained(study)["history"], "the second attempt to pause")


def test_a_cancelled_experiment_gives_the_reason_and_a_working_requeue_command(qexp, enqueue, explained):
    study = enqueue("waits")
    assert qexp("cancel", study.name, "--reason", "wrong data").returncode == 0
    found = explained(study)
    assert found["text"] == "It was cancelled before its first attempt (reason: wrong data)."
    assert qexp(*found["commands"][0].split()[1:]).returncode == 0
    assert explained(study)["status"] == "queued"


def test_an_experiment_of_a_paused_study_gives_the_reason_and_a_working_resume_command(qexp, enqueue, explained):
    study = enqueue("waits")
    assert qexp("pause", study.name, "--reason", "the disk is full").returncode == 0
    found = explained(study)
    assert found["status"] == "pending"
    assert found["text"].startswith("Its study is paused since ") and "the disk is full" in found["text"]
    assert qexp(*found["commands"][0].split()[1:]).returncode == 0
    assert explained(study)["status"] == "queued"


def test_a_broker_that_has_lost_its_messages_is_noticed(site, enqueue, explained):
    study = enqueue("waits")
    with redis.Redis.from_url(site.broker_url) as broker:
        broker.delete(study.queue, *(f"{study.queue}\x06\x16{level}" for level in range(1, 10)))
    assert "The broker holds no message for it: " in explained(study)["text"]


def test_a_broker_that_is_down_is_one_of_the_reasons(qexp, enqueue, explained):
    study = enqueue("waits")
    found = explained(study, QEXP_BROKER_URL="redis://:hidden@127.0.0.1:1/0")
    assert "The broker cannot be reached (127.0.0.1:1: " in found["text"] and "hidden" not in json.dumps(found)
    assert found["commands"] == ["qexp doctor", f"celery -A qexp worker -Q {study.queue}"]


def test_without_postgres_explain_fails(qexp):
    done: subprocess.CompletedProcess[str] = qexp(
        "explain", 1, environ={"QEXP_DATABASE_URL": "postgresql://me@127.0.0.1:1/lab"}
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("qexp: cannot reach Postgres at 127.0.0.1:1")


def test_an_unknown_id_is_refused(qexp):
    done = qexp("explain", 999_999_999)
    assert done.returncode == 2
    assert "no experiment has the id 999999999" in done.stderr
