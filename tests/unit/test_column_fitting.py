"""Columns are left out as a whole; texts are cut, and numbers never."""

import itertools

import pytest
from rich.cells import cell_len

from qexp.analysis.column_fitting import GAP, TableColumn, end_cut, fitting, shortened_cell
from qexp.analysis.text_layout import StyledText


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("resnet50", 8, "resnet50"),
        ("resnet50_pretrained", 8, "resnet…"),
        ("a long sentence", 9, "a long s…"),
        ("[64, 32, 128]", 11, "[64, 32, …"),
        ("loss is -1.25e-07 now", 14, "loss is …"),
        ("lr=0.125 seed=17", 15, "lr=0.125 seed=…"),
        ('{"a": 12, "b": 345}', 17, '{"a": 12, "b": …'),
        ("数据集数据集", 7, "数据集…"),
        ("a\nb", 9, "a\\nb"),
    ],
)
def test_a_cell_is_cut_before_a_number(text, width, expected):
    found = shortened_cell(text, width)
    assert found == expected
    assert cell_len(found) <= width


def numbers(label, *values, rank):
    return TableColumn(label, [str(value) for value in values], rank, right=True)


def texts(label, *values, rank):
    return TableColumn(label, values, rank, cut=True)


def cells(kept):
    column, width = kept
    return [piece.text.strip() for piece in column.fitted(width)[1:]]


def shown(columns, room):
    kept, hidden = fitting(columns, room)
    assert sum(width for _, width in kept) + GAP * (len(kept) - 1) <= room
    return {column.label: width for column, width in kept}, [column.label for column in hidden]


def test_columns_of_the_lowest_ranks_are_kept_in_their_order():
    columns = [
        numbers("id", 1, 2, rank=0),
        numbers("seed", 1234567, 2, rank=12),
        texts("dataset", "iris", rank=10),
        numbers("accuracy", 0.123456, rank=11),
        TableColumn("status", [StyledText("done", "green")], 1),
    ]
    assert shown(columns, 80) == ({"id": 2, "seed": 7, "dataset": 7, "accuracy": 8, "status": 6}, [])
    assert shown(columns, 34) == ({"id": 2, "dataset": 7, "accuracy": 8, "status": 6}, ["seed"])
    assert shown(columns, 20) == ({"id": 2, "dataset": 7, "status": 6}, ["seed", "accuracy"])


def test_texts_share_the_room_that_is_left_and_numbers_keep_theirs():
    columns = [numbers("loss", 0.123456789, rank=0), texts("a", "x" * 40, rank=1), texts("b", "y" * 20, rank=2)]
    assert shown(columns, 11 + 2 + 12 + 2 + 12) == ({"loss": 11, "a": 12, "b": 12}, [])
    assert shown(columns, 11 + 2 + 14 + 2 + 14) == ({"loss": 11, "a": 14, "b": 14}, [])
    assert shown(columns, 11 + 2 + 30 + 2 + 20) == ({"loss": 11, "a": 30, "b": 20}, [])


def test_a_number_among_texts_is_not_cut():
    columns = [numbers("id", 1, rank=0), texts("best", "none so far and more", "0.12345678901234", rank=1)]
    kept, _ = fitting(columns, 24)
    assert cells(kept[1]) == ["none so far and more", "0.12345678901234"]
    assert fitting(columns, 19)[1] == [columns[1]]


def test_for_every_width_the_table_fits_and_all_columns_are_accounted_for():
    columns = [
        numbers("id", 1, rank=0),
        texts("name_of_a_long_column", "some text" * 5, rank=2),
        numbers("n", 2**70, rank=1),
        texts("note", "", rank=3),
    ]
    for room in itertools.chain(range(22, 100), [1000]):
        kept, hidden = shown(columns, room)
        assert {*kept, *hidden} == {column.label for column in columns}


def test_texts_are_cut_so_that_they_stay_distinct():
    values = ["sklearn_random_forest_small", "sklearn_random_forest_large", "svc"]
    (column,) = [texts("model", *values, rank=0)]
    kept, _ = fitting([column, texts("note", "z" * 50, rank=1)], 24 + GAP + 24)
    assert cells(kept[0]) == ["sklearn_random_forest_s…", "sklearn_random_forest_l…", "svc"]


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        (["数据集一二三四", "数据集一二三五"], 11, ["…集一二三四", "…集一二三五"]),
        (["a\tb", "a\\tb"], 12, ["a\\tb", "a\\tb"]),  # equal on a screen
        (["x_long_one", "y_long_one"], 4, ["x_l…", "y_l…"]),
        (["lr=0.125 is first", "lr=0.125 is second"], 12, ["…0.125 is f…", "…0.125 is s…"]),
    ],
)
def test_a_cut_is_of_the_width_and_only_where_it_is_needed(values, width, expected):
    found = end_cut(values, width)
    assert found == expected
    assert all(cell_len(cell) <= width for cell in found)


def test_texts_with_one_beginning_show_their_ends():
    paths = [f"/data/models/resnet50/checkpoint_epoch_{number:03}.pt" for number in range(0, 300, 10)]
    column = texts("path", *paths, "none", rank=0)
    for width in range(12, 50):
        kept, _ = fitting([column], width)
        found = cells(kept[0])
        assert len(set(found)) == len(paths) + 1
        assert all(cell.startswith("/data/models/resnet50/c") or "…" in cell for cell in found[:-1])
        assert found[-1] == "none"
    assert cells(fitting([column], 12)[0][0])[:2] == ["…poch_000.pt", "…poch_010.pt"]
