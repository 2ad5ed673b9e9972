"""The Python client: enqueue, wait, requeue and read."""

import json
import re
import subprocess
import sys
import uuid

import pytest
from terminal import terminal

import qexp
from qexp.functions import importing_from, resolve

SOURCE = """
def train(lr: float, seed: int = 0):
    if lr > 1:
        raise ValueError('too fast')
    return lr * seed
"""


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


def test_a_function_is_enqueued_awaited_requeued_and_read(worker, queue, tmp_path):
    (tmp_path / "experiment.py").write_text(SOURCE)
    with importing_from(tmp_path):
        train = resolve("experiment:train", tmp_path)
        name = f"n_{uuid.uuid4().hex[:8]}"
        study = qexp.enqueue(train, parameters={"lr": [0.1, 10.0]}, seeds=2, study=name, queue=queue)
    assert repr(study).startswith(f"<Study {name}, 4: ")
    counts = study.wait(timeout=120)
    assert (counts.counts["done"], counts.counts["failed"]) == (2, 2)

    assert study.add([{"lr": 0.5, "seed": 7}, {"lr": 0.1, "seed": 1}]) == 1
    study.wait(timeout=120)
    frame = study.frame()
    assert frame["value"].tolist()[-1] == 3.5
    assert frame.equals(qexp.load(name))

    assert [group.count for group in study.errors()] == [2]
    assert len(study.requeue(status="failed")) == 2
    study.wait(timeout=120)
    assert study.frame()["attempt"].tolist() == [1, 1, 2, 2, 1]
    with pytest.raises(qexp.QexpError, match="name the experiments"):
        study.requeue()


def test_a_grid_file_is_enqueued(queue, tmp_path):
    (tmp_path / "experiment.py").write_text(SOURCE)
    (tmp_path / "grid.yaml").write_text(
        f"study: file_{queue}\nfunction: experiment:train\nqueue: none\nparameters: {{lr: [1, 2]}}\n"
    )
    assert qexp.enqueue(tmp_path / "grid.yaml").status().total == 2
    assert qexp.enqueue(str(tmp_path / "grid.yaml")).status().total == 2


def test_keys_and_values_override_a_grid_file(queue, tmp_path):
    (tmp_path / "experiment.py").write_text(SOURCE)
    (tmp_path / "grid.yaml").write_text("function: experiment:train\nqueue: none\nparameters: {lr: [1, 2]}\n")
    study = qexp.enqueue(tmp_path / "grid.yaml", study=f"over_{queue}", seeds=2, set={"lr": [0.1, 0.2, 0.3]})
    assert (study.name, study.status().total) == (f"over_{queue}", 6)


def test_an_unknown_study_is_refused():
    with pytest.raises(qexp.QexpError, match="no study is named"):
        qexp.Study("no_such_study")


def test_the_public_names_exist():
    code = "import qexp; print(sorted(n for n in qexp.__all__ if getattr(qexp, n) is None), qexp.__version__[:1])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[] 0\n"


def test_a_script_names_a_function_in_a_file_beside_it_and_workers_find_it(worker, queue, tmp_path):
    # Given a script that enqueues a mapping, with the name of a function in a file beside it
    (tmp_path / "experiment.py").write_text(SOURCE)
    name = f"n_{uuid.uuid4().hex[:8]}"
    grid = {"function": "experiment:train", "parameters": {"lr": [0.1, 0.2]}, "study": name, "queue": queue}
    (tmp_path / "sweep.py").write_text(
        f"import qexp\nstudy = qexp.enqueue({grid!r})\nassert study.add([{{'lr': 0.5}}]) == 1\n"
    )
    # When the script runs from another folder
    subprocess.run([sys.executable, tmp_path / "sweep.py"], check=True, cwd="/")
    # Then workers have the code of the script's folder
    assert qexp.Study(name).wait(timeout=120).counts["done"] == 3


def test_a_terminal_shows_a_bar_and_an_interrupted_wait_says_how_to_go_on(site, tmp_path):
    # Given a study that no worker takes
    (tmp_path / "experiment.py").write_text(SOURCE)
    name = f"n_{uuid.uuid4().hex[:8]}"
    grid = {"function": "experiment:train", "parameters": {"lr": [0.1, 0.2]}, "study": name, "queue": name}
    (tmp_path / "sweep.py").write_text(f"import qexp\nstudy = qexp.enqueue({grid!r})\nstudy.wait()\n")
    # When the person presses Ctrl-C
    shown = terminal(sys.executable, tmp_path / "sweep.py", columns=160, keys=[("0/2", "\x03")])
    # Then the bar says so, and the error is short and true
    assert re.search(r"0/2 +0% interrupted$", shown.text, re.MULTILINE)
    said = f"{name} waits for a worker: celery -A qexp worker -Q {name}; wait again with study.wait()"
    assert f"KeyboardInterrupt: {said}" in shown.text.replace("\n", " ")
    assert qexp.Study(name).cancel() == [view.id for view in qexp.Study(name).experiments()]
    # And with progress=False there is no bar
    (tmp_path / "quiet.py").write_text(f"import qexp\nprint(qexp.Study('{name}').wait(progress=False))\n")
    assert terminal(sys.executable, tmp_path / "quiet.py", columns=160).text.strip() == f"{name}, 2: 2 cancelled"


def test_series_with_parameters_are_the_same_in_the_shell_and_in_python(worker, queue, tmp_path):
    # Given series of two experiments
    source = (
        "import qexp\ndef train(lr, *, context: qexp.Context):\n    for step in 0, 1: context.metric(step, loss=lr)\n"
    )
    (tmp_path / "experiment.py").write_text(f"{source}    return 1\n")
    grid = {"function": "experiment:train", "parameters": {"lr": [0.5, 1]}, "queue": queue}
    (tmp_path / "grid.yaml").write_text(json.dumps({**grid, "study": (name := f"n_{uuid.uuid4().hex[:8]}")}))
    qexp.enqueue(tmp_path / "grid.yaml").wait(timeout=120)
    # When both are asked for the parameters
    line = [sys.executable, "-m", "qexp", "metrics", name, "--params"]
    shell = json.loads(subprocess.check_output([*line, "--format", "json"]))
    subprocess.run([*line, "-o", tmp_path / "points.csv"], check=True)
    # Then they say the same, in a file too
    points = qexp.metrics(name, params=True)
    assert [(row["lr"], row["step"]) for row in shell] == [(0.5, 0), (0.5, 1), (1, 0), (1, 1)]
    assert points[["lr", "step", "value"]].to_dict("records") == [
        {name: row[name] for name in ("lr", "step", "value")} for row in shell
    ]
    assert (tmp_path / "points.csv").read_text().splitlines()[0] == ",".join(points.columns)
