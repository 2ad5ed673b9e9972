"""
Undocumented names of Flower that qexp uses.

Checked with flower 2.2.0 and tornado 6.6.1; pyproject.toml refuses later minor versions of Flower.
tests/unit/test_flower_internals.py tests each name by its effect for a user.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler


def flower_class() -> Any:
    """Return Flower's application class, which `celery flower` has imported."""
    return sys.modules["flower.app"].Flower


def intercept(flower: Any, handler: type[RequestHandler], answer: Callable[[HTTPServerRequest], Any]) -> None:
    """Call *answer* with each request first. If it does not return None, *handler* handles the request with it."""
    find_handler = flower.find_handler

    def intercepted(self: Any, request: HTTPServerRequest, **more: Any) -> Any:
        found = answer(request)
        if found is None:
            return find_handler(self, request, **more)
        return self.get_handler_delegate(request, handler, found)

    flower.find_handler = intercepted


def announce(flower: Any, started: Callable[[bool, int | None], None]) -> None:
    """Call *started* with the port, and whether it is encrypted, instead of Flower's own line "Visit me at"."""
    start_http_server = flower.start_http_server

    def announced(self: Any) -> Any:
        port = start_http_server(self)
        started(bool(self.ssl_options), port)
        return port

    flower.start_http_server = announced
    logging.getLogger("flower.command").addFilter(lambda record: not str(record.msg).startswith("Visit me"))


def leave_out_unanswered() -> None:
    """Leave out Flower's line for each question that no worker answers: without a worker, that is no fault."""
    logging.getLogger("flower.inspector").addFilter(lambda record: record.msg != "Inspect method %s failed")
