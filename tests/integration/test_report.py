"""A report is one page about a study; it escapes hostile text and is equal for equal data."""

import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from report_support import Page
from sqlalchemy import text
from tests_support import T0KEN

from qexp import Study
from qexp.analysis.report import ReportOptions, gather
from qexp.analysis.report.page import page
from qexp.client import reports
from qexp.errors import ExportError, OptionError, UnknownStudyError
from qexp.grid import Grid
from qexp.model import Error, Failure, Imports, Outcome, Usage
from qexp.source import current
from qexp.store.reads import costs, study_rows
from qexp.store.selection.selectors import Selection
from qexp.store.writes import claiming, journal, sources, worker_rows

HOSTILE = "</pre><script>alert('x')</script> & \"q\" \x1b[31m \u202e http://evil.example/x"
START = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
GRID = {"model": ["svm", "tree"], "data": ["iris", "wine", "digits"], "seed": [0, 1, 2]}
SECTIONS = {
    *("plan", "revisions", "code", "machines", "coverage", "results", "pictures", "errors", "durations", "cost"),
    *("slowest", "again"),
}


def error(said: str = "boom", failure: Failure = Failure.ERROR, group: str = "ab12cd34") -> Outcome:
    trace = f"Traceback (most recent call last):\n  {said}\n"
    return Outcome(error=Error(failure, "ValueError", said, "experiment.py:7 in f", group, trace))


@pytest.fixture
def enqueue(client, tmp_path):
    """Enqueue a study of a function that takes any parameter; the keys are grid keys."""
    (tmp_path / "experiment.py").write_text("def f(**params): ...\n")
    name = f"report_{uuid.uuid4().hex[:8]}"

    def enqueue(**keys):
        grid = {"study": name, "function": "experiment:f", "queue": name, "parameters": GRID}
        client.enqueue(Grid.from_dict(grid | keys, tmp_path))
        return name

    return enqueue


@pytest.fixture
def finish(client, raw):
    """End queued experiments with the result of *outcome* for their parameters; None leaves one open."""

    def finish(name, outcome, host="node1", seconds=20.0):
        with client.begin() as connection:
            sources.keep_environment(connection, current())
        worker = uuid.uuid4()
        station = worker_rows.WorkerInfo(host, 1, "w@here", ["nobody"], 1, "ann", current().digest)
        worker_rows.register(raw, worker, station)
        claims = []
        for view in client.experiments(Selection(name)):
            found = outcome(view.params)
            if found is None or view.status != "queued":
                continue
            began = START + timedelta(minutes=view.id)
            claim = claiming.claim(raw, view.id, worker, 1, now=began)
            if isinstance(found, dict):
                usage = Usage(cpu_seconds=5.0, peak_memory=10**9, energy_kwh=0.01)
                found = Outcome(result=found, usage=usage, imports=Imports(("experiment.py",), ("numpy",)))
                claiming.name_results(raw, claim.study_id, list(found.result))
            assert claiming.finish(raw, claim, found, now=began + timedelta(seconds=seconds))
            claims.append(claim)
        return claims

    return finish


@pytest.fixture
def read(client, tmp_path):
    """Write the report of a study and read it."""

    def read(name, **options):
        path = Study(name, client).report(tmp_path / "report.html", **options)
        return Page(path.read_text(encoding="utf-8"))

    return read


def score(params):
    return {"accuracy": 0.8 + params["seed"] / 100 + len(params["data"]) / 50, "name": params["model"]}


def test_the_report_of_a_finished_study_has_all_sections_from_grid_to_cost(enqueue, finish, read):
    # Given a study that is done
    name = enqueue(description="Two models for the paper.", settings={"epochs": 10})
    finish(name, score)
    # When its report is read
    told = read(name)
    # Then each section exists and is correct
    assert told.texts.keys() == SECTIONS | {""}
    assert "Two models for the paper." in told.texts[""]
    assert "18 of 18 done · revision 1 · began 2026-" in told.texts[""]
    assert "data: [iris, wine, digits]" in told.texts["plan"]
    assert "epochs10" in told.texts["plan"]
    assert "the first revision" in told.texts["revisions"]
    assert "experiment.py" in told.texts["code"]
    assert f"numpy {current().packages['numpy']}" in told.texts["code"]
    assert "node1" in told.texts["machines"]
    assert "18 of 18 experiments" in told.texts["coverage"]
    assert "Each of the 6 cells is complete: 3 of 3." in told.texts["coverage"]
    assert "0.890 ± 0.010" in told.texts["results"]
    assert "refuses" not in told.texts["results"]
    assert f"qexp table {name} --metric accuracy --rows data --columns model" in told.texts["results"]
    assert "Nothing has failed." in told.texts["errors"]
    assert "median 20 s" in told.texts["durations"]
    assert "done186 min 0 s1 min 30 s1 GB0.18 kWh" in told.texts["cost"]
    assert "No experiment had a second attempt." in told.texts["slowest"]
    assert f"qexp report {name} -o report.html" in told.texts["again"]
    assert told.tags.count("svg") == 2
    assert "accuracy over data by model" in told.texts["pictures"]


def test_hostile_text_is_shown_as_text(enqueue, finish, read, raw):
    name = enqueue(
        description=HOSTILE,
        parameters={"model": [HOSTILE, "b"], "<i>p</i>": [1, 2], "seed": [0, 1]},
        settings={"</style>": HOSTILE},
    )

    def outcome(params):
        return error(HOSTILE) if params["seed"] else {"<b>acc</b>": 1.5, "text": HOSTILE}

    claims = finish(name, outcome, host="<u>node")
    points = [journal.Point(step, 1 / (step + 1), 0.0) for step in range(5)]
    raw.execute(
        "INSERT INTO metric SELECT %s, 1, %s, unnest(%s::bigint[]), unnest(%s::float8[]), now()",
        [claims[0].id, "loss " + HOSTILE, [point.step for point in points], [point.value for point in points]],
    )
    told = read(name)
    assert told.texts.keys() == SECTIONS | {""}
    assert not {"b", "i", "u", "script"} & set(told.tags)
    for section in ("plan", "results", "errors", "pictures"):
        assert "http://evil.example/x" in told.texts[section], section
        assert "\x1b" not in told.texts[section]
        assert "\u202e" not in told.texts[section]
    assert "<u>node" in told.texts["machines"]


def test_the_report_of_a_study_without_done_experiments_says_so(enqueue, read):
    told = read(enqueue())
    assert "0 of 18 done, 18 queued · revision 1 · not begun" in told.texts[""].replace("pending", "queued")
    assert "0 / 3" in told.texts["coverage"]
    assert "18 pending in all cells" in told.texts["coverage"]
    for section in ("results", "durations"):
        assert "Nothing is done yet." in told.texts[section]
    assert "No attempt has ended yet." in told.texts["cost"]
    assert "There is nothing to draw" in told.texts["pictures"]


def test_a_study_without_experiments_has_a_report(enqueue, read, raw):
    name = enqueue(parameters={"seed": [0]})
    raw.execute("DELETE FROM experiment WHERE study = (SELECT id FROM study WHERE name = %s)", [name])
    told = read(name)
    assert "0 of 0 done" in told.texts[""]
    assert "There are no experiments." in told.texts["coverage"]
    assert f"1 of the newest grid of {name} not in the database: enqueue the grid again" in told.texts["coverage"]


def test_an_incomplete_table_is_marked_and_gaps_have_commands(enqueue, finish, read):
    name = enqueue()

    def outcome(params):
        match params["data"], params["seed"]:
            case "wine", 2:
                return error("took too long", Failure.TIMEOUT, "ffff0000")
            case "iris", 1:
                return error()
            case "digits", 0 if params["model"] == "svm":
                return None
        return score(params)

    finish(name, outcome)
    told = read(name)
    assert "'qexp table' refuses this table." in told.texts["results"]
    assert "(2/3)" in told.texts["results"]
    assert "--allow missing" in told.texts["results"]
    assert "2 / 3" in told.texts["coverage"]
    assert f"qexp requeue {name} --failed" in told.texts["coverage"]
    assert f"qexp wait {name}" in told.texts["coverage"]
    assert "2 experiments: timeout, ValueError" in told.texts["errors"]
    assert "2 experiments: error, ValueError" in told.texts["errors"]
    assert "Traceback (most recent call last):" in told.texts["errors"]
    assert f"qexp requeue {name} --error ab12cd" in told.texts["errors"]
    assert "timeout2" in told.texts["cost"]
    assert "all17" in told.texts["cost"]


def test_revisions_list_the_changes_between_them(enqueue, finish, read, tmp_path):
    name = enqueue(settings={"epochs": 10})
    finish(name, lambda params: score(params) if params["data"] == "iris" else None)
    (tmp_path / "experiment.py").write_text("def f(**params): return 1\n")
    (tmp_path / "helper.py").write_text("")
    enqueue(settings={"epochs": 20}, parameters=GRID | {"model": ["svm", "tree", "mlp"]})
    finish(name, score)
    told = read(name)
    # Then results of other settings are marked, and are gaps of the coverage
    said = told.texts["revisions"]
    assert "settings.epochs: 10 → 20" in said
    assert 'parameters.model: ["svm", "tree"] → ["svm", "tree", "mlp"]' in said
    assert "experiment.py changed" in said
    assert "helper.py added" in said
    assert "6 of 27 done differ from the newest revision" in said
    assert f"qexp requeue {name} --stale" in said
    assert "21 of 27 experiments of the newest grid are done." in told.texts["coverage"]
    assert "6 done with other settings or code in svm / iris, tree / iris" in told.texts["coverage"]
    assert f"qexp requeue {name} --stale" in told.texts["coverage"]
    assert "6 of 27 results are of earlier settings or code" in told.texts["results"]
    assert "epochs = 10 in 6, 20 in 21" in told.texts["results"]


@pytest.mark.parametrize("gone", ["lr", "seed"])
def test_a_parameter_of_an_earlier_grid_only_is_no_row(enqueue, finish, read, gone):
    # Given a study whose newest grid lacks an earlier parameter
    grid = {"model": ["svm", "tree"], "data": ["iris"], "seed": [0], "lr": [0.1, 0.2]}
    name = enqueue(parameters=grid)
    kept = {key: values for key, values in grid.items() if key != gone}
    enqueue(parameters=kept)
    finish(name, lambda params: {"accuracy": 0.5 + len(params["model"]) / 100})
    # When its report is read
    told = read(name)
    # Then rows are the parameters of the newest grid
    total = 2 if gone == "lr" else 4
    assert f"{total} of {total} experiments of the newest grid are done." in told.texts["coverage"]
    assert "0.54" in told.texts["results"]
    assert "accuracy over" in told.texts["pictures"]


def test_series_are_drawn_with_a_line_for_each_group(enqueue, finish, read, raw):
    name = enqueue()
    for claim in finish(name, score):
        writer = journal.AttemptFence(claim.id, claim.attempt, claim.worker)
        raw.execute(
            "INSERT INTO metric SELECT %s, %s, 'loss', step, 1.0 / (1 + step), now() FROM generate_series(0, 20) step",
            [writer.id, writer.attempt],
        )
    told = read(name)
    assert "loss over steps, by data" in told.texts["pictures"]
    assert told.tags.count("svg") == 3
    assert "iris (n = 3)" in told.texts["pictures"]


def queue_failed(raw, name):
    """Make the failed experiments of a study ready for another attempt."""
    raw.execute(
        "UPDATE experiment SET status = 'queued', failure = NULL, error_fingerprint = NULL "
        "WHERE status = 'failed' AND study = (SELECT id FROM study WHERE name = %s)",
        [name],
    )


def test_second_attempts_are_reported(enqueue, finish, read, raw, client):
    name = enqueue()
    finish(name, lambda params: error() if params["seed"] == 0 else score(params))
    queue_failed(raw, name)
    finish(name, score, host="node2", seconds=500.0)
    told = read(name)
    assert "node2" in told.texts["machines"]
    assert "No experiment had a second attempt." not in told.texts["slowest"]
    assert "seed=0" in told.texts["slowest"]
    # And the cost covers 12 done attempts of 20 s, 6 done ones of 500 s and 6 failed ones of 20 s
    assert "done1854 min 0 s" in told.texts["cost"]
    assert "error62 min 0 s" in told.texts["cost"]
    assert "all2456 min 0 s" in told.texts["cost"]
    assert "The time axis is logarithmic." not in told.texts["durations"]


def test_the_slowest_and_the_most_retried_come_first(enqueue, finish, client, raw):
    # Given experiments that took 1, 20 and 100 s in their first, second and third attempt
    name = enqueue(parameters={"seed": [0, 1, 2]})
    ids = [view.id for view in client.experiments(Selection(name))]
    for number, seconds in enumerate((1.0, 20.0, 100.0)):
        finish(name, lambda params, least=number: {"y": 1} if params["seed"] == least else error(), seconds=seconds)
        queue_failed(raw, name)
    # When the report lists their durations
    with client.begin() as connection:
        study = study_rows.find(connection, name).id
        found = costs.durations(connection, study)
        slow, retried = costs.slowest(connection, study, 5), costs.most_retried(connection, study, 5)
    # Then the longest come first, and the bins of the histogram are logarithmic
    assert (slow, retried) == (ids[::-1], ids[:0:-1])
    assert (found.count, found.median, found.longest, found.is_log) == (3, 20.0, 100.0, True)


def test_conditional_parameters_of_odd_names_and_values_have_rows(enqueue, finish, read):
    # Given conditional parameters with names of columns, and with mappings and huge numbers as values
    include = [{"study": "a", "status": 1}, {"study": "b", "status": 10**400}]
    include += [{"study": "b", "x": {"k": [number, None]}} for number in (1, 2)]
    name = enqueue(parameters={"seed": [0]}, include=[{**row, "seed": seed} for row in include for seed in (0, 1)])
    finish(name, lambda params: {"y": len(params) + params["seed"]})
    told = read(name)
    assert "9 of 9 done" in told.texts[""]
    assert "param.study" in told.texts["results"]
    assert '{"k": [1, null]}' in told.texts["results"]
    assert "y over" in told.texts["pictures"]
    assert "Not drawn" not in told.texts["pictures"]


def test_names_with_commas_have_rows_and_tables(enqueue, finish, read):
    name = enqueue(parameters={"a,b": [1, 2], "c": [1, 2, 3], "seed": [0, 1]})
    finish(name, lambda params: {"x,y": params["c"] + params["seed"]})
    told = read(name)
    assert "12 of 12 experiments of the newest grid are done." in told.texts["coverage"]
    assert "1.50 ± 0.71" in told.texts["results"]
    assert "x,y over c by a,b" in told.texts["pictures"]


def test_rows_columns_and_metrics_may_be_named(enqueue, finish, read):
    name = enqueue()
    finish(name, lambda params: score(params) | {"loss": 0.5, "train": {"loss": 0.25, "note": "x"}})
    told = read(name, metric="train.loss", rows="model", columns=["data"])
    assert "--metric train.loss --rows model --columns data -o report.html" in told.texts["again"]
    assert "train.loss" in told.texts["results"]
    assert "accuracy" not in told.texts["results"]
    two = read(name, metric="loss,accuracy", rows="model,data").texts["results"]
    assert "--metric loss --rows model,data" in two
    assert "--metric accuracy --rows model,data" in two
    every = read(name).texts["results"]
    assert all(metric in every for metric in ("accuracy", "loss", "train.loss"))
    assert "train.note" not in every


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"metric": "acuracy"}, "has no result 'acuracy' (did you mean 'accuracy'?)"),
        ({"metric": "name"}, "name is text, a list or a mapping"),
        ({"rows": "modell"}, "there is no parameter 'modell'"),
        (
            {"rows": "step"},
            'rows="step": found 1,500 values, expected at most 1,000; name parameters with fewer values',
        ),
        ({"columns": "accuracy"}, "'accuracy' is a result, expected a parameter"),
    ],
)
def test_an_unknown_name_writes_no_file(enqueue, finish, client, tmp_path, options, found):
    name = enqueue()
    finish(name, score)
    enqueue(include=[{"step": number} for number in range(1_499)])
    with pytest.raises(OptionError) as caught:
        Study(name, client).report(tmp_path / "x.html", **options)
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.html").exists()


def test_bad_paths_and_studies_are_refused_in_one_line(enqueue, client, tmp_path):
    name = enqueue()
    for path, found in (
        (tmp_path / "x.pdf", "expected one of .html, .htm"),
        (tmp_path / "none" / "x.html", "there is no folder"),
        (tmp_path, "found the suffix"),
    ):
        with pytest.raises(ExportError) as caught:
            Study(name, client).report(path)
        assert found in str(caught.value)
    with pytest.raises(UnknownStudyError):
        reports.write(client, ReportOptions("nosuch"), tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def written(raw, name):
    """Return the rows of a study with the transactions that wrote them."""
    (study,) = raw.execute("SELECT id FROM study WHERE name = %s", [name]).fetchone()
    own = {"study": "id", "revision": "study", "experiment": "study", "attempt": "study"}
    return {
        table: sorted(map(repr, raw.execute(f"SELECT xmin, * FROM {table} WHERE {column} = %s", [study]).fetchall()))
        for table, column in own.items()
    }


def test_the_same_data_give_the_same_bytes_and_nothing_is_written(enqueue, finish, client, raw, tmp_path):
    name = enqueue()
    finish(name, score)
    before = written(raw, name)
    first = Study(name, client).report(tmp_path / "a.html").read_bytes()
    assert Study(name, client).report(tmp_path / "b.html").read_bytes() == first
    assert written(raw, name) == before
    assert [path.name for path in tmp_path.glob(".qexp*")] == []


def test_the_order_in_which_rows_are_read_changes_nothing(enqueue, finish, client, raw):
    # Given a study with an open parameter, and rows that are not stored in order of ids
    name = enqueue(parameters=GRID | {"lr": {"range": [0, 50]}})
    finish(name, lambda params: score(params) if params["lr"] < 9 else None)
    raw.execute(
        "UPDATE experiment SET reason = reason WHERE id %% 2 = 0 AND study = (SELECT id FROM study WHERE name = %s)",
        [name],
    )
    # When Postgres reads them by an index and in storage order
    pages = []
    for off in (["seqscan", "bitmapscan"], ["indexscan", "indexonlyscan", "bitmapscan"]):
        with client.begin() as connection:
            for way in off:
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
            pages.append(page(gather(connection, ReportOptions(name))))
    # Then the report is the same
    assert pages[0] == pages[1]


def test_notification_addresses_never_appear(enqueue, finish, client, tmp_path):
    name = enqueue(notify=[f"json://127.0.0.1/{T0KEN}"])
    finish(name, score)
    enqueue(notify=[f"json://127.0.0.1/{T0KEN}/other"])
    written = Study(name, client).report(tmp_path / "x.html").read_text()
    assert T0KEN not in written
    assert "json://127.0.0.1/***" in written


def test_without_matplotlib_the_report_says_how_to_get_pictures(enqueue, finish, read, monkeypatch):
    name = enqueue()
    finish(name, score)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    told = read(name)
    assert "pip install 'qexp[analysis]'" in told.texts["pictures"]
    assert told.tags.count("svg") == 1
    assert "0.890 ± 0.010" in told.texts["results"]


def test_a_large_study_has_a_small_report(enqueue, client, raw, tmp_path):
    # Given 20,000 experiments with a parameter of many values and long tracebacks
    name = enqueue(parameters={"a": {"range": [0, 10]}, "lr": {"range": [0, 400]}, "seed": {"range": [0, 5]}})
    study = client.study(name).id
    raw.execute("UPDATE study SET results = '{y}' WHERE id = %s", [study])
    raw.execute(
        """UPDATE experiment SET attempt = 1, revision = 1,
        status = CASE WHEN id %% 4 = 0 THEN 'failed' ELSE 'done' END,
        started_at = now(), finished_at = now() + id * interval '1 ms',
        failure = CASE WHEN id %% 4 = 0 THEN 'error' END,
        error_fingerprint = CASE WHEN id %% 4 = 0 THEN md5(id::text) END,
        result = CASE WHEN id %% 4 <> 0 THEN jsonb_build_object('y', id %% 7) END WHERE study = %s""",
        [study],
    )
    raw.execute(
        """INSERT INTO attempt (experiment, number, study, revision, started_at, finished_at, outcome, error_type,
        error_message, traceback)
        SELECT id, 1, study, 1, started_at, finished_at, coalesce(failure, 'done'), failure, repeat('m', 5000),
        repeat('traceback', 5000) FROM experiment WHERE study = %s""",
        [study],
    )
    # When its report is written
    written = Study(name, client).report(tmp_path / "x.html").read_text()
    # Then lists are cut, with a note
    found = Page(written)
    assert len(written) < 1_000_000
    assert "pool all values of lr" in found.texts["results"]
    assert "4,980 more groups" in found.texts["errors"]
    assert "lr has several values in one cell" in found.texts["results"]
