"""Errors are reported with their helpful parts, within limits of size."""

import json

import pytest


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-c", "2", "-Q", queue).await_ready()


LONG = "def f(x):\n    raise ValueError('begin' + 'x' * 1_900_000 + 'end')\n"


def test_errors_of_megabytes_leave_64_kb_each_and_a_line_in_the_log(worker, study, qexp):
    # Given experiments with errors of 1.9 MB
    made = study(LONG, {"x": [*range(20)]})
    made.enqueue()
    # When the experiments have failed
    assert made.wait() == 1
    # Then rows have the beginning and the end
    for one in made.shown():
        (attempt,) = one["attempts"]
        assert len(attempt["error_message"].encode()) <= 65_536
        assert len(attempt["traceback"].encode()) <= 65_536
        assert attempt["error_message"].startswith("begin")
        assert attempt["error_message"].endswith("end")
    # And listings, the worker's log and monitors have one line each
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


def test_the_kept_parts_of_a_failed_experiment_become_its_result_by_an_accept(worker, study, qexp):
    # Given experiments with and without values that are no data
    made = study(REFUSED, {"x": [1, 2, 3, 4]}, retries={"error": 0})
    made.enqueue()
    assert made.wait() == 1
    first, second, third, fourth = made.listed()
    assert (second["status"], third["status"]) == ("failed", "failed")
    assert third["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}
    # Then the error names the parts, the reasons, and the command that accepts the rest
    (group,) = [
        group
        for group in json.loads(qexp("errors", made.name, "--format", "json").stdout)
        if group["error_type"] == "qexp.errors.ResultError"
    ]
    assert group["count"] == 2
    assert group["error_frame"] == "experiment.py:4 in f"
    assert "history: found the key 1, expected text; raw: a bytes object is not data" in group["error_message"]
    command = f"qexp accept {made.name} --error {group['fingerprint'][:6]}"
    assert command in group["error_message"]
    assert f'File "{made.folder}/experiment.py", line 4, in f' in made.shown()[2]["attempts"][0]["traceback"]
    # When that command runs
    done = qexp(*command.split()[1:])
    # Then the experiments are done, and their attempts keep the error
    assert (done.returncode, done.stdout.strip()) == (0, f"2 accepted: {third['id']}-{fourth['id']}")
    third = made.listed()[2]
    assert (third["status"], third["failure"], third["error_message"]) == ("done", None, None)
    assert third["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}
    shown = qexp("show", str(third["id"]))
    assert "done: accepted by " in shown.stdout
    assert "raw: a bytes object is not data" in shown.stdout
    assert "Its result was accepted by " in qexp("explain", str(third["id"])).stdout.replace("\n", " ")
    # And the other two are unchanged, and a second accept changes nothing
    again = qexp(*command.split()[1:], "--format", "json")
    assert json.loads(again.stdout) == {"accepted": [], "without_result": []}
    assert made.listed()[:2] == [first, second]
    # And a requeue keeps the result with its attempt
    assert qexp("requeue", str(third["id"])).returncode == 0
    made.wait()
    (again,) = [one for one in made.shown() if one["id"] == third["id"]]
    assert again["attempts"][0]["result"] == {"early": 3, "accuracy": 0.3, "seconds": 7200}


NOTHING = "def f(x):\n    return b''\n"


def test_experiments_without_kept_parts_stay_failed_and_a_whole_study_is_not_accepted_by_default(worker, study, qexp):
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
    assert "accept the kept parts of 12 experiments as their results? Add -y" in asked.stderr
    done = qexp("accept", made.name, "--error", group, "-y")
    assert (done.returncode, done.stdout) == (0, "0 accepted\n")
    assert f"12 unchanged, since no part of their result was kept: {ids[0]}-{ids[-1]}" in done.stderr
    assert {row["status"] for row in made.listed()} == {"failed"}


def test_python_accepts_kept_parts_too(worker, study):
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
