"""Standard output contains only data, for any output of the user's code."""

import json
import subprocess
import sys

import pytest

PRINTS = """
import atexit, os, subprocess, sys, threading, time
print("import: print")
print("import: __stdout__", file=sys.__stdout__, flush=True)
os.write(1, b"import: descriptor\\n")
subprocess.run(["echo", "import: subprocess"])
subprocess.Popen("sleep 0.2; echo import: later", shell=True)
atexit.register(lambda: print("at exit: print"))
atexit.register(lambda: os.write(1, b"at exit: descriptor\\n"))
def chatter():
    for _ in range(200):
        print("thread: print")
        os.write(1, b"thread: descriptor\\n")
        time.sleep(0.005)
threading.Thread(target=chatter, daemon=True).start()

def annotation():
    print("annotation: print")
    os.write(1, b"annotation: descriptor\\n")
    return int

def f(x: annotation()):
    print("function: print")
    os.write(1, b"function: descriptor\\n")
    return x
"""


@pytest.mark.parametrize("command", [("enqueue",), ("enqueue", "--dry-run"), ("diff",), ("run", "-c", "1")])
def test_json_output_contains_nothing_that_the_users_module_prints(qexp, study, command):
    # Given a module that prints in every way during its import and later
    made = study(PRINTS, {"x": [1, 2]})
    if command == ("diff",):
        made.enqueue()
    # When a command that imports it prints JSON
    done = qexp(*command, "grid.yaml", "--format", "json")
    # Then standard output has only the JSON, and stderr has the module's output
    assert done.returncode == 0, done.stderr
    assert made.name == json.loads(done.stdout)["study"]
    for said in ("import: print", "import: __stdout__", "import: descriptor", "import: subprocess", "at exit: print"):
        assert said in done.stderr
    assert "annotation: descriptor" in done.stderr


def test_debug_prints_only_the_result_into_a_pipe(qexp, study):
    made = study(PRINTS, {"x": [1]})
    made.enqueue()
    (one,) = made.listed()
    done = qexp("debug", str(one["id"]))
    assert json.loads(done.stdout) == {"value": 1}
    assert "function: print" in done.stderr
    assert "function: descriptor" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "| head -c 0"])
def test_closed_streams_do_not_mix_data_and_messages(site, study, closed):
    # Given a module that prints, and a command with closed streams
    made = study("print('import: print')\ndef f(x): return x\n", {"x": [1]})
    script = f"exec {sys.executable} -m qexp enqueue grid.yaml --dry-run --format json {closed}"
    # When the command runs
    done = subprocess.run(["sh", "-c", script], cwd=made.folder, capture_output=True, text=True, check=False)
    # Then data go only to standard output, and the module's output only to stderr
    assert done.returncode == 0, done.stderr
    if closed == "2>&-":
        assert json.loads(done.stdout)["study"] == made.name
    else:
        assert done.stdout == ""
    assert done.stderr.splitlines() == ([] if "2>&-" in closed else ["import: print"])


def test_output_of_other_threads_stays_on_standard_output_during_an_import(tmp_path):
    # Given a module whose import waits until another thread has written to standard output
    (tmp_path / "experiment.py").write_text(
        "import builtins\nbuiltins.begun.set()\nbuiltins.written.wait()\nprint('import')\ndef f(x): return x\n"
    )
    script = """
import builtins, os, threading
builtins.begun, builtins.written = threading.Event(), threading.Event()
def write():
    begun.wait()
    os.write(1, b"mine\\n")
    written.set()
threading.Thread(target=write).start()
from qexp.client.function_check import checked
from qexp.grid import Grid
checked(Grid.from_dict({"study": "a", "function": "experiment:f", "parameters": {"x": 1}}))
"""
    # When the script checks a grid of that module
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    # Then the thread's output goes to stdout, and the module's to stderr
    assert (done.stdout, done.returncode) == ("mine\n", 0), done.stderr
    assert done.stderr == "import\n"
