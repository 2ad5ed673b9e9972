"""--where, --since and --host choose the same experiments in Postgres as a model in Python."""

import json
import math
import operator
import re
import uuid
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qexp.client import Client, Study
from qexp.errors import SelectorError
from qexp.grid import Grid
from qexp.model import NON_FINITE, Error, Failure, Outcome
from qexp.store.selection.selectors import Selection, parse
from qexp.store.selection.where_parser import spelled
from qexp.store.writes import claiming, worker_rows

MISSING = object()
VALUES = [
    *(MISSING, None, True, False, 0, 1, 1.0, -1, 0.1, 1e-4, 2**70, 1e300, -2.5e-300, 0.30000000000000004),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "",
        "a",
        "A",
        "wine",
        "1",
        "true",
        "null",
        "50%",
        "a_b",
        "it's",
        "é",
        "🧪",
        "a\nb",
    ),
    *([], [1, 2], {}, {"k": 1}, {"k": {"deep": "x"}}, {"k": [0.1, True]}, {"k": None}),
]
"""One experiment per value of the parameter x; the results y and "val/loss" have the values in other orders."""


def ids(client, *targets, **options):
    return [view.id for view in client.experiments(parse(targets, **options))]


@pytest.fixture(scope="module")
def rows(site, tmp_path_factory):
    """A study with a row for each value, as pairs of an id and the values by name."""
    folder = tmp_path_factory.mktemp("where")
    (folder / "experiment.py").write_text("def f(n, x=None): ...\n")
    name, client = f"where_{uuid.uuid4().hex[:8]}", Client(site)
    given = [{"n": number, **({} if x is MISSING else {"x": x})} for number, x in enumerate(VALUES)]
    client.enqueue(Grid.from_dict({"study": name, "function": "experiment:f", "include": given, "queue": name}, folder))
    found = {}
    with client.begin() as connection:
        raw = connection.connection.driver_connection
        for view in client.experiments(Selection(name)):
            number = view.params["n"]
            result = {"y": VALUES[number * 7 % len(VALUES)], "val/loss": VALUES[number * 11 % len(VALUES)]}
            result = {key: value for key, value in result.items() if value is not MISSING}
            raw.execute("UPDATE experiment SET result = %s WHERE id = %s", [json.dumps(result), view.id])
            found[view.id] = {"x": MISSING, "y": MISSING, "val/loss": MISSING, **view.params, **result}
        raw.execute("UPDATE study SET results = '{y,val/loss}' WHERE name = %s", [name])
    return client, name, found


COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compared(value, symbol, other):
    """The three answers of a comparison; null for different types."""
    if type(other) is bool:
        return COMPARE[symbol](value, other) if type(value) is bool else None
    if isinstance(other, str):
        return COMPARE[symbol](value, other) if isinstance(value, str) else None
    number = NON_FINITE.get(value) if isinstance(value, str) else value
    if type(number) not in (int, float):
        return None
    if math.isnan(number):
        return symbol == "!="
    return COMPARE[symbol](Decimal(repr(number)), other)


def negated(answer):
    return None if answer is None else not answer


def both(answers):
    return False if False in answers else None if None in answers else True


def either(answers):
    return negated(both([negated(answer) for answer in answers]))


def like(value, pattern):
    if not isinstance(value, str):
        return None
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    expression = "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def one_of(value, others):
    known = [other for other in others if other is not None]
    answers = [answer for other in known if (answer := compared(value, "=", other)) is not None]
    found = [any(answers) if answers else None] if known else []
    return either(found + [value is MISSING or value is None] * (None in others))


def written(value):
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()


numbers = st.sampled_from(
    [Decimal(text) for text in ("0", "1", "1.0", "-1", "0.1", "1e-4", "1e300", "0.3", str(2**70))]
)
texts = st.sampled_from([value for value in VALUES if isinstance(value, str)])
scalars = st.one_of(numbers, texts, st.booleans())
names = st.sampled_from(
    [("x",), ("y",), ("val/loss",), ("x", "k"), ("y", "k", "deep"), ("x", "k", "0"), ("n",), ("val/loss", "k", "1")]
)


def inside(row, path):
    value = row[path[0]]
    for part in path[1:]:
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
    return value


@st.composite
def leaves(draw):
    """A comparison as text and as a function from a row to true, false or null."""
    path = draw(names)
    name = ".".join(part if part.isdigit() else spelled(part) for part in path)
    kind = draw(st.sampled_from(["compare", "mirrored", "in", "like", "null", "between"]))
    if kind == "compare":
        symbol, value = draw(st.sampled_from(list(COMPARE))), draw(scalars)
        return f"{name} {symbol} {written(value)}", lambda row: compared(inside(row, path), symbol, value)
    if kind == "mirrored":
        value = draw(scalars)
        return f"{written(value)} < {name}", lambda row: compared(inside(row, path), ">", value)
    if kind == "in":
        values = draw(st.lists(st.one_of(scalars, st.none()), min_size=1, max_size=4))
        listed = ", ".join("null" if value is None else written(value) for value in values)
        word, turn = draw(st.sampled_from([("in", lambda answer: answer), ("not in", negated)]))
        return f"{name} {word} ({listed})", lambda row: turn(one_of(inside(row, path), values))
    if kind == "like":
        pattern = draw(st.sampled_from(["%", "_", "a%", "%i%", "", "wine", "50\\%", "a\\_b", "a_b", "%\\\\%", "it's%"]))
        return f"{name} like {written(pattern)}", lambda row: like(inside(row, path), pattern)
    if kind == "between":
        low, high = draw(st.one_of(st.tuples(numbers, numbers), st.tuples(texts, texts)))
        return f"{name} between {written(low)} and {written(high)}", lambda row: both(
            [compared(inside(row, path), ">=", low), compared(inside(row, path), "<=", high)]
        )
    word, wanted = draw(st.sampled_from([("is null", True), ("IS NOT NULL", False), ("= null", True)]))
    return f"{name} {word}", lambda row: (inside(row, path) in (MISSING, None)) is wanted


def joined(parts):
    return st.lists(parts, min_size=2, max_size=3).flatmap(
        lambda found: st.sampled_from([("and", both), ("or", either)]).map(
            lambda how: (
                "(" + f" {how[0]} ".join(text for text, _ in found) + ")",
                lambda row: how[1]([holds(row) for _, holds in found]),
            )
        )
    )


def turned(parts):
    return parts.map(lambda found: (f"not ({found[0]})", lambda row: negated(found[1](row))))


conditions = st.recursive(leaves(), lambda parts: st.one_of(joined(parts), turned(parts)), max_leaves=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions)
def test_postgres_chooses_what_python_chooses(rows, condition):
    client, name, values = rows
    text, holds = condition
    expected = [number for number, row in values.items() if holds(row) is True]
    assert ids(client, name, where=text) == expected, text


@pytest.mark.parametrize("value", [value for value in VALUES if isinstance(value, str | int | float)])
@pytest.mark.parametrize("symbol", COMPARE)
def test_any_two_values_can_be_compared_without_an_error(rows, value, symbol):
    client, name, values = rows
    other = Decimal(repr(value)) if type(value) in (int, float) else value
    text = f"y {symbol} {written(other)}"
    expected = [number for number, row in values.items() if compared(row["y"], symbol, other) is True]
    assert ids(client, name, where=text) == expected


EVIL = [
    "'; DROP TABLE experiment; --",
    "x' OR '1'='1",
    '"; DROP TABLE experiment; --',
    "a}'); DELETE FROM experiment; /*",
    "%s %(x)s %% :x $1 ?",
    "\\'; SELECT pg_sleep(60); --",
    "{a,b}",
    '{"a": "b"}',
    "a, b",
    "\\",
    "",
    "__[POSTCOMPILE_x]",
]


def test_names_and_values_are_never_executed(client, raw, tmp_path):
    # Given experiments with results whose names and values are SQL, JSON or patterns
    (tmp_path / "experiment.py").write_text("def f(n): ...\n")
    name = f"evil_{uuid.uuid4().hex[:8]}"
    parameters = {"n": list(range(len(EVIL)))}
    client.enqueue(
        Grid.from_dict({"study": name, "function": "experiment:f", "parameters": parameters, "queue": name}, tmp_path)
    )
    numbers = ids(client, name)
    raw.execute("UPDATE study SET results = %s WHERE name = %s", [EVIL, name])
    for number, evil in zip(numbers, EVIL, strict=True):
        raw.execute("UPDATE experiment SET result = %s WHERE id = %s", [json.dumps({evil: {evil: evil}}), number])
    for number, evil in zip(numbers, EVIL, strict=True):
        # When a condition asks for one
        text, escaped = written(evil), written(re.sub(r"[%_\\]", r"\\\g<0>", evil))
        for right in (f"= {text}", f"in ({text}, 'b', 1)", f"between {text} and {text}", f"like {escaped}"):
            # Then it finds this one
            assert ids(client, name, where=f"{spelled(evil)}.{spelled(evil)} {right}") == [number]
        assert ids(client, name, host=evil or "'") == []
        with pytest.raises(SelectorError, match="there is no parameter"):
            ids(client, name, where=f"{spelled(evil + '!')} = 1")
    assert ids(client, name) == numbers


NESTED = "".join(f"(n != {number} or (n != {number} and " for number in range(20)) + "x = 1" + "))" * 20
LONG = [" and ".join(["x != 99"] * 800), f"n in ({', '.join(map(str, range(1500)))})", "not " * 2000 + "x = 1"]


@pytest.mark.parametrize("text", ["(" * 40 + "x = 1" + ")" * 40, NESTED, *LONG], ids=range(5))
def test_deep_and_long_conditions_are_answered(rows, text):
    client, name, _ = rows
    assert ids(client, name, where=text)


@pytest.fixture
def study(client, raw, tmp_path):
    """Four experiments: done, failed on another host, running, queued; an hour ago, a day ago, and now."""
    (tmp_path / "experiment.py").write_text("def f(status, lr): ...\n")
    name, here, there = f"facts_{uuid.uuid4().hex[:8]}", uuid.uuid4(), uuid.uuid4()
    parameters = {"status": ["w", "x", "y", "z"], "lr": 0.1}
    keys = {"parameters": parameters, "queue": "nobody", "retries": 0}
    client.enqueue(Grid.from_dict({"study": name, "function": "experiment:f", **keys}, tmp_path))
    for worker, host in ((here, "node_1"), (there, "nodex1.lab")):
        worker_rows.register(raw, worker, worker_rows.WorkerInfo(host, 1, f"worker@{host}", ["nobody"], 2))
    first, second, third, _ = client.experiments(Selection(name))
    error = Error(Failure.ERROR, "ValueError", "too 'bad'", "f.py:1 in f", "aaaa11112222", "Trace")
    assert claiming.finish(raw, claiming.claim(raw, first.id, here, 1), Outcome(result={"lr": 7, "train.loss": 0.5}))
    assert claiming.finish(raw, claiming.claim(raw, second.id, there, 1), Outcome(error=error))
    assert claiming.claim(raw, third.id, here, 1)
    claiming.name_results(raw, client.study(name).id, ["lr", "train.loss"])
    now = raw.execute("SELECT now()").fetchone()[0]
    for view, ago in ((first, timedelta(hours=1)), (second, timedelta(days=1))):
        moments = [now - 2 * ago, now - ago]
        raw.execute("UPDATE experiment SET started_at = %s, finished_at = %s WHERE id = %s", [*moments, view.id])
    study = client.study(name).id
    raw.execute("UPDATE experiment SET created_at = now() - interval '9 days' WHERE study = %s", [study])
    return name


def chosen(client, study, **options):
    """The values of the parameter `status` of the chosen experiments, as one word."""
    return "".join(view.params["status"] for view in client.experiments(parse([study], **options)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status = 'done'", "w"),
        ("param.status = 'x'", "x"),
        ("status in ('running', 'queued')", "yz"),
        ("failure = 'error'", "x"),
        ("failure is null", "wyz"),
        ("error like '%''bad''' and error > 'ValueError'", "x"),
        ("host = 'node_1'", "wy"),
        ("host like 'node_1'", "wy"),
        ("host like 'node%'", "wxy"),
        ("host is null", "z"),
        ("duration > 3600", "x"),
        ("duration = 3600", "w"),
        ("duration is null", "yz"),
        ("not duration < 3600.5", "x"),
        ("attempt = 1", "wxy"),
        ("attempt in (0, 7)", "z"),
        ("id > 0 and not id != 0.5", ""),
        ("started_at > '2026'", "wxy"),
        ("lr = 0.1", "wxyz"),
        ("result.lr = 7", "w"),
        ("param.lr = 7", ""),
        ('"train.loss" < 1', "w"),
        ("train.loss < 1", "w"),
        ("result.train.loss < 1", "w"),
        ('"result.lr" = 7', "w"),
    ],
)
def test_facts_parameters_and_results_have_the_names_that_frames_have(client, study, text, expected):
    assert chosen(client, study, where=text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 < lrr", "where, column 5: there is no parameter or result 'lrr' (did you mean 'lr'?)"),
        ("trian.loss < 1", "column 1: there is no parameter or result 'trian' (did you mean 'train.loss'?)"),
        ("param.loss = 1", "column 1: there is no parameter 'loss'; there are status, lr"),
        ("result.status = 1", "column 1: there is no result 'status'"),
        ("duraton > 5", "did you mean 'duration'?"),
        ("attempt = 'one'", "column 11: found text, expected a number for attempt"),
        ("host in (null, 3)", "column 16: found a number, expected text for host"),
        ("lr > null", "column 6: found null"),
        ("status = true", "column 10: found true or false, expected text"),
    ],
)
def test_impossible_names_and_values_are_errors(client, study, text, words):
    with pytest.raises(SelectorError, match=re.escape(words)):
        client.experiments(parse([study], where=text))


def test_the_names_are_those_of_all_studies_that_are_chosen(client, study, rows):
    one, of_study = min(rows[2]), ids(client, study)
    assert ids(client, *map(str, of_study), str(one), where="lr = 0.1 or n = 0") == [one, *of_study]
    with pytest.raises(SelectorError, match="no parameter or result 'n'"):
        ids(client, *map(str, of_study), where="n = 0")


def test_a_name_with_two_meanings_in_two_studies_needs_a_prefix(client, raw, study, rows):
    first, *_ = ids(client, study)
    raw.execute("UPDATE study SET results = results || '{x}' WHERE name = %s", [study])
    both_studies = f"{first},{min(rows[2])}"
    with pytest.raises(SelectorError, match=r"expected param\.x or result\.x"):
        ids(client, both_studies, where="x = 1")
    assert ids(client, both_studies, where="param.x = 1 or result.lr = 7") == [first]


NESTED_RESULTS = [
    {"train": {"acc": 1, "deep": {"a.b": 2, "c": 3}}, "n": {"x": 4}, "loss": 0.5},
    {"train.acc": 5, "train": {"acc": 6}, "loss": {"val": 7}},
    {"train.acc": 8, "train": {"acc": 9, "deep": {"a": {"b": 10}}}, "loss": {}},
    {"train": 11, "n": 12, "loss": {"val": {"top5": 13}}},
]


@pytest.fixture(scope="module")
def nested(site, tmp_path_factory):
    """A study with mappings as parameters and results, some with the same flat names."""
    folder = tmp_path_factory.mktemp("nested")
    (folder / "experiment.py").write_text("def f(n, opt, status): ...\n")
    name, client = f"nested_{uuid.uuid4().hex[:8]}", Client(site)
    given = [{"n": n, "opt": {"lr": n + 20, "train": {"acc": 1}}, "status": {"k": n + 30}} for n in range(4)]
    client.enqueue(Grid.from_dict({"study": name, "function": "experiment:f", "include": given, "queue": name}, folder))
    with client.begin() as connection:
        raw = connection.connection.driver_connection
        for view in client.experiments(Selection(name)):
            result = json.dumps(NESTED_RESULTS[view.params["n"]])
            raw.execute("UPDATE experiment SET result = %s WHERE id = %s", [result, view.id])
        raw.execute("UPDATE study SET results = '{train,train.acc,n,loss}' WHERE name = %s", [name])
    return client, name


@pytest.mark.parametrize("quoted", [False, True])
def test_each_column_of_a_frame_is_chosen_by_its_name(nested, quoted):
    # Given a frame with columns of nested values
    client, name = nested
    frame = client.frame(Selection(name))
    expected = ["n", "opt.lr", "opt.train.acc", "param.status.k", "train", "result.train.acc", "train.deep.c"]
    expected += ["train.acc", "result.n", "result.n.x", "loss", "loss.val", "loss.val.top5"]
    assert sorted({*expected, "train.deep.a.b", "result.train.deep.a.b"} - set(frame)) == []
    for label in expected:
        for value in frame[label].tolist():
            if isinstance(value, int | float) and not math.isnan(value):
                # When a condition names a value of a column, then it chooses the rows of the frame
                written_name = spelled("x" + label)[1:] if not quoted else f'"{label}"'
                found = ids(client, name, where=f"{written_name} = {value}")
                rows = frame["id"][(frame[label].astype("object") == value).fillna(False)].tolist()
                assert found == rows, label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.acc > 4", [1, 2]),
        ("result.train.acc > 4", [1, 2]),
        ("result.train.acc = 9", [2]),
        ("train.deep.c = 3", [0]),
        ('train.deep."a.b" = 2', [0]),
        ("train.deep.a.b = 10", [2]),
        ("result.train.deep.a.b in (2, 10)", [0, 2]),
        ("opt.lr >= 22", [2, 3]),
        ("param.opt.lr in (20, 23)", [0, 3]),
        ("status.k = 31", [1]),
        ("param.status.k = 31", [1]),
        ("loss.val.top5 = 13", [3]),
        ("loss = 0.5", [0]),
        ("loss.val = 7", [1]),
        ("not loss.val = 8", [1]),
        ("loss.nothing = 7", []),
    ],
)
def test_a_part_of_a_nested_value_has_the_name_that_frames_have(nested, text, expected):
    client, name = nested
    assert [view.params["n"] for view in client.experiments(parse([name], where=text))] == expected


@pytest.mark.parametrize(
    ("since", "expected"),
    [("90s", "y"), ("90 min", "wy"), ("1h30m", "wy"), ("25 hours", "wxy"), ("2d", "wxy"), ("10 days", "wxyz")],
)
def test_since_is_the_last_change_of_an_experiment_by_the_database(client, study, since, expected):
    assert chosen(client, study, since=since) == expected


def test_since_a_moment(client, raw, study):
    now = raw.execute("SELECT now()").fetchone()[0]
    for moment in (now - timedelta(hours=3), (now - timedelta(hours=3)).astimezone(UTC)):
        assert chosen(client, study, since=moment.isoformat()) == "wy"
    # without an offset: the time zone of Postgres, which `qexp show` prints
    assert chosen(client, study, since=(now - timedelta(hours=3)).replace(tzinfo=None).isoformat(" ")) == "wy"
    assert chosen(client, study, since="2000-01-01") == "wxyz"
    assert chosen(client, study, since="9999-12-31T23:59:59-12:00") == ""
    assert chosen(client, study, since="0001-01-01T00:00+14:00") == "wxyz"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("node_1", "wy"), ("node?1", "wy"), ("node*", "wxy"), ("*.lab", "x"), ("node", ""), ("node%", ""), ("\\*", "")],
)
def test_a_host_is_exact_except_for_its_wildcards(client, study, host, expected):
    assert chosen(client, study, host=host) == expected


def test_every_command_takes_a_condition(client, study):
    narrow = parse([study], where="host like 'node%' and result.lr = 7")
    counts = client.count_by_status(narrow)
    assert (counts.closed, counts.open) == (1, 0)
    assert len(client.show(narrow)) == len(client.frame(narrow)) == 1
    assert [group.count for group in client.errors(parse([study], where="host = 'nodex1.lab'"))] == [1]
    assert client.errors(parse([study], host="node_1")) == []
    assert client.cancel(parse([study], where="host is null")).ids == ids(client, study)[-1:]
    done = client.requeue(narrow)
    assert len(done.ids) == 1
    assert client.show(parse([str(done.ids[0])]))[0].attempts[0].result == {"lr": 7, "train.loss": 0.5}


def test_a_study_in_python_takes_them_too(client, study):
    made = Study(study, client)
    assert made.frame(where="lr > 0.05", since="90 min", host="node*")["param.status"].tolist() == ["w", "y"]
    assert len(made.metrics(where="lr > 0.05")) == 0
    assert len(made.requeue(where="error like 'ValueError%'", host="nodex1*", since="2d")) == 1
    assert chosen(client, study, where="status = 'failed'") == ""
