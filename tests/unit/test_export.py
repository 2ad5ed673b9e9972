"""Exported files hold every value unchanged, and JSON files hold valid JSON."""

import dataclasses
import json
import math

import pandas as pd
import pytest
from tests_support import refuse_constant

from qexp.analysis.export import row_dicts, writer
from qexp.analysis.frame import typed
from qexp.cli.output import show_json

MIXED = [True, "true", 1, "1", 1.5, "1.5", None, "null", "adam", "", [1, None], "[1, null]", {"a": "b"}, 2**70, "NaN"]


def written(path, **columns):
    """Write columns in two pieces."""
    table = pd.DataFrame({name: typed(values, dates=True) for name, values in columns.items()})
    writer(path)([table.iloc[:1], table.iloc[1:].reset_index(drop=True)])
    return path


def test_json_has_no_numbers_that_json_lacks_at_any_depth(tmp_path):
    odd = [math.nan, math.inf, -math.inf, 0.5]
    path = written(tmp_path / "x.json", plain=odd, nested=[[odd], {"a": odd}, {"b": {"c": math.nan}}, math.inf])
    rows = json.loads(path.read_text(), parse_constant=refuse_constant)
    plain = [None, "Infinity", "-Infinity", 0.5]
    assert [row["plain"] for row in rows] == plain
    assert [row["nested"] for row in rows] == [[plain], {"a": plain}, {"b": {"c": None}}, "Infinity"]


def back(cell):
    """Return the value that a cell of a mixed column encodes."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_values_of_several_kinds_in_one_column_stay_apart(tmp_path, suffix):
    path = written(tmp_path / f"x{suffix}", mixed=MIXED)
    if suffix == ".csv":
        cells = pd.read_csv(path, keep_default_na=False, na_values=[])["mixed"].tolist()
        assert cells[MIXED.index(None)] == ""
        cells[MIXED.index(None)] = None
    else:
        cells = [None if cell != cell else cell for cell in pd.read_parquet(path)["mixed"].tolist()]
    assert cells[:4] == ["true", '"true"', "1", '"1"']
    assert cells[MIXED.index("adam")] == "adam"
    found = [None if cell is None else back(cell) for cell in cells]
    assert found == MIXED
    assert list(map(type, found)) == list(map(type, MIXED))


def test_infinity_beside_text_stays_apart_from_the_word(tmp_path):
    values = [math.inf, "Infinity", -math.inf, "inf", math.nan]
    cells = pd.read_parquet(written(tmp_path / "x.parquet", x=values))["x"].tolist()
    assert cells[:4] == ["Infinity", '"Infinity"', "-Infinity", "inf"]
    assert pd.isna(cells[4])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_a_column_of_text_alone_is_written_as_it_is(tmp_path, suffix):
    path = written(tmp_path / f"x{suffix}", x=["true", "1", "null", None])
    read = {".csv": lambda path: pd.read_csv(path, dtype=str, keep_default_na=False), ".parquet": pd.read_parquet}
    if suffix == ".json":
        assert [row["x"] for row in json.loads(path.read_text())] == ["true", "1", "null", None]
    else:
        assert read[suffix](path)["x"].tolist()[:3] == ["true", "1", "null"]


def test_columns_without_values_or_of_nan_only_are_written(tmp_path):
    for suffix in (".csv", ".parquet", ".json"):
        written(
            tmp_path / f"x{suffix}", none=[None, None], nan=[math.nan, math.nan], moments=["2026-01-02T03:04:05Z"] * 2
        )
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert table["none"].isna().all()
    assert table["nan"].isna().all()
    assert table["moments"].dtype == "datetime64[us, UTC]"
    (first, _) = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse_constant)
    assert first == {"none": None, "nan": None, "moments": "2026-01-02T03:04:05+00:00"}


def test_json_output_of_commands_has_no_numbers_that_json_lacks(capsys):
    @dataclasses.dataclass
    class Attempt:
        result: dict

    show_json([{"result": {"loss": [math.nan, math.inf]}, "attempts": [Attempt({"loss": -math.inf})], "at": None}])
    (found,) = json.loads(capsys.readouterr().out, parse_constant=refuse_constant)
    assert found == {
        "result": {"loss": [None, "Infinity"]},
        "attempts": [{"result": {"loss": "-Infinity"}}],
        "at": None,
    }


def test_rows_of_a_frame_as_data_keep_every_digit():
    table = pd.DataFrame({"value": [0.1 + 0.2, math.inf], "at": pd.to_datetime(["2026-01-02T03:04:05Z"] * 2)})
    assert [row["value"] for row in row_dicts(table)] == [0.30000000000000004, "Infinity"]
    assert {row["at"] for row in row_dicts(table)} == {"2026-01-02T03:04:05+00:00"}
