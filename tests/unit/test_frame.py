"""Columns of frames get the names and types that their values have."""

import pandas as pd
import pytest

from qexp.analysis.frame import frame, frames, typed
from qexp.store.reads.experiment_rows import ColumnBlock
from qexp.store.schema.value_columns import DEEPEST, FACTS, WIDEST


def block(results, params=None, first=1):
    """Return experiments with these results, and with these parameters if given."""
    facts = {"status": "done", "attempt": 1, "host": "here", "started_at": 0, "duration": 1.0, "last_attempt": 1.0}
    count = len(results)
    given = params or [{} for _ in results]
    ids = range(first, first + count)
    return ColumnBlock(ids, given, results, {name: [facts.get(name)] * count for name in FACTS})


def names(table):
    return [name for name in table.columns if name not in ("id", *FACTS)]


def cells(table, name):
    return [None if value is None or value is pd.NA or value != value else value for value in table[name].tolist()]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["2026-01-02T03:04:05", None, "2026-01-02T03:04:05.25"], "datetime64[us]"),
        (["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00"], "datetime64[us, UTC]"),
        (["2026-01-02T03:04:05", "2026-01-02T03:04:05Z"], "str"),
        (["2026-01-02T03:04:05", "soon"], "str"),
        (["2026-13-02T03:04:05"], "str"),
        (["2026-01-02"], "str"),
        ([None, None], "object"),
        ([1, 2], "int64"),
    ],
)
def test_text_becomes_moments_only_where_all_of_it_is(values, dtype):
    column = typed(values, dates=True)
    assert column.dtype == dtype
    assert column.isna().tolist() == [value is None for value in values]


def test_offsets_become_utc():
    (found,) = typed(["2026-01-02T03:04:05+02:00"], dates=True)
    assert found == pd.Timestamp("2026-01-02T01:04:05Z")


def test_keys_of_mappings_are_columns_in_the_order_written_and_lists_are_values():
    first = {"train": {"loss": 0.5, "acc": {"top5": 2, "top1": 1}, "curve": [1, 2]}, "n": 7}
    second = {"train": {"acc": {"top1": 3}, "note": "x"}, "n": 8}
    table = frame([block([first, second, None])], [], ["train", "n"])
    assert names(table) == ["train.loss", "train.acc.top5", "train.acc.top1", "train.curve", "train.note", "n"]
    assert cells(table, "train.loss") == [0.5, None, None]
    assert cells(table, "train.acc.top1") == [1, 3, None]
    assert table["train.acc.top1"].dtype == "Int64"
    assert table["train.curve"].tolist() == [[1, 2], None, None]


def test_a_mapping_beside_other_values_loses_neither():
    table = frame([block([{"loss": {"val": 1}}, {"loss": 0.5}, {"loss": {}}, {"loss": None}])], [], ["loss"])
    assert table["loss"].tolist() == [None, 0.5, {}, None]
    assert cells(table, "loss.val") == [1, None, None, None]


def test_parameters_are_split_as_results_are():
    params = [{"optimizer": {"name": "sgd", "lr": 0.1}}, {"optimizer": {"name": "adam", "lr": 1}}]
    table = frame([block([None, None], params)], ["optimizer"], [])
    assert names(table) == ["optimizer.name", "optimizer.lr"]
    assert table["optimizer.lr"].tolist() == [0.1, 1.0]


@pytest.mark.parametrize(
    ("params", "result", "expected"),
    [
        ({}, {"train.acc": 1, "train": {"acc": 2}}, {"train.acc": 1, "result.train.acc": 2}),
        ({}, {"train": {"acc": 2}, "train.acc": 1}, {"result.train.acc": 2, "train.acc": 1}),
        ({}, {"a": {"b": {"c": 1}, "b.c": 2}}, {"a.b.c": 1, "result.a.b.c": 2}),
        ({"n": 1}, {"n": {"x": 2}}, {"n": 1, "result.n.x": 2}),
        ({"a": {"b": 1}}, {"a.b": 2}, {"param.a.b": 1, "a.b": 2}),
        ({"status": 1, "duration": 2}, {"id": 3}, {"param.status": 1, "param.duration": 2, "result.id": 3}),
        ({"n": 1}, {"result.n": 2, "n": 3}, {"n": 1, "result.n": 2, "result.result.n": 3}),
    ],
)
def test_no_two_columns_have_one_name(params, result, expected):
    table = frame([block([result], [params])], list(params), list(result))
    assert {name: table[name][0] for name in names(table)} == expected
    assert names(table) == list(expected)


def test_a_name_without_values_gives_way_to_the_key_of_that_name():
    table = frame([block([None], [{"optimizer": {"lr": 0.1}}])], ["optimizer", "optimizer.lr"], [])
    assert names(table) == ["optimizer.lr"]
    assert table["optimizer.lr"].tolist() == [0.1]


def test_a_parameter_that_sets_a_key_of_a_mapping_is_one_column_with_that_key():
    # Given mappings with and without a key, and a parameter that sets it for some of them
    params = [
        {"opt": {"name": "a", "lr": 5}, "opt.lr": 1},
        {"opt": {"name": "b"}, "opt.lr": 0.5},
        {"opt": {"name": "c", "lr": 7}},
        {"opt": {"name": "d"}},
    ]
    blocks = [block([None], [row], number) for number, row in enumerate(params)]
    table = pd.concat(list(frames(blocks, blocks, ["opt", "opt.lr"], [])))
    assert names(table) == ["opt.name", "opt.lr"]
    assert cells(table, "opt.lr") == [1, 0.5, 7, None]
    assert table["opt.lr"].dtype == "float64"


def test_a_mapping_of_very_many_keys_stays_a_value():
    # Given a large histogram in a small mapping, and one whose keys differ between experiments
    histogram = {str(number): number for number in range(WIDEST + 1)}
    results = [{"m": {"acc": 1, "all": histogram}, "by_id": {str(n): n, str(-n): n}} for n in range(1, WIDEST)]
    table = frame([block(results)], [], ["m", "by_id"])
    # Then the histograms stay values, and the small mapping becomes columns
    assert names(table) == ["m.acc", "m.all", "by_id"]
    assert table["m.all"][3] == histogram
    assert table["by_id"][0] == {"1": 1, "-1": 1}


def test_a_mapping_that_is_very_deep_inside_stays_a_value():
    tree = {"leaf": 1}
    for _ in range(DEEPEST + 5):
        tree = {"left": tree}
    table = frame([block([{"tree": tree}])], [], ["tree"])
    assert names(table) == ["tree" + ".left" * DEEPEST]


def test_pieces_have_the_columns_and_types_that_all_of_them_need():
    # Given pieces with different keys and types
    results = [{"a": 1, "m": {"x": 1}}, {"a": {"b": "2026-01-02T03:04:05"}, "m": {"x": 0.5, "y": True}}, None, {"m": 2}]
    blocks = [block([result], first=number) for number, result in enumerate(results)]
    whole = frame(blocks, [], ["a", "m"])
    # When they are read one by one, then each equals its part of the whole
    pieces = list(frames(blocks, blocks, [], ["a", "m"]))
    assert all((piece.dtypes == whole.dtypes).all() for piece in pieces)
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)
    assert whole["a.b"].dtype == "datetime64[us]"
