"""The embedded Postgres and Valkey: started as the calling user, found through one private file, kept between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qexp.errors import SettingsError
from qexp.files import replacing
from qexp.services import postgres, valkey
from qexp.services.lock import locked
from qexp.settings import LOCK_FILE, Settings, SettingsWithOrigins

__all__ = ["Service", "down", "up"]


@dataclass(frozen=True)
class Service:
    """A service that qexp needs, where it is, and whether it was this call that started or stopped it."""

    name: str
    url: str = field(repr=False)
    changed: bool
    embedded: bool = True


def up(loaded: SettingsWithOrigins) -> tuple[list[Service], list[str]]:
    """
    Start what is not running and return both services, with notices about what had to be opened for them.

    A service whose URL a person has set is not ours to start: it is returned as it is. Safe to call at any time, also
    from two processes at once: the second waits and finds the services running.
    """
    settings = loaded.values
    found: list[Service] = []
    notices: list[str] = []
    with _alone(settings.home):
        urls = _read(settings)
        for name, key, module in (("Postgres", "database_url", postgres), ("Valkey", "broker_url", valkey)):
            if loaded.configured(key):
                found.append(Service(name, getattr(settings, key), changed=False, embedded=False))
                continue
            url, changed, said = module.start(settings, urls.get(key))
            found.append(Service(name, url, changed))
            notices += said
            urls[key] = url
        _write(settings, urls)
    return found, notices


def down(settings: Settings) -> list[Service]:
    """Stop what is running and return it; the data stay."""
    if not settings.home.is_dir():
        return []
    with _alone(settings.home):
        urls = _read(settings)
        stopped = [
            Service(name, urls.get(key, ""), changed=True)
            for name, key, module in (("Valkey", "broker_url", valkey), ("Postgres", "database_url", postgres))
            if module.stop(settings, urls.get(key))
        ]
        settings.services_file.unlink(missing_ok=True)
    return stopped


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the lock of this home: one process at a time starts or stops its services."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(home / LOCK_FILE):
            yield
    except OSError as error:  # also of what is done meanwhile: a full disk, a share without locks or owners
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
