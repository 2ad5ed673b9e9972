"""Whether workers can import a module, or only this program can."""

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


def is_importable(module: ModuleType, file: str) -> bool:
    """
    Return whether each Python of this environment imports a module from the same *file*, as with an editable install.

    The folder of a script, the working directory and PYTHONPATH do not count: workers may have others.
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
    places = json.loads(answer.stdout.splitlines()[-1])  # a .pth file may print lines before it
    return any(file == place or file.startswith(f"{place}/") for place in places)
