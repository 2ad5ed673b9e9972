"""Artifacts are copied to a file or into a folder, and replace nothing in silence."""

import pytest

SOURCE = """
import qexp
def f(x, context: qexp.Context):
    context.artifact("model.bin", bytes([x] * 5))
    context.artifact("plots/curve.txt", f"curve {x}".encode())
    return {"y": x}
"""


@pytest.fixture(scope="module", autouse=True)
def worker(start_worker, queue):
    return start_worker("-Q", queue, "-c", "1").await_ready()


def test_artifacts_of_several_experiments_are_copied_into_a_folder(study, qexp, tmp_path):
    made = study(SOURCE, {"x": [1, 2]})
    made.enqueue()
    assert made.wait() == 0
    one, two = (row["id"] for row in made.listed())

    def copied(*arguments, status=0):
        done = qexp("artifacts", made.name, *arguments)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    # a folder, new or old, gets one file per experiment
    shown = copied("--get", "model.bin", "-o", "models/")
    assert shown == f"models/{one}-model.bin: 5 bytes\nmodels/{two}-model.bin: 5 bytes\n"
    assert (tmp_path / f"models/{two}-model.bin").read_bytes() == b"\x02" * 5
    copied("--get", "plots/curve.txt", "-o", "models")
    assert (tmp_path / f"models/{one}-plots-curve.txt").read_text() == "curve 1"
    # the same file again is no error, another one is
    assert copied("--get", "model.bin", "-o", "models").count("already there") == 2
    mine = tmp_path / f"models/{one}-model.bin"
    mine.write_text("mine")
    (tmp_path / f"models/{two}-model.bin").unlink()
    refusal = f"models/{one}-model.bin: the file exists; replace it with --overwrite"
    assert refusal in copied("--get", "model.bin", "-o", "models", status=2)
    assert mine.read_text() == "mine"
    assert not (tmp_path / f"models/{two}-model.bin").exists()
    copied("--get", "model.bin", "-o", "models", "--overwrite")
    assert mine.read_bytes() == b"\x01" * 5
    # a file takes one experiment only
    refusal = "found 2 experiments with an artifact 'model.bin', expected one; a folder takes all of them: -o model/"
    assert refusal in copied("--get", "model.bin", "-o", "model", status=2)
    (tmp_path / "all.bin").write_text("mine")
    assert "a folder takes all of them: -o all/" in copied("--get", "model.bin", "-o", "all.bin", status=2)
    assert "found a file, expected a folder: -o all/" in copied("--get", "model.bin", "-o", "all.bin/", status=2)
    (tmp_path / "all").write_text("mine")
    assert "a folder takes all of them: -o artifacts/" in copied("--get", "model.bin", "-o", "all", status=2)
    assert "they have model.bin, plots/curve.txt" in copied("--get", "modle.bin", status=2)
    assert "-o needs --get NAME" in copied("-o", "models", status=2)
    done = qexp("artifacts", one, "--get", "model.bin", "-o", "one.bin")
    assert (done.returncode, done.stdout) == (0, "one.bin: 5 bytes\n")
    # the default is a folder per experiment, where nothing is replaced either
    copied("--get", "model.bin")
    (tmp_path / str(two) / "model.bin").write_text("mine")
    assert f"{two}/model.bin: the file exists" in copied("--get", "model.bin", status=2)
