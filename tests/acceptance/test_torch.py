"""A torch training that is killed in any epoch ends with the parameters of an undisturbed one."""

import json
import random
import shutil
from pathlib import Path

import pytest
from tests_support import eventually

from qexp import load, metrics

torch = pytest.importorskip("torch", reason="torch is not installed")

EXAMPLE = Path(__file__).parents[2] / "workers" / "torch"
EPOCHS = 8

KILLING = """
import os, pathlib, signal
import torch_example
import qexp
def f(killed, at, folder, epochs, context: qexp.Context):
    metric = context.metric
    def deadly(epoch, **values):
        metric(epoch, **values)
        if context.attempt == 1 and epoch == at and killed != "nobody":
            if killed == "process":
                os.kill(os.getpid(), signal.SIGKILL)
            (pathlib.Path(folder) / "reached").touch()
            signal.pause()
    context.metric = deadly
    return torch_example.train(16, 0.2, seed=3, epochs=epochs, context=context)
"""


def test_the_example_learns_and_leaves_series_and_weights(qexp, tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "torch")
    done = qexp("run", "torch/grid.yaml", "-c", "2")
    assert done.returncode == 0, done.stderr
    frame = load("torch")
    assert len(frame) == 8
    assert frame[frame["hidden"] == 64]["test_accuracy"].min() > 0.95
    losses = metrics("torch", "train_loss")
    assert losses.groupby("id")["step"].apply(list).tolist() == [list(range(15))] * 8
    listed = json.loads(qexp("artifacts", "torch", "--format", "json").stdout)
    assert [item["name"] for item in listed] == ["net.pt"] * 8


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(("killed", "outcome"), [("process", "crashed"), ("worker", "lost")])
def test_a_killed_training_ends_with_the_parameters_of_an_undisturbed_one(
    study, qexp, start_worker, queue, tmp_path, killed, outcome
):
    # Given an undisturbed training, and one that is killed in an epoch after its metrics
    own, at = f"{queue}_{outcome}", random.randrange(EPOCHS)
    first = start_worker("-Q", own, "-c", "1").await_ready()
    shutil.copy(EXAMPLE / "experiment.py", tmp_path / "torch_example.py")
    settings = {"at": at, "folder": str(tmp_path), "epochs": EPOCHS}
    made = study(
        KILLING, {"killed": ["nobody", killed]}, settings=settings, queue=own, retries={"crashed": 1, "delay": "1s"}
    )
    made.enqueue()
    # When another attempt resumes, on another worker if the first is dead
    if killed == "worker":
        eventually((tmp_path / "reached").exists, f"epoch {at}")
        first.kill()
        start_worker("-Q", own, "-c", "1").await_ready()
    assert made.wait() == 0
    # Then no number and no parameter differs
    whole, broken = made.shown()
    assert [attempt["outcome"] for attempt in whole["attempts"]] == ["done"]
    assert [attempt["outcome"] for attempt in broken["attempts"]] == [outcome, "done"], f"killed in epoch {at}"
    assert broken["result"] == whole["result"], f"killed in epoch {at}"
    series = metrics(made.name).set_index("id")[["name", "step", "value"]]
    assert series.loc[broken["id"]].values.tolist() == series.loc[whole["id"]].values.tolist()
    expected, found = (parameters(qexp, tmp_path, row["id"]) for row in (whole, broken))
    assert list(found) == list(expected)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == [], f"killed in epoch {at}"


def parameters(qexp, folder, number):
    """Return the parameters that an experiment stored."""
    done = qexp("artifacts", number, "--get", "net.pt", "-o", folder / f"{number}.pt")
    assert done.returncode == 0, done.stderr
    return torch.load(folder / f"{number}.pt")
