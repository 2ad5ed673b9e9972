"""The key `source` of a grid: a word, or the files that its snapshot takes in addition."""

import pytest

from qexp.errors import GridError
from qexp.grid import Grid

GRID = "study: a\nfunction: m:f\nparameters: {x: [1]}\n"


@pytest.fixture
def load(tmp_path):
    def load(text="", *assignments):
        (tmp_path / "grid.yaml").write_text(GRID + text)
        return Grid.load(tmp_path / "grid.yaml", assignments).file

    return load


@pytest.mark.parametrize("word", ["snapshot", "installed"])
def test_a_word_includes_nothing(load, word):
    found = load(f"source: {word}\n")
    assert (found.source, found.included) == (word, [])


@pytest.mark.parametrize("text", ["[data/*.npy]", "data/*.npy"])
def test_a_grid_names_one_pattern_or_several(load, text):
    assert load(f"source: {{include: {text}}}\n").included == ["data/*.npy"]


def test_an_empty_section_includes_nothing(load):
    assert load("source:\n  include:\n").included == []


@pytest.mark.parametrize("text", ["", "source: snapshot\n", "source: {include: [a.npy]}\n"])
def test_the_command_line_sets_the_files(load, text):
    assert load(text, "source.include=points.npy").included == ["points.npy"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("instaled", "source: found 'instaled', expected 'snapshot' or 'installed'"),
        ("[a.npy]", "source: found ['a.npy'], expected 'snapshot' or 'installed'"),
        ("{inclde: [a]}", "there is no key 'inclde' in 'source' (did you mean 'include'?)"),
        ("{include: 3}", "source.include: found 3, expected a list"),
        *(
            (
                f"{{include: ['{path}']}}",
                "expected a path or pattern below the folder, such as data/points.npy or data/*.npy",
            )
            for path in ("/data", "../data", ".", "")
        ),
        ("{include: ['a**']}", "expected ** alone between slashes, such as data/**/*.npy"),
    ],
)
def test_another_value_is_refused_at_its_line(load, value, expected):
    with pytest.raises(GridError) as refusal:
        load(f"source: {value}\n")
    assert "line 4: " in str(refusal.value)
    assert str(refusal.value).replace('["a.npy"]', "['a.npy']").endswith(expected)
