"""A snapshot takes code and small text; data, documents and files that qexp wrote stay out unless a grid names them."""

import os

import pytest

from qexp.source import ChangedFiles, left_out_line, take, written_files
from qexp.source.file_kinds import SMALL


def write(folder, *names, content="x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("QEXP_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "grid", "experiment.py")


CODE = (
    *("model.py", "model.pyi", "fast.cpython-311-x86_64-linux-gnu.so", "libfast.so.1.2", "fast.pyd"),
    *(
        "config.yaml",
        "conf/a.toml",
        "a.json",
        "setup.cfg",
        "words.txt",
        "notes.md",
        "iris.csv",
        "model.stan",
        "Makefile",
    ),
    *("lib/__init__.py", "lib/words.bin", "lib/data/points.npy", "lib/logo.png"),
)
DATA = (
    *("points.parquet", "points.npy", "points.npz", "model.pt", "model.pth", "last.ckpt", "model.safetensors"),
    *("model.pkl", "points.h5", "photo.jpg", "data.zip", "data.tar.gz", "runs.sqlite", "POINTS.NPY"),
)
DOCUMENTS = (
    "try.ipynb",
    "lib/try.ipynb",
    "plot.png",
    "plot.svg",
    "paper.pdf",
    "table.tex",
    "report.html",
    "slurm-1.out",
)


def test_code_configuration_and_small_files_of_packages_are_taken(folder):
    write(folder, *CODE)
    assert take(folder).files == tuple(sorted([*CODE, "experiment.py"]))
    assert left_out_line(take(folder).data) is None


@pytest.mark.parametrize("name", DATA)
def test_a_data_or_model_file_stays_out_and_is_named(folder, name):
    before = take(folder).digest
    taken = take(write(folder, name, content=bytes(25_000_000)))
    assert taken.digest == before
    said = f"1 data file (25 MB): {name}; 'source: {{include: [{name}]}}' takes it"
    assert left_out_line(taken.data) == f"left out of the snapshot: {said}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_notebook_plot_or_document_stays_out_without_a_word(folder, name):
    write(folder, "lib/__init__.py")
    before = take(folder).digest
    taken = take(write(folder, name))
    assert (taken.digest, left_out_line(taken.data), taken.warnings) == (before, None, ())


def test_binary_and_long_files_of_unknown_kind_are_data(folder):
    write(folder, "solver", content=b"\x7fELF\0\0")
    write(folder, "long.json", "lib/long.txt", content="x" * (SMALL + 1))
    write(folder, "lib/__init__.py")
    taken = take(folder)
    assert taken.files == ("experiment.py", "lib/__init__.py")
    assert [*taken.data] == ["lib/long.txt", "long.json", "solver"]
    assert "3 data files (2 MB): lib/long.txt, long.json, solver; " in left_out_line(taken.data)


def test_many_small_files_never_refuse_the_code_beside_them(folder):
    # Given 25 files of 1 MB beside a function and in a package, and a small configuration
    write(folder, "lib/__init__.py", "lib/config.yaml")
    write(folder, *(f"lib/{number:02}.npy" for number in range(12)), content=os.urandom(SMALL))
    write(folder, *(f"table_{number:02}.csv" for number in range(13)), content="1" * (SMALL - 1))
    # Then 10 MB of them are taken, and the largest stay out
    taken = take(folder)
    assert {"experiment.py", "lib/__init__.py", "lib/config.yaml"} < {*taken.files}
    assert taken.size <= 10_000_000
    assert {f"lib/{number:02}.npy" for number in range(12)} < {*taken.data}
    assert len(taken.files) + len(taken.data) == 28


def test_the_folders_of_experiment_trackers_stay_out_unless_they_are_packages(folder):
    before = take(folder).digest
    write(folder, "wandb/run-1/config.yaml", "mlruns/0/meta.yaml", "lightning_logs/version_0/hparams.yaml")
    assert take(folder).digest == before
    assert "wandb/run-1/config.yaml" in take(write(folder, "wandb/__init__.py")).files


def test_ten_thousand_data_files_do_not_refuse_the_snapshot(folder, monkeypatch):
    monkeypatch.setattr("qexp.source.snapshot.MOST_FILES", 20)
    write(folder, *(f"images/{number}.jpg" for number in range(30)))
    taken = take(folder)
    assert taken.files == ("experiment.py",)
    assert (
        "30 data files (30 bytes): images/0.jpg, images/1.jpg, images/10.jpg, images/11.jpg and 26 more; "
        in left_out_line(taken.data)
    )
    assert left_out_line(taken.data).endswith("'source: {include: [images/*.jpg]}' takes them")


def test_the_proposed_entry_takes_all_data_or_the_largest_file(folder):
    write(folder, "a.npy", "data/b.npy", "data/c.npy", "data/d.pt")
    assert "[a.npy, data/*.npy, data/d.pt]}' takes them" in left_out_line(take(folder).data)
    write(folder, "large.pkl", content="long")
    assert "[large.pkl]}' takes the first" in left_out_line(take(folder).data)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("grid.yaml", "study: a\nfunction: experiment:f\n"),
        ("grid.json", '{"study": "a", "function": "experiment:f"}'),
        ("tables.yaml", "defaults: {}\ntables:\n  accuracy: {}\n"),
        ("notes.txt", "try a larger C"),
        (".gitignore", "*.log"),
    ],
)
def test_grids_notes_and_ignore_files_are_taken_and_are_no_code(folder, name, content):
    before, after = take(folder), take(write(folder, name, content=content))
    assert ChangedFiles.between(before.marks, after.marks, after.own) == ChangedFiles({}, {name: "added"})


@pytest.mark.parametrize("name", ["model.py", "config.yaml", "lib/words.txt", "kernel.cu"])
def test_what_a_function_imports_or_is_configured_by_is_code(folder, name):
    before = take(write(folder, "lib/__init__.py"))
    after = take(write(folder, name, content="function: relu"))
    assert ChangedFiles.between(before.marks, after.marks, after.own) == ChangedFiles({name: "added"}, {})


def test_a_name_with_a_space_is_proposed_in_quotes(folder):
    assert "'source: {include: [\"my points.npy\"]}'" in left_out_line(take(write(folder, "my points.npy")).data)


# --- include


@pytest.mark.parametrize("pattern", ["data/points.npy", "data/*.npy", "data", "**/points.npy", "data/"])
def test_a_named_file_is_taken_whatever_its_kind_and_the_ignore_files(folder, pattern):
    write(folder, "data/points.npy", content=bytes(2_000_000))
    write(folder, ".gitignore", content="data/")
    taken = take(folder, [pattern])
    assert taken.files == (".gitignore", "data/points.npy", "experiment.py")
    assert (left_out_line(taken.data), taken.unmatched) == (None, ())


@pytest.mark.parametrize("pattern", [".env", "**/.env", "conf", ".venv", "**/*"])
def test_a_named_secret_stays_out(folder, pattern):
    write(folder, ".env", "conf/.env", ".venv/pyvenv.cfg", "conf/.ssh/id_rsa")
    write(folder, "conf/key.txt", content="-----BEGIN " + "RSA PRIVATE KEY-----\nMIIE\n")
    assert take(folder, [pattern]).files == ("experiment.py",)


def test_a_named_link_out_of_the_folder_is_not_followed_and_said(folder, tmp_path):
    write(tmp_path / "scratch", "points.npy")
    (folder / "data").symlink_to(tmp_path / "scratch")
    taken = take(folder, ["data", "data/points.npy"])
    assert taken.files == ("experiment.py",)
    assert taken.unmatched == ("data", "data/points.npy")
    out = f"data: left out of the snapshot, as it is a link out of the folder, to {tmp_path / 'scratch'}"
    assert out in taken.warnings


def test_a_named_link_within_the_folder_counts_as_its_target(folder):
    write(folder, "store/points.npy")
    (folder / "data").symlink_to("store")
    (folder / "store" / "circle").symlink_to("..")
    assert take(folder, ["data"]).files == ("data/points.npy", "experiment.py")


# --- files that qexp wrote


def test_a_file_that_qexp_wrote_stays_out_until_somebody_changes_it(folder):
    before = take(folder)
    written = write(folder, "results/lenet.json") / "results" / "lenet.json"
    assert take(folder).digest != before.digest
    written_files.note(written)
    assert take(folder) == before
    written.write_text("[1, 2]")
    assert "results/lenet.json" in take(folder).files


def test_a_file_that_qexp_wrote_through_a_link_is_known(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    written_files.note(write(folder, "a.csv") and tmp_path / "link" / "a.csv")
    assert take(folder).files == ("experiment.py",)


def test_a_named_file_that_qexp_wrote_is_taken(folder):
    written_files.note(write(folder, "a.csv") / "a.csv")
    assert take(folder, ["a.csv"]).files == ("a.csv", "experiment.py")


def test_a_folder_that_qexp_unpacked_stays_out_with_everything_in_it(folder):
    write(folder, "old/experiment.py", "old/lib/b.py")
    written_files.note(folder / "old")
    assert take(folder).files == ("experiment.py",)
    assert take(folder / "old").files == ("experiment.py", "lib/b.py")


def test_a_long_list_of_written_files_forgets_those_that_are_gone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(written_files, "_LONG", 200)
    for number in range(30):
        name = f"{number}.csv"
        written_files.note(write(folder, name) / name)
        if number != 3:
            (folder / name).unlink()
    (notes,) = (tmp_path / "home" / "written").iterdir()
    assert len(notes.read_text().splitlines()) < 10
    assert take(folder).files == ("experiment.py",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_home_that_cannot_be_written_refuses_nothing(folder, tmp_path):
    (tmp_path / "home").mkdir(mode=0o500)
    written_files.note(write(folder, "a.csv") / "a.csv")
    assert take(folder).files == ("a.csv", "experiment.py")
