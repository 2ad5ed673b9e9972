"""A file of tables becomes specifications, or an error with the line."""

import json
from pathlib import Path

import pytest

from qexp.analysis.table.spec import TableSpec
from qexp.analysis.tables_file import json_schema, load
from qexp.analysis.tables_file.keys import KEYS
from qexp.errors import TablesFileError

SMALL = "study: s, metric: m"


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "tables.yaml").write_text(text)
        return load(tmp_path / "tables.yaml")

    return read


@pytest.fixture
def refusal(read):
    def refusal(text):
        with pytest.raises(TablesFileError) as caught:
            read(text)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_status == 2
        return str(caught.value).partition("tables.yaml")[2].removeprefix(", ")

    return refusal


def test_keys_are_the_options_of_the_command_line(read, tmp_path):
    # Given a file with every key
    paper = read("""
defaults: {over: [seed, fold], digits: 2, scale: 100, labels: {iris: Iris, wine: Wine}}
tables:
  accuracy:
    study: digits
    metric: accuracy
    rows: classifier
    columns: dataset, noise
    max: true
    stat: mean +- sem
    correct: fdr
    labels: {iris: irises, SVC: Support vectors}
    files: [accuracy.tex, sub/accuracy.md]
    siunitx: true
  loss:
    studies: [a, b]
    metric: [loss, val_loss]
    min: true
    digits: auto
    scale:
    allow: [missing, nan]
macros: numbers.tex
""")
    accuracy, loss = paper.tables
    # Then each key sets its field over the defaults, and null gives the command line's default
    assert accuracy.spec == TableSpec(
        studies="digits", metrics="accuracy", rows="classifier", columns=("dataset", "noise"), over=("seed", "fold"),
        digits=2, scale=100, maximize=True, statistic="sem", correction="fdr",
        labels={"iris": "irises", "wine": "Wine", "SVC": "Support vectors"},
    )  # fmt: skip
    assert loss.spec == TableSpec(
        studies=("a", "b"), metrics=("loss", "val_loss"), over=("seed", "fold"), maximize=False,
        allow=["missing", "nan"], labels={"iris": "Iris", "wine": "Wine"},
    )  # fmt: skip
    # And files are relative to the file
    assert accuracy.files == (tmp_path / "accuracy.tex", tmp_path / "sub" / "accuracy.md")
    assert loss.files == (tmp_path / "loss.tex",)
    assert (accuracy.siunitx, loss.siunitx) == (True, False)
    assert paper.macros == tmp_path / "numbers.tex"
    assert accuracy.place.endswith("tables.yaml, line 4")


def test_anchors_and_merge_keys_share_parts_of_tables(read):
    paper = read(f"""
x-common: &common {{{SMALL}, rows: lr}}
tables:
  one: *common
  two: {{<<: *common, metric: other}}
""")
    assert [table.spec.metrics for table in paper.tables] == [("m",), ("other",)]
    assert [table.spec.rows for table in paper.tables] == [("lr",), ("lr",)]


def test_every_field_of_a_table_has_a_key():
    assert {key.field for key in KEYS.values()} == {*TableSpec.model_fields, "files", "siunitx"}


REFUSED = [
    ("", "line 1: the file is empty; expected a mapping with 'tables'"),
    ("- a\n", 'line 1: found ["a"], expected a mapping with \'tables\''),
    ("macros: a.tex\n", "line 1: the key 'tables' is missing"),
    ("tables:\n", "line 1: tables: found null, expected a mapping from names to tables"),
    ("function: a:b\nparameters: {x: [1]}\n", "line 1: this is a grid, expected a mapping with 'tables'; 'qexp run"),
    ("table:\n  a: {}\n", "line 1: there is no key 'table' (did you mean 'tables'?)"),
    ("tables:\n  a b: {}\n", "line 2: found the name 'a b', expected letters"),
    ("tables:\n  a:\n    study: s\n    study: t\n", "line 4: the key 'study' is repeated (first on line 3)"),
    ("tables:\n  a:\n    study: s\n    metrik: m\n", "line 4: there is no key 'metrik' (did you mean 'metric'?)"),
    ("tables:\n  a:\n    study: s\n    statistic: sem\n", "line 4: there is no key 'statistic' (did you mean 'stat'?)"),
    ("tables:\n  a:\n    maximize: true\n", "line 3: there is no key 'maximize' (did you mean 'max'?)"),
    ("tables:\n  a:\n    rows: x\n", "line 2: table a: the key 'study' is missing"),
    ("defaults: {study: s}\ntables:\n  a:\n", "line 3: table a: the key 'metric' is missing"),
    ("tables:\n  a: {study: [], metric: m}\n", "line 2: study: found no name, expected the name of a study"),
    ("tables:\n  a:\n    max: true\n    min: true\n", "line 4: found 'max' and 'min', expected one of them"),
    ("tables:\n  a:\n    study: a\n    studies: b\n", "line 4: found 'study' and 'studies', expected one of them"),
    ("tables:\n  a: 3\n", "line 2: a: found 3, expected a mapping of keys"),
    ("tables:\n  a:\n    rows: 3\n", "line 3: rows: found 3, expected the name of a parameter, or a list of names"),
    ("tables:\n  a:\n    rows: [x, 3]\n", 'line 3: rows: found ["x", 3], expected the name of a parameter'),
    ("tables:\n  a:\n    max: 1\n", "line 3: max: found 1, expected true or false"),
    ("tables:\n  a:\n    bold: tid\n", "line 3: bold: found 'tid', expected best, tied or none"),
    ("tables:\n  a:\n    stat: mode\n", "line 3: stat: found 'mode', expected mean±std, sem, ci95, iqm or median"),
    ("tables:\n  a:\n    digits: 2.5\n", "line 3: digits: found 2.5, expected auto or a whole number from 0 to 12"),
    ("tables:\n  a:\n    digits: 13\n", "line 3: digits: found 13, expected auto or a whole number from 0 to 12"),
    ("tables:\n  a:\n    scale: '100'\n", "line 3: scale: found '100', expected a number"),
    ("tables:\n  a:\n    scale: .inf\n", "line 3: found .inf, expected a finite number"),
    ("tables:\n  a:\n    labels: {x: 3}\n", 'line 3: labels: found {"x": 3}, expected a mapping'),
    ("tables:\n  a:\n    labels: {3: x}\n", "line 3: found 3 as a key, expected text; quote it"),
    ("tables:\n  a:\n    allow: [missing, all]\n", 'line 3: allow: found ["missing", "all"], expected some of'),
    ("defaults:\n  files: x.tex\ntables: {}\n", "line 2: found 'files' in 'defaults', expected it in a table"),
    ("defaults:\n  rows: 3\ntables: {}\n", "line 2: rows: found 3"),
    (f"tables:\n  a:\n    <<: {{{SMALL}}}\n    files:\n      - a.tex\n      - a.pdf\n", "line 6: files: found 'a.pdf'"),
    (f"tables:\n  a: {{{SMALL}}}\n  b: {{{SMALL}, files: ./a.tex}}\n", "line 3: a.tex is a file of the table a and of"),
    (f"tables:\n  a: {{{SMALL}}}\nmacros: a.tex\n", "line 3: a.tex is a file of the table a and of the macros"),
    (f"tables:\n  a: {{{SMALL}, files: [b.md, b.md]}}\n", "line 2: b.md is a file of the table a and of the table a"),
    (f"tables:\n  a: {{{SMALL}}}\nmacros: numbers.md\n", "line 3: macros: found 'numbers.md', expected a path"),
    (f"tables:\n  a: {{{SMALL}}}\nmacros: [a]\n", 'line 3: macros: found ["a"], expected the path of a .tex file'),
    ("tables: {a: *b}\n", "line 1: no anchor is named 'b'"),
    ("tables: [\n", "line 2: not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REFUSED, ids=[expected for _, expected in REFUSED])
def test_a_refusal_names_the_line(refusal, text, expected):
    assert refusal(text).startswith(expected)


def test_a_value_from_the_defaults_is_refused_where_it_stands(refusal):
    assert refusal("defaults:\n  metric: []\ntables:\n  a: {study: s}\n").startswith("line 2: metric: found no name")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(TablesFileError, match=r"no.yaml: cannot read the tables file: no such file or directory$"):
        load(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"tables:\n  a: \xe9\n")
    with pytest.raises(TablesFileError, match=r"latin.yaml, line 2: byte 0xe9 is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_the_schema_for_editors_is_the_one_in_docs():
    path = Path(__file__).parents[2] / "docs" / "tables.schema.json"
    assert json.loads(path.read_text()) == json_schema()


def test_the_schema_takes_the_example_and_refuses_a_wrong_key():
    jsonschema = pytest.importorskip("jsonschema")
    example = {
        "defaults": {"digits": 2},
        "tables": {"a": {"study": ["s"], "metric": "m", "files": "a.tex", "bold": "tied"}},
        "x-mine": 1,
    }
    jsonschema.validate(example, json_schema())
    for wrong in ({"tables": {}}, {"tables": {"a": {"metrik": "m"}}}, {"tables": {"a": {"digits": 13}}}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, json_schema())
