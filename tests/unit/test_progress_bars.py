"""Progress bars: the choice of a bar, and what a notebook gets."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from qexp.progress_bars import progress_bar
from qexp.progress_bars.bar import HiddenBar
from qexp.progress_bars.notebook_bar import NotebookBar


class Display:
    """What a notebook shows: the first display, then its updates."""

    def __init__(self) -> None:
        self.shown: list[object] = []

    def __call__(self, view: object, display_id: bool = False) -> SimpleNamespace:
        assert display_id
        self.shown.append(view)
        return SimpleNamespace(update=self.shown.append)


@pytest.fixture
def display():
    return Display()


def test_a_notebook_shows_one_output_as_html_and_as_text(display):
    bar = NotebookBar(display)
    bar.update("lenet", 12, 48, "3 running")
    (view,) = display.shown
    assert repr(view) == "lenet  ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  12 of 48  3 running"
    html = view._repr_html_()
    assert '<progress value="12" max="48"' in html
    assert "12 of 48  3 running" in html


def test_updates_that_follow_quickly_are_joined_and_the_last_one_is_shown(display):
    bar = NotebookBar(display)
    for number in range(49):
        bar.update("lenet", number, 48)
    bar.close()
    assert len(display.shown) < 10
    assert repr(display.shown[-1]) == "lenet  ━━━━━━━━━━━━━━━━━━━━━━━━  48 of 48"


def test_closing_says_other_news(display):
    bar = NotebookBar(display)
    bar.update("lenet", 1, 2, "1 running")
    bar.close("interrupted")
    assert repr(display.shown[-1]).endswith("1 of 2  interrupted")


def test_a_bar_that_was_never_updated_shows_nothing(display):
    NotebookBar(display).close("interrupted")
    assert display.shown == []


def test_two_labels_are_two_lines_and_no_markup(display):
    bar = NotebookBar(display)
    bar.update("written", 0, 0, "<i>\x1b[2J")
    bar.close()
    bar.update("announced", 1, 2)
    bar.close()
    assert repr(display.shown[-1]).splitlines()[1].startswith("announced  ━")
    assert "&lt;i&gt;\\x1b[2J" in display.shown[-1]._repr_html_()
    assert "\x1b" not in repr(display.shown[-1])


def test_without_a_terminal_and_a_notebook_nothing_is_shown(capfd):
    assert isinstance(progress_bar(), HiddenBar)
    assert isinstance(progress_bar(wanted=False), HiddenBar)
    progress_bar().update("lenet", 1, 2)
    progress_bar().close()
    assert capfd.readouterr() == ("", "")


def test_neither_qexp_nor_its_study_imports_ipython_rich_or_pandas():
    code = (
        "import sys, qexp; qexp.Study, qexp.studies; from qexp.progress_bars import progress_bar; progress_bar();"
        "print({'IPython', 'rich', 'pandas', 'matplotlib'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
