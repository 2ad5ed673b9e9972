"""Postgres returns values unchanged: key order, types of numbers, and text that looks like a number."""

import dataclasses
import json
import math
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qexp.analysis.frame import frame
from qexp.client import Client
from qexp.grid import Grid
from qexp.model import Departure, Error, Failure, Outcome, canonical
from qexp.store.reads import experiment_rows, study_rows
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, journal, studies

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([1e16, 1e22, -1e300, -0.0, 5e-324, "NaN", "Infinity", "-Infinity"])
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
)
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)
NAMED = st.dictionaries(KEYS, DATA, min_size=1, max_size=5)
PIPELINE = {"steps": {"scale": "std", "pca": 5, "svc": 1}, "label": "NaN", "big": 1e22, "zero": -0.0}
REPEATED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def enqueued(client, tmp_path):
    """Enqueue parameter sets of a function that takes any value; return the study's name."""
    (tmp_path / "experiment.py").write_text("def f(**params): ...\n")

    def enqueued(**keys):
        name = f"exact_{uuid.uuid4().hex[:8]}"
        client.enqueue(Grid.from_dict({"study": name, "function": "experiment:f", "queue": "nobody", **keys}, tmp_path))
        return name

    return enqueued


def of(client: Client, study: str):
    return client.experiments(Selection(study))


def claimed(raw, worker, view):
    return claiming.claim(raw, view.id, worker(), pid=1)


def test_nested_parameters_reach_the_function_in_the_order_of_the_grid(client, raw, worker, enqueued):
    study = enqueued(parameters={"zoo": 1, "steps": {"values": [PIPELINE["steps"]]}, "big": [1e22], "a": "NaN"})
    (view,) = of(client, study)
    written = {"zoo": 1, "steps": PIPELINE["steps"], "big": 1e22, "a": "NaN"}
    assert json.dumps(view.params) == json.dumps(written)
    assert json.dumps(claimed(raw, worker, view).params) == json.dumps(written)


def test_ordinary_experiments_have_no_copy_beside_jsonb(client, raw, worker, enqueued):
    study = enqueued(parameters={"lr": [0.1, 0.01], "depth": [1, 2]}, seeds=2)
    first, second, *_ = of(client, study)
    for view in (first, second):  # the first result sets the names that readers know
        claim = claimed(raw, worker, view)
        assert claiming.finish(raw, claim, Outcome(result={"loss": math.nan, "a": 0.5}))
        claiming.name_results(raw, claim.study_id, ["loss", "a"])
        raw.revisions.clear()
    query = "SELECT count(params_exact), count(result_exact) FROM experiment WHERE study = %s"
    assert raw.execute(query, [client.study(study).id]).fetchone() == (0, 1)
    assert [list(view.result) for view in of(client, study)[:2]] == [["loss", "a"]] * 2


def test_rows_added_by_code_keep_their_own_key_order(client, raw, worker, enqueued):
    # Given a study with an order of names
    study = enqueued(include=[{"a": 1, "b": 2}])
    # When code adds rows with another order and new names
    client.extend(study, [{"b": 1, "a": 2}, {"z": {"d": 1, "c": 2}, "a": 3}])
    # Then the function receives each row as written
    assert [list(view.params) for view in of(client, study)] == [["a", "b"], ["b", "a"], ["z", "a"]]
    claims = [claimed(raw, worker, view) for view in of(client, study)]
    assert [list(claim.params) for claim in claims] == [["a", "b"], ["b", "a"], ["z", "a"]]
    assert list(claims[2].params["z"]) == ["d", "c"]


def test_a_worker_learns_the_names_that_came_after_its_first_claim(client, raw, worker, enqueued):
    study = enqueued(include=[{"b": 1}])
    claimed(raw, worker, of(client, study)[0])
    client.extend(study, [{"new": 1, "a": 2}])
    assert list(claimed(raw, worker, of(client, study)[1]).params) == ["new", "a"]


def test_waiting_experiments_take_the_new_key_order_of_a_grid(client, raw, worker, enqueued):
    study = enqueued(parameters={"a": 1, "b": [1]})
    again = {"study": study, "function": "experiment:f", "queue": "nobody", "parameters": {"b": [1, 2], "a": 1}}
    client.enqueue(Grid.from_dict(again, Path(client.study(study).folder)))
    assert [list(view.params) for view in of(client, study)] == [["b", "a"], ["b", "a"]]


@REPEATED
@given(results=st.lists(NAMED, min_size=1, max_size=3))
def test_results_come_back_equal_of_the_same_types_and_in_order(client, raw, worker, enqueued, results):
    study = enqueued(include=[{"x": number} for number in range(len(results))])
    for view, result in zip(of(client, study), results, strict=True):
        claim = claimed(raw, worker, view)
        assert claiming.finish(raw, claim, Outcome(result=result))
        claiming.name_results(raw, claim.study_id, list(result))
        raw.revisions.clear()
    assert [repr(view.result) for view in of(client, study)] == [repr(result) for result in results]
    # frames, too, apart from the order of columns
    with client.begin() as connection:
        known = study_rows.find(connection, study)
        (block,) = experiment_rows.blocks(connection, studies.tables.experiment.c.study == known.id)
    assert [canonical(found) for found in block.results] == [canonical(result) for result in results]


@REPEATED
@given(
    params=st.lists(
        st.dictionaries(st.from_regex("[a-z]{1,3}x", fullmatch=True), DATA, min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    )
)
def test_parameters_come_back_equal_of_the_same_types_and_in_order(client, raw, worker, enqueued, params):
    def is_finite(value):
        if isinstance(value, float):
            return math.isfinite(value)
        return all(
            map(is_finite, value.values() if isinstance(value, dict) else value if isinstance(value, list) else [])
        )

    rows = list({canonical(row): row for row in params if is_finite(row)}.values())
    if not rows:
        return
    study = enqueued(include=rows)
    views = of(client, study)
    assert [repr(view.params) for view in views] == [repr(row) for row in rows]
    assert [repr(claimed(raw, worker, view).params) for view in views] == [repr(row) for row in rows]


@REPEATED
@given(row=NAMED)
def test_rows_of_lists_come_back_as_they_were(client, raw, worker, enqueued, row):
    study = enqueued(parameters={"x": 1})
    claim = claimed(raw, worker, of(client, study)[0])
    writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
    journal.add_entries(raw, writer, [journal.Entry("rows", uuid.uuid4(), row, 0.0)])
    with client.begin() as connection:
        from qexp.store.reads import records

        ((_, _, _, back),) = records.entries(connection, studies.tables.experiment.c.id == claim.id, "rows")
    assert repr(back) == repr(row)


def record(raw, claim, order, **values):
    writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
    moments = dict.fromkeys(values, datetime.now(UTC).isoformat())
    assert journal.record(raw, writer, values, moments, order)


def test_recorded_parts_keep_their_order_and_types_for_any_end_of_the_attempt(client, raw, worker, enqueued):
    # Given an attempt that records parts and replaces one by an ordinary value
    study = enqueued(parameters={"x": 1})
    claim = claimed(raw, worker, of(client, study)[0])
    record(raw, claim, ["zeta"], zeta=1e22)
    record(raw, claim, ["zeta", "big", "a"], big={"b": 1, "a": 2}, a=1)
    record(raw, claim, ["zeta", "big", "a"], zeta=10**22)
    (view,) = of(client, study)
    assert repr(view.result) == repr({"zeta": 10**22, "big": {"b": 1, "a": 2}, "a": 1})
    # When its process dies
    claiming.crash(raw, [claim.id], claim.worker, 1, Error(Failure.CRASHED, "WorkerDied", "it died"))
    # Then the attempt has these parts
    (shown,) = client.show(Selection(study))
    assert repr(shown.attempts[0].result) == repr({"zeta": 10**22, "big": {"b": 1, "a": 2}, "a": 1})


def test_a_result_after_recorded_parts_has_those_of_other_processes_too(client, raw, worker, enqueued):
    study = enqueued(parameters={"x": 1})
    claim = claimed(raw, worker, of(client, study)[0])
    record(raw, claim, ["config"], config={"b": 1, "a": 2})  # like `qexp.attach`
    record(raw, claim, ["x"], x=-0.0)
    assert claiming.finish(raw, claim, Outcome(result={"x": 0.0, "y": "NaN"}))
    (view,) = of(client, study)
    assert repr(view.result) == repr({"x": 0.0, "y": "NaN", "config": {"b": 1, "a": 2}})


@pytest.mark.parametrize("how", ["requeued", "cancelled", "failed", "paused"])
def test_an_attempt_keeps_its_result_unchanged(client, raw, worker, enqueued, how):
    study = enqueued(parameters={"x": 1})
    claim = claimed(raw, worker, of(client, study)[0])
    if how == "cancelled":
        record(raw, claim, list(PIPELINE), **PIPELINE)
        client.cancel(Selection(study))
    else:
        outcome = Outcome(result=PIPELINE)
        if how == "failed":
            outcome = dataclasses.replace(outcome, error=Error(Failure.ERROR, "ValueError", "no"))
        if how == "paused":
            outcome = dataclasses.replace(outcome, departure=Departure("paused"))
        assert claiming.finish(raw, claim, outcome)
        if how == "requeued":
            client.requeue(Selection(study))
    (shown,) = client.show(Selection(study))
    assert repr(shown.attempts[0].result) == repr(PIPELINE)


def test_a_frame_has_floats_as_floats(client, raw, worker, enqueued):
    study = enqueued(parameters={"x": [1, 2, 3]})
    for view, value in zip(of(client, study), [1e22, 0.5, math.inf], strict=True):
        claim = claimed(raw, worker, view)
        assert claiming.finish(raw, claim, Outcome(result={"y": value}))
        claiming.name_results(raw, claim.study_id, ["y"])
    with client.begin() as connection:
        known = study_rows.find(connection, study)
        made = frame(experiment_rows.blocks(connection, studies.tables.experiment.c.study == known.id), ["x"], ["y"])
    assert str(made["y"].dtype) == "float64"
    assert list(made["y"]) == [1e22, 0.5, math.inf]


def test_waiting_experiments_take_the_order_of_the_grid_and_finished_ones_are_counted(client, raw, worker, enqueued):
    # Given two experiments, one of them finished
    first, again = ({"b": 1, "a": 1}, {"b": 2, "a": 1.0}), ({"a": 1, "b": 1}, {"a": 1, "b": 2.0})
    study = enqueued(parameters={"steps": list(first)})
    done, waiting = of(client, study)
    assert claiming.finish(raw, claimed(raw, worker, done), Outcome(result={"y": 1}))
    # When the grid gives their mappings in another order
    folder = Path(client.study(study).folder)
    grid = {"study": study, "function": "experiment:f", "queue": "nobody", "parameters": {"steps": list(again)}}
    found = client.enqueue(Grid.from_dict(grid, folder))
    # Then the waiting one uses the new order, and the finished one is unchanged
    assert (found.new, found.ran_otherwise) == (0, 1)
    assert [repr(view.params["steps"]) for view in of(client, study)] == [repr(first[0]), repr(again[1])]
    assert repr(claimed(raw, worker, waiting).params["steps"]) == repr(again[1])
