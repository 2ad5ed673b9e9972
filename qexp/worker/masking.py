"""Passwords of the services: out of sight of functions, and masked in what is stored of them."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from qexp.files import replacing
from qexp.settings import ATTACH_VARIABLE, SECRET_VARIABLES, Settings

log = logging.getLogger(__name__)

MASK = "***"
_SHORTEST = 6
"""Characters below which a password is not masked: it is part of too much else."""

_passwords: tuple[str, ...] = ()
_encoded: tuple[bytes, ...] = ()


def know(settings: Settings) -> None:
    """Mask the passwords of these settings' services from now on, in this process and those that it forks."""
    global _passwords, _encoded  # noqa: PLW0603 - what a process stores passes here from many places
    urls = [url for url in (settings.database_url, settings.broker_url) if url]
    spellings = {spelling for url in urls for password in _in(url) for spelling in _spellings(password)}
    _passwords = tuple(sorted((text for text in spellings if len(text) >= _SHORTEST), key=len, reverse=True))
    _encoded = tuple(text.encode("utf-8", "surrogatepass") for text in _passwords)


def mask(text: str) -> str:
    """Return text without the passwords that are known here."""
    for password in _passwords:
        if password in text:
            text = text.replace(password, MASK)
    return text


def unfinished(data: bytes) -> int:
    """Return how many bytes at the end of *data* may be the beginning of a password, of which the rest follows."""
    longest = 0
    for password in _encoded:
        start = data.find(password[:1], max(0, len(data) - len(password) + 1))
        while start >= 0 and not password.startswith(data[start:]):
            start = data.find(password[:1], start + 1)
        if start >= 0:
            longest = max(longest, len(data) - start)
    return longest


def conceal(folder: Path) -> None:
    """
    Take what holds passwords out of the environment of this process, and so of those that it starts.

    A file in *folder* that only this user can read has it instead; `settings.load` finds that by a variable.
    """
    found = {name: value for name in SECRET_VARIABLES if (value := os.environ.pop(name, None))}
    if not found:
        return
    path = folder / "settings.json"
    try:
        if not path.exists():  # another process of this worker was first
            with replacing(path) as file:
                file.write(json.dumps(found).encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        log.warning("%s: %s; qexp.attach and qexp.load do not work in functions of this worker", path, reason)
    os.environ[ATTACH_VARIABLE] = str(path)


def _in(url: str) -> list[str]:
    parts = urlsplit(url)
    return [parts.password or "", *(value for name, value in parse_qsl(parts.query) if "password" in name.lower())]


def _spellings(password: str) -> set[str]:
    """Return a password as a URL has it, as it is, and as Python and JSON show it."""
    bare = unquote(password)
    return {password, bare, quote(bare, safe=""), repr(bare)[1:-1], json.dumps(bare)[1:-1]}
