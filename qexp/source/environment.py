"""The environment of experiments: Python, its packages and the machine."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """The Python, packages and machine of a process; equal environments have equal *digest*s."""

    digest: str
    python: str
    implementation: str
    platform: str
    cpu: str
    cores: int
    packages: dict[str, str]
    gpus: tuple[str, ...] = ()
    """The names of the NVIDIA GPUs that this process sees."""


@functools.cache
def current() -> Environment:
    """
    Describe this process. The result is cached: later installs of packages are not noticed.

    Cores are all cores of the machine: the number that a process may use differs between batch jobs.
    """
    facts = Environment(
        digest="",
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        packages=_packages(),
        gpus=gpu_names(),
    )
    digest = hashlib.sha256(json.dumps(asdict(facts), sort_keys=True).encode()).hexdigest()
    return Environment(**asdict(facts) | {"digest": digest})


def _cpu() -> str:
    """Return the model of the processor, or its architecture if the model is unknown, as on most ARM machines."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
"""Devices of NVIDIA's driver in Linux and in WSL; without one of them there is no GPU."""


def gpu_names() -> tuple[str, ...]:
    """Return the names of the GPUs. Returns none without GPUs, their driver or `nvidia-ml-py`."""
    if not any(os.path.exists(device) for device in GPU_DEVICES):  # noqa: PTH110 - most machines have no GPU
        return ()
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
            return tuple(_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
        finally:
            pynvml.nvmlShutdown()  # forked children initialise the library themselves
    except Exception:  # noqa: BLE001 - no package, no driver, or a broken driver
        return ()


def _text(name: str | bytes) -> str:
    """Return a name as text; older versions of NVIDIA's package return bytes."""
    return name if isinstance(name, str) else name.decode(errors="replace")


def _packages() -> dict[str, str]:
    """Return the versions of packages by normalized name. Of two installed versions, Python imports the first."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name, version = _name_and_version(distribution)
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Return name and version without parsing all metadata, which is ten times slower."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or distribution.read_text("") or ""
    name, version = (re.search(rf"^{key}:(.*)$", text, re.MULTILINE) for key in ("Name", "Version"))
    return (name[1].strip() if name else ""), (version[1].strip() if version else "")
