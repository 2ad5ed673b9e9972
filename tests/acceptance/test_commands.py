"""The command line: output, exit statuses, bad input."""

import json
import re
import socket
import subprocess
import sys
import uuid

import pandas as pd
import pytest
from terminal import terminal
from tests_support import eventually

import qexp as qexp_module

SQUARES = """
def f(x: int):
    if x == 3:
        raise ValueError("three")
    return {"y": x * x, "half": x / 2, "tiny": x * 1.23456789012345e-13}
"""


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


def one_line(done, status):
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_an_enqueue_reports_new_experiments_and_the_second_one_reports_none(study):
    made = study(SQUARES, {"x": [1, 2, 3]})
    assert made.enqueue() == f"{made.name}: 3 experiments, 3 new, 0 already there\n"
    assert made.enqueue() == f"{made.name}: 3 experiments, 0 new, 3 already there\n"


def test_a_dry_run_needs_no_service_and_shows_the_ends(qexp, study, tmp_path):
    made = study(SQUARES, {"x": [1, 2, 3]})
    done = qexp("enqueue", "grid.yaml", "--dry-run", environ={"QEXP_HOME": str(tmp_path / "nothing")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{made.name}: 3 experiments (dry run, nothing written)"
    assert re.search(r"first: +x=1\n +last: +x=3", done.stdout)


def test_an_enqueue_says_how_many_experiments_ran_with_another_order_of_keys(qexp, study, worker):
    # Given two finished experiments
    source = "def f(steps): return {'first': next(iter(steps))}"
    made = study(source, {"steps": {"values": [{"b": 1, "a": 1}, {"c": 1}]}})
    made.enqueue()
    assert made.wait() == 0
    # When the grid has one of their mappings in another order
    done = qexp("enqueue", "grid.yaml", "--set", "steps={values: [{a: 1, b: 1}, {c: 1}]}")
    # Then the enqueue names it, and neither runs again
    assert done.stdout == f"{made.name}: 2 experiments, 0 new, 2 already there\n"
    assert done.stderr == (
        "warning: 1 experiment has run with another order of keys or kind of number (1e22 is no integer) than the grid "
        "has now, and will not run again; if the order matters, write a list of pairs: [[scale, std], [pca, 5]]\n"
    )
    assert [row["result"] for row in made.listed()] == [{"first": "b"}, {"first": "c"}]


def test_a_dry_run_says_under_which_condition_a_parameter_exists(qexp, study):
    when = [{"if": {"x": [1, 2], "deep": "yes"}, "parameters": {"y": [5, 6]}}]
    study("def f(x, deep: bool, y=0): ...", {"x": [1, 2, 3], "deep": ["yes", "no"]}, when=when)
    assert re.search(r"^  y +5, 6  \(if x=1\|2, deep=true\)$", qexp("enqueue", "grid.yaml", "--dry-run").stdout, re.M)


def test_a_dry_run_names_the_limits_of_each_attempt(qexp, study):
    study(SQUARES, {"x": [1, 2, 3]}, timeout="1-12:00:00", memory="4GiB", retries={"lost": 0, "delay": "90s"})
    assert (
        "  each attempt: timeout 1 d 12 h, memory 4.29 GB; retries: 1 after crashed, 100 after released, "
        "the first in 1 min 30 s\n"
    ) in qexp("enqueue", "grid.yaml", "--dry-run").stdout
    found = json.loads(qexp("enqueue", "grid.yaml", "--dry-run", "--format", "json").stdout)
    assert (found["timeout"], found["memory"], found["retries"]["delay"]) == (129_600, 2**32, 90)


def test_a_dry_run_lists_each_axis_and_the_expected_duration(qexp, study, worker):
    made = study(SQUARES, {"x": {"range": [10, 30]}})
    text = qexp("enqueue", "grid.yaml", "--dry-run").stdout
    assert re.search(r"^  x  10, 11, 12, 13, …, 29  \(20 values\)$", text, re.MULTILINE)
    assert "of work in all" not in text
    # When all of it is done, then a dry run says that nothing would run
    made.enqueue()
    made.wait()
    shown = qexp("enqueue", "grid.yaml", "--dry-run").stdout
    assert shown.startswith(f"{made.name}: 20 experiments, 0 new, 20 already there (dry run, nothing written)\n")
    assert shown.endswith("  already there: 20 done\n  nothing would run\n")
    # And of a larger grid, it expects the work of the new experiments only
    shown = qexp("enqueue", "grid.yaml", "--dry-run", "--set", "x=10,11,40").stdout
    assert shown.startswith(f"{made.name}: 3 experiments, 1 new, 2 already there (dry run, nothing written)\n")
    assert "of work in all" in shown
    found = json.loads(qexp("enqueue", "grid.yaml", "--dry-run", "--set", "x=10,11,40", "--format", "json").stdout)
    assert (found["total"], found["new"], found["already_there"]) == (3, 1, {"done": 2})
    each = json.loads(qexp("enqueue", "grid.yaml", "--dry-run", "--set", "x=50", "--format", "json").stdout)
    assert found["estimated_seconds"] == each["estimated_seconds"] > 0


def test_a_dry_run_shows_line_feeds_and_tabs_as_qexp_list_does(qexp, study):
    made = study("def f(x): return 1", {"x": ["a\nb", "a\tb"]}, queue="nobody")
    shown = qexp("enqueue", "grid.yaml", "--dry-run").stdout.splitlines()
    assert shown[1:4] == [r"  x  a\nb, a\tb", r"  first: x=a\nb", r"  last:  x=a\tb"]
    made.enqueue()
    listed = qexp("list", made.name).stdout
    assert r"a\nb" in listed
    assert r"a\tb" in listed


def test_a_dry_run_keeps_long_values_distinct_and_its_lines_within_the_terminal(study, tmp_path):
    paths = [f"/data/models/resnet50/checkpoint_epoch_0{number}.pt" for number in (10, 20)]
    study("def f(path, kind, more): return 1", {"path": paths, "kind": "a" * 30, "more": ["word " * 12, "no"]})
    shown = terminal("qexp", "enqueue", "grid.yaml", "--dry-run", columns=80, cwd=tmp_path).text
    assert "…checkpoint_epoch_010.pt, …checkpoint_epoch_020.pt" in shown
    mixed = json.dumps([*paths, "a text that is as long as these paths"])
    more = terminal("qexp", "enqueue", "grid.yaml", "--dry-run", "--set", f"path={mixed[1:-1]}", cwd=tmp_path).text
    assert "/data/models…poch_010.pt, /data/models…poch_020.pt, a text" in " ".join(more.split())
    assert f"  last:  path={paths[1]}\n         kind=" in shown


def test_an_enqueue_says_whether_workers_take_its_experiments(qexp, study, start_worker):
    # Given a queue without a worker
    queue = f"q_{uuid.uuid4().hex[:8]}"
    made = study(SQUARES, {"x": [1, 2]}, queue=queue)
    # When a grid is enqueued, then it names the command of a worker
    said = qexp("enqueue", "grid.yaml").stderr
    command = f"watch them with 'qexp status {made.name} --watch'"
    assert said == f"2 queued; run them with 'celery -A qexp worker -Q {queue}', {command}\n"
    # When a worker runs, then no command is needed
    start_worker("-Q", queue, "-c", "1").await_ready()
    said = qexp("enqueue", "grid.yaml", "--set", "x=1,2,3").stderr
    assert "1 queued; 1 worker takes it, watch it with" in said
    made.wait()
    assert "no worker" not in qexp("requeue", made.name, "--status", "done").stderr
    # When the study is paused, then it is named as the reason
    qexp("pause", made.name)
    said = qexp("enqueue", "grid.yaml", "--set", "x=1,2,3,4").stderr
    assert said.endswith(f"1 is pending, as {made.name} is paused; 'qexp resume {made.name}' queues it\n")


def test_a_grid_is_changed_from_the_command_line_and_omitted_experiments_are_cancelled(qexp, study, tmp_path):
    made = study(SQUARES, {"x": [1, 2]}, queue="nobody")
    made.enqueue()
    before = qexp("status", made.name).stdout
    done = qexp("diff", "grid.yaml", "--set", "x=2,5,6")
    assert done.stdout.splitlines() == [
        f"{made.name}: 2 new, 1 kept, 1 no longer in the grid",
        "  parameters.x: [1, 2] -> [2, 5, 6]",
    ]
    assert done.stderr == (
        "once this grid is enqueued, 1 experiment is no longer in the grid, and has not finished; "
        f"'qexp cancel {made.name} --orphaned' cancels it\n"
    )
    assert qexp("status", made.name).stdout == before
    done = qexp("enqueue", "grid.yaml", "--set", "x=2,5,6")
    assert done.stdout == f"{made.name}: 3 experiments, 2 new, 1 already there\n"
    hint = re.search(r"'qexp (cancel .* --orphaned)'", done.stderr)[1]
    assert qexp(*hint.split()).stdout.startswith("1 cancelled: ")
    assert [row["status"] for row in made.listed()] == ["cancelled", "queued", "queued", "queued"]


def test_omitted_files_of_a_snapshot_and_likely_secrets_in_it_are_named(qexp, study, tmp_path):
    made = study(SQUARES, {"x": [1]}, queue="nobody")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "secrets.yaml").write_text("a: 1")
    (tmp_path / "config.ini").write_text("password = hunter2hunter2")
    expected = [
        f"warning: link: left out of the snapshot, as it is a link out of the folder, to {outside}",
        "warning: secrets.yaml: left out of the snapshot, as its name is one of secrets",
        "warning: config.ini, line 1, 'password': looks like a secret, and the snapshot has it",
    ]
    for arguments in (["--dry-run"], []):
        done = qexp("enqueue", "grid.yaml", *arguments)
        assert done.returncode == 0, done.stderr
        said = [line.partition(";")[0] for line in done.stderr.splitlines() if line.startswith("warning")]
        assert said == expected
        assert "hunter2" not in done.stderr
    assert len(json.loads(qexp("enqueue", "grid.yaml", "--format", "json").stdout)["warnings"]) == 3
    assert qexp("source", made.listed()[0]["id"], "--file", "link").returncode == 2


def test_the_schema_of_grids_is_printed(qexp):
    assert json.loads(qexp("grid", "schema").stdout)["title"] == "qexp grid"


def test_a_function_takes_nested_and_typed_parameters(qexp, study, worker):
    source = """
import dataclasses, datetime, enum, pathlib
from pydantic import BaseModel

class Kind(enum.Enum):
    ONE = "one"

@dataclasses.dataclass
class Model:
    name: str
    layers: list[int]

class Data(BaseModel):
    path: pathlib.Path
    since: datetime.datetime
    limit: int | None = None

def f(model: Model, data: Data, kind: Kind, flag: bool, maybe: float | None):
    assert isinstance(model, Model) and isinstance(data, Data) and kind is Kind.ONE
    found = {"suffix": data.path.suffix, "year": data.since.year}
    return {"total": sum(model.layers), **found, "flag": flag, "maybe": maybe}
"""
    values = {
        "model": {"values": [{"name": "m", "layers": [1, 2]}]},
        "data": {"values": [{"path": "a/b.csv", "since": "2026-01-02T00:00:00"}]},
        "kind": "one",
        "flag": True,
        "maybe": [None, 1],
    }
    made = study(source, values)
    made.enqueue()
    assert made.wait() == 0
    assert [row["result"] for row in made.listed()] == [
        {"total": 3, "suffix": ".csv", "year": 2026, "flag": True, "maybe": None},
        {"total": 3, "suffix": ".csv", "year": 2026, "flag": True, "maybe": 1.0},
    ]


def test_dotted_and_odd_names_reach_the_function_and_the_same_grid_adds_nothing(qexp, study, worker):
    source = """
import dataclasses, typing, uuid

@dataclasses.dataclass
class Optimizer:
    name: str
    lr: float
    tags: set[str] = dataclasses.field(default_factory=set)
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)

def f(optimizer: Optimizer, folds: typing.Iterable[int], **params):
    assert sum(folds) == sum(folds) == 3
    got = [optimizer.name, optimizer.lr, sorted(optimizer.tags)]
    return {"got": got, "rest": [params["learning-rate"], params["net"]]}
"""
    words = ["alpha", "beta", "gamma"]
    made = study(
        source,
        {
            "optimizer": {"values": [{"name": "sgd", "tags": words}, {"name": "adam"}]},
            "optimizer.lr": ["0.1", 1],
            "folds": {"values": [["1", 2]]},
            "learning-rate": [5],
            "net.encoder.depth": [3],
        },
        exclude=[{"optimizer.name": "adam", "optimizer.lr": "1"}],
    )
    assert made.enqueue() == f"{made.name}: 3 experiments, 3 new, 0 already there\n"
    assert made.enqueue() == f"{made.name}: 3 experiments, 0 new, 3 already there\n"
    assert made.wait() == 0
    assert [row["result"]["got"] for row in made.listed()] == [
        ["sgd", 0.1, words],
        ["sgd", 1.0, words],
        ["adam", 0.1, []],
    ]
    assert {str(row["result"]["rest"]) for row in made.listed()} == {"[5, {'encoder': {'depth': 3}}]"}
    assert made.listed()[0]["params"]["optimizer.lr"] == 0.1


def test_rules_and_conditions_warn_as_they_are_converted(qexp, study):
    source = "def f(augment: bool, angle: int = 0): ..."
    when = [{"if": {"augment": word}, "parameters": {"angle": ["1"]}} for word in ("true", "maybe")]
    made = study(source, {"augment": ["yes", "no"]}, when=when, exclude=[{"augment": "on", "angle": 2}], queue="nobody")
    for options in (["--dry-run"], []):
        said = qexp("enqueue", "grid.yaml", *options).stderr
        assert [line.partition("line 1: ")[2] for line in said.splitlines() if line.startswith("warning")] == [
            "this rule of 'exclude' matches nothing",
            "this condition of 'when' never holds: none of these parameters is given",
        ], said
    assert len(made.listed()) == 2


def test_the_life_of_a_study(qexp, study, worker, tmp_path):
    made = study(SQUARES, {"x": [1, 2, 3, 4]})
    made.enqueue()
    done = qexp("wait", made.name)
    assert (done.returncode, done.stdout) == (1, f"{made.name}: 3 done, 1 failed; see 'qexp errors {made.name}'\n")

    (counts,) = json.loads(qexp("status", made.name, "--format", "json").stdout)
    assert (counts["total"], counts["done"], counts["failed"], counts["running"]) == (4, 3, 1, 0)
    assert "failed" in qexp("status").stdout

    (group,) = json.loads(qexp("errors", made.name, "--format", "json").stdout)
    assert (group["count"], group["error_message"], group["error_frame"]) == (1, "three", "experiment.py:4 in f")
    text = qexp("errors", made.name).stdout
    again = re.search(r"qexp requeue \S+ --error [0-9a-f]{6}", text)[0]

    shown = qexp("show", group["ids"]).stdout
    assert "ValueError: three" in shown
    assert "attempt 1: error" in shown

    done = qexp(*again.split()[1:])
    assert (done.returncode, done.stdout) == (0, f"1 requeued: {group['ids']}\n")
    assert qexp("wait", made.name).returncode == 1
    assert [len(row["attempts"]) for row in made.shown()] == [1, 1, 2, 1]

    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet), (".json", pd.read_json)):
        done = qexp("export", made.name, "-o", f"results{suffix}")
        assert done.returncode == 0, done.stderr
        frame = read(tmp_path / f"results{suffix}")
        assert frame["tiny"].tolist()[:2] == [1.23456789012345e-13, 2.4691357802469e-13]
        assert frame["y"].tolist()[:2] == [1, 4]
        assert frame["half"].tolist()[3] == 2.0
        assert frame["status"].tolist() == ["done", "done", "failed", "done"]
        assert frame["error"].tolist()[2] == "ValueError: three"
        assert {"x", "attempt", "host", "started_at", "duration"} <= set(frame.columns)
    done = qexp("export", made.name, "-o", "-")
    assert (done.stdout, done.stderr) == ((tmp_path / "results.csv").read_text(), "")
    assert qexp("export", made.name, "--failed", "-o", "failed.csv").returncode == 0
    assert len(pd.read_csv(tmp_path / "failed.csv")) == 1


def test_a_grid_in_a_folder_of_its_own_names_the_folder_of_its_code(qexp, study, worker, tmp_path):
    # Given code in one folder and a grid in a folder below it
    made = study("import helper\ndef f(x): return helper.double(x)", {"x": [1, 2]}, folder="..")
    (tmp_path / "helper.py").write_text("def double(x): return 2 * x\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "grid.yaml").rename(tmp_path / "configs" / "grid.yaml")
    # When it is enqueued from a third folder
    assert qexp("enqueue", "configs/grid.yaml").returncode == 0
    assert made.wait() == 0
    # Then its snapshot has the code, and only the code has changed since
    assert [row["result"] for row in made.listed()] == [{"value": 2}, {"value": 4}]
    (tmp_path / "helper.py").write_text("def double(x): return 3 * x\n")
    (change,) = json.loads(qexp("diff", "configs/grid.yaml", "--format", "json").stdout)["changes"]
    assert change == "code"
    # And an enqueue and a requeue find the new code in the folder that the grid names
    debugged = qexp("debug", made.listed()[0]["id"], "--live")
    assert '"value": 3' in debugged.stdout, debugged.stderr
    assert qexp("requeue", made.name, "--status", "done", "-y").returncode == 0
    assert made.wait() == 0
    assert [row["result"] for row in made.listed()] == [{"value": 3}, {"value": 6}]


def test_a_study_of_one_experiment_without_parameters(qexp, study, worker, tmp_path):
    made = study("def f(x=3): return {'y': x}", {})
    assert qexp("enqueue", "grid.yaml", "--dry-run").stdout.splitlines()[:2] == [
        f"{made.name}: 1 experiment (dry run, nothing written)",
        "  without parameters",
    ]
    assert made.enqueue() == f"{made.name}: 1 experiment, 1 new, 0 already there\n"
    assert made.wait() == 0
    assert made.enqueue() == f"{made.name}: 1 experiment, 0 new, 1 already there\n"
    (row,) = made.listed()
    assert (row["params"], row["result"], made.shown()[0]["status"]) == ({}, {"y": 3}, "done")
    for command in (["list", made.name], ["show", row["id"]], ["status", made.name], ["diff", "grid.yaml"]):
        done = qexp(*command)
        assert done.returncode == 0, done.stderr
    done = qexp("export", made.name, "-o", "out.csv")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text().startswith("id,y,status,")
    assert qexp("requeue", made.name, "--status", "done", "--where", "y = 3", "-y").returncode == 0
    assert made.wait() == 0
    assert qexp_module.load(made.name)["y"].tolist() == [3]
    assert qexp_module.Study(made.name).add([]) == 0


def test_text_that_is_likely_a_slip_warns_once_in_every_command_that_checks_a_grid(qexp, study):
    study("def f(x, y: str): return 1", {"x": 1, "y": 1}, queue="nobody")
    said = "warning: --set x=None: parameter 'x': 'None' is text here; write null, or quote it if it is meant as text\n"
    for more in (["--dry-run"], []):
        done = qexp("enqueue", "grid.yaml", "--set", "x=None", "--set", "y=None", *more)
        assert done.returncode == 0
        assert done.stderr.count("warning:") == 1
        assert said in done.stderr


def test_more_than_ten_are_asked_about_and_y_skips_the_question(qexp, study, worker):
    made = study(SQUARES, {"x": list(range(10, 22))})
    made.enqueue()
    assert made.wait() == 0
    assert "run 12 experiments again? Add -y" in one_line(qexp("requeue", made.name, "--status", "done"), 2)
    assert [row["attempt"] for row in made.listed()] == [1] * 12
    assert qexp("requeue", made.name, "--status", "done", "-y").stdout.startswith("12 requeued: ")


def test_experiments_are_chosen_by_a_condition_a_time_and_a_host(qexp, study, worker, tmp_path):
    made = study(SQUARES, {"x": list(range(1, 25))})
    made.enqueue()
    assert made.wait() == 1
    condition = "y >= 16 and half < 12 or x = 3"
    listed = json.loads(qexp("list", made.name, "--where", condition, "--since", "6 hours", "--format", "json").stdout)
    assert [row["params"]["x"] for row in listed] == list(range(3, 24))
    # the question counts the chosen experiments
    done = qexp("requeue", made.name, "--where", condition, "--status", "done")
    assert "run 20 experiments again? Add -y" in one_line(done, 2)
    assert f"again   qexp requeue {listed[0]['id']} --error" in qexp("errors", made.name, "--where", "x < 9").stdout
    assert f"again   qexp requeue {made.name} --error" in qexp("errors", made.name, "--failed").stdout
    host = listed[0]["host"]
    assert qexp("requeue", made.name, "--failed", "--where", "x = 3", "--host", host[:2] + "*").stdout.startswith(
        "1 req"
    )
    assert qexp("requeue", made.name, "--host", "elsewhere").stdout == "0 requeued\n"
    assert qexp("export", made.name, "--where", "x between 5 and 7", "-o", "some.csv").returncode == 0
    assert pd.read_csv(tmp_path / "some.csv")["y"].tolist() == [25, 36, 49]
    line = one_line(qexp("list", made.name, "--where", "x > 1 and haf > 2"), 2)
    assert line == "qexp: --where, column 11: there is no parameter or result 'haf' (did you mean 'half'?)\n"


def test_a_table_is_cut_to_the_screen_and_not_cut_in_a_pipe(qexp, study):
    made = study("def f(text): ...", {"text": ["long " * 40]})
    made.enqueue()
    assert "long " * 40 in qexp("list", made.name).stdout


LARGE = "99999999999999999999"
UNREACHABLE = "postgresql://me:hidden@127.0.0.1:1/lab"


@pytest.mark.parametrize(
    ("arguments", "environ", "status", "words"),
    [
        (["enqueue", "none.yaml"], {}, 2, ["none.yaml", "no such file"]),
        (["enqueue", "bad.yaml"], {}, 2, ["bad.yaml, line 2", "not YAML"]),
        (["enqueue", "latin.yaml"], {}, 2, ["latin.yaml, line 2", "not UTF-8"]),
        (["enqueue", "list.yaml"], {}, 2, ["list.yaml, line 1", "expected a mapping"]),
        (["enqueue", "typo.yaml"], {}, 2, ["typo.yaml, line 3", "did you mean 'parameters'"]),
        (["enqueue", "."], {}, 2, ["is a directory"]),
        (["status", "nowhere_at_all"], {}, 2, ["no study is named 'nowhere_at_all'"]),
        (["show", "99999999"], {}, 2, ["no experiment has the id 99999999"]),
        (["requeue", "99999999"], {}, 2, ["no experiment has the id 99999999"]),
        (["show", LARGE], {}, 2, [f"found the id {LARGE}, expected one of at most 9223372036854775807"]),
        (["show", "9" * 5_000], {}, 2, ["found the id 999999", "expected one of at most 9223372036854775807"]),
        (["explain", LARGE], {}, 2, [LARGE, "the id of an experiment"]),
        (["logs", LARGE], {}, 2, [LARGE, "the id of an experiment"]),
        (["source", "1", "--attempt", LARGE], {}, 2, [LARGE, "the number of an attempt"]),
        (["worker", "-c", LARGE], {}, 2, [LARGE, "a whole number from 1 to 10000"]),
        (["enqueue", "huge.yaml"], {}, 2, ["huge.yaml, line 1: the grid has 1,000,000,000,000,000,000 experiments"]),
        (["enqueue", "huge.yaml", "--dry-run"], {}, 2, ["1,000,000,000,000,000,000", "at most 100,000,000"]),
        (["requeue", "1-"], {}, 2, ["expected a study's name or ids"]),
        (["list", "x", "--where", "lr > 0.1 dataset"], {}, 2, ["--where, column 10: found dataset, expected and, or"]),
        (["list", "x", "--since", "yesterday"], {}, 2, ["--since: found 'yesterday', expected a time span"]),
        (["show"], {}, 2, ["missing argument"]),
        (["statsu"], {}, 2, ["did you mean 'status'"]),
        (["export", "x"], {}, 2, ["expected a file to write, such as -o results.csv"]),
        (["export", "x", "-o", "missing/file.csv"], {}, 2, ["missing", "mkdir -p"]),
        (["export", "x", "-o", "file.xlsx"], {}, 2, [".csv, .parquet, .json"]),
        (["status"], {"QEXP_DATABASE_URL": UNREACHABLE}, 3, ["cannot reach Postgres at 127.0.0.1:1", "'qexp up'"]),
        (["enqueue", "good.yaml"], {"QEXP_BROKER_URL": "redis://:hidden@127.0.0.1:1/0"}, 3, ["broker", "'qexp up'"]),
        (["worker"], {"QEXP_DATABASE_URL": UNREACHABLE}, 3, ["cannot reach Postgres", "'qexp up'"]),
        (
            ["status"],
            {"QEXP_HOME": "/nonexistent/home"},
            3,
            ["no services are running: start them with 'qexp up', or set QEXP_DATABASE_URL"],
        ),
        (["status"], {"QEXP_DATABASE_URL": "sqlite:///x"}, 2, ["QEXP_DATABASE_URL", "postgresql://"]),
        (["config"], {"QEXP_HOEM": "x"}, 2, ["did you mean 'QEXP_HOME'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_clear_line(qexp, tmp_path, arguments, environ, status, words):
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "latin.yaml").write_bytes(b"study: a\nfunction: \xe9:f\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "typo.yaml").write_text("study: a\nfunction: m:f\nparamters: {a: 1}\n")
    axes = ", ".join(f"{name}: {{range: [1000]}}" for name in "abcdef")
    (tmp_path / "huge.yaml").write_text(f"study: never\nfunction: experiment:f\nparameters: {{{axes}}}\n")
    (tmp_path / "good.yaml").write_text("study: never\nfunction: experiment:f\nparameters: {a: 1}\n")
    (tmp_path / "experiment.py").write_text("def f(a): ...\n")
    done = qexp(*arguments, environ=environ)
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == status, done.stderr
    assert line.startswith("qexp: ")
    assert all(word in line for word in words), line
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr + done.stdout
    assert "never" not in qexp("status").stdout


def test_a_postgres_that_does_not_answer_is_given_up(qexp):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://me:hidden@127.0.0.1:{silent.getsockname()[1]}/lab"
        line = one_line(qexp("status", environ={"QEXP_DATABASE_URL": url, "QEXP_CONNECT_TIMEOUT": "2"}), 3)
    assert "no answer within 2 s" in line
    assert "hidden" not in line


def test_a_redis_that_does_not_answer_is_given_up(qexp, study):
    study(SQUARES, {"x": 1})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://:hidden@127.0.0.1:{silent.getsockname()[1]}/0"
        environ = {"QEXP_BROKER_URL": url, "QEXP_CONNECT_TIMEOUT": "2"}
        line = one_line(qexp("enqueue", "grid.yaml", environ=environ), 3)
    assert "no answer within 2 s" in line


def test_the_configuration_is_shown_without_passwords(qexp, site):
    done = qexp("config", "--format", "json")
    shown = json.loads(done.stdout)
    assert shown["home"] == str(site.home)
    assert "***" in shown["database_url"]
    assert json.loads(qexp("config", "--format", "json", "--reveal").stdout)["broker_url"] == site.broker_url
    assert "QEXP_HOME" in qexp("config").stdout


def test_help_imports_nothing_heavy():
    heavy = "celery", "kombu", "pandas", "sqlalchemy", "pydantic", "psycopg", "rich", "redis"
    code = (
        "import sys, contextlib, io\n"
        "from qexp.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
    code = f"import sys, qexp; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_the_help_of_every_command_begins_with_its_line_in_the_overview(qexp):
    from qexp.cli.main import VERBS

    overview = qexp("--help").stdout
    for name, verb in VERBS.items():
        done = qexp(name, "--help")
        assert done.returncode == 0, done.stderr
        assert verb.help.split(":")[0].rstrip(".") in " ".join(done.stdout.split())
        assert re.search(rf"^  {name} +{re.escape(verb.help)}$", overview, re.MULTILINE), name


def test_a_closed_pipe_is_no_error(study):
    made = study("def f(x): return x", {"x": list(range(500))})
    made.enqueue()
    for reader in ("head -n 1", "true"):  # the second one ends before qexp writes
        line = f"{sys.executable} -m qexp list {made.name} --limit 0 | {reader}"
        done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_started_by_qexp_runs_experiments_and_stops_on_term(study, site, tmp_path, queue):
    own = f"{queue}_own"
    made = study(SQUARES, {"x": [1, 2]}, queue=own)
    with (tmp_path / "log").open("wb") as log:
        line = [sys.executable, "-m", "qexp", "worker", "-c", "1", "-q", own]
        process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
    try:
        made.enqueue()
        assert made.wait() == 0
        process.terminate()
        eventually(lambda: process.poll() is not None, "the worker to stop")
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            import os
            import signal

            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_module_in_the_working_directory_replaces_no_library(study, tmp_path):
    # Given a folder with files that are named like libraries, and a grid in another folder
    made = study(SQUARES, {"x": [1, 2]}, isolation="process")
    here = tmp_path / "here"
    here.mkdir()
    for library in ("celery", "psutil", "psycopg", "redis", "socket"):
        (here / f"{library}.py").write_text("raise SystemExit('imported from the working directory')\n")
    # When the grid is run from the first folder, with each experiment in its own process
    line = [sys.executable, "-P", "-m", "qexp", "run", str(made.folder / "grid.yaml"), "-c", "1"]
    done = subprocess.run(line, cwd=here, capture_output=True, text=True, check=False, timeout=600)
    # Then the worker and the experiments import the libraries
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stderr
