"""A command that changes nothing says why."""

import pytest
from terminal import terminal


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "2").await_ready()


def test_commands_that_change_nothing_say_what_they_found_and_what_they_expect(study, qexp):
    source = "def f(x):\n    if x == 3:\n        raise ValueError\n    return {'y': x}"
    made = study(source, {"x": [1, 2, 3]}, retries={"error": 0})
    made.enqueue()
    made.wait()
    one = made.listed()[0]["id"]

    def said(*arguments):
        done = qexp(*arguments)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stderr.split())

    open_ones = "only pending, queued or running experiments can be cancelled"
    again = "'qexp requeue' runs done ones again"
    assert said("cancel", made.name) == f"2 experiments are done, 1 has failed; {open_ones}; {again}"
    assert said("cancel", one) == f"the experiment is done; {open_ones}; {again}"
    assert said("cancel", made.name, "--failed") == f"--status failed: {open_ones}"
    assert said("cancel", made.name, "--status", "running") == (
        "none of them is running: 2 experiments are done, 1 has failed"
    )
    assert said("cancel", made.name, "--where", "x = 4") == "no experiment matches"
    assert said("metrics", made.name, "--where", "x = 4") == "no experiment matches"
    assert said("metrics", made.name).startswith("no series was recorded; record one")
    assert said("artifacts", made.name, "--where", "x = 4") == "no experiment matches"
    assert said("artifacts", made.name).startswith("no artifacts; keep a file")
    assert said("requeue", made.name, "--status", "cancelled") == (
        "none of them is cancelled: 2 experiments are done, 1 has failed"
    )
    assert said("resume", made.name).startswith(f"the study {made.name} was not paused 2 experiments are done")
    assert said("accept", one) == f"the experiment is done; only failed experiments can be accepted; {again}"
    assert said("pause", made.name) == f"none of the experiments of {made.name} waits or runs now"
    assert terminal("qexp", "cancel", made.name).status == 0
