"""The passwords of the services and of the monitor appear only where the user has put them."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from psycopg.sql import SQL, Identifier
from tests_support import eventually

from qexp import settings
from qexp.store.connection import connect
from qexp.store.schema.tables import metadata

SOURCE = """
import os, signal, sys, warnings
def f(way):
    print("printed", way)
    if way == "raises":
        raise RuntimeError(way)
    if way == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "unserialisable":
        return object()
    return {"way": way}
"""
FLOWER_PASSWORD = "a-password-of-flower"


class Watch:
    """Runs commands in a separate site, and records their output and all command lines of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "QEXP_HOME": str(folder / "home")}
        self.said: dict[str, str] = {}
        self.lines: set[str] = set()
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *line: str, **environ: str) -> str:
        """Run a command to its end and record the command lines of its processes; return its output."""
        process, log = self.start(*line, **environ)
        eventually(lambda: self.look() or process.poll() is not None, f"the end of {line}")
        process.wait()
        return log.read_text()

    def start(self, *line: str, **environ: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / "home" / f"said-{len(self._started)}"
        log.parent.mkdir(mode=0o700, exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *line],
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._started.append(process)
        return process, log

    def look(self) -> None:
        """Record the command lines of all processes of this user, because services detach from their parent."""
        for process in psutil.process_iter(["cmdline"]):
            self.lines.add(" ".join(process.info["cmdline"] or []))

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.run("qexp", "down", "-y")


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "experiment.py").write_text(SOURCE)
    grid = {
        "study": "s",
        "function": "experiment:f",
        "parameters": {"way": ["returns", "raises", "crashes", "unserialisable"]},
        "retries": {"crashed": 0},
    }
    (tmp_path / "grid.yaml").write_text(json.dumps(grid))
    watch = Watch(tmp_path)
    yield watch
    watch.end()


PAGES = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers?refresh=1", "/api/tasks", "/api/queues/length"]


def test_passwords_are_in_no_log_no_command_line_no_page_and_no_row(watch, tmp_path):
    # Given a site with a home beside the grid, and its passwords
    watch.run("qexp", "up")
    loaded = settings.load({"QEXP_HOME": watch.environ["QEXP_HOME"]}, tmp_path)
    urls = {"QEXP_DATABASE_URL": loaded.database_url, "QEXP_BROKER_URL": loaded.broker_url}
    secrets = [*(urlsplit(url).password for url in urls.values()), FLOWER_PASSWORD]
    assert all(secrets)
    said = []
    # When experiments end in every way, also in 'qexp run', under observation
    monitor_port = free_port()
    _, worker_log = watch.start("celery", "-A", "qexp", "worker", "-c", "1", "-E", "--loglevel", "DEBUG")
    options = (f"--port={monitor_port}", f"--basic-auth=me:{FLOWER_PASSWORD}", "--logging=debug")
    _, monitor_log = watch.start("qexp", "monitor", *options)
    eventually(lambda: " ready." in worker_log.read_text(), "the worker to be ready")
    eventually(lambda: any(page(monitor_port, "/api/workers?status=1").values()), "the monitor to hear")
    watch.look()
    for command in ("enqueue grid.yaml", "wait s", "show s", "requeue s --failed", "wait s"):
        said.append(watch.run("qexp", *command.split()))
    pages = [fetch(monitor_port, path) for path in PAGES]
    (name,) = json.loads(pages[PAGES.index("/api/workers?refresh=1")])
    pages += [fetch(monitor_port, f"/worker/{name}")]
    assert any("experiment" in text or "s #" in text for text in pages)
    said.append(watch.run("qexp", "run", "grid.yaml", "-c", "1", "--set", "study=other"))
    said.append(watch.run("qexp", "config"))
    said.append(watch.run("qexp", "up", "--format", "json"))
    # And the services are unreachable for each command
    database, broker = urls["QEXP_DATABASE_URL"], urls["QEXP_BROKER_URL"]
    port = urlsplit(broker).port
    wrong = [
        {"QEXP_DATABASE_URL": database.replace("@/", "@127.0.0.1:1/").partition("?")[0]},
        {"QEXP_DATABASE_URL": database.replace("@/", f"@127.0.0.1:{port}/").partition("?")[0]},
        {"QEXP_DATABASE_URL": database.replace("/qexp?", "/nowhere?")},
        {"QEXP_DATABASE_URL": database.replace("//qexp:", "//nobody:")},
        {"QEXP_DATABASE_URL": database + "&unknown=1"},
        {"QEXP_BROKER_URL": broker.replace(f":{port}/", ":1/")},
        {"QEXP_BROKER_URL": broker.replace("//:", "//nobody:")},
        {"QEXP_BROKER_URL": broker.replace("redis://", "rediss://")},
        {"QEXP_BROKER_URL": broker.replace("/0", "/99")},
    ]
    for environ in wrong:
        for line in (("qexp", "enqueue", "grid.yaml", "--set", "study=third"), ("celery", "-A", "qexp", "worker")):
            said.append(watch.run(*line, **environ))
            assert "qexp: " in said[-1], (line, environ, said[-1])
    # And the services stop under a worker and the monitor
    watch.run("qexp", "down", "-y")
    eventually(lambda: "heartbeat failed" in worker_log.read_text(), "the worker to miss Postgres")
    eventually(
        lambda: "onnect" in monitor_log.read_text().rpartition("monitor is at")[2], "the monitor to miss the broker"
    )
    watch.run("qexp", "up")
    # Then no output, page, log, row or listing of 'ps' contains a password
    logs = [path for path in tmp_path.rglob("*") if path.is_file() and ("log" in path.name or "said" in path.name)]
    assert any("worker-" in path.name for path in logs)
    texts = {str(path): path.read_text(errors="replace") for path in logs}
    texts |= {f"said {number}": text for number, text in enumerate(said)}
    texts |= {f"page {path}": text for path, text in zip([*PAGES, "/worker"], pages, strict=True)}
    with connect(loaded) as raw:
        for table in metadata.tables:
            rows = raw.execute(SQL("SELECT row_to_json(t)::text FROM {} AS t").format(Identifier(table))).fetchall()
            texts[f"table {table}"] = "\n".join(row[0] for row in rows)
        for (archive,) in raw.execute("SELECT archive FROM source", binary=True):
            assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["experiment.py", "grid.yaml"]
    # the command line of the user shows it until Flower replaces it a moment later
    texts["ps"] = "\n".join(line for line in watch.lines if "--basic-auth" not in line)
    assert "celery -A qexp flower" in texts["ps"]
    found = {place for place, text in texts.items() for secret in secrets if secret in text}
    assert not found
    assert not [line for line in watch.lines if FLOWER_PASSWORD in line and "celery" in line]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", "Basic " + b64encode(f"me:{FLOWER_PASSWORD}".encode()).decode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def page(port, path):
    try:
        return json.loads(fetch(port, path))
    except urllib.error.URLError:
        return {}
