"""A grid file becomes parameter sets; this room knows no database and no broker."""

from qexp.grid.grid import Grid

__all__ = ["Grid"]
