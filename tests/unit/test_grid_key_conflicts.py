"""Conflicts between dotted names and mappings with the same key."""

import pytest

from qexp.errors import GridError
from qexp.grid import Grid


def load(tmp_path, text):
    (tmp_path / "grid.yaml").write_text(f"function: m:f\n{text}")
    return Grid.load(tmp_path / "grid.yaml")


@pytest.mark.parametrize(
    ("text", "line", "key", "other"),
    [
        ("parameters:\n  m: {values: [{d: 1}, {d: 2}]}\nsettings:\n  m.d: 9\n", 5, "m.d", 3),
        ("parameters:\n  m:\n  - {n: 1}\n  - {n: 1, d: 2}\nsettings:\n  m.d: 9\n", 7, "m.d", 5),
        ("parameters:\n  m: {values: [{a: {b: 1}}]}\nsettings:\n  m.a: {c: 1}\n", 5, "m.a", 3),
        ("parameters:\n  m.a: {values: [{b: 1}]}\nsettings:\n  m.a.b: 1\n", 5, "m.a.b", 3),
        ("include:\n  - {m: {d: 1}}\nsettings:\n  m.d: 9\n", 5, "m.d", 3),
        ("zip:\n  - {m: [{d: 1}], b: [1]}\nsettings:\n  m.d: 9\n", 5, "m.d", 3),
    ],
)
def test_a_setting_may_not_overwrite_a_key_that_mappings_of_a_parameter_have(tmp_path, text, line, key, other):
    with pytest.raises(GridError) as caught:
        load(tmp_path, text)
    path = tmp_path / "grid.yaml"
    assert str(caught.value) == (
        f"{path}, line {line}: the key {key!r} is used twice: by this setting and by a parameter "
        f"({path}, line {other}); give it in one place"
    )


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {m: {values: [{d: 1}, {d: 2}]}}\nsettings: {m.e: 9}\n",
        "parameters: {m.d: [1, 2]}\nsettings: {m: {e: 9}}\n",
        "parameters: {m.d: [1, 2]}\nsettings: {m.e: 9}\n",
        "parameters: {m.d: [1, 2]}\nsettings: {m: {d: 9, e: 9}}\n",  # a parameter overrides a setting
    ],
)
def test_a_setting_and_a_parameter_may_share_an_argument(tmp_path, text):
    assert len(load(tmp_path, text)) == 2


def test_a_dotted_name_that_hides_values_of_mappings_warns_with_both_lines(tmp_path):
    path = tmp_path / "grid.yaml"
    text = "parameters:\n  m:\n  - {d: 1}\n  - {d: 2}\n  m.d: [7]\n"
    assert load(tmp_path, text).warnings() == [
        f"{path}, line 6: 'm.d' hides the values that mappings of 'm' have there ({path}, line 4)"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {m: [{e: 1}, {e: 2}], m.d: [7]}\n",
        "parameters: {m: [{n: a, d: 1}, {n: b}]}\nwhen: [{if: {m.n: b}, parameters: {m.d: [7]}}]\n",
        "parameters: {m: [{n: a, d: 1}, {n: b}], m.d: [7]}\nexclude: [{m.n: a}]\n",
    ],
)
def test_a_dotted_name_that_hides_nothing_does_not_warn(tmp_path, text):
    assert load(tmp_path, text).warnings() == []
