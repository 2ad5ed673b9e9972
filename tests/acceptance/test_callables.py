"""Callables of every type run as expected, or the enqueue refuses them."""

import pytest


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-c", "2", "-Q", queue).await_ready()


SOURCE = """
import asyncio, functools
import qexp

async def f(x: float, context: qexp.Context = None):
    await asyncio.sleep(0.01)
    if x == 3:
        raise ValueError("three")
    if x == 4:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(600))
    context.record(early=x)
    return {"y": 2 * x}

class Model:
    def __call__(self, x: float): return {"y": 3 * x}

class Fields:
    def __init__(self, x): self.y = x

model = Model()
partial = functools.partial(f, x=1.0)
"""


@pytest.mark.parametrize("isolation", ["child", "process"])
def test_async_functions_finish_fail_or_time_out(worker, study, isolation):
    made = study(SOURCE, {"x": [1, 3, 4]}, timeout="5s", isolation=isolation)
    made.enqueue()
    assert made.wait() == 1
    done, failed, slow = made.shown()
    assert done["result"] == {"early": 1.0, "y": 2.0}
    assert (failed["failure"], failed["error_message"]) == ("error", "three")
    assert failed["attempts"][0]["error_frame"].endswith("in f")
    assert (slow["failure"], slow["error_type"]) == ("timeout", "Timeout")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("model", [{"y": 3.0}, {"y": 6.0}]), ("partial", [{"early": 1.0, "y": 2.0}, {"early": 2.0, "y": 4.0}])],
)
def test_objects_and_partials_run_like_functions(worker, study, name, expected):
    made = study(SOURCE, {"x": [1, 2]}, function=f"experiment:{name}")
    made.enqueue()
    assert made.wait() == 0
    assert [row["result"] for row in made.listed()] == expected


def test_a_class_is_refused_with_its_line(qexp, study):
    made = study(SOURCE, {"x": [1]}, function="experiment:Fields")
    done = qexp("enqueue", "grid.yaml", cwd=made.folder)
    assert done.returncode == 2
    assert "grid.yaml, line 1: function experiment:Fields: found a class, expected a function" in done.stderr
