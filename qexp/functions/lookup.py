"""Find the function that `module:name` names, and the name of a given function."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

from qexp.errors import FunctionError, nearest
from qexp.functions.callables import require_function
from qexp.functions.folder_imports import importing_from, is_installed, origin
from qexp.functions.guarded_calls import action_of, calling, must_propagate
from qexp.functions.importability import is_importable
from qexp.functions.signature import Function


def resolve(name: str, folder: Path | None = None) -> Function:
    """
    Return the function that `module:name` names; call this inside `importing_from(folder)`.

    Raises FunctionError if there is none. Its cause is the exception of the user's module.
    """
    module_name, _, attribute = name.partition(":")
    if module_name == "__main__":
        raise FunctionError(f"function {name}: workers cannot import __main__; {_by_its_file(attribute)}")
    module = sys.modules.get(module_name) or _imported(name, module_name, folder)
    found: Any = module
    owner: Any = None
    try:
        for part in attribute.split("."):
            owner, found = found, getattr(found, part)
    except AttributeError as error:
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        hint = nearest(attribute, names)
        raise FunctionError(f"function {name}: {module_name} has no {attribute!r}{hint}") from error
    except BaseException as error:
        if must_propagate(error):
            raise
        raise FunctionError(f"function {name}: looking up {attribute!r} {action_of(error)}") from error
    with calling(f"function {name}: looking at it: its code"):
        require_function(found, name, owner)
    return typing.cast(Function, found)


def _imported(name: str, module_name: str, folder: Path | None) -> ModuleType:
    try:
        with calling(f"function {name}: importing {module_name}"):
            return importlib.import_module(module_name)
    except FunctionError as error:
        cause = error.__cause__
        if not isinstance(cause, ModuleNotFoundError) or not f"{module_name}.".startswith(f"{cause.name}."):
            raise
        raise FunctionError(
            f"function {name}: no module is named {cause.name!r}, expected one {_where(folder)}"
        ) from cause


def _where(folder: Path | None) -> str:
    """Return the places where modules are searched, in words."""
    if folder is None:
        return "installed"
    return f"in {folder} or installed" if folder.is_dir() else f"installed ({folder} is not visible on this host)"


def _by_its_file(attribute: str) -> str:
    """Return the advice for a function of the module `__main__`."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    module = spec.name if spec is not None else Path(file).stem if file else None
    if module is None:
        return "put it into a file, and name that as 'module:function'"
    return f"name it by its file, as {module}:{attribute}"


def file_in(name: str, folder: Path) -> str | None:
    """Return the path of the module of `module:name` in *folder*. Returns None if it is installed or elsewhere."""
    with importing_from(folder):
        resolve(name, folder)
        module = sys.modules[name.partition(":")[0]]
        file = origin(module)
    top = folder.resolve()
    if file is None or not Path(file).is_relative_to(top) or is_installed(module):
        return None
    return Path(file).relative_to(top).as_posix()


def import_folder(name: str, folder: Path | None) -> Path | None:
    """
    Return the folder from which workers can import the module of `module:name`; call this after `resolve`.

    Returns *folder* if the module is there or is installed. Returns the folder of the module if only this program
    finds it, such as a module beside its script. Raises FunctionError if there is no such folder.
    """
    module = sys.modules[name.partition(":")[0]]
    file = origin(module)
    if file is None or is_installed(module):
        return folder
    if folder is not None and Path(file).is_relative_to(folder.resolve()):
        return folder
    return folder if is_importable(module, file) else _folder_of(module, name)


def _folder_of(module: ModuleType, name: str) -> Path:
    """Return the folder on `sys.path` that a module is imported from."""
    file = Path(os.path.abspath(str(origin(module))))  # noqa: PTH100 - a link is the module, wherever it leads
    folder = file.parents[module.__name__.count(".")]
    if file.name == "__init__.py":
        folder = folder.parent
    if not folder.is_dir():
        raise FunctionError(
            f"function {name}: its module is in {folder}, which is no folder; "
            "install it with pip, or unpack it into a folder"
        )
    return folder.resolve()


def reference(function: Function) -> tuple[str, Path | None]:
    """
    Return `module:name` of a function given from Python, and the folder that has its module.

    Raises FunctionError if a worker could not import it. Such a function was written in a notebook, a shell or another
    function, or no module has a name for it.
    """
    module, attribute = _declared(function) or _named(function) or (None, "")
    if module is None:
        known = getattr(function, "__qualname__", None)
        raise FunctionError(
            f"function {known if isinstance(known, str) else repr(function)}: workers cannot import it from here; "
            "put it at the top of a file of its own, under a name, and import it from there"
        )
    name = f"{module.__name__}:{attribute}"
    return name, None if is_installed(module) else _folder_of(module, name)


def _declared(function: Function) -> tuple[ModuleType, str] | None:
    """Return the module and name that a function declares. Returns None if they lead to another object."""
    module, qualified = (
        sys.modules.get(str(getattr(function, "__module__", None))),
        getattr(function, "__qualname__", ""),
    )
    if module is None or module.__name__ == "__main__" or not isinstance(qualified, str) or not qualified:
        return None
    found: Any = module
    for part in qualified.split("."):
        found = getattr(found, part, None)
    return (module, qualified) if found is function or (inspect.ismethod(found) and found == function) else None


def _named(function: Function) -> tuple[ModuleType, str] | None:
    """Search the user's modules for a partial, an object or its method. Return the module and the name."""
    owner: Any = function
    rest = ""
    if inspect.ismethod(function):
        owner, rest = function.__self__, f".{function.__name__}"
    for module in list(sys.modules.values()):
        if not isinstance(module, ModuleType) or module.__name__ == "__main__" or is_installed(module):
            continue
        for name, value in list(vars(module).items()):
            if value is owner:
                return module, f"{name}{rest}"
    return None
