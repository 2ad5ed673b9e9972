"""Workers find each function that a program passes: its folder is part of the source, or qexp refuses it."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import qexp
from qexp.client import code_provenance
from qexp.client.function_check import checked
from qexp.errors import GridError, SourceError
from qexp.grid import Grid

SAYS = """
from pathlib import Path
from qexp.client.function_check import checked
from qexp.client.code_provenance import of
from qexp.errors import QexpError
from qexp.grid import Grid

def say(grid):
    try:
        grid = checked(grid)
        code = of(grid)
    except QexpError as error:
        print(f"refused: {error}")
    else:
        print(grid.folder and grid.folder.name, *(code.snapshot.files if code.snapshot else ["no snapshot"]))

def made(function, **keys):
    return Grid.from_dict({"study": "a", "function": function, "parameters": {"x": 1}, **keys})
"""
FUNCTION = "def f(x): return x\n"


@pytest.fixture
def project(tmp_path):
    """Write files below a folder; return it."""

    def project(**files):
        path = tmp_path / "project"
        for name, text in {"says": SAYS, **files}.items():
            file = path / (name.replace("__", "/") if name.startswith(("pkg__", "ns__", "configs__")) else name)
            file = file.with_suffix(".yaml" if file.name == "grid" else ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return path

    return project


def said(*arguments, cwd, python=sys.executable, **environ):
    done = subprocess.run(
        [python, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def script(function="experiment:f", **keys):
    return f"from says import made, say\nsay(made({function!r}, **{keys!r}))\n"


def test_the_folder_of_a_script_is_the_source_of_a_function_beside_it(project, tmp_path):
    path = project(experiment=FUNCTION, sweep=script())
    assert said(path / "sweep.py", cwd=tmp_path) == "project experiment.py says.py sweep.py"


def test_the_working_directory_of_a_notebook_is_the_source(project):
    path = project(experiment=FUNCTION)
    assert said("-c", script(), cwd=path) == "project experiment.py says.py"


def test_a_folder_of_pythonpath_is_the_source(project, tmp_path):
    path = project(experiment=FUNCTION)
    assert said("-c", script(), cwd=tmp_path, PYTHONPATH=str(path)) == "project experiment.py says.py"


def test_the_source_of_a_module_in_a_package_is_the_folder_of_the_package(project):
    path = project(pkg__sub__experiment=FUNCTION)
    (path / "pkg" / "__init__.py").write_text(FUNCTION)
    (path / "pkg" / "sub" / "__init__.py").write_text("")
    assert said("-c", script("pkg.sub.experiment:f"), cwd=path).startswith("project ")
    assert "pkg/__init__.py" in said("-c", script("pkg:f"), cwd=path).split()[1:]


def test_the_source_of_a_module_in_a_namespace_package_is_the_folder_of_the_package(project):
    path = project(ns__sub__experiment=FUNCTION)
    assert said("-c", script("ns.sub.experiment:f"), cwd=path) == "project ns/sub/experiment.py says.py"


def test_a_script_run_as_a_module_of_a_package_is_no_exception(project):
    path = project(pkg__experiment=FUNCTION, pkg__sweep=script("pkg.experiment:f"))
    assert said("-m", "pkg.sweep", cwd=path) == "project pkg/experiment.py pkg/sweep.py says.py"


@pytest.mark.parametrize(
    ("start", "name"), [(("sweep.py",), "name it by its file, as sweep:f"), (("-m", "pkg.sweep"), "as pkg.sweep:f")]
)
def test_a_function_of_the_script_itself_is_refused_with_the_name_that_works(project, start, name):
    source = script("__main__:f").replace("say(made", "def f(x): ...\nsay(made")
    path = project(sweep=source, pkg__sweep=source)
    answer = said(*start, cwd=path)
    assert answer.startswith("refused: grid, at function: function __main__:f: workers cannot import __main__")
    assert name in answer


def test_a_grid_file_elsewhere_finds_the_function_beside_the_script_and_takes_its_folder(project):
    path = project(
        experiment=FUNCTION,
        configs__grid="study: a\nfunction: experiment:f\nparameters: {x: 1}\n",
        sweep="from says import Grid, say\nsay(Grid.load('configs/grid.yaml'))\n",
    )
    assert said("sweep.py", cwd=path) == "project configs/grid.yaml experiment.py says.py sweep.py"


def test_the_code_beside_a_grid_file_comes_first(project):
    path = project(
        experiment=FUNCTION,
        configs__experiment=FUNCTION,
        configs__grid="study: a\nfunction: experiment:f\nparameters: {x: 1}\n",
        sweep="from says import Grid, say\nsay(Grid.load('configs/grid.yaml'))\n",
    )
    assert said("sweep.py", cwd=path) == "configs experiment.py grid.yaml"


def test_with_installed_code_the_folder_is_noted_and_no_snapshot_is_taken(project):
    path = project(experiment=FUNCTION)
    assert said("-c", script(source="installed"), cwd=path) == "project no snapshot"


def test_a_module_in_a_zip_is_refused(project, tmp_path):
    path = project()
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("experiment.py", FUNCTION)
    answer = said("-c", script(), cwd=path, PYTHONPATH=str(tmp_path / "code.zip"))
    assert answer.startswith("refused:")
    assert "code.zip, which is no folder; install it with pip, or unpack it" in answer


def test_an_editable_install_counts_as_installed(project, tmp_path):
    # Given an environment with a .pth file of an editable install
    path = project(experiment=FUNCTION)
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    folders = [*sys.path[1:], str(Path(qexp.__file__).parents[1]), str(path)]
    purelib = said("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=tmp_path, python=python)
    (Path(purelib) / "editable.pth").write_text("\n".join(["import sys; print('hello')", *folders]))
    # When a script in another folder names a function of it
    answer = said("-c", script(), cwd=tmp_path, python=python)
    # Then workers of the environment find it like the script
    assert answer.splitlines()[-1] == "None no snapshot"


def test_an_installed_function_needs_no_folder():
    grid = Grid.from_dict({"study": "a", "function": "json:dumps", "parameters": {"obj": 1}})
    assert checked(grid).folder is None


def test_a_function_whose_file_the_snapshot_leaves_out_is_refused(project, tmp_path):
    # Given a function in a file that git ignores, and one in a link that leaves the folder
    path = project(experiment=FUNCTION)
    (path / ".gitignore").write_text("experiment.py\n")
    (tmp_path / "other.py").write_text(FUNCTION)
    (path / "linked.py").symlink_to(tmp_path / "other.py")

    def grid(function):
        return checked(Grid.from_dict({"study": "a", "function": function, "parameters": {"x": 1}}, path))

    # When they are enqueued, then qexp refuses them with advice
    with pytest.raises(SourceError, match=r"experiment.py: left out .* 'source: {include: \[experiment.py\]}' in"):
        code_provenance.of(grid("experiment:f"))
    with pytest.raises(SourceError, match=r"linked.py: left out of the snapshot, as it is a link out of the folder"):
        code_provenance.of(grid("linked:f"))
    (path / ".qexpignore").write_text("!experiment.py\n")
    assert "experiment.py" in code_provenance.of(grid("experiment:f")).snapshot.files


def test_a_study_that_may_not_move_refuses_a_function_found_elsewhere(project, monkeypatch):
    path = project(moved=FUNCTION)
    monkeypatch.syspath_prepend(str(path))
    grid = Grid.from_dict({"study": "a", "function": "moved:f", "parameters": {"x": 1}})
    try:
        with pytest.raises(GridError, match="where workers of this study do not look; enqueue its grid again"):
            checked(grid, moves=False)
    finally:
        sys.modules.pop("moved", None)


MISSING = """
from pathlib import Path
from qexp.client.function_check import checked
from qexp.client.code_provenance import missing, snapshot_of
from qexp.grid import Grid

grid = checked(Grid.from_dict({"study": "a", "function": "experiment:f", "parameters": {"x": 1}}, Path.cwd()))
print(*missing(grid, snapshot_of(grid)), sep="\\n")
"""


def test_a_helper_that_only_pythonpath_finds_is_named_with_its_importer(project, tmp_path):
    # Given a module beside the function that imports a helper from a folder of PYTHONPATH
    other = tmp_path / "other"
    other.mkdir()
    (other / "helperb.py").write_text("SCALE = 2\n")
    path = project(experiment=f"import middle\n{FUNCTION}", middle="from helperb import SCALE\n")
    # When the grid is checked
    found = said("-c", MISSING, cwd=path, PYTHONPATH=str(other))
    # Then one line names the module that the snapshot lacks
    assert found == (
        f"middle.py: imports helperb from {other}/helperb.py, which the snapshot for workers does not have; "
        f"copy it into {path}, or install it with pip"
    )


def test_a_helper_that_an_ignore_file_leaves_out_is_named_with_the_line_that_takes_it(project):
    path = project(experiment=f"from pkg import helper\n{FUNCTION}", pkg__helper="")
    (path / "pkg" / "__init__.py").write_text("")
    (path / ".qexpignore").write_text("helper.py\n")
    found = said("-c", MISSING, cwd=path)
    assert found.startswith(f"experiment.py: imports pkg.helper from {path}/pkg/helper.py, which the snapshot")
    assert found.endswith("qexp wrote it; 'source: {include: [pkg/helper.py]}' in the grid takes it")
    # and the proposed repair works
    include = MISSING.replace('"study": "a"', '"study": "a", "source": {"include": ["pkg/helper.py"]}')
    assert said("-c", include, cwd=path) == ""


def test_helpers_in_the_snapshot_and_installed_modules_are_not_named(project):
    source = f"import json\nimport numpy.linalg\nimport qexp\nfrom helper import x\nimport ns.part\n{FUNCTION}"
    path = project(experiment=source, helper="x = 1\n", ns__part="")
    assert said("-c", MISSING, cwd=path) == ""
