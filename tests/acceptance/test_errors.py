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
