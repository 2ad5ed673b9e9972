"""Addresses for notifications: URLs such as slack://… and mailto://…, which hold secrets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_ADDRESS = re.compile(rf"{_SCHEME}\S+")
_BETWEEN = re.compile(rf"[\s,]+(?={_SCHEME})")
_SERVERS = ("json", "xml", "form", "mailto", "gotify", "matrix", "mmost")
_OF_SERVERS = {*_SERVERS, *(f"{name}s" for name in _SERVERS)}
"""Schemes whose host is the name of a server; in other schemes it may be a token."""
EXPECTED = "expected addresses such as slack://…, mailto://… or json://host/path"


def addresses(value: Any) -> list[str]:
    """
    Return the addresses in text or in a list, separated by spaces or commas. Raises ValueError for other text.

    >>> addresses("json://here/a, mailto://me:secret@there?to=a@b.c,d@e.f")
    ['json://here/a', 'mailto://me:secret@there?to=a@b.c,d@e.f']
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or isinstance(texts, dict) or not all(isinstance(text, str) for text in texts):
        raise ValueError(EXPECTED)
    found = [part for text in texts for part in _BETWEEN.split(text.strip(" \t\n,")) if part]
    if not all(_ADDRESS.fullmatch(part) for part in found):
        raise ValueError(EXPECTED)
    return list(dict.fromkeys(found))


def hidden(address: str) -> str:
    """
    Return the parts of an address that are no secret: its scheme, and the host if it is a server.

    >>> hidden("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"), hidden("mailto://me:secret@mail.lab")
    ('slack://***', 'mailto://***@mail.lab')
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return "***"
    if scheme.lower() not in _OF_SERVERS:
        return f"{scheme}://***"
    user, at, host = urlsplit(f"//{rest}").netloc.rpartition("@")
    return f"{scheme}://{'***' if user else ''}{at}{host}{'' if len(rest) == len(user + at + host) else '/***'}"


def digest(address: str) -> str:
    """Return a hash that identifies an address without revealing it."""
    return hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
