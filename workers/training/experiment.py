"""A small neural network learns which of two spirals a point lies on; after a kill, it resumes from the last epoch."""

import numpy as np
from numpy.typing import NDArray

import qexp

Array = NDArray[np.float64]


def spirals(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return points (x, y and a constant 1) near two arms of a spiral, and the arm of each: -1 or 1."""
    arms = rng.choice([-1.0, 1.0], count)
    radii = np.sqrt(rng.random(count))
    angles = 2 * np.pi * radii
    points = np.stack([arms * radii * np.cos(angles), arms * radii * np.sin(angles), np.ones(count)], axis=1)
    points[:, :2] += rng.normal(scale=0.03, size=(count, 2))
    return points, arms


class Network:
    """One hidden layer, trained with momentum. All state is in attributes, which the checkpoint saves."""

    def __init__(self, hidden: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.weights: list[Array] = [rng.normal(scale=3, size=(3, hidden)), rng.normal(size=hidden)]
        self.momenta = [np.zeros_like(weights) for weights in self.weights]

    def learn(self, points: Array, arms: Array, lr: float) -> None:
        """Train one epoch in random batches of about 20 points."""
        for chosen in np.array_split(self.rng.permutation(len(arms)), len(arms) // 20):
            hidden = np.tanh(points[chosen] @ self.weights[0])
            error = -arms[chosen] / (1 + np.exp(arms[chosen] * (hidden @ self.weights[1]))) / len(chosen)
            slopes = [points[chosen].T @ (np.outer(error, self.weights[1]) * (1 - hidden**2)), error @ hidden]
            for weights, momentum, slope in zip(self.weights, self.momenta, slopes, strict=True):
                momentum *= 0.9
                momentum -= lr * slope
                weights += momentum

    def margins(self, points: Array, arms: Array) -> Array:
        """Return the margin of each point; it is negative if the prediction is wrong."""
        return arms * (np.tanh(points @ self.weights[0]) @ self.weights[1])


def train(hidden: int, lr: float, seed: int = 0, epochs: int = 20, *, context: qexp.Context) -> dict[str, float]:
    """Train, and return the loss on the training points and the accuracy on new points."""
    rng = np.random.default_rng(seed)
    known, new = spirals(1000, rng), spirals(1000, rng)
    network = Network(hidden, rng)

    def measure() -> dict[str, float]:
        loss = np.logaddexp(0, -network.margins(*known)).mean()
        return {"train_loss": float(loss), "test_accuracy": float((network.margins(*new) > 0).mean())}

    for epoch in context.resumable(range(epochs), network, steps=1):  # without steps=1, it saves every 30 seconds
        network.learn(*known, lr)
        context.metric(epoch, **measure())
    found = measure()  # outside of the loop, because an attempt that resumes after the last epoch skips the loop
    context.log.info("after %d epochs %.1f %% of new points are right", epochs, 100 * found["test_accuracy"])
    np.savez(context.workdir / "weights.npz", hidden=network.weights[0], output=network.weights[1])
    context.artifact("weights.npz", context.workdir / "weights.npz")
    return found
