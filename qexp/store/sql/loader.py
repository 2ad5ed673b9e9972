"""Load the statements of the .sql files in this package by their names."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString


def statements(file: str) -> dict[str, LiteralString]:
    """Return the statements of a file of this package by their names; `{NAME}` is replaced by the part of that name."""
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    pieces = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)[1:]
    bodies = {name: body.strip().rstrip(";") for name, body in zip(*[iter(pieces)] * 2, strict=True)}
    return {
        name: re.sub(r"\{(\w+)\}", lambda part: bodies[part[1]], body)
        for name, body in bodies.items()
        if f"{{{name}}}" not in text
    }
