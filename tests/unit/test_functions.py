"""Functions are imported, checked and isolated by folder."""

import enum
import os
import sys
from typing import Literal

import pytest
from pydantic import ImportString

from qexp.client.function_check import checked
from qexp.errors import FunctionError, GridError
from qexp.functions import Interruption, Signature, file_in, importing_from, reference, resolve, switch_folder
from qexp.grid import Grid


@pytest.fixture
def folder(tmp_path):
    def folder(name, **files):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        for module, text in files.items():
            (path / f"{module}.py").write_text(text)
        return path

    return folder


def call(path, name="experiment:f"):
    with importing_from(path):
        return resolve(name, path)()


def test_two_folders_with_the_same_module_names_do_not_see_each_other(folder):
    one = folder("one", experiment="import helper\ndef f(): return helper.X\n", helper="X = 1\n")
    two = folder("two", experiment="import helper\ndef f(): return helper.X\n", helper="X = 2\n")
    assert [call(one), call(two), call(one)] == [1, 2, 1]
    assert "helper" not in sys.modules
    assert str(one) not in sys.path


def test_a_module_is_imported_once_while_its_file_stays_as_it_is(folder):
    path = folder("one", experiment="import itertools\nN = itertools.count()\ndef f(): return next(N)\n")
    assert [call(path), call(path)] == [0, 1]


def test_an_edited_module_is_imported_again_even_within_the_same_second(folder):
    path = folder("one", experiment="import helper\ndef f(): return helper.X\n", helper="X = 1\n")
    assert call(path) == 1
    stamp = (path / "helper.py").stat()
    (path / "helper.py").write_text("X = 2\n")
    os.utime(path / "helper.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert call(path) == 2


def test_modules_that_a_function_imports_while_it_runs_are_the_folders_own(folder):
    one = folder("one", experiment="def f():\n    import late\n    return late.X\n", late="X = 1\n")
    two = folder("two", experiment="def f():\n    import late\n    return late.X\n", late="X = 2\n")
    found = []
    for path in (one, two, one):
        switch_folder(path)
        found.append(resolve("experiment:f", path)())
    switch_folder(None)
    assert found == [1, 2, 1]


def test_a_namespace_package_of_a_folder_is_its_own(folder):
    for number, name in enumerate(("one", "two")):
        path = folder(name, experiment="from parts.helper import X\ndef f(): return X\n")
        (path / "parts").mkdir()
        (path / "parts" / "helper.py").write_text(f"X = {number}\n")
    assert [call(path) for path in (folder("one"), folder("two"))] == [0, 1]


@pytest.mark.parametrize(
    ("source", "name", "word"),
    [
        ("", "nothing:f", "no module is named 'nothing'"),
        ("def train(): ...", "experiment:trian", "did you mean 'train'"),
        ("f = 3", "experiment:f", "found an int"),
        ("import missing_thing", "experiment:f", "No module named 'missing_thing'"),
        ("raise RuntimeError('no\\nGPU')", "experiment:f", "RuntimeError: no GPU"),
        ("import sys; sys.exit(3)", "experiment:f", "SystemExit: 3"),
        ("import os; os._exit(0)", "experiment:f", "importing experiment called os._exit(0)"),
        ("import os; os.abort()", "experiment:f", "importing experiment called os.abort()"),
        ("import os; os.execl('/bin/true', 'true')", "experiment:f", "importing experiment called os.execv("),
        ("raise GeneratorExit", "experiment:f", "GeneratorExit"),
        ("raise type('Odd', (BaseException,), {})('x')", "experiment:f", "Odd: x"),
        ("def __getattr__(name): raise SystemExit(0)", "experiment:f", "looking up 'f' raised SystemExit: 0"),
        (
            "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
            "experiment:f",
            "raised E: <the message of this E cannot be shown: its __str__ raises>",
        ),
        ("def f(:", "experiment:f", "SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_imported_is_an_error_with_the_reason(folder, source, name, word):
    path = folder("one", experiment=source)
    with importing_from(path), pytest.raises(FunctionError) as caught:
        resolve(name, path)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "annotation", ["(lambda: sys.exit(0))()", "os._exit(0)", "Schema", "Annotated[int, AfterValidator(sys.exit)]"]
)
@pytest.mark.parametrize("lazy", ["", "from __future__ import annotations\n"])
def test_an_annotation_whose_code_ends_the_process_is_refused(folder, annotation, lazy):
    source = f"""{lazy}import os, sys
from typing import Annotated
from pydantic import AfterValidator

class Schema:
    def __get_pydantic_core_schema__(self, *_): sys.exit(0)
    __get_pydantic_core_schema__ = classmethod(__get_pydantic_core_schema__)

def f(x: {annotation}): ...
"""
    path = folder("one", experiment=source)
    (path / "grid.yaml").write_text("study: a\nfunction: experiment:f\nparameters:\n  x: 1\n")
    with pytest.raises(GridError, match=r"called os\._exit|raised SystemExit"):
        checked(Grid.load(path / "grid.yaml"))


def test_code_that_is_imported_for_a_check_prints_to_stderr_and_keeps_the_streams(folder, capsys):
    path = folder("one", experiment="import sys\nprint('hello')\nsys.stdout = sys.stderr = None\ndef f(): return 1\n")
    streams = sys.stdout, sys.stderr
    assert call(path) == 1
    assert (sys.stdout, sys.stderr) == streams
    assert capsys.readouterr() == ("", "hello\n")


def test_a_module_that_forks_is_imported_once(folder, tmp_path):
    source = "import os\nif not (child := os.fork()):\n    {}\nos.waitpid(child, 0)\ndef f(): return 1\n"
    for number, end in enumerate(["os._exit(0)", "pass", "raise SystemExit"]):
        path = folder(
            f"fork{number}", experiment=source.format(end).replace("os.waitpid(child", "child and os.waitpid(child")
        )
        assert call(path) == 1


def test_an_order_to_stop_interrupts_an_import(folder):
    path = folder("one", experiment="from qexp.functions import Interruption\nraise Interruption\n")
    with pytest.raises(Interruption):
        call(path)


def test_a_folder_that_is_not_visible_is_named(tmp_path):
    with pytest.raises(FunctionError, match="is not visible on this host"):
        resolve("nothing:f", tmp_path / "elsewhere")


class Colour(enum.Enum):
    RED = "red"


def takes(a: int, b: Literal["x", "y"] = "x", *, c: ImportString = None, d: Colour = Colour.RED, e=None) -> None: ...


def test_values_are_converted_to_their_annotations():
    signature = Signature.of(takes, "m:takes")
    bound = signature.bind({"a": "3", "b": "y", "c": "math.sin", "d": "red", "e": "3"})
    import math

    assert bound == {"a": 3, "b": "y", "c": math.sin, "d": Colour.RED, "e": "3"}


def test_converted_values_are_kept_as_data_and_import_paths_as_they_were_written():
    signature = Signature.of(takes, "m:takes")
    assert signature.canonical("a", "3") == 3
    assert signature.canonical("d", "red") == "red"
    assert signature.canonical("c", "math.sin") == "math.sin"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "requires 'a'"),
        ({"a": 1, "bb": 2}, "did you mean 'b'"),
        ({"a": "many"}, "'a': found 'many', expected a whole number"),
        ({"a": 1, "c": "math.nothing"}, "'c'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(values, word):
    with pytest.raises(FunctionError) as caught:
        Signature.of(takes, "m:takes").bind(values)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_positional_only_parameters_are_refused():
    with pytest.raises(FunctionError, match="positional only"):
        Signature.of(lambda a, /: a, "m:f")


GRID = "study: a\nfunction: experiment:f\nparameters:\n  lr: [0.1, {value}]\n  depth: 3\n"


@pytest.mark.parametrize(
    ("source", "grid", "line", "word"),
    [
        ("def f(lr): ...", GRID.format(value=1), 5, "takes no 'depth'"),
        ("def f(lr, depth, width): ...", GRID.format(value=1), 4, "requires 'width'"),
        ("def f(lr: float, depth): ...", GRID.format(value="high"), 4, "'high'"),
        ("def f(lr: float, depth): ...", GRID.format(value="'0.10'"), 4, "twice"),
        ("def g(): ...", GRID.format(value=1), 2, "has no 'f'"),
        ("def f(lr, depth, k): ...", GRID.format(value=1) + "settings:\n  k: 1\n  j: 2\n", 8, "takes no 'j'"),
        ("def f(lr, depth, k: int): ...", GRID.format(value=1) + "settings:\n  k: x\n", 7, "'k'"),
        ("def f(lr, depth): ...", GRID.format(value=1) + "include:\n  - {lr: 1}\n", 7, "requires 'depth'"),
    ],
)
def test_a_grid_that_its_function_does_not_take_is_refused_at_its_line(folder, source, grid, line, word):
    path = folder("one", experiment=source)
    (path / "grid.yaml").write_text(grid)
    with pytest.raises(GridError) as caught:
        checked(Grid.load(path / "grid.yaml"))
    assert f"line {line}:" in str(caught.value)
    assert word in str(caught.value)


def test_a_function_defined_in_a_notebook_is_refused_with_advice():
    def inner(): ...

    with pytest.raises(FunctionError, match="put it at the top of a file"):
        reference(inner)


def test_a_function_given_from_python_is_found_again(folder):
    path = folder("one", experiment="def f(): ...\n")
    with importing_from(path):
        assert reference(resolve("experiment:f", path)) == ("experiment:f", path.resolve())


class Unknown:
    """A type without a pydantic schema."""


def test_a_type_that_pydantic_does_not_know_is_checked_by_isinstance():
    def f(lr: float, rng: Unknown | None = None): ...

    signature = Signature.of(f, "m:f")
    assert signature.bind({"lr": 1}) == {"lr": 1.0}
    with pytest.raises(FunctionError, match="'rng'"):
        signature.bind({"lr": 1, "rng": 3})


def test_text_that_an_annotation_turns_into_no_finite_number_is_refused():
    def f(lr: float): ...

    with pytest.raises(ValueError, match="finite"):
        Signature.of(f, "m:f").canonical("lr", "inf")


def test_modules_of_a_folder_with_a_common_name_prefix_are_not_the_folders_own(folder, monkeypatch):
    # Given the folders `exp` and `exp2`; the second is on the path of the process
    path = folder("exp", experiment="import other\ndef f(): return other.X\n")
    monkeypatch.syspath_prepend(str(folder("exp2", other="X = 1\n")))
    # When a function of the first folder imports a module of the second
    assert call(path) == 1
    # Then the module stays loaded, like any module that folders share
    try:
        assert "other" in sys.modules
    finally:
        sys.modules.pop("other", None)


def test_a_module_below_a_folder_named_almost_like_site_packages_is_the_users(folder):
    path = folder("old-site-packages", experiment="def f(): return 1\n")
    assert file_in("experiment:f", path)
