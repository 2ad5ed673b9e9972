"""Each class of qexp has a name of its own, so that a name in a traceback or a search means one thing."""

import ast
from collections import defaultdict
from pathlib import Path

import qexp

PACKAGE = Path(qexp.__file__).parent


def test_no_class_name_stands_twice():
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
