"""A grid and the function it names are held against each other, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qexp.errors import FunctionError
from qexp.functions import Signature, resolve, workspace

if TYPE_CHECKING:
    from qexp.grid import Grid


def checked(grid: Grid) -> Grid:
    """Return the grid as its function takes it; GridError names the line of what does not fit."""
    from qexp.grid import bind

    with workspace(grid.folder):
        try:
            signature = Signature.of(resolve(grid.function, grid.folder), grid.function)
        except FunctionError as error:
            raise grid.source.error(str(error), "function") from error
        return bind(grid, signature)
