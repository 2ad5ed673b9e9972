"""What experiments run on: the Python, its packages, the machine."""

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
    """What can be told about a process and its machine; *digest* is equal where everything else is."""

    digest: str
    python: str
    implementation: str
    platform: str
    cpu: str
    cores: int
    packages: dict[str, str]
    gpus: tuple[str, ...] = ()
    """The names of NVIDIA's GPUs, as far as this process sees any."""


@functools.cache
def current() -> Environment:
    """
    Describe this process, once: packages that are installed later are not noticed.

    Cores are the machine's, not those that this process may use: a limit is another one in every batch job.
    """
    facts = Environment(
        digest="",
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        packages=_packages(),
        gpus=_gpus(),
    )
    digest = hashlib.sha256(json.dumps(asdict(facts), sort_keys=True).encode()).hexdigest()
    return Environment(**asdict(facts) | {"digest": digest})


def _cpu() -> str:
    """Return the model of the processor, or its architecture where no more is said, as on most ARM machines."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
"""Without one of these, of Linux and of Windows' Linux, there is no GPU to ask."""


def _gpus() -> tuple[str, ...]:
    """Return the names of the GPUs; none without GPUs, their driver or `nvidia-ml-py`."""
    if not any(os.path.exists(device) for device in _DEVICES):  # noqa: PTH110 - what is usual should cost nothing
        return ()
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
            return tuple(_text(pynvml.nvmlDeviceGetName(handle)) for handle in handles)
        finally:
            pynvml.nvmlShutdown()  # children that are forked from this process ask by themselves
    except Exception:  # noqa: BLE001 - no package, no driver, or a driver in trouble
        return ()


def _text(name: str | bytes) -> str:
    """Return a name as text; older versions of NVIDIA's package have bytes."""
    return name if isinstance(name, str) else name.decode(errors="replace")


def _packages() -> dict[str, str]:
    """Map names, as package indexes write them, to versions; of two that are installed the one that is imported."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name, version = _name_and_version(distribution)
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Read the two lines wanted, not the metadata with a README of pages in it: that is ten times slower."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or distribution.read_text("") or ""
    name, version = (re.search(rf"^{key}:(.*)$", text, re.MULTILINE) for key in ("Name", "Version"))
    return (name[1].strip() if name else ""), (version[1].strip() if version else "")
