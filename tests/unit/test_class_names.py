"""Each class of qexp has a unique name, so a name in a traceback or a search is unambiguous."""

import ast
from collections import defaultdict
from pathlib import Path

import qexp

PACKAGE = Path(qexp.__file__).parent


def test_no_class_name_occurs_twice():
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
