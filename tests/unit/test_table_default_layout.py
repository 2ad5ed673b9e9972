"""Rows and columns by default: each cell has one combination of parameters."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.analysis.table import default_layout
from qexp.analysis.table.default_layout import DefaultLayout
from qexp.dotted_names import ABSENT
from qexp.store.reads.observations import CodedColumn


def coded(rows: list[dict], name: str) -> CodedColumn:
    values = list(dict.fromkeys(row.get(name, ABSENT) for row in rows))
    return CodedColumn(np.array([values.index(row.get(name, ABSENT)) for row in rows], dtype=np.int16), values)


def arranged(rows: list[dict]) -> DefaultLayout:
    names = dict.fromkeys(name for row in rows for name in row)
    return default_layout.arranged({name: coded(rows, name) for name in names})


def crossed(**values: list) -> list[dict]:
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{}], DefaultLayout()),
        (crossed(a=[1]), DefaultLayout()),
        (crossed(a=[1, 2, 3]), DefaultLayout(("a",))),
        (crossed(a=[1, 2], b=[1, 2, 3]), DefaultLayout(("b",), ("a",))),
        (crossed(a=[1, 2], b=[1, 2, 3], c=[1, 2, 3, 4]), DefaultLayout(("a", "c"), ("b",))),
        ([{"a": 1, "size": 10}, {"a": 2, "size": 20}], DefaultLayout(("a",))),
        (crossed(a=list(range(20)), b=list(range(9))), DefaultLayout(("b", "a"))),
        (crossed(a=[1, 2], lr=list(range(100))), DefaultLayout(("a",), pooled=("lr",))),
        (crossed(m=["svm"], c=[1, 2, 3]) + crossed(m=["tree"], depth=[4, 5]), DefaultLayout(("m", "depth", "c"))),
        (crossed(a=list(range(30)), b=list(range(30))), DefaultLayout(("a",), pooled=("b",))),
    ],
)
def test_rows_and_columns_follow_from_the_grid(rows, expected):
    assert arranged(rows) == expected


@given(st.lists(st.fixed_dictionaries({name: st.integers(0, 3) for name in "abc"}), min_size=1, max_size=30))
def test_each_cell_of_a_table_has_one_combination_of_parameters(rows):
    found = arranged(rows)
    chosen = (*found.rows, *found.columns)
    assert found.pooled == ()
    cells = {tuple(row[name] for name in chosen) for row in rows}
    assert len(cells) == len({tuple(sorted(row.items())) for row in rows})
