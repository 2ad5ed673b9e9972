"""Checkpoints in real workers: classes of the experiment's own module, and estimators that joblib writes."""

import random

import pytest

from qexp import metrics

EPOCHS = 5

OWN_CLASSES = """
import collections, dataclasses, enum, os, signal
import qexp
class Mode(enum.Enum):
    WARM, FULL = "warm", "full"
@dataclasses.dataclass
class Best:
    epoch: int
    mode: Mode
Pair = collections.namedtuple("Pair", "left right")
def f(killed, at, epochs, context: qexp.Context):
    state = {"best": None, "all": collections.defaultdict(lambda: collections.deque(maxlen=3)), "pair": Pair(0, [])}
    pair = state["pair"].right
    for epoch in context.resumable(range(epochs), state, steps=1):
        state["best"] = Best(epoch, Mode.FULL if epoch > 1 else Mode.WARM)
        state["all"][epoch % 2].append(Best(epoch, Mode.WARM))
        pair.append(epoch)
        if killed and context.attempt == 1 and epoch == at:
            os.kill(os.getpid(), signal.SIGKILL)
    assert state["pair"].right is pair
    return {"state": repr((state["best"], dict(state["all"]), state["pair"]))}
"""

ESTIMATOR = """
import os, signal
import joblib
import numpy as np
from sklearn.linear_model import SGDClassifier
import qexp
def f(killed, at, epochs, context: qexp.Context):
    clf, rng = SGDClassifier(random_state=1), np.random.default_rng(2)
    state = {"clf": clf, "rng": rng}
    for epoch in context.resumable(range(epochs), state, steps=1, dump=joblib.dump, load=joblib.load):
        points = rng.random((50, 3))
        clf.partial_fit(points, points[:, 0] > 0.5, classes=[False, True])
        if killed and context.attempt == 1 and epoch == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"state": joblib.hash(vars(clf))}
"""

REFUSED = """
import qexp
def f(x, context: qexp.Context):
    state = {"file": None}
    for epoch in context.resumable(range(9), state, steps=1):
        context.metric(epoch, x=x)
        state["file"] = print
"""


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("source", [OWN_CLASSES, ESTIMATOR], ids=["classes", "estimator"])
def test_a_loop_that_is_killed_in_any_epoch_ends_like_an_undisturbed_one(study, source):
    at = random.randrange(EPOCHS)
    settings = {"at": at, "epochs": EPOCHS}
    made = study(source, {"killed": [False, True]}, settings=settings, retries={"crashed": 1, "delay": "1s"})
    made.enqueue()
    assert made.wait() == 0
    whole, broken = made.shown()
    assert [attempt["outcome"] for attempt in broken["attempts"]] == ["crashed", "done"], f"killed in epoch {at}"
    assert broken["result"] == whole["result"], f"killed in epoch {at}"


@pytest.mark.usefixtures("worker")
def test_a_state_that_cannot_be_saved_fails_after_its_first_epoch_with_place_and_repair(study):
    made = study(REFUSED, {"x": [1]})
    made.enqueue()
    assert made.wait() == 1
    (attempt,) = made.shown()[0]["attempts"]
    assert metrics(made.name)["step"].tolist() == [0]
    assert attempt["error_type"].endswith("CheckpointError")
    assert attempt["error_message"] == (
        "state['file']: a builtins.builtin_function_or_method is not data; "
        "leave it out, or give dump= and load=, such as dump=pickle.dump, load=pickle.load"
    )
