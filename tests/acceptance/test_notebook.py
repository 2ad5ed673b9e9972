"""A person works in a notebook: real cells in a real kernel, with a real worker."""

from __future__ import annotations

import os
import signal
import threading
import uuid

import pytest
from tests_support import PATIENCE, eventually

nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install 'qexp[test]'")
pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'qexp[test]'")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install 'qexp[test]'")

SOURCE = """
import time
from pathlib import Path

import qexp


def train(lr: float, seed: int = 0, gate: str = "", *, context: qexp.Context) -> dict:
    print(f"learning with {lr}")
    if lr > 1:
        raise ValueError(f"<b>{lr}</b> is too fast")
    while gate and not Path(gate).exists():
        time.sleep(0.02)
    for epoch in range(3):
        context.metric(epoch, val_acc=lr * epoch)
    context.artifact("model.txt", b"weights")
    return {"accuracy": lr / 2, "train": {"acc": lr}}
"""


class RecordingClient(nbclient.NotebookClient):
    """Runs cells and keeps the kinds of messages from the kernel."""

    kinds: tuple[str, ...] = ()

    def process_message(self, msg, cell, cell_index):
        self.kinds += (msg["msg_type"],)
        return super().process_message(msg, cell, cell_index)


class Notebook:
    """A notebook in a folder, whose cells run one by one."""

    def __init__(self, folder) -> None:
        self._notebook = nbformat.v4.new_notebook()
        self._client = RecordingClient(
            self._notebook, timeout=PATIENCE, allow_errors=True, resources={"metadata": {"path": str(folder)}}
        )

    def __enter__(self) -> Notebook:
        self._kernel = self._client.setup_kernel()
        self._kernel.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._kernel.__exit__(*exception)

    @property
    def pid(self) -> int:
        return self._client.km.provisioner.pid

    @property
    def messages(self) -> tuple[str, ...]:
        """The kinds of messages from the kernel so far."""
        return self._client.kinds

    def add(self, code: str):
        cell = nbformat.v4.new_code_cell(code)
        self._notebook.cells.append(cell)
        return cell

    def execute(self, cell) -> None:
        self._client.execute_cell(cell, len(self._notebook.cells) - 1)

    def run(self, code: str) -> Shown:
        """Run a cell and return what it shows; fail if it raises."""
        cell = self.add(code)
        self.execute(cell)
        shown = Shown(cell)
        assert not shown.error, shown.error
        return shown


class Shown:
    """The outputs of a cell: its value or display as text and as HTML, its streams, and its error."""

    def __init__(self, cell) -> None:
        data = [output["data"] for output in cell.outputs if "data" in output]
        self.outputs = len(data)
        self.text = "\n".join(one.get("text/plain", "") for one in data)
        self.html = "\n".join(one.get("text/html", "") for one in data)
        self.stdout = "".join(o["text"] for o in cell.outputs if o.get("name") == "stdout")
        self.stderr = "".join(o["text"] for o in cell.outputs if o.get("name") == "stderr")
        self.error = next((f"{o['ename']}: {o['evalue']}" for o in cell.outputs if "ename" in o), "")
        self.traceback = next(("\n".join(o["traceback"]) for o in cell.outputs if "ename" in o), "")


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


@pytest.fixture
def notebook(site, tmp_path):
    (tmp_path / "experiment.py").write_text(SOURCE)
    with Notebook(tmp_path) as notebook:
        yield notebook


@pytest.fixture
def name():
    return f"n_{uuid.uuid4().hex[:8]}"


def test_a_study_runs_and_is_read_in_a_notebook(worker, queue, notebook, name):
    # Given a notebook that enqueues a function of a module beside it
    notebook.run("import sys, qexp\nfrom experiment import train")
    assert notebook.run("'IPython.display' in sys.modules").text == "True"
    enqueue = f"""
        study = qexp.enqueue(train, parameters={{"lr": [0.25, 0.5, 10.0]}}, study="{name}", queue="{queue}")
        study
    """
    shown = notebook.run(enqueue)
    assert shown.text.startswith(f"<Study {name}, 3: ")
    assert f">{name}</td>" in shown.html
    # When it waits
    shown = notebook.run("done = study.wait(timeout=100)")
    # Then a bar was updated in place, as HTML and as text
    assert shown.outputs == 1
    assert shown.text == f"{name}  ━━━━━━━━━━━━━━━━━━━━━━━━  3 of 3  1 failed"
    assert '<progress value="3" max="3"' in shown.html
    assert shown.stderr == shown.stdout == ""
    assert notebook.run("done").text.startswith(f"{name}, 3: 2 done, 1 failed")
    assert notebook.run("done.counts").text == "3: 2 done, 1 failed"
    assert notebook.run("study.wait(progress=False)").outputs == 1  # only the value
    # And the cell can run again
    assert notebook.run(enqueue).text.startswith(f"<Study {name}, 3: 2 done, 1 failed")


def test_the_objects_of_a_study_show_themselves(worker, queue, notebook, name):
    notebook.run(f"""
        import qexp
        from experiment import train
        study = qexp.enqueue(train, parameters={{"lr": [0.25, 0.5, 10.0]}}, study="{name}", queue="{queue}")
        study.wait(timeout=100, progress=False)
    """)
    shown = notebook.run("qexp.studies()")
    assert name in shown.text
    assert f">{name}</td>" in shown.html
    assert name in notebook.run("[one.study for one in qexp.studies()]").text

    shown = notebook.run("study.errors()")
    assert "ValueError: <b>10.0</b" in shown.text  # cut, if the ids are long
    assert "ValueError: &lt;b&gt;10.0&lt;/b&gt; is too fast" in shown.html
    assert "experiment.py:" in shown.text

    shown = notebook.run("failed, = study.errors()[0].ids\nstudy.explain(failed)")
    assert "Attempt 1 failed: ValueError: <b>10.0</b> is too fast" in shown.text
    assert "&lt;b&gt;10.0" in shown.html
    assert "<code>qexp requeue" in shown.html

    assert notebook.run("study.logs(failed)").text == "learning with 10.0"
    assert notebook.run("study.follow(failed)").stdout == "learning with 10.0\n"

    shown = notebook.run("study.experiments()")
    assert shown.text.splitlines()[0].split()[:5] == ["id", "lr", "accuracy", "train.acc", "status"]
    assert ">train.acc</th>" in shown.html
    assert notebook.run("study.show(failed)").text.count("ValueError: <b>10.0</b> is too fast") == 1

    assert notebook.run("study.results()[0]").text == "{'accuracy': 0.125, 'train.acc': 0.25}"
    notebook.run("import pandas as pd; assert [*pd.DataFrame(study.results())] == ['accuracy', 'train.acc']")
    shown = notebook.run(f"qexp.metrics('{name}', 'val_acc', params=True).groupby('lr').value.max().to_dict()")
    assert shown.text == "{0.25: 0.5, 0.5: 1.0}"

    assert "model.txt" in notebook.run("study.artifacts()").html
    assert notebook.run("study.artifacts('model.txt')[0].read()").text == "b'weights'"
    assert "Study" in notebook.run("study.requeue('failed')\nstudy").text


def test_a_study_is_paused_resumed_and_cancelled_in_a_notebook(queue, notebook, name):
    notebook.run(f"""
        import qexp
        from experiment import train
        study = qexp.enqueue(train, parameters={{"lr": [1, 2, 3]}}, study="{name}", queue="{name}")
    """)
    assert "3: 3 waiting; paused since" in notebook.run("study.pause('lunch')").text
    shown = notebook.run("study.wait()")  # nothing moves: it returns at once
    assert "paused" in shown.text
    assert notebook.run("study.resume()").text == f"{name}, 3: 3 waiting; no worker"
    assert notebook.run("study.cancel(where='lr > 1')").text.startswith("2 cancelled: ")
    assert notebook.run("study.status()").text == f"{name}, 3: 1 waiting, 2 cancelled; no worker"


def test_an_edited_module_is_enqueued_from_the_same_cell(queue, notebook, name, tmp_path):
    # Given a study whose function the kernel has imported
    enqueue = f"""
        study = qexp.enqueue(train, parameters=parameters, study="{name}", queue="{name}")
        study
    """
    notebook.run("import qexp; from experiment import train; parameters = {'lr': [1, 2]}")
    assert f"{name}, 2: 2 waiting" in notebook.run(enqueue).text
    # When the person adds a parameter to the function in its file, and runs the cell again
    (tmp_path / "experiment.py").write_text(SOURCE.replace("seed: int", "depth: int = 1, seed: int"))
    notebook.run("parameters = {'lr': [1], 'depth': [3, 4]}")
    shown = notebook.run(enqueue)
    # Then the file as it is now counts, and the cell says what no longer belongs to the grid
    assert f"{name}, 4: 4 waiting" in shown.text
    assert "QexpWarning: 2 experiments are no longer in the grid" in shown.stderr
    assert "study.cancel(orphaned=True)" in shown.stderr
    assert len(shown.stderr.splitlines()) == 2
    assert notebook.run("study.cancel(orphaned=True)").text.startswith("2 cancelled: ")


def test_a_long_enqueue_shows_a_bar(notebook, name):
    notebook.run(f"""
        import qexp, qexp.client.study_bars
        from experiment import train
        qexp.client.study_bars._PATIENCE = 0  # seconds before the bar appears
        keys = {{"parameters": {{"lr": range(10_001)}}, "study": "{name}", "queue": "{name}"}}
    """)
    assert notebook.run("study = qexp.enqueue(train, **keys, progress=False)").outputs == 0
    shown = notebook.run("study = qexp.enqueue(train, **keys)")
    assert shown.text.startswith("compared  ━━━━━━━━━━━━━━━━━━━━━━━━  10001 of 10001")
    shown = notebook.run("study.add({'lr': 20_000 + number} for number in range(50))")
    assert shown.text.startswith("compared  ━━━━━━━━━━━━━━━━━━━━━━━━  50 of 50")
    assert shown.text.splitlines()[-1] == "50"
    assert notebook.run("study.cancel()").text.startswith("10051 cancelled: ")


def test_an_interrupted_wait_leaves_the_study_running(worker, queue, notebook, name, tmp_path):
    # Given a study that runs until a file appears
    gate = tmp_path / "gate"
    notebook.run(f"""
        import qexp
        from experiment import train
        study = qexp.enqueue(train, parameters={{"lr": [0.5]}}, settings={{"gate": "{gate}"}}, study="{name}",
                             queue="{queue}")
    """)
    # When the kernel is interrupted while a cell waits
    cell = notebook.add("study.wait()")

    def interrupt() -> None:
        eventually(lambda: cell.outputs, "the bar")
        os.kill(notebook.pid, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    notebook.execute(cell)
    thread.join()
    # Then the cell says how to go on, without the frames of qexp's loops
    shown = Shown(cell)
    assert shown.error == f"KeyboardInterrupt: {name} keeps running; wait again with study.wait()"
    assert "time.sleep" not in shown.traceback
    # And the bar was updated in place
    assert shown.outputs == 1
    assert shown.text.endswith("0 of 1  interrupted")
    assert notebook.messages.count("display_data") == 1
    assert "update_display_data" in notebook.messages
    # And the study goes on
    gate.touch()
    assert notebook.run("study.wait(timeout=100, progress=False)").text.startswith(f"{name}, 1: 1 done")


def test_cells_wait_in_threads_and_beside_an_event_loop(worker, queue, notebook, name):
    notebook.run(f"""
        import asyncio, threading, qexp
        from experiment import train
        study = qexp.enqueue(train, parameters={{"lr": [0.25, 0.5]}}, study="{name}", queue="{queue}")
    """)
    shown = notebook.run("""
        results = []
        threads = [threading.Thread(target=lambda: results.append(study.wait(timeout=100))) for _ in range(2)]
        [thread.start() for thread in threads]
        results.append(await asyncio.to_thread(study.wait, timeout=100))
        [thread.join() for thread in threads]
        [one.counts["done"] for one in results]
    """)
    assert shown.text.endswith("[2, 2, 2]")
    assert asyncio_is_untouched(notebook)


def asyncio_is_untouched(notebook: Notebook) -> bool:
    return notebook.run("asyncio.get_running_loop().is_running()").text == "True"


def test_a_function_of_the_notebook_is_refused_with_the_repair(notebook, name):
    cell = notebook.add(f"""
import qexp
def f(x): return x
qexp.enqueue(f, parameters={{"x": [1]}}, study="{name}")
""")
    notebook.execute(cell)
    assert Shown(cell).error == (
        "FunctionError: function f: workers cannot import it from here; "
        "put it at the top of a file of its own, under a name, and import it from there"
    )
