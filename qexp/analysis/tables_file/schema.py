"""The JSON schema of a file of tables, for editors."""

from __future__ import annotations

from typing import Any

from qexp.analysis.tables_file.keys import KEYS
from qexp.analysis.tables_file.reading import NAME, NOTES


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a file of tables; a required key may also be in `defaults`, so none is required."""
    keys = {name: {**key.schema, "description": key.expected} for name, key in KEYS.items()}
    table = {"type": "object", "properties": keys, "additionalProperties": False}
    defaults = {**table, "properties": {name: key for name, key in keys.items() if name != "files"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "qexp tables",
        "type": "object",
        "properties": {
            "defaults": {"description": "keys that every table has unless it sets them", **defaults},
            "tables": {
                "description": "the tables by name",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "additionalProperties": table,
            },
            "macros": {"type": "string", "description": "a .tex file with a macro for each cell of all tables"},
        },
        "required": ["tables"],
        "patternProperties": {f"^{NOTES}": {"description": "yours: a place for anchors"}},
        "additionalProperties": False,
    }
