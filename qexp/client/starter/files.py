"""Write the files of a first grid; a file that is there is never changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qexp.client.starter import texts
from qexp.client.starter.axes import proposed_axes
from qexp.errors import ExportError, FunctionError
from qexp.functions import Signature, importing_from, resolve
from qexp.study_names import possible_name

_ANY_STUDY = ("main", "run", "train", "experiment", "evaluate", "f")
"""Names of functions and modules that say less about a study than the name of their module or folder."""
_COMMAND_LINE = ("argv", "args")


@dataclass(frozen=True)
class Started:
    """The files that were written, and the parameters whose values a person must fill in, with their lines."""

    files: tuple[Path, ...]
    to_fill_in: Mapping[str, int]


def start_from_nothing(grid: Path) -> Started:
    """Write a grid and, beside it, `experiment.py` with an example. Raises ExportError if one of them is there."""
    example = grid.parent / "experiment.py"
    if os.path.lexists(example):
        repair = f"'qexp init {example}:NAME' writes a grid for a function NAME of it"
        raise ExportError(f"{example}: is there already, and is not changed; {repair}")
    files = {example: texts.EXAMPLE, grid: texts.example_grid(_study((), grid))}
    _write(files)
    return Started(tuple(files), {})


def start_from_function(name: str, grid: Path) -> Started:
    """
    Write a grid for a function, `module:name` or `path/to/file.py:name`.

    Raises FunctionError if it cannot be imported or takes no parameters, and ExportError if the grid is there.
    """
    _refuse_existing(grid)  # before code of users runs
    module, attribute, folder = _place(name)
    function_name = f"{module}:{attribute}"
    with importing_from(folder):
        function = resolve(function_name, folder)
        signature = Signature.of(function, function_name)
        axes = proposed_axes(function, signature)
    has_seed = "seed" in signature.names
    if not (axes or has_seed or signature.open) or [axis.name for axis in axes] in [[one] for one in _COMMAND_LINE]:
        raise FunctionError(
            f"function {function_name}: found no parameters to vary, expected some; qexp passes them as arguments, not "
            f"on a command line: write one such as 'def {attribute}(lr: float, seed: int = 0)' that returns its results"
        )
    study = _study((attribute, module.rpartition(".")[2]), grid)
    text = texts.grid_of(study, function_name, _relative(folder, grid.parent), axes, has_seed, signature.open)
    _write({grid: text})
    lines = text.splitlines()
    missing = [axis for axis in axes if axis.must_be_filled_in]
    where = {axis.name: next(at for at, line in enumerate(lines, 1) if axis.text in line) for axis in missing}
    return Started((grid,), where)


def _study(names: Sequence[str], grid: Path) -> str:
    """Return the first of some names that says more than `train`, otherwise the name of the grid's folder."""
    telling = [name for name in names if name not in _ANY_STUDY]
    found = map(possible_name, [*telling, grid.parent.resolve().name])
    return next((name for name in found if name is not None), "first")


def _place(name: str) -> tuple[str, str, Path]:
    """Return module, attribute and folder of `module:name` or `path/to/file.py:name`."""
    where, _, attribute = name.rpartition(":")
    if not where or not all(part.isidentifier() for part in attribute.split(".")):
        raise FunctionError(f"function {name}: expected module:name or path/to/file.py:name, such as train.py:main")
    if not where.endswith(".py"):
        return where, attribute, Path.cwd()
    file = Path(where)
    if not file.is_file():
        raise FunctionError(f"function {name}: there is no file {where}")
    parts, folder = [file.stem], file.resolve().parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or not all(part.isidentifier() for part in parts):
        raise FunctionError(f"function {name}: {where} cannot be imported, because its name is no name of a module")
    return ".".join(parts), attribute, folder


def _relative(folder: Path, beside: Path) -> str | None:
    """Return the folder of the code as the grid names it. Returns None if it is the folder of the grid."""
    found = os.path.relpath(folder, beside.resolve())
    return None if found == "." else Path(found).as_posix()


def _refuse_existing(file: Path) -> None:
    if os.path.lexists(file):
        raise ExportError(f"{file}: is there already, and is not changed; name another grid with '-o FILE'")
    if not file.parent.is_dir():
        raise ExportError(f"{file}: there is no folder {file.parent}; make it with 'mkdir -p {file.parent}'")


def _write(files: Mapping[Path, str]) -> None:
    """Write all files or none."""
    for file in files:
        _refuse_existing(file)
    written: list[Path] = []
    try:
        for file, text in files.items():
            with file.open("x", encoding="utf-8") as stream:
                written.append(file)
                stream.write(text)
    except OSError as error:
        for one in written:
            with suppress(OSError):
                one.unlink()
        raise ExportError(f"{error.filename or file}: {(error.strerror or str(error)).lower()}") from error
