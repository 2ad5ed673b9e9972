"""Mask the services' passwords in stored text, and hide them from functions."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from qexp.file_storage import replacing
from qexp.settings import ATTACH_VARIABLE, SECRET_VARIABLES, Settings

log = logging.getLogger(__name__)

MASK = "***"
_SHORTEST = 6
"""Shorter passwords are not masked, since they occur in other text."""

_passwords: tuple[str, ...] = ()
_encoded: tuple[bytes, ...] = ()


def set_passwords(settings: Settings) -> None:
    """Mask the passwords in these settings from now on, in this process and its later forks."""
    global _passwords, _encoded  # noqa: PLW0603 - many places in a process mask text
    urls = [url for url in (settings.database_url, settings.broker_url) if url]
    spellings = {spelling for url in urls for password in _in(url) for spelling in _spellings(password)}
    _passwords = tuple(sorted((text for text in spellings if len(text) >= _SHORTEST), key=len, reverse=True))
    _encoded = tuple(text.encode("utf-8", "surrogatepass") for text in _passwords)


def mask(text: str) -> str:
    """Return text without the passwords from `set_passwords`."""
    for password in _passwords:
        if password in text:
            text = text.replace(password, MASK)
    return text


def partial_length(data: bytes) -> int:
    """Return the number of bytes at the end of *data* that may be the start of a password."""
    longest = 0
    for password in _encoded:
        start = data.find(password[:1], max(0, len(data) - len(password) + 1))
        while start >= 0 and not password.startswith(data[start:]):
            start = data.find(password[:1], start + 1)
        if start >= 0:
            longest = max(longest, len(data) - start)
    return longest


def hide_from_functions(folder: Path) -> None:
    """
    Move variables with passwords from the environment of this process to a file in *folder*.

    Only this user can read the file; `settings.load` finds it by a variable.
    """
    found = {name: value for name in SECRET_VARIABLES if (value := os.environ.pop(name, None))}
    if not found:
        return
    path = folder / "settings.json"
    try:
        if not path.exists():  # otherwise another process of this worker has written it
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
    """Return a password in its spellings: bare, and escaped as in URLs, Python and JSON."""
    bare = unquote(password)
    return {password, bare, quote(bare, safe=""), repr(bare)[1:-1], json.dumps(bare)[1:-1]}
