"""Sort keys: any column by its name in frames, missing values last in both directions, ties by id."""

import math
import uuid

import pandas as pd
import pytest

import qexp
from qexp.client import Client
from qexp.errors import SelectorError
from qexp.grid import Grid
from qexp.model import Error, Failure, Outcome
from qexp.store.connection import connect
from qexp.store.selection.selectors import Selection, parse
from qexp.store.writes import claiming, worker_rows

MISSING = object()
RESULTS = [
    {"y": 0.5, "train": {"acc": 3}, "n": "b"},
    {"y": math.nan, "train": {"acc": 1}, "n": "a"},
    {"y": "diverged", "train": {}},
    {"y": -math.inf, "val/loss": 2},
    {"y": 10, "val/loss": 1},
    {"y": None},
    {"y": 9, "n": "B"},
    {"y": math.inf},
    {"y": 0.5, "n": "a"},
    {"y": "early"},
    {"y": [2]},
    {},
]


@pytest.fixture(scope="module")
def made(site, tmp_path_factory):
    """A client, and a study whose nth experiment has the nth of the results; the last two are failed and queued."""
    folder = tmp_path_factory.mktemp("sorting")
    (folder / "experiment.py").write_text("def f(n, lr, kind): ...\n")
    name, client = f"sort_{uuid.uuid4().hex[:8]}", Client(site)
    rows = [{"n": number, "lr": 0.1 * (number % 3), "kind": "ab"[number % 2]} for number in range(len(RESULTS) + 2)]
    client.migrate()
    client.enqueue(Grid.from_dict({"study": name, "function": "experiment:f", "include": rows, "queue": name}, folder))
    with connect(site) as raw:
        worker = uuid.uuid4()
        worker_rows.register(raw, worker, worker_rows.WorkerInfo("here", 1, "worker@here", [name], 1))
        raw.execute(
            "UPDATE experiment SET status = 'queued' WHERE study = (SELECT id FROM study WHERE name = %s)", [name]
        )
        views = client.experiments(Selection(name))
        for view, result in zip(views, RESULTS, strict=False):
            claiming.finish(raw, claiming.claim(raw, view.id, worker, 1), Outcome(result=result))
        error = Error(Failure.ERROR, "ValueError", "no", fingerprint="ab12")
        claiming.finish(raw, claiming.claim(raw, views[-2].id, worker, 1), Outcome(error=error))
        raw.execute("UPDATE study SET results = '{y,train,n,val/loss}' WHERE name = %s", [name])
    return client, name


def numbers(made, sort, limit=None, **options):
    client, name = made
    return [view.params["n"] for view in client.experiments(parse([name], **options), limit, sort)]


def test_numbers_come_before_texts_and_missing_values_last_in_both_directions(made):
    rest = [1, 5, 11, 12, 13]  # NaN, null, nothing, failed, queued
    assert numbers(made, "y") == [3, 0, 8, 6, 4, 7, 2, 9, 10, *rest]
    assert numbers(made, "-y") == [7, 4, 6, 0, 8, 3, 10, 9, 2, *rest]


def test_a_limit_keeps_the_first_ones_and_ties_are_sorted_by_id(made):
    assert numbers(made, "-y", 3) == [7, 4, 6]
    assert numbers(made, "-lr", 5) == [2, 5, 8, 11, 1]
    assert numbers(made, "status,-id", 3, statuses=["done"]) == [11, 10, 9]


def test_several_keys_and_directions_apply_in_order(made):
    expected = sorted(range(14), key=lambda n: (-(n % 2), n % 3, -n))
    assert numbers(made, "-kind,lr,-id") == expected
    assert numbers(made, ["-kind", "lr", "-id"]) == expected
    assert numbers(made, ["-kind,lr", "-id"]) == expected


def test_nested_results_and_names_in_quotes_are_columns(made):
    assert numbers(made, "-train.acc", 3) == [0, 1, 2]
    assert numbers(made, "train.acc", 3) == [1, 0, 2]
    assert numbers(made, '"val/loss"', 3) == numbers(made, "val/loss", 3) == [4, 3, 0]


def test_a_parameter_and_a_result_of_one_name_differ(made):
    assert numbers(made, "-n", 2) == [13, 12]
    assert numbers(made, "-param.n", 2) == [13, 12]
    assert numbers(made, "result.n", 4) == [6, 1, 8, 0]
    assert numbers(made, "-result.n", 4) == [0, 1, 8, 6]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("-id", 13),
        ("status", 0),
        ("-status", 13),
        ("failure", 12),
        ("-error", 12),
        ("host", 0),
        ("study", 0),
        ("-created_at,-id", 13),
        ("started_at", 0),
        ("-started_at", 12),
        ("finished_at", 0),
        ("-attempt,-id", 12),
        ("revision", 0),
    ],
)
def test_facts_are_columns(made, sort, first):
    assert numbers(made, sort, 1) == [first]


@pytest.mark.parametrize("sort", ["duration", "-duration", "last_attempt"])
def test_unfinished_experiments_have_no_duration_and_are_last(made, sort):
    assert numbers(made, sort)[-1] == 13


def test_a_model_in_python_agrees_for_frames(made):
    client, name = made
    frame = qexp.load(name)
    best = qexp.load(name, sort="-lr,kind", limit=6, columns=["kind", "lr", "id"])
    expected = frame.sort_values(["lr", "kind", "id"], ascending=[False, True, True]).head(6)
    assert list(best.columns) == ["kind", "lr", "id"]
    assert best["id"].tolist() == expected["id"].tolist()
    assert best["lr"].dtype == frame["lr"].dtype
    assert list(best.index) == list(range(6))
    pd.testing.assert_frame_equal(client.frame(Selection(name), limit=3), frame.head(3), check_dtype=False)


def test_columns_of_a_frame_are_chosen_by_the_names_of_conditions(made):
    _, name = made
    study = qexp.Study(name)
    assert list(study.frame(columns="train,result.n,param.n,val/loss,id").columns) == [
        "train",
        "train.acc",
        "result.n",
        "n",
        "val/loss",
        "id",
    ]
    with pytest.raises(
        SelectorError, match=r"^columns: there is no parameter or result 'knd' \(did you mean 'kind'\?\)$"
    ):
        study.frame(columns=["knd"])
    with pytest.raises(SelectorError, match=r"^columns: there is no column 'train.ac' \(did you mean 'train.acc'\?\)$"):
        study.frame(columns=["train.ac"])


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        ("-yy", r"sort: there is no parameter or result 'yy' \(did you mean 'y'\?\)"),
        ("statsu", r"sort: there is no parameter or result 'statsu' \(did you mean 'status'\?\)"),
        ("param.y", "sort: there is no parameter 'y'; there are n, lr, kind"),
        ("y,,n", "sort: found y,,n, expected names with commas between them"),
        ("", "sort: found nothing, expected names with commas between them"),
        ('"y', 'sort: found "y, expected names with commas between them'),
        ("-", "sort: found '-', expected a name such as -accuracy"),
    ],
)
def test_an_unknown_name_is_refused_with_a_similar_one(made, sort, message):
    with pytest.raises(SelectorError, match=f"^{message}"):
        numbers(made, sort)
