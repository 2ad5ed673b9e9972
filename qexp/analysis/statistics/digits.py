"""Choose the digits of a table's column, and write numbers as text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qexp.analysis.statistics.float_noise import Floats

MISSING = "—"
"""The text of a spread that does not exist."""
MOST_DECIMALS = 6
LARGE, SMALL = 1e6, 1e-4
"""Centers from LARGE up, or all below SMALL, are written as 1.23e-05."""


@dataclass(frozen=True)
class NumberFormat:
    """The format of all numbers in one column."""

    decimals: int
    """Digits behind the point; in scientific notation those of the mantissa."""
    is_scientific: bool = False

    def text(self, value: float) -> str:
        """Return a center as text: `0.91`, `1.23e-05`, `inf` or `nan`."""
        return scientific(value, self.decimals) if self.is_scientific else fixed(value, self.decimals)

    def spread_text(self, value: float) -> str:
        """Return a spread as text with the same decimals, in scientific notation with two digits; — for NaN."""
        if np.isnan(value):
            return MISSING
        return scientific(value, 1) if self.is_scientific else fixed(value, self.decimals)


def column_format(centers: npt.ArrayLike, spreads: npt.ArrayLike = (), digits: int | None = None) -> NumberFormat:
    """
    Choose one format for all cells of a column.

    *digits* None chooses by `decimals`, or scientific notation if a center is 1e6 or more, or if all are below 1e-4.
    A number of digits is that number of decimals, without scientific notation.
    """
    if digits is not None:
        return NumberFormat(digits)
    if needs_scientific(centers):
        return NumberFormat(_mantissa_decimals(_sizes(centers), _sizes(spreads)), is_scientific=True)
    return NumberFormat(decimals(centers, spreads))


def decimals(centers: npt.ArrayLike, spreads: npt.ArrayLike = ()) -> int:
    """
    Return the decimals, 0 to 6, that suit a column in fixed notation.

    With spreads, the median of those that are not zero shows two significant digits. Without any, the largest
    center shows three significant digits, or four if this tells more centers apart, without shared zeros at the end.

    >>> decimals([0.912, 0.874], [0.021, 0.013]), decimals([0.9123, 0.8746]), decimals([0.9123, 0.9121])
    (3, 3, 4)
    """
    sizes = _sizes(spreads)
    if sizes.size:
        return _clamped(1 - _exponent(float(np.median(sizes)), 2))
    return _decimals_of_centers(_finite(centers))


def needs_scientific(centers: npt.ArrayLike) -> bool:
    """Return whether a center is 1e6 or more, or all that are not zero are below 1e-4; infinite ones do not count."""
    sizes = _sizes(centers)
    return bool(sizes.size) and bool(sizes.max() >= LARGE or sizes.max() < SMALL)


def fixed(value: float, decimals: int) -> str:
    """
    Return a number with this many decimals, rounded as `format` does, without a minus before zeros.

    >>> fixed(0.9149, 2), fixed(-0.001, 2), fixed(float("inf"), 2)
    ('0.91', '0.00', 'inf')
    """
    text = f"{value:.{decimals}f}"
    is_zero = text.startswith("-") and not text.strip("-0.")
    return text[1:] if is_zero else text


def scientific(value: float, decimals: int) -> str:
    """
    Return mantissa and exponent, the mantissa with this many decimals; zero is `0`.

    >>> scientific(0.0000123, 2), scientific(0.0, 2)
    ('1.23e-05', '0')
    """
    return "0" if value == 0 else f"{value:.{decimals}e}"


def p_text(p: float) -> str:
    """
    Return a p-value as papers print it.

    >>> p_text(0.03125), p_text(0.0004)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _decimals_of_centers(centers: Floats) -> int:
    sizes = _sizes(centers)
    if not sizes.size:
        return 0
    exponent = _exponent(float(sizes.max()), 4)
    most, usual = _clamped(3 - exponent), _clamped(2 - exponent)
    chosen = most if _distinct(centers, most) > _distinct(centers, usual) else usual
    return max(len(fixed(center, chosen).partition(".")[2].rstrip("0")) for center in centers)


def _mantissa_decimals(centers: Floats, spreads: Floats) -> int:
    if not spreads.size:
        return 2
    wanted = _exponent(float(np.median(centers)), 2) - _exponent(float(np.median(spreads)), 2) + 1
    return max(1, _clamped(wanted))


def _distinct(centers: Iterable[float], decimals: int) -> int:
    return len({fixed(center, decimals) for center in centers})


def _exponent(value: float, significant: int) -> int:
    return int(f"{value:.{significant - 1}e}".partition("e")[2])


def _clamped(decimals: int) -> int:
    return min(max(decimals, 0), MOST_DECIMALS)


def _finite(values: npt.ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64).ravel()
    return numbers[np.isfinite(numbers)]


def _sizes(values: npt.ArrayLike) -> Floats:
    sizes = np.abs(_finite(values))
    return sizes[sizes > 0]
