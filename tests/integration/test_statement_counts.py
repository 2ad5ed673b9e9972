"""The number of statements of a command does not grow with the number of experiments."""

import uuid

import pytest
import sqlalchemy
from sqlalchemy import event

from qexp.client import Records
from qexp.client.study import Study
from qexp.errors import UnknownExperimentError, UnknownSourceError
from qexp.grid import Grid
from qexp.store.reads.records import series
from qexp.store.schema.tables import experiment
from qexp.store.selection.selectors import Selection

WORD = 2**63


@pytest.fixture
def study(client, tmp_path):
    """Enqueue a study without workers; return its name and the ids of its experiments."""
    (tmp_path / "experiment.py").write_text("def f(x): ...\n")

    def study(parameters):
        grid = {"study": f"many_{uuid.uuid4().hex[:8]}", "function": "experiment:f", "queue": "nobody"}
        name = client.enqueue(Grid.from_dict({**grid, "parameters": {"x": parameters}}, tmp_path)).study
        return name, [view.id for view in client.experiments(Selection(name))]

    return study


@pytest.fixture
def sent():
    """The list of statements that SQLAlchemy sends."""
    sent = []

    def note(connection, cursor, statement, *_):
        sent.append(statement)

    event.listen(sqlalchemy.Engine, "before_cursor_execute", note)
    yield sent
    event.remove(sqlalchemy.Engine, "before_cursor_execute", note)


ASKED = {
    "experiments": lambda client, name, ids: client.experiments(Selection(name, ids)),
    "show": lambda client, name, ids: client.show(Selection(name, ids)),
    "count_by_status": lambda client, name, ids: client.count_by_status(Selection(name, ids)),
    "cancel": lambda client, name, ids: client.cancel(Selection(name, ids)),
    "requeue": lambda client, name, ids: Study(name, client).requeue(ids=[first for first, _ in ids]),
}


@pytest.mark.parametrize("verb", ASKED)
def test_a_command_sends_as_many_statements_for_many_ids_as_for_two(client, study, sent, verb):
    # Given every other experiment, so that no two ids form a range
    name, ids = study({"range": [0, 200]})
    meant = tuple((number, number) for number in ids[::2])
    # When the command gets two of them, then all
    client.cancel(Selection(name))
    sent.clear()
    ASKED[verb](client, name, meant[:2])
    few = list(sent)
    client.cancel(Selection(name))
    sent.clear()
    ASKED[verb](client, name, meant)
    # Then it sends the same statements
    assert few
    assert sent == few


def test_ranges_of_ids_of_any_length_choose_exactly_their_ids(client, study):
    name, ids = study({"range": [0, 1_200]})
    first = ids[0]
    ranges = ((first + 3, first + 3), (first + 10, first + 12), (first + 11, first + 1_150), (first + 1_199, WORD * 4))
    found = [view.id - first for view in client.experiments(Selection(name, ranges))]
    assert found == [3, *range(10, 1_151), 1_199]


def test_the_first_of_many_ids_that_is_unknown_is_named(client, study):
    name, ids = study([1, 2, 3])
    for unknown, shown in (
        ((WORD + 5, WORD + 5), str(WORD + 5)),
        ((7 * 10**17, 8 * 10**17), f"{7 * 10**17}-{8 * 10**17}"),
    ):
        chosen = ((ids[0], ids[1]), unknown, (-5, -5))
        with pytest.raises(UnknownExperimentError, match=f"has the id {shown}: the last id is {ids[2]};"):
            client.experiments(Selection(name, chosen))


def test_an_id_or_attempt_beyond_the_range_of_its_column_is_unknown(client, study):
    name, (number,) = study([1])
    with pytest.raises(UnknownExperimentError, match=f"no experiment has the id {WORD}"):
        client.explain(WORD)
    with pytest.raises(UnknownExperimentError, match=f"no experiment has the id {WORD}"):
        Records(client).output(WORD)
    with pytest.raises(UnknownSourceError, match=f"attempt {WORD}"):
        Records(client).source(number, WORD)
    assert len(client.experiments(Selection(name), limit=WORD)) == 1


def test_a_number_beyond_the_range_of_floats_is_null_in_a_column_of_floats(client, raw, study):
    name, _ = study([0.5, 10**400])
    assert raw.execute(f"SELECT x FROM study_{name} ORDER BY id").fetchall() == [(0.5,), (None,)]


def attempts(raw, number, spans):
    """Record a series in several attempts of an experiment, each with a range of steps."""
    for attempt, (first, last) in enumerate(spans, 1):
        raw.execute(
            "INSERT INTO metric (experiment, attempt, name, step, value, at) "
            "SELECT %s, %s, 'loss', step, %s, now() FROM generate_series(%s::int, %s::int) step",
            [number, attempt, attempt, first, last],
        )
    raw.execute("ANALYZE metric")


def test_a_series_continues_where_each_later_attempt_started(client, raw, study):
    name, (number,) = study([1])
    attempts(raw, number, [(0, 9), (5, 7), (3, 4), (6, 6)])
    frame = Records(client).metrics(Selection(name))
    assert frame[["step", "attempt"]].values.tolist() == [[0, 1], [1, 1], [2, 1], [3, 3], [4, 3], [6, 4]]
    assert len(Records(client).metrics(Selection(name), every=True)) == 16


def _rows(plan):
    """Return how many rows the nodes of a plan have read."""
    removed = sum(value for key, value in plan.items() if key.startswith("Rows Removed by"))
    here = (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    return here + sum(_rows(part) for part in plan.get("Plans", []))


def test_reading_a_series_of_double_length_takes_double_the_work(client, raw, study):
    looked = []
    for length in (1_000, 2_000):
        _, (number,) = study([1])
        attempts(raw, number, [(0, length - 1), (length, 2 * length - 1)])
        sent = []
        with client.begin() as connection:
            event.listen(connection, "before_cursor_execute", lambda *args: sent.append(args[2:4]))  # noqa: B023
            assert sum(1 for _ in series(connection, experiment.c.id == number)) == 2 * length
        ((statement, values),) = sent
        with client.begin() as connection:
            query = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            (plan,) = connection.exec_driver_sql(query, values).scalar_one()
        looked.append(_rows(plan["Plan"]))
    assert looked[1] < 3 * looked[0]
