"""A person gets of errors what helps, and no more than can be kept and read."""

import json

import pytest


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-c", "2", "-Q", queue).await_ready()


LONG = "def f(x):\n    raise ValueError('begin' + 'x' * 1_900_000 + 'end')\n"


def test_errors_of_megabytes_leave_64_kb_each_and_a_line_in_the_log(worker, study, qexp):
    # Given experiments whose errors have 1.9 MB
    made = study(LONG, {"x": [*range(20)]})
    made.enqueue()
    # When they have failed
    assert made.wait() == 1
    # Then rows have the beginning and the end
    for one in made.shown():
        (attempt,) = one["attempts"]
        assert len(attempt["error_message"].encode()) <= 65_536
        assert len(attempt["traceback"].encode()) <= 65_536
        assert attempt["error_message"].startswith("begin")
        assert attempt["error_message"].endswith("end")
    # And tables, and what the worker and monitors are told, have a line each
    assert all(len(line) < 1_000 for line in qexp("list", made.name).stdout.splitlines())
    assert all(len(line) < 3_000 for line in qexp("errors", made.name).stdout.splitlines())
    assert "ValueError: begin" in worker.text()
    assert max(map(len, worker.text().splitlines())) < 5_000
    (group,) = json.loads(qexp("errors", made.name, "--format", "json").stdout)
    assert group["count"] == 20


REFUSED = """
import qexp

def f(x, context: qexp.Context):
    context.save({"seen": x})
    context.record(early=x)
    if x == 1:
        return {"y": x}
    if x == 2:
        raise RuntimeError("nothing of this is a result")
    return {"accuracy": x / 10, "seconds": 7200, "history": {1: "no data"}, "raw": b"abc"}
"""


def test_what_a_failed_experiment_has_kept_becomes_its_result_when_a_person_accepts_it(worker, study, qexp):
    # Given experiments, of which some return what is no data
    made = study(REFUSED, {"x": [1, 2, 3, 4]}, retries={"error": 0})
    made.enqueue()
    assert made.wait() == 1
    first, second, third, fourth = made.listed()
    assert (second["status"], third["status"]) == ("failed", "failed")
    assert third["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}
    # Then the error says which parts, why, and by which command the rest is taken
    (group,) = [
        group
        for group in json.loads(qexp("errors", made.name, "--format", "json").stdout)
        if group["error_type"] == "qexp.errors.ResultError"
    ]
    assert group["count"] == 2
    assert group["error_frame"] == "experiment.py:4 in f"
    assert "history: found the key 1, expected text; raw: a bytes is not data" in group["error_message"]
    command = f"qexp accept {made.name} --error {group['fingerprint'][:6]}"
    assert command in group["error_message"]
    assert f'File "{made.folder}/experiment.py", line 4, in f' in made.shown()[2]["attempts"][0]["traceback"]
    # When that command is given
    done = qexp(*command.split()[1:])
    # Then they are done, and their attempts still say what happened
    assert (done.returncode, done.stdout.strip()) == (0, f"2 accepted: {third['id']}-{fourth['id']}")
    third = made.listed()[2]
    assert (third["status"], third["failure"], third["error_message"]) == ("done", None, None)
    assert third["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}
    shown = qexp("show", str(third["id"]))
    assert "done: accepted by " in shown.stdout
    assert "raw: a bytes is not data" in shown.stdout
    assert "Its result was accepted by " in qexp("explain", str(third["id"])).stdout.replace("\n", " ")
    # And neither the other two nor a second accept changes anything
    again = qexp(*command.split()[1:], "--format", "json")
    assert json.loads(again.stdout) == {"accepted": [], "without_result": []}
    assert made.listed()[:2] == [first, second]
    # And a requeue keeps the result with its attempt
    assert qexp("requeue", str(third["id"])).returncode == 0
    made.wait()
    (again,) = [one for one in made.shown() if one["id"] == third["id"]]
    assert again["attempts"][0]["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}


NOTHING = "def f(x):\n    return b''\n"


def test_what_has_kept_nothing_is_left_alone_and_whole_studies_are_not_accepted_by_accident(worker, study, qexp):
    made = study(NOTHING, {"x": [*range(12)]}, retries={"error": 0})
    made.enqueue()
    made.wait()
    ids = [row["id"] for row in made.listed()]
    (group,) = {row["error_fingerprint"] for row in made.listed()}
    for whole in (["accept", made.name], ["accept", made.name, "--failed"]):
        assert "name the experiments: --error GROUP" in qexp(*whole).stderr
    assert (
        "--status: found done, expected failed"
        in qexp("accept", made.name, "--error", group, "--status", "done").stderr
    )
    asked = qexp("accept", made.name, "--error", group)
    assert asked.returncode == 2
    assert "12 experiments would become done, with the kept parts of their results. Add -y" in asked.stderr
    done = qexp("accept", made.name, "--error", group, "-y")
    assert (done.returncode, done.stdout) == (0, "0 accepted\n")
    assert f"12 unchanged, since no part of their result was kept: {ids[0]}-{ids[-1]}" in done.stderr
    assert {row["status"] for row in made.listed()} == {"failed"}


def test_the_same_from_python(worker, study):
    import qexp

    made = study(REFUSED, {"x": [2, 3, 4]}, retries={"error": 0})
    made.enqueue()
    made.wait()
    _, third, fourth = (row["id"] for row in made.listed())
    found = qexp.Study(made.name)
    with pytest.raises(qexp.QexpError, match="name the experiments"):
        found.accept()
    assert found.accept(ids=[]) == []
    assert found.accept(ids=third) == [third]
    (group,) = [group for group in found.errors() if "ResultError" in group.error_type]
    assert found.accept(error=group.fingerprint) == [fourth]
    assert found.frame()["status"].tolist() == ["failed", "done", "done"]
