"""Check that functions can be imported, in a separate process, since an import runs code of the user."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qexp.errors import FunctionError
from qexp.functions import Signature, importing_from, resolve
from qexp.module_process import ask_module

Place = tuple[str, str | None]
"""A function as `module:name`, and the folder to import it from."""


def problems(places: Sequence[Place], patience: float) -> dict[Place, str | None]:
    """
    Return the problem of each function, or None for a good one.

    They are imported in order, for *patience* seconds in all. After that time, the function being imported and later
    ones are missing from the answer. A module that ends the process is a problem too.
    """
    found: dict[Place, str | None] = {}
    deadline = time.monotonic() + patience
    while rest := places[len(found) :]:
        lines, status = ask_module("qexp.client.doctor.import_check", rest, deadline - time.monotonic())
        answers = [json.loads(line) for line in lines.splitlines()]
        found |= zip(rest, answers, strict=False)
        if status is None:
            break
        if len(answers) < len(rest):
            found[rest[len(answers)]] = f"importing it ended its process with status {status}"
    return found


def _problem(function: str, folder: Path | None) -> str | None:
    with importing_from(folder):
        try:
            Signature.of(resolve(function, folder), function)
        except FunctionError as error:
            return str(error)
    return None


def _answer() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # prints of the modules go to stderr
    for function, folder in json.load(sys.stdin):
        problem = _problem(function, None if folder is None else Path(folder))
        answers.write(json.dumps(problem) + "\n")
        answers.flush()


if __name__ == "__main__":
    _answer()
