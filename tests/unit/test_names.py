"""Class names are unique, so a name in a traceback or a search is unambiguous; names imported on first use exist."""

import ast
from collections import defaultdict
from pathlib import Path

import click
import pytest

import qexp
import qexp.client
from qexp.cli.main import VERBS
from qexp.cli.main import qexp as commands

PACKAGE = Path(qexp.__file__).parent


def test_no_class_name_occurs_twice():
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("package", [qexp, qexp.client])
def test_each_public_name_can_be_imported(package):
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def test_completion_offers_public_names_only():
    assert [name for name in dir(qexp) if not name.startswith("_")] == sorted(qexp.__all__)


@pytest.mark.parametrize("verb", VERBS)
def test_each_command_can_be_imported(verb):
    assert commands.get_command(click.Context(commands), verb) is not None
