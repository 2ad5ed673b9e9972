"""Files of tables are written whole or not at all, and the same table gives the same bytes."""

import re
import subprocess
import sys

import pytest
from table_support import big_table, nasty_table, rich_table, table

from qexp.analysis.atomic_files import atomic_file
from qexp.analysis.writers import FORMATS, check_macros_file, check_table_file, render, write
from qexp.errors import ExportError

PRINT_TABLES = """
import sys
from table_support import nasty_table, rich_table
from qexp.analysis.writers import render
for made in (rich_table(), nasty_table()):
    sys.stdout.buffer.write(render(made, sys.argv[1]).encode())
"""
LOADED = """
import sys
import qexp.analysis.writers
print([name for name in ("pandas", "numpy", "rich", "scipy", "matplotlib") if name in sys.modules])
"""


@pytest.mark.parametrize("form", FORMATS)
def test_the_suffix_decides_the_format(tmp_path, form):
    path = tmp_path / f"table.{form.upper()}"
    write(rich_table(), path)
    assert path.read_text(encoding="utf-8") == render(rich_table(), form)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_or_format_names_the_known_ones(tmp_path):
    with pytest.raises(ExportError) as refused:
        check_table_file(tmp_path / "table.docx")
    assert str(refused.value).endswith("found the suffix '.docx', expected one of .tex, .md, .html, .csv, .json")
    assert refused.value.exit_status == 2
    with pytest.raises(
        ExportError, match=r"found the format 'htm', expected one of tex, md, .* \(did you mean 'html'\?\)"
    ):
        render(table(), "htm")
    with pytest.raises(ExportError, match=r"expected one of \.tex$"):
        check_macros_file(tmp_path / "numbers.csv")


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(ExportError, match=r"there is no folder .*; make it with 'mkdir -p"):
        write(table(), tmp_path / "missing" / "table.tex")
    (tmp_path / "folder.tex").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        write(table(), tmp_path / "folder.tex")
    with pytest.raises(ExportError, match="file name too long"):
        write(table(), tmp_path / f"{'x' * 300}.tex")
    assert [found.name for found in tmp_path.iterdir()] == ["folder.tex"]


def test_an_error_while_a_file_is_written_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "table.tex"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="half"), atomic_file(path) as draft:
        draft.write_text("half")
        raise RuntimeError("half")
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["table.tex"]


def test_text_that_is_no_unicode_is_written_visibly(tmp_path):
    for form in FORMATS:
        write(table(["lone \ud800"]), tmp_path / f"table.{form}")
        assert "ud800" in (tmp_path / f"table.{form}").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMATS)
def test_equal_tables_give_equal_bytes_in_any_process(form):
    here = "".join(render(made, form) for made in (rich_table(), nasty_table())).encode()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", PRINT_TABLES, form], env=environment, capture_output=True, check=True
        )
        assert run.stdout == here


@pytest.mark.parametrize("form", FORMATS)
def test_ten_thousand_cells_are_all_written(form):
    found = re.findall(r"\d+\.0", render(big_table(), form))
    assert {f"{number}.0" for number in range(10_000)} <= set(found)


def test_writers_load_no_library_of_data_or_pictures():
    run = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
