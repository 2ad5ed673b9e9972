"""The smallest useful experiment: plain Python, parameters in, results out."""

import math


def evaluate(value: int, exponent: int) -> dict[str, float]:
    """Return sine and cosine of a power."""
    power = value**exponent
    return {"sin": math.sin(power), "cos": math.cos(power)}
