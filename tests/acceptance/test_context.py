"""The context in real workers: recorded data survive every end of an attempt."""

import json
import math
import os
import shutil
import signal
import uuid
from pathlib import Path

import pandas as pd
import pytest
from tests_support import eventually, signal_all

import qexp

pytestmark = pytest.mark.usefixtures("workers")


@pytest.fixture
def qexp_command(request):
    """The command line; `qexp` is the module here."""
    return request.getfixturevalue("qexp")


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    return [start_worker("-Q", queue, "-c", "2").await_ready()]


def rows(raw, query, *values):
    return raw.execute(query, values).fetchall()


def series(raw, experiment):
    return rows(raw, "SELECT attempt, name, step, value FROM metric WHERE experiment = %s ORDER BY 1, 2, 3", experiment)


def output(raw, experiment, attempt=1):
    query = "SELECT string_agg(text, '' ORDER BY position) FROM output WHERE experiment = %s AND attempt = %s"
    return rows(raw, query, experiment, attempt)[0][0] or ""


def test_a_context_identifies_its_attempt(study):
    source = """
import os
import qexp
def f(x, scale, *, context: qexp.Context):
    assert os.path.isdir(context.workdir)
    return {"id": context.id, "study": context.study, "attempt": context.attempt, "params": context.params,
            "settings": context.settings, "seed": context.seed, "workdir": str(context.workdir)}
"""
    made = study(source, {"x": [1, 2]}, settings={"scale": 3})
    made.enqueue()
    assert made.wait() == 0
    for row in made.listed():
        found = row["result"]
        assert (found["id"], found["study"], found["attempt"]) == (row["id"], made.name, 1)
        assert (found["params"], found["settings"]) == (row["params"], {"scale": 3})
        assert 0 <= found["seed"] < 2**32
        assert not Path(found["workdir"]).exists()
    assert len({row["result"]["seed"] for row in made.listed()}) == 2


def test_recorded_parts_survive_a_failure_and_are_merged_with_the_returned_result(study):
    source = """
import qexp
def f(fails, context: qexp.Context):
    context.record(train=0.5, other=[1, 2])
    context.record(train=0.75)
    if fails:
        raise ValueError("no")
    return {"test": 1.0}
"""
    made = study(source, {"fails": [True, False]})
    made.enqueue()
    assert made.wait() == 1
    failed, done = made.shown()
    assert failed["result"] == {"train": 0.75, "other": [1, 2]}
    assert done["result"] == {"train": 0.75, "other": [1, 2], "test": 1.0}
    assert set(failed["recorded_at"]) == {"train", "other"}
    assert failed["started_at"] <= failed["recorded_at"]["train"] <= failed["finished_at"]


RECORDS_AND_WAITS = """
import ctypes, os, pathlib, subprocess, time
import qexp
def f(pid, how, context: qexp.Context):
    print("from python", flush=True)
    os.write(2, b"from a descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["echo", "from a process"], check=True)
    context.log.info("from the log")
    for step in range(3):
        context.metric(step, loss=1 / (step + 1))
    context.metric(acc=1)
    context.append("incumbents", {"cost": 3, "config": {"depth": 2}})
    context.record(half=1)
    if how == "raise":
        raise ValueError("no")
    if how == "wait":
        pathlib.Path(pid).write_text(str(os.getpid()))
        time.sleep(600)
    return {}
"""
LINES = ["from python", "from a descriptor", "from C", "from a process", "from the log"]


@pytest.mark.parametrize("how", ["return", "raise"])
def test_series_lists_and_output_are_stored_when_an_attempt_ends(study, raw, how):
    made = study(RECORDS_AND_WAITS, {"how": how}, settings={"pid": ""})
    made.enqueue()
    assert made.wait() == (how == "raise")
    (row,) = made.listed()
    expected = [(1, "acc", 0, 1.0), (1, "loss", 0, 1.0), (1, "loss", 1, 0.5), (1, "loss", 2, 1 / 3)]
    assert series(raw, row["id"]) == expected
    (entry,) = rows(raw, "SELECT list, data FROM entry WHERE experiment = %s", row["id"])
    assert entry == ("incumbents", {"cost": 3, "config": {"depth": 2}})
    text = output(raw, row["id"])
    assert all(line in text for line in LINES), text


def test_data_and_output_from_two_seconds_before_a_kill_are_kept(study, raw, tmp_path):
    made = study(RECORDS_AND_WAITS, {"how": "wait"}, settings={"pid": str(tmp_path / "pid")})
    made.enqueue()
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the experiment to wait")
    (row,) = made.listed()
    eventually(lambda: len(series(raw, row["id"])) == 4, "the series to be written while it runs")
    eventually(lambda: "from the log" in output(raw, row["id"]), "the output to be written while it runs")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert made.wait() == 1
    (row,) = made.shown()
    assert (row["failure"], row["result"]) == ("crashed", {"half": 1})
    assert row["attempts"][0]["exit_signal"] == "SIGKILL"
    assert len(series(raw, row["id"])) == 4


def test_the_last_output_of_a_process_that_dies_suddenly_is_kept(study, raw):
    made = study("import os\ndef f(x):\n    os.write(1, b'last words\\n')\n    os.abort()\n", {"x": 1})
    made.enqueue()
    assert made.wait() == 1
    (row,) = made.listed()
    assert output(raw, row["id"]).startswith("last words\nFatal Python error: Aborted\n")


def test_the_head_and_tail_of_long_output_are_kept(study, raw):
    source = "def f(x):\n    for number in range(200_000):\n        print(f'line {number}')\n"
    made = study(source, {"x": 1}, output="10 KB")
    made.enqueue()
    assert made.wait() == 0
    (row,) = made.listed()
    text = output(raw, row["id"])
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith("line 199999\n")
    assert 20_000 <= len(text) <= 20_000 + 2 * 16_384


RESUMES = """
import os, signal
import numpy as np
import qexp
def f(x, log, context: qexp.Context):
    state = {"weights": np.zeros(3), "history": []}
    for epoch in context.resumable(range(6), state, steps=1):
        with open(log, "a") as file:
            file.write(f"{context.attempt}:{epoch} ")
        state["weights"] += epoch
        state["history"].append(epoch)
        context.metric(epoch, loss=1 / (epoch + 1))
        context.metric(counted=epoch)
        context.append("epochs", {"epoch": epoch})
        context.record(**{f"epoch {epoch}": context.attempt})
        if epoch == 3 and context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return {"weights": state["weights"], "history": state["history"]}
"""


def test_an_attempt_continues_after_the_last_saved_step(study, raw, tmp_path):
    made = study(RESUMES, {"x": 1}, settings={"log": str(tmp_path / "log")}, retries={"crashed": 1, "delay": "1s"})
    made.enqueue()
    assert made.wait() == 0
    (row,) = made.shown()
    assert (tmp_path / "log").read_text() == "1:0 1:1 1:2 1:3 2:3 2:4 2:5 "
    # the data of an undisturbed attempt, each epoch once
    recorded = {f"epoch {epoch}": 1 + (epoch >= 3) for epoch in range(6)}
    assert row["result"] == {"weights": [15.0] * 3, "history": [0, 1, 2, 3, 4, 5], **recorded}
    assert qexp.metrics(made.name, "counted")[["step", "value"]].values.tolist() == [[n, n] for n in range(6)]
    assert qexp.Study(made.name).rows("epochs")["epoch"].tolist() == list(range(6))
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["crashed", "done"]
    assert rows(raw, "SELECT name FROM checkpoint WHERE experiment = %s", row["id"]) == []


def test_large_checkpoints_are_stored_in_files_and_removed_with_them(study, raw, site):
    source = """
import qexp
def f(x, context: qexp.Context):
    for number in range(3):
        context.save(bytes(70_000_000), name="large")
        context.save({"number": number}, name="small", keep=True)
    assert len(context.load(name="large")) == 70_000_000
    if x:
        raise ValueError("no")
    assert context.load(name="absent") is None
"""
    made = study(source, {"x": [0, 1]})
    made.enqueue()
    made.wait()
    done, failed = made.shown()
    assert (done["status"], failed["error_message"]) == ("done", "no")
    query = "SELECT name, kind, size, url IS NULL FROM checkpoint WHERE experiment = %s ORDER BY name"
    assert rows(raw, query, done["id"]) == [("small", "json", 13, True)]
    assert rows(raw, query, failed["id"]) == [("large", "bytes", 70_000_000, False), ("small", "json", 13, True)]
    folder = site.home / "artifacts" / made.name
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert str(failed["id"]) in files[0].parts


def test_a_requeue_continues_from_checkpoints_unless_it_is_fresh(study, qexp_command, site):
    source = """
import qexp
def f(x, context: qexp.Context):
    found = context.load(name="small"), len(context.load(b"", name="large"))
    context.save(context.attempt, name="small")
    context.save(bytes(65_000_000), name="large")
    raise ValueError(f"found {found}")
"""
    made = study(source, {"x": 1})
    made.enqueue()
    made.wait()
    for options in ([], ["--fresh"]):
        done = qexp_command("requeue", made.name, "--failed", *options)
        assert done.returncode == 0, done.stderr
        made.wait()
    (row,) = made.shown()
    found = ["found (None, 0)", "found (1, 65000000)", "found (None, 0)"]
    assert [attempt["error_message"] for attempt in row["attempts"]] == found
    assert len([path for path in (site.home / "artifacts" / made.name).rglob("*") if path.is_file()]) == 1


def test_an_experiment_that_pauses_gives_its_reason_and_continues_after_a_resume(study, qexp_command):
    source = """
import qexp
def f(x, context: qexp.Context):
    if context.attempt == 1:
        context.save({"seen": x})
        return context.pause("the licence server is down")
    return context.load()
"""
    made = study(source, {"x": [1, 2]})
    made.enqueue()
    assert made.wait() == 1
    for row in made.listed():
        assert (row["status"], row["reason"]) == ("paused", "the licence server is down")
    done = qexp_command("resume", made.name)
    assert "2 resumed" in done.stdout
    assert made.wait() == 0
    assert [row["result"] for row in made.listed()] == [{"seen": 1}, {"seen": 2}]


def test_a_timeout_ends_any_attempt(study):
    source = """
import time
def f(how):
    if how == "sleeps":
        time.sleep(600)
    if how == "swallows":
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass
    if how == "cleans up":
        try:
            time.sleep(600)
        finally:
            print("cleaned up")
    return 1
"""
    made = study(source, {"how": ["sleeps", "swallows", "cleans up", "returns"]}, timeout="1s")
    made.enqueue()
    assert made.wait() == 1
    for row in made.shown():
        if row["params"]["how"] == "returns":
            assert row["status"] == "done"
            continue
        (attempt,) = row["attempts"]
        assert (row["failure"], attempt["error_type"]) == ("timeout", "Timeout")
        assert attempt["error_message"] == "it ran for longer than its timeout of 1 s"
        assert (attempt["exit_signal"] == "SIGKILL") == (row["params"]["how"] == "swallows")
        assert 1 <= attempt["duration"] < 3


def test_an_attempt_over_its_memory_is_a_crash_that_names_the_limit(study):
    source = "import time\ndef f(x):\n    data = bytearray(x)\n    time.sleep(600 if x > 1 else 0)\n    return 1\n"
    made = study(source, {"x": [1, 800_000_000]}, memory="600 MB")
    made.enqueue()
    assert made.wait() == 1
    done, failed = made.shown()
    assert done["status"] == "done"
    assert (failed["failure"], failed["error_type"]) == ("crashed", "MemoryLimit")
    assert "limit of 600 MB" in failed["error_message"]


def test_nothing_leaks_from_one_experiment_into_the_next(study, start_worker, queue):
    source = """
import logging, os, random
import numpy as np
def f(x):
    seen = {"cwd": os.getcwd(), "leak": os.environ.get("LEAK"), "handlers": len(logging.getLogger().handlers),
            "level": logging.getLogger().level, "random": random.random(), "numpy": np.random.random()}
    os.chdir("/")
    os.environ["LEAK"] = "yes"
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().setLevel("DEBUG")
    return seen
"""
    own = f"{queue}_one"
    start_worker("-Q", own, "-c", "1").await_ready()
    made = study(source, {"x": [1, 2, 3]}, queue=own)
    made.enqueue()
    assert made.wait() == 0
    first = [row["result"] for row in made.listed()]
    for name in ("cwd", "leak", "handlers", "level"):
        assert len({found[name] for found in first}) == 1, name
    assert len({found["random"] for found in first}) == 3
    # and a second attempt draws the same numbers
    assert first[0]["leak"] is None


def test_the_usage_of_an_attempt_is_recorded(study):
    source = """
import time
def f(x):
    data = bytearray(200_000_000)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
"""
    made = study(source, {"x": 1})
    made.enqueue()
    assert made.wait() == 0
    (attempt,) = made.shown()[0]["attempts"]
    assert attempt["cpu_seconds"] >= 0.3
    assert attempt["peak_memory"] >= 200_000_000


def test_a_result_over_8_mb_fails_and_the_rest_of_the_attempt_is_kept(study):
    source = """
import qexp
def f(x, context: qexp.Context):
    context.record(a=1)
    return {'text': 'x' * 9_000_000}
"""
    made = study(source, {"x": 1})
    made.enqueue()
    assert made.wait() == 1
    (row,) = made.shown()
    assert row["result"] == {"a": 1}
    assert "9.0 MB, expected at most 8 MB" in row["error_message"]
    assert "context.artifact" in row["error_message"]


STOPS = """
import pathlib, time
import qexp
def f(x, folder, context: qexp.Context):
    done = context.load({"rounds": 0})
    while context.attempt == 1:
        time.sleep(0.01)
        done["rounds"] += 1
        if context.stop_requested:
            context.save(done)
            return context.leave()
        pathlib.Path(folder, f"began-{x}-1").touch()  # it has asked, so it is worth telling
    return done
"""


@pytest.mark.parametrize("way", ["QUIT", "TERM to all of it"])
def test_a_function_may_save_and_stop_when_its_node_shuts_down(study, start_worker, queue, tmp_path, way):
    own = f"{queue}_{way.split()[0]}"
    first = start_worker("-Q", own, "-c", "2").await_ready()
    made = study(STOPS, {"x": [1, 2]}, settings={"folder": str(tmp_path)}, queue=own)
    made.enqueue()
    eventually(lambda: len(list(tmp_path.glob("began-*-1"))) == 2, "both to run")
    if way == "QUIT":
        first.process.send_signal(signal.SIGQUIT)
    else:
        signal_all(first.process.pid, signal.SIGTERM)
    eventually(lambda: first.process.poll() is not None, "the worker to stop")
    start_worker("-Q", own, "-c", "2").await_ready()
    assert made.wait() == 0
    for row in made.shown():
        assert [attempt["outcome"] for attempt in row["attempts"]] == ["released", "done"]
        assert row["result"]["rounds"] > 0


def test_an_isolated_experiment_has_the_whole_context(study, raw):
    source = """
import os, sys
import qexp
seen = []
def f(x, context: qexp.Context):
    seen.append(x)
    print("printed", x)
    context.metric(0, loss=x)
    context.record(part=1)
    context.save({"x": x})
    if x == 3:
        os.kill(os.getpid(), 9)
    if x == 4:
        raise ValueError("no")
    if x == 5:
        return context.pause("enough")
    return {"seen": seen, "pid": os.getpid(), "cwd": os.getcwd()}
"""
    made = study(source, {"x": [1, 2, 3, 4, 5]}, isolation="process")
    made.enqueue()
    assert made.wait() == 1
    one, two, killed, failed, paused = made.shown()
    assert [row["result"]["seen"] for row in (one, two)] == [[1], [2]]
    assert one["result"]["part"] == 1
    assert one["result"]["pid"] != one["attempts"][0]["pid"]
    assert (killed["failure"], killed["attempts"][0]["exit_signal"]) == ("crashed", "SIGKILL")
    assert (failed["failure"], failed["error_message"], failed["result"]) == ("error", "no", {"part": 1})
    assert (paused["status"], paused["reason"]) == ("paused", "enough")
    assert output(raw, one["id"]) == "printed 1\n"
    assert series(raw, two["id"]) == [(1, "loss", 0, 2.0)]
    names = rows(
        raw, "SELECT experiment FROM checkpoint JOIN experiment e ON e.id = experiment WHERE e.status = 'done'"
    )
    assert (one["id"],) not in names


def test_limits_apply_to_an_isolated_process(study):
    source = """
import time
def f(how):
    if how == "memory":
        data = bytearray(800_000_000)
    try:
        time.sleep(600)
    except BaseException:
        time.sleep(600 if how == "stubborn" else 0)
        raise
"""
    made = study(source, {"how": ["memory", "sleeps", "stubborn"]}, isolation="process", memory="600MB", timeout="3s")
    made.enqueue()
    assert made.wait() == 1
    memory, sleeps, stubborn = made.shown()
    assert (memory["failure"], memory["error_type"]) == ("crashed", "MemoryLimit")
    assert [row["failure"] for row in (sleeps, stubborn)] == ["timeout", "timeout"]
    assert (sleeps["attempts"][0]["exit_signal"], stubborn["attempts"][0]["exit_signal"]) == (None, "SIGKILL")


def test_another_process_may_record_data_until_the_experiment_ends(study, raw, client, tmp_path):
    source = """
import pathlib, time
import qexp
def f(x, folder, context: qexp.Context):
    context.metric(0, loss=1)
    pathlib.Path(folder, "began").touch()
    while not pathlib.Path(folder, "end").exists():
        time.sleep(0.01)
    return {"y": 1}
"""
    made = study(source, {"x": 1}, settings={"folder": str(tmp_path)})
    made.enqueue()
    eventually((tmp_path / "began").exists, "the experiment to run")
    (row,) = made.listed()
    late = qexp.attach(row["id"], client)
    with qexp.attach(row["id"], client) as context:
        context.metric(1, loss=0.5)
        context.record(seen=True)
        context.append("notes", {"text": "hello"})
    (tmp_path / "end").touch()
    assert made.wait() == 0
    assert made.listed()[0]["result"] == {"seen": True, "y": 1}
    assert [step for _, _, step, _ in series(raw, row["id"])] == [0, 1]
    late.metric(2, loss=0.1)
    with pytest.raises(qexp.QexpError, match="attempt 1 is over"):
        late.close()
    with pytest.raises(qexp.QexpError, match="is done, expected a running one"):
        qexp.attach(row["id"], client)


def test_an_edited_file_changes_nothing_until_the_next_enqueue_or_requeue(study, qexp_command, client):
    source = """
from helper import VALUE
def f(x):
    if x == 2 and VALUE == 1:
        raise ValueError("no")
    return VALUE
"""
    made = study(source, {"x": [1, 2]})
    (made.folder / "helper.py").write_text("VALUE = 1\n")
    (made.folder / ".env").write_text("SECRET=1\n")
    made.enqueue()
    (made.folder / "helper.py").write_text("VALUE = 2\n")
    assert made.wait() == 1
    assert [row["result"] for row in made.listed()] == [{"value": 1}, None]
    assert qexp_command("requeue", made.name, "--failed").returncode == 0
    assert made.wait() == 0
    one, two = made.shown()
    assert [row["result"] for row in (one, two)] == [{"value": 1}, {"value": 2}]
    first, second = two["attempts"]
    assert (first["revision"], second["revision"]) == (1, 2)
    assert one["attempts"][0]["source"] == first["source"] != second["source"]
    helper = ["--file", "helper.py"]
    assert qexp_command("source", two["id"], *helper).stdout == "VALUE = 2\n"
    assert qexp_command("source", two["id"], "--attempt", 1, *helper).stdout == "VALUE = 1\n"
    assert ".env" not in qexp_command("source", two["id"]).stderr
    assert str(made.folder / "experiment.py") in first["traceback"]


def test_workers_without_the_folders_run_two_studies_whose_modules_have_the_same_names(qexp_command, tmp_path, queue):
    names = [f"twin_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "helper.py").write_text(f"NAME = {name!r}\n")
        (folder / "experiment.py").write_text(
            "import pathlib, helper\n"
            "def f(x):\n"
            "    return {'name': helper.NAME, 'data': (pathlib.Path(__file__).parent / 'data.txt').read_text()}\n"
        )
        (folder / "data.txt").write_text(name)
        grid = {"study": name, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(6))}}
        (folder / "grid.yaml").write_text(json.dumps(grid))
    # Given folders that are deleted before a worker starts, and studies that alternate in its children
    for name in names:
        assert qexp_command("enqueue", tmp_path / name / "grid.yaml").returncode == 0
        shutil.rmtree(tmp_path / name)
    for name in names:
        assert qexp_command("wait", name, "--timeout", "120").returncode == 0
        assert qexp.load(name)[["name", "data"]].values.tolist() == [[name, name]] * 6


def test_commands_read_the_recorded_data(study, qexp_command, client, tmp_path):
    source = """
import qexp
def f(x, context: qexp.Context):
    print("hello", x)
    for step in range(50):
        context.metric(step, loss=x / (step + 1))
    context.append("found", {"cost": x, "where": [x]})
    context.artifact("plots/curve.txt", b"curve %d" % x)
    (context.workdir / "model.bin").write_bytes(b"model")
    context.artifact("model.bin", context.workdir / "model.bin")
"""
    made = study(source, {"x": [1, 2]})
    made.enqueue()
    assert made.wait() == 0
    one, two = made.listed()
    assert qexp_command("logs", one["id"]).stdout == "hello 1\n"
    assert qexp_command("logs", one["id"], "-f").stdout == "hello 1\n"
    shown = qexp_command("metrics", made.name).stdout
    assert "loss" in shown
    assert "█" in shown
    frame = qexp.metrics(made.name)
    assert list(frame.columns) == ["id", "attempt", "name", "step", "value", "at"]
    assert frame[frame["id"] == two["id"]]["value"].tolist() == [2 / (step + 1) for step in range(50)]
    found = qexp.Study(made.name).rows("found")
    assert found[["cost", "where"]].to_dict("list") == {"cost": [1, 2], "where": [[1], [2]]}
    listed = json.loads(qexp_command("artifacts", made.name, "--format", "json").stdout)
    assert [(item["experiment"], item["name"], item["size"]) for item in listed] == [
        (one["id"], "model.bin", 5),
        (one["id"], "plots/curve.txt", 7),
        (two["id"], "model.bin", 5),
        (two["id"], "plots/curve.txt", 7),
    ]
    done = qexp_command("artifacts", two["id"], "--get", "plots/curve.txt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / str(two["id"]) / "plots" / "curve.txt").read_bytes() == b"curve 2"


RESULTS = """
import dataclasses, datetime, math
import numpy as np, pandas as pd, pydantic
@dataclasses.dataclass
class Score:
    accuracy: np.float32
    at: datetime.datetime
class Model(pydantic.BaseModel):
    layers: list[int]
    loss: float
def f(x):
    return {
        "score": Score(np.float32(0.5), datetime.datetime(2026, 1, 2, 3, 4, 5)),
        "model": Model(layers=[1, 2], loss=math.inf),
        "array": np.arange(4).reshape(2, 2),
        "count": np.int64(3),
        "nan": float("nan"),
        "inf": -np.inf,
        "naive": datetime.datetime(2026, 1, 2, 3, 4, 5, 600),
        "aware": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "stamp": pd.Timestamp("2026-01-02 03:04"),
        "missing": pd.NA,
        "never": pd.NaT,
        "mean": pd.Series([1.0, 2.0]).mean(),
        "series": pd.Series([1, None], dtype="Int64"),
    }
"""


def test_results_are_returned_with_their_types(study):
    made = study(RESULTS, {"x": 1})
    made.enqueue()
    assert made.wait() == 0
    (row,) = made.shown()
    assert row["result"]["score"] == {"accuracy": 0.5, "at": "2026-01-02T03:04:05"}
    assert row["result"]["model"] == {"layers": [1, 2], "loss": "Infinity"}
    found = qexp.load(made.name).iloc[0]
    assert found["array"] == [[0, 1], [2, 3]] and found["series"] == [1, None]
    assert (found["count"], found["inf"], found["mean"]) == (3, -math.inf, 1.5)
    assert math.isnan(found["nan"])
    assert found["naive"] == pd.Timestamp("2026-01-02 03:04:05.000600")
    assert found["aware"] == pd.Timestamp("2026-01-02", tz="UTC")
    assert found["stamp"] == pd.Timestamp("2026-01-02 03:04")
    assert found[["missing", "never"]].isna().all()


HOSTILE = """
import math, os, time
import qexp
def f(kind, context: qexp.Context):
    context.record(fine=1)
    if kind == "forked":
        pid = os.fork()
        if pid == 0:
            try:
                context.metric(0, loss=1)
            except qexp.QexpError as error:
                print("refused:", error, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        return
    if kind == "reason":
        return context.pause("a\\0b")
    {"step": lambda: context.metric(2**63, v=1), "large": lambda: context.metric(0, v=10**400),
     "series": lambda: context.metric(0, **{"a\\0b": 1}), "list": lambda: context.append("a\\0b", {"x": 1}),
     "name": lambda: context.save(1, name="a\\ud800"), "steps": lambda: list(context.resumable(range(3), steps=0)),
    }[kind]()
"""


def test_data_that_cannot_be_stored_is_refused_at_the_call_and_the_rest_is_kept(study, raw):
    kinds = ["step", "large", "series", "list", "name", "steps", "forked", "reason"]
    made = study(HOSTILE, {"kind": kinds})
    made.enqueue()
    assert made.wait() == 1
    shown = {row["params"]["kind"]: row for row in made.shown()}
    for kind in kinds[:6]:
        assert shown[kind]["result"] == {"fine": 1}, kind
        assert shown[kind]["attempts"][0]["error_type"] == "qexp.errors.ContextError", kind
    assert shown["reason"]["reason"] == "a\\x00b"
    assert "use 'with qexp.attach(" in output(raw, shown["forked"]["id"])


def test_the_later_of_two_checkpoints_decides_which_records_count(study):
    source = """
import qexp
def f(x, context: qexp.Context):
    for n in context.resumable(range(3), steps=1, name="one"):
        context.record(phase="one", n=n)
    for n in context.resumable(range(3), steps=1, name="two"):
        context.record(phase="two", n=100 + n)
    if context.attempt == 1:
        with qexp.attach(context.id) as other:
            other.record(attached=True)
            other.save(1, name="other")
        context.save(2, name="last")
        raise RuntimeError
    context.load(name="last")
"""
    made = study(source, {"x": 1}, retries={"error": 1, "delay": "0.5s"})
    made.enqueue()
    assert made.wait() == 0
    (row,) = made.shown()
    assert row["result"] == {"phase": "two", "n": 102, "attached": True}


def test_a_process_that_is_left_running_does_not_block_the_child(study):
    source = """
import os, time
def f(x):
    if os.fork() == 0:
        os.setsid()
        time.sleep(100)
        os._exit(0)
    return b"x".decode() * 300_000
"""
    made = study(source, {"x": 1}, isolation="process", timeout="60s")
    made.enqueue()
    assert made.wait() == 0
    (row,) = made.shown()
    assert len(row["result"]["value"]) == 300_000


def test_the_duration_sums_all_attempts_that_contribute_to_the_result(study, raw, qexp_command):
    # Given three attempts: one saves and stops, one starts fresh and stops, one continues from the first
    source = """
import qexp
def f(x, context: qexp.Context):
    if context.attempt == 1:
        context.save({"seen": x})
    if context.attempt == 3:
        context.load()
    return context.leave() if context.attempt < 3 else {"y": 1}
"""
    made = study(source, {"x": [1]})
    made.enqueue()
    # When the experiment is done
    assert made.wait() == 0
    # Then its duration includes the first and last attempt, but not the one whose work is lost
    (row,) = made.shown()
    first, lost, last = (attempt["duration"] for attempt in row["attempts"])
    assert row["last_attempt"] == pytest.approx(last)
    assert row["duration"] == pytest.approx(first + last)
    assert lost > 0
    # And frames, views, conditions and pages agree
    import qexp

    (found,) = qexp.load(made.name).to_dict("records")
    assert (found["duration"], found["last_attempt"]) == (row["duration"], row["last_attempt"])
    seen = raw.execute(f"SELECT duration, last_attempt FROM study_{made.name}").fetchone()
    assert seen == (row["duration"], row["last_attempt"])
    assert len(qexp.load(made.name, where=f"duration >= {first + last - 1e-3} and last_attempt < {last + 1e-3}")) == 1
    assert "with the attempts whose checkpoints it used" in qexp_command("show", str(row["id"])).stdout
    # And a fresh requeue starts from zero
    assert qexp_command("requeue", made.name, "--status", "done", "--fresh").returncode == 0
    assert made.wait() == 0
    (row,) = made.listed()
    assert row["duration"] == row["last_attempt"]
