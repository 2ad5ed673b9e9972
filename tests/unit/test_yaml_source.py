"""YAML becomes plain data: merge keys and the tags of its core schema."""

import pytest

from qexp import Grid
from qexp.errors import GridError
from qexp.grid.yaml_source import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a {x: 1, y: 2}\nb:\n  z: 0\n  <<: *a\n  w: 3\n", {"z": 0, "x": 1, "y": 2, "w": 3}),
        ("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 5\n", {"x": 1, "y": 5}),
        ("a: &a {x: 1, y: 2}\nb:\n  y: 5\n  <<: *a\n", {"y": 5, "x": 1}),
        ("a: &a {x: 1}\nc: &c {x: 2, w: 3}\nb: {<<: [*a, *c]}\n", {"x": 1, "w": 3}),
        ("b: {<<: {x: 1}, y: 2}\n", {"x": 1, "y": 2}),
        ("a: &a {x: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c}\n", {"x": 1, "y": 2}),
        ("a: &a {x: 1}\nb: {!!merge <<: *a}\n", {"x": 1}),
        ("b: {'<<': 1}\n", {"<<": 1}),
        ("b: [<<]\n", ["<<"]),
    ],
)
def test_a_merge_key_adds_the_keys_of_a_mapping_where_it_stands_and_explicit_keys_win(text, expected):
    found = parse(text, "grid").data()["b"]
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("b:\n  <<: 3\n", 2, "found no mapping after '<<'"),
        ("b:\n  <<:\n   - {x: 1}\n   - 5\n", 4, "found no mapping after '<<'"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", 4, "merge several mappings with <<: [*one, *other]"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  x: 1\n  x: 2\n", 5, "the key 'x' is repeated (first on line 4)"),
        ("b:\n  <<: *a\n", 2, "no anchor is named 'a'"),
        ("a: !!int 1.5\n", 1, "found '1.5' with the tag !!int, expected a whole number"),
        ("a: 1\nb: !!bool yes\n", 2, "expected true or false"),
        ("a: !!float one\n", 1, "expected a number"),
        ("a: !!float 1e999\n", 1, "finite"),
        ("a: !!float .inf\n", 1, "finite"),
        ("a: !!seq {x: 1}\n", 1, "tag"),
        ("a: !!set {x}\n", 1, "found the tag '!!set', expected plain data"),
        ("a: !!binary aGk=\n", 1, "found the tag '!!binary', expected plain data"),
        ("a: !!timestamp 2001-01-01\n", 1, "found the tag '!!timestamp', expected plain data"),
        ("a: !own 1\n", 1, "found the tag '!own', expected plain data"),
    ],
)
def test_an_invalid_merge_or_tag_is_refused_with_its_line(text, line, word):
    with pytest.raises(GridError) as caught:
        parse(text, "grid")
    assert str(caught.value).startswith(f"grid, line {line}: ")
    assert word in str(caught.value)


def test_tags_of_the_core_schema_say_the_type():
    text = (
        "[!!float 1, !!float '2', !!int '3', !!int 0x1f, !!str 4, !!bool 'true', !!null '', ! 5, !!seq [6], !!map {}]"
    )
    found = parse(text, "grid").data()
    assert [(type(value), value) for value in found] == [
        (float, 1.0),
        (float, 2.0),
        (int, 3),
        (int, 31),
        (str, "4"),
        (bool, True),
        (type(None), None),
        (str, "5"),
        (list, [6]),
        (dict, {}),
    ]


def test_merge_keys_work_in_parameters_values_rows_and_sections(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("""\
study: a
function: m:f
x-common: &common {lr: [1, 2]}
x-sgd: &sgd {name: sgd, momentum: 0.9}
parameters:
  <<: *common
  optimizer:
    - *sgd
    - {<<: *sgd, momentum: 0}
include:
  - {<<: {lr: 3}, optimizer: none}
retries: {<<: {error: 2}, lost: 1}
""")
    grid = Grid.load(path)
    assert [(row["lr"], row["optimizer"]) for row in grid] == [
        (1, {"name": "sgd", "momentum": 0.9}),
        (1, {"name": "sgd", "momentum": 0}),
        (2, {"name": "sgd", "momentum": 0.9}),
        (2, {"name": "sgd", "momentum": 0}),
        (3, "none"),
    ]
    assert (grid.file.retries.error, grid.file.retries.lost) == (2, 1)


def test_an_error_in_a_merged_key_names_the_line_where_it_is_written(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("study: a\nfunction: m:f\nx-common: &common\n  lr: []\nparameters: {<<: *common}\n")
    with pytest.raises(GridError, match=r"grid\.yaml, line 4: parameter 'lr' has no values"):
        Grid.load(path)


def test_merges_that_multiply_are_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} {{<<: {{{', '.join(f'k{i}: *a{n - 1}' for i in range(10))}}}}}\n" for n in range(1, 12)
    )
    with pytest.raises(GridError, match="aliases"):
        parse(bomb, "grid")
