"""A grid and the function it names are held against each other, before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qexp.errors import FunctionError, GridError
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
        for name, place in grid.source.assumed.items():
            if name in signature.names:
                raise GridError(
                    place,
                    f"{name!r} has two meanings, since {grid.function} takes a parameter of that name: "
                    f"write grid.{name}=… or parameters.{name}=…",
                )
        return bind(grid, signature)
