"""Import modules from several folders in one process, although they have the same names."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from qexp.functions.guarded_calls import contained

_STDLIB = f"{sysconfig.get_paths()['stdlib']}/"
_INSTALLED = ("/site-packages/", "/dist-packages/")


class ModuleFolder:
    """
    The modules of one folder.

    `enter` puts the folder first on `sys.path` and its modules into `sys.modules`. `exit` removes both, so that the
    next folder can import other modules of the same names.
    """

    def __init__(self, folder: Path) -> None:
        self.path = str(folder)
        self.function: str | None = None
        """The function that runs, or ran last, as `module:name`."""
        self.modules: dict[str, ModuleType] = {}
        """The modules that were imported from the folder so far."""
        self.importers: dict[str, str | None] = {}
        """For each module, the function that ran when it was imported."""
        self._stamps: dict[str, tuple[int, int]] = {}
        self._hidden: dict[str, ModuleType] = {}
        self._others: set[str] = set()
        self._known: tuple[int, str] | None = None
        self._bytecode = False

    def enter(self) -> None:
        """Make the folder's modules the ones that `import` finds."""
        own = self._own_names()
        hidden = [  # complete before the first is removed: a namespace package needs its parent
            name
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in own and not is_installed(module)
        ]
        self._hidden = {name: sys.modules.pop(name) for name in hidden}
        self._others = set(sys.modules)
        sys.modules.update(self.modules)
        sys.path.insert(0, self.path)
        self._known = None
        # bytecode has a time stamp in seconds: a second edit within one second would go unnoticed
        self._bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        importlib.invalidate_caches()

    def exit(self) -> None:
        """Undo `enter`. The folder keeps its imported modules for the next `enter`."""
        self.note()
        for name in self.modules:
            sys.modules.pop(name, None)
        sys.dont_write_bytecode = self._bytecode
        if self.path in sys.path:
            sys.path.remove(self.path)
        sys.modules.update(self._hidden)

    def refresh(self) -> None:
        """Forget all modules of the folder if a file has changed since its import, so that they are imported again."""
        self.note()
        if any(stamp(file) != before for file, before in self._stamps.items()):
            self.exit()
            self.modules, self.importers, self._stamps = {}, {}, {}
            self.enter()

    def note(self) -> None:
        """Remember the modules that were imported from the folder, and the state of their files."""
        if (known := modules_mark()) == self._known:
            return
        for name, module in list(sys.modules.items()):
            if name in self._others or name in self.modules:
                continue
            file = origin(module)
            if file is not None and file.startswith(f"{self.path}/") and not is_installed(module):
                self.modules[name], self.importers[name] = module, self.function
                self._stamps[file] = stamp(file)
        self._known = known

    def _own_names(self) -> set[str]:
        names = {path.stem if path.suffix == ".py" else path.name for path in Path(self.path).iterdir()}
        return names - {"qexp", "__main__"}


def modules_mark() -> tuple[int, str]:
    """Return a mark that changes with each new module of this process: the number of modules and the last one."""
    return len(sys.modules), next(reversed(sys.modules))


def origin(module: ModuleType) -> str | None:
    """Return the file of a module, or the first folder of a namespace package. Returns None for a built-in module."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    return next((str(path) for path in getattr(module, "__path__", [])), None)


def is_installed(module: ModuleType) -> bool:
    """Return whether a module belongs to Python or to an installed package, not to a folder of the user."""
    file = origin(module)
    return file is None or file.startswith(_STDLIB) or any(mark in file for mark in _INSTALLED)


def is_package(module: ModuleType) -> bool:
    """Return whether a module belongs to an installed package, not to Python or a folder of the user."""
    file = origin(module)
    return file is not None and any(mark in file for mark in _INSTALLED)


def stamp(file: str) -> tuple[int, int]:
    """Return the time of change and the size of a file. Returns zeros if it is gone."""
    try:
        status = os.stat(file)  # noqa: PTH116 - four times as fast as Path, for each experiment
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)


@functools.cache
def _of(folder: Path) -> ModuleFolder:
    return ModuleFolder(folder.resolve())


_entered: ModuleFolder | None = None
_LOCK = threading.RLock()


def switch_folder(folder: Path | None, function: str | None = None) -> None:
    """
    Let imports find the modules of *folder* first, until the next switch. Without a folder, only installed ones.

    Later imports count as imports of *function*, `module:name`. A folder that does not exist on this host counts as
    None. Modules whose files were edited are imported again.
    """
    global _entered  # noqa: PLW0603 - sys.modules and sys.path are the process's, so is this
    there = folder is not None and os.path.isdir(folder)  # noqa: PTH112 - faster than Path, for each experiment
    target = _of(folder) if folder is not None and there else None
    if target is not _entered:
        if _entered is not None:
            _entered.exit()
        _entered = target
        if target is not None:
            target.enter()
    if target is not None:
        target.refresh()
        target.function = function


def entered_folder() -> ModuleFolder | None:
    """Return the folder whose modules `import` finds now. Returns None if there is none."""
    return _entered


def note_module_files() -> None:
    """Remember the state of the files imported since `switch_folder`, so that a later edit is noticed."""
    if _entered is not None:
        _entered.note()


@contextmanager
def importing_from(folder: Path | None) -> Iterator[None]:
    """
    Switch to *folder* inside the block, to inspect a function without running it; other threads wait.

    The user's code inside is `contained`.
    """
    with _LOCK:
        previous = Path(_entered.path) if _entered is not None else None
        switch_folder(folder)
        try:
            with contained():
                yield
        finally:
            switch_folder(previous)
