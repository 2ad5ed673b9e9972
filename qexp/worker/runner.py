"""One attempt: the function is found, called, and what comes of it becomes an outcome. Knows no Celery."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qexp.errors import FunctionError, ResultError
from qexp.functions import Function, Signature, note, resolve, switch
from qexp.model import Failure, Json, to_json
from qexp.store.hot import Claim, Outcome
from qexp.worker import trace


def run(claim: Claim) -> Outcome:
    """
    Run a claimed experiment and return its outcome; no exception of the user's code gets past.

    That includes SystemExit, KeyboardInterrupt and MemoryError: the last would end a Celery worker that saw it. What
    does get past is the SystemExit by which the pool answers a signal that tells this process to stop.
    """
    folder, process = claim.folder, os.getpid()
    try:
        switch(folder)
        function, arguments = _prepare(claim.function, folder, {**claim.settings, **claim.params})
    except FunctionError as error:
        return Outcome(error=trace.of(error, Failure.INVALID, folder))
    try:
        return Outcome(result=_mapping(function(**arguments)))
    except BaseException as error:
        if _told_to_stop(error):
            raise
        return Outcome(error=trace.of(error, Failure.ERROR, folder))
    finally:
        if os.getpid() != process:  # a fork of the function's that came back: it must not become a second worker
            os._exit(0)


def _told_to_stop(error: BaseException) -> bool:
    """Say whether the pool's signal handler raised this, in answer to TERM, QUIT or HUP, rather than the function."""
    if not isinstance(error, SystemExit):
        return False
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(code.co_name == "_shutdown_cleanup" and "billiard" in Path(code.co_filename).parts for code in codes)


def _prepare(name: str, folder: Path | None, values: Mapping[str, Json]) -> tuple[Function, dict[str, Any]]:
    function = resolve(name, folder)
    note()
    return function, _signature(function, name).bind(values)


@functools.lru_cache(maxsize=64)
def _signature(function: Function, name: str) -> Signature:
    return Signature.of(function, name)


def _mapping(value: Any) -> dict[str, Json]:
    """Return a function's result as named data; ResultError names what is not data."""
    try:
        data = to_json(value)
    except ValueError as error:
        raise ResultError(
            f"the result is not data: {error}; return numbers, text, lists or mappings of them"
        ) from error
    if data is None:
        return {}
    return data if isinstance(data, dict) else {"value": data}
