"""Fixtures that tests of the store share."""

import uuid

import pytest
from finished_studies import FinishedStudy, accuracy

from qexp.client import Client
from qexp.store.writes import worker_rows
from qexp.worker.child.result_log import ResultLog
from qexp.worker.slots import SlotEntry, SlotTable


@pytest.fixture
def narrow(site):
    """A client whose window is five experiments."""
    made = Client(site.model_copy(update={"window": 5}))
    made.migrate()
    return made


@pytest.fixture
def worker(raw):
    """Register workers without processes."""

    def worker():
        made = uuid.uuid4()
        worker_rows.register(raw, made, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))
        return made

    return worker


def entry(pid, experiment, attempt=1):
    """The slot of a process."""
    return SlotEntry(pid, 0.0, experiment, attempt, pid)


@pytest.fixture
def at_work(tmp_path):
    """Make the log and slot of a process that has claimed experiments and runs the first; return both."""

    def at_work(pid, claims):
        book, slots = ResultLog(tmp_path, pid), SlotTable(tmp_path / "slots")
        slots.create()
        slots.write(0, entry(pid, claims[0].id, claims[0].attempt))
        return book, slots

    return at_work


@pytest.fixture
def make_study(client, raw, tmp_path):
    """Make empty studies, each in its own folder."""

    def make_study():
        return FinishedStudy(client, raw, tmp_path / uuid.uuid4().hex[:8])

    return make_study


@pytest.fixture
def finished_study(make_study):
    """Make a study of a grid, and end each experiment with the outcome that a function of its parameters returns."""

    def finished_study(parameters, ending=accuracy, **grid):
        return make_study().enqueue(parameters=parameters, **grid).end(ending)

    return finished_study
