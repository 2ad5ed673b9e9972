"""Experiments can start processes in every way, and these end with their experiment."""

import psutil
import pytest

pytestmark = pytest.mark.usefixtures("workers")
ISOLATIONS = pytest.mark.parametrize("isolation", ["child", "process"])


@pytest.fixture(scope="module")
def workers(start_worker, queue):
    """A worker with one child."""
    return start_worker("-Q", queue, "-c", "1").await_ready()


WAYS = {
    **{
        method: f"""
    import multiprocessing
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        return {{"y": pool.map(square, [x, 4])}}"""
        for method in ("fork", "spawn", "forkserver")
    },
    "set_start_method": """
    import multiprocessing
    multiprocessing.set_start_method("spawn")
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=put, args=(queue, [x * x, 16]))
    process.start()
    found = queue.get(timeout=60)
    process.join()
    return {"y": found}""",
    "manager": """
    import multiprocessing
    with multiprocessing.get_context("spawn").Manager() as manager:
        found = manager.list([x * x, 16])
        return {"y": list(found)}""",
    **{
        f"futures_{method}": f"""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2, multiprocessing.get_context({method!r})) as pool:
        return {{"y": list(pool.map(square, [x, 4]))}}"""
        for method in ("fork", "spawn", "forkserver")
    },
    "joblib": """
    import joblib
    return {"y": joblib.Parallel(2)(joblib.delayed(square)(value) for value in (x, 4))}""",
    "joblib_multiprocessing": """
    import joblib
    parallel = joblib.Parallel(2, backend="multiprocessing")
    return {"y": parallel(joblib.delayed(square)(value) for value in (x, 4))}""",
    "torch": """
    import torch
    from torch.utils.data import DataLoader
    return {"y": [int(value) for value in DataLoader([x * x, 16], batch_size=None, num_workers=2)]}""",
}


@ISOLATIONS
@pytest.mark.parametrize("way", WAYS)
def test_an_experiment_can_start_processes_in_every_way(study, way, isolation):
    if way == "torch":
        pytest.importorskip("torch")
    # Given a function that starts processes, which import its module from the snapshot
    helpers = "import os\n\ndef square(x):\n    return x * x\n\ndef put(queue, value):\n    queue.put(value)\n"
    made = study(f"{helpers}\ndef f(x):{WAYS[way]}\n", {"x": [1, 2, 3]}, isolation=isolation)
    # When it runs several times in one process
    made.enqueue()
    # Then it receives their results
    assert made.wait() == 0, made.shown()
    assert [row["result"] for row in made.listed()] == [{"y": [x * x, 16]} for x in (1, 2, 3)]


LEAVES = """
import multiprocessing, os, pathlib, subprocess, sys, time

def note(folder, pid):
    pathlib.Path(folder, str(pid)).touch()

def stray(folder):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for name in ("stdin", "stdout", "stderr"):
        os.close(getattr(sys, name).fileno())
    note(folder, os.getpid())
    os.execvp("sleep", ["sleep", "600"])

def f(x, folder):
    for _ in range(3):
        note(folder, subprocess.Popen(["sleep", "600"]).pid)
        note(folder, subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
        stray(folder)
    found = subprocess.run("sleep 600 > /dev/null & echo $!", shell=True, stdout=subprocess.PIPE, text=True).stdout
    note(folder, int(found))
    process = multiprocessing.get_context("fork").Process(target=os.execvp, args=("sleep", ["sleep", "600"]))
    process.start()
    note(folder, process.pid)
    while len(os.listdir(folder)) < 11 * (1 + x):
        time.sleep(0.01)
    if x == 1:
        raise OSError
"""
KEEPS = """
import multiprocessing
POOL = multiprocessing.get_context("fork").Pool(1)

def f(x):
    return POOL.apply_async(pow, (x, 2)).get(timeout=60)
"""


@ISOLATIONS
def test_processes_left_running_end_with_their_experiment(study, qexp, tmp_path, isolation, workers):
    (folder := tmp_path / "pids").mkdir()
    # Given experiments that leave children, shell processes and daemons in other sessions running
    made = study(LEAVES, {"x": [0, 1, 2]}, settings={"folder": str(folder)}, isolation=isolation)
    # When the experiments have succeeded or failed
    made.enqueue()
    made.wait()
    # Then no process is left, and the worker logs their number
    assert [row["status"] for row in made.shown()] == ["done", "failed", "done"]
    pids = [int(path.name) for path in folder.iterdir()]
    assert len(pids) == 33
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    (first, *_) = made.listed()
    said = workers.text() if isolation == "child" else qexp("logs", first["id"]).stdout
    assert f"experiment {first['id']}: killed 11 processes that it left running" in said


def test_processes_left_by_a_killed_isolated_experiment_end_too(study, tmp_path):
    # Given an isolated experiment that dies after it has started a process in another session
    source = """
import os, subprocess
def f(file):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    open(file, "w").write(str(child.pid))
    os.kill(os.getpid(), 9)
"""
    made = study(source, {"file": str(tmp_path / "pid")}, isolation="process")
    # When its attempt has ended
    made.enqueue()
    made.wait()
    # Then this process has ended, too
    assert [row["failure"] for row in made.shown()] == ["crashed"]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_pool_that_a_module_keeps_serves_the_next_experiment(study):
    made = study(KEEPS, {"x": [1, 2, 3]})
    made.enqueue()
    assert made.wait() == 0, made.shown()
    assert [row["result"] for row in made.listed()] == [{"value": x * x} for x in (1, 2, 3)]
