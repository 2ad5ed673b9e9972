"""Stale results with real workers depend on the recorded imports of attempts."""

import json
import uuid
from types import SimpleNamespace

import pytest

KINDS = {"prefork": ("prefork", "child"), "process": ("prefork", "process"), "solo": ("solo", "child")}


@pytest.fixture(params=KINDS)
def project(request, qexp, start_worker, tmp_path):
    """Two studies with results and functions in one folder, and a worker that runs both."""
    pool, isolation = KINDS[request.param]
    queue = f"q_{uuid.uuid4().hex[:8]}"
    names = {which: f"{which}_{queue}" for which in ("one", "two")}
    (tmp_path / "one.py").write_text("import only_one, shared\ndef f(x): return only_one.VALUE + shared.VALUE\n")
    (tmp_path / "two.py").write_text("def f(x):\n    from shared import VALUE\n    return VALUE\n")
    (tmp_path / "only_one.py").write_text("VALUE = 10\n")
    (tmp_path / "shared.py").write_text("import numpy\nVALUE = 1\n")
    (tmp_path / "README.md").write_text("first\n")
    for which, name in names.items():
        grid = {"study": name, "function": f"{which}:f", "queue": queue, "isolation": isolation}
        (tmp_path / f"{which}.yaml").write_text(json.dumps(grid | {"parameters": {"x": [1, 2, 3]}}))

    def enqueue(which):
        done = qexp("enqueue", f"{which}.yaml")
        assert done.returncode == 0, done.stderr
        return done

    def wait(which):
        assert qexp("wait", names[which], "--timeout", "120").returncode == 0

    start_worker("-Q", queue, "-P", pool, "-c", "1").await_ready()
    for which in names:
        enqueue(which)
    for which in names:
        wait(which)
    return SimpleNamespace(names=names, folder=tmp_path, enqueue=enqueue, wait=wait)


def stale(qexp, name):
    """Return the number of stale experiments of a study, and the changed files."""
    found = json.loads(qexp("stale", name, "--format", "json").stdout)
    return found["stale"], sorted({file for group in found["groups"] for file in group["files"]})


def test_only_results_that_imported_an_edited_file_are_stale_and_run_again(project, qexp, raw):
    one, two = project.names.values()
    # Given results with recorded files and packages
    lists = (
        "SELECT DISTINCT i.files, i.packages FROM attempt a JOIN imported i ON i.digest = a.imported "
        "JOIN study s ON s.id = a.study WHERE s.name = %s"
    )
    ((files, packages),) = raw.execute(lists, [one]).fetchall()
    assert files == ["one.py", "only_one.py", "shared.py"]
    assert "numpy" in packages
    assert [row[0] for row in raw.execute(lists, [two])] == [["shared.py", "two.py"]]
    # When a file is edited that no function imports, then nothing is stale
    (project.folder / "README.md").write_text("second\n")
    for which in project.names:
        assert "stale" not in project.enqueue(which).stderr
    assert [stale(qexp, name) for name in (one, two)] == [(0, []), (0, [])]
    assert f"{one}: nothing is stale, the newest revision is 2" in qexp("stale", one).stdout
    # When a file is edited that one of them imports
    (project.folder / "only_one.py").write_text("VALUE = 20\n")
    assert f"3 done experiments are stale: 'qexp stale {one}' says why" in project.enqueue("one").stderr
    assert "stale" not in project.enqueue("two").stderr
    # Then its results are stale, and only these
    assert [stale(qexp, name) for name in (one, two)] == [(3, ["only_one.py"]), (0, [])]
    assert len(json.loads(qexp("list", one, "--stale", "--format", "json").stdout)) == 3
    assert json.loads(qexp("list", two, "--stale", "--format", "json").stdout) == []
    # When they run again, then they are current, with results of the new code
    assert qexp("requeue", one, "--stale").stdout.startswith("3 requeued")
    project.wait("one")
    assert stale(qexp, one) == (0, [])
    rows = json.loads(qexp("list", one, "--format", "json").stdout)
    assert [(row["result"]["value"], row["attempt"], row["revision"]) for row in rows] == [(21, 2, 3)] * 3


@pytest.mark.parametrize("project", ["prefork"], indirect=True)
def test_stale_lists_settings_files_the_command_and_the_folder_edited_since(project, qexp):
    one = project.names["one"]
    grid = json.loads((project.folder / "one.yaml").read_text())
    (project.folder / "one.py").write_text("def f(x, epochs=1): return 0\n")
    (project.folder / "one.yaml").write_text(json.dumps(grid | {"settings": {"epochs": 20}}))
    project.enqueue("one")
    (project.folder / "shared.py").write_text("VALUE = 2\n")
    done = qexp("stale", one)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"{one}: 3 of 3 done are stale, the newest revision is 2",
        "  3 of revision 1",
        "    epochs: (absent) → 20",
        "    files: one.py",
        f"run them again with 'qexp requeue {one} --stale'",
    ]
    assert done.stderr == (
        f"{project.folder} differs from revision 2: shared.py; the next enqueue or requeue takes it\n"
    )


def test_a_requeue_of_a_whole_study_is_still_refused(qexp):
    done = qexp("requeue", "digits")
    assert done.returncode == 2
    assert "--orphaned, --stale, --where CONDITION" in done.stderr
