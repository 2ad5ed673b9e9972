"""Reads see one moment of the database, and cannot write."""

import pytest
from sqlalchemy import text

from qexp.client.explain import gather
from qexp.client.tables_and_comparisons import snapshot
from qexp.errors import UnknownExperimentError
from qexp.store.reads import explain_data


def test_a_snapshot_is_of_one_moment_and_cannot_write(client):
    with snapshot(client) as connection:
        query = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
        assert connection.execute(text(query)).one() == ("repeatable read", "on")


def test_an_experiment_that_is_deleted_while_it_is_explained_is_unknown(client, monkeypatch):
    # Given an experiment that is gone after the first of the two transactions of an explanation
    monkeypatch.setattr(explain_data, "waits_on", lambda connection, experiment: None)
    number = 2**62
    # Then its explanation is refused as for any unknown id
    with pytest.raises(UnknownExperimentError, match=str(number)):
        gather(client.settings, client.begin, number)
