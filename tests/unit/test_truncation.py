"""Long texts keep their beginning, their end and whole characters."""

import pytest

from qexp.model import Departure, Error, Failure
from qexp.truncation import MAX_LINE, MAX_STORED, single_line, truncated


@pytest.mark.parametrize("text", ["a", "é", "€", "🧪", "a🧪€", "\ud800"])
@pytest.mark.parametrize("shift", range(4))
def test_text_of_any_characters_is_cut_between_them(text, shift):
    # Given text with characters at each offset to the cut
    whole = "x" * shift + text * 80_000
    # When it is cut
    cut = truncated(whole)
    # Then it fits, keeps the beginning and the end, and counts the missing part
    assert len(cut.encode("utf-8", "surrogatepass")) <= MAX_STORED
    first, mark, last = cut.split("\n")
    assert whole.startswith(first)
    assert whole.endswith(last)
    assert min(len(first), len(last)) > 0
    left_out = len(whole.encode("utf-8", "surrogatepass")) - len((first + last).encode("utf-8", "surrogatepass"))
    assert mark == f"… {left_out:,} bytes left out …"


def test_text_that_fits_stays_as_it_is():
    assert truncated("🧪" * (MAX_STORED // 4)) == "🧪" * (MAX_STORED // 4)
    assert truncated("a" * MAX_STORED) == "a" * MAX_STORED


def test_a_line_has_no_breaks_also_where_it_is_cut():
    line = single_line("no\nGPU " * 1000, MAX_LINE)
    assert len(line.encode()) <= 300
    assert "\n" not in line
    assert "bytes left out" in line


def test_every_stored_part_of_an_error_is_bounded():
    long = "x" * 2_000_000
    error = Error(Failure.ERROR, long, long, long, "f", long)
    assert max(map(len, (error.type, error.message, error.frame, error.traceback))) <= MAX_STORED
    assert len(error.type) + len(error.frame) <= 2_000
    assert len(Departure("paused", long).reason) <= MAX_STORED


def test_an_error_of_several_lines_becomes_one():
    assert single_line(ValueError("no GPU\n  here")) == "no GPU here"
