"""`qexp coverage` and `qexp compare`: lines of 80 columns, exit statuses, bad input."""

import json
import os
import pty
import struct
import subprocess
import sys
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest
from study_support import made_study

from qexp.model import Failure

GRID = {
    "classifier": ["sklearn.svm.SVC", "sklearn.ensemble.RandomForestClassifier"],
    "dataset": [f"dataset_{letter}" for letter in "abcdefghij"],
    "seed": {"range": [0, 3]},
}


@pytest.fixture
def finished(client, raw, tmp_path):
    """Return a study whose first experiment has failed and whose others are done."""

    def result(params):
        if params["seed"] == 0 and params["dataset"] == "dataset_a" and "SVC" in params["classifier"]:
            return Failure.ERROR
        return {"accuracy": 0.9 + params["seed"] / 100 - ("Forest" in params["classifier"]) / 20}

    return made_study(client, raw, tmp_path / "study", "acc").enqueue(GRID).finish(result)


def on_a_screen(*arguments):
    """Run qexp on a terminal of 80 columns without colours; return its lines and its exit status."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    environ = {**os.environ, "TERM": "dumb"}
    environ.pop("COLUMNS", None)
    started = subprocess.Popen([sys.executable, "-m", "qexp", *arguments], stdout=theirs, stderr=theirs, env=environ)
    os.close(theirs)
    found = b""
    with suppress(OSError):  # Linux reports a closed terminal like this
        while part := os.read(ours, 65_536):
            found += part
    os.close(ours)
    return found.decode().splitlines(), started.wait()


def test_coverage_on_a_terminal_keeps_whole_columns_and_names_the_others(finished):
    lines, status = on_a_screen("coverage", finished.name, "--rows", "classifier", "--columns", "dataset")
    assert status == 1
    assert lines[0] == "classifier              dataset_a  dataset_b  dataset_c  dataset_d  dataset_e"
    assert lines[2] == "SVC                           2/3        3/3        3/3        3/3        3/3"
    assert lines[4] == "not shown: dataset_f, dataset_g, dataset_h, dataset_i, dataset_j; widen the"
    assert lines[-3:] == [
        "59 of 60 done",
        "1 failed (1 error) in SVC / dataset_a",
        f"    qexp requeue {finished.name} --failed",
    ]
    assert max(map(len, lines)) <= 80


def test_coverage_ends_with_0_once_everything_is_done(finished, qexp, client):
    # Given a study with a gap
    assert qexp("coverage", finished.name).returncode == 1
    # When its command has run and the experiment has ended
    assert qexp("requeue", finished.name, "--failed").returncode == 0
    finished.queue()
    finished.finish(lambda params: {"accuracy": 0.9})
    # Then the study is complete
    done = qexp("coverage", finished.name)
    assert done.returncode == 0, done.stdout
    assert "60 of 60 done\n" in done.stdout


def test_coverage_as_json_and_as_files(finished, qexp, tmp_path):
    found = json.loads(qexp("coverage", finished.name, "--format", "json").stdout)
    assert (found["done"], found["expected"], found["gaps"][0]["kind"]) == (59, 60, "failed")
    for suffix in ("pdf", "svg", "png", "csv", "json"):
        done = qexp("coverage", finished.name, "-o", f"cells.{suffix}")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"cells.{suffix}: 59 of 60 done\n"
        assert (tmp_path / f"cells.{suffix}").stat().st_size > 100


def test_compare_on_a_terminal_describes_one_pair_in_words(finished):
    lines, status = on_a_screen("compare", finished.name, "--by", "classifier", "--metric", "accuracy")
    assert status == 0
    assert lines[0] == f"{finished.name}: accuracy by classifier, higher is better"
    assert lines[2] == "SVC has a higher accuracy than RandomForestClassifier."
    assert "  wins         SVC 10, RandomForestClassifier 0, ties 0" in lines
    assert "  test         p = 0.002, Wilcoxon signed-rank test" in lines
    lack = lines.index("not paired: 1 of SVC, failed (1 error): dataset_a, seed 0")
    assert lines[lack + 1] == f"    qexp requeue {finished.name} --status failed"
    assert max(map(len, lines)) <= 80


def test_compare_on_a_terminal_shows_several_pairs_as_a_table(finished):
    lines, status = on_a_screen(
        "compare", finished.name, "--by", "dataset", "--metric", "accuracy", "--baseline", "dataset_b"
    )
    assert status == 0
    heads = "dataset_b difference 95 % interval p n w/t/l dz"
    assert lines[2].split() == ["\N{MINUS SIGN}", *heads.split()]
    assert len([line for line in lines if line.startswith("dataset_")]) == 9
    assert max(map(len, lines)) <= 80


def test_compare_as_json(finished, qexp):
    done = qexp("compare", finished.name, "--by", "classifier", "--metric", "accuracy", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["pairs"][0]["n"], found["pairs"][0]["wins"]) == (10, 10)
    assert found["notes"][0]["kind"] == "unpaired"


def test_bad_input_is_one_line(finished, qexp):
    for arguments, text, status in (
        (["coverage", "nothing_like_it"], "no study is named 'nothing_like_it'", 2),
        (["coverage", finished.name, "--rows", "clasifier"], "did you mean 'classifier'", 2),
        (["coverage", finished.name, "-o", "cells.txt"], "found the suffix '.txt'", 2),
        (["coverage", finished.name, "-o", "none/cells.csv"], "there is no folder none", 2),
        (["compare", finished.name, "--metric", "accuracy"], "give --by, or two studies", 2),
        (["compare", finished.name, "--by", "classifier"], "missing option '--metric'", 2),
        (["compare", finished.name, "--by", "classifier", "--metric", ""], "text of at least 1 character", 2),
        (["compare", finished.name, "--by", "dataset", "--metric", "accuracy"], "10 values make 45 pairs", 2),
        (["compare", finished.name, "--by", "classifier", "--metric", "acuracy"], "did you mean 'accuracy'", 2),
    ):
        done = qexp(*arguments)
        assert (done.returncode, done.stdout) == (status, ""), done.stdout
        assert done.stderr.count("\n") == 1 and text in done.stderr, done.stderr
