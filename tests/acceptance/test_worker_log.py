"""What a worker prints: one line per event worth one, in a terminal and in a file."""

import json
import re
import signal
import sys

import pytest
from terminal import terminal
from tests_support import eventually

from qexp.model import duration

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
FAILS = """
import logging
def f(x):
    print("printed by", x)
    logging.getLogger("mine").warning("logged by %s", x)
    if x % 2:
        raise ValueError(f"no {x}\\nsecond line \\x1b[31m\\x07")
    return x
"""
DIES = """
import os, pathlib
def f(x, file):
    if x == 1 and not pathlib.Path(file).exists():
        pathlib.Path(file).touch()
        os.kill(os.getpid(), 9)
    return x
"""
WAITS = """
import pathlib, time
def f(x, file):
    pathlib.Path(f"{file}.{x}").touch()
    while not pathlib.Path(file).exists():
        time.sleep(0.02)
    return x
"""


def lines(worker):
    """The lines of a worker's log, without their times."""
    found = worker.text().splitlines()
    assert all(STAMP.match(line) for line in found), worker.text()
    return [STAMP.sub("", line) for line in found]


def await_line(worker, pattern):
    def found():
        return [line for line in lines(worker) if re.search(pattern, line)]

    eventually(found, f"{pattern!r} in the log of a worker")
    return found()


def test_a_worker_says_what_it_is_and_how_a_study_goes(study, start_worker, queue, qexp, site):
    own = f"{queue}_goes"
    worker = start_worker("-Q", own, "-c", "2").await_ready()
    made = study(FAILS, {"x": [0, 1, 2]}, queue=own, retries={"error": 1, "delay": "1s"})
    made.enqueue()
    assert made.wait() == 1
    await_line(worker, "finished")
    await_line(worker, "waiting")
    # Then it has said who it is
    start = lines(worker)
    assert re.fullmatch(rf"qexp \S+ on \S+: 2 experiments at once from queue {own}", start[0])
    assert re.search(r"broker at 127.0.0.1:\d+", "\n".join(start[1:3]))
    assert f"kill -QUIT {worker.process.pid} " in worker.text()
    # And one line each about the failures, the end, and the rest
    number = next(row["id"] for row in made.listed() if row["params"]["x"] == 1)
    error = f"{made.name} #{number} failed: ValueError: no 1 second line \\x1b[31m\\x07 ("
    first, second = await_line(worker, " failed: ")
    assert first.startswith(error) and re.search(r" m?s\); again in \d s$|; again now$", first)
    assert second.startswith(error) and second.endswith("s)")
    # And the durations are those of the attempts
    attempts = json.loads(qexp("show", number, "--format", "json").stdout)[0]["attempts"]
    assert [re.search(r"\(([^()]+)\)", line)[1] for line in (first, second)] == [
        duration(attempt["duration"]) for attempt in attempts
    ]
    (end,) = await_line(worker, "finished")
    assert re.fullmatch(rf"{made.name} finished: 2 done, 1 failed in \S+ m?s; see 'qexp errors {made.name}'", end)
    assert await_line(worker, "^waiting: ")[-1].startswith(f"waiting: nothing to do on queue {own}")
    # And nothing of Celery, of functions, or secret
    text = worker.text()
    assert not re.search(r"Task |received|task events|\[config\]|printed by|logged by", text)
    assert "WARNING mine: logged by 1" in qexp("logs", number).stdout
    for url in (site.database_url, site.broker_url):
        assert re.search(r":([^:@/]+)@", url)[1] not in text


def test_many_failures_do_not_flood_the_log(study, start_worker, queue):
    own = f"{queue}_flood"
    worker = start_worker("-Q", own, "-c", "2").await_ready()
    made = study("def f(x):\n    raise ValueError(x)\n", {"x": {"range": [400]}}, queue=own)
    made.enqueue()
    assert made.wait() == 1
    await_line(worker, "finished: 400 failed")
    assert len([line for line in lines(worker) if " failed: " in line]) == 10
    sums = await_line(worker, r"more failed with ValueError \(error \w{6}\); 'qexp errors ")
    assert sum(int(line.split(": ")[1].split()[0]) for line in sums) == 390
    (group,) = {row["error_fingerprint"] for row in made.listed()}
    assert f"(error {group[:6]})" in sums[0]


def test_a_crash_has_its_signal_and_its_retry_and_a_paused_study_its_command(
    study, start_worker, queue, qexp, tmp_path
):
    own = f"{queue}_dies"
    worker = start_worker("-Q", own, "-c", "1").await_ready()
    retries = {"crashed": 1, "delay": "0.1s"}
    made = study(DIES, {"x": [0, 1]}, queue=own, retries=retries, settings={"file": str(tmp_path / "died")})
    made.enqueue()
    assert made.wait() == 0
    (line,) = await_line(worker, "crashed")
    assert re.fullmatch(rf"{made.name} #\d+ crashed: signal 9 \(SIGKILL\) \(\S+ m?s\); again (now|in \d s)", line)
    await_line(worker, "finished: 2 done")
    assert not re.search("ended without an experiment|Traceback|WorkerLost", worker.text())
    # When a person pauses it while it has work
    waits = study(WAITS, {"x": [3, 4]}, queue=own, settings={"file": str(tmp_path / "go")}, study=f"{made.name}_waits")
    waits.enqueue()
    eventually(lambda: list(tmp_path.glob("go.*")), "an experiment to run")
    assert qexp("pause", f"{made.name}_waits").returncode == 0
    (line,) = await_line(worker, "_waits is paused")
    assert line.endswith(f"; 'qexp resume {made.name}_waits' continues it")
    assert await_line(worker, f"nothing to do on queue {own}; {made.name}_waits is paused")


def test_a_stopping_worker_says_for_what_it_waits(study, start_worker, queue, tmp_path):
    own = f"{queue}_stops"
    worker = start_worker("-Q", own, "-c", "2").await_ready()
    made = study(WAITS, {"x": [1, 2]}, queue=own, settings={"file": str(tmp_path / "go")})
    made.enqueue()
    eventually(lambda: len(list(tmp_path.glob("go.*"))) == 2, "both to run")
    # When it is told to stop, and then to stop now
    worker.process.send_signal(signal.SIGTERM)
    pid = worker.process.pid
    await_line(worker, f"^stopping: 2 experiments run to the end; kill -QUIT {pid} gives them to other workers$")
    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait()
    # Then the log says what became of them
    given_back = [line for line in lines(worker) if re.search("is given back|are given back", line)]
    assert {int(number) for line in given_back for number in re.findall(r"#(\d+)", line)} == {
        row["id"] for row in made.listed()
    }
    assert lines(worker)[-1] == "stopped"
    assert "shutdown" not in worker.text()


@pytest.mark.parametrize(
    ("level", "said", "unsaid"),
    [
        ("WARNING", [" failed: "], ["ready", "finished", "qexp "]),
        ("DEBUG", [" failed: ", " ready.", "] received", "task events", "INFO/MainProcess"], ["\x1b"]),
    ],
)
def test_the_level_decides_how_much_a_worker_says(study, start_worker, queue, level, said, unsaid):
    own = f"{queue}_{level}"
    worker = start_worker("-Q", own, "-c", "1", "--loglevel", level)
    made = study(FAILS, {"x": [0, 1]}, queue=own)
    made.enqueue()
    assert made.wait() == 1
    eventually(lambda: all(text in worker.text() for text in said), f"{said} in the log")
    assert not [text for text in unsaid if text in worker.text()]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_whole_lines_in_colour_without_an_option(study, brief, queue, columns):
    own = f"{queue}_{columns}"
    made = study(FAILS.replace("no {x}", "no {x}" + " long" * 99), {"x": [1]}, queue=own)
    made.enqueue()
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-Q", own, "-c", "1", "-n", "me@here"]
    shown = terminal(*line, columns=columns, environ={"QEXP_EXIT_WHEN_IDLE": "true"})
    assert shown.status == 0
    found = shown.text.splitlines()
    assert "me@here ready." in shown.text
    assert "Ctrl-C lets running experiments end; twice gives them to other workers" in shown.text
    (failed,) = [line for line in found if " failed: " in line]
    assert re.match(rf"\d\d:\d\d:\d\d {made.name} #\d+ failed: ValueError: no 1 long long", failed)
    assert re.search(r"… \(\S+ m?s\)$", failed)
    assert len(failed) == columns
    assert re.search(rf"\x1b\[33m\d\d:\d\d:\d\d {made.name} #", shown.raw)
    assert "there is nothing to do: this worker stops" in shown.text


def test_the_log_of_qexp_run_tells_of_its_study(study, qexp, site, queue):
    made = study(FAILS, {"x": [0, 1]}, queue=f"{queue}_run")
    before = set(site.logs.glob("worker-*.log"))
    assert qexp("run", "grid.yaml", "-c", "1").returncode == 1
    (log,) = set(site.logs.glob("worker-*.log")) - before
    text = log.read_text()
    assert f"{made.name} finished: 1 done, 1 failed in " in text
    assert text.splitlines()[-1].endswith(" stopped")
