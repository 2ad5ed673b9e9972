"""Summaries of series by Postgres equal those of pandas over all points."""

import math
import uuid

import numpy as np
import pytest

from qexp.analysis.statistics import describe
from qexp.client import Records
from qexp.grid import Grid
from qexp.store.reads import curves
from qexp.store.selection.selectors import Selection

POINTS = """
INSERT INTO metric (experiment, attempt, name, step, value, at)
SELECT experiment, attempt, 'loss', step, value, now()
FROM   unnest(%s::bigint[], %s::int[], %s::bigint[], %s::float8[]) AS point (experiment, attempt, step, value)
"""


@pytest.fixture
def recorded(client, raw, tmp_path):
    """Six experiments with series: restarted and resumed attempts, missing steps, NaN and infinity."""
    study = f"s_{uuid.uuid4().hex[:8]}"
    (tmp_path / "summed.py").write_text("def f(x, y): ...")
    grid = {"study": study, "function": "summed:f", "parameters": {"x": [1, 2], "y": [0, 1, 2]}}
    client.enqueue(Grid.from_dict(grid, tmp_path))
    ids = [view.id for view in client.experiments(Selection(study))]
    random = np.random.default_rng(0)
    points = [(number, 1, step, random.normal()) for number in ids for step in range(0, 12, 1 + number % 2)]
    points += [(ids[0], 2, step, 10.0) for step in range(4, 9)]  # its attempt restarts before the end of the first
    points += [(ids[1], 2, step, 20.0) for step in range(12, 15)]  # its attempt resumes after the first
    points += [(ids[2], 2, 5, math.nan), (ids[3], 2, 9, math.inf), (ids[5], 3, 0, 1.0)]
    raw.execute(POINTS, [list(column) for column in zip(*points, strict=True)])
    return study, ids


def expected(study, ids, client):
    """Return the finite points that count, each with its group."""
    frame = Records(client).metrics(Selection(study), ["loss"])
    frame["group"] = frame["id"].map({number: place // 3 for place, number in enumerate(ids)})
    return frame, frame[np.isfinite(frame["value"])].groupby(["group", "step"])["value"]


def test_means_and_deviations_by_group_and_step_are_those_of_pandas(client, recorded):
    study, ids = recorded
    _, values = expected(study, ids, client)
    with client.begin() as connection:
        rows = curves.means(connection, (ids, [0, 0, 0, 1, 1, 1]), "loss")
    assert [(row[0], row[1]) for row in rows] == list(values.groups)
    np.testing.assert_allclose([row[2:] for row in rows], values.agg(["count", "mean", "std"]).to_numpy(), rtol=1e-12)


def test_quartiles_by_group_and_step_are_those_of_pandas(client, recorded):
    study, ids = recorded
    _, values = expected(study, ids, client)
    with client.begin() as connection:
        rows = curves.quartiles(connection, (ids, [0, 0, 0, 1, 1, 1]), "loss")
    quartiles = values.quantile([0.25, 0.5, 0.75]).unstack()
    np.testing.assert_allclose([row[3:] for row in rows], quartiles.to_numpy(), rtol=1e-12)


def test_interquartile_means_by_step_are_those_of_tables(client, recorded):
    study, ids = recorded
    frame, _ = expected(study, ids, client)
    values = frame[np.isfinite(frame["value"])].groupby("step")["value"]
    with client.begin() as connection:
        rows = curves.interquartile_means(connection, (ids, [0] * len(ids)), "loss")
    assert [row[1] for row in rows] == list(values.groups)
    assert {row[2] for row in rows} >= {3, 5, 6}
    means = [float(describe(part.to_numpy(), "iqm").center) for _, part in values]
    np.testing.assert_allclose([row[3] for row in rows], means, rtol=1e-12)


def test_runs_without_the_series_do_not_count_and_non_finite_points_are_counted(client, recorded):
    study, ids = recorded
    frame, _ = expected(study, ids, client)
    odd = frame[~np.isfinite(frame["value"])].groupby("group")["id"].nunique().to_dict()
    assert odd == {0: 1, 1: 1}
    with client.begin() as connection:
        assert curves.runs(connection, (ids, [0, 0, 0, 1, 1, 1]), "loss") == [(0, 3, 1), (1, 3, 1)]
        assert curves.runs(connection, (ids, [0, 0, 0, 1, 1, 1]), "other") == []
        assert curves.names(connection, (ids, [0] * 6)) == ["loss"]
