"""Each table option that orders or compares cells does what its help says."""

import pytest
from finished_studies import GRID
from scipy import stats

from qexp.errors import OptionError

CENTERS = {
    ("a10", "iris"): 0.5,
    ("a10", "wine"): 0.9,
    ("a9", "iris"): 0.8,
    ("a9", "wine"): 0.7,
    ("b", "iris"): 0.6,
    ("b", "wine"): 0.5,
}
NOISE = [0.000, 0.013, -0.008, 0.004, 0.021, -0.017, 0.009, -0.002]


def scores(params):
    """The noise of two classifiers differs at each seed, so that tests find differences."""
    shift = len(params["classifier"]) * 3 + len(params["dataset"])
    value = CENTERS[params["classifier"], params["dataset"]] + NOISE[(params["seed"] * 3 + shift) % 8]
    return {"accuracy": value, "loss": 1 - value}


@pytest.fixture
def study(finished_study):
    parameters = GRID | {"classifier": ["a9", "a10", "b"], "seed": {"range": [0, 8]}}
    return finished_study(parameters, scores)


def names(table):
    return [key[0] for key in table.rows]


def test_rows_are_in_the_requested_order(study):
    assert names(study.table()) == ["a9", "a10", "b"]
    assert names(study.table(sort="name")) == ["a10", "a9", "b"]
    assert names(study.table(sort="value")) == ["a9", "a10", "b"]
    assert names(study.table(sort="wine")) == ["a10", "a9", "b"]
    assert names(study.table(sort="iris")) == ["a9", "b", "a10"]
    assert names(study.table("loss", sort="iris")) == ["a9", "b", "a10"]
    assert names(study.table("loss", maximize=True, sort="iris")) == ["a10", "b", "a9"]
    with pytest.raises(OptionError, match="sort: found 'wien', expected grid, name, value or a column: iris, wine"):
        study.table(sort="wien")


def test_a_transposed_table_has_its_rows_as_columns(study):
    table, turned = study.table(), study.table(transpose=True)
    assert (turned.rows, turned.columns) == (table.columns, table.rows)
    assert [[cell.center for cell in row] for row in turned.cells] == [
        [row[at].center for row in table.cells] for at in range(2)
    ]


def raw_p(study, test):
    """Return the p-values of a9 and a10 against b on iris and wine, by scipy."""
    tests = {"ttest": stats.ttest_rel, "wilcoxon": stats.wilcoxon}

    def values(classifier, dataset):
        cell = {"classifier": classifier, "dataset": dataset}
        return [scores({**cell, "seed": seed})["accuracy"] for seed in range(8)]

    return {
        (classifier, dataset): tests[test](values(classifier, dataset), values("b", dataset)).pvalue
        for classifier in ("a9", "a10")
        for dataset in ("iris", "wine")
    }


def shown_p(table):
    """Return the p-value of each cell with one."""
    return {
        (row[0], column[0]): cell.p
        for row, line in zip(table.rows, table.cells, strict=True)
        for column, cell in zip(table.columns, line, strict=True)
        if cell.p is not None
    }


@pytest.mark.parametrize("test", ["ttest", "wilcoxon"])
def test_a_baseline_is_compared_by_the_requested_test(study, test):
    table = study.table(baseline="b", test=test, correction="none")
    assert shown_p(table) == pytest.approx(raw_p(study, test))


def test_p_values_have_the_requested_correction(study):
    raw = raw_p(study, "ttest")
    order = sorted(raw, key=raw.__getitem__)
    holm, fdr, largest = {}, {}, 0.0
    for place, key in enumerate(order):
        largest = holm[key] = min(1.0, max(largest, raw[key] * (len(order) - place)))
    smallest = 1.0
    for place, key in reversed(list(enumerate(order, 1))):
        smallest = fdr[key] = min(smallest, raw[key] * len(order) / place)
    assert holm != pytest.approx(fdr)
    assert shown_p(study.table(baseline="b", test="ttest", correction="holm")) == pytest.approx(holm)
    assert shown_p(study.table(baseline="b", test="ttest", correction="fdr")) == pytest.approx(fdr)


def test_the_notes_name_the_test_and_the_correction(study):
    said = " ".join(note.text for note in study.table(baseline="b", test="ttest", correction="fdr").notes)
    assert "t-test" in said
    assert "Benjamini" in said
