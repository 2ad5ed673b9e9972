"""Postgres and the broker over TLS: a right CA works, and a wrong CA or host name is refused."""

import base64
import contextlib
import json
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, urlencode, urlsplit

import pytest
import trustme
from psycopg.conninfo import conninfo_to_dict
from tests_support import eventually

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class Terminator:
    """
    A TLS endpoint on a port of this machine, in front of a service without TLS.

    Clients of Postgres *ask* for TLS first. `received` counts the bytes that clients send.
    """

    def __init__(self, context, connect, ask):
        self._context, self._connect, self._ask = context, connect, ask
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):  # a client that does not trust the certificate closes the connection
            if self._ask:
                assert client.recv(8, socket.MSG_WAITALL) == _SSL_REQUEST
                client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as outer, self._connect() as inner:
                while True:
                    for ready in [outer] if outer.pending() else select.select([outer, inner], [], [])[0]:
                        if not (data := ready.recv(65536)):
                            return
                        (inner if ready is outer else outer).sendall(data)
                        self.received += len(data) if ready is outer else 0


def unix(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


@pytest.fixture(scope="module")
def tls(site, tmp_path_factory):
    """Both services behind TLS for `localhost`, and the files and URLs of a right and a wrong CA."""
    folder = tmp_path_factory.mktemp("tls")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    database, broker = conninfo_to_dict(site.database_url), urlsplit(site.broker_url)
    postgres = Terminator(context, lambda: unix(Path(database["host"]) / ".s.PGSQL.5432"), ask=True)
    valkey = Terminator(context, lambda: socket.create_connection(("127.0.0.1", broker.port)), ask=False)
    with contextlib.closing(postgres), contextlib.closing(valkey):

        def database_url(ca="ca.pem", host="localhost"):
            options = urlencode({"sslmode": "verify-full", "sslrootcert": folder / ca})
            return f"postgresql://qexp:{quote(database['password'])}@{host}:{postgres.port}/qexp?{options}"

        def broker_url(ca="ca.pem", host="localhost", **more):
            options = {"ssl_ca_certs": folder / ca} if ca else {}
            return f"rediss://:{broker.password}@{host}:{valkey.port}/0?{urlencode({**options, **more})}"

        yield SimpleNamespace(
            database_url=database_url,
            broker_url=broker_url,
            passwords=[database["password"], broker.password],
            postgres=postgres,
            valkey=valkey,
        )


@pytest.fixture
def over_tls(tls, monkeypatch):
    monkeypatch.setenv("QEXP_DATABASE_URL", tls.database_url())
    monkeypatch.setenv("QEXP_BROKER_URL", tls.broker_url(ssl_cert_reqs="required"))


SOURCE = """
import qexp
def f(x, context: qexp.Context):
    context.metric(0, loss=x)
    return {"y": 2 * x}
"""


def test_everything_works_over_tls(tls, over_tls, start_worker, study, queue, tmp_path):
    # Given a worker and a monitor that reach both services only over TLS
    worker = start_worker("-Q", queue, "-c", "1", "-E")
    port = free_port()
    line = [sys.executable, "-m", "qexp", "monitor", f"--port={port}"]
    log = (tmp_path / "flower.log").open("wb")
    environ = {**os.environ, "FLOWER_BASIC_AUTH": "me:secret"}
    flower = subprocess.Popen(line, env=environ, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)

    def fetch(path):
        headers = {"Authorization": f"Basic {base64.b64encode(b'me:secret').decode()}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    try:
        worker.await_ready()
        eventually(lambda: listens(port) and any(fetch("/api/workers?status=1").values()), "the monitor to hear")
        before = tls.postgres.received, tls.valkey.received
        # When experiments are enqueued
        made = study(SOURCE, {"x": [1, 2]})
        made.enqueue()
        # Then they run, and the monitor shows them and the length of the queue
        assert made.wait() == 0
        assert [row["result"] for row in made.listed()] == [{"y": 2}, {"y": 4}]
        eventually(lambda: len(fetch("/api/tasks")) == 2, "the monitor to know both")
        fetch("/api/workers?refresh=1")
        assert {"name": queue, "messages": 0} in fetch("/api/queues/length")["active_queues"]
    finally:
        os.killpg(flower.pid, signal.SIGKILL)
        flower.wait()
        log.close()
        worker.kill()
    assert tls.postgres.received > before[0]
    assert tls.valkey.received > before[1]
    assert "insecure" not in worker.text() + (tmp_path / "flower.log").read_text()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


WRONG = {"ca": {"ca": "other.pem"}, "host": {"host": "127.0.0.1"}}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_postgres_with_an_untrusted_certificate_is_refused(tls, over_tls, qexp, tmp_path, wrong, start_worker):
    url = tls.database_url(**WRONG[wrong])
    before = tls.postgres.received
    check(tls, qexp("status", environ={"QEXP_DATABASE_URL": url}), "cannot reach Postgres at ", "certificate")
    check(tls, celery(tmp_path, QEXP_DATABASE_URL=url), "cannot reach Postgres at ", "certificate")
    assert tls.postgres.received == before


@pytest.mark.parametrize("wrong", [*WRONG, "system"])
def test_a_broker_with_an_untrusted_certificate_is_refused(tls, over_tls, qexp, study, tmp_path, wrong):
    url = tls.broker_url(**{**WRONG, "system": {"ca": None}}[wrong])
    made = study(SOURCE, {"x": [1, 2]})
    done = qexp("enqueue", made.folder / "grid.yaml", environ={"QEXP_BROKER_URL": url})
    check(tls, done, "cannot reach the broker at ", "certificate")
    check(tls, celery(tmp_path, QEXP_BROKER_URL=url), "cannot reach the broker at ", "certificate")
    # and kombu refuses it, although its default checks no certificate
    code = """
from qexp import settings
from qexp.queueing import broker
broker.application(settings.load()).connection().ensure_connection(max_retries=1, timeout=1)
"""
    line = [sys.executable, "-c", code]
    environ = {**os.environ, "QEXP_BROKER_URL": url}
    refused = subprocess.run(line, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    assert not any(password in refused.stderr for password in tls.passwords)


def celery(folder, **environ):
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-c", "1"]
    environ = {**os.environ, **environ}
    return subprocess.run(line, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def check(tls, done, *words):
    assert done.returncode == 3, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("qexp: ")]
    assert all(word in line for word in words), line
    assert "Traceback" not in done.stderr
    assert not any(password in done.stdout + done.stderr for password in tls.passwords)


def test_the_check_of_the_brokers_certificate_can_be_disabled(tls, over_tls, study, qexp):
    made = study(SOURCE, {"x": [1]}, queue="nobody")
    environ = {"QEXP_BROKER_URL": tls.broker_url(ca=None, host="127.0.0.1", ssl_cert_reqs="none")}
    assert qexp("enqueue", made.folder / "grid.yaml", environ=environ).returncode == 0
