"""Axes as replicates, averages and selections, and paired tests, never give results that look too good."""

import math

import pytest
from finished_studies import (
    CLASSIFIERS,
    FAILED,
    GRID,
    SMALL,
    accuracy,
    cells,
    texts,
)

from qexp.errors import OptionError


def test_a_fold_is_not_a_replicate_by_default(finished_study):
    study = finished_study(SMALL | {"fold": [0, 1, 2]})
    assert study.refusal(columns="") == (
        "fold has several values in one cell, such as 0 and 1; "
        "add --rows fold, --columns fold, --average fold, --best fold or --over seed,fold"
    )


def test_an_allowed_open_axis_pools_its_values_with_a_note(finished_study):
    study = finished_study(SMALL | {"fold": [0, 1, 2]})
    table = study.table(columns="", allow="open")
    assert [cell.n for cell in cells(table)] == [15, 15]
    assert texts(table, "statistic")[0].endswith("over seed, all open parameters, n = 15")


def folded(params):
    return {"accuracy": 0.5 + params["seed"] / 100 + params["fold"] / 10}


def test_folds_are_averaged_within_each_seed_first(finished_study):
    study = finished_study({"classifier": ["svc"], "seed": {"range": [0, 5]}, "fold": [0, 1, 2]}, folded)
    table = study.table(columns="", average="fold")
    (cell,) = cells(table)
    assert cell.values.tolist() == pytest.approx([0.6, 0.61, 0.62, 0.63, 0.64])
    assert cell.spread == pytest.approx(0.0158113883)
    assert texts(table, "statistic")[1] == "each replicate is the mean over fold"


def test_a_seed_with_a_missing_fold_is_a_missing_replicate(finished_study):
    def ending(params):
        return FAILED if (params["seed"], params["fold"]) == (4, 2) else folded(params)

    study = finished_study({"classifier": ["svc"], "seed": {"range": [0, 5]}, "fold": [0, 1, 2]}, ending)
    assert study.refusal(columns="", average="fold").startswith("1 experiment failed (1 error) in svc")
    (cell,) = cells(study.table(columns="", average="fold", allow="missing"))
    assert (cell.count_text, cell.values.tolist()) == ("(4/5)", pytest.approx([0.6, 0.61, 0.62, 0.63]))


def test_a_seed_whose_fold_is_not_in_the_grid_is_a_missing_replicate(finished_study):
    # Given a fold that code added for one seed
    study = finished_study({"classifier": ["svc"], "seed": {"range": [0, 5]}, "fold": [0, 1]}, folded)
    study.client.extend(study.name, [{"classifier": "svc", "seed": 0, "fold": 2}])
    study.end(folded)
    # Then the other seeds lack this fold
    assert study.refusal(columns="", average="fold") == "4 replicates in svc lack values of fold that others have"
    (cell,) = cells(study.table(columns="", average="fold", allow="missing"))
    assert (cell.n, cell.expected) == (1, 5)


def tuned(params):
    """The larger rate is better by validation, the smaller one by test."""
    noise = params["seed"] / 1000
    better = params["lr"] == 0.1
    return {
        "accuracy": 0.8 - 0.1 * better + noise,
        "val_accuracy": 0.7 + 0.1 * better + noise,
        "again": 0.8 - 0.1 * better + noise,
    }


TUNED = SMALL | {"lr": [0.01, 0.1]}


@pytest.mark.parametrize("by", ["accuracy", "result.accuracy", "again"])
def test_a_selection_by_the_reported_metric_is_refused(finished_study, by):
    study = finished_study(TUNED, tuned)
    with pytest.raises(OptionError, match="so the best of several values would look too good"):
        study.table(columns="", best="lr", by=by)


def test_a_copy_of_the_reported_metric_is_refused_even_if_a_run_diverged(finished_study):
    def ending(params):
        diverged = (params["classifier"], params["seed"], params["lr"]) == ("svc", 0, 0.1)
        return tuned(params) | ({"accuracy": math.nan, "again": math.nan} if diverged else {})

    study = finished_study(TUNED, ending)
    with pytest.raises(OptionError, match='by="again": it equals accuracy in every experiment'):
        study.table(columns="", best="lr", by="again", allow="nan")


def test_a_selection_is_by_the_mean_over_all_seeds(finished_study):
    # Given a rate that is best for three of five seeds, but not by its mean
    def ending(params):
        wins = params["lr"] == 0.01 and params["seed"] < 3
        loses = params["lr"] == 0.01 and params["seed"] >= 3
        val = 0.71 if wins else 0.1 if loses else 0.7
        return {"accuracy": params["lr"] + params["seed"] / 100, "val_accuracy": val}

    study = finished_study(TUNED, ending)
    table = study.table(columns="", best="lr", by="val_accuracy")
    assert [cell.center for cell in cells(table)] == [pytest.approx(0.12)] * 2
    assert texts(table, "choice") == [
        "lr: in each cell the value with the highest mean val_accuracy over all replicates",
        "chosen lr: svc: 0.1; tree: 0.1",
    ]


def test_a_selection_never_takes_the_mean_of_the_remaining_seeds(finished_study):
    # Given a rate that diverges for all seeds except an excellent one
    def ending(params):
        found = tuned(params)
        return found | {"val_accuracy": 0.99 if params["seed"] == 0 else math.nan} if params["lr"] == 0.01 else found

    study = finished_study(TUNED, ending)
    assert "val_accuracy is NaN or infinite in 8 experiments of svc, tree" in study.refusal(
        columns="", best="lr", by="val_accuracy"
    )
    table = study.table(columns="", best="lr", by="val_accuracy", allow="nan")
    assert "chosen lr: svc: 0.1; tree: 0.1" in texts(table, "choice")


def test_a_selection_without_any_value_leaves_the_cell_empty(finished_study):
    def ending(params):
        return tuned(params) | ({"val_accuracy": math.nan} if params["classifier"] == "svc" else {})

    table = finished_study(TUNED, ending).table(columns="", best="lr", by="val_accuracy", allow="nan")
    assert [(cell.n, cell.expected) for cell in cells(table)] == [(0, 5), (5, 5)]


def test_the_direction_of_a_selection_is_that_of_its_own_name(finished_study):
    def ending(params):
        return {"accuracy": params["lr"] + params["seed"] / 100, "val_error_rate": params["lr"], "tuning": params["lr"]}

    study = finished_study(TUNED, ending)
    chosen = texts(study.table(columns="", best="lr", by="val_error_rate"), "choice")
    assert chosen[0] == "lr: in each cell the value with the lowest mean val_error_rate over all replicates"
    assert chosen[1] == "chosen lr: svc: 0.01; tree: 0.01"
    assert "chosen lr: svc: 0.1; tree: 0.1" in texts(study.table(columns="", best="lr", by="tuning"), "choice")


def test_unpaired_seeds_are_left_out_of_paired_tests(make_study):
    # Given two rows with eight common seeds, and other seeds with extreme values
    study = make_study().enqueue(parameters={"classifier": CLASSIFIERS, "seed": {"range": [0, 8]}})
    study.client.extend(study.name, [{"classifier": "svc", "seed": seed} for seed in (8, 9)])
    study.client.extend(study.name, [{"classifier": "tree", "seed": seed} for seed in (10, 11)])

    def ending(params):
        base = 0.9 if params["seed"] >= 8 else 0.5
        return {"accuracy": base + 0.001 * params["seed"] ** 2 + 0.01 * (params["classifier"] == "tree")}

    table = study.end(ending).table(columns="", baseline="svc", bold="tied")
    cell = table.cell("tree", ())
    assert (cell.n, cell.difference, cell.p) == (10, pytest.approx(0.01), pytest.approx(2 / 2**8))
    assert "bold compares the 8 replicates that all rows of a column have" in texts(table, "test")


def test_rows_without_a_common_seed_have_no_difference(make_study):
    study = make_study().enqueue(parameters={"classifier": ["svc"], "seed": [0, 1]})
    study.client.extend(study.name, [{"classifier": "tree", "seed": seed} for seed in (2, 3)])
    table = study.end(accuracy).table(columns="", baseline="svc", bold="tied")
    assert (table.cell("tree", ()).difference, table.cell("tree", ()).p) == (None, None)
    assert "no p-value is shown: there is no pair" in texts(table, "test")


def test_the_best_cell_of_a_median_has_the_best_median(finished_study):
    # Given a row with one excellent seed: it has the best mean, but not the best median
    def ending(params):
        is_lucky = params["classifier"] == "tree" and params["seed"] == 7
        return {"accuracy": 0.99 if is_lucky else 0.5 + params["seed"] / 100 + 0.005 * (params["classifier"] == "svc")}

    study = finished_study({"classifier": CLASSIFIERS, "seed": {"range": [0, 8]}}, ending)
    # Then bold cells follow the statistic that the table shows
    for statistic, best in (("mean±std", "tree"), ("median", "svc")):
        for bold in ("best", "tied"):
            table = study.table(columns="", statistic=statistic, bold=bold)
            assert table.cell(best, ()).bold
        assert [cell.bold for cell in cells(study.table(columns="", statistic=statistic))].count(True) == 1


def test_a_p_value_that_few_replicates_cannot_reach_is_not_printed(finished_study):
    table = finished_study(GRID).table(baseline="svc")
    assert [cell.p for cell in cells(table)] == [None] * 4
    (said,) = [text for text in texts(table, "test") if "p-value" in text]
    assert "with n = 5 no p of the Wilcoxon signed-rank test is below 0.05 / 2" in said
    assert "n = 7 is the least that allows one" in said


@pytest.mark.parametrize(
    "where",
    ["accuracy > 0.5", "result.accuracy > 0.5", "status = 'done'", "\"status\" = 'done'", "seed < 3 and duration < 9"],
)
def test_a_condition_on_results_or_status_is_refused(finished_study, where):
    with pytest.raises(OptionError, match="a table is narrowed by parameters only"):
        finished_study(GRID).table(where=where)


def test_a_condition_on_a_fact_is_refused_even_if_a_parameter_has_its_name(finished_study):
    study = finished_study({"classifier": CLASSIFIERS, "status": ["a", "b"], "seed": [0, 1]})
    with pytest.raises(OptionError, match="a table is narrowed by parameters only"):
        study.table(columns="", where="status = 'done'")
    assert [cell.n for cell in cells(study.table(columns="", where="param.status = 'a'"))] == [2, 2]


def test_a_narrowed_table_has_a_note(finished_study):
    table = finished_study(GRID).table(where="seed < 3")
    assert texts(table, "excluded") == ["only experiments for which seed < 3 holds"]
    assert [cell.n for cell in cells(table)] == [3] * 4


def test_the_head_of_a_file_has_the_labels_that_no_option_can_give(finished_study):
    table = finished_study(SMALL).table(columns="", labels={"svc": "SVM", "accuracy": "acc."})
    assert table.provenance[-2] == "labels: accuracy = acc., svc = SVM"
    assert not any(line.startswith("labels") for line in finished_study(SMALL).table(columns="").provenance)
