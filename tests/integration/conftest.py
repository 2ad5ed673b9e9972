"""What tests of the store share."""

import uuid

import pytest
from finished_studies import FinishedStudy, accuracy

from qexp.store.writes import worker_rows
from qexp.worker.board import Board, Post
from qexp.worker.child.result_log import ResultLog


@pytest.fixture
def worker(raw):
    """Register workers, of which none is a process."""

    def worker():
        made = uuid.uuid4()
        worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))
        return made

    return worker


def post(pid, experiment, attempt=1):
    """What a process says that it is at."""
    return Post(pid, 0.0, experiment, attempt, pid)


@pytest.fixture
def at_work(tmp_path):
    """Leave the log and the board of a process that has claimed some experiments and runs the first; return both."""

    def at_work(pid, claims):
        book, board = ResultLog(tmp_path, pid), Board(tmp_path / "board")
        board.make()
        board.put(0, post(pid, claims[0].id, claims[0].attempt))
        return book, board

    return at_work


@pytest.fixture
def make_study(client, raw, tmp_path):
    """Make studies that are empty yet, each in a folder of its own."""

    def make_study():
        return FinishedStudy(client, raw, tmp_path / uuid.uuid4().hex[:8])

    return make_study


@pytest.fixture
def finished_study(make_study):
    """Make a study of a grid, and end its experiments as a function of their parameters says."""

    def finished_study(parameters, ending=accuracy, **grid):
        return make_study().enqueue(parameters=parameters, **grid).end(ending)

    return finished_study
