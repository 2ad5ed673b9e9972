"""Who is told to leave: the process that is at an attempt, and nobody who is at something else by now."""

import math
import signal

import pytest

from qexp.worker import warden
from qexp.worker.board import Board, Post, Request

CHILD = 4_000_000  # no process has this id where the test would reach it


@pytest.fixture
def board(tmp_path):
    made = Board(tmp_path / "board")
    made.make()
    return made


@pytest.fixture
def signals(monkeypatch):
    sent = []
    monkeypatch.setattr(warden.os, "kill", lambda process, number: sent.append((process, number)))
    return sent


def post(experiment, attempt=1):
    return Post(CHILD, experiment, attempt, CHILD, 0.0, math.inf, 0, cooperative=True, request=Request.NONE)


def test_a_process_is_told_what_is_wanted_of_it(board, signals):
    board.put(3, post(17))
    warden.tell(board, 3, post(17), Request.STOP)
    assert board.get(3).request == Request.STOP
    assert signals == [(CHILD, signal.SIGUSR1)]


@pytest.mark.parametrize("now", [None, post(18), post(17, attempt=2)])
def test_a_process_that_is_at_something_else_by_now_is_told_nothing(board, signals, now):
    if now is not None:
        board.put(3, now)
    warden.tell(board, 3, post(17), Request.STOP)
    assert board.get(3) == now
    assert signals == []


def test_a_process_that_has_gone_is_no_error(board, monkeypatch):
    def kill(process, number):
        raise ProcessLookupError

    monkeypatch.setattr(warden.os, "kill", kill)
    board.put(3, post(17))
    warden.tell(board, 3, post(17), Request.TIMEOUT)
    assert board.get(3).request == Request.TIMEOUT
