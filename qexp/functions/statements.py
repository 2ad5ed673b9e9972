"""What a file of Python imports by its statements, and the words in it by which other code may be imported or run."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qexp.functions.workspace import stamp


@dataclass(frozen=True)
class Statements:
    """What was read of a file."""

    modules: tuple[str, ...] = ()
    """The modules that its import statements may mean, with the packages around them, in order."""
    words: frozenset[str] = frozenset()
    """Names, attributes, keywords and parts of imported names; `module.name` too, as in `os.system`."""
    is_read: bool = True
    """False: it is a folder, a module in C, or cannot be parsed."""


def statements(file: str, package: str) -> Statements:
    """Return what a file imports as a module of *package*; what was read is remembered until the file changes."""
    return _statements(file, package, stamp(file))


@functools.lru_cache(maxsize=4096)
def _statements(file: str, package: str, _: tuple[int, int]) -> Statements:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return Statements(is_read=False)
    nodes = list(ast.walk(tree))
    modules = dict.fromkeys(name for node in nodes for name in _modules(node, package))
    return Statements(tuple(modules), frozenset(word for node in nodes for word in _words(node)))


def _modules(node: ast.AST, package: str) -> Iterator[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names):
            for alias in names:
                yield from (alias.name, *alias.name.split("."))
        case ast.ImportFrom(module, names):
            yield from (module or "").split(".")
            yield module or ""
            for alias in names:
                yield from (alias.name, f"{module}.{alias.name}")
        case ast.Attribute(value, attribute):
            yield attribute
            if isinstance(value, ast.Name):
                yield f"{value.id}.{attribute}"
        case ast.Name(name):
            yield from (name, f"{name}()")
        case ast.keyword(str(name)):
            yield f"{name}="
