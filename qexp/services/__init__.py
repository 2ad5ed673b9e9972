"""Start and stop the embedded Postgres and Valkey. A private file stores their URLs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qexp.errors import SettingsError
from qexp.file_storage import replacing
from qexp.services import postgres, valkey
from qexp.services.lock import locked
from qexp.settings import LOCK_FILE, Settings, SettingsWithOrigins

__all__ = ["Service", "database_url", "down", "up"]


@dataclass(frozen=True)
class Service:
    """A service, its URL, and whether this call started or stopped it."""

    name: str
    url: str = field(repr=False)
    changed: bool
    embedded: bool = True


def up(loaded: SettingsWithOrigins) -> tuple[list[Service], list[str]]:
    """
    Start both services unless they run; return them, with notices about changed permissions.

    It does not start a service whose URL you have set. Two processes may call it at the same time: the second one waits
    and finds the services running.
    """
    settings = loaded.values
    found: list[Service] = []
    notices: list[str] = []
    with _locked_home(settings.home):
        urls = _read(settings)
        for name, key, module in (("Postgres", "database_url", postgres), ("Valkey", "broker_url", valkey)):
            if loaded.configured(key):
                found.append(Service(name, getattr(settings, key), changed=False, embedded=False))
                continue
            url, changed, more = module.start(settings, urls.get(key))
            found.append(Service(name, url, changed))
            notices += more
            urls[key] = url
        _write(settings, urls)
    return found, notices


def database_url(settings: Settings) -> str | None:
    """Return the URL of the embedded Postgres. Returns None if it was not started, or was stopped."""
    return _read(settings).get("database_url")


def down(settings: Settings) -> list[Service]:
    """Stop the running services and return them; keep their data."""
    if not settings.home.is_dir():
        return []
    with _locked_home(settings.home):
        urls = _read(settings)
        stopped = [
            Service(name, urls.get(key, ""), changed=True)
            for name, key, module in (("Valkey", "broker_url", valkey), ("Postgres", "database_url", postgres))
            if module.stop(settings, urls.get(key))
        ]
        settings.services_file.unlink(missing_ok=True)
    return stopped


@contextmanager
def _locked_home(home: Path) -> Iterator[None]:
    """Hold the lock of QEXP_HOME: one process at a time starts or stops its services."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(home / LOCK_FILE):
            yield
    except OSError as error:  # also from the body: a full disk, a file system without locks or owners
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{error.filename or home}: {reason}; set QEXP_HOME to a folder that you own") from error


def _read(settings: Settings) -> dict[str, str]:
    try:
        urls = json.loads(settings.services_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {key: url for key, url in urls.items() if isinstance(url, str)} if isinstance(urls, dict) else {}


def _write(settings: Settings, urls: dict[str, str]) -> None:
    with replacing(settings.services_file) as file:
        file.write(json.dumps(urls, indent=2).encode())
