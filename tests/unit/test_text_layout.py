"""Lines of styled text fit their width, and no cell is ever cut."""

from hypothesis import given
from hypothesis import strategies as st

from qexp.analysis import html_elements, text_layout
from qexp.analysis.text_layout import StyledText

WORDS = st.text(st.sampled_from("abcdefgh数é"), min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, min_size=1, max_size=12), st.integers(60, 120))
def test_a_table_is_no_wider_than_the_screen_and_its_cells_are_whole(names, columns, width):
    cells = [[StyledText("123/456") for _ in columns] for _ in names]
    lines = list(text_layout.table(["head"], [[name] for name in names], columns, cells, width))
    texts = text_layout.plain(lines).split("\n")
    assert all(text_layout.width_of(text) <= width for text in texts[: 2 + len(names)])
    for row in range(len(names)):
        assert set(texts[2 + row].split()[1:]) == {"123/456"}


@given(st.lists(WORDS, min_size=1, max_size=12, unique=True))
def test_a_column_is_shown_or_named(columns):
    cells = [[StyledText("1") for _ in columns]]
    lines = text_layout.table(["head"], [["row"]], columns, cells, 60)
    text = text_layout.plain(lines)
    shown = [name for name in columns if name in text]
    assert len(shown) >= min(len(columns), 7)
    assert len(shown) == len(columns) or "more; widen the window" in " ".join(text.split())


def test_a_repeated_label_is_written_once():
    rows = [["iris", "svm"], ["iris", "tree"], ["wine", "svm"]]
    lines = text_layout.plain(text_layout.table(["dataset", "model"], rows, ["n"], [[StyledText("1")]] * 3, 80)).split(
        "\n"
    )
    assert lines[2:] == ["iris     svm    1", "         tree   1", "wine     svm    1"]


def test_a_long_command_stays_on_one_line():
    assert text_layout.plain([text_layout.line("qexp " + "x" * 200)]).count("\n") == 0


def test_html_is_escaped():
    assert "<td>&lt;i&gt;</td>" in html_elements.table(["a"], [["<i>"]])
    assert html_elements.tag("p", "a & b") == "<p>a &amp; b</p>"


def test_characters_that_turn_a_line_around_are_shown_in_html():
    assert "<td>a\\u202eb</td>" in html_elements.table(["a"], [["a\u202eb"]])
    assert html_elements.tag("p", "\x1b[31m") == "<p>\\x1b[31m</p>"


def test_a_cell_has_the_background_that_is_given_for_it():
    assert '<td style="background:#eee">1</td><td>2</td>' in html_elements.table(
        ["a", "b"], [["1", "2"]], shades=[["#eee", ""]]
    )
