"""Lists that show themselves as tables in notebooks and in a shell."""

from __future__ import annotations

import datetime as dt

from qexp.analysis.column_fitting import TableColumn
from qexp.client.listings.attempt_text import AttemptText
from qexp.client.listings.ids import Ids
from qexp.client.listings.listing import text_lines
from qexp.client.listings.results import ResultList
from qexp.client.listings.studies import Studies
from qexp.model import Counts, Status
from qexp.store.reads.study_progress import StudyProgress


def progress(name: str, has_worker: bool = True, **more: object) -> StudyProgress:
    return StudyProgress(name, Counts({Status.DONE: 40, Status.PENDING: 11}), 2.0, has_worker, **more)


def test_counts_read_as_a_sentence():
    assert repr(Counts({Status.DONE: 40, Status.QUEUED: 10, Status.PENDING: 1})) == "51: 40 done, 11 waiting"
    assert repr(Counts()) == "no experiments"
    assert Counts({Status.DONE: 1})["failed"] == 0


def test_progress_reads_as_a_sentence_with_rate_and_pause():
    assert repr(progress("lenet")) == "lenet, 51: 40 done, 11 waiting; 2/s, 5.5 s left"
    paused = progress("lenet", paused_at=dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC), pause_reason="hot\x1b[31m")
    assert "; paused since 2026-01-31" in repr(paused)
    assert repr(paused).endswith("(hot\\x1b[31m)")


def test_studies_show_themselves_as_text_and_html():
    shown = Studies([progress("a"), progress("longer_name")])
    lines = repr(shown).splitlines()
    assert lines[0].split() == ["study", "total", "pending", "done", "rate", "left"]
    assert lines[3].split() == ["longer_name", "51", "11", "40", "2/s", "5.5", "s"]
    assert "<td" in shown._repr_html_()
    assert "longer_name" in shown._repr_html_()


def test_only_the_newest_of_many_studies_are_shown():
    shown = Studies([progress(f"s{number}") for number in range(100)])
    assert "s99" in repr(shown)
    assert "s69 " not in repr(shown)
    assert "and 70 earlier ones" in repr(shown)
    assert isinstance(shown[:3], Studies)
    assert len(shown[:3]) == 3


def test_an_empty_list_says_how_to_begin():
    assert repr(Studies()) == "no studies yet: start with qexp.enqueue"
    assert Studies()._repr_html_() == "<p>no studies yet: start with qexp.enqueue</p>"


def test_long_cells_are_cut_to_the_width_and_ids_are_not():
    columns = [TableColumn("id", ["123456789"]), TableColumn("error", ["x" * 200], cut=True)]
    lines = text_lines(columns, 40)
    assert max(map(len, lines)) == 40
    assert lines[2].startswith("123456789  xxx")
    assert lines[2].endswith("…")


def test_cells_cannot_write_markup_or_control_a_terminal():
    from qexp.client.listings.listing import html_table

    columns = [TableColumn("<b>", ["<script>\x1b[2J"])]
    assert "<script>" not in html_table(columns)
    assert "<b>" not in html_table(columns)
    assert "\x1b" not in "".join(text_lines(columns, 80)) + html_table(columns)


def test_output_shows_itself_as_lines_without_overwritten_states():
    text = AttemptText("\x1b[32mgo\x1b[0m\n 10%\r 50%\r100%\nend \x1b]0;title\x07\r\n", 17, 1, False)
    assert repr(text) == "go\n100%\nend \\x1b]0;title\\x07"
    assert text.startswith("\x1b[32m")
    assert repr(AttemptText("", 17, 2, True)) == "attempt 2 of experiment 17 has no output yet"


def test_ids_show_themselves_in_one_line():
    assert repr(Ids([17, 19, 20], "cancelled", "2 were running")) == ("3 cancelled: 17,19-20; 2 were running")
    assert Ids([17]) == [17]
    assert len(repr(Ids(range(0, 10_000, 2)))) < 250


def test_columns_without_room_are_left_out_and_named():
    columns = [TableColumn("id", ["1"]), *(TableColumn(f"p{n}", ["0.123456"], rank=1) for n in range(9))]
    lines = text_lines([*columns, TableColumn("status", ["done"])], 40)
    assert lines[0].split() == ["id", "p0", "p1", "p2", "status"]
    assert lines[-1] == "not shown: p3, p4, p5, p6, p7, p8"
    assert max(map(len, lines)) <= 40


def test_a_narrow_table_of_studies_keeps_names_and_what_is_done():
    shown = Studies([progress("resnet50_cifar100_augmented_adam"), progress("resnet50_cifar100_augmented_sgd")])
    head, _, *lines, note = text_lines(shown.columns(shown), 40)
    assert head.split() == ["study", "total", "done", "left"]
    assert len({line.split()[0] for line in lines}) == 2
    assert all("…" in line.split()[0] for line in lines)
    assert note == "not shown: pending, rate"


def test_results_without_a_name_are_an_empty_table():
    assert repr(ResultList([{}])).strip() == ""
