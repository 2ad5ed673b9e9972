"""Versions of files and packages, and conflicts between the versions of experiments."""

from __future__ import annotations

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import packages_distributions

import numpy as np

from qexp.model import Imports
from qexp.store.reads.imported_files import PLACE, Versions
from qexp.store.reads.imports_and_environments import EnvironmentView

__all__ = ["PLACE", "Versions", "conflicting", "conflicts", "packages"]

_DISTRIBUTIONS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python opencv-python-headless opencv-contrib-python",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu faiss-gpu",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow-cpu tensorflow-gpu",
    "yaml": "pyyaml",
}
"""Packages by modules of another name; the metadata of installed packages adds to them."""


_installed = functools.cache(packages_distributions)


def packages(environment: EnvironmentView, imports: Imports) -> Versions:
    """Return the versions of the packages that were imported."""
    names = {package for module in imports.packages for package in _distributions(module)}
    return {name: version for name, version in environment.packages.items() if name in names}


@functools.cache
def _distributions(module: str) -> frozenset[str]:
    """Return the names of the packages that a top-level module may belong to: sklearn to scikit-learn."""
    known = (module, *_installed().get(module, []), *_DISTRIBUTIONS.get(module, "").split())
    return frozenset(re.sub(r"[-_.]+", "-", name).lower() for name in known)


def conflicts(cells: np.ndarray, classes: np.ndarray, versions: Sequence[Versions]) -> tuple[list[int], list[str]]:
    """
    Return the cells in which versions conflict, and the names of the files or packages that conflict.

    Without such cells, the names are those that conflict between cells. *classes* are indices into *versions*.
    """
    if len(versions) < 2:
        return [], []
    pairs = np.unique(cells.astype(np.int64) * len(versions) + classes)
    members, found = np.divmod(pairs, len(versions))
    several = np.isin(members, members[1:][members[1:] == members[:-1]])
    in_cell = defaultdict[int, list[int]](list)
    for cell, one in zip(members[several].tolist(), found[several].tolist(), strict=True):
        in_cell[cell].append(one)
    seen: dict[tuple[int, ...], list[str]] = {}
    within, names = [], dict[str, None]()
    for cell, some in in_cell.items():
        key = tuple(some)
        if key not in seen:
            seen[key] = conflicting(versions[one] for one in some)
        if seen[key]:
            within.append(cell)
            names |= dict.fromkeys(seen[key])
    return within, list(names) if within else conflicting(versions)


def conflicting(versions: Iterable[Versions]) -> list[str]:
    """Return the names that have several versions."""
    found = defaultdict[str, set[str]](set)
    for name, version in itertools.chain.from_iterable(one.items() for one in versions):
        found[name].add(version)
    return sorted(name for name, some in found.items() if len(some) > 1)
