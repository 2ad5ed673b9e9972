"""Columns of frames get the types that their values have."""

import pandas as pd
import pytest

from qexp.analysis.frame import typed


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
