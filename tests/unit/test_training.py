"""The example of workers/training learns, and resumes from a checkpoint with unchanged results."""

import importlib.util
from pathlib import Path

import pytest

import qexp
from qexp.worker.context.context import LocalContext

EXAMPLE = Path(__file__).parents[2] / "workers" / "training" / "experiment.py"
EPOCHS = 6


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("training_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PowerError(Exception):
    """Stands for a power failure."""


class Dying(LocalContext):
    """A context with one power failure, while it stores the metrics of an epoch or the file."""

    at: int | str

    def metric(self, step=None, **values):
        self._die(step)
        super().metric(step, **values)

    def artifact(self, name, content):
        self._die(name)
        return super().artifact(name, content)

    def _die(self, moment):
        if moment == self.at:
            raise PowerError


def test_the_network_tells_the_spirals_apart(example):
    found = example.train(hidden=16, lr=0.1, context=qexp.Context.local())
    assert found["test_accuracy"] > 0.95
    assert 0 < found["train_loss"] < 0.2


@pytest.mark.parametrize("moment", [0, 3, EPOCHS - 1, "weights.npz"])
def test_a_training_that_was_cut_off_ends_with_the_numbers_of_an_undisturbed_one(example, moment):
    # Given an undisturbed training, and one killed during an epoch or after the last
    undisturbed = example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=qexp.Context.local())
    context = Dying()
    context.at = moment
    with pytest.raises(PowerError):
        example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=context)
    # When the next attempt runs
    steps = []
    context = qexp.Context.local(journal=context.journal, attempt=2)
    context.metric = lambda step, **values: steps.append(step)
    again = example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=context)
    # Then it runs only the rest, and the numbers are equal bit for bit
    assert again == undisturbed
    assert steps == list(range(EPOCHS))[EPOCHS if moment == "weights.npz" else moment :]
