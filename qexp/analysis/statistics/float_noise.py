"""Round numbers so that ties of decimal results are equal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SIGNIFICANT = 13
"""Digits of a result that count; float64 keeps 15 of a decimal number."""


def without_noise(values: Floats, magnitudes: Floats) -> Floats:
    """
    Round each value to 13 significant digits of its magnitude: the largest number that it was computed from.

    Binary fractions make 0.3 - 0.2 and 0.2 - 0.1 differ in the last digit, and a rank test would rank them.
    Values of magnitudes below 1e-9 or above 1e12 stay as they are.

    >>> without_noise(np.array([0.3 - 0.2, 0.2 - 0.1]), np.array([0.3, 0.2])).tolist()
    [0.1, 0.1]
    """
    usable = (magnitudes >= 1e-9) & (magnitudes < 1e12) & np.isfinite(values)
    exponents = np.floor(np.log10(np.where(usable, magnitudes, 1.0)))
    powers = 10.0 ** (SIGNIFICANT - 1 - exponents)  # at most 1e21, which float64 holds exactly
    return np.where(usable, np.rint(np.where(usable, values, 0.0) * powers) / powers, values)
