"""Groups of errors: how many messages a group has, and which of them it shows."""

import uuid

import pytest

from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.reads import error_groups
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming, worker_rows


@pytest.fixture
def failed(client, raw, tmp_path):
    """Return a function that makes a study whose experiments fail in order, with these groups and messages."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")
    worker = uuid.uuid4()
    worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", ["nobody"], 2))

    def failed(*errors):
        name = f"groups_{uuid.uuid4().hex[:8]}"
        grid = {"study": name, "function": "experiment:f", "parameters": {"x": list(range(len(errors)))}}
        client.enqueue(Grid.from_dict({**grid, "queue": "nobody", "retries": {"error": 0}}, tmp_path))
        for view, (group, message) in zip(client.experiments(Selection(name)), errors, strict=True):
            error = Error(Failure.ERROR, "ValueError", message, "f.py:1 in f", group * 12)
            assert claiming.finish(raw, claiming.claim(raw, view.id, worker, 1), Outcome(error=error))
        return name

    return failed


def facts(groups):
    return [(group.count, group.error_message, group.messages, group.other_messages) for group in groups]


def test_a_group_shows_its_newest_message_and_two_others_and_counts_all(client, failed):
    one = failed(("a", "one"), ("a", "two"), ("b", "same"), ("a", "one"), ("b", "same"), ("a", "three"), ("a", "four"))
    assert facts(client.errors(parse([one]))) == [(5, "four", 4, ("three", "one")), (2, "same", 1, ())]


def test_the_newest_message_may_have_occurred_before(client, failed):
    one = failed(("a", "old"), ("a", "often"), ("a", "other"), ("a", "often"))
    assert facts(client.errors(parse([one]))) == [(4, "often", 3, ("other", "old"))]


def test_only_the_last_attempt_of_a_chosen_experiment_counts(client, raw, failed, worker):
    # Given a study whose experiments failed, and one of them again with another message
    name = failed(("a", "first"), ("a", "second"))
    (again,) = client.requeue(parse([name], where="x = 0")).ids
    error = Error(Failure.ERROR, "ValueError", "third", "f.py:1 in f", "a" * 12)
    assert claiming.finish(raw, claiming.claim(raw, again, worker(), 1), Outcome(error=error))
    # Then its first message is gone, and a condition leaves out others
    assert facts(client.errors(parse([name]))) == [(2, "third", 2, ("second",))]
    assert facts(client.errors(parse([name], where="x = 1"))) == [(1, "second", 1, ())]


def test_a_group_names_its_studies_and_not_the_others(client, failed):
    names = failed(("c", "x"), ("d", "y")), failed(("c", "x")), failed(("e", "z"))
    found = {group.fingerprint[0]: group.studies for group in client.errors(parse(names))}
    assert found == {"c": tuple(sorted(names[:2])), "d": (names[0],), "e": (names[2],)}


def test_messages_that_are_too_long_to_compare_are_not_counted(client, failed):
    long = "x" * 9_000
    name = failed(("a", long + "1"), ("a", long + "2"), ("a", "y" + long), ("b", long))
    found = facts(client.errors(parse([name])))
    assert found == [(3, "y" + long, None, (long[:2_000],)), (1, long, 1, ())]


def test_of_many_failures_some_messages_are_compared_and_none_is_counted(client, failed, monkeypatch):
    monkeypatch.setattr(error_groups, "_READ", 4)
    name = failed(*[("a", str(number)) for number in range(5)], ("b", "only"))
    assert facts(client.errors(parse([name]))) == [(5, "4", None, ("3",)), (1, "only", 1, ())]


def test_errors_of_all_studies_have_those_of_each(client, failed):
    names = failed(("f", "x")), failed(("f", "y"))
    (group,) = [group for group in client.errors(parse([])) if group.fingerprint == "f" * 12]
    assert set(names) <= set(group.studies)
