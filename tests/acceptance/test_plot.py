"""`qexp plot` draws a study that workers have run, and refuses impossible requests in one line."""

import io
import json
import os
import re

import numpy as np
import pytest

from qexp import QexpError, Study, metrics
from qexp.analysis.statistics import describe

SOURCE = """
import qexp

def f(context: qexp.Context, lr: float, model: str, depth: int, seed: int):
    if model == "tree" and lr == 0.1 and seed == 2:
        raise ValueError("diverged")
    for step in range(8 if seed else 5):
        context.metric(step, loss=1 / (1 + step) + lr + seed / 100)
    score = float("nan") if (model, lr, seed) == ("tree", 0.01, 1) else 0.5 + lr + seed / 10
    return {"score": score, "name": model, "size": depth * 10}
"""
GRID = {"lr": [0.01, 0.1], "model": ["tree", "pkg.models.Net"], "depth": [4], "seed": [0, 1, 2]}
KINDS = {
    "line": ["-y", "score", "--x", "lr", "--by", "model", "--log", "x"],
    "box": ["-y", "score", "--x", "model", "--by", "lr"],
    "scatter": ["-y", "score", "--x", "duration", "--by", "model"],
    "heatmap": ["-y", "score", "--x", "lr", "--by", "model"],
    "curve": ["-y", "loss", "--by", "lr", "--facet", "model", "--stat", "std"],
}
STARTS = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.fixture(scope="module")
def ran(worker, queue, site, tmp_path_factory):
    """A study of 12 experiments; one has failed, and one has the result NaN."""
    from qexp import enqueue

    folder = tmp_path_factory.mktemp("study")
    (folder / "plotted.py").write_text(SOURCE)
    grid = {"study": f"s_{queue}", "function": "plotted:f", "queue": queue, "parameters": GRID}
    (folder / "grid.yaml").write_text(json.dumps(grid))
    study = enqueue(folder / "grid.yaml")
    study.wait(timeout=120)
    return study


@pytest.mark.parametrize(("kind", "suffix"), [*zip(KINDS, [*STARTS, ".pdf", ".svg"], strict=True)])
def test_each_type_of_plot_is_written_and_reports_omitted_experiments(qexp, ran, tmp_path, kind, suffix):
    done = qexp("plot", ran.name, "--kind", kind, *KINDS[kind], "-o", f"x{suffix}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"x{suffix}: {kind} of {KINDS[kind][1]}\n"
    expected = (
        "11 of 12 experiments: 1 failed"
        if kind == "curve"
        else "10 of 12 experiments: 1 failed, 1 without a finite score"
    )
    assert done.stderr == f"{expected}\n"
    assert (tmp_path / f"x{suffix}").read_bytes().startswith(STARTS[suffix])


@pytest.mark.parametrize("suffix", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data_give_the_same_bytes(ran, tmp_path, kind, suffix):
    names = (name.lstrip("-").replace("stat", "statistic") for name in KINDS[kind][2::2])
    options = dict(zip(names, KINDS[kind][3::2], strict=True))
    written = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        ran.plot(KINDS[kind][1], kind, **options).save(path)
        written.append(path.read_bytes())
    assert written[0].startswith(STARTS[suffix])
    assert written[0] == written[1]


def test_a_pdf_embeds_a_font_type_that_publishers_accept(qexp, ran, tmp_path):
    qexp("plot", ran.name, *KINDS["line"], "-o", "x.pdf")
    content = (tmp_path / "x.pdf").read_bytes()
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content
    assert b"CreationDate" not in content


def one_line(done):
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-y", "scor", "--x", "lr"], r"--metric: no result is named 'scor' \(did you mean 'score'\?\)"),
        (["-y", "score", "--x", "lrr"], r"--x: no parameter is named 'lrr' \(did you mean 'lr'\?\)"),
        (["-y", "name", "--x", "lr", "--by", "model"], r"--metric name: found 'tree', expected numbers"),
        (["-y", "score", "--x", "model", "--by", "lr"], r"--x model: found 'tree', expected numbers; use --kind box"),
        (["-y", "los", "--kind", "curve", "--by", "lr", "--facet", "model"], r"named 'los' \(did you mean 'loss'\?\)"),
        (["-y", "score"], r"--kind line: found no --x, expected --x PARAMETER"),
        (["-y", "score", "--x", "lr", "--size", "6"], r"--size: found '6', expected width and height in inches"),
        (["-y", "score", "--x", "lr", "--kind", "violin"], r"'--kind': 'violin' is not one of 'line'"),
        (["-y", "score", "--x", "lr", "--where", "lr > 5"], r"no experiment matches"),
        (
            ["-y", "score", "--x", "lr", "--where", "lr < 1 and score > 0.6"],
            r"--where score: a picture is narrowed by par",
        ),
        (["-y", "score", "--x", "lr", "--where", "status = 'done'"], r"--where status: a picture is narrowed by param"),
        (
            ["-y", "score", "--x", "lr", "--status", "done"],
            r"--status, --failed: pictures show only done experiments",
        ),
        (["-y", "score", "--x", "lr", "--failed"], r"--status, --failed: pictures show only done experiments"),
        (["-y", "score", "--x", "lr", "--error", "abcd"], r"--error: pictures show only done experiments; select by"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(qexp, ran, tmp_path, arguments, expected):
    assert re.search(expected, one_line(qexp("plot", ran.name, *arguments, "-o", "x.png")))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_would_pool_a_parameter_is_refused_with_exit_status_1(qexp, ran, tmp_path):
    done = qexp("plot", ran.name, "-y", "score", "--x", "lr", "-o", "x.png")
    assert done.returncode == 1
    first, reason, advice = done.stderr.splitlines()
    assert first == "qexp: the picture would be wrong:"
    assert re.search(r"^- one point .* model \(tree, pkg\.models\.Net\); choose with --by model", reason)
    assert advice == "--allow open draws the picture with a note below it"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"), [("x.gif", "found the suffix '.gif'"), ("no/x.png", "there is no folder")]
)
def test_a_file_that_cannot_be_written_is_refused_before_the_database_is_asked(qexp, tmp_path, name, expected):
    done = qexp("plot", "any", *KINDS["line"], "-o", name, environ={"QEXP_HOME": str(tmp_path / "nothing")})
    assert expected in one_line(done)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_picture_leaves_the_earlier_file_as_it_was(qexp, ran, tmp_path):
    (tmp_path / "x.png").write_text("earlier")
    one_line(qexp("plot", ran.name, "-y", "scor", "--x", "lr", "-o", "x.png"))
    assert (tmp_path / "x.png").read_text() == "earlier"


@pytest.mark.parametrize(
    ("library", "options", "purpose"),
    [("matplotlib", KINDS["line"], "a picture"), ("scipy", [*KINDS["line"], "--stat", "ci95"], "a t quantile")],
)
def test_without_a_library_one_line_names_the_package_to_install(qexp, ran, tmp_path, library, options, purpose):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / f"{library}.py").write_text("raise ImportError('none')")
    path = os.pathsep.join([str(hidden), os.environ.get("PYTHONPATH", "")])
    done = qexp("plot", ran.name, *options, "-o", "x.png", environ={"PYTHONPATH": path})
    assert one_line(done) == f"qexp: {purpose} needs {library}; install it with pip install 'qexp[analysis]'\n"


def test_requested_pooling_is_noted_in_the_picture(qexp, ran):
    done = qexp("plot", ran.name, "-y", "score", "--x", "lr", "--allow", "open", "-o", "x.png")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("pooled over different values of model (--allow open)\n")


@pytest.mark.parametrize("kind", ["line", "heatmap", "curve"])
@pytest.mark.parametrize("statistic", ["iqm", "median", "ci95"])
def test_the_statistics_of_tables_are_those_of_pictures(qexp, ran, kind, statistic):
    options = KINDS[kind][:-2] if kind == "curve" else KINDS[kind]
    done = qexp("plot", ran.name, "--kind", kind, *options, "--stat", statistic, "-o", "x.svg")
    assert done.returncode == 0, done.stderr
    refused = one_line(qexp("plot", ran.name, "--kind", kind, *options, "--stat", f"{statistic}x", "-o", "x.svg"))
    assert f"did you mean '{statistic}'?" in refused


@pytest.mark.parametrize("over", [["--over", "seed,model"], ["--over", "seed", "--over", "model"]])
def test_several_parameters_may_be_replicates(qexp, ran, over):
    done = qexp("plot", ran.name, "-y", "score", "--x", "lr", *over, "-o", "x.png")
    assert done.returncode == 0, done.stderr
    assert "pooled" not in done.stderr


def test_a_picture_of_experiments_chosen_by_host_has_a_note(qexp, ran):
    done = qexp("plot", ran.name, *KINDS["line"], "--host", "*", "-o", "x.png")
    assert done.stderr.startswith("only experiments chosen by --host\n")


def test_a_notebook_gets_a_figure_that_shows_itself(ran):
    figure = ran.plot("score", x="lr", by="model", statistic="median")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.notes == ("10 of 12 experiments: 1 failed, 1 without a finite score",)
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    assert b"<svg" in content.getvalue()
    with pytest.raises(QexpError, match="no result is named"):
        ran.plot("nothing", x="lr")


def test_a_curve_is_the_mean_of_the_series_and_dashed_where_runs_have_ended(ran):
    # Given series of three seeds, one of five steps
    points = metrics(ran.name, "loss", where="lr = 0.01 and model = 'tree'")
    expected = points.groupby("step")["value"].mean()
    # When the curve is drawn
    panel = Study(ran.name).plot("loss", "curve", where="lr = 0.01 and model = 'tree'").axes[0]
    full, fewer = panel.lines[:2]
    # Then the line is their mean, and is solid while all seeds have points
    assert full.get_linestyle() == "-"
    assert fewer.get_linestyle() == "--"
    np.testing.assert_allclose(full.get_ydata()[:5], expected[:5])
    assert np.isnan(full.get_ydata()[5:]).all()
    np.testing.assert_allclose(fewer.get_ydata()[4:], expected[4:])
    assert [text.get_text() for text in panel.texts] == ["n = 2"]


@pytest.mark.parametrize("statistic", ["mean±std", "iqm", "median"])
def test_the_line_of_a_curve_is_the_requested_statistic(ran, statistic):
    # Given series of 11 runs; some runs end early
    points = metrics(ran.name, "loss", where="status = 'done'").groupby("step")["value"]
    expected = [float(describe(part.to_numpy(), statistic).center) for _, part in points]
    # When one line shows them
    panel = Study(ran.name).plot("loss", "curve", statistic=statistic, allow="open").axes[0]
    solid, dashed = (line.get_ydata() for line in panel.lines[:2])
    # Then the line has their statistic at each step
    np.testing.assert_allclose(np.where(np.isnan(solid), dashed, solid), expected, rtol=1e-12)
