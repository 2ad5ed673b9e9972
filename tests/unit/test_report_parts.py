"""The parts of a report that need no database: markup, the grid as YAML, the choice of rows, histograms."""

from hypothesis import given
from hypothesis import strategies as st
from report_support import Page

from qexp.analysis.html_elements import Html, escaped, join, tag, visible
from qexp.analysis.report import formatting, grid_yaml
from qexp.analysis.report.effort_sections import cost, durations
from qexp.analysis.report.gathering import Errors
from qexp.analysis.report.outcome_sections import errors
from qexp.grid.yaml_source import parse
from qexp.store.reads.costs import Cost, Durations
from qexp.store.reads.failures import Failed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
YAML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["1e-4", "no", "0x1f", "0o7", "~", ".nan", "null", "1_000", "12:30", "- a", "a: b", "", "'", "!x"]
    )
    | YAML_TEXT
)
GRIDS = st.dictionaries(
    YAML_TEXT,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(YAML_TEXT, inner, max_size=4)),
    min_size=1,
    max_size=5,
)


@given(TEXT, TEXT)
def test_text_stays_text_wherever_it_stands(text, value):
    page = Page(str(tag("section", tag("p", text, title=value), id="x")))
    assert page.tags == ["section", "p"]
    assert page.texts["x"] == visible(text)


def test_control_and_direction_characters_are_shown_escaped():
    assert escaped("a\x1b[31m\u202eb\x00\r\nc\td") == "a\\x1b[31m\\u202eb\\x00\nc\td"
    assert escaped("\ud800") == "\\ud800"


def test_html_is_not_escaped_twice():
    inner = tag("b", "a < b")
    assert join("x & ", inner, None, [inner, "y"]) == "x &amp; <b>a &lt; b</b><b>a &lt; b</b>y"
    assert isinstance(join(inner), Html)


@given(GRIDS)
def test_the_grid_of_a_report_is_read_back_as_it_was(grid):
    text, is_cut = grid_yaml.written(grid)
    assert not is_cut
    assert parse(text, "grid").data() == grid


def test_a_long_list_loses_its_middle_with_a_note():
    text, is_cut = grid_yaml.written({"parameters": {"x": list(range(100_000))}})
    assert is_cut
    assert len(text) < 1_000
    assert "… 99,940 more …" in text
    assert "99999" in text


def test_a_long_or_deep_grid_is_cut():
    deep: dict = {}
    for _ in range(2_000):
        deep = {"a": deep}
    assert grid_yaml.written(deep)[1]
    text, is_cut = grid_yaml.written({"settings": {"text": "x" * 100_000}})
    assert is_cut
    assert len(text) <= 20_100


def test_a_histogram_has_a_column_for_each_bin_that_is_not_empty():
    found = Durations(6, 1.0, 2.0, 4.0, [0.5, 1.0, 2.0, 4.0], [4, 0, 2], is_log=True)
    page = Page(str(tag("section", durations(found), id="x")))
    assert page.tags.count("rect") == 2
    assert "median 1 s, 90 % within 2 s, longest 4 s" in page.texts["x"]
    assert "logarithmic" in page.texts["x"]


def test_costs_are_summed_over_outcomes_and_unmeasured_ones_are_counted():
    done = Cost("done", 10, 100.0, 50.0, 0.25, 1_000, None, 10, 5)
    failed = Cost("error", 2, 20.0, None, None, None, None, 0, 0)
    text = Page(str(tag("section", cost([done, failed]), id="x"))).texts["x"]
    assert "all122 min 0 s50 s1 kB0.25 kWh" in text
    assert "CPU time and memory of 2 attempts were not measured." in text
    assert "Energy was measured in 5 of 12 attempts." in text


def test_values_of_any_length_take_one_line():
    assert formatting.value("a\nb") == "a b"
    assert len(formatting.value("x" * 10_000).encode()) <= 160


def test_a_long_traceback_loses_its_middle():
    trace = "\n".join(f"line {number}" for number in range(1_000))
    found = Errors([Failed("ab12cd34", 3, 17, "error", "ValueError", "x", None, trace)], 1)
    text = Page(str(tag("section", errors(found, "s"), id="x"))).texts["x"]
    assert "line 9\n… 960 lines left out …\nline 970\n" in text
    assert "line 999qexp debug 17" in text
