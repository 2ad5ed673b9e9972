"""A parameter of many experiments: its values in display order, and for each experiment one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qexp.analysis.plots.labels import labels_of
from qexp.model import Json, strict

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CodedParameter:
    """A parameter. Numbers are in order of size, other values as they first appear, experiments without it last."""

    name: str
    values: tuple[Json, ...]
    """The different values; None for experiments that do not have the parameter."""
    codes: Codes
    """For each experiment the place of its value."""

    @cached_property
    def labels(self) -> list[str]:
        """Return a short text for each value."""
        return labels_of(self.values)

    @property
    def is_numeric(self) -> bool:
        """Return whether all values are numbers; experiments without the parameter do not matter."""
        known = [value for value in self.values if value is not None]
        return bool(known) and _are_numbers(known)

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Return the number of each experiment, NaN for those without the parameter."""
        values = [np.nan if value is None else float(value) for value in self.values]
        return np.array(values, dtype=np.float64)[self.codes]

    def among(self, chosen: npt.NDArray[np.bool_]) -> CodedParameter:
        """Return the parameter of some of the experiments, without the values that none of them has."""
        kept, codes = np.unique(self.codes[chosen], return_inverse=True)
        return CodedParameter(self.name, tuple(self.values[place] for place in kept), codes.astype(np.int64))


def axis_of(name: str, column: pd.Series[Any]) -> CodedParameter:
    """Return a column of a frame of experiments as an axis."""
    if column.dtype == object:
        keys = [None if _is_missing(value) else json.dumps(strict(value), sort_keys=True) for value in column]
        codes, _ = pd.factorize(pd.Series(keys, dtype=object))
    else:
        codes, _ = pd.factorize(column)
    firsts = np.unique(codes[codes >= 0], return_index=True)[1]
    present = np.flatnonzero(codes >= 0)[firsts]
    found = [column.iloc[place] for place in present]
    values = [value.item() if isinstance(value, np.generic) else value for value in found]
    order = sorted(range(len(values)), key=lambda place: values[place]) if _are_numbers(values) else range(len(values))
    places = np.empty(len(values) + 1, dtype=np.int64)
    places[list(order)] = np.arange(len(values))
    places[-1] = len(values)  # code -1: missing
    ordered = [values[place] for place in order] + [None] * bool((codes < 0).any())
    return CodedParameter(name, tuple(ordered), places[codes])


def _are_numbers(values: list[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
