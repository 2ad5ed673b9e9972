"""Long lines are folded at the width of the terminal, and nothing else changes."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from qexp.cli import folded_text
from qexp.cli.folded_text import folded


@pytest.fixture(autouse=True)
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded_text, "console", lambda: Console(file=io.StringIO(), width=40))
        yield


def test_the_rest_of_a_line_stands_below_it_and_deeper():
    assert folded("  raise ValueError(first, second, third, fourth)", 2).split("\n") == [
        "  raise ValueError(first, second,",
        "        third, fourth)",
    ]


def test_marks_below_a_folded_line_are_left_out_and_others_stay():
    line = "    raise ValueError(first, second, third, fourth)"
    assert "^" not in folded(f"{line}\n    ^^^^^^^^^^")
    assert folded("    f(x)\n    ^~~^") == "    f(x)\n    ^~~^"


@given(
    st.lists(st.sampled_from(["word", " ", "日本語", "x" * 50, "\n", "    ", "\t", "\x1b[31m", ","])).map("".join),
    st.integers(0, 12),
)
def test_no_line_is_too_wide_and_no_character_is_lost(text, indent):
    shown = folded(text, indent)
    assert all(cell_len(line) <= 40 for line in f"{'':{indent}}{shown}".split("\n"))
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text).replace("\x1b", r"\x1b")
