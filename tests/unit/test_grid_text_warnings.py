"""Text that likely means another type causes a warning, never an error, unless an annotation converts it."""

import pytest

from qexp import Grid
from qexp.client.function_check import checked
from qexp.grid.text_warnings import advice

SOURCE = "def takes(plain, typed: str = '', default=1, **rest): pass\n"


@pytest.fixture
def warnings(tmp_path):
    (tmp_path / "slipping.py").write_text(SOURCE)

    def warnings(text, *assignments):
        path = tmp_path / "grid.yaml"
        path.write_text(f"study: a\nfunction: slipping:takes\n{text}")
        return [warning.rpartition("grid.yaml, ")[2] for warning in checked(Grid.load(path, assignments)).warnings()]

    return warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("None", "write null"),
        ("1_000_000", "write 1000000"),
        ("-1_0.5", "write -10.5"),
        ("range(5)", "write {range: […]}"),
        ("np.linspace(0", "write {linspace: […]}"),
        ("randint(1, 5)", "write {integers: […]}"),
        ("loguniform(1e-5, 1)", "write {loguniform: […]}"),
        ("${data}/x", "use an anchor, since nothing replaces ${…}"),
        (".1.2", "write a number with one point"),
        ("1..5", "write a number with one point"),
        ("0,1", "write 0.1, or [0, 1] for two values"),
        ("(64, 32)", "write a list, […]"),
        ("0.1, 0.2", "write [0.1, 0.2] for several values"),
        ("true,false", "write [true,false] for several values"),
        ("2**3", "write a finite number"),
        ("1/3", "write a finite number"),
        ("nan", "write a finite number"),
        ("no", "write false"),
        ("On", "write true"),
    ],
)
def test_a_likely_slip_has_advice(text, expected):
    assert advice(text) == expected


@pytest.mark.parametrize(
    "text",
    ["none", "adam", "a_1", "_", "1.2.3", "v1", "2026-01-31", "SVC(C=1)", "ranges", "$HOME", "a, b", "nO", "1:30", ""],
)
def test_ordinary_text_is_no_slip(text):
    assert advice(text) is None


def test_a_slip_warns_once_per_place_with_its_line(warnings):
    text = "parameters:\n  plain: [adam, None, 1_000]\nsettings:\n  rest: {deep: [None, None]}\n"
    tail = "or quote it if it is meant as text"
    assert warnings(text) == [
        f"line 4: parameter 'plain': 'None' is text here; write null, {tail}",
        f"line 4: parameter 'plain': '1_000' is text here; write 1000, {tail}",
        f"line 6: setting 'rest': 'None' is text here; write null, {tail}",
    ]


@pytest.mark.parametrize(
    "section",
    [
        "zip: [{plain: [None, x], default: [1, 2]}]",
        "parameters: {plain: x}\nwhen: [{if: {plain: x}, parameters: {default: [None]}}]",
        "include: [{plain: None}]",
        "parameters: {plain: {values: [{a: None}]}}",
        "parameters: {plain: {choice: [None, x]}}\nsampling: {samples: 1}",
        "parameters: {plain: x, other: None}",
        "x-note: &none None\nparameters: {plain: *none}",
    ],
)
def test_every_section_warns(warnings, section):
    assert len(warnings(f"{section}\n")) == 1


def test_an_annotation_or_quotes_say_that_text_is_meant(warnings):
    assert warnings("parameters: {typed: [None, 1_000, no], plain: ['None', \"no\", !!str 1_000]}\n") == []


def test_an_assignment_warns_by_its_name(warnings):
    assert warnings("parameters: {plain: x}\n", "plain=None")[0].startswith("--set plain=None: parameter 'plain'")
    assert warnings("parameters: {plain: x}\n", "plain='None'") == []


def test_text_from_python_is_meant(tmp_path):
    (tmp_path / "slipping.py").write_text(SOURCE)
    data = {"study": "a", "function": "slipping:takes", "parameters": {"plain": ["None", "1_000"]}}
    assert checked(Grid.from_dict(data, tmp_path)).warnings() == []
