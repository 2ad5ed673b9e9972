"""Coverage counts the newest grid in cells and gives each gap its reason and command."""

import json
import math
import shlex

import pytest
from pydantic import ValidationError
from study_support import made_study

import qexp
from qexp.analysis.coverage.export import write
from qexp.analysis.coverage.spec import CoverageSpec
from qexp.client import Study
from qexp.client.tables_and_comparisons import coverage
from qexp.errors import OptionError, UnknownStudyError
from qexp.model import Failure
from qexp.store.reads import reproduced_results
from qexp.store.selection.selectors import parse

GRID = {"model": ["svm", "tree", "mlp"], "dataset": ["iris", "wine"], "seed": {"range": [0, 4]}}


def accuracy(params):
    return {"accuracy": 0.8 + params["seed"] / 100, "loss": 0.1}


@pytest.fixture
def made(client, raw, tmp_path):
    """Give studies of different names."""
    count = iter(range(100))
    return lambda: made_study(client, raw, tmp_path / str(next(count)), "cov")


def by_kind(found):
    return {gap.kind: gap for gap in found.gaps}


def repeated(found):
    return [note.text for note in found.notes if note.kind == "repeated"]


def test_a_complete_study_is_complete_and_has_no_gaps(client, made):
    study = made().enqueue(GRID).finish(accuracy)
    found = Study(study.name, client).coverage("model", "dataset")
    assert (found.rows, found.columns) == ((("svm",), ("tree",), ("mlp",)), (("iris",), ("wine",)))
    assert found.done.tolist() == found.expected.tolist() == [[4, 4]] * 3
    assert found.is_complete and found.gaps == ()
    assert "24 of 24 done" in repr(found)


def test_each_reason_is_a_gap_of_its_own_with_its_command(client, made):
    # Given a study with every kind of outcome
    def outcome(params):
        match params["model"], params["seed"]:
            case "svm", 0:
                return Failure.ERROR if params["dataset"] == "iris" else Failure.TIMEOUT
            case "svm", 1 | 2:
                return None
            case "tree", 0:
                return {"loss": 0.2}
            case "tree", 1:
                return {"accuracy": math.nan, "loss": 0.2}
            case "mlp", 0:
                return None
        return accuracy(params)

    study = made().enqueue(GRID).finish(outcome)
    study.start("model = 'svm' and seed = 1")
    client.cancel(parse([study.name], where="model = 'mlp' and seed = 0 and dataset = 'wine'"))
    # When its coverage is computed
    found = coverage(study.name, "model", "dataset", metric="accuracy", client=client)
    gaps = by_kind(found)
    # Then every experiment that lacks a value has one reason
    assert {kind: gap.count for kind, gap in gaps.items()} == {
        "failed": 2, "valueless": 2, "diverged": 2, "cancelled": 1, "running": 2, "pending": 3,
    }  # fmt: skip
    assert gaps["failed"].text == "2 failed (1 error, 1 timeout)"
    assert found.total_done + sum(gap.count for gap in found.gaps) == found.total == 24
    assert {kind: [shlex.split(command)[1:] for command in gap.commands] for kind, gap in gaps.items()} == {
        "failed": [["requeue", study.name, "--failed"]],
        "valueless": [["requeue", study.name, "--status", "done", "--where", "accuracy is null"]],
        "diverged": [
            ["list", study.name, "--status", "done", "--where", "accuracy in ('NaN', 'Infinity', '-Infinity')"]
        ],
        "cancelled": [["requeue", study.name, "--status", "cancelled"]],
        "running": [["wait", study.name]],
        "pending": [["wait", study.name]],
    }
    # And the names of cells are as short as possible
    assert found.listed(gaps["failed"].cells) == "svm"
    assert found.listed(gaps["cancelled"].cells) == "mlp / wine"
    # And the frame agrees with the frame of experiments
    rows = client.frame(parse([study.name]))
    rows["ok"] = (rows.status == "done") & rows.accuracy.notna()
    counts = rows.groupby(["model", "dataset"], sort=False).ok.sum().reset_index()
    assert found.frame.merge(counts, on=["model", "dataset"]).eval("done == ok").all()
    assert found.frame.loc[:, list(gaps)].sum().to_dict() == {kind: gap.count for kind, gap in gaps.items()}


def test_the_selectors_of_commands_choose_the_experiments_of_the_gap(client, made):
    def outcome(params):
        return {"accuracy": math.inf if params["seed"] == 1 else None if params["seed"] == 0 else 0.5}

    study = made().enqueue(GRID).finish(outcome)
    found = coverage(study.name, metric="accuracy", where="dataset = 'iris'", client=client)
    assert by_kind(found).keys() == {"valueless", "diverged"}
    for gap in found.gaps:
        words = shlex.split(gap.commands[0])
        condition = words[words.index("--where") + 1]
        assert client.count_by_status(parse([study.name], statuses=["done"], where=condition)).total == gap.count == 3


def test_stale_results_are_gaps(client, made):
    # Given results of two settings
    study = made().enqueue(GRID, settings={"epochs": 10}).finish(accuracy, where="seed < 2")
    study.enqueue(GRID, settings={"epochs": 20}).finish(accuracy)
    # When coverage is counted, then only results of the newest settings are done
    found = coverage(study.name, client=client)
    assert (found.total_done, found.total) == (12, 24)
    assert by_kind(found)["stale"].commands == (f"qexp requeue {study.name} --stale",)


def test_experiments_outside_the_newest_grid_do_not_count(client, made):
    study = made().enqueue(GRID).finish(accuracy)
    study.enqueue({**GRID, "model": ["svm", "tree"]})
    found = coverage(study.name, client=client)
    assert (found.total_done, found.total) == (16, 16)
    assert [note.command for note in found.notes if note.kind == "excluded"] == [f"qexp list {study.name} --orphaned"]


def test_rows_that_were_deleted_are_missing_from_the_grid(client, raw, made):
    study = made().enqueue(GRID).finish(accuracy)
    ids = study.ids("model = 'mlp' and seed = 0")
    raw.execute("delete from attempt where experiment = any(%s)", [ids])
    raw.execute("delete from experiment where id = any(%s)", [ids])
    found = coverage(study.name, client=client)
    assert (found.total_done, found.total, found.is_complete) == (22, 24, False)
    assert by_kind(found)["absent"].count == 2


def test_with_over_a_replicate_is_done_when_all_of_its_experiments_are(client, made):
    study = made().enqueue({**GRID, "fold": [0, 1, 2]})
    study.finish(lambda params: None if (params["seed"], params["fold"]) == (0, 2) else accuracy(params))
    found = coverage(study.name, "model", "dataset", over="seed", client=client)
    assert found.done.tolist() == [[3, 3]] * 3
    assert found.expected.tolist() == [[4, 4]] * 3


def test_the_command_for_a_paused_study_is_resume(client, made):
    study = made().enqueue(GRID)
    client.pause(study.name, None)
    assert coverage(study.name, client=client).gaps[0].commands == (f"qexp resume {study.name}",)


def test_the_two_parameters_with_the_most_values_are_chosen(client, made):
    grid = {"one": [1], "two": [1, 2], "four": [1, 2, 3, 4], "three": [1, 2, 3], "seed": {"range": [0, 5]}}
    found = coverage(made().enqueue(grid).name, client=client)
    assert (found.row_axes, found.column_axes) == (("four",), ("three",))
    said = "chosen: --rows four --columns three: the parameters with the most values, seed left out"
    assert said in " ".join(repr(found).split())


def test_a_parameter_of_too_many_values_is_named_but_not_chosen(client, made):
    grid = {"lr": [n / 1000 for n in range(1, 70)], "two": [1, 2]}
    found = coverage(made().enqueue(grid).name, client=client)
    assert (found.row_axes, found.column_axes) == (("two",), ())
    said = "chosen: --rows two: the parameter with the most values; not chosen: lr (69 values)"
    assert said in " ".join(repr(found).split())


def test_several_studies_are_rows_with_a_command_each(client, made):
    first, second = made().enqueue(GRID), made().enqueue(GRID)
    found = coverage([first.name, second.name], client=client)
    assert found.rows == ((first.name,), (second.name,))
    assert found.gaps[0].commands == (f"qexp wait {first.name}", f"qexp wait {second.name}")


def test_repeats_that_disagree_are_counted(client, made):
    # Given four results that all run again, one with a different value
    study = made().enqueue({"seed": {"range": [0, 4]}}).finish(accuracy)
    client.requeue(parse([study.name], statuses=["done"]))
    study.queue()
    study.finish(lambda params: {"accuracy": 0.1, "loss": 0.1} if params["seed"] == 3 else accuracy(params))
    # When coverage is counted, then it says how many agree
    note = next(note for note in coverage(study.name, client=client).notes if note.kind == "repeated")
    assert note.text == "3 of 4 repeats with the same settings and code agree; the others differ in accuracy"
    assert note.command == f"qexp show {study.ids('seed = 3')[0]}"
    # And an unchanged metric agrees
    note = next(note for note in coverage(study.name, metric="loss", client=client).notes if note.kind == "repeated")
    assert note.text == "4 of 4 repeats with the same settings and code agree"


def test_repeats_of_other_revisions_count_if_their_code_is_the_same(client, made):
    # Given results that ran again after a revision without a change of code
    study = made().enqueue({"seed": {"range": [0, 4]}}).finish(accuracy)
    (study.folder / "README.md").write_text("more words")
    study.enqueue({"seed": {"range": [0, 4]}})
    client.requeue(parse([study.name], statuses=["done"]))
    study.queue()
    study.finish(accuracy)
    # Then they are repeats, for coverage as for tables
    assert repeated(coverage(study.name, client=client)) == ["4 of 4 repeats with the same settings and code agree"]
    table = qexp.table(study.name, "accuracy", client=client)
    assert repeated(table) == ["results that replaced another one of the same settings and code: 4 in the only cell"]


def test_results_of_changed_code_that_ran_again_are_no_repeats(client, made):
    study = made().enqueue({"seed": {"range": [0, 4]}}).finish(accuracy)
    study.enqueue({"seed": {"range": [0, 4]}}, "def f(**given): return 2\n")
    client.requeue(parse([study.name], statuses=["done"]))
    study.queue()
    study.finish(accuracy)
    assert repeated(coverage(study.name, client=client)) == []


def test_repeats_that_are_not_compared_are_noted(client, made, monkeypatch):
    monkeypatch.setattr(reproduced_results, "_MOST", 3)
    study = made().enqueue({"seed": {"range": [0, 4]}}).finish(accuracy)
    client.requeue(parse([study.name], statuses=["done"]))
    study.queue()
    study.finish(accuracy)
    (text,) = repeated(coverage(study.name, client=client))
    assert text == "3 of the first 3 repeats with the same settings and code agree"


def test_an_axis_with_the_name_of_a_count_is_a_column_of_its_own(client, made):
    # Given parameters that are named like counts
    study = made().enqueue({"done": ["a", "b"], "failed": [1, 2]})
    study.finish(lambda params: Failure.ERROR if params["failed"] == 1 else {"accuracy": 0.5})
    # When their coverage is a frame, then axes and counts are separate columns
    found = qexp.coverage(study.name, "done", "failed", client=client)
    assert list(found.frame.columns) == ["param.done", "param.failed", "done", "expected", "failed"]
    assert found.frame["param.done"].tolist() == ["a", "a", "b", "b"]
    assert found.frame.done.tolist() == [0, 1, 0, 1]
    assert found.data()["cells"][0] == {"param.done": "a", "param.failed": "1", "done": 0, "expected": 1, "failed": 1}


def test_coverage_knows_no_options_of_tables(client, made):
    with pytest.raises(TypeError):
        coverage(made().enqueue(GRID).name, baseline="svm", client=client)
    with pytest.raises(ValidationError):
        CoverageSpec(studies="a", baseline="svm")


def test_an_empty_grid_cell_is_neither_done_nor_missing(client, made):
    study = made().enqueue(GRID, exclude=[{"model": "mlp", "dataset": "wine"}]).finish(accuracy)
    found = coverage(study.name, "model", "dataset", client=client)
    assert found.expected.tolist() == [[4, 4], [4, 4], [4, 0]]
    assert found.is_complete
    assert "·" in repr(found)


def test_unknown_studies_and_names_are_errors(client, made):
    study = made().enqueue(GRID).finish(accuracy)
    for options, text in (
        ({"rows": "modle"}, "did you mean 'model'"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"where": "model = 'none'"}, "there is no experiment for which"),
        ({"where": "accuracy > 0.5"}, "narrowed by parameters only"),
        ({"rows": "model", "columns": "model"}, "an axis has one role"),
    ):
        with pytest.raises(OptionError, match=text):
            coverage(study.name, client=client, **options)
    with pytest.raises(UnknownStudyError):
        coverage("nothing_like_it", client=client)


def test_a_metric_of_a_study_without_results_yet_is_no_error(client, made):
    assert coverage(made().enqueue(GRID).name, metric="accuracy", client=client).total_done == 0


def test_a_metric_that_is_text_is_refused(client, made):
    study = made().enqueue(GRID).finish(lambda params: {"name": "x"})
    with pytest.raises(OptionError, match="name is text"):
        coverage(study.name, metric="name", client=client)


def test_files_hold_the_counts_and_figures_are_the_same_bytes_for_the_same_data(client, made, tmp_path):
    study = made().enqueue(GRID).finish(lambda params: accuracy(params) if params["seed"] else None)
    found = coverage(study.name, client=client)
    for suffix in ("csv", "json", "svg", "pdf", "png"):
        write(found, tmp_path / f"x.{suffix}")
        write(coverage(study.name, client=client), tmp_path / f"y.{suffix}")
        assert (tmp_path / f"x.{suffix}").read_bytes() == (tmp_path / f"y.{suffix}").read_bytes()
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == [
        "model,dataset,done,expected,pending",
        "svm,iris,3,4,1",
    ]
    assert json.loads((tmp_path / "x.json").read_text())["gaps"][0]["commands"] == [f"qexp wait {study.name}"]
    assert "3/4" in "".join(text.get_text() for axes in found.figure().axes for text in axes.texts)


def test_a_notebook_shows_cells_in_colours_and_escapes_names(client, made):
    study = made().enqueue({"model": ["<b>", "tree"], "dataset": ["iris", "wine"]})
    page = coverage(study.name, client=client)._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert page.count("0/1") == 4


def test_a_parameter_that_the_newest_grid_has_left_out_is_no_default_axis(client, made):
    # Given a study whose first grid had one more parameter
    study = made().enqueue({**GRID, "lr": [0.1, 0.2]}).finish(accuracy)
    study.enqueue(GRID).finish(accuracy)
    # When coverage and a comparison do not name this parameter
    found = Study(study.name, client)
    covered = found.coverage()
    # Then both ignore it
    assert (covered.row_axes, covered.column_axes) == (("model",), ("dataset",))
    assert len(found.compare("model", "accuracy").pairs) == 3
