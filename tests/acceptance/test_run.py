"""`qexp run` runs one study, leaves the others alone, and ends at once after Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import uuid

import psutil
import pytest
from terminal import terminal
from tests_support import eventually

SOURCE = """
import pathlib, time
import qexp
def f(x, folder, wait=False, seed=0):
    folder = pathlib.Path(folder)
    if wait:
        (folder / f"began-{x}").touch()
        while not (folder / "go").exists():
            try:
                time.sleep(0.02)
            except BaseException:
                if wait != "stubborn":
                    raise
    return 2 * x

def fails_first(x, folder):
    mark = pathlib.Path(folder) / f"tried-{x}"
    if not mark.exists():
        mark.touch()
        raise ValueError("the first attempt fails")
    return x

def forgets(x, folder):
    2 * x

def records(x, folder, context: "qexp.Context"):
    context.metric("loss", x)

def fails(x, folder):
    if not (pathlib.Path(folder) / "mended").exists():
        raise ValueError("a bug")
    return x
"""


@pytest.fixture
def grid(tmp_path, queue, qexp):
    """Write grids of a folder, each with a study of its own on the module's queue; the studies end with the test."""
    (tmp_path / "experiment.py").write_text(SOURCE)
    made = []

    def grid(name, xs, settings=None, **keys):
        study = f"{name}_{uuid.uuid4().hex[:8]}"
        made.append(study)
        data = {"study": study, "function": "experiment:f", "queue": queue, "parameters": {"x": list(range(xs))}}
        data |= {"settings": {"folder": str(tmp_path), **(settings or {})}, **keys}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(data))
        return study

    yield grid
    for study in made:
        qexp("cancel", study, "-y")


@pytest.fixture
def statuses(qexp):
    def statuses(study):
        return [row["status"] for row in json.loads(qexp("list", study, "--format", "json").stdout)]

    return statuses


@pytest.fixture
def start(tmp_path):
    """Start a command that ends with the test."""
    started = []

    def start(*arguments):
        log = (tmp_path / "log").open("ab")
        line = [sys.executable, "-m", "qexp", *arguments]
        process = subprocess.Popen(line, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def workers_of(study):
    """Return the processes of the worker of a run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "qexp.celery" in line and study in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_a_run_runs_its_grid_first_and_says_what_else_waits(grid, qexp, statuses, tmp_path, queue):
    # Given experiments of two other studies, queued before
    others = [grid("a", 2), grid("b", 3)]
    for name in "ab":
        assert qexp("enqueue", f"{name}.yaml").returncode == 0
    # When a third study is run
    study = grid("c", 4)
    shown = terminal("qexp", "run", "c.yaml", "-c", "2", cwd=tmp_path)
    # Then it is done, and the others wait as before
    assert shown.status == 0, shown.text
    assert statuses(study) == ["done"] * 4
    assert [statuses(other) for other in others] == [["queued"] * 2, ["queued"] * 3]
    said = " ".join(shown.text.split())
    assert f"5 experiments of 2 other studies wait on queue {queue}; 'qexp worker -q {queue}' runs them" in said
    for name in "ab":
        assert qexp("run", f"{name}.yaml", "-c", "2").returncode == 0


def test_ctrl_c_stops_a_run_and_says_what_is_left_and_how_to_go_on(grid, qexp, statuses, tmp_path):
    # Given another study that waits, and a run with two experiments under way
    other, study = grid("a", 1), grid("c", 4, settings={"wait": True}, timeout="1h")
    assert qexp("enqueue", "a.yaml").returncode == 0
    # When a person presses Ctrl-C
    keys = [("2 running", "\x03")]
    shown = terminal("qexp", "run", "c.yaml", "-c", "2", "--set", "x=0,1,2", keys=keys, cwd=tmp_path)
    # Then the answer comes, and nothing is left running
    assert shown.status == 130, shown.text
    said = " ".join(shown.text.split())
    assert "keeps running" not in said
    assert "stopping: running experiments have 2 s to finish, then they are given back" in said
    assert f"{study}: 3 of 3 experiments are left; go on with 'qexp run c.yaml --set x=0,1,2 -c 2'" in said
    assert workers_of(study) == []
    assert statuses(study) == ["queued"] * 3
    assert statuses(other) == ["queued"]
    # And the named command goes on
    (tmp_path / "go").touch()
    assert qexp("run", "c.yaml", "--set", "x=0,1,2", "-c", "2").returncode == 0
    rows = json.loads(qexp("show", study, "--format", "json").stdout)
    assert [row["attempts"][-1]["outcome"] for row in rows] == ["done"] * 3
    assert qexp("run", "a.yaml").returncode == 0


@pytest.mark.parametrize("presses", [2, 3])
def test_a_second_or_third_ctrl_c_ends_a_run_although_its_function_does_not_stop(
    grid, statuses, tmp_path, qexp, brief, presses
):
    # Given a run of a function that ignores every request to stop
    study = grid("c", 2, settings={"wait": "stubborn"})
    # When a person presses Ctrl-C again and again
    keys = [("2 running", "\x03"), ("ends at once", "\x03" * (presses - 1))]
    shown = terminal("qexp", "run", "c.yaml", "-c", "2", keys=keys, cwd=tmp_path)
    # Then nothing is left running, and nothing is lost
    assert shown.status == 130
    assert "2 of 2 experiments are left" in " ".join(shown.text.split())
    assert workers_of(study) == []
    (tmp_path / "go").touch()
    assert qexp("run", "c.yaml", "-c", "2").returncode == 0
    assert statuses(study) == ["done"] * 2


def test_a_run_shares_its_study_with_a_worker_of_the_queue(grid, qexp, start_worker):
    queue = f"q_{uuid.uuid4().hex[:8]}"  # the worker would also take experiments of later tests
    study = grid("c", 40, queue=queue)
    start_worker("-Q", queue, "-c", "1").await_ready()
    assert qexp("run", "c.yaml", "-c", "1").returncode == 0
    rows = json.loads(qexp("show", study, "--format", "json").stdout)
    assert [len(row["attempts"]) for row in rows] == [1] * 40


def test_two_runs_of_one_grid_run_each_experiment_once(grid, qexp, start):
    study = grid("c", 40)
    first, second = start("run", "c.yaml", "-c", "1"), start("run", "c.yaml", "-c", "1")
    eventually(lambda: first.poll() == second.poll() == 0, "both runs to end")
    rows = json.loads(qexp("show", study, "--format", "json").stdout)
    assert [len(row["attempts"]) for row in rows] == [1] * 40


def test_a_run_makes_the_retries_of_its_study(grid, qexp):
    study = grid("c", 2, function="experiment:fails_first", retries={"error": 1, "delay": "0.1s"})
    assert qexp("run", "c.yaml", "-c", "1").returncode == 0
    rows = json.loads(qexp("show", study, "--format", "json").stdout)
    assert [[one["outcome"] for one in row["attempts"]] for row in rows] == [["error", "done"]] * 2


def test_a_run_of_a_paused_study_starts_no_worker_and_says_so(grid, qexp, tmp_path):
    study = grid("c", 2)
    assert qexp("enqueue", "c.yaml").returncode == 0
    assert qexp("pause", study).returncode == 0
    shown = terminal("qexp", "run", "c.yaml", columns=120, cwd=tmp_path)
    assert shown.status == 1
    assert f"qexp resume {study}" in " ".join(shown.text.split())


def test_the_worker_of_a_killed_run_finishes_its_experiments_and_ends(site, grid, statuses, start, tmp_path):
    # Given a run with two experiments under way and two that wait
    study = grid("c", 4, settings={"wait": True})
    run = start("run", "c.yaml", "-c", "2")
    eventually(lambda: len(list(tmp_path.glob("began-*"))) == 2, "two experiments to run")
    # When the run is killed
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    log = site.logs / f"worker-{run.pid}.log"
    eventually(lambda: "this worker stops" in log.read_text(), "the worker to notice")
    (tmp_path / "go").touch()
    # Then its worker ends by itself, after the two
    eventually(lambda: not workers_of(study), "the worker to end")
    assert sorted(statuses(study)) == ["done", "done", "queued", "queued"]


def test_an_experiment_of_a_run_is_explained_by_its_worker(grid, qexp, start, tmp_path):
    queue = f"q_{uuid.uuid4().hex[:8]}"
    # Given another study that waits on the same queue, and a run whose third experiment waits
    grid("before", 4, queue=queue)
    assert qexp("enqueue", "before.yaml").returncode == 0
    study = grid("c", 3, settings={"wait": True}, queue=queue)
    run = start("run", "c.yaml", "-c", "2")
    eventually(lambda: len(list(tmp_path.glob("began-*"))) == 2, "two experiments to run")
    # Then the third one is next, since the run's worker takes only its study
    last = json.loads(qexp("list", study, "--format", "json").stdout)[-1]["id"]
    explained = " ".join(qexp("explain", str(last)).stdout.split())
    assert "It is the next one in the queue, and all 2 children" in explained
    assert f"study:{study}" in qexp("workers").stdout
    assert f"{queue}: 4 experiments waiting, but no live worker" in " ".join(qexp("doctor").stdout.split())
    (tmp_path / "go").touch()
    eventually(lambda: run.poll() is not None, "the run to end")


def test_a_run_names_the_command_that_runs_earlier_failures_again(grid, qexp, statuses, tmp_path):
    # Given a run whose experiments failed, of which the grid has lost one since
    study = grid("c", 3, function="experiment:fails")
    assert qexp("run", "c.yaml", "-c", "1").returncode == 1
    # When the bug is mended and the grid is run again
    (tmp_path / "mended").touch()
    shown = terminal("qexp", "run", "c.yaml", "-c", "1", "--set", "x=1,2", cwd=tmp_path, columns=90)
    said = " ".join(shown.text.split())
    # Then the run says that the failures stay, and how to run them again: by a command on one line
    command = f"qexp requeue {study} --failed --current && qexp run c.yaml --set x=1,2 -c 1"
    assert shown.status == 1
    assert f"2 experiments failed before; '{command}' runs them again with this code" in said
    assert f"\n'{command}'" in shown.text
    assert f"1 experiment is no longer in the grid; 'qexp list {study} --current' leaves it out" in said
    # And this command does so
    first, second = command.split(" && ")
    requeued = qexp(*first.split()[1:])
    assert requeued.returncode == 0
    assert "no worker takes them; start one with 'celery -A qexp worker -Q" in requeued.stderr
    done = qexp(*second.split()[1:])
    assert done.returncode == 0, done.stderr
    assert "failed before" not in done.stderr
    assert statuses(study) == ["failed", "done", "done"]


def test_a_run_counts_and_shows_only_the_experiments_of_its_grid(grid, qexp, statuses, tmp_path):
    # Given a study with results, of which a changed grid keeps two
    study = grid("c", 4)
    assert qexp("run", "c.yaml", "-c", "1").returncode == 0
    # When the changed grid is run
    shown = terminal("qexp", "run", "c.yaml", "-c", "1", "--set", "x=2,3,7", cwd=tmp_path)
    said = " ".join(shown.text.split())
    # Then the notice, the bar, the table and the last line are those of the grid
    assert f"2 experiments are no longer in the grid; 'qexp list {study} --current' leaves them out" in said
    assert f"{study}: 3 experiments, 1 new, 2 already there" in said
    assert "3/3 100%" in said
    assert "/5" not in said
    assert f"{study}: 3 done" in said
    found = json.loads(qexp("run", "c.yaml", "--set", "x=2,3,7", "--format", "json").stdout)
    assert (found["total"], [row["params"]["x"] for row in found["experiments"]]) == (3, [2, 3, 7])
    assert statuses(study) == ["done"] * 5


def test_a_run_of_a_grid_says_which_orphans_run_too(grid, qexp, statuses, tmp_path):
    study = grid("c", 3)
    assert qexp("enqueue", "c.yaml").returncode == 0
    shown = terminal("qexp", "run", "c.yaml", "-c", "1", "--set", "x=1,2", cwd=tmp_path)
    said = " ".join(shown.text.split())
    assert f"1 experiment is no longer in the grid, and has not finished; 'qexp cancel {study} --orphaned'" in said
    assert f"{study}: 2 done" in said
    assert statuses(study) == ["done"] * 3


@pytest.mark.parametrize("command", ["enqueue", "run"])
def test_an_interrupt_during_an_enqueue_says_that_nothing_was_enqueued(grid, qexp, tmp_path, command):
    study = grid("c", 1)
    keys = [("written", "\x03")]
    shown = terminal("qexp", command, "c.yaml", "--set", "seeds=2000000", "--set", "x=3", keys=keys, cwd=tmp_path)
    assert shown.status == 130
    go_on = "; go on with 'qexp run c.yaml --set seeds=2000000 --set x=3'" if command == "run" else ""
    assert f"qexp: interrupted; nothing was enqueued{go_on}" in " ".join(shown.text.split())
    assert f"no study is named '{study}'" in qexp("status", study).stderr


def test_a_function_that_returns_nothing_is_noted(grid, qexp, tmp_path):
    # Given a study whose function returns nothing, and one whose function records a series
    study, other = grid("c", 2, function="experiment:forgets"), grid("d", 2, function="experiment:records")
    note = f"the done experiments of {study} have no results; let the function return them"
    # When the first is run, awaited and listed, then each time a note says so
    shown = terminal("qexp", "run", "c.yaml", "-c", "1", cwd=tmp_path)
    assert note in " ".join(shown.text.split())
    assert note in qexp("wait", study).stderr
    assert note in qexp("list", study).stderr
    assert note not in qexp("list", study, "--format", "json").stderr
    # And the other one needs none
    assert "no results" not in qexp("run", "d.yaml", "-c", "1").stderr
    assert "no results" not in qexp("list", other).stderr
