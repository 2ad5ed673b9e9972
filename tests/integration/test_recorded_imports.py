"""The lists of imported files reach Postgres, for any process that delivers the outcomes."""

import dataclasses
import json
import os
import uuid

import pytest

from qexp.grid import Grid
from qexp.model import Error, Failure, Imports, Outcome
from qexp.store.reconnecting import ReconnectingConnection
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming
from qexp.worker.attempt.isolated_process import outcome_from
from qexp.worker.child import result_log
from qexp.worker.child.outbox import ResultOutbox
from qexp.worker.child.outbox_files import OutboxFiles
from qexp.worker.child.result_log import ResultLog


@pytest.fixture
def settings(client, tmp_path):
    """The settings of a worker with its own home."""
    return client.settings.model_copy(update={"home": tmp_path / "home"})


@pytest.fixture
def process(settings):
    """Give the parts of a process that records outcomes."""
    lines = []

    def process():
        lines.append(ReconnectingConnection(settings))
        return ResultOutbox(settings, lines[-1])

    yield process
    for postgres in lines:
        postgres.release()


@pytest.fixture
def claims(client, raw, tmp_path, worker):
    """Three claims of one worker."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    grid = {"study": f"imported_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "parameters": {"x": [1, 2, 3]}}
    client.enqueue(Grid.from_dict({**grid, "queue": "nobody"}, tmp_path))
    ids = [view.id for view in client.experiments(Selection(grid["study"]))]
    return claiming.claims(raw, ids, worker(), 1)


@pytest.fixture
def outcome():
    """A result with a unique list."""
    return Outcome(result={"y": 1}, imports=Imports(("experiment.py", uuid.uuid4().hex), ("numpy",)))


def recorded(raw, claims):
    """Return the lists of the attempts of some claims; None for an attempt without a list."""
    query = (
        "SELECT i.files, i.packages FROM attempt a LEFT JOIN imported i ON i.digest = a.imported "
        "WHERE a.experiment = ANY(%s) ORDER BY a.experiment"
    )
    return raw.execute(query, [[claim.id for claim in claims]]).fetchall()


def test_lists_are_sent_until_a_result_with_them_is_recorded(raw, process, claims, outcome):
    results, lists = process(), (list(outcome.imports.files), ["numpy"])
    # Given two results that wait to be recorded together
    waiting = [results.encode(claim, outcome, 0.0, 0.0) for claim in claims[:2]]
    assert ["files" in json.loads(item.encoded.text) for item in waiting] == [True, True]
    results.record_together(waiting)
    # When the next attempt ends
    last = results.encode(claims[2], outcome, 0.0, 0.0)
    # Then only the digest is sent, and all attempts have the list
    assert "files" not in json.loads(last.encoded.text)
    results.record_together([last])
    assert recorded(raw, claims) == [lists] * 3


def test_each_process_sends_its_own_lists(raw, process, claims, outcome):
    one, other = process(), process()
    one.record(claims[0], outcome)
    assert "files" in json.loads(other.encode(claims[1], outcome, 0.0, 0.0).encoded.text)


def test_lists_of_unrecorded_results_are_in_the_log_of_a_dead_process(raw, process, claims, outcome, tmp_path):
    # Given a process that has died before its results were recorded
    dead, log = process(), ResultLog(tmp_path, 7)
    for claim in claims:
        log.add(dead.encode(claim, outcome, 0.0, 0.0).encoded)
    # When another process records the results in its log
    process().record_encoded(claims[0].worker, result_log.read(tmp_path, 7).results)
    # Then each attempt has its list
    assert recorded(raw, claims) == [(list(outcome.imports.files), ["numpy"])] * 3


def test_an_outcome_from_the_outbox_contains_its_list(raw, process, claims, outcome, settings):
    os.close(OutboxFiles(settings).keep_outcome(claims[0], outcome))
    process().drain(patience=5.0)
    assert recorded(raw, claims[:1]) == [(list(outcome.imports.files), ["numpy"])]


def test_a_result_without_a_list_and_a_failure_have_none(raw, process, claims):
    results = process()
    results.record(claims[0], Outcome(result={"y": 1}))
    results.record(claims[1], Outcome(error=Error(Failure.ERROR, "E", "no", fingerprint="abcd")))
    assert recorded(raw, claims[:2]) == [(None, None)] * 2


def test_two_lists_in_one_statement_are_registered_both(raw, process, claims, outcome):
    results = process()
    others = dataclasses.replace(outcome, imports=Imports(("experiment.py",), (uuid.uuid4().hex,)))
    outcomes = [outcome, others, outcome]
    results.record_together([results.encode(claim, one, 0.0, 0.0) for claim, one in zip(claims, outcomes, strict=True)])
    assert recorded(raw, claims) == [(list(one.imports.files), list(one.imports.packages)) for one in outcomes]


def test_an_outcome_of_an_isolated_process_contains_its_list(outcome):
    assert outcome_from(json.loads(json.dumps(dataclasses.asdict(outcome)))) == outcome
