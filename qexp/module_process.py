"""Run a module of qexp in a subprocess, with a time limit: JSON in, text out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys


def ask_module(module: str, request: object, patience: float) -> tuple[str, int | None]:
    """Give a module *request* as JSON; return its output and exit status, None if it was killed after *patience*."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module],  # -P: the working directory may hold modules of the same names
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(json.dumps(request), max(0.0, patience))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], None
    return output, process.returncode
