"""Flower shows experiments; without a password, it listens on this machine only."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from types import SimpleNamespace

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
    assert f"the monitor would be open to everyone on {address}" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
def test_with_a_password_another_address_is_allowed_and_the_password_required(flower, start):
    port = free_port()
    flower(*start, "--address=0.0.0.0", f"--port={port}", FLOWER_BASIC_AUTH="me:secret")
    eventually(lambda: listens("127.0.0.1", port), "the monitor to listen")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/tasks", timeout=30)
    assert caught.value.code == 401


@pytest.fixture
def monitor(flower, tmp_path):
    """Start a monitor without a password; return its address, the printed token, and `ask`."""

    def monitor(*line, **environ):
        flower(*line, **environ)
        text = tmp_path / "flower.log"
        printed = r"the monitor is at https?://(.+):(\d+)/(\w+/)?\?token=(\S+)\n"
        eventually(lambda: re.search(printed, text.read_text()), f"an address in {text}")
        found = re.search(printed, text.read_text())
        host, port, token = found[1].strip("[]"), int(found[2]), found[4]

        def ask(path, method="GET", **headers):
            connection = http.client.HTTPConnection(host, port, timeout=30)
            try:
                connection.request(method, path, headers={name.replace("_", "-"): v for name, v in headers.items()})
                answer = connection.getresponse()
                return SimpleNamespace(status=answer.status, headers=answer.headers, text=answer.read().decode())
            finally:
                connection.close()

        return SimpleNamespace(host=host, port=port, token=token, ask=ask, log=text)

    return monitor


PATHS = ("/", "/workers", "/tasks", "/tasks/datatable", "/broker", "/metrics", "/healthcheck", "/api/workers",
         "/api/tasks", "/static/js/flower.js", "/login", "/logout", "/nothing")  # fmt: skip


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
def test_without_a_password_pages_need_the_token_of_the_printed_address(monitor, start):
    made = monitor(*start, "--port=0", FLOWER_UNAUTHENTICATED_API="1")
    # Given requests without a token or with a wrong one
    cookie = f"qexp_monitor={made.token}"
    for path in PATHS:
        for headers in ({}, {"Cookie": cookie[:-1]}, {"Authorization": "Bearer wrong"}, {"Cookie": "qexp_monitor=ä"}):
            refused = made.ask(path, **headers)
            assert refused.status == 403, (path, headers)
            assert "this monitor asks for its token" in refused.text
    for method in ("POST", "OPTIONS", "PUT"):
        refused = made.ask("/api/worker/shutdown/somebody", method)
        assert refused.status == 403, method
        assert "Access-Control-Allow-Origin" not in refused.headers
    assert made.ask("/?token=wrong").status == 403
    # When the printed address is opened
    entered = made.ask(f"/tasks?token={made.token}&x=1")
    # Then the token moves from the address to a cookie
    assert entered.status == 200
    assert entered.headers["Set-Cookie"] == f"{cookie}; Path=/; HttpOnly; SameSite=Strict"
    assert entered.headers["Refresh"] == "0; url=/tasks?x=1"
    for headers in ({"Cookie": cookie}, {"Authorization": f"Bearer {made.token}"}):
        assert made.ask("/", **headers).status == 200
        assert "flower" in made.ask("/metrics", **headers).text
        assert made.ask("/static/js/flower.js", **headers).status == 200
        assert made.ask("/api/workers", **headers).status == 200
    # And only qexp's address was printed
    assert "Visit me" not in made.log.read_text()


@pytest.mark.parametrize("start", STARTS, ids=["celery", "qexp"])
def test_the_monitor_answers_only_to_names_of_this_machine_and_to_configured_names(monitor, start):
    made = monitor(*start, "--port=0", QEXP_MONITOR_HOSTS="monitor.lab, other.lab")
    allowed = {"Authorization": f"Bearer {made.token}"}
    for name in ("localhost", "LOCALHOST", "127.0.0.1", "127.0.0.9", "[::1]", "monitor.lab", "Other.lab"):
        for port in ("", f":{made.port}"):
            assert made.ask("/", Host=name + port, **allowed).status == 200, name
    for name in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "[::2]", "lab"):
        for path in ("/", "/static/js/flower.js", f"/?token={made.token}"):
            refused = made.ask(path, Host=f"{name}:{made.port}", **allowed)
            assert refused.status == 403, name
            assert "answers to localhost" in refused.text
            assert "Set-Cookie" not in refused.headers


def test_a_password_replaces_the_token_and_names_are_still_checked(flower):
    port = free_port()
    flower("qexp", "monitor", f"--port={port}", FLOWER_BASIC_AUTH="me:secret")
    eventually(lambda: listens("127.0.0.1", port), "the monitor to listen")

    def status(path, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("/healthcheck") == 200  # the request of compose.yaml
    assert status("/tasks") == 401
    assert status("/tasks", Authorization="Basic bWU6c2VjcmV0") == 200
    assert status("/tasks", Authorization="Basic bWU6c2VjcmV0", Host="evil.example") == 403


def test_the_token_is_required_below_a_prefix_and_on_another_loopback_address_too(monitor):
    made = monitor("qexp", "monitor", "--address=localhost", "--port=0", "--url-prefix=flower")
    assert f"/flower/?token={made.token}" in made.log.read_text()
    assert made.ask("/flower/").status == 403
    assert made.ask("/flower/", Cookie=f"qexp_monitor={made.token}").status == 200


def test_experiments_are_shown_by_name_and_failures_as_failures(monitor, study, start_worker, queue):
    start_worker("-Q", queue, "-c", "1", "-E").await_ready()
    made_monitor = monitor("qexp", "monitor", "--port=0", FLOWER_UNAUTHENTICATED_API="1")

    def fetch(path):
        answer = made_monitor.ask(path, Authorization=f"Bearer {made_monitor.token}")
        assert answer.status == 200, answer.text
        return json.loads(answer.text)

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
