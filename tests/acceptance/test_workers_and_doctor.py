"""`qexp workers` lists the workers of a site, and `qexp doctor` checks the whole site."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import redis
from tests_support import eventually

from qexp.client.doctor import examine, exit_status
from qexp.services import valkey

WAITS = """
import pathlib, time
def f(x, folder):
    while not (pathlib.Path(folder) / "go").exists():
        time.sleep(0.02)
    return x
"""

A_WORKER = (
    "INSERT INTO worker (id, host, pid, name, queues, concurrency)"
    " VALUES (gen_random_uuid(), %s, 1, 'celery', '{qexp}', 1)"
)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """An environment with separate services for this module; they end with it."""
    environ = {**os.environ, "QEXP_HOME": str(tmp_path_factory.mktemp("site") / "home"), "QEXP_HEARTBEAT": "0.2"}

    def qexp(*arguments, cwd=None, **more):
        line = [sys.executable, "-m", "qexp", *arguments]
        return subprocess.run(
            line, env=environ | more, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
        )

    assert qexp("up").returncode == 0
    assert qexp("db", "migrate").returncode == 0
    urls = json.loads(qexp("config", "--reveal", "--format", "json").stdout)
    yield SimpleNamespace(qexp=qexp, environ=environ, database=urls["database_url"], broker=urls["broker_url"])
    qexp("down", "-y")


@pytest.fixture
def site(services, tmp_path):
    """An empty site, with functions that run commands, start workers, enqueue and diagnose."""
    with raw(services) as connection, redis.Redis.from_url(services.broker) as broker:
        connection.execute("TRUNCATE study, worker, leader CASCADE")
        broker.flushdb()
    started = []

    def qexp(*arguments, **environ):
        return services.qexp(*arguments, cwd=tmp_path, **environ)

    def start(*options, **environ):
        line = [sys.executable, "-m", "celery", "-A", "qexp", "worker", "-l", "INFO", *options]
        with (tmp_path / f"log-{len(started)}").open("wb") as log:
            process = subprocess.Popen(
                line, cwd=tmp_path, env=services.environ | environ, stdout=log, stderr=log, start_new_session=True
            )
        started.append(process)
        text = Path(log.name).read_text
        eventually(lambda: " ready." in text() or process.poll() is not None, "a worker to be ready")
        assert process.poll() is None, text()
        return process

    def enqueue(code, /, **keys):
        (tmp_path / "experiment.py").write_text(code)
        grid = {"study": "digits", "function": "experiment:f", "parameters": {"x": [1]}, **keys}
        (tmp_path / "grid.yaml").write_text(json.dumps(grid))
        done = qexp("enqueue", "grid.yaml")
        assert done.returncode == 0, done.stderr

    def workers(*options, **environ):
        return json.loads(qexp("workers", *options, "--format", "json", **environ).stdout)

    def doctor(**environ):
        """Return the exit status of the command, and the first finding of each check."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in (services.environ | environ).items():
                patch.setenv(name, value)
            findings = list(examine())
        return exit_status(findings), {finding.name: vars(finding) for finding in reversed(findings)}

    yield SimpleNamespace(qexp=qexp, start=start, enqueue=enqueue, workers=workers, doctor=doctor, folder=tmp_path)
    for process in started:
        kill(process)


def raw(services):
    return psycopg.connect(services.database, autocommit=True)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lines_fit(text):
    return max(map(len, text.splitlines())) <= 80


def failed(found):
    return {name for name, finding in found.items() if finding["verdict"] == "failed"}


def skipped(found):
    return {name for name, finding in found.items() if finding["verdict"] == "skipped"}


OF_POSTGRES = {"schema", "rights", "clock", "connections", "workers", "queues", "progress", "functions", "deletions"}


def test_without_workers_the_list_names_the_command_to_start_one(site):
    done = site.qexp("workers")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no worker is running; start one with 'celery -A qexp worker'\n"
    assert site.workers() == []


def test_an_idle_worker_is_shown_with_its_queues_and_as_the_leader(site):
    site.start("-c", "2", "-Q", "qexp,gpu", "-n", "first@%h")
    eventually(lambda: site.workers()[0]["leads"], "the worker to lead")
    (worker,) = site.workers()
    assert (worker["state"], worker["concurrency"], worker["running"]) == ("idle", 2, {})
    assert (worker["host"], sorted(worker["queues"])) == (socket.gethostname(), ["gpu", "qexp"])
    text = site.qexp("workers").stdout
    assert re.search(r"first@\S+ \*  +idle +(\d+ s ago|now) +(\d+ s ago|now) ", text)
    assert lines_fit(text)


def test_a_busy_worker_is_shown_with_its_experiments(site):
    site.start("-c", "2")
    site.enqueue(WAITS, settings={"folder": str(site.folder)})
    eventually(lambda: site.workers()[0]["state"] == "busy", "the experiment to run")
    (worker,) = site.workers()
    ((study, (number,)),) = worker["running"].items()
    assert study == "digits"
    text = site.qexp("workers").stdout
    assert re.search(rf" busy 1/2 .* digits #{number}\n", text)
    assert lines_fit(text)
    (site.folder / "go").touch()
    eventually(lambda: site.workers()[0]["state"] == "idle", "the experiment to end")


def test_a_killed_worker_becomes_silent_and_is_lost_after_its_recovery(site):
    # Given a worker that is killed while it runs an experiment
    killed = site.start("-c", "1", "-n", "killed@%h")
    site.enqueue(WAITS, settings={"folder": str(site.folder)})
    eventually(lambda: site.workers()[0]["state"] == "busy", "the experiment to run")
    kill(killed)
    # Then it is silent after the lease
    eventually(lambda: site.workers(QEXP_LEASE="1")[0]["state"] == "silent", "the worker to be silent")
    assert "silent" in site.qexp("workers", QEXP_LEASE="1").stdout
    _, found = site.doctor(QEXP_LEASE="1")
    assert (found["workers"]["verdict"], found["workers"]["repair"]) == ("warning", "celery -A qexp worker")
    # And after another worker has recovered its experiment, only --all shows it
    site.start("-c", "1", "-n", "other@%h", QEXP_LEASE="1")
    eventually(lambda: [worker["name"][:6] for worker in site.workers()] == ["other@"], "only the other worker")
    assert [worker["state"] for worker in site.workers("--all", QEXP_LEASE="1")][1:] == ["lost"]


def test_a_stopped_worker_is_shown_only_with_all(site):
    stopped = site.start("-c", "1")
    stopped.terminate()
    eventually(lambda: stopped.poll() is not None, "the worker to stop")
    assert site.workers() == []
    (worker,) = site.workers("--all")
    assert worker["state"] == "stopped"
    done = site.qexp("workers", "--all")
    assert "stopped" in done.stdout
    assert "celery -A qexp worker" in done.stderr


def test_a_healthy_site_has_no_findings(site, services):
    site.enqueue("def f(x): return x")
    site.start("-c", "1")
    assert site.qexp("wait", "digits", "--timeout", "120").returncode == 0
    done = site.qexp("doctor")
    assert done.returncode == 0, done.stdout
    assert {line[0] for line in done.stdout.splitlines()} == {"✓"}, done.stdout
    assert done.stderr == "nothing is broken\n"
    assert list((Path(services.environ["QEXP_HOME"]) / "artifacts").iterdir()) == []
    done = site.qexp("doctor", "--format", "json")
    assert (done.returncode, {finding["verdict"] for finding in json.loads(done.stdout)}) == (0, {"ok"})


def test_a_postgres_that_is_down_is_named_and_its_checks_are_skipped(site):
    status, found = site.doctor(QEXP_DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/lab")
    assert status == 3
    assert failed(found) == {"Postgres"}
    assert skipped(found) == OF_POSTGRES
    assert found["Postgres"]["found"].lower() == "127.0.0.1:1: connection refused"
    assert "QEXP_DATABASE_URL" in found["Postgres"]["repair"]
    assert "hidden" not in json.dumps(found)
    done = site.qexp("doctor", QEXP_DATABASE_URL="postgresql://me:hidden@127.0.0.1:1/lab")
    assert done.returncode == 3
    assert "- skipped      needs Postgres: schema, rights, clock, connections\n" in done.stdout


def test_embedded_services_that_are_not_up_are_repaired_by_up(site, tmp_path):
    status, found = site.doctor(QEXP_HOME=str(tmp_path / "home"))
    assert status == 3
    assert failed(found) == {"Postgres", "broker"}
    assert found["Postgres"]["repair"] == found["broker"]["repair"] == found["embedded"]["repair"] == "qexp up"


def test_a_services_file_of_dead_services_is_called_stale(site, tmp_path):
    (tmp_path / "home").mkdir()
    urls = {"database_url": "postgresql://me@127.0.0.1:1/lab", "broker_url": "redis://127.0.0.1:1/0"}
    (tmp_path / "home" / "services.json").write_text(json.dumps(urls))
    status, found = site.doctor(QEXP_HOME=str(tmp_path / "home"))
    assert status == 3
    assert "services.json" in found["embedded"]["found"]
    assert found["embedded"]["repair"] == "qexp up"


def test_a_wrong_password_differs_from_a_server_that_is_down(site, services):
    wrong = services.database.replace("qexp:", "qexp:hidden", 1)
    status, found = site.doctor(QEXP_DATABASE_URL=wrong)
    assert (status, failed(found)) == (3, {"Postgres"})
    assert "password authentication failed" in found["Postgres"]["found"]
    assert found["Postgres"]["repair"].startswith("correct the user and password of QEXP_DATABASE_URL")
    status, found = site.doctor(QEXP_BROKER_URL=services.broker.replace("://:", "://:hidden"))
    assert (status, failed(found)) == (3, {"broker"})
    assert found["broker"]["repair"].startswith("correct the user and password of QEXP_BROKER_URL")
    assert "hidden" not in json.dumps(found)


def test_a_broker_that_is_down_is_named_and_its_checks_are_skipped(site):
    status, found = site.doctor(QEXP_BROKER_URL="redis://:hidden@127.0.0.1:1/0")
    assert (status, failed(found), skipped(found)) == (3, {"broker"}, {"memory"})


def test_services_that_do_not_answer_time_out(site):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        urls = {
            "QEXP_DATABASE_URL": f"postgresql://me:hidden@127.0.0.1:{port}/lab",
            "QEXP_BROKER_URL": f"redis://:hidden@127.0.0.1:{port}/0",
        }
        status, found = site.doctor(**urls, QEXP_CONNECT_TIMEOUT="2")
    assert (status, failed(found)) == (3, {"Postgres", "broker"})
    assert all("no answer within 2 s" in found[name]["found"] for name in ("Postgres", "broker"))


def test_a_broker_with_eviction_is_a_failure_if_its_memory_has_a_limit(site, tmp_path):
    path = tmp_path / "socket"
    line = [valkey.server_program(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path]
    options = ["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*line, *options], stdout=log, stderr=log)
    try:
        eventually(path.exists, "a Valkey that evicts")
        url = f"redis+socket://{path}"
        status, found = site.doctor(QEXP_BROKER_URL=url)
        assert (status, failed(found)) == (2, {"memory"})
        assert "allkeys-lru" in found["memory"]["found"]
        assert found["memory"]["repair"].endswith("CONFIG SET maxmemory-policy noeviction")
        with redis.Redis(unix_socket_path=str(path)) as client:
            client.config_set("maxmemory", 0)
        status, found = site.doctor(QEXP_BROKER_URL=url)
        assert (status, found["memory"]["verdict"]) == (0, "warning")
        with redis.Redis(unix_socket_path=str(path)) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1000)
        _, found = site.doctor(QEXP_BROKER_URL=url)
        assert (found["memory"]["verdict"], found["memory"]["expected"]) == ("warning", "less than 80%")
    finally:
        process.kill()
        process.wait()


def test_a_queue_without_workers_is_named_with_the_worker_to_start(site):
    site.start("-c", "1")
    site.enqueue("def f(x): return x", queue="gpu", parameters={"x": [1, 2]})
    done = site.qexp("doctor")
    assert done.returncode == 2
    assert "✗ queues       gpu: 2 experiments waiting, but no live worker listens on it\n" in done.stdout
    assert "repair    celery -A qexp worker -Q gpu\n" in done.stdout


def test_experiments_that_an_idle_worker_does_not_take_are_reported(site, services):
    site.enqueue("def f(x): return x")
    with raw(services) as connection:
        connection.execute(A_WORKER, ["node1"])
        assert site.doctor()[1]["progress"]["verdict"] == "ok"
        connection.execute("UPDATE experiment SET queued_at = now() - interval '1 hour'")
    _, found = site.doctor()
    assert found["progress"]["verdict"] == "warning"
    assert found["progress"]["found"].startswith("1 experiment of digits ")
    for command in found["progress"]["repair"].split("; "):
        assert site.qexp(*command.split()[1:]).returncode == 0
    assert site.doctor()[1]["progress"]["verdict"] == "ok"


def test_a_quarantined_worker_counts_for_no_queue(site, services):
    site.enqueue("def f(x): return x")
    with raw(services) as connection:
        connection.execute(A_WORKER, ["node1"])
        assert site.doctor()[0] == 0
        connection.execute("UPDATE worker SET quarantined_at = now(), quarantine_reason = 'no GPU'")
    status, found = site.doctor()
    assert (status, failed(found)) == (2, {"queues"})
    assert "no GPU" in found["workers"]["found"]
    assert [worker["state"] for worker in site.workers()] == ["quarantined"]


def test_waiting_experiments_of_a_paused_study_need_no_worker(site):
    site.enqueue("def f(x): return x")
    assert failed(site.doctor()[1]) == {"queues"}
    assert site.qexp("pause", "digits").returncode == 0
    assert failed(site.doctor()[1]) == set()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (None, "no module is named 'experiment'"),
        ("def g(x): ...", "experiment has no 'f'"),
        ("print('talk'); import os; os._exit(3)", "importing experiment called os._exit(3)"),
        ("print('talk'); import os; os.kill(os.getpid(), 9)", "ended its process with status -9"),
    ],
)
def test_a_function_that_cannot_be_imported_any_more_is_named(site, now, words):
    site.start("-c", "1", "-Q", "other")
    for source, verdict in (("snapshot", "warning"), ("installed", "failed")):
        site.enqueue("def f(x): return x", source=source)
        if now is None:
            (site.folder / "experiment.py").unlink()
        else:
            (site.folder / "experiment.py").write_text(now)
        _, found = site.doctor()
        assert found["functions"]["verdict"] == verdict
        assert found["functions"]["found"].startswith("digits: ")
        assert words in found["functions"]["found"]


def test_imports_that_do_not_end_time_out(site):
    site.enqueue("def f(x): return x")
    (site.folder / "experiment.py").write_text("import threading\nthreading.Event().wait()\n")
    _, found = site.doctor(QEXP_CONNECT_TIMEOUT="0.3")
    assert found["functions"]["verdict"] == "warning"
    assert "importing experiment:f of digits is not finished" in found["functions"]["found"]


def test_a_folder_that_is_not_on_this_host_is_a_note(site, services):
    site.enqueue("def f(x): return x")
    with raw(services) as connection:
        connection.execute("UPDATE study SET folder = '/on/another/host'")
    _, found = site.doctor()
    assert (found["functions"]["verdict"], found["functions"]["found"]) == (
        "ok",
        "the folders of these studies are not on this host: digits",
    )


def test_unreadable_settings_are_named_and_all_other_checks_are_skipped(site):
    (site.folder / "qexp.toml").write_text("home = ")
    status, found = site.doctor()
    assert (status, failed(found)) == (2, {"settings"})
    assert "qexp.toml" in found["settings"]["found"]
    assert len(skipped(found)) == len(found) - 1


@pytest.mark.parametrize(
    ("version", "verdict", "repair"),
    [("0000", "warning", "qexp db migrate"), ("9999", "failed", "pip install --upgrade qexp")],
)
def test_tables_of_another_version_are_named(site, services, version, verdict, repair):
    with raw(services) as connection:
        ((current,),) = connection.execute("SELECT version_num FROM alembic_version")
        connection.execute("UPDATE alembic_version SET version_num = %s", [version])
        try:
            _, found = site.doctor()
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", [current])
    assert (found["schema"]["verdict"], found["schema"]["repair"]) == (verdict, repair)
    assert skipped(found) == {"workers", "queues", "progress", "functions", "deletions"}


def test_the_missing_rights_of_a_read_only_role_are_named(site, services):
    url = services.database.replace(services.database.partition("//")[2].partition("@")[0], "reader:secret")
    with raw(services) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'secret'")
        try:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            status, found = site.doctor(QEXP_DATABASE_URL=url)
            assert (status, failed(found)) == (2, {"rights"})
            assert "reader lacks CREATE on schema public" in found["rights"]["found"]
            connection.execute("GRANT CREATE ON SCHEMA public TO reader")
            _, found = site.doctor(QEXP_DATABASE_URL=url)
            grant = re.search("'(GRANT .*)'", found["rights"]["repair"])[1]
            connection.execute(grant)
            _, found = site.doctor(QEXP_DATABASE_URL=url)
            assert found["rights"]["verdict"] == "ok"
        finally:
            connection.execute("DROP OWNED BY reader")
            connection.execute("DROP ROLE reader")


def test_files_that_workers_of_other_hosts_cannot_see_give_a_warning(site, services):
    with raw(services) as connection:
        for host in ("node1", "node2"):
            connection.execute(A_WORKER, [host])
    _, found = site.doctor()
    assert found["artifacts"]["verdict"] == "warning"
    assert "node1, node2" in found["artifacts"]["found"]
    _, found = site.doctor(QEXP_ARTIFACTS=f"file://{site.folder}")
    assert found["artifacts"]["verdict"] == "ok"


def test_a_place_for_files_that_cannot_be_written_is_a_failure(site):
    (site.folder / "file").touch()
    status, found = site.doctor(QEXP_ARTIFACTS=str(site.folder / "file"))
    assert (status, failed(found)) == (2, {"artifacts"})
