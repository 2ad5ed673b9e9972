"""A first grid has the values that a function's annotations and defaults name, and marks the others."""

import enum
from dataclasses import dataclass
from typing import Literal

import pytest

import qexp
from qexp.client.starter import start_from_function, start_from_nothing
from qexp.client.starter.axes import proposed_axes
from qexp.errors import ExportError, FunctionError, GridError
from qexp.functions import Signature
from qexp.grid import Grid


class Kernel(enum.Enum):
    LINEAR = "linear"
    RBF = "rbf"


@dataclass
class Optimizer:
    lr: float = 0.1


def lines(function):
    return {axis.name: axis.text for axis in proposed_axes(function, Signature.of(function, "m:f"))}


def test_annotations_name_all_values():
    def f(model: Literal["cnn", "mlp"], kernel: Kernel = Kernel.RBF, bias: bool = True, act: Literal[1] | None = None):
        """The default of an Enum is one of its values."""

    assert lines(f) == {
        "model": "model: [cnn, mlp]",
        "kernel": "kernel: [linear, rbf]",
        "bias": "bias: [false, true]",
        "act": "act: [1, null]",
    }


def test_defaults_are_the_only_values_otherwise():
    def f(lr: float = 1e-5, name="no", hidden=(64, 32), path: str | None = None, flag=False, given={"a": [1]}): ...  # noqa: B006

    assert lines(f) == {
        "lr": "lr: [1e-05]",
        "name": 'name: ["no"]',
        "hidden": "hidden: {values: [[64, 32]]}",
        "path": "path: [null]",
        "flag": "flag: [false, true]",
        "given": "given: {values: [{a: [1]}]}",
    }


def test_a_parameter_without_a_value_is_marked_and_a_default_that_is_no_data_stays_out():
    def f(depth: int, optimizer: Optimizer, data, model=Optimizer(), limit: float = float("inf")): ...  # noqa: B008

    axes = {axis.name: axis for axis in proposed_axes(f, Signature.of(f, "m:f"))}
    assert [name for name, axis in axes.items() if axis.must_be_filled_in] == ["depth", "optimizer", "data"]
    assert axes["depth"].comment == "fill in the values: int"
    assert axes["model"].text == "# model: []"
    assert axes["limit"].comment == "the default, inf, cannot stand in a grid"


def test_the_context_and_the_seed_are_no_axes():
    def f(context: qexp.Context, other: qexp.Context | None = None, seed: int = 0, x: int = 1): ...

    assert lines(f) == {"x": "x: [1]"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tmp_path = tmp_path / "My Digits-2"
    tmp_path.mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/pkg/__init__.py").touch()
    (tmp_path / "src/pkg/train.py").write_text("def main(depth: int, lr: float = 0.1, seed: int = 0): return 1\n")
    return tmp_path


@pytest.mark.parametrize("name", ["first", "My Digits-2", "研究"])
def test_the_example_is_a_study_with_the_name_of_its_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    start_from_nothing(tmp_path / name / "grid.yaml")
    grid = Grid.load(tmp_path / name / "grid.yaml")
    assert (grid.study, len(grid)) == ({"My Digits-2": "my_digits_2"}.get(name, "first"), 18)


def test_a_file_in_a_package_is_named_by_its_module_and_folder(folder):
    done = start_from_function("src/pkg/train.py:main", folder / "grid.yaml")
    assert done.to_fill_in == {"depth": 7}
    with pytest.raises(GridError, match=r"line 7: parameter 'depth' has no values"):
        Grid.load(folder / "grid.yaml")
    text = (folder / "grid.yaml").read_text().replace("depth: []", "depth: [1, 2]")
    (folder / "grid.yaml").write_text(text)
    grid = Grid.load(folder / "grid.yaml")
    assert (grid.study, grid.function, grid.folder, len(grid)) == ("my_digits_2", "pkg.train:main", folder / "src", 6)


@pytest.mark.parametrize(
    ("source", "study", "number"),
    [
        ("def evaluate(x=1): return x", "own", 1),
        ("def mine(**any): return 1", "mine", 1),
        ("def run(seed): ...", "own", 3),
    ],
)
def test_the_grid_of_a_function_with_defaults_is_complete(folder, source, study, number):
    (folder / "own.py").write_text(source + "\n")
    done = start_from_function(f"own:{source[4 : source.index('(')]}", folder / "grid.yaml")
    assert done.to_fill_in == {}
    grid = Grid.load(folder / "grid.yaml")
    assert (grid.study, len(grid)) == (study, number)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "own.py:parsed",
            "found no parameters to vary, expected some; qexp passes them as arguments, not on a command",
        ),
        ("own.py:main", "found no parameters to vary"),
        ("own.py:nobody", "own has no 'nobody'"),
        ("own.py:Model", "found a class, expected a function"),
        ("away.py:main", "there is no file away.py"),
        ("a-b.py:main", "a-b.py cannot be imported, because its name is no name of a module"),
        ("own.py", r"expected module:name or path/to/file.py:name"),
        ("away:main", "no module is named 'away'"),
        ("broken.py:main", "importing broken raised ZeroDivisionError"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused_and_nothing_is_written(folder, name, problem):
    (folder / "own.py").write_text("def parsed(): ...\ndef main(argv=None): ...\nclass Model: ...\n")
    (folder / "a-b.py").touch()
    (folder / "broken.py").write_text("1 / 0\n")
    with pytest.raises(FunctionError, match=problem) as error:
        start_from_function(name, folder / "grid.yaml")
    assert "\n" not in str(error.value)
    assert not (folder / "grid.yaml").exists()


def test_no_file_is_ever_changed(folder):
    (folder / "grid.yaml").write_text("mine")
    for start in (lambda path: start_from_function("src/pkg/train.py:main", path), start_from_nothing):
        with pytest.raises(ExportError, match=r"grid\.yaml: is there already"):
            start(folder / "grid.yaml")
    assert not (folder / "experiment.py").exists()
    (folder / "experiment.py").symlink_to("nowhere")
    with pytest.raises(ExportError, match=r"experiment\.py: is there already"):
        start_from_nothing(folder / "other.yaml")
    assert not (folder / "other.yaml").exists()
    with pytest.raises(ExportError, match="mkdir -p"):
        start_from_nothing(folder / "away/grid.yaml")
    assert (folder / "grid.yaml").read_text() == "mine"
