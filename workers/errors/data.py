"""The data sets of the study, one of them broken on purpose."""

from collections.abc import Callable

from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

LOADERS: dict[str, Callable[..., tuple[NDArray, NDArray]]] = {
    "iris": load_iris,
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
}


def load(name: str) -> tuple[NDArray, NDArray]:
    """Return the features and labels of a data set."""
    features, labels = LOADERS[name](return_X_y=True)
    if name == "wine":
        labels = labels[:-1]  # the mistake: this drops the last label. The fix: delete this line and the one above.
    return features, labels
