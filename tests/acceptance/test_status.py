"""`qexp status` at the terminal: whole numbers beside short names, the newest study last, and what is not shown."""

import json
import re
import uuid

import pytest
from finished_studies import FAILED, FinishedStudy
from terminal import terminal

from qexp.store.reads import workers
from qexp.store.writes import worker_rows

LONG = "resnet50_cifar100_augmented_decay"


@pytest.fixture
def studies(client, raw, tmp_path, monkeypatch):
    """Three studies: an open one with failures, one with a long name that is paused, and one that is finished."""
    monkeypatch.setenv("QEXP_LEASE", "3600")  # their workers send one heartbeat
    end = uuid.uuid4().hex[:6]
    made = [FinishedStudy(client, raw, tmp_path / str(number)) for number in range(3)]
    names = [f"lenet_{end}", f"{LONG}_{end}", f"vgg_{end}"]
    for study, name in zip(made, names, strict=True):
        study.name = name
        study.enqueue(parameters={"x": {"range": [0, 12]}})
    made[0].end(lambda given: FAILED if given["x"] > 9 else {"y": 1} if given["x"] else None)
    made[1].end(lambda given: {"y": 1} if given["x"] < 3 else None)
    made[2].end(lambda given: {"y": 1})
    client.pause(names[1], "the disk of node7 is full")
    return names


def rows(text, names):
    """Return the cells of the studies in their order on the screen."""
    lines = [line for line in text.splitlines() if " is paused since " not in line]
    return {name: line.split() for line in lines for name in names if line.startswith(f"{name} ")}


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal_with_whole_numbers(studies, columns):
    screen = terminal("qexp", "status", *studies, columns=columns)
    assert screen.status == 0
    long = next(line.split()[0] for line in screen.text.splitlines() if line.startswith("resnet"))
    screen.matches("status", {studies[0]: "lenet", studies[1]: LONG, studies[2]: "vgg", long: long[:-7]})


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_numbers_are_whole_at_every_width_and_omitted_columns_are_named(raw, studies, columns):
    # Given a million finished experiments, some in each status
    raw.execute(
        "INSERT INTO experiment (study, params, fingerprint, status, attempt, result, failure, started_at, finished_at)"
        " SELECT s.id, '{}', gen_random_uuid(), c.status, 1, '{}', CASE c.status WHEN 'failed' THEN 'error' END, now(),"
        " now() FROM study s, unnest(ARRAY['pending', 'queued', 'done', 'failed', 'cancelled', 'paused']) c (status),"
        " generate_series(1, 1000) n WHERE s.name = %s",
        [studies[1]],
    )
    screen = terminal("qexp", "status", studies[1], columns=columns)
    assert re.search(r"^resnet50\S*…\S+ .*\b1003 ", screen.text, re.MULTILINE), screen.text
    assert re.search(r"\bdone\b", screen.text)
    heads = screen.text.splitlines()[0].split()
    omitted = re.search(r"not shown: ([\w, ]+)", " ".join(screen.text.split()))
    assert {*heads, *(omitted[1].split(", ") if omitted else [])} >= {"total", "queued", "done", "failed", "cancelled"}


def test_columns_without_a_number_are_left_out_but_for_done(qexp, studies):
    assert qexp("status", studies[2]).stdout.splitlines()[0].split() == ["study", "total", "done"]
    assert qexp("status", studies[0]).stdout.splitlines()[0].split()[:5] == [
        "study",
        "total",
        "queued",
        "done",
        "failed",
    ]


def test_names_that_differ_only_in_their_middle_stay_different(client, raw, tmp_path):
    end = uuid.uuid4().hex[:6]
    for middle in ("adam", "sgd0"):
        study = FinishedStudy(client, raw, tmp_path / middle)
        study.name = f"resnet_{end}_cifar_{middle}_with_a_long_end"
        study.enqueue(parameters={"x": [1]})
    screen = terminal("qexp", "status", f"resnet_{end}*", columns=32)
    first, second = (line.split()[0] for line in screen.text.splitlines() if line.startswith(("resnet", "…")))
    assert first != second


def test_the_newest_study_is_last_and_open_leaves_out_finished_ones(qexp, studies):
    assert [*rows(qexp("status").stdout, studies)] == studies
    found = [row["study"] for row in json.loads(qexp("status", *studies, "--open", "--format", "json").stdout)]
    assert found == studies[:2]
    done = qexp("status", studies[2], "--open")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no study has unfinished experiments\n"


def test_only_the_newest_studies_are_shown_and_the_others_counted(qexp, studies):
    done = qexp("status", *studies, "--limit", "1")
    assert [*rows(done.stdout, studies)] == studies[2:]
    assert done.stderr == "2 older studies not shown, 2 unfinished: --open, or --limit 0 for all\n"
    done = qexp("status", *studies, "--open", "--limit", "1")
    assert [*rows(done.stdout, studies)] == [studies[1]]
    assert done.stderr == "1 older study not shown; --limit 0 shows all\n"
    assert [*rows(qexp("status", "--limit", "0").stdout, studies)] == studies
    assert len(json.loads(qexp("status", *studies, "--format", "json").stdout)) == 3


def test_more_than_thirty_studies_need_a_limit(qexp, raw, studies):
    end = uuid.uuid4().hex[:6]
    raw.execute(
        "INSERT INTO study (name, function, folder, queue, revision, parameters) SELECT 'many_' || %s || n, function,"
        " folder, queue, 1, parameters FROM study, generate_series(1, 31) n WHERE name = %s",
        [end, studies[2]],
    )
    done = qexp("status", f"many_{end}*")
    assert len(done.stdout.splitlines()) == 32
    assert done.stderr == "1 older study not shown; --limit 0 shows all\n"
    raw.execute("DELETE FROM study WHERE name LIKE %s", [f"many\\_{end}%"])


def test_a_paused_study_shows_no_time_left(client, qexp, studies):
    paused = studies[1]
    (row,) = json.loads(qexp("status", paused, "--format", "json").stdout)
    assert row["rate"] > 0
    assert row["seconds_left"] is None
    assert rows(qexp("status", studies[0]).stdout, studies)[studies[0]][-1] in ("s", "ms", "min")
    assert rows(qexp("status", paused).stdout, studies)[paused][-1] == "paused"
    assert "left" not in repr(client.counts(paused)[0])
    client.resume(paused)
    (row,) = json.loads(qexp("status", paused, "--format", "json").stdout)
    assert row["seconds_left"] > 0


def test_without_a_live_worker_there_is_no_time_left(client, qexp, raw, studies):
    name = studies[0]
    (before,) = json.loads(qexp("status", name, "--format", "json").stdout)
    assert before["has_worker"] and before["seconds_left"] > 0
    raw.execute("UPDATE worker SET stopped_at = now() WHERE 'nobody' = ANY(queues)")
    (after,) = json.loads(qexp("status", name, "--format", "json").stdout)
    assert not after["has_worker"] and after["seconds_left"] is None
    for columns in (80, 120):
        screen = terminal("qexp", "status", *studies, columns=columns)
        assert rows(screen.text, [name])[name][-2:] == ["no", "worker"]
    # A study that is paused or finished needs none, and Python says the same
    shown = {line.split()[0].partition("_")[0]: line for line in screen.text.splitlines()[2:5]}
    assert shown["resnet50"].endswith(" paused") and "no worker" not in shown["vgg"]
    assert re.search(r"/(s|min|h); no worker$", repr(client.counts(name)[0]))
    assert repr(client.overview([name]).shown[0]).endswith("; no worker")
    # A worker of this study alone is enough
    station = worker_rows.WorkerInfo("here", 1, "worker@here", [workers.only(name)], 2)
    worker_rows.register(raw, uuid.uuid4(), station)
    assert client.counts(name)[0].seconds_left > 0


def test_at_thirty_columns_failures_stay_and_the_total_goes(studies):
    screen = terminal("qexp", "status", studies[0], columns=30)
    assert {"done", "failed"} <= {*screen.text.splitlines()[0].split()}, screen.text
    assert "total" not in screen.text.splitlines()[0]


def test_watch_ends_when_nothing_moves(client, studies):
    screen = terminal("qexp", "status", *studies[1:], "--watch")
    assert screen.status == 0
    assert "paused" in screen.text
    # a paused study beyond the limit does not move either
    assert terminal("qexp", "status", *studies[1:], "--watch", "--limit", "1").status == 0


def test_ctrl_c_is_the_usual_end_of_watch(studies):
    screen = terminal("qexp", "status", studies[0], "--watch", columns=200, keys=[("lenet", "\x03")])
    assert screen.status == 0, screen.text
    assert "interrupted" not in screen.text


@pytest.mark.parametrize("columns", [80, 120])
def test_an_interrupted_wait_says_once_how_the_study_goes_on(raw, qexp, studies, columns):
    def wait(name):
        screen = terminal("qexp", "wait", name, columns=columns, keys=[("running", "\x03")])
        assert screen.status == 130, screen.text
        assert screen.text.count("interrupted") == 1
        return [line for line in screen.text.splitlines() if line][-1]

    assert wait(studies[0]) == f"{studies[0]} keeps running"
    raw.execute("UPDATE worker SET stopped_at = now() WHERE 'nobody' = ANY(queues)")
    assert wait(studies[0]) == f"{studies[0]} waits for a worker: celery -A qexp worker -Q nobody"


def test_archived_studies_are_left_out_of_patterns_but_found_by_name(client, qexp, studies):
    name = studies[2]
    client.archive(name)
    pattern = f"{name[:-1]}?"
    done = qexp("status", pattern)
    assert (done.stdout, done.stderr) == ("", "all of these studies are archived; --archived shows them\n")
    done = qexp("status", pattern, studies[1])
    assert [*rows(done.stdout, studies)] == [studies[1]]
    assert done.stderr == "1 archived study not shown; --archived shows it\n"
    assert qexp("list", name).stderr == f"archived: {name}; 'qexp archive STUDY --undo' brings a study back\n"
    assert [*rows(qexp("status", pattern, "--archived").stdout, studies)] == [name]
    assert [*rows(qexp("status", name).stdout, studies)] == [name]
    assert len(json.loads(qexp("list", pattern, "--format", "json").stdout)) == 12
