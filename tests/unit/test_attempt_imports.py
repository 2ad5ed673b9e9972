"""The list of imported files and packages of a function contains everything that its attempts import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qexp.functions import imports_of, note_first_modules, resolve, switch_folder


def put(folder: Path, name: str, text: str = "") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.fixture
def project(tmp_path):
    """A folder for the files of a snapshot, in a process that has run no attempt."""
    note_first_modules()
    yield tmp_path
    switch_folder(None)


def attempt(folder: Path, function: str, *arguments):
    """Run a function as an attempt does, and return what it has imported."""
    switch_folder(folder, function)
    resolve(function, folder)(*arguments)
    found = imports_of(function, has_snapshot=True)
    assert found is not None
    return found


def test_a_file_that_nothing_imports_is_not_in_the_list(project):
    put(project, "experiment.py", "import helper\ndef f(): ...")
    put(project, "helper.py")
    put(project, "other.py")
    put(project, "README.md", "import other")
    assert attempt(project, "experiment:f").files == ("experiment.py", "helper.py")


def test_packages_and_relative_imports_count_with_the_packages_around_them(project):
    put(project, "net/__init__.py")
    put(project, "net/models/__init__.py", "from .small import Small")
    put(project, "net/models/small.py", "from ..layers import dense\nclass Small: ...")
    put(project, "net/layers/dense.py")
    put(project, "net/layers/__init__.py")
    put(project, "net/unused.py")
    put(project, "net/run.py", "from .models import Small\ndef f(): ...")
    assert attempt(project, "net.run:f").files == (
        "net/__init__.py",
        "net/layers/__init__.py",
        "net/layers/dense.py",
        "net/models/__init__.py",
        "net/models/small.py",
        "net/run.py",
    )


def test_an_import_inside_of_a_function_counts_once_it_has_run(project):
    put(project, "experiment.py", "def f(late):\n    if late:\n        import helper")
    put(project, "helper.py")
    assert attempt(project, "experiment:f", False).files == ("experiment.py",)
    assert attempt(project, "experiment:f", True).files == ("experiment.py", "helper.py")


def test_two_functions_in_one_folder_have_lists_of_their_own(project):
    for name in ("a", "b"):
        put(project, f"{name}.py", f"import shared, only_{name}\ndef f(): ...")
        put(project, f"only_{name}.py")
    put(project, "shared.py")
    assert attempt(project, "a:f").files == ("a.py", "only_a.py", "shared.py")
    assert attempt(project, "b:f").files == ("b.py", "only_b.py", "shared.py")
    assert attempt(project, "a:f").files == ("a.py", "only_a.py", "shared.py")


def test_a_module_imported_by_its_name_counts_for_all_functions_of_the_process(project):
    put(project, "a.py", "import importlib\ndef f(): importlib.import_module('plugin')")
    put(project, "b.py", "def f(): ...")
    put(project, "plugin.py", "import below")
    put(project, "below.py")
    assert attempt(project, "a:f").files == ("a.py", "below.py", "plugin.py")
    assert attempt(project, "b:f").files == ("b.py", "below.py", "plugin.py")


def test_a_module_that_another_function_has_imported_first_counts_where_imports_go_by_name(project):
    # Given a function that imports a helper by an import statement
    put(project, "a.py", "import helper\ndef f(): ...")
    put(project, "helper.py")
    attempt(project, "a:f")
    # When another function imports the same helper, already loaded, by its name
    put(project, "b.py", "from importlib import import_module\ndef f(): import_module('helper')")
    found = attempt(project, "b:f")
    # Then its list has the helper, too
    assert "helper.py" in found.files


def test_a_function_whose_library_imports_by_name_counts_all_later_imports(project, monkeypatch):
    # Given a library that imports the modules of a configuration, and a function that calls it
    library = project / "venv" / "site-packages"
    put(library, "configured.py", "def made(name): return __import__(name)")
    monkeypatch.syspath_prepend(str(library))
    put(project, "a.py", "import model_a\ndef f(): ...")
    put(project, "b.py", "import configured\ndef f(name): configured.made(name)")
    put(project, "model_a.py")
    put(project, "model_b.py")
    attempt(project, "a:f")
    # When it imports one new module and one that is loaded already
    found = attempt(project, "b:f", "model_b")
    # Then both modules count
    assert {"model_a.py", "model_b.py"} <= set(found.files)
    sys.modules.pop("configured")


def test_a_module_of_an_attempt_that_failed_is_charged_to_its_function(project):
    put(project, "a.py", "def f(fails):\n    import helper\n    if fails: raise ValueError('late')")
    put(project, "b.py", "def f(): ...")
    put(project, "helper.py")
    with pytest.raises(ValueError, match="late"):
        attempt(project, "a:f", True)
    assert attempt(project, "b:f").files == ("b.py",)
    assert attempt(project, "a:f", False).files == ("a.py", "helper.py")


@pytest.mark.parametrize("line", ["import subprocess", "import runpy", "import os; os.system", "exec('')"])
def test_all_files_of_python_count_where_any_may_be_run(project, line):
    put(project, "experiment.py", f"{line}\ndef f(): ...")
    put(project, "train/main.py")
    put(project, "data.csv")
    assert attempt(project, "experiment:f").files == ("experiment.py", "train/main.py")


def test_an_import_that_a_child_process_of_the_function_may_do_counts(project):
    put(project, "experiment.py", "import multiprocessing\ndef work():\n    import helper\ndef f(): ...")
    put(project, "helper.py", "from pack import inner")
    put(project, "pack/__init__.py")
    put(project, "pack/inner.py")
    put(project, "other.py")
    files = ("experiment.py", "helper.py", "pack/__init__.py", "pack/inner.py")
    assert attempt(project, "experiment:f").files == files


def test_a_namespace_package_is_the_file_that_would_change_it(project):
    put(project, "experiment.py", "import space.inner\ndef f(): ...")
    put(project, "space/inner.py")
    assert attempt(project, "experiment:f").files == ("experiment.py", "space/__init__.py", "space/inner.py")


def test_a_method_called_eval_raises_no_doubt(project):
    put(
        project,
        "experiment.py",
        "import re\ndef f(): re.compile('')\ndef g(model): model.eval()",
    )
    put(project, "other.py", "")
    put(project, "b.py", "import other\ndef f(): ...")
    attempt(project, "b:f")
    assert attempt(project, "experiment:f").files == ("experiment.py",)


def test_installed_packages_are_named_whether_they_are_new_or_were_there(project):
    put(project, "experiment.py", "import numpy.linalg, json\ndef f(): ...")
    assert "numpy" in attempt(project, "experiment:f").packages
    assert "json" not in attempt(project, "experiment:f").packages
    note_first_modules()
    assert attempt(project, "experiment:f").packages == ("numpy",)


def test_a_function_without_a_snapshot_has_packages_only(project):
    switch_folder(None)
    resolve("numpy:sum", None)
    found = imports_of("numpy:sum", has_snapshot=False)
    assert (found.files, found.packages) == ((), ("numpy",))


def test_equal_lists_have_equal_digests_in_other_processes_too(project):
    put(project, "experiment.py", "def f(): ...")
    found = attempt(project, "experiment:f")
    script = f"from qexp.model import Imports; print(Imports({found.files!r}, {found.packages!r}).digest)"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        told = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert told.stdout.strip() == found.digest
    assert found.digest != type(found)(("experiment.py", "x.py"), found.packages).digest
    assert len(found.digest) == 32


def test_known_imports_are_not_searched_again(project):
    put(project, "experiment.py", "def f(): ...")
    found = attempt(project, "experiment:f")
    assert attempt(project, "experiment:f") is found
