"""A site for the tests: an embedded Postgres and Valkey in a temporary home, which end with the session."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests_support import T0KEN

from qexp import services, settings
from qexp.client import Client
from qexp.store.connection import RawConnection, connect

for name in [name for name in os.environ if name.startswith("QEXP_")]:
    del os.environ[name]  # the tests never use a developer's own site


@pytest.fixture(scope="session")
def site() -> Iterator[settings.Settings]:
    """Both running services, which the environment of this process and its children names."""
    with tempfile.TemporaryDirectory(prefix="qexp-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("QEXP_HOME", str(Path(folder) / "home"))
        patch.setenv("HOME", folder)
        loaded = settings.load_with_origins()
        services.up(loaded)
        try:
            yield settings.load()
        finally:
            services.down(loaded.values)


@pytest.fixture
def client(site: settings.Settings) -> Client:
    """A client of a site with tables and with studies of earlier tests."""
    made = Client(site)
    made.migrate()
    return made


@pytest.fixture
def raw(client: Client) -> Iterator[RawConnection]:
    """A psycopg connection in autocommit mode."""
    with connect(client.settings) as connection:
        yield connection


@pytest.fixture
def service() -> Iterator[SimpleNamespace]:
    """A service that accepts, refuses or delays messages: its address and its received messages."""
    told: list[str] = []
    release = threading.Event()
    state = SimpleNamespace(status=200, hangs=False)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if state.hangs:
                release.wait()
                return
            told.append(f"{body['title']}\n{body['message']}")
            self.send_response(state.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.address = f"json://127.0.0.1:{server.server_port}/{T0KEN}"
    state.told = told
    yield state
    release.set()
    server.shutdown()
    thread.join()
    server.server_close()
