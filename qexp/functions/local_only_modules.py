"""The user's modules that a function imports here and that workers could not import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from qexp.functions.folder_imports import importing_from, is_installed, origin
from qexp.functions.import_statements import statements
from qexp.functions.importability import is_importable
from qexp.functions.lookup import resolve


@dataclass(frozen=True)
class UnavailableModule:
    """A module that is neither installed nor among the files of a snapshot."""

    name: str
    file: Path
    importer: str
    """The file of the module that imports it."""


def unavailable_modules(name: str, folder: Path, is_taken: Callable[[str], bool]) -> list[UnavailableModule]:
    """
    Return the modules that `module:name` imports, directly or not, and that workers would not find.

    *is_taken* returns whether the snapshot of *folder* has a file. Modules that are not loaded here are not found.
    """
    with importing_from(folder):
        resolve(name, folder)
        lost = {key: file for key, file in _own_files() if not _is_below(file, folder, is_taken)}
        if not lost:
            return []
        found: dict[Path, UnavailableModule] = {}
        for importer, module in _imports(name.partition(":")[0]):
            file = lost.get(module)
            if file is not None and file not in found:
                found[file] = UnavailableModule(module, file, importer)
        return [one for one in found.values() if not is_importable(sys.modules[one.name], str(one.file))]


def _own_files() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.partition(".")[0] not in ("qexp", "__main__"):
            file = origin(module)
            if file is not None and not is_installed(module):
                yield name, Path(file)


def _is_below(file: Path, folder: Path, is_taken: Callable[[str], bool]) -> bool:
    top = folder.resolve()
    return file.is_relative_to(top) and is_taken(file.relative_to(top).as_posix())


def _imports(first: str) -> Iterator[tuple[str, str]]:
    """Yield (file, imported module) for the module *first* and for the user's modules that it imports."""
    pending, seen = [first], {first}
    while pending:
        module = sys.modules.get(pending.pop())
        file = None if module is None else origin(module)
        if module is None or file is None or is_installed(module):
            continue
        for name in statements(file, str(module.__package__ or "")).modules:
            yield file, name
            if name in sys.modules and name not in seen:
                seen.add(name)
                pending.append(name)
