"""A study through PgBouncer in transaction mode, where each transaction may use another server process."""

import json
import os
import signal

import pytest
from tests_support import eventually

from benchmarks.pgbouncer import PROGRAM, PgBouncer
from qexp import load, metrics
from qexp.store.connection import connect

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no program 'pgbouncer' here; apt-get install pgbouncer")

CONNECTIONS = 3
"""Server connections for all clients: fewer than processes, so that clients share them."""

STEPS = list(range(6))

SOURCE = """
import os, pathlib, time
import qexp

def f(way, folder, *, context: qexp.Context):
    folder, model = pathlib.Path(folder), {"steps": 0}
    print("printed by", way)
    for epoch in context.resumable(range(6), model, steps=1):
        context.metric(epoch, loss=1 / (epoch + 1))
        context.append("rows", {"epoch": epoch})
        if way == "killed" and context.attempt == 1 and epoch == 3:
            (folder / "pid").write_text(str(os.getpid()))
            time.sleep(600)
        model["steps"] += 1
    context.record(early=model["steps"])
    context.artifact("model.txt", way.encode())
    if way == "fails" and not (folder / "fixed").exists():
        raise ValueError(way)
    return {"way": way, "steps": model["steps"], "attempt": context.attempt}
"""


@pytest.fixture(scope="module")
def pooled(site, tmp_path_factory):
    """PgBouncer in front of the site's Postgres, as the only address for this process and its children."""
    made = PgBouncer(site, tmp_path_factory.mktemp("pgbouncer"), CONNECTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QEXP_DATABASE_URL", made.settings.database_url)
        yield made
    made.stop()


def test_a_study_runs_through_a_pool_of_fewer_connections_than_processes(
    pooled, study, qexp, queue, start_worker, tmp_path
):
    # Given workers with six processes that know only PgBouncer
    for _ in range(2):
        start_worker("-Q", queue, "-c", "2").await_ready()
    values = ["killed", "fails", *(f"plain{number}" for number in range(60))]
    made = study(SOURCE, {"way": values}, settings={"folder": str(tmp_path)}, retries={"crashed": 1, "delay": "0.1s"})

    def count(rows):
        with connect(pooled.settings) as raw:
            rows = f"{rows} JOIN study s ON s.id = e.study WHERE s.name = %s"
            return raw.execute(f"SELECT count(*) FROM {rows}", [made.name]).fetchone()[0]

    # When a study runs, one of its processes is killed, and failed experiments run again
    assert f"{len(values)} new" in made.enqueue()
    eventually((tmp_path / "pid").exists, "the experiment to be in its fourth epoch")
    metric = "experiment e JOIN metric m ON m.experiment = e.id AND m.step = 3 AND e.params->>'way' = 'killed'"
    eventually(lambda: count(metric) == 1, "its metrics to be written")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert made.wait() == 1
    [status] = json.loads(qexp("status", made.name, "--format", "json").stdout)
    assert (status["done"], status["failed"]) == (len(values) - 1, 1)
    assert "1 error  ValueError" in qexp("errors", made.name).stdout
    (tmp_path / "fixed").touch()
    assert qexp("requeue", made.name, "--failed").returncode == 0
    assert made.wait() == 0
    # Then all data exist: results, resumed steps, series, lists, output, files
    frame = load(made.name).set_index("way")
    assert sorted(frame.index) == sorted(values)
    assert (frame["steps"] == len(STEPS)).all()
    assert frame[frame["attempt"] == 2].index.tolist() == ["killed", "fails"]
    killed = metrics(made.name, "loss").query(f"id == {frame.loc['killed', 'id']}")
    assert killed["step"].tolist() == STEPS
    assert killed["attempt"].tolist() == [1, 1, 1, 2, 2, 2]
    assert count("experiment e JOIN entry l ON l.experiment = e.id") >= len(STEPS) * len(values)
    assert count("experiment e JOIN checkpoint c ON c.experiment = e.id") == 0
    assert qexp("export", made.name, "-o", "results.csv").returncode == 0
    assert len((tmp_path / "results.csv").read_text().splitlines()) == len(values) + 1
    assert "printed by killed" in qexp("logs", frame.loc["killed", "id"]).stdout
    assert len(json.loads(qexp("artifacts", made.name, "--format", "json").stdout)) >= len(values)
    assert "✓ Postgres" in qexp("doctor").stdout
    # And there were fewer server processes than clients
    [pool] = [row for row in pooled.show("POOLS") if row["pool_mode"] == "transaction"]
    assert pool["sv_active"] + pool["sv_idle"] + pool["sv_used"] <= CONNECTIONS < pool["cl_active"]


def test_only_pooled_connections_use_no_prepared_statements(site, pooled):
    with connect(site) as direct, connect(pooled.settings) as through:
        assert direct.prepare_threshold is not None
        assert through.prepare_threshold is None
        for _ in range(20):
            assert through.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
