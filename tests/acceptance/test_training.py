"""A training of a killed worker resumes from the last epoch, with the numbers of an undisturbed one."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from tests_support import eventually

from qexp import load, metrics

EXAMPLE = Path(__file__).parents[2] / "workers" / "training"
EPOCHS, HELD = 12, 7

WATCHED = """
import json, os, pathlib, time
import training
import qexp
def f(held, at, folder, epochs, context: qexp.Context):
    folder, metric = pathlib.Path(folder), context.metric
    if held:
        (folder / "pid").write_text(str(os.getpid()))
    def watched(epoch, **values):
        with (folder / "epochs").open("a") as file:
            print(json.dumps([held, context.attempt, epoch]), file=file)
        metric(epoch, **values)
        if held and context.attempt == 1 and epoch == at:
            time.sleep(600)
    context.metric = watched
    return training.train(16, 0.1, seed=1, epochs=epochs, context=context)
"""


def test_the_example_learns_and_leaves_series_and_weights(qexp, tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "training")
    done = qexp("run", "training/grid.yaml", "-c", "2")
    assert done.returncode == 0, done.stderr
    frame = load("training")
    assert len(frame) == 12
    assert frame[frame["hidden"] == 64]["test_accuracy"].min() > 0.95
    accuracies = metrics("training", "test_accuracy")
    assert accuracies.groupby("id")["step"].apply(list).tolist() == [list(range(20))] * 12
    last = accuracies[accuracies["step"] == 19]["value"]
    assert last.tolist() == frame["test_accuracy"].tolist()
    listed = json.loads(qexp("artifacts", "training", "--format", "json").stdout)
    assert [item["name"] for item in listed] == ["weights.npz"] * 12


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("outcome", ["lost", "crashed"])
def test_a_killed_training_resumes_from_the_last_epoch(study, raw, start_worker, queue, tmp_path, outcome):
    def count(query, *values):
        return raw.execute(f"SELECT count(*) FROM {query}", values).fetchone()[0]

    # Given a training within an epoch with written metrics, and a finished undisturbed one
    own = f"{queue}_{outcome}"
    first = start_worker("-Q", own, "-c", "2").await_ready()
    shutil.copy(EXAMPLE / "experiment.py", tmp_path / "training.py")
    settings = {"at": HELD, "folder": str(tmp_path), "epochs": EPOCHS}
    made = study(WATCHED, {"held": [True, False]}, settings=settings, queue=own, retries={"crashed": 1, "delay": "1s"})
    made.enqueue()
    eventually(lambda: [row["status"] for row in made.listed()] == ["running", "done"], "one to be done")
    held, undisturbed = (row["id"] for row in made.listed())
    eventually(lambda: count("metric WHERE experiment = %s AND step = %s", held, HELD) == 2, "the epoch's metrics")
    # When its worker is killed and another one starts, or only its process is killed
    if outcome == "lost":
        first.kill()
        start_worker("-Q", own, "-c", "2").await_ready()
    else:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert made.wait() == 0
    # Then the second attempt runs only the rest, and no number differs
    broken, whole = made.shown()
    assert [attempt["outcome"] for attempt in broken["attempts"]] == [outcome, "done"]
    assert [attempt["outcome"] for attempt in whole["attempts"]] == ["done"]
    assert broken["result"] == whole["result"]
    ran = [json.loads(line) for line in (tmp_path / "epochs").read_text().splitlines()]
    assert [epoch for is_held, attempt, epoch in ran if (is_held, attempt) == (True, 1)] == list(range(HELD + 1))
    assert [epoch for is_held, attempt, epoch in ran if (is_held, attempt) == (True, 2)] == list(range(HELD, EPOCHS))
    series = metrics(made.name).set_index("id")[["name", "step", "value"]]
    assert series.loc[held].values.tolist() == series.loc[undisturbed].values.tolist()
    assert metrics(made.name, "train_loss")["step"].tolist() == [*range(EPOCHS)] * 2
    assert len(metrics(made.name, "train_loss", every=True)) == 2 * EPOCHS + 1
    assert count("checkpoint WHERE experiment = ANY(%s)", [held, undisturbed]) == 0
