"""A person deletes, archives and prunes in a terminal: each command says what it does, and asks before it destroys."""

import json
import os
import re
import uuid

import pytest
from terminal import terminal
from tests_support import eventually


@pytest.fixture
def lenet(study):
    """The name of a study of three experiments that wait on a queue without workers."""
    made = study(f"def f(x): ...\n# {uuid.uuid4()}\n", {"x": [1, 2, 3]})
    made.enqueue()
    return made.name


@pytest.fixture
def studies(qexp):
    """Return the names of the studies that 'qexp status' lists."""

    def studies(*options):
        return [counts["study"] for counts in json.loads(qexp("status", *options, "--format", "json").stdout)]

    return studies


@pytest.mark.parametrize("columns", [80, 120])
def test_a_deletion_says_what_it_removes_and_asks_for_the_name(qexp, studies, lenet, columns):
    question = "Type the study's name to delete it: "
    shown = terminal("qexp", "delete", lenet, columns=columns, keys=[(question, f"{lenet}\n")])
    assert shown.status == 0
    size = re.search(r"the code \((\d+ bytes)\)", shown.text)[1]  # the zip has a random text
    shown.matches("delete", {lenet: "lenet", size: "<size>"})
    assert lenet not in studies()


def test_a_wrong_name_deletes_nothing(qexp, studies, lenet):
    for answer in ("lenet", "y", ""):
        shown = terminal("qexp", "delete", lenet, keys=[("delete it: ", f"{answer}\n")])
        assert shown.status == 2
        assert f"expected {lenet}: nothing was deleted" in shown.text
    assert terminal("qexp", "delete", lenet, keys=[("delete it: ", "\x03\n")]).status == 130
    assert lenet in studies()


def test_a_deletion_without_a_terminal_needs_yes(qexp, studies, lenet):
    refused = qexp("delete", lenet)
    assert refused.returncode == 2
    assert "3 experiments. Add -y to delete it" in refused.stderr
    done = qexp("delete", lenet, "-y", "--format", "json")
    assert json.loads(done.stdout)["experiments"] == 3
    assert qexp("delete", lenet, "-y").returncode == 2


def test_a_running_study_is_not_deleted(qexp, studies, lenet, client, raw):
    numbers = [view["id"] for view in json.loads(qexp("list", lenet, "--format", "json").stdout)]
    raw.execute(
        "UPDATE experiment SET status = 'running', worker = gen_random_uuid(), started_at = now() WHERE id = %s",
        [numbers[0]],
    )
    shown = terminal("qexp", "delete", lenet, columns=240)
    assert shown.status == 2
    assert f"experiments are running: {numbers[0]}; end them with" in shown.text
    raw.execute("UPDATE experiment SET status = 'pending', worker = NULL WHERE id = %s", [numbers[0]])


def test_an_archived_study_is_left_out_of_the_status_until_it_is_enqueued_again(qexp, studies, lenet):
    # Given a finished study; an unfinished one is refused
    refused = qexp("archive", lenet)
    assert refused.returncode == 2
    assert f"3 experiments have not finished; 'qexp wait {lenet}' waits for them" in refused.stderr
    qexp("cancel", lenet)
    # When it is archived
    shown = terminal("qexp", "archive", lenet)
    assert shown.text == f"{lenet} is archived\nbring it back with 'qexp archive {lenet} --undo'\n"
    # Then the status lacks it, and its name finds it
    assert lenet not in studies()
    assert lenet in studies("--archived")
    assert len(json.loads(qexp("list", lenet, "--format", "json").stdout)) == 3
    # When its grid is enqueued again, then it is back
    done = qexp("enqueue", "grid.yaml")
    assert f"{lenet} was archived; 'qexp status' shows it again" in done.stderr
    assert lenet in studies()
    # When it is archived again, then a person can undo this
    qexp("archive", lenet)
    assert qexp("archive", lenet, "--undo").stdout == f"{lenet} is back\n"
    assert lenet in studies()


@pytest.mark.parametrize("columns", [80, 120])
def test_pruning_says_how_much_it_removes_of_each_kind(client, tmp_path, columns):
    # Given a home and a temporary folder with an unpacked snapshot and an incomplete file
    here = {"QEXP_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    here |= {"QEXP_DATABASE_URL": client.settings.database_url, "QEXP_BROKER_URL": client.settings.broker_url}
    terminal("qexp", "prune", environ=here, columns=columns)  # what other tests have left in the database
    code = tmp_path / "home" / "sources" / ("0" * 64)
    code.mkdir(parents=True)
    (code / "experiment.py").write_text("a" * 1000)
    part = tmp_path / "home" / "artifacts" / ".qexp-0123456789abcdef.part"
    part.parent.mkdir()
    part.write_bytes(b"half")
    os.utime(part, (0, 0))
    # When a person looks first, and then prunes
    looked = terminal("qexp", "prune", "--dry-run", environ=here, columns=columns)
    looked.matches("prune_dry_run")
    assert code.exists()
    pruned = terminal("qexp", "prune", environ=here, columns=columns)
    # Then both tell the same numbers, and nothing is left
    assert pruned.text.split("\n")[1:] == looked.text.split("\n")[1:]
    assert pruned.text.startswith("removed ")
    assert not code.exists()
    assert not part.exists()
    assert terminal("qexp", "prune", environ=here, columns=columns).text == "nothing to remove\n"


RUNS_ON = """
import pathlib, time
import qexp
def f(x, folder, context: qexp.Context):
    number = 0
    while x == 1:  # until its worker ends it
        number += 1
        context.metric(number, loss=1 / number)
        context.append("rows", {"number": number})
        context.artifact(f"{number}.bin", b"x")
        print(number)
        pathlib.Path(folder, "began").touch()
        time.sleep(0.05)
    context.artifact("result.bin", b"y")
    return {"y": x}
"""


def test_a_worker_survives_the_deletion_of_a_study_that_it_runs(
    qexp, study, start_worker, queue, client, raw, tmp_path
):
    # Given a worker that runs an experiment
    worker = start_worker("-Q", queue, "-c", "1").await_ready()
    made = study(RUNS_ON, {"x": [1]}, settings={"folder": str(tmp_path)})
    made.enqueue()
    eventually((tmp_path / "began").exists, "the experiment to run")
    (old,) = [row["id"] for row in made.listed()]
    # When it is cancelled and its study is deleted, before the worker has ended it
    assert qexp("delete", made.name, "-y").returncode == 2
    assert qexp("cancel", made.name).returncode == 0
    assert qexp("delete", made.name, "-y").returncode == 0
    # Then the same worker runs a new study of the same name
    new = study(RUNS_ON, {"x": [2]}, settings={"folder": str(tmp_path)})
    new.enqueue()
    assert new.wait() == 0
    assert [row["result"] for row in new.listed()] == [{"y": 2}]
    # And nothing of the old one is left
    assert "Traceback" not in worker.text()
    for table in ("metric", "entry", "output", "artifact", "attempt"):
        assert raw.execute(f"SELECT count(*) FROM {table} WHERE experiment = %s", [old]).fetchone() == (0,)
    found = (client.settings.home / "artifacts" / made.name).rglob("*.bin")
    assert [path.name for path in found] == ["result.bin"]
