"""Results of different settings, code, packages or machines are refused or noted, never averaged silently."""

import pytest
from finished_studies import (
    CLASSIFIERS,
    FAILED,
    GRID,
    IMPORTS,
    SMALL,
    accuracy,
    cells,
    is_cell,
    texts,
)

import qexp
from qexp.errors import RefusedError
from qexp.model import Imports
from qexp.store.selection.selectors import parse


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
    # Given failed experiments of a first revision, requeued under a second one with done results
    study = make_study().enqueue(parameters=GRID, settings={"epochs": 10}).end(lambda _: FAILED)
    study.enqueue(parameters=GRID, settings={"epochs": 20})
    study.client.requeue(parse([study.name], failed=True))
    study.end(accuracy)
    # Then the table and its file contain only the second revision
    table = study.table()
    assert texts(table, "mixed") == []
    assert [line[:11] for line in table.provenance if line.startswith("revision ")] == ["revision 2:"]


def with_code(make_study, chosen, imports=IMPORTS, file="experiment.py"):
    """Return a study whose *chosen* experiments ran before an edit of a file, and the others after it."""
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


def test_two_code_versions_between_cells_are_refused(make_study):
    study = with_code(make_study, lambda params: params["classifier"] == "svc")
    said = f"{study.name}: experiment.py differs between cells"
    assert study.refusal() == f"{said}; qexp requeue {study.name} --stale"
    table = study.table(allow="mixed")
    assert texts(table, "mixed") == [said]
    assert any(line == f"mixed: {said}" for line in table.provenance)


def test_code_that_is_older_than_the_newest_revision_is_noted(make_study):
    study = with_code(make_study, lambda params: True)
    assert texts(study.table(), "code") == [f"{study.name}: experiment.py differs from the newest revision"]


def test_code_of_unknown_imports_counts_as_imported(make_study):
    study = with_code(make_study, lambda params: params["seed"] < 3, imports=None)
    assert "experiment.py differs within svc / iris" in study.refusal()


def test_results_of_unknown_imports_are_noted(make_study):
    # Given results of two code versions in different rows, without recorded imports
    study = with_code(make_study, lambda params: params["classifier"] == "svc", imports=None)
    # Then a note says that all files count
    (said,) = texts(study.table(allow="mixed"), "unknown")
    assert said == (
        "the imports of 20 results in svc / iris, svc / wine, tree / iris and 1 more are not known, "
        "so all files and packages count"
    )


def test_an_edited_readme_mixes_nothing(make_study):
    study = with_code(make_study, lambda params: params["seed"] < 3, file="README.md")
    table = study.table()
    assert texts(table, "mixed") + texts(table, "code") == []


def test_code_of_two_studies_within_a_cell_is_refused(make_study):
    # Given two studies with different code and half of the seeds each
    first = make_study().enqueue(parameters=SMALL).end(accuracy)
    second = make_study()
    second.write("experiment.py", "def f(**params): return 2\n")
    second.enqueue(parameters={"classifier": CLASSIFIERS, "seed": {"range": [5, 10]}}).end(accuracy)
    # Then a cell may not mix them, but rows may
    reason = 'experiment.py differs within svc, tree; choose rows="study" or columns="study"'
    with pytest.raises(RefusedError, match=reason):  # a repeated run of one of them does not help
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


def test_a_package_is_known_by_its_module_on_every_machine(make_study):
    imports = Imports(("experiment.py",), ("cv2",))
    versions = ({"packages": {"opencv-python": version}} for version in ("4.9", "4.10"))
    study = on_two_workers(make_study, *versions, imports=imports)
    assert "versions of opencv-python (4.10 and 4.9) differ within" in study.refusal()


def test_an_attempt_with_unknown_imports_may_have_imported_the_files_of_others(make_study):
    study = make_study().enqueue(parameters=GRID)
    study.end(lambda p: accuracy(p) if p["seed"] < 3 else None, worker=study.worker(**OLD))
    study.end(accuracy, worker=study.worker(**NEW), imports=None)
    assert "versions of numpy (1.26.4 and 2.1.0) differ within" in study.refusal()


def test_results_of_an_unknown_environment_are_noted(make_study):
    # Given a cell with one result of a worker without a recorded environment
    study = make_study().enqueue(parameters=GRID)
    study.end(lambda p: accuracy(p) if not is_cell(p, seed=3) else None, worker=study.worker(**OLD))
    nameless = study.worker(**OLD)
    study.raw.execute("UPDATE worker SET environment = NULL WHERE id = %s", [nameless])
    study.end(accuracy, worker=nameless)
    # Then the table is shown with a note about the unknown environment
    assert texts(study.table(), "unknown") == [
        "the packages and machines of 1 result in svc / iris are not known, so nothing is compared with them"
    ]


def test_results_whose_imports_and_environments_are_known_have_no_such_note(make_study):
    table = on_two_workers(make_study, OLD, {**OLD, "cpu": "another processor"}).table()
    assert texts(table, "unknown") == []


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
    # Then the table has the last result, and a note names the cell and the experiment
    table = study.table()
    (note,) = [note for note in table.notes if note.kind == "repeated"]
    assert note.text == "results that replaced another one of the same settings and code: 1 in svc / iris"
    assert note.command == f"qexp show {number}"
    assert 0.999 in table.cell("svc", "iris").values
    assert [cell.n for cell in cells(table)] == [5] * 4


def test_attempt_shopping_after_a_new_revision_is_noted(finished_study):
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
def test_stale_results_that_ran_again_are_no_attempt_shopping(finished_study, change):
    study = finished_study(GRID)
    if change == "code":
        study.write("experiment.py", "def f(**params): return 2\n")
    study.enqueue(parameters=GRID, settings={"epochs": 2} if change == "settings" else {})
    assert study.client.requeue(parse([study.name], stale=True)).ids == study.ids()
    study.end(accuracy)
    assert texts(study.table(), "repeated") == []
