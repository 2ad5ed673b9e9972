"""Incremental estimators of scikit-learn resume from a checkpoint that joblib dumps and loads."""

import joblib
import numpy as np
import pytest

import qexp
from qexp.errors import CheckpointError

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import IncrementalPCA, MiniBatchDictionaryLearning
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

EPOCHS = 4
SUPERVISED = {
    "SGDClassifier": lambda: SGDClassifier(random_state=0),
    "SGDClassifier, averaged": lambda: SGDClassifier(loss="log_loss", average=True, random_state=0),
    "Perceptron": lambda: Perceptron(random_state=0),
    "MLPClassifier": lambda: MLPClassifier((4,), random_state=0),
    "MLPClassifier with a generator": lambda: MLPClassifier((4,), random_state=np.random.RandomState(3)),
    "GaussianNB": GaussianNB,
}
OTHER = {
    "SGDRegressor": lambda: SGDRegressor(random_state=0),
    "MiniBatchKMeans": lambda: MiniBatchKMeans(2, random_state=0),
    "IncrementalPCA": lambda: IncrementalPCA(2),
    "MiniBatchDictionaryLearning": lambda: MiniBatchDictionaryLearning(3, random_state=0),
    "StandardScaler": StandardScaler,
}


class PowerError(Exception):
    """Stands for a power failure."""


def learn(name, context, dies_in=None, as_state=lambda estimator, rng: {"estimator": estimator, "rng": rng}):
    """Learn from random batches; return the hash of the estimator's whole state."""
    estimator, rng = {**SUPERVISED, **OTHER}[name](), np.random.default_rng(0)
    state = as_state(estimator, rng)
    for epoch in context.resumable(range(EPOCHS), state, steps=1, dump=joblib.dump, load=joblib.load):
        points = rng.random((40, 4))
        labels = (points[:, 0] > 0.5).astype(int)
        estimator.partial_fit(points, labels, **({"classes": [0, 1]} if name in SUPERVISED else {}))
        if epoch == dies_in:
            raise PowerError
    return joblib.hash(vars(estimator))


def cut_off(name, dies_in=2, **options):
    first = qexp.Context.local()
    with pytest.raises(PowerError):
        learn(name, first, dies_in=dies_in, **options)
    return learn(name, qexp.Context.local(journal=first.journal, attempt=2), **options)


@pytest.mark.parametrize("name", [*SUPERVISED, *OTHER])
def test_an_estimator_resumes_bit_for_bit(name):
    undisturbed = learn(name, qexp.Context.local())
    for epoch in range(EPOCHS):
        assert cut_off(name, dies_in=epoch) == undisturbed, f"cut off in epoch {epoch}"


@pytest.mark.parametrize("as_state", [lambda it, rng: (it, rng), lambda it, rng: {"deep": [(it, {"rng": rng})]}])
def test_an_estimator_is_restored_in_place_anywhere_in_a_state(as_state):
    assert cut_off("MLPClassifier", as_state=as_state) == learn("MLPClassifier", qexp.Context.local())


@pytest.mark.parametrize("state", [lambda: {"clf": SGDClassifier()}, lambda: {"clf": GaussianNB()}])
def test_an_estimator_without_a_dump_is_refused_before_the_first_epoch(state):
    text = r"^state\['clf'\]: (an SGD\w+|a Gauss\w+) is not data; give resumable dump=joblib.dump, load=joblib.load$"
    with pytest.raises(CheckpointError, match=text):
        next(qexp.Context.local().resumable(range(3), state()))


def test_an_estimator_in_a_manual_save_is_refused_with_the_argument_to_pass():
    with pytest.raises(CheckpointError, match=r"is not data; give dump=joblib.dump, load=joblib.load$"):
        qexp.Context.local().save({"clf": GaussianNB()})
