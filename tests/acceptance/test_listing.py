"""`qexp list` at a terminal: the best, the newest, the columns that fit, and how far running experiments are."""

import json
import math
import uuid

import pytest
from study_support import made_study
from terminal import terminal
from tests_support import eventually

from qexp.model import Failure

CLASSIFIERS = [
    "sklearn.svm.SVC",
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.neighbors.KNeighborsClassifier",
]
WIDTHS = pytest.mark.parametrize("columns", [80, 120])


def results(params):
    if params["seed"] == 2 and params["classifier"].endswith("SVC"):
        return Failure.ERROR
    number = CLASSIFIERS.index(params["classifier"]) * 3 + params["seed"]
    return {
        "accuracy": 0.9 + math.sin(number) / 12,
        "loss": 1 / (number + 1),
        "train": {"accuracy": 1 - number / 1000, "seconds": 0.1 * number},
        "kernel": "rbf" if number % 2 else "linear, with a long name of its own",
        "device": "cpu",
    }


@pytest.fixture
def five_digits(raw):
    """Give all ids the same width, so that the same columns fit in each run."""
    raw.execute("select setval(pg_get_serial_sequence('experiment', 'id'), 10000 + (select count(*) from experiment))")


@pytest.fixture
def iris(client, raw, tmp_path, five_digits):
    """A study with constant parameters, of which one experiment has failed."""
    made = made_study(client, raw, tmp_path / "iris", "iris")
    made.enqueue(
        {"classifier": CLASSIFIERS, "dataset": "iris", "folds": 20, "seed": [0, 1, 2], "C": [1.0], "scale": True}
    )
    made.finish(results)
    return made


def names(made):
    """Return the texts of a study that differ between two runs of these tests."""
    return {made.name: "iris", **{str(id_): f"#{n}" for n, id_ in enumerate(made.ids("id > 0"), 1)}}


@WIDTHS
def test_columns_that_do_not_fit_and_constant_ones_are_named_in_a_line_each(iris, columns):
    shown = terminal("qexp", "list", iris.name, columns=columns)
    assert shown.status == 0
    shown.matches("list", names(iris))


@WIDTHS
def test_the_best_come_first_in_the_chosen_columns(iris, columns):
    shown = terminal(
        *("qexp", "list", iris.name, "--sort", "-accuracy", "--limit", 3, "--columns", "classifier,dataset,accuracy"),
        columns=columns,
    )
    assert shown.status == 0
    shown.matches("list_best", names(iris))


@WIDTHS
def test_the_column_that_sorts_is_always_shown(iris, columns):
    shown = terminal("qexp", "list", iris.name, "--sort", "-train.seconds,-device", "--limit", 3, columns=columns)
    assert shown.status == 0
    shown.matches("list_sorted", names(iris))


@WIDTHS
def test_the_newest_of_several_studies_come_first(iris, client, raw, tmp_path, columns):
    prefix = uuid.uuid4().hex[:6]
    made = [made_study(client, raw, tmp_path / letter, f"l{prefix}{letter}") for letter in "ab"]
    made[0].enqueue({"lr": [0.1, 0.01], "depth": 3}).finish(lambda params: {"loss": params["lr"] / 3})
    made[1].enqueue({"model": ["torchvision.models.resnet18", "torchvision.models.vgg16"], "steps": [10, 20]})
    shown = terminal("qexp", "list", f"l{prefix}*", columns=columns)
    assert shown.status == 0
    replace = {made[0].name: "study_a", made[1].name: "study_b"}
    ids = [*made[0].ids("id > 0"), *made[1].ids("id > 0")]
    shown.matches("list_several", {**replace, **{str(id_): f"#{number}" for number, id_ in enumerate(ids, 1)}})


def test_without_a_study_the_newest_of_all_are_listed(iris, qexp, client, raw, tmp_path):
    newest = made_study(client, raw, tmp_path / "newest", "newest").enqueue({"x": [1, 2]})
    done = qexp("list", "--limit", 3, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["study"], row["params"].get("x")) for row in rows] == [
        (newest.name, 2),
        (newest.name, 1),
        (iris.name, None),
    ]
    failed = json.loads(qexp("list", "--status", "failed", "--limit", 1, "--format", "json").stdout)
    assert [(row["study"], row["status"]) for row in failed] == [(iris.name, "failed")]
    table = qexp("list").stdout.splitlines()
    assert table[0].split()[:2] == ["id", "study"]
    # When the study is archived, then it is not among all
    newest.raw.execute("update study set archived_at = now() where name = %s", [newest.name])
    assert json.loads(qexp("list", "--limit", 1, "--format", "json").stdout)[0]["study"] == iris.name
    assert len(json.loads(qexp("list", newest.name, "--format", "json").stdout)) == 2


def test_json_and_pipes_have_everything_for_any_width(iris, qexp):
    narrow = {"COLUMNS": "40"}
    rows = json.loads(qexp("list", iris.name, "--format", "json", environ=narrow).stdout)
    assert len(rows) == 12
    assert set(rows[0]["result"]) == {"accuracy", "loss", "train", "kernel", "device"}
    assert rows[0]["params"]["dataset"] == "iris"
    piped = qexp("list", iris.name, environ=narrow).stdout
    assert "not shown" not in piped
    assert [row.count(" iris ") for row in piped.splitlines()[2:]] == [1] * 12
    assert "linear, with a long name of its own" in piped
    assert "train.seconds" in piped
    # When columns are chosen, then each row has only these
    chosen = json.loads(
        qexp("list", iris.name, "--columns", "train,id", "--limit", 1, "--format", "json", environ=narrow).stdout
    )
    assert chosen == [{"train.accuracy": 1.0, "train.seconds": 0.0, "id": rows[0]["id"]}]


def test_an_empty_list_and_an_unknown_name_are_said_on_stderr(iris, qexp):
    for form in ("table", "json"):
        done = qexp("list", iris.name, "--status", "cancelled", "--format", form)
        assert (done.returncode, done.stderr) == (0, "no experiment matches\n")
        assert done.stdout == ("[]\n" if form == "json" else "")
    for option in ("--sort", "--columns"):
        done = qexp("list", iris.name, option, "acuracy")
        message = f"qexp: {option}: there is no parameter or result 'acuracy' (did you mean 'accuracy'?)\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


TRAINING = """
import time
from pathlib import Path
import qexp

def f(lr: float, epochs: int, context: qexp.Context):
    for epoch in context.resumable(range(epochs), {}, steps=1, name="epoch"):
        context.metric(epoch, loss=1 / (epoch + 1), acc=epoch / 100)
        if epoch == 12:
            Path(FOLDER, str(lr)).touch()
            while not Path(FOLDER, "go").exists():
                time.sleep(0.05)
    return {"loss": 1 / epochs}
"""


@pytest.fixture(scope="module")
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


@WIDTHS
def test_running_experiments_show_their_time_steps_and_newest_metrics(
    study, qexp, worker, five_digits, tmp_path, columns
):
    # Given an experiment that waits in its 13th epoch
    made = study(TRAINING.replace("FOLDER", repr(str(tmp_path))), {"lr": [0.1, 0.01], "epochs": 20})
    made.enqueue()
    eventually(lambda: [*tmp_path.glob("0.*")], "an experiment to be in its 13th epoch")

    def running():
        return [row["running"] for row in made.listed() if row["status"] == "running"]

    eventually(lambda: [point["step"] for one in running() for point in one["metrics"]] == [12, 12], "its metrics")
    # Then the list shows this
    (one,) = running()
    assert [(loop["name"], loop["done"], loop["total"]) for loop in one["loops"]] == [("epoch", 12, 20)]
    assert one["progress"] == "epoch 12/20, acc 0.12, loss 0.07692"
    shown = terminal("qexp", "list", made.name, "--limit", 5, columns=columns)
    ids = {str(row["id"]): f"#{number}" for number, row in enumerate(made.listed(), 1)}
    shown.matches("list_running", {made.name: "study", **ids})
    chosen = terminal("qexp", "list", made.name, "--columns", "lr,progress", columns=columns).text.splitlines()
    assert [line.split() for line in chosen if "12/20" in line] == [["0.1", *one["progress"].split()]]
    rows = json.loads(qexp("list", made.name, "--columns", "progress", "--format", "json").stdout)
    assert rows == [{"progress": one["progress"]}, {"progress": None}]
    number = next(iter(ids))
    assert " so far: epoch 12/20, acc 0.12, loss 0.07692" in terminal("qexp", "show", number, columns=columns).text
    # When it is done, then it has no progress
    (tmp_path / "go").touch()
    assert made.wait() == 0
    assert [row["running"] for row in made.listed()] == [None, None]
