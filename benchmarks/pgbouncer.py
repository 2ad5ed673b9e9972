"""PgBouncer in transaction mode for the tests and the measurements of docs/scaling.md."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from qexp.services.postgres_account import Account
from qexp.settings import Settings

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_CONFIGURATION = """
[databases]
{dbname} = host={host} pool_size={connections}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
admin_users = {user}
pool_mode = transaction
server_round_robin = 1
max_client_conn = 12000
log_connections = 0
log_disconnections = 0
"""
_PATIENCE = 30.0
"""Seconds until it must answer."""


class PgBouncer:
    """PgBouncer with few server connections; each transaction may use any of them."""

    def __init__(self, settings: Settings, folder: Path, connections: int) -> None:
        account, self.log = Account.here(), folder / "pgbouncer.log"  # like Postgres, it refuses to run as root
        account.open_way(folder / "users")
        server = conninfo_to_dict(settings.database_url or "")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = _CONFIGURATION.format(**server, connections=connections, port=port, folder=folder)
        users = f'"{server["user"]}" "{server["password"]}"\n'
        for name, content in {"users": users, "pgbouncer.ini": text}.items():
            (folder / name).write_text(content)
            account.give(folder / name)
        self._url = f"postgresql://{server['user']}:{server['password']}@127.0.0.1:{port}"
        self.settings = settings.model_copy(update={"database_url": f"{self._url}/{server['dbname']}"})
        """Settings of a client that connects only through PgBouncer."""
        with self.log.open("wb") as log:
            line = [str(PROGRAM), str(folder / "pgbouncer.ini")]
            self.process = subprocess.Popen(line, stdout=log, stderr=log, **account.options())
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.show("VERSION")
        except psycopg.OperationalError:
            return False
        return True

    def show(self, what: str) -> list[dict[str, Any]]:
        """Return the rows of a console command such as POOLS or CLIENTS."""
        with psycopg.connect(f"{self._url}/pgbouncer", autocommit=True, connect_timeout=3) as connection:
            cursor = psycopg.ClientCursor(
                connection, row_factory=dict_row
            )  # the console supports only the simple protocol
            return cursor.execute(f"SHOW {what}").fetchall()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
