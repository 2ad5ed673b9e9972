"""Stored text of an experiment cannot control the terminal that shows it."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

HOSTILE = """
import qexp
ODD = "\\x1b]0;owned\\x07\\x1b[2J\\x9b6n\\u202e"
def f(x, context: qexp.Context):
    print("\\x1b[31mred\\x1b[0m " + ODD)
    print("10%\\r100%\\r\\nend")
    context.record(**{"r" + ODD: ODD})
    context.append("found", {"k" + ODD: ODD})
    if x == 1:
        raise type("Odd" + ODD, (Exception,), {})("\\x1b[31mmessage\\x1b[0m " + ODD)
    return {"y": ODD}
"""
COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


@pytest.fixture
def ended(study):
    made = study(HOSTILE, {"x": [1, "\x1b]0;owned\x07\u202e"]}, retries={"error": 0, "crashed": 0})
    made.enqueue()
    made.wait()
    assert [row["status"] for row in made.listed()] == ["failed", "done"]
    return made


def on_a_terminal(folder, *arguments):
    """Run a command with a terminal as its three standard streams; return the terminal's text."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "qexp", *map(str, arguments)]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        command, cwd=folder, env=environ, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ):
        os.close(terminal)
        shown = b""
        try:
            while more := os.read(controller, 65_536):
                shown += more
        except OSError:  # Linux: the other side has closed
            pass
        finally:
            os.close(controller)
    return shown.decode().replace("\r\n", "\n")


def test_no_command_shows_control_sequences_of_an_experiment_on_a_terminal(ended, qexp):
    one, two = (row["id"] for row in ended.listed())
    qexp("pause", ended.name, "--reason", "\x1b]0;owned\x07")
    commands = [
        *[("logs", one), ("logs", two), ("show", ended.name), ("errors", ended.name), ("list", ended.name)],
        *[("explain", one), ("explain", two), ("status", ended.name), ("status",), ("metrics", ended.name)],
        *[("metrics", ended.name, "--list", "found"), ("source", one), ("workers",), ("doctor",)],
        *[(verb, ended.name, "--format", "json") for verb in ("show", "list", "errors", "status")],
        ("show", "--where", "\x1b]0;x\x07", ended.name),
    ]
    for command in commands:
        shown = on_a_terminal(ended.folder, *command)
        assert shown, command
        assert not CONTROL.search(COLOURS.sub("", shown)), (command, shown)


def test_colours_and_progress_bars_reach_a_terminal_in_output_only(ended):
    one = ended.listed()[0]["id"]
    shown = on_a_terminal(ended.folder, "logs", one)
    assert "\x1b[31mred\x1b[0m \\x1b]0;owned\\x07\\x1b[2J\\x9b6n\\u202e\n" in shown
    assert "10%\r100%\nend\n" in shown
    assert shown.endswith(f"\x1b[0m(1 state of lines overwritten by \\r; 'qexp logs {one} | cat' shows all)\n")
    shown = on_a_terminal(ended.folder, "show", one)
    assert "\\x1b[31mmessage\\x1b[0m \\x1b]0;owned\\x07" in shown


def test_logs_in_a_pipe_have_no_colours_and_one_line_per_state_of_a_progress_bar(ended, qexp):
    one = ended.listed()[0]["id"]
    assert qexp("logs", one).stdout == "red \\x1b]0;owned\\x07\\x1b[2J\\x9b6n\\u202e\n10%\n100%\nend\n"


def test_json_and_code_files_are_exactly_the_stored_data(ended, qexp):
    odd = "\x1b]0;owned\x07\x1b[2J\x9b6n\u202e"
    one, two = ended.listed()
    failed, _ = ended.shown()
    assert failed["attempts"][0]["error_message"] == f"\x1b[31mmessage\x1b[0m {odd}"
    assert two["result"]["y"] == odd
    shown = json.loads(on_a_terminal(ended.folder, "show", two["id"], "--format", "json"))
    assert shown[0]["result"]["y"] == odd
    (ended.folder / "experiment.py").write_text(f"# {odd}\x0c\n{HOSTILE}")
    qexp("requeue", one["id"])
    ended.wait()
    assert qexp("source", one["id"]).stdout == f"# {odd}\x0c\n{HOSTILE}"
