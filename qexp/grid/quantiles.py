"""Quantiles for drawn parameters: random, Latin hypercube or Sobol, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from qexp.grid.axis_forms import MAX_VALUES


class Sampling(BaseModel):
    """The number, seed and method of draws, which form one axis."""

    model_config = ConfigDict(extra="forbid", strict=True)

    samples: Annotated[StrictInt, Field(ge=1, le=MAX_VALUES, description="how many parameter sets to draw")]
    seed: Annotated[StrictInt, Field(ge=0, description="the same seed gives the same draws")] = 0
    method: Literal["random", "latin_hypercube", "sobol"] = "random"

    def quantiles(self, names: Sequence[str]) -> Iterator[Sequence[float]]:
        """
        Yield one row of quantiles in [0, 1) per sample, one column per name. Raises ValueError without scipy.

        `random` gives each name its own stream of Python's Mersenne Twister, which Python guarantees to be stable. More
        samples continue the stream, and a new drawn parameter changes no other. The other methods are those of
        scipy.stats.qmc, scrambled by numpy's PCG64, and as stable as these.
        """
        if self.method == "random":
            streams = [random.Random(f"{self.seed}:{name}") for name in names]
            return ([stream.random() for stream in streams] for _ in range(self.samples))
        return iter(self._spread(len(names)))

    def _spread(self, dimensions: int) -> Any:
        try:
            import numpy as np
            from scipy.stats import qmc
        except ImportError as error:
            raise ValueError(
                f"method {self.method} needs scipy; install it with pip install 'qexp[sampling]'"
            ) from error
        generator = np.random.Generator(np.random.PCG64(self.seed))
        if self.method == "latin_hypercube":
            return qmc.LatinHypercube(dimensions, rng=generator).random(self.samples)
        power = (self.samples - 1).bit_length()  # a Sobol sequence is balanced over powers of two
        return qmc.Sobol(dimensions, rng=generator).random_base2(power)[: self.samples]
