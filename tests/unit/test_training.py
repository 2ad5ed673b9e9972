"""The example of workers/training learns, and goes on from a checkpoint as if nothing had happened."""

import importlib.util
from pathlib import Path

import pytest

import qexp
from qexp.worker.context.context import Local

EXAMPLE = Path(__file__).parents[2] / "workers" / "training" / "experiment.py"
EPOCHS = 6


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("training_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PowerError(Exception):
    """The power goes out."""


class Dying(Local):
    """A context in which the power goes out once, when the metrics of an epoch are kept or the file is."""

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
    # Given one that ends undisturbed, and one that is cut off in the middle of an epoch or behind the last
    undisturbed = example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=qexp.Context.local())
    context = Dying()
    context.at = moment
    with pytest.raises(PowerError):
        example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=context)
    # When it is tried again
    steps = []
    context = qexp.Context.local(journal=context.journal, attempt=2)
    context.metric = lambda step, **values: steps.append(step)
    again = example.train(hidden=8, lr=0.1, epochs=EPOCHS, context=context)
    # Then only the rest is done, and the numbers are the same to the last bit
    assert again == undisturbed
    assert steps == list(range(EPOCHS))[EPOCHS if moment == "weights.npz" else moment :]
