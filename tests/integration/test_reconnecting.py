"""Reconnecting connections retry lost connections, and pass other errors on."""

import psycopg
import pytest

from qexp.errors import DatabaseUnreachableError, ServiceError
from qexp.store.reconnecting import REFUSALS, ReconnectingConnection


@pytest.fixture
def postgres(client):
    made = ReconnectingConnection(client.settings)
    yield made
    made.release()


def test_a_lost_connection_is_one_error_and_the_next_action_opens_another_one(postgres):
    with pytest.raises(DatabaseUnreachableError) as caught:
        postgres.run(lambda raw: raw.execute("SELECT pg_terminate_backend(pg_backend_pid())"), "the test", patience=0)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    assert postgres.run(lambda raw: raw.execute("SELECT 1").fetchone(), "the test") == (1,)


def test_an_action_is_repeated_on_another_connection_until_its_timeout(postgres):
    ends = ["SELECT pg_terminate_backend(pg_backend_pid())"]
    assert postgres.run(lambda raw: raw.execute(ends.pop() if ends else "SELECT 1").fetchone(), "the test") == (1,)


def test_a_postgres_that_lacks_resources_is_not_asked_again(postgres):
    full = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(ServiceError, match="no space left") as caught:
        postgres.run(lambda raw: raw.execute(full), "the test")
    assert not isinstance(caught.value, DatabaseUnreachableError)


def test_a_refused_value_passes_unchanged(postgres):
    with pytest.raises(REFUSALS) as caught:
        postgres.run(lambda raw: raw.execute("SELECT 'x'::int"), "the test")
    assert isinstance(caught.value, psycopg.DataError)
