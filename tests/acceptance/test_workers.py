"""Real workers run each experiment once, and every failure becomes an attempt with its error."""

import json
import os
import pickle
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
from tests_support import eventually, publish, signal_all

from qexp.client import Client
from qexp.queueing import broker
from qexp.queueing.messages import TASK, Message
from qexp.store.selection.selectors import Selection

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    """Two workers with two children each."""
    started = [start_worker("-Q", queue, "-c", "2", "-n", f"w{number}@%h") for number in (1, 2)]
    return [worker.await_ready() for worker in started]


LOGS_ITSELF = """
import os, pathlib
def f(x, log):
    with open(log, "a") as file:
        file.write(f"{x}\\n")
    return {"y": x * x}
"""


def test_the_same_ids_published_three_times_are_run_once_each(study, client, site, tmp_path):
    made = study(LOGS_ITSELF, {"x": list(range(40))}, settings={"log": str(tmp_path / "log")})
    made.enqueue()
    known = client.study(made.name)
    views = client.experiments(Selection(made.name))
    for _ in range(2):
        publish(site, *(Message(known.queue, (view.id,), 1, "again") for view in views))
    assert made.wait() == 0
    runs = Counter((tmp_path / "log").read_text().split())
    assert runs == {str(x): 1 for x in range(40)}
    assert {row["attempt"] for row in made.listed()} == {1}
    assert [row["result"]["y"] for row in made.listed()] == [x * x for x in range(40)]


def test_messages_of_unknown_ids_are_dropped_and_the_worker_survives(study, site, queue):
    publish(site, Message(queue, (2**62, -1), 1, "forged"))
    made = study("def f(x): return x", {"x": 1})
    made.enqueue()
    assert made.wait() == 0


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_messages_without_json_or_ids_run_nothing_and_the_worker_survives(study, site, workers, tmp_path):
    own, log = f"q_{uuid.uuid4().hex[:8]}", tmp_path / "worker.log"
    made = study("def f(x): return x", {"x": 1}, queue=own)
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-Q", own, "-c", "1", "-l", "DEBUG"]
    # Given messages with code, and messages without experiments
    headers = {"task": TASK, "id": str(uuid.uuid4()), "lang": "py"}
    exploit = ([[Exploit(str(tmp_path / "hacked"))]], {}, {})
    yaml = f"!!python/object/apply:os.mknod ['{tmp_path / 'hacked'}']"
    bodies = [("application/x-python-serialize", pickle.dumps(exploit)), ("application/x-yaml", yaml.encode())]
    bodies += [
        ("application/json", json.dumps([[ids], {}, {}]).encode()) for ids in (["1; DROP TABLE study"], [2**80], 7)
    ]
    with broker.application(site).connection_for_write() as connection, connection.Producer() as producer:
        for kind, body in bodies:
            encoding = "binary" if "json" not in kind else "utf-8"
            publish = {"content_type": kind, "content_encoding": encoding, "headers": headers}
            producer.publish(body, routing_key=own, exchange="", **publish)
    # When a worker receives them
    with log.open("wb") as file:
        worker = subprocess.Popen(line, stdout=file, stderr=file, cwd=tmp_path, start_new_session=True)
    try:
        made.enqueue()
        # Then it runs none of the code and survives
        assert made.wait() == 0
        assert log.read_text().count("] received") == len(bodies) + 1
        assert not (tmp_path / "hacked").exists()
        assert worker.poll() is None
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


FORKS = """import os
        if os.fork() == 0:
            return 'from the child'
        os.wait()
        raise OSError('from the parent')"""
WAYS_TO_END = {
    "raise": ("raise ValueError('no')", "error", "ValueError"),
    "system_exit": ("import sys; sys.exit(3)", "error", "SystemExit"),
    "keyboard": ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
    "memory": ("raise MemoryError('big')", "error", "MemoryError"),
    "recursion": ("f(how)", "error", "RecursionError"),
    "no_data": ("return object()", "error", "qexp.errors.ResultError"),
    "too_long": ("return 10 ** 5000", "error", "qexp.errors.ResultError"),
    "too_large": ("return {'x' * 300_000_000: 1}", "error", "qexp.errors.ResultError"),
    "lambda": ("raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})", "error", "experiment.Odd"),
    "exits_when_shown": (
        "raise type('Odd', (Exception,), {'__str__': lambda self: exit(3)})",
        "error",
        "experiment.Odd",
    ),
    "exits_when_flushed": (
        "import sys; sys.stdout = type('S', (), {'flush': lambda self: exit(3)})(); raise OSError",
        "error",
        "OSError",
    ),
    "forks": (FORKS, "error", "OSError"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", "ProcessDied"),
    "segfault": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "ProcessDied"),
    "os_exit": ("import os; os._exit(7)", "crashed", "ProcessDied"),
}


def test_every_failure_becomes_an_attempt_and_the_workers_survive(study, workers):
    branches = "".join(f"    if how == {how!r}:\n        {code}\n" for how, (code, _, _) in WAYS_TO_END.items())
    made = study(f"def f(how):\n{branches}    return 'fine'\n", {"how": [*WAYS_TO_END, *"abcdef"]})
    made.enqueue()
    assert made.wait() == 1
    found = {row["params"]["how"]: row for row in made.shown()}
    for how, (_, failure, kind) in WAYS_TO_END.items():
        row = found[how]
        assert (row["status"], row["failure"], row["error_type"]) == ("failed", failure, kind), row
        (attempt,) = row["attempts"]
        assert attempt["outcome"] == failure
        if failure == "error":
            assert kind.rpartition(".")[2] in attempt["traceback"]
    assert "SIGKILL" in found["killed"]["error_message"]
    assert "exitcode 7" in found["os_exit"]["error_message"]
    assert [found[how]["result"] for how in "abcdef"] == [{"value": "fine"}] * 6
    assert [worker.process.poll() for worker in workers] == [None, None]


IMPORTS = {
    "exits": ("sys.exit(0)", "invalid", "SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "invalid", "KeyboardInterrupt"),
    "waits": ("time.sleep(600)", "timeout", "longer than its timeout of 5 s"),
    "dies": ("os._exit(0)", "crashed", "exitcode 0"),
}


@pytest.mark.parametrize("isolation", ["child", "process"])
@pytest.mark.parametrize("how", IMPORTS)
def test_an_attempt_whose_module_fails_on_the_node_has_the_outcome_of_the_failure(study, monkeypatch, how, isolation):
    # Given a module that the client can import, but not a worker
    code, failure, message = IMPORTS[how]
    monkeypatch.setenv("ENQUEUES", "1")
    source = f"import os, sys, time\nif 'ENQUEUES' not in os.environ:\n    {code}\ndef f(x): return x\n"
    made = study(source, {"x": 1}, timeout="5s" if how == "waits" else "10m", isolation=isolation)
    # When its experiment runs
    made.enqueue()
    # Then it fails like the import of the module
    assert made.wait() == 1
    (row,) = made.shown()
    assert row["failure"] == failure, row
    assert message in row["error_message"]


@pytest.mark.parametrize("code", ["os._exit(0)", "sys.exit(0)", "os.execv('/bin/true', ['true'])"])
def test_a_module_that_ends_its_process_cannot_be_enqueued(study, qexp, code):
    made = study(f"import os, sys\n{code}\ndef f(x): return x\n", {"x": 1})
    done = qexp("enqueue", "grid.yaml", "--format", "json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "importing experiment" in done.stderr
    assert done.stderr.count("\n") == 1
    assert made.name not in qexp("status").stdout


def test_a_child_that_is_killed_from_outside_is_one_failed_attempt(study, client, tmp_path):
    source = "import os, time\ndef f(pid):\n    open(pid, 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    made = study(source, {"pid": str(tmp_path / "pid")})
    made.enqueue()
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the experiment to run")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert made.wait() == 1
    (row,) = made.shown()
    assert (row["failure"], len(row["attempts"])) == ("crashed", 1)


MESSAGES = [
    "quotes ' \" `",
    "100 % and %s and %(x)s",
    "emoji 🧪 and ünïcödé",
    "line\nbreak",
    "tab\t",
    "{}",
    "\\",
    "; DROP",
]


def test_an_experiment_may_use_multiprocessing(study):
    source = """
import multiprocessing

def f(x):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return {"y": pool.map(abs, [-x, x])}
"""
    made = study(source, {"x": 3})
    made.enqueue()
    assert made.wait() == 0
    assert made.listed()[0]["result"] == {"y": [3, 3]}


def test_special_characters_survive_in_parameters_results_and_errors(study):
    source = "def f(text, how):\n    if how == 'raise':\n        raise ValueError(text)\n    return {'text': text}\n"
    made = study(source, {"text": MESSAGES, "how": ["raise", "return"]})
    made.enqueue()
    made.wait()
    for row in made.shown():
        text = row["params"]["text"]
        if row["params"]["how"] == "raise":
            assert row["error_message"] == text
            assert text.splitlines()[0] in row["attempts"][0]["traceback"]
        else:
            assert row["result"] == {"text": text}


def test_bytes_that_postgres_cannot_store_become_visible(study):
    made = study("def f(x):\n    raise ValueError('nul \\0 and \\ud800')\n", {"x": 1})
    made.enqueue()
    made.wait()
    assert made.shown()[0]["error_message"] == "nul \\x00 and \\ud800"


def test_a_function_that_cannot_be_imported_on_the_node_is_invalid(study):
    made = study("def f(x): return x", {"x": [1, 2]})
    made.enqueue()
    made.wait()
    (made.folder / "experiment.py").write_text("import nowhere_to_be_found\n")
    done = json.loads(requeue(made, "--status", "done"))
    assert len(done["requeued"]) == 2
    assert made.wait() == 1
    for row in made.shown():
        assert (row["failure"], row["attempts"][-1]["outcome"]) == ("invalid", "invalid")
        assert "nowhere_to_be_found" in row["error_message"]


def requeue(made, *options):
    import subprocess
    import sys

    line = [sys.executable, "-m", "qexp", "requeue", made.name, "--format", "json", *options]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def test_failed_experiments_run_again_after_the_code_was_fixed(study):
    made = study("def f(x):\n    if x > 1:\n        raise ValueError(x)\n    return x\n", {"x": [0, 1, 2, 3]})
    made.enqueue()
    assert made.wait() == 1
    (made.folder / "experiment.py").write_text("def f(x):\n    return x\n")
    requeue(made, "--failed")
    assert made.wait() == 0
    outcomes = [[attempt["outcome"] for attempt in row["attempts"]] for row in made.shown()]
    assert outcomes == [["done"], ["done"], ["error", "done"], ["error", "done"]]
    assert "ValueError: 3" in made.shown()[3]["attempts"][0]["traceback"]


def test_functions_receive_settings_and_parameters_and_results_of_all_types_come_back(study):
    source = """
import dataclasses, datetime, math
import numpy as np

@dataclasses.dataclass
class Result:
    loss: float
    curve: np.ndarray
    day: datetime.date

def f(x: int, scale: float):
    if x == 0:
        return Result(scale, np.arange(3), datetime.date(2026, 1, 2))
    if x == 1:
        return {"loss": np.float32(scale * x), "worst": math.inf, "none": None}
    return None
"""
    made = study(source, {"x": [0, 1, 2]}, settings={"scale": 0.5})
    made.enqueue()
    assert made.wait() == 0
    assert [row["result"] for row in made.listed()] == [
        {"loss": 0.5, "curve": [0, 1, 2], "day": "2026-01-02"},
        {"loss": 0.5, "worst": "Infinity", "none": None},
        {},
    ]
    frame = Client().frame(Selection(made.name))
    assert frame["worst"].tolist()[1] == float("inf")
    assert set(frame.columns[2:7]) == {"loss", "curve", "day", "worst", "none"}
    assert str(frame["loss"].dtype) == "float64"


SLEEPS_ONCE = """
import os, pathlib, time
def f(x, log):
    with open(log, "a") as file:
        file.write(f"{x}\\n")
    if pathlib.Path(log).read_text().split().count(str(x)) == 1:
        time.sleep(600)
    return x
"""


WAYS_TO_STOP = [
    (signal.SIGQUIT,),
    (signal.SIGTERM, signal.SIGQUIT),
    (signal.SIGINT, signal.SIGINT),
    ("all processes", signal.SIGTERM),
]


@pytest.mark.parametrize("signals", WAYS_TO_STOP, ids=str)
def test_a_worker_that_must_stop_immediately_releases_its_experiments(
    study, client, start_worker, queue, tmp_path, signals
):
    # Given a worker that runs two experiments
    own = f"{queue}_{'_'.join(str(s) for s in signals)}".replace(" ", "_")
    log = tmp_path / "log"
    log.touch()
    made = study(SLEEPS_ONCE, {"x": [1, 2]}, settings={"log": str(log)}, queue=own)
    first = start_worker("-Q", own, "-c", "2").await_ready()
    made.enqueue()
    eventually(lambda: len(log.read_text().split()) == 2, "both experiments to run")
    # When it is told to stop immediately
    all_of_it = signals[0] == "all processes"
    for number in [] if all_of_it else signals[:-1]:
        first.process.send_signal(number)
        eventually(lambda: "stopping: 2 experiments run" in first.text(), "the warm shutdown to begin")
    (signal_all if all_of_it else os.kill)(first.process.pid, signals[-1])
    eventually(lambda: first.process.poll() is not None, "the worker to stop")
    # Then both run again on another worker, and neither counts as failed
    start_worker("-Q", own, "-c", "2").await_ready()
    assert made.wait() == 0
    assert [[a["outcome"] for a in row["attempts"]] for row in made.shown()] == [["released", "done"]] * 2


def test_a_pool_whose_children_share_a_process_is_refused(site, tmp_path):
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "--pool", "threads"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120)
    assert done.returncode == 2
    assert "qexp: --pool: found 'thread', expected 'prefork' (the default) or 'solo'" in done.stderr


@pytest.mark.parametrize("number", [4097, 10**20])
def test_more_children_than_a_worker_can_have_are_refused(site, tmp_path, number):
    line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-c", str(number)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"qexp: --concurrency: found {number}, expected at most 4096; start several workers"
    )
