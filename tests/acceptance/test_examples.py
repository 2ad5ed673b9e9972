"""The examples of workers/ give their known results."""

import math
import shutil
from pathlib import Path

import pytest

from qexp import load
from qexp.client import Client
from qexp.store.selection.selectors import Selection

WORKERS = Path(__file__).parents[2] / "workers"


@pytest.fixture
def run(qexp, tmp_path):
    def run(name, **options):
        if not (tmp_path / name).exists():
            shutil.copytree(WORKERS / name, tmp_path / name)
        return qexp("run", f"{name}/grid.yaml", "-c", "2", **options)

    return run


def test_sine_gives_thirty_known_results(run):
    done = run("sine")
    assert done.returncode == 0, done.stderr
    frame = load("sine")
    assert len(frame) == 30
    first = frame.iloc[0]
    assert (first["value"], first["exponent"]) == (1, 1)
    assert (first["sin"], first["cos"]) == (0.8414709848078965, 0.5403023058681398)
    for row in frame.itertuples():
        assert row.sin == math.sin(row.value**row.exponent)


def test_digits_gives_the_known_accuracies_and_their_tables(run, qexp, tmp_path):
    # figures of Memento's demo with the data of scikit-learn
    done = run("digits")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" done ") == 10
    frame = load("digits")
    assert len(frame) == 10
    short = frame[["dataset", "preprocessing", "classifier"]].map(lambda name: name.rpartition(".")[2])
    found = {tuple(names): accuracy for names, accuracy in zip(short.values.tolist(), frame["accuracy"], strict=True)}
    assert found["wine", "MinMaxScaler", "SVC"] == pytest.approx(98.89, abs=0.01)
    assert found["wine", "StandardScaler", "SVC"] == pytest.approx(98.33, abs=0.01)
    for scaler in ("MinMaxScaler", "StandardScaler"):
        assert found["digits", scaler, "RandomForestClassifier"] == pytest.approx(96.8, abs=1)
        assert found["wine", scaler, "RandomForestClassifier"] == pytest.approx(97.5, abs=1.5)
    assert ("digits", "MinMaxScaler", "SVC") not in found
    # And the tables are written beside the grid, and a second enqueue of the grid adds nothing
    written = qexp("table", "digits/tables.yaml")
    assert (written.returncode, written.stderr) == (0, "")
    assert (
        "support vectors &  &  & $\\mathbf{98.9}$ & $\\mathbf{98.3}$" in (tmp_path / "digits/accuracy.tex").read_text()
    )
    assert qexp("enqueue", "digits/grid.yaml").returncode == 0
    checked = qexp("table", "digits/tables.yaml", "--check")
    assert checked.returncode == 0, checked.stdout


def test_errors_fails_five_times_the_same_way_and_all_are_done_after_the_fix(run, qexp, tmp_path):
    done = run("errors")
    assert done.returncode == 1
    assert "errors: 15 done, 5 failed; see 'qexp errors errors'" in done.stderr
    (group,) = Client().errors(Selection("errors"))
    assert (group.count, group.error_type) == (5, "ValueError")
    assert group.error_message == "Found input variables with inconsistent numbers of samples: [178, 177]"
    assert group.error_frame == "experiment.py:15 in evaluate"

    # the fix that data.py names: delete the wrong line and the one above
    data = tmp_path / "errors" / "data.py"
    lines = data.read_text().splitlines(keepends=True)
    (mistake,) = [number for number, line in enumerate(lines) if "the mistake" in line]
    data.write_text("".join(lines[: mistake - 1] + lines[mistake + 1 :]))

    assert qexp("requeue", "errors", "--failed").stdout.startswith("5 requeued")
    assert run("errors").returncode == 0
    assert Client().counts("errors")[0].counts["done"] == 20
