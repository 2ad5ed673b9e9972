"""Results and parameters of unusual types, and invalid requests."""

import pytest
from finished_studies import (
    CLASSIFIERS,
    DATASETS,
    GRID,
    IMPORTS,
    SMALL,
    accuracy,
    cells,
    only,
    texts,
)

from qexp.analysis.table.model import Cell
from qexp.errors import OptionError, QexpError
from qexp.model import Outcome, Usage


def test_a_bool_metric_is_a_rate(finished_study):
    study = finished_study(SMALL, lambda params: {"solved": params["seed"] < 2})
    assert [cell.center for cell in cells(study.table("solved", columns=""))] == [pytest.approx(0.4)] * 2


@pytest.mark.parametrize("value", ["0.9", [0.9], {"top1": 0.9}])
def test_a_metric_that_is_no_number_is_an_error(finished_study, value):
    study = finished_study(GRID, only({"accuracy": value}))
    with pytest.raises(OptionError, match=f"in 1 experiment of {study.name}, expected a number; qexp show "):
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
    with pytest.raises(OptionError, match=r"no done experiment of \S+ has 'train.ac' \(did you mean 'train.acc'\?\)"):
        study.table("train.ac", columns="")


def test_a_result_named_like_a_parameter_is_a_metric(finished_study):
    study = finished_study(SMALL, lambda params: {"seed": params["seed"] * 2})
    assert [cell.center for cell in cells(study.table("seed", columns=""))] == [4.0, 4.0]


def test_a_measured_fact_keeps_its_name_beside_a_result_of_that_name(finished_study):
    study = finished_study(SMALL, lambda params: {"duration": 1000 + params["seed"]})
    assert all(cell.center < 1000 for cell in cells(study.table("duration", columns="", allow="mixed")))
    assert [cell.center for cell in cells(study.table("result.duration", columns=""))] == [1002.0, 1002.0]


def test_facts_are_metrics(finished_study):
    def ending(params):
        usage = Usage(cpu_seconds=params["seed"], peak_memory=2**40 + params["seed"])
        return Outcome(result={"accuracy": 1}, usage=usage, imports=IMPORTS)

    study = finished_study(SMALL, ending)
    assert [cell.center for cell in cells(study.table("cpu_seconds", columns=""))] == [2.0, 2.0]
    assert [cell.center for cell in cells(study.table("peak_memory", columns=""))] == [2.0**40 + 2] * 2
    with pytest.raises(OptionError, match=r"no done experiment of .* has 'energy_kwh'"):
        study.table("energy_kwh", columns="")


def test_cpu_seconds_of_a_last_attempt_only_are_noted(finished_study):
    study = finished_study(SMALL, lambda p: Outcome({"accuracy": 1}, usage=Usage(cpu_seconds=p["seed"])))
    (number,) = study.ids("classifier = 'svc' and seed = 3")
    study.raw.execute("UPDATE experiment SET seconds_before = 60 WHERE id = %s", [number])
    assert texts(study.table("cpu_seconds", columns=""), "continued") == [
        "experiments that continued from a checkpoint, so cpu_seconds counts the last attempt only: 1 in svc"
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
    assert "optimizer.lr has several values in one cell, such as 0.1 and 0.01" in study.refusal(
        rows="optimizer.name", columns=""
    )
    with pytest.raises(OptionError, match=r"did you mean 'optimizer.name'"):
        study.table(rows="optimizer.nam", columns="")


def test_parameters_of_a_condition_are_absent_elsewhere(finished_study):
    when = [{"if": {"classifier": "tree"}, "parameters": {"depth": [None, 3]}}]
    study = finished_study({"classifier": CLASSIFIERS, "seed": [0, 1]}, when=when)
    table = study.table(rows="classifier,depth", columns="")
    assert table.rows == (("svc", "—"), ("tree", "null"), ("tree", "3"))
    assert [cell.n for cell in cells(table)] == [2, 2, 2]
    assert "depth has several values in one cell, such as null and 3" in study.refusal(columns="")


def test_values_of_different_kinds_are_different_rows(finished_study):
    values = [1, "1", True, None, "null", [1, 2], "—"]
    study = finished_study({"x": values, "seed": [0, 1]})
    table = study.table(rows="x", columns="")
    assert table.rows == (("1",), ('"1"',), ("true",), ("null",), ('"null"',), ("[1, 2]",), ("—",))
    assert [cell.n for cell in cells(table)] == [2] * 7


def test_open_values_that_are_equal_in_python_are_named(finished_study):
    study = finished_study({"classifier": CLASSIFIERS, "flag": [1, True], "seed": [0, 1]})
    assert "flag has several values in one cell, such as 1 and true" in study.refusal(columns="")


def test_huge_and_tiny_numbers_and_negative_zero_are_values(finished_study):
    study = finished_study({"x": [2**70, 1e-300, -0.0], "seed": [0, 1]}, lambda p: {"accuracy": p["x"]})
    table = study.table(rows="x", columns="")
    assert [cell.center for cell in cells(table)] == [2.0**70, 1e-300, 0.0]
    assert table.rows[0] == (str(2**70),)


def test_a_label_that_two_values_share_is_not_used(finished_study):
    table = finished_study(SMALL).table(columns="", labels={"svc": "method", "tree": "method"})
    assert table.rows == (("svc",), ("tree",))


def test_a_thousand_and_one_rows_ask_for_a_condition(finished_study):
    study = finished_study({"x": {"range": [0, 1001]}}, lambda params: {"accuracy": 1} if params["x"] == 0 else None)
    with pytest.raises(OptionError) as error:
        study.table(rows="x", columns="")
    assert str(error.value) == 'rows="x": found 1,001 rows, expected at most 1,000; choose some with where'


def test_a_study_without_done_experiments_has_no_table(finished_study):
    study = finished_study(GRID, lambda params: {"accuracy": 1} if params["seed"] == 0 else None)
    with pytest.raises(OptionError, match="nothing is done yet; 'qexp status"):
        study.table(where="seed = 3")
    with pytest.raises(OptionError, match="there is no experiment for which seed > 7 holds"):
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
        ({"baseline": "scv"}, "baseline: there is no row 'scv' (did you mean 'svc'?)"),
        ({"sort": "irsi"}, "sort: found 'irsi', expected grid, name, value or a column: iris, wine"),
        ({"columns": "classifier"}, "'classifier' is in rows and in columns; an axis has one role"),
        ({"best": "lr"}, "there is no parameter 'lr'"),
        ({"by": "loss"}, 'by="loss": say what it chooses, such as best="lr"'),
        ({"scale": -1.0}, "scale: found -1.0, expected a number above 0"),
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
    with pytest.raises(OptionError, match="no experiment has the parameter 'depth'"):
        study.table(rows="depth")
    assert [cell.n for cell in cells(study.table())] == [5] * 4


def test_every_cell_is_a_cell_or_not_in_the_grid(finished_study):
    parameters = {"classifier": CLASSIFIERS, "dataset": DATASETS, "seed": [0, 1]}
    study = finished_study(parameters, exclude=[{"classifier": "svc", "dataset": "wine"}])
    table = study.table()
    assert table.cell("svc", "wine") is None
    assert isinstance(table.cell("svc", "iris"), Cell)
