"""A grid file becomes parameter sets, without a database and a broker."""

from qexp.grid.assignments import assignments_of
from qexp.grid.binding import bind
from qexp.grid.grid import Grid
from qexp.grid.object_round_trip import check_instances
from qexp.grid.schema import json_schema

__all__ = ["Grid", "assignments_of", "bind", "check_instances", "json_schema"]
