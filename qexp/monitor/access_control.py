"""Who may see the monitor: requests that know its name and, where there is no password, its token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import sys
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from qexp.errors import MonitorError
from qexp.monitor import flower_internals

ADDRESS = "127.0.0.1"
_COOKIE = "qexp_monitor"
_OTHER_NAME = (
    "this monitor answers to localhost and 127.0.0.1; "
    "names of a proxy before it are set with QEXP_MONITOR_HOSTS where it is started\n"
)
_LOCKED = (
    "this monitor asks for its token: open the address that it printed when it started; "
    "programs send 'Authorization: Bearer TOKEN'\n"
)


class _Answer(RequestHandler):
    """What is answered in place of what was asked for."""

    def initialize(self, status: int, text: str, headers: dict[str, str]) -> None:
        self._prepared = status, text, headers

    def check_xsrf_cookie(self) -> None:
        """Nothing is done that could be forged."""

    def prepare(self) -> None:
        status, text, headers = self._prepared
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish(text)


def choose_address(options: Any) -> None:
    """
    Have Flower listen on this machine only, unless its options say otherwise.

    MonitorError if it would listen beyond this machine without a password: everyone could read and control it.
    """
    options.address = options.address or ADDRESS
    if not (is_loopback(options.address) or options.unix_socket or options.basic_auth or options.auth):
        raise MonitorError(options.address)


def is_loopback(address: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def guard(flower: Any, options: Any, hosts: Collection[str]) -> None:
    """
    Have Flower's application, a class, refuse requests before any of its handlers sees them.

    On a loopback address it answers to names of this machine and to *hosts*: a web page elsewhere may have its own
    name lead to this machine. Without a password it asks for a token, which its printed address has.
    """
    hosts = {host.lower() for host in hosts}
    local = not options.unix_socket and is_loopback(options.address)
    token = None if options.basic_auth or options.auth else secrets.token_urlsafe(24)

    def answer(request: HTTPServerRequest) -> dict[str, Any] | None:
        if local and not _is_ours(request.host_name, hosts):
            return _refusal(_OTHER_NAME)
        if token is not None and not _has(request, token):
            return _entrance(request, token) or _refusal(_LOCKED)
        return None

    def started(encrypted: bool, port: int | None) -> None:
        print(f"qexp: {_place(options, encrypted, port, token)}", file=sys.stderr)  # noqa: T201 - for the operator

    flower_internals.intercept(flower, _Answer, answer)
    flower_internals.announce(flower, started)


def _refusal(text: str) -> dict[str, Any]:
    return {"status": 403, "text": text, "headers": {}}


def _is_ours(name: str, hosts: Collection[str]) -> bool:
    return is_loopback(name.strip("[]")) or name in hosts


def _has(request: HTTPServerRequest, token: str) -> bool:
    """Say whether a request has the token, in its cookie or, of a program, in a header."""
    cookie = request.cookies.get(_COOKIE)
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return _is(token, cookie.value if cookie else "") or (kind.lower() == "bearer" and _is(token, given.strip()))


def _is(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogateescape"))


def _entrance(request: HTTPServerRequest, token: str) -> dict[str, Any] | None:
    """Return the answer to the printed address: a cookie, and the same address without the token."""
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if request.method != "GET" or not any(name == "token" and _is(token, value) for name, value in pairs):
        return None
    rest = urlencode([(name, value) for name, value in pairs if name != "token"])
    target = f"/{request.path.lstrip('/')}{'?' * bool(rest)}{rest}"
    secure = "; Secure" if request.protocol == "https" else ""
    cookie = f"{_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
    # not a redirect: a browser sends such a cookie with one only if the link was not on a page of another site
    return {"status": 200, "text": "", "headers": {"Set-Cookie": cookie, "Refresh": f"0; url={target}"}}


def _place(options: Any, encrypted: bool, port: int | None, token: str | None) -> str:
    query = f"?token={token}" if token else ""
    if options.unix_socket:
        return f"the monitor listens on {options.unix_socket}" + f"; open /{query} there first" * bool(token)
    host = f"[{options.address}]" if ":" in options.address else options.address
    prefix = f"{options.url_prefix.strip('/')}/" if options.url_prefix else ""
    return f"the monitor is at http{'s' * encrypted}://{host}:{port}/{prefix}{query}"
