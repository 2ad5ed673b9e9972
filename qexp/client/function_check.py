"""Check a grid against its function, before anything is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qexp.errors import FunctionError, GridError
from qexp.functions import Signature, import_folder, importing_from, resolve
from qexp.grid import bind, check_instances

if TYPE_CHECKING:
    from qexp.grid import Grid


def checked(grid: Grid, moves: bool = True) -> Grid:
    """
    Return the grid with values converted for its function, and with the folder from which workers import it.

    Raises GridError with the line that does not fit; without *moves*, also if the function is in another folder.
    """
    if grid.is_bound:
        return grid
    with importing_from(grid.folder):
        try:
            signature = Signature.of(resolve(grid.function, grid.folder), grid.function)
            folder = import_folder(grid.function, grid.folder)
            if folder != grid.folder and not moves:
                raise FunctionError(
                    f"function {grid.function}: found in {folder}, where workers of this study do not look; "
                    "enqueue its grid again from here"
                )
        except FunctionError as error:
            raise grid.source.error(str(error), "function") from error
        for name, place in grid.source.assumed.items():
            if name in signature.names:
                raise GridError(
                    place,
                    f"{name!r} has two meanings: {grid.function} takes a parameter of this name too: "
                    f"write grid.{name}=… or parameters.{name}=…",
                )
        bound = bind(dataclasses.replace(grid, folder=folder), signature)
        check_instances(bound, signature.convert)
        return bound
