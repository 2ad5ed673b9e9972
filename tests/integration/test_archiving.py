"""Archived studies are left out of overviews, and come back with new work."""

import pytest

from qexp.client import Client
from qexp.client.listings.studies import studies
from qexp.client.study import Study
from qexp.errors import BusyStudyError
from qexp.store.selection.selectors import parse


def listed(client, archived=False):
    return [progress.study for progress in studies(archived=archived, client=client)]


def test_an_archived_study_is_left_out_of_overviews_and_stays_loadable(client, finished_study):
    # Given a finished study
    made = finished_study({"seed": [0, 1]})
    study = Study(made.name, client)
    assert made.name in listed(client)
    # When it is archived, twice
    assert (study.archive(), study.archive()) == (True, False)
    # Then overviews lack it, and its name still loads it
    assert made.name not in listed(client)
    assert made.name in listed(client, archived=True)
    assert len(study.frame()) == 2
    assert study.status().archived_at is not None
    # When it is brought back, then overviews have it again
    assert (study.unarchive(), study.unarchive()) == (True, False)
    assert made.name in listed(client)
    assert made.name not in listed(client, archived=True)


def test_a_study_with_unfinished_experiments_is_not_archived(client, make_study):
    made = make_study().enqueue(parameters={"seed": [0, 1]})
    with pytest.raises(BusyStudyError, match=f"2 experiments have not finished; .*'qexp cancel {made.name}'"):
        client.archive(made.name)
    client.cancel(parse([made.name]))
    assert client.archive(made.name)


def test_new_work_brings_an_archived_study_back(client, finished_study):
    made = finished_study({"seed": [0]})
    # When the same grid is enqueued again, then the study is back, although nothing is new
    client.archive(made.name)
    made.enqueue(parameters={"seed": [0]})
    assert made.name in listed(client)
    # When code adds an experiment, then the study is back
    client.archive(made.name)
    assert client.extend(made.name, [{"seed": 1}]).unarchived
    assert made.name in listed(client)
    # When an experiment is requeued, then the study is back
    client.cancel(parse([made.name]))
    client.archive(made.name)
    assert client.requeue(parse([made.name], ["done"])).unarchived == [made.name]
    assert made.name in listed(Client(client.settings))
