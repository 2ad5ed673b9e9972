"""CSV, JSON and frames give back exactly the numbers of the table."""

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_support import cell, nasty_table, rich_table, table
from tests_support import refuse_constant

from qexp.analysis.table import Cell, Metric, Note, Table
from qexp.analysis.writers import to_csv, to_data, to_frame, to_json

numbers = st.floats() | st.none()


def lines(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def back(data) -> Table:
    """Return the table that JSON data represents."""

    def made(found) -> Cell | None:
        if found is None:
            return None
        interval = None if found["interval"] is None else tuple(found["interval"])
        return Cell(**{**found, "interval": interval, "marks": tuple(found["marks"])})

    def keys(found) -> tuple[tuple[str, ...], ...]:
        return tuple(map(tuple, found))

    return Table(
        tuple(data["row_axes"]), tuple(data["column_axes"]), keys(data["rows"]), keys(data["columns"]),
        tuple(tuple(map(made, row)) for row in data["cells"]), tuple(Metric(**m) for m in data["metrics"]),
        data["statistic"], tuple(data["over"]), tuple(Note(**n) for n in data["notes"]), tuple(data["provenance"]),
    )  # fmt: skip


def test_a_line_of_csv_is_a_cell():
    text = to_csv(rich_table())
    head, first, *_ = text.splitlines()
    assert head == "classifier,features,dataset,metric,n,expected,center,spread,low,high,difference,p,bold,marks"
    assert first == "SVC,raw,digits,accuracy,5,5,0.912,0.0213,,,,,false,"
    found = lines(text)
    assert len(found) == 15
    assert found[6] == {
        "classifier": "SVC", "features": "scaled", "dataset": "iris", "metric": "accuracy", "n": "0", "expected": "5",
        "center": "", "spread": "", "low": "", "high": "", "difference": "", "p": "", "bold": "false", "marks": "a b",
    }  # fmt: skip


@given(center=st.floats(), spread=numbers, low=st.floats(), label=st.text(st.characters(codec="utf-8")))
def test_csv_gives_back_every_digit_and_label(center, spread, low, label):
    made = table([label], ["x"], [[cell(np.float64(center), spread, interval=(low, np.float64(1.0)))]])
    (found,) = lines(to_csv(made))
    assert found["classifier"] == label
    for name, expected in (("center", center), ("spread", spread), ("low", low), ("high", 1.0)):
        value = None if found[name] == "" else float(found[name])
        assert value == expected or (value is not None and math.isnan(value) and math.isnan(expected))


def test_an_axis_named_like_another_column_is_a_parameter():
    made = table(row_axes=("n",), column_axes=("metric",))
    assert to_csv(made).splitlines()[0].startswith("param.n,param.metric,metric,n,expected")
    assert to_frame(made)["param.metric"].tolist() == ["digits", "iris"] * 2
    assert set(to_frame(made)["metric"]) == {"accuracy"}


def test_metrics_that_are_rows_are_found():
    made = table(
        [("SVC", "accuracy"), ("SVC", "loss")],
        ["digits"],
        [[cell()]] * 2,
        ("model", "metric"),
        ("dataset",),
        ("accuracy", "loss"),
    )
    assert to_frame(made)["metric"].tolist() == ["accuracy", "loss"]
    assert list(to_frame(made).columns[:3]) == ["model", "dataset", "metric"]


@pytest.mark.parametrize("made", [rich_table(), nasty_table(), table([], cells=[])])
def test_json_gives_back_the_table(made):
    data = json.loads(to_json(made), parse_constant=refuse_constant)
    assert data == to_data(made)
    expected = to_data(made)
    assert to_data(back(expected)) == expected
    assert back(data).notes == made.notes
    assert back(data).rows == made.rows


def test_json_of_finite_numbers_is_the_same_table():
    made = nasty_table()
    assert back(json.loads(to_json(made))) == made


def test_csv_json_and_frames_have_the_comparison_with_the_baseline():
    made = table(["svc", "tree"], ["x"], [[cell()], [cell(difference=-0.1 / 3, p=2 / 2**8)]])
    (_, line), (_, data) = lines(to_csv(made)), (row[0] for row in to_data(made)["cells"])
    assert (float(line["difference"]), float(line["p"])) == (-0.1 / 3, 2 / 2**8)
    assert (data["difference"], data["p"]) == (-0.1 / 3, 2 / 2**8)
    frame = to_frame(made)
    assert frame.p.isna().tolist() == [True, False]
    assert (frame.difference[1], frame.p[1]) == (-0.1 / 3, 2 / 2**8)


def test_json_is_strict():
    made = table(cells=[[cell(math.nan), cell(math.inf, n=2)], [cell(None, n=0), None]])
    data = json.loads(to_json(made), parse_constant=refuse_constant)
    first, second = data["cells"][0]
    assert (first["center"], first["text"], second["center"]) == (None, "nan", "Infinity")
    assert data["cells"][1][1] is None


def test_a_frame_has_the_lines_of_csv():
    for made in (rich_table(), nasty_table()):
        texts = dict.fromkeys([*made.row_axes, *made.column_axes, "marks"], "str")
        missing = {name: ["", "nan"] for name in ("center", "spread", "low", "high", "difference", "p")}
        read = pd.read_csv(io.StringIO(to_csv(made), newline=""), keep_default_na=False, na_values=missing, dtype=texts)
        pd.testing.assert_frame_equal(to_frame(made), read, check_dtype=False)


def test_an_empty_frame_has_the_columns_and_types_of_a_full_one():
    full, empty = to_frame(table()), to_frame(table([], cells=[]))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
