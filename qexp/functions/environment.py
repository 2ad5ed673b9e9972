"""Modules that each Python of this environment finds, as opposed to those of this program alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType

_ASK = """
import importlib.util, json, sys
spec = importlib.util.find_spec(sys.argv[1])
places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
print(json.dumps([place for place in places if place]))
"""


def has(module: ModuleType, file: str) -> bool:
    """
    Say whether each Python of this environment imports a module from the same *file*, as from an editable install.

    The folder of a script, the working directory and PYTHONPATH are this program's own: workers may have others.
    """
    name = module.__name__.partition(".")[0]
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    answer = subprocess.run(  # -P: without the working directory
        [sys.executable, "-P", "-c", _ASK, name],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if answer.returncode:
        return False
    places = json.loads(answer.stdout.splitlines()[-1])  # what a .pth file prints comes before
    return any(file == place or file.startswith(f"{place}/") for place in places)
