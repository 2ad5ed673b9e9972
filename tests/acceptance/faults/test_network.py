"""The network between one worker and a service is slow, silent or cut, and heals."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from acceptance.faults.proxy import Proxy
from acceptance.faults.support import LEASE, assert_consistent
from tests_support import eventually

LONG = [pytest.param("cut", marks=pytest.mark.slow), "silence"]


@pytest.fixture
def postgres(own):
    """A proxy before Postgres, and the environment of a worker behind it."""
    parts = urlsplit(own.settings.database_url)
    socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    made = Proxy(socket)
    user, password = quote(parts.username), quote(parts.password)
    url = f"postgresql://{user}:{password}@127.0.0.1:{made.port}{parts.path}"
    yield made, {"QEXP_DATABASE_URL": url}
    made.close()


@pytest.fixture
def broker(own):
    """A proxy before the broker, and the environment of a worker behind it."""
    parts = urlsplit(own.settings.broker_url)
    made = Proxy(("127.0.0.1", parts.port))
    yield made, {"QEXP_BROKER_URL": f"redis://:{quote(parts.password)}@127.0.0.1:{made.port}/0"}
    made.close()


def given_up(own, worker):
    query = "SELECT FROM worker WHERE stopped_at IS NOT NULL AND name ~ %s"
    eventually(lambda: own.rows(query, worker.name), "the worker to be recovered")


@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_short_break_between_a_worker_and_postgres_changes_nothing(own, postgres, fault):
    # Given a worker that runs two experiments and is cut off from Postgres
    proxy, environ = postgres
    study = own.study(6, gated=True)
    worker = own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    study.enqueue()
    study.await_begun(2)
    getattr(proxy, fault)()
    # When they end meanwhile, and the network heals before the lease ends
    study.open_gate()
    eventually(lambda: len(study.running()) == 0, "both to end")
    if fault == "cut":
        worker.await_text("waits for Postgres")
    proxy.heal()
    # Then both are recorded, and the worker runs the others
    study.await_closed()
    assert_consistent(study, 6, {"done": 6})


@pytest.mark.parametrize("fault", LONG)
def test_experiments_of_a_worker_that_is_cut_off_from_postgres_run_elsewhere(own, postgres, fault):
    # Given a worker that runs two experiments, and another worker that leads
    proxy, environ = postgres
    study = own.study(2, gated=True, retries={"crashed": 0, "lost": 9, "delay": "0.1s"})
    other = own.worker("-Q", "nothing", "-c", "1").await_ready()
    worker = own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    study.enqueue()
    study.await_begun(2)
    # When it is cut off for longer than the lease, and reconnects after the recovery
    getattr(proxy, fault)()
    given_up(own, worker)
    own.worker("-Q", study.queue, "-c", "2")
    study.await_begun(4)
    proxy.heal()
    worker.await_text("missed its lease")
    study.open_gate()
    # Then each experiment has the result of its second attempt
    study.await_closed()
    assert_consistent(study, 2, {"done": 2, "lost": 2})
    assert worker.alive and other.alive


def test_a_worker_that_comes_back_after_the_lease_keeps_its_new_attempts(own, postgres):
    """An end of them would fail experiments without retries of crashes."""
    proxy, environ = postgres
    study = own.study(60, settings={"seconds": 0.2}, retries={"crashed": 0, "lost": 9, "delay": "0.1s"})
    own.worker("-Q", "nothing", "-c", "1").await_ready()
    worker = own.worker("-Q", study.queue, "-c", "2", QEXP_HEARTBEAT="2", **environ).await_ready()
    study.enqueue()
    study.await_done(4)
    proxy.cut()
    given_up(own, worker)
    proxy.heal()
    study.await_closed()
    assert_consistent(study, 60, among={"lost"}, unbegun=True)


def test_a_slow_network_to_postgres_only_costs_time(own, postgres):
    proxy, environ = postgres
    study = own.study(10)
    own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    proxy.delay = 0.05
    study.enqueue()
    study.await_closed()
    assert_consistent(study, 10, {"done": 10})


def test_repeated_resets_of_connections_to_postgres_lose_nothing(own, postgres):
    proxy, environ = postgres
    study = own.study(120, settings={"seconds": 0.01})
    own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    study.enqueue()
    for number in range(10, 120, 10):
        study.await_done(number)
        proxy.reset()
    study.await_closed()
    assert_consistent(study, 120, {"done": 120})


@pytest.mark.parametrize("fault", LONG)
def test_a_worker_that_is_cut_off_from_the_broker_finishes_its_experiments_and_reconnects(own, broker, fault):
    # Given a worker that runs two experiments and is cut off from the broker for longer than the lease
    proxy, environ = broker
    study = own.study(6, gated=True)
    worker = own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    study.enqueue()
    study.await_begun(2)
    getattr(proxy, fault)()
    # When they end meanwhile
    study.open_gate()
    study.await_done(2)
    query = "SELECT FROM worker WHERE name ~ %s AND last_seen > started_at + make_interval(secs => %s)"
    eventually(lambda: own.rows(query, worker.name, LEASE + 1), "heartbeats for longer than the lease")
    proxy.heal()
    # Then it runs the others when the network has healed
    study.await_closed()
    assert_consistent(study, 6, {"done": 6})


def test_repeated_resets_of_connections_to_the_broker_lose_nothing(own, broker):
    proxy, environ = broker
    study = own.study(120, settings={"seconds": 0.01})
    own.worker("-Q", study.queue, "-c", "2", **environ).await_ready()
    study.enqueue()
    for number in (10, 30, 50, 70, 90):
        study.await_done(number)
        proxy.reset()
    study.await_closed(90)
    assert_consistent(study, 120, {"done": 120})
