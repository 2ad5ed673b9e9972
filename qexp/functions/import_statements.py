"""The import statements of a Python file, and words that show that it may import or run more."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qexp.functions.folder_imports import stamp

# name() means a call of a bare name: `model.eval()` and `platform.system()` are harmless
_BY_NAME = frozenset(
    {
        *("importlib", "import_module", "__import__()", "pkgutil", "entry_points", "eval()"),
        *("ImportString", "locate", "instantiate", "pickle", "dill", "cloudpickle", "joblib", "torch.load"),
        *("multiprocessing", "concurrent.futures", "ProcessPoolExecutor", "DataLoader", "n_jobs=", "os.fork"),
    }
)
"""Words of code that may import modules by name, or in its own processes."""
_BY_FILE = frozenset(
    {
        *("subprocess", "Popen", "runpy", "exec()", "spec_from_file_location", "SourceFileLoader", "sys.modules"),
        *("create_subprocess_exec", "create_subprocess_shell", "os.system", "os.popen"),
        *("os.posix_spawn", "os.posix_spawnp"),
        *(f"os.exec{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
        *(f"os.spawn{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    }
)
"""Words of code that may run any file."""


@dataclass(frozen=True)
class Statements:
    """The imports of a file."""

    modules: tuple[str, ...] = ()
    """The modules that its import statements may mean, with the packages that contain them, in order."""
    by_name: bool = False
    """The file may import modules by name, or in its own processes."""
    by_file: bool = False
    """The file may run any file."""
    is_read: bool = True
    """False if the file is a folder or a module in C, or cannot be parsed."""


def statements(file: str, package: str) -> Statements:
    """Return the imports of a file of *package*, cached until the file changes."""
    return _statements(file, package, stamp(file))


@functools.lru_cache(maxsize=4096)
def _statements(file: str, package: str, _: tuple[int, int]) -> Statements:
    try:
        text = Path(file).read_bytes()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return Statements(is_read=False)
    modules = dict.fromkeys(name for node in _nodes(tree.body) for name in _modules(node, package))
    words = set[str]()
    if _SUSPICIOUS.search(text):  # a walk over all expressions takes longer than parsing the file
        words = {word for node in ast.walk(tree) for word in _words(node)}
    return Statements(tuple(modules), bool(words & _BY_NAME), bool(words & _BY_FILE))


_LAST = {re.split(r"\W", word.rstrip("()="))[-1] for word in _BY_NAME | _BY_FILE}
_SUSPICIOUS = re.compile(rf"\b(?:{'|'.join(sorted(_LAST))})\b".encode())


def _nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield statements and the statements inside of them, without expressions."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _nodes(found if isinstance(found := getattr(node, name, ()), list) else ())


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
    """Yield names, attributes, keywords and parts of imported names; `module.name` too, as in `os.system`."""
    match node:
        case ast.Import(names):
            for alias in names:
                yield from (alias.name, *alias.name.split("."))
        case ast.ImportFrom(module, names):
            yield from (module or "", *(module or "").split("."))
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
