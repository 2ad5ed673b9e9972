"""A grid overrides its base, assignments override both; the schema for editors."""

import json
from pathlib import Path

import jsonschema
import pytest

from qexp import Grid
from qexp.errors import GridError
from qexp.grid import json_schema
from qexp.grid.yaml_source import parse

HEAD = "study: a\nfunction: m:f\n"
DATA = Path(__file__).parents[1] / "data" / "grid_cases.json"


@pytest.fixture
def write(tmp_path):
    def write(text, name="grid.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_grid_inherits_the_keys_of_its_base(write):
    write(HEAD + "parameters:\n  a: [1]\n  b: [1, 2]\nsettings: {k: 1, l: 2}\nseeds: 2\n", "root.yaml")
    write("base: ../root.yaml\nparameters:\n  b: [3]\n  c: [4]\n", "below/mid.yaml")
    grid = Grid.load(write("base: below/mid.yaml\nstudy: mine\nseeds: 1\nsettings: {l: 3}\n"))
    assert grid.study == "mine"
    assert list(grid) == [{"a": 1, "b": 3, "c": 4, "seed": 0}]
    assert grid.settings == {"k": 1, "l": 3}


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ("retries: 3", "retries: {timeout: 1}", (3, 1)),
        ("retries: {timeout: 1}", "retries: 3", (3, 1)),
        ("retries: {error: 2, timeout: 1}", "retries: {error: 5}", (5, 1)),
    ],
)
def test_one_number_of_retries_is_merged_as_the_section_it_stands_for(write, below, above, expected):
    write(HEAD + f"parameters: {{a: 1}}\n{below}\n", "root.yaml")
    retries = Grid.load(write(f"base: root.yaml\n{above}\n")).file.retries
    assert (retries.error, retries.timeout) == expected


def test_keys_that_begin_with_x_are_the_users_own_in_every_layer(write):
    write(HEAD + "x-rates: &rates [1, 2]\nparameters: {a: *rates}\n", "root.yaml")
    grid = Grid.load(write("x-more: {values: &more [3]}\nbase: root.yaml\nparameters: {b: *more}\n"))
    assert list(grid) == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
    assert not [key for key in grid.source.data if key.startswith("x-")]
    given = Grid.from_dict({"study": "a", "function": "m:f", "parameters": {"a": 1}, "x-note": {"any": "thing"}})
    assert list(given) == [{"a": 1}]


def test_a_key_that_begins_otherwise_is_still_unknown(write):
    with pytest.raises(GridError, match=r"line 3: there is no key 'xrates'"):
        Grid.load(write(HEAD + "xrates: 1\nparameters: {a: 1}\n"))


def test_a_folder_is_relative_to_the_file_that_names_it(write, tmp_path):
    write(HEAD + "folder: ..\nparameters: {a: 1}\n", "configs/root.yaml")
    below = Grid.load(write("base: ../configs/root.yaml\nstudy: mine\n", "other/grid.yaml"))
    assert below.folder == tmp_path.resolve()
    above = Grid.load(write("base: ../configs/root.yaml\nstudy: mine\nfolder: .\n", "other/grid.yaml"))
    assert above.folder == (tmp_path / "other").resolve()
    assert Grid.load(write(HEAD + "parameters: {a: 1}\n", "other/grid.yaml")).folder == tmp_path / "other"


def test_a_folder_from_outside_is_relative_to_the_working_folder(write, tmp_path, monkeypatch):
    path = write(HEAD + "parameters: {a: 1}\n", "configs/grid.yaml")
    monkeypatch.chdir(tmp_path)
    assert Grid.load(path, ["folder=."]).folder == tmp_path.resolve()
    data = {"study": "a", "function": "m:f", "parameters": {"a": 1}, "folder": "configs"}
    assert Grid.from_dict(data).folder == (tmp_path / "configs").resolve()


def test_a_missing_folder_is_refused_with_its_line(write):
    with pytest.raises(GridError, match=r"line 3: folder: there is no folder .*/code"):
        Grid.load(write(HEAD + "folder: code\nparameters: {a: 1}\n"))
    with pytest.raises(GridError, match=r"line 3: folder: found 3, expected"):
        Grid.load(write(HEAD + "folder: 3\nparameters: {a: 1}\n"))


def test_a_grid_from_python_has_a_base(write, tmp_path, monkeypatch):
    write(HEAD + "parameters: {a: [1, 2]}\nseeds: 2\n", "root.yaml")
    monkeypatch.chdir(tmp_path)
    grid = Grid.from_dict({"base": "root.yaml", "parameters": {"b": 3}, "seeds": 1})
    assert list(grid) == [{"a": 1, "b": 3, "seed": 0}, {"a": 2, "b": 3, "seed": 0}]
    with pytest.raises(GridError, match=r"grid, at base: base: there is no file none\.yaml"):
        Grid.from_dict({"base": "none.yaml"})


def test_an_error_in_a_base_names_the_base(write):
    write(HEAD + "parameters:\n  a: []\n", "root.yaml")
    with pytest.raises(GridError, match=r"root\.yaml, line 4"):
        Grid.load(write("base: root.yaml\nstudy: mine\n"))


def test_bases_that_lead_in_a_circle_are_refused(write):
    write("base: a.yaml\n", "b.yaml")
    with pytest.raises(GridError, match=r"b\.yaml, line 1: base: a\.yaml refers back to itself"):
        Grid.load(write("base: b.yaml\n", "a.yaml"))


def test_how_to_run_is_read(write):
    text = "parameters: {a: 1}\ntimeout: 1h30m\nretries: 3\npriority: 5\nqueue: gpu\n"
    file = Grid.load(write(HEAD + text)).file
    assert (file.timeout, file.retries.error, file.retries.lost, file.priority, file.queue) == (5400, 3, 5, 5, "gpu")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("timeout: 12:00:00", 43_200),
        ("timeout: 1-12:00:00", 129_600),
        ("timeout: 1-12:30", 131_400),
        ("timeout: 1 day 12 h", 129_600),
        ("timeout: 0", None),
        ("timeout: 0s", None),
        ("timeout:", None),
        ("memory: 1.5GB", 1_500_000_000),
        ("memory: 2 GiB", 2**31),
        ("memory: 4B", 4),
        ("memory: 0", None),
        ("output: 10 kb", 10_000),
    ],
)
def test_times_and_sizes_are_read_whole(write, written, expected):
    file = Grid.load(write(HEAD + f"parameters: {{a: 1}}\n{written}\n")).file
    assert getattr(file, written.partition(":")[0]) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("memory: 1,5GB", "write 1.5GB or 15GB: a comma may mean either"),
        ("memory: 1,500MB", "write 1.500MB or 1500MB"),
        ("memory: 50%", "expected a size such as 64KB"),
        ("memory: 4GB or so", "expected a size such as 64KB"),
        ("memory: 4Gbit", "expected a size such as 64KB"),
        ("memory: -4GB", "expected a size such as 64KB"),
        ("memory: 0.1B", "at least one byte"),
        ("memory: 4", "expected a size with its unit, such as 4GB, or 4B for bytes"),
        ("memory: '4'", "expected a size with its unit"),
        ("output: 4", "expected a size with its unit"),
        ("output: 0", "a number of at least 1"),
        ("timeout: 2", "expected a time with its unit, such as 2h or 2s"),
        ("timeout: '2'", "expected a time with its unit, such as 2h or 2s"),
        ("timeout: 1,5h", "expected a time span such as 90s"),
        ("timeout: 1 5m", "expected a time span such as 90s"),
        ("timeout: 30:00", "expected 30h0m, or 30m0s: 30:00 may mean either"),
        ("timeout: 2:60:00", "expected a time span such as 90s"),
        ("timeout: true", "expected a time span such as 90s"),
        ("retries: {delay: 10}", "retries.delay: found 10, expected a time with its unit, such as 10h or 10s"),
    ],
)
def test_a_time_or_size_that_is_not_whole_or_has_no_unit_is_refused_with_its_line(write, written, expected):
    with pytest.raises(GridError, match=r"line 4: ") as caught:
        Grid.load(write(HEAD + f"parameters: {{a: 1}}\n{written}\n"))
    assert expected in str(caught.value)


def test_a_grid_may_lift_the_limit_of_its_base(write):
    write(HEAD + "parameters: {a: 1}\ntimeout: 2h\nmemory: 4GB\n", "root.yaml")
    file = Grid.load(write("base: root.yaml\ntimeout: 0\nmemory: 0\n")).file
    assert (file.timeout, file.memory) == (None, None)


def test_the_schema_in_docs_is_up_to_date():
    path = Path(__file__).parents[2] / "docs" / "grid.schema.json"
    assert json.loads(path.read_text()) == json_schema(), "update it: qexp grid schema > docs/grid.schema.json"


CASES = [case for case in json.loads(DATA.read_text()) if "error" not in case]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_schema_accepts_the_grids_that_qexp_accepts(case):
    jsonschema.validate(parse(case["grid"], "grid").data(), json_schema())


@pytest.mark.parametrize(
    "grid",
    [
        {"function": "m:f", "paramters": {}},
        {"function": "m:f", "parameters": {"a": {"rnage": [1]}}},
        {"function": "m:f", "parameters": {"a": 1}, "exclude": [{}]},
        {"parameters": {"a": 1}},
        {"function": "m:f", "parameters": {"a": 1}, "retries": {"eror": 1}},
    ],
    ids=str,
)
def test_the_schema_refuses_the_grids_that_qexp_refuses(grid):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(grid, json_schema())
    with pytest.raises(GridError):
        Grid.from_dict({"study": "a", **grid})
