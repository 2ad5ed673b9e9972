"""Record the imports of attempts: files of their snapshot, and installed packages."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from qexp.functions.folder_imports import ModuleFolder, entered_folder, is_package, modules_mark, origin
from qexp.functions.import_statements import Statements, statements
from qexp.model import Imports

log = logging.getLogger(__name__)

_OWN = {"qexp", "pynvml"}
"""Packages that qexp itself imports while a function runs."""

Mark = tuple[int, str]


@dataclass
class _Process:
    """The modules of this process, and the imports that were found so far."""

    first: frozenset[str] = frozenset()
    """The modules that were loaded before the first attempt."""
    found: dict[tuple[str | None, str, bool], tuple[Mark, Imports]] = field(default_factory=dict)
    """The imports, and the mark of the modules loaded then; by folder, function and whether files count."""
    records: dict[str, _FolderRecord] = field(default_factory=dict)
    """The records by folder."""


_process = _Process()


def note_first_modules() -> None:
    """Note the loaded modules: later modules are imported for attempts."""
    global _process  # noqa: PLW0603 - sys.modules is the process's, so is this
    _process = _Process(frozenset(sys.modules))


def imports_of(function: str, has_snapshot: bool) -> Imports | None:
    """
    Return the files and packages that attempts of a function imported here. Returns None if that is unknown.

    Call it after an attempt, before the next `switch_folder`. Files count only with a snapshot. The lists are never too
    short. They may be too long: the process keeps modules that other functions imported.
    """
    folder, mark = entered_folder(), modules_mark()
    key = (None if folder is None else folder.path, function, has_snapshot)
    known = _process.found.get(key)
    if known is not None and known[0] == mark:
        return known[1]
    try:
        found = _found(folder, function, has_snapshot)
    except Exception:  # sys.modules may hold any object, and the result must still be recorded
        log.exception("function %s: its imported modules are unknown", function)
        return None
    if known is not None and known[1] == found:
        found = known[1]  # this object has its digest already
    _process.found[key] = mark, found
    return found


def _found(folder: ModuleFolder | None, function: str, has_snapshot: bool) -> Imports:
    own = function.partition(":")[0].partition(".")[0]
    names = {own, *(name for name in set(sys.modules) - _process.first if "." not in name)}
    if folder is None:
        return Imports((), _packages(names))
    folder.note()
    record = _process.records.get(folder.path)
    if record is None or record.modules is not folder.modules:  # a file changed, so its modules were imported again
        record = _process.records[folder.path] = _FolderRecord(folder)
    reached, named = record.reached(function)
    files = [file for file in map(record.relative, reached) if _is_text(file)] if has_snapshot else []
    return Imports(tuple(sorted(files)), _packages(names | {name.partition(".")[0] for name in named}))


def _packages(names: Iterable[str]) -> tuple[str, ...]:
    found = ((name, sys.modules.get(name)) for name in names)
    return tuple(
        sorted(
            name
            for name, module in found
            if name not in _OWN and isinstance(module, ModuleType) and is_package(module) and _is_text(name)
        )
    )


def _is_text(name: str) -> bool:
    """Return whether Postgres can store a name as text."""
    return name.encode(errors="ignore").decode() == name


class _FolderRecord:
    """The modules of a folder, and the functions that import them."""

    def __init__(self, folder: ModuleFolder) -> None:
        self._folder, self.modules = folder.path, folder.modules
        self._importers = folder.importers
        self._judged: set[str] = set()
        self._dynamic: dict[str, None] = {}
        """Modules that were imported without an import statement of the function that ran."""
        self._by_name: set[str | None] = set()
        """Functions that imported such a module."""

    def relative(self, file: str) -> str:
        """Return the name of a file in the snapshot."""
        return file[len(self._folder) + 1 :]

    def reached(self, function: str) -> tuple[set[str], set[str]]:
        """Return the files that a function may have imported, and the names in their import statements."""
        self._judge()
        own = function.partition(":")[0]
        reach = self._reach([own, *self._dynamic])
        if function in self._by_name or reach.by_name or not reach.all_read:
            reach = self._reach([own, *self.modules], beyond=True)
        files = {*reach.files}
        if reach.by_file:
            files |= {str(path) for path in Path(self._folder).rglob("*.py")}
        return files, reach.names

    def _judge(self) -> None:
        """Find new modules that no import statement of the running function leads to."""
        new = [name for name in self.modules if name not in self._judged]
        reaches: dict[str | None, _ReachableFiles] = {}
        for name in new:
            function = self._importers[name]
            if function not in reaches:
                reaches[function] = self._reach([] if function is None else [function.partition(":")[0]])
            if _file(self.modules[name]) not in reaches[function].files:
                self._dynamic[name] = None
                self._by_name.add(function)
        self._judged.update(new)

    def _reach(self, starts: Iterable[str], beyond: bool = False) -> _ReachableFiles:
        """Follow import statements to loaded modules of the folder, and with *beyond* also to modules not loaded."""
        reach = _ReachableFiles()
        pending = [part for name in starts for part in _with_parents(name)]
        seen = set(pending)
        while pending:
            name = pending.pop()
            file, package = self._place(name, beyond)
            if file is None:
                continue
            found = statements(file, package)
            reach.add(file, found)
            new = [other for other in found.modules if other not in seen]
            seen.update(new)
            pending += new
        return reach

    def _place(self, name: str, beyond: bool) -> tuple[str | None, str]:
        """Return the file of a module of the folder, and the package from which its relative imports begin."""
        module = self.modules.get(name)
        if module is not None:
            return _file(module), str(getattr(module, "__package__", None) or "")
        for root in self._roots() if beyond else ():
            path = f"{root}/{name.replace('.', '/')}"
            if os.path.isfile(f"{path}.py"):  # noqa: PTH113 - four times as fast as Path, for many names
                return f"{path}.py", name.rpartition(".")[0]
            if os.path.isfile(f"{path}/__init__.py"):  # noqa: PTH113
                return f"{path}/__init__.py", name
        return None, ""

    def _roots(self) -> Iterator[str]:
        yield self._folder
        yield from (path for path in sys.path if path.startswith(f"{self._folder}/"))


@dataclass
class _ReachableFiles:
    """The files and names that import statements lead to."""

    files: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    by_name: bool = False
    by_file: bool = False
    all_read: bool = True
    """False if a file cannot be read as Python: it may import anything."""

    def add(self, file: str, found: Statements) -> None:
        self.files.add(file)
        self.names.update(found.modules)
        self.by_name |= found.by_name
        self.by_file |= found.by_file
        self.all_read &= found.is_read or file.endswith(_NAMESPACE)


_NAMESPACE = "/__init__.py"


def _file(module: ModuleType) -> str | None:
    """Return the file of a module; for a namespace package the path of the `__init__.py` that it lacks."""
    file = origin(module)
    if file is None or getattr(module, "__file__", None) is not None:
        return file
    return f"{file}{_NAMESPACE}"


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
