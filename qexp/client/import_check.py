"""Can these functions be imported here? Asked of a process of its own: importing runs the modules' code."""

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
"""A function as `module:name`, and the folder that it is looked for in."""


def problems(places: Sequence[Place], patience: float) -> dict[Place, str | None]:
    """
    Return what is wrong with each function, None where nothing is.

    They are looked at in order for *patience* seconds in all. The first that is missing in the answer was being
    imported then; a module that ends the process is told as what was wrong.
    """
    found: dict[Place, str | None] = {}
    deadline = time.monotonic() + patience
    while rest := places[len(found) :]:
        lines, status = ask_module("qexp.client.import_check", rest, deadline - time.monotonic())
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
    os.dup2(2, 1)  # what the modules print is not an answer
    for function, folder in json.load(sys.stdin):
        problem = _problem(function, None if folder is None else Path(folder))
        answers.write(json.dumps(problem) + "\n")
        answers.flush()


if __name__ == "__main__":
    _answer()
