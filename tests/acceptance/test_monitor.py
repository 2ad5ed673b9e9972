"""Flower shows experiments, on this machine only unless there is a password."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from tests_support import eventually


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def flower(site, tmp_path):
    started = []

    def flower(*line, **environ):
        log = (tmp_path / "flower.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", *line],
            env={**os.environ, **environ},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield flower
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(address, port):
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


STARTS = [("celery", "-A", "qexp", "flower"), ("qexp", "monitor")]


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
def test_the_monitor_listens_on_this_machine_only(flower, start):
    import psutil

    port = free_port()
    process = flower(*start, f"--port={port}")
    eventually(lambda: listens("127.0.0.1", port), "the monitor to listen")
    addresses = {c.laddr.ip for c in psutil.Process(process.pid).net_connections() if c.status == "LISTEN"}
    assert addresses == {"127.0.0.1"}


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
@pytest.mark.parametrize("address", ["0.0.0.0", "::"])  # noqa: S104
def test_the_monitor_refuses_to_be_open_to_others_without_a_password(flower, tmp_path, start, address):
    process = flower(*start, f"--address={address}", f"--port={free_port()}")
    assert process.wait(timeout=120) == 2
    text = (tmp_path / "flower.log").read_text()
    assert f"the monitor would listen on {address} for everyone" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
def test_with_a_password_another_address_is_allowed_and_the_password_asked_for(flower, start):
    port = free_port()
    flower(*start, "--address=0.0.0.0", f"--port={port}", FLOWER_BASIC_AUTH="me:secret")
    eventually(lambda: listens("127.0.0.1", port), "the monitor to listen")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/tasks", timeout=30)
    assert caught.value.code == 401


def test_experiments_are_shown_by_name_and_failures_as_failures(flower, study, start_worker, queue):
    port = free_port()
    start_worker("-Q", queue, "-c", "1", "-E").await_ready()
    flower("qexp", "monitor", f"--port={port}", FLOWER_UNAUTHENTICATED_API="1")
    eventually(lambda: listens("127.0.0.1", port), "the monitor to listen")

    def fetch(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return json.load(answer)

    eventually(lambda: fetch("/api/workers"), "the monitor to know the worker")
    made = study("def f(dataset, x):\n    if x == 2:\n        raise ValueError(x)\n", {"dataset": "wine", "x": [1, 2]})
    made.enqueue()
    made.wait()
    first, second = (row["id"] for row in made.listed())

    def states():
        return {task["args"]: task["state"] for task in fetch("/api/tasks").values()}

    eventually(lambda: set(states().values()) == {"SUCCESS", "FAILURE"}, "the monitor to know both ends")
    assert states() == {
        f"{made.name} #{first}  dataset=wine x=1": "SUCCESS",
        f"{made.name} #{second}  dataset=wine x=2": "FAILURE",
    }
