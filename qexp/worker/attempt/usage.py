"""Measure the processor time, memory, GPU memory and, on request, energy of an attempt."""

from __future__ import annotations

import functools
import logging
import os
import resource
import sys
import time
import warnings
from contextlib import suppress
from typing import Any

from qexp.current_process import is_this_process
from qexp.model import Usage

log = logging.getLogger(__name__)

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_GPU_PATIENCE = 0.05
"""Seconds; the GPU is not sampled at the end of a shorter attempt, since the sample takes longer."""


class UsageMeter:
    """
    Measures the attempts of a process, one after the other; one thread starts and stops it.

    *energy* is the country of the machine in three letters ("DEU"). With it, codecarbon measures energy; its first
    start in a process takes seconds. Its errors are logged once and fail no attempt.
    """

    def __init__(self, energy: str | None = None) -> None:
        self._memory = _Memory()
        self._energy = _Energy(energy) if energy else None
        self._began = self._cpu = 0.0
        self._children = 0
        self._gpu: int | None = None

    def start(self) -> None:
        """Begin an attempt."""
        if self._energy:
            self._energy.start()
        self._gpu = None
        own = resource.getrusage(resource.RUSAGE_SELF)
        self._memory.start(own)
        self._began = time.monotonic()
        self._cpu, self._children = _cpu_and_children(own)

    def sample(self) -> None:
        """Sample the memory on GPUs. One thread calls this repeatedly, and stops before `stop`."""
        if (now := _gpu_memory(os.getpid())) is not None:
            self._gpu = max(self._gpu or 0, now)

    def stop(self) -> Usage:
        """Return the usage since the start."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        cpu, children = _cpu_and_children(own)
        memory = self._memory.peak(own)
        if children > self._children:  # otherwise the largest child belongs to an earlier attempt
            memory = max(memory, children)
        if time.monotonic() - self._began > _GPU_PATIENCE:
            self.sample()
        energy = self._energy.stop() if self._energy else None
        return Usage(cpu - self._cpu, memory, self._gpu, energy)


def _cpu_and_children(own: resource.struct_rusage) -> tuple[float, int]:
    """Return the seconds of the process and its waited-for children, and the peak bytes of the largest child."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return seconds, children.ru_maxrss * _MAXRSS_UNIT


class _Memory:
    """
    Measures the peak of resident memory: on Linux since `start`, elsewhere since the start of the process.

    It reads the peak again only if pages were loaded meanwhile; otherwise the peak has not changed.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._files: tuple[int, int] | None = None
        self._reset = -1
        """The number of loaded pages when the peak was reset."""
        self._read_at = -1
        """The number of loaded pages when the peak was read last; -1 after a reset."""
        self._last = 0

    def start(self, own: resource.struct_rusage) -> None:
        """Reset the peak to the present memory if the kernel can; *own* is the usage of the process so far."""
        if not is_this_process(self._pid):  # an open file of /proc/self belongs to the process that opened it
            self._open()
        elif self._reset == _pages(own):
            return
        if self._files is not None:
            try:
                os.pwrite(self._files[0], b"5", 0)
            except OSError:  # a hardened kernel, or the experiment closed all descriptors
                self._files = None
        self._reset, self._read_at = _pages(resource.getrusage(resource.RUSAGE_SELF)), -1

    def peak(self, own: resource.struct_rusage) -> int:
        if (pages := _pages(own)) != self._read_at:
            self._read_at, self._last = pages, self._read()
        return self._last

    def _read(self) -> int:
        if self._files is not None:
            with suppress(OSError, IndexError, ValueError):
                text = os.pread(self._files[1], 8192, 0)
                return int(text.split(b"VmHWM:", 1)[1].split(None, 1)[0]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT

    def _open(self) -> None:
        for fd in self._files or ():
            with suppress(OSError):
                os.close(fd)
        self._pid, self._files = os.getpid(), None
        with suppress(OSError):
            status = os.open("/proc/self/status", os.O_RDONLY)
            self._files = os.open("/proc/self/clear_refs", os.O_WRONLY), status


def _pages(own: resource.struct_rusage) -> int:
    """Return the number of pages loaded into a process's memory."""
    return own.ru_minflt + own.ru_majflt


def _gpu_memory(pid: int) -> int | None:
    """Return the bytes that a process has on all GPUs. Returns None if there is no GPU, or the process has none."""
    try:
        processes = [process for device in _gpus(pid) for process in _processes(device)]
    except Exception:  # noqa: BLE001 - an error of the driver must not fail an attempt
        return None
    sizes = [process.usedGpuMemory for process in processes if process.pid == pid]
    return sum(size or 0 for size in sizes) or None


def _processes(device: Any) -> list[Any]:
    import pynvml

    return list(pynvml.nvmlDeviceGetComputeRunningProcesses(device))


@functools.lru_cache(maxsize=1)
def _gpus(pid: int) -> list[Any]:
    """Return NVIDIA's handles of the GPUs, cached by process: each process must initialise the library."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - no package, no driver, no device
        return []


class _Energy:
    """Measures energy with codecarbon's offline tracker, which asks no server for the machine's location."""

    def __init__(self, country: str) -> None:
        self._country = country
        self._tracker: Any = None
        self._failed = False

    def start(self) -> None:
        self._tracker = None
        if self._failed:
            return
        try:
            self._tracker = _tracker(self._country)
            self._tracker.start()
        except Exception as error:  # noqa: BLE001 - energy is an extra
            self._give_up(error)

    def stop(self) -> float | None:
        if self._tracker is None:
            return None
        try:
            self._tracker.stop()
            return float(self._tracker.final_emissions_data.energy_consumed)  # missing if it failed inside
        except Exception as error:  # noqa: BLE001 - energy is an extra
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        self._failed, self._tracker = True, None
        hint = "; pip install 'qexp[energy]'" if isinstance(error, ImportError) else ""
        log.warning("energy is not measured in this process: %s: %s%s", type(error).__name__, error, hint)


def _tracker(country: str) -> Any:
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.ERROR)  # it logs before it applies its log_level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions warn that save_to_file has another name
        return OfflineEmissionsTracker(
            country_iso_code=country,
            tracking_mode="process",  # otherwise each pool child would count the machine's energy
            log_level="error",
            save_to_file=False,
            allow_multiple_runs=True,
        )
