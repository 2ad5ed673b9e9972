"""Stale experiments are done, but their settings, function or imported code differ from the newest revision."""

import hashlib
import uuid

import pytest

from qexp.client import Study, staleness
from qexp.errors import OptionError, RefusedError
from qexp.grid import Grid
from qexp.model import Error, Failure, Imports, Outcome
from qexp.store.reads import plotted_experiments, snapshots
from qexp.store.reads.staleness_model import ABSENT
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming


@pytest.fixture
def project(tmp_path, name):
    """A folder with a function, a helper and unused files."""
    for file in ("experiment.py", "helper.py", "other.py"):
        (tmp_path / file).write_text("def f(x, epochs=0, rate=0): ...\ndef g(x, epochs=0, rate=0): ...\n")
    (tmp_path / "README.md").write_text(name)
    return tmp_path


@pytest.fixture
def name():
    return f"stale_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def enqueue(client, project, name):
    """Enqueue the study of five experiments with the current code; the keys are grid keys."""

    def enqueue(**keys):
        grid = {"study": name, "function": "experiment:f", "parameters": {"x": [0, 1, 2, 3, 4]}, "queue": "nobody"}
        return client.enqueue(Grid.from_dict(grid | keys, project))

    return enqueue


SOURCES = "FROM source JOIN revision r ON r.source = digest JOIN study s ON s.id = r.study WHERE s.name = %s"
HELPED = Imports(("experiment.py", "helper.py"), ("numpy",))
ALONE = Imports(("experiment.py",), ("numpy",))


@pytest.fixture
def run(client, raw, worker, name):
    """Finish the queued experiments of these x with a result; return the worker."""

    def run(*chosen, imports=HELPED, registered=()):
        same = worker()
        for view in client.experiments(Selection(name)):
            if view.params["x"] in chosen:
                claim = claiming.claim(raw, view.id, same, pid=1)
                outcome = Outcome(result={"y": 1}, imports=imports)
                assert claiming.finish(raw, claim, outcome, registered=registered)
        return same

    return run


def stale(client, name, chosen=True):
    return [view.params["x"] for view in client.experiments(parse([name], stale=chosen))]


def test_nothing_is_stale_in_a_study_of_one_revision(client, enqueue, run, name):
    enqueue()
    run(0, 1)
    found = staleness.stale(client, name)
    assert (found.count, found.done, found.outdated) == (0, 2, ())
    assert stale(client, name) == []
    assert stale(client, name, False) == [0, 1, 2, 3, 4]


def test_a_file_that_no_attempt_imported_makes_nothing_stale(client, enqueue, run, name, project):
    enqueue()
    run(0)
    (project / "README.md").write_text("two")
    (project / "other.py").write_text("def f(): return 2")
    done = enqueue()
    assert (done.revision, done.stale) == (2, 0)
    assert staleness.stale(client, name).count == 0
    assert stale(client, name) == []


def test_an_edited_file_makes_stale_the_attempts_that_imported_it(client, enqueue, run, name, project):
    # Given attempts with and without a helper, and one that is not done
    enqueue()
    run(0, 1)
    run(2, imports=ALONE)
    # When the helper is edited
    (project / "helper.py").write_text("def f(): return 2")
    done = enqueue()
    # Then only attempts with the helper are stale
    assert done.stale == 2
    found = staleness.stale(client, name)
    (group,) = found.outdated
    assert (found.revision, found.done, found.count) == (2, 3, 2)
    assert (group.revision, group.count, group.files, group.settings, group.function, group.guessed) == (
        *(1, 2, ("helper.py",), {}, None, False),
    )
    assert stale(client, name) == [0, 1]
    assert stale(client, name, False) == [2, 3, 4]


def test_a_deleted_file_counts_and_so_does_a_file_that_replaces_an_import(client, enqueue, run, name, project):
    enqueue()
    run(0)
    (project / "helper.py").unlink()
    enqueue()
    assert staleness.stale(client, name).outdated[0].files == ("helper.py",)
    # When a package shadows the module, and a module shadows an installed package
    (project / "helper.py").write_text("def f(x, epochs=0, rate=0): ...\ndef g(x, epochs=0, rate=0): ...\n")
    enqueue()
    assert staleness.stale(client, name).count == 0
    (project / "helper").mkdir()
    (project / "helper" / "__init__.py").touch()
    (project / "numpy.py").touch()
    enqueue()
    assert staleness.stale(client, name).outdated[0].files == ("helper/__init__.py", "numpy.py")


def test_a_changed_setting_is_named_with_its_values(client, enqueue, run, name):
    enqueue(settings={"epochs": 10})
    run(0, 1)
    enqueue(settings={"epochs": 20, "rate": True})
    run(2)
    found = staleness.stale(client, name)
    (group,) = found.outdated
    assert group.settings == {"epochs": (10, 20), "rate": (ABSENT, True)}
    assert (group.count, group.files) == (2, ())
    assert stale(client, name) == [0, 1]
    assert "epochs: 10 → 20" in repr(found)


def test_a_setting_with_the_text_of_an_absent_one_differs_from_none(client, enqueue, run, name):
    enqueue(settings={"rate": "(absent)"})
    run(0)
    enqueue(settings={})
    assert staleness.stale(client, name).count == 1


def test_true_and_1_are_two_settings(client, enqueue, run, name):
    enqueue(settings={"rate": 1})
    run(0)
    enqueue(settings={"rate": True})
    assert staleness.stale(client, name).outdated[0].settings == {"rate": (1, True)}


def test_a_setting_that_is_back_makes_its_results_current_again(client, enqueue, run, name):
    enqueue(settings={"epochs": 10})
    run(0)
    enqueue(settings={"epochs": 20})
    run(1)
    enqueue(settings={"epochs": 10})
    assert stale(client, name) == [1]


def test_another_function_is_named(client, enqueue, run, name):
    enqueue()
    run(0)
    enqueue(function="experiment:g")
    (group,) = staleness.stale(client, name).outdated
    assert group.function == ("experiment:f", "experiment:g")
    assert stale(client, name) == [0]


def test_installed_code_differs_from_a_snapshot(client, enqueue, run, name):
    enqueue()
    run(0)
    enqueue(source="installed")
    (group,) = staleness.stale(client, name).outdated
    assert group.function == ("experiment:f (snapshot)", "experiment:f (installed)")


@pytest.mark.parametrize("edited", ["other.py", "README.md"])
def test_all_python_files_count_for_attempts_with_unknown_imports(client, enqueue, run, name, project, edited):
    enqueue()
    run(0, imports=None)
    (project / edited).write_text("3")
    enqueue()
    outdated = staleness.stale(client, name).outdated
    if edited == "README.md":
        assert outdated == ()
    else:
        assert (outdated[0].files, outdated[0].guessed) == (("other.py",), True)
        assert "their imports are unknown" in repr(staleness.stale(client, name))
    assert stale(client, name) == [0] * len(outdated)


def test_a_list_that_is_not_registered_counts_as_unknown(client, raw, enqueue, run, name, project):
    # Given an attempt whose digest has no list, like after a crash without synchronous commits
    enqueue()
    lost = Imports(("experiment.py",), (uuid.uuid4().hex,))
    run(0, imports=lost, registered={lost.digest})
    assert raw.execute("SELECT 1 FROM imported WHERE digest = %s", [lost.digest]).fetchone() is None
    (project / "other.py").write_text("3")
    enqueue()
    assert staleness.stale(client, name).outdated[0].guessed


def test_an_accepted_result_is_judged_like_an_unknown_one(client, raw, worker, enqueue, name, project):
    enqueue()
    view = client.experiments(Selection(name))[0]
    error = Error(Failure.ERROR, "E", "no", fingerprint="abcd")
    assert claiming.finish(raw, claiming.claim(raw, view.id, worker(), 1), Outcome({"y": 1}, error))
    client.accept(parse([name], error="abcd"))
    (project / "other.py").write_text("3")
    enqueue()
    assert stale(client, name) == [0]


def test_equal_lists_are_one_row(client, raw, enqueue, run):
    one = Imports(("experiment.py", uuid.uuid4().hex), ("numpy",))
    enqueue()
    run(0, 1, imports=one)
    run(2, imports=one, registered={one.digest})
    query = (
        "SELECT (SELECT count(*) FROM imported i WHERE i.digest = a.imported), count(*) FROM attempt a "
        "WHERE imported = %s GROUP BY imported"
    )
    assert raw.execute(query, [one.digest]).fetchall() == [(1, 3)]
    query = "SELECT files, packages FROM imported WHERE digest = %s"
    assert raw.execute(query, [one.digest]).fetchone() == (list(one.files), list(one.packages))


def test_contents_are_kept_with_the_snapshot(client, raw, enqueue, name):
    enqueue()
    digest, contents = raw.execute(f"SELECT digest, contents {SOURCES}", [name]).fetchone()
    assert contents["README.md"] == hashlib.sha256(name.encode()).hexdigest()[:16]
    with client.begin() as connection:
        assert snapshots.marks(connection, [digest]) == {digest: contents}


def test_a_requeue_of_the_stale_ones_runs_only_them_and_keeps_their_results(client, raw, enqueue, run, name, project):
    enqueue()
    run(0, 1)
    run(2, imports=ALONE)
    (project / "helper.py").write_text("5")
    enqueue()
    study = Study(name, client)
    assert study.stale().count == 2
    assert len(study.requeue(stale=True)) == 2
    # Then they wait, no result is stale, and the earlier results are kept
    assert [view.status.value for view in client.experiments(Selection(name))][:3] == ["queued", "queued", "done"]
    assert study.stale().count == 0
    ids = [view.id for view in client.experiments(Selection(name))]
    assert raw.execute("SELECT count(*) FROM earlier_result WHERE experiment = ANY(%s)", [ids]).fetchone() == (2,)


def test_frames_can_omit_stale_results_and_have_the_revision(client, enqueue, run, name):
    enqueue(settings={"epochs": 1})
    run(0, 1)
    enqueue(settings={"epochs": 2})
    run(2)
    study = Study(name, client)
    assert list(study.frame(stale=False)["x"]) == [2, 3, 4]
    assert list(study.frame(stale=True)["x"]) == [0, 1]
    revisions = study.frame()["revision"]
    assert revisions.dtype == "Int64"
    assert revisions.tolist()[:3] == [1, 1, 2]
    assert revisions.isna().tolist() == [False, False, False, True, True]
    assert list(study.frame(where="revision = 1")["x"]) == [0, 1]


def test_ids_of_several_studies_are_judged_each_by_its_own_study(client, raw, worker, project, name):
    def enqueue(study, **settings):
        grid = {"study": study, "function": "experiment:f", "parameters": {"x": 1}, "queue": "nobody"}
        client.enqueue(Grid.from_dict(grid | {"settings": settings}, project))
        return client.experiments(Selection(study))[0].id

    ids = [enqueue(study, epochs=1) for study in (f"{name}_a", f"{name}_b")]
    for number in ids:
        assert claiming.finish(raw, claiming.claim(raw, number, worker(), 1), Outcome({"y": 1}, imports=HELPED))
    enqueue(f"{name}_b", epochs=2)
    chosen = parse([",".join(map(str, ids))], stale=True)
    assert [view.id for view in client.experiments(chosen)] == ids[1:]


def test_an_edited_folder_gives_a_hint_before_an_enqueue(client, enqueue, run, name, project):
    enqueue()
    run(0)
    assert staleness.stale(client, name).hint() is None
    (project / "helper.py").write_text("6")
    found = staleness.stale(client, name)
    assert (found.count, found.edited) == (0, ("helper.py",))
    assert found.hint() == f"{project} differs from revision 1: helper.py; the next enqueue or requeue takes it"


def test_an_unreadable_folder_gives_no_hint(client, enqueue, run, name, project, monkeypatch):
    enqueue()
    run(0)
    (project / "helper.py").write_text("6")
    monkeypatch.setattr("qexp.source.snapshot.MOST_FILES", 1)
    assert staleness.stale(client, name).edited == ()
    project.rename(project.with_name("elsewhere"))
    assert staleness.stale(client, name).edited == ()


def test_a_revision_knows_the_size_of_its_grid_also_if_a_requeue_made_it(client, raw, enqueue, run, name, project):
    enqueue()
    run(0)
    (project / "helper.py").write_text("7")
    client.requeue(parse([name], ["done"]))
    enqueue(parameters={"x": [0, 1]})
    Study(name, client).add([{"x": 9}])
    query = "SELECT r.total FROM revision r JOIN study s ON s.id = r.study WHERE s.name = %s ORDER BY r.number"
    assert [row[0] for row in raw.execute(query, [name])] == [5, 5, 2]


def test_lines_fit_a_screen(client, enqueue, run, name, project):
    many = Imports(tuple(f"package/module_number_{number}.py" for number in range(30)), ())
    enqueue(settings={"epochs": "long " * 20})
    run(0, imports=many)
    (project / "package").mkdir()
    for number in range(30):
        (project / "package" / f"module_number_{number}.py").touch()
    enqueue(settings={"epochs": "longer " * 20})
    lines = repr(staleness.stale(client, name)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "and 18 more" in lines[-1]


def test_a_picture_of_two_settings_is_refused_unless_allowed(client, raw, enqueue, run, name):
    # Given results of two settings, and one outside the newest grid
    enqueue()
    claiming.name_results(raw, client.study(name).id, ["y"])
    run(0, 1, 4)
    enqueue(settings={"epochs": 20}, parameters={"x": [0, 1, 2, 3]})
    run(2, 3)
    study = Study(name, client)
    # When the picture is drawn
    with pytest.raises(RefusedError) as refused:
        study.plot("y", "scatter", x="x")
    reason = "2 experiments have other settings or code than the newest revision"
    assert refused.value.reasons == [
        f"{reason}, expected results of the newest revision only; qexp requeue {name} --stale"
    ]
    assert refused.value.advice == "--allow mixed draws the picture with a note below it"
    drawn = study.plot("y", "scatter", x="x", allow="mixed")
    # Then the picture names the mixed settings and the omitted result
    assert reason in drawn.notes
    assert "1 done experiment is not drawn: the newest grid leaves it out" in drawn.notes
    with pytest.raises(OptionError, match="allow: found 'all', expected open, mixed or both"):
        study.plot("y", "scatter", x="x", allow="all")


def test_a_picture_shows_the_results_at_its_start(client, raw, enqueue, run, name, monkeypatch):
    # Given a study of five experiments, two of them done
    enqueue()
    claiming.name_results(raw, client.study(name).id, ["y"])
    run(0, 1)
    left_out = plotted_experiments.left_out

    def left_out_while_a_worker_finishes(*arguments):
        run(2)
        return left_out(*arguments)

    # When a third one ends while the picture is drawn
    monkeypatch.setattr(plotted_experiments, "left_out", left_out_while_a_worker_finishes)
    drawn = Study(name, client).plot("y", "scatter", x="x")
    # Then the picture omits it
    assert drawn.notes == ("2 of 5 experiments: 3 queued",)
    assert client.counts(name)[0].counts["done"] == 3
