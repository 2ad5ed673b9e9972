"""Workers survive restarts of the services, and an interrupted run leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from terminal import terminal
from tests_support import eventually

SOURCE = """
import pathlib, time
def f(x, folder):
    folder = pathlib.Path(folder)
    (folder / f"began-{x}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return x
"""


@pytest.fixture
def own(tmp_path):
    """A separate site, a study on it, and a function that runs commands there."""
    environ = {**os.environ, "QEXP_HOME": str(tmp_path / "home")}
    (tmp_path / "experiment.py").write_text(SOURCE)
    grid = {
        "study": "s",
        "function": "experiment:f",
        "parameters": {"x": [1, 2]},
        "settings": {"folder": str(tmp_path)},
    }
    (tmp_path / "grid.yaml").write_text(json.dumps(grid))
    started = []

    def start(*arguments):
        line = [sys.executable, "-m", *arguments]
        log = (tmp_path / "log").open("ab")
        process = subprocess.Popen(line, cwd=tmp_path, env=environ, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process

    def qexp(*arguments):
        line = [sys.executable, "-m", "qexp", *arguments]
        return subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    def began():
        return len(list(tmp_path.glob("began-*"))) == 2

    def statuses():
        return [row["status"] for row in json.loads(qexp("list", "s", "--format", "json").stdout)]

    yield qexp, start, began, statuses
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    qexp("down", "-y")


def test_results_wait_for_services_that_are_down(own, tmp_path):
    # Given two running experiments
    qexp, start, began, statuses = own
    qexp("up")
    qexp("enqueue", "grid.yaml")
    start("celery", "-A", "qexp", "worker", "-c", "2")
    eventually(began, "both experiments to run")
    # When they end while Postgres and the broker are down
    assert qexp("down", "-y").returncode == 0
    (tmp_path / "go").touch()
    waiting = re.compile(r"the outcome of experiment (\d+) waits for Postgres")
    eventually(lambda: len(set(waiting.findall((tmp_path / "log").read_text()))) == 2, "both to end")
    qexp("up")
    # Then their results arrive, and the same worker runs the next experiments
    eventually(lambda: statuses() == ["done", "done"], "both results")
    qexp("requeue", "s", "--status", "done")
    assert qexp("wait", "s", "--timeout", "120").returncode == 0


def test_the_services_stop_under_running_experiments_only_if_a_person_agrees(own, tmp_path):
    # Given two running experiments
    qexp, start, began, statuses = own
    qexp("up")
    qexp("enqueue", "grid.yaml")
    start("celery", "-A", "qexp", "worker", "-c", "2")
    eventually(began, "both experiments to run")
    home = {"QEXP_HOME": str(tmp_path / "home")}
    # When the answer is no, nothing is stopped
    question = "Stop the services now? [y/N]: "
    screen = terminal("qexp", "down", keys=[(question, "n\n")], cwd=tmp_path, environ=home)
    assert screen.status == 2
    assert "1 worker runs 2 experiments: s #1-2." in screen.text
    assert "nothing was stopped; 'qexp down --wait' waits for the experiments\n" in screen.text
    assert statuses() == ["running", "running"]
    refused = qexp("down")
    assert refused.returncode == 2
    assert "1 worker runs 2 experiments: s #1-2; wait for them with --wait, or stop the services now with -y" in (
        refused.stderr
    )
    # When the question or the wait is interrupted, the services still run
    for command, shown in ((["down"], question), (["down", "--wait"], "Ctrl-C stops waiting")):
        screen = terminal("qexp", *command, keys=[(shown, "\x03\n")], cwd=tmp_path, environ=home)
        assert screen.status == 130
        assert "qexp: interrupted; the services still run\n" in screen.text
    # When it waits, the experiments end first
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(terminal, "qexp", "down", "--wait", cwd=tmp_path, environ=home)
        (tmp_path / "go").touch()
        screen = waiting.result()
    assert screen.status == 0
    assert "Postgres  stopped\n" in screen.text
    assert "1 worker waits for the services of the next 'qexp up': celery@" in screen.text
    qexp("up")
    assert statuses() == ["done", "done"]


def test_a_result_survives_its_worker_while_postgres_is_down(own, tmp_path):
    # Given two experiments that ended while both services were down, and a killed worker
    qexp, start, began, statuses = own
    qexp("up")
    qexp("enqueue", "grid.yaml")
    first = start("celery", "-A", "qexp", "worker", "-c", "2")
    eventually(began, "both experiments to run")
    assert qexp("down", "-y").returncode == 0
    (tmp_path / "go").touch()
    outbox = tmp_path / "home" / "outbox"
    eventually(lambda: len(list(outbox.glob("*.json"))) == 2, "both results to be files")
    assert {path.stat().st_mode & 0o777 for path in outbox.iterdir()} == {0o600}
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    # When both services are back, and another worker starts
    qexp("up")
    start("celery", "-A", "qexp", "worker", "-c", "2")
    # Then this worker delivers the results, and nothing runs again
    eventually(lambda: statuses() == ["done", "done"], "both results")
    shown = json.loads(qexp("show", "1,2", "--format", "json").stdout)
    assert [(row["result"], len(row["attempts"])) for row in shown] == [({"value": 1}, 1), ({"value": 2}, 1)]
    assert list(outbox.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_ends_its_worker_and_releases_its_experiments(own, number):
    _, start, began, statuses = own
    run = start("qexp", "run", "grid.yaml", "-c", "2")
    eventually(began, "both experiments to run")
    workers = [child for child in psutil.Process(run.pid).children(recursive=True) if "qexp.celery" in child.cmdline()]
    assert workers
    run.send_signal(number)
    eventually(lambda: run.poll() is not None, "the run to end")
    assert run.returncode == 130
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert statuses() == ["queued", "queued"]
