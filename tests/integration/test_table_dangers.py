"""Each way in which a table made by hand goes wrong, planted in a study of its own: refused, or noted, never silent."""

import math
import shlex
import subprocess
import sys

import pytest
from finished_studies import FAILED, IMPORTS, TIMEOUT, accuracy, texts

import qexp
from qexp.analysis.table.model import Cell
from qexp.errors import QexpError, RefusedError, SummaryError
from qexp.model import Imports
from qexp.store import hot
from qexp.store.selectors import parse

CLASSIFIERS, DATASETS = ["svc", "tree"], ["iris", "wine"]
GRID = {"classifier": CLASSIFIERS, "dataset": DATASETS, "seed": {"range": [0, 5]}}
SMALL = {"classifier": CLASSIFIERS, "seed": {"range": [0, 5]}}


def is_cell(params, classifier="svc", dataset="iris", **others):
    return {"classifier": classifier, "dataset": dataset, **others}.items() <= params.items()


def only(text):
    """Return an ending of the cell svc / iris at seed 3 that differs from all others."""
    return lambda params: text if is_cell(params, seed=3) else accuracy(params)


def cells(table):
    return [cell for row in table.cells for cell in row]


def mean(values):
    return pytest.approx(sum(values) / len(values))


# how the table is made by hand, and where it goes wrong


def test_a_retry_is_no_second_sample(finished_study):
    # Given experiments that failed once and were done at the second attempt
    study = finished_study(GRID, lambda params: FAILED if params["seed"] == 0 else accuracy(params))
    study.client.requeue(parse([study.name], failed=True))
    study.end(accuracy)
    # When they become a table
    table = study.table()
    # Then each counts once, and nothing is noted: the first attempts had no result
    assert [(cell.n, cell.expected) for cell in cells(table)] == [(5, 5)] * 4
    assert texts(table, "repeated") == []


def test_a_missing_seed_refuses_the_table_and_names_cell_and_command(finished_study):
    study = finished_study(GRID, only(None))
    assert study.refusal() == f"1 experiment is not finished yet in svc / iris; qexp wait {study.name}"
    table = study.table(allow="missing")
    cell = table.cell("svc", "iris")
    assert (cell.n, cell.expected, cell.count_text) == (4, 5, "(4/5)")
    assert cell.marks == ("a",)
    assert [note.mark for note in table.notes if note.kind == "missing"] == ["a"]
    assert all(other.is_complete and not other.marks for other in cells(table) if other is not cell)


def test_failed_experiments_are_not_averaged_away(finished_study):
    ends = {(3, "iris"): FAILED, (4, "iris"): TIMEOUT, (0, "wine"): FAILED}
    study = finished_study(
        GRID,
        lambda p: (
            ends.get((p["seed"], p["dataset"]))
            if is_cell(p, dataset=p["dataset"]) and (p["seed"], p["dataset"]) in ends
            else accuracy(p)
        ),
    )
    assert study.refusal() == (
        f"3 experiments failed (2 error, 1 timeout) in svc / iris, svc / wine; qexp requeue {study.name} --failed"
    )
    assert study.table(allow="missing").cell("svc", "iris").count_text == "(3/5)"


def test_a_cell_with_one_survivor_says_so_and_has_no_spread(finished_study):
    study = finished_study(GRID, lambda p: FAILED if is_cell(p) and p["seed"] > 0 else accuracy(p))
    assert "4 experiments failed" in study.refusal()
    cell = study.table(allow="missing").cell("svc", "iris")
    assert (cell.count_text, cell.spread, cell.spread_text) == ("(1/5)", None, "—")


def test_a_cell_without_any_survivor_is_empty_and_not_bold(finished_study):
    study = finished_study(GRID, lambda p: FAILED if is_cell(p) else accuracy(p))
    cell = study.table(allow="missing").cell("svc", "iris")
    assert (cell.n, cell.expected, cell.center, cell.text, cell.bold) == (0, 5, None, "", False)


def test_a_partial_result_of_a_failed_experiment_never_enters(finished_study):
    partial = hot.Outcome(result={"accuracy": 0.999}, error=FAILED.error)
    study = finished_study(GRID, only(partial))
    assert study.refusal().startswith("1 experiment failed (1 error) in svc / iris")
    table = study.table(allow="missing")
    assert table.cell("svc", "iris").n == 4
    assert 0.999 not in table.cell("svc", "iris").values


def test_an_accepted_partial_result_enters_and_is_noted(finished_study):
    # Given a failed attempt whose recorded result a person accepted
    study = finished_study(GRID, only(hot.Outcome(result={"accuracy": 0.999}, error=FAILED.error)))
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.client.accept(parse([str(number)]))
    # When it is in a table
    table = study.table()
    # Then a note marks its cell
    assert texts(table, "accepted") == ["results of failed attempts that a person accepted: 1 in svc / iris"]
    assert (table.cell("svc", "iris").n, table.cell("svc", "iris").marks) == (5, ("a",))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_not_dropped(finished_study, value):
    study = finished_study(GRID, only({"accuracy": value}))
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    assert study.refusal() == f"accuracy is NaN or infinite in 1 experiment of svc / iris; qexp show {number}"
    cell = study.table(allow="nan").cell("svc", "iris")
    assert (cell.count_text, math.isfinite(cell.center)) == ("(4/5)", True)


def test_a_number_too_large_for_a_float_counts_as_infinite(finished_study):
    study = finished_study(GRID, only({"accuracy": 10**400}))
    assert "accuracy is NaN or infinite in 1 experiment of svc / iris" in study.refusal()


def test_the_same_parameters_twice_in_a_study_are_one_experiment(finished_study):
    study = finished_study(GRID)
    study.enqueue(parameters=GRID).client.extend(study.name, [{"classifier": "svc", "dataset": "iris", "seed": 0}])
    assert study.table().cell("svc", "iris").n == 5


def test_the_same_parameters_in_two_studies_are_refused(finished_study):
    first, second = finished_study(GRID), finished_study(GRID)
    with pytest.raises(RefusedError) as refused:
        qexp.table([first.name, second.name], "accuracy", "dataset", "classifier", client=first.client)
    assert refused.value.reasons == [
        f"experiments of {first.name}, {second.name} have the same parameters in one cell; "
        "choose --rows study or --columns study, or name one study"
    ]


def test_studies_are_rows_in_the_order_given(finished_study):
    first, second = finished_study(SMALL), finished_study(SMALL)
    table = qexp.table([second.name, first.name], "accuracy", "study", "classifier", client=first.client)
    assert table.rows == ((second.name,), (first.name,))
    assert [cell.n for cell in cells(table)] == [5] * 4


def test_a_late_write_of_a_lost_worker_changes_nothing(make_study):
    # Given a worker that went silent, and a successor that was done
    study = make_study().enqueue(parameters={"classifier": ["svc"], "seed": [0]})
    (number,) = study.ids()
    silent_worker = study.worker()
    silent = study.claim(number, silent_worker)
    hot.release(study.raw, silent_worker)
    study.end(lambda _: {"accuracy": 0.5})
    # When the first one writes
    assert hot.finish(study.raw, silent, hot.Outcome(result={"accuracy": 0.9})) is None
    # Then the table has the successor's result only
    assert study.table(columns="").cells[0][0].values.tolist() == [0.5]


def test_settings_of_two_revisions_are_refused(make_study):
    # Given a study whose setting changed before its last experiments
    study = make_study().enqueue(parameters=GRID, settings={"epochs": 10})
    study.end(lambda p: accuracy(p) if p["seed"] < 3 else None)
    study.enqueue(parameters=GRID, settings={"epochs": 20}).end(accuracy)
    # Then the table is refused, and with --allow mixed the note stays
    reason = f"the experiments of {study.name} have different settings: epochs = 10 in 12, 20 in 8"
    assert study.refusal() == f"{reason}; qexp requeue {study.name} --stale"
    assert texts(study.table(allow="mixed"), "mixed") == [reason]


def test_a_table_of_superseded_settings_is_refused(make_study):
    study = make_study().enqueue(parameters=GRID, settings={"epochs": 10}).end(accuracy)
    study.enqueue(parameters=GRID, settings={"epochs": 20})
    reason = f"the results of {study.name} are of earlier settings: epochs = 10 in the results, 20 in the newest grid"
    assert study.refusal() == f"{reason}; qexp requeue {study.name} --stale"


def test_a_revision_with_the_same_settings_mixes_nothing(make_study):
    study = make_study().enqueue(parameters=GRID, settings={"epochs": 10})
    study.end(lambda p: accuracy(p) if p["seed"] < 3 else None)
    study.enqueue(parameters=GRID, settings={"epochs": 10}, priority=3).end(accuracy)
    assert texts(study.table(), "mixed") == []


def test_experiments_that_failed_with_other_settings_mix_nothing(make_study):
    # Given failures of a first revision that were requeued under a second one, and done results of the second
    study = make_study().enqueue(parameters=GRID, settings={"epochs": 10}).end(lambda _: FAILED)
    study.enqueue(parameters=GRID, settings={"epochs": 20})
    study.client.requeue(parse([study.name], failed=True))
    study.end(accuracy)
    # Then only the second one is in the table, and in the lines of its file
    table = study.table()
    assert texts(table, "mixed") == []
    assert [line[:11] for line in table.provenance if line.startswith("revision ")] == ["revision 2:"]


def test_a_requeue_that_failed_leaves_a_gap_and_no_old_result(finished_study):
    study = finished_study(GRID)
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.client.requeue(parse([str(number)]))
    study.end(lambda _: FAILED)
    assert study.refusal().startswith("1 experiment failed (1 error) in svc / iris")
    assert study.table(allow="missing").cell("svc", "iris").n == 4


def with_code(make_study, chosen, imports=IMPORTS, file="experiment.py"):
    """Return a study whose experiments ran before an edit of a file if *chosen*, the others behind it."""
    study = make_study()
    study.write("README.md", "one")
    study.enqueue(parameters=GRID).end(lambda p: accuracy(p) if chosen(p) else None, imports=imports)
    study.write(file, "def f(**params): return 2\n")
    return study.enqueue(parameters=GRID).end(accuracy, imports=imports)


def test_two_code_versions_within_a_cell_are_refused(make_study):
    study = with_code(make_study, lambda params: params["seed"] < 3)
    assert study.refusal() == (
        "experiment.py differs within svc / iris, svc / wine, tree / iris and 1 more; "
        f"qexp requeue {study.name} --stale"
    )
    assert {cell.marks for cell in cells(study.table(allow="mixed"))} == {("a",)}


def test_two_code_versions_between_cells_are_noted(make_study):
    study = with_code(make_study, lambda params: params["classifier"] == "svc")
    table = study.table()
    assert texts(table, "code") == [f"{study.name}: experiment.py differs between cells"]
    assert any(line.startswith("code: ") for line in table.provenance)


def test_code_that_is_older_than_the_newest_revision_is_noted(make_study):
    study = with_code(make_study, lambda params: True)
    assert texts(study.table(), "code") == [f"{study.name}: experiment.py differs from the newest revision"]


def test_code_of_unknown_imports_counts_as_imported(make_study):
    study = with_code(make_study, lambda params: params["seed"] < 3, imports=None)
    assert "experiment.py differs within svc / iris" in study.refusal()


def test_an_edited_readme_mixes_nothing(make_study):
    study = with_code(make_study, lambda params: params["seed"] < 3, file="README.md")
    table = study.table()
    assert texts(table, "mixed") + texts(table, "code") == []


def test_code_of_two_studies_within_a_cell_is_refused(make_study):
    # Given two studies that have half of the seeds each, with different code
    first = make_study().enqueue(parameters=SMALL).end(accuracy)
    second = make_study()
    second.write("experiment.py", "def f(**params): return 2\n")
    second.enqueue(parameters={"classifier": CLASSIFIERS, "seed": {"range": [5, 10]}}).end(accuracy)
    # Then no cell may have both, but rows may
    with pytest.raises(RefusedError, match=r"experiment.py differs within svc, tree"):
        qexp.table([first.name, second.name], "accuracy", "classifier", client=first.client)
    table = qexp.table([first.name, second.name], "accuracy", "study", "classifier", client=first.client)
    assert [cell.n for cell in cells(table)] == [5] * 4


def test_settings_of_two_studies_are_refused_within_a_cell_and_noted_between_cells(make_study):
    first = make_study().enqueue(parameters=SMALL, settings={"epochs": 10}).end(accuracy)
    other = {"classifier": CLASSIFIERS, "seed": {"range": [5, 10]}}
    second = make_study().enqueue(parameters=other, settings={"epochs": 20}).end(accuracy)
    names = [first.name, second.name]
    said = f"epochs = 10 in {first.name}, 20 in {second.name}"
    with pytest.raises(RefusedError, match=f"svc, tree: studies of different settings: {said}"):
        qexp.table(names, "accuracy", "classifier", client=first.client)
    table = qexp.table(names, "accuracy", "study", "classifier", client=first.client)
    assert texts(table, "settings") == [f"the studies have different settings: {said}"]


def on_two_workers(
    make_study, first, second, chosen=lambda params: params["seed"] < 3, imports=IMPORTS, ending=accuracy
):
    """Return a study whose *chosen* experiments ran on one worker, the others on another one."""
    study = make_study().enqueue(parameters=GRID)
    study.end(lambda p: ending(p) if chosen(p) else None, worker=study.worker(**first), imports=imports)
    return study.end(ending, worker=study.worker(**second), imports=imports)


OLD, NEW = {"packages": {"numpy": "1.26.4", "pytest": "8.1"}}, {"packages": {"numpy": "2.1.0", "pytest": "8.1"}}


def test_two_versions_of_an_imported_package_within_a_cell_are_refused(make_study):
    study = on_two_workers(make_study, OLD, NEW)
    assert study.refusal() == (
        "versions of numpy (1.26.4 and 2.1.0) differ within svc / iris, svc / wine, tree / iris and 1 more"
    )


def test_two_versions_of_an_imported_package_between_cells_are_noted(make_study):
    study = on_two_workers(make_study, OLD, NEW, lambda params: params["classifier"] == "svc")
    assert texts(study.table(), "packages") == ["versions of numpy (1.26.4 and 2.1.0) differ between cells"]


def test_two_versions_of_a_package_that_was_not_imported_mix_nothing(make_study):
    study = on_two_workers(make_study, OLD, {"packages": {"numpy": "1.26.4", "pytest": "8.3"}})
    table = study.table()
    assert texts(table, "mixed") + texts(table, "packages") == []


def test_a_package_is_known_by_its_module_wherever_the_table_is_made(make_study):
    imports = Imports(("experiment.py",), ("cv2",))
    versions = ({"packages": {"opencv-python": version}} for version in ("4.9", "4.10"))
    study = on_two_workers(make_study, *versions, imports=imports)
    assert "versions of opencv-python (4.10 and 4.9) differ within" in study.refusal()


def test_an_attempt_with_unknown_imports_may_have_imported_what_others_did(make_study):
    study = make_study().enqueue(parameters=GRID)
    study.end(lambda p: accuracy(p) if p["seed"] < 3 else None, worker=study.worker(**OLD))
    study.end(accuracy, worker=study.worker(**NEW), imports=None)
    assert "versions of numpy (1.26.4 and 2.1.0) differ within" in study.refusal()


@pytest.mark.parametrize("metric", ["duration", "fit_time", "images_per_second"])
@pytest.mark.parametrize("second", [{"cpu": "another processor"}, {"gpu": "a GPU"}])
def test_timings_of_different_machines_are_refused(make_study, metric, second):
    def timed(params):
        return {**accuracy(params), "fit_time": params["seed"], "images_per_second": params["seed"]}

    study = on_two_workers(make_study, {}, second, ending=timed)
    assert f"{metric} comes from different machines: a" in study.refusal(metric)
    assert study.table("accuracy").cell("svc", "iris").n == 5


def test_attempt_shopping_is_noted(finished_study):
    # Given a done experiment that was requeued until its result was better
    study = finished_study(GRID)
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.client.requeue(parse([str(number)]))
    study.end(lambda _: {"accuracy": 0.999})
    # Then the table has the last result, and a note marks the cell
    table = study.table()
    (note,) = [note for note in table.notes if note.kind == "repeated"]
    assert note.text == "results that replaced another one of the same settings and code: 1 in svc / iris"
    assert note.command == f"qexp show {number}"
    assert table.cell("svc", "iris").marks == (note.mark,)
    assert [cell.n for cell in cells(table)] == [5] * 4


def test_attempt_shopping_behind_a_new_revision_is_noted(finished_study):
    study = finished_study(GRID)
    study.write("README.md", "a reason for a new revision")
    study.enqueue(parameters=GRID)
    study.client.requeue(parse([study.name], ["done"]))
    study.end(accuracy)
    assert texts(study.table(), "repeated") == [
        "results that replaced another one of the same settings and code: 20 in svc / iris, svc / wine, tree / iris "
        "and 1 more"
    ]


@pytest.mark.parametrize("change", ["settings", "code"])
def test_results_that_were_stale_and_ran_again_are_no_shopping(finished_study, change):
    study = finished_study(GRID)
    if change == "code":
        study.write("experiment.py", "def f(**params): return 2\n")
    study.enqueue(parameters=GRID, settings={"epochs": 2} if change == "settings" else {})
    study.client.requeue(parse([study.name], stale=True))
    study.end(accuracy)
    assert texts(study.table(), "repeated") == []


@pytest.mark.parametrize("statistic", ["mean±std", "sem", "ci95", "iqm", "median"])
def test_a_seed_without_effect_is_warned_of(finished_study, statistic):
    study = finished_study(GRID, lambda params: accuracy(params | {"seed": 0}))
    assert (
        "the spread of accuracy is 0 in svc / iris, svc / wine, tree / iris and 1 more: does seed reach the function?"
    ) in texts(study.table(statistic=statistic), "warning")


def test_equal_arms_are_warned_of(finished_study):
    study = finished_study(GRID, lambda params: {"accuracy": 1 / 6 + params["seed"] / 100})
    assert texts(study.table(), "warning") == ["all rows have the same accuracy in iris, wine"]


def test_a_fold_is_no_replicate_by_accident(finished_study):
    study = finished_study(SMALL | {"fold": [0, 1, 2]})
    assert study.refusal(columns="") == (
        "fold has several values in one cell (0, 1); "
        "choose --rows, --columns, --average or --best fold, --over seed,fold"
    )


def test_an_open_axis_that_is_allowed_pools_its_values_and_says_so(finished_study):
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
    # Given a fold that code added for one seed only
    study = finished_study({"classifier": ["svc"], "seed": {"range": [0, 5]}, "fold": [0, 1]}, folded)
    study.client.extend(study.name, [{"classifier": "svc", "seed": 0, "fold": 2}])
    study.end(folded)
    # Then the other seeds lack it
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
    with pytest.raises(SummaryError, match="so the best of several values would look too good"):
        study.table(columns="", best="lr", by=by)


def test_a_selection_is_by_the_mean_over_all_seeds(finished_study):
    # Given a rate that is the best one for three of five seeds, and not by its mean
    def ending(params):
        wins = params["lr"] == 0.01 and params["seed"] < 3
        loses = params["lr"] == 0.01 and params["seed"] >= 3
        val = 0.71 if wins else 0.1 if loses else 0.7
        return {"accuracy": params["lr"] + params["seed"] / 100, "val_accuracy": val}

    study = finished_study(TUNED, ending)
    table = study.table(columns="", best="lr", by="val_accuracy")
    assert [cell.center for cell in cells(table)] == [mean([0.1, 0.11, 0.12, 0.13, 0.14])] * 2
    assert texts(table, "choice") == [
        "lr: in each cell the value with the highest mean val_accuracy over all replicates",
        "chosen lr: svc: 0.1; tree: 0.1",
    ]


def test_a_selection_never_takes_the_mean_of_survivors(finished_study):
    # Given a rate that diverges for all seeds but one, which is excellent
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


def test_experiments_that_the_grid_leaves_out_are_not_shown_and_noted(finished_study):
    study = finished_study(GRID)
    study.enqueue(parameters=GRID | {"seed": [0, 1, 2]})
    table = study.table()
    assert [cell.n for cell in cells(table)] == [3] * 4
    (note,) = [note for note in table.notes if note.kind == "excluded"]
    assert note.text == f"not shown: 8 done experiments of {study.name} that the newest grid leaves out"
    assert note.command == f"qexp list {study.name} --orphaned"
    assert f"excluded: {note.text}" in table.provenance


def test_experiments_that_code_added_are_noted(finished_study):
    study = finished_study(GRID)
    study.client.extend(study.name, [{"classifier": "svc", "dataset": "iris", "seed": 77}])
    study.end(accuracy)
    table = study.table()
    assert texts(table, "added") == ["experiments that code added beside the grid: 1 in svc / iris"]
    assert "the grid has 5 replicates in svc / wine, tree / iris, tree / wine, 6 in svc / iris" in texts(
        table, "warning"
    )


def test_deleted_rows_are_noticed(finished_study):
    study = finished_study(GRID)
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.raw.execute("DELETE FROM experiment WHERE id = %s", [number])
    assert study.refusal() == (
        f"1 experiment of the newest grid of {study.name} is not in the database; qexp enqueue grid.yaml"
    )


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "grid",
    [
        {"parameters": {"classifier": ["svc"], "seed": {"integers": [0, 2]}}, "sampling": {"samples": 20}},
        {"parameters": {"classifier": ["svc"], "seed": [0, 1, 2]}, "include": [{"classifier": "svc", "seed": 1}]},
    ],
)
def test_a_grid_that_has_an_experiment_twice_lacks_nothing(make_study, grid, again):
    study = make_study()
    if again:
        study.enqueue(parameters={"classifier": ["svc"], "seed": [0]}).end(accuracy)
    study.enqueue(**grid).end(accuracy)
    assert study.table(columns="").cells[0][0].n == 3


def test_running_experiments_are_missing(make_study):
    study = make_study().enqueue(parameters=GRID).end(only(None))
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.claim(number)
    assert study.refusal() == f"1 experiment is not finished yet in svc / iris; qexp wait {study.name}"


def test_experiments_of_a_paused_study_need_a_resume(finished_study):
    study = finished_study(GRID, only(None))
    study.client.pause(study.name)
    assert study.refusal() == f"1 experiment is in a paused study in svc / iris; qexp resume {study.name}"


def test_cancelled_experiments_are_missing(finished_study):
    study = finished_study(GRID, only(None))
    study.client.cancel(parse([study.name], ["queued", "pending"]))
    assert study.refusal() == (f"1 experiment is cancelled in svc / iris; qexp requeue {study.name} --status cancelled")


def test_unpaired_seeds_are_left_out_of_paired_tests(make_study):
    # Given two rows that have eight seeds in common, each with others besides, which are far off
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


def test_a_p_value_that_few_replicates_cannot_reach_is_not_printed(finished_study):
    table = finished_study(GRID).table(baseline="svc")
    assert [cell.p for cell in cells(table)] == [None] * 4
    (said,) = [text for text in texts(table, "test") if "p-value" in text]
    assert "cannot reach 0.05 over 2 comparisons with n = 5" in said
    assert "n = 7 is the least that can" in said


@pytest.mark.parametrize(
    "where",
    ["accuracy > 0.5", "result.accuracy > 0.5", "status = 'done'", "\"status\" = 'done'", "seed < 3 and duration < 9"],
)
def test_a_condition_on_results_or_status_is_refused(finished_study, where):
    with pytest.raises(SummaryError, match="a table is narrowed by parameters only"):
        finished_study(GRID).table(where=where)


def test_a_condition_on_a_fact_is_refused_though_a_parameter_has_its_name(finished_study):
    study = finished_study({"classifier": CLASSIFIERS, "status": ["a", "b"], "seed": [0, 1]})
    with pytest.raises(SummaryError, match="a table is narrowed by parameters only"):
        study.table(columns="", where="status = 'done'")
    assert [cell.n for cell in cells(study.table(columns="", where="param.status = 'a'"))] == [2, 2]


def test_a_narrowed_table_says_so(finished_study):
    table = finished_study(GRID).table(where="seed < 3")
    assert texts(table, "excluded") == ["only experiments for which seed < 3 holds"]
    assert [cell.n for cell in cells(table)] == [3] * 4


def run(command):
    """Run a command as a shell would, with the installed qexp of this interpreter."""
    program, *words = shlex.split(command)
    assert program == "qexp"
    return subprocess.run([sys.executable, "-m", "qexp", *words], check=True, capture_output=True, text=True).stdout


def test_the_commands_of_refusals_work_when_pasted(finished_study):
    # Given a failed, a cancelled and a running experiment, and one without the metric, of a condition with quotes
    endings = {0: FAILED, 1: {"loss": 1.0}, 2: None}
    study = finished_study(GRID | {"name": ['it\'s "so"']}, lambda p: endings.get(p["seed"], accuracy(p)))
    study.client.cancel(parse([study.name], where="seed = 2 and classifier = 'svc'"))
    # When the commands of the refusal run
    reasons = study.refusals(where="name = 'it''s \"so\"' and seed < 5")
    kinds = [reason.partition("; ")[2] for reason in reasons]
    printed = [run(command) for command in kinds if not command.startswith("qexp wait")]
    # Then they do what they promise
    assert [command.split()[1] for command in kinds] == ["requeue", "requeue", "wait", "show"]
    assert [text.split()[:2] for text in printed[:2]] == [["4", "requeued:"], ["2", "requeued:"]]
    assert study.refusals()[0].startswith("8 experiments are not finished yet")


def test_reasons_are_short_whatever_the_labels_are(make_study):
    # Given labels of 300 characters, with line breaks, and many of them
    parameters = {"classifier": [f"{n}\n{'x' * 300}" for n in range(5)], "dataset": ["y" * 300, "z"], "seed": [0, 1]}
    study = make_study().enqueue(parameters=parameters | {"open": ["v" * 300, "w" * 300]}, settings={"text": "s" * 300})
    study.end(lambda p: accuracy(p) if p["seed"] == 0 else FAILED)
    study.enqueue(parameters=parameters | {"open": ["v" * 300, "w" * 300]}, settings={"text": "t" * 300})
    # Then every reason fits on a line
    for reason in study.refusals():
        assert len(reason.partition("; qexp")[0]) <= 160
        assert "\n" not in reason


# results and parameters of unusual kinds


def test_a_bool_metric_is_a_rate(finished_study):
    study = finished_study(SMALL, lambda params: {"solved": params["seed"] < 2})
    assert [cell.center for cell in cells(study.table("solved", columns=""))] == [pytest.approx(0.4)] * 2


@pytest.mark.parametrize("value", ["0.9", [0.9], {"top1": 0.9}])
def test_a_metric_that_is_no_number_is_an_error(finished_study, value):
    study = finished_study(GRID, only({"accuracy": value}))
    with pytest.raises(SummaryError, match=f"in 1 experiment of {study.name}, expected a number; qexp show "):
        study.table(allow="missing,nan,mixed,open")


@pytest.mark.parametrize("result", [{"loss": 0.1}, {"accuracy": None}])
def test_a_metric_that_some_results_lack_is_missing(finished_study, result):
    study = finished_study(GRID, only(result))
    assert study.refusal().startswith("1 done experiment has no accuracy in svc / iris; qexp show ")
    assert study.table(allow="missing").cell("svc", "iris").count_text == "(4/5)"


def test_a_nested_result_is_named_with_dots(finished_study):
    study = finished_study(SMALL, lambda params: {"train": {"acc": params["seed"]}, "test.acc": 2 * params["seed"]})
    assert [cell.center for cell in cells(study.table("train.acc", columns=""))] == [2.0, 2.0]
    assert [cell.center for cell in cells(study.table("test.acc", columns=""))] == [4.0, 4.0]
    with pytest.raises(SummaryError, match=r"no done experiment of \S+ has 'train.ac' \(did you mean 'train.acc'\?\)"):
        study.table("train.ac", columns="")


def test_a_result_named_like_a_parameter_is_a_metric(finished_study):
    study = finished_study(SMALL, lambda params: {"seed": params["seed"] * 2})
    assert [cell.center for cell in cells(study.table("seed", columns=""))] == [4.0, 4.0]


def test_a_measured_fact_keeps_its_name_though_a_result_has_it(finished_study):
    study = finished_study(SMALL, lambda params: {"duration": 1000 + params["seed"]})
    assert all(cell.center < 1000 for cell in cells(study.table("duration", columns="", allow="mixed")))
    assert [cell.center for cell in cells(study.table("result.duration", columns=""))] == [1002.0, 1002.0]


def test_facts_are_metrics(finished_study):
    def ending(params):
        usage = hot.Usage(cpu_seconds=params["seed"], peak_memory=2**40 + params["seed"])
        return hot.Outcome(result={"accuracy": 1}, usage=usage, imports=IMPORTS)

    study = finished_study(SMALL, ending)
    assert [cell.center for cell in cells(study.table("cpu_seconds", columns=""))] == [2.0, 2.0]
    assert [cell.center for cell in cells(study.table("peak_memory", columns=""))] == [2.0**40 + 2] * 2
    with pytest.raises(SummaryError, match=r"no done experiment of .* has 'energy_kwh'"):
        study.table("energy_kwh", columns="")


def test_cpu_seconds_of_a_last_attempt_only_are_noted(finished_study):
    study = finished_study(SMALL, lambda p: hot.Outcome({"accuracy": 1}, usage=hot.Usage(cpu_seconds=p["seed"])))
    (number,) = study.ids("classifier = 'svc' and seed = 3")
    study.raw.execute("UPDATE experiment SET seconds_before = 60 WHERE id = %s", [number])
    assert texts(study.table("cpu_seconds", columns=""), "continued") == [
        "experiments that went on from a checkpoint, so cpu_seconds counts the last attempt only: 1 in svc"
    ]
    assert texts(study.table("duration", columns=""), "continued") == []


def test_keys_of_mappings_are_axes_beside_dotted_parameters(finished_study):
    parameters = {
        "optimizer": [{"name": "sgd"}, {"name": "adam"}],
        "optimizer.lr": [0.1, 0.01],
        "seed": [0, 1, 2],
    }
    study = finished_study(parameters, lambda p: {"accuracy": p["seed"] + p["optimizer.lr"]})
    table = study.table(rows="optimizer.name", columns="optimizer.lr")
    assert (table.rows, table.columns) == ((("sgd",), ("adam",)), (("0.1",), ("0.01",)))
    assert [cell.center for cell in cells(table)] == pytest.approx([1.1, 1.01, 1.1, 1.01])
    assert "optimizer.lr has several values in one cell (0.1, 0.01)" in study.refusal(rows="optimizer.name", columns="")
    with pytest.raises(SummaryError, match=r"did you mean 'optimizer.name'"):
        study.table(rows="optimizer.nam", columns="")


def test_parameters_of_a_condition_are_absent_elsewhere(finished_study):
    when = [{"if": {"classifier": "tree"}, "parameters": {"depth": [None, 3]}}]
    study = finished_study({"classifier": CLASSIFIERS, "seed": [0, 1]}, when=when)
    table = study.table(rows="classifier,depth", columns="")
    assert table.rows == (("svc", "—"), ("tree", "null"), ("tree", "3"))
    assert [cell.n for cell in cells(table)] == [2, 2, 2]
    assert "depth has several values in one cell (null, 3)" in study.refusal(columns="")


def test_values_of_different_kinds_are_different_rows(finished_study):
    values = [1, "1", True, None, "null", [1, 2], "—"]
    study = finished_study({"x": values, "seed": [0, 1]})
    table = study.table(rows="x", columns="")
    assert table.rows == (("1",), ('"1"',), ("true",), ("null",), ('"null"',), ("[1, 2]",), ("—",))
    assert [cell.n for cell in cells(table)] == [2] * 7


def test_open_values_that_python_takes_for_equal_are_named(finished_study):
    study = finished_study({"classifier": CLASSIFIERS, "flag": [1, True], "seed": [0, 1]})
    assert "flag has several values in one cell (1, true)" in study.refusal(columns="")


def test_huge_and_tiny_numbers_and_negative_zero_are_values(finished_study):
    study = finished_study({"x": [2**70, 1e-300, -0.0], "seed": [0, 1]}, lambda p: {"accuracy": p["x"]})
    table = study.table(rows="x", columns="")
    assert [cell.center for cell in cells(table)] == [2.0**70, 1e-300, 0.0]
    assert table.rows[0] == (str(2**70),)


def test_a_label_that_two_values_share_is_not_used(finished_study):
    table = finished_study(SMALL).table(columns="", labels={"svc": "method", "tree": "method"})
    assert table.rows == (("svc",), ("tree",))


# requests that cannot be met


def test_a_thousand_and_one_rows_ask_for_a_condition(finished_study):
    study = finished_study({"x": {"range": [0, 1001]}}, lambda params: {"accuracy": 1} if params["x"] == 0 else None)
    with pytest.raises(SummaryError) as error:
        study.table(rows="x", columns="")
    assert str(error.value) == "--rows x: found 1,001 rows, expected at most 1,000; choose some with --where"


def test_a_study_of_which_nothing_is_done_has_no_table(finished_study):
    study = finished_study(GRID, lambda params: {"accuracy": 1} if params["seed"] == 0 else None)
    with pytest.raises(SummaryError, match="nothing is done yet; 'qexp status"):
        study.table(where="seed = 3")
    with pytest.raises(SummaryError, match="there is no experiment for which seed > 7 holds"):
        study.table(where="seed > 7")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "acuracy"}, "has no result 'acuracy' (did you mean 'accuracy'?)"),
        ({"metric": "seed"}, "'seed' is a parameter of"),
        ({"rows": "clasifier"}, "there is no parameter 'clasifier' (did you mean 'classifier'?)"),
        ({"rows": "accuracy"}, "'accuracy' is a result, expected a parameter"),
        ({"average": "fold"}, "there is no parameter 'fold'; there are classifier, dataset, seed"),
        ({"over": "sed"}, "there is no parameter 'sed' (did you mean 'seed'?)"),
        ({"baseline": "scv"}, "--baseline: there is no row 'scv' (did you mean 'svc'?)"),
        ({"sort": "irsi"}, "--sort: found 'irsi', expected grid, name, value or a column: iris, wine"),
        ({"columns": "classifier"}, "'classifier' is in --rows and in --columns; an axis has one role"),
        ({"best": "lr"}, "there is no parameter 'lr'"),
        ({"by": "loss"}, "--by loss: say what it chooses, such as --best lr"),
        ({"scale": -1.0}, "scale: Input should be greater than 0"),
        ({"allow": "all"}, "allow: found 'all', expected some of missing, mixed, nan, open"),
        ({"where": "sed = 1"}, "there is no parameter or result 'sed' (did you mean 'seed'?)"),
    ],
)
def test_unknown_names_are_errors_of_one_line(finished_study, options, message):
    study = finished_study({"classifier": CLASSIFIERS, "dataset": DATASETS, "seed": [0, 1]})
    options = {"by": "loss"} | options if "best" in options else options
    with pytest.raises(QexpError) as error:
        study.table(**options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_seed_may_be_a_row(finished_study):
    table = finished_study(GRID).table(rows="seed", over="", columns="classifier,dataset")
    assert len(table.rows) == 5
    assert finished_study(GRID).table(rows="seed", columns="classifier,dataset").over == ()


def test_a_parameter_that_the_newest_grid_dropped_is_unknown(finished_study):
    study = finished_study(GRID | {"depth": [3]})
    study.enqueue(parameters=GRID).end(accuracy)
    with pytest.raises(SummaryError, match="no experiment has the parameter 'depth'"):
        study.table(rows="depth")
    assert [cell.n for cell in cells(study.table())] == [5] * 4


def test_every_cell_is_a_cell_or_not_in_the_grid(finished_study):
    parameters = {"classifier": CLASSIFIERS, "dataset": DATASETS, "seed": [0, 1]}
    study = finished_study(parameters, exclude=[{"classifier": "svc", "dataset": "wine"}])
    table = study.table()
    assert table.cell("svc", "wine") is None
    assert isinstance(table.cell("svc", "iris"), Cell)
