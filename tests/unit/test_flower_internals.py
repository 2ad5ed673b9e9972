"""Each undocumented name of Flower that qexp uses, and its effect for a user."""

import asyncio
import inspect
import logging
from types import SimpleNamespace

import pytest
from flower import command
from flower.app import Flower
from flower.inspector import Inspector
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

from qexp.monitor import flower_internals as internals


class Answer(RequestHandler):
    """The answer of a stand-in for Flower."""


@pytest.fixture
def flower():
    """A separate class that a test may change, like Flower's."""
    return type("Changed", (Flower,), {})


def test_flower_app_makes_the_monitor_ask_for_a_token():
    assert internals.flower_class() is Flower


def test_find_handler_makes_the_monitor_ask_for_the_token_before_it_answers(flower):
    internals.intercept(flower, Answer, lambda request: {"status": 403} if request.path == "/secret" else None)
    made = flower.__new__(flower)
    Application.__init__(made)
    found = {path: made.find_handler(_request(path)) for path in ("/secret", "/")}
    assert (found["/secret"].handler_class, found["/secret"].handler_kwargs) == (Answer, {"status": 403})
    assert found["/"].handler_class is not Answer


def test_start_http_server_announces_the_monitor_once_it_listens(flower):
    told = []
    internals.announce(flower, lambda encrypted, port: told.append((encrypted, port)))
    made = flower.__new__(flower)
    Application.__init__(made)
    made.options = SimpleNamespace(unix_socket="", port=0, address="127.0.0.1", xheaders=False)
    made.ssl_options = None
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_start(made))
    finally:
        loop.close()
    ((encrypted, port),) = told
    assert not encrypted
    assert port > 0


def test_flower_inspector_logs_no_question_that_no_worker_answers(caplog):
    answers = SimpleNamespace(stats=lambda: None)
    asked = Inspector(None, SimpleNamespace(control=SimpleNamespace(inspect=lambda **_: answers)), 1)
    asked._inspect("stats", None)
    assert [record.getMessage() for record in caplog.records] == ["Inspect method stats failed"]
    caplog.clear()
    internals.leave_out_unanswered()
    asked._inspect("stats", None)
    assert caplog.records == []


def _request(path):
    line = RequestStartLine("GET", path, "HTTP/1.1")
    return HTTPServerRequest(
        start_line=line, headers=HTTPHeaders({"Host": "localhost"}), connection=SimpleNamespace(context=None)
    )


async def _start(made):
    made.start_http_server()


def test_visit_me_begins_the_line_of_flower_that_qexp_hides(flower, caplog):
    assert "print_banner(app" in inspect.getsource(command.flower.callback), "after the server has started"
    internals.announce(flower, lambda encrypted, port: None)
    with caplog.at_level(logging.INFO, "flower.command"):
        logging.getLogger("flower.command").info("Visit me at http%s://%s:%s%s", "", "localhost", 5555, "/")
        assert "Visit me at" in inspect.getsource(command.print_banner)
    assert not caplog.records
