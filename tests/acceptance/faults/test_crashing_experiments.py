"""Experiments that kill their process, group or worker fail by name, and no others fail."""

import pytest
from acceptance.faults.support import SOURCE, assert_consistent

NUMBER, ODD = 6, 3


def crashing(body: str) -> str:
    """Return the source of a function that runs this code for one value of x."""
    return SOURCE.replace("    time.sleep(seconds)\n", f"    if x == {ODD}:\n        {body}\n    time.sleep(seconds)\n")


def odd(study):
    """The attempts of the crashing experiment: outcome and type of error."""
    query = (
        "SELECT a.outcome, a.error_type FROM attempt a JOIN experiment e ON e.id = a.experiment "
        "JOIN study s ON s.id = e.study WHERE s.name = %s AND e.params->'x' = %s ORDER BY a.number"
    )
    return study.site.rows(query, study.name, str(ODD))


ALONE = {
    "TERM to itself": "import signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)",
    "TERM to its group": "os.system(\"trap 'kill 0' EXIT; true\"); time.sleep(600)",
    "QUIT to itself": "import signal; os.kill(os.getpid(), signal.SIGQUIT); time.sleep(600)",
}


@pytest.mark.parametrize("body", ALONE.values(), ids=ALONE)
def test_a_signal_that_reaches_one_child_is_charged_and_ends_no_worker(own, body):
    study = own.study(NUMBER, source=crashing(body), retries={"crashed": 2, "delay": "0.1s"})
    worker = own.worker("-Q", study.queue, "-c", "2").await_ready()
    study.enqueue().await_closed()
    assert odd(study) == [("crashed", "ProcessStopped")] * 3
    assert_consistent(study, NUMBER, {"done": NUMBER - 1, "crashed": 3}, failed={"crashed": 1})
    assert worker.alive


REFUSED = {
    "QUIT": "import signal; os.kill(os.getppid(), signal.SIGQUIT)",
    "KILL": "os.kill(os.getppid(), 9)",
    "its group": "os.killpg(os.getppid(), 15)",
    "all there are": "os.kill(-1, 15)",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_function_may_not_signal_its_worker(own, body):
    study = own.study(NUMBER, source=crashing(body))
    worker = own.worker("-Q", study.queue, "-c", "2").await_ready()
    study.enqueue().await_closed()
    assert odd(study) == [("error", "PermissionError")]
    assert_consistent(study, NUMBER, {"done": NUMBER - 1, "error": 1}, failed={"error": 1})
    assert worker.alive


KILLS = """import psutil
        tops = [p for p in psutil.Process().parents() if "celery" in " ".join(p.cmdline())]
        os.system(f"kill -9 {tops[-1].pid}")
        time.sleep(600)"""


def test_an_experiment_that_kills_its_worker_ends_at_most_three_and_fails_alone(own):
    # Given four workers, and an experiment that kills its worker
    study = own.study(NUMBER, source=crashing(KILLS))
    workers = own.workers(4, "-Q", study.queue, "-c", "1")
    # When the workers run it
    study.enqueue().await_closed(3 * 60)
    # Then two workers die before it runs isolated, a third dies with it, and it fails by name
    assert odd(study) == [("lost", "WorkerLost"), ("lost", "WorkerLost"), ("crashed", "WorkerKilled")]
    assert study.statuses() == {"done": NUMBER - 1, "failed": 1}
    assert study.outcomes() == {"done": NUMBER - 1, "lost": 2, "crashed": 1}
    assert [worker.alive for worker in workers].count(True) == 1
