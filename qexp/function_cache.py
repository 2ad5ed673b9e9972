"""The decorator `qexp.cached`, which keeps results of functions on disk."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import inspect
import linecache
import os
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast, overload

from qexp import settings
from qexp.errors import CacheError
from qexp.file_storage import make_folders, replacing

P = ParamSpec("P")
R = TypeVar("R")
_MISSING = object()


@overload
def cached(function: Callable[P, R]) -> Callable[P, R]: ...
@overload
def cached(
    *, ignore: Iterable[str] = (), folder: str | Path | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def cached(
    function: Callable[P, R] | None = None, *, ignore: Iterable[str] = (), folder: str | Path | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Keep the results of a function on disk, for later calls with equal arguments by any process of this machine.

    The key is the function's name, its source and its arguments, except those in *ignore*. Results of earlier sources
    are kept. Files that the function reads and functions that it calls do not count: pass their versions as arguments.
    If several processes need the same result, one computes it and the others wait. *folder* is `cache` in qexp's home
    by default; it holds pickles, so only you should be able to write there. Raises CacheError for methods, lambdas,
    closures, generators, and functions whose source cannot be read.
    """
    if function is None:
        return lambda decorated: _wrap(decorated, frozenset(ignore), folder)
    return _wrap(function, frozenset(ignore), folder)


def _wrap(function: Callable[P, R], ignore: frozenset[str], folder: str | Path | None) -> Callable[P, R]:
    _refuse_uncacheable(function)
    signature = inspect.signature(function)
    if unknown := ignore - signature.parameters.keys():
        raise CacheError(f"{_name(function)} has no parameter {', '.join(sorted(unknown))} to ignore")
    version = _version(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        key = _key({name: value for name, value in bound.arguments.items() if name not in ignore}, _name(function))
        entry = _root(folder) / version / f"{key}.pickle"
        value = _read(entry)
        return cast(R, _compute(entry, lambda: function(*args, **kwargs)) if value is _MISSING else value)

    return call


def _refuse_uncacheable(function: Any) -> None:
    """Raise CacheError for functions whose result depends on more than arguments, or can be read only once."""
    plain = inspect.unwrap(function)
    if not inspect.isfunction(plain):
        raise CacheError(f"{function!r} cannot be cached: it is not a Python function")
    outer = plain.__qualname__.rpartition(".")[0]
    if plain.__name__ == "<lambda>":
        raise CacheError("a lambda cannot be cached: it has no name; use def")
    if outer and not outer.endswith("<locals>"):
        raise CacheError(
            f"{_name(plain)} cannot be cached: it is a method; cache a function that takes its values as parameters"
        )
    if plain.__closure__:
        names = ", ".join(plain.__code__.co_freevars)
        raise CacheError(
            f"{_name(plain)} cannot be cached: it uses {names} of an enclosing function; make it a parameter"
        )
    if inspect.isgeneratorfunction(plain) or inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise CacheError(f"{_name(plain)} cannot be cached: it is a generator or async; return the finished value")


def _version(function: Callable[..., Any]) -> str:
    """
    Return the folder of a function's results: its name and a hash of its source.

    The path of the file does not count: copies of the source in several revisions share their results.
    """
    plain = inspect.unwrap(function)
    file = plain.__code__.co_filename
    if Path(file).is_file():
        linecache.cache.pop(file, None)  # its time stamp misses an edit within the same second
    try:
        source = textwrap.dedent(inspect.getsource(plain))
    except (OSError, TypeError) as error:
        reason = "its source cannot be read; put it into a file"
        raise CacheError(f"{_name(function)} cannot be cached: {reason}") from error
    name = f"{_module(plain)}.{plain.__qualname__}"
    digest = hashlib.sha256(f"{name}\n{source}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{re.sub(r'[^a-zA-Z0-9_.]', '_', name)[-100:]}-{digest[:16]}"


def _module(function: Callable[..., Any]) -> str:
    """Return the name of a function's module; for a script the name by which others would import it."""
    name = function.__module__
    file = Path(function.__code__.co_filename)
    return file.stem if name == "__main__" and file.is_file() else name


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _root(folder: str | Path | None) -> Path:
    return settings.load().home / "cache" if folder is None else Path(folder).expanduser()


def _key(arguments: dict[str, Any], name: str) -> str:
    joblib = _joblib()
    try:
        return str(joblib.hash(arguments))
    except Exception as error:  # an object that cannot be pickled may raise anything
        reason = str(error).partition("\n")[0]
        raise CacheError(f"{name} has an argument that qexp cannot compare: {reason}; see ignore=") from error


def _read(entry: Path) -> Any:
    """Return an entry's value. Returns _MISSING if there is no entry or it is damaged."""
    joblib = _joblib()
    try:
        return joblib.load(entry)
    except Exception:  # noqa: BLE001 - a damaged pickle may raise anything
        return _MISSING


def _compute(entry: Path, call: Callable[[], Any]) -> Any:
    """Compute and keep a value. If another process computes it already, wait for its value."""
    with _locked(entry.with_suffix(".lock")):
        value = _read(entry)
        if value is _MISSING:
            value = call()
            _keep(entry, value)
    return value


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process in at a time; the system releases the lock of a killed process."""
    try:
        make_folders(path.parent)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise CacheError(
            f"{path.parent}: {error.strerror}; set QEXP_HOME, or folder=, to a folder that you own"
        ) from error
    with os.fdopen(opened, "wb"):
        with suppress(OSError):  # on a share without locks two may compute the same; the later value is kept
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _keep(entry: Path, value: Any) -> None:
    """Write an entry. If that fails, only warn: the caller still gets the value."""
    joblib = _joblib()
    try:
        with replacing(entry) as file:
            joblib.dump(value, file)
    except Exception as error:  # noqa: BLE001 - a full disk, or an object that cannot be pickled
        reason = str(error).partition("\n")[0]
        warnings.warn(f"{entry.parent.name}: the result is not cached: {reason}", RuntimeWarning, stacklevel=4)


def _joblib() -> ModuleType:
    try:
        import joblib
    except ImportError as error:
        raise CacheError("joblib is not installed; install it with pip install 'qexp[cache]'") from error
    return cast(ModuleType, joblib)
