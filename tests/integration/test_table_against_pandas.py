"""Tables of random studies equal those that pandas computes from their frames."""

import random

import numpy as np
import pandas as pd
import pytest
from finished_studies import FAILED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qexp
from qexp.store.selection.selectors import Selection

FEW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLASSIFIERS = ["svc", "a.b.Tree", "a.b.Forest", "1", "x_1"]
GRID = {
    "classifier": CLASSIFIERS,
    "optimizer": [{"name": "sgd", "momentum": 0.9}, {"name": "adam"}],
    "lr": [0.1, 0.01, 1e-7],
    "fold": [0, 1],
    "seed": {"range": [0, 5]},
}
NUMBERS = [
    lambda chance: chance.gauss(0, 1),
    lambda chance: chance.gauss(0, 1) * 10 ** chance.randint(-12, 12),
    lambda chance: chance.randint(-(10**20), 10**20),
    lambda chance: chance.random() < 0.5,
    lambda chance: -0.0,
]


def ending(chance, gaps):
    """Return a random outcome: numbers of any size and type; with *gaps*, some are missing."""
    if chance.random() < gaps:
        return chance.choice(
            [FAILED, None, {"acc": float("nan"), "val": 0.5}, {"val": float("inf"), "acc": 1}, {"val": 1}]
        )
    number = chance.choice(NUMBERS)
    return {"acc": number(chance), "val": chance.choice([0, 0.5, 1, chance.random()]), "train": {"acc": number(chance)}}


@pytest.fixture
def random_study(make_study):
    """Make a study of some experiments of the grid, with random results; return it and its frame."""

    def random_study(seed, gaps, **parameters):
        chance = random.Random(seed)
        study = make_study().enqueue(parameters=GRID | parameters)
        # a first experiment that has every result
        endings = iter([{"acc": 1, "val": 0.5, "train": {"acc": 1}}])
        study.end(lambda _: next(endings, None) or ending(chance, gaps))
        frame = study.client.frame(Selection(study.name))
        for name in ("acc", "val", "train.acc"):
            numbers = pd.to_numeric(frame[name], errors="coerce").astype(float)
            frame[name] = numbers.where(np.isfinite(numbers) & (frame["status"] == "done"))
        return study, frame.assign(study=study.name)

    return random_study


def replicates(frame, metric, cell, average=()):
    """Return the replicates of each cell by pandas: means over *average*, NaN if one value is NaN."""
    whole = frame.groupby([*cell, "seed"], sort=False)[metric].agg(lambda values: values.mean(skipna=False))
    return whole.groupby(list(cell), sort=False)


def check(table, grouped, scale=1.0):
    """Compare each cell (n, expected, center, spread or quartiles) and the order of rows and columns with pandas."""
    shown = {
        (*row, *column): cell
        for row, cells in zip(table.rows, table.cells, strict=True)
        for column, cell in zip(table.columns, cells, strict=True)
    }
    groups = {tuple(map(str, key)): values * scale for key, values in grouped}
    assert list(shown) == list(groups)
    for key, values in groups.items():
        cell = shown[key]
        assert (cell.n, cell.expected) == (values.count(), len(values))
        if not cell.n:
            assert cell.center is None
            continue
        centers = {"mean ± std": values.mean, "mean ± sem": values.mean, "median [quartiles]": values.median}
        assert cell.center == pytest.approx(centers[table.statistic](), rel=1e-9, abs=1e-300)
        spread = {"mean ± std": values.std, "mean ± sem": values.sem}.get(table.statistic)
        if spread is not None and cell.n > 1:
            assert cell.spread == pytest.approx(spread(), rel=1e-6, abs=1e-9 * abs(values).max())
        if spread is None and cell.n > 1:
            assert cell.interval == pytest.approx(tuple(values.quantile([0.25, 0.75])), rel=1e-9)


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@given(
    seed=st.integers(0, 2**32),
    metric=st.sampled_from(["acc", "train.acc"]),
    statistic=st.sampled_from(["mean±std", "sem", "median"]),
    scale=st.sampled_from([1.0, 100.0]),
)
@FEW
def test_cells_of_one_study_equal_those_of_pandas(random_study, gaps, seed, metric, statistic, scale):
    study, frame = random_study(seed, gaps)
    table = study.table(
        metric,
        rows="classifier,optimizer.name",
        columns="lr,fold",
        statistic=statistic,
        scale=scale,
        allow="missing,nan",
    )
    check(table, replicates(frame, metric, ["classifier", "optimizer.name", "lr", "fold"]), scale)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
@given(seed=st.integers(0, 2**32))
@FEW
def test_averages_within_replicates_equal_those_of_pandas(random_study, gaps, seed):
    study, frame = random_study(seed, gaps)
    table = study.table("acc", rows="classifier", columns="optimizer.name", average="fold,lr", allow="missing,nan")
    check(table, replicates(frame, "acc", ["classifier", "optimizer.name"]))


@given(seed=st.integers(0, 2**32), maximize=st.booleans())
@FEW
def test_the_choice_of_a_cell_equals_that_of_pandas(random_study, seed, maximize):
    # Given studies without gaps, because pandas takes the mean of the remaining values
    study, frame = random_study(seed, 0.0)
    table = study.table(
        "acc", rows="classifier", columns="optimizer.name", average="fold", best="lr", by="val", maximize=maximize
    )
    cell = ["classifier", "optimizer.name"]
    means = replicates(frame, "val", [*cell, "lr"]).mean()
    chosen = means.groupby(cell, sort=False).agg(lambda values: (values.idxmax() if maximize else values.idxmin())[-1])
    kept = frame[[chosen[row["classifier"], row["optimizer.name"]] == row["lr"] for _, row in frame.iterrows()]]
    check(table, replicates(kept, "acc", cell))


@given(seed=st.integers(0, 2**32))
@FEW
def test_cells_of_several_studies_equal_those_of_pandas(random_study, seed):
    # Given three studies with some classifiers in common, the second one enqueued first
    made = [random_study(seed + 1, 0.1), random_study(seed, 0.1, classifier=["svc", "x_1", "new"], lr=[0.5])]
    (second, one), (first, other) = made
    frame = pd.concat([other, one], ignore_index=True)
    names = [first.name, second.name]
    # When the studies are columns, and rows follow the order of the studies
    table = qexp.table(
        names, "acc", "classifier", "study", average="fold,lr,optimizer.name", allow="missing,nan", client=first.client
    )
    # Then a cell without a study is empty
    assert table.columns == ((first.name,), (second.name,))
    assert table.rows == (("svc",), ("x_1",), ("new",), ("a.b.Tree",), ("a.b.Forest",), ("1",))
    assert table.cell("new", second.name) is None
    for (classifier, study), values in replicates(frame, "acc", ["classifier", "study"]):
        cell = table.cell(classifier, study)
        assert (cell.n, cell.expected) == (values.count(), len(values))
        assert cell.values.tolist() == pytest.approx(values.dropna().tolist(), rel=1e-9)
