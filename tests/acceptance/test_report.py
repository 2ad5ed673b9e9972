"""`qexp report` writes one page about a study, and refuses impossible requests in one line."""

import json

import pytest
from report_support import Page

SOURCE = """
import json, qexp

def f(context: qexp.Context, lr: float, model: str, seed: int):
    if model == "tree" and lr == 0.1 and seed == 2:
        raise ValueError("diverged at <b>step</b> 7")
    for step in range(8):
        context.metric(step, loss=1 / (1 + step) + lr + seed / 100)
    return {"score": 0.5 + lr + seed / 10, "name": model}
"""
GRID = {"lr": [0.01, 0.1, 1.0], "model": ["tree", "net"], "seed": [0, 1, 2]}


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.fixture(scope="module")
def ran(worker, queue, site, tmp_path_factory):
    """A study of 17 done experiments and a failed one."""
    from qexp import enqueue

    folder = tmp_path_factory.mktemp("study")
    (folder / "reported.py").write_text(SOURCE)
    grid = {"study": f"s_{queue}", "function": "reported:f", "queue": queue, "parameters": GRID}
    (folder / "grid.yaml").write_text(json.dumps(grid))
    study = enqueue(folder / "grid.yaml")
    study.wait(timeout=120)
    return study


def test_a_study_that_workers_have_run_becomes_one_page(qexp, ran, tmp_path):
    done = qexp("report", ran.name, "-o", "report.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("report.html: ")
    assert done.stdout.endswith(" kB\n")
    assert done.stderr == ""
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "17 of 18 done, 1 failed" in page.texts[""]
    assert "2 / 3" in page.texts["coverage"]
    assert "(2/3)" in page.texts["results"]
    assert "score over lr by model" in page.texts["pictures"]
    assert "loss over steps, by lr" in page.texts["pictures"]
    assert "diverged at <b>step</b> 7" in page.texts["errors"]
    assert 'raise ValueError("diverged at <b>step</b> 7")' in page.texts["errors"]
    assert "reported.py" in page.texts["code"]
    assert f"qexp run grid.yaml --set study={ran.name}_again" in page.texts["again"]


def test_the_commands_of_a_report_work(qexp, ran, tmp_path):
    qexp("report", ran.name, "-o", "report.html")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts["again"]
    line = next(line for line in text.splitlines() if "qexp source" in line and " -o " in line)
    words = line[line.index("qexp source") :].split()[1:]
    done = qexp(*words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / words[-1] / "grid.yaml").exists()
    shown = qexp("diff", "grid.yaml", cwd=tmp_path / words[-1])
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["-o", "x.pdf"], "x.pdf: found the suffix '.pdf', expected one of .html, .htm"),
        (["-o", "none/x.html"], "none/x.html: there is no folder none; make it with 'mkdir -p none'"),
        (["--metric", "scor", "-o", "x.html"], "has no result 'scor' (did you mean 'score'?)"),
        (["--rows", "modle", "-o", "x.html"], "there is no parameter 'modle' (did you mean 'model'?)"),
        ([], "missing option '-o' / '--output'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(qexp, ran, tmp_path, options, found):
    done = qexp("report", ran.name, *options)
    assert done.returncode == 2
    assert found in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(tmp_path.glob("*x*"))


def test_an_unknown_study_is_named_with_the_nearest_one(qexp, ran, tmp_path):
    done = qexp("report", f"{ran.name}x", "-o", "x.html")
    assert done.returncode == 2
    assert f"did you mean {ran.name!r}?" in done.stderr
    assert not (tmp_path / "x.html").exists()
