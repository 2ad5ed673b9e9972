"""Common mistakes of handmade tables, each in a study: qexp refuses the table or adds a note."""

import math
import shlex
import subprocess
import sys

import pytest
from finished_studies import (
    CLASSIFIERS,
    FAILED,
    GRID,
    SMALL,
    TIMEOUT,
    accuracy,
    cells,
    is_cell,
    only,
    texts,
)

import qexp
from qexp.errors import OptionError, RefusedError
from qexp.model import Outcome
from qexp.store.selection.selectors import parse
from qexp.store.writes import claiming


def test_a_retry_is_no_second_sample(finished_study):
    # Given experiments that failed once and succeeded at the second attempt
    study = finished_study(GRID, lambda params: FAILED if params["seed"] == 0 else accuracy(params))
    study.client.requeue(parse([study.name], failed=True))
    study.end(accuracy)
    # When a table shows them
    table = study.table()
    # Then each counts once, without a note, because the first attempts had no result
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


def test_a_cell_with_one_remaining_replicate_has_a_note_and_no_spread(finished_study):
    study = finished_study(GRID, lambda p: FAILED if is_cell(p) and p["seed"] > 0 else accuracy(p))
    assert "4 experiments failed" in study.refusal()
    cell = study.table(allow="missing").cell("svc", "iris")
    assert (cell.count_text, cell.spread, cell.spread_text) == ("(1/5)", None, "—")


def test_a_cell_without_replicates_is_empty_and_not_bold(finished_study):
    study = finished_study(GRID, lambda p: FAILED if is_cell(p) else accuracy(p))
    cell = study.table(allow="missing").cell("svc", "iris")
    assert (cell.n, cell.expected, cell.center, cell.text, cell.bold) == (0, 5, None, "", False)


@pytest.mark.parametrize("bold", ["best", "tied"])
@pytest.mark.parametrize(("gap", "allow"), [({"accuracy": float("nan")}, "nan"), (FAILED, "missing")])
def test_a_cell_that_lacks_replicates_is_neither_best_nor_tied(finished_study, bold, gap, allow):
    # Given an incomplete cell that looks better than a complete row, and a third row
    def ending(params):
        if is_cell(params, seed=3):
            return gap
        return {"accuracy": accuracy(params)["accuracy"] + (params["classifier"] == "svc")}

    study = finished_study({**GRID, "classifier": [*CLASSIFIERS, "knn"]}, ending)
    table = study.table(allow=allow, bold=bold)
    # Then this cell is not bold and has a note, and another cell of its column is bold
    assert not table.cell("svc", "iris").bold
    assert table.cell("tree", "iris").bold
    assert table.cell("svc", "wine").bold
    assert "a cell that lacks replicates is never bold" in texts(table, "test")
    assert "a cell that lacks replicates is never bold" not in texts(study.table(allow=allow, bold="none"), "test")


def test_a_partial_result_of_a_failed_experiment_is_never_in_a_table(finished_study):
    partial = Outcome(result={"accuracy": 0.999}, error=FAILED.error)
    study = finished_study(GRID, only(partial))
    assert study.refusal().startswith("1 experiment failed (1 error) in svc / iris")
    table = study.table(allow="missing")
    assert table.cell("svc", "iris").n == 4
    assert 0.999 not in table.cell("svc", "iris").values


def test_an_accepted_partial_result_is_in_the_table_with_a_note(finished_study):
    # Given a failed attempt whose recorded result a user accepted
    study = finished_study(GRID, only(Outcome(result={"accuracy": 0.999}, error=FAILED.error)))
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.client.accept(parse([str(number)]))
    # When a table shows it
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
    # Given a silent worker, and a successor that finished
    study = make_study().enqueue(parameters={"classifier": ["svc"], "seed": [0]})
    (number,) = study.ids()
    silent_worker = study.worker()
    silent = study.claim(number, silent_worker)
    claiming.release(study.raw, silent_worker)
    study.end(lambda _: {"accuracy": 0.5})
    # When the first worker writes
    assert claiming.finish(study.raw, silent, Outcome(result={"accuracy": 0.9})) is None
    # Then the table has only the successor's result
    assert study.table(columns="").cells[0][0].values.tolist() == [0.5]


def test_a_requeue_that_failed_leaves_a_gap_and_no_old_result(finished_study):
    study = finished_study(GRID)
    (number,) = study.ids("classifier = 'svc' and dataset = 'iris' and seed = 3")
    study.client.requeue(parse([str(number)]))
    study.end(lambda _: FAILED)
    assert study.refusal().startswith("1 experiment failed (1 error) in svc / iris")
    assert study.table(allow="missing").cell("svc", "iris").n == 4


@pytest.mark.parametrize("statistic", ["mean±std", "sem", "ci95", "iqm", "median"])
def test_a_seed_without_effect_gives_a_warning(finished_study, statistic):
    study = finished_study(GRID, lambda params: accuracy(params | {"seed": 0}))
    assert (
        "the spread of accuracy is 0 in svc / iris, svc / wine, tree / iris and 1 more: does the function use seed?"
    ) in texts(study.table(statistic=statistic), "warning")


def test_equal_rows_give_a_warning(finished_study):
    study = finished_study(GRID, lambda params: {"accuracy": 1 / 6 + params["seed"] / 100})
    assert texts(study.table(), "warning") == ["all rows have the same accuracy in iris, wine"]


def test_experiments_outside_the_grid_are_left_out_with_a_note(finished_study):
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


def run(command):
    """Run a command in a shell, with the installed qexp of this interpreter."""
    program, *words = shlex.split(command)
    assert program == "qexp"
    return subprocess.run([sys.executable, "-m", "qexp", *words], check=True, capture_output=True, text=True).stdout


def test_the_commands_of_refusals_work_when_pasted(finished_study):
    # Given a failed, a cancelled and a running experiment, one without the metric, and a quoted condition
    endings = {0: FAILED, 1: {"loss": 1.0}, 2: None}
    study = finished_study(GRID | {"name": ['it\'s "so"']}, lambda p: endings.get(p["seed"], accuracy(p)))
    study.client.cancel(parse([study.name], where="seed = 2 and classifier = 'svc'"))
    # When the commands of the refusal run
    reasons = study.refusals(where="name = 'it''s \"so\"' and seed < 5")
    kinds = [reason.partition("; ")[2] for reason in reasons]
    printed = [run(command) for command in kinds if not command.startswith("qexp wait")]
    # Then they have the promised effect
    assert [command.split()[1] for command in kinds] == ["requeue", "requeue", "wait", "show"]
    assert [text.split()[:2] for text in printed[:2]] == [["4", "requeued:"], ["2", "requeued:"]]
    assert study.refusals()[0].startswith("8 experiments are not finished yet")


def test_reasons_are_short_for_any_labels(make_study):
    # Given labels of 300 characters, with line breaks, and many of them
    parameters = {"classifier": [f"{n}\n{'x' * 300}" for n in range(5)], "dataset": ["y" * 300, "z"], "seed": [0, 1]}
    study = make_study().enqueue(parameters=parameters | {"open": ["v" * 300, "w" * 300]}, settings={"text": "s" * 300})
    study.end(lambda p: accuracy(p) if p["seed"] == 0 else FAILED)
    study.enqueue(parameters=parameters | {"open": ["v" * 300, "w" * 300]}, settings={"text": "t" * 300})
    # Then every reason fits on a line
    for reason in study.refusals():
        assert len(reason.partition("; qexp")[0]) <= 160
        assert "\n" not in reason


def test_a_choice_of_the_best_seed_is_refused(make_study):
    study = make_study().enqueue(parameters=GRID).end(accuracy)
    with pytest.raises(OptionError, match='best="seed": the luckiest seed would be shown'):
        study.table(best="seed", by="val_accuracy")


def test_one_direction_for_metrics_of_two_is_refused(make_study):
    study = make_study().enqueue(parameters=GRID).end(lambda params: {**accuracy(params), "rmse": 0.1})
    with pytest.raises(OptionError, match="maximize=True holds for every metric, and rmse is better if smaller"):
        study.table(metrics="accuracy,rmse", maximize=True)
