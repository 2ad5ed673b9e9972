"""Explanations of an experiment's state: each condition has a sentence and the command that changes it."""

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qexp.client.explain import Facts, QueueState, explain
from qexp.model import Status
from qexp.settings import Settings
from qexp.store.reads import workers
from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
from qexp.store.reads.explain_data import ExperimentSituation, LastRecord, QueuePosition
from qexp.store.reads.study_rows import StudyRow
from qexp.store.reads.workers import WorkerState, WorkerView

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SETTINGS = Settings(home=Path("/nowhere"))


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def blank(cls, **given):
    """Return a record of the store; missing fields are None."""
    return cls(**{field.name: given.get(field.name) for field in dataclasses.fields(cls)})


def experiment(status, **given):
    return blank(ExperimentView, **{"id": 17, "study": "lenet", "attempt": 0, **given, "status": Status(status)})


def attempt(number, outcome, **given):
    error = {} if outcome in ("done", "released", "paused", "cancelled") else {"error_type": "E", "error_message": "m"}
    base = {"number": number, "outcome": outcome, "finished_at": ago(60), "duration": 3.0, "host": "node1"}
    return blank(AttemptView, **{**base, **error, **given})


def worker(name="w@node1", **given):
    base = {
        "id": uuid.uuid4(),
        "host": "node1",
        "pid": 1,
        "state": WorkerState.IDLE,
        "concurrency": 2,
        "queues": ["gpu"],
    }
    return blank(WorkerView, **{**base, "name": name, "running": {}, "leads": False, "silence": 3.0, **given})


def told(view, depth=None, next_at=None, trouble=None, study=(), settings=SETTINGS, **given):
    """Explain an experiment; return its sentences, each with its command in brackets."""
    row = blank(StudyRow, **{"id": 1, "name": "lenet", "queue": "gpu", **dict(study)})
    base = {"attempts": [], "workers": [], "forgiven": 0, "retries": {}, "place": QueuePosition(1, 0), "printed": 0}
    situation = blank(ExperimentSituation, **{**base, **given, "experiment": view, "study": row, "now": NOW})
    found = explain(Facts(situation, QueueState(depth, next_at, trouble), settings))
    return [f"{one.text} [{one.command}]" if one.command else one.text for one in found.sentences]


def history(view, **given):
    base = {"forgiven": 0, "workers": [], "retries": {}, "place": QueuePosition(1, 0)}
    situation = blank(
        ExperimentSituation, **{**base, **given, "experiment": view, "study": blank(StudyRow), "now": NOW}
    )
    return explain(Facts(situation, QueueState(), SETTINGS)).history


def test_a_waiting_experiment_of_a_paused_study_names_who_paused_it_and_the_command():
    paused = {"paused_at": ago(60), "pause_reason": "the disk is full."}
    for status in ("pending", "queued"):
        assert told(experiment(status), study=paused) == [
            "Its study is paused since 11:59:00 UTC (reason: the disk is full). [qexp resume lenet]"
        ]
    assert told(experiment("pending"), study={"paused_at": ago(86400)}) == [
        "Its study is paused since 2026-02-28 12:00:00 UTC. [qexp resume lenet]"
    ]


def test_a_retry_names_its_time_its_error_and_the_retries_left():
    view = experiment("pending", attempt=2, not_before=NOW + timedelta(seconds=11))
    failed = [attempt(1, "lost"), attempt(2, "timeout", error_frame="f.py:3 in f")]
    assert told(view, attempts=failed, retries={"timeout": 3}) == [
        "It waits for a retry at 12:00:11 UTC, in 11 s. Attempt 2 timed out: m (at f.py:3 in f). "
        "After this retry, 2 of 3 retries for 'timeout' are left. [qexp cancel 17]"
    ]
    (one,) = told(view, attempts=[attempt(1, "timeout"), attempt(2, "timeout")], retries={"timeout": 3}, forgiven=1)
    assert "2 of 3 retries" in one, "attempts before a requeue do not count"


def test_a_full_window_is_named_with_its_setting():
    (window, _) = told(experiment("pending"), place=QueuePosition(10_000, 12_345), workers=[worker()])
    assert window == (
        "It is not announced yet: the window of its queue 'gpu' is full (10,000 announced, setting 'window': 10,000), "
        "and 12,345 are before it. [qexp config]"
    )


@pytest.mark.parametrize(
    ("crew", "words"),
    [
        ([worker("first@a", leads=True)], "It is due: the leader, first@a, announces it within seconds."),
        ([worker()], "It is due: the next worker that leads announces it, within seconds."),
        ([], "It is due: a worker announces it as soon as one is started."),
    ],
)
def test_a_due_experiment_is_announced_by_the_leader(crew, words):
    assert told(experiment("pending", not_before=ago(1)), workers=crew)[0] == words


def test_a_later_experiment_is_announced_when_its_turn_comes_near():
    said = told(experiment("pending"), place=QueuePosition(40, 1234), workers=[worker("first@a", leads=True)])
    assert said[0] == "The leader, first@a, announces it when its turn comes near."
    assert said[1].startswith("1,234 others are before it")


def test_a_study_that_a_worker_runs_alone_counts_only_its_own_experiments():
    crew = [worker("first@a", leads=True), worker("mine@a", queues=[workers.only("lenet")], running={"lenet": [1, 2]})]
    said = told(experiment("pending"), place=QueuePosition(40, 3), workers=crew[1:])
    assert said[0] == "The worker mine@a, which runs only this study, announces it when its turn comes near."
    assert said[1].startswith("3 others of its study are before it in the queue, and all 2 children of mine@a are busy")
    assert told(experiment("pending"), place=QueuePosition(40, 3), workers=crew)[1].startswith("3 others of its study")


def test_a_queued_experiment_says_since_when_it_is_announced():
    assert told(experiment("queued"), queued_at=ago(3))[0] == (
        "It was announced on the queue 'gpu' 3 s ago, at 11:59:57 UTC."
    )


def test_a_broker_that_is_down_is_named_with_the_repair():
    said = told(experiment("queued"), trouble="127.0.0.1:1: Connection refused")
    assert said[1] == (
        "The broker cannot be reached (127.0.0.1:1: Connection refused): until it is repaired, workers get no "
        "messages. [qexp doctor]"
    )


@pytest.mark.parametrize(
    ("crew", "words"),
    [
        ([], "No live worker listens on its queue 'gpu' or any other. [celery -A qexp worker -Q gpu]"),
        (
            [worker(queues=["qexp", "cpu"])],
            "No live worker listens on its queue 'gpu'; live workers listen on: cpu, qexp. "
            "[celery -A qexp worker -Q gpu]",
        ),
        (
            [
                worker(state=WorkerState.SILENT, silence=40.2),
                worker("x@b", state=WorkerState.QUARANTINED, quarantine_reason="no GPU"),
            ],
            "No live worker listens on its queue 'gpu': w@node1 has been silent for 40 s; x@b is quarantined "
            "(reason: no GPU); repair node1, then start it again. [celery -A qexp worker -Q gpu]",
        ),
    ],
)
def test_a_queue_without_a_live_worker_names_the_worker_to_start(crew, words):
    assert words in told(experiment("queued"), workers=crew)


def test_the_default_queue_needs_no_option():
    assert told(experiment("queued"), study={"queue": "qexp"})[1].endswith("[celery -A qexp worker]")


def busy(number, **given):
    return worker(**{"state": WorkerState.BUSY, "running": {"lenet": list(range(number))}, **given})


@pytest.mark.parametrize(
    ("crew", "ahead", "words"),
    [
        ([busy(2)], 1, "1 other is before it in the queue, and all 2 children of w@node1 are busy."),
        ([busy(1, concurrency=1)], 0, "It is the next one in the queue, and the only child of w@node1 is busy."),
        ([busy(2), busy(2)], 1234, "1,234 others are before it in the queue, and all 4 children of the 2 workers"),
        ([busy(1)], 0, "It is the next one; 1 of 2 children on its queue is free, so it begins at once."),
        ([worker()], 5, "5 others are before it; 2 of 2 children on its queue are free, so it begins soon."),
    ],
)
def test_a_queue_with_live_workers_says_whose_turn_it_is(crew, ahead, words):
    said = told(experiment("queued"), workers=crew, place=QueuePosition(9, ahead), queued_at=ago(1))
    assert said[1].startswith(words)


def test_an_experiment_that_a_free_child_does_not_take_refers_to_the_doctor():
    said = told(experiment("queued"), workers=[worker()], queued_at=ago(600))
    assert said[1] == (
        "It is the next one, 2 of 2 children on its queue are free, and yet it has not begun. [qexp doctor]"
    )


@pytest.mark.parametrize(
    ("depth", "next_at", "leads", "when"),
    [
        (0, None, True, "within seconds"),
        (0, None, False, "as soon as a worker is started"),
        (2, 8, True, "within seconds"),
    ],
)
def test_a_message_that_is_not_on_the_broker_is_noticed(depth, next_at, leads, when):
    later = None if next_at is None else ago(next_at)
    said = told(experiment("queued"), depth, later, queued_at=ago(9), workers=[worker(leads=leads)])
    assert said[2] == (f"The broker holds no message for it: a worker is taking it, or it is announced again {when}.")


@pytest.mark.parametrize("next_at", [9, 30, None])
def test_a_message_that_may_be_behind_the_next_one_is_not_reported(next_at):
    earlier = None if next_at is None else ago(next_at)
    assert (
        len(told(experiment("queued"), 1, earlier, queued_at=ago(9), place=QueuePosition(50, 40), workers=[worker()]))
        == 2
    )


RUNS = experiment("running", attempt=2, started_at=ago(40))


def test_a_running_experiment_names_its_worker_its_start_and_the_command_to_follow_it():
    said = told(
        RUNS,
        runner=worker(),
        pid=123,
        timeout=3600.0,
        sign=LastRecord("a value of loss at step 12", ago(3)),
        printed=1234,
    )
    assert said == [
        "Attempt 2 has been running since 11:59:20 UTC (40 s) on node1, process 123, by the worker w@node1."
        " [qexp logs 17 -f]",
        "Its worker sent a heartbeat 3 s ago.",
        "Its newest record is a value of loss at step 12, 3 s ago; it has printed 1,234 bytes. [qexp metrics 17]",
        "Its timeout of 1 h 0 min ends it at 12:59:20 UTC, in 59 min 20 s. [qexp cancel 17]",
    ]


def test_a_running_experiment_without_a_timeout_or_progress_mentions_it():
    said = told(RUNS, runner=worker(state=WorkerState.QUARANTINED, quarantine_reason="no GPU"))
    assert said[1:] == [
        "Its worker sent a heartbeat 3 s ago; the worker is quarantined (reason: no GPU).",
        "It has recorded nothing yet; it has printed nothing yet.",
    ]
    assert told(RUNS, runner=worker())[3] == "It has no timeout. [qexp cancel 17]"


def test_an_experiment_over_its_timeout_is_being_ended():
    assert told(RUNS, runner=worker(), timeout=30.0)[3].startswith(
        "Its timeout of 30 s ends it now: it was due at 11:59:50 UTC."
    )


def test_an_experiment_of_a_silent_worker_is_being_recovered():
    silent = worker(state=WorkerState.SILENT, silence=12.0)
    assert told(RUNS, runner=silent, workers=[silent, worker("other@b")], retries={"lost": 5})[1] == (
        "Its worker is silent: its last heartbeat was 12 s ago. If it stays silent, another worker recovers the "
        "experiment in 18 s, and it runs again as attempt 3."
    )
    assert told(RUNS, runner=silent, workers=[silent], retries={"lost": 0})[1] == (
        "Its worker is silent: its last heartbeat was 12 s ago. No live worker can recover the experiment. When one "
        "does, it fails, because its study gives no retries to 'lost' (key 'retries' of the grid). "
        "[celery -A qexp worker -Q gpu]"
    )


def test_an_experiment_of_a_stopped_worker_is_being_recovered():
    stopped = worker(state=WorkerState.STOPPED, stopped_at=ago(31), silence=99.0)
    assert told(RUNS, runner=stopped, workers=[worker("other@b")], retries={"lost": 5})[1] == (
        "Its worker stopped 31 s ago. Another worker recovers the experiment within seconds, and it runs again as "
        "attempt 3."
    )


def test_a_running_experiment_of_a_paused_study_is_asked_to_stop():
    assert told(RUNS, runner=worker(), study={"paused_at": ago(1)})[0] == (
        "Its study is paused since 11:59:59 UTC. The attempt is asked to stop, and is ended a few seconds later. "
        "[qexp resume lenet]"
    )


def failed(kind, *attempts, **given):
    return told(experiment("failed", failure=kind, attempt=len(attempts)), attempts=list(attempts), **given)


def test_a_failed_experiment_names_its_error_and_why_it_is_not_retried():
    last = attempt(2, "error", error_message="two\nlines", error_frame="f.py:3 in f")
    assert failed("error", attempt(1, "error"), last, retries={"error": 1}) == [
        "Attempt 2 failed: E: two lines (at f.py:3 in f). It ended 1 min ago, at 11:59:00 UTC, after 3 s on node1. "
        "[qexp show 17]",
        "No retry follows, because the only retry that its study gives to 'error' is used. [qexp requeue 17]",
    ]


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (0, "because its study gives no retries to 'lost' (key 'retries' of the grid)."),
        (2, "because all 2 retries that its study gives to 'lost' are used."),
        (9, "because its study had none left then; it has more now."),
    ],
)
def test_an_experiment_without_retries_left_says_how_they_were_used(budget, words):
    attempts = [attempt(number, "lost") for number in (1, 2, 3)]
    assert words in failed("lost", *attempts, retries={"lost": budget})[1]


@pytest.mark.parametrize(
    ("reason", "signal", "words"),
    [
        ("signal 11 (SIGSEGV)", "SIGSEGV", "its process was killed by SIGSEGV."),
        ("exitcode 3", None, "its process died: exitcode 3."),
        ("it hung after its function returned", "SIGKILL", "its process died: it hung after its function returned."),
    ],
)
def test_a_crashed_experiment_names_how_its_process_died(reason, signal, words):
    message = f"its process died: {reason}"
    last = attempt(1, "crashed", error_type="ProcessDied", error_message=message, exit_signal=signal)
    assert failed("crashed", last)[0].startswith(f"Attempt 1 crashed: {words}")


def test_a_done_experiment_names_its_result_and_the_command_to_repeat_it():
    assert told(experiment("done", attempt=1), attempts=[attempt(1, "done")]) == [
        "Attempt 1 succeeded. It ended 1 min ago, at 11:59:00 UTC, after 3 s on node1. [qexp show 17]",
        "It has a result, so it does not run again by itself. [qexp requeue 17]",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "before its first attempt."),
        ({"attempt": 2, "reason": "wrong data"}, "while it waited for attempt 3 (reason: wrong data)."),
        ({"attempt": 2, "finished_at": ago(5)}, "5 s ago, at 11:59:55 UTC, while attempt 2 ran."),
    ],
)
def test_a_cancelled_experiment_names_its_earlier_state_and_the_reason(given, words):
    assert told(experiment("cancelled", **given)) == [f"It was cancelled {words} [qexp requeue 17]"]


def test_an_experiment_that_its_function_paused_names_the_command_to_resume_it():
    view = experiment("paused", attempt=1, finished_at=ago(5), reason="waits for data")
    said = told(view, study={"paused_at": ago(1)})
    assert said[0] == (
        "Its function paused it in attempt 1, 5 s ago, at 11:59:55 UTC (reason: waits for data). [qexp resume 17]"
    )
    assert said[1].endswith("[qexp resume lenet]")


def test_the_history_is_one_line_with_the_commands_of_people():
    ended = [attempt(1, "lost", finished_at=ago(90_000)), attempt(2, "error"), attempt(3, "paused")]
    assert history(experiment("pending"), attempts=ended, forgiven=2) == (
        "1: lost at 2026-02-28 11:00:00; 2: error at 11:59:00, then requeued; 3: paused at 11:59:00"
    )
    assert history(experiment("queued"), attempts=ended, forgiven=3).endswith("; 3: paused at 11:59:00, then resumed")
    assert history(experiment("pending"), attempts=[]) == ""
    many = [attempt(number, "lost") for number in range(1, 10)]
    assert history(experiment("running", attempt=10), attempts=many).startswith("3 earlier; 4: lost at 11:59:00; ")
    assert history(experiment("running", attempt=10), attempts=many).endswith("; 10: running")


def test_an_explanation_has_at_most_four_sentences():
    said = told(RUNS, runner=worker(), timeout=9.0, study={"paused_at": ago(1)})
    assert len(said) == 4
