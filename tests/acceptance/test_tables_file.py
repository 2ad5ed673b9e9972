"""`qexp table tables.yaml` writes and checks all tables of a paper, and keeps the old file of a refused table."""

import json
import os
import shutil
import subprocess
import uuid
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

import qexp as public
from qexp.client import Client
from qexp.errors import RefusedError, SelectorError
from qexp.grid import Grid
from qexp.model import Outcome
from qexp.settings import socket_url
from qexp.store.connection import connect
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, worker_rows

PARAMETERS = {"classifier": ["svc", "tree"], "dataset": ["iris", "wine"], "seed": [0, 1, 2]}


def accuracy(params, shift=0.0):
    """Return a result that depends only on the parameters and *shift*."""
    base = {"svc": 0.9, "tree": 0.8}[params["classifier"]]
    return {"accuracy": base + params["seed"] / 100 + shift}


@pytest.fixture
def finished(client, raw, tmp_path):
    """Make a study of experiments that have ended with *result*; None leaves an experiment queued."""

    def finished(result=accuracy, parameters=PARAMETERS):
        name = f"s_{uuid.uuid4().hex[:8]}"
        code = tmp_path / f"code_{name}"
        code.mkdir()
        (code / "experiment.py").write_text("def f(**given): ...\n")
        grid = {"study": name, "function": "experiment:f", "queue": "nobody", "parameters": parameters}
        client.enqueue(Grid.from_dict(grid, code))
        shutil.rmtree(code)
        finish(client, raw, name, result)
        return name

    return finished


def finish(client, raw, name, result):
    """Finish the queued and pending experiments of a study."""
    raw.execute(
        "UPDATE experiment SET status = 'queued' "
        "WHERE status = 'pending' AND study = (SELECT id FROM study WHERE name = %s)",
        [name],
    )
    worker = uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 1))
    for view in client.experiments(Selection(name)):
        found = result(view.params) if view.status == "queued" else None
        if found is not None:
            assert claiming.finish(raw, claiming.claim(raw, view.id, worker, 1), Outcome(result=found))
    raw.execute("UPDATE study SET results = '{accuracy}' WHERE name = %s", [name])


def run_again(client, raw, name, result):
    """Requeue all experiments of a study, and finish them with *result*."""
    client.requeue(Selection(name))
    finish(client, raw, name, result)


@pytest.fixture
def paper(finished, tmp_path):
    """A study, and a file with two of its tables and macros, in a separate folder."""
    name, folder = finished(), tmp_path / "paper"
    folder.mkdir()
    (folder / "tables.yaml").write_text(f"""
defaults: {{study: {name}, metric: accuracy, rows: classifier, digits: 2}}
tables:
  accuracy: {{columns: dataset, labels: {{svc: Support vectors}}, files: [accuracy.tex, accuracy.md, accuracy.csv]}}
  all: {{average: dataset}}
macros: numbers.tex
""")
    return SimpleNamespace(study=name, folder=folder, file=folder / "tables.yaml")


def texts(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_table_is_written_and_the_same_data_leave_the_files_alone(paper, qexp):
    # When the tables are written
    done = qexp("table", "paper/tables.yaml")
    # Then each file exists and has a line of output
    assert (done.returncode, done.stderr) == (0, "")
    names = ["accuracy.tex", "accuracy.md", "accuracy.csv", "all.tex", "numbers.tex"]
    assert done.stdout.splitlines() == [f"paper/{name}  written" for name in names]
    written = texts(paper.folder)
    assert b"Support vectors & $\\mathbf{0.91 \\pm 0.01}$" in written["accuracy.tex"]
    assert b"\\newcommand{\\allSvc}{$0.91 \\pm 0.01$}" in written["numbers.tex"]
    assert b"% file: tables.yaml, table accuracy" in written["accuracy.tex"]
    # And a second time, from another folder, nothing changes
    before = {path: path.stat().st_mtime_ns for path in paper.folder.iterdir()}
    again = qexp("table", "tables.yaml", cwd=paper.folder)
    assert again.stdout.splitlines() == [f"{name}  unchanged" for name in names]
    assert {path: path.stat().st_mtime_ns for path in paper.folder.iterdir()} == before
    checked = qexp("table", "tables.yaml", "--check", cwd=paper.folder)
    assert (checked.returncode, checked.stdout) == (0, again.stdout)


def test_a_check_names_differences_from_the_database_and_writes_nothing(paper, qexp, client, raw):
    # Given written tables, one of them deleted, and newer results
    qexp("table", paper.file)
    (paper.folder / "all.tex").unlink()
    run_again(client, raw, paper.study, lambda params: accuracy(params, 0.02 * (params["dataset"] == "iris")))
    before = texts(paper.folder)
    # When the files are checked
    done = qexp("table", "paper/tables.yaml", "--check")
    # Then the exit status is 1, and each line names a difference
    assert (done.returncode, done.stderr) == (1, "")
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    iris = "Support vectors / iris: **0.91 ± 0.01** → **0.93 ± 0.01**"
    assert lines["paper/accuracy.tex"] == f"differs: 2 cells ({iris}; tree / iris: 0.81 ± 0.01 → 0.83 ± 0.01)"
    assert lines["paper/accuracy.md"].startswith("differs: line ")
    assert lines["paper/accuracy.csv"].startswith("differs: line 2: Support vectors,iris,accuracy,3,3,0.91")
    assert lines["paper/all.tex"] == "missing"
    assert lines["paper/numbers.tex"].startswith(r"differs: 4 cells (\accuracySupportVectorsIris: 0.91 ± 0.01 → 0.93 ±")
    assert texts(paper.folder) == before
    # And a single table is checked in the same way
    only = qexp("table", "paper/tables.yaml", "--check", "--only", "all", "--format", "json")
    assert only.returncode == 1
    assert json.loads(only.stdout) == [
        {"file": "paper/all.tex", "state": "missing", "detail": ""},
        {"file": "paper/numbers.tex", "state": "skipped", "detail": "it has the cells of all tables"},
    ]
    assert texts(paper.folder) == before


def test_a_refused_table_keeps_its_old_file_and_the_others_are_written(paper, qexp, finished):
    # Given a table without two replicates, one with an unknown result, and their older files
    partial = finished(lambda params: None if (params["dataset"], params["seed"]) == ("wine", 2) else accuracy(params))
    with paper.file.open("a") as file:
        file.write("x-notes: mine\n")
    text = paper.file.read_text().replace(
        "macros:",
        f"""  part: {{study: {partial}, columns: dataset}}
  wrong: {{metric: acuracy, columns: dataset}}
macros:""",
    )
    paper.file.write_text(text)
    (paper.folder / "part.tex").write_text("old\n")
    (paper.folder / "numbers.tex").write_text("old numbers\n")
    # When all tables are written
    done = qexp("table", "paper/tables.yaml")
    # Then the valid ones are new, and the others are unchanged
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "paper/accuracy.tex  written",
        "paper/accuracy.md  written",
        "paper/accuracy.csv  written",
        "paper/all.tex  written",
        "paper/part.tex  refused: left as it was",
        "paper/wrong.tex  failed: not written",
        "paper/numbers.tex  refused: left as it was; it needs part, wrong",
    ]
    assert (paper.folder / "part.tex").read_text() == "old\n"
    assert (paper.folder / "numbers.tex").read_text() == "old numbers\n"
    assert not (paper.folder / "wrong.tex").exists()
    # And each reason is a line with its place in the file
    first, reason, advice, other = done.stderr.splitlines()
    assert first == "qexp: paper/tables.yaml, line 6: table part: the table would be wrong:"
    assert reason.startswith("- 2 experiments are not finished yet in svc / wine, tree / wine; qexp wait ")
    assert advice == "allow: missing shows the table with marks and notes"
    assert other.startswith("qexp: paper/tables.yaml, line 7: table wrong: the study")
    assert "(did you mean 'accuracy'?)" in other
    # And a check of the refused one ends with 1; with the advised key it is written
    assert qexp("table", "paper/tables.yaml", "--check", "--only", "part").returncode == 1
    paper.file.write_text(text.replace(f"study: {partial},", f"study: {partial}, allow: missing,"))
    allowed = qexp("table", "paper/tables.yaml", "--only", "part,all")
    assert allowed.returncode == 0, allowed.stderr
    assert "part.tex  written" in allowed.stdout
    assert "(2/3)" in (paper.folder / "part.tex").read_text()


def test_a_reader_can_check_without_the_source(paper, qexp, site, raw):
    # Given a role that may only read, and tables that the owner has written
    qexp("table", paper.file)
    role, password = f"reader_{uuid.uuid4().hex[:8]}", "secret"
    raw.execute(Client(site).roles("table_worker", role))
    raw.execute(SQL("ALTER ROLE {} PASSWORD 'secret'").format(Identifier(role)))
    folder = conninfo_to_dict(site.database_url)["host"]
    url = socket_url(role, password, folder, "qexp")
    try:
        reader = connect(site.model_copy(update={"database_url": url}))
        with reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("UPDATE study SET name = 'x'")
        # When the reader checks them without the folder of the study's code
        done = qexp("table", "paper/tables.yaml", "--check", environ={"QEXP_DATABASE_URL": url})
        # Then all tables match the database
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("  unchanged\n") == 5
    finally:
        for name in (role, "table_worker"):
            raw.execute(SQL("DROP OWNED BY {}; DROP ROLE {}").format(Identifier(name), Identifier(name)))


def test_files_that_cannot_be_written_are_one_line_and_nothing_is_written(paper, qexp):
    # Given a second table in a missing folder
    text = paper.file.read_text()
    paper.file.write_text(text.replace("{average: dataset}", "{average: dataset, files: no/all.tex}"))
    # When the tables are written, then none is changed
    done = qexp("table", "paper/tables.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("qexp: paper/no/all.tex: there is no folder paper/no; make it with 'mkdir -p paper/no'\n")
    assert [path.name for path in paper.folder.iterdir()] == ["tables.yaml"]
    # And the same holds for a folder in place of a file, also for a check
    paper.file.write_text(text)
    (paper.folder / "numbers.tex").mkdir()
    done = qexp("table", "paper/tables.yaml")
    assert (done.returncode, done.stderr) == (2, "qexp: paper/numbers.tex: is a folder, expected a file to write\n")
    assert sorted(texts_of_files(paper.folder)) == ["tables.yaml"]
    checked = qexp("table", "paper/tables.yaml", "--check")
    assert (checked.returncode, checked.stderr) == (2, "qexp: paper/numbers.tex: is a directory\n")


def texts_of_files(folder):
    return [path.name for path in folder.iterdir() if path.is_file()]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error_of_one_line(paper, qexp):
    paper.folder.chmod(0o555)
    try:
        done = qexp("table", "paper/tables.yaml")
    finally:
        paper.folder.chmod(0o755)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "qexp: paper/accuracy.tex: may not be written by this user\n"


def test_macros_that_would_share_a_name_keep_the_old_file(paper, qexp):
    text = paper.file.read_text()
    paper.file.write_text(text.replace("{average: dataset}", "{average: dataset, labels: {svc: a-b, tree: a b}}"))
    done = qexp("table", "paper/tables.yaml")
    assert done.returncode == 2
    assert done.stdout.endswith("paper/all.tex  written\npaper/numbers.tex  failed: not written\n")
    assert done.stderr.startswith("qexp: macros: found the name \\allAB for both ")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_macros_of_one_table_that_would_share_a_name_leave_it_unwritten(finished, qexp, tmp_path):
    name = finished(lambda params: {"accuracy": params["seed"]}, {"classifier": ["a_b", "a-b"], "seed": [0, 1]})
    arguments = ("--metric", "accuracy", "--rows", "classifier", "-o", "one.tex", "--macros", "m.tex")
    done = qexp("table", name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected one name per cell" in done.stderr
    assert not list(tmp_path.glob("*.tex"))


def test_tables_and_macros_compile(paper, qexp):
    qexp("table", paper.file)
    (paper.folder / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\input{numbers.tex}\begin{document}"
        r"\input{accuracy.tex} \input{all.tex} \accuracySupportVectorsIris, \allTree \end{document}"
    )
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(line, cwd=paper.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


REFUSED_OPTIONS = [
    (["tables.yaml", "--metric", "m"], "--metric: write it into tables.yaml, or name studies instead of tables.yaml"),
    (["tables.yaml", "-o", "x.tex"], "--output: write it into tables.yaml"),
    (["tables.yaml", "--min"], "--max/--min: write it into tables.yaml"),
    (["tables.yaml", "--format", "md"], "--format: found 'md', expected table or json"),
    (
        ["tables.yaml", "--only", "a", "--macros", "m.tex"],
        "--macros: this file needs the cells of all tables; leave out",
    ),
    (["tables.yaml", "--macros", "./a.tex"], "--macros: a.tex is already the file of a table; name another file"),
    (
        ["lenet", "-o", "a.tex", "--macros", "a.tex"],
        "--macros: a.tex is already the file of a table; name another file",
    ),
    (["tables.yaml", "lenet"], "found tables.yaml lenet, expected one file of tables, or studies"),
    (["no.yml"], "no.yml: cannot read the tables file: no such file or directory"),
    (["lenet"], "missing option '--metric'"),
    (["lenet", "--metric", "m", "--only", "a"], "--only: expected a file of tables as the argument"),
    (["lenet", "--metric", "m", "--check"], "--check: expected a file to check: -o FILE, --macros FILE"),
]


@pytest.mark.parametrize(("arguments", "expected"), REFUSED_OPTIONS, ids=lambda value: " ".join(value[:4]))
def test_options_that_make_no_sense_together_are_one_line(qexp, tmp_path, arguments, expected):
    (tmp_path / "tables.yaml").write_text("tables:\n  a: {study: s, metric: m}\n")
    done = qexp("table", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"qexp: {expected}")
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_table_is_refused_with_the_nearest_name(paper, qexp):
    done = qexp("table", "paper/tables.yaml", "--only", "acuracy")
    expected = "qexp: --only: there is no table 'acuracy' in paper/tables.yaml (did you mean 'accuracy'?)\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_the_file_and_macros_of_one_table_are_written_and_checked(finished, qexp, tmp_path):
    # Given the files of one table from the command line
    name = finished()
    line = ["table", name, "--metric", "accuracy", "--rows", "classifier", "--columns", "dataset", "--digits", "2"]
    done = qexp(*line, "-o", "one.tex", "--macros", "m.tex")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "one.tex: 2 rows, 2 columns\nm.tex: a macro for each of 4 cells\n"
    assert "SvcIris}{$0.91 \\pm 0.01$}" in (tmp_path / "m.tex").read_text()
    # When a user edits one of them, then the check names it
    edited = (tmp_path / "one.tex").read_text().replace("0.81", "0.95")
    (tmp_path / "one.tex").write_text(edited)
    done = qexp(*line, "-o", "one.tex", "--macros", "m.tex", "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("one.tex  differs: 2 cells (tree / iris: 0.95 ± 0.01 → 0.81 ± 0.01; tree / wine: ")
    assert done.stdout.endswith("m.tex  unchanged\n")
    assert (tmp_path / "one.tex").read_text() == edited


def test_single_results_have_no_spread(finished, client):
    name = finished()
    found = public.table(name, "accuracy", "classifier", ["dataset", "seed"], over=[], digits=2, client=client)
    assert {(cell.text, cell.spread_text) for cell in found.cells[0]} == {("0.90", ""), ("0.91", ""), ("0.92", "")}
    assert "single results: no axis has replicates" in [note.text for note in found.notes]


def test_python_reads_the_tables_and_writes_nothing(paper, client):
    found = public.tables(paper.file, client=client)
    assert list(found) == ["accuracy", "all"]
    assert found["accuracy"].cell("Support vectors", "iris").text == "0.91"
    assert [path.name for path in paper.folder.iterdir()] == ["tables.yaml"]
    # And an impossible table is named
    text = paper.file.read_text()
    paper.file.write_text(text.replace("average: dataset", "where: lr < 1"))
    with pytest.raises(SelectorError) as failed:
        public.tables(str(paper.file), client=client)
    assert failed.value.__notes__ == [f"{paper.file}, line 5: table all"]
    paper.file.write_text(text.replace("average: dataset", "rows: classifier"))
    with pytest.raises(RefusedError, match="dataset has several values in one cell"):
        public.tables(paper.file, client=client)
