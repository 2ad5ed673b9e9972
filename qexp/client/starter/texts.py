"""The text of the files that a first grid begins with."""

from __future__ import annotations

from collections.abc import Sequence

from qexp.client.starter.axes import ProposedAxis, yaml_text

EXAMPLE = '''"""qexp calls `train` once for each combination of the values in grid.yaml."""

import random


def train(lr: float, momentum: float = 0.0, seed: int = 0, steps: int = 200):
    """Find the minimum of a parabola by noisy gradient descent."""
    rng = random.Random(seed)
    x, speed = 5.0, 0.0
    for _ in range(steps):
        gradient = 2 * x + rng.gauss(0, 1)
        speed = momentum * speed - lr * gradient
        x += speed
    return {"loss": x * x, "x": x}
'''
EXAMPLE_GRID = """\
# qexp runs the function once for each combination of these values:
# 3 x 2 x 3 seeds = 18 experiments.
study: STUDY
function: experiment:train

parameters:
  lr: [0.01, 0.1, 0.5]
  momentum: [0.0, 0.9]
seeds: 3                  # the parameter seed: 0, 1 and 2

settings:                 # given to the function too, the same for all
  steps: 200
"""
_MORE = """
# More keys; remove the first # of a line to use it:
# timeout: 1h               # end an attempt that takes longer
# retries: 1                # run an experiment that failed once more
# memory: 4GB               # end an attempt that needs more
"""
_SETTINGS = "# settings: {NAME: VALUE}   # given to the function too, the same for all\n"


def example_grid(study: str) -> str:
    """Return the grid of the example."""
    return EXAMPLE_GRID.replace("STUDY", study) + _MORE


def grid_of(
    study: str, function: str, folder: str | None, axes: Sequence[ProposedAxis], has_seed: bool, is_open: bool
) -> str:
    """Return a grid with these axes; *is_open*: the function takes other names too."""
    lines = ["# qexp runs the function once for each combination of these values.", f"study: {study}"]
    lines.append(f"function: {function}")
    if folder is not None:
        lines.append(f"folder: {yaml_text(folder)}")
    lines.append("")
    if any(not axis.is_optional for axis in axes):
        lines.append("parameters:")
    elif axes or is_open:
        lines.append("# parameters:")
    if axes:
        texts = [f"  {axis.text}" for axis in axes]
        width = min(40, max(map(len, texts)))
        lines += [
            f"{text:{width}}   # {axis.comment}" if axis.comment else text
            for text, axis in zip(texts, axes, strict=True)
        ]
    if is_open:
        lines.append("  # NAME: [VALUE, VALUE]   # the function takes any name")
    if has_seed:
        lines.append("seeds: 3   # the parameter seed: 0, 1 and 2")
    return "\n".join(lines) + "\n" + _MORE + _SETTINGS
