"""Access to the monitor: a request needs a known host name and, without a password, the token."""

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
    """Sends a prepared answer instead of the requested page."""

    def initialize(self, status: int, text: str, headers: dict[str, str]) -> None:
        self._prepared = status, text, headers

    def check_xsrf_cookie(self) -> None:
        """Skip the check, since the answer changes nothing."""

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
    Let Flower listen only on this machine, unless its options give another address.

    Raises MonitorError for a public address without a password: everyone could read and control it.
    """
    options.address = options.address or ADDRESS
    if not (is_loopback(options.address) or options.unix_socket or options.basic_auth or options.auth):
        raise MonitorError(options.address)


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def guard(flower: Any, options: Any, hosts: Collection[str]) -> None:
    """
    Make the class of Flower's application refuse requests before its handlers see them.

    On a loopback address it accepts only names of this machine and *hosts*, against DNS rebinding. Without a password
    it requires the token from its printed address.
    """
    hosts = {host.lower() for host in hosts}
    is_local = not options.unix_socket and is_loopback(options.address)
    token = None if options.basic_auth or options.auth else secrets.token_urlsafe(24)

    def answer(request: HTTPServerRequest) -> dict[str, Any] | None:
        if is_local and not _is_known_host(request.host_name, hosts):
            return _refusal(_OTHER_NAME)
        if token is not None and not _has_token(request, token):
            return _login(request, token) or _refusal(_LOCKED)
        return None

    def started(encrypted: bool, port: int | None) -> None:
        print(f"qexp: {_address_line(options, encrypted, port, token)}", file=sys.stderr)  # noqa: T201 - for the operator

    flower_internals.intercept(flower, _Answer, answer)
    flower_internals.announce(flower, started)


def _refusal(text: str) -> dict[str, Any]:
    return {"status": 403, "text": text, "headers": {}}


def _is_known_host(name: str, hosts: Collection[str]) -> bool:
    return is_loopback(name.strip("[]")) or name in hosts


def _has_token(request: HTTPServerRequest, token: str) -> bool:
    """Return whether a request has the token, in its cookie or in a header."""
    cookie = request.cookies.get(_COOKIE)
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return _matches(token, cookie.value if cookie else "") or (
        kind.lower() == "bearer" and _matches(token, given.strip())
    )


def _matches(token: str, given: str) -> bool:
    return hmac.compare_digest(token.encode(), given.encode("utf-8", "surrogateescape"))


def _login(request: HTTPServerRequest, token: str) -> dict[str, Any] | None:
    """Return the answer to the printed address: a cookie, and a refresh to the same address without the token."""
    pairs = parse_qsl(request.query, keep_blank_values=True)
    if request.method != "GET" or not any(name == "token" and _matches(token, value) for name, value in pairs):
        return None
    rest = urlencode([(name, value) for name, value in pairs if name != "token"])
    target = f"/{request.path.lstrip('/')}{'?' * bool(rest)}{rest}"
    secure = "; Secure" if request.protocol == "https" else ""
    cookie = f"{_COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
    # no redirect: after a click on a page of another site, browsers do not send a strict cookie with it
    return {"status": 200, "text": "", "headers": {"Set-Cookie": cookie, "Refresh": f"0; url={target}"}}


def _address_line(options: Any, encrypted: bool, port: int | None, token: str | None) -> str:
    query = f"?token={token}" if token else ""
    if options.unix_socket:
        return f"the monitor listens on {options.unix_socket}" + f"; open /{query} there first" * bool(token)
    host = f"[{options.address}]" if ":" in options.address else options.address
    prefix = f"{options.url_prefix.strip('/')}/" if options.url_prefix else ""
    return f"the monitor is at http{'s' * encrypted}://{host}:{port}/{prefix}{query}"
