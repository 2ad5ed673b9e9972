"""What tests of the store share."""

import math
import uuid

import pytest

from qexp.store import leases
from qexp.worker.attempt.ledger import Ledger
from qexp.worker.board import Board, Post, Request


@pytest.fixture
def worker(raw):
    """Register workers, of which none is a process."""

    def worker():
        made = uuid.uuid4()
        leases.register(raw, made, leases.Station("here", 1, "worker@here", ["nobody"], 2))
        return made

    return worker


@pytest.fixture
def forget(raw):
    """Undo what claims have done, as a server that crashed before they were on its disk."""

    def forget(*claims):
        raw.execute(
            "UPDATE experiment SET status = 'queued', attempt = attempt - 1, worker = NULL, pid = NULL, "
            "revision = NULL, started_at = NULL WHERE id = ANY(%s)",
            [[claim.id for claim in claims]],
        )

    return forget


@pytest.fixture
def at_work(tmp_path):
    """Leave the ledger and the board of a process that has claimed some experiments and runs the first; return both."""

    def at_work(pid, claims):
        book, board = Ledger(tmp_path, pid), Board(tmp_path / "board")
        book.intend([claim.id for claim in claims], [])
        book.have({claim.id: claim.attempt for claim in claims})
        board.make()
        first = claims[0]
        board.put(0, Post(pid, first.id, first.attempt, pid, 0.0, math.inf, 0, False, Request.NONE))
        return book, board

    return at_work


@pytest.fixture
def intact(raw):
    """Since when Postgres has forgotten nothing, as workers know."""
    return raw.execute("SELECT since FROM intact").fetchone()[0]
