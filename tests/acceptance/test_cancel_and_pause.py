"""Cancel and pause first ask running experiments to stop, then end them, without a charge."""

import json
import re
import time

import pytest
from tests_support import eventually

SOURCE = """
import os, pathlib, time
import qexp
def f(kind, folder, context: qexp.Context):
    folder = pathlib.Path(folder)
    (folder / f"{kind}-{context.attempt}").write_text(str(os.getpid()))
    if context.attempt > 1 and (folder / "go").exists():
        return {"from": context.load()}
    try:
        for number in range(6000):
            time.sleep(0.1)
            if kind == "asks" and context.stop_requested:
                context.save(number)
                return context.leave()
    except BaseException as error:
        (folder / f"{kind}-left").write_text(type(error).__name__)
        if kind == "stubborn":
            time.sleep(600)
        raise
"""
KINDS = ["asks", "plain", "stubborn"]


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QEXP_HEARTBEAT", "0.5")
        return [start_worker("-Q", f"{queue}_control", "-c", "3").await_ready()]


@pytest.fixture
def running(study, queue, tmp_path, workers):
    """Three experiments that run until they are stopped: one cooperates, one ignores the request, one resists."""
    made = study(SOURCE, {"kind": KINDS}, settings={"folder": str(tmp_path)}, queue=f"{queue}_control")
    made.enqueue()
    eventually(lambda: len(list(tmp_path.glob("*-1"))) == 3, "all to run")
    return made


def lines_about(experiment, name, worker):
    """The lines of a worker's log that name an experiment, without their times."""
    found = re.findall(rf"^\S+ \S+ (.*\b{experiment}\b.*)$", worker.text(), re.MULTILINE)
    return [line for line in found if name in line or "experiment" in line]


def test_cancelled_experiments_end_even_if_they_resist(qexp, running, tmp_path, workers):
    done = qexp("cancel", running.name, "--reason", "wrong data")
    assert done.stdout.startswith("3 cancelled: ") and "3 were running; their workers stop them" in done.stderr
    assert {row["status"] for row in running.listed()} == {"cancelled"}
    eventually((tmp_path / "stubborn-left").exists, "the resisting one to get a signal")
    assert (tmp_path / "plain-left").read_text() == "AttemptLeft"
    # Then the log has one line about each, with its study
    ids = [row["id"] for row in running.listed()]
    eventually(lambda: all(lines_about(number, running.name, workers[0]) for number in ids), "lines about all")
    # And their children are free again
    (tmp_path / "go").touch()
    assert qexp("requeue", running.name, "--status", "cancelled").returncode == 0
    assert running.wait() == 0
    for number in ids:
        assert lines_about(number, running.name, workers[0]) == [f"{running.name} #{number} cancelled"]
    for row in running.shown():
        assert [attempt["outcome"] for attempt in row["attempts"]] == ["cancelled", "done"]
        assert row["attempts"][0]["error_message"] == "wrong data"


def test_a_paused_study_releases_its_experiments_and_continues_after_a_resume(qexp, running, tmp_path):
    assert qexp("pause", running.name, "--reason", "the disk is full").returncode == 0
    eventually(lambda: {row["status"] for row in running.listed()} == {"pending"}, "all to be released")
    assert "the disk is full" in qexp("status", running.name).stdout
    (tmp_path / "go").touch()
    done = qexp("resume", running.name)
    assert done.stdout == f"{running.name} is resumed\n"
    assert running.wait() == 0
    shown = {row["params"]["kind"]: row for row in running.shown()}
    for row in shown.values():
        assert [attempt["outcome"] for attempt in row["attempts"]] == ["released", "done"]
    assert json.dumps(shown["asks"]["result"]["from"]).isdigit(), "it saved before it stopped"
    assert shown["plain"]["result"] == {"from": None}


def test_a_worker_that_ends_when_idle_runs_all_experiments_and_exits(study, start_worker, queue, monkeypatch):
    own = f"{queue}_idle"
    made = study("def f(x): return x", {"x": [1, 2, 3]}, queue=own)
    made.enqueue()
    monkeypatch.setenv("QEXP_HEARTBEAT", "0.5")
    monkeypatch.setenv("QEXP_EXIT_WHEN_IDLE", "true")
    worker = start_worker("-Q", own, "-c", "2")
    eventually(lambda: worker.process.poll() is not None, "the worker to end")
    assert worker.process.returncode == 0, worker.text()
    assert {row["status"] for row in made.listed()} == {"done"}
    assert "there is nothing to do" in worker.text()


def test_experiments_longer_than_a_workers_lifetime_wait_for_another_worker(
    study, start_worker, queue, raw, monkeypatch
):
    # Given a study with experiments of an hour, and one with experiments of no time
    own = f"{queue}_lifetime"
    long = study("def f(x): return x", {"x": [1, 2]}, queue=own)
    long.enqueue()
    ids = [row["id"] for row in long.listed()]
    raw.execute(
        "UPDATE experiment SET status = 'done', result = '{}', started_at = now() - interval '1 h', "
        "finished_at = now() WHERE id = %s",
        [ids[0]],
    )
    # When a worker has a lifetime of ten minutes
    monkeypatch.setenv("QEXP_HEARTBEAT", "0.5")
    monkeypatch.setenv("QEXP_LIFETIME", "10m")
    first = start_worker("-Q", own, "-c", "1").await_ready()
    eventually(lambda: "no waiting experiment fits" in first.text(), "the worker to stop taking messages")
    assert long.listed()[1]["status"] in ("queued", "pending")
    # Then another worker without this limit runs them
    monkeypatch.delenv("QEXP_LIFETIME")
    start_worker("-Q", own, "-c", "1").await_ready()
    assert long.wait() == 0
    assert [len(row["attempts"]) for row in long.shown()] == [0, 1]


def test_experiments_that_run_at_the_end_of_a_workers_lifetime_are_released(
    study, start_worker, queue, monkeypatch, tmp_path
):
    own = f"{queue}_end"
    source = """
import pathlib, time
def f(x, folder):
    if (pathlib.Path(folder) / "go").exists():
        return x
    (pathlib.Path(folder) / "began").touch()
    time.sleep(600)
"""
    made = study(source, {"x": 1}, queue=own, settings={"folder": str(tmp_path)})
    made.enqueue()
    monkeypatch.setenv("QEXP_HEARTBEAT", "0.5")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(round(time.time() + 45)))
    worker = start_worker("-Q", own, "-c", "1")
    eventually((tmp_path / "began").exists, "the experiment to run")
    eventually(lambda: worker.process.poll() is not None, "the worker to end")
    assert "this worker is over" in worker.text()
    (tmp_path / "go").touch()
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    start_worker("-Q", own, "-c", "1").await_ready()
    assert made.wait() == 0
    (row,) = made.shown()
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["released", "done"]
