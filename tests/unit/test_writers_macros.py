"""A macro per cell has a name in letters that does not depend on other cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_support import NASTY, cell, table

from qexp.analysis.writers import to_macros
from qexp.analysis.writers.macros import macro_name
from qexp.errors import ExportError


def test_a_macro_is_named_after_its_table_and_labels():
    text = to_macros({"lenet": table(["svc"], ["iris"], [[cell(0.91, 0.02, bold=True, marks=("a",))]])})
    assert text.splitlines()[-1] == r"\newcommand{\lenetSvcIris}{$0.91 \pm 0.02$}"


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (("t2", "x"), "tTwoX"),
        (("t", "0.1", "-1"), "tZeroPointOneMinusOne"),
        (("t", "1e-05"), "tOneEMinusZeroFive"),
        (("t", "decision tree", "a_b"), "tDecisionTreeAB"),
        (("t", "é", ""), "tEEmpty"),
        (("t", "α", "+"), "tAlphaPlus"),  # noqa: RUF001
        (("t", "%"), "tPercentSign"),
    ],
)
def test_digits_and_signs_are_spelled(labels, name):
    assert macro_name(*labels) == name


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_name_has_letters_only(labels):
    name = macro_name(*labels)
    assert name.isascii()
    assert name.isalpha()


def test_an_incomplete_number_is_marked_and_an_absent_one_is_a_dash():
    cells = [[cell(0.5, 0.1, 4, 5), cell(None, n=0, expected=5)], [None, cell(0.25)]]
    lines = to_macros({"t": table(cells=cells)}).splitlines()
    assert lines[1:] == [
        r"\newcommand{\tSVCDigits}{$0.50 \pm 0.10$ (4/5)}",
        r"\newcommand{\tSVCIris}{$\mbox{---}$ (0/5)}",
        r"\newcommand{\tTreeIris}{$0.25 \pm 0.02$}",
    ]


def test_two_cells_of_one_name_are_refused_rather_than_numbered():
    with pytest.raises(ExportError) as refused:
        to_macros({"t": table(["a_b", "a-b"], ["iris"])})
    assert str(refused.value) == (
        r"macros: found the name \tABIris for both t / a_b / iris and t / a-b / iris, expected one name per cell; "
        "give one table another name, or leave one row or column out with --where"
    )


def test_tables_that_share_a_name_are_refused():
    with pytest.raises(ExportError, match="tTwoSVC"):
        to_macros({"t2": table(), "t-2": table()})


def test_provenance_is_in_comments():
    text = to_macros({"two\nlines": table(["x"], ["y"], [[cell()]], provenance=NASTY)})
    assert [line for line in text.splitlines() if not line.startswith("%")] == [
        r"\newcommand{\twoLinesXY}{$0.91 \pm 0.02$}"
    ]
