"""Stored text for a terminal: colours stay, other control characters are escaped."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.cli.terminal_writer import Stream, visible

STEERED = st.lists(
    st.sampled_from(["\x1b", "[", "31", ";", "m", "\r", "\n", "\t", "\x9b", "]0;", "\x07", "\u202e", "x", "ä", "K"])
).map("".join)
ORDINARY = "ü 日本\u3000語 \N{WOMAN}\u200d\N{PERSONAL COMPUTER} \u00a0"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"),
        ("\x1b[2J\x1b[H\x1b[6n", r"\x1b[2J\x1b[H\x1b[6n"),
        ("\x9b2J\x85\x7f\x08", r"\x9b2J\x85\x7f\x08"),
        ("ab\u202ecd\u2066e", r"ab\u202ecd\u2066e"),
        ("50%\r100%\r\nend\r\r\n", "50%\\r100%\nend\n"),
        ("a\tb\nc", "a\tb\nc"),
        (
            "ü 日本\u3000語 \N{WOMAN}\u200d\N{PERSONAL COMPUTER} \u00a0",
            "ü 日本\u3000語 \N{WOMAN}\u200d\N{PERSONAL COMPUTER} \u00a0",
        ),
    ],
)
def test_control_characters_are_escaped_and_other_text_stays(text, shown):
    assert visible(text) == shown
    assert visible(text, colours="kept") == shown


def test_colours_are_kept_or_removed_where_that_is_wanted_and_are_escaped_elsewhere():
    text = "\x1b[1;31mred\x1b[0m \x1b[38:5:208morange\x1b[m \x1b[31"
    assert visible(text, colours="kept") == "\x1b[1;31mred\x1b[0m \x1b[38:5:208morange\x1b[m \\x1b[31"
    assert visible(text, colours="removed") == "red orange \\x1b[31"
    assert visible(text) == r"\x1b[1;31mred\x1b[0m \x1b[38:5:208morange\x1b[m \x1b[31"


@given(STEERED)
def test_no_control_character_remains(text):
    assert not CONTROL.search(visible(text))
    assert not CONTROL.search(COLOUR.sub("", visible(text, colours="kept")))


@given(STEERED, st.data())
def test_the_pieces_of_output_do_not_change_the_text(text, data):
    def printed(pieces):
        with pytest.MonkeyPatch.context() as patch:
            shown = []
            patch.setattr("qexp.cli.terminal_writer.click.echo", lambda text, nl: shown.append(text))
            with Stream() as stream:
                for piece in pieces:
                    stream.write(piece)
        return "".join(shown)

    cut = data.draw(st.integers(0, len(text)))
    assert printed([text[:cut], text[cut:]]) == printed([text])


@pytest.mark.parametrize(
    ("pieces", "number"),
    [
        (["a\nb\r\nc\r\r\n"], 0),
        (["\r 1%\r 2%\r\r 3%\nend\n"], 2),
        (["lost\r", "", "shown\n"], 1),
        (["lost", "\r", "shown"], 1),
        (["kept\r"], 0),
    ],
)
def test_the_states_of_lines_that_a_terminal_overwrites_are_counted(monkeypatch, pieces, number):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with Stream() as stream:
        for piece in pieces:
            stream.write(piece)
    assert stream.overwritten == number


def test_a_long_row_of_carriage_returns_takes_no_longer_than_other_text():
    assert visible("\r" * 1_000_000 + "x", returns="\n") == "\nx"
