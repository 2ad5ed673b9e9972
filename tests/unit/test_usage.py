"""The resource usage of an attempt, measured in separate processes because peaks belong to a process."""

import importlib.util
import json
import subprocess
import sys

import pytest

from qexp.worker.attempt import usage
from qexp.worker.attempt.usage import UsageMeter

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux resets the peak")
PRELUDE = """
import dataclasses, json, os, subprocess, sys
from qexp.worker.attempt import usage
from qexp.worker.attempt.usage import UsageMeter

def measure(function, meter):
    meter.start()
    function()
    print(json.dumps(dataclasses.asdict(meter.stop())), flush=True)

def child(size):
    return lambda: subprocess.run([sys.executable, "-c", f"bytearray({size}).count(1)"], check=True)
"""
FAKE_PYNVML = """
import os, types
import pynvml_script
def nvmlInit():
    if pynvml_script.broken:
        raise RuntimeError("no driver")
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetComputeRunningProcesses(index):
    own, other = os.getpid(), os.getppid()
    return [types.SimpleNamespace(pid=pid, usedGpuMemory=pynvml_script.used) for pid in (own, other)]
"""
MB = 1 << 20


@pytest.fixture
def measured(tmp_path):
    """Run a script that measures; return the usage of each attempt."""

    def measured(source):
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PRELUDE}\n{source}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    return measured


@LINUX
def test_the_peak_is_of_the_attempt_and_not_of_the_process(measured):
    large, small = measured("m = UsageMeter()\nmeasure(lambda: bytearray(300 << 20).count(1), m)\nmeasure(int, m)")
    assert large["peak_memory"] > 300 * MB
    assert small["peak_memory"] < 200 * MB


def test_without_kernel_support_the_peak_is_of_the_process(measured):
    source = (
        "usage._Memory._open = lambda self: None\nm = UsageMeter()\nmeasure(lambda: bytearray(300 << 20).count(1), m)"
    )
    assert measured(source)[0]["peak_memory"] > 300 * MB


def test_the_largest_child_counts_for_its_own_attempt(measured):
    source = "m = UsageMeter()\nmeasure(child(300 << 20), m)\nmeasure(child(1), m)\nmeasure(child(500 << 20), m)"
    first, second, third = (attempt["peak_memory"] // MB for attempt in measured(source))
    assert 300 <= first < 500
    assert second < 200
    assert third >= 500


def test_the_time_of_children_counts(measured):
    source = """
    import resource
    def child():
        global waited
        subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        waited = used.ru_utime + used.ru_stime
    measure(child, UsageMeter())
    print(waited)
    """
    attempt, waited = measured("if 1:" + source)
    assert attempt["cpu_seconds"] >= waited > 0


def test_a_forked_process_measures_itself(measured):
    source = """
    meter, kept = UsageMeter(), bytearray(300 << 20)
    kept.count(1)
    measure(int, meter)
    del kept
    if (pid := os.fork()) == 0:
        measure(int, meter)
        os._exit(0)
    os.waitpid(pid, 0)
    """
    parent, forked = measured("if 1:" + source)
    assert parent["peak_memory"] > 300 * MB
    if sys.platform.startswith("linux"):
        assert forked["peak_memory"] < 200 * MB


def test_an_experiment_that_closes_every_descriptor_is_still_measured(measured):
    source = "m = UsageMeter()\nmeasure(lambda: os.closerange(3, 100), m)\nmeasure(int, m)"
    assert all(attempt["peak_memory"] > MB for attempt in measured(source))


def test_the_peak_of_gpu_memory_is_the_largest_sample_of_this_process(measured, tmp_path):
    # Given a stand-in for NVIDIA's library, with two devices
    (tmp_path / "pynvml.py").write_text(FAKE_PYNVML)
    (tmp_path / "pynvml_script.py").write_text("used = None\nbroken = False")
    source = """
    import pynvml_script
    usage._GPU_PATIENCE = 0
    def use(*sizes):
        for pynvml_script.used in sizes:
            meter.sample()
    meter = UsageMeter()
    measure(lambda: use(100, 300, 200), meter)
    measure(lambda: use(50), meter)
    measure(lambda: use(None), meter)
    """
    assert [attempt["gpu_memory"] for attempt in measured("if 1:" + source)] == [600, 100, None]


def test_a_machine_whose_gpu_is_broken_has_none(measured, tmp_path):
    (tmp_path / "pynvml.py").write_text(FAKE_PYNVML)
    (tmp_path / "pynvml_script.py").write_text("used = 100\nbroken = True")
    assert measured("m = UsageMeter()\nmeasure(m.sample, m)")[0]["gpu_memory"] is None


def test_energy_that_cannot_be_measured_is_logged_once_and_fails_nothing(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    meter = UsageMeter(energy="DEU")
    for _ in range(2):
        meter.start()
        assert meter.stop().energy_kwh is None
    (record,) = caplog.records
    assert "pip install 'qexp[energy]'" in record.getMessage()


@pytest.mark.parametrize("broken", ["start", "stop", "final_emissions_data"])
def test_a_tracker_that_breaks_fails_nothing(monkeypatch, caplog, broken):
    class Tracker:
        def __getattr__(self, name):
            if name == broken:
                raise RuntimeError("no sensor")
            return lambda: None

    monkeypatch.setattr(usage, "_tracker", lambda country: Tracker())
    meter = UsageMeter(energy="DEU")
    meter.start()
    assert meter.stop().energy_kwh is None
    assert "no sensor" in caplog.text


def test_no_energy_is_measured_unless_asked(monkeypatch):
    monkeypatch.setattr(usage, "_tracker", lambda country: pytest.fail("it was not asked for"))
    meter = UsageMeter()
    meter.start()
    assert meter.stop().energy_kwh is None


@pytest.mark.skipif(importlib.util.find_spec("codecarbon") is None, reason="codecarbon is not installed")
def test_energy_is_measured_without_output_and_without_a_network(measured, tmp_path):
    source = """
    import socket
    def refuse(*_): raise AssertionError("it asked the network")
    socket.socket.connect = refuse
    meter = UsageMeter(energy="DEU")
    for _ in range(2):
        measure(lambda: sum(range(10**7)), meter)
    """
    assert all(attempt["energy_kwh"] > 0 for attempt in measured("if 1:" + source))
    assert list(tmp_path.iterdir()) == []
